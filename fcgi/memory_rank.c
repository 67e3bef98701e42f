/* SPDX-License-Identifier: MIT */
#include "fcgi/memory_rank.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "fcgi/memory_in.h"
#include "llm/vector.h"

#define RANK_WORDS_MAX 32

struct rank {
	struct arena *a;
	const struct memory_query *q;
	const char *words[RANK_WORDS_MAX];
	size_t n_words;
	int16_t vector[VECTOR_HASH_DIMENSION];
};

/* The question's words, each once. */
static void
rank_read_words(struct rank *r)
{
	const char *p = r->q->text;

	while (*p != '\0' && r->n_words < RANK_WORDS_MAX) {
		size_t len = 0;
		while (str_is_alnum(p[len]) || (unsigned char)p[len] >= 0x80)
			len++;
		if (len == 0) {
			p++;
			continue;
		}
		const char *word = arena_strndup(r->a, p, len);
		bool is_new = true;
		for (size_t i = 0; i < r->n_words; i++)
			is_new = is_new && !str_ieq(r->words[i], word);
		if (is_new)
			r->words[r->n_words++] = word;
		p += len;
	}
	/* Of signs alone it is the whole that counts. */
	if (r->n_words == 0)
		r->words[r->n_words++] = r->q->text;
}

static bool
rank_has_tag(const struct json *tags, const char *word)
{
	for (size_t i = 0; i < json_len(tags); i++) {
		const char *tag = json_str(json_at(tags, i), NULL);
		if (tag != NULL && strcasestr(tag, word) != NULL)
			return true;
	}
	return false;
}

/* The share of the words that the entry has. */
static int64_t
rank_words(
    struct rank *r, const struct store_memory *m, const struct json *tags)
{
	int64_t hits = 0;

	for (size_t i = 0; i < r->n_words; i++)
		hits += strcasestr(m->content, r->words[i]) != NULL ||
		    strcasestr(m->key, r->words[i]) != NULL ||
		    rank_has_tag(tags, r->words[i]);
	return hits * MEMORY_PPM / (int64_t)r->n_words;
}

static int64_t
rank_vectors(struct rank *r, const struct store_memory *m)
{
	int16_t v[VECTOR_HASH_DIMENSION];

	vector_hash(m->content, v);
	int64_t ppm = vector_similarity_ppm(r->vector, v, ARRAY_LEN(v));
	return ppm > 0 ? ppm : 0;
}

static bool
rank_fits(struct rank *r, const struct store_memory *m, int64_t *likeness_ppm)
{
	const struct memory_query *q = r->q;
	const struct json *beside = NULL;

	*likeness_ppm = -1;
	if ((q->tiers & 1u << m->tier) == 0 || m->expires_us <= q->now_us ||
	    m->importance_ppm < q->importance_min_ppm)
		return false;
	bool needs_beside =
	    q->agent != NULL || (r->n_words > 0 && !q->is_semantic);
	if (needs_beside)
		beside = memory_in_beside(r->a, m->body);
	if (q->agent != NULL &&
	    !str_ieq(json_get_str(beside, "agent", ""), q->agent))
		return false;
	if (str_is_empty(q->text))
		return true;
	if (q->is_semantic) {
		*likeness_ppm = rank_vectors(r, m);
		return *likeness_ppm >= q->likeness_min_ppm;
	}
	*likeness_ppm = rank_words(r, m, json_get(beside, "tags"));
	return *likeness_ppm > 0;
}

static int
rank_numbers(int64_t x, int64_t y)
{
	return x == y ? 0 : x > y ? -1 : 1;
}

static int
rank_relevance(const void *left, const void *right)
{
	const struct memory_found *x = left, *y = right;
	int order = rank_numbers(x->likeness_ppm, y->likeness_ppm);

	if (order == 0)
		order = rank_numbers(x->score_ppm, y->score_ppm);
	return order != 0 ? order : strcmp(x->m->id, y->m->id);
}

static int
rank_importance(const void *left, const void *right)
{
	const struct memory_found *x = left, *y = right;
	int order = rank_numbers(x->m->importance_ppm, y->m->importance_ppm);

	return order != 0 ? order : rank_relevance(x, y);
}

static int
rank_time(const void *left, const void *right)
{
	const struct memory_found *x = left, *y = right;
	int order = rank_numbers(x->m->updated_us, y->m->updated_us);

	return order != 0 ? order : rank_relevance(x, y);
}

size_t
memory_rank(struct arena *a, const struct memory_query *q,
    const struct store_memory *rows, size_t n, struct memory_found *found)
{
	static int (*const orders[])(const void *, const void *) = {
	    [MEMORY_BY_RELEVANCE] = rank_relevance,
	    [MEMORY_BY_IMPORTANCE] = rank_importance,
	    [MEMORY_BY_TIME] = rank_time};
	struct rank r = {.a = a, .q = q};
	size_t n_found = 0;

	if (!str_is_empty(q->text) && q->is_semantic)
		vector_hash(q->text, r.vector);
	else if (!str_is_empty(q->text))
		rank_read_words(&r);
	for (size_t i = 0; i < n; i++) {
		const struct store_memory *m = &rows[i];
		int64_t likeness;
		if (!rank_fits(&r, m, &likeness))
			continue;
		found[n_found++] = (struct memory_found){.m = m,
		    .likeness_ppm = likeness,
		    .score_ppm = memory_score(
			m->importance_ppm, q->now_us - m->updated_us, m->tier)};
	}
	if (n_found > 1)
		qsort(found, n_found, sizeof(*found), orders[q->sort]);
	return n_found;
}
