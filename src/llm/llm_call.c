/* SPDX-License-Identifier: MIT
 *
 * The machine behind llm_call_start: one record per call, from its start to
 * the timer that moves it on. llm_call.h names the files of the rest; the
 * bytes are moved by llm_http.c, the words understood by the agent's provider.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_call.h"

/* The pieces in which an offline answer appears; all of it takes a second. */
#define CALL_PIECES	56
#define CALL_PIECE_MIN	12 /* bytes */
#define CALL_PIECE_MS	18
#define CALL_FAST_MODEL "fast"
#define CALL_ARENA	512 /* URL and header lines; other texts if copied */

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
call_on_timer(struct loop_timer *t)
{
	struct llm_call *c = t->arg;

	llm_call_enter(c);
	switch (c->state) {
	case CALL_OFFLINE:
		call_offline_piece(c);
		break;
	case CALL_PAUSING:
		llm_call_attempt(c);
		break;
	case CALL_REFUSED:
		llm_call_finish(c, c->refusal_class, c->refusal);
		break;
	case CALL_SENDING:
	case CALL_STREAMING:
		llm_call_on_silence(c);
		break;
	case CALL_WAITING:
	case CALL_HEDGED:
		break;
	}
	llm_call_leave(c);
}

/* ---- starting ---- */

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
		llm_call_prepare(c, request);
	loop_timer_set(llm->loop, &c->timer, 0);
	return c;
}

struct llm_call *
llm_call_start(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops)
{
	return llm_call_open(llm, agent, request, ops, NULL);
}
