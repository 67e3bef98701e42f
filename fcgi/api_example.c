/* SPDX-License-Identifier: MIT */
#include "fcgi/api_example.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "fcgi/handler.h"
#include "fcgi/routes.h"
#include "fcgi/schemas.h"

/* Schemas within schemas; deeper ones are left empty. */
#define EXAMPLE_DEPTH 4
#define EXAMPLE_TIME  "2026-01-31T12:00:00Z"

static void example_object(
    struct json_w *w, const struct schema_row *schema, int depth);

/* One value of a type word of schemas.def, without its []. */
static void
example_word(struct json_w *w, const char *key, const char *type, int depth)
{
	if (type[0] == '#') {
		json_w_begin(w, key);
		if (depth < EXAMPLE_DEPTH)
			example_object(w, schema_find(type + 1), depth + 1);
		json_w_end(w);
	} else if (str_eq(type, "object")) {
		json_w_begin(w, key);
		json_w_end(w);
	} else if (str_eq(type, "integer")) {
		json_w_int(w, key, 1);
	} else if (str_eq(type, "number") || str_eq(type, "ratio")) {
		json_w_num(w, key, 0.5);
	} else if (str_eq(type, "boolean")) {
		json_w_bool(w, key, true);
	} else {
		json_w_str(
		    w, key, str_eq(type, "time") ? EXAMPLE_TIME : "text");
	}
}

static void
example_member(struct json_w *w, const struct schema_row *f, int depth)
{
	char word[64];
	size_t len = strcspn(f->type, "[");

	if (f->type[len] == '\0') {
		example_word(w, f->key, f->type, depth);
		return;
	}
	snprintf(word, sizeof(word), "%.*s", (int)len, f->type);
	json_w_begin_array(w, f->key);
	example_word(w, NULL, word, depth);
	json_w_end_array(w);
}

/* The members that are needed; where none is, the first. */
static void
example_object(struct json_w *w, const struct schema_row *schema, int depth)
{
	const struct schema_row *first = schema + 1, *end = schema_end(schema);
	bool has_required = false;

	if (*schema->base != '\0')
		example_object(w, schema_find(schema->base), depth);
	for (const struct schema_row *f = first; f < end; f++) {
		if ((f->flags & SCHEMA_REQUIRED) == 0)
			continue;
		example_member(w, f, depth);
		has_required = true;
	}
	if (!has_required && *schema->base == '\0' && first < end)
		example_member(w, first, depth);
}

static const char *
example_input(const struct input *row)
{
	switch (row->kind) {
	case INPUT_INT:
	case INPUT_PAGE:
	case INPUT_OFFSET:
	case INPUT_SHARE:
		return "1";
	case INPUT_BOOL:
		return "true";
	case INPUT_TIME:
		return EXAMPLE_TIME;
	case INPUT_TEXT:
	case INPUT_CHOICE:
		break;
	}
	return "text";
}

/* "{id}" is ID. */
static void
example_path(struct buf *out, const char *pattern)
{
	bool is_name = false;

	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '{' || *p == '}')
			is_name = *p == '{';
		else if (is_name && *p >= 'a' && *p <= 'z')
			buf_putc(out, (char)(*p - 'a' + 'A'));
		else
			buf_putc(out, *p);
	}
}

static void
example_query(struct buf *out, struct arena *a, const struct input_list *inputs)
{
	char mark = '?';

	for (size_t i = 0; i < inputs->n; i++) {
		const struct input *row = &inputs->rows[i];
		const char *value = example_input(row);
		if (!row->is_required)
			continue;
		if (row->kind == INPUT_CHOICE)
			value = arena_strndup(
			    a, row->choices, strcspn(row->choices, "|"));
		buf_printf(out, "%c%s=%s", mark, row->key, value);
		mark = '&';
	}
}

static void
example_body(struct buf *out, const char *schema)
{
	struct json_w w;

	buf_puts(out, " -H 'Content-Type: application/json' -d '");
	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	example_object(&w, schema_find(schema), 0);
	json_w_end(&w);
	buf_puts(out, "'");
}

void
api_example(struct buf *out, struct arena *a, size_t index)
{
	const struct route *r = route_at(index);

	buf_puts(out, "curl");
	if (r->method != HTTP_GET)
		buf_printf(out, " -X %s", http_method_name(r->method));
	buf_puts(out, " \"$ARAGORA");
	example_path(out, r->pattern);
	example_query(out, a, handler_at(index)->inputs);
	buf_puts(out, "\"");
	if (r->auth != ROUTE_OPEN && r->auth != ROUTE_PUBLIC)
		buf_puts(out, " -H \"Authorization: Bearer $TOKEN\"");
	if (*r->body != '\0')
		example_body(out, r->body);
}
