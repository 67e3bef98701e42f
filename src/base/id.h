/* SPDX-License-Identifier: MIT
 *
 * Identifiers and randomness from the kernel's generator (through OpenSSL's
 * RAND_bytes, whose result is checked), and the hash under which secrets are
 * kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE	     80	 /* any id with its NUL, as made here */
#define ID_MAX	     128 /* longest id accepted from outside */
#define ID_HASH_SIZE 65	 /* sha256 in hex with its NUL */

/* prefix + 2*bytes hex digits into out[ID_SIZE], e.g. id_make(out, "adhoc_",
 * 4) = "adhoc_1a2b3c4d"; bytes <= 32, prefix <= 15 characters. */
void id_make(char *out, const char *prefix, size_t bytes);
/* prefix + 43 url-safe base64 characters of 32 random bytes: an API key. */
void id_make_key(char *out, const char *prefix);
/* [A-Za-z0-9_.-]{1,128} */
bool id_is_valid(const char *text);

void id_random(void *out, size_t len);
/* Lower-case hex SHA-256 into out[ID_HASH_SIZE]. */
void id_sha256(const void *data, size_t len, char *out);
/* The same of an HMAC-SHA256. */
void id_hmac_sha256(
    const char *secret, const void *data, size_t len, char *out);
/* Constant-time comparison of two strings of any length. */
bool id_secret_eq(const char *a, const char *b);
