/* SPDX-License-Identifier: MIT */
#include "tests/load/http1.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

void
http1_init(struct http1 *h)
{
	*h = (struct http1){.state = HTTP1_HEAD};
	buf_init(&h->line, HTTP1_HEAD_MAX);
	buf_init(&h->body, HTTP1_BODY_MAX);
}

void
http1_release(struct http1 *h)
{
	buf_release(&h->line);
	buf_release(&h->body);
}

void
http1_begin(struct http1 *h)
{
	h->state = HTTP1_HEAD;
	h->status = 0;
	h->is_closing = false;
	h->is_chunked = false;
	h->left = 0;
	buf_clear(&h->line);
	buf_clear(&h->body);
}

/* The value of a header of the head, up to its line end; NULL = absent. */
static const char *
http1_header(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = strchr(head, '\n'); at != NULL;
	     at = strchr(at + 1, '\n'))
		if (strncasecmp(at + 1, name, n) == 0 && at[1 + n] == ':')
			return at + 2 + n + strspn(at + 2 + n, " \t");
	return NULL;
}

static bool
http1_header_is(const char *head, const char *name, const char *value)
{
	const char *found = http1_header(head, name);
	size_t n = strlen(value);

	return found != NULL && strncasecmp(found, value, n) == 0 &&
	    (found[n] == '\r' || found[n] == '\n');
}

static enum http1_state
http1_body_of(struct http1 *h, const char *head)
{
	const char *length = http1_header(head, "Content-Length");
	uint64_t n;

	if (h->status == 204 || h->status == 304 || h->status == 101)
		return HTTP1_DONE;
	h->is_chunked = http1_header_is(head, "Transfer-Encoding", "chunked");
	if (h->is_chunked)
		return HTTP1_CHUNK_SIZE;
	if (length == NULL) {
		h->is_closing = true;
		return HTTP1_TO_END;
	}
	if (str_to_u64(length, strcspn(length, " \t\r\n"), INT64_MAX, &n) !=
	    ERR_OK)
		return HTTP1_BAD;
	h->left = (int64_t)n;
	return n == 0 ? HTTP1_DONE : HTTP1_BODY;
}

static enum http1_state
http1_head(struct http1 *h)
{
	const char *head = buf_text(&h->line);
	uint64_t status;

	if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12 ||
	    str_to_u64(head + 9, 3, 999, &status) != ERR_OK || status < 100)
		return HTTP1_BAD;
	h->status = (int)status;
	if (status < 200 && status != 101) {
		buf_clear(&h->line);
		return HTTP1_HEAD;
	}
	h->is_closing = http1_header_is(head, "Connection", "close") ||
	    (head[7] == '0' &&
		!http1_header_is(head, "Connection", "keep-alive"));
	enum http1_state next = http1_body_of(h, head);
	buf_clear(&h->line);
	return next;
}

static enum http1_state
http1_chunk_size(struct http1 *h)
{
	const char *text = buf_text(&h->line);
	size_t n = strspn(text, "0123456789abcdefABCDEF");

	/* Behind it: extensions, which mean nothing to us. */
	if (n == 0 || n > 15 || strchr(";\r\n \t", text[n]) == NULL)
		return HTTP1_BAD;
	h->left = strtoll(text, NULL, 16);
	buf_clear(&h->line);
	return h->left == 0 ? HTTP1_TRAILER : HTTP1_BODY;
}

static enum http1_state
http1_line(struct http1 *h)
{
	bool is_empty = buf_text(&h->line)[strspn(h->line.data, "\r")] == '\n';

	if (h->state == HTTP1_CHUNK_SIZE)
		return http1_chunk_size(h);
	buf_clear(&h->line);
	if (h->state == HTTP1_CHUNK_END)
		return is_empty ? HTTP1_CHUNK_SIZE : HTTP1_BAD;
	return is_empty ? HTTP1_DONE : HTTP1_TRAILER;
}

/* One byte of the head or of a line. */
static void
http1_letter(struct http1 *h, char c)
{
	buf_putc(&h->line, c);
	if (c == '\0' || h->line.is_overflowed) {
		h->state = HTTP1_BAD;
		return;
	}
	if (c != '\n')
		return;
	if (h->state != HTTP1_HEAD)
		h->state = http1_line(h);
	else if (str_eq(buf_text(&h->line) + h->line.len -
			 (h->line.len < 4 ? h->line.len : 4),
		     "\r\n\r\n"))
		h->state = http1_head(h);
}

static size_t
http1_bytes(struct http1 *h, const char *data, size_t len)
{
	size_t n = len;

	if (h->state == HTTP1_BODY && (uint64_t)n > (uint64_t)h->left)
		n = (size_t)h->left;
	buf_append(&h->body, data, n);
	if (h->body.is_overflowed) {
		h->state = HTTP1_BAD;
		return 0;
	}
	if (h->state == HTTP1_TO_END)
		return n;
	h->left -= (int64_t)n;
	return n;
}

size_t
http1_take(struct http1 *h, const char *data, size_t len)
{
	size_t at = 0;

	while (at < len && h->state < HTTP1_DONE) {
		if (h->state != HTTP1_BODY && h->state != HTTP1_TO_END) {
			http1_letter(h, data[at++]);
			continue;
		}
		at += http1_bytes(h, data + at, len - at);
		if (h->state == HTTP1_BODY && h->left == 0)
			h->state = h->is_chunked ? HTTP1_CHUNK_END : HTTP1_DONE;
	}
	return at;
}

bool
http1_end(struct http1 *h)
{
	if (h->state == HTTP1_TO_END)
		h->state = HTTP1_DONE;
	return h->state == HTTP1_DONE;
}
