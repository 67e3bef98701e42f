/* SPDX-License-Identifier: MIT
 *
 * The PostgreSQL driver. Safe behind a transaction-mode pooler: unnamed
 * statements only, no session state, no startup options.
 */
#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/db.h"

#define DB_PGSQL_CONNECT_MS  5000
#define DB_PGSQL_SCHEMA_LOCK "7310581203"
#define DB_PGSQL_PARAMS_MAX  32
#define DB_PGSQL_NUMBER_SIZE 40

struct db_pgsql_conn {
	struct db base;
	PGconn *handle;
	pid_t owner;
	int64_t timeout_ms;
};

static struct db_pgsql_conn *
db_pgsql_conn(struct db *db)
{
	struct db_pgsql_conn *c = CONTAINER_OF(db, struct db_pgsql_conn, base);
	assert(c->owner == getpid());
	return c;
}

/* SQLSTATE class by class; the table of operations.md 2.1. */
static enum err
db_pgsql_state(const char *state)
{
	static const struct {
		const char *prefix;
		enum err e;
	} map[] = {
	    {"23505", ERR_EXISTS},
	    {"40001", ERR_RETRY},
	    {"40P01", ERR_RETRY},
	    {"55P03", ERR_BUSY},
	    {"57014", ERR_BUSY},
	    {"53100", ERR_FULL},
	    {"08", ERR_DOWN},
	    {"57P", ERR_DOWN},
	    {"53", ERR_DOWN},
	    {"25006", ERR_DOWN},
	    {"28", ERR_DOWN},
	};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (str_starts(state, map[i].prefix))
			return map[i].e;
	return ERR_INTERNAL;
}

/* First line of the server's words. */
static enum err
db_pgsql_error(
    struct db_pgsql_conn *c, const PGresult *res, struct err_info *info)
{
	const char *state =
	    res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *text = res != NULL
	    ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)
	    : PQerrorMessage(c->handle);
	enum err e = state != NULL ? db_pgsql_state(state) : ERR_INTERNAL;

	if (PQstatus(c->handle) == CONNECTION_BAD || state == NULL)
		e = ERR_DOWN;
	if (text == NULL)
		text = "connection lost";
	return err_set(info, e, "", "%.*s", (int)strcspn(text, "\n"), text);
}

static enum err
db_pgsql_exec(struct db_pgsql_conn *c, const char *sql, struct err_info *info)
{
	PGresult *res = PQexec(c->handle, sql);
	ExecStatusType status = PQresultStatus(res);
	enum err e = ERR_OK;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		e = db_pgsql_error(c, res, info);
	PQclear(res);
	return e;
}

static void
db_pgsql_close(struct db *db)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	PQfinish(c->handle);
	free(c);
}

/* Drive PQconnectPoll to its end with our own deadline: connect_timeout
 * counts whole seconds and per host. */
static enum err
db_pgsql_wait_connect(PGconn *handle)
{
	int64_t deadline = clock_mono_ms() + DB_PGSQL_CONNECT_MS;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (state != PGRES_POLLING_OK) {
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0)
			return ERR_TIMEOUT;
		struct pollfd p = {.fd = PQsocket(handle),
		    .events =
			state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
		int n = poll(&p, 1, (int)left);
		if (n == 0)
			return ERR_TIMEOUT;
		if (n < 0 && errno != EINTR)
			return ERR_DOWN;
		if (n < 0)
			continue; /* asked too early, libpq takes it for done */
		state = PQconnectPoll(handle);
		if (state == PGRES_POLLING_FAILED)
			return ERR_DOWN;
	}
	return ERR_OK;
}

static void
db_pgsql_quiet(void *arg UNUSED, const char *message UNUSED)
{
}

/* libpq's words about a malformed conninfo quote it, password and all, so they
 * go nowhere. */
static enum err
db_pgsql_check(const char *conninfo, struct err_info *info)
{
	char *text = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &text);

	PQconninfoFree(parsed);
	PQfreemem(text);
	if (parsed != NULL)
		return ERR_OK;
	return err_set(info, ERR_INVALID, "ARAGORA_DATABASE_URL",
	    "is not a connection string that PostgreSQL understands");
}

static enum err
db_pgsql_open(
    struct db **out, const struct db_options *o, struct err_info *info)
{
	static const char *const keys[] = {"dbname", "application_name",
	    "keepalives_idle", "keepalives_interval", "keepalives_count",
	    "tcp_user_timeout", "client_encoding", NULL};
	const char *const values[] = {
	    o->target, "aragora", "30", "10", "3", "15000", "UTF8", NULL};
	enum err e = db_pgsql_check(o->target, info);
	if (e != ERR_OK)
		return e;
	struct db_pgsql_conn *c = mem_zalloc(sizeof(*c));
	c->base.driver = &db_pgsql;
	c->owner = getpid();
	c->timeout_ms = o->timeout_ms;
	c->handle = PQconnectStartParams(keys, values, 1);
	if (c->handle == NULL)
		mem_exhausted(0);
	e = PQstatus(c->handle) == CONNECTION_BAD
	    ? ERR_DOWN
	    : db_pgsql_wait_connect(c->handle);
	if (e != ERR_OK) {
		const char *text = PQerrorMessage(c->handle);
		err_set(info, ERR_DOWN, "ARAGORA_DATABASE_URL",
		    "cannot connect to PostgreSQL: %.*s",
		    (int)strcspn(text, "\n"),
		    e == ERR_TIMEOUT ? "no answer in time" : text);
		db_pgsql_close(&c->base);
		return ERR_DOWN;
	}
	PQsetNoticeProcessor(c->handle, db_pgsql_quiet, NULL);
	*out = &c->base;
	return ERR_OK;
}

static bool
db_pgsql_is_dead(struct db *db)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	struct pollfd p = {.fd = PQsocket(c->handle), .events = POLLIN};

	if (PQstatus(c->handle) != CONNECTION_OK ||
	    PQtransactionStatus(c->handle) != PQTRANS_IDLE)
		return true;
	/* An idle connection has nothing to say but farewell. */
	if (poll(&p, 1, 0) <= 0)
		return false;
	return PQconsumeInput(c->handle) == 0 ||
	    PQstatus(c->handle) != CONNECTION_OK || (p.revents & POLLHUP) != 0;
}

static enum err
db_pgsql_begin(struct db *db, bool is_write, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	char sql[192];

	/* The second limit is for a process that stops in the middle: its
	 * locks must not outlive its lease by much. */
	snprintf(sql, sizeof(sql),
	    "BEGIN%s; SET LOCAL statement_timeout = %lld; "
	    "SET LOCAL idle_in_transaction_session_timeout = %lld",
	    is_write ? "" : " READ ONLY", (long long)c->timeout_ms,
	    (long long)c->timeout_ms);
	return db_pgsql_exec(c, sql, info);
}

static enum err
db_pgsql_commit(struct db *db, struct err_info *info)
{
	return db_pgsql_exec(db_pgsql_conn(db), "COMMIT", info);
}

static void
db_pgsql_rollback(struct db *db)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	if (PQtransactionStatus(c->handle) != PQTRANS_IDLE &&
	    db_pgsql_exec(c, "ROLLBACK", NULL) != ERR_OK)
		db->is_broken = true;
}

/* A value as text, in `number` (DB_PGSQL_NUMBER_SIZE) if need be. */
static const char *
db_pgsql_text(const struct db_value *v, char *number)
{
	switch (v->type) {
	case DB_TYPE_INT:
		snprintf(number, DB_PGSQL_NUMBER_SIZE, "%lld", (long long)v->i);
		break;
	case DB_TYPE_DOUBLE:
		snprintf(number, DB_PGSQL_NUMBER_SIZE, "%.17g", v->d);
		break;
	case DB_TYPE_TEXT:
		return v->t;
	}
	return number;
}

static void
db_pgsql_rows(const PGresult *res, struct arena *a, struct db_result *r)
{
	size_t width = (size_t)r->columns;

	r->rows = (size_t)PQntuples(res);
	r->cells = ARENA_ARRAY(a, r->rows * width, const char *);
	for (size_t i = 0; i < r->rows * width; i++) {
		int row = (int)(i / width);
		int col = (int)(i % width);
		if (PQgetisnull(res, row, col) == 0)
			r->cells[i] =
			    arena_strndup(a, PQgetvalue(res, row, col),
				(size_t)PQgetlength(res, row, col));
	}
}

static enum err
db_pgsql_run(struct db *db, enum stmt id, const struct db_value *values,
    size_t n, struct arena *a, struct db_result *result, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	const struct stmt_row *row = stmt_row(id);
	const char *texts[DB_PGSQL_PARAMS_MAX];
	char numbers[DB_PGSQL_PARAMS_MAX][DB_PGSQL_NUMBER_SIZE];
	enum err e = ERR_OK;

	assert(n <= DB_PGSQL_PARAMS_MAX);
	for (size_t i = 0; i < n; i++)
		texts[i] = db_pgsql_text(&values[i], numbers[i]);
	PGresult *res =
	    PQexecParams(c->handle, row->pgsql != NULL ? row->pgsql : row->sql,
		(int)n, NULL, texts, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);
	*result = (struct db_result){.columns = row->columns};
	if (status == PGRES_TUPLES_OK)
		db_pgsql_rows(res, a, result);
	else if (status != PGRES_COMMAND_OK)
		e = db_pgsql_error(c, res, info);
	PQclear(res);
	return e;
}

static enum err
db_pgsql_script(struct db *db, const char *sql, struct err_info *info)
{
	return db_pgsql_exec(db_pgsql_conn(db), sql, info);
}

static enum err
db_pgsql_lock_schema(struct db *db, struct err_info *info)
{
	return db_pgsql_exec(db_pgsql_conn(db),
	    "SELECT pg_advisory_xact_lock(" DB_PGSQL_SCHEMA_LOCK "); "
	    "SET LOCAL statement_timeout = 0",
	    info);
}

static enum err
db_pgsql_has_schema(struct db *db, bool *has, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	PGresult *res =
	    PQexec(c->handle, "SELECT to_regclass('schema_migrations')");
	enum err e = ERR_OK;

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		*has = PQgetisnull(res, 0, 0) == 0;
	else
		e = db_pgsql_error(c, res, info);
	PQclear(res);
	return e;
}

static enum err
db_pgsql_describe(struct db *db, enum stmt id, int *params, int *columns,
    struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	const struct stmt_row *row = stmt_row(id);
	PGresult *res = PQprepare(
	    c->handle, "", row->pgsql != NULL ? row->pgsql : row->sql, 0, NULL);
	enum err e = ERR_OK;

	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		e = db_pgsql_error(c, res, info);
	PQclear(res);
	if (e != ERR_OK)
		return e;
	res = PQdescribePrepared(c->handle, "");
	*params = PQnparams(res);
	*columns = PQnfields(res);
	PQclear(res);
	return ERR_OK;
}

const struct db_driver db_pgsql = {
    .name = "postgresql",
    .open = db_pgsql_open,
    .close = db_pgsql_close,
    .is_dead = db_pgsql_is_dead,
    .begin = db_pgsql_begin,
    .commit = db_pgsql_commit,
    .rollback = db_pgsql_rollback,
    .run = db_pgsql_run,
    .script = db_pgsql_script,
    .lock_schema = db_pgsql_lock_schema,
    .has_schema = db_pgsql_has_schema,
    .describe = db_pgsql_describe,
};
