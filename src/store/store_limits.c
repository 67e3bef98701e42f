/* SPDX-License-Identifier: MIT
 *
 * How many connections the server takes, and how many this host may open.
 */
#include "store/pool.h"
#include "store/store_tx.h"

struct store_limits_query {
	struct arena *a;
	struct store_limits *out;
};

enum err
store_limits_read(struct db *db, struct arena *a, struct store_limits *l)
{
	struct db_result r;

	enum err e = db_run(db, STMT_SERVER_LIMITS, NULL, 0, a, &r);
	if (e != ERR_OK)
		return e;
	l->max = db_int(&r, 0, 0);
	l->reserved = db_int(&r, 0, 1);
	l->role = db_int(&r, 0, 2);
	l->database = db_int(&r, 0, 3);
	l->connected = db_int(&r, 0, 4);
	/* A pooler answers for the server with a number of its own. */
	l->is_pooled = db->driver->server_pid != NULL &&
	    db->driver->server_pid(db) != db_int(&r, 0, 5);
	return ERR_OK;
}

static enum err
store_limits_tx(struct db *db, void *arg)
{
	struct store_limits_query *q = arg;

	return store_limits_read(db, q->a, q->out);
}

enum err
store_limits(
    struct store *store, struct store_limits *out, struct err_info *info)
{
	struct store_limits_query q = {.a = arena_new(0), .out = out};
	struct budget_use use;

	*out = (struct store_limits){0};
	enum err e = store_tx(store, DB_READ_ONE, store_limits_tx, &q, info);
	arena_free(&q.a);
	pool_read(store_pool(store), &out->is_shared, &use);
	out->open = use.taken;
	out->waiting = use.waiting;
	out->processes = use.processes;
	return e;
}
