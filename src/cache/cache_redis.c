/* SPDX-License-Identifier: MIT
 *
 * A place has a random word, which every write replaces by another. Values
 * are kept under the word that stood there when their computation began, so
 * what was computed before a write is never found after it, whoever stores it
 * and however late. A lost word is as good as a write.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cache/cache_impl.h"
#include "redis/redis_pool.h"

#define CACHE_REDIS_KEY	   192
#define CACHE_REDIS_DIGITS 24
#define CACHE_REDIS_HELD   "!"
#define CACHE_REDIS_LIFE   "172800000" /* ms; longer than any value's */
#define CACHE_REDIS_SUM	   (ID_HASH_SIZE - 1)

static void
cache_redis_place(char *out, size_t place)
{
	snprintf(out, CACHE_REDIS_KEY, "aragora:cache:place:%zu", place);
}

static void
cache_redis_number(char *out, int64_t n)
{
	snprintf(out, CACHE_REDIS_DIGITS, "%lld", (long long)n);
}

static void
cache_redis_new_word(char *word)
{
	unsigned char random[(CACHE_TOKEN_SIZE - 1) / 2];

	id_random(random, sizeof(random));
	str_hex(random, sizeof(random), word);
}

/* ---- words ---- */

struct cache_word {
	char text[CACHE_TOKEN_SIZE];
	bool is_held, is_good;
	bool is_spoilt; /* something else stands there */
};

/* What is no word of ours is none. */
static void
cache_redis_take_word(struct cache_word *w, const redisReply *reply)
{
	w->is_held = reply->type == REDIS_REPLY_STRING &&
	    str_eq(reply->str, CACHE_REDIS_HELD);
	w->is_good = reply->type == REDIS_REPLY_STRING &&
	    reply->len == CACHE_TOKEN_SIZE - 1 &&
	    strspn(reply->str, "0123456789abcdef") == CACHE_TOKEN_SIZE - 1;
	w->is_spoilt =
	    reply->type != REDIS_REPLY_NIL && !w->is_held && !w->is_good;
	if (w->is_good)
		memcpy(w->text, reply->str, CACHE_TOKEN_SIZE);
}

/* The last answer is the word. */
static bool
cache_redis_read_word(void *arg, redisReply *const *replies, size_t n)
{
	cache_redis_take_word(arg, replies[n - 1]);
	return true;
}

static enum err
cache_redis_make_word(
    struct cache_redis *r, const char *key, struct cache_word *w)
{
	char word[CACHE_TOKEN_SIZE];
	/* Others make one at the same time; the first one stays. */
	const char *set[] = {"SET", key, word, "PX", CACHE_REDIS_LIFE, "NX"};
	const char *get[] = {"GET", key};
	struct redis_command commands[] = {
	    {.argc = w->is_spoilt ? 5 : 6, .argv = set},
	    {.argc = 2, .argv = get}};

	cache_redis_new_word(word);
	return redis_pool_ask(r->pool, commands, 2, cache_redis_read_word, w);
}

enum err
cache_redis_word(
    struct cache_redis *r, size_t place, char word[CACHE_TOKEN_SIZE])
{
	char key[CACHE_REDIS_KEY];
	const char *argv[] = {"GET", key};
	struct redis_command get = {.argc = 2, .argv = argv};
	struct cache_word w = {.is_good = false};

	cache_redis_place(key, place);
	enum err e =
	    redis_pool_ask(r->pool, &get, 1, cache_redis_read_word, &w);
	if (e == ERR_OK && !w.is_good && !w.is_held)
		e = cache_redis_make_word(r, key, &w);
	if (e != ERR_OK)
		return ERR_DOWN;
	if (!w.is_good)
		return w.is_held ? ERR_BUSY : ERR_DOWN;
	memcpy(word, w.text, CACHE_TOKEN_SIZE);
	return ERR_OK;
}

static bool
cache_redis_read_done(
    void *arg UNUSED, redisReply *const *replies, size_t n UNUSED)
{
	return replies[0]->type == REDIS_REPLY_STATUS;
}

static enum err
cache_redis_set_word(
    struct cache_redis *r, size_t place, const char *word, const char *life)
{
	char key[CACHE_REDIS_KEY];
	const char *argv[] = {"SET", key, word, "PX", life};
	struct redis_command set = {.argc = 5, .argv = argv};

	cache_redis_place(key, place);
	return redis_pool_ask(r->pool, &set, 1, cache_redis_read_done, NULL) ==
		ERR_OK
	    ? ERR_OK
	    : ERR_DOWN;
}

enum err
cache_redis_hold(struct cache_redis *r, size_t place)
{
	char life[CACHE_REDIS_DIGITS];

	cache_redis_number(life, CACHE_HOLD_MS);
	return cache_redis_set_word(r, place, CACHE_REDIS_HELD, life);
}

enum err
cache_redis_drop(struct cache_redis *r, size_t place)
{
	char word[CACHE_TOKEN_SIZE];

	cache_redis_new_word(word);
	return cache_redis_set_word(r, place, word, CACHE_REDIS_LIFE);
}

/* ---- values: a checksum, then the bytes ---- */

struct cache_fetch {
	struct cache_value *value;
	int64_t life_ms;
};

static bool
cache_redis_read_value(void *arg, redisReply *const *replies, size_t n UNUSED)
{
	struct cache_fetch *f = arg;
	const redisReply *bytes = replies[0], *life = replies[1];
	char sum[ID_HASH_SIZE];

	if (bytes->type != REDIS_REPLY_STRING ||
	    (size_t)bytes->len < CACHE_REDIS_SUM ||
	    life->type != REDIS_REPLY_INTEGER || life->integer <= 0)
		return true;
	const char *data = bytes->str + CACHE_REDIS_SUM;
	size_t len = (size_t)bytes->len - CACHE_REDIS_SUM;
	id_sha256(data, len, sum);
	if (memcmp(sum, bytes->str, CACHE_REDIS_SUM) != 0)
		return true;
	f->value = cache_value_new(data, len);
	f->life_ms = life->integer;
	return true;
}

static void
cache_redis_value_key(char *out, const char *word, const char *name)
{
	snprintf(out, CACHE_REDIS_KEY, "aragora:cache:%s:%s", word, name);
}

struct cache_value *
cache_redis_get(struct cache_redis *r, const char *word, const char *name,
    size_t max, int64_t *life_ms)
{
	char key[CACHE_REDIS_KEY], last[CACHE_REDIS_DIGITS];
	/* No more of it than a value may be, whatever is there. */
	const char *get[] = {"GETRANGE", key, "0", last};
	const char *pttl[] = {"PTTL", key};
	struct redis_command commands[] = {
	    {.argc = 4, .argv = get}, {.argc = 2, .argv = pttl}};
	struct cache_fetch f = {.value = NULL};

	cache_redis_value_key(key, word, name);
	cache_redis_number(last, (int64_t)(max + CACHE_REDIS_SUM) - 1);
	if (redis_pool_ask(r->pool, commands, 2, cache_redis_read_value, &f) !=
	    ERR_OK)
		cache_value_unref(&f.value);
	*life_ms = f.life_ms;
	return f.value;
}

void
cache_redis_put(struct cache_redis *r, const char *word, const char *name,
    const struct cache_value *value, int64_t life_ms)
{
	char key[CACHE_REDIS_KEY], life[CACHE_REDIS_DIGITS], sum[ID_HASH_SIZE];
	struct buf bytes;

	cache_redis_value_key(key, word, name);
	cache_redis_number(life, life_ms);
	id_sha256(value->data, value->len, sum);
	buf_init(&bytes, value->len + ID_HASH_SIZE);
	buf_append(&bytes, sum, CACHE_REDIS_SUM);
	buf_append(&bytes, value->data, value->len);
	const char *argv[] = {"SET", key, buf_text(&bytes), "PX", life};
	const size_t lens[] = {3, strlen(key), bytes.len, 2, strlen(life)};
	struct redis_command set = {.argc = 5, .argv = argv, .lens = lens};
	/* Without it others compute it themselves. */
	(void)!redis_pool_ask(r->pool, &set, 1, cache_redis_read_done, NULL);
	buf_release(&bytes);
}
