/* SPDX-License-Identifier: MIT */
#include "store/store_attempt.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "store/store_commit.h"

/* A set's statement is ended here. */
#define ATTEMPT_SET_BYTES (1u << 20)
#define ATTEMPT_SET_MAX	  (64u << 20)

static const struct {
	const char *name;
	bool is_billed;
} attempt_states[STORE_ATTEMPT__COUNT] = {
#define X(id, name, is_billed) [id] = {name, is_billed},
    STORE_ATTEMPT_LIST(X)
#undef X
};

const char *
store_attempt_state_name(enum store_attempt_state s)
{
	return attempt_states[s].name;
}

bool
store_attempt_may_be_billed(enum store_attempt_state s)
{
	return attempt_states[s].is_billed;
}

/* ---- with a transition ---- */

static void
attempt_stamp(struct store_attempt *t, int64_t now)
{
	if (t->started_us == 0)
		t->started_us = now;
	if (t->finished_us == 0 && t->state != STORE_ATTEMPT_STARTED)
		t->finished_us = now;
}

static enum err
attempt_put(struct db *db, struct arena *a, const struct store_transition *t,
    const struct store_attempt *x)
{
	return DB_QUEUE(db, STMT_ATTEMPT_UPSERT, a, NULL, DB_TEXT(t->tenant),
	    DB_TEXT(t->debate_id), DB_TEXT(x->step_key), DB_INT(x->attempt),
	    DB_INT(t->lease_epoch), DB_INT(x->key_attempt), DB_TEXT(x->kind),
	    DB_INT(x->state), DB_TEXT(x->request_hash), DB_TEXT(x->provider),
	    DB_TEXT(x->model), DB_INT(x->tokens_in), DB_INT(x->tokens_out),
	    DB_INT(x->is_estimated), DB_INT(x->cost_udollar),
	    DB_INT(x->http_status), DB_TEXT(x->error), DB_INT(x->started_us),
	    DB_INT(x->finished_us));
}

static void
attempt_write(struct json_w *w, const struct store_transition *t,
    const struct store_attempt *x)
{
	json_w_begin(w, NULL);
	json_w_str(w, "debate", t->debate_id);
	json_w_str(w, "step", x->step_key);
	json_w_int(w, "attempt", x->attempt);
	json_w_int(w, "epoch", t->lease_epoch);
	json_w_int(w, "key", x->key_attempt);
	json_w_str(w, "kind", x->kind);
	json_w_int(w, "state", x->state);
	json_w_str(w, "hash", x->request_hash);
	json_w_str(w, "provider", x->provider);
	json_w_str(w, "model", x->model);
	json_w_int(w, "tokens_in", x->tokens_in);
	json_w_int(w, "tokens_out", x->tokens_out);
	json_w_int(w, "estimated", x->is_estimated);
	json_w_int(w, "cost", x->cost_udollar);
	json_w_int(w, "status", x->http_status);
	json_w_str(w, "error", x->error);
	json_w_int(w, "started", x->started_us);
	json_w_int(w, "finished", x->finished_us);
	json_w_end(w);
}

/* A statement changes a row once: is this one's debate among the others? */
static bool
attempt_is_again(const struct store_step *steps, size_t from, size_t at)
{
	for (size_t i = from; i < at; i++)
		if (steps[i].is_written && steps[i].t->n_attempts > 0 &&
		    str_eq(steps[i].t->debate_id, steps[at].t->debate_id))
			return true;
	return false;
}

/* Transitions from *next on that can share a statement. */
static enum err
attempt_put_set(struct db *db, struct arena *a, const struct store_step *steps,
    size_t n, const char *tenant, size_t *next)
{
	size_t from = *next, rows = 0;
	enum err e = ERR_OK;
	struct buf b;
	struct json_w w;

	buf_init(&b, ATTEMPT_SET_MAX);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (; *next < n; ++*next) {
		const struct store_transition *t = steps[*next].t;
		if (!steps[*next].is_written || !str_eq(t->tenant, tenant))
			continue;
		if (b.len > ATTEMPT_SET_BYTES ||
		    attempt_is_again(steps, from, *next))
			break;
		for (size_t k = 0; k < t->n_attempts; k++, rows++)
			attempt_write(&w, t, &t->attempts[k]);
	}
	json_w_end_array(&w);
	if (b.is_overflowed)
		e = err_set(&db->info, ERR_TOO_LARGE, "", "a row is too large");
	else if (rows > 0)
		e = DB_QUEUE(db, STMT_ATTEMPT_UPSERTS, a, NULL, DB_TEXT(tenant),
		    DB_TEXT(buf_text(&b)));
	buf_release(&b);
	return e;
}

static bool
attempt_is_first_of_tenant(const struct store_step *steps, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (str_eq(steps[j].t->tenant, steps[i].t->tenant))
			return false;
	return true;
}

static enum err
attempt_put_sets(
    struct db *db, struct arena *a, const struct store_step *steps, size_t n)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		size_t next = i;
		if (!attempt_is_first_of_tenant(steps, i))
			continue;
		while (e == ERR_OK && next < n)
			e = attempt_put_set(
			    db, a, steps, n, steps[i].t->tenant, &next);
	}
	return e;
}

static enum err
attempt_put_rows(struct db *db, struct arena *a, const struct store_step *step)
{
	const struct store_transition *t = step->t;
	enum err e = ERR_OK;

	for (size_t k = 0; e == ERR_OK && k < t->n_attempts; k++)
		e = attempt_put(db, a, t, &t->attempts[k]);
	return e;
}

enum err
store_attempt_close(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, int64_t before_epoch, enum store_attempt_state state,
    int64_t now_us, struct db_result *closed)
{
	return DB_QUEUE(db, STMT_ATTEMPT_CLOSE, a, closed, DB_TEXT(tenant),
	    DB_TEXT(debate_id), DB_INT(before_epoch), DB_INT(state),
	    DB_INT(now_us));
}

/* Those of an earlier runner, or, at the end, all that are still out. */
static enum err
attempt_close_step(
    struct db *db, struct arena *a, struct store_step *step, int64_t now)
{
	const struct store_transition *t = step->t;
	bool is_final = store_status_is_final(t->status);

	if (!is_final && !t->is_takeover)
		return ERR_OK;
	step->lost = ARENA_NEW(a, struct db_result);
	return store_attempt_close(db, a, t->tenant, t->debate_id,
	    t->lease_epoch + is_final, STORE_ATTEMPT_LOST, now, step->lost);
}

enum err
store_attempt_commit(struct db *db, struct arena *a, struct store_step *steps,
    size_t n, int64_t now)
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < steps[i].t->n_attempts; k++)
			attempt_stamp(&steps[i].t->attempts[k], now);
	if (db->driver->prefers_sets)
		e = attempt_put_sets(db, a, steps, n);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		if (!steps[i].is_written)
			continue;
		if (!db->driver->prefers_sets)
			e = attempt_put_rows(db, a, &steps[i]);
		if (e == ERR_OK)
			e = attempt_close_step(db, a, &steps[i], now);
	}
	return e;
}

/* ---- reading ---- */

struct attempt_list {
	struct arena *a;
	const char *tenant;
	const char *id;
	struct store_attempt *rows;
	size_t n;
};

static int
attempt_order(const void *x, const void *y)
{
	const struct store_attempt *a = x;
	const struct store_attempt *b = y;

	if (a->started_us != b->started_us)
		return a->started_us < b->started_us ? -1 : 1;
	int by_step = strcmp(a->step_key, b->step_key);
	return by_step != 0 ? by_step : a->attempt < b->attempt ? -1 : 1;
}

static enum err
attempt_list_tx(struct db *db, void *arg)
{
	struct attempt_list *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_ATTEMPT_LIST, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->id));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_attempt);
	for (size_t i = 0; i < r.rows; i++) {
		int64_t state = db_int(&r, i, 4);
		if (state < 0 || state >= STORE_ATTEMPT__COUNT)
			state = STORE_ATTEMPT_LOST; /* of a newer program */
		q->rows[i] =
		    (struct store_attempt){.step_key = db_text(&r, i, 0),
			.attempt = db_int(&r, i, 1),
			.key_attempt = db_int(&r, i, 2),
			.kind = db_text(&r, i, 3),
			.state = (enum store_attempt_state)state,
			.request_hash = db_text(&r, i, 5),
			.provider = db_text(&r, i, 6),
			.model = db_text(&r, i, 7),
			.tokens_in = db_int(&r, i, 8),
			.tokens_out = db_int(&r, i, 9),
			.is_estimated = db_int(&r, i, 10) != 0,
			.cost_udollar = db_int(&r, i, 11),
			.http_status = db_int(&r, i, 12),
			.error = db_text(&r, i, 13),
			.started_us = db_int(&r, i, 14),
			.finished_us = db_int(&r, i, 15)};
	}
	qsort(q->rows, q->n, sizeof(*q->rows), attempt_order);
	return ERR_OK;
}

enum err
store_attempt_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_attempt **rows, size_t *n)
{
	struct attempt_list q = {.a = a, .tenant = tenant, .id = debate_id};
	enum err e = store_tx(store, DB_READ_ONE, attempt_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}
