/* SPDX-License-Identifier: MIT
 *
 * Text helpers that do not depend on a locale and check every bound.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

bool str_eq(const char *a, const char *b);  /* NULL equals only NULL */
bool str_ieq(const char *a, const char *b); /* ASCII case-insensitive */
bool str_starts(const char *text, const char *prefix);
bool str_is_empty(const char *text); /* NULL or "" */

/* ASCII only, for any char value. */
bool str_is_space(char c);
bool str_is_digit(char c);
bool str_is_alnum(char c);
char str_lower(char c);

/* A whole decimal number within [min, max], nothing around it. */
enum err str_to_i64(const char *text, int64_t min, int64_t max, int64_t *out)
    MUST_CHECK;
enum err str_to_u64(const char *text, size_t len, uint64_t max, uint64_t *out)
    MUST_CHECK;
/* A finite decimal number (no hex, inf, nan). */
enum err str_to_double(const char *text, double *out) MUST_CHECK;
/* 1/true/yes/on and 0/false/no/off in any case. */
enum err str_to_bool(const char *text, bool *out) MUST_CHECK;

/* Copies on the arena: without surrounding ASCII white space; the parts
 * between separators, trimmed, empty parts left out (*out has *n entries). */
char *str_trim(struct arena *a, const char *text);
char **str_split(struct arena *a, const char *text, char separator, size_t *n);

/* Is [text, text+len) valid UTF-8 (RFC 3629: no surrogates, no overlong, at
 * most U+10FFFF)? */
bool str_is_utf8(const char *text, size_t len);
/* Largest n <= max such that [text, text+n) does not cut a UTF-8 sequence. */
size_t str_utf8_cut(const char *text, size_t len, size_t max);
/* Code points of valid UTF-8. */
size_t str_utf8_count(const char *text, size_t len);

/* Lower-case hex of len bytes into out[2*len+1]. */
void str_hex(const void *data, size_t len, char *out);

/* 64-bit FNV-1a: for hash tables and seeds, never for security. */
uint64_t str_hash(const void *data, size_t len, uint64_t seed);
