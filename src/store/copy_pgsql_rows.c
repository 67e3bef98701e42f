/* SPDX-License-Identifier: MIT
 *
 * Rows come by COPY TO in binary, which is exact, and go by COPY FROM as text,
 * which any column takes.
 */
#include "store/copy_pgsql.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define COPY_PGSQL_SEND	  ((size_t)1 << 16)
#define COPY_PGSQL_HEADER 19 /* signature, flags, length of more */

/* ---- from the source ---- */

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

enum err
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

enum err
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

/* ---- into the target ---- */

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
enum err
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

enum err
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

enum err
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
