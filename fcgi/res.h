/* SPDX-License-Identifier: MIT
 *
 * One response: status, header lines and body, and the error envelope
 * (contract 8). Buffers belong to the thread and are used again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "fcgi/http.h"

/* Appends the next piece of a body; *is_last ends it. An error cuts the answer
 * off: the client must not take a part for the whole. */
typedef enum err (*res_next_fn)(void *arg, struct buf *out, bool *is_last);

struct res {
	enum http_status status;
	const char *content_type;
	struct buf *head; /* "Name: value\r\n" ... */
	struct buf *body;
	struct json_w json;
	res_next_fn next; /* NULL = body is all of it */
	void *next_arg;
	const char *trace_id; /* borrowed */
	const char *etag;     /* it may be kept and asked for again; or NULL */
	bool is_problem_wanted; /* errors as RFC 9457 has them */
	bool is_error;
};

/* One wrong field. */
struct res_field {
	const char *field;
	const char *message;
};

/* Does an Accept header name application/problem+json, and not prefer
 * application/json? */
bool res_accepts_problem(const char *accept);

void res_init(
    struct res *res, struct buf *head, struct buf *body, const char *trace_id);

/* Begin the answer's JSON object; res_json_end closes it and sets the
 * status: `return res_json_end(res, HTTP_OK);` */
struct json_w *res_json(struct res *res);
enum http_status res_json_end(struct res *res, enum http_status status);
/* A body that is there already. content_type is static. */
enum http_status res_text(
    struct res *res, const char *content_type, const char *text);

/* 200 with a body that comes piece by piece, without Content-Length. arg lives
 * as long as the request's arena. */
enum http_status res_stream(
    struct res *res, const char *content_type, res_next_fn next, void *arg);

/* ERR_INVALID (and no header) when name is not a token or value holds a
 * control character: nothing from a client can start a line of its own. */
enum err res_header(struct res *res, const char *name, const char *value);

/* The error envelope. Each drops what was written so far. To those who ask for
 * application/problem+json it is one: with type, title, status and detail
 * before the members that all get. */
enum http_status res_fail(struct res *res, enum http_status status,
    const char *code, const char *fmt, ...) PRINTF(4, 5);
/* 400 with every wrong field; the first one's message is the text. */
enum http_status res_invalid(struct res *res, const char *code,
    const struct res_field *fields, size_t n);
/* By the table of http.h; texts of our own faults are not shown. info may be
 * NULL. */
enum http_status res_err(
    struct res *res, enum err e, const struct err_info *info);
/* As res_err with another code ("INVALID_TOKEN"). */
enum http_status res_err_code(
    struct res *res, enum err e, const struct err_info *info, const char *code);
/* The name of the rate limit, as RateLimit-Policy and problems tell it. */
#define RES_POLICY "default"
/* 429, with the limit that was reached. */
enum http_status res_limited(
    struct res *res, int retry_after_s, int64_t limit, int64_t left);
/* Begin an error that says more; res_json_end sets the status. */
struct json_w *res_begin_fail(
    struct res *res, const char *code, const char *text);
/* 503 with a text and the pause to keep. */
enum http_status res_wait(struct res *res, const char *text, int retry_after_s);
