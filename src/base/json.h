/* SPDX-License-Identifier: MIT
 *
 * JSON (RFC 8259). Reading: our own strict check first (duplicate keys, NaN
 * and infinities, numbers out of range such as 1e999, lone surrogates, raw
 * control characters, NUL in strings, bad UTF-8, depth and size), which leaves
 * a small tree on the arena. Writing: straight into a buf.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct json; /* a borrowed value, alive as long as the arena it came with */

enum json_kind {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_DOUBLE,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
	JSON__COUNT
};

struct json_limits {
	size_t max_bytes; /* 0 = 10 MB */
	int max_depth;	  /* 0 = 20 */
};

/* Strict parse. limits may be NULL. The tree hangs on the arena. Errors:
 * ERR_SYNTAX (text says what and at which byte; field holds the path of the
 * enclosing member, e.g. "protocol.rounds"), ERR_TOO_LARGE (size or depth). */
enum err json_parse(struct arena *a, const char *text, size_t len,
    const struct json_limits *limits, const struct json **out,
    struct err_info *info) MUST_CHECK;
/* The same check without building anything. */
enum err json_validate(const char *text, size_t len,
    const struct json_limits *limits, struct err_info *info) MUST_CHECK;

/* j may be NULL everywhere: JSON_NULL, absent, empty. */
enum json_kind json_kind(const struct json *j);
const char *json_kind_name(enum json_kind t);
const struct json *json_get(const struct json *obj, const char *key);
size_t json_len(const struct json *array_or_object);
const struct json *json_at(const struct json *array, size_t i);
/* Iterate an object: start with *it = NULL; false at the end. */
bool json_next(const struct json *obj, void **it, const char **key,
    const struct json **value);

/* NULL unless a string. len may be NULL. */
const char *json_str(const struct json *j, size_t *len);
/* false unless of that type; json_num takes integers too. */
bool json_int(const struct json *j, int64_t *out);
bool json_num(const struct json *j, double *out);
bool json_boolean(const struct json *j, bool *out);
/* Shorthands for stored JSON we wrote ourselves. */
const char *json_get_str(
    const struct json *obj, const char *key, const char *fallback);
int64_t json_get_int(const struct json *obj, const char *key, int64_t fallback);
double json_get_num(const struct json *obj, const char *key, double fallback);
bool json_get_bool(const struct json *obj, const char *key, bool fallback);
/* The value as compact JSON text on the arena. */
const char *json_text(struct arena *a, const struct json *j);

/* Writer. key is NULL inside arrays and at top level. Strings that are not
 * valid UTF-8 are written with U+FFFD for the bad bytes and for NUL, so what
 * is written here json_parse takes. NULL strings become null. Doubles are
 * written as shortest text that reads back equal; NaN and infinities become 0.
 */
struct json_w {
	struct buf *buf;
	bool needs_comma;
};
void json_w_init(struct json_w *w, struct buf *b);
void json_w_begin(struct json_w *w, const char *key);	    /* { */
void json_w_end(struct json_w *w);			    /* } */
void json_w_begin_array(struct json_w *w, const char *key); /* [ */
void json_w_end_array(struct json_w *w);		    /* ] */
void json_w_str(struct json_w *w, const char *key, const char *value);
void json_w_strn(
    struct json_w *w, const char *key, const char *value, size_t len);
void json_w_int(struct json_w *w, const char *key, int64_t value);
void json_w_num(struct json_w *w, const char *key, double value);
void json_w_bool(struct json_w *w, const char *key, bool value);
void json_w_null(struct json_w *w, const char *key);
/* value is JSON text already (NULL = null). */
void json_w_raw(struct json_w *w, const char *key, const char *value);
/* A tree read earlier. */
void json_w_json(struct json_w *w, const char *key, const struct json *value);
/* ISO 8601 from microseconds, null when 0. */
void json_w_time(struct json_w *w, const char *key, int64_t wall_us);
