/* SPDX-License-Identifier: MIT
 *
 * Votes and suggestions of people. They are stored and told at once, and
 * taken up by the runner at the end of the round.
 */
#include "fcgi/handler.h"

#include "base/log.h"
#include "base/str.h"
#include "bus/event.h"
#include "debate/audience_take.h"
#include "fcgi/debate_out.h"

struct human_in {
	const char *input, *choice, *text, *suggestion;
	const char *user_id;
	int type;
	int64_t intensity;
};

static const struct input human_rows[] = {
    {.key = "input",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_TEXT_MAX,
	.offset = offsetof(struct human_in, input),
	.help = "The agent voted for, or the text."},
    {.key = "choice",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_TEXT_MAX,
	.offset = offsetof(struct human_in, choice),
	.help = "The agent voted for."},
    {.key = "text",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_TEXT_MAX,
	.offset = offsetof(struct human_in, text),
	.help = "The text."},
    {.key = "suggestion",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_TEXT_MAX,
	.offset = offsetof(struct human_in, suggestion),
	.help = "The text."},
    {.key = "user_id",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_WHO_MAX / 2,
	.offset = offsetof(struct human_in, user_id),
	.help = "Who of those behind one credential speaks."},
    {.key = "type",
	.kind = INPUT_CHOICE,
	.choices = "vote|suggestion|question|context|",
	.offset = offsetof(struct human_in, type),
	.help = "What it is: a suggestion unless given."},
    {.key = "intensity",
	.kind = INPUT_INT,
	.fallback = AUDIENCE_INTENSITY_NEUTRAL,
	.min = AUDIENCE_INTENSITY_MIN,
	.max = AUDIENCE_INTENSITY_MAX,
	.offset = offsetof(struct human_in, intensity),
	.help = "Of a vote."},
};
static const struct input_list human_inputs = {
    human_rows, ARRAY_LEN(human_rows)};

static enum http_status
human_refuse(struct res *res, enum err e, const struct err_info *info)
{
	const struct res_field field = {info->field, info->text};

	if (e == ERR_INVALID)
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	if (*info->text != '\0' &&
	    (e == ERR_CONFLICT || e == ERR_DENIED || e == ERR_TOO_LARGE))
		return res_fail(
		    res, HTTP_CONFLICT, "CONFLICT", "%s", info->text);
	return res_err(res, e, NULL);
}

/* How the votes stand: for whoever watches; who misses it asks again. */
static void
human_tell_metrics(struct req *req, const struct store_debate *row)
{
	struct store_event event = {
	    .type = event_name(EVENT_AUDIENCE_METRICS), .round = row->round};

	if (audience_metrics(req->app->store, req->arena, row->tenant, row->id,
		&event.data) != ERR_OK)
		return;
	event.created_us = req->now_us;
	debate_out_publish(req, row, &event);
}

static void
human_tell(struct req *req, const struct store_debate *row,
    const struct store_human *in, const struct store_event *event)
{
	debate_out_publish(req, row, event);
	human_tell_metrics(req, row);
	log_info("debate.input", "debate_id=%s kind=%s seq=%lld", row->id,
	    in->kind == STORE_HUMAN_VOTE ? "vote" : "suggestion",
	    (long long)in->seq);
}

static const char *
human_first(const char *a, const char *b, const char *c)
{
	return a != NULL ? a : b != NULL ? b : c;
}

/* How many texts people had said before. */
static enum err
human_index(struct req *req, const struct store_debate *row, int64_t seq,
    int64_t *index, int64_t *at_us)
{
	struct store_human *rows = NULL;
	size_t n = 0;

	*index = *at_us = 0;
	enum err e = store_human_list(
	    req->app->store, req->arena, row->tenant, row->id, 0, &rows, &n);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].kind != STORE_HUMAN_SUGGESTION)
			continue;
		if (rows[i].seq == seq)
			*at_us = rows[i].created_us;
		else if (rows[i].seq < seq)
			++*index;
	}
	return e;
}

struct human_message {
	const char *content, *role, *user_id;
};

static const struct input human_message_rows[] = {
    {.key = "content",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUDIENCE_TEXT_MAX,
	.offset = offsetof(struct human_message, content),
	.help = "What is said."},
    {.key = "role",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_WHO_MAX / 2,
	.offset = offsetof(struct human_message, role),
	.help = "user."},
    {.key = "user_id",
	.kind = INPUT_TEXT,
	.max = AUDIENCE_WHO_MAX / 2,
	.offset = offsetof(struct human_message, user_id),
	.help = "Who of those behind one credential speaks."},
};
static const struct input_list human_message_inputs = {
    human_message_rows, ARRAY_LEN(human_message_rows)};

/* The way of a suggestion: the agents hear it at the end of the round. */
enum http_status
debate_say(struct req *req, struct res *res)
{
	static const struct res_field bad = {"role", "must be user"};
	struct human_message body;
	struct store_debate row;
	struct store_event event = {0};
	struct err_info info = {0};
	int64_t index, at_us;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status == HTTP_OK)
		status =
		    input_read_body(req, &human_message_inputs, &body, res);
	if (status != HTTP_OK)
		return status;
	if (body.role != NULL && !str_eq(body.role, "user"))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	struct store_human in = {.kind = STORE_HUMAN_SUGGESTION,
	    .text = body.content,
	    .key = req->key};
	const char *person =
	    human_first(req->caller.token_id, req->caller.subject, NULL);
	enum err e =
	    audience_take(req->app->store, req->app->settings, req->arena,
		row.tenant, row.id, person, body.user_id, &in, &event, &info);
	if (e != ERR_OK && str_eq(info.field, "text"))
		err_set(&info, e, "content", "%s",
		    arena_strdup(req->arena, info.text));
	if (e != ERR_OK)
		return human_refuse(res, e, &info);
	if (req->key == NULL || !req->key->is_replay)
		human_tell(req, &row, &in, &event);
	e = human_index(req, &row, in.seq, &index, &at_us);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "message_id",
	    arena_printf(req->arena, "%s-%lld", row.id, (long long)in.seq));
	json_w_int(w, "index", index);
	json_w_str(w, "role", "user");
	json_w_str(w, "agent", in.who);
	json_w_str(w, "name", in.who);
	json_w_str(w, "content", body.content);
	json_w_int(w, "round", event.round);
	json_w_time(w, "timestamp", at_us);
	return res_json_end(res, HTTP_CREATED);
}

enum http_status
debate_input(struct req *req, struct res *res)
{
	struct human_in body;
	struct store_debate row;
	struct store_event event;
	struct err_info info = {0};

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status == HTTP_OK)
		status = input_read_body(req, &human_inputs, &body, res);
	if (status != HTTP_OK)
		return status;
	bool is_vote = body.type == 0;
	struct store_human in = {
	    .kind = is_vote ? STORE_HUMAN_VOTE : STORE_HUMAN_SUGGESTION,
	    .key = req->key};
	if (is_vote) {
		in.choice = human_first(body.choice, body.input, NULL);
		in.intensity = body.intensity;
	} else {
		in.text = human_first(body.input, body.text, body.suggestion);
	}
	const char *person =
	    human_first(req->caller.token_id, req->caller.subject, NULL);
	enum err e =
	    audience_take(req->app->store, req->app->settings, req->arena,
		row.tenant, row.id, person, body.user_id, &in, &event, &info);
	if (e != ERR_OK)
		return human_refuse(res, e, &info);
	if (req->key == NULL || !req->key->is_replay)
		human_tell(req, &row, &in, &event);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "input_id",
	    arena_printf(req->arena, "%s-%lld", row.id, (long long)in.seq));
	json_w_str(w, "debate_id", row.id);
	json_w_int(w, "seq", in.seq);
	json_w_str(w, "type", is_vote ? "vote" : "suggestion");
	json_w_int(w, "round", event.round);
	return res_json_end(res, HTTP_OK);
}
