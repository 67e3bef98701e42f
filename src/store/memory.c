/* SPDX-License-Identifier: MIT */
#include "store/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

const struct memory_tier_row memory_tiers[MEMORY_TIER__COUNT] = {
#define X(id, name, ttl, kib, items, half_life, promote, demote)               \
	[id] = {name, ttl, INT64_C(1024) * (kib), items,                       \
	    INT64_C(3600) * (half_life), promote, demote},
    MEMORY_TIER_LIST(X)
#undef X
};

bool
memory_tier_find(const char *name, enum memory_tier *out)
{
	for (size_t i = 0; name != NULL && i < MEMORY_TIER__COUNT; i++) {
		if (!str_eq(memory_tiers[i].name, name))
			continue;
		*out = (enum memory_tier)i;
		return true;
	}
	return false;
}

static const char *const memory_deeds[MEMORY_DEED__COUNT] = {
#define X(id, name) [id] = name,
    MEMORY_DEED_LIST(X)
#undef X
};

const char *
memory_deed_name(enum memory_deed deed)
{
	return memory_deeds[deed];
}

bool
memory_deed_find(const char *name, enum memory_deed *out)
{
	for (size_t i = 0; i < MEMORY_DEED__COUNT; i++) {
		if (!str_eq(memory_deeds[i], name))
			continue;
		*out = (enum memory_deed)i;
		return true;
	}
	return false;
}

static bool
memory_is_surprising(const struct memory_state *m)
{
	int64_t limit = memory_tiers[m->tier].promote_ppm;

	return limit >= 0 && m->surprise_ppm > limit;
}

static bool
memory_is_settled(const struct memory_state *m)
{
	int64_t limit = memory_tiers[m->tier].demote_ppm;

	return limit >= 0 && MEMORY_PPM - m->surprise_ppm > limit &&
	    m->updates >= MEMORY_UPDATES_MIN;
}

enum memory_fate
memory_judge(const struct memory_state *m, int64_t now_us)
{
	if (m->expires_us <= now_us)
		return MEMORY_EXPIRES;
	if (memory_is_surprising(m) &&
	    now_us - m->moved_us >= MEMORY_COOLDOWN_US)
		return MEMORY_RISES;
	/* What is both surprising and often seen waits to rise. */
	if (!memory_is_surprising(m) && memory_is_settled(m))
		return MEMORY_SINKS;
	return MEMORY_STAYS;
}

int64_t
memory_due(const struct memory_state *m)
{
	int64_t due = m->expires_us;

	if (memory_is_surprising(m)) {
		int64_t rises = m->moved_us + MEMORY_COOLDOWN_US;
		return rises < due ? rises : due;
	}
	return memory_is_settled(m) ? 0 : due;
}

/* 2^(-1/2), 2^(-1/4), ... in units of 2^-32. */
static const uint64_t memory_roots[] = {3037000500, 3611622603, 3938502376,
    4112874773, 4202935003, 4248701965, 4271771996, 4283353945, 4289156690,
    4292061010, 4293513907, 4294240540, 4294603903, 4294785595, 4294876445,
    4294921870, 4294944583, 4294955939, 4294961618, 4294964457};

int64_t
memory_score(int64_t importance_ppm, int64_t age_us, enum memory_tier tier)
{
	int64_t half_us = memory_tiers[tier].half_life_s * 1000000;
	int64_t age = age_us > 0 ? age_us : 0;
	int64_t halvings = age / half_us;
	int64_t rest = age % half_us;
	uint64_t part = UINT64_C(1) << 32;

	if (halvings > 20)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(memory_roots); i++) {
		rest *= 2;
		if (rest < half_us)
			continue;
		rest -= half_us;
		part = (part * memory_roots[i] + (UINT64_C(1) << 31)) >> 32;
	}
	/* At most 2^52; after 20 halvings a million is less than one. */
	return (int64_t)(((uint64_t)importance_ppm * part) >>
	    (32 + (unsigned)halvings));
}

static int
memory_compare(const void *a, const void *b)
{
	const struct memory_hit *x = a, *y = b;

	if (x->score_ppm != y->score_ppm)
		return x->score_ppm > y->score_ppm ? -1 : 1;
	return strcmp(x->id, y->id);
}

void
memory_sort(struct memory_hit *hits, size_t n)
{
	if (n > 1)
		qsort(hits, n, sizeof(*hits), memory_compare);
}
