/* SPDX-License-Identifier: MIT
 *
 * A second request when the first stays silent: a call of its own, with one
 * attempt, whose words are passed on once it is the first to speak.
 */
#include "base/clock.h"
#include "base/log.h"
#include "llm/llm_call.h"

/* The first request has lost. */
static void
hedge_lead(struct llm_call *c)
{
	if (c->hedge_leads)
		return;
	c->hedge_leads = true;
	c->state = CALL_HEDGED;
	llm_call_tell(c, LLM_ERR_NONE, true);
	llm_call_end_attempt(c);
	loop_timer_del(c->llm->loop, &c->timer);
}

static void
hedge_on_delta(void *arg, const char *text, size_t len)
{
	struct llm_call *c = arg;

	hedge_lead(c);
	if (c->ops.on_delta != NULL && !c->is_dead)
		c->ops.on_delta(c->ops.arg, text, len);
}

static void
hedge_on_done(void *arg, const struct llm_result *result)
{
	struct llm_call *c = arg;
	struct llm_result sum = *result;

	c->hedge = NULL; /* dead after this */
	c->is_hedged = true;
	if (result->error != LLM_ERR_NONE && c->state != CALL_HEDGED) {
		log_info("llm.hedge", "agent=%s class=%s", c->agent.row->name,
		    llm_error_name(result->error));
		return; /* the first is still at it */
	}
	llm_call_enter(c);
	/* The request that was dropped has cost its prompt. */
	sum.attempts += c->attempts;
	sum.tokens_in += c->spent_in + llm_call_estimate(c->body_len);
	sum.tokens_out += c->spent_out;
	sum.is_usage_estimated = true;
	sum.cost_udollar =
	    llm_price_cost(&c->price, sum.tokens_in, sum.tokens_out);
	sum.is_hedged = true;
	sum.is_prompt_cut = c->is_shrunk;
	sum.is_fallback = c->is_fallback;
	llm_call_deliver(c, &sum);
	llm_call_leave(c);
}

static bool
hedge_on_next(void *arg, struct llm_attempt *next)
{
	struct llm_call *c = arg;

	return c->ops.on_next == NULL || c->ops.on_next(c->ops.arg, next);
}

static void
hedge_on_attempt(void *arg, const struct llm_attempt *attempt)
{
	struct llm_call *c = arg;

	if (c->ops.on_attempt != NULL && !c->is_dead)
		c->ops.on_attempt(c->ops.arg, attempt);
}

static void
hedge_on_timer(struct loop_timer *t)
{
	struct llm_call *c = t->arg;
	const struct llm_call_ops ops = {.on_delta = hedge_on_delta,
	    .on_done = hedge_on_done,
	    .on_next = hedge_on_next,
	    .on_attempt = hedge_on_attempt,
	    .arg = c};
	struct llm_budget *budget =
	    &c->llm->budgets[llm_agent_dialect(c->agent.row)];

	if ((c->state != CALL_SENDING && c->state != CALL_STREAMING) ||
	    c->stream.text.len > 0 || c->hedge != NULL ||
	    !llm_budget_spend(budget, clock_mono_ms()))
		return;
	c->hedge = llm_call_open(c->llm, &c->agent, &c->request, &ops, c);
}

void
llm_hedge_arm(struct llm_call *c)
{
	int64_t after = c->llm->settings->llm_hedge_after;

	if (after == 0 || c->is_hedge || c->is_hedged)
		return;
	c->hedge_timer = (struct loop_timer){.fn = hedge_on_timer, .arg = c};
	loop_timer_set(c->llm->loop, &c->hedge_timer, after);
}

void
llm_hedge_drop(struct llm_call *c)
{
	loop_timer_del(c->llm->loop, &c->hedge_timer);
	if (c->hedge != NULL && !c->is_dead)
		llm_call_tell(c->hedge, LLM_ERR_NONE, true);
	llm_call_cancel(&c->hedge);
}
