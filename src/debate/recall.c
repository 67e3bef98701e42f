/* SPDX-License-Identifier: MIT */
#include "debate/recall.h"

#include <string.h>

#include "base/str.h"
#include "debate/engine.h"
#include "llm/vector.h"

#define RECALL_MEMBERS "recalled"

static const char *
recall_cut(struct arena *a, const char *text, size_t max)
{
	size_t len = strlen(text);
	size_t n = str_utf8_cut(text, len, max);

	return n == len ? arena_strdup(a, text)
			: arena_printf(a, "%.*s", (int)n, text);
}

/* By their words, 0 to a million. */
static int64_t
recall_likeness(const int16_t *task, const char *text)
{
	int16_t v[VECTOR_HASH_DIMENSION];

	vector_hash(text, v);
	int64_t ppm = vector_similarity_ppm(task, v, VECTOR_HASH_DIMENSION);
	return ppm > 0 ? ppm : 0;
}

void
recall_pick(struct arena *a, struct debate_config *config,
    const struct store_memory *rows, size_t n, int64_t now)
{
	struct memory_hit *hits = ARENA_ARRAY(a, n + 1, struct memory_hit);
	size_t n_hits = 0;
	int16_t task[VECTOR_HASH_DIMENSION];

	vector_hash(config->task, task);

	for (size_t i = 0; i < n; i++) {
		int64_t like = recall_likeness(task, rows[i].content);
		int64_t score = memory_score(rows[i].importance_ppm,
		    now - rows[i].updated_us, rows[i].tier);
		if (like >= RECALL_LIKENESS_MIN && rows[i].expires_us > now)
			hits[n_hits++] = (struct memory_hit){.at = i,
			    .id = rows[i].id,
			    .score_ppm = score * like / MEMORY_PPM};
	}
	memory_sort(hits, n_hits);
	config->n_recalled = n_hits < RECALL_MAX ? n_hits : RECALL_MAX;
	config->recalled =
	    ARENA_ARRAY(a, config->n_recalled + 1, struct debate_recalled);
	for (size_t i = 0; i < config->n_recalled; i++) {
		const struct store_memory *m = &rows[hits[i].at];
		config->recalled[i] = (struct debate_recalled){
		    .id = arena_strdup(a, m->id),
		    .source_debate_id = arena_strdup(a, m->debate_id),
		    .content = recall_cut(a, m->content, RECALL_CONTENT_MAX),
		    .score_ppm = hits[i].score_ppm};
	}
}

enum err
recall_find(struct store *store, struct arena *a, const char *tenant,
    struct debate_config *config, int64_t now)
{
	const struct store_memory_filter filter = {.tenant = tenant,
	    .tier = -1,
	    .domain = config->domain,
	    .now_us = now,
	    .limit = RECALL_SCANNED};
	struct store_memory *rows;
	size_t n;
	int64_t total;

	if (!config->is_recalling)
		return ERR_OK;
	enum err e = store_memory_list(store, a, &filter, &rows, &n, &total);
	if (e == ERR_OK)
		recall_pick(a, config, rows, n, now);
	return e;
}

void
recall_write(struct json_w *w, const struct debate_config *config)
{
	if (!config->is_recalling)
		return;
	json_w_begin_array(w, RECALL_MEMBERS);
	for (size_t i = 0; i < config->n_recalled; i++) {
		const struct debate_recalled *r = &config->recalled[i];
		json_w_begin(w, NULL);
		json_w_str(w, "id", r->id);
		json_w_str(w, "source_debate_id", r->source_debate_id);
		json_w_str(w, "content", r->content);
		json_w_int(w, "score_ppm", r->score_ppm);
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
recall_parse(
    struct arena *a, const struct json *config, struct debate_config *out)
{
	const struct json *list = json_get(config, RECALL_MEMBERS);

	out->is_recalling = list != NULL;
	out->n_recalled = json_len(list);
	out->recalled =
	    ARENA_ARRAY(a, out->n_recalled + 1, struct debate_recalled);
	for (size_t i = 0; i < out->n_recalled; i++) {
		const struct json *o = json_at(list, i);
		out->recalled[i] = (struct debate_recalled){
		    .id = json_get_str(o, "id", ""),
		    .source_debate_id = json_get_str(o, "source_debate_id", ""),
		    .content = json_get_str(o, "content", ""),
		    .score_ppm = json_get_int(o, "score_ppm", 0)};
	}
}

/* ---- what is left behind ---- */

static const char *
recall_body(struct debate *d, const char *answer)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_begin(&w, "value");
	json_w_str(
	    &w, "question", recall_cut(d->scratch, d->config.task, 1024));
	json_w_str(&w, "answer", answer);
	json_w_bool(&w, "consensus_reached", debate_is_reached(d));
	json_w_num(&w, "confidence", debate_confidence(d));
	json_w_end(&w);
	json_w_begin_array(&w, "tags");
	json_w_str(&w, NULL, "debate");
	json_w_end_array(&w);
	json_w_begin(&w, "metadata");
	json_w_str(&w, "debate_id", d->id);
	json_w_str(&w, "domain", d->config.domain);
	json_w_begin_array(&w, "agents");
	for (size_t i = 0; i < d->config.n_agents; i++)
		json_w_str(&w, NULL, d->config.agents[i].name);
	json_w_end_array(&w);
	json_w_end(&w);
	json_w_end(&w);
	const char *text = arena_strdup(d->scratch, buf_text(&b));
	buf_release(&b);
	return text;
}

struct store_memory *
recall_entry(struct debate *d)
{
	struct arena *a = d->scratch;
	const char *whole = debate_answer(d);

	if (str_is_empty(whole))
		return NULL;
	const char *answer = recall_cut(a, whole, RECALL_CONTENT_MAX - 1024);
	int64_t sure = (int64_t)(debate_confidence(d) * MEMORY_PPM + 0.5);
	struct store_memory *m = ARENA_NEW(a, struct store_memory);
	*m = (struct store_memory){.key = arena_printf(a, "debate:%s", d->id),
	    .tier = MEMORY_SLOW,
	    .domain = d->config.domain,
	    .content = arena_printf(a,
		"Question: %s\nAnswer: %s\nOutcome: %s, confidence %.2f",
		recall_cut(a, d->config.task, 900), answer,
		debate_is_reached(d) ? "consensus" : "no consensus",
		debate_confidence(d)),
	    .body = recall_body(d, answer),
	    .debate_id = d->id,
	    /* Without agreement it is worth half. */
	    .importance_ppm = debate_is_reached(d) ? sure : sure / 2,
	    .surprise_ppm = MEMORY_PPM - sure};
	return m;
}
