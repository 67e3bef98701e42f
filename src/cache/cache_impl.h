/* SPDX-License-Identifier: MIT
 *
 * Inside of src/cache/: marks of a host, what Redis says, and the table of a
 * process.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "cache/cache.h"

/* A kind of a tenant is one of so many places; two that share one are dropped
 * together. */
#define CACHE_PLACES 8192

/* A value, never changed. */
struct cache_value {
	_Atomic size_t refs;
	size_t len;
	char data[];
};
struct cache_value *cache_value_new(const void *data, size_t len);
void cache_value_unref(struct cache_value **value);

/* ---- marks of this host (cache_mark.c) ---- */

struct cache_marks;

/* path NULL or out of reach: this process alone, told in info with ERR_IO; the
 * marks are given all the same. */
enum err cache_marks_open(struct cache_marks **out, const char *path,
    struct err_info *info) MUST_CHECK;
void cache_marks_close(struct cache_marks **marks);
/* Do all processes of the host see them? */
bool cache_marks_are_shared(const struct cache_marks *m);
/* False: a writer holds the place. */
bool cache_marks_read(
    struct cache_marks *m, size_t place, int64_t now_ms, uint64_t *mark);
void cache_marks_hold(struct cache_marks *m, size_t place, int64_t now_ms);
void cache_marks_drop(struct cache_marks *m, size_t place);
/* Drops that Redis was not told of, 0 = none. Whoever can tells it, and takes
 * off what it saw: another may have come since. */
uint64_t cache_marks_owed(const struct cache_marks *m, size_t place);
void cache_marks_owe(struct cache_marks *m, size_t place);
void cache_marks_pay(struct cache_marks *m, size_t place, uint64_t owed);

/* ---- Redis (cache_redis.c) ---- */

struct cache_redis {
	struct redis_pool *pool;
};

/* The word of a place. ERR_OK, ERR_BUSY: a writer holds it, ERR_DOWN. */
enum err cache_redis_word(struct cache_redis *r, size_t place,
    char word[CACHE_TOKEN_SIZE]) MUST_CHECK;
/* ERR_OK or ERR_DOWN. */
enum err cache_redis_hold(struct cache_redis *r, size_t place) MUST_CHECK;
enum err cache_redis_drop(struct cache_redis *r, size_t place) MUST_CHECK;
/* A value and its rest of life; NULL = there is none, or none that is whole. */
struct cache_value *cache_redis_get(struct cache_redis *r, const char *word,
    const char *name, size_t max, int64_t *life_ms);
void cache_redis_put(struct cache_redis *r, const char *word, const char *name,
    const struct cache_value *value, int64_t life_ms);

/* ---- the table of a process (cache_table.c) ---- */

struct cache_table;

struct cache_table *cache_table_new(void);
void cache_table_free(struct cache_table **table);
void cache_table_set_clock(struct cache_table *t, int64_t (*now_ms)(void));

/* A value, referenced for the caller; waits for a thread that computes it.
 * NULL: turn->flight is the caller's, or NULL when it waited in vain. */
struct cache_value *cache_table_find(
    struct cache_table *t, struct cache_turn *turn);
/* Keep it for so long. */
void cache_table_keep(struct cache_table *t, const struct cache_turn *turn,
    struct cache_value *value, int64_t life_ms);
/* The caller's flight is over; value NULL = it came to nothing. */
void cache_table_land(
    struct cache_table *t, struct cache_turn *turn, struct cache_value *value);

size_t cache_kind_bytes(enum cache_kind kind); /* of all its values */
size_t cache_kind_max(enum cache_kind kind);   /* of one, with its entry */
