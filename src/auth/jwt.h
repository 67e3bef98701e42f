/* SPDX-License-Identifier: MIT
 *
 * A signed token (JWT in a compact JWS, RFC 7519 and 7515) to what it says.
 * No I/O, no clock, no settings. Every refusal is ERR_AUTH with a fixed text
 * that names what is wrong and quotes nothing of the token, so that it may be
 * logged and shown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/jwk.h"
#include "base/arena.h"
#include "base/err.h"

#define JWT_MAX	       8192		       /* bytes of a token */
#define JWT_LEEWAY_US  (60 * INT64_C(1000000)) /* clocks differ */
#define JWT_TENANT_MAX 128

struct jwt_policy {
	const char *issuer;	  /* "" = any */
	const char *audience;	  /* "*" = any, none too */
	const char *tenant_claim; /* "app_metadata.tenant_id": a path */
};

/* On the arena. */
struct jwt_claims {
	const char *subject;
	const char *tenant;
	const char *role;   /* "authenticated" */
	const char *email;  /* NULL = none */
	int64_t expires_us; /* leeway not included */
	uint64_t key_mark;  /* jwk_mark of the key that signed it */
};

/* Can this be a JWT at all? API tokens have no dots. */
bool jwt_is_like(const char *token);

/* ERR_AUTH; ERR_NOT_FOUND: refused because no key of the set is the token's,
 * a newer set may hold it. */
enum err jwt_verify(struct arena *a, const char *token,
    const struct jwk_set *keys, const struct jwt_policy *policy, int64_t now_us,
    struct jwt_claims *out, struct err_info *info) MUST_CHECK;

struct json;

/* What a token of these keys says, whatever that is: only its signature was
 * looked at. *mark is that of the key. Errors as jwt_verify. */
enum err jwt_open(struct arena *a, const char *token,
    const struct jwk_set *keys, const struct json **payload, uint64_t *mark,
    struct err_info *info) MUST_CHECK;
/* Whose key a token names; nothing of it is proved. NULL = none, or it is no
 * token. */
const char *jwt_kid(struct arena *a, const char *token);
/* HS256 over the payload's JSON text; on the arena. */
char *jwt_sign(
    struct arena *a, const char *kid, const char *payload, const char *secret);
