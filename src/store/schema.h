/* SPDX-License-Identifier: MIT
 *
 * The schema of the database and the migrations that make it, for the command
 * that shows and changes them.
 */
#pragma once

#include "base/arena.h"
#include "store/store.h"

/* A migration that this program or the database knows. */
struct schema_row {
	int64_t version;
	const char *name;
	const char *sha256; /* in the database, else ours */
	int64_t min_binary; /* least program for the database after it */
	int64_t applied_us;
	bool is_applied;
	bool is_altered; /* the database's text was not ours */
	bool is_alone;	 /* runs outside of a transaction */
	const char *sql; /* NULL = only the database knows it */
};

/* What the database has and this program brings, in order of version. An empty
 * database is no error. ERR_DOWN, ERR_INVALID as store_open. */
enum err schema_status(const struct settings *settings, struct arena *a,
    struct store_schema *out, struct schema_row **rows, size_t *n,
    struct err_info *info) MUST_CHECK;

struct schema_difference {
	/* missing, unexpected, different, altered (a migration's text) */
	const char *what;
	const char *kind; /* table, column, index, policy, migration, ... */
	const char *table;
	const char *name;
	const char *want; /* definitions; NULL = there should be none */
	const char *have;
};

/* Compares the database with one that the same migrations make: in memory for
 * SQLite, in a schema that is rolled back for PostgreSQL. Tables that no
 * migration knows are left alone. ERR_SCHEMA: empty, or newer than this
 * program. */
enum err schema_verify(const struct settings *settings, struct arena *a,
    struct store_schema *out, struct schema_difference **rows, size_t *n,
    struct err_info *info) MUST_CHECK;
