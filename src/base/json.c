/* SPDX-License-Identifier: MIT
 *
 * The reading side: the only file that knows json-c. A struct json is a
 * json_object under another name, which keeps the library out of every
 * other file at no cost.
 */
#include "base/json.h"

#include <json-c/json.h>
#include <limits.h>
#include <string.h>

#include "base/json_check.h"
#include "base/mem.h"
#include "base/str.h"

static json_object *
json_raw(const struct json *j)
{
	return (json_object *)(uintptr_t)j;
}

static const struct json *
json_wrap(const json_object *o)
{
	return (const struct json *)(const void *)o;
}

static void
json_put(void *arg)
{
	json_object_put(arg);
}

enum err
json_parse(struct arena *a, const char *text, size_t len,
    const struct json_limits *limits, const struct json **out,
    struct err_info *info)
{
	*out = NULL;
	enum err e = json_check(text, len, limits, info);
	if (e != ERR_OK)
		return e;
	if (len > INT_MAX)
		return err_set(info, ERR_TOO_LARGE, "", "JSON over 2 GB");

	struct json_tokener *tok = json_tokener_new_ex(
	    limits != NULL && limits->max_depth > 0 ? limits->max_depth + 2
						    : 32);
	if (tok == NULL)
		mem_exhausted(sizeof(*tok));
	json_object *root = json_tokener_parse_ex(tok, text, (int)len);
	enum json_tokener_error why = json_tokener_get_error(tok);
	if (why == json_tokener_continue) {
		/* A bare number ends only with the text: feed its NUL. */
		root = json_tokener_parse_ex(tok, "", 1);
		why = json_tokener_get_error(tok);
	}
	json_tokener_free(tok);
	if (why != json_tokener_success)
		return err_set(
		    info, ERR_SYNTAX, "", "%s", json_tokener_error_desc(why));
	if (root != NULL)
		arena_defer(a, json_put, root);
	*out = json_wrap(root);
	return ERR_OK;
}

enum json_kind
json_kind(const struct json *j)
{
	switch (json_object_get_type(json_raw(j))) {
	case json_type_null:
		return JSON_NULL;
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_double:
		return JSON_DOUBLE;
	case json_type_int:
		return JSON_INT;
	case json_type_object:
		return JSON_OBJECT;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_string:
		return JSON_STRING;
	}
	return JSON_NULL;
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
	json_object *value = NULL;

	if (json_kind(obj) != JSON_OBJECT)
		return NULL;
	json_object_object_get_ex(json_raw(obj), key, &value);
	return json_wrap(value);
}

size_t
json_len(const struct json *j)
{
	enum json_kind t = json_kind(j);

	if (t == JSON_ARRAY)
		return json_object_array_length(json_raw(j));
	if (t == JSON_OBJECT)
		return (size_t)json_object_object_length(json_raw(j));
	return 0;
}

const struct json *
json_at(const struct json *array, size_t i)
{
	if (json_kind(array) != JSON_ARRAY)
		return NULL;
	return json_wrap(json_object_array_get_idx(json_raw(array), i));
}

bool
json_next(const struct json *obj, void **it, const char **key,
    const struct json **value)
{
	if (json_kind(obj) != JSON_OBJECT)
		return false;
	struct lh_entry *entry = *it == NULL
	    ? lh_table_head(json_object_get_object(json_raw(obj)))
	    : lh_entry_next((struct lh_entry *)*it);
	if (entry == NULL)
		return false;
	*it = entry;
	*key = lh_entry_k(entry);
	*value = json_wrap((json_object *)(uintptr_t)lh_entry_v(entry));
	return true;
}

const char *
json_str(const struct json *j, size_t *len)
{
	if (json_kind(j) != JSON_STRING)
		return NULL;
	if (len != NULL)
		*len = (size_t)json_object_get_string_len(json_raw(j));
	return json_object_get_string(json_raw(j));
}

bool
json_int(const struct json *j, int64_t *out)
{
	if (json_kind(j) != JSON_INT)
		return false;
	*out = json_object_get_int64(json_raw(j));
	return true;
}

bool
json_num(const struct json *j, double *out)
{
	enum json_kind t = json_kind(j);

	if (t != JSON_INT && t != JSON_DOUBLE)
		return false;
	*out = json_object_get_double(json_raw(j));
	return true;
}

bool
json_boolean(const struct json *j, bool *out)
{
	if (json_kind(j) != JSON_BOOL)
		return false;
	*out = json_object_get_boolean(json_raw(j)) != 0;
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

const char *
json_text(struct arena *a, const struct json *j)
{
	size_t len = 0;
	const char *text = json_object_to_json_string_length(json_raw(j),
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	return arena_strndup(a, text, len);
}
