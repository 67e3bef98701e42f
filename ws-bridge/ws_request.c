/* SPDX-License-Identifier: MIT */
#include "ws-bridge/ws_request.h"

#include <string.h>

#include "base/heap.h"
#include "base/str.h"

struct ws_request_field {
	const char *name;
	size_t offset;
	bool is_list; /* may be repeated */
};

#define FIELD(name, member, is_list)                                           \
	{                                                                      \
		name, offsetof(struct ws_request, member), is_list             \
	}
static const struct ws_request_field ws_request_fields[] = {
    FIELD("host", host, false), FIELD("upgrade", upgrade, true),
    FIELD("connection", connection, true),
    FIELD("sec-websocket-key", key, false),
    FIELD("sec-websocket-version", version, false),
    FIELD("sec-websocket-protocol", protocol, true),
    FIELD("origin", origin, false),
    FIELD("authorization", authorization, false),
    FIELD("content-length", content_length, false),
    FIELD("transfer-encoding", transfer_encoding, false),
    FIELD("sec-websocket-extensions", extensions, true),
    FIELD("x-forwarded-for", forwarded_for, true),
    FIELD("x-real-ip", real_ip, false), FIELD("accept", accept, true),
    FIELD("last-event-id", last_event_id, false),
    FIELD("traceparent", traceparent, true), /* twice is none */
};
#undef FIELD

void
ws_request_init(struct ws_request *r)
{
	*r = (struct ws_request){0};
	buf_init_for(&r->raw, HEAP_CONNECTIONS, WS_REQUEST_MAX);
}

void
ws_request_release(struct ws_request *r)
{
	buf_release(&r->raw);
	arena_free(&r->arena);
}

static enum ws_request_result
ws_request_fail(struct ws_request *r, int status, const char *reason)
{
	r->status = status;
	r->reason = reason;
	return WS_REQUEST_BAD;
}

/* RFC 9110 5.6.2 */
static bool
ws_request_is_token_char(char c)
{
	return str_is_alnum(c) ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
ws_request_is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!ws_request_is_token_char(text[i]))
			return false;
	return len > 0;
}

static int
ws_request_hex(char c)
{
	if (str_is_digit(c))
		return c - '0';
	c = str_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL when badly encoded or when it holds a control character. */
static char *
ws_request_decode(
    struct arena *a, const char *text, size_t len, bool is_plus_space)
{
	char *out = arena_alloc(a, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];
		if (c == '%') {
			if (len - i < 3)
				return NULL;
			int high = ws_request_hex(text[i + 1]);
			int low = ws_request_hex(text[i + 2]);
			if (high < 0 || low < 0)
				return NULL;
			c = high << 4 | low;
			i += 2;
		} else if (c == '+' && is_plus_space) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f)
			return NULL;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return out;
}

/* "GET /path?query HTTP/1.1" */
static enum ws_request_result
ws_request_first_line(struct ws_request *r, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	if (space == NULL || !ws_request_is_token(line, (size_t)(space - line)))
		return ws_request_fail(r, 400, "bad request line");
	r->method = arena_strndup(r->arena, line, (size_t)(space - line));
	const char *target = space + 1;
	size_t left = len - (size_t)(target - line);
	const char *end = memchr(target, ' ', left);
	if (end == NULL || *target != '/')
		return ws_request_fail(r, 400, "bad request line");
	const char *version =
	    arena_strndup(r->arena, end + 1, left - (size_t)(end + 1 - target));
	if (!str_eq(version, "HTTP/1.1") && !str_eq(version, "HTTP/1.0"))
		return ws_request_fail(r,
		    str_starts(version, "HTTP/") ? 505 : 400,
		    "HTTP version is not 1.0 or 1.1");
	r->minor = version[7] - '0';
	for (const char *p = target; p < end; p++)
		if (*p <= 0x20 || *p >= 0x7f || *p == '#')
			return ws_request_fail(r, 400, "bad request target");
	const char *mark = memchr(target, '?', (size_t)(end - target));
	const char *path_end = mark != NULL ? mark : end;
	r->path = ws_request_decode(
	    r->arena, target, (size_t)(path_end - target), false);
	if (r->path == NULL)
		return ws_request_fail(r, 400, "bad request target");
	r->query = mark != NULL
	    ? arena_strndup(r->arena, mark + 1, (size_t)(end - mark - 1))
	    : "";
	return WS_REQUEST_MORE;
}

static enum ws_request_result
ws_request_set(
    struct ws_request *r, const struct ws_request_field *f, const char *value)
{
	const char **slot =
	    (const char **)(void *)((char *)(void *)r + f->offset);

	if (*slot == NULL)
		*slot = value;
	else if (f->is_list)
		*slot = arena_printf(r->arena, "%s, %s", *slot, value);
	else
		return ws_request_fail(r, 400, "header field is repeated");
	return WS_REQUEST_MORE;
}

/* "Name: value" */
static enum ws_request_result
ws_request_header_line(struct ws_request *r, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);

	if (colon == NULL || !ws_request_is_token(line, (size_t)(colon - line)))
		return ws_request_fail(r, 400, "bad header line");
	for (const char *p = colon + 1; p < line + len; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return ws_request_fail(
			    r, 400, "control character in a header field");
	const char *name =
	    arena_strndup(r->arena, line, (size_t)(colon - line));
	const char *value = str_trim(r->arena,
	    arena_strndup(
		r->arena, colon + 1, len - (size_t)(colon + 1 - line)));
	for (size_t i = 0; i < ARRAY_LEN(ws_request_fields); i++)
		if (str_ieq(name, ws_request_fields[i].name))
			return ws_request_set(r, &ws_request_fields[i], value);
	return WS_REQUEST_MORE;
}

/* The whole head is in raw and ends with its blank line. */
static enum ws_request_result
ws_request_parse(struct ws_request *r)
{
	const char *line = r->raw.data;
	const char *end = r->raw.data + r->raw.len - 2;
	enum ws_request_result result = WS_REQUEST_MORE;

	r->arena = arena_new_for(HEAP_CONNECTIONS, 0);
	for (int n = 0; line < end && result == WS_REQUEST_MORE; n++) {
		const char *cr = memchr(line, '\r', (size_t)(end - line));
		size_t len = (size_t)(cr - line);
		if (n > WS_REQUEST_ROWS)
			return ws_request_fail(
			    r, 431, "too many header fields");
		result = n == 0 ? ws_request_first_line(r, line, len)
				: ws_request_header_line(r, line, len);
		line = cr + 2;
	}
	if (result != WS_REQUEST_MORE)
		return result;
	if (r->minor == 1 && r->host == NULL)
		return ws_request_fail(r, 400, "Host is missing");
	if (r->transfer_encoding != NULL ||
	    (r->content_length != NULL && !str_eq(r->content_length, "0")))
		return ws_request_fail(r, 400, "request has a body");
	return WS_REQUEST_DONE;
}

/* One byte of the head: line ends are CR LF and nothing else, and the first
 * line is not empty. */
static enum ws_request_result
ws_request_byte(struct ws_request *r, char c)
{
	const struct buf *b = &r->raw;
	char last = b->len > 0 ? b->data[b->len - 1] : '\0';

	if (c == '\0')
		return ws_request_fail(r, 400, "NUL in the request");
	if ((c == '\n') != (last == '\r'))
		return ws_request_fail(r, 400, "line end is not CR LF");
	if (c == '\r' && b->len == 0)
		return ws_request_fail(r, 400, "empty line before the request");
	if (b->len == WS_REQUEST_MAX)
		return ws_request_fail(r, 431, "request header is too large");
	buf_putc(&r->raw, c);
	if (c == '\n' && b->len >= 4 &&
	    memcmp(b->data + b->len - 4, "\r\n\r\n", 4) == 0)
		return WS_REQUEST_DONE;
	return WS_REQUEST_MORE;
}

enum ws_request_result
ws_request_feed(struct ws_request *r, const char *data, size_t len)
{
	if (r->status != 0)
		return WS_REQUEST_BAD;
	if (r->arena != NULL)
		return len == 0
		    ? WS_REQUEST_DONE
		    : ws_request_fail(r, 400, "bytes after the request");
	for (size_t i = 0; i < len; i++) {
		enum ws_request_result result = ws_request_byte(r, data[i]);
		if (result == WS_REQUEST_BAD)
			return result;
		if (result == WS_REQUEST_DONE)
			return i + 1 == len ? ws_request_parse(r)
					    : ws_request_fail(r, 400,
						  "bytes after the request");
	}
	return WS_REQUEST_MORE;
}

bool
ws_request_query(struct ws_request *r, const char *name, const char **value)
{
	size_t name_len = strlen(name);

	*value = NULL;
	for (const char *p = r->query; *p != '\0';) {
		size_t len = strcspn(p, "&");
		const char *eq = memchr(p, '=', len);
		size_t key_len = eq != NULL ? (size_t)(eq - p) : len;
		if (key_len == name_len && memcmp(p, name, key_len) == 0) {
			if (*value != NULL)
				return false;
			*value = eq != NULL
			    ? ws_request_decode(
				  r->arena, eq + 1, len - key_len - 1, true)
			    : "";
			if (*value == NULL)
				return false;
		}
		p += len + (p[len] == '&');
	}
	return true;
}

bool
ws_request_list_has(const char *list, const char *token)
{
	size_t token_len = strlen(token);

	for (const char *p = list; p != NULL && *p != '\0';) {
		size_t len = strcspn(p, ",");
		const char *next = p + len + (p[len] == ',');
		while (len > 0 && str_is_space(*p)) {
			p++;
			len--;
		}
		while (len > 0 && str_is_space(p[len - 1]))
			len--;
		size_t i = 0;
		while (i < len && i < token_len &&
		    str_lower(p[i]) == str_lower(token[i]))
			i++;
		if (i == len && i == token_len)
			return true;
		p = next;
	}
	return false;
}
