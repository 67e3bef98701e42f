/* SPDX-License-Identifier: MIT
 *
 * Group commit: the transitions of many debates in one transaction, each
 * fenced by its lease. What became of a COMMIT whose answer was lost is found
 * out by repeating the transitions: those that landed are recognised by their
 * first event.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "store/store_budget.h"
#include "store/store_commit.h"
#include "store/store_rating.h"

#define STORE_COMMIT_TRIES 3

struct store_commit {
	struct arena *a;
	struct store_transition *const *t;
	size_t n;
	/* Of the last try; NULL while it is not known which of them landed. */
	const struct store_step *steps;
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

/* One that landed stays uncertain until the whole transaction has: a retry
 * must ask again instead of writing. It has no step. */
static enum err
store_commit_landed(struct db *db, struct arena *a, struct store_step *step)
{
	struct store_transition *t = step->t;

	if (t->outcome != ERR_UNCERTAIN || t->n_events == 0)
		return ERR_OK;
	return store_event_landed(
	    db, a, t->tenant, t->debate_id, &t->events[0], &step->is_landed);
}

/* ---- row by row, for a database that minds statements little ---- */

static enum err
store_commit_step(
    struct db *db, struct arena *a, struct store_step *step, int64_t now)
{
	const struct store_transition *t = step->t;
	bool is_final = store_status_is_final(t->status);

	step->answer = ARENA_NEW(a, struct db_result);
	return DB_QUEUE(db, STMT_DEBATE_STEP, a, step->answer,
	    DB_TEXT(t->tenant), DB_TEXT(t->debate_id), DB_INT(t->lease_epoch),
	    DB_INT((int64_t)t->n_events), DB_TEXT(store_status_name(t->status)),
	    DB_TEXT(t->phase), DB_INT(t->round), DB_TEXT(t->result),
	    DB_TEXT(t->error), DB_DOUBLE(t->confidence),
	    DB_INT(t->consensus_reached), DB_INT(now),
	    DB_INT(is_final ? now : 0), DB_INT(t->is_release || is_final));
}

static enum err
store_commit_steps(struct db *db, struct arena *a, struct store_step *steps,
    size_t n, int64_t now)
{
	enum err e = ERR_OK;

	if (db->driver->prefers_sets)
		return store_set_steps(db, a, steps, n, now);
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (!steps[i].is_landed)
			e = store_commit_step(db, a, &steps[i], now);
	return e;
}

static enum err
store_commit_rows_of(
    struct db *db, struct arena *a, const struct store_transition *t)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < t->n_events; i++)
		e = store_event_put(
		    db, a, t->tenant, t->debate_id, &t->events[i]);
	for (size_t i = 0; e == ERR_OK && i < t->n_turns; i++)
		e = store_turn_put(
		    db, a, t->tenant, t->debate_id, &t->turns[i]);
	return e;
}

/* One of each debate, when it ends: sets would gain nothing. */
static enum err
store_commit_vectors(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n, int64_t now)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (steps[i].is_written)
			e = store_vector_put(db, a, steps[i].t->tenant,
			    steps[i].t->debate_id, &steps[i].t->vector, now);
	return e;
}

static enum err
store_commit_rows(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n, int64_t now)
{
	enum err e = store_commit_vectors(db, a, steps, n, now);

	if (e == ERR_OK && db->driver->prefers_sets)
		return store_set_rows(db, a, steps, n);
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (steps[i].is_written)
			e = store_commit_rows_of(db, a, steps[i].t);
	return e;
}

/* Tenant by tenant in the order of their names, so that two transactions
 * never wait for each other's boards. */
static enum err
store_commit_matches(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n, int64_t now)
{
	const char *last = "";
	enum err e = ERR_OK;

	while (e == ERR_OK) {
		const char *next = NULL;
		for (size_t i = 0; i < n; i++) {
			const struct store_transition *t = steps[i].t;
			if (steps[i].is_written && t->match != NULL &&
			    strcmp(t->tenant, last) > 0 &&
			    (next == NULL || strcmp(t->tenant, next) < 0))
				next = t->tenant;
		}
		if (next == NULL)
			break;
		for (size_t i = 0; e == ERR_OK && i < n; i++) {
			const struct store_transition *t = steps[i].t;
			if (steps[i].is_written && t->match != NULL &&
			    str_eq(t->tenant, next))
				e = store_match_put(db, a, t->tenant,
				    t->debate_id, t->match, now);
		}
		last = next;
	}
	return e;
}

/* ---- a transaction ---- */

/* A debate's later transitions have the later numbers: its last one is what
 * the row says after the statement that this one was in. */
static void
store_commit_number(struct store_step *step)
{
	struct store_transition *t = step->t;
	int64_t last = store_set_last_seq(step);

	step->is_written = last >= 0;
	t->outcome = step->is_written ? ERR_OK : ERR_FENCED;
	if (!step->is_written)
		return;
	for (size_t i = 0; i < t->n_events; i++)
		t->events[i].seq = last - (int64_t)(t->n_events - 1 - i);
	for (size_t i = 0; t->turn_event != NULL && i < t->n_turns; i++)
		if (t->turn_event[i] > 0)
			t->turns[i].seq = t->events[t->turn_event[i] - 1].seq;
}

/* Two round trips however many they are: all steps, which take the rows'
 * locks and give the sequence numbers; then all rows and the COMMIT. */
static enum err
store_commit_tx(struct db *db, void *arg)
{
	struct store_commit *c = arg;
	struct store_step *steps = ARENA_ARRAY(c->a, c->n, struct store_step);
	int64_t now = clock_wall_us();
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < c->n; i++) {
		steps[i].t = c->t[i];
		e = store_commit_landed(db, c->a, &steps[i]);
		if (e == ERR_OK && !steps[i].is_landed)
			store_commit_stamp(c->t[i], now);
	}
	if (e == ERR_OK) {
		c->steps = steps;
		e = store_commit_steps(db, c->a, steps, c->n, now);
	}
	if (e == ERR_OK)
		e = db_sync(db);
	for (size_t i = 0; e == ERR_OK && i < c->n; i++)
		if (!steps[i].is_landed)
			store_commit_number(&steps[i]);
	if (e == ERR_OK)
		e = store_commit_rows(db, c->a, steps, c->n, now);
	if (e == ERR_OK)
		e = store_budget_commit(db, c->a, steps, c->n);
	return e == ERR_OK ? store_commit_matches(db, c->a, steps, c->n, now)
			   : e;
}

/* The outcomes that follow from the transaction's; returns its own, which is
 * uncertain as long as one of them is. What had not landed by a transaction
 * that was rolled back has not. */
static enum err
store_commit_settle(struct store_commit *c, enum err e)
{
	bool is_uncertain = false;

	for (size_t i = 0; i < c->n; i++) {
		enum err *outcome = &c->t[i]->outcome;
		if (e != ERR_OK && e != ERR_UNCERTAIN && c->steps != NULL &&
		    !c->steps[i].is_landed)
			*outcome = ERR_OK;
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

	for (int i = 0; e == ERR_UNCERTAIN && i < STORE_COMMIT_TRIES; i++) {
		c.steps = NULL;
		e = store_commit_settle(
		    &c, store_tx(store, DB_WRITE, store_commit_tx, &c, NULL));
	}
	arena_free(&c.a);
	return e;
}
