/* SPDX-License-Identifier: MIT
 *
 * Triggers that write down what changes in a source while it is copied, and
 * how it is held still at the end.
 */
#include "store/copy_pgsql.h"

#include <stdlib.h>

#include "base/mem.h"

static void
copy_pgsql_note(struct buf *b, const struct copy_table *t, const char *row)
{
	buf_puts(b, "INSERT INTO " COPY_LOG " (tbl, key) VALUES (");
	copy_sql_text(b, t->name);
	buf_puts(b, ", CAST(json_build_array(");
	copy_sql_keys(b, t, row);
	buf_puts(b, ") AS text)); ");
}

static void
copy_pgsql_function(struct buf *b, const struct copy_table *t)
{
	buf_puts(b, "CREATE OR REPLACE FUNCTION ");
	copy_sql_name2(b, COPY_PREFIX, t->name);
	/* The service's role may not write the log itself. */
	buf_puts(b,
	    "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
	    "$copy$ BEGIN IF TG_OP <> 'INSERT' THEN ");
	copy_pgsql_note(b, t, "OLD");
	buf_puts(b, "END IF; IF TG_OP = 'INSERT' THEN ");
	copy_pgsql_note(b, t, "NEW");
	buf_puts(b, "ELSIF TG_OP = 'UPDATE' THEN IF (");
	copy_sql_keys(b, t, "NEW");
	buf_puts(b, ") <> (");
	copy_sql_keys(b, t, "OLD");
	buf_puts(b, ") THEN ");
	copy_pgsql_note(b, t, "NEW");
	buf_puts(b,
	    "END IF; END IF; RETURN NULL; END $copy$; "
	    "DO $do$ BEGIN EXECUTE format('ALTER FUNCTION %I() SET "
	    "search_path = pg_catalog, %I, pg_temp', ");
	char *name = mem_printf("%s%s", COPY_PREFIX, t->name);
	copy_sql_text(b, name);
	free(name);
	buf_puts(b, ", current_schema()); END $do$; ");
}

enum err
copy_pgsql_watch(struct copy_db *db, const struct copy_table *t,
    struct arena *a UNUSED, struct err_info *info)
{
	struct buf b;

	buf_init(&b, COPY_PGSQL_SQL_MAX);
	copy_pgsql_function(&b, t);
	buf_puts(&b,
	    "CREATE OR REPLACE TRIGGER " COPY_PREFIX
	    "watch AFTER INSERT OR UPDATE OR DELETE ON ");
	copy_sql_name(&b, t->name);
	buf_puts(&b, " FOR EACH ROW EXECUTE FUNCTION ");
	copy_sql_name2(&b, COPY_PREFIX, t->name);
	buf_puts(&b, "()");
	enum err e = copy_pgsql_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

enum err
copy_pgsql_freeze(struct copy_db *db, const struct copy_schema *s,
    struct arena *a UNUSED, struct err_info *info)
{
	struct buf b;

	buf_init(&b, COPY_PGSQL_SQL_MAX);
	/* Shorter than deadlock_timeout, so that it is never a request of the
	 * service that a deadlock ends. */
	buf_puts(&b, "SET LOCAL lock_timeout = '300ms'; LOCK TABLE ");
	for (size_t i = 0; i < s->n_tables; i++) {
		buf_puts(&b, i > 0 ? ", " : "");
		copy_sql_name(&b, s->tables[i]->name);
	}
	buf_puts(&b, " IN SHARE ROW EXCLUSIVE MODE");
	enum err e = copy_pgsql_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

enum err
copy_pgsql_unwatch(struct copy_db *db, const struct copy_table *t,
    struct arena *a UNUSED, struct err_info *info)
{
	struct buf b;

	buf_init(&b, COPY_PGSQL_SQL_MAX);
	buf_puts(&b, "DROP TRIGGER IF EXISTS " COPY_PREFIX "watch ON ");
	copy_sql_name(&b, t->name);
	buf_puts(&b, "; DROP FUNCTION IF EXISTS ");
	copy_sql_name2(&b, COPY_PREFIX, t->name);
	buf_puts(&b, "()");
	enum err e = copy_pgsql_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

enum err
copy_pgsql_recount(struct copy_db *db, const struct copy_table *t,
    struct arena *a, struct err_info *info)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < t->n_columns; i++) {
		const struct copy_value names[] = {
		    copy_text(t->name), copy_text(t->columns[i].name)};
		struct buf b;
		if (!t->columns[i].is_counted)
			continue;
		buf_init(&b, COPY_PGSQL_SQL_MAX);
		buf_puts(&b,
		    "SELECT setval(CAST(pg_get_serial_sequence("
		    "quote_ident($1), $2) AS regclass), "
		    "coalesce(max(");
		copy_sql_name(&b, t->columns[i].name);
		buf_puts(&b, "), 1), count(*) > 0) FROM ");
		copy_sql_name(&b, t->name);
		e = copy_pgsql_query(
		    db, buf_text(&b), names, 2, "i", a, NULL, info);
		buf_release(&b);
	}
	return e;
}
