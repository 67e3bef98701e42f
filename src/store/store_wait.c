/* SPDX-License-Identifier: MIT
 *
 * How long a debate will wait, told from what is in the tables.
 */
#include "base/clock.h"
#include "store/store_tx.h"

#define WAIT_SAMPLE 20 /* debates: enough for a mean, all of them recent */

struct store_waiting {
	struct arena *a;
	const char *tenant;
	const char *id;
	int64_t max_age_us;
	struct store_wait *out;
};

/* A place comes free every span / capacity. */
static int64_t
store_wait_estimate(
    int64_t position, int64_t active, int64_t capacity, int64_t span_us)
{
	if (capacity <= 0 || span_us <= 0)
		return -1;
	int64_t before = position - (capacity - active);
	return before <= 0 ? 0 : before * span_us / capacity;
}

static enum err
store_wait_tx(struct db *db, void *arg)
{
	struct store_waiting *w = arg;
	struct db_result place, pace, active, runners;
	int64_t now, capacity = 0;

	enum err e = DB_RUN(db, STMT_DEBATE_POSITION, w->a, &place,
	    DB_TEXT(w->tenant), DB_TEXT(w->id));
	if (e != ERR_OK || place.rows == 0)
		return e;
	w->out->position = db_int(&place, 0, 0);
	e = store_clock(db, w->a, &now);
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_DEBATE_PACE, w->a, &pace,
		    DB_TEXT(w->tenant), DB_INT(WAIT_SAMPLE));
	if (e == ERR_OK)
		e = DB_QUEUE(
		    db, STMT_DEBATE_ACTIVE, w->a, &active, DB_INT(now));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RUNNER_LIST, w->a, &runners,
		    DB_INT(now - w->max_age_us));
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < runners.rows; i++)
		capacity += db_int(&runners, i, 3);
	w->out->wait_us = store_wait_estimate(w->out->position,
	    db_int(&active, 0, 0), capacity, db_int(&pace, 0, 0));
	return ERR_OK;
}

enum err
store_debate_wait(struct store *store, const char *tenant, const char *id,
    int64_t max_age_us, struct store_wait *out)
{
	struct store_waiting w = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .max_age_us = max_age_us,
	    .out = out};

	*out = (struct store_wait){.wait_us = -1};
	enum err e = store_tx(store, DB_READ, store_wait_tx, &w, NULL);
	arena_free(&w.a);
	return e;
}
