/* SPDX-License-Identifier: MIT */
#include "fcgi/input.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "settings/settings.h"

#define INPUT_PPM 1000000

const struct input_list input_none = {NULL, 0};

int64_t
input_fallback(const struct input *row, const struct settings *s)
{
	return row->kind == INPUT_PAGE && row->fallback == 0
	    ? s->default_pagination
	    : row->fallback;
}

int64_t
input_max(const struct input *row, const struct settings *s)
{
	return row->kind == INPUT_PAGE && row->max == 0 ? s->max_api_limit
							: row->max;
}

/* Place of text in "a|b|c|", -1 when it is none of them. */
static int
input_choose(const char *choices, const char *text)
{
	size_t want = strlen(text);
	int place = 0;

	for (const char *p = choices; *p != '\0'; place++) {
		size_t len = strcspn(p, "|");
		if (len == want && len > 0 && memcmp(p, text, len) == 0)
			return place;
		p += len + (p[len] == '|' ? 1 : 0);
	}
	return -1;
}

static void
input_default(const struct input *row, const struct settings *s, void *slot)
{
	switch (row->kind) {
	case INPUT_TEXT:
		*(const char **)slot = NULL;
		break;
	case INPUT_INT:
	case INPUT_PAGE:
	case INPUT_OFFSET:
	case INPUT_SHARE:
		*(int64_t *)slot = input_fallback(row, s);
		break;
	case INPUT_TIME:
		*(int64_t *)slot = 0;
		break;
	case INPUT_BOOL:
	case INPUT_CHOICE:
		*(int *)slot = -1;
		break;
	}
}

/* A page size out of bounds is made to fit, and text that is no number means
 * the default: clients of every age send such things. */
static void
input_put_page(const struct input *row, const struct settings *s,
    const char *text, int64_t *slot)
{
	int64_t value;
	bool is_page = row->kind == INPUT_PAGE;
	int64_t max = is_page ? input_max(row, s) : INT64_MAX;
	int64_t min = is_page ? 1 : 0;

	*slot = input_fallback(row, s);
	if (str_to_i64(text, INT64_MIN, INT64_MAX, &value) == ERR_OK)
		*slot = value;
	*slot = *slot > max ? max : *slot < min ? min : *slot;
}

static enum err
input_put_share(const struct input *row, const char *text, int64_t *slot,
    struct err_info *info)
{
	double value;

	if (str_to_double(text, &value) != ERR_OK || value < 0 || value > 1)
		return err_set(info, ERR_INVALID, row->key,
		    "must be a number from 0 to 1");
	*slot = (int64_t)(value * INPUT_PPM + 0.5);
	return ERR_OK;
}

static enum err
input_put(const struct input *row, const struct settings *s, const char *text,
    void *slot, struct err_info *info)
{
	bool truth;

	switch (row->kind) {
	case INPUT_TEXT:
		if (row->max > 0 && strlen(text) > (size_t)row->max)
			return err_set(info, ERR_INVALID, row->key,
			    "must not be longer than %lld bytes",
			    (long long)row->max);
		*(const char **)slot = text;
		return ERR_OK;
	case INPUT_INT:
		if (str_to_i64(text, row->min, row->max, slot) != ERR_OK)
			return err_set(info, ERR_INVALID, row->key,
			    "must be an integer from %lld to %lld",
			    (long long)row->min, (long long)row->max);
		return ERR_OK;
	case INPUT_PAGE:
	case INPUT_OFFSET:
		input_put_page(row, s, text, slot);
		return ERR_OK;
	case INPUT_BOOL:
		if (str_to_bool(text, &truth) != ERR_OK)
			return err_set(info, ERR_INVALID, row->key,
			    "must be true or false");
		*(int *)slot = truth;
		return ERR_OK;
	case INPUT_TIME:
		if (clock_parse_iso(text, slot) != ERR_OK)
			return err_set(info, ERR_INVALID, row->key,
			    "must be a time such as 2026-01-31T12:00:00Z");
		return ERR_OK;
	case INPUT_CHOICE:
		*(int *)slot = input_choose(row->choices, text);
		if (*(int *)slot < 0)
			return err_set(info, ERR_INVALID, row->key,
			    "must be one of %.*s",
			    (int)strlen(row->choices) - 1, row->choices);
		return ERR_OK;
	case INPUT_SHARE:
		return input_put_share(row, text, slot, info);
	}
	return ERR_INTERNAL;
}

/* The member's text as a query would hold it, or NULL for a wrong type. */
static const char *
input_json_text(
    const struct input *row, struct arena *a, const struct json *value)
{
	enum json_kind kind = json_kind(value);
	bool is_number = row->kind == INPUT_INT || row->kind == INPUT_PAGE ||
	    row->kind == INPUT_OFFSET;

	if (row->kind == INPUT_BOOL)
		return kind == JSON_BOOL ? json_text(a, value) : NULL;
	if (row->kind == INPUT_SHARE)
		return kind == JSON_INT || kind == JSON_DOUBLE
		    ? json_text(a, value)
		    : NULL;
	if (is_number)
		return kind == JSON_INT ? json_text(a, value) : NULL;
	if (kind != JSON_STRING)
		return NULL;
	return json_str(value, NULL);
}

/* Of the query when there is no body. */
static enum err
input_read(const struct req *req, const struct input *row,
    const struct json *body, void *slot, struct err_info *info)
{
	const struct settings *s = req->app->settings;
	const char *text;

	input_default(row, s, slot);
	if (body != NULL) {
		const struct json *value = json_get(body, row->key);
		text = NULL;
		if (json_kind(value) != JSON_NULL) {
			text = input_json_text(row, req->arena, value);
			if (text == NULL)
				return err_set(info, ERR_INVALID, row->key,
				    "must not be of type %s",
				    json_kind_name(json_kind(value)));
		}
	} else {
		text = url_param(&req->url, row->key);
		if (text != NULL && *text == '\0' && !row->is_required)
			text = NULL; /* ?status= means no filter */
	}
	if (text == NULL && row->is_required)
		return err_set(info, ERR_NOT_FOUND, row->key, "is required");
	return text == NULL ? ERR_OK : input_put(row, s, text, slot, info);
}

static enum http_status
input_read_all(const struct req *req, const struct input_list *list,
    const struct json *body, void *out, struct res *res)
{
	struct err_info infos[INPUT_ERRORS_MAX];
	struct res_field fields[INPUT_ERRORS_MAX];
	const char *code = "INVALID_VALUE";
	size_t n = 0;

	for (size_t i = 0; i < list->n && n < INPUT_ERRORS_MAX; i++) {
		const struct input *row = &list->rows[i];
		enum err e = input_read(
		    req, row, body, (char *)out + row->offset, &infos[n]);
		if (e == ERR_OK)
			continue;
		if (e == ERR_NOT_FOUND && n == 0)
			code = "MISSING_FIELD";
		fields[n] = (struct res_field){infos[n].field, infos[n].text};
		n++;
	}
	return n == 0 ? HTTP_OK : res_invalid(res, code, fields, n);
}

enum http_status
input_read_query(const struct req *req, const struct input_list *list,
    void *out, struct res *res)
{
	return input_read_all(req, list, NULL, out, res);
}

enum http_status
input_read_body(const struct req *req, const struct input_list *list, void *out,
    struct res *res)
{
	return input_read_all(req, list, req->body, out, res);
}

enum err
input_read_object(const struct req *req, const struct input_list *list,
    const struct json *object, void *out, struct err_info *info)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < list->n; i++)
		e = input_read(req, &list->rows[i], object,
		    (char *)out + list->rows[i].offset, info);
	return e;
}
