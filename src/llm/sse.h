/* SPDX-License-Identifier: MIT
 *
 * Server-sent events, incremental, no I/O (WHATWG HTML 9.2): bytes in, the
 * data of each event out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct sse {
	struct buf line;
	struct buf data; /* of the event being read */
	bool has_data;
	bool was_cr;   /* a LF right after belongs to it */
	bool is_begun; /* past a byte order mark */
};

/* max_event: longest event accepted, bytes. */
void sse_init(struct sse *s, size_t max_event);
void sse_release(struct sse *s);

typedef void (*sse_fn)(void *arg, const char *data, size_t len);

/* ERR_TOO_LARGE once an event exceeds the maximum; feed no more then. An
 * event not ended by a blank line is never given out. */
enum err sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn,
    void *arg) MUST_CHECK;
