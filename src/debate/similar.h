/* SPDX-License-Identifier: MIT
 *
 * Debates that are like another: a tenant's vectors of the same model, read
 * page by page, the newest first, and each compared exactly. No index: what it
 * takes grows with the tenant's debates, so no more than SIMILAR_SCAN_MAX are
 * looked at.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

#define SIMILAR_SCAN_MAX 20000

struct similar_hit {
	const char *debate_id;
	double score; /* cosine */
};

struct similar_query {
	const char *tenant;
	const char *except; /* this debate is no answer; NULL = none */
	struct store_vector vector;
	size_t limit;
	int64_t max_scanned; /* 0 = SIMILAR_SCAN_MAX; whole pages */
	struct store_read read;
};

struct similar_result {
	struct similar_hit *hits; /* the most alike first */
	size_t n;
	int64_t scanned;
	bool is_cut; /* there were older ones */
};

/* What a text is compared by when no vector is kept for it. */
void similar_of_text(
    struct arena *a, const char *text, struct store_vector *out);

/* Hits on the arena. ERR_INVALID: the vector is none. Else as the store. */
enum err similar_find(struct store *store, struct arena *a,
    const struct similar_query *q, struct similar_result *out) MUST_CHECK;
