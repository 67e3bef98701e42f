/* SPDX-License-Identifier: MIT
 *
 * The trace of a debate in hand: what a request to a provider carries of it,
 * and the spans that are told when requests and debate are over. Nothing of
 * what is asked or answered.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runner/run.h"
#include "telemetry/debate_span.h"
#include "telemetry/tracer.h"

#define RUN_SPAN_NAME 96

void
run_trace_begin(struct run *r, const struct store_debate *row)
{
	r->started_us = row->started_us;
	debate_span_trace(&r->trace, r->asker, r->id, row->trace_parent);
	if (row->trace_parent != NULL && r->asker[0] != '\0')
		snprintf(r->trace_parent, sizeof(r->trace_parent), "%s",
		    row->trace_parent);
}

void
run_trace_end(const struct run *r, enum store_status status)
{
	debate_span_record(&(struct debate_span){.id = r->id,
			       .tenant = r->tenant,
			       .status = store_status_name(status),
			       .round = debate_round(r->debate),
			       .start_us = r->started_us},
	    &r->trace, r->asker);
}

void
run_trace_next(struct run_call *c, struct llm_attempt *next)
{
	struct run *r = c->run;
	struct trace t = r->trace;

	if (t.id[0] == '\0')
		return;
	trace_span_of(t.span, r->id, c->call.step_key, next->number);
	trace_write(&t, next->trace_parent);
	next->trace_state = r->trace_state;
	log_debug("llm.request",
	    "debate_id=%s trace_id=%s span_id=%s step=%s attempt=%lld "
	    "provider=%s",
	    r->id, t.id, t.span, c->call.step_key, (long long)next->number,
	    next->provider);
	for (size_t i = 0; i < RUN_ASKED; i++)
		if (c->asked[i].number == 0) {
			c->asked[i].number = next->number;
			c->asked[i].kind = next->kind;
			break;
		}
}

void
run_trace_go(struct run_call *c, int64_t number)
{
	for (size_t i = 0; i < RUN_ASKED; i++)
		if (c->asked[i].number == number)
			c->asked[i].sent_us = clock_wall_us();
}

static const char *
run_trace_operation(const struct run_call *c)
{
	return c->call.request.task == LLM_EMBED ? "embeddings" : "chat";
}

/* All but what is known of a request only when it is over. */
static void
run_trace_span(const struct run_call *c, struct span *s, int64_t number,
    enum llm_attempt_kind kind, const char *model)
{
	const struct run *r = c->run;
	struct trace t = r->trace;
	char name[RUN_SPAN_NAME];

	trace_span_of(t.span, r->id, c->call.step_key, number);
	snprintf(name, sizeof(name), "%s %s", run_trace_operation(c), model);
	span_init(s, &t, r->trace.span, SPAN_CLIENT, name);
	s->end_us = clock_wall_us();
	span_text(s, SPAN_ATTR_OPERATION, run_trace_operation(c));
	span_text(s, SPAN_ATTR_MODEL, model);
	span_text(s, SPAN_ATTR_DEBATE, r->id);
	span_text(s, SPAN_ATTR_TENANT, r->tenant);
	span_int(s, SPAN_ATTR_ROUND, debate_round(r->debate));
	span_text(s, SPAN_ATTR_PHASE, llm_task_name(c->call.request.task));
	span_int(s, SPAN_ATTR_ATTEMPT, number);
	span_text(s, SPAN_ATTR_ATTEMPT_KIND, ledger_kind(kind));
}

/* Forgets it. false: another debate's request was under way for both. */
static bool
run_trace_forget(
    struct run_call *c, int64_t number, enum llm_attempt_kind *kind)
{
	for (size_t i = 0; i < RUN_ASKED; i++)
		if (number != 0 && c->asked[i].number == number) {
			*kind = c->asked[i].kind;
			c->asked[i] = (struct run_asked){0};
			return true;
		}
	return false;
}

void
run_trace_over(struct run_call *c, const struct llm_attempt *a)
{
	enum llm_attempt_kind kind;
	struct span s;

	if (!run_trace_forget(c, a->number, &kind) || !a->was_sent ||
	    !tracer_wants(&c->run->trace))
		return;
	run_trace_span(c, &s, a->number, kind, a->model);
	s.start_us = a->started_us;
	span_text(&s, SPAN_ATTR_SYSTEM, a->provider);
	if (a->status > 0)
		span_int(&s, SPAN_ATTR_STATUS, a->status);
	if (!a->is_usage_estimated && a->tokens_in + a->tokens_out > 0) {
		span_int(&s, SPAN_ATTR_TOKENS_IN, a->tokens_in);
		span_int(&s, SPAN_ATTR_TOKENS_OUT, a->tokens_out);
	}
	if (a->is_dropped)
		span_error(&s, "dropped");
	else if (a->error != LLM_ERR_NONE)
		span_error(&s, llm_error_name(a->error));
	tracer_record(&s);
}

void
run_trace_lost(struct run_call *c)
{
	struct span s;

	if (!tracer_wants(&c->run->trace))
		return;
	for (size_t i = 0; i < RUN_ASKED; i++) {
		const struct run_asked *asked = &c->asked[i];
		if (asked->number == 0 || asked->sent_us == 0)
			continue;
		run_trace_span(c, &s, asked->number, asked->kind,
		    ledger_model(c->call.agent));
		s.start_us = asked->sent_us;
		span_text(&s, SPAN_ATTR_SYSTEM, c->call.agent->row->provider);
		span_error(&s, "cancelled");
		tracer_record(&s);
	}
}
