/* SPDX-License-Identifier: MIT
 *
 * The copy's side of PostgreSQL: rows come by COPY TO in binary, which is
 * exact, and go by COPY FROM as text, which any column takes. Safe behind a
 * transaction-mode pooler.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/copy_db.h"

#define COPY_PGSQL_SQL_MAX (1 << 20)
#define COPY_PGSQL_ROW_MAX ((size_t)1 << 30)
#define COPY_PGSQL_SEND	   ((size_t)1 << 16)
#define COPY_PGSQL_PARAMS  (2 * COPY_COLUMNS_MAX)
#define COPY_PGSQL_NUMBER  40
#define COPY_PGSQL_HEADER  19 /* signature, flags, length of more */

struct copy_pgsql_db {
	struct copy_db base;
	PGconn *handle;
	const struct copy_table *table; /* of the scan or the load */
	char *data;			/* of the row a scan gave */
	bool is_begun;			/* the scan's header is read */
	struct buf out;			/* rows to be sent */
};

static struct copy_pgsql_db *
copy_pgsql_db(struct copy_db *db)
{
	return CONTAINER_OF(db, struct copy_pgsql_db, base);
}

static enum err
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

static enum err
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

static enum err
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

static enum err
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

static enum err
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

static enum err
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

static void
copy_pgsql_literal(
    struct copy_pgsql_db *c, struct buf *b, const struct copy_value *v)
{
	if (v->kind == COPY_INT) {
		buf_printf(b, "CAST('%lld' AS bigint)", (long long)v->i);
		return;
	}
	char *quoted = PQescapeLiteral(c->handle, v->t, v->len);
	buf_puts(b, quoted != NULL ? quoted : "NULL");
	PQfreemem(quoted);
}

static void
copy_pgsql_after(struct copy_pgsql_db *c, struct buf *b,
    const struct copy_table *t, const struct copy_value *key)
{
	buf_puts(b, " WHERE (");
	copy_sql_order(b, t, &copy_pgsql);
	buf_puts(b, ") > (");
	for (size_t i = 0; i < t->n_keys; i++) {
		buf_puts(b, i > 0 ? ", " : "");
		copy_pgsql_literal(c, b, &key[i]);
	}
	buf_puts(b, ")");
}

static void
copy_pgsql_select(struct buf *b, const struct copy_table *t)
{
	static const char *const types[] = {[COPY_INT] = "bigint",
	    [COPY_DOUBLE] = "double precision",
	    [COPY_TEXT] = "text"};

	for (size_t i = 0; i < t->n_columns; i++) {
		buf_puts(b, i > 0 ? ", CAST(" : "SELECT CAST(");
		copy_sql_name(b, t->columns[i].name);
		buf_printf(b, " AS %s)", types[t->columns[i].kind]);
	}
	buf_puts(b, " FROM ");
	copy_sql_name(b, t->name);
}

static enum err
copy_pgsql_scan(struct copy_db *db, const struct copy_table *t,
    const struct copy_value *after, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);
	enum err e = ERR_OK;
	struct buf b;

	buf_init(&b, COPY_PGSQL_SQL_MAX);
	buf_puts(&b, "COPY (");
	copy_pgsql_select(&b, t);
	if (after != NULL)
		copy_pgsql_after(c, &b, t, after);
	buf_puts(&b, " ORDER BY ");
	copy_sql_order(&b, t, &copy_pgsql);
	buf_puts(&b, ") TO STDOUT (FORMAT binary)");
	PGresult *res = PQexec(c->handle, buf_text(&b));
	if (PQresultStatus(res) != PGRES_COPY_OUT)
		e = copy_pgsql_error(c, res, info);
	PQclear(res);
	buf_release(&b);
	c->table = t;
	c->is_begun = false;
	return e;
}

static uint64_t
copy_pgsql_number(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* A field at p; false when it does not end before `end`. */
static bool
copy_pgsql_field(const unsigned char **p, const unsigned char *end,
    enum copy_kind kind, struct copy_value *v)
{
	*v = (struct copy_value){.kind = kind};
	if (end - *p < 4)
		return false;
	uint64_t len = copy_pgsql_number(*p, 4);
	*p += 4;
	v->is_null = len == UINT32_MAX;
	if (v->is_null)
		return true;
	if (len > (uint64_t)(end - *p) || (kind != COPY_TEXT && len != 8))
		return false;
	uint64_t bits = kind != COPY_TEXT ? copy_pgsql_number(*p, 8) : 0;
	switch (kind) {
	case COPY_INT:
		v->i = (int64_t)bits;
		break;
	case COPY_DOUBLE:
		memcpy(&v->d, &bits, sizeof(v->d));
		break;
	case COPY_TEXT:
		v->t = (const char *)*p;
		v->len = (size_t)len;
		break;
	}
	*p += len;
	return true;
}

static bool
copy_pgsql_row(
    struct copy_pgsql_db *c, int len, struct copy_value *row, bool *is_trailer)
{
	const unsigned char *p = (const unsigned char *)c->data;
	const unsigned char *end = p + len;
	size_t n = c->table->n_columns;

	if (!c->is_begun) {
		if (len < COPY_PGSQL_HEADER)
			return false;
		p += COPY_PGSQL_HEADER;
		c->is_begun = true;
	}
	if (end - p < 2)
		return false;
	*is_trailer = copy_pgsql_number(p, 2) == UINT16_MAX;
	if (*is_trailer)
		return true;
	if (copy_pgsql_number(p, 2) != n)
		return false;
	p += 2;
	for (size_t i = 0; i < n; i++)
		if (!copy_pgsql_field(
			&p, end, c->table->columns[i].kind, &row[i]))
			return false;
	return p == end;
}

/* The command's own end, after its data. */
static enum err
copy_pgsql_finish(struct copy_pgsql_db *c, struct err_info *info)
{
	enum err e = ERR_OK;
	PGresult *res;

	while ((res = PQgetResult(c->handle)) != NULL) {
		ExecStatusType status = PQresultStatus(res);
		if (e == ERR_OK && status != PGRES_COMMAND_OK)
			e = copy_pgsql_error(c, res, info);
		PQclear(res);
		if (PQstatus(c->handle) == CONNECTION_BAD)
			break;
	}
	return e;
}

static enum err
copy_pgsql_next(struct copy_db *db, struct copy_value *row, bool *has,
    struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);
	bool is_trailer = false;

	*has = false;
	do {
		PQfreemem(c->data);
		c->data = NULL;
		int len = PQgetCopyData(c->handle, &c->data, 0);
		if (len < 0)
			return copy_pgsql_finish(c, info);
		if (!copy_pgsql_row(c, len, row, &is_trailer))
			return err_set(info, ERR_SYNTAX, "",
			    "a row from PostgreSQL cannot be read");
	} while (is_trailer);
	*has = true;
	return ERR_OK;
}

static enum err
copy_pgsql_force(struct copy_db *db, const struct copy_table *t, bool is_on,
    struct err_info *info)
{
	struct buf b;

	if (!t->is_forced)
		return ERR_OK;
	buf_init(&b, COPY_PGSQL_SQL_MAX);
	buf_puts(&b, "ALTER TABLE ");
	copy_sql_name(&b, t->name);
	buf_puts(&b,
	    is_on ? " FORCE ROW LEVEL SECURITY"
		  : " NO FORCE ROW LEVEL SECURITY");
	enum err e = copy_pgsql_exec(db, buf_text(&b), info);
	buf_release(&b);
	return e;
}

/* COPY FROM refuses a role that row level security holds, even one that may
 * write every row: the owner is let through until the transaction ends. */
static enum err
copy_pgsql_load(
    struct copy_db *db, const struct copy_table *t, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);
	struct buf b;

	enum err e = copy_pgsql_force(db, t, false, info);
	if (e != ERR_OK)
		return e;
	buf_init(&b, COPY_PGSQL_SQL_MAX);
	buf_puts(&b, "COPY ");
	copy_sql_name(&b, t->name);
	for (size_t i = 0; i < t->n_columns; i++) {
		buf_puts(&b, i > 0 ? ", " : " (");
		copy_sql_name(&b, t->columns[i].name);
	}
	buf_puts(&b, ") FROM STDIN");
	PGresult *res = PQexec(c->handle, buf_text(&b));
	if (PQresultStatus(res) != PGRES_COPY_IN)
		e = copy_pgsql_error(c, res, info);
	PQclear(res);
	buf_release(&b);
	buf_clear(&c->out);
	c->table = t;
	return e;
}

static enum err
copy_pgsql_send(struct copy_pgsql_db *c, struct err_info *info)
{
	if (c->out.is_overflowed)
		return err_set(
		    info, ERR_TOO_LARGE, c->table->name, "a row is too large");
	if (c->out.len > 0 &&
	    PQputCopyData(c->handle, c->out.data, (int)c->out.len) != 1)
		return copy_pgsql_error(c, NULL, info);
	buf_clear(&c->out);
	return ERR_OK;
}

static void
copy_pgsql_escape(struct buf *b, const char *text, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		char letter = c == '\\' ? '\\'
		    : c == '\n'		? 'n'
		    : c == '\r'		? 'r'
		    : c == '\t'		? 't'
					: '\0';
		if (letter == '\0')
			continue;
		buf_append(b, text + start, i - start);
		buf_putc(b, '\\');
		buf_putc(b, letter);
		start = i + 1;
	}
	buf_append(b, text + start, len - start);
}

static enum err
copy_pgsql_put(
    struct copy_db *db, const struct copy_value *row, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);

	for (size_t i = 0; i < c->table->n_columns; i++) {
		const struct copy_value *v = &row[i];
		if (i > 0)
			buf_putc(&c->out, '\t');
		if (v->is_null) {
			buf_puts(&c->out, "\\N");
			continue;
		}
		switch (v->kind) {
		case COPY_INT:
			buf_printf(&c->out, "%lld", (long long)v->i);
			break;
		case COPY_DOUBLE:
			buf_printf(&c->out, "%.17g", v->d);
			break;
		case COPY_TEXT:
			copy_pgsql_escape(&c->out, v->t, v->len);
			break;
		}
	}
	buf_putc(&c->out, '\n');
	if (c->out.len < COPY_PGSQL_SEND && !c->out.is_overflowed)
		return ERR_OK;
	return copy_pgsql_send(c, info);
}

static enum err
copy_pgsql_loaded(struct copy_db *db, struct err_info *info)
{
	struct copy_pgsql_db *c = copy_pgsql_db(db);

	enum err e = copy_pgsql_send(c, info);
	if (e == ERR_OK && PQputCopyEnd(c->handle, NULL) != 1)
		e = copy_pgsql_error(c, NULL, info);
	if (e == ERR_OK)
		e = copy_pgsql_finish(c, info);
	return e == ERR_OK ? copy_pgsql_force(db, c->table, true, info) : e;
}

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

static enum err
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

static enum err
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

static enum err
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

static enum err
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
