/* SPDX-License-Identifier: MIT
 *
 * The PostgreSQL driver: transactions and statements, in pipeline mode.
 *
 * BEGIN, the settings of the transaction and its first statement travel
 * together: one round trip. Everything a transaction needs is set inside of
 * it, and statements are unnamed unless the server was seen to keep them, so
 * it works behind a pooler in transaction mode.
 */
#include "store/db_pgsql.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define DB_PGSQL_SCHEMA_LOCK "7310581203"
#define DB_PGSQL_SCHEMA_WAIT "2000" /* ms for a lock on a table */
#define DB_PGSQL_PARAMS_MAX  32
#define DB_PGSQL_NUMBER_SIZE 40
#define DB_PGSQL_NAME_SIZE   24
/* The server ends a statement by itself; after this it is not there. */
#define DB_PGSQL_GRACE_MS 5000

/* The second limit is for a process that stops in the middle: its locks must
 * not outlive its lease by much. */
#define DB_PGSQL_TIMEOUTS                                                      \
	"set_config('statement_timeout', $1, true), "                          \
	"set_config('idle_in_transaction_session_timeout', $1, true)"

static const char *const db_pgsql_own[DB_PGSQL__COUNT - STMT__COUNT] = {
    [DB_PGSQL_BEGIN - STMT__COUNT] = "BEGIN",
    /* Each statement sees what the one before it saw, or more. */
    [DB_PGSQL_BEGIN_READ - STMT__COUNT] =
	"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
    [DB_PGSQL_SETTINGS - STMT__COUNT] =
	"SELECT " DB_PGSQL_TIMEOUTS ", set_config('aragora.tenant', $2, true), "
	"set_config('transaction_read_only', coalesce(nullif($3, ''), "
	"current_setting('transaction_read_only')), true)",
    [DB_PGSQL_TENANT - STMT__COUNT] =
	"SELECT set_config('aragora.tenant', $1, true)",
    [DB_PGSQL_COMMIT - STMT__COUNT] = "COMMIT",
    [DB_PGSQL_POSITION - STMT__COUNT] =
	"SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT)",
};

static const char *
db_pgsql_sql(int slot)
{
	if (slot >= STMT__COUNT)
		return db_pgsql_own[slot - STMT__COUNT];
	const struct stmt_row *row = stmt_row((enum stmt)slot);
	return row->pgsql != NULL ? row->pgsql : row->sql;
}

/* ---- the pipeline ---- */

static struct db_pgsql_sent *
db_pgsql_note(struct db_pgsql_conn *c, int slot)
{
	if (c->n_sent == c->room) {
		size_t room = c->room * 2 + 8;
		struct db_pgsql_sent *more =
		    heap_take(HEAP_STORE, mem_array(room, sizeof(*c->sent)));
		if (c->n_sent > 0)
			memcpy(more, c->sent, c->n_sent * sizeof(*more));
		heap_free(HEAP_STORE, c->sent);
		c->sent = more;
		c->room = room;
	}
	struct db_pgsql_sent *sent = &c->sent[c->n_sent++];
	*sent = (struct db_pgsql_sent){.slot = slot};
	return sent;
}

/* To the socket, reading on the way: a server whose answers nobody takes stops
 * taking commands. */
static bool
db_pgsql_flush(PGconn *handle, int64_t deadline)
{
	int left;

	while ((left = PQflush(handle)) > 0) {
		struct pollfd p = {
		    .fd = PQsocket(handle), .events = POLLIN | POLLOUT};
		int64_t wait = deadline - clock_mono_ms();
		if (wait <= 0)
			return false;
		int n = poll(&p, 1, (int)wait);
		if (n > 0 && (p.revents & POLLIN) != 0 &&
		    PQconsumeInput(handle) == 0)
			return false;
	}
	return left == 0;
}

static bool
db_pgsql_prepare(struct db_pgsql_conn *c, int slot, const char *name)
{
	if (c->prepared[slot])
		return true;
	/* One command at a time may prepare: this one, until its answer. */
	for (size_t i = 0; i < c->n_sent; i++)
		if (c->sent[i].is_prepare && c->sent[i].slot == slot)
			return true;
	db_pgsql_note(c, slot)->is_prepare = true;
	return PQsendPrepare(c->handle, name, db_pgsql_sql(slot), 0, NULL) == 1;
}

static enum err
db_pgsql_lost(struct db_pgsql_conn *c, struct err_info *info)
{
	c->n_sent = 0;
	c->base.is_broken = true;
	db_pgsql_error(c, NULL, info);
	return ERR_DOWN;
}

/* Hand a command to libpq, which copies it. */
static enum err
db_pgsql_send(struct db_pgsql_conn *c, int slot, const char *const *texts,
    size_t n, struct arena *a, struct db_result *result, struct err_info *info)
{
	/* BEGIN and COMMIT gain nothing from being prepared. */
	bool is_named = c->can_prepare != NULL && atomic_load(c->can_prepare) &&
	    (slot < STMT__COUNT || n > 0);
	char name[DB_PGSQL_NAME_SIZE];
	int sent;

	if (c->n_sent == 0 && PQenterPipelineMode(c->handle) != 1)
		return db_pgsql_lost(c, info);
	snprintf(name, sizeof(name), "aragora_%d", slot);
	if (is_named && !db_pgsql_prepare(c, slot, name))
		return db_pgsql_lost(c, info);
	struct db_pgsql_sent *s = db_pgsql_note(c, slot);
	s->a = a;
	s->result = result;
	if (is_named)
		sent = PQsendQueryPrepared(
		    c->handle, name, (int)n, texts, NULL, NULL, 0);
	else
		sent = PQsendQueryParams(c->handle, db_pgsql_sql(slot), (int)n,
		    NULL, texts, NULL, NULL, 0);
	return sent == 1 ? ERR_OK : db_pgsql_lost(c, info);
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

/* What was committed stays so, whatever becomes of the question. */
static void
db_pgsql_take_position(struct db_pgsql_conn *c, const PGresult *res)
{
	uint64_t at = 0;

	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 &&
	    str_to_u64(PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0),
		INT64_MAX, &at) == ERR_OK)
		c->base.position = at;
}

/* What became of one command; the first failure of a pipeline aborts the
 * commands after it. */
static enum err
db_pgsql_take(struct db_pgsql_conn *c, const struct db_pgsql_sent *s,
    const PGresult *res, struct err_info *info)
{
	ExecStatusType status = PQresultStatus(res);

	if (s->slot == DB_PGSQL_POSITION) {
		db_pgsql_take_position(c, res);
		return ERR_OK;
	}
	if (status == PGRES_TUPLES_OK && s->result != NULL)
		db_pgsql_rows(res, s->a, s->result);
	if (status == PGRES_COMMAND_OK && s->is_prepare)
		c->prepared[s->slot] = true;
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	    status == PGRES_PIPELINE_ABORTED)
		return ERR_OK;
	enum err e = db_pgsql_error(c, res, info);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	if (c->can_prepare != NULL &&
	    (str_eq(state, "26000") || str_eq(state, "42P05"))) {
		log_warning("store.prepare",
		    "the server loses prepared statements: none any more");
		atomic_store(c->can_prepare, false);
		c->base.is_broken = true;
	}
	if (e == ERR_INTERNAL)
		log_error("store.statement", "statement=%s error=%s",
		    s->slot < STMT__COUNT ? stmt_row((enum stmt)s->slot)->name
					  : db_pgsql_sql(s->slot),
		    info != NULL ? info->text : "");
	return e;
}

/* The next result, NULL at the end of a command; false when it does not come.
 */
static bool
db_pgsql_next(PGconn *handle, int64_t deadline, PGresult **res)
{
	while (PQisBusy(handle) != 0) {
		struct pollfd p = {.fd = PQsocket(handle), .events = POLLIN};
		int64_t wait = deadline - clock_mono_ms();
		if (wait <= 0)
			return false;
		int n = poll(&p, 1, (int)wait);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0 && PQconsumeInput(handle) == 0)
			return false;
	}
	*res = PQgetResult(handle);
	return PQstatus(handle) == CONNECTION_OK;
}

/* Every answer up to that of the sync itself. */
static enum err
db_pgsql_answers(
    struct db_pgsql_conn *c, int64_t deadline, struct err_info *info)
{
	enum err first = ERR_OK;
	size_t i = 0;
	PGresult *res = NULL;

	while (db_pgsql_next(c->handle, deadline, &res)) {
		if (res == NULL) {
			i++;
			continue;
		}
		bool is_end = PQresultStatus(res) == PGRES_PIPELINE_SYNC;
		if (!is_end && i < c->n_sent && first == ERR_OK)
			first = db_pgsql_take(c, &c->sent[i], res, info);
		PQclear(res);
		if (is_end)
			return first;
	}
	/* The server's farewell says more than the closed socket. */
	enum err e = ERR_OK;
	if (res != NULL && first == ERR_OK && i < c->n_sent)
		e = db_pgsql_take(c, &c->sent[i], res, info);
	PQclear(res);
	if (first == ERR_OK && e == ERR_OK)
		db_pgsql_lost(c, info);
	c->base.is_broken = true;
	return ERR_DOWN;
}

static enum err
db_pgsql_sync(struct db *db, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	int64_t deadline = clock_mono_ms() + c->timeout_ms + DB_PGSQL_GRACE_MS;

	if (c->n_sent == 0)
		return ERR_OK;
	if (PQpipelineSync(c->handle) != 1 ||
	    !db_pgsql_flush(c->handle, deadline))
		return db_pgsql_lost(c, info);
	enum err e = db_pgsql_answers(c, deadline, info);
	c->n_sent = 0;
	if (!c->base.is_broken && PQexitPipelineMode(c->handle) != 1)
		return db_pgsql_lost(c, info);
	return e;
}

/* ---- transactions ---- */

static enum err
db_pgsql_begin(struct db *db, enum db_tx kind, struct err_info *info UNUSED)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	/* A system call: once for each transaction is enough. */
	assert(c->owner == getpid());
	c->tx = kind == DB_READ_ONE ? DB_PGSQL_ONE : DB_PGSQL_PENDING;
	free(c->tenant);
	c->tenant = NULL;
	return ERR_OK;
}

static enum err
db_pgsql_settings(
    struct db_pgsql_conn *c, const char *tenant, struct err_info *info)
{
	char timeout[DB_PGSQL_NUMBER_SIZE];
	/* "": as the server has it. "off" is refused by a standby, before the
	 * transaction has read anything there. */
	const char *read_only = c->tx == DB_PGSQL_NONE ? ""
	    : c->base.kind == DB_WRITE		       ? "off"
						       : "on";
	const char *texts[] = {timeout, tenant, read_only};

	snprintf(timeout, sizeof(timeout), "%lld", (long long)c->timeout_ms);
	return db_pgsql_send(
	    c, DB_PGSQL_SETTINGS, texts, ARRAY_LEN(texts), NULL, NULL, info);
}

/* What must be true on the server before a statement of this tenant ("" =
 * none) runs there. */
static enum err
db_pgsql_enter(
    struct db_pgsql_conn *c, const char *tenant, struct err_info *info)
{
	enum err e = ERR_OK;

	if (c->tx == DB_PGSQL_OPEN ||
	    (c->tx == DB_PGSQL_ONE && c->n_sent > 0)) {
		if (*tenant == '\0' || str_eq(c->tenant, tenant))
			return ERR_OK;
		e = db_pgsql_send(
		    c, DB_PGSQL_TENANT, &tenant, 1, NULL, NULL, info);
	} else {
		assert(c->n_sent == 0);
		if (c->tx == DB_PGSQL_PENDING)
			e = db_pgsql_send(c,
			    c->base.kind == DB_WRITE ? DB_PGSQL_BEGIN
						     : DB_PGSQL_BEGIN_READ,
			    NULL, 0, NULL, NULL, info);
		if (e == ERR_OK)
			e = db_pgsql_settings(c, tenant, info);
		if (e == ERR_OK && c->tx == DB_PGSQL_PENDING)
			c->tx = DB_PGSQL_OPEN;
	}
	free(c->tenant);
	c->tenant = mem_strdup(tenant);
	return e;
}

static enum err
db_pgsql_commit(struct db *db, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	enum db_pgsql_tx tx = c->tx;
	enum err e = ERR_OK;

	if (tx == DB_PGSQL_OPEN) {
		e = db_pgsql_send(
		    c, DB_PGSQL_COMMIT, NULL, 0, NULL, NULL, info);
		if (e == ERR_OK && db->is_position_due)
			e = db_pgsql_send(
			    c, DB_PGSQL_POSITION, NULL, 0, NULL, NULL, info);
		if (e != ERR_OK)
			return e;
	}
	e = db_pgsql_sync(db, info);
	if (e == ERR_OK)
		c->tx = DB_PGSQL_NONE;
	return e;
}

static void
db_pgsql_rollback(struct db *db)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	(void)!db_pgsql_sync(db, NULL);
	c->tx = DB_PGSQL_NONE;
	if (!db->is_broken && PQtransactionStatus(c->handle) != PQTRANS_IDLE &&
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

static enum err
db_pgsql_queue(struct db *db, enum stmt id, const struct db_value *values,
    size_t n, struct arena *a, struct db_result *result, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	const struct stmt_row *row = stmt_row(id);
	const char *texts[DB_PGSQL_PARAMS_MAX];
	char numbers[DB_PGSQL_PARAMS_MAX][DB_PGSQL_NUMBER_SIZE];

	assert(n <= DB_PGSQL_PARAMS_MAX);
	for (size_t i = 0; i < n; i++)
		texts[i] = db_pgsql_text(&values[i], numbers[i]);
	if (result != NULL)
		*result = (struct db_result){.columns = row->columns};
	enum err e = db_pgsql_enter(
	    c, row->scope == STMT_SCOPE_TENANT ? values[0].t : "", info);
	return e == ERR_OK
	    ? db_pgsql_send(c, (int)id, texts, n, a, result, info)
	    : e;
}

/* ---- schema ---- */

/* Simple protocol, in the transaction that was begun, if one was. */
static enum err
db_pgsql_simple(struct db_pgsql_conn *c, const char *sql, struct err_info *info)
{
	enum err e = db_pgsql_sync(&c->base, info);

	if (e == ERR_OK && c->tx == DB_PGSQL_PENDING) {
		e = db_pgsql_enter(c, "", info);
		if (e == ERR_OK)
			e = db_pgsql_sync(&c->base, info);
	}
	return e == ERR_OK ? db_pgsql_exec(c, sql, info) : e;
}

static enum err
db_pgsql_script(struct db *db, const char *sql, struct err_info *info)
{
	return db_pgsql_simple(db_pgsql_conn(db), sql, info);
}

/* The last row of a script as a truth. */
static enum err
db_pgsql_ask(struct db_pgsql_conn *c, const char *sql, bool *answer,
    struct err_info *info)
{
	PGresult *res = PQexec(c->handle, sql);
	enum err e = ERR_OK;

	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1)
		*answer = str_eq(PQgetvalue(res, 0, 0), "t");
	else
		e = db_pgsql_error(c, res, info);
	PQclear(res);
	return e;
}

/* A client that is gone is noticed in the middle of a statement too, so that
 * a killed migration leaves its locks to the next; older servers cannot. */
static enum err
db_pgsql_lock_schema(struct db *db, bool *is_locked, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	enum err e = db_pgsql_simple(c,
	    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout "
	    "= " DB_PGSQL_SCHEMA_WAIT
	    "; SELECT set_config(name, '1000', true) FROM "
	    "pg_settings WHERE name = 'client_connection_check_interval'",
	    info);
	return e == ERR_OK
	    ? db_pgsql_ask(c,
		  "SELECT pg_try_advisory_xact_lock(" DB_PGSQL_SCHEMA_LOCK ")",
		  is_locked, info)
	    : e;
}

static enum err
db_pgsql_has_schema(struct db *db, bool *has, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	return db_pgsql_ask(c,
	    "SELECT to_regclass('schema_migrations') IS NOT NULL", has, info);
}

/* A pooler makes up the process that it tells its clients. */
static enum err
db_pgsql_is_pooled(struct db *db, bool *is_pooled, struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	char sql[64];

	snprintf(sql, sizeof(sql), "SELECT pg_backend_pid() <> %d",
	    PQbackendPID(c->handle));
	return db_pgsql_ask(c, sql, is_pooled, info);
}

static enum err
db_pgsql_describe(struct db *db, enum stmt id, int *params, int *columns,
    struct err_info *info)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);
	PGresult *res =
	    PQprepare(c->handle, "", db_pgsql_sql((int)id), 0, NULL);
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
    .prefers_sets = true,
    .open = db_pgsql_open,
    .close = db_pgsql_close,
    .identify = db_pgsql_identify,
    .server_pid = db_pgsql_server_pid,
    .is_dead = db_pgsql_is_dead,
    .begin = db_pgsql_begin,
    .commit = db_pgsql_commit,
    .rollback = db_pgsql_rollback,
    .queue = db_pgsql_queue,
    .sync = db_pgsql_sync,
    .keeps_prepared = db_pgsql_keeps_prepared,
    .script = db_pgsql_script,
    .lock_schema = db_pgsql_lock_schema,
    .is_pooled = db_pgsql_is_pooled,
    .has_schema = db_pgsql_has_schema,
    .describe = db_pgsql_describe,
};
