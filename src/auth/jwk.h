/* SPDX-License-Identifier: MIT
 *
 * Keys that tokens are checked with: a shared secret, or the public keys of a
 * JSON Web Key Set (RFC 7517). The kind of a key fixes its algorithm; what a
 * token says of its algorithm only has to agree.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum jwk_alg {
	JWK_HS256, /* a secret of at least JWK_SECRET_MIN bytes */
	JWK_RS256, /* RSA of 2048 to 4096 bits */
	JWK_ES256, /* P-256 */
	JWK__COUNT
};

#define JWK_SECRET_MIN 32
#define JWK_KEYS_MAX   32
#define JWK_SET_BYTES  (256u * 1024)

struct jwk;
struct jwk_set;

/* "HS256", ... */
const char *jwk_alg_name(enum jwk_alg alg);
/* false: none of ours ("none" among them). */
bool jwk_alg_parse(const char *name, enum jwk_alg *out) MUST_CHECK;

/* An empty set; counted references, shared between threads. */
struct jwk_set *jwk_set_new(void) MUST_CHECK;
struct jwk_set *jwk_set_ref(struct jwk_set *set) MUST_CHECK;
void jwk_set_unref(struct jwk_set **set);
size_t jwk_set_count(const struct jwk_set *set);

/* Both before the set is shared. ERR_INVALID: the secret is too short. */
enum err jwk_set_add_secret(
    struct jwk_set *set, const char *secret, struct err_info *info) MUST_CHECK;
/* The usable keys of a key set's JSON text. Keys of other kinds or for other
 * purposes are left out, and so is one that shows its private half or is a
 * secret: what was published is nobody's proof. ERR_SYNTAX, ERR_TOO_LARGE;
 * ERR_INVALID: a key that should be usable is malformed, or none is left. */
enum err jwk_set_add_json(struct jwk_set *set, const char *text, size_t len,
    struct err_info *info) MUST_CHECK;

/* The key for a token: kid may be NULL. A secret goes by its algorithm alone;
 * of public keys a token without kid gets the only one there is. NULL when
 * there is none. The key lives as long as the set. */
const struct jwk *jwk_find(
    const struct jwk_set *set, enum jwk_alg alg, const char *kid);
/* Names the key's value: the same after the set was fetched again. */
uint64_t jwk_mark(const struct jwk *key);
bool jwk_set_has_mark(const struct jwk_set *set, uint64_t mark);

/* Did the key sign data? In constant time where it matters. */
bool jwk_verify(const struct jwk *key, const void *data, size_t len,
    const unsigned char *signature, size_t signature_len) MUST_CHECK;
