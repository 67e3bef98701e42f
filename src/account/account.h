/* SPDX-License-Identifier: MIT
 *
 * Accounts as both the API and the command line make them: what an e-mail, a
 * password, a name may be, how a login is guarded, and the tokens of a
 * session.
 */
#pragma once

#include <stdint.h>

#include "auth/access.h"
#include "auth/password.h"
#include "base/arena.h"
#include "base/err.h"
#include "store/store_account.h"
#include "store/store_tenant.h"

struct settings;

#define ACCOUNT_NAME_MAX  100 /* bytes */
#define ACCOUNT_EMAIL_MAX 254
#define ACCOUNT_KEY_DAYS  365 /* life of a key that names none */

/* Trimmed and in lower case, on the arena. ERR_INVALID. */
enum err account_email(struct arena *a, const char *text, const char **email,
    struct err_info *info) MUST_CHECK;
/* ERR_INVALID, with field; nothing of it is quoted. */
enum err account_password(
    const char *field, const char *text, struct err_info *info) MUST_CHECK;
/* Trimmed; ERR_INVALID: empty, too long, or with control characters. */
enum err account_name(struct arena *a, const char *field, const char *text,
    const char **name, struct err_info *info) MUST_CHECK;
/* free, starter, professional, enterprise or premium? */
bool account_plan_is_known(const char *plan);

/* A tenant of that name, with an id and a slug of its own. */
void account_new_tenant(
    struct arena *a, const char *name, struct store_tenant *out);
/* email and role are taken over; password_hash is the caller's to fill. */
void account_new_user(struct arena *a, const char *tenant, const char *email,
    const char *name, const char *role, struct store_user *out);

/* Is it this user's password? user NULL: there is none, which takes as long to
 * say. Attempts for one e-mail and from one address (NULL = none) are counted,
 * also across restarts. ERR_AUTH: no; ERR_BUSY with *wait_s > 0: too many were
 * tried; with 0: too many are computed now. */
enum err account_check_password(struct store *store, struct password *p,
    struct arena *a, const char *email, const char *address,
    const struct store_user *user, const char *password, int64_t *wait_s)
    MUST_CHECK;

/* The two tokens of a session, and the row it has with them. */
struct account_tokens {
	const char *access, *refresh;
	int64_t expires_us; /* of access */
	char refresh_hash[65];
	int64_t refresh_expires_us;
};
/* session is its id. */
void account_sign(const struct access *access, const struct settings *s,
    struct arena *a, const struct store_user *u, const char *session,
    int64_t now_us, struct account_tokens *out);
/* A new session's id, on the arena. */
const char *account_new_session(struct arena *a);
