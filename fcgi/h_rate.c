/* SPDX-License-Identifier: MIT
 *
 * What is left of the caller's rate limits.
 */
#include "fcgi/handler.h"
#include "fcgi/rate.h"
#include "limit/limit.h"

static void
rate_show(struct json_w *w, const struct req *req, const char *kind,
    const struct limit_ask *ask)
{
	struct limit_state s;
	bool is_known;

	enum err e = limit_take(req->app->limit, ask, 1, &s, &is_known);
	if (e == ERR_DOWN || !is_known)
		return;
	json_w_begin(w, kind);
	json_w_int(w, "limit", s.per_minute);
	json_w_int(w, "remaining", s.left);
	json_w_int(
	    w, "reset", req->now_us / RATE_US + rate_seconds(s.reset_us));
	json_w_end(w);
}

enum http_status
rate_get(struct req *req, struct res *res)
{
	static const enum route_rate kinds[] = {ROUTE_RATE_LIST,
	    ROUTE_RATE_CREATE, ROUTE_RATE_LOGIN, ROUTE_RATE_REFRESH,
	    ROUTE_RATE_KEYS};
	bool is_limited = req->app->limit != NULL && !rate_is_internal(req);
	struct json_w *w = res_json(res);
	struct rate_asks asks;

	json_w_str(w, "tier", req->caller.tier);
	json_w_bool(w, "limited", is_limited);
	json_w_int(w, "window_seconds", RATE_WINDOW_S);
	json_w_begin(w, "limits");
	for (size_t k = 0; is_limited && k < ARRAY_LEN(kinds); k++) {
		rate_asks(req, kinds[k], &asks, 0);
		/* Address and caller are the same for all. */
		for (size_t i = k == 0 ? 0 : 2; i < asks.n; i++)
			rate_show(w, req, asks.kinds[i], &asks.list[i]);
	}
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
