/* SPDX-License-Identifier: MIT
 *
 * Ending a debate from outside.
 */
#include "fcgi/handler.h"

#include "fcgi/debate_out.h"

static enum http_status
debate_end(struct req *req, struct res *res, const char *reason)
{
	struct store_debate row;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = debate_out_cancel(req, &row, reason);
	if (e == ERR_CONFLICT)
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "debate '%s' is finished already", row.id);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "id", row.id);
	json_w_str(w, "status", store_status_name(row.status));
	json_w_str(w, "message", "the debate was cancelled");
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_cancel(struct req *req, struct res *res)
{
	return debate_end(req, res, "cancelled by request");
}

enum http_status
debate_stop(struct req *req, struct res *res)
{
	return debate_end(req, res, "stopped by request");
}

/* Debates start by themselves; clients ask for it all the same. */
enum http_status
debate_cancel_start(struct req *req, struct res *res)
{
	struct store_debate row;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	if (store_status_is_final(row.status))
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "debate '%s' is finished already", row.id);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "status", store_status_name(row.status));
	return res_json_end(res, HTTP_OK);
}
