/* SPDX-License-Identifier: MIT */
#include "fcgi/res.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define RES_TEXT_MAX 512
#define RES_JSON     "application/json"
#define RES_PROBLEM  "application/problem+json"
/* draft-ietf-httpapi-ratelimit-headers */
#define RES_TYPE_QUOTA                                                         \
	"https://iana.org/assignments/http-problem-types#quota-exceeded"

bool
res_accepts_problem(const char *accept)
{
	int problem = http_accept_weight(accept, RES_PROBLEM);

	return problem > 0 && problem >= http_accept_weight(accept, RES_JSON);
}

void
res_init(
    struct res *res, struct buf *head, struct buf *body, const char *trace_id)
{
	buf_clear(head);
	buf_clear(body);
	*res = (struct res){.status = HTTP_INTERNAL_ERROR,
	    .content_type = RES_JSON,
	    .head = head,
	    .body = body,
	    .trace_id = trace_id};
}

struct json_w *
res_json(struct res *res)
{
	res->is_error = false;
	buf_clear(res->body);
	res->content_type = RES_JSON;
	json_w_init(&res->json, res->body);
	json_w_begin(&res->json, NULL);
	return &res->json;
}

/* What RFC 9457 has beside the envelope's own members. */
static void
res_problem(struct res *res, enum http_status status)
{
	struct json_w *w = &res->json;
	bool is_quota = status == HTTP_TOO_MANY;

	res->content_type = RES_PROBLEM;
	json_w_str(w, "type", is_quota ? RES_TYPE_QUOTA : "about:blank");
	json_w_str(w, "title", http_status_text(status));
	json_w_int(w, "status", (int64_t)status);
}

enum http_status
res_json_end(struct res *res, enum http_status status)
{
	if (res->is_error && res->is_problem_wanted)
		res_problem(res, status);
	json_w_end(&res->json);
	res->status = status;
	return status;
}

enum http_status
res_text(struct res *res, const char *content_type, const char *text)
{
	buf_clear(res->body);
	buf_puts(res->body, text);
	res->content_type = content_type;
	res->status = HTTP_OK;
	return HTTP_OK;
}

enum http_status
res_stream(
    struct res *res, const char *content_type, res_next_fn next, void *arg)
{
	buf_clear(res->body);
	res->content_type = content_type;
	res->next = next;
	res->next_arg = arg;
	res->status = HTTP_OK;
	return HTTP_OK;
}

static bool
res_is_token(const char *name)
{
	for (const char *p = name; *p != '\0'; p++)
		if (!str_is_alnum(*p) && *p != '-')
			return false;
	return *name != '\0';
}

enum err
res_header(struct res *res, const char *name, const char *value)
{
	if (!res_is_token(name))
		return ERR_INVALID;
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return ERR_INVALID;
	buf_puts(res->head, name);
	buf_puts(res->head, ": ");
	buf_puts(res->head, value);
	buf_puts(res->head, "\r\n");
	return ERR_OK;
}

/* What all envelopes share; the caller adds to it and ends it. */
static struct json_w *
res_envelope(
    struct res *res, const char *code, const char *text, int retry_after_s)
{
	struct json_w *w = res_json(res);

	res->is_error = true;
	if (res->is_problem_wanted)
		json_w_str(w, "detail", text);
	json_w_str(w, "error", text);
	json_w_str(w, "code", code);
	json_w_str(w, "message", text);
	json_w_str(w, "trace_id", res->trace_id);
	if (retry_after_s > 0) {
		json_w_int(w, "retry_after", retry_after_s);
		buf_printf(res->head, "Retry-After: %d\r\n", retry_after_s);
	}
	return w;
}

static void
res_fields(struct json_w *w, const struct res_field *fields, size_t n)
{
	if (n == 0)
		return;
	json_w_str(w, "field", fields[0].field);
	json_w_begin_array(w, "errors");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "field", fields[i].field);
		json_w_str(w, "message", fields[i].message);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
res_fail(struct res *res, enum http_status status, const char *code,
    const char *fmt, ...)
{
	char text[RES_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	res_envelope(res, code, text, 0);
	return res_json_end(res, status);
}

enum http_status
res_invalid(
    struct res *res, const char *code, const struct res_field *fields, size_t n)
{
	char text[RES_TEXT_MAX];

	snprintf(
	    text, sizeof(text), "%s: %s", fields[0].field, fields[0].message);
	struct json_w *w = res_envelope(res, code, text, 0);
	res_fields(w, fields, n);
	return res_json_end(res, HTTP_BAD_REQUEST);
}

enum http_status
res_err(struct res *res, enum err e, const struct err_info *info)
{
	return res_err_code(res, e, info, http_error(e)->code);
}

enum http_status
res_limited(struct res *res, int retry_after_s, int64_t limit, int64_t left)
{
	struct json_w *w = res_envelope(res, "RATE_LIMITED",
	    "Rate limit exceeded. Please try again later.", retry_after_s);

	json_w_int(w, "limit", limit);
	json_w_int(w, "remaining", left);
	if (res->is_problem_wanted) {
		json_w_begin_array(w, "violated-policies");
		json_w_str(w, NULL, RES_POLICY);
		json_w_end_array(w);
	}
	return res_json_end(res, HTTP_TOO_MANY);
}

struct json_w *
res_begin_fail(struct res *res, const char *code, const char *text)
{
	return res_envelope(res, code, text, 0);
}

enum http_status
res_wait(struct res *res, const char *text, int retry_after_s)
{
	res_envelope(res, "SERVICE_UNAVAILABLE", text, retry_after_s);
	return res_json_end(res, HTTP_UNAVAILABLE);
}

enum http_status
res_err_code(
    struct res *res, enum err e, const struct err_info *info, const char *code)
{
	const struct http_error *h = http_error(e);
	bool is_told = info != NULL && info->text[0] != '\0' && h->is_shown;
	bool has_field = is_told && info->field[0] != '\0';
	char text[RES_TEXT_MAX];

	if (has_field)
		snprintf(text, sizeof(text), "%s %s", info->field, info->text);
	else if (is_told)
		snprintf(text, sizeof(text), "%s", info->text);
	else
		snprintf(text, sizeof(text), "%s",
		    h->text != NULL   ? h->text
			: h->is_shown ? err_text(e)
				      : http_status_text(h->status));
	struct json_w *w = res_envelope(res, code, text, h->retry_after_s);
	if (has_field) {
		struct res_field field = {info->field, info->text};
		res_fields(w, &field, 1);
	}
	return res_json_end(res, h->status);
}
