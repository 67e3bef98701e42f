/* SPDX-License-Identifier: MIT */
#include "store/store_bridge.h"

#include "store/store_tx.h"

struct store_bridges {
	struct arena *a;
	const struct store_bridge *bridge;
	const char *id;
	struct store_bridge *rows;
	size_t n;
};

static enum err
store_bridge_seen_tx(struct db *db, void *arg)
{
	struct store_bridges *q = arg;
	const struct store_bridge *b = q->bridge;
	int64_t now;

	enum err e = store_clock(db, q->a, &now);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_BRIDGE_SEEN, q->a, NULL, DB_TEXT(b->id),
	    DB_TEXT(b->host), DB_INT(b->pid), DB_INT(b->started_us),
	    DB_INT(now), DB_INT(b->connections), DB_INT(b->streams),
	    DB_INT(b->subscriptions));
}

static enum err
store_bridge_sweep_tx(struct db *db, void *arg)
{
	struct store_bridges *q = arg;
	struct db_result old;
	int64_t now;

	enum err e = store_clock(db, q->a, &now);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_BRIDGE_SWEEP, q->a, &old,
	    DB_INT(now - STORE_BRIDGE_AGE_US));
}

enum err
store_bridge_seen(struct store *store, const struct store_bridge *b)
{
	struct store_bridges q = {.a = arena_new(0), .bridge = b};
	enum err e = store_tx(store, DB_WRITE, store_bridge_seen_tx, &q, NULL);

	/* By itself: who holds its own row waits for no other's. */
	if (e == ERR_OK)
		e = store_tx(store, DB_WRITE, store_bridge_sweep_tx, &q, NULL);
	arena_free(&q.a);
	return e;
}

static enum err
store_bridge_gone_tx(struct db *db, void *arg)
{
	struct store_bridges *q = arg;

	return DB_RUN(db, STMT_BRIDGE_GONE, q->a, NULL, DB_TEXT(q->id));
}

enum err
store_bridge_gone(struct store *store, const char *id)
{
	struct store_bridges q = {.a = arena_new(0), .id = id};
	enum err e = store_tx(store, DB_WRITE, store_bridge_gone_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_bridge_list_tx(struct db *db, void *arg)
{
	struct store_bridges *q = arg;
	struct db_result r;
	int64_t now;

	enum err e = store_clock(db, q->a, &now);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_BRIDGE_LIST, q->a, &r,
		    DB_INT(now - STORE_BRIDGE_AGE_US));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_bridge);
	for (size_t i = 0; i < r.rows; i++)
		q->rows[i] = (struct store_bridge){.id = db_text(&r, i, 0),
		    .host = db_text(&r, i, 1),
		    .pid = db_int(&r, i, 2),
		    .started_us = db_int(&r, i, 3),
		    .seen_us = db_int(&r, i, 4),
		    .connections = db_int(&r, i, 5),
		    .streams = db_int(&r, i, 6),
		    .subscriptions = db_int(&r, i, 7)};
	return ERR_OK;
}

enum err
store_bridge_list(
    struct store *store, struct arena *a, struct store_bridge **rows, size_t *n)
{
	struct store_bridges q = {.a = a};
	enum err e = store_tx(store, DB_READ, store_bridge_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

struct store_bridge
store_bridge_sum(const struct store_bridge *rows, size_t n)
{
	struct store_bridge sum = {0};

	for (size_t i = 0; i < n; i++) {
		sum.connections += rows[i].connections;
		sum.streams += rows[i].streams;
		sum.subscriptions += rows[i].subscriptions;
	}
	return sum;
}
