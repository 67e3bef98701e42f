/* SPDX-License-Identifier: MIT
 *
 * Reading debates: one and many.
 */
#include "fcgi/handler.h"

#include "debate/view.h"
#include "fcgi/debate_out.h"

#define DEBATE_QUERY_MAX 500 /* longest text searched for */

struct debate_list_in {
	int64_t limit, offset;
	int status;
	const char *query;
	int64_t since_us, until_us;
};

static const struct input debate_list_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct debate_list_in, limit),
	.help = "Debates in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct debate_list_in, offset),
	.help = "Debates to skip."},
    {.key = "status",
	.kind = INPUT_CHOICE,
#define X(id, text) text "|"
	.choices = STORE_STATUS_LIST(X),
#undef X
	.offset = offsetof(struct debate_list_in, status),
	.help = "Only debates in this state."},
    {.key = "q",
	.kind = INPUT_TEXT,
	.max = DEBATE_QUERY_MAX,
	.offset = offsetof(struct debate_list_in, query),
	.help = "Text within the question, any case."},
    {.key = "since",
	.kind = INPUT_TIME,
	.offset = offsetof(struct debate_list_in, since_us),
	.help = "Created at this time or later (ISO 8601)."},
    {.key = "until",
	.kind = INPUT_TIME,
	.offset = offsetof(struct debate_list_in, until_us),
	.help = "Created before this time (ISO 8601)."},
};
const struct input_list debate_list_inputs = {
    debate_list_rows, ARRAY_LEN(debate_list_rows)};

static void
debate_array(struct json_w *w, const char *key, struct req *req,
    const struct store_debate *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		debate_view_members(w, req->arena, &rows[i], NULL, 0,
		    DEBATE_VIEW_LIST, req->now_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
debate_list(struct req *req, struct res *res)
{
	struct debate_list_in in;
	struct store_debate *rows = NULL;
	size_t n = 0;
	int64_t total = 0;

	enum http_status status =
	    input_read_query(req, &debate_list_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_debate_filter filter = {.tenant = req->caller.tenant,
	    .status = in.status,
	    .query = in.query,
	    .since_us = in.since_us,
	    .until_us = in.until_us,
	    .limit = in.limit,
	    .offset = in.offset,
	    .read = req->read};
	enum err e = store_debate_list(
	    req->app->store, req->arena, &filter, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	debate_array(w, "debates", req, rows, n);
	debate_array(w, "items", req, rows, n);
	debate_out_page(w, total, n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_get(struct req *req, struct res *res)
{
	struct store_debate row;
	struct store_turn *turns = NULL;
	size_t n = 0;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = store_turn_list(
	    req->app->store, req->arena, row.tenant, row.id, &turns, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	debate_view_members(
	    w, req->arena, &row, turns, n, DEBATE_VIEW_FULL, req->now_us);
	debate_out_links(w, req, row.id);
	return res_json_end(res, HTTP_OK);
}
