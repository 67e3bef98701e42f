/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool
str_eq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool
str_ieq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	while (*a != '\0' && str_lower(*a) == str_lower(*b)) {
		a++;
		b++;
	}
	return *a == *b;
}

bool
str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool
str_is_empty(const char *text)
{
	return text == NULL || *text == '\0';
}

bool
str_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
str_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
str_is_alnum(char c)
{
	return str_is_digit(c) || (str_lower(c) >= 'a' && str_lower(c) <= 'z');
}

char
str_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

enum err
str_to_u64(const char *text, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (len == 0)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++) {
		if (!str_is_digit(text[i]))
			return ERR_INVALID;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(
			value, (uint64_t)(text[i] - '0'), &value))
			return ERR_TOO_LARGE;
	}
	if (value > max)
		return ERR_TOO_LARGE;
	*out = value;
	return ERR_OK;
}

enum err
str_to_i64(const char *text, int64_t min, int64_t max, int64_t *out)
{
	bool is_negative = text[0] == '-';
	uint64_t magnitude;

	if (is_negative)
		text++;
	/* INT64_MIN has one more than INT64_MAX. */
	enum err e = str_to_u64(text, strlen(text),
	    (uint64_t)INT64_MAX + (is_negative ? 1 : 0), &magnitude);
	if (e != ERR_OK)
		return e;
	int64_t value = is_negative && magnitude > 0
	    ? -(int64_t)(magnitude - 1) - 1
	    : (int64_t)magnitude;
	if (value < min || value > max)
		return ERR_TOO_LARGE;
	*out = value;
	return ERR_OK;
}

enum err
str_to_double(const char *text, double *out)
{
	for (const char *p = text; *p != '\0'; p++)
		if (!str_is_digit(*p) && strchr("+-.eE", *p) == NULL)
			return ERR_INVALID;
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(value))
		return ERR_INVALID;
	*out = value;
	return ERR_OK;
}

enum err
str_to_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "true", "yes", "on"};
	static const char *const no[] = {"0", "false", "no", "off"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_ieq(text, yes[i])) {
			*out = true;
			return ERR_OK;
		}
		if (str_ieq(text, no[i])) {
			*out = false;
			return ERR_OK;
		}
	}
	return ERR_INVALID;
}

char *
str_trim(struct arena *a, const char *text)
{
	while (str_is_space(*text))
		text++;
	size_t len = strlen(text);
	while (len > 0 && str_is_space(text[len - 1]))
		len--;
	return arena_strndup(a, text, len);
}

char **
str_split(struct arena *a, const char *text, char separator, size_t *n)
{
	size_t max = 1;
	for (const char *p = text; *p != '\0'; p++)
		max += *p == separator;

	char **parts = ARENA_ARRAY(a, max + 1, char *);
	*n = 0;
	for (const char *p = text;;) {
		const char *end = strchrnul(p, separator);
		char *part =
		    str_trim(a, arena_strndup(a, p, (size_t)(end - p)));
		if (*part != '\0')
			parts[(*n)++] = part;
		if (*end == '\0')
			return parts;
		p = end + 1;
	}
}

/* Length of the UTF-8 sequence at p (of at most len bytes), 0 if invalid. */
static size_t
str_utf8_step(const unsigned char *p, size_t len)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool
str_is_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		uint64_t word;
		if (len - i >= sizeof(word)) {
			memcpy(&word, p + i, sizeof(word));
			if ((word & UINT64_C(0x8080808080808080)) == 0) {
				i += sizeof(word);
				continue;
			}
		}
		size_t n = str_utf8_step(p + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

size_t
str_utf8_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

size_t
str_utf8_count(const char *text, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

void
str_hex(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
}

uint64_t
str_hash(const void *data, size_t len, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t hash = 0xcbf29ce484222325ULL ^ seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}
