/* SPDX-License-Identifier: MIT
 *
 * Where a debate can be followed. The events themselves come from the bridge,
 * to which the web server sends who asks for text/event-stream here.
 */
#include "fcgi/handler.h"

#include "base/id.h"
#include "fcgi/debate_out.h"
#include "settings/settings.h"

struct debate_stream_in {
	const char *debate_id;
};

static const struct input debate_stream_rows[] = {
    {.key = "debate_id",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = ID_MAX,
	.offset = offsetof(struct debate_stream_in, debate_id),
	.help = "Id of the debate."},
};
const struct input_list debate_stream_inputs = {
    debate_stream_rows, ARRAY_LEN(debate_stream_rows)};

static enum http_status
debate_stream_of(struct req *req, struct res *res, const char *id)
{
	struct store_debate row;

	enum http_status status = debate_out_fetch_id(req, res, id, &row);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "status", store_status_name(row.status));
	debate_out_links(w, req, row.id);
	json_w_str(w, "stream_url",
	    arena_printf(req->arena, "%s/api/debates/%s/stream",
		req->app->settings->url_prefix, row.id));
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_stream(struct req *req, struct res *res)
{
	return debate_stream_of(req, res, req->match.params[0]);
}

enum http_status
debate_stream_named(struct req *req, struct res *res)
{
	struct debate_stream_in in;

	enum http_status status =
	    input_read_query(req, &debate_stream_inputs, &in, res);
	return status != HTTP_OK ? status
				 : debate_stream_of(req, res, in.debate_id);
}
