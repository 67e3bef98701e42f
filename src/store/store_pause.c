/* SPDX-License-Identifier: MIT
 *
 * Pause and resume. A debate that nobody drives is paused at once; one that a
 * runner holds is marked, and the runner parks it when no call is under way.
 * Every verb can be repeated, which is what is done when the answer to a
 * COMMIT was lost; what landed then is not told a second time.
 */
#include "base/clock.h"
#include "base/str.h"
#include "store/store_commit.h"

struct store_pause {
	struct arena *a;
	const char *tenant;
	const char *id;
	bool is_wanted; /* pause; else resume */
	int64_t epoch;
	struct store_event *event;
	enum store_status status;
	/* of a list */
	const char *const *ids;
	const int64_t *epochs;
	size_t n;
	bool *pausing;
};

static enum err
store_pause_tell(struct db *db, struct store_pause *p, int64_t seq, int64_t now)
{
	p->event->seq = seq;
	p->event->created_us = now;
	return store_event_put(db, p->a, p->tenant, p->id, p->event);
}

/* As it is now: final is too late, anything else is what was wanted. */
static enum err
store_pause_look(struct db *db, struct store_pause *p)
{
	struct db_result r;
	struct store_debate d;

	enum err e = DB_RUN(
	    db, STMT_DEBATE_GET, p->a, &r, DB_TEXT(p->tenant), DB_TEXT(p->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	store_debate_from(&r, 0, &d);
	p->status = d.status;
	return store_status_is_final(d.status) ? ERR_CONFLICT : ERR_OK;
}

static enum err
store_pause_tx(struct db *db, void *arg)
{
	struct store_pause *p = arg;
	struct db_result r;
	int64_t now = clock_wall_us();

	p->event->seq = 0;
	enum err e = DB_RUN(db, STMT_DEBATE_PAUSE_WANT, p->a, &r,
	    DB_TEXT(p->tenant), DB_TEXT(p->id), DB_INT(p->is_wanted));
	if (e != ERR_OK)
		return e;
	if (r.rows > 0) {
		p->status = STORE_RUNNING;
		return ERR_OK;
	}
	e = DB_RUN(db, p->is_wanted ? STMT_DEBATE_PAUSE : STMT_DEBATE_RESUME,
	    p->a, &r, DB_TEXT(p->tenant), DB_TEXT(p->id), DB_INT(now));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return store_pause_look(db, p);
	p->status = p->is_wanted ? STORE_PAUSED : STORE_PENDING;
	return store_pause_tell(db, p, db_int(&r, 0, 0), now);
}

static enum err
store_pause_do(struct store *store, struct store_pause *p, store_tx_fn fn)
{
	enum err e = store_tx(store, DB_WRITE, fn, p, NULL);

	if (e == ERR_UNCERTAIN)
		e = store_tx(store, DB_WRITE, fn, p, NULL);
	return e;
}

static enum err
store_pause_set(struct store *store, const char *tenant, const char *id,
    bool is_wanted, struct store_event *event, enum store_status *status)
{
	struct store_pause p = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .is_wanted = is_wanted,
	    .event = event};
	enum err e = store_pause_do(store, &p, store_pause_tx);

	*status = p.status;
	arena_free(&p.a);
	return e;
}

enum err
store_debate_pause(struct store *store, const char *tenant, const char *id,
    struct store_event *event, enum store_status *status)
{
	return store_pause_set(store, tenant, id, true, event, status);
}

enum err
store_debate_resume(struct store *store, const char *tenant, const char *id,
    struct store_event *event, enum store_status *status)
{
	return store_pause_set(store, tenant, id, false, event, status);
}

static enum err
store_pausing_tx(struct db *db, void *arg)
{
	struct store_pause *p = arg;
	struct db_result r;

	for (size_t i = 0; i < p->n; i++)
		p->pausing[i] = false;
	enum err e = DB_RUN(db, STMT_DEBATE_PAUSING, p->a, &r,
	    DB_TEXT(store_id_list(p->a, p->ids, p->epochs, p->n)));
	if (e != ERR_OK)
		return e;
	for (size_t k = 0; k < r.rows; k++)
		for (size_t i = 0; i < p->n; i++)
			if (p->epochs[i] == db_int(&r, k, 1) &&
			    str_eq(p->ids[i], db_text(&r, k, 0)))
				p->pausing[i] = true;
	return ERR_OK;
}

enum err
store_pausing(struct store *store, const char *const *debate_ids,
    const int64_t *lease_epochs, size_t n, bool *pausing)
{
	if (n == 0)
		return ERR_OK;
	struct store_pause p = {.a = arena_new(0),
	    .ids = debate_ids,
	    .epochs = lease_epochs,
	    .n = n,
	    .pausing = pausing};
	enum err e = store_tx(store, DB_READ_ONE, store_pausing_tx, &p, NULL);

	arena_free(&p.a);
	return e;
}

static enum err
store_park_tx(struct db *db, void *arg)
{
	struct store_pause *p = arg;
	struct db_result r;
	int64_t now = clock_wall_us();

	enum err e = DB_RUN(db, STMT_DEBATE_PARK, p->a, &r, DB_TEXT(p->tenant),
	    DB_TEXT(p->id), DB_INT(p->epoch), DB_INT(now));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_CONFLICT;
	p->event->round = db_int(&r, 0, 1);
	/* No call is under way: those that were meant to be have not left. */
	e = store_attempt_close(db, p->a, p->tenant, p->id, p->epoch + 1,
	    STORE_ATTEMPT_UNSENT, now, NULL);
	if (e != ERR_OK)
		return e;
	return store_pause_tell(db, p, db_int(&r, 0, 0), now);
}

enum err
store_park(struct store *store, const char *tenant, const char *debate_id,
    int64_t lease_epoch, struct store_event *event)
{
	struct store_pause p = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = debate_id,
	    .epoch = lease_epoch,
	    .event = event};
	enum err e = store_pause_do(store, &p, store_park_tx);

	arena_free(&p.a);
	return e;
}
