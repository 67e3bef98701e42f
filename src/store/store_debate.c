/* SPDX-License-Identifier: MIT
 *
 * Debates as callers of the API see them: create, read, list, cancel.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "store/store_agent.h"
#include "store/store_budget.h"
#include "store/store_commit.h"
#include "store/store_key.h"

static const char *const store_status_names[STORE_STATUS__COUNT] = {
#define X(id, text) [id] = text,
    STORE_STATUS_LIST(X)
#undef X
};

const char *
store_status_name(enum store_status s)
{
	return store_status_names[s];
}

enum err
store_status_parse(const char *text, enum store_status *out)
{
	for (int i = 0; i < STORE_STATUS__COUNT; i++)
		if (str_eq(text, store_status_names[i])) {
			*out = (enum store_status)i;
			return ERR_OK;
		}
	return ERR_INVALID;
}

bool
store_status_is_final(enum store_status s)
{
	return s == STORE_COMPLETED || s == STORE_FAILED ||
	    s == STORE_CANCELLED;
}

void
store_debate_from(
    const struct db_result *r, size_t row, struct store_debate *out)
{
	int c = 0;

	*out = (struct store_debate){0};
	out->id = db_text(r, row, c++);
	out->tenant = db_text(r, row, c++);
	out->owner = db_text(r, row, c++);
	out->slug = db_text(r, row, c++);
	out->task = db_text(r, row, c++);
	out->config = db_text(r, row, c++);
	if (store_status_parse(db_text(r, row, c++), &out->status) != ERR_OK)
		abort(); /* the table has a CHECK */
	out->phase = db_text(r, row, c++);
	out->round = db_int(r, row, c++);
	out->total_rounds = db_int(r, row, c++);
	out->priority = db_int(r, row, c++);
	out->result = db_text(r, row, c++);
	out->error = db_text(r, row, c++);
	out->confidence = db_double(r, row, c++);
	out->consensus_reached = db_int(r, row, c++) != 0;
	out->last_seq = db_int(r, row, c++);
	out->created_us = db_int(r, row, c++);
	out->updated_us = db_int(r, row, c++);
	out->started_us = db_int(r, row, c++);
	out->completed_us = db_int(r, row, c++);
	out->lease_epoch = db_int(r, row, c++);
	out->lease_until_us = db_int(r, row, c++);
	out->runner = db_text(r, row, c++);
	out->attempts = db_int(r, row, c++);
	out->title = db_text(r, row, c++);
	out->labels = db_text(r, row, c++);
	out->archived_us = db_int(r, row, c++);
	out->revision = db_int(r, row, c++);
	out->parent = db_text(r, row, c++);
	out->branch_point = db_int(r, row, c++);
	out->trace_parent = db_text(r, row, c++);
	out->trace_state = db_text(r, row, c++);
	out->request_id = db_text(r, row, c++);
}

/* ---- create ---- */

#define STORE_CREATE_TRIES 3

struct store_create {
	struct arena *a;
	const struct store_debate *d;
	int64_t max_queued;
	bool is_uncertain; /* an earlier COMMIT of the same */
	struct err_info *info;
};

/* Has the tenant asked for as many as limit says it may in this month? The
 * row of that, if there is one, is held, so that nobody else counts. */
static enum err
store_debate_month(struct db *db, struct arena *a, const char *tenant,
    const struct db_result *limit, int64_t n, struct err_info *info)
{
	struct db_result asked;
	int64_t month_us = store_month_us(clock_wall_us(), false);

	if (limit->rows == 0)
		return ERR_OK;
	enum err e = DB_RUN(db, STMT_DEBATE_MONTH, a, &asked, DB_TEXT(tenant),
	    DB_INT(month_us));
	if (e != ERR_OK)
		return e;
	if (db_int(&asked, 0, 0) > db_int(limit, 0, 0) - n)
		return err_set(info, ERR_BUSY, "month",
		    "the tenant may ask for %lld debates a month",
		    (long long)db_int(limit, 0, 0));
	return ERR_OK;
}

enum err
store_debate_room(struct db *db, struct arena *a, const struct store_debate *d,
    int64_t n, int64_t max_queued, struct err_info *info)
{
	struct db_result pending, waiting, month;

	enum err e = db_queue(db, STMT_DEBATE_PENDING, NULL, 0, a, &pending);
	if (e == ERR_OK && d->max_tenant_queued > 0)
		e = DB_QUEUE(
		    db, STMT_DEBATE_WAITING, a, &waiting, DB_TEXT(d->tenant));
	if (e == ERR_OK)
		e = DB_QUEUE(
		    db, STMT_TENANT_MONTH_HOLD, a, &month, DB_TEXT(d->tenant));
	if (e == ERR_OK)
		e = db_sync(db);
	if (e != ERR_OK)
		return e;
	if (db_int(&pending, 0, 0) > max_queued - n)
		return err_set(info, ERR_BUSY, "queue",
		    "%lld debates are waiting already",
		    (long long)db_int(&pending, 0, 0));
	if (d->max_tenant_queued > 0 &&
	    db_int(&waiting, 0, 0) > d->max_tenant_queued - n)
		return err_set(info, ERR_BUSY, "tenant_queue",
		    "%lld debates of this tenant are waiting already",
		    (long long)db_int(&waiting, 0, 0));
	return store_debate_month(db, a, d->tenant, &month, n, info);
}

enum err
store_debate_put(struct db *db, struct arena *a, const struct store_debate *d,
    struct store_budget_ask *budget, struct err_info *info)
{
	const char *config = d->config;
	enum err e = ERR_OK;

	if (d->seats != NULL)
		e = store_agent_admit(
		    db, a, d->tenant, d->seats, clock_wall_us(), info);
	if (e == ERR_OK && budget != NULL)
		e = store_budget_grant(db, a, d, budget, &config, info);
	if (e != ERR_OK)
		return e;
	return DB_QUEUE(db, STMT_DEBATE_INSERT, a, NULL, DB_TEXT(d->tenant),
	    DB_TEXT(d->id), DB_TEXT(d->owner), DB_TEXT(d->task),
	    DB_TEXT(config), DB_INT(d->total_rounds), DB_INT(d->priority),
	    DB_INT(clock_wall_us()), DB_TEXT(d->parent),
	    DB_INT(d->branch_point), DB_TEXT(d->trace_parent),
	    DB_TEXT(d->trace_state), DB_TEXT(d->request_id));
}

static enum err
store_create_tx(struct db *db, void *arg)
{
	struct store_create *c = arg;
	const struct store_debate *d = c->d;
	struct db_result r;

	enum err e =
	    store_key_claim(db, c->a, d->tenant, d->key, d->id, c->info);
	if (e != ERR_OK || store_key_is_made(d->key))
		return e;
	if (c->is_uncertain) {
		e = DB_RUN(db, STMT_DEBATE_GET, c->a, &r, DB_TEXT(d->tenant),
		    DB_TEXT(d->id));
		if (e != ERR_OK || r.rows > 0)
			return e;
	}
	e = store_debate_room(db, c->a, d, 1, c->max_queued, c->info);
	return e == ERR_OK ? store_debate_put(db, c->a, d, d->budget, c->info)
			   : e;
}

enum err
store_debate_create(struct store *store, struct arena *a,
    const struct store_debate *d, int64_t max_queued, struct err_info *info)
{
	struct store_create c = {
	    .a = a, .d = d, .max_queued = max_queued, .info = info};

	enum err e = ERR_OK;
	for (int i = 0; i < STORE_CREATE_TRIES; i++) {
		e = store_tx(store, DB_WRITE, store_create_tx, &c, info);
		if (e == ERR_UNCERTAIN)
			c.is_uncertain = true;
		/* The row that is in the way may come from our own first try:
		 * look again. */
		else if (e != ERR_EXISTS || !c.is_uncertain)
			break;
	}
	if (d->key != NULL && e != ERR_OK)
		d->key->ref = NULL;
	if (c.is_uncertain && e != ERR_OK && e != ERR_CONFLICT)
		return ERR_UNCERTAIN;
	return e;
}

/* ---- read ---- */

struct store_get {
	struct arena *a;
	const char *tenant;
	const char *id;
	enum stmt stmt;
	struct store_debate *out;
	struct store_turn *turns;
	size_t n_turns;
};

static enum err
store_get_tx(struct db *db, void *arg)
{
	struct store_get *g = arg;
	struct db_result r;

	enum err e =
	    DB_RUN(db, g->stmt, g->a, &r, DB_TEXT(g->tenant), DB_TEXT(g->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	store_debate_from(&r, 0, g->out);
	return ERR_OK;
}

enum err
store_debate_get(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_debate *out)
{
	struct store_get g = {.a = a,
	    .tenant = tenant,
	    .id = id,
	    .stmt = STMT_DEBATE_GET,
	    .out = out};

	enum err e = store_tx(store, DB_READ_ONE, store_get_tx, &g, NULL);
	if (e != ERR_NOT_FOUND)
		return e;
	g.stmt = STMT_DEBATE_BY_SLUG;
	return store_tx(store, DB_READ_ONE, store_get_tx, &g, NULL);
}

static enum err
store_read_tx(struct db *db, void *arg)
{
	struct store_get *g = arg;
	struct db_result debate, turns;

	enum err e = DB_QUEUE(db, STMT_DEBATE_GET, g->a, &debate,
	    DB_TEXT(g->tenant), DB_TEXT(g->id));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_TURN_LIST, g->a, &turns,
		    DB_TEXT(g->tenant), DB_TEXT(g->id));
	if (e == ERR_OK)
		e = db_sync(db);
	if (e != ERR_OK)
		return e;
	if (debate.rows == 0)
		return ERR_NOT_FOUND;
	store_debate_from(&debate, 0, g->out);
	store_turns_from(&turns, g->a, &g->turns, &g->n_turns);
	return ERR_OK;
}

enum err
store_debate_read(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_debate *out, struct store_turn **turns,
    size_t *n)
{
	struct store_get g = {.a = a,
	    .tenant = tenant,
	    .id = id,
	    .stmt = STMT_DEBATE_BY_SLUG,
	    .out = out};

	enum err e = store_tx(store, DB_READ_ONE, store_read_tx, &g, NULL);
	*turns = g.turns;
	*n = g.n_turns;
	if (e != ERR_NOT_FOUND)
		return e;
	e = store_tx(store, DB_READ_ONE, store_get_tx, &g, NULL);
	return e == ERR_OK
	    ? store_turn_list(store, a, tenant, out->id, turns, n)
	    : e;
}

/* ---- queue figures ---- */

struct store_count {
	const char *tenant;
	const char *id;
	int64_t position;
	struct store_counts *counts;
	struct arena *a;
};

static enum err
store_position_tx(struct db *db, void *arg)
{
	struct store_count *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_POSITION, c->a, &r,
	    DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e == ERR_OK)
		c->position = r.rows > 0 ? db_int(&r, 0, 0) : 0;
	return e;
}

enum err
store_debate_queue_position(
    struct store *store, const char *tenant, const char *id, int64_t *position)
{
	struct store_count c = {.tenant = tenant, .id = id, .a = arena_new(0)};
	enum err e = store_tx(store, DB_READ_ONE, store_position_tx, &c, NULL);

	arena_free(&c.a);
	*position = c.position;
	return e;
}

static enum err
store_counts_tx(struct db *db, void *arg)
{
	struct store_count *c = arg;
	struct db_result pending, oldest, active;
	int64_t now;

	enum err e = db_queue(db, STMT_DEBATE_PENDING, NULL, 0, c->a, &pending);
	if (e == ERR_OK)
		e = db_queue(db, STMT_DEBATE_OLDEST, NULL, 0, c->a, &oldest);
	if (e == ERR_OK)
		e = store_clock(db, c->a, &now);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_DEBATE_ACTIVE, c->a, &active, DB_INT(now));
	if (e != ERR_OK)
		return e;
	int64_t since = db_int(&oldest, 0, 0);
	*c->counts = (struct store_counts){.pending = db_int(&pending, 0, 0),
	    .active = db_int(&active, 0, 0),
	    .oldest_us = since > 0 && now > since ? now - since : 0};
	return ERR_OK;
}

enum err
store_debate_counts(struct store *store, struct store_counts *out)
{
	struct store_count c = {.a = arena_new(0), .counts = out};

	*out = (struct store_counts){0};
	enum err e = store_tx(store, DB_READ, store_counts_tx, &c, NULL);
	arena_free(&c.a);
	return e;
}

/* ---- cancel ---- */

struct store_cancel {
	struct arena *a;
	const char *tenant;
	const char *id;
	struct store_event *event;
	bool is_uncertain; /* an earlier COMMIT of the same */
};

static enum err
store_cancel_tx(struct db *db, void *arg)
{
	struct store_cancel *c = arg;
	struct db_result r;
	int64_t now = clock_wall_us();
	bool is_landed = false;
	enum err e = ERR_OK;

	if (c->is_uncertain)
		e = store_event_landed(
		    db, c->a, c->tenant, c->id, c->event, &is_landed);
	if (e != ERR_OK || is_landed)
		return e;
	e = DB_RUN(db, STMT_DEBATE_CANCEL, c->a, &r, DB_TEXT(c->tenant),
	    DB_TEXT(c->id), DB_INT(now));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0) {
		e = DB_RUN(db, STMT_DEBATE_GET, c->a, &r, DB_TEXT(c->tenant),
		    DB_TEXT(c->id));
		if (e != ERR_OK)
			return e;
		return r.rows == 0 ? ERR_NOT_FOUND : ERR_CONFLICT;
	}
	c->is_uncertain = false;
	c->event->seq = db_int(&r, 0, 0);
	c->event->created_us = now;
	e = store_budget_close(db, c->a, c->tenant, c->id, NULL);
	if (e == ERR_OK)
		e = store_attempt_close(db, c->a, c->tenant, c->id, INT64_MAX,
		    STORE_ATTEMPT_LOST, now, NULL);
	if (e != ERR_OK)
		return e;
	return store_event_put(db, c->a, c->tenant, c->id, c->event);
}

enum err
store_debate_cancel(struct store *store, const char *tenant, const char *id,
    struct store_event *event)
{
	struct store_cancel c = {
	    .a = arena_new(0), .tenant = tenant, .id = id, .event = event};
	enum err e = store_tx(store, DB_WRITE, store_cancel_tx, &c, NULL);

	if (e == ERR_UNCERTAIN) {
		c.is_uncertain = true;
		e = store_tx(store, DB_WRITE, store_cancel_tx, &c, NULL);
		if (e != ERR_OK && c.is_uncertain)
			e = ERR_UNCERTAIN;
	}
	arena_free(&c.a);
	return e;
}
