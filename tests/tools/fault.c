/* SPDX-License-Identifier: MIT
 *
 * Loaded in front of a runner (LD_PRELOAD), it kills it at one chosen place:
 * FAULT_AT=kind:n, the n-th of
 *   meant     a transition is about to be committed
 *   written   it is committed
 *   leaves    a model is about to be asked; FAULT_PORT is where models are
 *   asked     the question has left
 *   answered  its answer is here
 * SIGKILL at a place, not after a time: the same place in every run. The
 * functions of the databases' libraries are declared here as far as they are
 * needed.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAULT_FDS   1024
#define FAULT_NAMES 64
#define FAULT_STEP  "last_seq = last_seq + "

enum fault_kind {
	FAULT_MEANT,
	FAULT_WRITTEN,
	FAULT_LEAVES,
	FAULT_ASKED,
	FAULT_ANSWERED,
	FAULT__COUNT
};
static const char *const fault_names[FAULT__COUNT] = {
    "meant", "written", "leaves", "asked", "answered"};
static atomic_int fault_counts[FAULT__COUNT];
/* Of the transaction that this thread has open. */
static _Thread_local bool fault_is_step, fault_is_committing;
/* What each socket to a model waits for. */
static _Atomic unsigned char fault_fds[FAULT_FDS];
enum { FAULT_FD_OTHER, FAULT_FD_NEW, FAULT_FD_ASKED, FAULT_FD_OVER };
/* Prepared statements that are steps. */
static struct {
	pthread_mutex_t lock;
	char names[FAULT_NAMES][32];
	size_t n;
} fault_prepared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A function behind ours. ISO C knows no other way from an object to it. */
#define FAULT_REAL(type, name)                                                 \
	static type real;                                                      \
	if (real == NULL) {                                                    \
		void *found = dlsym(RTLD_NEXT, name);                          \
		memcpy(&real, &found, sizeof(real));                           \
	}

static void
fault_pass(enum fault_kind kind)
{
	const char *at = getenv("FAULT_AT");
	size_t len = strlen(fault_names[kind]);
	int n = atomic_fetch_add(&fault_counts[kind], 1) + 1;

	if (at != NULL && strncmp(at, fault_names[kind], len) == 0 &&
	    at[len] == ':' && strtol(at + len + 1, NULL, 10) == n)
		kill(getpid(), SIGKILL);
}

static bool
fault_is_of_step(const char *sql)
{
	return strncmp(sql, "UPDATE debates ", 15) == 0 &&
	    strstr(sql, FAULT_STEP) != NULL && strstr(sql, "phase = ") != NULL;
}

static void
fault_commit_begins(void)
{
	if (fault_is_step)
		fault_pass(FAULT_MEANT);
	fault_is_committing = fault_is_step;
	fault_is_step = false;
}

static void
fault_commit_ends(void)
{
	bool is_over = fault_is_committing;

	fault_is_committing = false;
	if (is_over)
		fault_pass(FAULT_WRITTEN);
}

/* ---- SQLite ---- */

struct sqlite3;
struct sqlite3_stmt;
typedef int (*fault_step_fn)(struct sqlite3_stmt *);
typedef const char *(*fault_sql_fn)(struct sqlite3_stmt *);
typedef int (*fault_exec_fn)(struct sqlite3 *, const char *,
    int (*)(void *, int, char **, char **), void *, char **);

int sqlite3_step(struct sqlite3_stmt *st);
int sqlite3_exec(struct sqlite3 *db, const char *sql,
    int (*fn)(void *, int, char **, char **), void *arg, char **error);

static const char *
fault_sql(struct sqlite3_stmt *st)
{
	FAULT_REAL(fault_sql_fn, "sqlite3_sql")
	const char *sql = real(st);
	return sql != NULL ? sql : "";
}

int
sqlite3_step(struct sqlite3_stmt *st)
{
	FAULT_REAL(fault_step_fn, "sqlite3_step")
	if (fault_is_of_step(fault_sql(st)))
		fault_is_step = true;
	return real(st);
}

int
sqlite3_exec(struct sqlite3 *db, const char *sql,
    int (*fn)(void *, int, char **, char **), void *arg, char **error)
{
	FAULT_REAL(fault_exec_fn, "sqlite3_exec")
	bool is_commit = strcmp(sql, "COMMIT") == 0;

	if (is_commit)
		fault_commit_begins();
	else if (strcmp(sql, "ROLLBACK") == 0)
		fault_is_step = false;
	int e = real(db, sql, fn, arg, error);
	if (is_commit && e == 0)
		fault_commit_ends();
	return e;
}

/* ---- PostgreSQL ---- */

struct pg_conn;
typedef unsigned fault_oid;
typedef int (*fault_prepare_fn)(
    struct pg_conn *, const char *, const char *, int, const fault_oid *);
typedef int (*fault_prepared_fn)(struct pg_conn *, const char *, int,
    const char *const *, const int *, const int *, int);
typedef int (*fault_params_fn)(struct pg_conn *, const char *, int,
    const fault_oid *, const char *const *, const int *, const int *, int);
typedef int (*fault_leave_fn)(struct pg_conn *);

int PQsendPrepare(struct pg_conn *c, const char *name, const char *sql, int n,
    const fault_oid *types);
int PQsendQueryPrepared(struct pg_conn *c, const char *name, int n,
    const char *const *values, const int *lengths, const int *formats,
    int result);
int PQsendQueryParams(struct pg_conn *c, const char *sql, int n,
    const fault_oid *types, const char *const *values, const int *lengths,
    const int *formats, int result);
int PQexitPipelineMode(struct pg_conn *c);

int
PQsendPrepare(struct pg_conn *c, const char *name, const char *sql, int n,
    const fault_oid *types)
{
	FAULT_REAL(fault_prepare_fn, "PQsendPrepare")
	pthread_mutex_lock(&fault_prepared.lock);
	if (fault_is_of_step(sql) && fault_prepared.n < FAULT_NAMES)
		snprintf(fault_prepared.names[fault_prepared.n++],
		    sizeof(fault_prepared.names[0]), "%s", name);
	pthread_mutex_unlock(&fault_prepared.lock);
	return real(c, name, sql, n, types);
}

int
PQsendQueryPrepared(struct pg_conn *c, const char *name, int n,
    const char *const *values, const int *lengths, const int *formats,
    int result)
{
	FAULT_REAL(fault_prepared_fn, "PQsendQueryPrepared")
	pthread_mutex_lock(&fault_prepared.lock);
	for (size_t i = 0; i < fault_prepared.n; i++)
		if (strcmp(fault_prepared.names[i], name) == 0)
			fault_is_step = true;
	pthread_mutex_unlock(&fault_prepared.lock);
	return real(c, name, n, values, lengths, formats, result);
}

/* What waits in libpq has not left when the process dies here. */
int
PQsendQueryParams(struct pg_conn *c, const char *sql, int n,
    const fault_oid *types, const char *const *values, const int *lengths,
    const int *formats, int result)
{
	FAULT_REAL(fault_params_fn, "PQsendQueryParams")
	if (fault_is_of_step(sql))
		fault_is_step = true;
	if (strcmp(sql, "COMMIT") == 0)
		fault_commit_begins();
	else if (strcmp(sql, "ROLLBACK") == 0)
		fault_is_step = false;
	return real(c, sql, n, types, values, lengths, formats, result);
}

/* The pipeline's answers are all there. */
int
PQexitPipelineMode(struct pg_conn *c)
{
	FAULT_REAL(fault_leave_fn, "PQexitPipelineMode")
	int e = real(c);

	if (fault_is_committing)
		fault_commit_ends();
	return e;
}

/* ---- models ---- */

typedef int (*fault_connect_fn)(int, const struct sockaddr *, socklen_t);
typedef ssize_t (*fault_send_fn)(int, const void *, size_t, int);
typedef ssize_t (*fault_recv_fn)(int, void *, size_t, int);

static bool
fault_is_model(const struct sockaddr *addr)
{
	const char *port = getenv("FAULT_PORT");
	struct sockaddr_in in;

	if (port == NULL || addr->sa_family != AF_INET)
		return false;
	memcpy(&in, addr, sizeof(in));
	return ntohs(in.sin_port) == strtol(port, NULL, 10);
}

/* A socket that waits for `from` has come one on. */
static void
fault_socket(int fd, unsigned char from, enum fault_kind kind)
{
	if (fd < 0 || fd >= FAULT_FDS || fault_fds[fd] != from)
		return;
	fault_fds[fd] = (unsigned char)(from + 1);
	fault_pass(kind);
}

int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	FAULT_REAL(fault_connect_fn, "connect")
	bool is_model = fault_is_model(addr);

	if (fd >= 0 && fd < FAULT_FDS)
		fault_fds[fd] = is_model ? FAULT_FD_NEW : FAULT_FD_OTHER;
	if (is_model)
		fault_pass(FAULT_LEAVES);
	return real(fd, addr, len);
}

ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	FAULT_REAL(fault_send_fn, "send")
	ssize_t n = real(fd, data, len, flags);

	if (n == (ssize_t)len)
		fault_socket(fd, FAULT_FD_NEW, FAULT_ASKED);
	return n;
}

ssize_t
recv(int fd, void *data, size_t len, int flags)
{
	FAULT_REAL(fault_recv_fn, "recv")
	ssize_t n = real(fd, data, len, flags);

	if (n > 0)
		fault_socket(fd, FAULT_FD_ASKED, FAULT_ANSWERED);
	return n;
}
