/* SPDX-License-Identifier: MIT */
#include "ws-bridge/ws_handshake.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/str.h"
#include "ws-bridge/ws_deflate.h"

/* RFC 6455 1.3 */
#define WS_GUID	    "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WS_SHA1_LEN 20

static enum ws_handshake_kind
ws_handshake_fail(
    struct ws_handshake *h, int status, const char *code, const char *reason)
{
	h->kind = WS_HANDSHAKE_REFUSE;
	h->status = status;
	h->code = code;
	h->reason = reason;
	return h->kind;
}

/* Where a WebSocket may be opened; the id behind the prefix names a debate. */
static bool
ws_handshake_path(struct ws_handshake *h, const char *path)
{
	static const char *const paths[] = {
	    "/", "/ws", "/ws/", "/ws/events", "/api/v1/ws"};
	static const char prefix[] = "/ws/debates/";

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (str_eq(path, paths[i]))
			return true;
	if (!str_starts(path, prefix) || path[sizeof(prefix) - 1] == '\0')
		return false;
	h->debate_id = path + sizeof(prefix) - 1;
	return true;
}

/* Of "/api/debates/ID/stream" and its other names, the id. The version in
 * front means nothing. */
static bool
ws_handshake_stream_path(
    struct ws_handshake *h, struct arena *a, const char *path)
{
	static const char *const prefixes[] = {
	    "/api/debates/", "/api/spectate/"};
	static const char suffix[] = "/stream";

	if (str_starts(path, "/api/v1/") || str_starts(path, "/api/v2/"))
		path =
		    arena_printf(a, "/api/%s", path + sizeof("/api/v1/") - 1);
	if (str_eq(path, "/api/debates/stream"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (!str_starts(path, prefixes[i]))
			continue;
		const char *id = path + strlen(prefixes[i]);
		size_t len = strlen(id);
		if (len < sizeof(suffix) ||
		    !str_eq(id + len - (sizeof(suffix) - 1), suffix))
			continue;
		h->debate_id = arena_strndup(a, id, len - (sizeof(suffix) - 1));
		return true;
	}
	return false;
}

/* 16 bytes in base64: 22 characters, the last with four zero bits, and "==" */
static bool
ws_handshake_key_is_valid(const char *key)
{
	if (key == NULL || strlen(key) != 24 || !str_eq(key + 22, "=="))
		return false;
	for (int i = 0; i < 22; i++)
		if (!str_is_alnum(key[i]) && key[i] != '+' && key[i] != '/')
			return false;
	return strchr("AQgw", key[21]) != NULL;
}

bool
ws_handshake_accept_key(const char *key, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	char text[sizeof(WS_GUID) + 32];

	snprintf(text, sizeof(text), "%.24s%s", key, WS_GUID);
	if (EVP_Digest(text, strlen(text), digest, &digest_len, EVP_sha1(),
		NULL) != 1 ||
	    digest_len != WS_SHA1_LEN)
		return false;
	EVP_EncodeBlock((unsigned char *)out, digest, WS_SHA1_LEN);
	return true;
}

/* "host[:port]" of an origin without its scheme's default port, compared with
 * Host treated alike. */
static bool
ws_handshake_is_same_host(const char *origin, const char *host)
{
	static const struct {
		const char *scheme;
		const char *port;
	} schemes[] = {{"http://", ":80"}, {"https://", ":443"}};

	for (size_t i = 0; host != NULL && i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(origin, schemes[i].scheme))
			continue;
		const char *there = origin + strlen(schemes[i].scheme);
		size_t len = strlen(host);
		size_t port_len = strlen(schemes[i].port);
		if (str_ieq(there, host))
			return true;
		return len > port_len &&
		    str_eq(host + len - port_len, schemes[i].port) &&
		    strlen(there) == len - port_len &&
		    strncasecmp(there, host, len - port_len) == 0;
	}
	return false;
}

/* The token by precedence: header, subprotocol, query. false: there is a
 * credential, but none we understand. */
static bool
ws_handshake_token(struct ws_handshake *h, struct ws_request *r)
{
	static const char scheme[] = "Bearer ";
	static const char prefix[] = "access_token.";

	if (r->authorization != NULL) {
		if (strncasecmp(r->authorization, scheme, sizeof(scheme) - 1) !=
		    0)
			return false;
		h->token =
		    str_trim(r->arena, r->authorization + sizeof(scheme) - 1);
		return true;
	}
	size_t n = 0;
	char **offers = r->protocol != NULL
	    ? str_split(r->arena, r->protocol, ',', &n)
	    : NULL;
	for (size_t i = 0; i < n; i++)
		if (str_starts(offers[i], prefix)) {
			h->token = offers[i] + sizeof(prefix) - 1;
			return true;
		}
	return ws_request_query(r, "token", &h->token);
}

/* debate_id (or loop_id) and since (or replay_from_seq): both names of the
 * second mean "I have up to here". */
static enum ws_handshake_kind
ws_handshake_query(struct ws_handshake *h, struct ws_request *r)
{
	const char *id = NULL;
	const char *loop_id = NULL;
	const char *since = NULL;
	const char *from = NULL;

	if (!ws_request_query(r, "debate_id", &id) ||
	    !ws_request_query(r, "loop_id", &loop_id) ||
	    !ws_request_query(r, "since", &since) ||
	    !ws_request_query(r, "replay_from_seq", &from))
		return ws_handshake_fail(h, 400, "INVALID_VALUE",
		    "query parameter is repeated or badly encoded");
	if (str_is_empty(h->debate_id))
		h->debate_id = !str_is_empty(id) ? id : loop_id;
	if (str_is_empty(h->debate_id))
		h->debate_id = NULL;
	else if (!id_is_valid(h->debate_id))
		return ws_handshake_fail(
		    h, 400, "INVALID_VALUE", "debate_id is not a valid id");
	if (str_is_empty(since))
		since = from;
	h->has_since = !str_is_empty(since);
	if (h->has_since &&
	    str_to_i64(since, 0, INT64_MAX, &h->since) != ERR_OK)
		return ws_handshake_fail(h, 400, "INVALID_VALUE",
		    "since is not a whole number of at least 0");
	return h->kind;
}

/* The fields RFC 6455 4.2.1 asks for. */
static enum ws_handshake_kind
ws_handshake_fields(struct ws_handshake *h, const struct ws_request *r)
{
	if (!ws_request_list_has(r->upgrade, "websocket") ||
	    !ws_request_list_has(r->connection, "upgrade"))
		return ws_handshake_fail(h, 426, "UPGRADE_REQUIRED",
		    "this address speaks WebSocket only");
	if (r->minor != 1)
		return ws_handshake_fail(
		    h, 400, "INVALID_VALUE", "WebSocket needs HTTP/1.1");
	if (r->version == NULL)
		return ws_handshake_fail(h, 400, "MISSING_FIELD",
		    "Sec-WebSocket-Version is missing");
	if (!str_eq(r->version, "13"))
		return ws_handshake_fail(h, 426, "UPGRADE_REQUIRED",
		    "Sec-WebSocket-Version must be 13");
	if (!ws_handshake_key_is_valid(r->key))
		return ws_handshake_fail(h, 400, "INVALID_VALUE",
		    "Sec-WebSocket-Key is missing or malformed");
	return WS_HANDSHAKE_UPGRADE;
}

/* Does Accept name the type, with whatever weight? */
static bool
ws_handshake_accepts(const char *accept, const char *type)
{
	size_t len = strlen(type);

	for (const char *p = accept; p != NULL && *p != '\0';) {
		while (str_is_space(*p) || *p == ',')
			p++;
		if (strncasecmp(p, type, len) == 0 &&
		    (p[len] == '\0' || strchr(" \t;,", p[len]) != NULL))
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

/* What only a stream has: a browser says by itself what it has seen last, and
 * knows it better than the address it was given. */
static enum ws_handshake_kind
ws_handshake_stream_fields(struct ws_handshake *h, const struct ws_request *r)
{
	if (!ws_handshake_accepts(r->accept, "text/event-stream"))
		return ws_handshake_fail(h, 406, "INVALID_VALUE",
		    "this address speaks text/event-stream only");
	if (h->debate_id != NULL && !str_is_empty(r->last_event_id)) {
		h->has_since = true;
		if (str_to_i64(r->last_event_id, 0, INT64_MAX, &h->since) !=
		    ERR_OK)
			return ws_handshake_fail(h, 400, "INVALID_VALUE",
			    "Last-Event-ID is not a whole number of at least "
			    "0");
	}
	return h->kind;
}

/* Who asks, from where, for what; the same for both protocols. */
static enum ws_handshake_kind
ws_handshake_caller(
    struct ws_handshake *h, struct ws_request *r, const char *allowed_origins)
{
	if (r->origin != NULL &&
	    !ws_handshake_is_same_host(r->origin, r->host)) {
		if (!ws_request_list_has(allowed_origins, r->origin))
			return ws_handshake_fail(
			    h, 403, "FORBIDDEN", "origin is not allowed");
		h->cors_origin = r->origin;
	}
	if (ws_handshake_query(h, r) == WS_HANDSHAKE_REFUSE)
		return h->kind;
	if (!ws_handshake_token(h, r))
		return ws_handshake_fail(h, 401, "INVALID_TOKEN",
		    "credential is not a bearer token");
	if (h->token != NULL && *h->token == '\0')
		h->token = NULL;
	return h->kind;
}

enum ws_handshake_kind
ws_handshake_judge(
    struct ws_handshake *h, struct ws_request *r, const char *allowed_origins)
{
	*h = (struct ws_handshake){.kind = WS_HANDSHAKE_UPGRADE};
	if (!str_eq(r->method, "GET"))
		return ws_handshake_fail(
		    h, 405, "INVALID_VALUE", "only GET is served here");
	if (str_eq(r->path, "/healthz") || str_eq(r->path, "/readyz")) {
		h->kind = WS_HANDSHAKE_HEALTH;
		h->is_readiness = r->path[1] == 'r';
		return h->kind;
	}
	if (ws_handshake_stream_path(h, r->arena, r->path))
		h->kind = WS_HANDSHAKE_STREAM;
	else if (!ws_handshake_path(h, r->path))
		return ws_handshake_fail(
		    h, 404, "NOT_FOUND", "no such address");
	if (h->kind == WS_HANDSHAKE_UPGRADE &&
	    ws_handshake_fields(h, r) == WS_HANDSHAKE_REFUSE)
		return h->kind;
	if (ws_handshake_caller(h, r, allowed_origins) == WS_HANDSHAKE_REFUSE)
		return h->kind;
	if (h->kind == WS_HANDSHAKE_STREAM)
		return ws_handshake_stream_fields(h, r);
	if (!ws_handshake_accept_key(r->key, h->accept))
		return ws_handshake_fail(
		    h, 500, "INTERNAL_ERROR", "internal error");
	enum ws_offer offer = ws_deflate_offer(r->extensions);
	if (offer == WS_OFFER_BAD)
		return ws_handshake_fail(h, 400, "INVALID_VALUE",
		    "Sec-WebSocket-Extensions is malformed");
	h->has_deflate = offer == WS_OFFER_DEFLATE;
	h->has_subprotocol = ws_request_list_has(r->protocol, WS_SUBPROTOCOL);
	return h->kind;
}

void
ws_handshake_accept(const struct ws_handshake *h, struct buf *out)
{
	buf_printf(out,
	    "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n",
	    h->accept);
	if (h->has_subprotocol)
		buf_puts(out, "Sec-WebSocket-Protocol: " WS_SUBPROTOCOL "\r\n");
	if (h->has_deflate)
		buf_puts(
		    out, "Sec-WebSocket-Extensions: " WS_DEFLATE_ANSWER "\r\n");
	buf_puts(out, "\r\n");
}

static void
ws_handshake_reply(struct buf *out, const char *status, const char *extra,
    const struct buf *body)
{
	buf_printf(out,
	    "HTTP/1.1 %s\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Connection: close\r\n"
	    "%s\r\n%s",
	    status, body->len, extra, buf_text(body));
}

static void
ws_handshake_cors(const struct ws_handshake *h, struct buf *out)
{
	if (h->cors_origin != NULL)
		buf_printf(out,
		    "Access-Control-Allow-Origin: %s\r\n"
		    "Access-Control-Allow-Credentials: true\r\n"
		    "Vary: Origin\r\n",
		    h->cors_origin);
	buf_puts(out, "\r\n");
}

void
ws_handshake_stream(const struct ws_handshake *h, struct buf *out)
{
	buf_puts(out,
	    "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/event-stream\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "X-Accel-Buffering: no\r\n"
	    "Connection: close\r\n");
	ws_handshake_cors(h, out);
}

void
ws_handshake_nothing(const struct ws_handshake *h, struct buf *out)
{
	buf_puts(out,
	    "HTTP/1.1 204 No Content\r\n"
	    "Cache-Control: no-store\r\n"
	    "Connection: close\r\n");
	ws_handshake_cors(h, out);
}

void
ws_handshake_health(struct buf *out, bool is_ready)
{
	struct buf body;

	buf_init(&body, 64);
	buf_printf(&body, "{\"status\":\"%s\"}", is_ready ? "ok" : "not_ready");
	ws_handshake_reply(
	    out, is_ready ? "200 OK" : "503 Service Unavailable", "", &body);
	buf_release(&body);
}

struct ws_handshake_status {
	int status;
	const char *line;
	const char *extra; /* header lines that go with it */
};

static const struct ws_handshake_status ws_handshake_statuses[] = {
    {400, "400 Bad Request", ""},
    {401, "401 Unauthorized", "WWW-Authenticate: Bearer\r\n"},
    {403, "403 Forbidden", ""},
    {404, "404 Not Found", ""},
    {405, "405 Method Not Allowed", "Allow: GET\r\n"},
    {406, "406 Not Acceptable", ""},
    {408, "408 Request Timeout", ""},
    {426, "426 Upgrade Required",
	"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
    {429, "429 Too Many Requests", ""},
    {431, "431 Request Header Fields Too Large", ""},
    {503, "503 Service Unavailable", ""},
    {505, "505 HTTP Version Not Supported", ""},
    {500, "500 Internal Server Error", ""},
};

void
ws_handshake_refuse(struct buf *out, int status, const char *code,
    const char *reason, const char *trace_id, int64_t retry_s)
{
	const struct ws_handshake_status *row = ws_handshake_statuses;
	struct json_w w;
	struct buf body;
	char extra[256];

	while (row->status != status && row->status != 500)
		row++;
	buf_init(&body, WS_REQUEST_MAX);
	json_w_init(&w, &body);
	json_w_begin(&w, NULL);
	json_w_str(&w, "error", reason);
	json_w_str(&w, "code", code);
	json_w_str(&w, "message", reason);
	json_w_str(&w, "trace_id", trace_id);
	if (retry_s > 0)
		json_w_int(&w, "retry_after", retry_s);
	json_w_end(&w);
	int n = snprintf(
	    extra, sizeof(extra), "%sX-Trace-Id: %s\r\n", row->extra, trace_id);
	if (retry_s > 0)
		snprintf(extra + n, sizeof(extra) - (size_t)n,
		    "Retry-After: %lld\r\n", (long long)retry_s);
	ws_handshake_reply(out, row->line, extra, &body);
	buf_release(&body);
}
