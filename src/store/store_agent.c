/* SPDX-License-Identifier: MIT */
#include "store/store_agent.h"

#include "base/id.h"
#include "base/str.h"
#include "store/store_rating_tx.h"
#include "store/store_tx.h"

struct agent_call {
	struct arena *a;
	const char *tenant, *agent;
	bool is_enabled;
	const char *reason;
	int64_t daily, now;
	struct store_adjustment *adj;
	int64_t elo_initial;
	int64_t after_us, before_us, limit;
	struct db_result rows;
};

/* ---- rules ---- */

/* What was used on another day is none of today. */
static struct store_agent_rule
agent_rule_from(const struct db_result *r, size_t row, int64_t now)
{
	bool is_today = db_int(r, row, 5) == now - now % STORE_AGENT_DAY_US;

	return (struct store_agent_rule){.agent = db_text(r, row, 0),
	    .is_disabled = db_int(r, row, 1) != 0,
	    .reason = db_text(r, row, 2),
	    .daily = db_int(r, row, 3),
	    .used = is_today ? db_int(r, row, 4) : 0,
	    .updated_us = db_int(r, row, 6)};
}

static enum err
agent_rules_call(struct db *db, void *arg)
{
	struct agent_call *c = arg;

	return DB_RUN(db, STMT_AGENT_RULES, c->a, &c->rows, DB_TEXT(c->tenant));
}

enum err
store_agent_rules(struct store *store, struct arena *a, const char *tenant,
    int64_t now, struct store_agent_rule **rows, size_t *n)
{
	struct agent_call c = {.a = a, .tenant = tenant};
	enum err e = store_tx(store, DB_READ_ONE, agent_rules_call, &c, NULL);

	*n = e == ERR_OK ? c.rows.rows : 0;
	*rows = ARENA_ARRAY(a, *n + 1, struct store_agent_rule);
	for (size_t i = 0; i < *n; i++)
		(*rows)[i] = agent_rule_from(&c.rows, i, now);
	return e;
}

static enum err
agent_switch_call(struct db *db, void *arg)
{
	struct agent_call *c = arg;

	return DB_RUN(db, STMT_AGENT_SWITCH, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->agent), DB_INT(!c->is_enabled), DB_TEXT(c->reason),
	    DB_INT(c->now));
}

enum err
store_agent_switch(struct store *store, const char *tenant, const char *agent,
    bool is_enabled, const char *reason, int64_t now)
{
	struct agent_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .agent = agent,
	    .is_enabled = is_enabled,
	    .reason = reason,
	    .now = now};
	enum err e = store_tx(store, DB_WRITE, agent_switch_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

static enum err
agent_limit_call(struct db *db, void *arg)
{
	struct agent_call *c = arg;

	return DB_RUN(db, STMT_AGENT_LIMIT, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->agent), DB_INT(c->daily), DB_INT(c->now));
}

enum err
store_agent_limit(struct store *store, const char *tenant, const char *agent,
    int64_t daily, int64_t now)
{
	struct agent_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .agent = agent,
	    .daily = daily,
	    .now = now};
	enum err e = store_tx(store, DB_WRITE, agent_limit_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

static enum err
agent_admit_one(struct store_seats *seats, const struct db_result *r,
    int64_t now, struct err_info *info)
{
	struct store_agent_rule rule = agent_rule_from(r, 0, now);

	seats->refused = rule;
	if (rule.is_disabled)
		return err_set(info, ERR_INVALID, "agents",
		    "has %s, which is disabled here%s%s", rule.agent,
		    *rule.reason != '\0' ? ": " : "", rule.reason);
	if (rule.daily < 0 || rule.used <= rule.daily)
		return ERR_OK;
	seats->refused.used--; /* this one did not take place */
	return err_set(info, ERR_BUSY, "agent_quota",
	    "%lld debates of today have %s", (long long)rule.daily, rule.agent);
}

enum err
store_agent_admit(struct db *db, struct arena *a, const char *tenant,
    struct store_seats *seats, int64_t now, struct err_info *info)
{
	struct db_result *r = ARENA_ARRAY(a, seats->n + 1, struct db_result);
	enum err e = ERR_OK;

	/* One wait for all of them, in the order that they come in. */
	for (size_t i = 0; i < seats->n && e == ERR_OK; i++)
		e = DB_QUEUE(db, STMT_AGENT_ADMIT, a, &r[i], DB_TEXT(tenant),
		    DB_TEXT(seats->agents[i]),
		    DB_INT(now - now % STORE_AGENT_DAY_US));
	if (e == ERR_OK && seats->n > 0)
		e = db_sync(db);
	for (size_t i = 0; i < seats->n && e == ERR_OK; i++)
		if (r[i].rows > 0)
			e = agent_admit_one(seats, &r[i], now, info);
	return e;
}

/* ---- ratings by hand ---- */

static enum err
agent_adjust_call(struct db *db, void *arg)
{
	struct agent_call *c = arg;
	struct store_adjustment *adj = c->adj;
	struct store_rating before;
	char id[ID_SIZE];

	enum err e = store_rating_take(
	    db, c->a, c->tenant, adj->agent, c->elo_initial, c->now, &before);
	if (e != ERR_OK)
		return e;
	id_make(id, "adj_", 8);
	adj->id = arena_strdup(c->a, id);
	adj->created_us = before.updated_us;
	before.elo += adj->change;
	adj->elo = before.elo;
	e = store_rating_give(db, c->a, c->tenant, &before);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_ADJUST_INSERT, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(adj->id), DB_TEXT(adj->agent), DB_INT(adj->change),
	    DB_INT(adj->elo), DB_TEXT(adj->reason), DB_TEXT(adj->debate_id),
	    DB_TEXT(adj->actor), DB_INT(adj->created_us));
}

enum err
store_rating_adjust(struct store *store, struct arena *a, const char *tenant,
    struct store_adjustment *adj, int64_t elo_initial, int64_t now)
{
	struct agent_call c = {.a = a,
	    .tenant = tenant,
	    .adj = adj,
	    .elo_initial = elo_initial,
	    .now = now};

	return store_tx(store, DB_WRITE, agent_adjust_call, &c, NULL);
}

static enum err
agent_adjustments_call(struct db *db, void *arg)
{
	struct agent_call *c = arg;

	return DB_RUN(db, STMT_ADJUST_LIST, c->a, &c->rows, DB_TEXT(c->tenant),
	    DB_TEXT(c->agent), DB_INT(c->after_us), DB_INT(c->before_us),
	    DB_INT(c->limit));
}

enum err
store_adjustment_list(struct store *store, struct arena *a, const char *tenant,
    const char *agent, int64_t after_us, int64_t before_us, int64_t limit,
    struct store_adjustment **rows, size_t *n)
{
	struct agent_call c = {.a = a,
	    .tenant = tenant,
	    .agent = agent,
	    .after_us = after_us,
	    .before_us = before_us,
	    .limit = limit};
	enum err e =
	    store_tx(store, DB_READ_ONE, agent_adjustments_call, &c, NULL);

	*n = e == ERR_OK ? c.rows.rows : 0;
	*rows = ARENA_ARRAY(a, *n + 1, struct store_adjustment);
	for (size_t i = 0; i < *n; i++)
		(*rows)[i] =
		    (struct store_adjustment){.id = db_text(&c.rows, i, 0),
			.agent = db_text(&c.rows, i, 1),
			.change = db_int(&c.rows, i, 2),
			.elo = db_int(&c.rows, i, 3),
			.reason = db_text(&c.rows, i, 4),
			.debate_id = db_text(&c.rows, i, 5),
			.actor = db_text(&c.rows, i, 6),
			.created_us = db_int(&c.rows, i, 7)};
	return e;
}
