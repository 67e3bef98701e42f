/* SPDX-License-Identifier: MIT
 *
 * The tiers of memory and what decides where an entry is, in integers: every
 * machine decides the same. Pure. Shares are millionths, times microseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PPM	   1000000
#define MEMORY_COOLDOWN_US (INT64_C(24) * 3600 * 1000000)
#define MEMORY_UPDATES_MIN 10 /* since the last move, to be demoted */
#define MEMORY_KEY_MAX	   256
#define MEMORY_TTL_MAX	   (INT64_C(365) * 24 * 3600)

/* From the shortest memory to the longest. */
#define MEMORY_TIER_LIST(X)                                                    \
	X(MEMORY_FAST, "fast", 60, 10, 100, 1, -1, 200000)                     \
	X(MEMORY_MEDIUM, "medium", 3600, 100, 500, 24, 700000, 300000)         \
	X(MEMORY_SLOW, "slow", 86400, 1024, 1000, 168, 600000, 400000)         \
	X(MEMORY_GLACIAL, "glacial", 604800, 10240, 5000, 720, 500000, -1)
enum memory_tier {
#define X(id, name, ttl, kib, items, half_life, promote, demote) id,
	MEMORY_TIER_LIST(X)
#undef X
	    MEMORY_TIER__COUNT
};

struct memory_tier_row {
	const char *name;
	int64_t ttl_s;
	int64_t bytes, items; /* of one tenant */
	int64_t half_life_s;
	int64_t promote_ppm; /* of surprise, -1 = never */
	int64_t demote_ppm;  /* of 1 - surprise, -1 = never */
};
extern const struct memory_tier_row memory_tiers[MEMORY_TIER__COUNT];
/* false: no such tier. */
bool memory_tier_find(const char *name, enum memory_tier *out);

#define MEMORY_ITEMS_MAX 6600 /* of all tiers of a tenant */
#define MEMORY_HOUR_US	 (INT64_C(3600) * 1000000)
#define MEMORY_DAY_US	 (24 * MEMORY_HOUR_US)

/* What happens to entries. It is counted by the hour, under these names. */
#define MEMORY_DEED_LIST(X)                                                    \
	X(MEMORY_STORED, "stored")                                             \
	X(MEMORY_UPDATED, "updated")                                           \
	X(MEMORY_READ, "hits")                                                 \
	X(MEMORY_MISSED, "misses")                                             \
	X(MEMORY_PROMOTED, "promoted")                                         \
	X(MEMORY_DEMOTED, "demoted")                                           \
	X(MEMORY_EXPIRED, "expired")                                           \
	X(MEMORY_EVICTED, "evicted")                                           \
	X(MEMORY_DELETED, "deleted")
enum memory_deed {
#define X(id, name) id,
	MEMORY_DEED_LIST(X)
#undef X
	    MEMORY_DEED__COUNT
};
const char *memory_deed_name(enum memory_deed deed);
/* false: no such deed. */
bool memory_deed_find(const char *name, enum memory_deed *out);

/* What the rules look at. */
struct memory_state {
	enum memory_tier tier;
	int64_t surprise_ppm;
	int64_t updates;  /* since the last move */
	int64_t moved_us; /* or made */
	int64_t expires_us;
};
enum memory_fate { MEMORY_STAYS, MEMORY_EXPIRES, MEMORY_RISES, MEMORY_SINKS };
enum memory_fate memory_judge(const struct memory_state *m, int64_t now_us);
/* From when on memory_judge says anything but MEMORY_STAYS. */
int64_t memory_due(const struct memory_state *m);

/* ppm * 2^(-age / half-life) of the tier; an age below 0 is 0. */
int64_t memory_score(
    int64_t importance_ppm, int64_t age_us, enum memory_tier tier);

/* Which entries answer a question: by score times likeness, ties by id. */
struct memory_hit {
	size_t at; /* set by the caller: which entry */
	const char *id;
	int64_t score_ppm;
};
void memory_sort(struct memory_hit *hits, size_t n);
