/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: the migrations that a program carries. The list is
 * made by embed_sql.awk; a test may link another one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
