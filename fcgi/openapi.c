/* SPDX-License-Identifier: MIT */
#include "fcgi/openapi.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "fcgi/handler.h"
#include "fcgi/routes.h"
#include "fcgi/schemas.h"
#include "settings/settings.h"

static void
openapi_ref(struct json_w *w, struct arena *a, const char *key,
    const char *section, const char *name)
{
	if (key != NULL)
		json_w_begin(w, key);
	json_w_str(
	    w, "$ref", arena_printf(a, "#/components/%s/%s", section, name));
	if (key != NULL)
		json_w_end(w);
}

static void
openapi_type_name(struct json_w *w, const char *name, bool is_nullable)
{
	if (!is_nullable) {
		json_w_str(w, "type", name);
		return;
	}
	json_w_begin_array(w, "type");
	json_w_str(w, NULL, name);
	json_w_str(w, NULL, "null");
	json_w_end_array(w);
}

/* The members of a schema object for one type word of schemas.def. */
static void
openapi_type(
    struct json_w *w, struct arena *a, const char *type, bool is_nullable)
{
	size_t len = strlen(type);

	if (len > 2 && str_eq(type + len - 2, "[]")) {
		openapi_type_name(w, "array", is_nullable);
		json_w_begin(w, "items");
		openapi_type(w, a, arena_strndup(a, type, len - 2), false);
		json_w_end(w);
	} else if (type[0] == '#') {
		openapi_ref(w, a, NULL, "schemas", type + 1);
	} else if (str_eq(type, "time")) {
		openapi_type_name(w, "string", is_nullable);
		json_w_str(w, "format", "date-time");
	} else if (str_eq(type, "ratio")) {
		openapi_type_name(w, "number", is_nullable);
		json_w_int(w, "minimum", 0);
		json_w_int(w, "maximum", 1);
	} else if (!str_eq(type, "any")) {
		openapi_type_name(w, type, is_nullable);
	}
}

static void
openapi_members(struct json_w *w, struct arena *a,
    const struct schema_row *first, const struct schema_row *end)
{
	bool has_required = false;

	json_w_str(w, "type", "object");
	json_w_begin(w, "properties");
	for (const struct schema_row *f = first; f < end; f++) {
		json_w_begin(w, f->key);
		openapi_type(w, a, f->type, (f->flags & SCHEMA_NULL) != 0);
		if (*f->help != '\0')
			json_w_str(w, "description", f->help);
		json_w_end(w);
		has_required =
		    has_required || (f->flags & SCHEMA_REQUIRED) != 0;
	}
	json_w_end(w);
	if (!has_required)
		return;
	json_w_begin_array(w, "required");
	for (const struct schema_row *f = first; f < end; f++)
		if ((f->flags & SCHEMA_REQUIRED) != 0)
			json_w_str(w, NULL, f->key);
	json_w_end_array(w);
}

static void
openapi_schemas(struct json_w *w, struct arena *a)
{
	json_w_begin(w, "schemas");
	for (const struct schema_row *s = schema_first(); s != NULL;) {
		const struct schema_row *end = schema_end(s);
		json_w_begin(w, s->key);
		json_w_str(w, "description", s->help);
		if (*s->base == '\0') {
			openapi_members(w, a, s + 1, end);
		} else {
			json_w_begin_array(w, "allOf");
			json_w_begin(w, NULL);
			openapi_ref(w, a, NULL, "schemas", s->base);
			json_w_end(w);
			json_w_begin(w, NULL);
			openapi_members(w, a, s + 1, end);
			json_w_end(w);
			json_w_end_array(w);
		}
		json_w_end(w);
		s = schema_next(s);
	}
	json_w_end(w);
}

static void
openapi_choices(struct json_w *w, struct arena *a, const char *choices)
{
	size_t n;
	char **words = str_split(a, choices, '|', &n);

	json_w_begin_array(w, "enum");
	for (size_t i = 0; i < n; i++)
		json_w_str(w, NULL, words[i]);
	json_w_end_array(w);
}

static void
openapi_input_schema(struct json_w *w, struct arena *a, const struct input *row,
    const struct settings *s)
{
	json_w_begin(w, "schema");
	switch (row->kind) {
	case INPUT_TEXT:
		json_w_str(w, "type", "string");
		json_w_int(w, "maxLength", row->max);
		break;
	case INPUT_INT:
		json_w_str(w, "type", "integer");
		json_w_int(w, "minimum", row->min);
		break;
	case INPUT_PAGE:
		json_w_str(w, "type", "integer");
		json_w_int(w, "minimum", 1);
		json_w_int(w, "maximum", input_max(row, s));
		json_w_int(w, "default", input_fallback(row, s));
		break;
	case INPUT_OFFSET:
		json_w_str(w, "type", "integer");
		json_w_int(w, "minimum", 0);
		json_w_int(w, "default", 0);
		break;
	case INPUT_BOOL:
		json_w_str(w, "type", "boolean");
		break;
	case INPUT_TIME:
		json_w_str(w, "type", "string");
		json_w_str(w, "format", "date-time");
		break;
	case INPUT_CHOICE:
		json_w_str(w, "type", "string");
		openapi_choices(w, a, row->choices);
		break;
	case INPUT_SHARE:
		json_w_str(w, "type", "number");
		json_w_int(w, "minimum", 0);
		json_w_int(w, "maximum", 1);
		break;
	}
	json_w_end(w);
}

static void
openapi_path_params(struct json_w *w, struct arena *a, const char *pattern)
{
	for (const char *p = strchr(pattern, '{'); p != NULL;
	     p = strchr(p + 1, '{')) {
		json_w_begin(w, NULL);
		json_w_str(
		    w, "name", arena_strndup(a, p + 1, strcspn(p + 1, "}")));
		json_w_str(w, "in", "path");
		json_w_bool(w, "required", true);
		json_w_begin(w, "schema");
		json_w_str(w, "type", "string");
		json_w_end(w);
		json_w_end(w);
	}
}

static void
openapi_parameters(
    struct json_w *w, struct arena *a, size_t index, const struct settings *s)
{
	const struct input_list *inputs = handler_at(index)->inputs;

	json_w_begin_array(w, "parameters");
	openapi_path_params(w, a, route_at(index)->pattern);
	if (route_is_analytic(route_at(index))) {
		json_w_begin(w, NULL);
		openapi_ref(w, a, NULL, "parameters", "Position");
		json_w_end(w);
	}
	if (route_is_kept(route_at(index))) {
		json_w_begin(w, NULL);
		openapi_ref(w, a, NULL, "parameters", "ETag");
		json_w_end(w);
	}
	for (size_t i = 0; i < inputs->n; i++) {
		const struct input *row = &inputs->rows[i];
		json_w_begin(w, NULL);
		json_w_str(w, "name", row->key);
		json_w_str(w, "in", "query");
		json_w_bool(w, "required", row->is_required);
		json_w_str(w, "description", row->help);
		openapi_input_schema(w, a, row, s);
		json_w_end(w);
	}
	json_w_end_array(w);
}

/* The answers that operations share. An error is one shape under two names
 * (RFC 9457). */
static void
openapi_answers(struct json_w *w, struct arena *a)
{
	static const char *const kinds[][2] = {{"application/json", "Error"},
	    {"application/problem+json", "Problem"}};

	json_w_begin(w, "responses");
	json_w_begin(w, "Error");
	json_w_str(w, "description", "The error envelope.");
	json_w_begin(w, "content");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		json_w_begin(w, kinds[i][0]);
		openapi_ref(w, a, "schema", "schemas", kinds[i][1]);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_end(w);
	json_w_begin(w, "NotModified");
	json_w_str(w, "description", "What the client has still holds.");
	json_w_begin(w, "headers");
	openapi_ref(w, a, "ETag", "headers", "ETag");
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
}

static void
openapi_content(struct json_w *w, struct arena *a, const char *schema)
{
	const char *text = route_text_type(schema);

	json_w_begin(w, "content");
	json_w_begin(w, text != NULL ? text : "application/json");
	if (text != NULL) {
		json_w_begin(w, "schema");
		json_w_str(w, "type", "string");
		json_w_end(w);
	} else {
		openapi_ref(w, a, "schema", "schemas", schema);
	}
	json_w_end(w);
	json_w_end(w);
}

/* A caller may be asked who it is. */
static bool
openapi_is_asked(const struct route *r)
{
	return r->auth == ROUTE_USER || r->auth == ROUTE_PUBLIC ||
	    r->auth == ROUTE_KNOWN;
}

/* How it can fail, whatever it does; what else goes wrong is the default's. */
static void
openapi_failures(struct json_w *w, struct arena *a, const struct route *r)
{
	const struct {
		enum http_status status;
		bool is_possible;
	} rows[] = {
	    /* The target itself may be malformed. */
	    {HTTP_BAD_REQUEST, true},
	    {HTTP_UNAUTHORIZED, r->auth != ROUTE_OPEN},
	    {HTTP_FORBIDDEN, openapi_is_asked(r) && route_needs(r) > ROLE_READ},
	    {HTTP_NOT_FOUND, strchr(r->pattern, '{') != NULL},
	    {HTTP_TOO_LARGE, r->max_body > 0},
	    {HTTP_TOO_MANY, r->rate != ROUTE_RATE_NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].is_possible)
			openapi_ref(w, a,
			    arena_printf(a, "%d", (int)rows[i].status),
			    "responses", "Error");
	openapi_ref(w, a, "default", "responses", "Error");
}

static void
openapi_responses(struct json_w *w, struct arena *a, const struct route *r)
{
	const struct route_also *also = route_also(r);

	json_w_begin(w, "responses");
	json_w_begin(w, arena_printf(a, "%d", (int)r->status));
	json_w_str(w, "description", http_status_text(r->status));
	if (openapi_is_asked(r)) {
		json_w_begin(w, "headers");
		openapi_ref(w, a, "X-Aragora-Position", "headers", "Position");
		if (route_is_kept(r))
			openapi_ref(w, a, "ETag", "headers", "ETag");
		json_w_end(w);
	}
	openapi_content(w, a, r->answer);
	json_w_end(w);
	if (also != NULL) {
		json_w_begin(w, arena_printf(a, "%d", (int)also->status));
		json_w_str(w, "description", http_status_text(also->status));
		openapi_content(w, a, also->answer);
		json_w_end(w);
	}
	if (route_is_kept(r))
		openapi_ref(w, a, arena_printf(a, "%d", (int)HTTP_NOT_MODIFIED),
		    "responses", "NotModified");
	openapi_failures(w, a, r);
	json_w_end(w);
}

/* Alternatives; an empty one is nobody, an empty list asks for nothing. */
static void
openapi_security(struct json_w *w, const struct route *r)
{
	const char *scheme = r->auth == ROUTE_METRICS ? "metrics" : "bearer";

	json_w_begin_array(w, "security");
	if (r->auth != ROUTE_OPEN && r->auth != ROUTE_KNOWN) {
		json_w_begin(w, NULL);
		json_w_end(w);
	}
	if (r->auth != ROUTE_OPEN) {
		json_w_begin(w, NULL);
		json_w_begin_array(w, scheme);
		json_w_end_array(w);
		json_w_end(w);
	}
	json_w_end_array(w);
}

static void
openapi_operation(
    struct json_w *w, struct arena *a, size_t index, const struct settings *s)
{
	const struct route *r = route_at(index);
	const char *method = http_method_name(r->method);
	char *name = arena_strdup(a, method);

	for (char *p = name; *p != '\0'; p++)
		*p = str_lower(*p);
	json_w_begin(w, name);
	json_w_str(w, "operationId", r->operation_id);
	json_w_str(w, "summary", r->summary);
	json_w_begin_array(w, "tags");
	json_w_str(w, NULL, r->tag);
	json_w_end_array(w);
	json_w_str(w, "x-auth", route_auth_name(r->auth));
	json_w_str(w, "x-rate", route_rate_name(r->rate));
	if (openapi_is_asked(r))
		json_w_str(w, "x-needs", role_level_name(route_needs(r)));
	if (route_is_analytic(r))
		json_w_str(w, "x-read", "analytics");
	openapi_parameters(w, a, index, s);
	if (*r->body != '\0') {
		json_w_begin(w, "requestBody");
		json_w_bool(w, "required", true);
		openapi_content(w, a, r->body);
		json_w_end(w);
	}
	openapi_responses(w, a, r);
	openapi_security(w, r);
	json_w_end(w);
}

/* Each pattern once, with the operations of all its rows. */
static void
openapi_paths(struct json_w *w, struct arena *a, const struct settings *s)
{
	json_w_begin(w, "paths");
	for (size_t i = 0; i < route_count(); i++) {
		const char *pattern = route_at(i)->pattern;
		size_t first = 0;
		while (!str_eq(route_at(first)->pattern, pattern))
			first++;
		if (first < i)
			continue;
		json_w_begin(w, pattern);
		for (size_t j = i; j < route_count(); j++)
			if (str_eq(route_at(j)->pattern, pattern))
				openapi_operation(w, a, j, s);
		json_w_end(w);
	}
	json_w_end(w);
}

/* The headers that operations share: how they are called, where a request has
 * them and in the answer. */
static const struct {
	const char *id, *name, *asked, *told;
} openapi_shared[] = {
    {"Position", "X-Aragora-Position",
	"The last X-Aragora-Position that the client was given: the answer "
	"includes what it has seen then.",
	"What the client has seen, where there are read replicas; opaque."},
    {"ETag", "If-None-Match",
	"ETags of answers that the client has: it is 304 when one of them "
	"still holds.",
	"Names this answer as long as it says the same."},
};

static void
openapi_headers(struct json_w *w)
{
	for (int is_told = 0; is_told <= 1; is_told++) {
		json_w_begin(w, is_told ? "headers" : "parameters");
		for (size_t i = 0; i < ARRAY_LEN(openapi_shared); i++) {
			json_w_begin(w, openapi_shared[i].id);
			if (!is_told) {
				json_w_str(w, "name", openapi_shared[i].name);
				json_w_str(w, "in", "header");
				json_w_bool(w, "required", false);
			}
			json_w_str(w, "description",
			    is_told ? openapi_shared[i].told
				    : openapi_shared[i].asked);
			json_w_begin(w, "schema");
			json_w_str(w, "type", "string");
			json_w_end(w);
			json_w_end(w);
		}
		json_w_end(w);
	}
}

static void
openapi_schemes(struct json_w *w)
{
	static const char *const schemes[][2] = {
	    {"bearer", "A session's token, an API key or the server's token."},
	    {"metrics", "The token of ARAGORA_METRICS_TOKEN, if that is set."}};

	json_w_begin(w, "securitySchemes");
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		json_w_begin(w, schemes[i][0]);
		json_w_str(w, "type", "http");
		json_w_str(w, "scheme", "bearer");
		json_w_str(w, "description", schemes[i][1]);
		json_w_end(w);
	}
	json_w_end(w);
}

static void
openapi_tags(struct json_w *w)
{
	json_w_begin_array(w, "tags");
	for (size_t i = 0; i < route_tag_count(); i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "name", route_tag_at(i)->name);
		json_w_str(w, "description", route_tag_at(i)->help);
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
openapi_write(struct buf *out, const struct settings *settings)
{
	struct arena *a = arena_new(0);
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "openapi", "3.1.0");
	json_w_begin(&w, "info");
	json_w_str(&w, "title", "Aragora");
	json_w_str(&w, "version", PACKAGE_VERSION);
	json_w_str(&w, "description",
	    "Debates between language models. Every /api path is also "
	    "reached under /api/v1 and /api/v2.");
	json_w_begin(&w, "license");
	json_w_str(&w, "name", "MIT");
	json_w_str(&w, "identifier", "MIT");
	json_w_end(&w);
	json_w_end(&w);
	json_w_begin_array(&w, "servers");
	json_w_begin(&w, NULL);
	json_w_str(&w, "url",
	    *settings->url_prefix == '\0' ? "/" : settings->url_prefix);
	json_w_end(&w);
	json_w_end_array(&w);
	openapi_tags(&w);
	openapi_paths(&w, a, settings);
	json_w_begin(&w, "components");
	openapi_schemas(&w, a);
	openapi_answers(&w, a);
	openapi_headers(&w);
	openapi_schemes(&w);
	json_w_end(&w);
	json_w_end(&w);
	arena_free(&a);
}
