/* SPDX-License-Identifier: MIT
 *
 * Ending a debate from outside. The store takes the lease over, so whatever
 * the runner still writes is refused; its event goes out after the commit.
 */
#include "fcgi/handler.h"

#include "base/log.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "metrics/metrics.h"

#define DEBATE_CANCEL_REASON "cancelled by request"

static enum http_status
debate_is_over(struct res *res, const char *id)
{
	return res_fail(res, HTTP_CONFLICT, "CONFLICT",
	    "debate '%s' is finished already", id);
}

enum http_status
debate_cancel(struct req *req, struct res *res)
{
	struct store *store = req->app->store;
	struct store_debate row;
	struct store_turn *turns = NULL;
	size_t n = 0;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	if (store_status_is_final(row.status))
		return debate_is_over(res, row.id);
	enum err e =
	    store_turn_list(store, req->arena, row.tenant, row.id, &turns, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const char *cancelled = store_status_name(STORE_CANCELLED);
	row.status = STORE_CANCELLED;
	row.completed_us = req->now_us;
	struct store_event event = {.type = event_name(EVENT_DEBATE_END),
	    .round = row.round,
	    .data = debate_end_data(req->arena, &row, turns, n, cancelled,
		DEBATE_CANCEL_REASON, req->now_us)};
	e = store_debate_cancel(store, row.tenant, row.id, &event);
	if (e == ERR_CONFLICT)
		return debate_is_over(res, row.id);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	/* First: calls that nobody wants any more cost money. */
	if (bus_wake_over(req->app->bus, row.id) != ERR_OK)
		log_debug("debate.wake", "id=%s", row.id);
	debate_out_publish(req, row.id, &event);
	metric_add(METRIC_DEBATES_CANCELLED, 1);
	log_info("debate.cancelled", "id=%s", row.id);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "id", row.id);
	json_w_str(w, "status", cancelled);
	json_w_str(w, "message", "the debate was cancelled");
	return res_json_end(res, HTTP_OK);
}
