/* SPDX-License-Identifier: MIT
 *
 * Answers that many ask for, kept by kind (cache.def) for a time: in the
 * memory of a process, and with ARAGORA_REDIS_URL in Redis for all hosts. A
 * write drops what is kept of its kind and tenant: at once for all processes
 * of a host, and with Redis for all hosts. Kinds whose keys name a revision
 * need neither. Nothing outlives its kind's life,
 * and nothing here fails: what cannot be had is computed. While Redis is
 * away, values live for CACHE_ALONE_MS, for nobody would tell of other hosts'
 * writes. Thread-safe. c may be NULL everywhere: nothing is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/id.h"

struct settings;
struct redis_pool;
struct cache;
struct cache_flight;

enum cache_kind {
#define CACHE_KIND(id, name, scope, ttl_s, bytes, hits, misses, evicted)       \
	CACHE_##id,
#include "cache/cache.def"
#undef CACHE_KIND
	CACHE__COUNT
};

#define CACHE_ALONE_MS	 2000
#define CACHE_WAIT_MS	 2000  /* for another thread that computes it */
#define CACHE_HOLD_MS	 10000 /* of a writer that does not come back */
#define CACHE_TOKEN_SIZE 17

/* Of a value: what was current when its computation began. */
struct cache_mark {
	uint64_t host;
	char shared[CACHE_TOKEN_SIZE]; /* Redis' word; "" = there was none */
};

/* The caller's turn to compute. To be ended by cache_put or cache_give_up. */
struct cache_turn {
	enum cache_kind kind;
	bool is_kept;  /* false: nothing of it is to be kept */
	bool is_alone; /* without Redis' word */
	struct cache_mark mark;
	char name[ID_HASH_SIZE];
	struct cache_flight *flight; /* NULL = nobody waits for it */
};

/* Borrows all; redis NULL = none is configured. salt: what else makes values
 * of two hosts differ, such as which agents can be called. */
void cache_open(struct cache **out, const struct settings *settings,
    struct redis_pool *redis, const char *salt);
void cache_close(struct cache **cache);
/* For tests: milliseconds that only grow. */
void cache_set_clock(struct cache *c, int64_t (*now_ms)(void));

/* True: the value is appended to out. False: it is the caller's turn. Of
 * several threads that ask for the same, one computes and the others wait for
 * it, CACHE_WAIT_MS at the most. key tells all that the value depends on
 * beside the tenant. */
bool cache_get(struct cache *c, enum cache_kind kind, const char *tenant,
    const char *key, struct buf *out, struct cache_turn *turn) MUST_CHECK;
void cache_put(
    struct cache *c, struct cache_turn *turn, const void *data, size_t len);
/* There is no value, because of an error. */
void cache_give_up(struct cache *c, struct cache_turn *turn);

/* Before a write and after it, whether it succeeded or not. Between them
 * nothing of the kind and tenant is taken from the cache, so nobody who has
 * seen the write sees an older value. cache_drop alone leaves a moment between
 * commit and drop. */
void cache_hold(struct cache *c, enum cache_kind kind, const char *tenant);
void cache_drop(struct cache *c, enum cache_kind kind, const char *tenant);

const char *cache_kind_name(enum cache_kind kind);
int64_t cache_kind_ttl_s(const struct settings *settings, enum cache_kind kind);

/* Of all processes of the host. */
struct cache_counts {
	int64_t hits, misses, evictions;
};
struct cache_counts cache_kind_counts(enum cache_kind kind);
