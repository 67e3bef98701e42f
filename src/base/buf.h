/* SPDX-License-Identifier: MIT
 *
 * A growable byte buffer that knows its maximum. Appending past the maximum
 * sets a sticky `is_overflowed` and changes nothing else, so a chain of
 * appends is checked once at its end. data is always NUL-terminated when
 * data != NULL, and len does not count that NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/heap.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max; /* largest len allowed */
	bool is_overflowed;
	uint8_t account; /* enum heap_account */
};

/* Caller's memory; no allocation before the first append. */
void buf_init(struct buf *b, size_t max);
/* The same of that account, not of HEAP_BUFFERS. */
void buf_init_for(struct buf *b, enum heap_account account, size_t max);
void buf_release(struct buf *b);
/* Usable again, memory kept. */
void buf_clear(struct buf *b);

void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Room for len more bytes to be written at b->data + b->len, then
 * buf_commit(). NULL (and is_overflowed) when the maximum forbids it. */
char *buf_reserve(struct buf *b, size_t len) MUST_CHECK;
void buf_commit(struct buf *b, size_t len);

/* Drop len bytes from the front. */
void buf_consume(struct buf *b, size_t len);

/* The text, "" when nothing was ever appended; owned by b. */
const char *buf_text(const struct buf *b);
/* Give the malloc'd memory to the caller (never NULL) and re-init b. */
char *buf_steal(struct buf *b) MUST_CHECK;
