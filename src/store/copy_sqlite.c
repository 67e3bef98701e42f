/* SPDX-License-Identifier: MIT
 *
 * The copy's side of SQLite.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/copy_db.h"

/* Longer than any transaction of the service. */
#define COPY_SQLITE_BUSY_MS 30000
#define COPY_SQLITE_SQL_MAX (1 << 20)

struct copy_sqlite_db {
	struct copy_db base;
	sqlite3 *handle;
	char *path;
	sqlite3_stmt *scan;
	sqlite3_stmt *load;
	const struct copy_table *table; /* of the scan or the load */
};

static struct copy_sqlite_db *
copy_sqlite_db(struct copy_db *db)
{
	return CONTAINER_OF(db, struct copy_sqlite_db, base);
}

static enum err
copy_sqlite_error(struct copy_sqlite_db *c, struct err_info *info)
{
	enum err e = ERR_IO;

	switch (sqlite3_errcode(c->handle)) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		e = ERR_BUSY;
		break;
	case SQLITE_FULL:
		e = ERR_FULL;
		break;
	case SQLITE_CONSTRAINT:
		e = ERR_CONFLICT;
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
copy_sqlite_exec(struct copy_db *db, const char *sql, struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);

	if (sqlite3_exec(c->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
		return ERR_OK;
	return copy_sqlite_error(c, info);
}

static void
copy_sqlite_close(struct copy_db *db)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);

	sqlite3_finalize(c->scan);
	sqlite3_finalize(c->load);
	sqlite3_close(c->handle);
	free(c->path);
	free(c);
}

static enum err
copy_sqlite_open(struct copy_db **out, const char *target, bool is_writing,
    struct err_info *info)
{
	struct copy_sqlite_db *c = mem_zalloc(sizeof(*c));
	enum err e = ERR_OK;

	c->base.driver = &copy_sqlite;
	c->path = mem_strdup(target);
	if (sqlite3_open_v2(target, &c->handle,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		e = err_set(info, ERR_DOWN, "", "cannot open '%s': %s", target,
		    sqlite3_errmsg(c->handle));
	else {
		sqlite3_busy_timeout(c->handle, COPY_SQLITE_BUSY_MS);
		e = copy_sqlite_exec(&c->base,
		    is_writing
			? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			  "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
			  "PRAGMA journal_size_limit=67108864;"
			: "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;",
		    info);
	}
	if (e != ERR_OK) {
		copy_sqlite_close(&c->base);
		return e;
	}
	*out = &c->base;
	return ERR_OK;
}

static const char *
copy_sqlite_describe(struct copy_db *db, struct arena *a)
{
	return arena_printf(a, "sqlite '%s'", copy_sqlite_db(db)->path);
}

static void
copy_sqlite_bind(sqlite3_stmt *st, int slot, const struct copy_value *v)
{
	if (v->is_null)
		return;
	switch (v->kind) {
	case COPY_INT:
		sqlite3_bind_int64(st, slot, v->i);
		break;
	case COPY_DOUBLE:
		sqlite3_bind_double(st, slot, v->d);
		break;
	case COPY_TEXT:
		sqlite3_bind_text64(
		    st, slot, v->t, v->len, SQLITE_TRANSIENT, SQLITE_UTF8);
		break;
	}
}

/* A column's value as its declared type wants it; text and blob pointers live
 * until the next step. */
static struct copy_value
copy_sqlite_value(sqlite3_stmt *st, int i, enum copy_kind kind)
{
	static const char *const classes[] = {
	    [SQLITE_INTEGER] = "is an integer",
	    [SQLITE_FLOAT] = "is a floating point number",
	    [SQLITE_TEXT] = "is a text",
	    [SQLITE_BLOB] = "is a blob"};
	struct copy_value v = {.kind = kind};
	int class = sqlite3_column_type(st, i);

	v.is_null = class == SQLITE_NULL;
	if (v.is_null)
		return v;
	switch (kind) {
	case COPY_INT:
		v.i = sqlite3_column_int64(st, i);
		v.odd = class != SQLITE_INTEGER ? classes[class] : NULL;
		break;
	case COPY_DOUBLE:
		v.d = sqlite3_column_double(st, i);
		v.odd = class != SQLITE_FLOAT && class != SQLITE_INTEGER
		    ? classes[class]
		    : NULL;
		break;
	case COPY_TEXT:
		v.odd = class != SQLITE_TEXT ? classes[class] : NULL;
		v.t = class == SQLITE_BLOB
		    ? sqlite3_column_blob(st, i)
		    : (const char *)sqlite3_column_text(st, i);
		v.len = (size_t)sqlite3_column_bytes(st, i);
		v.t = v.t != NULL ? v.t : "";
		break;
	}
	return v;
}

static enum copy_kind
copy_sqlite_letter(char letter)
{
	return letter == 'i' ? COPY_INT
	    : letter == 'd'  ? COPY_DOUBLE
			     : COPY_TEXT;
}

static void
copy_sqlite_row(sqlite3_stmt *st, const char *kinds, struct arena *a,
    struct copy_result *out, size_t *room)
{
	if (out->rows == *room) {
		*room = *room * 2 + 8;
		struct copy_value *more =
		    ARENA_ARRAY(a, *room * out->columns, struct copy_value);
		if (out->rows > 0)
			memcpy(more, out->cells,
			    out->rows * out->columns * sizeof(*more));
		out->cells = more;
	}
	for (size_t i = 0; i < out->columns; i++) {
		struct copy_value v =
		    copy_sqlite_value(st, (int)i, copy_sqlite_letter(kinds[i]));
		if (v.t != NULL)
			v.t = arena_strndup(a, v.t, v.len);
		out->cells[out->rows * out->columns + i] = v;
	}
	out->rows++;
}

static enum err
copy_sqlite_query(struct copy_db *db, const char *sql,
    const struct copy_value *params, size_t n, const char *kinds,
    struct arena *a, struct copy_result *out, struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);
	struct copy_result ignored;
	sqlite3_stmt *st = NULL;
	enum err e = ERR_OK;
	size_t room = 0;
	int step;

	out = out != NULL ? out : &ignored;
	*out = (struct copy_result){.columns = strlen(kinds)};
	if (sqlite3_prepare_v2(c->handle, sql, -1, &st, NULL) != SQLITE_OK)
		return copy_sqlite_error(c, info);
	for (size_t i = 0; i < n; i++)
		copy_sqlite_bind(st, (int)i + 1, &params[i]);
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		copy_sqlite_row(st, kinds, a, out, &room);
	if (step != SQLITE_DONE)
		e = copy_sqlite_error(c, info);
	sqlite3_finalize(st);
	return e;
}

/* By the rules of SQLite's affinities, as far as both databases share them. */
static bool
copy_sqlite_kind(const char *type, enum copy_kind *out)
{
	static const struct {
		const char *prefix;
		enum copy_kind kind;
	} map[] = {{"BIGINT", COPY_INT}, {"INT", COPY_INT},
	    {"SMALLINT", COPY_INT}, {"DOUBLE", COPY_DOUBLE},
	    {"REAL", COPY_DOUBLE}, {"FLOAT", COPY_DOUBLE}, {"TEXT", COPY_TEXT},
	    {"VARCHAR", COPY_TEXT}, {"CHAR", COPY_TEXT}};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (strncasecmp(type, map[i].prefix, strlen(map[i].prefix)) ==
		    0) {
			*out = map[i].kind;
			return true;
		}
	return false;
}

static void
copy_sqlite_column(struct copy_table *t, const struct copy_value *cells,
    struct arena *a, struct copy_report *r)
{
	struct copy_column *col = &t->columns[t->n_columns];
	int64_t place = cells[3].i;

	if (t->n_columns == COPY_COLUMNS_MAX || place > COPY_KEYS_MAX) {
		copy_problem(r, a, t->name, cells[0].t, NULL,
		    "there are too many columns");
		return;
	}
	*col = (struct copy_column){.name = cells[0].t,
	    .bits = 64,
	    .is_not_null = cells[2].i != 0 || place > 0};
	if (!copy_sqlite_kind(cells[1].t, &col->kind))
		copy_problem(r, a, t->name, col->name, NULL,
		    "the type '%s' cannot be copied", cells[1].t);
	if (place > 0) {
		t->keys[place - 1] = t->n_columns;
		t->n_keys++;
	}
	t->n_columns++;
}

static enum err
copy_sqlite_table(struct copy_db *db, struct copy_table *t, struct arena *a,
    struct copy_report *r, struct err_info *info)
{
	const struct copy_value name = copy_text(t->name);
	struct copy_result rows;

	enum err e = copy_sqlite_query(db,
	    "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo($1) "
	    "WHERE hidden = 0 ORDER BY cid",
	    &name, 1, "ttii", a, &rows, info);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++)
		copy_sqlite_column(t, &rows.cells[i * rows.columns], a, r);
	if (e == ERR_OK)
		e = copy_sqlite_query(db,
		    "SELECT DISTINCT \"table\" FROM "
		    "pragma_foreign_key_list($1)",
		    &name, 1, "t", a, &rows, info);
	for (size_t i = 0;
	     e == ERR_OK && i < rows.rows && t->n_parents < COPY_COLUMNS_MAX;
	     i++)
		t->parents[t->n_parents++] = rows.cells[i].t;
	return e;
}

static enum err
copy_sqlite_catalog(struct copy_db *db, struct arena *a,
    struct copy_schema *out, struct copy_report *r, struct err_info *info)
{
	struct copy_result rows;

	enum err e = copy_sqlite_query(db,
	    "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
	    "name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND "
	    "substr(name, 1, 13) <> '" COPY_PREFIX "' AND "
	    "name <> '" COPY_NOT_OURS "' ORDER BY name",
	    NULL, 0, "t", a, &rows, info);
	if (e != ERR_OK)
		return e;
	out->n_tables = rows.rows;
	out->tables = ARENA_ARRAY(a, rows.rows + 1, struct copy_table *);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++) {
		out->tables[i] = ARENA_NEW(a, struct copy_table);
		out->tables[i]->name = rows.cells[i].t;
		e = copy_sqlite_table(db, out->tables[i], a, r, info);
	}
	return e;
}

static enum err
copy_sqlite_check_references(struct copy_db *db, struct arena *a,
    struct copy_report *r, struct err_info *info)
{
	struct copy_result rows;

	enum err e = copy_sqlite_query(db,
	    "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check "
	    "GROUP BY 1, 2",
	    NULL, 0, "tti", a, &rows, info);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++)
		copy_problem(r, a, rows.cells[3 * i].t, "", NULL,
		    "%lld rows refer to rows of '%s' that are not there",
		    (long long)rows.cells[3 * i + 2].i,
		    rows.cells[3 * i + 1].t);
	return e;
}

static enum err
copy_sqlite_check(struct copy_db *db, const struct copy_schema *s UNUSED,
    bool is_source, bool is_writing UNUSED, struct arena *a,
    struct copy_report *r, struct err_info *info)
{
	struct copy_result rows;

	if (!is_source)
		return ERR_OK;
	enum err e = copy_sqlite_query(
	    db, "PRAGMA integrity_check(10)", NULL, 0, "t", a, &rows, info);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < rows.rows; i++)
		if (!str_eq(rows.cells[i].t, "ok"))
			copy_problem(r, a, "", "", NULL,
			    "integrity check of '%s': %s",
			    copy_sqlite_db(db)->path, rows.cells[i].t);
	return copy_sqlite_check_references(db, a, r, info);
}

static enum err
copy_sqlite_space(struct copy_db *db, int64_t *used, int64_t *free_bytes,
    struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);
	struct arena *a = arena_new(0);
	struct copy_result rows;
	struct statvfs fs;

	enum err e = copy_sqlite_query(db,
	    "SELECT (SELECT page_count FROM pragma_page_count) * "
	    "(SELECT page_size FROM pragma_page_size)",
	    NULL, 0, "i", a, &rows, info);
	if (e == ERR_OK)
		*used = rows.cells[0].i;
	*free_bytes = statvfs(c->path, &fs) == 0
	    ? (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize)
	    : -1;
	arena_free(&a);
	return e;
}

static void
copy_sqlite_after(struct buf *b, const struct copy_table *t)
{
	buf_puts(b, " WHERE (");
	copy_sql_order(b, t, &copy_sqlite);
	buf_puts(b, ") > (");
	for (size_t i = 0; i < t->n_keys; i++)
		buf_printf(b, "%s$%zu", i > 0 ? ", " : "", i + 1);
	buf_puts(b, ")");
}

static enum err
copy_sqlite_scan(struct copy_db *db, const struct copy_table *t,
    const struct copy_value *after, struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);
	struct buf b;

	buf_init(&b, COPY_SQLITE_SQL_MAX);
	for (size_t i = 0; i < t->n_columns; i++) {
		buf_puts(&b, i > 0 ? ", " : "SELECT ");
		copy_sql_name(&b, t->columns[i].name);
	}
	buf_puts(&b, " FROM ");
	copy_sql_name(&b, t->name);
	if (after != NULL)
		copy_sqlite_after(&b, t);
	buf_puts(&b, " ORDER BY ");
	copy_sql_order(&b, t, &copy_sqlite);
	sqlite3_finalize(c->scan);
	c->scan = NULL;
	c->table = t;
	int code =
	    sqlite3_prepare_v2(c->handle, buf_text(&b), -1, &c->scan, NULL);
	buf_release(&b);
	if (code != SQLITE_OK)
		return copy_sqlite_error(c, info);
	for (size_t i = 0; after != NULL && i < t->n_keys; i++)
		copy_sqlite_bind(c->scan, (int)i + 1, &after[i]);
	return ERR_OK;
}

static enum err
copy_sqlite_next(struct copy_db *db, struct copy_value *row, bool *has,
    struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);
	int step = sqlite3_step(c->scan);
	enum err e = ERR_OK;

	*has = step == SQLITE_ROW;
	if (*has) {
		for (size_t i = 0; i < c->table->n_columns; i++)
			row[i] = copy_sqlite_value(
			    c->scan, (int)i, c->table->columns[i].kind);
		return ERR_OK;
	}
	if (step != SQLITE_DONE)
		e = copy_sqlite_error(c, info);
	sqlite3_finalize(c->scan);
	c->scan = NULL;
	return e;
}

static enum err
copy_sqlite_load(
    struct copy_db *db, const struct copy_table *t, struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);
	struct arena *a;

	if (c->load != NULL && c->table == t)
		return ERR_OK;
	sqlite3_finalize(c->load);
	c->load = NULL;
	c->table = t;
	a = arena_new(0);
	int code = sqlite3_prepare_v3(c->handle,
	    copy_sql_insert(a, t, &copy_sqlite, false), -1,
	    SQLITE_PREPARE_PERSISTENT, &c->load, NULL);
	arena_free(&a);
	return code == SQLITE_OK ? ERR_OK : copy_sqlite_error(c, info);
}

static enum err
copy_sqlite_put(
    struct copy_db *db, const struct copy_value *row, struct err_info *info)
{
	struct copy_sqlite_db *c = copy_sqlite_db(db);

	sqlite3_clear_bindings(c->load);
	for (size_t i = 0; i < c->table->n_columns; i++)
		copy_sqlite_bind(c->load, (int)i + 1, &row[i]);
	enum err e = sqlite3_step(c->load) == SQLITE_DONE
	    ? ERR_OK
	    : copy_sqlite_error(c, info);
	sqlite3_reset(c->load);
	return e;
}

static enum err
copy_sqlite_loaded(struct copy_db *db UNUSED, struct err_info *info UNUSED)
{
	return ERR_OK;
}

static void
copy_sqlite_trigger(struct buf *b, const struct copy_table *t, const char *on,
    const char *prefix)
{
	buf_puts(b, "CREATE TRIGGER IF NOT EXISTS ");
	copy_sql_name2(b, prefix, t->name);
	buf_printf(b, " AFTER %s ON ", on);
	copy_sql_name(b, t->name);
	buf_puts(b, " BEGIN ");
}

static void
copy_sqlite_note(struct buf *b, const struct copy_table *t, const char *row)
{
	buf_puts(b, "INSERT INTO " COPY_LOG " (tbl, key) SELECT ");
	copy_sql_text(b, t->name);
	buf_puts(b, ", json_array(");
	copy_sql_keys(b, t, row);
	buf_puts(b, ")");
}

static enum err
copy_sqlite_watch(struct copy_db *db, const struct copy_table *t,
    struct arena *a UNUSED, struct err_info *info)
{
	struct buf b;

	buf_init(&b, COPY_SQLITE_SQL_MAX);
	copy_sqlite_trigger(&b, t, "INSERT", COPY_PREFIX "insert_");
	copy_sqlite_note(&b, t, "NEW");
	buf_puts(&b, "; END; ");
	copy_sqlite_trigger(&b, t, "DELETE", COPY_PREFIX "delete_");
	copy_sqlite_note(&b, t, "OLD");
	buf_puts(&b, "; END; ");
	copy_sqlite_trigger(&b, t, "UPDATE", COPY_PREFIX "update_");
	copy_sqlite_note(&b, t, "OLD");
	buf_puts(&b, "; ");
	copy_sqlite_note(&b, t, "NEW");
	buf_puts(&b, " WHERE (");
	copy_sql_keys(&b, t, "NEW");
	buf_puts(&b, ") <> (");
	copy_sql_keys(&b, t, "OLD");
	buf_puts(&b, "); END");
	enum err e = copy_sqlite_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

/* The transaction that writes is the only one. */
static enum err
copy_sqlite_freeze(struct copy_db *db UNUSED,
    const struct copy_schema *s UNUSED, struct arena *a UNUSED,
    struct err_info *info UNUSED)
{
	return ERR_OK;
}

static enum err
copy_sqlite_unwatch(struct copy_db *db, const struct copy_table *t,
    struct arena *a UNUSED, struct err_info *info)
{
	static const char *const prefixes[] = {COPY_PREFIX "insert_",
	    COPY_PREFIX "delete_", COPY_PREFIX "update_"};
	struct buf b;

	buf_init(&b, COPY_SQLITE_SQL_MAX);
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		buf_puts(&b, "DROP TRIGGER IF EXISTS ");
		copy_sql_name2(&b, prefixes[i], t->name);
		buf_puts(&b, ";");
	}
	enum err e = copy_sqlite_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

/* Inserting a value counts it. */
static enum err
copy_sqlite_recount(struct copy_db *db UNUSED,
    const struct copy_table *t UNUSED, struct arena *a UNUSED,
    struct err_info *info UNUSED)
{
	return ERR_OK;
}

const struct copy_driver copy_sqlite = {
    .name = "sqlite",
    .begin_read = "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1",
    .begin_write = "BEGIN IMMEDIATE",
    .log_create =
	"CREATE TABLE " COPY_LOG " (n INTEGER PRIMARY KEY AUTOINCREMENT, "
	"tbl TEXT NOT NULL, key TEXT NOT NULL); "
	"CREATE INDEX " COPY_LOG "_key ON " COPY_LOG " (tbl, key)",
    /* One writes at a time, so that n rises in the order of commits. */
    .log_token = "SELECT CAST(coalesce(max(n), 0) AS TEXT) FROM " COPY_LOG,
    .log_clear = "DELETE FROM " COPY_LOG " WHERE n <= CAST($1 AS INTEGER)",
    .log_rest =
	"SELECT count(*) FROM " COPY_LOG " WHERE n > CAST($1 AS INTEGER)",
    .has_table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' "
		 "AND name = $1",
    .overriding = "",
    .key_collate = "BINARY",
    .open = copy_sqlite_open,
    .close = copy_sqlite_close,
    .describe = copy_sqlite_describe,
    .catalog = copy_sqlite_catalog,
    .check = copy_sqlite_check,
    .space = copy_sqlite_space,
    .exec = copy_sqlite_exec,
    .query = copy_sqlite_query,
    .scan = copy_sqlite_scan,
    .next = copy_sqlite_next,
    .load = copy_sqlite_load,
    .put = copy_sqlite_put,
    .loaded = copy_sqlite_loaded,
    .watch = copy_sqlite_watch,
    .freeze = copy_sqlite_freeze,
    .unwatch = copy_sqlite_unwatch,
    .recount = copy_sqlite_recount,
};
