/* SPDX-License-Identifier: MIT
 *
 * The course of a copy; the parts are in copy_check.c, copy_log.c and
 * copy_verify.c.
 */
#include "store/copy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/copy_db.h"
#include "store/store.h"
#include "store/store_tx.h"

#define COPY_ROW_MAX	 ((size_t)1 << 30)
#define COPY_SMALL	 100 /* changes in one replay: nearly there */
#define COPY_PASSES	 20  /* replays of a source that outruns us */
#define COPY_POLL_MS	 200
#define COPY_BATCH_BYTES ((size_t)8 << 20)

void
copy_tell(struct copy *c, enum copy_phase phase, const char *table,
    int64_t rows, int64_t total, bool is_end)
{
	if (c->o->progress != NULL)
		c->o->progress(c->o->arg,
		    &(struct copy_progress){.phase = phase,
			.table = table,
			.rows = rows,
			.total = total,
			.is_end = is_end});
}

enum err
copy_get_int(struct copy_db *db, const char *sql, const char *param,
    int64_t *out, struct err_info *info)
{
	const struct copy_value value = copy_text(param);
	struct arena *a = arena_new(0);
	struct copy_result r = {0};

	enum err e = db->driver->query(
	    db, sql, &value, param != NULL ? 1 : 0, "i", a, &r, info);
	if (e == ERR_OK)
		*out = r.rows > 0 ? r.cells[0].i : 0;
	arena_free(&a);
	return e;
}

enum err
copy_get_text(struct copy_db *db, struct arena *a, const char *sql,
    const char **out, struct err_info *info)
{
	struct copy_result r = {0};

	enum err e = db->driver->query(db, sql, NULL, 0, "t", a, &r, info);
	*out = e == ERR_OK && r.rows > 0 ? r.cells[0].t : NULL;
	return e;
}

enum err
copy_count(struct copy_db *db, const struct copy_table *t, int64_t *out,
    struct err_info *info)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_puts(&b, "SELECT count(*) FROM ");
	copy_sql_name(&b, t->name);
	enum err e = copy_get_int(db, buf_text(&b), NULL, out, info);
	buf_release(&b);
	return e;
}

/* ---- opening ---- */

/* An error of one side names the option. */
static enum err
copy_blame(const struct copy_side *side, enum err e, struct err_info *info)
{
	struct err_info was = *info;

	if (e == ERR_OK)
		return e;
	return err_set(info, e, side->option, "%s", was.text);
}

/* Only databases whose schema is exactly this program's are copied: the
 * hashes of the migrations are compared, too. */
static enum err
copy_open_schema(struct copy *c, struct copy_side *side,
    const struct settings *settings, struct err_info *info)
{
	struct store_schema schema = {0};

	enum err e = store_schema(settings, &schema, info);
	if (e != ERR_OK)
		return copy_blame(side, e, info);
	c->report->schema = schema.want;
	if (schema.have == schema.want)
		return ERR_OK;
	return err_set(info, ERR_SCHEMA, side->option,
	    "has schema %lld, this program needs %lld%s",
	    (long long)schema.have, (long long)schema.want,
	    schema.have < schema.want ? ": run `aragora migrate` on it" : "");
}

static const struct copy_driver *
copy_driver_of(const struct store_target *t)
{
	return t->driver == &db_sqlite ? &copy_sqlite : &copy_pgsql;
}

/* log: a second connection for writing to the source; may be NULL. */
static enum err
copy_open_side(struct copy *c, struct copy_side *side, const char *url,
    struct copy_db **log, const char **shown, struct err_info *info)
{
	bool is_writing = !c->o->is_dry_run && !c->o->is_verify_only;
	struct settings settings = *c->settings;
	struct store_target target;
	char *copy_url = mem_strdup(url);
	char any[] = "auto";

	settings.database_url = copy_url;
	settings.db_backend = any;
	enum err e = *url == '\0'
	    ? err_set(info, ERR_INVALID, "", "names no database")
	    : store_target(&settings, &target, info);
	if (e != ERR_OK) {
		free(copy_url);
		return copy_blame(side, e, info);
	}
	e = copy_open_schema(c, side, &settings, info);
	const struct copy_driver *d = copy_driver_of(&target);
	if (e == ERR_OK)
		e = d->open(&side->db, target.target, is_writing, info);
	if (e == ERR_OK && log != NULL && is_writing)
		e = d->open(log, target.target, true, info);
	if (e == ERR_OK)
		*shown = d->describe(side->db, c->a);
	free(target.target);
	free(copy_url);
	return copy_blame(side, e, info);
}

static enum err
copy_open(struct copy *c, struct err_info *info)
{
	if (str_eq(c->o->from, c->o->to))
		return err_set(
		    info, ERR_INVALID, "--to", "is the same as --from");
	enum err e = copy_open_side(
	    c, &c->from, c->o->from, &c->log, &c->report->from, info);
	if (e == ERR_OK)
		e = copy_open_side(
		    c, &c->to, c->o->to, NULL, &c->report->to, info);
	return e;
}

static void
copy_close(struct copy_db *db)
{
	if (db != NULL)
		db->driver->close(db);
}

/* ---- the rows ---- */

/* One table on its way. */
struct copy_flow {
	struct copy *c;
	size_t i;
	const struct copy_table *t;
	struct copy_value row[COPY_COLUMNS_MAX];
	struct copy_mark mark; /* of the batch that is open */
	int64_t batch_rows;
	size_t batch_bytes;
	int64_t total;
	struct buf encoded, scratch;
	struct arena *a; /* of the batch */
};

static enum err
copy_flow_begin(struct copy_flow *f, struct err_info *info)
{
	struct copy_db *to = f->c->to.db;

	f->batch_rows = 0;
	f->batch_bytes = 0;
	enum err e = to->driver->exec(to, to->driver->begin_write, info);
	return e == ERR_OK ? to->driver->load(to, f->c->into[f->i], info) : e;
}

/* The rows and the mark that tells of them become true together. */
static enum err
copy_flow_commit(struct copy_flow *f, struct err_info *info)
{
	struct copy *c = f->c;
	struct copy_db *to = c->to.db;

	enum err e = to->driver->loaded(to, info);
	if (e == ERR_OK)
		e = copy_mark_save(c, f->i, &f->mark, info);
	if (e == ERR_OK)
		e = to->driver->exec(to, "COMMIT", info);
	if (e != ERR_OK)
		return e;
	c->report->tables[f->i].copied += f->batch_rows;
	c->marks[f->i] = f->mark;
	c->marks[f->i].last_key = arena_strdup(c->a, f->mark.last_key);
	f->mark.last_key = c->marks[f->i].last_key;
	arena_clear(f->a);
	copy_tell(c, COPY_PHASE_COPY, f->t->name, f->mark.rows, f->total,
	    f->mark.is_done);
	return ERR_OK;
}

static enum err
copy_flow_row(struct copy_flow *f, struct err_info *info)
{
	struct copy_db *to = f->c->to.db;
	struct copy_value key[COPY_KEYS_MAX];
	size_t column = 0;
	const char *fault =
	    copy_row_fault(f->t, f->c->columns[f->i], f->row, &column);

	copy_key_of(f->t, f->row, key);
	if (fault != NULL)
		return err_set(info, ERR_INVALID, f->c->from.option,
		    "%s.%s of %s %s", f->t->name, f->t->columns[column].name,
		    copy_key_json(f->a, f->t, key), fault);
	buf_clear(&f->encoded);
	copy_encode(f->row, f->t->n_columns, &f->encoded);
	if (f->encoded.is_overflowed)
		return err_set(
		    info, ERR_TOO_LARGE, f->t->name, "a row is too large");
	copy_hash_add(f->mark.hash, &f->encoded, &f->scratch);
	f->mark.rows++;
	f->batch_rows++;
	f->batch_bytes += f->encoded.len;
	return to->driver->put(to, f->row, info);
}

static bool
copy_flow_is_full(const struct copy_flow *f)
{
	return f->batch_rows >= f->c->o->batch_rows ||
	    f->batch_bytes >= COPY_BATCH_BYTES;
}

static enum err
copy_flow_run(struct copy_flow *f, struct err_info *info)
{
	struct copy_db *from = f->c->from.db;
	struct copy_value key[COPY_KEYS_MAX];
	bool has = true;

	enum err e = copy_flow_begin(f, info);
	while (e == ERR_OK && has) {
		e = from->driver->next(from, f->row, &has, info);
		f->mark.is_done = !has;
		if (e == ERR_OK && has)
			e = copy_flow_row(f, info);
		if (e != ERR_OK || (has && !copy_flow_is_full(f)))
			continue;
		if (has) {
			copy_key_of(f->t, f->row, key);
			f->mark.last_key = copy_key_json(f->a, f->t, key);
		}
		e = copy_flow_commit(f, info);
		if (e == ERR_OK && has)
			e = copy_flow_begin(f, info);
	}
	return e;
}

static enum err
copy_table(struct copy *c, size_t i, struct err_info *info)
{
	const struct copy_table *t = c->from.schema.tables[i];
	struct copy_value last[COPY_KEYS_MAX];
	bool is_resumed = c->marks[i].last_key != NULL;
	struct copy_flow *f = mem_zalloc(sizeof(*f));
	enum err e = ERR_OK;

	f->c = c;
	f->i = i;
	f->t = t;
	f->mark = c->marks[i];
	f->a = arena_new(0);
	buf_init(&f->encoded, COPY_ROW_MAX);
	buf_init(&f->scratch, COPY_ROW_MAX + ID_HASH_SIZE);
	if (is_resumed)
		e = copy_key_parse(c->a, t, f->mark.last_key, last, info);
	if (e == ERR_OK)
		e = copy_count(c->from.db, t, &f->total, info);
	if (e == ERR_OK)
		e = c->from.db->driver->scan(
		    c->from.db, t, is_resumed ? last : NULL, info);
	if (e == ERR_OK)
		e = copy_flow_run(f, info);
	buf_release(&f->encoded);
	buf_release(&f->scratch);
	arena_free(&f->a);
	free(f);
	return e;
}

/* ---- the course ---- */

static enum err
copy_end_snapshot(struct copy *c, struct err_info *info)
{
	return c->from.db->driver->exec(c->from.db, "COMMIT", info);
}

static bool
copy_is_all_done(const struct copy *c)
{
	bool is_done = true;

	for (size_t i = 0; i < c->from.schema.n_tables; i++)
		is_done = is_done && c->marks[i].is_done;
	return is_done;
}

/* What the runs before this one did is looked at and brought up to the
 * snapshot from which the rest will come. */
static enum err
copy_resume(struct copy *c, struct err_info *info)
{
	int64_t n = 0;

	enum err e = copy_verify_marks(c, info);
	if (e != ERR_OK || c->report->n_problems > 0)
		return e;
	e = copy_log_replay(c, &n, info);
	if (e == ERR_OK)
		copy_tell(c, COPY_PHASE_RESUME, NULL, n, 0, true);
	return e;
}

static enum err
copy_all(struct copy *c, struct err_info *info)
{
	if (c->report->is_resumed && copy_is_all_done(c))
		return ERR_OK;
	enum err e = copy_log_snapshot(c, info);
	if (e == ERR_OK && c->report->is_resumed)
		e = copy_resume(c, info);
	if (e != ERR_OK || c->report->n_problems > 0)
		return e;
	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++)
		if (!c->marks[i].is_done)
			e = copy_table(c, i, info);
	return e == ERR_OK ? copy_end_snapshot(c, info) : e;
}

/* Replay in a snapshot that stays open; what it showed is forgotten. */
static enum err
copy_pass(struct copy *c, int64_t *n, struct err_info *info)
{
	enum err e = copy_log_snapshot(c, info);

	if (e == ERR_OK)
		e = copy_log_replay(c, n, info);
	if (e == ERR_OK)
		e = copy_log_clear(c, info);
	if (e == ERR_OK) {
		c->report->passes++;
		copy_tell(c, COPY_PHASE_FOLLOW, NULL, *n, 0, *n > 0);
	}
	return e;
}

static void
copy_sleep(void)
{
	nanosleep(&(struct timespec){.tv_nsec = COPY_POLL_MS * 1000000}, NULL);
}

/* Until little is left or, if one waits for the writers, until nothing has
 * come for so long. The snapshot of the last replay stays open. */
static enum err
copy_follow(struct copy *c, struct err_info *info)
{
	int64_t quiet_since = clock_mono_ms();
	int64_t n = 0;

	for (int pass = 1;; pass++) {
		enum err e = copy_pass(c, &n, info);
		if (e != ERR_OK)
			return e;
		if (n > 0)
			quiet_since = clock_mono_ms();
		if (c->o->wait_ms > 0
			? clock_mono_ms() - quiet_since >= c->o->wait_ms
			: n < COPY_SMALL || pass >= COPY_PASSES)
			return ERR_OK;
		e = copy_end_snapshot(c, info);
		if (e != ERR_OK)
			return e;
		if (n < COPY_SMALL)
			copy_sleep();
	}
}

static enum err
copy_sequences(struct copy *c, struct err_info *info)
{
	struct copy_db *to = c->to.db;
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < c->from.schema.n_tables; i++)
		e = to->driver->recount(to, c->into[i], c->a, info);
	return e;
}

/* Within the snapshot that is open. */
static enum err
copy_compare(struct copy *c, bool *is_equal, struct err_info *info)
{
	struct copy_db *to = c->to.db;

	enum err e = to->driver->exec(to, to->driver->begin_read, info);
	if (e == ERR_OK)
		e = copy_verify(c, is_equal, info);
	if (e == ERR_OK)
		e = to->driver->exec(to, "COMMIT", info);
	if (e == ERR_OK)
		e = copy_end_snapshot(c, info);
	return e;
}

/* Equal: the traces go, first the source's. */
static enum err
copy_finish(struct copy *c, struct err_info *info)
{
	enum err e = copy_mark_set_verified(c, info);

	if (e == ERR_OK)
		e = copy_log_stop(c, false, &c->report->behind, info);
	if (e != ERR_OK || c->report->behind > 0) {
		c->report->state = COPY_BEHIND;
		return e;
	}
	e = copy_mark_drop(c, info);
	if (e == ERR_OK)
		c->report->state = COPY_COMPLETE;
	return e;
}

static enum err
copy_write(struct copy *c, struct err_info *info)
{
	bool is_equal = false;

	enum err e = copy_log_start(c, info);
	if (e == ERR_OK)
		e = copy_all(c, info);
	if (c->report->n_problems > 0) {
		c->report->state = COPY_REFUSED;
		return e;
	}
	while (e == ERR_OK) {
		e = copy_follow(c, info);
		if (e == ERR_OK)
			e = copy_sequences(c, info);
		if (e == ERR_OK)
			e = copy_compare(c, &is_equal, info);
		if (e != ERR_OK)
			break;
		c->report->state = COPY_DIFFERENT;
		if (!is_equal)
			break;
		e = copy_finish(c, info);
		if (c->report->behind == 0 || c->o->wait_ms == 0)
			break;
	}
	return e;
}

/* Also what is left to a run that was killed after its comparison. */
static enum err
copy_only_verify(struct copy *c, struct err_info *info)
{
	struct copy_db *from = c->from.db;
	bool is_equal = false;

	enum err e = from->driver->exec(from, from->driver->begin_read, info);
	if (e == ERR_OK)
		e = copy_compare(c, &is_equal, info);
	if (e != ERR_OK)
		return e;
	c->report->state = is_equal ? COPY_EQUAL : COPY_DIFFERENT;
	if (is_equal && !c->o->is_verify_only) {
		c->report->is_resumed = true;
		e = copy_mark_drop(c, info);
		c->report->state = COPY_COMPLETE;
	}
	return e;
}

static enum err
copy_abort(struct copy *c, struct err_info *info)
{
	int64_t rest;
	enum err e = ERR_OK;

	if (c->source_id != NULL)
		e = copy_log_stop(c, true, &rest, info);
	if (e == ERR_OK && c->target_id != NULL)
		e = copy_mark_drop(c, info);
	c->report->state = COPY_ABORTED;
	return e;
}

/* A copy under way has its id on both sides. Marks whose source has lost the
 * triggers cannot be trusted, unless everything had been compared. */
static void
copy_check_ids(struct copy *c)
{
	if (c->target_id == NULL || c->o->is_verify_only ||
	    str_eq(c->target_id, c->source_id) ||
	    (c->source_id == NULL && c->is_verified))
		return;
	copy_problem(c->report, c->a, "", "", NULL,
	    "the target holds part of another copy: empty it or give that "
	    "copy up with --abort");
}

static enum err
copy_check(struct copy *c, struct err_info *info)
{
	bool is_writing = !c->o->is_dry_run && !c->o->is_verify_only;
	struct copy_report *r = c->report;

	enum err e = copy_check_schema(c, info);
	if (e == ERR_OK && r->n_problems == 0)
		e = c->from.db->driver->check(c->from.db, &c->from.schema,
		    false, is_writing, c->a, r, info);
	if (e == ERR_OK && r->n_problems == 0)
		e = c->to.db->driver->check(
		    c->to.db, &c->to.schema, false, is_writing, c->a, r, info);
	if (e == ERR_OK && r->n_problems == 0)
		e = copy_log_find(c, info);
	if (e == ERR_OK && r->n_problems == 0 && !c->o->is_abort)
		copy_check_ids(c);
	if (e == ERR_OK && r->n_problems == 0 && !c->o->is_abort)
		e = copy_check_content(c, info);
	return e;
}

static enum err
copy_course(struct copy *c, struct err_info *info)
{
	enum err e = copy_open(c, info);

	if (e == ERR_OK)
		e = copy_check(c, info);
	if (e != ERR_OK)
		return e;
	if (c->report->n_problems > 0) {
		c->report->state = COPY_REFUSED;
		return ERR_OK;
	}
	if (c->o->is_abort)
		return copy_abort(c, info);
	if (c->o->is_dry_run) {
		c->report->state = COPY_CHECKED;
		return ERR_OK;
	}
	if (c->o->is_verify_only || (c->is_verified && c->source_id == NULL))
		return copy_only_verify(c, info);
	return copy_write(c, info);
}

enum err
copy_run(const struct settings *settings, const struct copy_options *o,
    struct arena *a, struct copy_report *report, struct err_info *info)
{
	struct copy c = {.o = o,
	    .settings = settings,
	    .a = a,
	    .report = report,
	    .from = {.option = "--from"},
	    .to = {.option = "--to"}};

	*report =
	    (struct copy_report){.state = COPY_FAILED, .from = "", .to = ""};
	enum err e = copy_course(&c, info);
	if (e != ERR_OK)
		report->state = COPY_FAILED;
	copy_close(c.from.db);
	copy_close(c.log);
	copy_close(c.to.db);
	return e;
}
