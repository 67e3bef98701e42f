/* SPDX-License-Identifier: MIT */
#include "base/id.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/str.h"

void
id_random(void *out, size_t len)
{
	if (RAND_bytes(out, (int)len) != 1) {
		fprintf(stderr, "no randomness from the system\n");
		abort();
	}
}

void
id_make(char *out, const char *prefix, size_t bytes)
{
	unsigned char raw[32];
	char hex[2 * sizeof(raw) + 1];

	assert(bytes <= sizeof(raw) && strlen(prefix) < 16);
	id_random(raw, bytes);
	str_hex(raw, bytes, hex);
	snprintf(out, ID_SIZE, "%s%s", prefix, hex);
}

void
id_make_key(char *out, const char *prefix)
{
	unsigned char raw[32];
	unsigned char text[4 * (sizeof(raw) / 3 + 1) + 1];

	assert(strlen(prefix) < 16);
	id_random(raw, sizeof(raw));
	EVP_EncodeBlock(text, raw, sizeof(raw));
	for (char *p = (char *)text; *p != '\0'; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	snprintf(out, ID_SIZE, "%s%.43s", prefix, (char *)text);
	OPENSSL_cleanse(raw, sizeof(raw));
	OPENSSL_cleanse(text, sizeof(text));
}

bool
id_is_valid(const char *text)
{
	size_t len = 0;

	for (; text[len] != '\0'; len++)
		if (len >= ID_MAX ||
		    (!str_is_alnum(text[len]) &&
			strchr("_.-", text[len]) == NULL))
			return false;
	return len > 0;
}

void
id_sha256(const void *data, size_t len, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) != 1)
		abort();
	str_hex(digest, n, out);
}

void
id_hmac_sha256(const char *secret, const void *data, size_t len, char *out)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t n = 0;

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret,
		strlen(secret), data, len, mac, sizeof(mac), &n) == NULL)
		abort();
	str_hex(mac, n, out);
}

bool
id_secret_eq(const char *a, const char *b)
{
	char ha[ID_HASH_SIZE];
	char hb[ID_HASH_SIZE];

	id_sha256(a, strlen(a), ha);
	id_sha256(b, strlen(b), hb);
	return CRYPTO_memcmp(ha, hb, sizeof(ha)) == 0;
}
