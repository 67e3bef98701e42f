/* SPDX-License-Identifier: MIT
 *
 * Pausing a debate and letting it go on. Both may be sent again: the answer is
 * the same and nothing more is told.
 */
#include "fcgi/handler.h"

#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "fcgi/debate_out.h"

static enum http_status
debate_pause_answer(
    struct res *res, const char *id, enum store_status status, bool is_pause)
{
	bool is_pausing = is_pause && status == STORE_RUNNING;

	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", id);
	json_w_str(w, "id", id);
	json_w_str(w, "status", store_status_name(status));
	json_w_str(
	    w, "state", is_pausing ? "pausing" : store_status_name(status));
	json_w_str(w, "message",
	    is_pausing	   ? "the debate pauses when its calls have ended"
		: is_pause ? "the debate is paused"
			   : "the debate goes on");
	return res_json_end(res, HTTP_OK);
}

static enum http_status
debate_pause_set(struct req *req, struct res *res, bool is_pause)
{
	struct store *store = req->app->store;
	struct store_debate row;
	enum store_status now = STORE_PENDING;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	struct store_event event = {
	    .type = event_name(
		is_pause ? EVENT_DEBATE_PAUSED : EVENT_DEBATE_RESUMED),
	    .round = row.round,
	    .data = is_pause
		? "{\"status\":\"paused\",\"reason\":\"paused by request\"}"
		: "{\"status\":\"pending\",\"reason\":\"resumed by request\"}"};
	enum err e = is_pause
	    ? store_debate_pause(store, row.tenant, row.id, &event, &now)
	    : store_debate_resume(store, row.tenant, row.id, &event, &now);
	if (e == ERR_CONFLICT)
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "debate '%s' is %s: it cannot be %s", row.id,
		    store_status_name(now), is_pause ? "paused" : "resumed");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (event.seq > 0)
		debate_out_publish(req, &row, &event);
	else if (bus_wake(req->app->bus) != ERR_OK)
		log_debug("debate.wake", "debate_id=%s", row.id);
	log_info("debate.pause", "debate_id=%s wanted=%d status=%s", row.id,
	    is_pause, store_status_name(now));
	return debate_pause_answer(res, row.id, now, is_pause);
}

enum http_status
debate_pause(struct req *req, struct res *res)
{
	return debate_pause_set(req, res, true);
}

enum http_status
debate_resume(struct req *req, struct res *res)
{
	return debate_pause_set(req, res, false);
}
