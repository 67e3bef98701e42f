/* SPDX-License-Identifier: MIT
 *
 * One span of a trace, by value: its texts are copies within it, so that it
 * can be queued and dropped without a thought. What has no room is cut or left
 * out; a span never allocates.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/trace.h"

#define SPAN_ATTRS_MAX	16
#define SPAN_TEXT_MAX	768 /* bytes of all texts with their NULs */
#define SPAN_VALUE_MAX	128 /* bytes of one of them */
#define SPAN_ERROR_SIZE 16

/* The numbers are those of OTLP. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };

enum span_attr {
#define SPAN_ATTR(id, type, name, where, help) SPAN_ATTR_##id,
#include "telemetry/span_attr.def"
#undef SPAN_ATTR
	SPAN_ATTR__COUNT
};
const char *span_attr_name(enum span_attr id);
bool span_attr_is_int(enum span_attr id);

struct span_value {
	enum span_attr id;
	int64_t number; /* or where its text begins */
};

struct span {
	struct trace trace;		 /* span: this one */
	char parent[TRACE_SPAN_LEN + 1]; /* "" = it is the trace's first */
	enum span_kind kind;
	bool is_error;
	int64_t start_us, end_us; /* wall clock */
	size_t n_attrs;
	struct span_value attrs[SPAN_ATTRS_MAX];
	size_t text_len;
	char text[SPAN_TEXT_MAX]; /* the name first */
};

/* parent may be "". */
void span_init(struct span *s, const struct trace *trace, const char *parent,
    enum span_kind kind, const char *name);
const char *span_name(const struct span *s);
/* NULL and "" are left out. */
void span_text(struct span *s, enum span_attr id, const char *value);
void span_int(struct span *s, enum span_attr id, int64_t value);
/* It failed; type is of a small set: a status, a class, a word. */
void span_error(struct span *s, const char *type);
/* The same with an HTTP status, if that is one of the server's own. */
void span_http_status(struct span *s, int status);
