/* SPDX-License-Identifier: MIT
 *
 * What tenants remember. Every write holds the tenant's board, so the bytes
 * and the number of a tier are never exceeded; what does not fit pushes out
 * the least important, the oldest first. Expired entries are not returned.
 */
#pragma once

#include "store/memory.h"
#include "store/store.h"

struct db;

struct store_memory {
	const char *id;	 /* set by the store */
	const char *key; /* unique in its tenant */
	enum memory_tier tier;
	const char *domain; /* "" = none */
	const char *content;
	const char *body; /* JSON object: value, tags, agent, metadata ... */
	const char *debate_id; /* "" = none */
	int64_t importance_ppm, surprise_ppm;
	int64_t ttl_s; /* input; 0 = the tier's */
	/* set by the store */
	int64_t bytes, updates, moves;
	int64_t created_us, updated_us, accessed_us, moved_us, expires_us;
};

/* Inside of the transaction, which ends with it or without it: put again, it
 * changes nothing but the entry's own text and times. ERR_INVALID ("value"):
 * larger than its tier. m is filled in. */
enum err store_memory_put_tx(struct db *db, struct arena *a, const char *tenant,
    struct store_memory *m, int64_t now_us, struct err_info *info) MUST_CHECK;
/* By key; *is_new when there was none. */
enum err store_memory_put(struct store *store, struct arena *a,
    const char *tenant, struct store_memory *m, bool *is_new, int64_t now_us,
    struct err_info *info) MUST_CHECK;

/* By key, else by id; notes that it was read. */
enum err store_memory_get(struct store *store, struct arena *a,
    const char *tenant, const char *key, int64_t now_us,
    struct store_memory *out) MUST_CHECK;
/* ERR_NOT_FOUND: there was none (of this tier; -1 = any). */
enum err store_memory_delete(struct store *store, const char *tenant,
    const char *key, int tier, int64_t now_us) MUST_CHECK;
/* To another tier, with its time to live. *from: where it was. ERR_CONFLICT:
 * it is not in `expected` (-1 = wherever), or there already. */
enum err store_memory_move(struct store *store, struct arena *a,
    const char *tenant, const char *key, int expected, enum memory_tier to,
    int64_t now_us, enum memory_tier *from, struct err_info *info) MUST_CHECK;

struct store_memory_filter {
	const char *tenant;
	int tier;	    /* -1 = all */
	const char *domain; /* NULL = all */
	int64_t now_us;
	int64_t limit, offset;
};
/* Last written first; *total counts without limit and offset, and is not told
 * (-1) of a domain. */
enum err store_memory_list(struct store *store, struct arena *a,
    const struct store_memory_filter *f, struct store_memory **rows, size_t *n,
    int64_t *total) MUST_CHECK;

struct store_memory_sum {
	int64_t count, bytes;
	int64_t importance, surprise, moves; /* sums */
	int64_t oldest_us, newest_us;	     /* 0 = none */
};
/* All MEMORY_TIER__COUNT. */
enum err store_memory_sums(struct store *store, const char *tenant,
    int64_t now_us, struct store_memory_sum *sums) MUST_CHECK;

struct store_memory_work {
	int64_t processed, expired, promoted, demoted;
};
/* Expire, promote and demote what is due of one tenant, a bounded number. */
enum err store_memory_consolidate(struct store *store, const char *tenant,
    int64_t now_us, struct store_memory_work *work) MUST_CHECK;
/* The same for a few tenants that have something due. Several runners may do
 * so at once. */
enum err store_memory_sweep(struct store *store, int64_t now_us,
    struct store_memory_work *work) MUST_CHECK;
