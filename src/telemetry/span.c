/* SPDX-License-Identifier: MIT */
#include "telemetry/span.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct span_attr_row {
	const char *name;
	bool is_int;
};

enum { SPAN_TYPE_TEXT, SPAN_TYPE_INT };

static const struct span_attr_row span_attr_rows[SPAN_ATTR__COUNT] = {
#define SPAN_ATTR(id, type, text, where, help)                                 \
	[SPAN_ATTR_##id] = {text, SPAN_TYPE_##type == SPAN_TYPE_INT},
#include "telemetry/span_attr.def"
#undef SPAN_ATTR
};

const char *
span_attr_name(enum span_attr id)
{
	return span_attr_rows[id].name;
}

bool
span_attr_is_int(enum span_attr id)
{
	return span_attr_rows[id].is_int;
}

/* Where the copy begins; false: there is no room. */
static bool
span_keep(struct span *s, const char *value, int64_t *at)
{
	size_t len = str_utf8_cut(value, strlen(value), SPAN_VALUE_MAX);

	if (s->text_len + len + 1 > sizeof(s->text))
		return false;
	*at = (int64_t)s->text_len;
	memcpy(s->text + s->text_len, value, len);
	s->text[s->text_len + len] = '\0';
	s->text_len += len + 1;
	return true;
}

void
span_init(struct span *s, const struct trace *trace, const char *parent,
    enum span_kind kind, const char *name)
{
	int64_t at;

	s->trace = *trace;
	snprintf(s->parent, sizeof(s->parent), "%s", parent);
	s->kind = kind;
	s->is_error = false;
	s->start_us = 0;
	s->end_us = 0;
	s->n_attrs = 0;
	s->text_len = 0;
	(void)span_keep(s, name, &at);
}

const char *
span_name(const struct span *s)
{
	return s->text;
}

static void
span_add(struct span *s, enum span_attr id, int64_t number)
{
	if (s->n_attrs < SPAN_ATTRS_MAX)
		s->attrs[s->n_attrs++] =
		    (struct span_value){.id = id, .number = number};
}

void
span_text(struct span *s, enum span_attr id, const char *value)
{
	int64_t at;

	assert(!span_attr_is_int(id));
	if (!str_is_empty(value) && span_keep(s, value, &at))
		span_add(s, id, at);
}

void
span_int(struct span *s, enum span_attr id, int64_t value)
{
	assert(span_attr_is_int(id));
	span_add(s, id, value);
}

void
span_error(struct span *s, const char *type)
{
	s->is_error = true;
	span_text(s, SPAN_ATTR_ERROR, type);
}

void
span_http_status(struct span *s, int status)
{
	char text[SPAN_ERROR_SIZE];

	span_int(s, SPAN_ATTR_STATUS, status);
	if (status < 500)
		return;
	snprintf(text, sizeof(text), "%d", status);
	span_error(s, text);
}
