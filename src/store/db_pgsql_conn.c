/* SPDX-License-Identifier: MIT
 *
 * PostgreSQL connections: opening, errors, and what can be known of the
 * server behind a pooler.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/db_pgsql.h"
#include "store/db_pgsql_hosts.h"

#define DB_PGSQL_CONNECT_MS 5000
/* For each of several servers, and for a replica, which can be done without. */
#define DB_PGSQL_CONNECT_EACH_MS 1500
#define DB_PGSQL_PROBE_MS	 2000
#define DB_PGSQL_FAREWELL_MS	 1000

struct db_pgsql_conn *
db_pgsql_conn(struct db *db)
{
	return CONTAINER_OF(db, struct db_pgsql_conn, base);
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
	    {"26000", ERR_RETRY}, /* not prepared here */
	    {"42P05", ERR_RETRY}, /* prepared here by another */
	    {"40001", ERR_RETRY},
	    {"40P01", ERR_RETRY},
	    {"55P03", ERR_BUSY},
	    {"57014", ERR_BUSY},
	    {"53100", ERR_FULL},
	    {"08", ERR_DOWN},
	    {"57P", ERR_DOWN},
	    {"53", ERR_DOWN},
	    /* A primary that became a standby: the next connection goes to
	     * its successor. 25001 is how it refuses to begin a write. */
	    {"25006", ERR_DOWN},
	    {"25001", ERR_DOWN},
	    {"28", ERR_DOWN},
	};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (str_starts(state, map[i].prefix))
			return map[i].e;
	return ERR_INTERNAL;
}

/* First line of the server's words. */
enum err
db_pgsql_error(
    struct db_pgsql_conn *c, const PGresult *res, struct err_info *info)
{
	const char *state =
	    res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *text = res != NULL
	    ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)
	    : PQerrorMessage(c->handle);
	enum err e = state != NULL ? db_pgsql_state(state) : ERR_INTERNAL;

	/* After these words the server closes the connection. */
	const char *severity = res != NULL
	    ? PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED)
	    : NULL;
	bool is_last = str_eq(severity, "FATAL") || str_eq(severity, "PANIC");
	if (PQstatus(c->handle) == CONNECTION_BAD || state == NULL || is_last)
		e = ERR_DOWN;
	if (text == NULL)
		text = "connection lost";
	return err_set(info, e, "", "%.*s", (int)strcspn(text, "\n"), text);
}

enum err
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

/* Whoever closes a connection may open another at once, and the server counts
 * this one until its process has ended: wait for that, where it listens. */
static void
db_pgsql_finish(PGconn *handle, bool is_broken)
{
	int64_t deadline = clock_mono_ms() + DB_PGSQL_FAREWELL_MS;
	int fd = is_broken || PQtransactionStatus(handle) != PQTRANS_IDLE
	    ? -1
	    : fcntl(PQsocket(handle), F_DUPFD_CLOEXEC, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left;
	char rest[256];
	int n;

	PQfinish(handle);
	if (fd < 0)
		return;
	while ((left = deadline - clock_mono_ms()) > 0) {
		n = poll(&p, 1, (int)left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || read(fd, rest, sizeof(rest)) <= 0)
			break;
	}
	close(fd);
}

void
db_pgsql_close(struct db *db)
{
	struct db_pgsql_conn *c = db_pgsql_conn(db);

	db_pgsql_finish(c->handle, db->is_broken);
	free(c->tenant);
	heap_free(HEAP_STORE, c->sent);
	heap_free(HEAP_STORE, c);
}

/* Drive PQconnectPoll to its end with our own deadline: connect_timeout
 * counts whole seconds and per host. is_answered: it ended with the server's
 * answer to who we are. */
static enum err
db_pgsql_wait_connect(PGconn *handle, int64_t timeout_ms, bool *is_answered)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
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
		*is_answered = PQstatus(handle) == CONNECTION_AUTH_OK ||
		    PQstatus(handle) == CONNECTION_AWAITING_RESPONSE;
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
db_pgsql_check(const char *conninfo, const char *setting, struct err_info *info)
{
	char *text = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &text);

	PQconninfoFree(parsed);
	PQfreemem(text);
	if (parsed != NULL)
		return ERR_OK;
	return err_set(info, ERR_INVALID, setting,
	    "is not a connection string that PostgreSQL understands");
}

/* To one server. attrs and the parts of host may be NULL: as the target says.
 */
static enum err
db_pgsql_connect(PGconn **out, const char *target,
    const struct db_pgsql_host *host, const char *attrs, int64_t timeout_ms,
    bool *is_answered)
{
	/* What comes after the target overrides it. */
	static const char *const keys[] = {"dbname", "host", "hostaddr", "port",
	    "target_session_attrs", "application_name", "keepalives_idle",
	    "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	    "client_encoding", NULL};
	const char *const values[] = {target, host->host, host->hostaddr,
	    host->port, attrs, "aragora", "30", "10", "3", "15000", "UTF8",
	    NULL};

	*out = PQconnectStartParams(keys, values, 1);
	if (*out == NULL)
		mem_exhausted(0);
	return PQstatus(*out) == CONNECTION_BAD
	    ? ERR_DOWN
	    : db_pgsql_wait_connect(*out, timeout_ms, is_answered);
}

/* The first server that is what is asked for. *handle is the last one that was
 * tried. */
static enum err
db_pgsql_connect_any(
    PGconn **handle, const struct db_options *o, bool *is_answered)
{
	struct db_pgsql_hosts h;
	enum err e = ERR_DOWN;

	*handle = NULL;
	db_pgsql_hosts_read(&h, o->target, o->is_replica);
	int64_t timeout_ms = h.n > 1 || o->is_replica ? DB_PGSQL_CONNECT_EACH_MS
						      : DB_PGSQL_CONNECT_MS;
	for (size_t i = 0; e != ERR_OK && i < h.n * h.n_attrs; i++) {
		PQfinish(*handle);
		*is_answered = false;
		e = db_pgsql_connect(handle, o->target, &h.rows[i % h.n],
		    h.attrs[i / h.n], timeout_ms, is_answered);
	}
	db_pgsql_hosts_release(&h);
	return e;
}

enum err
db_pgsql_open(
    struct db **out, const struct db_options *o, struct err_info *info)
{
	const char *setting = o->is_replica ? "ARAGORA_DATABASE_REPLICA_URL"
					    : "ARAGORA_DATABASE_URL";
	enum err e = db_pgsql_check(o->target, setting, info);
	if (e != ERR_OK)
		return e;
	struct db_pgsql_conn *c = heap_take(HEAP_STORE, mem_zalloc(sizeof(*c)));
	bool is_answered = false;
	c->base.driver = &db_pgsql;
	c->owner = getpid();
	c->timeout_ms = o->timeout_ms;
	c->can_prepare = o->can_prepare;
	e = db_pgsql_connect_any(&c->handle, o, &is_answered);
	if (e != ERR_OK) {
		const char *text = PQerrorMessage(c->handle);
		err_set(info, ERR_DOWN, is_answered ? DB_LOGIN : setting,
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

/* Two users of one database share its connections, so the name leaves them
 * out. */
char *
db_pgsql_identify(const char *target)
{
	static const char *const keys[] = {
	    "host", "hostaddr", "port", "dbname"};
	const char *values[ARRAY_LEN(keys)] = {"", "", "", ""};
	const char *user = "";
	PQconninfoOption *parsed = PQconninfoParse(target, NULL);

	if (parsed == NULL)
		return NULL;
	for (const PQconninfoOption *o = parsed; o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (str_eq(o->keyword, "user"))
			user = o->val;
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (str_eq(o->keyword, keys[i]))
				values[i] = o->val;
	}
	/* A database that has no name has its user's. */
	char *name = mem_printf("%s\n%s\n%s\n%s", values[0], values[1],
	    values[2], *values[3] != '\0' ? values[3] : user);
	PQconninfoFree(parsed);
	return name;
}

int64_t
db_pgsql_server_pid(struct db *db)
{
	return PQbackendPID(db_pgsql_conn(db)->handle);
}

bool
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

/* The answer to what was sent, if it comes in time: true when it is good. */
static bool
db_pgsql_probe_answer(PGconn *handle)
{
	int64_t deadline = clock_mono_ms() + DB_PGSQL_PROBE_MS;
	bool is_good = true;
	PGresult *res;

	while (PQisBusy(handle) != 0) {
		struct pollfd p = {.fd = PQsocket(handle), .events = POLLIN};
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) > 0 && PQconsumeInput(handle) == 0)
			return false;
	}
	while ((res = PQgetResult(handle)) != NULL) {
		is_good = is_good && PQresultStatus(res) == PGRES_TUPLES_OK;
		PQclear(res);
	}
	return is_good;
}

/* A pooler in transaction mode gives its server connection to whoever asks
 * next: while `other` holds the one on which `one` prepared, `one` gets another
 * or none. */
static bool
db_pgsql_probe(struct db_pgsql_conn *one, struct db_pgsql_conn *other)
{
	static const char name[] = "aragora_probe";
	PGresult *res = PQprepare(one->handle, name, "SELECT 1", 0, NULL);
	bool is_kept = PQresultStatus(res) == PGRES_COMMAND_OK &&
	    db_pgsql_exec(other, "BEGIN; SELECT 1", NULL) == ERR_OK &&
	    PQsendQueryPrepared(one->handle, name, 0, NULL, NULL, NULL, 0) ==
		1 &&
	    db_pgsql_probe_answer(one->handle);

	PQclear(res);
	return is_kept;
}

bool
db_pgsql_keeps_prepared(const struct db_options *o)
{
	struct db *one = NULL;
	struct db *other = NULL;

	bool is_kept = db_pgsql_open(&one, o, NULL) == ERR_OK &&
	    db_pgsql_open(&other, o, NULL) == ERR_OK &&
	    db_pgsql_probe(db_pgsql_conn(one), db_pgsql_conn(other));
	if (one != NULL)
		db_pgsql_close(one);
	if (other != NULL)
		db_pgsql_close(other);
	return is_kept;
}
