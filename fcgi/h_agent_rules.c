/* SPDX-License-Identifier: MIT
 *
 * What operators decide about agents, and how the runners find them.
 */
#include "fcgi/handler.h"

#include <math.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "cache/cache.h"
#include "fcgi/agent_view.h"
#include "fcgi/auth.h"
#include "settings/settings.h"

#define RULE_REASON_MAX 500
#define RULE_DAILY_MAX	1000000
#define RULE_POINTS_MAX 3000 /* that a rating is moved by hand */

/* ---- health ---- */

struct agent_health {
	const char *circuit, *error; /* the worst that a runner tells of */
	int64_t failures, runners;
	size_t last; /* of them that was counted, from 1 */
};

static int
agent_circuit_rank(const char *circuit)
{
	return str_eq(circuit, "open")	   ? 2
	    : str_eq(circuit, "half_open") ? 1
					   : 0;
}

static void
agent_health_add(struct agent_health *h, const struct json *told, size_t runner)
{
	const char *circuit = json_get_str(told, "circuit", "closed");
	int64_t failures = json_get_int(told, "failures", 0);

	/* It tells of each model. */
	h->runners += h->last != runner;
	h->last = runner;
	if (failures > h->failures)
		h->failures = failures;
	if (agent_circuit_rank(circuit) <= agent_circuit_rank(h->circuit))
		return;
	h->circuit = agent_circuit_rank(circuit) == 2 ? "open" : "half_open";
	h->error = json_get_str(told, "error", NULL);
}

/* What all runners alive tell, by the places of the registry. */
static void
agent_health_read(struct req *req, const struct store_runner *runners, size_t n,
    struct agent_health *health)
{
	for (size_t i = 0; i < llm_agent_count(); i++)
		health[i].circuit = "closed";
	for (size_t k = 0; k < n; k++) {
		const char *text = runners[k].health;
		const struct json *list;
		if (json_parse(req->arena, text, strlen(text), NULL, &list,
			NULL) != ERR_OK)
			continue;
		for (size_t j = 0; j < json_len(list); j++) {
			const struct json *told = json_at(list, j);
			const char *agent = json_get_str(told, "agent", "");
			for (size_t i = 0; i < llm_agent_count(); i++)
				if (str_eq(llm_agent_at(i)->name, agent))
					agent_health_add(
					    &health[i], told, k + 1);
		}
	}
}

static const char *
agent_health_status(
    const struct req *req, size_t i, const struct agent_health *h)
{
	const struct llm_agent_row *row = llm_agent_at(i);
	const struct store_agent_rule *rule = rating_out_rule(req, row->name);

	if (rule != NULL && rule->is_disabled)
		return "disabled";
	if (!llm_agent_is_available(row, req->app->settings, NULL))
		return "unavailable";
	switch (agent_circuit_rank(h->circuit)) {
	case 2:
		return "unhealthy";
	case 1:
		return "degraded";
	}
	return "healthy";
}

enum http_status
agent_health(struct req *req, struct res *res)
{
	struct agent_health *health =
	    ARENA_ARRAY(req->arena, llm_agent_count() + 1, struct agent_health);
	struct store_runner *runners;
	bool is_ill = false;
	size_t n;

	enum err e = rating_out_rules(req);
	if (e == ERR_OK)
		e = store_runner_list(req->app->store, req->arena,
		    req->app->settings->lease * INT64_C(1000000), &runners, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	agent_health_read(req, runners, n, health);
	struct json_w *w = res_json(res);
	json_w_begin(w, "agents");
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct agent_health *h = &health[i];
		const char *status = agent_health_status(req, i, h);
		is_ill = is_ill || str_eq(status, "unhealthy") ||
		    str_eq(status, "degraded");
		json_w_begin(w, llm_agent_at(i)->name);
		json_w_str(w, "status", status);
		json_w_str(w, "circuit", h->circuit);
		json_w_int(w, "failures", h->failures);
		json_w_str(w, "error", h->error);
		json_w_int(w, "runners", h->runners);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_str(w, "status",
	    n == 0	 ? "unhealthy"
		: is_ill ? "degraded"
			 : "healthy");
	json_w_int(w, "runners", (int64_t)n);
	json_w_time(w, "timestamp", req->now_us);
	return res_json_end(res, HTTP_OK);
}

/* ---- deciding ---- */

/* The agent of the path for somebody who may decide; NULL and the answer. */
static const char *
agent_rule_open(struct req *req, struct res *res)
{
	const char *agent = rating_out_param(req, res, 0);
	struct err_info info = {0};

	if (agent == NULL)
		return NULL;
	enum err e = auth_may_decide(req, &info);
	if (e == ERR_OK)
		return agent;
	res_err(res, e, &info);
	return NULL;
}

struct agent_rule_in {
	const char *reason;
};
static const struct input agent_rule_rows[] = {
    {.key = "reason",
	.kind = INPUT_TEXT,
	.max = RULE_REASON_MAX,
	.offset = offsetof(struct agent_rule_in, reason)},
};
static const struct input_list agent_rule_inputs = {
    agent_rule_rows, ARRAY_LEN(agent_rule_rows)};

static enum http_status
agent_switch(struct req *req, struct res *res, bool is_enabled)
{
	const char *agent = agent_rule_open(req, res);
	struct agent_rule_in in;

	if (agent == NULL)
		return res->status;
	enum http_status status =
	    input_read_body(req, &agent_rule_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	const char *reason = in.reason != NULL ? in.reason : "";
	cache_hold(req->app->cache, CACHE_RATINGS, req->caller.tenant);
	enum err e = store_agent_switch(req->app->store, req->caller.tenant,
	    agent, is_enabled, reason, req->now_us);
	cache_drop(req->app->cache, CACHE_RATINGS, req->caller.tenant);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "agent", agent);
	json_w_bool(w, "enabled", is_enabled);
	json_w_str(w, "reason", reason);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_enable(struct req *req, struct res *res)
{
	return agent_switch(req, res, true);
}

enum http_status
agent_disable(struct req *req, struct res *res)
{
	return agent_switch(req, res, false);
}

static enum http_status
agent_quota_answer(struct req *req, struct res *res, const char *agent)
{
	int64_t resets =
	    req->now_us - req->now_us % STORE_AGENT_DAY_US + STORE_AGENT_DAY_US;

	enum err e = rating_out_rules(req);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const struct store_agent_rule *rule = rating_out_rule(req, agent);
	int64_t used = rule != NULL ? rule->used : 0;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", agent);
	json_w_bool(w, "enabled", rule == NULL || !rule->is_disabled);
	json_w_str(w, "period", "day");
	if (rule != NULL && rule->daily >= 0) {
		json_w_int(w, "limit", rule->daily);
		json_w_int(w, "remaining",
		    used < rule->daily ? rule->daily - used : 0);
	} else {
		json_w_null(w, "limit");
		json_w_null(w, "remaining");
	}
	json_w_int(w, "used", used);
	json_w_time(w, "resets_at", resets);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_quota(struct req *req, struct res *res)
{
	const char *agent = rating_out_param(req, res, 0);

	return agent == NULL ? res->status
			     : agent_quota_answer(req, res, agent);
}

enum http_status
agent_quota_set(struct req *req, struct res *res)
{
	static const struct res_field bad = {
	    "limit", "must be debates a day, 0 to 1000000, or null"};
	const char *agent = agent_rule_open(req, res);
	const struct json *limit = json_get(req->body, "limit");
	int64_t daily = -1;

	if (agent == NULL)
		return res->status;
	if (json_kind(limit) != JSON_NULL &&
	    (!json_int(limit, &daily) || daily < 0 || daily > RULE_DAILY_MAX))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	enum err e = store_agent_limit(
	    req->app->store, req->caller.tenant, agent, daily, req->now_us);
	return e == ERR_OK ? agent_quota_answer(req, res, agent)
			   : res_err(res, e, NULL);
}

/* ---- ratings by hand ---- */

struct agent_elo_in {
	const char *reason, *debate_id;
};
static const struct input agent_elo_rows[] = {
    {.key = "reason",
	.kind = INPUT_TEXT,
	.max = RULE_REASON_MAX,
	.offset = offsetof(struct agent_elo_in, reason)},
    {.key = "debate_id",
	.kind = INPUT_TEXT,
	.max = ID_MAX,
	.offset = offsetof(struct agent_elo_in, debate_id)},
};
static const struct input_list agent_elo_inputs = {
    agent_elo_rows, ARRAY_LEN(agent_elo_rows)};

static enum http_status
agent_elo_read(
    struct req *req, struct res *res, struct agent_elo_in *in, int64_t *change)
{
	const struct json *given = json_get(req->body, "elo_change");
	struct res_field field = {"elo_change", "is required"};
	double points;

	enum http_status status =
	    input_read_body(req, &agent_elo_inputs, in, res);
	if (status != HTTP_OK)
		return status;
	if (json_kind(given) == JSON_NULL)
		return res_invalid(res, "MISSING_FIELD", &field, 1);
	field.message = "must be a number from -3000 to 3000, and not 0";
	if (!json_num(given, &points) || !(fabs(points) <= RULE_POINTS_MAX))
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	*change = llround(points * ELO_UNIT);
	if (*change == 0)
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	if (in->debate_id != NULL && !id_is_valid(in->debate_id)) {
		field = (struct res_field){
		    "debate_id", "is not the id of a debate"};
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	}
	return HTTP_OK;
}

enum http_status
agent_elo_change(struct req *req, struct res *res)
{
	const char *agent = agent_rule_open(req, res);
	struct agent_elo_in in;
	struct agent_view v = {0};
	struct agent_point *points;
	int64_t change = 0;
	size_t n;

	if (agent == NULL)
		return res->status;
	enum http_status status = agent_elo_read(req, res, &in, &change);
	if (status != HTTP_OK)
		return status;
	struct store_adjustment adj = {.agent = agent,
	    .change = change,
	    .reason = in.reason != NULL ? in.reason : "",
	    .debate_id = in.debate_id != NULL ? in.debate_id : "",
	    .actor = req->caller.token_id != NULL ? req->caller.token_id : ""};
	cache_hold(req->app->cache, CACHE_RATINGS, req->caller.tenant);
	enum err e =
	    store_rating_adjust(req->app->store, req->arena, req->caller.tenant,
		&adj, req->app->settings->elo_initial, req->now_us);
	cache_drop(req->app->cache, CACHE_RATINGS, req->caller.tenant);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_matches(req, res, &v);
	if (status == HTTP_OK)
		status =
		    agent_view_points(req, res, &v, -1, INT64_MAX, &points, &n);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "agent", agent);
	json_w_num(w, "elo", rating_out_points(adj.elo));
	json_w_num(w, "elo_rating", rating_out_points(adj.elo));
	json_w_num(w, "elo_change", rating_out_points(adj.change));
	json_w_str(w, "adjustment_id", adj.id);
	agent_view_history(w, "history", points,
	    n < RATING_OUT_RECENT ? n : RATING_OUT_RECENT);
	return res_json_end(res, HTTP_OK);
}
