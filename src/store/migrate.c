/* SPDX-License-Identifier: MIT
 *
 * Numbered, hashed, append-only migrations (sql/, embedded by the makefile).
 * Each runs in its own transaction together with its version row, under a
 * lock, with the version read again inside it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/migrate.h"
#include "store/store_tx.h"

static const char migrate_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL "
    "PRIMARY KEY, sha256 TEXT NOT NULL, applied_us BIGINT NOT NULL)";

static const char *
migrate_text(const struct db *db, const struct migrate_row *row)
{
	return db->driver == &db_sqlite ? row->sqlite : row->pgsql;
}

/* A connection outside any pool, for the schema commands. */
static enum err
migrate_connect(const struct settings *settings, bool is_creating,
    struct db **db, char **target, struct err_info *info)
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
	*target = t.target;
	return e;
}

static enum err
migrate_failed(const struct db *db, enum err e, struct err_info *info)
{
	return err_set(info, e, db->info.field, "%s", db->info.text);
}

/* Newest version present; every known one must have our hash. */
static enum err
migrate_version(
    struct db *db, struct arena *a, int64_t *have, struct err_info *info)
{
	struct db_result r;

	*have = 0;
	enum err e = db_run(db, STMT_SCHEMA_LIST, NULL, 0, a, &r);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	for (size_t i = 0; i < r.rows; i++) {
		int64_t version = db_int(&r, i, 0);
		char hash[ID_HASH_SIZE];
		*have = version;
		if (version > migrate_list.newest)
			break;
		if (i >= migrate_list.n ||
		    version != migrate_list.rows[i].version)
			return err_set(info, ERR_SCHEMA, "",
			    "migration %zu is missing in the database", i + 1);
		const char *sql = migrate_text(db, &migrate_list.rows[i]);
		id_sha256(sql, strlen(sql), hash);
		if (!str_eq(hash, db_text(&r, i, 1)))
			return err_set(info, ERR_SCHEMA, "",
			    "migration %lld in the database differs from ours",
			    (long long)version);
	}
	return ERR_OK;
}

enum err
store_schema(const struct settings *settings, struct store_schema *out,
    struct err_info *info)
{
	struct db *db = NULL;
	char *target = NULL;
	struct arena *a = arena_new(0);
	bool has = false;

	*out = (struct store_schema){.want = migrate_list.newest};
	enum err e = migrate_connect(settings, false, &db, &target, info);
	if (e == ERR_OK)
		e = db->driver->has_schema(db, &has, info);
	if (e == ERR_OK && has)
		e = migrate_version(db, a, &out->have, info);
	if (db != NULL)
		db->driver->close(db);
	free(target);
	arena_free(&a);
	return e == ERR_NOT_FOUND ? ERR_OK : e; /* no file: version 0 */
}

/* The next migration and its version row, in the open transaction. */
static enum err
migrate_apply(
    struct db *db, struct arena *a, int64_t version, struct err_info *info)
{
	const struct migrate_row *row = migrate_list.rows;

	while (row->version < version)
		row++;
	const char *sql = migrate_text(db, row);
	char hash[ID_HASH_SIZE];

	id_sha256(sql, strlen(sql), hash);
	enum err e = db->driver->script(db, sql, info);
	if (e != ERR_OK)
		return e;
	e = DB_RUN(db, STMT_SCHEMA_INSERT, a, NULL, DB_INT(version),
	    DB_TEXT(hash), DB_INT(clock_wall_us()));
	return e == ERR_OK ? e : migrate_failed(db, e, info);
}

/* One transaction: lock, look, apply the next one if any. */
static enum err
migrate_step(
    struct db *db, struct arena *a, bool *is_applied, struct err_info *info)
{
	int64_t have = 0;

	enum err e = db_begin(db, DB_WRITE);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	e = db->driver->lock_schema(db, info);
	if (e == ERR_OK)
		e = db->driver->script(db, migrate_table, info);
	if (e == ERR_OK)
		e = migrate_version(db, a, &have, info);
	if (e == ERR_OK && have > migrate_list.newest)
		e = err_set(info, ERR_SCHEMA, "",
		    "database schema %lld is newer than this program's %lld",
		    (long long)have, (long long)migrate_list.newest);
	*is_applied = e == ERR_OK && have < migrate_list.newest;
	if (*is_applied)
		e = migrate_apply(db, a, have + 1, info);
	if (e != ERR_OK) {
		db_rollback(db);
		return e;
	}
	e = db_commit(db);
	return e == ERR_OK ? e : migrate_failed(db, e, info);
}

enum err
store_migrate(
    const struct settings *settings, int *applied, struct err_info *info)
{
	struct db *db = NULL;
	char *target = NULL;
	struct arena *a = arena_new(0);
	bool is_applied = true;

	*applied = 0;
	enum err e = migrate_connect(settings, true, &db, &target, info);
	while (e == ERR_OK && is_applied) {
		e = migrate_step(db, a, &is_applied, info);
		if (e == ERR_OK && is_applied)
			(*applied)++;
	}
	if (db != NULL)
		db->driver->close(db);
	free(target);
	arena_free(&a);
	return e;
}
