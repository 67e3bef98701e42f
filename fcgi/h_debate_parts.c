/* SPDX-License-Identifier: MIT
 *
 * One side of a debate: its rounds, ballots, outcome, summary, timeline.
 */
#include "fcgi/handler.h"

#include "base/str.h"
#include "bus/event.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "fcgi/event_page.h"
#include "fcgi/keep.h"

#define DEBATE_TIMELINE_PAGE 100
#define DEBATE_TIMELINE_MAX  500

struct debate_part {
	struct store_debate row;
	enum debate_view_part part;
};

static enum http_status
debate_part_write(struct req *req, struct res *res, void *arg)
{
	struct debate_part *p = arg;
	struct store_turn *turns = NULL;
	size_t n = 0;

	enum err e = store_turn_list(
	    req->app->store, req->arena, p->row.tenant, p->row.id, &turns, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	debate_view_part(
	    res_json(res), req->arena, p->part, &p->row, turns, n, req->now_us);
	return res_json_end(res, HTTP_OK);
}

/* Of a debate that has ended it is known by the revision. */
static enum http_status
debate_part(struct req *req, struct res *res, enum debate_view_part part)
{
	struct debate_part *p = ARENA_NEW(req->arena, struct debate_part);

	p->part = part;
	enum http_status status = debate_out_fetch(req, res, &p->row);
	if (status != HTTP_OK)
		return status;
	bool is_final = store_status_is_final(p->row.status);
	if (is_final && debate_out_is_known(req, res, &p->row))
		return HTTP_NOT_MODIFIED;
	if (!is_final || part != DEBATE_PART_SUMMARY)
		return debate_part_write(req, res, p);
	return keep_under(req, res, CACHE_SUMMARIES,
	    arena_printf(req->arena, "%s %s", p->row.id,
		debate_out_revision(req, &p->row)),
	    debate_part_write, p);
}

enum http_status
debate_rounds(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_ROUNDS);
}

enum http_status
debate_agents(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_AGENTS);
}

enum http_status
debate_votes(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_VOTES);
}

enum http_status
debate_critiques(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_CRITIQUES);
}

enum http_status
debate_consensus(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_CONSENSUS);
}

enum http_status
debate_positions(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_POSITIONS);
}

enum http_status
debate_summary(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_SUMMARY);
}

enum http_status
debate_impasse(struct req *req, struct res *res)
{
	return debate_part(req, res, DEBATE_PART_IMPASSE);
}

/* ---- timeline ---- */

static const struct input debate_timeline_rows[] = {
    EVENT_PAGE_INPUTS(DEBATE_TIMELINE_PAGE, DEBATE_TIMELINE_MAX)};
const struct input_list debate_timeline_inputs = {
    debate_timeline_rows, ARRAY_LEN(debate_timeline_rows)};

static const char *
debate_event_meaning(const char *name)
{
	for (int i = 0; i < EVENT__COUNT; i++)
		if (str_eq(event_name((enum event_type)i), name))
			return event_row((enum event_type)i)->help;
	return name; /* of a newer program */
}

static void
debate_timeline_entry(struct json_w *w, const struct store_event *event)
{
	json_w_begin(w, NULL);
	json_w_int(w, "seq", event->seq);
	json_w_time(w, "timestamp", event->created_us);
	json_w_str(w, "type", event->type);
	json_w_str(w, "agent", event->agent);
	json_w_int(w, "round", event->round);
	json_w_str(w, "description", debate_event_meaning(event->type));
	json_w_end(w);
}

enum http_status
debate_timeline(struct req *req, struct res *res)
{
	struct event_page page;

	enum http_status status =
	    event_page_read(req, res, &debate_timeline_inputs, &page);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", page.row.id);
	json_w_begin_array(w, "timeline");
	for (size_t i = 0; i < page.n; i++)
		debate_timeline_entry(w, &page.events[i]);
	json_w_end_array(w);
	return event_page_end(res, w, &page);
}
