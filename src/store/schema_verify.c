/* SPDX-License-Identifier: MIT
 *
 * Is the database what its migrations make? They are run again where nobody
 * sees it, and the two results are compared, definition by definition.
 */
#include "store/schema.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "store/migrate.h"

/* Of the schema that is rolled back: no name that a definition could hold. */
#define SCHEMA_SCRATCH "aragora_migrate_scratch"
/* A version's text, for the migrations that run again. */
#define SCHEMA_SQL_MAX (1 << 20)

struct schema_compare {
	struct arena *a;
	struct schema_difference *rows;
	size_t n;
};

static void
schema_add(struct schema_compare *c, struct schema_difference d)
{
	c->rows[c->n++] = d;
}

/* What is wrong with the history itself; pending is not wrong. */
static const char *
schema_fault(const struct schema_row *row, int64_t have)
{
	if (row->sql == NULL)
		return "unexpected";
	if (row->is_altered)
		return "altered";
	return !row->is_applied && row->version < have ? "missing" : NULL;
}

static void
schema_history(struct schema_compare *c, const struct schema_row *rows,
    size_t n, int64_t have)
{
	for (size_t i = 0; i < n; i++) {
		const char *fault = schema_fault(&rows[i], have);
		if (fault == NULL)
			continue;
		schema_add(c,
		    (struct schema_difference){.what = fault,
			.kind = "migration",
			.table = "",
			.name = arena_printf(c->a, "%lld %s",
			    (long long)rows[i].version, rows[i].name)});
	}
}

/* ---- two catalogues, each in order of kind, table, name ---- */

static int
schema_order(
    const struct db_result *x, size_t i, const struct db_result *y, size_t k)
{
	if (i == x->rows || k == y->rows)
		return i == x->rows ? 1 : -1;
	for (int column = 0; column < 3; column++) {
		int order =
		    strcmp(db_text(x, i, column), db_text(y, k, column));
		if (order != 0)
			return order;
	}
	return 0;
}

/* Things beside ours are none of our business; things on our tables are. */
static bool
schema_is_ours(
    const struct db_result *want, const struct db_result *r, size_t row)
{
	if (str_eq(db_text(r, row, 0), "table"))
		return false;
	for (size_t i = 0; i < want->rows; i++)
		if (str_eq(db_text(want, i, 0), "table") &&
		    str_eq(db_text(want, i, 1), db_text(r, row, 1)))
			return true;
	return false;
}

static void
schema_differ(struct schema_compare *c, const char *what,
    const struct db_result *r, size_t row, const char *want, const char *have)
{
	schema_add(c,
	    (struct schema_difference){.what = what,
		.kind = db_text(r, row, 0),
		.table = db_text(r, row, 1),
		.name = db_text(r, row, 2),
		.want = want,
		.have = have});
}

static void
schema_compare(struct schema_compare *c, const struct db_result *want,
    const struct db_result *have)
{
	for (size_t i = 0, k = 0; i < want->rows || k < have->rows;) {
		int order = schema_order(want, i, have, k);
		if (order < 0) {
			schema_differ(
			    c, "missing", want, i, db_text(want, i, 3), NULL);
		} else if (order > 0) {
			if (schema_is_ours(want, have, k))
				schema_differ(c, "unexpected", have, k, NULL,
				    db_text(have, k, 3));
		} else if (!str_eq(db_text(want, i, 3), db_text(have, k, 3))) {
			schema_differ(c, "different", want, i,
			    db_text(want, i, 3), db_text(have, k, 3));
		}
		i += order <= 0;
		k += order >= 0;
	}
}

/* ---- the migrations again ---- */

/* In a transaction, on tables without rows, an index needs no concurrency. */
static const char *
schema_plain(struct arena *a, const char *sql)
{
	static const char word[] = " CONCURRENTLY";
	struct buf b;

	buf_init(&b, SCHEMA_SQL_MAX);
	for (const char *at; (at = strstr(sql, word)) != NULL;) {
		buf_printf(&b, "%.*s", (int)(at - sql), sql);
		sql = at + strlen(word);
	}
	buf_printf(&b, "%s", sql);
	const char *plain = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return plain;
}

/* All up to the newest that was applied. */
static enum err
schema_replay(struct db *db, struct arena *a, const struct schema_row *rows,
    size_t n, struct err_info *info)
{
	enum err e = migrate_make_table(db, a, info);
	int64_t have = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].is_applied)
			have = rows[i].version;
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (rows[i].sql != NULL && rows[i].version <= have)
			e = db->driver->script(db,
			    rows[i].is_alone ? schema_plain(a, rows[i].sql)
					     : rows[i].sql,
			    info);
	return e;
}

static enum err
schema_shape(struct db *db, struct arena *a, const char *where,
    const char *called, struct db_result *out, struct err_info *info)
{
	enum err e = DB_RUN(
	    db, STMT_SCHEMA_SHAPE, a, out, DB_TEXT(where), DB_TEXT(called));
	return e == ERR_OK ? e : migrate_failed(db, e, info);
}

static enum err
schema_scratch_sqlite(struct arena *a, const struct schema_row *rows, size_t n,
    struct db_result *out, struct err_info *info)
{
	struct db *db = NULL;

	enum err e = db_sqlite.open(
	    &db, &(struct db_options){.target = ":memory:"}, info);
	if (e == ERR_OK)
		e = schema_replay(db, a, rows, n, info);
	if (e == ERR_OK)
		e = schema_shape(db, a, "main", "main", out, info);
	if (db != NULL)
		db_sqlite.close(db);
	return e;
}

/* In db's transaction, which is rolled back. */
static enum err
schema_scratch_pgsql(struct db *db, struct arena *a, const char *called,
    const struct schema_row *rows, size_t n, struct db_result *out,
    struct err_info *info)
{
	enum err e = db->driver->script(db,
	    "CREATE SCHEMA " SCHEMA_SCRATCH
	    "; SET LOCAL search_path = " SCHEMA_SCRATCH,
	    info);
	if (e == ERR_OK)
		e = schema_replay(db, a, rows, n, info);
	return e == ERR_OK
	    ? schema_shape(db, a, SCHEMA_SCRATCH, called, out, info)
	    : e;
}

/* ---- the whole ---- */

static enum err
schema_is_known(const struct store_schema *schema, struct err_info *info)
{
	if (schema->have == 0)
		return err_set(info, ERR_SCHEMA, "",
		    "the database is empty: run `aragora migrate`");
	if (schema->have <= schema->want)
		return ERR_OK;
	return err_set(info, ERR_SCHEMA, "",
	    "database schema is version %lld, newer than the %lld this program "
	    "knows: verify it with the program that made it",
	    (long long)schema->have, (long long)schema->want);
}

/* In the transaction that was begun. */
static enum err
schema_verify_tx(struct db *db, struct schema_compare *c,
    struct store_schema *out, struct err_info *info)
{
	struct db_result where, have = {0}, want = {0};
	struct schema_row *rows;
	size_t n;

	enum err e = schema_read(db, c->a, out, &rows, &n, info);
	if (e == ERR_OK)
		e = schema_is_known(out, info);
	if (e != ERR_OK)
		return e;
	e = db_run(db, STMT_SCHEMA_WHERE, NULL, 0, c->a, &where);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	const char *name = db_text(&where, 0, 0);
	e = schema_shape(db, c->a, name, name, &have, info);
	if (e == ERR_OK)
		e = db->driver == &db_sqlite
		    ? schema_scratch_sqlite(c->a, rows, n, &want, info)
		    : schema_scratch_pgsql(
			  db, c->a, name, rows, n, &want, info);
	if (e != ERR_OK)
		return e;
	c->rows = ARENA_ARRAY(
	    c->a, n + have.rows + want.rows + 1, struct schema_difference);
	schema_history(c, rows, n, out->have);
	schema_compare(c, &want, &have);
	return ERR_OK;
}

enum err
schema_verify(const struct settings *settings, struct arena *a,
    struct store_schema *out, struct schema_difference **rows, size_t *n,
    struct err_info *info)
{
	struct schema_compare c = {.a = a};
	struct db *db = NULL;

	store_schema_range(out);
	enum err e = migrate_connect(settings, false, &db, info);
	if (e == ERR_NOT_FOUND)
		return schema_is_known(out, info);
	if (e == ERR_OK)
		e = migrate_begin(db, info);
	if (e == ERR_OK) {
		e = schema_verify_tx(db, &c, out, info);
		db_rollback(db);
	}
	if (db != NULL)
		db->driver->close(db);
	*rows = c.rows;
	*n = c.n;
	return e;
}
