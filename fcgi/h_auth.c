/* SPDX-License-Identifier: MIT
 *
 * Register, log in, refresh, log out, change the password. Whether an e-mail
 * is known cannot be told from a login: neither by its answer nor by its time.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "auth/auth.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "fcgi/account_out.h"
#include "settings/settings.h"

#define AUTH_DEVICE_MAX 200
/* Larger than any password allowed, and than any token of ours. */
#define AUTH_TEXT_MAX  8192
#define AUTH_BAD_LOGIN "the e-mail or the password is wrong"

struct auth_in {
	const char *email, *password, *name, *organization;
};

static const struct input auth_rows[] = {
    {.key = "email",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_in, email),
	.help = "In any case of letters."},
    {.key = "password",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_in, password),
	.help = "8 to 128 characters."},
    {.key = "name",
	.kind = INPUT_TEXT,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_in, name),
	.help = "Of the person."},
    {.key = "organization",
	.kind = INPUT_TEXT,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_in, organization),
	.help = "Name of the tenant."},
};
static const struct input_list auth_inputs = {auth_rows, ARRAY_LEN(auth_rows)};
/* Without name and organization. */
static const struct input_list auth_login_inputs = {auth_rows, 2};

/* What the client says it is; only to be recognised by its user. */
static const char *
auth_device(const struct req *req)
{
	const char *agent = env_get(req->env, ENV_USER_AGENT);
	size_t len = str_utf8_cut(agent, strlen(agent), AUTH_DEVICE_MAX);

	if (len == 0 || !str_is_utf8(agent, len))
		return NULL;
	return arena_strndup(req->arena, agent, len);
}

/* A session of u with its tokens, not in the store yet. */
static void
auth_begin_session(struct req *req, const struct store_user *u,
    struct account_tokens *tokens, struct store_session *s)
{
	const char *id = account_new_session(req->arena);

	account_sign(auth_access(req->app->auth), req->app->settings,
	    req->arena, u, id, req->now_us, tokens);
	*s = (struct store_session){.id = id,
	    .tenant = u->tenant,
	    .user_id = u->id,
	    .refresh_hash = tokens->refresh_hash,
	    .device = auth_device(req),
	    .address = req_client_ip(req),
	    .expires_us = tokens->refresh_expires_us};
}

static enum http_status
auth_welcome(struct req *req, struct res *res, const struct store_user *u,
    const struct store_tenant *t, const struct account_tokens *tokens,
    enum http_status status)
{
	struct json_w *w = res_json(res);

	account_union(w, req, u, t);
	account_token_union(w, req, tokens);
	json_w_bool(w, "requires_verification", false);
	return res_json_end(res, status);
}

/* ---- registration ---- */

static enum err
auth_read_person(struct req *req, struct auth_in *in, struct err_info *info)
{
	enum err e = account_email(req->arena, in->email, &in->email, info);

	if (e == ERR_OK)
		e = account_password("password", in->password, info);
	if (e != ERR_OK)
		return e;
	if (in->name == NULL)
		in->name = arena_strndup(
		    req->arena, in->email, strcspn(in->email, "@"));
	if (in->organization == NULL)
		in->organization = in->name;
	e = account_name(req->arena, "name",
	    arena_strndup(req->arena, in->name, strlen(in->name)), &in->name,
	    info);
	if (e == ERR_OK)
		e = account_name(req->arena, "organization", in->organization,
		    &in->organization, info);
	return e;
}

enum http_status
auth_register(struct req *req, struct res *res)
{
	char hash[PASSWORD_SIZE];
	struct account_tokens tokens;
	struct store_tenant tenant;
	struct store_session session;
	struct err_info info = {0};
	struct store_user user;
	struct auth_in in;

	if (!req->app->settings->registration)
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "accounts are made by the operator of this server");
	enum http_status status = input_read_body(req, &auth_inputs, &in, res);
	if (status == HTTP_OK)
		status = account_is_ready(req, res);
	if (status != HTTP_OK)
		return status;
	enum err e = auth_read_person(req, &in, &info);
	if (e != ERR_OK)
		return account_refuse(res, e, &info);
	status = account_hash(req, res, in.password, hash);
	if (status != HTTP_OK)
		return status;
	account_new_tenant(req->arena, in.organization, &tenant);
	account_new_user(
	    req->arena, tenant.id, in.email, in.name, "owner", &user);
	user.password_hash = hash;
	user.created_us = user.updated_us = user.last_login_us = req->now_us;
	tenant.created_us = tenant.updated_us = req->now_us;
	tenant.owner_id = user.id;
	auth_begin_session(req, &user, &tokens, &session);
	e = store_user_create(req->app->store, &tenant, &user, &session, &info);
	if (e == ERR_EXISTS)
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "there is an account with this e-mail");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("auth.registered", "user=%s tenant=%s", user.id, tenant.id);
	return auth_welcome(req, res, &user, &tenant, &tokens, HTTP_CREATED);
}

/* ---- login ---- */

enum http_status
auth_login(struct req *req, struct res *res)
{
	struct account_tokens tokens;
	struct store_session session;
	struct store_tenant tenant;
	struct err_info info = {0};
	struct store_user user;
	struct auth_in in;
	const char *email;

	enum http_status status =
	    input_read_body(req, &auth_login_inputs, &in, res);
	if (status == HTTP_OK)
		status = account_is_ready(req, res);
	if (status != HTTP_OK)
		return status;
	/* What can be no e-mail of anybody fails as one that is nobody's. */
	(void)!account_email(req->arena, in.email, &email, &info);
	enum err e =
	    store_user_by_email(req->app->store, req->arena, email, &user);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return res_err(res, e, NULL);
	status = account_prove(req, res, email, e == ERR_OK ? &user : NULL,
	    in.password, AUTH_BAD_LOGIN);
	if (status != HTTP_OK)
		return status;
	e = store_tenant_get(req->app->store, req->arena, user.tenant, &tenant);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (!str_eq(tenant.status, "active"))
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "the tenant is %s", tenant.status);
	auth_begin_session(req, &user, &tokens, &session);
	e = store_session_create(req->app->store, &session);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	user.last_login_us = req->now_us;
	log_info("auth.login", "user=%s session=%s", user.id, session.id);
	return auth_welcome(req, res, &user, &tenant, &tokens, HTTP_OK);
}

/* ---- refresh ---- */

struct auth_refresh_in {
	const char *token;
};

static const struct input auth_refresh_rows[] = {
    {.key = "refresh_token",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_refresh_in, token),
	.help = "The newest of the session."},
};
static const struct input_list auth_refresh_inputs = {auth_refresh_rows, 1};

/* The old token is dead whatever comes of this one. */
static enum http_status
auth_rotate(struct req *req, struct res *res, const char *token,
    const struct store_user *u, const char *session)
{
	struct account_tokens tokens;
	char hash[ID_HASH_SIZE];

	account_sign(auth_access(req->app->auth), req->app->settings,
	    req->arena, u, session, req->now_us, &tokens);
	id_sha256(token, strlen(token), hash);
	enum err e = store_session_rotate(req->app->store, u->tenant, session,
	    hash, tokens.refresh_hash, tokens.refresh_expires_us);
	if (e == ERR_DENIED) {
		log_warning("auth.refresh_reused", "user=%s session=%s", u->id,
		    session);
		return account_deny(res,
		    "the refresh token was used before; the session has ended");
	}
	if (e == ERR_NOT_FOUND)
		return account_deny(res, "the session has ended");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	account_token_union(w, req, &tokens);
	return res_json_end(res, HTTP_OK);
}

enum http_status
auth_refresh(struct req *req, struct res *res)
{
	struct auth_refresh_in in;
	struct access_claims claims;
	struct store_access access;
	struct err_info info = {0};

	enum http_status status =
	    input_read_body(req, &auth_refresh_inputs, &in, res);
	if (status == HTTP_OK)
		status = account_is_ready(req, res);
	if (status != HTTP_OK)
		return status;
	if (access_verify(auth_access(req->app->auth), req->arena, in.token,
		true, req->now_us, &claims, &info) != ERR_OK)
		return account_deny(res, info.text);
	enum err e = store_session_check(req->app->store, req->arena,
	    claims.tenant, claims.session, &access);
	if (e == ERR_NOT_FOUND ||
	    (e == ERR_OK &&
		(access.token_version != claims.token_version ||
		    !str_eq(access.user_id, claims.user))))
		return account_deny(res, "the session has ended");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (!str_eq(access.status, "active"))
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "the tenant is %s", access.status);
	const struct store_user u = {.id = access.user_id,
	    .tenant = claims.tenant,
	    .email = access.email,
	    .role = access.role,
	    .token_version = access.token_version};
	return auth_rotate(req, res, in.token, &u, claims.session);
}

/* ---- the end of sessions ---- */

static enum http_status
auth_no_session(struct res *res)
{
	return res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
	    "an API key is no session; delete the key instead");
}

enum http_status
auth_logout(struct req *req, struct res *res)
{
	const struct who *who = &req->caller.who;

	if (who->session_id == NULL)
		return auth_no_session(res);
	enum err e = store_session_revoke(
	    req->app->store, who->tenant, who->user_id, who->session_id);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return res_err(res, e, NULL);
	log_info(
	    "auth.logout", "user=%s session=%s", who->user_id, who->session_id);
	struct json_w *w = res_json(res);
	json_w_str(w, "message", "logged out");
	json_w_bool(w, "logged_out", true);
	return res_json_end(res, HTTP_OK);
}

enum http_status
auth_logout_all(struct req *req, struct res *res)
{
	const struct who *who = &req->caller.who;
	size_t n = 0;

	if (who->session_id == NULL)
		return auth_no_session(res);
	enum err e = store_session_revoke_all(
	    req->app->store, who->tenant, who->user_id, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("auth.logout_all", "user=%s sessions=%zu", who->user_id, n);
	struct json_w *w = res_json(res);
	json_w_str(w, "message", "logged out everywhere");
	json_w_bool(w, "logged_out", true);
	json_w_int(w, "sessions_revoked", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}

/* ---- the password ---- */

struct auth_password_in {
	const char *current, *new;
};

static const struct input auth_password_rows[] = {
    {.key = "current_password",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_password_in, current),
	.help = "As it is."},
    {.key = "new_password",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = AUTH_TEXT_MAX,
	.offset = offsetof(struct auth_password_in, new),
	.help = "8 to 128 characters."},
};
static const struct input_list auth_password_inputs = {
    auth_password_rows, ARRAY_LEN(auth_password_rows)};

enum http_status
auth_change_password(struct req *req, struct res *res)
{
	const struct who *who = &req->caller.who;
	char hash[PASSWORD_SIZE];
	struct auth_password_in in;
	struct err_info info = {0};
	struct store_user user;

	if (who->session_id == NULL)
		return auth_no_session(res);
	enum http_status status =
	    input_read_body(req, &auth_password_inputs, &in, res);
	if (status == HTTP_OK)
		status = account_is_ready(req, res);
	if (status != HTTP_OK)
		return status;
	enum err e = account_password("new_password", in.new, &info);
	if (e != ERR_OK)
		return account_refuse(res, e, &info);
	e = store_user_get(
	    req->app->store, req->arena, who->tenant, who->user_id, &user);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	status = account_prove(req, res, user.email, &user, in.current,
	    "the current password is wrong");
	if (status == HTTP_OK)
		status = account_hash(req, res, in.new, hash);
	if (status != HTTP_OK)
		return status;
	e = store_user_set_password(
	    req->app->store, who->tenant, who->user_id, hash, who->session_id);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("auth.password_changed", "user=%s", who->user_id);
	struct json_w *w = res_json(res);
	json_w_str(
	    w, "message", "the password is changed; other sessions have ended");
	return res_json_end(res, HTTP_OK);
}

enum http_status
auth_health(struct req *req, struct res *res)
{
	bool is_ready =
	    auth_access(req->app->auth) != NULL && req->app->password != NULL;
	struct json_w *w = res_json(res);

	json_w_str(w, "status", is_ready ? "healthy" : "degraded");
	json_w_begin(w, "services");
	json_w_str(w, "tokens",
	    auth_access(req->app->auth) != NULL ? "healthy" : "unavailable");
	json_w_str(w, "passwords",
	    req->app->password != NULL ? "healthy" : "unavailable");
	json_w_str(w, "identity_provider",
	    auth_has_provider(req->app->auth) ? "configured"
					      : "not_configured");
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
