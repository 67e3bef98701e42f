/* SPDX-License-Identifier: MIT
 *
 * The runner's side of the queue: claim, heartbeat, release.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"
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

/* What was claimed, each row as its tenant's: one round trip for all. */
static enum err
store_claim_read(
    struct db *db, struct store_claiming *c, const struct db_result *claimed)
{
	size_t n = claimed->rows;
	struct db_result *rows = ARENA_ARRAY(c->a, n + 1, struct db_result);
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < n; i++)
		e = DB_QUEUE(db, STMT_DEBATE_GET, c->a, &rows[i],
		    DB_TEXT(db_text(claimed, i, 1)),
		    DB_TEXT(db_text(claimed, i, 0)));
	if (e == ERR_OK)
		e = db_sync(db);
	if (e != ERR_OK)
		return e;
	c->n = n;
	c->rows = ARENA_ARRAY(c->a, n + 1, struct store_debate);
	for (size_t i = 0; i < n; i++)
		store_debate_from(&rows[i], 0, &c->rows[i]);
	qsort(c->rows, n, sizeof(*c->rows), store_claim_order);
	return ERR_OK;
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
	return store_claim_read(db, c, &r);
}

enum err
store_claim(struct store *store, struct arena *a, const char *runner,
    int64_t lease_us, int64_t max, struct store_debate **rows, size_t *n)
{
	struct store_claiming c = {
	    .a = a, .runner = runner, .lease_us = lease_us, .max = max};
	enum err e = max > 0
	    ? store_tx(store, DB_WRITE, store_claim_tx, &c, NULL)
	    : ERR_OK;

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
	enum err e = store_tx(store, DB_WRITE, store_claim_tx, &c, NULL);

	if (e == ERR_OK && c.n == 0)
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		*row = c.rows[0];
	return e;
}

struct store_leases {
	struct arena *a;
	const char *tenant;
	const char *const *ids;
	const int64_t *epochs;
	size_t n;
	const char *json; /* the same as text */
	int64_t lease_us;
	bool *lost;
};

static void
store_heartbeat_kept(struct store_leases *h, const char *id, int64_t epoch)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->epochs[i] == epoch && str_eq(h->ids[i], id))
			h->lost[i] = false;
}

static enum err
store_heartbeat_tx(struct db *db, void *arg)
{
	struct store_leases *h = arg;
	struct db_result r;
	int64_t now;

	for (size_t i = 0; i < h->n; i++)
		h->lost[i] = true;
	enum err e = store_clock(db, h->a, &now);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_DEBATE_EXTEND, h->a, &r, DB_TEXT(h->json),
		    DB_INT(now + h->lease_us));
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++)
		store_heartbeat_kept(h, db_text(&r, i, 0), db_int(&r, i, 1));
	return e;
}

enum err
store_heartbeat(struct store *store, const char *const *debate_ids,
    const int64_t *lease_epochs, size_t n, int64_t lease_us, bool *lost)
{
	if (n == 0)
		return ERR_OK;
	struct arena *a = arena_new(0);
	struct store_leases h = {.a = a,
	    .ids = debate_ids,
	    .epochs = lease_epochs,
	    .n = n,
	    .json = store_id_list(a, debate_ids, lease_epochs, n),
	    .lease_us = lease_us,
	    .lost = lost};
	enum err e = store_tx(store, DB_WRITE, store_heartbeat_tx, &h, NULL);
	if (e != ERR_OK) /* nothing was learnt */
		for (size_t i = 0; i < n; i++)
			lost[i] = false;
	arena_free(&a);
	return e;
}

static enum err
store_release_tx(struct db *db, void *arg)
{
	struct store_leases *h = arg;

	return DB_RUN(db, STMT_DEBATE_UNLEASE, h->a, NULL, DB_TEXT(h->tenant),
	    DB_TEXT(h->ids[0]), DB_INT(h->epochs[0]));
}

enum err
store_release(struct store *store, const char *tenant, const char *debate_id,
    int64_t lease_epoch)
{
	struct store_leases h = {.a = arena_new(0),
	    .tenant = tenant,
	    .ids = &debate_id,
	    .epochs = &lease_epoch};
	enum err e = store_tx(store, DB_WRITE, store_release_tx, &h, NULL);

	arena_free(&h.a);
	return e;
}
