/* SPDX-License-Identifier: MIT
 *
 * The machine behind llm_call_start: one record per call with its attempts,
 * deadlines, breaker and retries. The bytes are moved by llm_http.c, the
 * words understood by the agent's provider.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_call.h"
#include "llm/llm_url.h"

#define CALL_KEY_PART 4 /* shorter pieces of a key say nothing */
/* The pieces in which an offline answer appears; all of it takes a second. */
#define CALL_PIECES	56
#define CALL_PIECE_MIN	12 /* bytes */
#define CALL_PIECE_MS	18
#define CALL_FAST_MODEL "fast"
#define CALL_ARENA	512 /* URL and header lines; other texts if copied */

static void call_on_timer(struct loop_timer *t);

/* ---- memory ---- */

enum err
llm_new(struct llm **out, const struct settings *settings, struct loop *loop)
{
	struct arena *a = arena_new(0);
	struct err_info info = {0};
	struct llm_price price;
	enum err bad =
	    llm_price_override(a, settings->llm_prices, "", "", &price, &info);

	arena_free(&a);
	if (bad != ERR_OK) {
		log_error(
		    "llm.prices", "field=%s reason=%s", info.field, info.text);
		return bad;
	}
	struct llm *llm = mem_zalloc(sizeof(*llm));
	enum err e = llm_http_new(&llm->http, loop);

	if (e != ERR_OK) {
		free(llm);
		return e;
	}
	llm->settings = settings;
	llm->loop = loop;
	list_init(&llm->calls);
	for (int i = 0; i < LLM_DIALECT__COUNT; i++)
		llm_budget_init(&llm->budgets[i], clock_mono_ms());
	*out = llm;
	return ERR_OK;
}

void
llm_call_end_attempt(struct llm_call *c)
{
	llm_transfer_close(&c->transfer);
	if (c->endpoint != NULL)
		llm_breaker_leave(&c->endpoint->breaker, c->is_probe);
	c->is_probe = false;
}

static void
call_free(struct llm_call *c)
{
	llm_hedge_drop(c);
	llm_call_end_attempt(c);
	loop_timer_del(c->llm->loop, &c->timer);
	list_del(&c->link);
	sse_release(&c->sse);
	buf_release(&c->body);
	buf_release(&c->reply);
	buf_release(&c->stream.text);
	heap_free(HEAP_CALLS, c->offline_text);
	arena_free(&c->arena);
	heap_free(HEAP_CALLS, c);
}

void
llm_call_enter(struct llm_call *c)
{
	c->busy++;
}

bool
llm_call_leave(struct llm_call *c)
{
	bool is_alive = !c->is_dead;

	if (--c->busy == 0 && !is_alive)
		call_free(c);
	return is_alive;
}

void
llm_call_cancel(struct llm_call **call)
{
	struct llm_call *c = *call;

	*call = NULL;
	if (c == NULL)
		return;
	if (c->busy == 0) {
		call_free(c);
		return;
	}
	c->is_dead = true;
	llm_hedge_drop(c);
	llm_call_end_attempt(c);
	loop_timer_del(c->llm->loop, &c->timer);
}

void
llm_health_write(const struct llm *llm, struct json_w *w)
{
	json_w_begin_array(w, NULL);
	llm_endpoint_health(llm->endpoints, w, clock_mono_ms());
	json_w_end_array(w);
}

void
llm_measure(const struct llm *llm)
{
	llm_endpoint_measure(llm->endpoints, clock_mono_ms());
}

void
llm_free(struct llm **out)
{
	struct llm *llm = *out;

	if (llm == NULL)
		return;
	/* A call takes its hedge, which is in the list too, with it. */
	while (!list_is_empty(&llm->calls)) {
		struct llm_call *c =
		    LIST_ENTRY(llm->calls.next, struct llm_call, link);
		assert(c->busy == 0);
		call_free(c);
	}
	llm_http_free(&llm->http);
	llm_endpoint_free_all(&llm->endpoints);
	free(llm);
	*out = NULL;
}

static struct llm_request
call_copy_request(struct arena *a, const struct llm_request *r)
{
	struct llm_request copy = *r;
	struct llm_block *blocks;

	if (r->is_lasting)
		return copy;
	blocks = ARENA_ARRAY(a, r->n_blocks + 1, struct llm_block);
	for (size_t i = 0; i < r->n_blocks; i++)
		blocks[i] = (struct llm_block){
		    .label = arena_strdup(a, r->blocks[i].label),
		    .text = arena_strdup(a, r->blocks[i].text)};
	copy.blocks = blocks;
	copy.system = arena_strdup(a, r->system);
	copy.question = arena_strdup(a, r->question);
	copy.context = arena_strdup(a, r->context);
	copy.instruction = arena_strdup(a, r->instruction);
	copy.nonce = arena_strdup(a, r->nonce);
	return copy;
}

/* ---- the end of a call ---- */

static struct llm_agent
call_copy_agent(struct arena *a, const struct llm_agent *agent, bool is_lasting)
{
	if (is_lasting)
		return *agent;
	return (struct llm_agent){.row = agent->row,
	    .name = arena_strdup(a, agent->name),
	    .model = arena_strdup(a, agent->model),
	    .persona = arena_strdup(a, agent->persona),
	    .role = arena_strdup(a, agent->role)};
}

size_t
llm_call_memory(const struct llm_call *c)
{
	size_t n = sizeof(*c) + arena_size(c->arena) + c->body.cap +
	    c->reply.cap + c->stream.text.cap + c->sse.line.cap +
	    c->sse.data.cap;

	if (c->offline_text != NULL)
		n += strlen(c->offline_text) + 1;
	return c->hedge != NULL ? n + llm_call_memory(c->hedge) : n;
}

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
static bool
call_is_embed(const struct llm_call *c)
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
		    call_is_embed(c) ? 0 : llm_call_estimate(s->text.len);
		a->cost_udollar = -1;
	}
	if (a->cost_udollar < 0)
		a->cost_udollar =
		    llm_price_cost(&c->price, a->tokens_in, a->tokens_out);
}

static enum llm_attempt_kind
call_kind(const struct llm_call *c)
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
		    call_is_embed(c) ? 0 : llm_call_estimate(s->text.len);
	}
	if (c->spent_in > 0) {
		result.is_usage_estimated = true;
		result.tokens_in += c->spent_in;
		result.tokens_out += c->spent_out;
	}
	result.cost_udollar = call_cost(c, &result);
	llm_call_deliver(c, &result);
}

static int64_t
call_left_ms(const struct llm_call *c)
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

static void call_aim(struct llm_call *c);

static bool
call_fall_back(struct llm_call *c, enum llm_error_class error)
{
	struct llm_agent other;

	if (c->is_fallback || c->is_hedge || call_is_embed(c) ||
	    call_left_ms(c) <= 0 || !call_is_worth_fallback(error) ||
	    !llm_agent_fallback(c->arena, &c->agent, c->llm->settings, &other))
		return false;
	llm_call_end_attempt(c);
	log_warning("llm.fallback", "agent=%s class=%s", c->agent.row->name,
	    llm_error_name(error));
	c->is_fallback = true;
	c->attempts_elsewhere = c->attempts;
	c->agent = other;
	call_aim(c);
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
	if (pause >= call_left_ms(c))
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
	if (pause < 0 && !call_fall_back(c, error)) {
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
	int64_t left = call_left_ms(c);

	loop_timer_set(c->llm->loop, &c->timer, quiet < left ? quiet : left);
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
	if (call_fall_back(c, error))
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
	if (wait < call_left_ms(c)) {
		c->state = CALL_PAUSING;
		loop_timer_set(c->llm->loop, &c->timer, wait);
	} else if (call_fall_back(c, LLM_ERR_RATE)) {
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
	struct llm_attempt next = {.kind = call_kind(c),
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

static void
call_attempt(struct llm_call *c)
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

/* A few words of an offline answer; the pause lets people watch. */
static void
call_offline_piece(struct llm_call *c)
{
	const char *from = c->offline_text + c->offline_at;
	size_t n = 0;

	while (from[n] != '\0' && n < c->offline_piece) {
		n += strcspn(from + n, " \n");
		n += strspn(from + n, " \n");
	}
	c->offline_at += n;
	buf_append(&c->stream.text, from, n);
	llm_call_enter(c);
	if (n > 0 && c->ops.on_delta != NULL)
		c->ops.on_delta(c->ops.arg, from, n);
	if (!llm_call_leave(c))
		return;
	if (from[n] == '\0')
		llm_call_finish(c, LLM_ERR_NONE, "");
	else
		loop_timer_set(c->llm->loop, &c->timer, CALL_PIECE_MS);
}

static void
call_on_silence(struct llm_call *c)
{
	if (call_left_ms(c) <= 0) {
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

static void
call_on_timer(struct loop_timer *t)
{
	struct llm_call *c = t->arg;

	llm_call_enter(c);
	switch (c->state) {
	case CALL_OFFLINE:
		call_offline_piece(c);
		break;
	case CALL_PAUSING:
		call_attempt(c);
		break;
	case CALL_REFUSED:
		llm_call_finish(c, c->refusal_class, c->refusal);
		break;
	case CALL_SENDING:
	case CALL_STREAMING:
		call_on_silence(c);
		break;
	case CALL_WAITING:
	case CALL_HEDGED:
		break;
	}
	llm_call_leave(c);
}

/* ---- starting ---- */

static void
call_refuse(struct llm_call *c, enum llm_error_class error, const char *message)
{
	c->state = CALL_REFUSED;
	c->refusal_class = error;
	c->refusal = message;
}

/* A key that would break its header line is no key. */
static bool
call_is_header_text(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

static void
call_aim_price(struct llm_call *c)
{
	const char *provider = c->agent.row->provider;
	const char *model = llm_agent_model(&c->agent);
	struct err_info info = {0};

	if (llm_price_override(c->arena, c->llm->settings->llm_prices, provider,
		model, &c->price, &info) != ERR_OK)
		log_error("llm.prices", "reason=%s", info.text);
	if (!c->price.is_known)
		c->price = llm_price_of(provider, model);
}

/* At c->agent: its URL, key, price. */
static void
call_aim(struct llm_call *c)
{
	const struct settings *settings = c->llm->settings;
	const struct llm_agent_row *row = c->agent.row;
	const struct llm_dialect_row *d = llm_dialect(llm_agent_dialect(row));
	struct err_info info = {0};
	const char *base;

	c->provider = call_is_embed(c) ? d->provider->embed : d->provider;
	if (call_is_embed(c) && !llm_embed_has(row)) {
		call_refuse(c, LLM_ERR_BAD_REQUEST,
		    arena_printf(c->arena, "%s has no embeddings", row->name));
		return;
	}
	c->key = llm_agent_key(row, settings);
	if (!call_is_header_text(c->key)) {
		call_refuse(c, LLM_ERR_AUTH,
		    arena_printf(
			c->arena, "%s holds what is no key", row->key_env));
		return;
	}
	if (llm_url_base(c->arena, llm_agent_url(row, settings), d->port,
		d->path, &base, &info) != ERR_OK) {
		call_refuse(
		    c, LLM_ERR_BAD_REQUEST, arena_strdup(c->arena, info.text));
		return;
	}
	c->endpoint = llm_endpoint_get(&c->llm->endpoints, &c->agent, settings);
	c->url = c->provider->url(c->arena, base, &c->agent);
	c->auth = *c->key != '\0' ? c->provider->auth(c->arena, c->key) : "";
	call_aim_price(c);
	if (!c->is_hedge)
		llm_budget_earn(&c->llm->budgets[llm_agent_dialect(row)]);
	c->state = CALL_PAUSING; /* the first attempt, next turn */
}

static void
call_prepare(struct llm_call *c, const struct llm_request *request)
{
	const struct settings *settings = c->llm->settings;
	const struct llm_agent_row *row = c->agent.row;
	struct err_info info = {0};
	struct llm_agent other;

	if (request->task == LLM_EMBED
		? !llm_agent_is_direct(row, settings, &info)
		: !llm_agent_is_available(row, settings, &info)) {
		call_refuse(c, LLM_ERR_AUTH, arena_strdup(c->arena, info.text));
		return;
	}
	c->request = call_copy_request(c->arena, request);
	if (!call_is_embed(c) && !llm_agent_is_direct(row, settings, NULL) &&
	    llm_agent_fallback(c->arena, &c->agent, settings, &other)) {
		c->agent = other;
		c->is_fallback = true;
	}
	call_aim(c);
}

static void
call_prepare_offline(struct llm_call *c, const struct llm_request *request)
{
	size_t len;

	c->attempts = 1;
	c->price = llm_price_of(c->agent.row->provider, "");
	c->state = CALL_OFFLINE;
	c->stream.tokens_in = 0;
	c->stream.tokens_out = 0;
	c->offline_text =
	    heap_take(HEAP_CALLS, c->provider->answer(&c->agent, request));
	len = strlen(c->offline_text);
	c->offline_piece = str_eq(c->agent.model, CALL_FAST_MODEL)
	    ? len + 1
	    : len / CALL_PIECES + CALL_PIECE_MIN;
}

struct llm_call *
llm_call_open(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops,
    const struct llm_call *hedged)
{
	struct llm_call *c = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*c)));

	c->llm = llm;
	c->ops = *ops;
	c->arena = arena_new_for(HEAP_CALLS, CALL_ARENA);
	c->timer = (struct loop_timer){.fn = call_on_timer, .arg = c};
	c->started_ms = hedged != NULL ? hedged->started_ms : clock_mono_ms();
	c->is_hedge = hedged != NULL;
	/* A hedge asks where the first request does. */
	c->is_fallback = hedged != NULL && hedged->is_fallback;
	c->provider = llm_dialect(llm_agent_dialect(agent->row))->provider;
	c->agent = call_copy_agent(c->arena, agent, request->is_lasting);
	buf_init_for(&c->body, HEAP_CALLS, (size_t)CALL_BODY_MAX * 2);
	buf_init_for(&c->reply, HEAP_CALLS, CALL_BODY_MAX);
	buf_init_for(&c->stream.text, HEAP_CALLS, CALL_BODY_MAX);
	llm_read_reset(c);
	list_add_tail(&llm->calls, &c->link);
	if (c->provider->answer != NULL && request->task != LLM_EMBED)
		call_prepare_offline(c, request);
	else
		call_prepare(c, request);
	loop_timer_set(llm->loop, &c->timer, 0);
	return c;
}

struct llm_call *
llm_call_start(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops)
{
	return llm_call_open(llm, agent, request, ops, NULL);
}
