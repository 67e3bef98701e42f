/* SPDX-License-Identifier: MIT
 *
 * The rows of schemas.def as data: OpenAPI and the page of the API are made
 * from them.
 */
#pragma once

#define SCHEMA_REQUIRED 1
#define SCHEMA_NULL	2

/* A row with a base begins a schema; one without is a member of the last. */
struct schema_row {
	const char *key;
	const char *base; /* NULL = a member, "" = none */
	const char *type; /* of a member */
	int flags;
	const char *help;
};

/* Each schema in turn; NULL behind the last. Its members are the rows behind
 * it, up to schema_end. */
const struct schema_row *schema_first(void);
const struct schema_row *schema_next(const struct schema_row *schema);
const struct schema_row *schema_end(const struct schema_row *schema);
/* NULL = there is none of that name. */
const struct schema_row *schema_find(const char *name);
