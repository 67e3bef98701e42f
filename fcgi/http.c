/* SPDX-License-Identifier: MIT */
#include "fcgi/http.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

#define HTTP_WEIGHT_ONE 1000

static const char *const http_methods[HTTP_METHOD__COUNT] = {
#define X(id) [HTTP_##id] = #id,
    HTTP_METHOD_LIST(X)
#undef X
};

const char *
http_method_name(enum http_method m)
{
	return http_methods[m];
}

enum err
http_method_parse(const char *text, enum http_method *out)
{
	for (int i = 0; i < HTTP_METHOD__COUNT; i++)
		if (str_eq(text, http_methods[i])) {
			*out = (enum http_method)i;
			return ERR_OK;
		}
	return ERR_NOT_FOUND;
}

bool
http_method_is_unsafe(enum http_method m)
{
	return m == HTTP_POST || m == HTTP_PUT || m == HTTP_PATCH ||
	    m == HTTP_DELETE;
}

bool
http_status_is_bare(enum http_status s)
{
	return s == HTTP_NO_CONTENT || s == HTTP_NOT_MODIFIED;
}

/* "0.25" as 250; at most three digits count (RFC 9110 12.4.2). */
static int
http_weight(const char *p, const char *end)
{
	int value = p < end && *p >= '1' && *p <= '9' ? HTTP_WEIGHT_ONE : 0;
	int step = HTTP_WEIGHT_ONE / 10;

	if (value > 0 || end - p < 3 || p[1] != '.')
		return value;
	for (p += 2; p < end && str_is_digit(*p) && step > 0; p++) {
		value += (*p - '0') * step;
		step /= 10;
	}
	return value;
}

/* The weight of one element, -1 when it is of another type. */
static int
http_element_weight(const char *p, const char *end, const char *type)
{
	size_t len = strlen(type);
	int weight = HTTP_WEIGHT_ONE;

	while (p < end && str_is_space(*p))
		p++;
	if ((size_t)(end - p) < len || strncasecmp(p, type, len) != 0)
		return -1;
	p += len;
	if (p < end && *p != ';' && !str_is_space(*p))
		return -1;
	for (; p < end; p++)
		if ((*p == ';' || str_is_space(*p)) && end - p > 2 &&
		    str_lower(p[1]) == 'q' && p[2] == '=')
			weight = http_weight(p + 3, end);
	return weight;
}

int
http_accept_weight(const char *accept, const char *type)
{
	int weight = -1;

	for (const char *p = accept; *p != '\0' && weight < 0;) {
		const char *end = p + strcspn(p, ",");
		weight = http_element_weight(p, end, type);
		p = *end == ',' ? end + 1 : end;
	}
	return weight;
}

const char *
http_status_text(enum http_status s)
{
	switch (s) {
#define X(id, number, text)                                                    \
	case id:                                                               \
		return text;
		HTTP_STATUS_LIST(X)
#undef X
	}
	return "Unknown";
}

/* A second is the shortest pause a client may be told (whole seconds, at
 * least 1); where somebody has to repair something it is longer. */
#define HTTP_RETRY_SOON_S  1
#define HTTP_RETRY_LATER_S 5

static const struct http_error http_errors[ERR__COUNT] = {
    [ERR_OK] = {HTTP_OK, "", true, 0},
    [ERR_INVALID] = {HTTP_BAD_REQUEST, "INVALID_VALUE", true, 0},
    [ERR_SYNTAX] = {HTTP_BAD_REQUEST, "INVALID_JSON", true, 0},
    [ERR_TOO_LARGE] = {HTTP_TOO_LARGE, "INVALID_VALUE", true, 0},
    [ERR_NOT_FOUND] = {HTTP_NOT_FOUND, "NOT_FOUND", true, 0},
    [ERR_CONFLICT] = {HTTP_CONFLICT, "CONFLICT", true, 0},
    [ERR_EXISTS] = {HTTP_CONFLICT, "CONFLICT", true, 0},
    [ERR_AUTH] = {HTTP_UNAUTHORIZED, "AUTH_REQUIRED", true, 0},
    [ERR_DENIED] = {HTTP_FORBIDDEN, "FORBIDDEN", true, 0},
    [ERR_BUSY] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_SOON_S, "no capacity right now; try again"},
    [ERR_RETRY] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_SOON_S},
    [ERR_DOWN] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_LATER_S, "the database is unreachable; nothing was saved"},
    [ERR_UNCERTAIN] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_SOON_S,
	"the connection was lost while saving; ask with the same "
	"Idempotency-Key"},
    [ERR_FENCED] = {HTTP_CONFLICT, "CONFLICT", false, 0},
    [ERR_FULL] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_LATER_S,
	"the storage is full; nothing was saved, reading goes on"},
    [ERR_SCHEMA] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_LATER_S,
	"the database has another schema than this server; nothing was saved"},
    [ERR_TIMEOUT] = {HTTP_GATEWAY_TIMEOUT, "AGENT_TIMEOUT", false, 0},
    [ERR_CANCELLED] = {HTTP_CONFLICT, "CONFLICT", false, 0},
    [ERR_CLOSED] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_SOON_S},
    [ERR_AGAIN] = {HTTP_UNAVAILABLE, "SERVICE_UNAVAILABLE", false,
	HTTP_RETRY_SOON_S},
    [ERR_IO] = {HTTP_INTERNAL_ERROR, "INTERNAL_ERROR", false, 0},
    [ERR_UNSUPPORTED] = {HTTP_BAD_REQUEST, "INVALID_VALUE", true, 0},
    [ERR_INTERNAL] = {HTTP_INTERNAL_ERROR, "INTERNAL_ERROR", false, 0},
};

const struct http_error *
http_error(enum err e)
{
	return &http_errors[e];
}
