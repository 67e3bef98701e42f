/* SPDX-License-Identifier: MIT
 *
 * One database connection behind a const driver record. The drivers know no
 * table; the statements are those of stmt.def and nothing else.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/position.h"

enum stmt {
#define STMT(id, scope, params, columns, sql, pgsql) STMT_##id,
#include "store/stmt.def"
#undef STMT
	STMT__COUNT
};

/* Whose rows it touches: stmt.def tells. */
enum stmt_scope { STMT_SCOPE_TENANT, STMT_SCOPE_SYSTEM, STMT_SCOPE_NONE };
struct stmt_row {
	const char *name;
	enum stmt_scope scope;
	const char *params;
	int columns;
	const char *sql;
	const char *pgsql; /* NULL = sql */
};
const struct stmt_row *stmt_row(enum stmt id);

enum db_type { DB_TYPE_INT, DB_TYPE_DOUBLE, DB_TYPE_TEXT };
struct db_value {
	enum db_type type;
	int64_t i;
	double d;
	const char *t; /* NULL = SQL NULL */
};
#define DB_INT(v)    ((struct db_value){.type = DB_TYPE_INT, .i = (v)})
#define DB_DOUBLE(v) ((struct db_value){.type = DB_TYPE_DOUBLE, .d = (v)})
#define DB_TEXT(v)   ((struct db_value){.type = DB_TYPE_TEXT, .t = (v)})

/* A whole result on an arena: cells[row * columns + column], NULL = NULL. */
struct db_result {
	size_t rows;
	int columns;
	const char **cells;
};
const char *db_text(const struct db_result *r, size_t row, int column);
int64_t db_int(const struct db_result *r, size_t row, int column);
double db_double(const struct db_result *r, size_t row, int column);

struct db; /* a connection; each driver derives its own from it */

/* What a transaction is for. DB_READ_ONE is over when it was waited for once:
 * one statement, or several that are queued before the wait. It costs one
 * round trip and neither BEGIN nor COMMIT. */
enum db_tx { DB_READ, DB_READ_ONE, DB_WRITE };

struct db_options {
	const char *target; /* file or conninfo, never logged */
	int64_t timeout_ms; /* lock wait, statement timeout */
	bool is_creating;   /* make the SQLite file when there is none */
	bool is_reader;	    /* SQLite: refuse to write */
	/* PostgreSQL: for reads that a standby may serve. Of several servers
	 * any that answers soon, standbys first. */
	bool is_replica;
	/* A statement that takes longer is logged; 0 = none. Read at each use,
	 * so that it may change. NULL = 0. */
	const int64_t *slow_ms;
	/* Statements may stay prepared on the server: shared by all
	 * connections, cleared by one that finds it untrue. NULL = no. */
	atomic_bool *can_prepare;
};

#define DB_LOGIN "login"

struct db_driver {
	const char *name;
	bool is_single_writer;
	/* One statement over a list of rows is cheaper than many of one row. */
	bool prefers_sets;
	/* All: ERR_DOWN when the connection is unusable from now on. */
	/* ERR_NOT_FOUND: no such file. ERR_INVALID: target is malformed.
	 * ERR_DOWN with the field DB_LOGIN: it is there, but not for us. */
	enum err (*open)(
	    struct db **out, const struct db_options *o, struct err_info *info);
	void (*close)(struct db *db);
	/* The database that a target names, without user and password: equal
	 * for equal databases. malloc'd, NULL = unknown. NULL when connections
	 * cost nothing that processes share. */
	char *(*identify)(const char *target);
	/* The process on the server that we were told we talk to. NULL = there
	 * is no server. */
	int64_t (*server_pid)(struct db *db);
	/* Has the other side hung up while we were idle? */
	bool (*is_dead)(struct db *db);
	enum err (*begin)(
	    struct db *db, enum db_tx kind, struct err_info *info);
	/* ERR_DOWN: sent, but the answer never came. */
	enum err (*commit)(struct db *db, struct err_info *info);
	void (*rollback)(struct db *db);
	/* Values are copied; the result is filled by then or by sync. */
	enum err (*queue)(struct db *db, enum stmt id,
	    const struct db_value *values, size_t n, struct arena *a,
	    struct db_result *result, struct err_info *info);
	/* Wait for all that was queued; its first error. */
	enum err (*sync)(struct db *db, struct err_info *info);
	/* Do statements stay prepared on this server between transactions? A
	 * pooler in between may say yes and lose them. NULL = always. */
	bool (*keeps_prepared)(const struct db_options *o);
	/* Several statements of a migration. */
	enum err (*script)(
	    struct db *db, const char *sql, struct err_info *info);
	/* Serialise migrations inside a begun transaction, which may then take
	 * as long as it needs, but not as long for a table's lock: ERR_BUSY.
	 * Never waits for the lock itself: who waits holds a snapshot, and an
	 * index built concurrently waits for that. */
	enum err (*lock_schema)(
	    struct db *db, bool *is_locked, struct err_info *info);
	/* Is there a pooler between the server and us? */
	enum err (*is_pooled)(
	    struct db *db, bool *is_pooled, struct err_info *info);
	enum err (*has_schema)(struct db *db, bool *has, struct err_info *info);
	/* What the database makes of a statement, for the suite. */
	enum err (*describe)(struct db *db, enum stmt id, int *params,
	    int *columns, struct err_info *info);
};

struct db {
	const struct db_driver *driver;
	bool is_broken;	      /* close it instead of using it again */
	enum db_tx kind;      /* of the transaction that is open */
	bool is_failed;	      /* a statement of it went wrong */
	struct err_info info; /* of the last failure */
	/* For a write: wants_position asks, touched are the tenants whose
	 * statements it ran, and position is what the log had come to after its
	 * COMMIT, 0 = unknown. */
	bool wants_position;
	bool is_position_due; /* between the two, for the driver */
	struct position_set touched;
	uint64_t position;
	const int64_t *slow_ms;
	enum stmt queued;   /* the last one */
	int64_t waiting_us; /* since when for what was queued, 0 = nothing is */
	/* The pool's. */
	bool is_writer;
	int64_t replace_ms; /* when it is too old to be used again */
};

extern const struct db_driver db_sqlite;
extern const struct db_driver db_pgsql;

/* A transaction in which a statement failed can only be rolled back, on
 * PostgreSQL by its nature and on SQLite by this. */
enum err db_begin(struct db *db, enum db_tx kind) MUST_CHECK;
/* ERR_UNCERTAIN: a write may have happened or not. ERR_DOWN: only reads were
 * lost. */
enum err db_commit(struct db *db) MUST_CHECK;
void db_rollback(struct db *db);

/* Run with values checked against the row's signature. result may be NULL.
 * A queued statement is sent without waiting; its result is there after
 * db_sync, and its error comes from there, from the next db_run or from
 * db_commit. */
enum err db_run(struct db *db, enum stmt id, const struct db_value *values,
    size_t n, struct arena *a, struct db_result *result) MUST_CHECK;
enum err db_queue(struct db *db, enum stmt id, const struct db_value *values,
    size_t n, struct arena *a, struct db_result *result) MUST_CHECK;
enum err db_sync(struct db *db) MUST_CHECK;

#define DB_VALUES(...)                                                         \
	(const struct db_value[]){__VA_ARGS__},                                \
	    ARRAY_LEN(((const struct db_value[]){__VA_ARGS__}))
#define DB_RUN(db, id, a, result, ...)                                         \
	db_run((db), (id), DB_VALUES(__VA_ARGS__), (a), (result))
#define DB_QUEUE(db, id, a, result, ...)                                       \
	db_queue((db), (id), DB_VALUES(__VA_ARGS__), (a), (result))
