/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"

void
buf_init_for(struct buf *b, enum heap_account account, size_t max)
{
	assert(max < SIZE_MAX / 4);
	*b = (struct buf){
	    .max = max, .account = heap_is_on ? (uint8_t)account : HEAP_NONE};
}

void
buf_init(struct buf *b, size_t max)
{
	buf_init_for(b, HEAP_BUFFERS, max);
}

void
buf_release(struct buf *b)
{
	heap_free(b->account, b->data);
	*b = (struct buf){.max = b->max, .account = b->account};
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->is_overflowed = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *
buf_reserve(struct buf *b, size_t len)
{
	if (b->is_overflowed || len > b->max - b->len) {
		b->is_overflowed = true;
		return NULL;
	}
	size_t need = b->len + len + 1;
	if (need > b->cap) {
		size_t cap = b->cap > 0 ? b->cap : 64;
		while (cap < need)
			cap *= 2;
		heap_give(b->account, b->data);
		b->data =
		    heap_take(b->account, mem_realloc_array(b->data, cap, 1));
		b->cap = cap;
	}
	return b->data + b->len;
}

void
buf_commit(struct buf *b, size_t len)
{
	assert(b->len + len < b->cap);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_append(struct buf *b, const void *data, size_t len)
{
	char *to = buf_reserve(b, len);
	if (to == NULL)
		return;
	if (len > 0)
		memcpy(to, data, len);
	buf_commit(b, len);
}

void
buf_puts(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void
buf_putc(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_list again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	char *to = buf_reserve(b, (size_t)n);
	if (to != NULL) {
		vsnprintf(to, (size_t)n + 1, fmt, again);
		buf_commit(b, (size_t)n);
	}
	va_end(again);
}

void
buf_consume(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len + 1);
	b->len -= len;
}

const char *
buf_text(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *
buf_steal(struct buf *b)
{
	char *data = b->data != NULL ? b->data : mem_strdup("");
	heap_give(b->account, b->data);
	*b = (struct buf){.max = b->max, .account = b->account};
	return data;
}
