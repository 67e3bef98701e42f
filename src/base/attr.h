/* SPDX-License-Identifier: MIT
 *
 * Compiler annotations and two macros everybody needs.
 */
#pragma once

#include <stddef.h>

#define MUST_CHECK	  __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NONNULL(...)	  __attribute__((nonnull(__VA_ARGS__)))
#define NORETURN	  __attribute__((noreturn))
#define UNUSED		  __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define CONTAINER_OF(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))
