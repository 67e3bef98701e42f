/* SPDX-License-Identifier: MIT */
#include "auth/b64url.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"

static int
b64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (str_is_digit(c))
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum err
b64url_decode(struct arena *a, const char *text, size_t text_len,
    unsigned char **out, size_t *len)
{
	uint32_t bits = 0;
	int n_bits = 0;

	*len = 0;
	*out = NULL;
	if (text_len % 4 == 1)
		return ERR_SYNTAX;
	*out = arena_alloc(a, text_len / 4 * 3 + 3);
	for (size_t i = 0; i < text_len; i++) {
		int v = b64url_value(text[i]);
		if (v < 0)
			return ERR_SYNTAX;
		bits = (bits << 6 | (uint32_t)v) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			(*out)[(*len)++] = (unsigned char)(bits >> n_bits);
		}
	}
	if ((bits & ((1u << n_bits) - 1)) != 0)
		return ERR_SYNTAX;
	return ERR_OK;
}

char *
b64url_encode(struct arena *a, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789-_";
	const unsigned char *in = data;
	char *out = arena_alloc(a, len / 3 * 4 + 5);
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)in[i] << 16;
		if (left > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (left > 2)
			bits |= in[i + 2];
		for (size_t k = 0; k <= left; k++)
			out[n++] = digits[bits >> (18 - 6 * k) & 63];
	}
	out[n] = '\0';
	return out;
}
