/* SPDX-License-Identifier: MIT
 *
 * Inside of the copy's side of PostgreSQL: the parts of its driver record, by
 * the file that has them. What each does: struct copy_driver (copy_db.h).
 */
#pragma once

#include <libpq-fe.h>

#include "store/copy_db.h"

#define COPY_PGSQL_SQL_MAX (1 << 20)

struct copy_pgsql_db {
	struct copy_db base;
	PGconn *handle;
	const struct copy_table *table; /* of the scan or the load */
	char *data;			/* of the row a scan gave */
	bool is_begun;			/* the scan's header is read */
	struct buf out;			/* rows to be sent */
};

/* ---- copy_pgsql.c ---- */

struct copy_pgsql_db *copy_pgsql_db(struct copy_db *db);
/* What went wrong; res may be NULL. */
enum err copy_pgsql_error(
    struct copy_pgsql_db *c, const PGresult *res, struct err_info *info);
enum err copy_pgsql_exec(
    struct copy_db *db, const char *sql, struct err_info *info);
enum err copy_pgsql_query(struct copy_db *db, const char *sql,
    const struct copy_value *params, size_t n, const char *kinds,
    struct arena *a, struct copy_result *out, struct err_info *info);

/* ---- copy_pgsql_catalog.c ---- */

enum err copy_pgsql_catalog(struct copy_db *db, struct arena *a,
    struct copy_schema *out, struct copy_report *r, struct err_info *info);
enum err copy_pgsql_check(struct copy_db *db, const struct copy_schema *s,
    bool is_source, bool is_writing, struct arena *a, struct copy_report *r,
    struct err_info *info);
enum err copy_pgsql_space(struct copy_db *db, int64_t *used,
    int64_t *free_bytes, struct err_info *info);

/* ---- copy_pgsql_rows.c ---- */

enum err copy_pgsql_scan(struct copy_db *db, const struct copy_table *t,
    const struct copy_value *after, struct err_info *info);
enum err copy_pgsql_next(struct copy_db *db, struct copy_value *row, bool *has,
    struct err_info *info);
enum err copy_pgsql_load(
    struct copy_db *db, const struct copy_table *t, struct err_info *info);
enum err copy_pgsql_put(
    struct copy_db *db, const struct copy_value *row, struct err_info *info);
enum err copy_pgsql_loaded(struct copy_db *db, struct err_info *info);

/* ---- copy_pgsql_watch.c ---- */

enum err copy_pgsql_watch(struct copy_db *db, const struct copy_table *t,
    struct arena *a, struct err_info *info);
enum err copy_pgsql_freeze(struct copy_db *db, const struct copy_schema *s,
    struct arena *a, struct err_info *info);
enum err copy_pgsql_unwatch(struct copy_db *db, const struct copy_table *t,
    struct arena *a, struct err_info *info);
enum err copy_pgsql_recount(struct copy_db *db, const struct copy_table *t,
    struct arena *a, struct err_info *info);
