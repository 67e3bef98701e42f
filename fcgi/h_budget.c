/* SPDX-License-Identifier: MIT
 *
 * What may be spent and what is: the caller's budgets, one debate's costs.
 */
#include "base/clock.h"
#include "base/str.h"
#include "fcgi/account_out.h"
#include "fcgi/budget_out.h"
#include "fcgi/debate_out.h"

#define BUDGET_USD 1000000

static double
budget_usd(int64_t udollar)
{
	return (double)udollar / BUDGET_USD;
}

enum http_status
budget_out_refuse(struct res *res, const struct store_budget_ask *ask)
{
	const struct store_budget_use *u = &ask->full;
	bool is_tokens = ask->is_full_of_tokens;
	int64_t limit = is_tokens ? u->limit.tokens : u->limit.udollar;
	int64_t used = is_tokens ? u->spent.tokens + u->held.tokens
				 : u->spent.udollar + u->held.udollar;
	int64_t least = is_tokens ? ask->least.tokens : ask->least.udollar;
	int64_t left = used < limit ? limit - used : 0;

	struct json_w *w = res_begin_fail(res, "QUOTA_EXCEEDED",
	    is_tokens ? "the budget of tokens does not allow this debate"
		      : "the budget of money does not allow this debate");
	json_w_str(w, "scope", u->scope);
	json_w_str(w, "period", u->period);
	json_w_str(w, "unit", is_tokens ? "tokens" : "usd");
	if (is_tokens) {
		json_w_int(w, "limit", limit);
		json_w_int(w, "used", used);
		json_w_int(w, "remaining", left);
		json_w_int(w, "needed", least);
	} else {
		json_w_num(w, "limit", budget_usd(limit));
		json_w_num(w, "used", budget_usd(used));
		json_w_num(w, "remaining", budget_usd(left));
		json_w_num(w, "needed", budget_usd(least));
	}
	json_w_time(w, "resets_at", u->resets_us);
	json_w_str(w, "upgrade_url", NULL);
	return res_json_end(res, HTTP_PAYMENT_REQUIRED);
}

enum http_status
budget_out_month(struct res *res, const char *text)
{
	struct json_w *w = res_begin_fail(res, "QUOTA_EXCEEDED", text);

	json_w_str(w, "scope", "tenant");
	json_w_str(w, "period", "month");
	json_w_str(w, "unit", "debates");
	json_w_time(w, "resets_at", store_month_us(clock_wall_us(), true));
	json_w_str(w, "upgrade_url", NULL);
	return res_json_end(res, HTTP_PAYMENT_REQUIRED);
}

static void
budget_show(struct json_w *w, const struct store_budget_use *u)
{
	json_w_begin(w, NULL);
	json_w_str(w, "scope", u->scope);
	json_w_str(w, "period", u->period);
	if (u->limit.udollar >= 0)
		json_w_num(w, "limit_usd", budget_usd(u->limit.udollar));
	if (u->limit.tokens >= 0)
		json_w_int(w, "limit_tokens", u->limit.tokens);
	json_w_num(w, "spent_usd", budget_usd(u->spent.udollar));
	json_w_int(w, "spent_tokens", u->spent.tokens);
	json_w_num(w, "held_usd", budget_usd(u->held.udollar));
	json_w_int(w, "held_tokens", u->held.tokens);
	json_w_time(w, "starts_at", u->starts_us);
	json_w_time(w, "resets_at", u->resets_us);
	json_w_end(w);
}

/* Another tenant's is not there, but for the operator. */
enum http_status
tenant_usage(struct req *req, struct res *res)
{
	struct store_budget_use *rows;
	struct store_tenant t;
	int64_t asked = 0;
	size_t n;

	enum http_status status = tenant_fetch(req, res, &t);
	if (status != HTTP_OK)
		return status;
	bool is_own = str_eq(t.id, req->caller.tenant);
	enum err e =
	    store_budget_list(req->app->store, req->arena, req->app->settings,
		t.id, is_own ? req->caller.owner : NULL, &rows, &n);
	if (e == ERR_OK)
		e = store_tenant_debates(req->app->store, t.id,
		    store_month_us(req->now_us, false), &asked);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "tenant_id", t.id);
	json_w_int(w, "debates_this_month", asked);
	if (t.max_debates_month >= 0)
		json_w_int(w, "debates_per_month", t.max_debates_month);
	else
		json_w_null(w, "debates_per_month");
	json_w_begin_array(w, "budgets");
	for (size_t i = 0; i < n; i++)
		budget_show(w, &rows[i]);
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}

struct budget_cost {
	const char *agent;
	int64_t calls, tokens_in, tokens_out, udollar;
};

static void
budget_cost_add(
    struct arena *a, struct budget_cost *c, const struct store_turn *t)
{
	const struct json_limits limits = {.max_bytes = 64u << 20};
	const struct json *parsed = NULL;

	if (t->state == STORE_TURN_STARTED)
		return;
	c->calls++;
	c->tokens_in += t->tokens_in;
	c->tokens_out += t->tokens_out;
	if (t->parsed != NULL &&
	    json_parse(a, t->parsed, strlen(t->parsed), &limits, &parsed,
		NULL) == ERR_OK)
		c->udollar += json_get_int(parsed, "cost_udollar", 0);
}

static void
budget_cost_show(struct json_w *w, const struct budget_cost *c)
{
	json_w_int(w, "calls", c->calls);
	json_w_int(w, "tokens_in", c->tokens_in);
	json_w_int(w, "tokens_out", c->tokens_out);
	json_w_num(w, "cost_usd", budget_usd(c->udollar));
}

enum http_status
debate_costs(struct req *req, struct res *res)
{
	struct store_debate row;
	struct store_turn *turns;
	struct budget_cost sum = {0};
	size_t n, n_agents = 0;

	enum http_status status =
	    debate_out_fetch_turns(req, res, &row, &turns, &n);
	if (status != HTTP_OK)
		return status;
	struct budget_cost *agents =
	    ARENA_ARRAY(req->arena, n + 1, struct budget_cost);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (k < n_agents && !str_eq(agents[k].agent, turns[i].agent))
			k++;
		if (k == n_agents)
			agents[n_agents++].agent = turns[i].agent;
		budget_cost_add(req->arena, &agents[k], &turns[i]);
	}
	for (size_t k = 0; k < n_agents; k++) {
		sum.calls += agents[k].calls;
		sum.tokens_in += agents[k].tokens_in;
		sum.tokens_out += agents[k].tokens_out;
		sum.udollar += agents[k].udollar;
	}
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "currency", "USD");
	budget_cost_show(w, &sum);
	json_w_begin(w, "agents");
	for (size_t k = 0; k < n_agents; k++) {
		json_w_begin(w, agents[k].agent);
		budget_cost_show(w, &agents[k]);
		json_w_end(w);
	}
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
