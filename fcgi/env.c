/* SPDX-License-Identifier: MIT */
#include "fcgi/env.h"

#include <stdbool.h>
#include <string.h>

#include "base/attr.h"

#define ENV_MERGED 2

static const struct {
	const char *name;
	size_t len;
	int is_single;
} env_rows[ENV__COUNT] = {
#define ENVVAR(id, text, single) [ENV_##id] = {text, sizeof(text) - 1, single},
#include "fcgi/env.def"
#undef ENVVAR
};

void
env_add(struct env *e, const char *name, size_t name_len, const char *value)
{
	for (size_t i = 0; i < ENV__COUNT; i++) {
		if (env_rows[i].len != name_len ||
		    memcmp(env_rows[i].name, name, name_len) != 0)
			continue;
		bool is_merged = env_rows[i].is_single == ENV_MERGED &&
		    strstr(value, ", ") != NULL;
		if ((e->value[i] != NULL && env_rows[i].is_single != 0) ||
		    is_merged)
			e->duplicate = env_rows[i].name;
		if (e->value[i] == NULL || i == ENV_FORWARDED_FOR)
			e->value[i] = value;
		/* Two of them are none (W3C Trace Context 3.2.1). */
		else if (i == ENV_TRACEPARENT)
			e->value[i] = "";
		return;
	}
}

const char *
env_get(const struct env *e, enum env_var v)
{
	return e->value[v] == NULL ? "" : e->value[v];
}
