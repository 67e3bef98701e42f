/* SPDX-License-Identifier: MIT
 *
 * Buckets in Redis, one script call for all buckets of a request, with Redis'
 * clock: hosts may disagree about the time. A bucket is a string that holds
 * its arrival time and goes when it is full again.
 *
 * Each thread that asks takes an idle connection or opens one; a request waits
 * for LIMIT_REDIS_MS at the most. After a few failures in a row nobody waits:
 * one caller tries again from time to time.
 */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/limit_impl.h"
#include "settings/redis_url.h"
#include "settings/settings.h"

#define LIMIT_REDIS_MS	     50
#define LIMIT_REDIS_RETRY_MS 1000
#define LIMIT_REDIS_IDLE     64
#define LIMIT_REDIS_DIGITS   24
#define LIMIT_REDIS_SHA	     41
#define LIMIT_REDIS_KEY	     (256 + LIMIT_NAME_SIZE)
#define LIMIT_REDIS_ARGS     3 /* of a bucket: interval, burst, units */

/* ARGV: life of a key in ms, then interval in us, burst and cost of each key.
 * Answers 1 or 0, then each bucket's time ahead in us. A time further ahead
 * than a burst is of another clock. */
static const char limit_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local out = {1}\n"
    "for i = 1, #KEYS do\n"
    "  local interval = tonumber(ARGV[i * 3 - 1])\n"
    "  local most = interval * tonumber(ARGV[i * 3])\n"
    "  local debt = tonumber(redis.call('GET', KEYS[i]) or 0) - now\n"
    "  debt = math.min(math.max(debt, 0), most)\n"
    "  if debt + tonumber(ARGV[i * 3 + 1]) * interval > most then\n"
    "    out[1] = 0\n"
    "  end\n"
    "  out[i + 1] = debt\n"
    "end\n"
    "for i = 1, #KEYS do\n"
    "  local cost = tonumber(ARGV[i * 3 + 1]) * tonumber(ARGV[i * 3 - 1])\n"
    "  if out[1] == 1 and cost > 0 then\n"
    "    out[i + 1] = out[i + 1] + cost\n"
    "    local life = math.ceil(out[i + 1] / 1000)\n"
    "    redis.call('SET', KEYS[i], string.format('%.0f', now + out[i + 1]),\n"
    "      'PX', math.max(life, tonumber(ARGV[1])))\n"
    "  end\n"
    "end\n"
    "return out\n";

struct limit_redis {
	const struct settings *settings;
	struct arena *arena; /* holds the parts of url */
	struct redis_url url;
	pthread_mutex_t lock; /* guards what follows */
	redisContext *idle[LIMIT_REDIS_IDLE];
	size_t n_idle;
	char sha[LIMIT_REDIS_SHA]; /* the script's name, as Redis told it */
	int64_t failures;	   /* in a row */
	int64_t retry_ms;	   /* when down: not before */
};

enum err
limit_redis_open(struct limit_redis **out, const struct settings *settings,
    struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct redis_url url;

	*out = NULL;
	enum err e = redis_url_parse(a, settings->redis_url, &url, info);
	if (e != ERR_OK) {
		arena_free(&a);
		return e;
	}
	struct limit_redis *r = mem_zalloc(sizeof(*r));
	r->settings = settings;
	r->arena = a;
	r->url = url;
	pthread_mutex_init(&r->lock, NULL);
	*out = r;
	return ERR_OK;
}

void
limit_redis_close(struct limit_redis **redis)
{
	struct limit_redis *r = *redis;

	if (r == NULL)
		return;
	while (r->n_idle > 0)
		redisFree(r->idle[--r->n_idle]);
	pthread_mutex_destroy(&r->lock);
	arena_free(&r->arena);
	free(r);
	*redis = NULL;
}

bool
limit_redis_is_down(const struct limit_redis *redis)
{
	struct limit_redis *r = (struct limit_redis *)(uintptr_t)redis;

	pthread_mutex_lock(&r->lock);
	bool is_down = r->failures >= r->settings->redis_failure_threshold;
	pthread_mutex_unlock(&r->lock);
	return is_down;
}

/* ---- connections ---- */

static redisReply *
limit_redis_ask(redisContext *c, int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(c, argc, argv, NULL);

	if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
	    !str_starts(reply->str, "NOSCRIPT")) {
		freeReplyObject(reply);
		return NULL;
	}
	return reply;
}

static bool
limit_redis_say(redisContext *c, int argc, const char **argv)
{
	redisReply *reply = limit_redis_ask(c, argc, argv);
	bool is_good = reply != NULL;

	if (is_good)
		freeReplyObject(reply);
	return is_good;
}

static bool
limit_redis_login(redisContext *c, const struct redis_url *u)
{
	const char *full[] = {"AUTH", u->user, u->password};
	const char *plain[] = {"AUTH", u->password};
	const char *select[] = {"SELECT", u->database};

	if (u->password != NULL && u->user != NULL &&
	    !limit_redis_say(c, 3, full))
		return false;
	if (u->password != NULL && u->user == NULL &&
	    !limit_redis_say(c, 2, plain))
		return false;
	return u->database == NULL || limit_redis_say(c, 2, select);
}

static bool
limit_redis_load(struct limit_redis *r, redisContext *c)
{
	const char *argv[] = {"SCRIPT", "LOAD", limit_script};
	redisReply *reply = limit_redis_ask(c, 3, argv);
	bool is_good = reply != NULL && reply->type == REDIS_REPLY_STRING &&
	    reply->len == LIMIT_REDIS_SHA - 1;

	pthread_mutex_lock(&r->lock);
	if (is_good)
		memcpy(r->sha, reply->str, LIMIT_REDIS_SHA);
	pthread_mutex_unlock(&r->lock);
	if (reply != NULL)
		freeReplyObject(reply);
	return is_good;
}

static redisContext *
limit_redis_connect(struct limit_redis *r)
{
	const struct redis_url *u = &r->url;
	struct timeval limit = {.tv_usec = LIMIT_REDIS_MS * 1000};
	redisContext *c = u->path != NULL
	    ? redisConnectUnixWithTimeout(u->path, limit)
	    : redisConnectWithTimeout(u->host, u->port, limit);

	if (c == NULL)
		return NULL;
	if (c->err == 0 && redisSetTimeout(c, limit) == REDIS_OK &&
	    fcntl(c->fd, F_SETFD, FD_CLOEXEC) == 0 && limit_redis_login(c, u) &&
	    limit_redis_load(r, c))
		return c;
	redisFree(c);
	return NULL;
}

/* A kept one or, if is_fresh or there is none, one that is opened now. NULL
 * and *is_tried false: it is known to be away. */
static redisContext *
limit_redis_get(struct limit_redis *r, bool is_fresh, bool *is_tried)
{
	int64_t now = clock_mono_ms();
	redisContext *c = NULL;

	pthread_mutex_lock(&r->lock);
	bool is_down = r->failures >= r->settings->redis_failure_threshold;
	*is_tried = !is_down || now >= r->retry_ms;
	if (is_down && *is_tried) /* one at a time */
		r->retry_ms = now + LIMIT_REDIS_RETRY_MS;
	if (*is_tried && !is_fresh && r->n_idle > 0)
		c = r->idle[--r->n_idle];
	pthread_mutex_unlock(&r->lock);
	return c != NULL || !*is_tried ? c : limit_redis_connect(r);
}

static void
limit_redis_put(struct limit_redis *r, redisContext *c)
{
	pthread_mutex_lock(&r->lock);
	bool is_kept = r->n_idle < LIMIT_REDIS_IDLE;
	if (is_kept)
		r->idle[r->n_idle++] = c;
	pthread_mutex_unlock(&r->lock);
	if (!is_kept)
		redisFree(c);
}

static void
limit_redis_note(struct limit_redis *r, bool is_good)
{
	pthread_mutex_lock(&r->lock);
	bool was_down = r->failures >= r->settings->redis_failure_threshold;
	r->failures = is_good ? 0 : r->failures + 1;
	bool is_down = r->failures >= r->settings->redis_failure_threshold;
	if (is_down && !was_down)
		r->retry_ms = clock_mono_ms() + LIMIT_REDIS_RETRY_MS;
	pthread_mutex_unlock(&r->lock);
	if (is_down && !was_down)
		log_warning("limit.redis.lost", "state=%s",
		    r->settings->rate_limit_strict	    ? "strict"
			: r->settings->rate_limit_fail_open ? "open"
							    : "local");
	if (was_down && !is_down)
		log_info("limit.redis.found", "state=shared");
}

/* ---- one call ---- */

struct limit_call {
	char keys[LIMIT_ASKS_MAX][LIMIT_REDIS_KEY];
	char numbers[LIMIT_ASKS_MAX][LIMIT_REDIS_ARGS][LIMIT_REDIS_DIGITS];
	char life[LIMIT_REDIS_DIGITS];
	char n_keys[LIMIT_REDIS_DIGITS];
	const char *argv[4 + LIMIT_ASKS_MAX * (1 + LIMIT_REDIS_ARGS)];
	int argc;
};

static void
limit_redis_number(char out[LIMIT_REDIS_DIGITS], int64_t n)
{
	snprintf(out, LIMIT_REDIS_DIGITS, "%lld", (long long)n);
}

static void
limit_redis_prepare(const struct limit_redis *r, struct limit_call *c,
    const struct limit_bucket *buckets, size_t n)
{
	limit_redis_number(c->n_keys, (int64_t)n);
	limit_redis_number(c->life, r->settings->redis_ttl * 1000);
	c->argc = 3; /* EVAL, script, number of keys */
	c->argv[2] = c->n_keys;
	for (size_t i = 0; i < n; i++) {
		snprintf(c->keys[i], sizeof(c->keys[i]), "%s%s",
		    r->settings->redis_key_prefix, buckets[i].name);
		c->argv[c->argc++] = c->keys[i];
	}
	c->argv[c->argc++] = c->life;
	for (size_t i = 0; i < n; i++) {
		const int64_t numbers[LIMIT_REDIS_ARGS] = {
		    buckets[i].rule.interval_us, buckets[i].rule.burst,
		    buckets[i].units};
		for (size_t k = 0; k < LIMIT_REDIS_ARGS; k++) {
			limit_redis_number(c->numbers[i][k], numbers[k]);
			c->argv[c->argc++] = c->numbers[i][k];
		}
	}
}

/* Redis forgets scripts when it restarts, and tells. */
static redisReply *
limit_redis_eval(
    struct limit_redis *r, redisContext *c, struct limit_call *call)
{
	char sha[LIMIT_REDIS_SHA];

	pthread_mutex_lock(&r->lock);
	memcpy(sha, r->sha, sizeof(sha));
	pthread_mutex_unlock(&r->lock);
	call->argv[0] = "EVALSHA";
	call->argv[1] = sha;
	redisReply *reply = limit_redis_ask(c, call->argc, call->argv);
	if (reply == NULL || reply->type != REDIS_REPLY_ERROR)
		return reply;
	freeReplyObject(reply);
	call->argv[0] = "EVAL";
	call->argv[1] = limit_script;
	return limit_redis_ask(c, call->argc, call->argv);
}

static enum err
limit_redis_read(
    const redisReply *reply, struct limit_bucket *buckets, size_t n)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n + 1)
		return ERR_DOWN;
	for (size_t i = 0; i <= n; i++)
		if (reply->element[i]->type != REDIS_REPLY_INTEGER)
			return ERR_DOWN;
	for (size_t i = 0; i < n; i++)
		buckets[i].debt_us = reply->element[i + 1]->integer;
	return reply->element[0]->integer == 1 ? ERR_OK : ERR_BUSY;
}

static enum err
limit_redis_try(struct limit_redis *r, redisContext *c, struct limit_call *call,
    struct limit_bucket *buckets, size_t n, bool *is_closed)
{
	redisReply *reply = limit_redis_eval(r, c, call);
	enum err e =
	    reply != NULL ? limit_redis_read(reply, buckets, n) : ERR_DOWN;

	*is_closed =
	    c->err == REDIS_ERR_EOF || errno == EPIPE || errno == ECONNRESET;
	if (reply != NULL)
		freeReplyObject(reply);
	if (e == ERR_DOWN)
		redisFree(c);
	else
		limit_redis_put(r, c);
	return e;
}

enum err
limit_redis_take(struct limit_redis *r, struct limit_bucket *buckets, size_t n)
{
	struct limit_call call;
	bool is_closed = false, is_tried = false;
	enum err e = ERR_DOWN;

	limit_redis_prepare(r, &call, buckets, n);
	/* A kept connection may have been closed long ago. */
	for (int i = 0; i == 0 || (i == 1 && e == ERR_DOWN && is_closed); i++) {
		redisContext *c = limit_redis_get(r, i > 0, &is_tried);
		if (c == NULL)
			break;
		errno = 0;
		e = limit_redis_try(r, c, &call, buckets, n, &is_closed);
	}
	if (is_tried)
		limit_redis_note(r, e != ERR_DOWN);
	return e;
}
