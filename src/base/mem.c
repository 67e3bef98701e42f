/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
mem_exhausted(size_t size)
{
	fprintf(stderr, "out of memory: %zu bytes refused\n", size);
	abort();
}

void *
mem_alloc(size_t size)
{
	assert(size > 0);
	void *ptr = malloc(size);
	if (ptr == NULL)
		mem_exhausted(size);
	return ptr;
}

void *
mem_zalloc(size_t size)
{
	assert(size > 0);
	void *ptr = calloc(1, size);
	if (ptr == NULL)
		mem_exhausted(size);
	return ptr;
}

void *
mem_array(size_t count, size_t size)
{
	assert(count > 0 && size > 0);
	void *ptr = calloc(count, size);
	if (ptr == NULL)
		mem_exhausted(size);
	return ptr;
}

void *
mem_realloc_array(void *ptr, size_t count, size_t size)
{
	assert(count > 0 && size > 0);
	void *fresh = reallocarray(ptr, count, size);
	if (fresh == NULL)
		mem_exhausted(size);
	return fresh;
}

char *
mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *
mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		mem_exhausted(0);
	return text;
}
