/* SPDX-License-Identifier: MIT
 *
 * An attempt, as long as it is under way: leave to send it, sending, and how
 * long the provider may be silent.
 */
#include "llm/llm_call.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "llm/llm_url.h"

/* ---- deadlines ---- */

static int64_t
call_quiet_left_ms(const struct llm_call *c)
{
	const struct settings *s = c->llm->settings;
	int64_t allowed = c->stream.text.len == 0 ? s->llm_first_byte_timeout
						  : s->llm_idle_timeout;

	return c->heard_ms + allowed * 1000 - clock_mono_ms();
}

void
llm_call_arm(struct llm_call *c)
{
	int64_t quiet = call_quiet_left_ms(c);
	int64_t left = llm_call_left_ms(c);

	loop_timer_set(c->llm->loop, &c->timer, quiet < left ? quiet : left);
}

void
llm_call_on_silence(struct llm_call *c)
{
	if (llm_call_left_ms(c) <= 0) {
		llm_call_note(c, LLM_ERR_TIMEOUT);
		llm_call_finish(c, LLM_ERR_TIMEOUT, "no whole answer in time");
	} else if (call_quiet_left_ms(c) <= 0) {
		llm_call_failed(c,
		    c->stream.text.len > 0 ? LLM_ERR_PARTIAL : LLM_ERR_TIMEOUT,
		    "the provider fell silent");
	} else {
		llm_call_arm(c);
	}
}

/* ---- sending ---- */

/* The endpoint is paused. Its own trouble is what the caller should hear. */
static void
call_turned_away(struct llm_call *c)
{
	enum llm_error_class last = c->endpoint->breaker.last;
	char message[LLM_MESSAGE_MAX];

	snprintf(message, sizeof(message),
	    "not asked: paused after its last answers (%s)",
	    llm_error_name(last));
	enum llm_error_class error =
	    last == LLM_ERR_MONEY || last == LLM_ERR_AUTH ? last
							  : LLM_ERR_OVERLOAD;
	if (llm_call_fall_back(c, error))
		loop_timer_set(c->llm->loop, &c->timer, 0);
	else
		llm_call_finish(c, error, message);
}

/* It was not sent. */
static void
call_forget_body(struct llm_call *c)
{
	buf_release(&c->body);
	c->body_len = 0;
}

/* The endpoint's limits: false = wait, or give up. */
static bool
call_may_go(struct llm_call *c)
{
	int64_t tokens = llm_call_estimate(c->body_len) + c->request.max_tokens;
	int64_t wait = llm_endpoint_take(c->endpoint, tokens, clock_mono_ms());

	if (wait == 0) {
		c->reserved = tokens;
		return true;
	}
	call_forget_body(c);
	if (wait < llm_call_left_ms(c)) {
		c->state = CALL_PAUSING;
		loop_timer_set(c->llm->loop, &c->timer, wait);
	} else if (llm_call_fall_back(c, LLM_ERR_RATE)) {
		loop_timer_set(c->llm->loop, &c->timer, 0);
	} else {
		llm_call_finish(c, LLM_ERR_RATE,
		    "the provider's limits leave no time for the call");
	}
	return false;
}

/* It leaves. */
static void
call_dispatch(struct llm_call *c)
{
	const struct settings *s = c->llm->settings;
	struct llm_transfer_ops ops = llm_read_ops;

	c->attempts++;
	c->state = CALL_SENDING;
	c->heard_ms = clock_mono_ms();
	c->sent_us = clock_wall_us();
	ops.arg = c;
	c->transfer = llm_transfer_start(c->llm->http,
	    &(struct llm_transfer_spec){.url = c->url,
		.auth = c->auth,
		.header = c->provider->header,
		.key = c->key_header,
		.headers = c->trace,
		.n_headers = c->n_trace,
		.body = buf_text(&c->body),
		.body_len = c->body.len,
		.connect_timeout_s = s->llm_connect_timeout,
		.is_offline = s->offline,
		.may_be_private =
		    llm_url_may_be_private(c->url, s->llm_private_hosts)},
	    &ops);
	if (c->transfer == NULL) {
		llm_call_failed(
		    c, LLM_ERR_NETWORK, "cannot start the transfer");
		return;
	}
	llm_call_arm(c);
	llm_hedge_arm(c);
}

/* Whoever keeps the books is asked before each request. */
static void
call_send(struct llm_call *c)
{
	const struct llm_dialect_row *d =
	    llm_dialect(llm_agent_dialect(c->agent.row));
	struct llm_attempt next = {.kind = llm_call_kind(c),
	    .provider = c->agent.row->provider,
	    .model = llm_agent_model(&c->agent)};
	bool may_go =
	    c->ops.on_next == NULL || c->ops.on_next(c->ops.arg, &next);

	c->number = next.number;
	if (d->takes_key && next.key[0] != '\0')
		c->key_header =
		    arena_printf(c->arena, "Idempotency-Key: %s", next.key);
	if (next.trace_parent[0] != '\0')
		c->trace[c->n_trace++] = arena_printf(
		    c->arena, "traceparent: %s", next.trace_parent);
	if (!str_is_empty(next.trace_state))
		c->trace[c->n_trace++] =
		    arena_printf(c->arena, "tracestate: %s", next.trace_state);
	if (may_go)
		call_dispatch(c);
	else
		c->state = CALL_WAITING;
}

void
llm_call_go(struct llm_call *c, int64_t number)
{
	if (c->hedge != NULL && c->hedge->number == number)
		c = c->hedge;
	if (c->state != CALL_WAITING || c->number != number)
		return;
	llm_call_enter(c);
	call_dispatch(c);
	llm_call_leave(c);
}

void
llm_call_attempt(struct llm_call *c)
{
	llm_read_reset(c);
	c->is_mended = false;
	c->heeded = c->endpoint->refused;
	buf_clear(&c->body);
	c->provider->body(&c->body, &c->agent, &c->request, &c->heeded);
	c->body_len = c->body.len;
	if (c->body.is_overflowed) {
		llm_call_finish(
		    c, LLM_ERR_BAD_REQUEST, "the request is too long");
		return;
	}
	if (!llm_breaker_enter(
		&c->endpoint->breaker, clock_mono_ms(), &c->is_probe)) {
		call_forget_body(c);
		call_turned_away(c);
	} else if (!call_may_go(c)) {
		llm_breaker_leave(&c->endpoint->breaker, c->is_probe);
		c->is_probe = false;
	} else {
		call_send(c);
	}
}
