/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define HEAP_CACHE_LINE 64
/* What malloc puts in front of a block. */
#define HEAP_BLOCK_HEAD sizeof(size_t)

bool heap_is_on;

static struct {
	_Alignas(HEAP_CACHE_LINE) _Atomic(int64_t) bytes;
	_Atomic(int64_t) blocks;
	void (*_Atomic read)(struct heap_amount *amount);
} heap_accounts[HEAP__COUNT];

static const char *const heap_names[HEAP__COUNT] = {
    [HEAP_NONE] = "other",
#define HEAP_ACCOUNT(id, name, help) [HEAP_##id] = name,
#include "base/heap.def"
#undef HEAP_ACCOUNT
};

const char *
heap_account_name(enum heap_account account)
{
	return heap_names[account];
}

void
heap_count(enum heap_account account, const void *block, int sign)
{
	/* Not changed, but malloc_usable_size has no const. */
	union {
		const void *in;
		void *out;
	} u = {.in = block};

	if (account == HEAP_NONE || block == NULL)
		return;
	int64_t size =
	    (int64_t)(malloc_usable_size(u.out) + HEAP_BLOCK_HEAD) * sign;
	atomic_fetch_add_explicit(
	    &heap_accounts[account].bytes, size, memory_order_relaxed);
	atomic_fetch_add_explicit(
	    &heap_accounts[account].blocks, sign, memory_order_relaxed);
}

void
heap_ask(enum heap_account account, void (*read)(struct heap_amount *amount))
{
	atomic_store(&heap_accounts[account].read, read);
}

/* ---- for libraries ---- */

static void *
heap_move(enum heap_account account, void *block, size_t size)
{
	heap_give(account, block);
	void *moved = realloc(block, size);
	/* Where it was, if there was no room elsewhere. */
	if (moved == NULL && size > 0)
		heap_take(account, block);
	return heap_take(account, moved);
}

static void *
curl_malloc(size_t size)
{
	return heap_take(HEAP_CURL, malloc(size));
}

static void
curl_free_block(void *block)
{
	heap_free(HEAP_CURL, block);
}

static void *
curl_realloc(void *block, size_t size)
{
	return heap_move(HEAP_CURL, block, size);
}

static char *
curl_strdup(const char *text)
{
	return heap_take(HEAP_CURL, strdup(text));
}

static void *
curl_calloc(size_t count, size_t size)
{
	return heap_take(HEAP_CURL, calloc(count, size));
}

const struct heap_hooks heap_curl_hooks = {.malloc = curl_malloc,
    .free = curl_free_block,
    .realloc = curl_realloc,
    .strdup = curl_strdup,
    .calloc = curl_calloc};

static void *
openssl_malloc(size_t size, const char *file UNUSED, int line UNUSED)
{
	return heap_take(HEAP_OPENSSL, malloc(size));
}

static void *
openssl_realloc(
    void *block, size_t size, const char *file UNUSED, int line UNUSED)
{
	return heap_move(HEAP_OPENSSL, block, size);
}

static void
openssl_free(void *block, const char *file UNUSED, int line UNUSED)
{
	heap_free(HEAP_OPENSSL, block);
}

void
heap_open(void)
{
	if (heap_is_on)
		return;
	heap_is_on = true;
	struct mallinfo2 m = mallinfo2();
	atomic_store(
	    &heap_accounts[HEAP_START].bytes, (int64_t)(m.uordblks + m.hblkhd));
	/* Refused when something was taken already: then it is not counted. */
	(void)CRYPTO_set_mem_functions(
	    openssl_malloc, openssl_realloc, openssl_free);
}

/* ---- figures ---- */

/* Without stdio, whose buffer would be in the figures. */
static int64_t
heap_resident(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *second = strchr(text, ' ');
	return second != NULL
	    ? (int64_t)strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE)
	    : 0;
}

void
heap_read(struct heap_figures *out)
{
	struct mallinfo2 m = mallinfo2();
	int64_t sum = 0;

	*out = (struct heap_figures){.total = (int64_t)(m.arena + m.hblkhd),
	    .used = (int64_t)(m.uordblks + m.hblkhd),
	    .mapped = (int64_t)m.hblkhd,
	    .resident = heap_resident()};
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++) {
		struct heap_amount *a = &out->accounts[i];
		void (*ask)(struct heap_amount *) =
		    atomic_load(&heap_accounts[i].read);
		a->bytes = atomic_load(&heap_accounts[i].bytes);
		a->blocks = atomic_load(&heap_accounts[i].blocks);
		if (ask != NULL)
			ask(a);
		sum += a->bytes;
	}
	/* A malloc that is not glibc's (a sanitizer's) tells nothing. */
	if (out->used < sum)
		out->used = sum;
	if (out->total < out->used)
		out->total = out->used;
	out->accounts[HEAP_NONE].bytes = out->used - sum;
}
