/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: the migrations that a program carries, and what the
 * commands on them share. The list is made by embed_sql.awk; a test may link
 * another one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/schema.h"
#include "store/store_tx.h"

struct migrate_row {
	int64_t version;
	const char *name;
	/* The least program, by its newest migration, that works with the
	 * database once this one is applied. */
	int64_t min_binary;
	const char *sqlite; /* "" = nothing to do there */
	const char *pgsql;
	/* The index that it builds or drops outside a transaction on
	 * PostgreSQL; NULL = an ordinary migration. */
	const char *index;
	bool is_building;
	bool is_optional; /* this program works without it */
};

/* In order of version. */
struct migrate_list {
	const struct migrate_row *rows;
	size_t n;
	/* The schemas that this program was made for. */
	int64_t min;
	int64_t newest;
};
extern const struct migrate_list migrate_list;

/* A connection outside any pool; the caller closes it. ERR_NOT_FOUND: there
 * is no such file and is_creating is false. */
enum err migrate_connect(const struct settings *settings, bool is_creating,
    struct db **db, struct err_info *info) MUST_CHECK;
/* Begin a transaction that nobody else migrates in. ERR_BUSY: somebody does;
 * no transaction is open then. */
enum err migrate_begin(struct db *db, struct err_info *info) MUST_CHECK;
/* The table of versions, as this program wants it. */
enum err migrate_make_table(
    struct db *db, struct arena *a, struct err_info *info) MUST_CHECK;
/* Does this row run outside of a transaction here? */
bool migrate_is_alone(const struct db *db, const struct migrate_row *row);
/* db's words about its failure. */
enum err migrate_failed(const struct db *db, enum err e, struct err_info *info);

/* Our migrations and the database's, in order of version, on the arena. */
enum err schema_read(struct db *db, struct arena *a, struct store_schema *out,
    struct schema_row **rows, size_t *n, struct err_info *info) MUST_CHECK;
/* ERR_SCHEMA: they are not one row of history. */
enum err schema_check(
    const struct schema_row *rows, size_t n, struct err_info *info) MUST_CHECK;
