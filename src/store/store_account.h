/* SPDX-License-Identifier: MIT
 *
 * Users, their sessions, and how often a login was tried. Hashes only:
 * passwords and tokens never come here.
 *
 * Whatever may end somebody's access counts its tenant's access_rev on, in the
 * same transaction; store_access_revs tells bridges of it.
 */
#pragma once

#include "store/store.h"

struct store_user {
	const char *id; /* "user_" + 16 hex */
	const char *tenant;
	const char *email; /* lower case, unique over all tenants */
	const char *name;
	const char *password_hash;
	const char *role;	/* auth/role.h */
	const char *avatar_url; /* NULL = none */
	const char *metadata;	/* JSON object */
	int64_t token_version;	/* signed tokens of an older one are void */
	bool is_active;
	int64_t created_us, updated_us, last_login_us; /* 0 = never */
};

struct store_session {
	const char *id; /* "ses_" + 24 hex */
	const char *tenant, *user_id;
	const char *refresh_hash; /* of the refresh token that is good now */
	const char *device, *address; /* NULL = unknown */
	int64_t created_us, seen_us, expires_us;
};

/* What a credential stands for at this moment. */
struct store_access {
	struct store_token token; /* of store_token_find; else zero */
	const char *user_id, *email, *name;
	const char *role; /* NULL = no user of ours */
	bool is_active;	  /* the user is; true without one */
	const char *plan;
	const char *status; /* the tenant's */
	int64_t token_version;
	int64_t access_rev;
};

struct store_tenant; /* store_tenant.h */

/* A tenant (NULL = it exists), a user and a session (may be NULL), together or
 * not at all. ERR_EXISTS: the e-mail is taken, or the tenant's slug; field says
 * which. */
enum err store_user_create(struct store *store, const struct store_tenant *t,
    const struct store_user *u, const struct store_session *s,
    struct err_info *info) MUST_CHECK;
enum err store_user_by_email(struct store *store, struct arena *a,
    const char *email, struct store_user *out) MUST_CHECK;
enum err store_user_get(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_user *out) MUST_CHECK;
/* Oldest first. */
enum err store_user_list(struct store *store, struct arena *a,
    const char *tenant, int64_t limit, int64_t offset, struct store_user **rows,
    size_t *n, int64_t *total) MUST_CHECK;
enum err store_user_count(struct store *store, const char *tenant, int64_t *n)
    MUST_CHECK;
/* name, avatar_url, metadata and role. */
enum err store_user_change(struct store *store, const struct store_user *u)
    MUST_CHECK;
/* Not active: all sessions end, keys are refused. */
enum err store_user_set_active(struct store *store, const char *tenant,
    const char *id, bool is_active) MUST_CHECK;
/* Ends all sessions but keep (NULL = none is kept, and signed tokens of
 * whatever session are void). */
enum err store_user_set_password(struct store *store, const char *tenant,
    const char *id, const char *hash, const char *keep) MUST_CHECK;
/* The same password under another hash: nothing ends. */
enum err store_user_rehash(struct store *store, const char *tenant,
    const char *id, const char *hash) MUST_CHECK;

/* A login: the session, last_login_us; sessions that are long over go. */
enum err store_session_create(
    struct store *store, const struct store_session *s) MUST_CHECK;
/* ERR_NOT_FOUND: revoked, expired, or its user is not active. Touches seen_us
 * at most once a minute. */
enum err store_session_check(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_access *out) MUST_CHECK;
/* From old_hash to new_hash. ERR_DENIED: old_hash was good once, so it is in
 * two hands: the session has been revoked. ERR_NOT_FOUND: there is no such
 * session any more. */
enum err store_session_rotate(struct store *store, const char *tenant,
    const char *id, const char *old_hash, const char *new_hash,
    int64_t expires_us) MUST_CHECK;
/* Newest first. */
enum err store_session_list(struct store *store, struct arena *a,
    const char *tenant, const char *user_id, struct store_session **rows,
    size_t *n) MUST_CHECK;
/* user_id NULL = whoever's. */
enum err store_session_revoke(struct store *store, const char *tenant,
    const char *user_id, const char *id) MUST_CHECK;
/* All of them, and every signed token. n (may be NULL) = how many. */
enum err store_session_revoke_all(struct store *store, const char *tenant,
    const char *user_id, size_t *n) MUST_CHECK;

/* ---- logins that fail ---- */

/* Whose attempts are counted together, and when they are too many: from the
 * free-th within window_us on, each makes the next ones wait, twice as long
 * each time. */
struct store_login_gate {
	const char *id; /* a hash */
	int64_t free;
	int64_t window_us, wait_us, max_wait_us;
};
/* Counts an attempt at every gate as failed, before the password is looked at:
 * many at once are not more than many. ERR_BUSY, and nothing counted: one gate
 * is shut, for *wait_us more. */
enum err store_login_try(struct store *store,
    const struct store_login_gate *gates, size_t n, int64_t *wait_us)
    MUST_CHECK;
/* The attempt was none: forgets all of the first gate, one of the others. */
enum err store_login_passed(struct store *store,
    const struct store_login_gate *gates, size_t n) MUST_CHECK;

/* access_rev of each tenant, 0 = it has no row. */
enum err store_access_revs(struct store *store, struct arena *a,
    const char *const *tenants, size_t n, int64_t *revs) MUST_CHECK;
