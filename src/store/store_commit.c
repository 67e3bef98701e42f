/* SPDX-License-Identifier: MIT
 *
 * Group commit: the transitions of many debates in one transaction, each
 * fenced by its lease. What became of a COMMIT whose answer was lost is found
 * out by repeating the transitions: those that landed are recognised by their
 * first event.
 */
#include "base/clock.h"
#include "store/store_tx.h"

#define STORE_COMMIT_TRIES 3

struct store_commit {
	struct arena *a;
	struct store_transition *const *t;
	size_t n;
};

static void
store_commit_stamp(struct store_transition *t, int64_t now)
{
	for (size_t i = 0; i < t->n_events; i++)
		t->events[i].created_us = now;
	for (size_t i = 0; i < t->n_turns; i++) {
		struct store_turn *turn = &t->turns[i];
		if (turn->started_us == 0)
			turn->started_us = now;
		if (turn->finished_us == 0 && turn->state != STORE_TURN_STARTED)
			turn->finished_us = now;
	}
}

static enum err
store_commit_rows(
    struct db *db, struct arena *a, struct store_transition *t, int64_t first)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < t->n_events; i++) {
		t->events[i].seq = first + (int64_t)i;
		e = store_event_put(
		    db, a, t->tenant, t->debate_id, &t->events[i]);
	}
	for (size_t i = 0; e == ERR_OK && i < t->n_turns; i++) {
		if (t->turn_event != NULL && t->turn_event[i] > 0)
			t->turns[i].seq = t->events[t->turn_event[i] - 1].seq;
		e = store_turn_put(
		    db, a, t->tenant, t->debate_id, &t->turns[i]);
	}
	return e;
}

static enum err
store_commit_step(struct db *db, struct arena *a, struct store_transition *t,
    struct db_result *step)
{
	int64_t now = clock_wall_us();
	bool is_final = store_status_is_final(t->status);

	store_commit_stamp(t, now);
	return DB_QUEUE(db, STMT_DEBATE_STEP, a, step, DB_TEXT(t->tenant),
	    DB_TEXT(t->debate_id), DB_INT(t->lease_epoch),
	    DB_INT((int64_t)t->n_events), DB_TEXT(store_status_name(t->status)),
	    DB_TEXT(t->phase), DB_INT(t->round), DB_TEXT(t->result),
	    DB_TEXT(t->error), DB_DOUBLE(t->confidence),
	    DB_INT(t->consensus_reached), DB_INT(now),
	    DB_INT(is_final ? now : 0), DB_INT(t->is_release || is_final));
}

/* One that landed stays uncertain until the whole transaction has: a retry
 * must ask again instead of writing. It has no step. */
static enum err
store_commit_begin(struct db *db, struct arena *a, struct store_transition *t,
    struct db_result *step)
{
	bool is_landed = false;

	if (t->outcome == ERR_UNCERTAIN && t->n_events > 0) {
		enum err e = store_event_landed(
		    db, a, t->tenant, t->debate_id, &t->events[0], &is_landed);
		if (e != ERR_OK)
			return e;
	}
	return is_landed ? ERR_OK : store_commit_step(db, a, t, step);
}

static enum err
store_commit_end(struct db *db, struct arena *a, struct store_transition *t,
    const struct db_result *step)
{
	if (step->columns == 0)
		return ERR_OK;
	t->outcome = step->rows > 0 ? ERR_OK : ERR_FENCED;
	if (step->rows == 0)
		return ERR_OK;
	return store_commit_rows(
	    db, a, t, db_int(step, 0, 0) - (int64_t)t->n_events + 1);
}

/* Two round trips however many they are: all steps, which take the rows'
 * locks and give the sequence numbers; then all rows and the COMMIT. */
static enum err
store_commit_tx(struct db *db, void *arg)
{
	struct store_commit *c = arg;
	struct db_result *steps = ARENA_ARRAY(c->a, c->n, struct db_result);
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < c->n; i++)
		e = store_commit_begin(db, c->a, c->t[i], &steps[i]);
	if (e == ERR_OK)
		e = db_sync(db);
	for (size_t i = 0; e == ERR_OK && i < c->n; i++)
		e = store_commit_end(db, c->a, c->t[i], &steps[i]);
	return e;
}

/* The outcomes that follow from the transaction's; returns its own, which is
 * uncertain as long as one of them is. */
static enum err
store_commit_settle(struct store_commit *c, enum err e)
{
	bool is_uncertain = false;

	for (size_t i = 0; i < c->n; i++) {
		enum err *outcome = &c->t[i]->outcome;
		if (e == ERR_OK && *outcome == ERR_UNCERTAIN)
			*outcome = ERR_OK;
		if (e == ERR_UNCERTAIN && *outcome == ERR_OK)
			*outcome = ERR_UNCERTAIN;
		is_uncertain = is_uncertain || *outcome == ERR_UNCERTAIN;
	}
	return is_uncertain ? ERR_UNCERTAIN : e;
}

enum err
store_commit(struct store *store, struct store_transition *const *t, size_t n)
{
	struct store_commit c = {.a = arena_new(0), .t = t, .n = n};
	enum err e = ERR_UNCERTAIN;

	for (int i = 0; e == ERR_UNCERTAIN && i < STORE_COMMIT_TRIES; i++)
		e = store_commit_settle(
		    &c, store_tx(store, DB_WRITE, store_commit_tx, &c, NULL));
	arena_free(&c.a);
	return e;
}
