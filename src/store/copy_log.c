/* SPDX-License-Identifier: MIT
 *
 * What keeps a copy true while its source is written to and while it is killed:
 * the log of changed keys in the source, the marks in the target.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "store/copy_db.h"

#define COPY_LOG_PAGE	  500
#define COPY_LOG_TRIES	  50
#define COPY_LOG_PAUSE_MS 100
#define COPY_LOG_SQL_MAX  (1 << 16)

enum { COPY_MARK_COPYING, COPY_MARK_DONE, COPY_MARK_VERIFIED };

static enum err
copy_log_exists(struct copy_db *db, const char *table, bool *is_there,
    struct err_info *info)
{
	int64_t n = 0;

	enum err e = copy_get_int(db, db->driver->has_table, table, &n, info);
	*is_there = n > 0;
	return e;
}

static size_t
copy_log_table(const struct copy *c, const char *name)
{
	size_t i = 0;

	while (i < c->from.schema.n_tables &&
	    !str_eq(c->from.schema.tables[i]->name, name))
		i++;
	return i;
}

static enum err
copy_mark_load(struct copy *c, struct err_info *info)
{
	struct copy_result r;
	size_t n_verified = 0;

	enum err e = c->to.db->driver->query(c->to.db,
	    "SELECT tbl, id, last_key, n_rows, hash, state, touched "
	    "FROM " COPY_MARK " ORDER BY tbl",
	    NULL, 0, "tttitii", c->a, &r, info);
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		const struct copy_value *cell = &r.cells[i * r.columns];
		size_t t = copy_log_table(c, cell[0].t);
		c->target_id = cell[1].t;
		if (t == c->from.schema.n_tables)
			return err_set(info, ERR_SCHEMA, c->to.option,
			    "has a mark of table '%s', which is not there",
			    cell[0].t);
		c->marks[t] = (struct copy_mark){
		    .last_key = cell[2].is_null ? NULL : cell[2].t,
		    .rows = cell[3].i,
		    .is_done = cell[5].i != COPY_MARK_COPYING,
		    .is_touched = cell[6].i != 0};
		snprintf(c->marks[t].hash, ID_HASH_SIZE, "%s", cell[4].t);
		c->report->tables[t].kept = c->marks[t].rows;
		n_verified += cell[5].i == COPY_MARK_VERIFIED;
	}
	if (e == ERR_OK && r.rows > 0 && r.rows != c->from.schema.n_tables)
		return err_set(info, ERR_SCHEMA, c->to.option,
		    "has marks of %zu tables, the source has %zu", r.rows,
		    c->from.schema.n_tables);
	c->is_verified = e == ERR_OK && r.rows > 0 && n_verified == r.rows;
	return e;
}

enum err
copy_log_find(struct copy *c, struct err_info *info)
{
	bool has_info = false;
	bool has_mark = false;

	enum err e = copy_log_exists(c->from.db, COPY_INFO, &has_info, info);
	if (e == ERR_OK)
		e = copy_log_exists(c->to.db, COPY_MARK, &has_mark, info);
	if (e == ERR_OK && has_info)
		e = copy_get_text(c->from.db, c->a, "SELECT id FROM " COPY_INFO,
		    &c->source_id, info);
	if (e == ERR_OK && has_mark)
		e = copy_mark_load(c, info);
	return e;
}

/* A transaction that nobody else writes beside. Writers hold their tables for
 * moments only; who waits for them in the wrong order gives way. */
static enum err
copy_log_freeze(struct copy *c, struct err_info *info)
{
	const struct copy_driver *d = c->log->driver;
	enum err e = ERR_BUSY;

	for (int try = 0; e == ERR_BUSY && try < COPY_LOG_TRIES; try++) {
		if (try > 0)
			nanosleep(
			    &(struct timespec){
				.tv_nsec = COPY_LOG_PAUSE_MS * 1000000},
			    NULL);
		e = d->exec(c->log, d->begin_write, info);
		if (e == ERR_OK)
			e = d->freeze(c->log, &c->from.schema, c->a, info);
		if (e != ERR_OK)
			(void)d->exec(c->log, "ROLLBACK", NULL);
	}
	return e;
}

static enum err
copy_log_install(struct copy *c, struct err_info *info)
{
	const struct copy_driver *d = c->log->driver;
	const struct copy_schema *s = &c->from.schema;
	char id[ID_SIZE];

	id_make(id, "copy_", 8);
	c->source_id = arena_strdup(c->a, id);
	const struct copy_value param = copy_text(c->source_id);
	enum err e = copy_log_freeze(c, info);
	if (e == ERR_OK)
		e = d->exec(c->log,
		    "CREATE TABLE " COPY_INFO " (id TEXT NOT NULL PRIMARY KEY)",
		    info);
	if (e == ERR_OK)
		e = d->query(c->log, "INSERT INTO " COPY_INFO " VALUES ($1)",
		    &param, 1, "", c->a, NULL, info);
	if (e == ERR_OK)
		e = d->exec(c->log, d->log_create, info);
	for (size_t i = 0; e == ERR_OK && i < s->n_tables; i++)
		e = d->watch(c->log, s->tables[i], c->a, info);
	if (e == ERR_OK)
		return d->exec(c->log, "COMMIT", info);
	(void)d->exec(c->log, "ROLLBACK", NULL);
	return e;
}

static enum err
copy_mark_create(struct copy *c, struct err_info *info)
{
	const struct copy_driver *d = c->to.db->driver;

	enum err e = d->exec(c->to.db, d->begin_write, info);
	if (e == ERR_OK)
		e = d->exec(c->to.db,
		    "CREATE TABLE " COPY_MARK " (tbl TEXT NOT NULL PRIMARY "
		    "KEY, id TEXT NOT NULL, last_key TEXT, n_rows BIGINT NOT "
		    "NULL, hash TEXT NOT NULL, state BIGINT NOT NULL, "
		    "touched BIGINT NOT NULL)",
		    info);
	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++) {
		const struct copy_value params[] = {
		    copy_text(c->from.schema.tables[i]->name),
		    copy_text(c->source_id)};
		e = d->query(c->to.db,
		    "INSERT INTO " COPY_MARK
		    " VALUES ($1, $2, NULL, 0, '', 0, 0)",
		    params, 2, "", c->a, NULL, info);
	}
	if (e == ERR_OK)
		e = d->exec(c->to.db, "COMMIT", info);
	c->target_id = c->source_id;
	return e;
}

enum err
copy_log_start(struct copy *c, struct err_info *info)
{
	enum err e = ERR_OK;

	if (c->target_id != NULL) {
		c->report->is_resumed = true;
		return ERR_OK;
	}
	if (c->source_id == NULL)
		e = copy_log_install(c, info);
	return e == ERR_OK ? copy_mark_create(c, info) : e;
}

enum err
copy_log_snapshot(struct copy *c, struct err_info *info)
{
	struct copy_db *db = c->from.db;

	enum err e = db->driver->exec(db, db->driver->begin_read, info);
	if (e == ERR_OK)
		e = copy_get_text(
		    db, c->a, db->driver->log_token, &c->token, info);
	return e;
}

enum err
copy_mark_save(
    struct copy *c, size_t i, const struct copy_mark *to, struct err_info *info)
{
	const struct copy_mark *was = &c->marks[i];
	const struct copy_value params[] = {copy_text(to->last_key),
	    copy_int(to->rows), copy_text(to->hash),
	    copy_int(to->is_done ? COPY_MARK_DONE : COPY_MARK_COPYING),
	    copy_int(to->is_touched), copy_text(c->from.schema.tables[i]->name),
	    copy_text(c->target_id), copy_int(was->rows)};
	struct arena *a = arena_new(0);
	struct copy_result r = {0};

	enum err e = c->to.db->driver->query(c->to.db,
	    "UPDATE aragora_copy_mark SET last_key = $1, n_rows = $2, hash = "
	    "$3, "
	    "state = $4, touched = $5 WHERE tbl = $6 AND id = $7 AND "
	    "n_rows = $8 RETURNING tbl",
	    params, ARRAY_LEN(params), "t", a, &r, info);
	if (e == ERR_OK && r.rows != 1)
		e = err_set(info, ERR_CONFLICT, c->to.option,
		    "another copy is writing to the target");
	arena_free(&a);
	return e;
}

enum err
copy_mark_set_verified(struct copy *c, struct err_info *info)
{
	const struct copy_value state = copy_int(COPY_MARK_VERIFIED);

	return c->to.db->driver->query(c->to.db,
	    "UPDATE aragora_copy_mark SET state = $1", &state, 1, "", c->a,
	    NULL, info);
}

enum err
copy_mark_drop(struct copy *c, struct err_info *info)
{
	return c->to.db->driver->exec(
	    c->to.db, "DROP TABLE IF EXISTS " COPY_MARK, info);
}

/* ---- replay ---- */

struct copy_replay {
	struct copy *c;
	size_t i; /* of the table */
	const struct copy_table *t;
	bool is_removing; /* else putting */
	bool is_writing;  /* a transaction of the target is open */
	const char *fetch, *kinds, *remove, *upsert;
	int64_t n;
};

/* Has the copy of the table come as far as the key? What comes later is read
 * from a snapshot that is no older than the log. */
static enum err
copy_replay_is_due(const struct copy_replay *p, const struct copy_value *key,
    struct arena *a, bool *is_due, struct err_info *info)
{
	const struct copy_mark *m = &p->c->marks[p->i];
	struct copy_value last[COPY_KEYS_MAX];

	*is_due = m->is_done;
	if (m->is_done || m->last_key == NULL)
		return ERR_OK;
	enum err e = copy_key_parse(a, p->t, m->last_key, last, info);
	*is_due = e == ERR_OK && copy_key_compare(p->t, key, last) <= 0;
	return e;
}

static enum err
copy_replay_write(struct copy_replay *p, const char *sql,
    const struct copy_value *values, size_t n, struct arena *a,
    struct err_info *info)
{
	const struct copy_driver *d = p->c->to.db->driver;
	struct copy_mark m = p->c->marks[p->i];

	if (!p->is_writing) {
		enum err e = d->exec(p->c->to.db, d->begin_write, info);
		p->is_writing = e == ERR_OK;
		m.is_touched = true;
		if (e == ERR_OK && !p->c->marks[p->i].is_touched)
			e = copy_mark_save(p->c, p->i, &m, info);
		if (e != ERR_OK)
			return e;
	}
	p->n++;
	return d->query(p->c->to.db, sql, values, n, "", a, NULL, info);
}

static enum err
copy_replay_key(struct copy_replay *p, const char *json, struct arena *a,
    struct err_info *info)
{
	struct copy_db *from = p->c->from.db;
	struct copy_value key[COPY_KEYS_MAX];
	struct copy_result r;
	bool is_due = false;
	size_t column;

	enum err e = copy_key_parse(a, p->t, json, key, info);
	if (e == ERR_OK)
		e = copy_replay_is_due(p, key, a, &is_due, info);
	if (e != ERR_OK || !is_due)
		return e;
	e = from->driver->query(
	    from, p->fetch, key, p->t->n_keys, p->kinds, a, &r, info);
	if (e != ERR_OK || p->is_removing != (r.rows == 0))
		return e;
	if (p->is_removing)
		return copy_replay_write(
		    p, p->remove, key, p->t->n_keys, a, info);
	const char *fault =
	    copy_row_fault(p->t, p->c->columns[p->i], r.cells, &column);
	if (fault != NULL)
		return err_set(info, ERR_INVALID, p->c->from.option,
		    "%s.%s of %s %s", p->t->name, p->t->columns[column].name,
		    json, fault);
	return copy_replay_write(
	    p, p->upsert, r.cells, p->t->n_columns, a, info);
}

/* A page of keys after `last`, in one transaction of the target. */
static enum err
copy_replay_page(struct copy_replay *p, struct buf *last, bool *is_more,
    struct err_info *info)
{
	const struct copy_value params[] = {
	    copy_text(p->t->name), copy_text(buf_text(last))};
	struct copy_db *from = p->c->from.db;
	const struct copy_driver *to = p->c->to.db->driver;
	struct arena *a = arena_new(0);
	struct copy_result r = {0};
	char sql[192];

	snprintf(sql, sizeof(sql),
	    "SELECT DISTINCT key FROM " COPY_LOG " WHERE tbl = $1 AND "
	    "key > $2 ORDER BY key LIMIT %d",
	    COPY_LOG_PAGE);
	enum err e =
	    from->driver->query(from, sql, params, 2, "t", a, &r, info);
	p->is_writing = false;
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++)
		e = copy_replay_key(p, r.cells[i].t, a, info);
	if (e == ERR_OK && p->is_writing)
		e = to->exec(p->c->to.db, "COMMIT", info);
	if (e == ERR_OK && p->is_writing)
		p->c->marks[p->i].is_touched = true;
	*is_more = e == ERR_OK && r.rows == COPY_LOG_PAGE;
	if (r.rows > 0) {
		buf_clear(last);
		buf_puts(last, r.cells[r.rows - 1].t);
	}
	arena_free(&a);
	return e;
}

static enum err
copy_replay_table(struct copy *c, size_t i, bool is_removing, int64_t *n,
    struct err_info *info)
{
	const struct copy_table *t = c->from.schema.tables[i];
	struct arena *a = arena_new(0);
	struct copy_replay p = {.c = c,
	    .i = i,
	    .t = t,
	    .is_removing = is_removing,
	    .fetch = copy_sql_fetch(a, t),
	    .kinds = copy_sql_kinds(a, t),
	    .remove = copy_sql_remove(a, t),
	    .upsert = copy_sql_insert(a, t, c->to.db->driver, true)};
	enum err e = ERR_OK;
	bool is_more = true;
	struct buf last;

	buf_init(&last, COPY_LOG_SQL_MAX);
	while (e == ERR_OK && is_more) {
		e = copy_replay_page(&p, &last, &is_more, info);
		*n += p.n;
		c->report->tables[i].replayed += p.n;
		p.n = 0;
	}
	buf_release(&last);
	arena_free(&a);
	return e;
}

/* What is gone goes first, children before parents; what is there comes
 * after, parents before children. So no reference ever dangles: in a snapshot
 * the children of a missing row are missing too, and so are in the log. */
enum err
copy_log_replay(struct copy *c, int64_t *n, struct err_info *info)
{
	size_t n_tables = c->from.schema.n_tables;
	enum err e = ERR_OK;

	*n = 0;
	for (size_t i = n_tables; e == ERR_OK && i > 0; i--)
		e = copy_replay_table(c, i - 1, true, n, info);
	for (size_t i = 0; e == ERR_OK && i < n_tables; i++)
		e = copy_replay_table(c, i, false, n, info);
	return e;
}

enum err
copy_log_clear(struct copy *c, struct err_info *info)
{
	const struct copy_value token = copy_text(c->token);

	return c->log->driver->query(
	    c->log, c->log->driver->log_clear, &token, 1, "", c->a, NULL, info);
}

enum err
copy_log_stop(
    struct copy *c, bool is_forced, int64_t *rest, struct err_info *info)
{
	const struct copy_driver *d = c->log->driver;
	const struct copy_schema *s = &c->from.schema;

	enum err e = ERR_OK;

	*rest = 0;
	/* While there is something, writers need not be held up. */
	if (!is_forced)
		e = copy_get_int(c->log, d->log_rest, c->token, rest, info);
	if (e != ERR_OK || *rest > 0)
		return e;
	e = copy_log_freeze(c, info);
	if (e == ERR_OK && !is_forced)
		e = copy_get_int(c->log, d->log_rest, c->token, rest, info);
	if (e == ERR_OK && *rest > 0)
		return d->exec(c->log, "ROLLBACK", info);
	for (size_t i = 0; e == ERR_OK && i < s->n_tables; i++)
		e = d->unwatch(c->log, s->tables[i], c->a, info);
	if (e == ERR_OK)
		e = d->exec(c->log,
		    "DROP TABLE IF EXISTS " COPY_LOG
		    "; DROP TABLE IF EXISTS " COPY_INFO,
		    info);
	if (e == ERR_OK)
		return d->exec(c->log, "COMMIT", info);
	(void)d->exec(c->log, "ROLLBACK", NULL);
	return e;
}
