/* SPDX-License-Identifier: MIT */
#include "ws-bridge/utf8.h"

/* A lead byte: how many bytes follow and what the first of them may be
 * (overlong forms, surrogates and code points past U+10FFFF fall out here). */
static bool
utf8_lead(struct utf8 *u, uint8_t c)
{
	u->low = 0x80;
	u->high = 0xbf;
	if (c < 0x80) {
		u->left = 0;
	} else if (c >= 0xc2 && c <= 0xdf) {
		u->left = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		u->left = 2;
		if (c == 0xe0)
			u->low = 0xa0;
		if (c == 0xed)
			u->high = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		u->left = 3;
		if (c == 0xf0)
			u->low = 0x90;
		if (c == 0xf4)
			u->high = 0x8f;
	} else {
		return false;
	}
	return true;
}

bool
utf8_feed(struct utf8 *u, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = data[i];
		if (u->left == 0) {
			if (!utf8_lead(u, c))
				return false;
			continue;
		}
		if (c < u->low || c > u->high)
			return false;
		u->left--;
		u->low = 0x80;
		u->high = 0xbf;
	}
	return true;
}

bool
utf8_is_whole(const struct utf8 *u)
{
	return u->left == 0;
}
