/* SPDX-License-Identifier: MIT
 *
 * What happened in a debate: its messages and its events.
 */
#include "fcgi/handler.h"

#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "fcgi/event_page.h"
#include "store/store_human.h"

#define DEBATE_MESSAGES_PAGE 50
#define DEBATE_MESSAGES_MAX  200
#define DEBATE_EVENTS_PAGE   100
#define DEBATE_EVENTS_MAX    500
#define DEBATE_NAME_MAX	     200
#define DEBATE_ROUND_MAX     1000
/* One event holds at most one text of a model, far less than this. */
#define DEBATE_EVENT_BYTES ((size_t)16 << 20)

struct debate_messages_in {
	int64_t limit, offset;
	int64_t round;
	const char *agent, *role;
};

static const struct input debate_messages_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = DEBATE_MESSAGES_PAGE,
	.max = DEBATE_MESSAGES_MAX,
	.offset = offsetof(struct debate_messages_in, limit),
	.help = "Messages in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct debate_messages_in, offset),
	.help = "Messages to skip."},
    {.key = "round",
	.kind = INPUT_INT,
	.fallback = -1,
	.min = 0,
	.max = DEBATE_ROUND_MAX,
	.offset = offsetof(struct debate_messages_in, round),
	.help = "Only of this round."},
    {.key = "agent",
	.kind = INPUT_TEXT,
	.max = DEBATE_NAME_MAX,
	.offset = offsetof(struct debate_messages_in, agent),
	.help = "Only of this agent."},
    {.key = "role",
	.kind = INPUT_TEXT,
	.max = DEBATE_NAME_MAX,
	.offset = offsetof(struct debate_messages_in, role),
	.help = "Only in this role: proposer, synthesizer, ...; user: what "
		"people said."},
};
const struct input_list debate_messages_inputs = {
    debate_messages_rows, ARRAY_LEN(debate_messages_rows)};

static const struct input debate_events_rows[] = {
    EVENT_PAGE_INPUTS(DEBATE_EVENTS_PAGE, DEBATE_EVENTS_MAX)};
const struct input_list debate_events_inputs = {
    debate_events_rows, ARRAY_LEN(debate_events_rows)};

/* A message and its place among all messages of the debate. */
struct debate_message {
	const struct store_turn *turn;
	int64_t index;
};

static bool
debate_is_wanted(
    const struct debate_messages_in *in, const struct store_turn *turn)
{
	return (in->round < 0 || turn->round == in->round) &&
	    (in->agent == NULL || str_eq(turn->agent, in->agent)) &&
	    (in->role == NULL || str_eq(turn->role, in->role));
}

/* The wanted messages of the turns; *n of them on the arena. */
static struct debate_message *
debate_select(struct arena *a, const struct debate_messages_in *in,
    const struct store_turn *turns, size_t n_turns, size_t *n)
{
	struct debate_message *out =
	    ARENA_ARRAY(a, n_turns + 1, struct debate_message);
	int64_t index = 0;

	*n = 0;
	for (size_t i = 0; i < n_turns; i++) {
		if (!debate_view_is_message(&turns[i]))
			continue;
		if (debate_is_wanted(in, &turns[i]))
			out[(*n)++] = (struct debate_message){&turns[i], index};
		index++;
	}
	return out;
}

static void
debate_message_array(struct json_w *w, const char *key,
    const struct debate_message *messages, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		debate_view_message(w, messages[i].turn, messages[i].index);
	json_w_end_array(w);
}

static void
debate_human_array(struct json_w *w, const char *key,
    const struct store_human *const *said, size_t n, int64_t from)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_int(w, "index", from + (int64_t)i);
		json_w_str(w, "role", "user");
		json_w_str(w, "agent", said[i]->who);
		json_w_str(w, "name", said[i]->who);
		json_w_str(w, "content", said[i]->text);
		json_w_int(w, "round", 0);
		json_w_time(w, "timestamp", said[i]->created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

/* role=user: what people said, in a row of its own. */
static enum http_status
debate_human_messages(struct req *req, struct res *res,
    const struct debate_messages_in *in, const struct store_debate *row)
{
	struct store_human *rows = NULL;
	size_t n = 0, total = 0;

	enum err e = store_human_list(
	    req->app->store, req->arena, row->tenant, row->id, 0, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const struct store_human **said =
	    ARENA_ARRAY(req->arena, n + 1, const struct store_human *);
	for (size_t i = 0; i < n; i++)
		if (rows[i].kind == STORE_HUMAN_SUGGESTION &&
		    (in->agent == NULL || str_eq(in->agent, rows[i].who)))
			said[total++] = &rows[i];
	size_t from = (uint64_t)in->offset < total ? (size_t)in->offset : total;
	size_t count = total - from;
	if (count > (size_t)in->limit)
		count = (size_t)in->limit;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row->id);
	debate_human_array(w, "messages", said + from, count, (int64_t)from);
	debate_human_array(w, "items", said + from, count, (int64_t)from);
	debate_out_page(w, (int64_t)total, count, in->limit, in->offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_messages(struct req *req, struct res *res)
{
	struct debate_messages_in in;
	struct store_debate row;
	struct store_turn *turns = NULL;
	size_t n_turns = 0, total;

	enum http_status status =
	    input_read_query(req, &debate_messages_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	if (str_eq(in.role, "user"))
		return debate_human_messages(req, res, &in, &row);
	enum err e = store_turn_list(
	    req->app->store, req->arena, row.tenant, row.id, &turns, &n_turns);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct debate_message *messages =
	    debate_select(req->arena, &in, turns, n_turns, &total);
	size_t from = (uint64_t)in.offset < total ? (size_t)in.offset : total;
	size_t n = total - from;
	if (n > (size_t)in.limit)
		n = (size_t)in.limit;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	debate_message_array(w, "messages", messages + from, n);
	debate_message_array(w, "items", messages + from, n);
	debate_out_page(w, (int64_t)total, n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

static void
debate_event_array(struct json_w *w, const char *debate_id,
    const struct store_event *events, size_t n)
{
	struct buf text;

	buf_init(&text, DEBATE_EVENT_BYTES);
	json_w_begin_array(w, "events");
	for (size_t i = 0; i < n; i++) {
		struct event e = {.type = events[i].type,
		    .debate_id = debate_id,
		    .seq = events[i].seq,
		    .round = events[i].round,
		    .agent = events[i].agent,
		    .created_us = events[i].created_us,
		    .data = events[i].data,
		    .trace_parent = events[i].trace_parent};
		buf_clear(&text);
		event_encode(&text, &e);
		json_w_raw(w, NULL, buf_text(&text));
	}
	json_w_end_array(w);
	buf_release(&text);
}

enum http_status
debate_events(struct req *req, struct res *res)
{
	struct event_page page;

	enum http_status status =
	    event_page_read(req, res, &debate_events_inputs, &page);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", page.row.id);
	json_w_str(w, "status", store_status_name(page.row.status));
	debate_event_array(w, page.row.id, page.events, page.n);
	json_w_int(w, "latest_seq",
	    page.row.last_seq > page.last ? page.row.last_seq : page.last);
	return event_page_end(res, w, &page);
}
