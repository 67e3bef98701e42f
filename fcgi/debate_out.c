/* SPDX-License-Identifier: MIT */
#include "fcgi/debate_out.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "debate/view.h"
#include "fcgi/etag.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "telemetry/debate_span.h"

#define DEBATE_OUT_EVENT_BYTES ((size_t)16 << 20)

enum http_status
debate_out_fetch(struct req *req, struct res *res, struct store_debate *row)
{
	return debate_out_fetch_id(req, res, req->match.params[0], row);
}

static enum http_status
debate_out_bad_id(struct res *res)
{
	struct res_field field = {"id",
	    "must be 1 to 128 letters, digits, dots, dashes or underscores"};

	return res_invalid(res, "INVALID_VALUE", &field, 1);
}

/* What came of looking for it. */
static enum http_status
debate_out_found(struct res *res, const char *id, enum err e)
{
	struct err_info info = {0};

	if (e == ERR_OK)
		return HTTP_OK;
	if (e == ERR_NOT_FOUND)
		err_set(&info, e, "", "there is no debate '%s'", id);
	return res_err(res, e, &info);
}

enum http_status
debate_out_fetch_turns(struct req *req, struct res *res,
    struct store_debate *row, struct store_turn **turns, size_t *n)
{
	const char *id = req->match.params[0];

	if (!id_is_valid(id))
		return debate_out_bad_id(res);
	return debate_out_found(res, id,
	    store_debate_read(req->app->store, req->arena, req->caller.tenant,
		id, row, turns, n));
}

enum http_status
debate_out_fetch_id(
    struct req *req, struct res *res, const char *id, struct store_debate *row)
{
	if (!id_is_valid(id))
		return debate_out_bad_id(res);
	return debate_out_found(res, id,
	    store_debate_get(
		req->app->store, req->arena, req->caller.tenant, id, row));
}

void
debate_out_links(struct json_w *w, const struct req *req, const char *debate_id)
{
	const char *prefix = req->app->settings->url_prefix;
	const char *host = req_host(req);
	struct arena *a = req->arena;

	json_w_str(w, "status_url",
	    arena_printf(a, "%s/api/debates/%s", prefix, debate_id));
	json_w_str(w, "events_url",
	    arena_printf(a, "%s/api/debates/%s/events", prefix, debate_id));
	if (*host != '\0')
		json_w_str(w, "websocket_url",
		    arena_printf(a, "%s://%s%s/ws?debate_id=%s",
			req_is_https(req) ? "wss" : "ws", host, prefix,
			debate_id));
}

void
debate_out_page_at(struct json_w *w, int64_t total, size_t count, int64_t limit,
    int64_t offset, bool has_more)
{
	json_w_int(w, "total", total);
	json_w_int(w, "count", (int64_t)count);
	json_w_int(w, "limit", limit);
	json_w_int(w, "offset", offset);
	json_w_bool(w, "has_more", has_more);
}

void
debate_out_page(struct json_w *w, int64_t total, size_t count, int64_t limit,
    int64_t offset)
{
	debate_out_page_at(w, total, count, limit, offset,
	    count > 0 && offset < total - (int64_t)count);
}

void
debate_out_publish(struct req *req, const struct store_debate *row,
    const struct store_event *event)
{
	struct buf text;
	struct event e = {.type = event->type,
	    .debate_id = row->id,
	    .seq = event->seq,
	    .round = event->round,
	    .agent = event->agent,
	    .created_us = event->created_us,
	    .data = event->data,
	    .trace_parent = row->trace_parent};

	buf_init(&text, DEBATE_OUT_EVENT_BYTES);
	event_encode(&text, &e);
	struct bus_message m = {.debate_id = row->id,
	    .seq = event->seq,
	    .payload = buf_text(&text),
	    .payload_len = text.len};
	enum err err = bus_publish(req->app->bus, &m, 1);
	if (err == ERR_OK)
		err = bus_wake(req->app->bus);
	if (err != ERR_OK)
		log_debug("debate.publish", "error=%s", err_text(err));
	buf_release(&text);
}

void
debate_out_array(struct json_w *w, const char *key, struct req *req,
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

static void
debate_out_trace_end(const struct store_debate *row)
{
	char asker[TRACE_SPAN_LEN + 1];
	struct trace t;

	debate_span_trace(&t, asker, row->id, row->trace_parent);
	debate_span_record(
	    &(struct debate_span){.id = row->id,
		.tenant = row->tenant,
		.status = store_status_name(row->status),
		.round = row->round,
		.start_us =
		    row->started_us > 0 ? row->started_us : row->created_us},
	    &t, asker);
}

enum err
debate_out_cancel(struct req *req, struct store_debate *row, const char *reason)
{
	struct store *store = req->app->store;
	struct store_turn *turns = NULL;
	size_t n = 0;

	if (store_status_is_final(row->status))
		return ERR_CONFLICT;
	enum err e = store_turn_list(
	    store, req->arena, row->tenant, row->id, &turns, &n);
	if (e != ERR_OK)
		return e;
	row->status = STORE_CANCELLED;
	row->completed_us = req->now_us;
	struct store_event event = {.type = event_name(EVENT_DEBATE_END),
	    .round = row->round,
	    .data = debate_end_data(req->arena, row, turns, n,
		store_status_name(STORE_CANCELLED), reason, req->now_us)};
	e = store_debate_cancel(store, row->tenant, row->id, &event);
	if (e != ERR_OK)
		return e;
	/* First: calls that nobody wants any more cost money. */
	if (bus_wake_over(req->app->bus, row->id) != ERR_OK)
		log_debug("debate.wake", "debate_id=%s", row->id);
	debate_out_publish(req, row, &event);
	metric_add(METRIC_DEBATES_CANCELLED, 1);
	log_info("debate.cancelled", "debate_id=%s", row->id);
	debate_out_trace_end(row);
	return ERR_OK;
}

/* Of a debate under way the times go on, so its tag is a weak one. */
bool
debate_out_is_known(
    struct req *req, struct res *res, const struct store_debate *row)
{
	return etag_is_known(req, res, debate_out_revision(req, row),
	    !store_status_is_final(row->status));
}

const char *
debate_out_revision(struct req *req, const struct store_debate *row)
{
	return arena_printf(req->arena, "%lld-%llx", (long long)row->revision,
	    (unsigned long long)row->updated_us);
}
