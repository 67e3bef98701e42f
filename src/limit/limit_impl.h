/* SPDX-License-Identifier: MIT
 *
 * Inside of src/limit/: the two places where buckets are kept.
 */
#pragma once

#include "limit/limit.h"

#define LIMIT_NAME_SIZE 65 /* hex of SHA-256, as id_sha256 writes it */

struct limit_bucket {
	char name[LIMIT_NAME_SIZE];
	struct gcra_rule rule;
	int64_t units;
	int64_t debt_us; /* out: after the call */
};

/* ---- the memory of a host (limit_table.c) ---- */

struct limit_table;

/* path NULL or out of reach: memory of this process alone, told in info with
 * ERR_IO; the table is given all the same. */
enum err limit_table_open(struct limit_table **out, const char *path,
    struct err_info *info) MUST_CHECK;
void limit_table_close(struct limit_table **table);
/* True: taken from all; false: from none, unless is_forced, which empties a
 * bucket at the most. now_us: CLOCK_MONOTONIC, which the processes of a host
 * share. */
bool limit_table_take(struct limit_table *t, struct limit_bucket *buckets,
    size_t n, int64_t now_us, bool is_forced);

/* How many are not full. */
int64_t limit_table_held(struct limit_table *t, int64_t now_us);

/* ---- Redis (limit_redis.c) ---- */

struct limit_redis;

/* Borrows both. */
void limit_redis_new(struct limit_redis **out, const struct settings *settings,
    struct redis_pool *pool);
void limit_redis_free(struct limit_redis **redis);
/* ERR_OK, ERR_BUSY (refused), ERR_DOWN: no answer, or none is waited for. */
enum err limit_redis_take(
    struct limit_redis *r, struct limit_bucket *buckets, size_t n) MUST_CHECK;
bool limit_redis_is_down(const struct limit_redis *r);
