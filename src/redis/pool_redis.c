/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/redis_pool.h"
#include "settings/redis_url.h"
#include "settings/settings.h"

#define POOL_RETRY_MS 1000

struct redis_pool {
	const struct settings *settings;
	struct arena *arena; /* holds the parts of url */
	struct redis_url url;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t freed; /* n_idle rose or n_open fell */
	redisContext **idle;
	size_t n_idle, n_open, max;
	int64_t failures; /* in a row */
	int64_t retry_ms; /* when down: not before */
};

enum err
redis_pool_open(struct redis_pool **out, const struct settings *settings,
    struct err_info *info)
{
	struct arena *a = arena_new(0);
	pthread_condattr_t attr;
	struct redis_url url;

	*out = NULL;
	enum err e = redis_url_parse(a, settings->redis_url, &url, info);
	if (e != ERR_OK) {
		arena_free(&a);
		return e;
	}
	struct redis_pool *p = mem_zalloc(sizeof(*p));
	p->settings = settings;
	p->arena = a;
	p->url = url;
	p->max = (size_t)settings->redis_max_connections;
	p->idle = mem_array(p->max, sizeof(redisContext *));
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->freed, &attr);
	pthread_condattr_destroy(&attr);
	*out = p;
	return ERR_OK;
}

void
redis_pool_close(struct redis_pool **pool)
{
	struct redis_pool *p = *pool;

	if (p == NULL)
		return;
	assert(p->n_idle == p->n_open);
	while (p->n_idle > 0)
		redisFree(p->idle[--p->n_idle]);
	pthread_cond_destroy(&p->freed);
	pthread_mutex_destroy(&p->lock);
	arena_free(&p->arena);
	free(p->idle);
	free(p);
	*pool = NULL;
}

static bool
pool_counts_as_down(const struct redis_pool *p)
{
	return p->failures >= p->settings->redis_failure_threshold;
}

bool
redis_pool_is_down(const struct redis_pool *pool)
{
	struct redis_pool *p = (struct redis_pool *)(uintptr_t)pool;

	pthread_mutex_lock(&p->lock);
	bool is_down = pool_counts_as_down(p);
	pthread_mutex_unlock(&p->lock);
	return is_down;
}

/* ---- one connection ---- */

/* Is it an answer? An error of a script or a key is one: the server works. */
static bool
pool_is_answer(const redisReply *r)
{
	return r->type != REDIS_REPLY_ERROR || str_starts(r->str, "NOSCRIPT") ||
	    str_starts(r->str, "WRONGTYPE");
}

static bool
pool_exchange(redisContext *c, const struct redis_command *commands, size_t n,
    redisReply **replies)
{
	for (size_t i = 0; i < n; i++)
		if (redisAppendCommandArgv(c, commands[i].argc,
			commands[i].argv, commands[i].lens) != REDIS_OK)
			return false;
	for (size_t i = 0; i < n; i++)
		if (redisGetReply(c, (void **)&replies[i]) != REDIS_OK ||
		    replies[i] == NULL || !pool_is_answer(replies[i]))
			return false;
	return true;
}

static bool
pool_say(redisContext *c, int argc, const char **argv)
{
	struct redis_command command = {.argc = argc, .argv = argv};
	redisReply *reply = NULL;

	bool is_good = pool_exchange(c, &command, 1, &reply);
	freeReplyObject(reply);
	return is_good;
}

static bool
pool_login(redisContext *c, const struct redis_url *u)
{
	const char *full[] = {"AUTH", u->user, u->password};
	const char *plain[] = {"AUTH", u->password};
	const char *select[] = {"SELECT", u->database};

	if (u->password != NULL && u->user != NULL && !pool_say(c, 3, full))
		return false;
	if (u->password != NULL && u->user == NULL && !pool_say(c, 2, plain))
		return false;
	return u->database == NULL || pool_say(c, 2, select);
}

static redisContext *
pool_connect(const struct redis_url *u)
{
	struct timeval limit = {.tv_usec = REDIS_POOL_MS * 1000};
	redisContext *c = u->path != NULL
	    ? redisConnectUnixWithTimeout(u->path, limit)
	    : redisConnectWithTimeout(u->host, u->port, limit);

	if (c == NULL)
		return NULL;
	if (c->err == 0 && redisSetTimeout(c, limit) == REDIS_OK &&
	    fcntl(c->fd, F_SETFD, FD_CLOEXEC) == 0 && pool_login(c, u))
		return c;
	redisFree(c);
	return NULL;
}

/* ---- the pool ---- */

/* With the lock. Waits until one is idle or may be opened. */
static bool
pool_wait(struct redis_pool *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += REDIS_POOL_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (p->n_idle == 0 && p->n_open == p->max)
		if (pthread_cond_timedwait(&p->freed, &p->lock, &until) != 0)
			return false;
	return true;
}

static void
pool_lose(struct redis_pool *p, redisContext *c)
{
	if (c != NULL)
		redisFree(c);
	pthread_mutex_lock(&p->lock);
	p->n_open--;
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->lock);
}

static void
pool_put(struct redis_pool *p, redisContext *c)
{
	pthread_mutex_lock(&p->lock);
	p->idle[p->n_idle++] = c;
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->lock);
}

/* ERR_DOWN and *is_tried false: it is known to be away. is_fresh: one that is
 * opened now; the idle ones are likely as dead as the one just lost. */
static enum err
pool_get(
    struct redis_pool *p, bool is_fresh, redisContext **out, bool *is_tried)
{
	redisContext *c = NULL;
	int64_t now = clock_mono_ms();

	*out = NULL;
	pthread_mutex_lock(&p->lock);
	bool is_down = pool_counts_as_down(p);
	*is_tried = !is_down || now >= p->retry_ms;
	if (is_down && *is_tried) /* one at a time */
		p->retry_ms = now + POOL_RETRY_MS;
	bool has_one = *is_tried && pool_wait(p);
	if (has_one && p->n_idle > 0)
		c = p->idle[--p->n_idle];
	else if (has_one)
		p->n_open++;
	pthread_mutex_unlock(&p->lock);
	if (!has_one)
		return *is_tried ? ERR_BUSY : ERR_DOWN;
	if (c != NULL && is_fresh) {
		redisFree(c);
		c = NULL;
	}
	*out = c != NULL ? c : pool_connect(&p->url);
	if (*out == NULL)
		pool_lose(p, NULL);
	return *out != NULL ? ERR_OK : ERR_DOWN;
}

static void
pool_note(struct redis_pool *p, bool is_good)
{
	pthread_mutex_lock(&p->lock);
	bool was_down = pool_counts_as_down(p);
	p->failures = is_good ? 0 : p->failures + 1;
	bool is_down = pool_counts_as_down(p);
	if (is_down && !was_down)
		p->retry_ms = clock_mono_ms() + POOL_RETRY_MS;
	pthread_mutex_unlock(&p->lock);
	if (is_down && !was_down)
		log_warning("redis.lost", "limits=%s caches=host",
		    p->settings->rate_limit_strict	    ? "strict"
			: p->settings->rate_limit_fail_open ? "open"
							    : "host");
	if (was_down && !is_down)
		log_info("redis.found", "limits=shared caches=shared");
}

static enum err
pool_try(struct redis_pool *p, redisContext *c,
    const struct redis_command *commands, size_t n, redis_read_fn read,
    void *arg, bool *is_closed)
{
	redisReply *replies[REDIS_COMMANDS_MAX] = {NULL};

	errno = 0;
	bool is_good = pool_exchange(c, commands, n, replies);
	*is_closed = !is_good &&
	    (c->err == REDIS_ERR_EOF || errno == EPIPE || errno == ECONNRESET);
	is_good = is_good && read(arg, replies, n);
	for (size_t i = 0; i < n; i++)
		freeReplyObject(replies[i]);
	if (is_good)
		pool_put(p, c);
	else
		pool_lose(p, c);
	return is_good ? ERR_OK : ERR_DOWN;
}

enum err
redis_pool_ask(struct redis_pool *p, const struct redis_command *commands,
    size_t n, redis_read_fn read, void *arg)
{
	bool is_closed = false, is_tried = false;
	redisContext *c;
	enum err e = ERR_DOWN;

	assert(n > 0 && n <= REDIS_COMMANDS_MAX);
	/* A kept connection may have been closed long ago. */
	for (int i = 0; i == 0 || (i == 1 && e == ERR_DOWN && is_closed); i++) {
		e = pool_get(p, i > 0, &c, &is_tried);
		if (e != ERR_OK)
			break;
		e = pool_try(p, c, commands, n, read, arg, &is_closed);
	}
	if (is_tried && e != ERR_BUSY)
		pool_note(p, e == ERR_OK);
	return e;
}
