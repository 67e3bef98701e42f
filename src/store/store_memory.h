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
	const char *key; /* unique in its tenant; NULL when put = its id */
	enum memory_tier tier;
	const char *domain; /* "" = none */
	const char *content;
	const char *body; /* JSON object: value, tags, agent, metadata ... */
	const char *debate_id; /* "" = none */
	int64_t importance_ppm, surprise_ppm;
	int64_t ttl_s; /* input; 0 = the tier's */
	/* set by the store */
	bool is_new; /* of one that was put */
	int64_t bytes, updates, moves;
	int64_t created_us, updated_us, accessed_us, moved_us, expires_us;
};

/* Inside of the transaction, which ends with it or without it: put again, it
 * changes nothing but the entry's own text and times. ERR_INVALID ("value"):
 * larger than its tier. m is filled in. */
enum err store_memory_put_tx(struct db *db, struct arena *a, const char *tenant,
    struct store_memory *m, int64_t now_us, struct err_info *info) MUST_CHECK;
/* By key. m is filled in. */
enum err store_memory_put(struct store *store, struct arena *a,
    const char *tenant, struct store_memory *m, int64_t now_us,
    struct err_info *info) MUST_CHECK;

/* Makes the entry as it was what it is to be; may run again. An error of it
 * leaves the entry as it was. */
typedef enum err (*store_memory_change_fn)(
    void *arg, struct arena *a, struct store_memory *m, struct err_info *info);
/* What is at a key (or id) becomes what fn makes of it, nobody in between. As
 * long as it stays in its tier and fn sets no ttl_s, its life does not get
 * longer. */
enum err store_memory_change(struct store *store, struct arena *a,
    const char *tenant, const char *key, store_memory_change_fn fn, void *arg,
    int64_t now_us, struct store_memory *out, struct err_info *info) MUST_CHECK;

/* By key, else by id, in this tier (-1 = any); notes that it was read, or
 * asked for in vain. */
enum err store_memory_get(struct store *store, struct arena *a,
    const char *tenant, const char *key, int tier, int64_t now_us,
    struct store_memory *out) MUST_CHECK;
/* ERR_NOT_FOUND: there was none (of this tier; -1 = any). */
enum err store_memory_delete(struct store *store, const char *tenant,
    const char *key, int tier, int64_t now_us) MUST_CHECK;

struct store_memory_move {
	const char *key;
	int expected;	     /* tier where it must be, -1 = wherever */
	int step;	     /* -1 towards fast, 1 towards glacial; 0: */
	enum memory_tier to; /* there, */
	int way;	     /* in this direction, 0 = any */
};
/* To another tier, with its time to live; *from: where it was. ERR_CONFLICT:
 * it is not where it must be, or there already. ERR_INVALID: it does not fit,
 * or the other way. */
enum err store_memory_move(struct store *store, struct arena *a,
    const char *tenant, const struct store_memory_move *move, int64_t now_us,
    struct store_memory *out, enum memory_tier *from, struct err_info *info)
    MUST_CHECK;

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
	int64_t moved;			     /* entries that were ever moved */
	int64_t oldest_us, newest_us;	     /* 0 = none */
};
/* All MEMORY_TIER__COUNT. */
enum err store_memory_sums(struct store *store, const char *tenant,
    int64_t now_us, struct store_memory_sum *sums) MUST_CHECK;

/* Of all tenants together, and what one of them has at most. */
struct store_memory_total {
	int64_t tenants, count, bytes;
	int64_t most_count, most_bytes;
};
/* All MEMORY_TIER__COUNT. */
enum err store_memory_totals(struct store *store, int64_t now_us,
    struct store_memory_total *totals) MUST_CHECK;

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

/* Tenants with entries that were due before then, counted up to a few: with
 * a time that is a while ago, those that no sweep came by. */
enum err store_memory_behind(
    struct store *store, int64_t before_us, size_t *tenants) MUST_CHECK;

/* ---- many at once, and upkeep (store_memory_upkeep.c) ---- */

/* All in one transaction. outcomes[i]: ERR_OK; ERR_EXISTS (it has a key that
 * is taken, and nothing is to be overwritten); ERR_INVALID (larger than its
 * tier). */
enum err store_memory_put_all(struct store *store, struct arena *a,
    const char *tenant, struct store_memory *rows, size_t n,
    bool is_overwriting, int64_t now_us, enum err *outcomes) MUST_CHECK;

struct store_memory_prune {
	int tier;		/* -1 = all */
	int64_t importance_ppm; /* what is below this */
	int64_t until_us;	/* and not written since */
	/* out */
	int64_t expired, pruned, bytes;
	int64_t tallies; /* hours that were too old to keep */
};
/* Expired entries and old tallies always; importance_ppm 0 = no others. */
enum err store_memory_prune(struct store *store, const char *tenant,
    int64_t now_us, struct store_memory_prune *prune) MUST_CHECK;

/* Sizes and the times when entries are next looked at, anew from the entries;
 * how many there are, and how many said something else. */
enum err store_memory_rebuild(struct store *store, const char *tenant,
    int64_t now_us, int64_t *checked, int64_t *repaired) MUST_CHECK;

/* How long it is told what happened in an hour. */
#define STORE_MEMORY_TALLIES_US (INT64_C(90) * MEMORY_DAY_US)
struct store_memory_tally {
	int64_t hour_us;
	enum memory_deed deed;
	int tier; /* -1 = none */
	int64_t n;
};
/* Hours that begin in [from_us, until_us), in order. */
enum err store_memory_tallies(struct store *store, struct arena *a,
    const char *tenant, int64_t from_us, int64_t until_us,
    struct store_memory_tally **rows, size_t *n) MUST_CHECK;
