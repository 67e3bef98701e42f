/* SPDX-License-Identifier: MIT
 *
 * Agents: the registry of llm/, with their ratings.
 */
#include "fcgi/handler.h"

#include "base/str.h"
#include "fcgi/debate_out.h"
#include "fcgi/rating_out.h"
#include "settings/settings.h"

/* The registry is short, so a caller without a limit gets all of it. */
#define AGENT_PAGE 100

struct agent_list_in {
	int64_t limit, offset;
	int include_stats;
};

static const struct input agent_list_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = AGENT_PAGE,
	.offset = offsetof(struct agent_list_in, limit),
	.help = "Agents in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct agent_list_in, offset),
	.help = "Agents to skip."},
    {.key = "include_stats",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct agent_list_in, include_stats),
	.help = "Accepted; the figures are always there."},
};
const struct input_list agent_list_inputs = {
    agent_list_rows, ARRAY_LEN(agent_list_rows)};

static void
agent_array(struct json_w *w, const char *key, const struct req *req,
    const struct store_board *b, size_t from, size_t to)
{
	json_w_begin_array(w, key);
	for (size_t i = from; i < to; i++) {
		struct store_board_row row =
		    rating_out_row(req, b, llm_agent_at(i)->name);
		json_w_begin(w, NULL);
		rating_out_agent(w, req, &row, NULL, 0);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
agent_list(struct req *req, struct res *res)
{
	struct agent_list_in in;
	struct store_board b = {0};
	size_t total = llm_agent_count();

	enum http_status status =
	    input_read_query(req, &agent_list_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	size_t from = (uint64_t)in.offset < total ? (size_t)in.offset : total;
	size_t to =
	    (size_t)in.limit < total - from ? from + (size_t)in.limit : total;
	struct json_w *w = res_json(res);
	agent_array(w, "agents", req, &b, from, to);
	agent_array(w, "items", req, &b, from, to);
	debate_out_page(w, (int64_t)total, to - from, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_get(struct req *req, struct res *res)
{
	const char *agent = rating_out_param(req, res, 0);
	struct store_board b = {0};

	if (agent == NULL)
		return res->status;
	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct store_board_row row = rating_out_row(req, &b, agent);
	struct json_w *w = res_json(res);
	rating_out_agent(w, req, &row, NULL, 0);
	return res_json_end(res, HTTP_OK);
}

static bool
agent_is_available(const struct req *req, size_t i, struct err_info *why)
{
	const struct llm_agent_row *row = llm_agent_at(i);
	const struct store_agent_rule *rule = rating_out_rule(req, row->name);

	return (rule == NULL || !rule->is_disabled) &&
	    llm_agent_is_available(row, req->app->settings, why);
}

enum http_status
agent_stats(struct req *req, struct res *res)
{
	size_t n = llm_agent_count();
	int64_t available = 0;

	enum err e = rating_out_rules(req);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin(w, "by_provider");
	for (size_t i = 0; i < n; i++) {
		const char *provider = llm_agent_at(i)->provider;
		bool is_first = true;
		int64_t same = 0;
		for (size_t k = 0; k < n; k++) {
			bool is_same =
			    str_eq(llm_agent_at(k)->provider, provider);
			is_first = is_first && !(is_same && k < i);
			same += is_same;
		}
		if (is_first)
			json_w_int(w, provider, same);
		available += agent_is_available(req, i, NULL);
	}
	json_w_end(w);
	json_w_int(w, "total_agents", (int64_t)n);
	json_w_int(w, "total", (int64_t)n);
	json_w_int(w, "available", available);
	json_w_int(w, "unavailable", (int64_t)n - available);
	return res_json_end(res, HTTP_OK);
}

static void
agent_names(
    struct json_w *w, const char *key, const struct req *req, bool is_available)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < llm_agent_count(); i++)
		if (agent_is_available(req, i, NULL) == is_available)
			json_w_str(w, NULL, llm_agent_at(i)->name);
	json_w_end_array(w);
}

enum http_status
agent_availability(struct req *req, struct res *res)
{
	const struct llm_agent_row *detour = llm_agent_find("openrouter");

	enum err e = rating_out_rules(req);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	agent_names(w, "available", req, true);
	agent_names(w, "missing", req, false);
	json_w_begin(w, "agents");
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		bool is_available = agent_is_available(req, i, NULL);
		json_w_begin(w, row->name);
		json_w_bool(w, "available", is_available);
		json_w_begin_array(w, "missing_env_vars");
		if (!llm_agent_is_available(row, req->app->settings, NULL) &&
		    *row->key_env != '\0')
			json_w_str(w, NULL, row->key_env);
		json_w_end_array(w);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_bool(w, "openrouter_available",
	    llm_agent_is_available(detour, req->app->settings, NULL));
	return res_json_end(res, HTTP_OK);
}

/* Agents whose models run where the operator put them. */
enum http_status
agent_local(struct req *req, struct res *res)
{
	static const char *const local[] = {
	    "ollama", "lm-studio", "vllm", "llamacpp"};
	struct store_board b = {0};

	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < ARRAY_LEN(local); i++) {
		struct store_board_row row = rating_out_row(req, &b, local[i]);
		json_w_begin(w, NULL);
		rating_out_agent(w, req, &row, NULL, 0);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)ARRAY_LEN(local));
	return res_json_end(res, HTTP_OK);
}
