/* SPDX-License-Identifier: MIT */
#include "debate/similar.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "llm/vector.h"

#define SIMILAR_PAGE 256

void
similar_of_text(struct arena *a, const char *text, struct store_vector *out)
{
	int16_t v[VECTOR_HASH_DIMENSION];
	struct buf b;

	vector_hash(text, v);
	buf_init(&b, VECTOR_DIMENSION_MAX * 8);
	vector_pack(&b, v, VECTOR_HASH_DIMENSION);
	*out = (struct store_vector){.model = VECTOR_HASH_MODEL,
	    .dimension = VECTOR_HASH_DIMENSION,
	    .data = arena_strdup(a, buf_text(&b))};
	buf_release(&b);
}

/* Equal scores in the order of ids, so that an answer does not depend on that
 * of the rows. */
static bool
similar_is_before(const struct similar_hit *x, const char *id, double score)
{
	return x->score > score ||
	    (x->score >= score && strcmp(x->debate_id, id) < 0);
}

static void
similar_offer(struct similar_result *r, size_t limit, struct arena *a,
    const char *id, double score)
{
	size_t at = r->n;

	while (at > 0 && !similar_is_before(&r->hits[at - 1], id, score))
		at--;
	if (at == limit)
		return;
	r->n += r->n < limit;
	memmove(
	    &r->hits[at + 1], &r->hits[at], (r->n - 1 - at) * sizeof(*r->hits));
	r->hits[at] = (struct similar_hit){
	    .debate_id = arena_strdup(a, id), .score = score};
}

/* A page is forgotten before the next one comes. */
struct similar_scan {
	struct store_vector_scan scan;
	struct arena *page;
	char before_id[ID_MAX + 1];
	float *mine, *theirs;
	size_t dimension;
};

static void
similar_look(struct similar_scan *s, const struct similar_query *q,
    const struct store_vector_row *row, struct arena *a,
    struct similar_result *out)
{
	if (str_eq(row->debate_id, q->except) ||
	    !vector_unpack(row->data, s->theirs, s->dimension))
		return;
	similar_offer(out, q->limit, a, row->debate_id,
	    vector_cosine(s->mine, s->theirs, s->dimension));
}

static enum err
similar_pages(struct store *store, struct similar_scan *s,
    const struct similar_query *q, struct arena *a, struct similar_result *out)
{
	int64_t max = q->max_scanned > 0 ? q->max_scanned : SIMILAR_SCAN_MAX;

	for (;;) {
		struct store_vector_row *rows;
		size_t n;
		enum err e = store_vector_next(
		    store, s->page, &s->scan, SIMILAR_PAGE, &rows, &n);
		if (e != ERR_OK)
			return e;
		for (size_t i = 0; i < n; i++)
			similar_look(s, q, &rows[i], a, out);
		out->scanned += (int64_t)n;
		if (n < SIMILAR_PAGE)
			return ERR_OK;
		if (out->scanned >= max) {
			out->is_cut = true;
			return ERR_OK;
		}
		snprintf(s->before_id, sizeof(s->before_id), "%s",
		    s->scan.before_id);
		s->scan.before_id = s->before_id;
		arena_clear(s->page);
	}
}

enum err
similar_find(struct store *store, struct arena *a,
    const struct similar_query *q, struct similar_result *out)
{
	size_t dimension = (size_t)q->vector.dimension;
	struct similar_scan s = {.scan = {.tenant = q->tenant,
				     .model = q->vector.model,
				     .dimension = q->vector.dimension,
				     .read = q->read},
	    .dimension = dimension};

	*out = (struct similar_result){
	    .hits = ARENA_ARRAY(a, q->limit + 1, struct similar_hit)};
	if (q->vector.dimension < 1 || dimension > VECTOR_DIMENSION_MAX)
		return ERR_INVALID;
	s.mine = ARENA_ARRAY(a, dimension, float);
	s.theirs = ARENA_ARRAY(a, dimension, float);
	if (!vector_unpack(q->vector.data, s.mine, dimension))
		return ERR_INVALID;
	s.page = arena_new(0);
	enum err e = similar_pages(store, &s, q, a, out);
	arena_free(&s.page);
	return e;
}
