/* SPDX-License-Identifier: MIT
 *
 * One debate from the inside: how it goes, what went wrong in it, all of it in
 * one answer.
 */
#include "fcgi/handler.h"

#include "base/str.h"
#include "bus/event.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "fcgi/event_page.h"
#include "settings/settings.h"
#include "store/store_attempt.h"

#define INSIDE_EVENTS	   500
#define INSIDE_EVENT_BYTES ((size_t)16 << 20)
#define INSIDE_USD	   1000000

struct inside {
	struct store_debate row;
	struct store_turn *turns;
	struct store_attempt *calls;
	size_t n_turns, n_calls;
};

/* HTTP_OK, or the answer is written. */
static enum http_status
inside_read(struct req *req, struct res *res, struct inside *in)
{
	struct store *store = req->app->store;

	*in = (struct inside){0};
	enum http_status status = debate_out_fetch_turns(
	    req, res, &in->row, &in->turns, &in->n_turns);
	if (status != HTTP_OK)
		return status;
	enum err e = store_attempt_list(store, req->arena, in->row.tenant,
	    in->row.id, &in->calls, &in->n_calls);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

/* ---- health and diagnostics ---- */

static int64_t
inside_failed(const struct inside *in)
{
	int64_t failed = 0;

	for (size_t i = 0; i < in->n_turns; i++)
		failed += in->turns[i].state == STORE_TURN_FAILED;
	return failed;
}

static bool
inside_is_leased(const struct req *req, const struct inside *in)
{
	return in->row.status == STORE_RUNNING &&
	    in->row.lease_until_us > req->now_us;
}

static void
inside_state(struct json_w *w, const struct req *req, const struct inside *in)
{
	const struct store_debate *row = &in->row;

	json_w_str(w, "debate_id", row->id);
	json_w_str(w, "debate_status", store_status_name(row->status));
	json_w_str(w, "phase", row->phase);
	json_w_int(w, "current_round", row->round);
	json_w_int(w, "total_rounds", row->total_rounds);
	json_w_bool(w, "has_runner", inside_is_leased(req, in));
	json_w_int(w, "runners_so_far", row->attempts);
	json_w_int(w, "failed_turns", inside_failed(in));
	json_w_int(w, "last_seq", row->last_seq);
	json_w_time(w, "updated_at", row->updated_us);
}

/* healthy, degraded (something of it failed, or nobody drives it) or
 * failed. */
enum http_status
debate_health(struct req *req, struct res *res)
{
	struct inside in;

	enum http_status status = inside_read(req, res, &in);
	if (status != HTTP_OK)
		return status;
	bool is_stranded =
	    in.row.status == STORE_RUNNING && !inside_is_leased(req, &in);
	bool is_degraded = is_stranded || inside_failed(&in) > 0;
	struct json_w *w = res_json(res);
	json_w_str(w, "status",
	    in.row.status == STORE_FAILED ? "failed"
		: is_degraded		  ? "degraded"
					  : "healthy");
	json_w_bool(
	    w, "healthy", in.row.status != STORE_FAILED && !is_degraded);
	inside_state(w, req, &in);
	return res_json_end(res, HTTP_OK);
}

static void
inside_failures(struct json_w *w, const struct inside *in)
{
	json_w_begin_array(w, "failures");
	for (size_t i = 0; i < in->n_turns; i++) {
		const struct store_turn *t = &in->turns[i];
		if (t->state != STORE_TURN_FAILED)
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "agent", t->agent);
		json_w_str(w, "phase", t->phase);
		json_w_int(w, "round", t->round);
		json_w_int(w, "attempts", t->attempt);
		json_w_str(w, "error", t->error);
		json_w_end(w);
	}
	json_w_end_array(w);
}

static void
inside_calls(struct json_w *w, const struct inside *in)
{
	int64_t by_state[STORE_ATTEMPT__COUNT] = {0};
	int64_t tokens_in = 0, tokens_out = 0, udollar = 0;

	for (size_t i = 0; i < in->n_calls; i++) {
		by_state[in->calls[i].state]++;
		tokens_in += in->calls[i].tokens_in;
		tokens_out += in->calls[i].tokens_out;
		if (in->calls[i].cost_udollar > 0)
			udollar += in->calls[i].cost_udollar;
	}
	json_w_begin(w, "calls");
	json_w_int(w, "total", (int64_t)in->n_calls);
	for (int i = 0; i < STORE_ATTEMPT__COUNT; i++)
		json_w_int(w,
		    store_attempt_state_name((enum store_attempt_state)i),
		    by_state[i]);
	json_w_int(w, "tokens_in", tokens_in);
	json_w_int(w, "tokens_out", tokens_out);
	json_w_num(w, "cost_usd", (double)udollar / INSIDE_USD);
	json_w_end(w);
}

enum http_status
debate_diagnostics(struct req *req, struct res *res)
{
	struct inside in;

	enum http_status status = inside_read(req, res, &in);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	inside_state(w, req, &in);
	json_w_str(w, "error", in.row.error);
	json_w_int(w, "turns", (int64_t)in.n_turns);
	inside_failures(w, &in);
	inside_calls(w, &in);
	return res_json_end(res, HTTP_OK);
}

/* ---- all of it ---- */

static const char *
inside_path(const struct req *req, const char *id, const char *what)
{
	return arena_printf(req->arena, "%s/api/debates/%s/%s",
	    req->app->settings->url_prefix, id, what);
}

enum http_status
debate_package(struct req *req, struct res *res)
{
	static const char *const parts[] = {
	    "receipt", "export", "events", "calls", "evidence"};
	struct inside in;

	enum http_status status = inside_read(req, res, &in);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", in.row.id);
	json_w_begin(w, "debate");
	debate_view_members(w, req->arena, &in.row, in.turns, in.n_turns,
	    DEBATE_VIEW_FULL, req->now_us);
	json_w_end(w);
	json_w_begin(w, "summary");
	debate_view_part(w, req->arena, DEBATE_PART_SUMMARY, &in.row, in.turns,
	    in.n_turns, req->now_us);
	json_w_end(w);
	inside_calls(w, &in);
	json_w_begin(w, "links");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		json_w_str(w, parts[i], inside_path(req, in.row.id, parts[i]));
	json_w_end(w);
	json_w_time(w, "generated_at", req->now_us);
	return res_json_end(res, HTTP_OK);
}

/* ---- replay ---- */

static const struct input inside_replay_rows[] = {
    EVENT_PAGE_INPUTS(INSIDE_EVENTS, INSIDE_EVENTS)};
const struct input_list debate_replay_inputs = {
    inside_replay_rows, ARRAY_LEN(inside_replay_rows)};

static void
inside_event(struct json_w *w, struct buf *text, const char *debate_id,
    const struct store_event *e, int64_t start_us)
{
	buf_clear(text);
	event_encode(text,
	    &(struct event){.type = e->type,
		.debate_id = debate_id,
		.seq = e->seq,
		.round = e->round,
		.agent = e->agent,
		.created_us = e->created_us,
		.data = e->data});
	json_w_begin(w, NULL);
	json_w_num(
	    w, "offset_seconds", (double)(e->created_us - start_us) / 1e6);
	json_w_raw(w, "event", buf_text(text));
	json_w_end(w);
}

/* Its events, each with the time since the debate was asked for. */
enum http_status
debate_replay(struct req *req, struct res *res)
{
	struct event_page page;
	struct buf text;

	enum http_status status =
	    event_page_read(req, res, &debate_replay_inputs, &page);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", page.row.id);
	json_w_str(w, "status", store_status_name(page.row.status));
	buf_init(&text, INSIDE_EVENT_BYTES);
	json_w_begin_array(w, "frames");
	for (size_t i = 0; i < page.n; i++)
		inside_event(w, &text, page.row.id, &page.events[i],
		    page.row.created_us);
	json_w_end_array(w);
	buf_release(&text);
	return event_page_end(res, w, &page);
}
