/* SPDX-License-Identifier: MIT
 *
 * Which entries of memory answer a question, and in which order. Pure.
 */
#pragma once

#include "base/arena.h"
#include "store/store_memory.h"

enum memory_sort { MEMORY_BY_RELEVANCE, MEMORY_BY_IMPORTANCE, MEMORY_BY_TIME };

struct memory_query {
	const char *text; /* NULL or "" = all are alike */
	bool is_semantic; /* by hashed words and their parts, else by words */
	int64_t likeness_min_ppm; /* of a semantic one */
	unsigned tiers;		  /* a bit each */
	const char *agent;	  /* NULL = any */
	int64_t importance_min_ppm;
	enum memory_sort sort;
	int64_t now_us;
};

struct memory_found {
	const struct store_memory *m;
	int64_t likeness_ppm; /* -1 = there was no text */
	int64_t score_ppm;    /* importance, the less the older */
};

/* found has room for n. Returns how many; ties are in the order of ids. */
size_t memory_rank(struct arena *a, const struct memory_query *q,
    const struct store_memory *rows, size_t n, struct memory_found *found);
