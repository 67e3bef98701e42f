/* SPDX-License-Identifier: MIT
 *
 * The preflight: both catalogs against each other, schema versions, rights,
 * room, and every value of the source.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/copy_db.h"
#include "store/store.h"
#include "store/store_tx.h"

/* A target needs more than its source: indexes, a journal beside the file. */
#define COPY_ROOM_PERCENT 150
#define COPY_TELL_ROWS	  10000

void
copy_problem(struct copy_report *r, struct arena *a, const char *table,
    const char *column, const char *key, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	char text[256];

	if (r->n_problems++ >= COPY_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&b, sizeof(text));
	buf_append(&b, text, str_utf8_cut(text, strlen(text), sizeof(text)));
	r->problems[r->n_problems - 1] =
	    (struct copy_problem){.table = arena_strdup(a, table),
		.column = arena_strdup(a, column),
		.key = key != NULL ? arena_strdup(a, key) : "",
		.text = arena_strdup(a, buf_text(&b))};
	buf_release(&b);
}

void
copy_note(struct copy_report *r, struct arena *a, const char *table,
    const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (r->n_notes == COPY_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->notes[r->n_notes++] =
	    (struct copy_problem){.table = arena_strdup(a, table),
		.column = "",
		.key = "",
		.text = arena_strdup(a, text)};
}

static struct copy_table *
copy_check_find(const struct copy_schema *s, const char *name)
{
	for (size_t i = 0; i < s->n_tables; i++)
		if (str_eq(s->tables[i]->name, name))
			return s->tables[i];
	return NULL;
}

static const struct copy_column *
copy_check_column(const struct copy_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (str_eq(t->columns[i].name, name))
			return &t->columns[i];
	return NULL;
}

static bool
copy_check_keys_equal(const struct copy_table *t, const struct copy_table *into)
{
	bool is_equal = t->n_keys == into->n_keys;

	for (size_t i = 0; is_equal && i < t->n_keys; i++)
		is_equal = str_eq(t->columns[t->keys[i]].name,
		    into->columns[into->keys[i]].name);
	return is_equal;
}

/* Table i of the source against its counterpart. The target's columns are put
 * into the order of the source's, so that a row serves both. */
static void
copy_check_table(struct copy *c, size_t i)
{
	struct copy_table *t = c->from.schema.tables[i];
	struct copy_table *into = copy_check_find(&c->to.schema, t->name);
	struct copy_table *ordered;

	if (into == NULL) {
		copy_problem(c->report, c->a, t->name, "", NULL,
		    "the target has no such table");
		return;
	}
	if (t->n_keys == 0)
		copy_problem(c->report, c->a, t->name, "", NULL,
		    "the table has no primary key");
	if (!copy_check_keys_equal(t, into))
		copy_problem(c->report, c->a, t->name, "", NULL,
		    "the primary keys differ");
	ordered = arena_memdup(c->a, into, sizeof(*into));
	ordered->n_columns = t->n_columns;
	for (size_t k = 0; k < t->n_columns; k++) {
		const struct copy_column *col =
		    copy_check_column(into, t->columns[k].name);
		if (col == NULL || col->kind != t->columns[k].kind)
			copy_problem(c->report, c->a, t->name,
			    t->columns[k].name, NULL, "%s",
			    col == NULL ? "the target has no such column"
					: "the types differ");
		else
			ordered->columns[k] = *col;
		c->columns[i][k] = &ordered->columns[k];
	}
	for (size_t k = 0; k < into->n_columns; k++)
		if (copy_check_column(t, into->columns[k].name) == NULL)
			copy_problem(c->report, c->a, t->name,
			    into->columns[k].name, NULL,
			    "the source has no such column");
	for (size_t k = 0; k < t->n_keys; k++)
		ordered->keys[k] = t->keys[k];
	c->into[i] = ordered;
}

static bool
copy_check_is_ready(const struct copy_table *t, const struct copy_schema *s,
    const bool *is_placed)
{
	for (size_t p = 0; p < t->n_parents; p++)
		for (size_t i = 0; i < s->n_tables; i++)
			if (!is_placed[i] && s->tables[i] != t &&
			    str_eq(s->tables[i]->name, t->parents[p]))
				return false;
	return true;
}

/* Parents first; tables that refer to each other in a ring stay as they are
 * and the database complains. */
static void
copy_check_sort(struct copy_schema *s, struct arena *a)
{
	struct copy_table **sorted =
	    ARENA_ARRAY(a, s->n_tables + 1, struct copy_table *);
	bool *is_placed = ARENA_ARRAY(a, s->n_tables + 1, bool);
	size_t n = 0;

	while (n < s->n_tables) {
		size_t before = n;
		for (size_t i = 0; i < s->n_tables; i++)
			if (!is_placed[i] &&
			    copy_check_is_ready(s->tables[i], s, is_placed)) {
				is_placed[i] = true;
				sorted[n++] = s->tables[i];
			}
		for (size_t i = 0; n == before && i < s->n_tables; i++)
			if (!is_placed[i]) {
				is_placed[i] = true;
				sorted[n++] = s->tables[i];
			}
	}
	s->tables = sorted;
}

/* The catalogs of the two sides are looked at from their columns' side by
 * the same name, in whatever order. */
enum err
copy_check_schema(struct copy *c, struct err_info *info)
{
	struct copy_schema *s = &c->from.schema;

	enum err e =
	    c->from.db->driver->catalog(c->from.db, c->a, s, c->report, info);
	if (e == ERR_OK)
		e = c->to.db->driver->catalog(
		    c->to.db, c->a, &c->to.schema, c->report, info);
	if (e != ERR_OK)
		return e;
	copy_check_sort(s, c->a);
	c->into = ARENA_ARRAY(c->a, s->n_tables + 1, const struct copy_table *);
	c->columns = arena_array(c->a, s->n_tables + 1, sizeof(*c->columns));
	c->marks = ARENA_ARRAY(c->a, s->n_tables + 1, struct copy_mark);
	c->report->tables =
	    ARENA_ARRAY(c->a, s->n_tables + 1, struct copy_table_report);
	c->report->n_tables = s->n_tables;
	for (size_t i = 0; i < s->n_tables; i++) {
		c->report->tables[i].name = s->tables[i]->name;
		copy_check_table(c, i);
	}
	if (s->n_tables == 0)
		copy_problem(
		    c->report, c->a, "", "", NULL, "the source has no tables");
	for (size_t i = 0; i < c->to.schema.n_tables; i++)
		if (copy_check_find(s, c->to.schema.tables[i]->name) == NULL)
			copy_note(c->report, c->a, c->to.schema.tables[i]->name,
			    "the table is only in the target and stays as it "
			    "is");
	return ERR_OK;
}

/* Every value of one table. */
static enum err
copy_check_rows(struct copy *c, size_t i, struct err_info *info)
{
	const struct copy_table *t = c->from.schema.tables[i];
	struct copy_db *db = c->from.db;
	struct copy_value row[COPY_COLUMNS_MAX];
	struct copy_value key[COPY_KEYS_MAX];
	int64_t rows = 0;
	size_t column = 0;
	bool has = false;

	enum err e = db->driver->scan(db, t, NULL, info);
	while (e == ERR_OK) {
		e = db->driver->next(db, row, &has, info);
		if (e != ERR_OK || !has)
			break;
		const char *fault =
		    copy_row_fault(t, c->columns[i], row, &column);
		if (fault != NULL) {
			struct arena *a = arena_new(0);
			copy_key_of(t, row, key);
			copy_problem(c->report, c->a, t->name,
			    t->columns[column].name, copy_key_json(a, t, key),
			    "%s", fault);
			arena_free(&a);
		}
		if (++rows % COPY_TELL_ROWS == 0)
			copy_tell(c, COPY_PHASE_CHECK, t->name, rows, 0, false);
	}
	c->report->tables[i].source_rows = rows;
	copy_tell(c, COPY_PHASE_CHECK, t->name, rows, 0, true);
	return e;
}

static enum err
copy_check_room(struct copy *c, struct err_info *info)
{
	int64_t need = 0;
	int64_t room = -1;
	int64_t ignored;

	enum err e =
	    c->from.db->driver->space(c->from.db, &need, &ignored, info);
	if (e == ERR_OK)
		e = c->to.db->driver->space(c->to.db, &ignored, &room, info);
	if (e != ERR_OK)
		return e;
	need = need / 100 * COPY_ROOM_PERCENT;
	if (room < 0)
		copy_note(c->report, c->a, "",
		    "the target does not tell its free space: about %lld MB "
		    "are needed",
		    (long long)(need >> 20));
	else if (room < need)
		copy_problem(c->report, c->a, "", "", NULL,
		    "the target has %lld MB free, about %lld MB are needed",
		    (long long)(room >> 20), (long long)(need >> 20));
	return ERR_OK;
}

/* A target with rows that no mark explains is somebody's data. */
static enum err
copy_check_empty(struct copy *c, struct err_info *info)
{
	enum err e = ERR_OK;

	if (c->o->is_verify_only || c->target_id != NULL)
		return ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++) {
		int64_t rows = 0;
		e = copy_count(c->to.db, c->into[i], &rows, info);
		if (e == ERR_OK && rows > 0)
			copy_problem(c->report, c->a, c->into[i]->name, "",
			    NULL,
			    "the target is not empty (%lld rows) and no copy "
			    "of this source is under way in it; --verify-only "
			    "tells whether it is equal",
			    (long long)rows);
	}
	return e;
}

enum err
copy_check_content(struct copy *c, struct err_info *info)
{
	bool is_writing = !c->o->is_dry_run && !c->o->is_verify_only;
	struct copy_db *from = c->from.db;
	enum err e = ERR_OK;

	e = copy_check_empty(c, info);
	if (e != ERR_OK || c->report->n_problems > 0 || c->o->is_verify_only)
		return e;
	e = copy_check_room(c, info);
	/* What was sound when an earlier run began is looked at row by row as
	 * it is copied. */
	if (e != ERR_OK || (is_writing && c->target_id != NULL))
		return e;
	copy_tell(c, COPY_PHASE_CHECK, NULL, 0, 0, false);
	e = from->driver->check(
	    from, &c->from.schema, true, is_writing, c->a, c->report, info);
	if (e == ERR_OK)
		e = from->driver->exec(from, from->driver->begin_read, info);
	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++)
		e = copy_check_rows(c, i, info);
	if (e == ERR_OK)
		e = from->driver->exec(from, "COMMIT", info);
	return e;
}
