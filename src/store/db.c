/* SPDX-License-Identifier: MIT
 *
 * The statement table and what both drivers share.
 */
#include "store/db.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

static const struct stmt_row stmt_rows[STMT__COUNT] = {
#define STMT(id, whose, types, cols, text, pg_text)                            \
	[STMT_##id] = {.name = #id,                                            \
	    .scope = STMT_SCOPE_##whose,                                       \
	    .params = types,                                                   \
	    .columns = cols,                                                   \
	    .sql = text,                                                       \
	    .pgsql = pg_text},
#include "store/stmt.def"
#undef STMT
};

const struct stmt_row *
stmt_row(enum stmt id)
{
	return &stmt_rows[id];
}

const char *
db_text(const struct db_result *r, size_t row, int column)
{
	assert(row < r->rows && column < r->columns);
	return r->cells[row * (size_t)r->columns + (size_t)column];
}

int64_t
db_int(const struct db_result *r, size_t row, int column)
{
	const char *text = db_text(r, row, column);
	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

double
db_double(const struct db_result *r, size_t row, int column)
{
	const char *text = db_text(r, row, column);
	return text != NULL ? strtod(text, NULL) : 0;
}

/* Every failure passes here once. */
static enum err
db_note(struct db *db, enum err e, const struct err_info *info)
{
	if (e == ERR_OK)
		return e;
	db->is_failed = true;
	db->info = *info;
	if (e == ERR_DOWN)
		db->is_broken = true;
	return e;
}

/* By its name alone: what it was asked with stays out of the log. */
static void
db_tell_slow(const struct db *db, int64_t now_us)
{
	int64_t slow_us = db->slow_ms == NULL ? 0 : *db->slow_ms * 1000;
	int64_t us = now_us - db->waiting_us;

	if (slow_us > 0 && us > slow_us)
		log_warning("db.slow", "statement=%s dur_ms=%.1f",
		    stmt_row(db->queued)->name, (double)us / 1000.0);
}

enum err
db_begin(struct db *db, enum db_tx kind)
{
	struct err_info info = {0};

	db->is_failed = false;
	db->waiting_us = 0;
	db->kind = kind;
	db->touched = (struct position_set){0};
	db->position = 0;
	return db_note(db, db->driver->begin(db, kind, &info), &info);
}

enum err
db_commit(struct db *db)
{
	struct err_info info = {0};

	assert(!db->is_failed);
	db->is_position_due = db->wants_position && db->kind == DB_WRITE &&
	    !position_set_is_empty(&db->touched);
	enum err e = db_note(db, db->driver->commit(db, &info), &info);
	if (db->waiting_us != 0)
		db_tell_slow(db, clock_mono_us());
	db->waiting_us = 0;
	return e == ERR_DOWN && db->kind == DB_WRITE ? ERR_UNCERTAIN : e;
}

void
db_rollback(struct db *db)
{
	if (!db->is_broken)
		db->driver->rollback(db);
}

enum err
db_queue(struct db *db, enum stmt id, const struct db_value *values, size_t n,
    struct arena *a, struct db_result *result)
{
	static const char types[] = {
	    [DB_TYPE_INT] = 'i', [DB_TYPE_DOUBLE] = 'd', [DB_TYPE_TEXT] = 't'};
	const struct stmt_row *row = stmt_row(id);
	struct err_info info = {0};

	assert(strlen(row->params) == n);
	for (size_t i = 0; i < n; i++)
		assert(row->params[i] == types[values[i].type]);
	/* No tenant is nobody, not everybody. */
	assert(row->scope != STMT_SCOPE_TENANT || !str_is_empty(values[0].t));
	db->queued = id;
	if (db->waiting_us == 0)
		db->waiting_us = clock_mono_us();
	if (db->wants_position && row->scope == STMT_SCOPE_TENANT)
		position_set_add(&db->touched, values[0].t);
	return db_note(
	    db, db->driver->queue(db, id, values, n, a, result, &info), &info);
}

enum err
db_sync(struct db *db)
{
	struct err_info info = {0};

	enum err e = db_note(db, db->driver->sync(db, &info), &info);
	if (db->waiting_us != 0)
		db_tell_slow(db, clock_mono_us());
	db->waiting_us = 0;
	return e;
}

enum err
db_run(struct db *db, enum stmt id, const struct db_value *values, size_t n,
    struct arena *a, struct db_result *result)
{
	enum err e = db_queue(db, id, values, n, a, result);

	return e == ERR_OK ? db_sync(db) : e;
}
