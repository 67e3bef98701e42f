/* SPDX-License-Identifier: MIT
 *
 * Allocation that does not fail: exhaustion is fatal. Therefore every size
 * that comes from outside is checked against a limit first.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"

/* All abort on exhaustion; count * size is checked for overflow; a size of 0
 * is a bug (assert). The caller frees with free(). */
void *mem_alloc(size_t size) MUST_CHECK;
void *mem_zalloc(size_t size) MUST_CHECK;
void *mem_array(size_t count, size_t size) MUST_CHECK;
void *mem_realloc_array(void *ptr, size_t count, size_t size) MUST_CHECK;
char *mem_strdup(const char *text) MUST_CHECK;
char *mem_strndup(const char *text, size_t len) MUST_CHECK;
char *mem_printf(const char *fmt, ...) PRINTF(1, 2) MUST_CHECK;

/* Last words and abort. */
void mem_exhausted(size_t size) NORETURN;
