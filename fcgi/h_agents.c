/* SPDX-License-Identifier: MIT
 *
 * Agents: the registry of llm/, and the figures of an agent without matches.
 */
#include "fcgi/handler.h"

#include "fcgi/debate_out.h"
#include "llm/llm.h"
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

/* Rating and record, which are numbers even before the first match. */
static void
agent_figures(struct json_w *w, const struct settings *s)
{
	static const char *const ratings[] = {"elo", "elo_rating", "rating"};
	static const char *const counts[] = {"rank", "matches", "games",
	    "total_debates", "wins", "losses", "draws", "streak"};
	static const char *const ratios[] = {"win_rate", "consistency",
	    "calibration_score", "reputation", "elo_change_24h"};
	static const char *const lists[] = {
	    "capabilities", "specialties", "domains"};

	for (size_t i = 0; i < ARRAY_LEN(ratings); i++)
		json_w_int(w, ratings[i], s->elo_initial);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		json_w_int(w, counts[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(ratios); i++)
		json_w_num(w, ratios[i], 0);
	json_w_str(w, "consistency_class", "low");
	json_w_str(w, "streak_type", "none");
	json_w_str(w, "trend", "stable");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		json_w_begin_array(w, lists[i]);
		json_w_end_array(w);
	}
}

static void
agent_members(
    struct json_w *w, const struct llm_agent_row *row, const struct settings *s)
{
	static const char *const names[] = {
	    "name", "agent_name", "agent", "id", "type"};
	struct err_info why = {0};
	bool is_available = llm_agent_is_available(row, s, &why);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_w_str(w, names[i], row->name);
	json_w_str(w, "provider", row->provider);
	json_w_str(w, "model", row->model);
	json_w_str(w, "description", row->help);
	json_w_str(w, "status", is_available ? "available" : "unavailable");
	json_w_bool(w, "available", is_available);
	if (!is_available)
		json_w_str(w, "reason", why.text);
	agent_figures(w, s);
	json_w_null(w, "persona");
	json_w_null(w, "last_active");
}

static void
agent_array(struct json_w *w, const char *key, size_t from, size_t to,
    const struct settings *s)
{
	json_w_begin_array(w, key);
	for (size_t i = from; i < to; i++) {
		json_w_begin(w, NULL);
		agent_members(w, llm_agent_at(i), s);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
agent_list(struct req *req, struct res *res)
{
	const struct settings *s = req->app->settings;
	struct agent_list_in in;
	size_t total = llm_agent_count();

	enum http_status status =
	    input_read_query(req, &agent_list_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	size_t from = (uint64_t)in.offset < total ? (size_t)in.offset : total;
	size_t to =
	    (size_t)in.limit < total - from ? from + (size_t)in.limit : total;
	struct json_w *w = res_json(res);
	agent_array(w, "agents", from, to, s);
	agent_array(w, "items", from, to, s);
	debate_out_page(w, (int64_t)total, to - from, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_get(struct req *req, struct res *res)
{
	const char *name = req->match.params[0];
	const struct llm_agent_row *row = llm_agent_find(name);

	if (row == NULL)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no agent '%s'", name);
	struct json_w *w = res_json(res);
	agent_members(w, row, req->app->settings);
	return res_json_end(res, HTTP_OK);
}
