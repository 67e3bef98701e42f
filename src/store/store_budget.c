/* SPDX-License-Identifier: MIT */
#include "store/store_budget.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/store_commit.h"
#include "store/store_tx.h"

#define BUDGET_USD  1000000
#define BUDGET_SETS 4

enum budget_period { BUDGET_DAY, BUDGET_MONTH, BUDGET_PERIODS };
static const char *const budget_period_names[BUDGET_PERIODS] = {"day", "month"};

/* The tenant by day and month, then the user. */
struct budget_set {
	struct store_budget_use use[BUDGET_SETS];
	size_t n;
	int64_t starts_us[BUDGET_PERIODS];
};

/* ---- periods ---- */

static int64_t
budget_start(enum budget_period p, int64_t now_us, bool is_next)
{
	time_t now = (time_t)(now_us / 1000000);
	struct tm tm;

	gmtime_r(&now, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (p == BUDGET_MONTH)
		tm.tm_mday = 1;
	if (is_next && p == BUDGET_MONTH)
		tm.tm_mon++;
	else if (is_next)
		tm.tm_mday++;
	return (int64_t)timegm(&tm) * 1000000;
}

/* ---- limits ---- */

static int64_t
budget_usd(double dollars)
{
	return dollars > 0 ? (int64_t)(dollars * BUDGET_USD + 0.5) : -1;
}

static int64_t
budget_tokens(int64_t tokens)
{
	return tokens > 0 ? tokens : -1;
}

static struct store_amount
budget_setting(const struct settings *s, bool is_user, enum budget_period p)
{
	bool is_day = p == BUDGET_DAY;

	if (is_user)
		return (struct store_amount){
		    .udollar = budget_usd(is_day ? s->user_budget_usd_day
						 : s->user_budget_usd_month),
		    .tokens =
			budget_tokens(is_day ? s->user_budget_tokens_day
					     : s->user_budget_tokens_month)};
	return (struct store_amount){
	    .udollar = budget_usd(
		is_day ? s->tenant_budget_usd_day : s->tenant_budget_usd_month),
	    .tokens = budget_tokens(is_day ? s->tenant_budget_tokens_day
					   : s->tenant_budget_tokens_month)};
}

static void
budget_set_init(struct budget_set *set, const struct settings *s,
    bool has_owner, int64_t now_us)
{
	*set = (struct budget_set){.n = has_owner ? BUDGET_SETS : 2};
	for (size_t i = 0; i < set->n; i++) {
		enum budget_period p = (enum budget_period)(i % 2);
		set->use[i] = (struct store_budget_use){
		    .scope = i < 2 ? "tenant" : "user",
		    .period = budget_period_names[p],
		    .starts_us = budget_start(p, now_us, false),
		    .resets_us = budget_start(p, now_us, true),
		    .limit = budget_setting(s, i >= 2, p)};
		set->starts_us[p] = set->use[i].starts_us;
	}
}

static bool
budget_is(const struct store_budget_use *u, const struct db_result *r,
    size_t row, int64_t starts_us)
{
	bool is_user = *db_text(r, row, 0) != '\0';

	return str_eq(u->period, db_text(r, row, 1)) &&
	    is_user == str_eq(u->scope, "user") && u->starts_us == starts_us;
}

static enum err
budget_read_limits(struct db *db, struct arena *a, const char *tenant,
    const char *owner, struct budget_set *set)
{
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_BUDGET_LIMITS, a, &r, DB_TEXT(tenant), DB_TEXT(owner));
	for (size_t k = 0; e == ERR_OK && k < r.rows; k++)
		for (size_t i = 0; i < set->n; i++)
			if (budget_is(
				&set->use[i], &r, k, set->use[i].starts_us))
				set->use[i].limit = (struct store_amount){
				    .udollar = db_int(&r, k, 2),
				    .tokens = db_int(&r, k, 3)};
	return e;
}

static enum err
budget_read_use(struct db *db, struct arena *a, const char *tenant,
    const char *owner, struct budget_set *set)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_BUDGET_USE, a, &r, DB_TEXT(tenant),
	    DB_TEXT(owner), DB_INT(set->starts_us[BUDGET_DAY]),
	    DB_INT(set->starts_us[BUDGET_MONTH]));
	for (size_t k = 0; e == ERR_OK && k < r.rows; k++)
		for (size_t i = 0; i < set->n; i++) {
			struct store_budget_use *u = &set->use[i];
			if (!budget_is(u, &r, k, db_int(&r, k, 2)))
				continue;
			u->spent.udollar = db_int(&r, k, 3);
			u->spent.tokens = db_int(&r, k, 4);
			u->held.udollar = db_int(&r, k, 5);
			u->held.tokens = db_int(&r, k, 6);
		}
	return e;
}

/* ---- a grant ---- */

static bool
budget_has_limit(const struct budget_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->use[i].limit.udollar >= 0 ||
		    set->use[i].limit.tokens >= 0)
			return true;
	return false;
}

/* The tightest of the sets decides. */
static enum err
budget_fit(const struct budget_set *set, bool is_tokens,
    struct store_budget_ask *ask, int64_t *granted, struct err_info *info)
{
	int64_t want = is_tokens ? ask->want.tokens : ask->want.udollar;
	int64_t least = is_tokens ? ask->least.tokens : ask->least.udollar;
	bool is_limited = false;

	for (size_t i = 0; i < set->n; i++) {
		const struct store_budget_use *u = &set->use[i];
		int64_t limit = is_tokens ? u->limit.tokens : u->limit.udollar;
		int64_t used = is_tokens ? u->spent.tokens + u->held.tokens
					 : u->spent.udollar + u->held.udollar;
		if (limit < 0)
			continue;
		is_limited = true;
		if (!is_tokens && !ask->is_priced)
			return err_set(info, ERR_INVALID, "agents",
			    "have one whose price is not known, and money is "
			    "limited; ARAGORA_LLM_PRICES can name it");
		if (limit - used < least) {
			ask->full = *u;
			ask->is_full_of_tokens = is_tokens;
			return err_set(info, ERR_BUSY, "budget",
			    "of the %s's %s is used up", u->scope, u->period);
		}
		if (want > limit - used)
			want = limit - used;
	}
	if (is_limited)
		*granted = want;
	return ERR_OK;
}

static enum err
budget_gate(struct db *db, struct arena *a, const char *tenant)
{
	struct db_result r;

	return DB_RUN(db, STMT_BUDGET_GATE, a, &r, DB_TEXT(tenant));
}

static int64_t
budget_held(int64_t granted)
{
	return granted > 0 ? granted : 0;
}

static enum err
budget_hold(struct db *db, struct arena *a, const struct store_debate *d,
    const char *owner, const struct budget_set *set,
    const struct store_amount *granted)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < set->n; i++)
		e = DB_QUEUE(db, STMT_BUDGET_HOLD, a, NULL, DB_TEXT(d->tenant),
		    DB_TEXT(i < 2 ? "" : owner), DB_TEXT(set->use[i].period),
		    DB_INT(set->use[i].starts_us),
		    DB_INT(budget_held(granted->udollar)),
		    DB_INT(budget_held(granted->tokens)));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_BUDGET_GRANT, a, NULL, DB_TEXT(d->tenant),
		    DB_TEXT(d->id), DB_TEXT(owner),
		    DB_INT(set->starts_us[BUDGET_DAY]),
		    DB_INT(set->starts_us[BUDGET_MONTH]),
		    DB_INT(budget_held(granted->udollar)),
		    DB_INT(budget_held(granted->tokens)));
	return e;
}

enum err
store_budget_grant(struct db *db, struct arena *a, const struct store_debate *d,
    struct store_budget_ask *ask, const char **config, struct err_info *info)
{
	const char *owner = d->owner != NULL ? d->owner : "";
	struct store_amount granted = ask->own;
	struct budget_set set;

	ask->is_granted = false;
	budget_set_init(&set, ask->settings, *owner != '\0', clock_wall_us());
	enum err e = budget_read_limits(db, a, d->tenant, owner, &set);
	if (e != ERR_OK || !budget_has_limit(&set))
		return e;
	/* From here on one after the other. */
	e = budget_gate(db, a, d->tenant);
	if (e == ERR_OK)
		e = budget_read_use(db, a, d->tenant, owner, &set);
	if (e == ERR_OK)
		e = budget_fit(&set, false, ask, &granted.udollar, info);
	if (e == ERR_OK)
		e = budget_fit(&set, true, ask, &granted.tokens, info);
	if (e == ERR_OK)
		e = budget_hold(db, a, d, owner, &set, &granted);
	if (e != ERR_OK)
		return e;
	ask->is_granted = true;
	*config = ask->config(ask->arg, &granted);
	return ERR_OK;
}

/* ---- its end ---- */

enum err
store_budget_close(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_amount *spent)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_BUDGET_CLOSE, a, &r, DB_TEXT(tenant),
	    DB_TEXT(debate_id), DB_INT(spent != NULL ? spent->udollar : -1),
	    DB_INT(spent != NULL ? spent->tokens : -1));
	if (e != ERR_OK || r.rows == 0)
		return e;
	e = budget_gate(db, a, tenant);
	if (e != ERR_OK)
		return e;
	/* owner, day_us, month_us, udollar, tokens, taken_udollar,
	 * taken_tokens */
	return DB_QUEUE(db, STMT_BUDGET_SETTLE, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(db_text(&r, 0, 0)), DB_INT(db_int(&r, 0, 1)),
	    DB_INT(db_int(&r, 0, 2)), DB_INT(db_int(&r, 0, 3)),
	    DB_INT(db_int(&r, 0, 4)), DB_INT(db_int(&r, 0, 5)),
	    DB_INT(db_int(&r, 0, 6)));
}

static bool
budget_is_due(const struct store_step *s)
{
	return s->is_written && s->t->is_granted;
}

static enum err
budget_commit_one(
    struct db *db, struct arena *a, const struct store_transition *t)
{
	if (store_status_is_final(t->status))
		return store_budget_close(
		    db, a, t->tenant, t->debate_id, &t->taken);
	return DB_QUEUE(db, STMT_BUDGET_TAKEN, a, NULL, DB_TEXT(t->tenant),
	    DB_TEXT(t->debate_id), DB_INT(t->taken.udollar),
	    DB_INT(t->taken.tokens));
}

/* Tenant by tenant in the order of their names, so that two transactions never
 * wait for each other's gates. */
enum err
store_budget_commit(
    struct db *db, struct arena *a, const struct store_step *steps, size_t n)
{
	const char *last = "";
	enum err e = ERR_OK;

	while (e == ERR_OK) {
		const char *next = NULL;
		for (size_t i = 0; i < n; i++)
			if (budget_is_due(&steps[i]) &&
			    strcmp(steps[i].t->tenant, last) > 0 &&
			    (next == NULL ||
				strcmp(steps[i].t->tenant, next) < 0))
				next = steps[i].t->tenant;
		if (next == NULL)
			break;
		for (size_t i = 0; e == ERR_OK && i < n; i++)
			if (budget_is_due(&steps[i]) &&
			    str_eq(steps[i].t->tenant, next))
				e = budget_commit_one(db, a, steps[i].t);
		last = next;
	}
	return e;
}

/* ---- what is left ---- */

struct budget_list {
	struct arena *a;
	const char *tenant;
	const char *owner;
	struct budget_set set;
};

static enum err
budget_list_tx(struct db *db, void *arg)
{
	struct budget_list *l = arg;

	enum err e = budget_read_limits(db, l->a, l->tenant, l->owner, &l->set);
	return e == ERR_OK
	    ? budget_read_use(db, l->a, l->tenant, l->owner, &l->set)
	    : e;
}

enum err
store_budget_list(struct store *store, struct arena *a,
    const struct settings *settings, const char *tenant, const char *owner,
    struct store_budget_use **rows, size_t *n)
{
	struct budget_list l = {
	    .a = a, .tenant = tenant, .owner = owner != NULL ? owner : ""};

	budget_set_init(&l.set, settings, *l.owner != '\0', clock_wall_us());
	enum err e = store_tx(store, DB_READ, budget_list_tx, &l, NULL);
	*rows = ARENA_ARRAY(a, BUDGET_SETS, struct store_budget_use);
	*n = 0;
	for (size_t i = 0; e == ERR_OK && i < l.set.n; i++) {
		const struct store_budget_use *u = &l.set.use[i];
		if (u->limit.udollar >= 0 || u->limit.tokens >= 0 ||
		    u->spent.tokens > 0 || u->held.tokens > 0)
			(*rows)[(*n)++] = *u;
	}
	return e;
}

int64_t
store_month_us(int64_t now_us, bool is_next)
{
	return budget_start(BUDGET_MONTH, now_us, is_next);
}

struct budget_put {
	struct arena *a;
	const char *tenant;
	const struct store_amount *limits[BUDGET_PERIODS];
};

static enum err
budget_put_tx(struct db *db, void *arg)
{
	struct budget_put *q = arg;
	enum err e = ERR_OK;

	for (size_t p = 0; p < BUDGET_PERIODS && e == ERR_OK; p++)
		e = DB_RUN(db, STMT_BUDGET_LIMIT_PUT, q->a, NULL,
		    DB_TEXT(q->tenant), DB_TEXT(budget_period_names[p]),
		    DB_INT(q->limits[p]->udollar),
		    DB_INT(q->limits[p]->tokens));
	return e;
}

enum err
store_budget_put(struct store *store, const char *tenant,
    const struct store_amount *day, const struct store_amount *month)
{
	struct budget_put q = {.a = arena_new(0),
	    .tenant = tenant,
	    .limits = {[BUDGET_DAY] = day, [BUDGET_MONTH] = month}};
	enum err e = store_tx(store, DB_WRITE, budget_put_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}
