/* SPDX-License-Identifier: MIT
 *
 * The calls of the debates in hand: begun after their step is stored, told of
 * piece by piece while they stream, their answers given to the engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/log.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "metrics/metrics.h"
#include "runner/run.h"
#include "runner/teller.h"
#include "settings/settings.h"

/* How long a piece of an answer waits for more of it; longer when there are so
 * many answers that pieces would come faster than that in a second. */
#define RUN_TOKEN_MS   50
#define RUN_TOKEN_PACE 10000

/* Calls of one kind that one debate has under way at once (contract 11). */
static const int run_caps[LLM_TASK__COUNT] = {[LLM_PROPOSE] = 5,
    [LLM_CRITIQUE] = 15,
    [LLM_REVISE] = 5,
    [LLM_VOTE] = 15,
    [LLM_JUDGE] = 1,
    [LLM_SYNTHESIS] = 1,
    [LLM_EMBED] = 1,
    [LLM_AUDIENCE] = 1};

static bool
run_call_is_begun(const struct run_call *c)
{
	return c->llm_call != NULL || c->embed_call != NULL || c->is_hearing;
}

static void
run_count_calls(struct run *r, int more)
{
	r->n_calling += more;
	r->drive->n_calling += more;
	metric_set(METRIC_RUNNER_CALLS, r->drive->n_calling);
}

void
run_call_free(struct run_call *c)
{
	if (run_call_is_begun(c))
		run_count_calls(c->run, -1);
	run_trace_lost(c);
	llm_call_cancel(&c->llm_call);
	llm_embed_cancel(&c->embed_call);
	loop_timer_del(c->run->drive->o.loop, &c->flush);
	list_del(&c->link);
	buf_release(&c->tokens);
	ledger_close(&c->ledger);
	heap_free(HEAP_CALLS, c);
}

static void
run_publish(struct run_call *c, enum event_type type, const char *data)
{
	struct run *r = c->run;
	struct buf b;

	buf_init(&b, 1u << 20);
	event_encode(&b,
	    &(struct event){.type = event_name(type),
		.debate_id = r->id,
		.round = debate_round(r->debate),
		.agent = c->call.agent->name,
		.created_us = clock_wall_us(),
		.data = data,
		.trace_parent = r->trace_parent});
	if (!b.is_overflowed)
		teller_tell(r->drive->teller, r->id, 0, buf_text(&b), b.len);
	buf_release(&b);
}

static void
run_publish_text(struct run_call *c, enum event_type type, const char *key1,
    const char *key2, const char *text, size_t len)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	if (key1 != NULL)
		json_w_strn(&w, key1, text, len);
	if (key2 != NULL)
		json_w_strn(&w, key2, text, len);
	json_w_str(&w, "phase", llm_task_name(c->call.request.task));
	json_w_int(&w, "agent_seq", c->n_tokens);
	json_w_end(&w);
	if (!b.is_overflowed)
		run_publish(c, type, buf_text(&b));
	buf_release(&b);
}

static void
run_flush_tokens(struct run_call *c)
{
	loop_timer_del(c->run->drive->o.loop, &c->flush);
	if (c->tokens.len == 0)
		return;
	c->n_tokens++;
	run_publish_text(c, EVENT_TOKEN_DELTA, "token", "delta",
	    buf_text(&c->tokens), c->tokens.len);
	buf_release(&c->tokens);
}

static void
run_on_flush(struct loop_timer *t)
{
	run_flush_tokens(t->arg);
}

/* Prose streams; JSON for machines does not. */
static bool
run_streams(const struct run_call *c)
{
	return !c->call.request.wants_json;
}

static void
run_on_delta(void *arg, const char *text, size_t len)
{
	struct run_call *c = arg;

	if (!run_streams(c))
		return;
	buf_append(&c->tokens, text, len);
	struct drive *d = c->run->drive;
	int64_t pause = d->n_calling * 1000 / RUN_TOKEN_PACE;
	if (c->tokens.is_overflowed || c->tokens.len > 8192)
		run_flush_tokens(c);
	else if (!loop_timer_is_set(&c->flush))
		loop_timer_set(d->o.loop, &c->flush,
		    pause > RUN_TOKEN_MS ? pause : RUN_TOKEN_MS);
}

/* A retry begins the text anew. */
static void
run_on_restart(void *arg)
{
	struct run_call *c = arg;

	buf_clear(&c->tokens);
	c->n_tokens = 0;
	if (run_streams(c))
		run_publish_text(c, EVENT_TOKEN_START, NULL, NULL, "", 0);
}

/* The first request of a call was written down with the step. Each other one
 * is first, and leaves only if the debate is still ours. */
static bool
run_on_next(void *arg, struct llm_attempt *next)
{
	struct run_call *c = arg;
	struct run *r = c->run;
	struct debate_output out;
	struct store_attempt *rows;
	int64_t key = c->call.key_attempt;

	next->number = c->call.attempt;
	if (c->n_asked++ > 0) {
		next->number = debate_retry(r->debate, c->call.step_key, &out);
		key = next->number;
	}
	ledger_key(next->key, r->id, c->call.step_key, key);
	run_trace_next(c, next);
	if (c->n_asked == 1) {
		run_trace_go(c, next->number);
		return true;
	}
	struct arena *a = arena_new(0);
	ledger_next(&c->ledger, next->number, next);
	size_t n = ledger_take(&c->ledger, a, &rows);
	run_apply_attempts(r, &out, rows, n, c->call.step_key, next->number);
	arena_free(&a);
	return false;
}

static void
run_on_attempt(void *arg, const struct llm_attempt *attempt)
{
	struct run_call *c = arg;

	run_trace_over(c, attempt);
	ledger_over(&c->ledger, attempt);
}

/* By the registry's name: what seats are called comes from outside. */
static void
run_observe(const struct run_call *c)
{
	char label[96];

	if (!c->run->drive->o.settings->enable_telemetry || c->llm_call == NULL)
		return;
	snprintf(
	    label, sizeof(label), "agent=\"%s\"", c->call.agent->row->name);
	metric_observe(
	    HISTOGRAM_AGENT_RESPONSE, label, clock_mono_us() - c->begun_us);
}

static void
run_on_done(void *arg, const struct llm_result *result)
{
	struct run_call *c = arg;
	struct run *r = c->run;
	struct debate_output out;

	metric_add(METRIC_LLM_CALLS, result->attempts);
	metric_add(METRIC_LLM_TOKENS_IN, result->tokens_in);
	metric_add(METRIC_LLM_TOKENS_OUT, result->tokens_out);
	if (result->cost_udollar >= 0)
		metric_add(METRIC_LLM_COST, result->cost_udollar);
	else
		metric_add(METRIC_LLM_UNPRICED, 1);
	metric_add(METRIC_LLM_FALLBACKS, result->is_fallback);
	metric_add(METRIC_LLM_HEDGES, result->is_hedged);
	if (result->error != LLM_ERR_NONE)
		metric_add(METRIC_LLM_ERRORS, 1);
	run_observe(c);
	if (run_streams(c)) {
		run_flush_tokens(c);
		run_publish_text(c, EVENT_TOKEN_END, "full_response",
		    "full_content", result->text, result->text_len);
	}
	const char *step_key = c->call.step_key; /* lives in the debate */
	struct arena *a = arena_new(0);
	struct store_attempt *rows;
	ledger_settle(&c->ledger, result);
	size_t n = ledger_take(&c->ledger, a, &rows);
	c->llm_call = NULL;
	c->embed_call = NULL;
	run_count_calls(r, -1);
	run_call_free(c);
	debate_result(r->debate, step_key, result, clock_wall_us(), &out);
	run_apply_attempts(r, &out, rows, n, NULL, 0);
	arena_free(&a);
	if (!r->is_dead)
		run_try_park(r);
}

static void
run_start_call(struct run_call *c)
{
	struct run *r = c->run;
	const struct llm_call_ops ops = {.on_delta = run_on_delta,
	    .on_restart = run_on_restart,
	    .on_done = run_on_done,
	    .on_next = run_on_next,
	    .on_attempt = run_on_attempt,
	    .arg = c};

	run_count_calls(r, 1);
	c->begun_us = clock_mono_us();
	if (c->hash[0] != '\0') {
		const struct store_attempt first =
		    ledger_row(&c->call, c->hash);
		ledger_open(&c->ledger, &first);
	}
	if (run_streams(c))
		run_publish_text(c, EVENT_TOKEN_START, NULL, NULL, "", 0);
	if (c->call.request.task == LLM_AUDIENCE) {
		c->is_hearing = true;
		writer_hear(r->drive->writer, r->tenant, r->id, r->epoch,
		    c->call.heard_seq);
		return;
	}
	if (c->call.request.task == LLM_EMBED)
		c->embed_call = llm_embed_start(
		    r->drive->embedder, c->call.agent, &c->call.request, &ops);
	else
		c->llm_call = llm_call_start(
		    r->drive->llm, c->call.agent, &c->call.request, &ops);
}

/* What one debate may have under way when all have as many. */
static int64_t
run_share(const struct run *r)
{
	const struct drive *d = r->drive;
	int64_t share =
	    d->o.settings->max_concurrent_calls / (int64_t)d->n_runs;

	return share > 0 ? share : 1;
}

void
run_start_calls(struct run *r)
{
	int64_t share = run_share(r);

	if (r->is_pausing)
		return;
	list_for_each (it, &r->calls) {
		struct run_call *c = LIST_ENTRY(it, struct run_call, link);
		if (!run_call_is_begun(c) && r->n_calling < share &&
		    r->n_calling < run_caps[c->call.request.task])
			run_start_call(c);
	}
}
void
run_add_call(struct run *r, const struct debate_call *call,
    const struct store_attempt *intent)
{
	struct run_call *c = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*c)));

	c->run = r;
	c->call = *call;
	if (intent->request_hash != NULL)
		snprintf(c->hash, sizeof(c->hash), "%s", intent->request_hash);
	c->flush = (struct loop_timer){.fn = run_on_flush, .arg = c};
	buf_init_for(&c->tokens, HEAP_CALLS, 1u << 20);
	list_add_tail(&r->calls, &c->link);
}

void
run_stop_calls(struct run *r)
{
	list_for_each (it, &r->calls)
		run_call_free(LIST_ENTRY(it, struct run_call, link));
}

void
run_go(struct run *r, const struct run_commit *commit)
{
	list_for_each (it, &r->calls) {
		struct run_call *c = LIST_ENTRY(it, struct run_call, link);
		if (commit->go_step == NULL || r->is_ended ||
		    !str_eq(c->call.step_key, commit->go_step))
			continue;
		run_trace_go(c, commit->go_number);
		if (c->llm_call != NULL)
			llm_call_go(c->llm_call, commit->go_number);
		else if (c->embed_call != NULL)
			llm_embed_go(c->embed_call, commit->go_number);
		return;
	}
}
