/* SPDX-License-Identifier: MIT
 *
 * Which runners are alive.
 */
#include "base/clock.h"
#include "store/store_tx.h"

struct store_runners {
	struct arena *a;
	const struct store_runner *runner;
	const char *id;
	int64_t max_age_us;
	int64_t version;
	struct store_runner *rows;
	size_t n;
};

static enum err
store_runner_seen_tx(struct db *db, void *arg)
{
	struct store_runners *q = arg;
	const struct store_runner *r = q->runner;
	struct db_result pinged;
	int64_t now;

	enum err e = store_clock(db, q->a, &now);
	if (e == ERR_OK)
		e = db_run(db, STMT_PING, NULL, 0, q->a, &pinged);
	if (e != ERR_OK)
		return e;
	q->version = db_int(&pinged, 0, 0);
	return DB_RUN(db, STMT_RUNNER_SEEN, q->a, NULL, DB_TEXT(r->id),
	    DB_TEXT(r->host), DB_INT(r->pid), DB_INT(r->capacity),
	    DB_INT(r->active), DB_INT(now),
	    DB_TEXT(r->health != NULL ? r->health : "[]"));
}

enum err
store_runner_seen(struct store *store, const struct store_runner *r)
{
	struct store_runners q = {.a = arena_new(0), .runner = r};
	enum err e = store_tx(store, DB_WRITE, store_runner_seen_tx, &q, NULL);

	if (e == ERR_OK)
		e = store_noticed(store, q.version);
	arena_free(&q.a);
	return e;
}

static enum err
store_runner_gone_tx(struct db *db, void *arg)
{
	struct store_runners *q = arg;

	return DB_RUN(db, STMT_RUNNER_GONE, q->a, NULL, DB_TEXT(q->id));
}

enum err
store_runner_gone(struct store *store, const char *id)
{
	struct store_runners q = {.a = arena_new(0), .id = id};
	enum err e = store_tx(store, DB_WRITE, store_runner_gone_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_runner_list_tx(struct db *db, void *arg)
{
	struct store_runners *q = arg;
	struct db_result r;
	int64_t now;

	enum err e = store_clock(db, q->a, &now);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RUNNER_LIST, q->a, &r,
		    DB_INT(now - q->max_age_us));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_runner);
	for (size_t i = 0; i < r.rows; i++)
		q->rows[i] = (struct store_runner){.id = db_text(&r, i, 0),
		    .host = db_text(&r, i, 1),
		    .pid = db_int(&r, i, 2),
		    .capacity = db_int(&r, i, 3),
		    .active = db_int(&r, i, 4),
		    .seen_us = db_int(&r, i, 5),
		    .health = db_text(&r, i, 6)};
	return ERR_OK;
}

enum err
store_runner_list(struct store *store, struct arena *a, int64_t max_age_us,
    struct store_runner **rows, size_t *n)
{
	struct store_runners q = {.a = a, .max_age_us = max_age_us};
	enum err e = store_tx(store, DB_READ, store_runner_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}
