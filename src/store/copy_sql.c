/* SPDX-License-Identifier: MIT
 *
 * The statements of the copy that are made from the catalog. Names are always
 * quoted; values are parameters, $1, $2, ... in order.
 */
#include <string.h>

#include "store/copy_db.h"

#define COPY_SQL_MAX (1 << 20)

static void
copy_sql_quote(struct buf *b, const char *text, char quote)
{
	for (; *text != '\0'; text++) {
		if (*text == quote)
			buf_putc(b, quote);
		buf_putc(b, *text);
	}
}

void
copy_sql_name2(struct buf *b, const char *prefix, const char *name)
{
	buf_putc(b, '"');
	copy_sql_quote(b, prefix, '"');
	copy_sql_quote(b, name, '"');
	buf_putc(b, '"');
}

void
copy_sql_name(struct buf *b, const char *name)
{
	copy_sql_name2(b, "", name);
}

void
copy_sql_text(struct buf *b, const char *text)
{
	buf_putc(b, '\'');
	copy_sql_quote(b, text, '\'');
	buf_putc(b, '\'');
}

void
copy_sql_keys(struct buf *b, const struct copy_table *t, const char *row)
{
	for (size_t i = 0; i < t->n_keys; i++) {
		buf_printf(b, "%s%s.", i > 0 ? ", " : "", row);
		copy_sql_name(b, t->columns[t->keys[i]].name);
	}
}

/* Texts in the order of their bytes, whatever the database prefers. */
static void
copy_sql_key(struct buf *b, const struct copy_column *k, const char *collate)
{
	copy_sql_name(b, k->name);
	if (k->kind == COPY_TEXT)
		buf_printf(b, " COLLATE %s", collate);
}

void
copy_sql_order(
    struct buf *b, const struct copy_table *t, const struct copy_driver *d)
{
	for (size_t i = 0; i < t->n_keys; i++) {
		buf_puts(b, i > 0 ? ", " : "");
		copy_sql_key(b, &t->columns[t->keys[i]], d->key_collate);
	}
}

static void
copy_sql_columns(struct buf *b, const struct copy_table *t)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		buf_puts(b, i > 0 ? ", " : "");
		copy_sql_name(b, t->columns[i].name);
	}
}

static void
copy_sql_where_key(struct buf *b, const struct copy_table *t)
{
	buf_puts(b, " WHERE ");
	for (size_t i = 0; i < t->n_keys; i++) {
		buf_puts(b, i > 0 ? " AND " : "");
		copy_sql_name(b, t->columns[t->keys[i]].name);
		buf_printf(b, " = $%zu", i + 1);
	}
}

static const char *
copy_sql_done(struct arena *a, struct buf *b)
{
	const char *text = arena_strdup(a, buf_text(b));

	buf_release(b);
	return text;
}

const char *
copy_sql_fetch(struct arena *a, const struct copy_table *t)
{
	struct buf b;

	buf_init(&b, COPY_SQL_MAX);
	buf_puts(&b, "SELECT ");
	copy_sql_columns(&b, t);
	buf_puts(&b, " FROM ");
	copy_sql_name(&b, t->name);
	copy_sql_where_key(&b, t);
	return copy_sql_done(a, &b);
}

const char *
copy_sql_remove(struct arena *a, const struct copy_table *t)
{
	struct buf b;

	buf_init(&b, COPY_SQL_MAX);
	buf_puts(&b, "DELETE FROM ");
	copy_sql_name(&b, t->name);
	copy_sql_where_key(&b, t);
	return copy_sql_done(a, &b);
}

static bool
copy_sql_is_key(const struct copy_table *t, size_t column)
{
	for (size_t i = 0; i < t->n_keys; i++)
		if (t->keys[i] == column)
			return true;
	return false;
}

static void
copy_sql_upsert(struct buf *b, const struct copy_table *t)
{
	const char *before = ") DO UPDATE SET ";

	buf_puts(b, " ON CONFLICT (");
	for (size_t i = 0; i < t->n_keys; i++) {
		buf_puts(b, i > 0 ? ", " : "");
		copy_sql_name(b, t->columns[t->keys[i]].name);
	}
	if (t->n_keys == t->n_columns) {
		buf_puts(b, ") DO NOTHING");
		return;
	}
	for (size_t i = 0; i < t->n_columns; i++) {
		if (copy_sql_is_key(t, i))
			continue;
		buf_puts(b, before);
		copy_sql_name(b, t->columns[i].name);
		buf_puts(b, " = excluded.");
		copy_sql_name(b, t->columns[i].name);
		before = ", ";
	}
}

const char *
copy_sql_insert(struct arena *a, const struct copy_table *t,
    const struct copy_driver *d, bool is_upsert)
{
	struct buf b;

	buf_init(&b, COPY_SQL_MAX);
	buf_puts(&b, "INSERT INTO ");
	copy_sql_name(&b, t->name);
	buf_puts(&b, " (");
	copy_sql_columns(&b, t);
	buf_printf(&b, ") %sVALUES (", d->overriding);
	for (size_t i = 0; i < t->n_columns; i++)
		buf_printf(&b, "%s$%zu", i > 0 ? ", " : "", i + 1);
	buf_puts(&b, ")");
	if (is_upsert)
		copy_sql_upsert(&b, t);
	return copy_sql_done(a, &b);
}

const char *
copy_sql_kinds(struct arena *a, const struct copy_table *t)
{
	static const char letters[] = {
	    [COPY_INT] = 'i', [COPY_DOUBLE] = 'd', [COPY_TEXT] = 't'};
	char *kinds = arena_alloc(a, t->n_columns + 1);

	for (size_t i = 0; i < t->n_columns; i++)
		kinds[i] = letters[t->columns[i].kind];
	return kinds;
}
