/* SPDX-License-Identifier: MIT
 *
 * The turns of a debate: keys, positions, reading a model's text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/heap.h"
#include "base/str.h"
#include "debate/audience.h"
#include "debate/engine.h"
#include "debate/parse.h"

#define TURN_ARENA 384 /* of one that waits */

int
debate_seat(const struct debate *d, const char *name)
{
	for (size_t i = 0; name != NULL && i < d->config.n_agents; i++)
		if (str_eq(d->config.agents[i].name, name))
			return (int)i;
	return -1;
}

struct turn *
turn_find(const struct debate *d, const char *step_key)
{
	for (size_t i = d->n_turns; i > 0; i--)
		if (str_eq(d->turns[i - 1]->step_key, step_key))
			return d->turns[i - 1];
	return NULL;
}

static struct turn *
turn_find_at(const struct debate *d, enum debate_phase phase, int64_t round,
    int agent, int target)
{
	for (size_t i = d->n_turns; i > 0; i--) {
		struct turn *t = d->turns[i - 1];
		if (t->phase == phase && t->round == round &&
		    t->agent == agent && t->target == target)
			return t;
	}
	return NULL;
}

struct turn *
turn_get(struct debate *d, enum debate_phase phase, int64_t round, int agent,
    int target, enum llm_task task)
{
	struct arena *a;
	struct turn *t = turn_find_at(d, phase, round, agent, target);

	if (t != NULL)
		return t;
	if (d->n_turns == d->cap_turns) {
		d->cap_turns = d->cap_turns > 0 ? d->cap_turns * 2 : 32;
		heap_give(HEAP_DEBATES, d->turns);
		d->turns = heap_take(HEAP_DEBATES,
		    mem_realloc_array(
			d->turns, d->cap_turns, sizeof(struct turn *)));
	}
	a = arena_new_for(HEAP_DEBATES, TURN_ARENA);
	t = ARENA_NEW(a, struct turn);
	*t = (struct turn){.arena = a,
	    .step_key = arena_printf(a, "%lld/%s/%s/%s", (long long)round,
		debate_phase_name(phase), d->config.agents[agent].name,
		target >= 0 ? d->config.agents[target].name : ""),
	    .phase = phase,
	    .round = round,
	    .agent = agent,
	    .target = target,
	    .task = task,
	    .attempt = 1,
	    .key_attempt = 1};
	d->turns[d->n_turns++] = t;
	return t;
}

bool
turn_is_good(const struct turn *t)
{
	return t != NULL && t->is_finished && !t->is_failed;
}

const struct turn *
turn_position_seen(
    const struct debate *d, int agent, int64_t round, enum debate_phase phase)
{
	const struct turn *best = NULL;

	for (size_t i = 0; i < d->n_turns; i++) {
		const struct turn *t = d->turns[i];
		if (t->agent != agent || !turn_is_good(t) ||
		    (t->phase != DEBATE_PROPOSE && t->phase != DEBATE_REVISE))
			continue;
		if (t->round > round ||
		    (t->round == round && t->phase >= phase))
			continue;
		if (best == NULL || t->round > best->round ||
		    (t->round == best->round && t->phase > best->phase))
			best = t;
	}
	return best;
}

const struct turn *
turn_position(const struct debate *d, int agent)
{
	return turn_position_seen(d, agent, INT64_MAX, DEBATE_DONE);
}

const struct turn *
turn_position_before(const struct debate *d, int agent, int64_t round)
{
	return turn_position_seen(d, agent, round - 1, DEBATE_DONE);
}

/* Still read: the current round's, and of each seat the position it holds and
 * the one it came from. */
static bool
turn_is_needed(const struct debate *d, const struct turn *t)
{
	return t->round >= d->round || !t->is_finished ||
	    t->task == LLM_AUDIENCE || t == turn_position(d, t->agent) ||
	    t == turn_position_before(d, t->agent, d->round);
}

static void
turn_free(struct turn *t)
{
	struct arena *a = t->arena; /* holds t itself */
	arena_free(&a);
}

void
turn_forget(struct debate *d)
{
	size_t n = 0;

	if (d->round_kept == d->round)
		return;
	d->round_kept = d->round;
	/* Judge all before one goes: they are compared with each other. */
	for (size_t i = 0; i < d->n_turns; i++)
		d->turns[i]->is_needed = turn_is_needed(d, d->turns[i]);
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->is_needed)
			d->turns[n++] = d->turns[i];
		else
			turn_free(d->turns[i]);
	d->n_turns = n;
}

void
turn_forget_all(struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		turn_free(d->turns[i]);
	d->n_turns = 0;
}

double
turn_confidence(const struct turn *t)
{
	double c = json_get_num(t->parsed, "confidence", -1);
	return c < 0 ? 0.5 : c;
}

/* ---- who reads what under which label ---- */

struct reading {
	uint64_t rank;
	int seat;
};

static int
reading_order(const void *x, const void *y)
{
	const struct reading *a = x;
	const struct reading *b = y;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->seat - b->seat;
}

size_t
debate_reading_order(
    const struct debate *d, int reader, bool with_own, int *order)
{
	struct reading all[64];
	size_t n = 0;

	for (size_t i = 0; i < d->config.n_agents && n < ARRAY_LEN(all); i++) {
		uint64_t key[2] = {(uint64_t)reader, i};
		if (((int)i == reader && !with_own) ||
		    turn_position(d, (int)i) == NULL)
			continue;
		all[n++] = (struct reading){
		    .rank = str_hash(key, sizeof(key), d->config.seed) *
			0x9e3779b97f4a7c15ULL,
		    .seat = (int)i};
	}
	qsort(all, n, sizeof(all[0]), reading_order);
	for (size_t i = 0; i < n; i++)
		order[i] = all[i].seat;
	return n;
}

const char *
debate_label(struct arena *a, size_t i)
{
	if (i < 26)
		return arena_printf(a, "Proposal %c", (char)('A' + i));
	return arena_printf(
	    a, "Proposal %c%c", (char)('A' + i / 26 - 1), (char)('A' + i % 26));
}

/* ---- reading a model's text ---- */

static void
turn_write_strings(
    struct json_w *w, const char *key, const char **list, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_str(w, NULL, list[i]);
	json_w_end_array(w);
}

static void
turn_take_position(
    struct debate *d, struct turn *t, const char *text, struct json_w *w)
{
	struct parse_position p;

	parse_position(d->scratch, text, &p);
	t->content = arena_strdup(t->arena, p.text);
	if (p.confidence >= 0)
		json_w_num(w, "confidence", p.confidence);
	if (t->task == LLM_REVISE) {
		json_w_bool(w, "changed", p.is_changed);
		json_w_str(w, "why", p.why);
	}
}

static void
turn_take_critique(
    struct debate *d, struct turn *t, const char *text, struct json_w *w)
{
	struct parse_critique c;

	parse_critique(d->scratch, text, &c);
	t->content = arena_strdup(t->arena, c.text);
	turn_write_strings(w, "issues", c.issues, c.n_issues);
	turn_write_strings(w, "suggestions", c.suggestions, c.n_suggestions);
	json_w_num(w, "severity", c.severity);
	json_w_bool(w, "fatal", c.is_fatal);
	json_w_str(w, "quote", c.quote);
}

static void
turn_take_vote(
    struct debate *d, struct turn *t, const char *text, struct json_w *w)
{
	int order[64];
	const char *labels[64];
	struct parse_vote v;
	size_t n = debate_reading_order(d, t->agent, true, order);

	for (size_t i = 0; i < n; i++)
		labels[i] = debate_label(d->scratch, i);
	parse_vote(d->scratch, text, labels, n, &v);
	t->content = arena_strdup(t->arena, v.reason != NULL ? v.reason : "");
	json_w_str(w, t->task == LLM_JUDGE ? "winner" : "choice",
	    v.choice >= 0 ? d->config.agents[order[v.choice]].name : NULL);
	if (v.n_ranking > 0) {
		json_w_begin_array(w, "ranking");
		for (size_t i = 0; i < v.n_ranking; i++)
			json_w_str(w, NULL,
			    d->config.agents[order[v.ranking[i]]].name);
		json_w_end_array(w);
	}
	if (v.confidence >= 0)
		json_w_num(w, "confidence", v.confidence);
	json_w_str(w, "reasoning", t->content);
	json_w_bool(w, "continue_debate", v.wants_more);
	json_w_int(w, "rung", v.rung);
	if (t->task == LLM_JUDGE)
		json_w_str(w, "answer", v.answer);
}

/* Whatever it is that we cannot read, it is not used. */
static void
turn_take_embeddings(struct turn *t, const char *text, struct json_w *w)
{
	const struct json_limits limits = {.max_bytes = 16u << 20};
	struct arena *a = arena_new(0);
	const struct json *j = NULL;

	if (json_parse(a, text, strlen(text), &limits, &j, NULL) != ERR_OK)
		j = NULL;
	json_w_str(w, "model", json_get_str(j, "model", ""));
	json_w_int(w, "dimension", json_get_int(j, "dimension", 0));
	if (json_kind(json_get(j, "similarity_ppm")) == JSON_ARRAY)
		json_w_json(w, "similarity_ppm", json_get(j, "similarity_ppm"));
	if (json_get_str(j, "vector", NULL) != NULL)
		json_w_str(w, "vector", json_get_str(j, "vector", NULL));
	t->content = arena_printf(
	    t->arena, "embedded by %s", json_get_str(j, "model", "nobody"));
	arena_free(&a);
}

static void
turn_take_audience(struct turn *t, const char *text, struct json_w *w)
{
	const struct json_limits limits = {.max_bytes = 1u << 30};
	struct arena *a = arena_new(0);
	const struct json *j = NULL;

	if (json_parse(a, text, strlen(text), &limits, &j, NULL) != ERR_OK)
		j = NULL;
	if (json_kind(json_get(j, "inputs")) == JSON_ARRAY)
		json_w_json(w, "inputs", json_get(j, "inputs"));
	t->content = arena_printf(t->arena, "%zu inputs", audience_inputs(j));
	arena_free(&a);
}

/* What was read, and the answer itself: the record that debate_replay reads
 * again. It is stored, but not kept here. */
static const char *
turn_with_raw(struct debate *d, const char *parsed, const char *text,
    int64_t cost_udollar)
{
	size_t len = strlen(parsed) - 1; /* without the last brace */
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 30);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	if (cost_udollar > 0)
		json_w_int(&w, TURN_COST, cost_udollar);
	json_w_str(&w, "raw", text);
	json_w_end(&w);
	const char *all = arena_printf(d->scratch, "%.*s%s%s", (int)len, parsed,
	    len > 1 ? "," : "", buf_text(&b) + 1);
	buf_release(&b);
	return all;
}

void
turn_take(struct debate *d, struct turn *t, const char *text)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 30);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	switch (t->task) {
	case LLM_PROPOSE:
	case LLM_REVISE:
	case LLM_SYNTHESIS:
		turn_take_position(d, t, text, &w);
		break;
	case LLM_CRITIQUE:
		turn_take_critique(d, t, text, &w);
		break;
	case LLM_VOTE:
	case LLM_JUDGE:
		turn_take_vote(d, t, text, &w);
		break;
	case LLM_EMBED:
		turn_take_embeddings(t, text, &w);
		break;
	case LLM_AUDIENCE:
		turn_take_audience(t, text, &w);
		break;
	case LLM_TASK__COUNT:
		break;
	}
	json_w_end(&w);
	const struct json_limits limits = {.max_bytes = 1u << 30};
	if (json_parse(t->arena, buf_text(&b), b.len, &limits, &t->parsed,
		NULL) != ERR_OK)
		abort(); /* we wrote it */
	t->parsed_text = turn_with_raw(d, buf_text(&b), text, t->cost_udollar);
	buf_release(&b);
}
