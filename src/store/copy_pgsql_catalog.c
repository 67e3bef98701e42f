/* SPDX-License-Identifier: MIT
 *
 * What PostgreSQL says of itself: tables, rights, damage and room.
 */
#include "store/copy_pgsql.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static bool
copy_pgsql_kind(const char *type, struct copy_column *col)
{
	static const struct {
		const char *name;
		enum copy_kind kind;
		int bits;
	} map[] = {{"int8", COPY_INT, 64}, {"int4", COPY_INT, 32},
	    {"int2", COPY_INT, 16}, {"float8", COPY_DOUBLE, 64},
	    {"text", COPY_TEXT, 0}, {"varchar", COPY_TEXT, 0}};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (str_eq(type, map[i].name)) {
			col->kind = map[i].kind;
			col->bits = map[i].bits;
			return true;
		}
	return false;
}

static void
copy_pgsql_column(struct copy_table *t, const struct copy_value *cells,
    struct arena *a, struct copy_report *r)
{
	struct copy_column *col = &t->columns[t->n_columns];
	int64_t place = cells[4].i;

	if (t->n_columns == COPY_COLUMNS_MAX || place > COPY_KEYS_MAX) {
		copy_problem(r, a, t->name, cells[1].t, NULL,
		    "there are too many columns");
		return;
	}
	*col = (struct copy_column){.name = cells[1].t,
	    .is_not_null = cells[3].i != 0,
	    .is_counted = cells[5].i != 0};
	if (!copy_pgsql_kind(cells[2].t, col))
		copy_problem(r, a, t->name, col->name, NULL,
		    "the type '%s' cannot be copied", cells[2].t);
	t->is_forced = cells[6].i != 0;
	if (place > 0) {
		t->keys[place - 1] = t->n_columns;
		t->n_keys++;
	}
	t->n_columns++;
}

/* Ordinary and partitioned tables of the first schema of the search path. */
#define COPY_PGSQL_TABLES                                                      \
	"c.relnamespace = CAST(current_schema() AS regnamespace) AND "         \
	"c.relkind IN ('r', 'p') AND NOT c.relispartition AND "                \
	"left(c.relname, 13) <> '" COPY_PREFIX "' AND "                        \
	"c.relname <> '" COPY_NOT_OURS "'"

static enum err
copy_pgsql_parents(struct copy_db *db, struct arena *a, struct copy_schema *out,
    struct err_info *info)
{
	struct copy_result rows;

	enum err e = copy_pgsql_query(db,
	    "SELECT DISTINCT c.relname, p.relname FROM pg_constraint f "
	    "JOIN pg_class c ON c.oid = f.conrelid "
	    "JOIN pg_class p ON p.oid = f.confrelid "
	    "WHERE f.contype = 'f' AND " COPY_PGSQL_TABLES,
	    NULL, 0, "tt", a, &rows, info);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++)
		for (size_t k = 0; k < out->n_tables; k++) {
			struct copy_table *t = out->tables[k];
			if (str_eq(t->name, rows.cells[2 * i].t) &&
			    t->n_parents < COPY_COLUMNS_MAX)
				t->parents[t->n_parents++] =
				    rows.cells[2 * i + 1].t;
		}
	return e;
}

enum err
copy_pgsql_catalog(struct copy_db *db, struct arena *a, struct copy_schema *out,
    struct copy_report *r, struct err_info *info)
{
	struct copy_result rows;
	struct copy_table *t = NULL;

	enum err e = copy_pgsql_query(db,
	    "SELECT c.relname, a.attname, y.typname, "
	    "CAST(a.attnotnull AS int), "
	    "coalesce(array_position(CAST(i.indkey AS smallint[]), a.attnum) "
	    "+ 1, 0), "
	    "CAST(pg_get_serial_sequence(quote_ident(c.relname), a.attname) "
	    "IS NOT NULL AS int), CAST(row_security_active(c.oid) AS int) "
	    "FROM pg_class c "
	    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
	    "AND NOT a.attisdropped AND a.attgenerated = '' "
	    "JOIN pg_type y ON y.oid = a.atttypid "
	    "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
	    "WHERE " COPY_PGSQL_TABLES
	    " ORDER BY c.relname COLLATE \"C\", a.attnum",
	    NULL, 0, "tttiiii", a, &rows, info);
	if (e != ERR_OK)
		return e;
	out->tables = ARENA_ARRAY(a, rows.rows + 1, struct copy_table *);
	for (size_t i = 0; i < rows.rows; i++) {
		const struct copy_value *cells = &rows.cells[i * rows.columns];
		if (t == NULL || !str_eq(t->name, cells[0].t)) {
			t = ARENA_NEW(a, struct copy_table);
			t->name = cells[0].t;
			out->tables[out->n_tables++] = t;
		}
		copy_pgsql_column(t, cells, a, r);
	}
	return copy_pgsql_parents(db, a, out, info);
}

/* Row level security shows a role without a policy an empty table: what it
 * would copy, or take for an empty target, must be all there is. */
static enum err
copy_pgsql_check_rights(struct copy_db *db, bool is_writing, struct arena *a,
    struct copy_report *r, struct err_info *info)
{
	struct copy_result rows;

	enum err e = copy_pgsql_query(db,
	    "SELECT c.relname, CAST(pg_has_role(c.relowner, 'USAGE') AS int), "
	    "CAST(NOT row_security_active(c.oid) OR EXISTS (SELECT FROM "
	    "pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND "
	    "p.polcmd = '*' AND pg_get_expr(p.polqual, c.oid) = 'true' AND "
	    "EXISTS (SELECT FROM unnest(p.polroles) AS o (role) WHERE "
	    "CASE WHEN o.role = 0 THEN true "
	    "ELSE pg_has_role(o.role, 'USAGE') END)) AS int), "
	    "CAST(has_table_privilege(c.oid, 'SELECT') AS int) "
	    "FROM pg_class c WHERE " COPY_PGSQL_TABLES " ORDER BY 1",
	    NULL, 0, "tiii", a, &rows, info);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++) {
		const struct copy_value *cell = &rows.cells[i * rows.columns];
		if (cell[3].i == 0 || cell[2].i == 0)
			copy_problem(r, a, cell[0].t, "", NULL,
			    "role '%s' does not see all rows%s: run the copy "
			    "as the role that owns the tables",
			    PQuser(copy_pgsql_db(db)->handle),
			    cell[3].i != 0 ? " (row level security)" : "");
		else if (is_writing && cell[1].i == 0)
			copy_problem(r, a, cell[0].t, "", NULL,
			    "role '%s' does not own the table: run the copy as "
			    "the role that does",
			    PQuser(copy_pgsql_db(db)->handle));
	}
	return e;
}

enum err
copy_pgsql_check(struct copy_db *db, const struct copy_schema *s UNUSED,
    bool is_source, bool is_writing, struct arena *a, struct copy_report *r,
    struct err_info *info)
{
	const char *encoding =
	    PQparameterStatus(copy_pgsql_db(db)->handle, "server_encoding");
	struct copy_result rows;

	if (!str_eq(encoding, "UTF8"))
		copy_problem(r, a, "", "", NULL,
		    "the encoding of the PostgreSQL database is %s, not UTF8",
		    encoding != NULL ? encoding : "unknown");
	enum err e = copy_pgsql_check_rights(db, is_writing, a, r, info);
	if (e != ERR_OK || !is_source)
		return e;
	e = copy_pgsql_query(db,
	    "SELECT c.relname, f.conname FROM pg_constraint f "
	    "JOIN pg_class c ON c.oid = f.conrelid WHERE f.contype = 'f' "
	    "AND NOT f.convalidated AND " COPY_PGSQL_TABLES,
	    NULL, 0, "tt", a, &rows, info);
	for (size_t i = 0; e == ERR_OK && i < rows.rows; i++)
		copy_problem(r, a, rows.cells[2 * i].t, "", NULL,
		    "the foreign key '%s' is not validated",
		    rows.cells[2 * i + 1].t);
	return e;
}

enum err
copy_pgsql_space(struct copy_db *db, int64_t *used, int64_t *free_bytes,
    struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct copy_result rows;

	*free_bytes = -1; /* the server does not tell */
	enum err e = copy_pgsql_query(db,
	    "SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c "
	    "WHERE " COPY_PGSQL_TABLES,
	    NULL, 0, "i", a, &rows, info);
	if (e == ERR_OK)
		*used = rows.cells[0].i;
	arena_free(&a);
	return e;
}
