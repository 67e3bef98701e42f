/* SPDX-License-Identifier: MIT
 *
 * The server about itself.
 */
#include "fcgi/handler.h"

#include "debate/config.h"
#include "fcgi/api_page.h"
#include "fcgi/routes.h"
#include "settings/settings.h"

static void
meta_features(struct json_w *w)
{
	static const char *const features[] = {"debates", "queue", "events",
	    "websocket", "idempotency_key", "agents", "metrics", "openapi"};

	json_w_begin_array(w, "features");
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		json_w_str(w, NULL, features[i]);
	json_w_end_array(w);
}

enum http_status
meta_capabilities(struct req *req, struct res *res)
{
	const struct settings *s = req->app->settings;
	struct json_w *w = res_json(res);

	json_w_str(w, "version", PACKAGE_VERSION);
	meta_features(w);
	json_w_begin_array(w, "api_versions");
	json_w_str(w, NULL, "v1");
	json_w_str(w, NULL, "v2");
	json_w_end_array(w);
	json_w_begin_array(w, "consensus");
	for (int i = 0; i < DEBATE_RULE__COUNT; i++)
		json_w_str(w, NULL, debate_rule_name((enum debate_rule)i));
	json_w_end_array(w);
	json_w_begin(w, "limits");
	json_w_int(w, "max_agents", s->max_agents_per_debate);
	json_w_int(w, "max_rounds", s->max_rounds);
	json_w_int(w, "max_question_length", s->max_question_length);
	json_w_int(w, "max_request_size", s->max_request_size);
	json_w_int(w, "max_queued_debates", s->max_queued_debates);
	json_w_end(w);
	json_w_bool(
	    w, "auth_required", s->auth_required || *s->api_token != '\0');
	return res_json_end(res, HTTP_OK);
}

enum http_status
meta_openapi(struct req *req, struct res *res)
{
	return res_text(res, "application/json", req->app->openapi);
}

enum http_status
meta_docs(struct req *req, struct res *res)
{
	const struct api_page *page = req->app->api_page;
	enum err e =
	    res_header(res, "Content-Security-Policy", api_page_policy(page));

	if (e != ERR_OK)
		return res_err(res, e, NULL);
	return res_text(res, "text/html; charset=utf-8", api_page_html(page));
}
