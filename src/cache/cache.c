/* SPDX-License-Identifier: MIT */
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/cache_impl.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

/* Layout of the shared file, in its name. */
#define CACHE_FILE "cache-marks-1"
/* One value takes so much of its kind's bytes at the most. */
#define CACHE_SHARE 4

struct cache {
	const struct settings *settings;
	struct cache_table *table;
	struct cache_marks *marks;
	struct cache_redis redis; /* pool NULL = none is configured */
	char salt[ID_HASH_SIZE];
	int64_t (*now_ms)(void);
};

enum cache_scope { CACHE_MARKED, CACHE_NAMED };

struct cache_row {
	const char *name;
	enum cache_scope scope;
	int64_t ttl_s;
	size_t bytes;
	enum metric hits, misses, evicted;
};

static const struct cache_row cache_rows[CACHE__COUNT] = {
#define CACHE_KIND(id, text, whose, life, size, hit, miss, out)                \
	[CACHE_##id] = {text, CACHE_##whose, life, size, hit, miss, out},
#include "cache/cache.def"
#undef CACHE_KIND
};

const char *
cache_kind_name(enum cache_kind kind)
{
	return cache_rows[kind].name;
}

int64_t
cache_kind_ttl_s(const struct settings *settings, enum cache_kind kind)
{
	int64_t ttl_s = cache_rows[kind].ttl_s;

	return ttl_s > 0 ? ttl_s : settings->cache_ttl;
}

struct cache_counts
cache_kind_counts(enum cache_kind kind)
{
	const struct cache_row *row = &cache_rows[kind];

	return (struct cache_counts){.hits = metric_read(row->hits),
	    .misses = metric_read(row->misses),
	    .evictions = metric_read(row->evicted)};
}

size_t
cache_kind_bytes(enum cache_kind kind)
{
	return cache_rows[kind].bytes;
}

size_t
cache_kind_max(enum cache_kind kind)
{
	return cache_rows[kind].bytes / CACHE_SHARE;
}

void
cache_open(struct cache **out, const struct settings *settings,
    struct redis_pool *redis, const char *salt)
{
	struct cache *c = mem_zalloc(sizeof(*c));
	struct err_info why = {0};

	c->settings = settings;
	c->redis.pool = redis;
	c->now_ms = clock_mono_ms;
	c->table = cache_table_new();
	/* Other programs and other databases have other answers. */
	char *all = mem_printf(PACKAGE_VERSION "\n%s\n%s",
	    str_is_empty(settings->database_url) ? settings->data_dir
						 : settings->database_url,
	    salt);
	id_sha256(all, strlen(all), c->salt);
	free(all);
	mkdir(settings->data_dir, 0750); /* may exist; opening tells */
	char *path = mem_printf("%s/" CACHE_FILE, settings->data_dir);
	if (cache_marks_open(&c->marks, path, &why) != ERR_OK)
		log_warning("cache.memory",
		    "reason=\"%s\" values are kept for moments only", why.text);
	free(path);
	*out = c;
}

void
cache_close(struct cache **cache)
{
	struct cache *c = *cache;

	if (c == NULL)
		return;
	cache_table_free(&c->table);
	cache_marks_close(&c->marks);
	free(c);
	*cache = NULL;
}

void
cache_set_clock(struct cache *c, int64_t (*now_ms)(void))
{
	c->now_ms = now_ms;
	cache_table_set_clock(c->table, now_ms);
}

/* Do all hosts share it, and writes drop it? */
static bool
cache_is_shared(const struct cache *c, enum cache_kind kind)
{
	return c->redis.pool != NULL && cache_rows[kind].scope == CACHE_MARKED;
}

/* ---- names ---- */

static size_t
cache_place(enum cache_kind kind, const char *tenant)
{
	const char *name = cache_kind_name(kind);
	uint64_t hash = str_hash(name, strlen(name) + 1, 0);

	return (size_t)(str_hash(tenant, strlen(tenant), hash) % CACHE_PLACES);
}

/* Each part with its end, so that no two lists of parts are one text. */
static void
cache_name(const struct cache *c, enum cache_kind kind, const char *tenant,
    const char *key, char name[ID_HASH_SIZE])
{
	const char *parts[] = {c->salt, cache_kind_name(kind), tenant, key};
	size_t len = 0;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		len += strlen(parts[i]) + 1;
	buf_init(&b, len);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_append(&b, parts[i], strlen(parts[i]) + 1);
	id_sha256(b.data, b.len, name);
	buf_release(&b);
}

/* ---- what is current ---- */

/* A drop that Redis was not told of comes first. */
static enum err
cache_read_word(struct cache *c, size_t place, char word[CACHE_TOKEN_SIZE])
{
	uint64_t owed = cache_marks_owed(c->marks, place);

	if (owed > 0 && cache_redis_drop(&c->redis, place) != ERR_OK)
		return ERR_DOWN;
	if (owed > 0)
		cache_marks_pay(c->marks, place, owed);
	return cache_redis_word(&c->redis, place, word);
}

/* The mark a value must have; turn->is_kept false while a writer holds the
 * place. */
static void
cache_read_mark(struct cache *c, const char *tenant, struct cache_turn *turn)
{
	size_t place = cache_place(turn->kind, tenant);
	enum err e = ERR_OK;

	if (cache_rows[turn->kind].scope == CACHE_NAMED) {
		turn->is_kept = true;
		return;
	}
	turn->is_kept =
	    cache_marks_read(c->marks, place, c->now_ms(), &turn->mark.host);
	if (!turn->is_kept)
		return;
	if (c->redis.pool != NULL)
		e = cache_read_word(c, place, turn->mark.shared);
	turn->is_kept = e != ERR_BUSY;
	turn->is_alone = e == ERR_DOWN ||
	    (c->redis.pool == NULL && !cache_marks_are_shared(c->marks));
	if (e == ERR_DOWN)
		metric_add(METRIC_CACHE_FALLBACKS, 1);
}

static int64_t
cache_life_ms(const struct cache *c, const struct cache_turn *turn)
{
	int64_t life_ms = cache_kind_ttl_s(c->settings, turn->kind) * 1000;

	return turn->is_alone && life_ms > CACHE_ALONE_MS ? CACHE_ALONE_MS
							  : life_ms;
}

/* ---- get and put ---- */

/* Another host may have it; the caller's flight lands then. */
static struct cache_value *
cache_find_elsewhere(struct cache *c, struct cache_turn *turn)
{
	int64_t life_ms = 0, most_ms = cache_life_ms(c, turn);

	if (!cache_is_shared(c, turn->kind) || turn->is_alone ||
	    turn->flight == NULL)
		return NULL;
	struct cache_value *v = cache_redis_get(&c->redis, turn->mark.shared,
	    turn->name, cache_kind_max(turn->kind), &life_ms);
	if (v == NULL)
		return NULL;
	cache_table_keep(
	    c->table, turn, v, life_ms < most_ms ? life_ms : most_ms);
	cache_table_land(c->table, turn, v);
	return v;
}

bool
cache_get(struct cache *c, enum cache_kind kind, const char *tenant,
    const char *key, struct buf *out, struct cache_turn *turn)
{
	struct cache_value *v = NULL;

	*turn = (struct cache_turn){.kind = kind};
	if (c == NULL || cache_kind_ttl_s(c->settings, kind) == 0)
		return false;
	cache_read_mark(c, tenant, turn);
	if (turn->is_kept) {
		cache_name(c, kind, tenant, key, turn->name);
		v = cache_table_find(c->table, turn);
		if (v == NULL)
			v = cache_find_elsewhere(c, turn);
	}
	metric_add(
	    v != NULL ? cache_rows[kind].hits : cache_rows[kind].misses, 1);
	if (v == NULL)
		return false;
	buf_append(out, v->data, v->len);
	cache_value_unref(&v);
	return true;
}

void
cache_put(
    struct cache *c, struct cache_turn *turn, const void *data, size_t len)
{
	if (c == NULL || !turn->is_kept)
		return;
	struct cache_value *v = cache_value_new(data, len);
	int64_t life_ms = cache_life_ms(c, turn);
	cache_table_keep(c->table, turn, v, life_ms);
	cache_table_land(c->table, turn, v);
	if (cache_is_shared(c, turn->kind) && !turn->is_alone &&
	    len < cache_kind_max(turn->kind))
		cache_redis_put(
		    &c->redis, turn->mark.shared, turn->name, v, life_ms);
	cache_value_unref(&v);
	turn->is_kept = false;
}

void
cache_give_up(struct cache *c, struct cache_turn *turn)
{
	if (c != NULL)
		cache_table_land(c->table, turn, NULL);
	turn->is_kept = false;
}

/* ---- writes ---- */

void
cache_hold(struct cache *c, enum cache_kind kind, const char *tenant)
{
	if (c == NULL)
		return;
	size_t place = cache_place(kind, tenant);
	cache_marks_hold(c->marks, place, c->now_ms());
	if (c->redis.pool != NULL)
		(void)!cache_redis_hold(&c->redis, place); /* the drop tells */
}

void
cache_drop(struct cache *c, enum cache_kind kind, const char *tenant)
{
	if (c == NULL)
		return;
	size_t place = cache_place(kind, tenant);
	if (c->redis.pool != NULL &&
	    cache_redis_drop(&c->redis, place) != ERR_OK)
		cache_marks_owe(c->marks, place);
	cache_marks_drop(c->marks, place);
}
