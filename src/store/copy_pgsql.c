/* SPDX-License-Identifier: MIT
 *
 * The copy's side of PostgreSQL: the connection and what is asked on it. Safe
 * behind a transaction-mode pooler.
 */
#include "store/copy_pgsql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define COPY_PGSQL_ROW_MAX ((size_t)1 << 30)
#define COPY_PGSQL_PARAMS  (2 * COPY_COLUMNS_MAX)
#define COPY_PGSQL_NUMBER  40

struct copy_pgsql_db *
copy_pgsql_db(struct copy_db *db)
{
	return CONTAINER_OF(db, struct copy_pgsql_db, base);
}

enum err
copy_pgsql_error(
    struct copy_pgsql_db *c, const PGresult *res, struct err_info *info)
{
	const char *state =
	    res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *text = res != NULL
	    ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)
	    : PQerrorMessage(c->handle);
	enum err e = ERR_IO;

	if (PQstatus(c->handle) == CONNECTION_BAD || state == NULL)
		e = ERR_DOWN;
	else if (str_starts(state, "23"))
		e = ERR_CONFLICT;
	else if (str_eq(state, "55P03") || str_starts(state, "40"))
		e = ERR_BUSY;
	else if (str_eq(state, "42501"))
		e = ERR_DENIED;
	else if (str_eq(state, "53100"))
		e = ERR_FULL;
	if (text == NULL || *text == '\0')
		text = "connection lost";
	return err_set(info, e, "", "%.*s", (int)strcspn(text, "\n"), text);
}

enum err
copy_pgsql_exec(struct copy_db *db, const char *sql, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);
	PGresult *res = PQexec(c->handle, sql);
	ExecStatusType status = PQresultStatus(res);
	enum err e = ERR_OK;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		e = copy_pgsql_error(c, res, info);
	PQclear(res);
	return e;
}

static void
copy_pgsql_close(struct copy_db *db)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);

	PQfreemem(c->data);
	PQfinish(c->handle);
	buf_release(&c->out);
	free(c);
}

static void
copy_pgsql_quiet(void *arg UNUSED, const char *message UNUSED)
{
}

/* libpq quotes what it cannot parse, password and all: only words of a server
 * or of the system are passed on. */
static enum err
copy_pgsql_open(struct copy_db **out, const char *target,
    bool is_writing UNUSED, struct err_info *info)
{
	static const char *const keys[] = {"dbname", "application_name",
	    "connect_timeout", "keepalives_idle", "client_encoding", NULL};
	const char *const values[] = {
	    target, "aragora-copy", "10", "30", "UTF8", NULL};
	char *text = NULL;
	PQconninfoOption *parsed = PQconninfoParse(target, &text);

	PQfreemem(text);
	PQconninfoFree(parsed);
	if (parsed == NULL)
		return err_set(info, ERR_INVALID, "",
		    "is not a connection string that PostgreSQL understands");
	struct copy_pgsql_db *c = mem_zalloc(sizeof(*c));
	c->base.driver = &copy_pgsql;
	buf_init(&c->out, COPY_PGSQL_ROW_MAX);
	c->handle = PQconnectdbParams(keys, values, 1);
	if (PQstatus(c->handle) != CONNECTION_OK) {
		const char *why = PQerrorMessage(c->handle);
		err_set(info, ERR_DOWN, "",
		    "cannot connect to PostgreSQL: %.*s",
		    (int)strcspn(why, "\n"), why);
		copy_pgsql_close(&c->base);
		return ERR_DOWN;
	}
	PQsetNoticeProcessor(c->handle, copy_pgsql_quiet, NULL);
	*out = &c->base;
	return ERR_OK;
}

static const char *
copy_pgsql_describe(struct copy_db *db, struct arena *a)
{
	PGconn *h = copy_pgsql_db(db)->handle;

	return arena_printf(a, "postgresql '%s' at %s:%s as '%s'", PQdb(h),
	    PQhost(h), PQport(h), PQuser(h));
}

/* In `number` (COPY_PGSQL_NUMBER) if need be; a text gets its NUL. */
static const char *
copy_pgsql_text(const struct copy_value *v, char *number, struct arena *a)
{
	if (v->is_null)
		return NULL;
	switch (v->kind) {
	case COPY_INT:
		snprintf(number, COPY_PGSQL_NUMBER, "%lld", (long long)v->i);
		break;
	case COPY_DOUBLE:
		snprintf(number, COPY_PGSQL_NUMBER, "%.17g", v->d);
		break;
	case COPY_TEXT:
		return arena_strndup(a, v->t, v->len);
	}
	return number;
}

static struct copy_value
copy_pgsql_cell(
    const PGresult *res, int row, int col, char letter, struct arena *a)
{
	struct copy_value v = {.kind = letter == 'i' ? COPY_INT
		: letter == 'd'			     ? COPY_DOUBLE
						     : COPY_TEXT};
	const char *text = PQgetvalue(res, row, col);

	v.is_null = PQgetisnull(res, row, col) != 0;
	if (v.is_null)
		return v;
	switch (v.kind) {
	case COPY_INT:
		v.i = strtoll(text, NULL, 10);
		break;
	case COPY_DOUBLE:
		v.d = strtod(text, NULL);
		break;
	case COPY_TEXT:
		v.len = (size_t)PQgetlength(res, row, col);
		v.t = arena_strndup(a, text, v.len);
		break;
	}
	return v;
}

enum err
copy_pgsql_query(struct copy_db *db, const char *sql,
    const struct copy_value *params, size_t n, const char *kinds,
    struct arena *a, struct copy_result *out, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);
	const char *texts[COPY_PGSQL_PARAMS];
	char numbers[COPY_PGSQL_PARAMS][COPY_PGSQL_NUMBER];
	enum err e = ERR_OK;

	for (size_t i = 0; i < n; i++)
		texts[i] = copy_pgsql_text(&params[i], numbers[i], a);
	PGresult *res =
	    PQexecParams(c->handle, sql, (int)n, NULL, texts, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		e = copy_pgsql_error(c, res, info);
	else if (out != NULL) {
		*out = (struct copy_result){
		    .columns = strlen(kinds), .rows = (size_t)PQntuples(res)};
		out->cells = ARENA_ARRAY(
		    a, out->rows * out->columns + 1, struct copy_value);
		for (size_t i = 0; i < out->rows * out->columns; i++)
			out->cells[i] = copy_pgsql_cell(res,
			    (int)(i / out->columns), (int)(i % out->columns),
			    kinds[i % out->columns], a);
	}
	PQclear(res);
	return e;
}

/* Limits meant for requests do not hold here. */
#define COPY_PGSQL_PATIENCE                                                    \
	"; SET LOCAL statement_timeout = 0; "                                  \
	"SET LOCAL idle_in_transaction_session_timeout = 0"

const struct copy_driver copy_pgsql = {
    .name = "postgresql",
    .begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ "
		  "ONLY" COPY_PGSQL_PATIENCE "; SELECT 1",
    .begin_write = "BEGIN" COPY_PGSQL_PATIENCE,
    .log_create = "CREATE TABLE " COPY_LOG " (n BIGSERIAL PRIMARY KEY, "
		  "tbl TEXT NOT NULL, key TEXT COLLATE \"C\" NOT NULL, "
		  "xid xid8 NOT NULL DEFAULT pg_current_xact_id()); "
		  "CREATE INDEX " COPY_LOG "_key ON " COPY_LOG " (tbl, key)",
    /* Transactions end in another order than they take numbers in. */
    .log_token = "SELECT CAST(pg_current_snapshot() AS text)",
    .log_clear = "DELETE FROM " COPY_LOG
		 " WHERE pg_visible_in_snapshot(xid, CAST($1 AS pg_snapshot))",
    .log_rest =
	"SELECT count(*) FROM " COPY_LOG
	" WHERE NOT pg_visible_in_snapshot(xid, CAST($1 AS pg_snapshot))",
    .has_table = "SELECT count(*) FROM pg_class WHERE relnamespace = "
		 "CAST(current_schema() AS regnamespace) AND relname = $1",
    .overriding = "OVERRIDING SYSTEM VALUE ",
    .key_collate = "\"C\"",
    .open = copy_pgsql_open,
    .close = copy_pgsql_close,
    .describe = copy_pgsql_describe,
    .catalog = copy_pgsql_catalog,
    .check = copy_pgsql_check,
    .space = copy_pgsql_space,
    .exec = copy_pgsql_exec,
    .query = copy_pgsql_query,
    .scan = copy_pgsql_scan,
    .next = copy_pgsql_next,
    .load = copy_pgsql_load,
    .put = copy_pgsql_put,
    .loaded = copy_pgsql_loaded,
    .watch = copy_pgsql_watch,
    .freeze = copy_pgsql_freeze,
    .unwatch = copy_pgsql_unwatch,
    .recount = copy_pgsql_recount,
};
