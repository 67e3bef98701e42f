/* SPDX-License-Identifier: MIT
 *
 * The SQLite driver: WAL, synchronous=FULL (what was accepted survives power
 * loss), writers begin IMMEDIATE so that they wait instead of failing when
 * they upgrade. Statements are prepared once per connection.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/db.h"

struct db_sqlite_conn {
	struct db base;
	sqlite3 *handle;
	sqlite3_stmt *prepared[STMT__COUNT];
	pid_t owner;
	char *path;
	/* Of the file we opened: a replaced file is noticed. */
	dev_t device;
	ino_t inode;
};

static struct db_sqlite_conn *
db_sqlite_conn(struct db *db)
{
	struct db_sqlite_conn *c =
	    CONTAINER_OF(db, struct db_sqlite_conn, base);
	assert(c->owner == getpid());
	return c;
}

static enum err
db_sqlite_error(struct db_sqlite_conn *c, struct err_info *info)
{
	int code = sqlite3_extended_errcode(c->handle);
	enum err e = ERR_INTERNAL;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		e = code == SQLITE_BUSY_SNAPSHOT ? ERR_RETRY : ERR_BUSY;
		break;
	case SQLITE_CONSTRAINT:
		e = code == SQLITE_CONSTRAINT_PRIMARYKEY ||
			code == SQLITE_CONSTRAINT_UNIQUE
		    ? ERR_EXISTS
		    : ERR_INTERNAL;
		break;
	case SQLITE_FULL:
		e = ERR_FULL;
		break;
	case SQLITE_IOERR:
		e = code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC ||
			code == SQLITE_IOERR_SHMSIZE
		    ? ERR_FULL
		    : ERR_DOWN;
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_READONLY:
		e = ERR_DOWN;
		break;
	}
	return err_set(info, e, "", "%s", sqlite3_errmsg(c->handle));
}

static enum err
db_sqlite_exec(struct db_sqlite_conn *c, const char *sql, struct err_info *info)
{
	if (sqlite3_exec(c->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
		return ERR_OK;
	return db_sqlite_error(c, info);
}

static void
db_sqlite_close(struct db *db)
{
	struct db_sqlite_conn *c = db_sqlite_conn(db);

	for (int i = 0; i < STMT__COUNT; i++)
		sqlite3_finalize(c->prepared[i]);
	sqlite3_close(c->handle);
	free(c->path);
	heap_free(HEAP_STORE, c);
}

/* SQLite would make an empty file where one was lost, and whoever finds that
 * calls the tables missing: only migrations create. */
static enum err
db_sqlite_create(const struct db_options *o, struct err_info *info)
{
	if (str_eq(o->target, ":memory:"))
		return ERR_OK;
	if (!o->is_creating) {
		if (access(o->target, F_OK) == 0 || errno != ENOENT)
			return ERR_OK; /* opening tells the rest */
		return err_set(info, ERR_NOT_FOUND, "ARAGORA_DATABASE_URL",
		    "there is no file '%s'", o->target);
	}
	int fd = open(o->target, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_set(info, ERR_DOWN, "ARAGORA_DATABASE_URL",
		    "cannot create '%s': %s", o->target, strerror(errno));
	close(fd);
	return ERR_OK;
}

/* Two that switch a new file to WAL at once would wait for each other, so
 * SQLite refuses one of them without asking its busy handler. */
static enum err
db_sqlite_wal(
    struct db_sqlite_conn *c, int64_t timeout_ms, struct err_info *info)
{
	static const struct timespec pause = {.tv_nsec = 10 * 1000000};
	int64_t deadline = clock_mono_ms() + timeout_ms;

	for (;;) {
		enum err e = db_sqlite_exec(c, "PRAGMA journal_mode=WAL", info);
		if (e != ERR_BUSY || clock_mono_ms() >= deadline)
			return e;
		nanosleep(&pause, NULL);
	}
}

static void
db_sqlite_heap(struct heap_amount *amount)
{
	sqlite3_int64 blocks = 0, most = 0;

	(void)sqlite3_status64(SQLITE_STATUS_MALLOC_COUNT, &blocks, &most, 0);
	amount->blocks = blocks;
	amount->bytes =
	    sqlite3_memory_used() + blocks * (int64_t)sizeof(size_t);
}

static enum err
db_sqlite_start(
    struct db_sqlite_conn *c, const struct db_options *o, struct err_info *info)
{
	static const char pragmas[] =
	    "PRAGMA synchronous=FULL;"
	    "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
	    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1024;"
	    "PRAGMA journal_size_limit=67108864;";
	struct stat st;

	heap_ask(HEAP_SQLITE, db_sqlite_heap);
	if (sqlite3_open_v2(o->target, &c->handle,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return err_set(info, ERR_DOWN, "ARAGORA_DATABASE_URL",
		    "cannot open '%s': %s", o->target,
		    sqlite3_errmsg(c->handle));
	sqlite3_extended_result_codes(c->handle, 1);
	sqlite3_busy_timeout(c->handle, (int)o->timeout_ms);
	enum err e = db_sqlite_wal(c, o->timeout_ms, info);
	if (e == ERR_OK)
		e = db_sqlite_exec(c, pragmas, info);
	if (e == ERR_OK && o->is_reader)
		e = db_sqlite_exec(c, "PRAGMA query_only=ON", info);
	if (e == ERR_OK && stat(o->target, &st) == 0) {
		c->device = st.st_dev;
		c->inode = st.st_ino;
	}
	return e;
}

static enum err
db_sqlite_open(
    struct db **out, const struct db_options *o, struct err_info *info)
{
	enum err e = db_sqlite_create(o, info);
	if (e != ERR_OK)
		return e;
	struct db_sqlite_conn *c =
	    heap_take(HEAP_STORE, mem_zalloc(sizeof(*c)));
	c->base.driver = &db_sqlite;
	c->owner = getpid();
	c->path = mem_strdup(o->target);
	e = db_sqlite_start(c, o, info);
	if (e != ERR_OK) {
		db_sqlite_close(&c->base);
		return e;
	}
	*out = &c->base;
	return ERR_OK;
}

static bool
db_sqlite_is_dead(struct db *db)
{
	struct db_sqlite_conn *c = db_sqlite_conn(db);
	struct stat st;

	return stat(c->path, &st) != 0 || st.st_dev != c->device ||
	    st.st_ino != c->inode;
}

static enum err
db_sqlite_begin(struct db *db, enum db_tx kind, struct err_info *info)
{
	return db_sqlite_exec(db_sqlite_conn(db),
	    kind == DB_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", info);
}

static enum err
db_sqlite_commit(struct db *db, struct err_info *info)
{
	return db_sqlite_exec(db_sqlite_conn(db), "COMMIT", info);
}

static void
db_sqlite_rollback(struct db *db)
{
	struct db_sqlite_conn *c = db_sqlite_conn(db);

	if (sqlite3_get_autocommit(c->handle) == 0)
		(void)db_sqlite_exec(c, "ROLLBACK", NULL);
}

static enum err
db_sqlite_prepare(struct db_sqlite_conn *c, enum stmt id, sqlite3_stmt **out,
    struct err_info *info)
{
	if (c->prepared[id] == NULL &&
	    sqlite3_prepare_v3(c->handle, stmt_row(id)->sql, -1,
		SQLITE_PREPARE_PERSISTENT, &c->prepared[id], NULL) != SQLITE_OK)
		return db_sqlite_error(c, info);
	*out = c->prepared[id];
	return ERR_OK;
}

/* SQLite numbers $n by first appearance: bind by name. */
static void
db_sqlite_bind(sqlite3_stmt *st, size_t n, const struct db_value *v)
{
	char name[32];

	snprintf(name, sizeof(name), "$%zu", n + 1);
	int slot = sqlite3_bind_parameter_index(st, name);
	assert(slot > 0);
	switch (v->type) {
	case DB_TYPE_INT:
		sqlite3_bind_int64(st, slot, v->i);
		break;
	case DB_TYPE_DOUBLE:
		sqlite3_bind_double(st, slot, v->d);
		break;
	case DB_TYPE_TEXT:
		sqlite3_bind_text(st, slot, v->t, -1, SQLITE_STATIC);
		break;
	}
}

/* SQLite prints 15 digits of a double; 17 bring back the same one. */
static const char *
db_sqlite_cell(sqlite3_stmt *st, int column, struct arena *a)
{
	if (sqlite3_column_type(st, column) == SQLITE_FLOAT)
		return arena_printf(
		    a, "%.17g", sqlite3_column_double(st, column));
	return arena_strndup(a, (const char *)sqlite3_column_text(st, column),
	    (size_t)sqlite3_column_bytes(st, column));
}

static void
db_sqlite_row(
    sqlite3_stmt *st, struct arena *a, struct db_result *r, size_t *room)
{
	size_t width = (size_t)r->columns;

	if (r->rows == *room) {
		const char **more =
		    ARENA_ARRAY(a, (*room * 2 + 8) * width, const char *);
		if (r->rows > 0)
			memcpy(more, r->cells, r->rows * width * sizeof(*more));
		r->cells = more;
		*room = *room * 2 + 8;
	}
	for (int i = 0; i < r->columns; i++)
		r->cells[r->rows * width + (size_t)i] =
		    db_sqlite_cell(st, i, a);
	r->rows++;
}

/* There is nobody to wait for: a queued statement runs at once. */
static enum err
db_sqlite_queue(struct db *db, enum stmt id, const struct db_value *values,
    size_t n, struct arena *a, struct db_result *result, struct err_info *info)
{
	struct db_sqlite_conn *c = db_sqlite_conn(db);
	struct db_result ignored;
	sqlite3_stmt *st;
	size_t room = 0;
	int step;

	if (result == NULL)
		result = &ignored;
	enum err e = db_sqlite_prepare(c, id, &st, info);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < n; i++)
		db_sqlite_bind(st, i, &values[i]);
	*result = (struct db_result){.columns = stmt_row(id)->columns};
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		db_sqlite_row(st, a, result, &room);
	if (step != SQLITE_DONE)
		e = db_sqlite_error(c, info);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (e == ERR_INTERNAL)
		log_error("store.statement", "statement=%s error=%s",
		    stmt_row(id)->name, info->text);
	return e;
}

static enum err
db_sqlite_sync(struct db *db UNUSED, struct err_info *info UNUSED)
{
	return ERR_OK;
}

static enum err
db_sqlite_script(struct db *db, const char *sql, struct err_info *info)
{
	return db_sqlite_exec(db_sqlite_conn(db), sql, info);
}

/* BEGIN IMMEDIATE is the lock. */
static enum err
db_sqlite_lock_schema(
    struct db *db UNUSED, bool *is_locked, struct err_info *info UNUSED)
{
	*is_locked = true;
	return ERR_OK;
}

static enum err
db_sqlite_is_pooled(
    struct db *db UNUSED, bool *is_pooled, struct err_info *info UNUSED)
{
	*is_pooled = false;
	return ERR_OK;
}

static enum err
db_sqlite_has_schema(struct db *db, bool *has, struct err_info *info)
{
	struct db_sqlite_conn *c = db_sqlite_conn(db);
	sqlite3_stmt *st = NULL;
	enum err e = ERR_OK;

	if (sqlite3_prepare_v2(c->handle,
		"SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'",
		-1, &st, NULL) != SQLITE_OK)
		return db_sqlite_error(c, info);
	int step = sqlite3_step(st);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		e = db_sqlite_error(c, info);
	*has = step == SQLITE_ROW;
	sqlite3_finalize(st);
	return e;
}

static enum err
db_sqlite_describe(struct db *db, enum stmt id, int *params, int *columns,
    struct err_info *info)
{
	sqlite3_stmt *st;

	enum err e = db_sqlite_prepare(db_sqlite_conn(db), id, &st, info);
	if (e != ERR_OK)
		return e;
	*params = sqlite3_bind_parameter_count(st);
	*columns = sqlite3_column_count(st);
	return ERR_OK;
}

const struct db_driver db_sqlite = {
    .name = "sqlite",
    .is_single_writer = true,
    .open = db_sqlite_open,
    .close = db_sqlite_close,
    .is_dead = db_sqlite_is_dead,
    .begin = db_sqlite_begin,
    .commit = db_sqlite_commit,
    .rollback = db_sqlite_rollback,
    .queue = db_sqlite_queue,
    .sync = db_sqlite_sync,
    .script = db_sqlite_script,
    .lock_schema = db_sqlite_lock_schema,
    .is_pooled = db_sqlite_is_pooled,
    .has_schema = db_sqlite_has_schema,
    .describe = db_sqlite_describe,
};
