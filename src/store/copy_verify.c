/* SPDX-License-Identifier: MIT
 *
 * The comparison: both sides are read in the order of their keys and merged,
 * each with a hash of its own. A range of keys ends after so many rows of the
 * source; the target's rows up to that key belong to it.
 */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/copy_db.h"

#define COPY_RANGE_ROWS 10000
#define COPY_ROW_MAX	((size_t)1 << 30)

/* One side of the comparison of a table. */
struct copy_reader {
	struct copy_db *db;
	const struct copy_table *t;
	struct copy_value row[COPY_COLUMNS_MAX];
	struct copy_value key[COPY_KEYS_MAX];
	struct buf encoded; /* of row */
	bool has;
	int64_t rows;
	char hash[ID_HASH_SIZE];       /* of the table so far */
	char range_hash[ID_HASH_SIZE]; /* of the range so far */
	int64_t range_rows;
};

struct copy_compare {
	struct copy *c;
	struct copy_table_report *r;
	const struct copy_table *t;
	struct copy_reader from, to;
	struct buf scratch;
	const char *range_from;
	bool is_range_wrong;
	bool is_first_range; /* the range of the first difference is open */
};

static enum err
copy_reader_next(struct copy_reader *p, struct err_info *info)
{
	enum err e = p->db->driver->next(p->db, p->row, &p->has, info);

	if (e != ERR_OK || !p->has)
		return e;
	copy_key_of(p->t, p->row, p->key);
	buf_clear(&p->encoded);
	copy_encode(p->row, p->t->n_columns, &p->encoded);
	p->rows++;
	if (p->encoded.is_overflowed)
		return err_set(
		    info, ERR_TOO_LARGE, p->t->name, "a row is too large");
	return ERR_OK;
}

static enum err
copy_reader_open(struct copy_reader *p, struct copy_db *db,
    const struct copy_table *t, struct err_info *info)
{
	*p = (struct copy_reader){.db = db, .t = t};
	buf_init(&p->encoded, COPY_ROW_MAX);
	enum err e = db->driver->scan(db, t, NULL, info);
	return e == ERR_OK ? copy_reader_next(p, info) : e;
}

static void
copy_reader_count(struct copy_reader *p, struct buf *scratch)
{
	copy_hash_add(p->hash, &p->encoded, scratch);
	copy_hash_add(p->range_hash, &p->encoded, scratch);
	p->range_rows++;
}

/* Which column of the two rows with the same key? */
static const char *
copy_compare_column(struct copy_compare *p)
{
	struct buf a;
	struct buf b;
	const char *name = "";

	buf_init(&a, COPY_ROW_MAX);
	buf_init(&b, COPY_ROW_MAX);
	for (size_t i = 0; i < p->t->n_columns && *name == '\0'; i++) {
		buf_clear(&a);
		buf_clear(&b);
		copy_encode(&p->from.row[i], 1, &a);
		copy_encode(&p->to.row[i], 1, &b);
		if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
			name = p->t->columns[i].name;
	}
	buf_release(&a);
	buf_release(&b);
	return name;
}

static void
copy_compare_wrong(struct copy_compare *p, const struct copy_value *key,
    const char *column, const char *text)
{
	struct arena *a = p->c->a;

	p->is_range_wrong = true;
	if (p->r->rows_wrong++ > 0)
		return;
	struct copy_problem *first = ARENA_NEW(a, struct copy_problem);
	*first = (struct copy_problem){.table = p->t->name,
	    .column = column,
	    .key = copy_key_json(a, p->t, key),
	    .text = text};
	p->r->first = first;
	p->r->range_from =
	    p->range_from != NULL ? arena_strdup(a, p->range_from) : NULL;
	p->is_first_range = true;
}

/* upto: its last key; NULL at the end of the table. */
static void
copy_compare_end_range(struct copy_compare *p, const char *upto)
{
	p->r->ranges++;
	if (p->is_range_wrong || p->from.range_rows != p->to.range_rows ||
	    !str_eq(p->from.range_hash, p->to.range_hash))
		p->r->differing++;
	if (p->is_first_range)
		p->r->range_to = upto;
	p->is_first_range = p->is_range_wrong = false;
	p->from.range_rows = p->to.range_rows = 0;
	p->from.range_hash[0] = p->to.range_hash[0] = '\0';
	p->range_from = upto;
}

/* The next row in the order of keys, of one side or of both. */
static enum err
copy_compare_step(struct copy_compare *p, struct err_info *info)
{
	struct copy_reader *f = &p->from;
	struct copy_reader *t = &p->to;
	int order = !f->has ? 1
	    : !t->has	    ? -1
			    : copy_key_compare(p->t, f->key, t->key);
	enum err e = ERR_OK;

	if (order < 0)
		copy_compare_wrong(p, f->key, "", "is missing in the target");
	else if (order > 0)
		copy_compare_wrong(p, t->key, "", "is only in the target");
	else if (f->encoded.len != t->encoded.len ||
	    memcmp(f->encoded.data, t->encoded.data, f->encoded.len) != 0)
		copy_compare_wrong(
		    p, f->key, copy_compare_column(p), "differs");
	if (order <= 0)
		copy_reader_count(f, &p->scratch);
	if (order >= 0)
		copy_reader_count(t, &p->scratch);
	if (order <= 0 && f->range_rows == COPY_RANGE_ROWS)
		copy_compare_end_range(p, copy_key_json(p->c->a, p->t, f->key));
	if (order <= 0)
		e = copy_reader_next(f, info);
	if (e == ERR_OK && order >= 0)
		e = copy_reader_next(t, info);
	return e;
}

static enum err
copy_compare_table(struct copy *c, size_t i, struct err_info *info)
{
	struct copy_table_report *r = &c->report->tables[i];
	const struct copy_table *t = c->from.schema.tables[i];
	struct copy_compare *p = mem_zalloc(sizeof(*p));

	p->c = c;
	p->r = r;
	p->t = t;
	r->ranges = r->differing = r->rows_wrong = 0;
	r->first = NULL;
	r->range_from = r->range_to = NULL;
	buf_init(&p->scratch, COPY_ROW_MAX + ID_HASH_SIZE);
	enum err e = copy_reader_open(&p->from, c->from.db, t, info);
	if (e == ERR_OK)
		e = copy_reader_open(&p->to, c->to.db, c->into[i], info);
	while (e == ERR_OK && (p->from.has || p->to.has)) {
		e = copy_compare_step(p, info);
		if (p->from.rows % COPY_RANGE_ROWS == 0)
			copy_tell(c, COPY_PHASE_VERIFY, t->name, p->from.rows,
			    0, false);
	}
	if (e == ERR_OK) {
		copy_compare_end_range(p, NULL);
		r->source_rows = p->from.rows;
		r->target_rows = p->to.rows;
		r->source_hash = arena_strdup(c->a, p->from.hash);
		r->target_hash = arena_strdup(c->a, p->to.hash);
		copy_tell(c, COPY_PHASE_VERIFY, t->name, p->from.rows,
		    p->from.rows, true);
	}
	buf_release(&p->scratch);
	buf_release(&p->from.encoded);
	buf_release(&p->to.encoded);
	free(p);
	return e;
}

enum err
copy_verify(struct copy *c, bool *is_equal, struct err_info *info)
{
	enum err e = ERR_OK;

	*is_equal = true;
	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++) {
		const struct copy_table_report *r = &c->report->tables[i];
		e = copy_compare_table(c, i, info);
		*is_equal = *is_equal && e == ERR_OK && r->rows_wrong == 0 &&
		    r->differing == 0 && r->source_rows == r->target_rows &&
		    str_eq(r->source_hash, r->target_hash);
	}
	return e;
}

static enum err
copy_verify_mark(struct copy *c, size_t i, struct err_info *info)
{
	const struct copy_table *t = c->into[i];
	const struct copy_mark *m = &c->marks[i];
	struct copy_db *db = c->to.db;
	struct copy_value row[COPY_COLUMNS_MAX];
	char hash[ID_HASH_SIZE] = "";
	struct buf encoded;
	struct buf scratch;
	int64_t rows = 0;
	bool has = false;

	buf_init(&encoded, COPY_ROW_MAX);
	buf_init(&scratch, COPY_ROW_MAX + ID_HASH_SIZE);
	enum err e = db->driver->scan(db, t, NULL, info);
	while (e == ERR_OK) {
		e = db->driver->next(db, row, &has, info);
		if (e != ERR_OK || !has)
			break;
		buf_clear(&encoded);
		copy_encode(row, t->n_columns, &encoded);
		copy_hash_add(hash, &encoded, &scratch);
		if (++rows % COPY_RANGE_ROWS == 0)
			copy_tell(c, COPY_PHASE_RESUME, t->name, rows, m->rows,
			    false);
	}
	buf_release(&encoded);
	buf_release(&scratch);
	if (e == ERR_OK &&
	    (rows != m->rows || (rows > 0 && !str_eq(hash, m->hash))))
		copy_problem(c->report, c->a, t->name, "", NULL,
		    "the %lld rows in the target are not the %lld that were "
		    "copied: empty it and begin again",
		    (long long)rows, (long long)m->rows);
	copy_tell(c, COPY_PHASE_RESUME, t->name, rows, m->rows, true);
	return e;
}

/* A table that replays have changed is left to the comparison at the end. */
enum err
copy_verify_marks(struct copy *c, struct err_info *info)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++)
		if (!c->marks[i].is_touched)
			e = copy_verify_mark(c, i, info);
	return e;
}
