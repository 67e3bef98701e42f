/* SPDX-License-Identifier: MIT
 *
 * Who has how much of the heap. Where memory of some amount is taken and
 * given back, it is counted for an account of heap.def: arenas and buffers do
 * so themselves, libraries where they let us. A block counts as what malloc
 * set aside for it. While profiling is off (the default) nothing is counted,
 * and all that is left of this is the test of one flag.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/attr.h"

enum heap_account {
	HEAP_NONE, /* not counted */
#define HEAP_ACCOUNT(id, name, help) HEAP_##id,
#include "base/heap.def"
#undef HEAP_ACCOUNT
	HEAP__COUNT
};

/* Read only; set by heap_open. */
extern bool heap_is_on;

/* Count from now on, and let the libraries count. Once, before there are
 * threads: what was taken before stays uncounted. */
void heap_open(void);
/* "debates"; of HEAP_NONE: "other". */
const char *heap_account_name(enum heap_account account);

/* Any thread. For the two that follow. */
void heap_count(enum heap_account account, const void *block, int sign);

/* block is of this account from now on; it is returned. NULL is none. */
static inline void *
heap_take(enum heap_account account, void *block)
{
	if (__builtin_expect(heap_is_on, 0))
		heap_count(account, block, 1);
	return block;
}

/* It is not any longer: given away, or about to be moved by realloc. */
static inline void
heap_give(enum heap_account account, const void *block)
{
	if (__builtin_expect(heap_is_on, 0))
		heap_count(account, block, -1);
}

/* Given back. */
static inline void
heap_free(enum heap_account account, void *block)
{
	heap_give(account, block);
	free(block);
}

/* Allocation for libraries that can be told whose to use, in the words of
 * curl_global_init_mem. */
struct heap_hooks {
	void *(*malloc)(size_t size);
	void (*free)(void *block);
	void *(*realloc)(void *block, size_t size);
	char *(*strdup)(const char *text);
	void *(*calloc)(size_t count, size_t size);
};
extern const struct heap_hooks heap_curl_hooks;

struct heap_amount {
	int64_t bytes;
	int64_t blocks;
};

/* Let a library that counts by itself tell what it has; any thread. */
void heap_ask(
    enum heap_account account, void (*read)(struct heap_amount *amount));

/* Bytes. used is total without what malloc keeps for the next one to ask. */
struct heap_figures {
	int64_t total;
	int64_t used;
	int64_t mapped;	  /* of used: blocks of their own, by mmap */
	int64_t resident; /* of the process, its code too */
	/* HEAP_NONE: what of used is on no account; its blocks are unknown. */
	struct heap_amount accounts[HEAP__COUNT];
};

/* Of this process. Any thread. */
void heap_read(struct heap_figures *out);
