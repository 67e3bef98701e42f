/* SPDX-License-Identifier: MIT
 *
 * Who a credential stands for at this moment: the static ARAGORA_API_TOKEN, an
 * API key, an access token of ours or a signed token of an identity provider.
 * The store is asked each time, so that what was revoked is refused at once.
 * Secrets are compared in constant time and looked up by their hash.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/role.h"
#include "base/arena.h"
#include "base/err.h"

struct auth;
struct settings;
struct store;

/* Texts are on the arena; NULL = none. */
struct who {
	bool is_known; /* by a credential */
	bool is_key;   /* an API key, or the static token */
	const char *tenant;
	const char *token_id;	/* of an API key */
	const char *subject;	/* of a signed token: the user's id */
	const char *user_id;	/* a user of ours */
	const char *session_id; /* of an access token of ours */
	const char *owner; /* whose things these are: user, subject or key */
	const char *email, *name, *role;
	const char *plan;
	const char *tier; /* anonymous, authenticated, premium, internal */
	enum role_level level;
	/* What who_still needs. */
	int64_t token_version;
	int64_t access_rev; /* of the tenant, store/store_account.h */
	int64_t expires_us; /* of a signed token, leeway included; 0 = none */
	uint64_t key_mark;  /* of an identity provider's key, 0 = none */
};

/* Nobody: the default tenant's. */
void who_anonymous(struct who *out);
/* Must callers have a credential? By the settings, and once the default tenant
 * has users. May be a second old. */
enum err who_is_needed(struct store *store, const struct auth *auth,
    const struct settings *s, bool *is_needed) MUST_CHECK;

/* ERR_AUTH: not a good one; ERR_DENIED: its tenant is suspended. Both with a
 * text that may be shown. Else errors of the store, or ERR_DOWN when the
 * provider's keys cannot be had. */
enum err who_check(struct store *store, struct auth *auth,
    const struct settings *s, struct arena *a, const char *token,
    int64_t now_us, struct who *out, struct err_info *info) MUST_CHECK;

/* The same for an API key by its hash. */
enum err who_check_key(struct store *store, struct arena *a, const char *hash,
    struct who *out, struct err_info *info) MUST_CHECK;

/* Later: does a signed token still hold? session NULL: an identity provider's,
 * of which only the tenant is looked at. *access_rev: as of now. */
enum err who_still(struct store *store, struct arena *a, const char *tenant,
    const char *session, int64_t token_version, int64_t *access_rev) MUST_CHECK;
