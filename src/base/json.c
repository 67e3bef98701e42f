/* SPDX-License-Identifier: MIT
 *
 * The reading side: the tree that json_check.c builds.
 */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_check.h"
#include "base/str.h"

/* As callers see it: null is nothing. */
static const struct json *
json_shown(const struct json *j)
{
	return j->kind != JSON_NULL ? j : NULL;
}

enum err
json_parse(struct arena *a, const char *text, size_t len,
    const struct json_limits *limits, const struct json **out,
    struct err_info *info)
{
	struct json *tree = ARENA_NEW(a, struct json);

	*out = NULL;
	if (len > UINT32_MAX / 2)
		return err_set(info, ERR_TOO_LARGE, "", "JSON over 2 GB");
	enum err e = json_check(text, len, limits, a, tree, info);
	if (e == ERR_OK)
		*out = json_shown(tree);
	return e;
}

enum err
json_validate(const char *text, size_t len, const struct json_limits *limits,
    struct err_info *info)
{
	return json_check(text, len, limits, NULL, NULL, info);
}

enum json_kind
json_kind(const struct json *j)
{
	return j != NULL ? j->kind : JSON_NULL;
}

const char *
json_kind_name(enum json_kind t)
{
	static const char *const names[JSON__COUNT] = {
	    [JSON_NULL] = "null",
	    [JSON_BOOL] = "a boolean",
	    [JSON_INT] = "an integer",
	    [JSON_DOUBLE] = "a number",
	    [JSON_STRING] = "a string",
	    [JSON_ARRAY] = "an array",
	    [JSON_OBJECT] = "an object",
	};
	return names[t];
}

const struct json *
json_get(const struct json *obj, const char *key)
{
	if (json_kind(obj) != JSON_OBJECT)
		return NULL;
	for (size_t i = 0; i < obj->n; i++)
		if (strcmp(obj->members[i].key, key) == 0)
			return json_shown(&obj->members[i].value);
	return NULL;
}

size_t
json_len(const struct json *j)
{
	enum json_kind t = json_kind(j);

	return t == JSON_ARRAY || t == JSON_OBJECT ? j->n : 0;
}

const struct json *
json_at(const struct json *array, size_t i)
{
	if (json_kind(array) != JSON_ARRAY || i >= array->n)
		return NULL;
	return json_shown(&array->items[i]);
}

bool
json_next(const struct json *obj, void **it, const char **key,
    const struct json **value)
{
	if (json_kind(obj) != JSON_OBJECT)
		return false;
	const struct json_member *m =
	    *it == NULL ? obj->members : (const struct json_member *)*it + 1;
	if (m == obj->members + obj->n)
		return false;
	*it = (void *)(uintptr_t)m;
	*key = m->key;
	*value = json_shown(&m->value);
	return true;
}

const char *
json_str(const struct json *j, size_t *len)
{
	if (json_kind(j) != JSON_STRING)
		return NULL;
	if (len != NULL)
		*len = j->n;
	return j->text;
}

bool
json_int(const struct json *j, int64_t *out)
{
	if (json_kind(j) != JSON_INT)
		return false;
	*out = j->whole;
	return true;
}

bool
json_num(const struct json *j, double *out)
{
	switch (json_kind(j)) {
	case JSON_INT:
		*out = (double)j->whole;
		return true;
	case JSON_DOUBLE:
		*out = strtod(j->text, NULL);
		return true;
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT:
	case JSON__COUNT:
		break;
	}
	return false;
}

bool
json_boolean(const struct json *j, bool *out)
{
	if (json_kind(j) != JSON_BOOL)
		return false;
	*out = j->is_true;
	return true;
}

const char *
json_get_str(const struct json *obj, const char *key, const char *fallback)
{
	const char *text = json_str(json_get(obj, key), NULL);
	return text != NULL ? text : fallback;
}

int64_t
json_get_int(const struct json *obj, const char *key, int64_t fallback)
{
	json_int(json_get(obj, key), &fallback);
	return fallback;
}

double
json_get_num(const struct json *obj, const char *key, double fallback)
{
	json_num(json_get(obj, key), &fallback);
	return fallback;
}

bool
json_get_bool(const struct json *obj, const char *key, bool fallback)
{
	json_boolean(json_get(obj, key), &fallback);
	return fallback;
}

/* ---- as text again ---- */

static void
json_put_string(struct buf *b, const char *text, size_t len)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";

	buf_putc(b, '"');
	for (size_t i = 0; i < len; i++) {
		size_t run = i;
		while (run < len && (unsigned char)text[run] >= 0x20 &&
		    text[run] != '"' && text[run] != '\\')
			run++;
		buf_append(b, text + i, run - i);
		i = run;
		if (i == len)
			break;
		unsigned char ch = (unsigned char)text[i];
		const char *short_form = strchr(from, ch);
		if (short_form != NULL)
			buf_printf(b, "\\%c", to[short_form - from]);
		else
			buf_printf(b, "\\u%04x", ch);
	}
	buf_putc(b, '"');
}

static void json_put(struct buf *b, const struct json *j);

static void
json_put_object(struct buf *b, const struct json *j)
{
	buf_putc(b, '{');
	for (size_t i = 0; i < j->n; i++) {
		const struct json_member *m = &j->members[i];
		if (i > 0)
			buf_putc(b, ',');
		json_put_string(b, m->key, strlen(m->key));
		buf_putc(b, ':');
		json_put(b, &m->value);
	}
	buf_putc(b, '}');
}

static void
json_put_array(struct buf *b, const struct json *j)
{
	buf_putc(b, '[');
	for (size_t i = 0; i < j->n; i++) {
		if (i > 0)
			buf_putc(b, ',');
		json_put(b, &j->items[i]);
	}
	buf_putc(b, ']');
}

/* Numbers with a fraction as they were written. */
static void
json_put(struct buf *b, const struct json *j)
{
	switch (j->kind) {
	case JSON_BOOL:
		buf_puts(b, j->is_true ? "true" : "false");
		return;
	case JSON_INT:
		buf_printf(b, "%lld", (long long)j->whole);
		return;
	case JSON_DOUBLE:
		buf_append(b, j->text, j->n);
		return;
	case JSON_STRING:
		json_put_string(b, j->text, j->n);
		return;
	case JSON_ARRAY:
		json_put_array(b, j);
		return;
	case JSON_OBJECT:
		json_put_object(b, j);
		return;
	case JSON_NULL:
	case JSON__COUNT:
		break;
	}
	buf_puts(b, "null");
}

const char *
json_text(struct arena *a, const struct json *j)
{
	const struct json nothing = {.kind = JSON_NULL};
	struct buf b;

	buf_init(&b, SIZE_MAX / 8);
	json_put(&b, j != NULL ? j : &nothing);
	const char *text = arena_strndup(a, buf_text(&b), b.len);
	buf_release(&b);
	return text;
}
