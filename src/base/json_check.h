/* SPDX-License-Identifier: MIT
 *
 * The strict JSON check behind json_parse and json_validate, and the tree that
 * it leaves on the way: for json.c.
 */
#pragma once

#include "base/json.h"

struct json_member;

/* 16 bytes a value beside its text, no hash tables: events of a stream and
 * what turns keep are small objects. */
struct json {
	enum json_kind kind;
	uint32_t n; /* bytes of a text, items, members */
	union {
		bool is_true;
		int64_t whole;
		const char *text; /* of a string; of a number as it stands */
		const struct json *items;
		const struct json_member *members;
	};
};

struct json_member {
	const char *key; /* NULL in an array */
	struct json value;
};

/* With a tree on the arena; tree NULL = none. */
enum err json_check(const char *text, size_t len,
    const struct json_limits *limits, struct arena *a, struct json *tree,
    struct err_info *info) MUST_CHECK;
