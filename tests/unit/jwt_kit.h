/* SPDX-License-Identifier: MIT
 *
 * An issuer of tokens: keys made by OpenSSL, key sets, signatures.
 */
#pragma once

#include <check.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

#define KIT_SECRET "a secret of the tests, 32 bytes or more"

/* On the arena, without padding. */
static inline char *
kit_b64(struct arena *a, const void *data, size_t len)
{
	char *out = arena_alloc(a, len * 4 / 3 + 8);
	int n = EVP_EncodeBlock((unsigned char *)out, data, (int)len);

	while (n > 0 && out[n - 1] == '=')
		n--;
	out[n] = '\0';
	for (char *p = out; *p != '\0'; p++)
		*p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
	return out;
}

static inline char *
kit_b64_text(struct arena *a, const char *text)
{
	return kit_b64(a, text, strlen(text));
}

static inline EVP_PKEY *
kit_rsa(unsigned bits)
{
	EVP_PKEY *k = EVP_RSA_gen(bits);

	ck_assert_ptr_nonnull(k);
	return k;
}

static inline EVP_PKEY *
kit_ec(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");

	ck_assert_ptr_nonnull(k);
	return k;
}

static inline char *
kit_number(struct arena *a, const EVP_PKEY *k, const char *name, int len)
{
	unsigned char bytes[1024];
	BIGNUM *bn = NULL;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(k, name, &bn), 1);
	int n = len > 0 ? BN_bn2binpad(bn, bytes, len) : BN_bn2bin(bn, bytes);
	ck_assert_int_gt(n, 0);
	BN_free(bn);
	return kit_b64(a, bytes, (size_t)n);
}

/* A key's public half as JWK; more is ",\"name\":value" or "". */
static inline char *
kit_jwk(struct arena *a, const EVP_PKEY *k, const char *kid, const char *more)
{
	if (EVP_PKEY_is_a(k, "RSA"))
		return arena_printf(a,
		    "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\","
		    "\"e\":\"%s\"%s}",
		    kid, kit_number(a, k, OSSL_PKEY_PARAM_RSA_N, 0),
		    kit_number(a, k, OSSL_PKEY_PARAM_RSA_E, 0), more);
	return arena_printf(a,
	    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%s\","
	    "\"y\":\"%s\"%s}",
	    kid, kit_number(a, k, OSSL_PKEY_PARAM_EC_PUB_X, 32),
	    kit_number(a, k, OSSL_PKEY_PARAM_EC_PUB_Y, 32), more);
}

/* The signature of text in base64url; der leaves an ECDSA one as OpenSSL
 * makes it. */
static inline char *
kit_signature(struct arena *a, EVP_PKEY *k, const char *text, bool is_der)
{
	unsigned char sig[1024], raw[64];
	size_t len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	ck_assert_int_eq(
	    EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, k, NULL), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len,
			     (const unsigned char *)text, strlen(text)),
	    1);
	EVP_MD_CTX_free(ctx);
	if (is_der || EVP_PKEY_is_a(k, "RSA"))
		return kit_b64(a, sig, len);
	const unsigned char *p = sig;
	ECDSA_SIG *ec = d2i_ECDSA_SIG(NULL, &p, (long)len);
	ck_assert_ptr_nonnull(ec);
	BN_bn2binpad(ECDSA_SIG_get0_r(ec), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(ec), raw + 32, 32);
	ECDSA_SIG_free(ec);
	return kit_b64(a, raw, sizeof(raw));
}

static inline char *
kit_hmac(struct arena *a, const void *key, size_t key_len, const char *text)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t len = 0;

	ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key,
	    key_len, (const unsigned char *)text, strlen(text), mac,
	    sizeof(mac), &len));
	return kit_b64(a, mac, len);
}

static inline char *
kit_head(struct arena *a, const char *header, const char *payload)
{
	return arena_printf(
	    a, "%s.%s", kit_b64_text(a, header), kit_b64_text(a, payload));
}

/* Tokens of a header and a payload in JSON. */
static inline char *
kit_hs256(struct arena *a, const char *header, const char *payload)
{
	char *text = kit_head(a, header, payload);

	return arena_printf(a, "%s.%s", text,
	    kit_hmac(a, KIT_SECRET, strlen(KIT_SECRET), text));
}

static inline char *
kit_signed(
    struct arena *a, EVP_PKEY *k, const char *header, const char *payload)
{
	char *text = kit_head(a, header, payload);

	return arena_printf(a, "%s.%s", text, kit_signature(a, k, text, false));
}
