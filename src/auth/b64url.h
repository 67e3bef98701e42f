/* SPDX-License-Identifier: MIT
 *
 * base64url without padding (RFC 7515 2), the strict way: one text for one
 * value, so that no second spelling of a token passes.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

/* The bytes on the arena, followed by a NUL that len does not count.
 * ERR_SYNTAX: a character outside the alphabet, an impossible length, or bits
 * set behind the last byte. */
enum err b64url_decode(struct arena *a, const char *text, size_t text_len,
    unsigned char **out, size_t *len) MUST_CHECK;

/* On the arena. */
char *b64url_encode(struct arena *a, const void *data, size_t len);
