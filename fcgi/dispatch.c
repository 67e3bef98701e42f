/* SPDX-License-Identifier: MIT */
#include "fcgi/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "fcgi/auth.h"
#include "fcgi/cors.h"
#include "fcgi/keep.h"
#include "fcgi/rate.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/position.h"
#include "telemetry/tracer.h"

#define DISPATCH_ARENA_BLOCK 16384
#define DISPATCH_READ_STEP   16384
#define DISPATCH_SPAN_NAME   128
#define DISPATCH_KEY_MAX     255
#define DISPATCH_BODY_DIGITS ((uint64_t)1 << 40)
/* Largest answer: a full page of the longest debates stays below it. */
#define DISPATCH_OUT_MAX ((size_t)256 << 20)
/* Memory a thread keeps between requests. */
#define DISPATCH_KEEP ((size_t)1 << 20)

void
dispatch_scratch_init(struct dispatch_scratch *s)
{
	s->arena = arena_new(DISPATCH_ARENA_BLOCK);
	s->next = NULL;
	buf_init(&s->head, DISPATCH_OUT_MAX);
	buf_init(&s->body, DISPATCH_OUT_MAX);
	buf_init(&s->extra, DISPATCH_OUT_MAX);
	buf_init(&s->input, DISPATCH_OUT_MAX);
}

void
dispatch_scratch_release(struct dispatch_scratch *s)
{
	arena_free(&s->arena);
	buf_release(&s->head);
	buf_release(&s->body);
	buf_release(&s->extra);
	buf_release(&s->input);
}

static void
dispatch_shrink(struct buf *b)
{
	if (b->cap > DISPATCH_KEEP) {
		buf_release(b);
		buf_init(b, DISPATCH_OUT_MAX);
	}
	buf_clear(b);
}

static void
dispatch_scratch_clear(struct dispatch_scratch *s)
{
	arena_clear(s->arena);
	dispatch_shrink(&s->head);
	dispatch_shrink(&s->body);
	dispatch_shrink(&s->extra);
	dispatch_shrink(&s->input);
}

/* ---- body ---- */

static enum http_status
dispatch_too_large(struct res *res, size_t max)
{
	struct err_info info;

	err_set(&info, ERR_TOO_LARGE, "body",
	    "is larger than the %zu bytes allowed here", max);
	return res_err(res, ERR_TOO_LARGE, &info);
}

/* Reads until length bytes (or, without a length, the end). */
static enum err
dispatch_read(struct buf *out, const struct dispatch_input *in, size_t length,
    bool has_length, size_t max)
{
	while (!has_length || out->len < length) {
		size_t want = DISPATCH_READ_STEP;
		if (has_length && length - out->len < want)
			want = length - out->len;
		char *to = buf_reserve(out, want);
		if (to == NULL)
			return ERR_TOO_LARGE;
		ssize_t n = in->read(in->arg, to, want);
		if (n < 0 || (n == 0 && has_length))
			return ERR_CLOSED;
		if (n == 0)
			return ERR_OK;
		buf_commit(out, (size_t)n);
		if (out->len > max)
			return ERR_TOO_LARGE;
	}
	return ERR_OK;
}

static enum err
dispatch_parse(struct req *req, struct err_info *info)
{
	static const char empty[] = "{}";
	bool is_empty = req->body_len == 0;

	/* Size was checked before, so "too large" can only mean the depth,
	 * which is a fault of the text. */
	enum err e = json_parse(req->arena, is_empty ? empty : req->body_text,
	    is_empty ? sizeof(empty) - 1 : req->body_len, NULL, &req->body,
	    info);
	if (e != ERR_OK && info->field[0] == '\0')
		err_set(info, e, "body", "%s",
		    arena_strdup(req->arena, info->text));
	if (e == ERR_TOO_LARGE)
		return ERR_SYNTAX;
	if (e == ERR_OK && json_kind(req->body) != JSON_OBJECT)
		return err_set(info, ERR_SYNTAX, "body",
		    "must be a JSON object, not %s",
		    json_kind_name(json_kind(req->body)));
	return e;
}

/* The JSON body when the route takes one. *closed: the client is gone. */
static enum http_status
dispatch_body(struct req *req, struct res *res, struct dispatch_scratch *s,
    const struct dispatch_input *in, bool *is_closed)
{
	const char *text = req->env->value[ENV_CONTENT_LENGTH];
	bool has_length = !str_is_empty(text);
	size_t max = req->match.route->max_body;
	uint64_t length = 0;
	struct err_info info = {0};

	req->body_text = "";
	if (has_length &&
	    str_to_u64(text, strlen(text), DISPATCH_BODY_DIGITS, &length) !=
		ERR_OK) {
		struct res_field field = {"Content-Length", "is not a number"};
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	}
	if (max == 0)
		return HTTP_OK;
	if ((uint64_t)req->app->settings->max_request_size < max)
		max = (size_t)req->app->settings->max_request_size;
	if (length > max)
		return dispatch_too_large(res, max);
	enum err e =
	    dispatch_read(&s->input, in, (size_t)length, has_length, max);
	if (e == ERR_TOO_LARGE)
		return dispatch_too_large(res, max);
	if (e != ERR_OK) {
		*is_closed = true;
		return HTTP_BAD_REQUEST;
	}
	req->body_text = buf_text(&s->input);
	req->body_len = s->input.len;
	e = dispatch_parse(req, &info);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, &info);
}

/* ---- origin ---- */

/* Adds the CORS lines for a known origin. A page of another site may not
 * change anything: browsers send simple POSTs without asking first. */
static enum http_status
dispatch_origin(struct req *req, struct res *res)
{
	const char *origin = env_get(req->env, ENV_ORIGIN);
	const char *host = env_get(req->env, ENV_HOST);
	bool is_preflight = req->method == HTTP_OPTIONS;

	if (*origin == '\0')
		return HTTP_OK;
	bool is_listed =
	    cors_is_listed(req->app->settings->allowed_origins, origin);
	if (is_listed || cors_is_own(origin, host)) {
		for (const char *p = origin; *p != '\0'; p++)
			if ((unsigned char)*p <= 0x20 || *p == 0x7f)
				return HTTP_OK;
		cors_headers(res->head, origin, is_preflight);
		return HTTP_OK;
	}
	if (!http_method_is_unsafe(req->method))
		return HTTP_OK;
	return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
	    "pages of this origin may not call; see ARAGORA_ALLOWED_ORIGINS");
}

/* ---- read replicas ---- */

/* What the client has seen elsewhere. Anything else in that header says
 * nothing, and costs nobody but this client. */
static void
dispatch_read_after(struct req *req)
{
	const char *text = req->env->value[ENV_POSITION];

	req->read.is_analytic = route_is_analytic(req->match.route);
	if (position_parse(text, &req->read.after) != ERR_OK)
		req->read.after = 0;
}

/* What this client has seen now, for it to tell another host. */
static void
dispatch_position(struct buf *out, const struct req *req)
{
	char text[POSITION_TEXT_SIZE];

	if (req->caller.tenant == NULL)
		return;
	uint64_t at = store_position(req->app->store, req->caller.tenant);
	if (req->read.after > at)
		at = req->read.after;
	if (at == 0 || at == POSITION_UNKNOWN)
		return;
	position_write(at, text);
	buf_printf(out, "X-Aragora-Position: %s\r\n", text);
}

/* ---- Idempotency-Key ---- */

/* The key of a POST, if it has one. */
static enum http_status
dispatch_read_key(struct req *req, struct res *res)
{
	static const struct res_field field = {
	    "Idempotency-Key", "must be 1 to 255 printable ASCII characters"};
	const char *text = req->env->value[ENV_IDEMPOTENCY_KEY];
	char hash[ID_HASH_SIZE];

	if (req->method != HTTP_POST || text == NULL)
		return HTTP_OK;
	size_t len = strlen(text);
	bool is_bad = len == 0 || len > DISPATCH_KEY_MAX;
	for (size_t i = 0; i < len; i++)
		is_bad = is_bad || text[i] < 0x21 || text[i] > 0x7e;
	if (is_bad)
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	id_sha256(req->body_text, req->body_len, hash);
	const char *target =
	    arena_printf(req->arena, "POST %s", req->match.route->pattern);
	for (size_t i = 0; i < req->match.n_params; i++)
		target = arena_printf(
		    req->arena, "%s %s", target, req->match.params[i]);
	req->key = ARENA_NEW(req->arena, struct store_key);
	*req->key = (struct store_key){.a = req->arena,
	    .text = text,
	    .target = target,
	    .hash = arena_strdup(req->arena, hash)};
	return HTTP_OK;
}

/* The same request again, and its answer is known: that. Where it is not (the
 * process that gave it died), the handler makes it anew from what the store
 * finds under the key. */
static enum http_status
dispatch_keyed(struct req *req, struct res *res)
{
	struct store *store = req->app->store;
	const char *tenant = req->caller.tenant;
	struct err_info info = {0};

	if (req->key == NULL)
		return keep_answer(req, res);
	enum err e = store_key_find(store, req->arena, tenant, req->key, &info);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return res_err(res, e, &info);
	bool is_known = e == ERR_OK && req->key->answer != NULL;
	if (is_known) {
		res_text(res, "application/json", req->key->answer);
		res->status = (enum http_status)req->key->status;
		req->key->is_replay = true;
	} else {
		req->key->ref = NULL;
		(void)keep_answer(req, res);
	}
	if (req->key->is_replay && (int)res->status / 100 == 2 &&
	    res_header(res, "Idempotent-Replayed", "true") != ERR_OK)
		return res_err(res, ERR_INTERNAL, NULL);
	if (is_known || req->key->ref == NULL || (int)res->status / 100 != 2 ||
	    res->next != NULL || res->body->len > STORE_KEY_ANSWER)
		return res->status;
	e = store_key_answer(
	    store, tenant, req->key, (int64_t)res->status, buf_text(res->body));
	if (e != ERR_OK) /* it is made from what is there, the next time */
		log_debug("http.key", "error=%s", err_text(e));
	return res->status;
}

/* ---- the order of things ---- */

static enum http_status
dispatch_no_route(struct req *req, struct res *res, enum err e)
{
	if (e == ERR_NOT_FOUND)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is nothing at this path");
	if (res_header(res, "Allow",
		router_allow(req->arena, req->match.allowed)) != ERR_OK)
		return res_err(res, ERR_INTERNAL, NULL);
	if (req->method == HTTP_OPTIONS) {
		res->status = HTTP_NO_CONTENT;
		return HTTP_NO_CONTENT;
	}
	return res_fail(res, HTTP_METHOD_NOT_ALLOWED, "INVALID_VALUE",
	    "the method is not allowed here");
}

/* RFC 6750 3: an error is named only where a credential was sent. The text is
 * our own, without quotes. */
static void
dispatch_challenge(
    struct buf *head, const char *code, const struct err_info *info)
{
	buf_puts(head, "WWW-Authenticate: Bearer");
	if (str_eq(code, "INVALID_TOKEN"))
		buf_printf(head,
		    " error=\"invalid_token\", error_description=\"%s\"",
		    info->text);
	buf_puts(head, "\r\n");
}

static enum http_status
dispatch_auth(struct req *req, struct res *res)
{
	const char *code;
	struct err_info info = {0};

	enum err e = auth_check(req, &code, &info);
	if (e != ERR_OK && e != ERR_AUTH && e != ERR_DENIED)
		return res_err(res, e, &info);
	enum http_status status =
	    e == ERR_OK ? rate_check(req, res) : rate_check_stranger(req, res);
	if (status != HTTP_OK)
		return status;
	if (e == ERR_OK)
		e = auth_allows(req, &info);
	if (e == ERR_OK)
		return HTTP_OK;
	if (e == ERR_DENIED)
		return res_err(res, e, &info);
	dispatch_challenge(res->head, code, &info);
	return res_err_code(res, e, &info, code);
}

static enum http_status
dispatch_parse_head(struct req *req, struct res *res, enum err *route)
{
	struct err_info info = {0};

	if (req->env->duplicate != NULL)
		return res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
		    "%s was sent more than once", req->env->duplicate);
	enum err e = url_parse(req->arena, env_get(req->env, ENV_URI),
	    req->app->settings->url_prefix, &req->url, &info);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	/* An unknown method is a known path's 405. */
	bool is_known = http_method_parse(env_get(req->env, ENV_METHOD),
			    &req->method) == ERR_OK;
	*route = router_find(req->app->router,
	    is_known ? req->method : HTTP_OPTIONS, &req->url, &req->match);
	if (!is_known)
		req->method = HTTP_METHOD__COUNT;
	return HTTP_OK;
}

static enum http_status
dispatch_answer(struct req *req, struct res *res, struct dispatch_scratch *s,
    const struct dispatch_input *in, bool *is_closed)
{
	enum err route = ERR_NOT_FOUND;

	enum http_status status = dispatch_parse_head(req, res, &route);
	if (status != HTTP_OK)
		return status;
	status = dispatch_origin(req, res);
	if (status != HTTP_OK)
		return status;
	if (route != ERR_OK)
		return dispatch_no_route(req, res, route);
	status = dispatch_auth(req, res);
	if (status != HTTP_OK)
		return status;
	status = dispatch_body(req, res, s, in, is_closed);
	if (status != HTTP_OK)
		return status;
	dispatch_read_after(req);
	status = dispatch_read_key(req, res);
	if (status != HTTP_OK)
		return status;
	status = dispatch_keyed(req, res);
	if (res->body->is_overflowed || res->head->is_overflowed)
		status = res_err(res, ERR_INTERNAL, NULL);
	return status;
}

/* ---- the header ---- */

/* May it be kept? Then by the caller alone, who asks whether it still holds.
 * What depends on a credential says so. */
static void
dispatch_validator(
    struct buf *out, const struct req *req, const struct res *res)
{
	bool is_tagged = res->etag != NULL &&
	    ((int)res->status < 300 || res->status == HTTP_NOT_MODIFIED);

	if (!is_tagged) {
		buf_puts(out, "Cache-Control: no-store\r\n");
		return;
	}
	buf_puts(out, "Cache-Control: private, no-cache\r\nETag: ");
	buf_puts(out, res->etag);
	buf_puts(out, "\r\n");
	if (req->match.route->auth != ROUTE_OPEN)
		buf_puts(out, "Vary: Authorization, X-API-Key\r\n");
}

static void
dispatch_trace(struct buf *out, const struct req *req)
{
	char parent[TRACE_PARENT_SIZE];

	trace_write(&req->trace, parent);
	buf_printf(out, "X-Trace-Id: %s\r\nX-Request-ID: %s\r\n", req->trace_id,
	    req->trace_id);
	buf_printf(out, "traceparent: %s\r\n", parent);
	if (req->trace_state != NULL)
		buf_printf(out, "tracestate: %s\r\n", req->trace_state);
}

static void
dispatch_head(struct buf *out, const struct req *req, const struct res *res)
{
	buf_printf(out, "Status: %d %s\r\n", (int)res->status,
	    http_status_text(res->status));
	if (!http_status_is_bare(res->status)) {
		buf_puts(out, "Content-Type: ");
		buf_puts(out, res->content_type);
		buf_puts(out, "\r\n");
	}
	if (!http_status_is_bare(res->status) && res->next == NULL) {
		buf_printf(out, "Content-Length: %zu\r\n", res->body->len);
	}
	dispatch_trace(out, req);
	dispatch_validator(out, req, res);
	/* What is answered depends on both: a cache between must know. */
	buf_puts(out, "Vary: Origin, Accept\r\n");
	buf_puts(out,
	    "X-Content-Type-Options: nosniff\r\n"
	    "X-Frame-Options: DENY\r\n"
	    "Referrer-Policy: strict-origin-when-cross-origin\r\n");
	if (req->app->settings->ssl_enabled || req_is_https(req))
		buf_puts(
		    out, "Strict-Transport-Security: max-age=31536000\r\n");
	dispatch_position(out, req);
	rate_headers(out, req);
	buf_append(out, res->head->data, res->head->len);
	buf_puts(out, "\r\n");
}

/* Paths that nobody declared are one: they come from outside. */
static void
dispatch_observe(const struct req *req, int class, int64_t us)
{
	char label[160];

	if (!req->app->settings->enable_telemetry)
		return;
	snprintf(label, sizeof(label),
	    "method=\"%s\",endpoint=\"%s\",status=\"%dxx\"",
	    req->method == HTTP_METHOD__COUNT ? "other"
					      : http_method_name(req->method),
	    req->match.route == NULL ? "none" : req->match.route->pattern,
	    class);
	metric_observe(HISTOGRAM_API_REQUEST, label, us);
}

/* The route's pattern: what stands in the path is not for the log. */
static void
dispatch_tell_slow(const struct req *req, enum http_status status, int64_t us)
{
	int64_t slow_us = req->app->settings->slow_request * 1000;

	if (slow_us > 0 && us > slow_us && req->match.route != NULL)
		log_warning("http.slow",
		    "method=%s request_id=%s trace_id=%s route=%s status=%d "
		    "dur_ms=%.1f",
		    env_get(req->env, ENV_METHOD), req->trace_id, req->trace.id,
		    req->match.route->pattern, (int)status,
		    (double)us / 1000.0);
}

/* Probes and those who only look on are no news, unless their caller follows
 * them. */
static bool
dispatch_is_traced(const struct req *req)
{
	const struct route *r = req->match.route;

	return tracer_wants(&req->trace) &&
	    (r == NULL || req->asker[0] != '\0' ||
		(r->rate != ROUTE_RATE_NONE && r->rate != ROUTE_RATE_PROBE));
}

/* The route's pattern again, and nothing that the caller wrote but the name it
 * gave its request. */
static void
dispatch_record(const struct req *req, enum http_status status, int64_t us)
{
	const struct route *r = req->match.route;
	const char *method = req->method == HTTP_METHOD__COUNT
	    ? "_OTHER"
	    : http_method_name(req->method);
	char name[DISPATCH_SPAN_NAME];
	struct span s;

	if (!dispatch_is_traced(req))
		return;
	snprintf(name, sizeof(name), "%s%s%s",
	    req->method == HTTP_METHOD__COUNT ? "HTTP" : method,
	    r != NULL ? " " : "", r != NULL ? r->pattern : "");
	span_init(&s, &req->trace, req->asker, SPAN_SERVER, name);
	s.start_us = req->now_us;
	s.end_us = req->now_us + us;
	span_text(&s, SPAN_ATTR_METHOD, method);
	if (r != NULL)
		span_text(&s, SPAN_ATTR_ROUTE, r->pattern);
	span_http_status(&s, (int)status);
	span_text(&s, SPAN_ATTR_REQUEST_ID, req->trace_id);
	span_text(&s, SPAN_ATTR_TENANT, req->caller.tenant);
	tracer_record(&s);
}

static void
dispatch_count(const struct req *req, enum http_status status, int64_t start_us)
{
	int class = (int)status / 100;
	int64_t us = clock_mono_us() - start_us;

	dispatch_observe(req, class, us);
	dispatch_tell_slow(req, status, us);
	dispatch_record(req, status, us);
	metric_add(class == 2 ? METRIC_HTTP_2XX
		: class == 3  ? METRIC_HTTP_3XX
		: class == 4  ? METRIC_HTTP_4XX
			      : METRIC_HTTP_5XX,
	    1);
	log_debug("http.request",
	    "method=%s request_id=%s trace_id=%s span_id=%s route=%s status=%d "
	    "dur_ms=%.2f",
	    env_get(req->env, ENV_METHOD), req->trace_id, req->trace.id,
	    req->trace.span,
	    req->match.route == NULL ? "-" : req->match.route->pattern,
	    (int)status, (double)us / 1000.0);
}

bool
dispatch_more(struct dispatch_scratch *s)
{
	bool is_last = false;

	buf_clear(&s->body);
	enum err e = s->next(s->next_arg, &s->body, &is_last);
	if (e != ERR_OK)
		log_warning("http.cut_off", "error=%s", err_text(e));
	if (e != ERR_OK || is_last)
		s->next = NULL;
	return e == ERR_OK;
}

enum err
dispatch_run(struct app *app, struct dispatch_scratch *s,
    const struct dispatch_input *in, enum http_status *status)
{
	struct req req = {.app = app,
	    .arena = s->arena,
	    .env = in->env,
	    .method = HTTP_GET,
	    .now_us = clock_wall_us()};
	struct res res;
	bool is_closed = false;
	int64_t start_us = clock_mono_us();

	dispatch_scratch_clear(s);
	s->next = NULL;
	req_set_trace(&req);
	res_init(&res, &s->extra, &s->body, req.trace_id);
	res.is_problem_wanted =
	    res_accepts_problem(env_get(in->env, ENV_ACCEPT));
	*status = dispatch_answer(&req, &res, s, in, &is_closed);
	if (is_closed)
		return ERR_CLOSED;
	dispatch_head(&s->head, &req, &res);
	if (req.method == HTTP_HEAD || http_status_is_bare(*status)) {
		buf_clear(&s->body);
		res.next = NULL;
	}
	s->next = res.next;
	s->next_arg = res.next_arg;
	dispatch_count(&req, *status, start_us);
	return ERR_OK;
}
