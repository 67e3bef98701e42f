/* SPDX-License-Identifier: MIT
 *
 * The HTTP facts the API needs: methods, the statuses it answers with, and the
 * one table that turns an enum err into a status and a code of the error
 * envelope.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HTTP_METHOD_LIST(X)                                                    \
	X(GET)                                                                 \
	X(HEAD)                                                                \
	X(POST)                                                                \
	X(PUT)                                                                 \
	X(PATCH)                                                               \
	X(DELETE)                                                              \
	X(OPTIONS)
enum http_method {
#define X(id) HTTP_##id,
	HTTP_METHOD_LIST(X)
#undef X
	    HTTP_METHOD__COUNT
};

#define HTTP_STATUS_LIST(X)                                                    \
	X(HTTP_OK, 200, "OK")                                                  \
	X(HTTP_CREATED, 201, "Created")                                        \
	X(HTTP_NO_CONTENT, 204, "No Content")                                  \
	X(HTTP_NOT_MODIFIED, 304, "Not Modified")                              \
	X(HTTP_BAD_REQUEST, 400, "Bad Request")                                \
	X(HTTP_UNAUTHORIZED, 401, "Unauthorized")                              \
	X(HTTP_PAYMENT_REQUIRED, 402, "Payment Required")                      \
	X(HTTP_FORBIDDEN, 403, "Forbidden")                                    \
	X(HTTP_NOT_FOUND, 404, "Not Found")                                    \
	X(HTTP_METHOD_NOT_ALLOWED, 405, "Method Not Allowed")                  \
	X(HTTP_CONFLICT, 409, "Conflict")                                      \
	X(HTTP_PRECONDITION, 412, "Precondition Failed")                       \
	X(HTTP_TOO_LARGE, 413, "Content Too Large")                            \
	X(HTTP_TOO_MANY, 429, "Too Many Requests")                             \
	X(HTTP_INTERNAL_ERROR, 500, "Internal Server Error")                   \
	X(HTTP_UNAVAILABLE, 503, "Service Unavailable")                        \
	X(HTTP_GATEWAY_TIMEOUT, 504, "Gateway Timeout")
enum http_status {
#define X(id, number, text) id = number,
	HTTP_STATUS_LIST(X)
#undef X
};

const char *http_method_name(enum http_method m);
/* ERR_NOT_FOUND for a method nobody here knows. */
enum err http_method_parse(const char *text, enum http_method *out) MUST_CHECK;
/* May the method change something? */
bool http_method_is_unsafe(enum http_method m);

/* The weight of a media type in an Accept header, 0 to 1000; -1 = it is not
 * named there. */
int http_accept_weight(const char *accept, const char *type);

const char *http_status_text(enum http_status s);
/* An answer without a body (RFC 9110, 15.3.5 and 15.4.5). */
bool http_status_is_bare(enum http_status s);

/* What an error of the program looks like to a client. */
struct http_error {
	enum http_status status;
	const char *code;  /* of the envelope */
	bool is_shown;	   /* the err_info text may be shown */
	int retry_after_s; /* 0 = no Retry-After */
	const char *text;  /* instead of what is not shown; NULL = status */
};
const struct http_error *http_error(enum err e);
