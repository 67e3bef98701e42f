/* SPDX-License-Identifier: MIT
 *
 * Which migrations the database has, which ones this program brings, and
 * whether the two fit together.
 */
#include "store/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/migrate.h"

static const char *
schema_text(const struct db *db, const struct migrate_row *row)
{
	return db->driver == &db_sqlite ? row->sqlite : row->pgsql;
}

static struct schema_row
schema_ours(const struct db *db, struct arena *a, const struct migrate_row *row)
{
	const char *sql = schema_text(db, row);
	char hash[ID_HASH_SIZE];

	id_sha256(sql, strlen(sql), hash);
	return (struct schema_row){.version = row->version,
	    .name = row->name,
	    .sha256 = arena_strdup(a, hash),
	    .min_binary = row->min_binary,
	    .is_alone = migrate_is_alone(db, row),
	    .sql = sql};
}

/* A row of the database into ours of the same version, or a new one. */
static void
schema_theirs(struct schema_row *row, const struct db_result *r, size_t i)
{
	const char *hash = db_text(r, i, 1);

	row->version = db_int(r, i, 0);
	row->is_altered = row->sql != NULL && !str_eq(row->sha256, hash);
	row->sha256 = hash;
	row->applied_us = db_int(r, i, 2);
	row->is_applied = true;
}

/* What a newer program wrote about its migrations. Only there the columns are
 * sure to exist. */
static enum err
schema_newer(struct db *db, struct arena *a, struct schema_row *rows, size_t n)
{
	struct db_result r;

	enum err e =
	    DB_RUN(db, STMT_SCHEMA_NEWER, a, &r, DB_INT(migrate_list.newest));
	for (size_t i = 0, k = 0; e == ERR_OK && i < r.rows; i++) {
		while (k < n && rows[k].version < db_int(&r, i, 0))
			k++;
		if (k == n)
			break;
		rows[k].name = db_text(&r, i, 1);
		/* A row without it admits nothing older. */
		rows[k].min_binary = db_int(&r, i, 2);
		if (rows[k].min_binary == 0)
			rows[k].min_binary = rows[k].version;
	}
	return e;
}

static void
schema_sum(struct store_schema *out, const struct schema_row *rows, size_t n)
{
	*out = (struct store_schema){
	    .min = migrate_list.min, .want = migrate_list.newest};
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].is_applied)
			continue;
		out->have = rows[i].version;
		if (rows[i].min_binary > out->min_binary)
			out->min_binary = rows[i].min_binary;
	}
	out->is_served = out->have >= out->min &&
	    (out->have <= out->want || out->min_binary <= out->want);
}

enum err
schema_read(struct db *db, struct arena *a, struct store_schema *out,
    struct schema_row **rows, size_t *n, struct err_info *info)
{
	struct db_result r = {0};
	bool has = false;
	size_t ours = 0;

	schema_sum(out, NULL, 0);
	enum err e = db->driver->has_schema(db, &has, info);
	if (e != ERR_OK)
		return e;
	if (has)
		e = db_run(db, STMT_SCHEMA_LIST, NULL, 0, a, &r);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	*rows = ARENA_ARRAY(a, r.rows + migrate_list.n + 1, struct schema_row);
	*n = 0;
	for (size_t i = 0; i < r.rows || ours < migrate_list.n;) {
		struct schema_row *row = &(*rows)[(*n)++];
		int64_t theirs = i < r.rows ? db_int(&r, i, 0) : INT64_MAX;
		*row = (struct schema_row){.name = ""};
		if (ours < migrate_list.n &&
		    migrate_list.rows[ours].version <= theirs)
			*row = schema_ours(db, a, &migrate_list.rows[ours++]);
		if (row->sql == NULL || row->version == theirs)
			schema_theirs(row, &r, i++);
	}
	if (*n > 0 && (*rows)[*n - 1].version > migrate_list.newest)
		e = schema_newer(db, a, *rows, *n);
	if (e != ERR_OK)
		return migrate_failed(db, e, info);
	schema_sum(out, *rows, *n);
	return ERR_OK;
}

enum err
schema_check(const struct schema_row *rows, size_t n, struct err_info *info)
{
	const struct schema_row *absent = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct schema_row *row = &rows[i];
		long long version = (long long)row->version;
		if (row->is_altered)
			return err_set(info, ERR_SCHEMA, "",
			    "migration %lld in the database differs from ours",
			    version);
		if (row->sql == NULL && row->version < migrate_list.newest)
			return err_set(info, ERR_SCHEMA, "",
			    "migration %lld in the database is not one of ours",
			    version);
		if (!row->is_applied && absent == NULL)
			absent = row;
		if (row->is_applied && absent != NULL)
			return err_set(info, ERR_SCHEMA, "",
			    "migration %lld is missing in the database, which "
			    "has %lld",
			    (long long)absent->version, version);
	}
	return ERR_OK;
}

enum err
store_schema_fits(const struct store_schema *s, struct err_info *info)
{
	if (s->is_served)
		return ERR_OK;
	if (s->have < s->min)
		return err_set(info, ERR_SCHEMA, "",
		    "database schema is version %lld, this program needs %lld: "
		    "run `aragora migrate`",
		    (long long)s->have, (long long)s->min);
	return err_set(info, ERR_SCHEMA, "",
	    "database schema is version %lld, newer than the %lld this program "
	    "knows, and wants programs of at least %lld: upgrade this one",
	    (long long)s->have, (long long)s->want, (long long)s->min_binary);
}

void
store_schema_range(struct store_schema *out)
{
	schema_sum(out, NULL, 0);
}

static enum err
schema_look(const struct settings *settings, struct arena *a,
    struct store_schema *out, struct schema_row **rows, size_t *n,
    struct err_info *info)
{
	struct db *db = NULL;

	schema_sum(out, NULL, 0);
	enum err e = migrate_connect(settings, false, &db, info);
	if (e == ERR_OK)
		e = schema_read(db, a, out, rows, n, info);
	if (db != NULL)
		db->driver->close(db);
	return e;
}

enum err
store_schema(const struct settings *settings, struct store_schema *out,
    struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct schema_row *rows = NULL;
	size_t n = 0;

	enum err e = schema_look(settings, a, out, &rows, &n, info);
	if (e == ERR_OK)
		e = schema_check(rows, n, info);
	arena_free(&a);
	return e == ERR_NOT_FOUND ? ERR_OK : e; /* no file: version 0 */
}

/* As an empty database of that kind would be read. */
static void
schema_empty(const struct settings *settings, struct arena *a,
    struct schema_row **rows, size_t *n)
{
	struct store_target t = {0};

	if (store_target(settings, &t, NULL) != ERR_OK)
		return;
	struct db db = {.driver = t.driver};
	*rows = ARENA_ARRAY(a, migrate_list.n + 1, struct schema_row);
	for (*n = 0; *n < migrate_list.n; (*n)++)
		(*rows)[*n] = schema_ours(&db, a, &migrate_list.rows[*n]);
	free(t.target);
}

enum err
schema_status(const struct settings *settings, struct arena *a,
    struct store_schema *out, struct schema_row **rows, size_t *n,
    struct err_info *info)
{
	*rows = NULL;
	*n = 0;
	enum err e = schema_look(settings, a, out, rows, n, info);
	if (e != ERR_NOT_FOUND)
		return e;
	schema_empty(settings, a, rows, n);
	return ERR_OK;
}
