/* SPDX-License-Identifier: MIT
 *
 * The runner's side: claim, heartbeat, group commit, release.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "store/store_tx.h"

struct store_claiming {
	struct arena *a;
	const char *runner;
	const char *id;
	int64_t lease_us, max;
	struct store_debate *rows;
	size_t n;
};

/* RETURNING gives no order: restore it. */
static int
store_claim_order(const void *x, const void *y)
{
	const struct store_debate *a = x;
	const struct store_debate *b = y;

	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return (a->created_us > b->created_us) -
	    (a->created_us < b->created_us);
}

static enum err
store_claim_tx(struct db *db, void *arg)
{
	struct store_claiming *c = arg;
	struct db_result r;
	int64_t now;

	enum err e = store_clock(db, c->a, &now);
	if (e != ERR_OK)
		return e;
	if (c->id != NULL)
		e = DB_RUN(db, STMT_DEBATE_CLAIM_ONE, c->a, &r,
		    DB_TEXT(c->runner), DB_INT(now), DB_INT(now + c->lease_us),
		    DB_TEXT(c->id));
	else
		e = DB_RUN(db, STMT_DEBATE_CLAIM, c->a, &r, DB_TEXT(c->runner),
		    DB_INT(now), DB_INT(now + c->lease_us), DB_INT(c->max));
	if (e != ERR_OK)
		return e;
	c->n = r.rows;
	c->rows = ARENA_ARRAY(c->a, r.rows + 1, struct store_debate);
	for (size_t i = 0; i < r.rows; i++)
		store_debate_from(&r, i, &c->rows[i]);
	qsort(c->rows, c->n, sizeof(*c->rows), store_claim_order);
	return ERR_OK;
}

enum err
store_claim(struct store *store, struct arena *a, const char *runner,
    int64_t lease_us, int64_t max, struct store_debate **rows, size_t *n)
{
	struct store_claiming c = {
	    .a = a, .runner = runner, .lease_us = lease_us, .max = max};
	enum err e = store_tx(store, true, store_claim_tx, &c, NULL);

	*rows = c.rows;
	*n = e == ERR_OK ? c.n : 0;
	return e;
}

enum err
store_claim_one(struct store *store, struct arena *a, const char *runner,
    int64_t lease_us, const char *debate_id, struct store_debate *row)
{
	struct store_claiming c = {
	    .a = a, .runner = runner, .lease_us = lease_us, .id = debate_id};
	enum err e = store_tx(store, true, store_claim_tx, &c, NULL);

	if (e == ERR_OK && c.n == 0)
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		*row = c.rows[0];
	return e;
}

struct store_leases {
	struct arena *a;
	const char *const *ids;
	const int64_t *epochs;
	size_t n;
	int64_t lease_us;
	bool *lost;
};

static enum err
store_heartbeat_tx(struct db *db, void *arg)
{
	struct store_leases *h = arg;
	int64_t now;

	enum err e = store_clock(db, h->a, &now);
	for (size_t i = 0; e == ERR_OK && i < h->n; i++) {
		struct db_result r;
		e = DB_RUN(db, STMT_DEBATE_EXTEND, h->a, &r, DB_TEXT(h->ids[i]),
		    DB_INT(h->epochs[i]), DB_INT(now + h->lease_us));
		if (e == ERR_OK)
			h->lost[i] = r.rows == 0;
	}
	return e;
}

enum err
store_heartbeat(struct store *store, const char *const *debate_ids,
    const int64_t *lease_epochs, size_t n, int64_t lease_us, bool *lost)
{
	struct store_leases h = {.a = arena_new(0),
	    .ids = debate_ids,
	    .epochs = lease_epochs,
	    .n = n,
	    .lease_us = lease_us,
	    .lost = lost};
	enum err e = store_tx(store, true, store_heartbeat_tx, &h, NULL);

	arena_free(&h.a);
	return e;
}

static enum err
store_release_tx(struct db *db, void *arg)
{
	struct store_leases *h = arg;

	return DB_RUN(db, STMT_DEBATE_UNLEASE, h->a, NULL, DB_TEXT(h->ids[0]),
	    DB_INT(h->epochs[0]));
}

enum err
store_release(struct store *store, const char *debate_id, int64_t lease_epoch)
{
	struct store_leases h = {
	    .a = arena_new(0), .ids = &debate_id, .epochs = &lease_epoch};
	enum err e = store_tx(store, true, store_release_tx, &h, NULL);

	arena_free(&h.a);
	return e;
}

/* ---- group commit ---- */

struct store_commit {
	struct arena *a;
	struct store_transition *const *t;
	size_t n;
};

static enum err
store_commit_rows(
    struct db *db, struct arena *a, struct store_transition *t, int64_t first)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < t->n_events; i++) {
		t->events[i].seq = first + (int64_t)i;
		e = store_event_put(db, a, t->debate_id, &t->events[i]);
	}
	for (size_t i = 0; e == ERR_OK && i < t->n_turns; i++) {
		if (t->turn_event != NULL && t->turn_event[i] > 0)
			t->turns[i].seq = t->events[t->turn_event[i] - 1].seq;
		e = store_turn_put(db, a, t->debate_id, &t->turns[i]);
	}
	if (e == ERR_OK && t->error != NULL)
		e = DB_RUN(db, STMT_DEBATE_ERROR, a, NULL,
		    DB_TEXT(t->debate_id), DB_TEXT(t->error));
	if (e == ERR_OK && (t->is_release || store_status_is_final(t->status)))
		e = DB_RUN(db, STMT_DEBATE_UNLEASE, a, NULL,
		    DB_TEXT(t->debate_id), DB_INT(t->lease_epoch));
	return e;
}

static enum err
store_commit_one(struct db *db, struct arena *a, struct store_transition *t)
{
	int64_t now = clock_wall_us();
	struct db_result r;

	for (size_t i = 0; i < t->n_events; i++)
		t->events[i].created_us = now;
	for (size_t i = 0; i < t->n_turns; i++) {
		struct store_turn *turn = &t->turns[i];
		if (turn->started_us == 0)
			turn->started_us = now;
		if (turn->finished_us == 0 && turn->state != STORE_TURN_STARTED)
			turn->finished_us = now;
	}
	enum err e = DB_RUN(db, STMT_DEBATE_STEP, a, &r, DB_TEXT(t->debate_id),
	    DB_INT(t->lease_epoch), DB_INT((int64_t)t->n_events),
	    DB_TEXT(store_status_name(t->status)), DB_TEXT(t->phase),
	    DB_INT(t->round), DB_TEXT(t->result), DB_DOUBLE(t->confidence),
	    DB_INT(t->consensus_reached), DB_INT(now),
	    DB_INT(store_status_is_final(t->status) ? now : 0));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0) {
		t->outcome = ERR_FENCED;
		return ERR_OK;
	}
	t->outcome = ERR_OK;
	return store_commit_rows(
	    db, a, t, db_int(&r, 0, 0) - (int64_t)t->n_events + 1);
}

static enum err
store_commit_tx(struct db *db, void *arg)
{
	struct store_commit *c = arg;
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < c->n; i++)
		e = store_commit_one(db, c->a, c->t[i]);
	return e;
}

enum err
store_commit(struct store *store, struct store_transition *const *t, size_t n)
{
	struct store_commit c = {.a = arena_new(0), .t = t, .n = n};
	enum err e = store_tx(store, true, store_commit_tx, &c, NULL);

	arena_free(&c.a);
	return e;
}
