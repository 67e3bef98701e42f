/* SPDX-License-Identifier: MIT */
#include "debate/config_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define FIELD_TEXT_MAX	    200
#define FIELD_DOCUMENTS_MAX 100

enum field_type {
	FIELD_ANY, /* config.c reads it */
	FIELD_TEXT,
	FIELD_WORD, /* one of words */
	FIELD_BOOL,
	FIELD_NUMBER, /* min to max */
	FIELD_OBJECT,
	FIELD_ARRAY, /* at most max entries */
	FIELD_PART   /* text that becomes part of an agent's spec */
};

struct field {
	const char *name;
	enum field_type type;
	double min, max;
	const char *words; /* "a, b" */
};

static const struct field field_body[] = {
    {"domain", FIELD_TEXT, 1, 64, NULL},
    {"debate_format", FIELD_WORD, 0, 0, "full, light"},
    {"auto_select", FIELD_BOOL, 0, 0, NULL},
    {"auto_select_config", FIELD_OBJECT, 0, 0, NULL},
    {"use_trending", FIELD_BOOL, 0, 0, NULL},
    {"trending_category", FIELD_TEXT, 0, FIELD_TEXT_MAX, NULL},
    {"mode", FIELD_TEXT, 0, FIELD_TEXT_MAX, NULL},
    {"template", FIELD_TEXT, 0, FIELD_TEXT_MAX, NULL},
    {"documents", FIELD_ARRAY, 0, FIELD_DOCUMENTS_MAX, NULL},
    {"budget_limit_usd", FIELD_NUMBER, 0, 100, NULL},
    {"budget_limit_tokens", FIELD_NUMBER, 1, 1000000000, NULL},
    {"budget_limit_seconds", FIELD_NUMBER, 1, 86400, NULL},
    {"convergence_threshold", FIELD_NUMBER, 0, 1, NULL},
    {"audience_share", FIELD_NUMBER, 0, 0.5, NULL},
    {"protocol", FIELD_OBJECT, 0, 0, NULL},
};

static const struct field field_protocol[] = {
    {"preset", FIELD_ANY, 0, 0, NULL},
    {"topology", FIELD_ANY, 0, 0, NULL},
    {"samples", FIELD_ANY, 0, 0, NULL},
    {"rounds", FIELD_ANY, 0, 0, NULL},
    {"consensus", FIELD_ANY, 0, 0, NULL},
    {"consensus_mode", FIELD_ANY, 0, 0, NULL},
    {"consensus_threshold", FIELD_ANY, 0, 0, NULL},
    {"early_stopping", FIELD_ANY, 0, 0, NULL},
    {"convergence_threshold", FIELD_NUMBER, 0, 1, NULL},
    {"audience_share", FIELD_NUMBER, 0, 0.5, NULL},
};

static const struct field field_agent[] = {
    {"provider", FIELD_PART, 1, 64, NULL},
    {"name", FIELD_PART, 1, 64, NULL},
    {"type", FIELD_PART, 1, 64, NULL},
    {"model", FIELD_PART, 0, FIELD_TEXT_MAX, NULL},
    {"persona", FIELD_PART, 0, FIELD_TEXT_MAX, NULL},
    {"role", FIELD_PART, 0, FIELD_TEXT_MAX, NULL},
};

struct field_check {
	config_report_fn *report;
	void *arg;
	const char *path; /* "protocol.", "agents[1]." or "" */
};

static void PRINTF(3, 4) field_error(
    const struct field_check *c, const char *name, const char *fmt, ...)
{
	char field[96];
	char message[256];
	va_list ap;

	snprintf(field, sizeof(field), "%s%s", c->path, name);
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	c->report(c->arg, field, message);
}

static void
field_wrong_kind(const struct field_check *c, const struct field *f,
    const char *wanted, const struct json *value)
{
	field_error(c, f->name, "must be %s, not %s", wanted,
	    json_kind_name(json_kind(value)));
}

static void
field_check_text(const struct field_check *c, const struct field *f,
    const struct json *value)
{
	size_t len = 0;
	const char *text = json_str(value, &len);

	if (text == NULL)
		field_wrong_kind(c, f, "a string", value);
	else if ((double)len < f->min || (double)len > f->max)
		field_error(c, f->name, "must have %.0f to %.0f bytes, not %zu",
		    f->min, f->max, len);
	else if (f->type == FIELD_PART && strchr(text, '|') != NULL)
		field_error(c, f->name, "must not contain '|'");
}

/* Is text one of the words of a list "a, b"? */
static bool
field_has_word(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = words; len > 0; p += 2) {
		size_t n = strcspn(p, ",");
		if (n == len && strncmp(p, text, n) == 0)
			return true;
		p += n;
		if (*p == '\0')
			break;
	}
	return false;
}

static void
field_check_number(const struct field_check *c, const struct field *f,
    const struct json *value)
{
	double number;

	if (!json_num(value, &number))
		field_wrong_kind(c, f, "a number", value);
	else if (number < f->min || number > f->max)
		field_error(c, f->name, "must be from %g to %g, not %g", f->min,
		    f->max, number);
}

static void
field_check_one(const struct field_check *c, const struct field *f,
    const struct json *value)
{
	enum json_kind kind = json_kind(value);

	switch (f->type) {
	case FIELD_ANY:
		break;
	case FIELD_TEXT:
	case FIELD_PART:
		field_check_text(c, f, value);
		break;
	case FIELD_WORD:
		if (kind != JSON_STRING ||
		    !field_has_word(f->words, json_str(value, NULL)))
			field_error(c, f->name, "must be one of %s", f->words);
		break;
	case FIELD_BOOL:
		if (kind != JSON_BOOL)
			field_wrong_kind(c, f, "true or false", value);
		break;
	case FIELD_NUMBER:
		field_check_number(c, f, value);
		break;
	case FIELD_OBJECT:
		if (kind != JSON_OBJECT)
			field_wrong_kind(c, f, "an object", value);
		break;
	case FIELD_ARRAY:
		if (kind != JSON_ARRAY)
			field_wrong_kind(c, f, "an array", value);
		else if ((double)json_len(value) > f->max)
			field_error(c, f->name,
			    "has %zu entries, at most %.0f are allowed",
			    json_len(value), f->max);
		break;
	}
}

/* Every key of the object that the table knows; with is_closed the others are
 * wrong. null is the same as absent. */
static void
field_check_object(const struct field_check *c, const struct json *object,
    const struct field *fields, size_t n, bool is_closed)
{
	const char *key;
	const struct json *value;

	for (void *it = NULL; json_next(object, &it, &key, &value);) {
		size_t i = 0;
		while (i < n && !str_eq(fields[i].name, key))
			i++;
		if (i == n && is_closed)
			field_error(c, key, "is not a known field");
		else if (i < n && json_kind(value) != JSON_NULL)
			field_check_one(c, &fields[i], value);
	}
}

void
config_fields_check(
    const struct json *body, config_report_fn *report, void *arg)
{
	struct field_check c = {.report = report, .arg = arg, .path = ""};
	const struct json *agents = json_get(body, "agents");
	char path[32];

	field_check_object(&c, body, field_body, ARRAY_LEN(field_body), false);
	c.path = "protocol.";
	field_check_object(&c, json_get(body, "protocol"), field_protocol,
	    ARRAY_LEN(field_protocol), true);
	c.path = path;
	for (size_t i = 0;
	     json_kind(agents) == JSON_ARRAY && i < json_len(agents); i++) {
		snprintf(path, sizeof(path), "agents[%zu].", i);
		field_check_object(&c, json_at(agents, i), field_agent,
		    ARRAY_LEN(field_agent), true);
	}
}
