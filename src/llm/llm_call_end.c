/* SPDX-License-Identifier: MIT
 *
 * How attempts and calls end: what they took, and after a failure another
 * attempt, another provider or the end.
 */
#include "llm/llm_call.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"

#define CALL_KEY_PART 4 /* shorter pieces of a key say nothing */

/* ---- what is told of it ---- */

int64_t
llm_call_estimate(size_t bytes)
{
	return (int64_t)bytes / 4;
}

void
llm_call_deliver(struct llm_call *c, const struct llm_result *result)
{
	llm_hedge_drop(c);
	llm_call_tell(c, LLM_ERR_NONE, true);
	llm_call_end_attempt(c);
	loop_timer_del(c->llm->loop, &c->timer);
	llm_call_enter(c);
	c->ops.on_done(c->ops.arg, result);
	c->is_dead = true;
	llm_call_leave(c);
}

/* Embeddings are asked of one model only: those of another, even under
 * another roof, are no use beside the ones that are there. */
bool
llm_call_is_embed(const struct llm_call *c)
{
	return c->request.task == LLM_EMBED;
}

/* What the provider says it took counts, else the price list. */
static int64_t
call_cost(const struct llm_call *c, const struct llm_result *r)
{
	if (c->stream.cost_udollar >= 0 && !r->is_usage_estimated)
		return c->stream.cost_udollar;
	return llm_price_cost(&c->price, r->tokens_in, r->tokens_out);
}

/* As far as it is known what it took. Who was refused pays nothing. */
static void
call_take_usage(const struct llm_call *c, struct llm_attempt *a)
{
	const struct llm_stream *s = &c->stream;
	bool is_charged = a->is_dropped || a->error == LLM_ERR_NONE ||
	    s->text.len > 0 || s->tokens_out > 0;

	if (!a->was_sent || !is_charged)
		return;
	a->tokens_in = s->tokens_in;
	a->tokens_out = s->tokens_out;
	a->cost_udollar = s->cost_udollar;
	if (s->tokens_in < 0 || s->tokens_out < 0) {
		a->is_usage_estimated = true;
		a->tokens_in = llm_call_estimate(c->body_len);
		a->tokens_out =
		    llm_call_is_embed(c) ? 0 : llm_call_estimate(s->text.len);
		a->cost_udollar = -1;
	}
	if (a->cost_udollar < 0)
		a->cost_udollar =
		    llm_price_cost(&c->price, a->tokens_in, a->tokens_out);
}

enum llm_attempt_kind
llm_call_kind(const struct llm_call *c)
{
	if (c->is_hedge)
		return LLM_ATTEMPT_HEDGE;
	if (c->is_fallback && c->attempts > 0)
		return LLM_ATTEMPT_FALLBACK;
	return c->attempts > 0 ? LLM_ATTEMPT_RETRY : LLM_ATTEMPT_FIRST;
}

void
llm_call_tell(struct llm_call *c, enum llm_error_class error, bool is_dropped)
{
	struct llm_attempt a = {.number = c->number,
	    .provider = c->agent.row->provider,
	    .model = llm_agent_model(&c->agent),
	    .was_sent = c->sent_us > 0,
	    .is_dropped = is_dropped,
	    .error = error,
	    .status = c->status,
	    .started_us = c->sent_us};

	if (c->number == 0 || c->ops.on_attempt == NULL)
		return;
	c->number = 0;
	call_take_usage(c, &a);
	c->ops.on_attempt(c->ops.arg, &a);
}

void
llm_call_finish(
    struct llm_call *c, enum llm_error_class error, const char *message)
{
	llm_call_tell(c, error, false);
	struct llm_stream *s = &c->stream;
	bool was_sent = c->body_len > 0;
	struct llm_result result = {.error = error,
	    .message = message,
	    .text = buf_text(&s->text),
	    .text_len = s->text.len,
	    .is_truncated = s->is_truncated,
	    .tokens_in = s->tokens_in,
	    .tokens_out = s->tokens_out,
	    .attempts = c->attempts,
	    .duration_ms = clock_mono_ms() - c->started_ms,
	    .provider = c->agent.row->provider,
	    .model = llm_agent_model(&c->agent),
	    .is_fallback = c->is_fallback,
	    .is_prompt_cut = c->is_shrunk};

	if (s->tokens_in < 0 || s->tokens_out < 0) {
		result.is_usage_estimated = was_sent;
		result.tokens_in = llm_call_estimate(c->body_len);
		result.tokens_out =
		    llm_call_is_embed(c) ? 0 : llm_call_estimate(s->text.len);
	}
	if (c->spent_in > 0) {
		result.is_usage_estimated = true;
		result.tokens_in += c->spent_in;
		result.tokens_out += c->spent_out;
	}
	result.cost_udollar = call_cost(c, &result);
	llm_call_deliver(c, &result);
}

int64_t
llm_call_left_ms(const struct llm_call *c)
{
	return c->started_ms + c->llm->settings->agent_timeout * 1000 -
	    clock_mono_ms();
}

/* What providers say may repeat the key, and the end of the message may cut
 * it. */
static void
call_hide_key(const struct llm_call *c, char *message)
{
	size_t len = strlen(c->key);
	size_t total = strlen(message);

	if (len == 0)
		return;
	for (char *p = message; (p = strstr(p, c->key)) != NULL; p += len)
		memset(p, '*', len);
	for (size_t n = len < total ? len : total; n >= CALL_KEY_PART; n--)
		if (memcmp(message + total - n, c->key, n) == 0) {
			memset(message + total - n, '*', n);
			return;
		}
}

void
llm_call_note(struct llm_call *c, enum llm_error_class error)
{
	int64_t pause =
	    llm_endpoint_note(c->endpoint, error, c->is_probe, clock_mono_ms());

	if (pause > 0)
		log_warning("llm.breaker", "agent=%s class=%s pause_ms=%lld",
		    c->endpoint->key, llm_error_name(error), (long long)pause);
}

/* ---- a failure ---- */

/* The first half, and a mark where the rest was. */
static const char *
call_half(struct arena *a, const char *text)
{
	size_t len = strlen(text);

	return arena_printf(
	    a, "%.*s [...]", (int)str_utf8_cut(text, len, len / 2), text);
}

/* Would the same model at OpenRouter be of use? */
static bool
call_is_worth_fallback(enum llm_error_class error)
{
	return llm_may_retry(error) || error == LLM_ERR_AUTH ||
	    error == LLM_ERR_MONEY;
}

bool
llm_call_fall_back(struct llm_call *c, enum llm_error_class error)
{
	struct llm_agent other;

	if (c->is_fallback || c->is_hedge || llm_call_is_embed(c) ||
	    llm_call_left_ms(c) <= 0 || !call_is_worth_fallback(error) ||
	    !llm_agent_fallback(c->arena, &c->agent, c->llm->settings, &other))
		return false;
	llm_call_end_attempt(c);
	log_warning("llm.fallback", "agent=%s class=%s", c->agent.row->name,
	    llm_error_name(error));
	c->is_fallback = true;
	c->attempts_elsewhere = c->attempts;
	c->agent = other;
	llm_call_aim(c);
	return true;
}

/* Another attempt at the same place: its pause, -1 = none. */
static int64_t
call_again_ms(struct llm_call *c, enum llm_error_class error)
{
	struct llm_budget *budget =
	    &c->llm->budgets[llm_agent_dialect(c->agent.row)];
	uint32_t random;

	if (c->is_mended)
		return 0;
	if (!llm_may_retry(error) || c->is_hedge ||
	    c->attempts - c->attempts_elsewhere >=
		c->llm->settings->llm_max_attempts)
		return -1;
	id_random(&random, sizeof(random));
	int64_t pause = llm_pause_ms(error, c->attempts - c->attempts_elsewhere,
	    c->retry_after_ms, random);
	if (pause >= llm_call_left_ms(c))
		return -1;
	/* A rate limit says itself when to come again. */
	if (error != LLM_ERR_RATE &&
	    !llm_budget_spend(budget, clock_mono_ms())) {
		log_warning("llm.retry_budget", "agent=%s class=%s",
		    c->agent.row->name, llm_error_name(error));
		return -1;
	}
	return pause;
}

/* What an attempt that broke off has cost is not forgotten. */
static void
call_count_spent(struct llm_call *c)
{
	if (c->stream.text.len == 0)
		return;
	c->spent_in += llm_call_estimate(c->body_len);
	c->spent_out += llm_call_estimate(c->stream.text.len);
	if (c->ops.on_restart != NULL)
		c->ops.on_restart(c->ops.arg);
}

void
llm_call_failed(
    struct llm_call *c, enum llm_error_class error, const char *text)
{
	char message[LLM_MESSAGE_MAX];

	snprintf(message, sizeof(message), "%s", text);
	call_hide_key(c, message);
	llm_call_tell(c, error, false);
	log_info("llm.failed", "agent=%s class=%s attempt=%lld",
	    c->agent.row->name, llm_error_name(error), (long long)c->attempts);
	llm_call_note(c, error);
	if (c->hedge != NULL && llm_may_retry(error)) {
		/* The other request may still succeed. */
		llm_call_end_attempt(c);
		c->state = CALL_HEDGED;
		loop_timer_del(c->llm->loop, &c->timer);
		return;
	}
	if (error == LLM_ERR_RATE)
		llm_endpoint_slow(
		    c->endpoint, c->retry_after_ms, clock_mono_ms());
	int64_t pause = call_again_ms(c, error);
	if (pause < 0 && !llm_call_fall_back(c, error)) {
		llm_call_finish(c, error, message);
		return;
	}
	llm_call_end_attempt(c);
	c->state = CALL_PAUSING;
	loop_timer_set(c->llm->loop, &c->timer, pause > 0 ? pause : 0);
	call_count_spent(c);
}

bool
llm_call_shrink(struct llm_call *c)
{
	struct llm_request *r = &c->request;
	struct llm_block *blocks;

	if (c->is_shrunk || (r->n_blocks == 0 && *r->context == '\0'))
		return false;
	c->is_shrunk = true;
	blocks = ARENA_ARRAY(c->arena, r->n_blocks + 1, struct llm_block);
	for (size_t i = 0; i < r->n_blocks; i++)
		blocks[i] = (struct llm_block){.label = r->blocks[i].label,
		    .text = call_half(c->arena, r->blocks[i].text)};
	r->blocks = blocks;
	r->context = call_half(c->arena, r->context);
	return true;
}
