/* SPDX-License-Identifier: MIT
 *
 * Inside of the PostgreSQL driver: a connection, and its errors.
 */
#pragma once

#include <libpq-fe.h>
#include <sys/types.h>

#include "store/db.h"

/* The transaction that was asked for, and how far it is. */
enum db_pgsql_tx {
	DB_PGSQL_NONE,	  /* each statement by itself */
	DB_PGSQL_PENDING, /* begun, but nothing was sent yet */
	DB_PGSQL_ONE,	  /* one pipeline, with the settings before it: the
			   * server takes it for a transaction */
	DB_PGSQL_OPEN
};

/* A command in the pipeline whose answer has not been read. */
struct db_pgsql_sent {
	int slot;		  /* enum stmt or one of our own */
	bool is_prepare;	  /* of that slot */
	struct arena *a;	  /* for the result */
	struct db_result *result; /* NULL = not wanted */
};

/* Commands beside those of stmt.def. */
enum db_pgsql_slot {
	DB_PGSQL_BEGIN = STMT__COUNT,
	DB_PGSQL_BEGIN_READ,
	DB_PGSQL_SETTINGS,
	DB_PGSQL_TENANT,
	DB_PGSQL_COMMIT,
	DB_PGSQL_POSITION,
	DB_PGSQL__COUNT
};

struct db_pgsql_conn {
	struct db base;
	PGconn *handle;
	pid_t owner;
	int64_t timeout_ms;
	enum db_pgsql_tx tx;
	char *tenant; /* of the open transaction, malloc'd, NULL = none */
	struct db_pgsql_sent *sent;
	size_t n_sent, room;
	atomic_bool *can_prepare;
	bool prepared[DB_PGSQL__COUNT];
};

struct db_pgsql_conn *db_pgsql_conn(struct db *db);
/* Of a result, or of the connection when res is NULL. */
enum err db_pgsql_error(
    struct db_pgsql_conn *c, const PGresult *res, struct err_info *info);
/* Simple query protocol, answers thrown away. */
enum err db_pgsql_exec(
    struct db_pgsql_conn *c, const char *sql, struct err_info *info);

enum err db_pgsql_open(
    struct db **out, const struct db_options *o, struct err_info *info);
void db_pgsql_close(struct db *db);
char *db_pgsql_identify(const char *target);
int64_t db_pgsql_server_pid(struct db *db);
bool db_pgsql_is_dead(struct db *db);
bool db_pgsql_keeps_prepared(const struct db_options *o);
