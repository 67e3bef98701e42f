/* SPDX-License-Identifier: MIT
 *
 * Region memory: everything a request, a debate step or a command builds hangs
 * on one arena and dies with it, so handlers contain no free(). Not
 * thread-safe; one arena belongs to one thread at a time.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/heap.h"

struct arena;

/* Heap object; blocks of block_size bytes (0 = 4096) are taken as needed,
 * larger requests get a block of their own. */
struct arena *arena_new(size_t block_size) MUST_CHECK;
/* The same of that account, not of HEAP_WORK. */
struct arena *arena_new_for(enum heap_account account, size_t block_size)
    MUST_CHECK;
/* Run the cleanups and drop everything but the first block. */
void arena_clear(struct arena *a);
void arena_free(struct arena **a);

/* Zeroed, aligned for any type; abort on exhaustion. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
void *arena_array(struct arena *a, size_t count, size_t size) MUST_CHECK;
#define ARENA_NEW(a, type)	((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, n, type) ((type *)arena_array((a), (n), sizeof(type)))

/* Copies; NULL gives NULL. */
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
void *arena_memdup(struct arena *a, const void *data, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

/* Call fn(arg) when the arena is cleared or freed, last registered first: the
 * way a foreign object (a file) hangs on an arena. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);

/* Bytes taken from the heap. */
size_t arena_size(const struct arena *a);
