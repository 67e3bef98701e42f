/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"

#define ARENA_ALIGN	    alignof(max_align_t)
#define ARENA_BLOCK_DEFAULT 4096

struct arena_block {
	struct arena_block *next;
	size_t size; /* of data[] */
	size_t used;
	alignas(max_align_t) char data[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*fn)(void *arg);
	void *arg;
};

/* The first block follows in the same piece of memory. */
struct arena {
	struct arena_block *current;
	struct arena_block *first;
	struct arena_cleanup *cleanups;
	size_t block_size;
	size_t total;
	enum heap_account account; /* HEAP_NONE: begun uncounted */
	alignas(max_align_t) char rest[];
};

static void
arena_block_init(struct arena *a, struct arena_block *b, size_t size)
{
	b->next = NULL;
	b->size = size;
	b->used = 0;
	a->total += sizeof(*b) + size;
}

struct arena *
arena_new_for(enum heap_account account, size_t block_size)
{
	size_t size = block_size != 0 ? block_size : ARENA_BLOCK_DEFAULT;
	struct arena *a = heap_take(
	    account, mem_alloc(sizeof(*a) + sizeof(struct arena_block) + size));

	a->account = heap_is_on ? account : HEAP_NONE;
	a->first = (struct arena_block *)(void *)a->rest;
	a->current = a->first;
	a->cleanups = NULL;
	a->block_size = size;
	a->total = sizeof(*a);
	arena_block_init(a, a->first, size);
	return a;
}

struct arena *
arena_new(size_t block_size)
{
	return arena_new_for(HEAP_WORK, block_size);
}

void
arena_clear(struct arena *a)
{
	while (a->cleanups != NULL) {
		struct arena_cleanup *c = a->cleanups;
		a->cleanups = c->next;
		c->fn(c->arg);
	}
	/* Blocks are chained from the newest to the first. */
	for (struct arena_block *b = a->current; b != a->first;) {
		struct arena_block *next = b->next;
		a->total -= sizeof(*b) + b->size;
		heap_free(a->account, b);
		b = next;
	}
	a->current = a->first;
	a->first->used = 0;
}

void
arena_free(struct arena **a)
{
	if (*a == NULL)
		return;
	arena_clear(*a);
	heap_free((*a)->account, *a);
	*a = NULL;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX / 2)
		mem_exhausted(size);
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (size == 0)
		size = ARENA_ALIGN;

	struct arena_block *b = a->current;
	if (b->size - b->used < size) {
		size_t block = size > a->block_size ? size : a->block_size;
		b = heap_take(a->account, mem_alloc(sizeof(*b) + block));
		arena_block_init(a, b, block);
		b->next = a->current;
		a->current = b;
	}
	void *ptr = b->data + b->used;
	b->used += size;
	return memset(ptr, 0, size);
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		mem_exhausted(SIZE_MAX);
	return arena_alloc(a, total);
}

void *
arena_memdup(struct arena *a, const void *data, size_t len)
{
	if (data == NULL)
		return NULL;
	void *copy = arena_alloc(a, len);
	memcpy(copy, data, len);
	return copy;
}

char *
arena_strndup(struct arena *a, const char *text, size_t len)
{
	if (text == NULL)
		return NULL;
	char *copy = arena_alloc(a, len + 1);
	memcpy(copy, text, len);
	return copy;
}

char *
arena_strdup(struct arena *a, const char *text)
{
	return text != NULL ? arena_strndup(a, text, strlen(text)) : NULL;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_list again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	char *text = arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

void
arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct arena_cleanup *c = ARENA_NEW(a, struct arena_cleanup);
	c->fn = fn;
	c->arg = arg;
	c->next = a->cleanups;
	a->cleanups = c;
}

size_t
arena_size(const struct arena *a)
{
	return a->total;
}
