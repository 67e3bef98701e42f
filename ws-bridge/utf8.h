/* SPDX-License-Identifier: MIT
 *
 * UTF-8 checked as the bytes come (RFC 3629): text of a fragmented message is
 * refused at its first bad byte, not at its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero it to start. */
struct utf8 {
	uint8_t left; /* continuation bytes still to come */
	uint8_t low;  /* bounds of the next one */
	uint8_t high;
};

/* false at the first byte that no valid text can hold at this place. */
bool utf8_feed(struct utf8 *u, const uint8_t *data, size_t len);
/* Does the text end between two characters? */
bool utf8_is_whole(const struct utf8 *u);
