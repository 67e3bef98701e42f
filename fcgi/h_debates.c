/* SPDX-License-Identifier: MIT
 *
 * Reading debates: one and many.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "debate/view.h"
#include "fcgi/cursor.h"
#include "fcgi/debate_out.h"
#include "fcgi/keep.h"

#define DEBATE_QUERY_MAX  500 /* longest text searched for */
#define DEBATE_ROUNDS_MAX 1000
#define DEBATE_SEATS_MAX  32 /* agents asked for at once */

struct debate_list_in {
	int64_t limit, offset;
	int status;
	const char *query;
	int64_t since_us, until_us;
	const char *agent, *agents, *domain, *tag;
	int64_t min_rounds, max_rounds;
	int is_reached, order, direction;
	const char *cursor;
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
    {.key = "agent",
	.kind = INPUT_TEXT,
	.max = DEBATE_QUERY_MAX,
	.offset = offsetof(struct debate_list_in, agent),
	.help = "Only debates that this agent takes part in."},
    {.key = "agents",
	.kind = INPUT_TEXT,
	.max = DEBATE_QUERY_MAX,
	.offset = offsetof(struct debate_list_in, agents),
	.help = "Only debates that all of these take part in, separated by "
		"commas."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = DEBATE_QUERY_MAX,
	.offset = offsetof(struct debate_list_in, domain),
	.help = "Only of this domain."},
    {.key = "tag",
	.kind = INPUT_TEXT,
	.max = DEBATE_QUERY_MAX,
	.offset = offsetof(struct debate_list_in, tag),
	.help = "Only with this tag."},
    {.key = "min_rounds",
	.kind = INPUT_INT,
	.max = DEBATE_ROUNDS_MAX,
	.offset = offsetof(struct debate_list_in, min_rounds),
	.help = "That came to this round or further."},
    {.key = "max_rounds",
	.kind = INPUT_INT,
	.max = DEBATE_ROUNDS_MAX,
	.offset = offsetof(struct debate_list_in, max_rounds),
	.help = "That came no further than this round; 0 = any."},
    {.key = "consensus_reached",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct debate_list_in, is_reached),
	.help = "Only with, or only without, a consensus."},
    {.key = "order_by",
	.kind = INPUT_CHOICE,
#define X(id, text) text "|"
	.choices = STORE_ORDER_LIST(X),
#undef X
	.offset = offsetof(struct debate_list_in, order),
	.help = "What they are in order of; created_at if absent."},
    {.key = "order_dir",
	.kind = INPUT_CHOICE,
	.choices = "desc|asc|",
	.offset = offsetof(struct debate_list_in, direction),
	.help = "The greatest first (desc, if absent) or last."},
    CURSOR_INPUT(struct debate_list_in, cursor),
};
const struct input_list debate_list_inputs = {
    debate_list_rows, ARRAY_LEN(debate_list_rows)};

/* Names separated by commas, white space around them dropped. */
static size_t
debate_split(struct arena *a, const char *list, const char **names)
{
	size_t n = 0;

	while (list != NULL && *list != '\0' && n < DEBATE_SEATS_MAX) {
		size_t len = strcspn(list, ",");
		const char *name = str_trim(a, arena_strndup(a, list, len));
		if (*name != '\0')
			names[n++] = name;
		list += len + (list[len] == ',' ? 1 : 0);
	}
	return n;
}

static struct store_debate_filter
debate_filter(struct req *req, const struct debate_list_in *in)
{
	const char **names =
	    ARENA_ARRAY(req->arena, DEBATE_SEATS_MAX + 1, const char *);
	size_t n = debate_split(req->arena, in->agents, names);

	if (in->agent != NULL)
		names[n++] = in->agent;
	return (struct store_debate_filter){.tenant = req->caller.tenant,
	    .status = in->status,
	    .query = in->query,
	    .since_us = in->since_us,
	    .until_us = in->until_us,
	    .domain = in->domain,
	    .tag = in->tag,
	    .agents = names,
	    .n_agents = n,
	    .min_rounds = in->min_rounds,
	    .max_rounds = in->max_rounds,
	    .is_by_outcome = in->is_reached >= 0,
	    .is_reached = in->is_reached > 0,
	    .order =
		in->order < 0 ? STORE_BY_CREATED : (enum store_order)in->order,
	    .is_ascending = in->direction > 0,
	    .limit = in->limit,
	    .offset = in->offset,
	    .read = req->read};
}

static enum http_status
debate_list_of(struct req *req, struct res *res, bool is_archived)
{
	struct debate_list_in in;
	struct cursor_page page;
	struct store_debate *rows = NULL;
	size_t n = 0;
	int64_t total = 0;

	enum http_status status =
	    input_read_query(req, &debate_list_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_debate_filter filter = debate_filter(req, &in);
	filter.is_archived = is_archived;
	status = cursor_debates_begin(req, res, in.cursor, &filter);
	if (status != HTTP_OK)
		return status;
	enum err e = store_debate_list(
	    req->app->store, req->arena, &filter, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	cursor_debates_end(&filter, rows, &n, &page);
	struct json_w *w = res_json(res);
	debate_out_array(w, "debates", req, rows, n);
	debate_out_array(w, "items", req, rows, n);
	cursor_page_write(w, req->arena, &page, n, total);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_list(struct req *req, struct res *res)
{
	return debate_list_of(req, res, false);
}

enum http_status
debate_list_archived(struct req *req, struct res *res)
{
	return debate_list_of(req, res, true);
}

static enum http_status
debate_get_write(struct req *req, struct res *res, void *arg)
{
	const struct store_debate *row = arg;
	struct store_turn *turns = NULL;
	size_t n = 0;

	enum err e = store_turn_list(
	    req->app->store, req->arena, row->tenant, row->id, &turns, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	debate_view_members(
	    w, req->arena, row, turns, n, DEBATE_VIEW_FULL, req->now_us);
	debate_out_links(w, req, row->id);
	return res_json_end(res, HTTP_OK);
}

/* The row is read each time, so that nobody sees what he may not, or what is
 * gone. What its revision comes to once a debate has ended is kept; the links
 * name the host that was asked for. */
enum http_status
debate_get(struct req *req, struct res *res)
{
	struct store_debate *row = ARENA_NEW(req->arena, struct store_debate);

	enum http_status status = debate_out_fetch(req, res, row);
	if (status != HTTP_OK)
		return status;
	if (debate_out_is_known(req, res, row))
		return HTTP_NOT_MODIFIED;
	if (!store_status_is_final(row->status))
		return debate_get_write(req, res, row);
	return keep_under(req, res, CACHE_DEBATES,
	    arena_printf(req->arena, "%s %s %d %s", row->id,
		debate_out_revision(req, row), (int)req_is_https(req),
		req_host(req)),
	    debate_get_write, row);
}
