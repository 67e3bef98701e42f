/* SPDX-License-Identifier: MIT
 *
 * The Ed25519 keys of receipts. A ring holds one key that signs, or none, and
 * any number that only verify: after a rotation the earlier public keys stay
 * in it. A key's id is the first 16 hex digits of the SHA-256 of its 32 public
 * bytes. Read-only once it is built: threads may share it.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

#define RECEIPT_KEY_ID_SIZE    17 /* with NUL */
#define RECEIPT_SIGNATURE_SIZE 87 /* base64url of 64 bytes, with NUL */
#define RECEIPT_PUBLIC_SIZE    44 /* base64url of 32 bytes, with NUL */

struct receipt_keys;

struct receipt_keys *receipt_keys_new(void) MUST_CHECK;
void receipt_keys_free(struct receipt_keys **keys);
/* Adds the keys of a text of PEM blocks; private ones (PKCS #8) before public
 * ones of the same id. The first private key signs. ERR_INVALID: no PEM, or
 * a key that is not Ed25519. */
enum err receipt_keys_add(struct receipt_keys *keys, const char *pem,
    struct err_info *info) MUST_CHECK;

size_t receipt_keys_count(const struct receipt_keys *keys);
const char *receipt_keys_id(const struct receipt_keys *keys, size_t i);
/* base64url of the 32 bytes, as in a JWK. */
const char *receipt_keys_public(const struct receipt_keys *keys, size_t i);
/* Id of the key that signs, NULL when there is none. */
const char *receipt_keys_signer(const struct receipt_keys *keys);

/* Signs text under the receipts' domain into out[RECEIPT_SIGNATURE_SIZE];
 * ERR_UNSUPPORTED without a key that signs. */
enum err receipt_keys_sign(const struct receipt_keys *keys, const char *text,
    size_t len, char *out) MUST_CHECK;
/* ERR_NOT_FOUND: no key of this id. ERR_DENIED: not its signature. */
enum err receipt_keys_verify(const struct receipt_keys *keys, const char *id,
    const char *text, size_t len, const char *signature) MUST_CHECK;

/* A fresh pair as PEM texts, malloc'd; its id into id[RECEIPT_KEY_ID_SIZE]. */
enum err receipt_key_make(char **private_pem, char **public_pem, char *id)
    MUST_CHECK;
/* The i-th public key as PEM, malloc'd. */
char *receipt_keys_pem(const struct receipt_keys *keys, size_t i) MUST_CHECK;
