/* SPDX-License-Identifier: MIT
 *
 * Applies migrations (sql/, embedded by the makefile): each in its own
 * transaction together with its version row, under a lock, with the versions
 * read again inside it. One that cannot run in a transaction runs on a second
 * connection while the first holds the lock.
 */
#include "store/migrate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "settings/settings.h"

/* How long others may hold us up before each migration. */
#define MIGRATE_WAIT_MS	     60000
#define MIGRATE_PAUSE_MIN_MS 100
#define MIGRATE_PAUSE_MAX_MS 500

static const char migrate_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL "
    "PRIMARY KEY, sha256 TEXT NOT NULL, applied_us BIGINT NOT NULL, "
    "name TEXT NOT NULL DEFAULT '', min_binary BIGINT NOT NULL DEFAULT 0)";
/* To a table of before these columns. */
static const char migrate_columns[] =
    "ALTER TABLE schema_migrations ADD COLUMN name TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE schema_migrations ADD COLUMN min_binary BIGINT NOT NULL "
    "DEFAULT 0";

enum err
migrate_connect(const struct settings *settings, bool is_creating,
    struct db **db, struct err_info *info)
{
	struct store_target t;

	enum err e = store_target(settings, &t, info);
	if (e != ERR_OK)
		return e;
	e = t.driver->open(db,
	    &(struct db_options){.target = t.target,
		.timeout_ms = settings->db_timeout * 1000,
		.is_creating = is_creating},
	    info);
	free(t.target);
	return e;
}

enum err
migrate_failed(const struct db *db, enum err e, struct err_info *info)
{
	return err_set(info, e, db->info.field, "%s", db->info.text);
}

bool
migrate_is_alone(const struct db *db, const struct migrate_row *row)
{
	return row->index != NULL && db->driver == &db_pgsql;
}

enum err
migrate_begin(struct db *db, struct err_info *info)
{
	bool is_locked = false;

	enum err e = db_begin(db, DB_WRITE);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	e = db->driver->lock_schema(db, &is_locked, info);
	if (e == ERR_OK && !is_locked)
		e = err_set(info, ERR_BUSY, "",
		    "another process is migrating this database");
	if (e != ERR_OK)
		db_rollback(db);
	return e;
}

enum err
migrate_make_table(struct db *db, struct arena *a, struct err_info *info)
{
	struct db_result r;

	enum err e = db->driver->script(db, migrate_table, info);
	if (e != ERR_OK)
		return e;
	e = db_run(db, STMT_SCHEMA_COLUMNS, NULL, 0, a, &r);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	if (db_int(&r, 0, 0) > 0)
		return ERR_OK;
	return db->driver->script(db, migrate_columns, info);
}

/* ---- outside of a transaction ---- */

/* An index whose building broke off stays behind, invalid. */
static enum err
migrate_index(struct db *db, struct arena *a, const struct migrate_row *row,
    struct err_info *info)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_SCHEMA_INDEX, a, &r, DB_TEXT(row->index));
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	if (row->is_building && r.rows > 0 && db_int(&r, 0, 0) != 0)
		return ERR_OK; /* built, but the version row is missing */
	if (row->is_building && r.rows > 0) {
		log_info("migrate.again", "index=%s", row->index);
		e = db->driver->script(db,
		    arena_printf(a, "DROP INDEX CONCURRENTLY %s", row->index),
		    info);
	}
	return e == ERR_OK ? db->driver->script(db, row->pgsql, info) : e;
}

static enum err
migrate_alone(const struct settings *settings, struct db *locked,
    struct arena *a, const struct migrate_row *row, struct err_info *info)
{
	struct db *db = NULL;
	bool is_pooled = false;

	/* The lock's transaction idles for as long as this takes. */
	enum err e = locked->driver->script(
	    locked, "SET LOCAL idle_in_transaction_session_timeout = 0", info);
	if (e == ERR_OK)
		e = locked->driver->is_pooled(locked, &is_pooled, info);
	if (e == ERR_OK && is_pooled)
		e = err_set(info, ERR_UNSUPPORTED, "ARAGORA_DATABASE_URL",
		    "leads through a pooler, but migration %lld (%s) runs "
		    "outside of a transaction: name the server itself for "
		    "`aragora migrate`",
		    (long long)row->version, row->name);
	if (e == ERR_OK)
		e = migrate_connect(settings, false, &db, info);
	if (e == ERR_OK)
		e = migrate_index(db, a, row, info);
	if (db != NULL)
		db->driver->close(db);
	return e;
}

/* ---- one after the other ---- */

static const struct migrate_row *
migrate_find(int64_t version)
{
	for (size_t i = 0; i < migrate_list.n; i++)
		if (migrate_list.rows[i].version == version)
			return &migrate_list.rows[i];
	return NULL;
}

/* A migration and its version row, in the open transaction. */
static enum err
migrate_apply(const struct settings *settings, struct db *db, struct arena *a,
    const struct schema_row *row, struct err_info *info)
{
	struct err_info why = {0};

	log_info("migrate.apply", "version=%lld name=%s",
	    (long long)row->version, row->name);
	enum err e = row->is_alone
	    ? migrate_alone(settings, db, a, migrate_find(row->version), &why)
	    : db->driver->script(db, row->sql, &why);
	if (e != ERR_OK && *why.field != '\0')
		return err_set(info, e, why.field, "%s", why.text);
	if (e != ERR_OK)
		return err_set(info, e, "", "migration %lld (%s): %s",
		    (long long)row->version, row->name, why.text);
	e = DB_RUN(db, STMT_SCHEMA_INSERT, a, NULL, DB_INT(row->version),
	    DB_TEXT(row->sha256), DB_INT(clock_wall_us()), DB_TEXT(row->name),
	    DB_INT(row->min_binary));
	return e == ERR_OK ? e : migrate_failed(db, e, info);
}

/* The next one if any, in the open transaction. */
static enum err
migrate_next(const struct settings *settings, struct db *db, struct arena *a,
    bool *is_applied, struct err_info *info)
{
	struct store_schema schema;
	struct schema_row *rows;
	size_t n;

	enum err e = migrate_make_table(db, a, info);
	if (e == ERR_OK)
		e = schema_read(db, a, &schema, &rows, &n, info);
	if (e == ERR_OK)
		e = schema_check(rows, n, info);
	if (e == ERR_OK && schema.have > schema.want)
		e = store_schema_fits(&schema, info);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		if (rows[i].is_applied)
			continue;
		*is_applied = true;
		return migrate_apply(settings, db, a, &rows[i], info);
	}
	return e;
}

/* One transaction: lock, look, apply. */
static enum err
migrate_step(const struct settings *settings, struct db *db, bool *is_applied,
    struct err_info *info)
{
	struct arena *a = arena_new(0);

	*is_applied = false;
	enum err e = migrate_begin(db, info);
	if (e == ERR_OK) {
		e = migrate_next(settings, db, a, is_applied, info);
		if (e != ERR_OK) {
			db_rollback(db);
		} else {
			e = db_commit(db);
			if (e != ERR_OK)
				e = migrate_failed(db, e, info);
		}
	}
	arena_free(&a);
	return e;
}

static void
migrate_pause(void)
{
	uint32_t random;

	id_random(&random, sizeof(random));
	struct timespec ts = {
	    .tv_nsec =
		(MIGRATE_PAUSE_MIN_MS +
		    random % (MIGRATE_PAUSE_MAX_MS - MIGRATE_PAUSE_MIN_MS)) *
		1000000L};
	nanosleep(&ts, NULL);
}

/* Somebody else migrates, or works on the table: a short try leaves others
 * their turn, a long wait for the lock would stop them all. */
static enum err
migrate_step_tries(const struct settings *settings, struct db *db,
    bool *is_applied, struct err_info *info)
{
	int64_t deadline = clock_mono_ms() + MIGRATE_WAIT_MS;

	for (int try = 0;; try++) {
		enum err e = migrate_step(settings, db, is_applied, info);
		if ((e != ERR_BUSY && e != ERR_RETRY) || db->is_broken ||
		    clock_mono_ms() >= deadline)
			return e;
		if (try == 0)
			log_info("migrate.wait", "reason=\"%s\"", info->text);
		migrate_pause();
	}
}

enum err
store_migrate(
    const struct settings *settings, int *applied, struct err_info *info)
{
	struct db *db = NULL;
	bool is_applied = true;

	*applied = 0;
	enum err e = migrate_connect(settings, true, &db, info);
	while (e == ERR_OK && is_applied) {
		e = migrate_step_tries(settings, db, &is_applied, info);
		if (e == ERR_OK && is_applied)
			(*applied)++;
	}
	if (db != NULL)
		db->driver->close(db);
	return e;
}
