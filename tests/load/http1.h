/* SPDX-License-Identifier: MIT
 *
 * The answers of an HTTP/1.1 server, byte by byte, without any I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HTTP1_HEAD_MAX 65536
#define HTTP1_BODY_MAX (8u << 20)

enum http1_state {
	HTTP1_HEAD,
	HTTP1_BODY,	  /* `left` bytes of it */
	HTTP1_CHUNK_SIZE, /* a line */
	HTTP1_CHUNK_END,  /* the line end behind a chunk */
	HTTP1_TRAILER,	  /* lines, the last one empty */
	HTTP1_TO_END,	  /* until the server closes */
	HTTP1_DONE,
	HTTP1_BAD /* no HTTP, or too large */
};

/* Caller's memory. What it does not use of body may be consumed meanwhile:
 * streams are read so. */
struct http1 {
	enum http1_state state;
	int status;
	bool is_chunked;
	bool is_closing; /* the server will close, or does not say it stays */
	int64_t left;
	struct buf line; /* head, or a line of the chunks */
	struct buf body;
};

void http1_init(struct http1 *h);
void http1_release(struct http1 *h);
/* For the next answer of the connection; memory kept. */
void http1_begin(struct http1 *h);
/* Take what belongs to this answer; how much that was. 1xx answers are
 * passed over, except 101. */
size_t http1_take(struct http1 *h, const char *data, size_t len);
/* The server has closed: was that the answer's end? */
bool http1_end(struct http1 *h);
