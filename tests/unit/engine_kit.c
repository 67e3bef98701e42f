/* SPDX-License-Identifier: MIT */
#include "tests/unit/engine_kit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"

static struct store_turn *
world_turn(struct world *w, const char *key)
{
	for (size_t i = 0; i < w->n_turns; i++)
		if (str_eq(w->turns[i].step_key, key))
			return &w->turns[i];
	ck_assert_uint_lt(w->n_turns, ROOM);
	return &w->turns[w->n_turns++];
}

static struct store_turn
world_copy_turn(struct world *w, const struct store_turn *t)
{
	struct store_turn c = *t;

	c.step_key = arena_strdup(w->a, t->step_key);
	c.agent = arena_strdup(w->a, t->agent);
	c.target = arena_strdup(w->a, t->target);
	c.content = arena_strdup(w->a, t->content);
	c.parsed = arena_strdup(w->a, t->parsed);
	c.error = arena_strdup(w->a, t->error);
	return c;
}

void
world_commit(struct world *w, const struct store_transition *t)
{
	for (size_t i = 0; i < t->n_events; i++) {
		ck_assert_uint_lt(w->n_events, ROOM);
		w->events[w->n_events] = t->events[i];
		w->events[w->n_events].agent =
		    arena_strdup(w->a, t->events[i].agent);
		w->events[w->n_events].data =
		    arena_strdup(w->a, t->events[i].data);
		w->events[w->n_events].seq = (int64_t)w->n_events + 1;
		w->n_events++;
	}
	for (size_t i = 0; i < t->n_turns; i++) {
		struct store_turn *slot = world_turn(w, t->turns[i].step_key);
		/* A finished call is never paid twice. */
		ck_assert(slot->step_key == NULL ||
		    slot->state == STORE_TURN_STARTED);
		*slot = world_copy_turn(w, &t->turns[i]);
		if (t->turn_event[i] > 0)
			slot->seq = (int64_t)(w->n_events - t->n_events +
			    t->turn_event[i]);
	}
	w->row.status = t->status;
	w->row.phase = t->phase;
	w->row.round = t->round;
	w->row.confidence = t->confidence;
	w->row.consensus_reached = t->consensus_reached;
	if (t->result != NULL)
		w->row.result = arena_strdup(w->a, t->result);
	w->row.error = arena_strdup(w->a, t->error);
	w->n_commits++;
}

void
world_init(struct world *w, const char *config)
{
	*w = (struct world){.a = arena_new(1 << 16), .config = config};
	w->row = (struct store_debate){.id = "adhoc_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .slug = "adhoc_1",
	    .task = "Tea or coffee?",
	    .config = config,
	    .status = STORE_RUNNING,
	    .phase = "new",
	    .created_us = NOW,
	    .started_us = NOW};
}

void
queue_take(struct queue *q, const struct debate_output *out)
{
	for (size_t i = 0; i < out->n_calls; i++) {
		ck_assert_uint_lt(q->n, ROOM);
		q->calls[q->n++] = out->calls[i];
	}
}

/* Four bytes a token, no more than was asked for. */
static void
bill(const struct debate_call *call, struct llm_result *r)
{
	struct arena *a = arena_new(0);
	const struct llm_request *q = &call->request;

	r->tokens_in =
	    (int64_t)(strlen(q->system) + strlen(llm_prompt_render(a, q))) / 4;
	r->tokens_out = (int64_t)r->text_len / 4;
	if (r->tokens_out > q->max_tokens)
		r->tokens_out = q->max_tokens;
	r->cost_udollar = -1;
	arena_free(&a);
}

void
answer(struct debate *d, const struct debate_call *call, const char *failing,
    struct debate_output *out)
{
	struct llm_result r = {.message = "", .text = ""};
	char *text = NULL;

	if (str_eq(call->agent->name, failing)) {
		r.error = LLM_ERR_TIMEOUT;
		r.message = "no answer";
	} else {
		text = llm_demo_answer(call->agent, &call->request);
		r.text = text;
		r.text_len = strlen(text);
		bill(call, &r);
	}
	debate_result(d, call->step_key, &r, NOW, out);
	free(text);
}

bool
run(struct world *w, const char *failing, int stop_after)
{
	struct debate *d = NULL;
	struct debate_output out;
	struct err_info info = {0};
	struct queue q = {.n = 0};

	ck_assert_msg(debate_restore(&d, &w->row, w->turns, w->n_turns, NOW,
			  &info) == ERR_OK,
	    "%s", info.text);
	debate_start(d, NOW, &out);
	for (size_t next = 0;;) {
		ck_assert(out.has_transition);
		world_commit(w, &out.transition);
		queue_take(&q, &out);
		w->is_done = out.is_done;
		if (w->is_done || w->n_commits >= stop_after)
			break;
		ck_assert_msg(next < q.n, "nothing to wait for in %s",
		    debate_phase_name(debate_phase(d)));
		answer(d, &q.calls[next++], failing, &out);
	}
	debate_free(&d);
	return w->is_done;
}

int
count_events(const struct world *w, const char *type)
{
	int n = 0;

	for (size_t i = 0; i < w->n_events; i++)
		n += str_eq(w->events[i].type, type);
	return n;
}

void
ck_same(const struct world *x, const struct world *y, int cut)
{
	ck_assert_msg(x->n_events == y->n_events,
	    "cut at %d: %zu events, not %zu", cut, x->n_events, y->n_events);
	for (size_t i = 0; i < x->n_events; i++) {
		ck_assert_str_eq(x->events[i].type, y->events[i].type);
		ck_assert_str_eq(x->events[i].data, y->events[i].data);
	}
	ck_assert_uint_eq(x->n_turns, y->n_turns);
	ck_assert_str_eq(x->row.result, y->row.result);
}
