/* SPDX-License-Identifier: MIT
 *
 * What is asked of a database server itself, by probes and by the doctor.
 */
#include "base/clock.h"
#include "store/store_tx.h"

/* Nobody sees this runner: it comes and goes in one transaction. */
#define STORE_PING_RUNNER "aragora-ping"

static enum err
store_ping_write_tx(struct db *db, void *arg)
{
	enum err e = DB_RUN(db, STMT_RUNNER_SEEN, arg, NULL,
	    DB_TEXT(STORE_PING_RUNNER), DB_TEXT(""), DB_INT(0), DB_INT(0),
	    DB_INT(0), DB_INT(clock_wall_us()), DB_TEXT("[]"));

	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RUNNER_GONE, arg, NULL,
		    DB_TEXT(STORE_PING_RUNNER));
	return e;
}

enum err
store_ping_write(struct store *store)
{
	struct arena *a = arena_new(0);
	enum err e = store_tx(store, DB_WRITE, store_ping_write_tx, a, NULL);

	arena_free(&a);
	return e;
}

struct store_wal {
	struct arena *a;
	struct db_result r;
};

static enum err
store_wal_level_tx(struct db *db, void *arg)
{
	struct store_wal *q = arg;

	return db_run(db, STMT_WAL_LEVEL, NULL, 0, q->a, &q->r);
}

enum err
store_wal_level(struct store *store, struct arena *a, const char **level)
{
	struct store_wal q = {.a = a};
	enum err e = store_tx(store, DB_READ_ONE, store_wal_level_tx, &q, NULL);

	*level = e == ERR_OK ? db_text(&q.r, 0, 0) : "";
	return e;
}
