/* SPDX-License-Identifier: MIT */
#include "fcgi/schemas.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/str.h"

#define S_REQ  SCHEMA_REQUIRED
#define S_NULL SCHEMA_NULL

static const struct schema_row schema_rows[] = {
#define SCHEMA(name, from, text) {.key = name, .base = from, .help = text},
#define FIELD(name, kind, bits, text)                                          \
	{.key = name, .type = kind, .flags = bits, .help = text},
#include "fcgi/schemas.def"
#undef SCHEMA
#undef FIELD
};

const struct schema_row *
schema_first(void)
{
	return schema_rows;
}

const struct schema_row *
schema_end(const struct schema_row *schema)
{
	const struct schema_row *stop = schema_rows + ARRAY_LEN(schema_rows);
	const struct schema_row *end = schema + 1;

	while (end < stop && end->base == NULL)
		end++;
	return end;
}

const struct schema_row *
schema_next(const struct schema_row *schema)
{
	const struct schema_row *end = schema_end(schema);

	return end < schema_rows + ARRAY_LEN(schema_rows) ? end : NULL;
}

const struct schema_row *
schema_find(const char *name)
{
	for (const struct schema_row *s = schema_first(); s != NULL;
	     s = schema_next(s))
		if (str_eq(s->key, name))
			return s;
	return NULL;
}
