/* SPDX-License-Identifier: MIT
 *
 * Buckets in Redis, one script call for all buckets of a request, with Redis'
 * clock: hosts may disagree about the time. A bucket is a string that holds
 * its arrival time and goes when it is full again.
 */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "limit/limit_impl.h"
#include "redis/redis_pool.h"
#include "settings/settings.h"

#define LIMIT_REDIS_DIGITS 24
#define LIMIT_REDIS_SHA	   41
#define LIMIT_REDIS_KEY	   (256 + LIMIT_NAME_SIZE)
#define LIMIT_REDIS_ARGS   3 /* of a bucket: interval, burst, units */

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
	struct redis_pool *pool;   /* borrowed */
	pthread_mutex_t lock;	   /* guards the next */
	char sha[LIMIT_REDIS_SHA]; /* the script's name, "" = not yet told */
};

void
limit_redis_new(struct limit_redis **out, const struct settings *settings,
    struct redis_pool *pool)
{
	struct limit_redis *r = mem_zalloc(sizeof(*r));

	r->settings = settings;
	r->pool = pool;
	pthread_mutex_init(&r->lock, NULL);
	*out = r;
}

void
limit_redis_free(struct limit_redis **redis)
{
	struct limit_redis *r = *redis;

	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
	*redis = NULL;
}

bool
limit_redis_is_down(const struct limit_redis *r)
{
	return redis_pool_is_down(r->pool);
}

/* ---- the script ---- */

struct limit_name {
	char sha[LIMIT_REDIS_SHA];
};

static bool
limit_redis_read_name(void *arg, redisReply *const *replies, size_t n UNUSED)
{
	struct limit_name *name = arg;

	if (replies[0]->type != REDIS_REPLY_STRING ||
	    replies[0]->len != LIMIT_REDIS_SHA - 1)
		return false;
	memcpy(name->sha, replies[0]->str, LIMIT_REDIS_SHA);
	return true;
}

/* Its name; asked for once. */
static enum err
limit_redis_name(struct limit_redis *r, char *sha)
{
	const char *argv[] = {"SCRIPT", "LOAD", limit_script};
	struct redis_command load = {.argc = 3, .argv = argv};
	struct limit_name name;

	pthread_mutex_lock(&r->lock);
	memcpy(sha, r->sha, LIMIT_REDIS_SHA);
	pthread_mutex_unlock(&r->lock);
	if (sha[0] != '\0')
		return ERR_OK;
	enum err e =
	    redis_pool_ask(r->pool, &load, 1, limit_redis_read_name, &name);
	if (e != ERR_OK)
		return e;
	pthread_mutex_lock(&r->lock);
	memcpy(r->sha, name.sha, LIMIT_REDIS_SHA);
	pthread_mutex_unlock(&r->lock);
	memcpy(sha, name.sha, LIMIT_REDIS_SHA);
	return ERR_OK;
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

struct limit_answer {
	struct limit_bucket *buckets;
	size_t n;
	bool is_unknown; /* the script: Redis forgot it */
	bool is_admitted;
};

static bool
limit_redis_read(void *arg, redisReply *const *replies, size_t n UNUSED)
{
	struct limit_answer *a = arg;
	const redisReply *reply = replies[0];

	a->is_unknown = reply->type == REDIS_REPLY_ERROR &&
	    str_starts(reply->str, "NOSCRIPT");
	if (a->is_unknown)
		return true;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != a->n + 1)
		return false;
	for (size_t i = 0; i <= a->n; i++)
		if (reply->element[i]->type != REDIS_REPLY_INTEGER)
			return false;
	for (size_t i = 0; i < a->n; i++)
		a->buckets[i].debt_us = reply->element[i + 1]->integer;
	a->is_admitted = reply->element[0]->integer == 1;
	return true;
}

/* Redis forgets scripts when it restarts, and tells. */
enum err
limit_redis_take(struct limit_redis *r, struct limit_bucket *buckets, size_t n)
{
	struct limit_answer answer = {.buckets = buckets, .n = n};
	char sha[LIMIT_REDIS_SHA];
	struct limit_call call;

	enum err e = limit_redis_name(r, sha);
	if (e != ERR_OK)
		return ERR_DOWN;
	limit_redis_prepare(r, &call, buckets, n);
	call.argv[0] = "EVALSHA";
	call.argv[1] = sha;
	struct redis_command command = {.argc = call.argc, .argv = call.argv};
	e = redis_pool_ask(r->pool, &command, 1, limit_redis_read, &answer);
	if (e == ERR_OK && answer.is_unknown) {
		call.argv[0] = "EVAL";
		call.argv[1] = limit_script;
		e = redis_pool_ask(
		    r->pool, &command, 1, limit_redis_read, &answer);
	}
	if (e != ERR_OK || answer.is_unknown)
		return ERR_DOWN;
	return answer.is_admitted ? ERR_OK : ERR_BUSY;
}
