/* SPDX-License-Identifier: MIT */
#include "account/who.h"

#include <stdatomic.h>
#include <string.h>

#include "auth/access.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/store_account.h"
#include "store/store_tenant.h"

#define WHO_GATE_MS 1000

/* Has the default tenant users? One process serves one store. */
static struct {
	_Atomic int64_t until_ms;
	atomic_bool has_users;
} who_gate;

void
who_anonymous(struct who *out)
{
	*out = (struct who){.tenant = STORE_TENANT_DEFAULT,
	    .plan = "free",
	    .tier = "anonymous",
	    .level = ROLE_WRITE};
}

enum err
who_is_needed(struct store *store, const struct auth *auth,
    const struct settings *s, bool *is_needed)
{
	int64_t now_ms = clock_mono_ms();
	int64_t n = 0;

	*is_needed = s->auth_required || *s->api_token != '\0' ||
	    auth_has_provider(auth);
	if (*is_needed)
		return ERR_OK;
	if (now_ms >= atomic_load(&who_gate.until_ms)) {
		enum err e = store_user_count(store, STORE_TENANT_DEFAULT, &n);
		if (e != ERR_OK)
			return e;
		atomic_store(&who_gate.has_users, n > 0);
		atomic_store(&who_gate.until_ms, now_ms + WHO_GATE_MS);
	}
	*is_needed = atomic_load(&who_gate.has_users);
	return ERR_OK;
}

static bool
who_is_paid(const char *plan)
{
	return str_eq(plan, "professional") || str_eq(plan, "enterprise") ||
	    str_eq(plan, "premium");
}

static enum err
who_refuse(struct err_info *info)
{
	return err_set(info, ERR_AUTH, "", "the credential is not valid");
}

static enum err
who_check_status(const char *status, struct err_info *info)
{
	if (str_eq(status, "active"))
		return ERR_OK;
	return err_set(info, ERR_DENIED, "", "the tenant is %s", status);
}

static enum role_level
who_least(enum role_level a, enum role_level b)
{
	return a < b ? a : b;
}

/* A key is as strong as whoever made it, and no stronger than its scopes. */
static enum role_level
who_key_level(const struct store_access *access)
{
	enum role_level maker = access->role != NULL ? role_level(access->role)
	    : access->user_id != NULL		     ? ROLE_WRITE
	    : str_eq(access->token.tier, "internal") ? ROLE_OPERATOR
						     : ROLE_OWNER;

	return who_least(maker, role_cap(access->token.scopes));
}

enum err
who_check_key(struct store *store, struct arena *a, const char *hash,
    struct who *out, struct err_info *info)
{
	struct store_access access;

	enum err e = store_token_find(store, a, hash, &access);
	if (e == ERR_NOT_FOUND || (e == ERR_OK && !access.is_active))
		return who_refuse(info);
	if (e == ERR_OK)
		e = who_check_status(access.status, info);
	if (e != ERR_OK)
		return e;
	const struct store_token *t = &access.token;
	bool is_plain = str_eq(t->tier, "authenticated");
	*out = (struct who){.is_known = true,
	    .is_key = true,
	    .tenant = t->tenant,
	    .token_id = t->id,
	    .user_id = access.role != NULL ? access.user_id : NULL,
	    .owner = access.user_id != NULL ? access.user_id : t->id,
	    .email = access.email,
	    .name = t->name,
	    .role = access.role,
	    .plan = access.plan,
	    .tier = is_plain && who_is_paid(access.plan) ? "premium" : t->tier,
	    .level = who_key_level(&access),
	    .access_rev = access.access_rev};
	return ERR_OK;
}

static enum err
who_check_session(struct store *store, struct auth *auth, struct arena *a,
    const char *token, int64_t now_us, struct who *out, struct err_info *info)
{
	struct access_claims claims;
	struct store_access access;

	if (auth_access(auth) == NULL)
		return who_refuse(info);
	enum err e = access_verify(
	    auth_access(auth), a, token, false, now_us, &claims, info);
	if (e != ERR_OK)
		return e;
	e = store_session_check(
	    store, a, claims.tenant, claims.session, &access);
	if (e == ERR_NOT_FOUND ||
	    (e == ERR_OK &&
		(access.token_version != claims.token_version ||
		    !str_eq(access.user_id, claims.user))))
		return err_set(
		    info, ERR_AUTH, "", "the token has been revoked");
	if (e == ERR_OK)
		e = who_check_status(access.status, info);
	if (e != ERR_OK)
		return e;
	*out = (struct who){.is_known = true,
	    .tenant = claims.tenant,
	    .subject = access.user_id,
	    .user_id = access.user_id,
	    .session_id = claims.session,
	    .owner = access.user_id,
	    .email = access.email,
	    .name = access.name,
	    .role = access.role,
	    .plan = access.plan,
	    .tier = who_is_paid(access.plan) ? "premium" : "authenticated",
	    .level = role_level(access.role),
	    .token_version = access.token_version,
	    .access_rev = access.access_rev,
	    .expires_us = claims.expires_us};
	return ERR_OK;
}

/* A user of an identity provider; of it only the tenant may be in the store. */
static enum err
who_check_signed(struct store *store, struct auth *auth, struct arena *a,
    const char *token, int64_t now_us, struct who *out, struct err_info *info)
{
	struct store_tenant tenant;
	struct jwt_claims claims;

	enum err e = auth_verify(auth, a, token, now_us, &claims, info);
	if (e == ERR_OK)
		e = store_tenant_get(store, a, claims.tenant, &tenant);
	if (e == ERR_OK)
		e = who_check_status(tenant.status, info);
	if (e != ERR_OK)
		return e;
	*out = (struct who){.is_known = true,
	    .tenant = claims.tenant,
	    .subject = claims.subject,
	    .owner = claims.subject,
	    .email = claims.email,
	    .role = "member",
	    .plan = tenant.plan,
	    .tier = who_is_paid(tenant.plan) ? "premium" : "authenticated",
	    .level = ROLE_WRITE,
	    .access_rev = tenant.access_rev,
	    .expires_us = claims.expires_us + JWT_LEEWAY_US,
	    .key_mark = claims.key_mark};
	return ERR_OK;
}

enum err
who_check(struct store *store, struct auth *auth, const struct settings *s,
    struct arena *a, const char *token, int64_t now_us, struct who *out,
    struct err_info *info)
{
	char hash[ID_HASH_SIZE];

	if (*token == '\0')
		return who_refuse(info);
	if (*s->api_token != '\0' && id_secret_eq(token, s->api_token)) {
		*out = (struct who){.is_known = true,
		    .is_key = true,
		    .tenant = STORE_TENANT_DEFAULT,
		    .name = "operator",
		    .plan = "free",
		    .tier = "authenticated",
		    .level = ROLE_OPERATOR};
		return ERR_OK;
	}
	if (access_takes(a, token))
		return who_check_session(
		    store, auth, a, token, now_us, out, info);
	if (auth_takes(auth, token))
		return who_check_signed(
		    store, auth, a, token, now_us, out, info);
	id_sha256(token, strlen(token), hash);
	return who_check_key(store, a, hash, out, info);
}

enum err
who_still(struct store *store, struct arena *a, const char *tenant,
    const char *session, int64_t token_version, int64_t *access_rev)
{
	struct store_access access;
	struct store_tenant row;

	if (session == NULL) {
		enum err e = store_tenant_get(store, a, tenant, &row);
		*access_rev = e == ERR_OK ? row.access_rev : 0;
		return e != ERR_OK ? e : who_check_status(row.status, NULL);
	}
	enum err e = store_session_check(store, a, tenant, session, &access);
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_AUTH : e;
	*access_rev = access.access_rev;
	if (access.token_version != token_version)
		return ERR_AUTH;
	return who_check_status(access.status, NULL);
}
