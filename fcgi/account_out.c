/* SPDX-License-Identifier: MIT */
#include "fcgi/account_out.h"

#include <string.h>

#include "auth/auth.h"
#include "base/log.h"
#include "base/str.h"
#include "fcgi/rate.h"
#include "settings/settings.h"

#define ACCOUNT_OUT_US	 INT64_C(1000000)
#define ACCOUNT_OUT_WAIT 2 /* seconds until a slot may be free */

enum http_status
account_wrong(struct res *res, const char *field, const char *message)
{
	struct res_field f = {field, message};

	return res_invalid(res, "INVALID_VALUE", &f, 1);
}

enum http_status
account_refuse(struct res *res, enum err e, const struct err_info *info)
{
	return e == ERR_INVALID ? account_wrong(res, info->field, info->text)
				: res_err(res, e, info);
}

enum http_status
account_deny(struct res *res, const char *text)
{
	struct err_info info;

	err_set(&info, ERR_AUTH, "", "%s", text);
	buf_printf(res->head,
	    "WWW-Authenticate: Bearer error=\"invalid_token\", "
	    "error_description=\"%s\"\r\n",
	    text);
	return res_err_code(res, ERR_AUTH, &info, "INVALID_TOKEN");
}

enum http_status
account_is_ready(struct req *req, struct res *res)
{
	if (auth_access(req->app->auth) != NULL && req->app->password != NULL)
		return HTTP_OK;
	return res_wait(res,
	    "nobody can log in: set ARAGORA_JWT_SECRET, or let the server "
	    "write into ARAGORA_DATA_DIR",
	    ACCOUNT_OUT_WAIT);
}

enum http_status
account_hash(struct req *req, struct res *res, const char *password,
    char out[PASSWORD_SIZE])
{
	enum err e = password_hash(req->app->password, password, out);

	if (e == ERR_OK)
		return HTTP_OK;
	return res_wait(res,
	    "too many passwords are being checked now; try again soon",
	    ACCOUNT_OUT_WAIT);
}

enum http_status
account_prove(struct req *req, struct res *res, const char *email,
    const struct store_user *user, const char *password, const char *refusal)
{
	/* Without limits for addresses there is none here either. */
	const char *address = req->app->limit == NULL
	    ? NULL
	    : rate_address(req->arena, req_client_ip(req));
	int64_t wait_s = 0;

	enum err e = account_check_password(req->app->store, req->app->password,
	    req->arena, email, address, user, password, &wait_s);
	if (e == ERR_OK)
		return HTTP_OK;
	if (e == ERR_AUTH) {
		log_info("auth.failed", "trace_id=%s", req->trace_id);
		return account_deny(res, refusal);
	}
	if (e != ERR_BUSY)
		return res_err(res, e, NULL);
	if (wait_s == 0)
		return res_wait(res,
		    "too many passwords are being checked now; try again soon",
		    ACCOUNT_OUT_WAIT);
	log_warning("auth.locked", "trace_id=%s wait_s=%lld", req->trace_id,
	    (long long)wait_s);
	return res_limited(res, (int)wait_s, 0, 0);
}

enum err
account_caller(struct req *req, struct store_user *u, struct store_tenant *t)
{
	const struct who *w = &req->caller.who;

	enum err e =
	    store_tenant_get(req->app->store, req->arena, w->tenant, t);
	if (e != ERR_OK)
		return e;
	if (w->user_id != NULL)
		return store_user_get(
		    req->app->store, req->arena, w->tenant, w->user_id, u);
	*u = (struct store_user){.id = w->owner != NULL ? w->owner : "operator",
	    .tenant = w->tenant,
	    .email = w->email != NULL ? w->email : "",
	    .name = w->name != NULL ? w->name : "",
	    .role = w->role != NULL ? w->role : "owner",
	    .metadata = "{}",
	    .is_active = true};
	return ERR_OK;
}

/* What the caller may do; of another user, what the role allows. */
static enum role_level
account_level(const struct req *req, const struct store_user *u)
{
	const struct who *w = &req->caller.who;

	return str_eq(u->id, w->user_id) || w->user_id == NULL
	    ? w->level
	    : role_level(u->role);
}

static void
account_permissions(struct json_w *w, enum role_level level)
{
	json_w_begin_array(w, "permissions");
	for (int l = ROLE_READ; l <= (int)level; l++)
		json_w_str(w, NULL, role_level_name((enum role_level)l));
	json_w_end_array(w);
}

/* All but "organization", which beside a user object is an object itself. */
static void
account_user_flat(struct json_w *w, const struct req *req,
    const struct store_user *u, const struct store_tenant *t)
{
	json_w_str(w, "id", u->id);
	json_w_str(w, "user_id", u->id);
	json_w_str(w, "email", u->email);
	json_w_str(w, "name", u->name);
	json_w_str(w, "org_id", u->tenant);
	json_w_str(w, "role", u->role);
	json_w_begin_array(w, "roles");
	json_w_str(w, NULL, u->role);
	json_w_end_array(w);
	account_permissions(w, account_level(req, u));
	json_w_str(w, "plan", t->plan);
	json_w_str(w, "tier",
	    req->caller.is_authenticated ? req->caller.tier : "authenticated");
	json_w_str(w, "avatar_url", u->avatar_url);
	json_w_bool(w, "mfa_enabled", false);
	json_w_bool(w, "email_verified", false);
	json_w_bool(w, "is_active", u->is_active);
	json_w_raw(w, "metadata", u->metadata);
	json_w_time(w, "created_at", u->created_us);
	json_w_time(w, "updated_at", u->updated_us);
	json_w_time(w, "last_login", u->last_login_us);
}

void
account_user(struct json_w *w, const struct req *req,
    const struct store_user *u, const struct store_tenant *t)
{
	account_user_flat(w, req, u, t);
	json_w_str(w, "organization", t->name);
}

static void
account_organization(struct json_w *w, const char *key,
    const struct store_user *u, const struct store_tenant *t)
{
	json_w_begin(w, key);
	account_tenant(w, t);
	json_w_str(w, "role", u->role);
	json_w_end(w);
}

void
account_union(struct json_w *w, const struct req *req,
    const struct store_user *u, const struct store_tenant *t)
{
	json_w_begin(w, "user");
	account_user(w, req, u, t);
	json_w_end(w);
	account_user_flat(w, req, u, t);
	account_organization(w, "organization", u, t);
	json_w_begin_array(w, "organizations");
	account_organization(w, NULL, u, t);
	json_w_end_array(w);
}

static void
account_tokens_show(
    struct json_w *w, const struct req *req, const struct account_tokens *t)
{
	json_w_str(w, "access_token", t->access);
	json_w_str(w, "refresh_token", t->refresh);
	json_w_str(w, "token_type", "Bearer");
	json_w_int(
	    w, "expires_in", (t->expires_us - req->now_us) / ACCOUNT_OUT_US);
	json_w_time(w, "expires_at", t->expires_us);
}

void
account_token_union(
    struct json_w *w, const struct req *req, const struct account_tokens *t)
{
	json_w_begin(w, "tokens");
	account_tokens_show(w, req, t);
	json_w_end(w);
	account_tokens_show(w, req, t);
}

void
account_tenant(struct json_w *w, const struct store_tenant *t)
{
	json_w_str(w, "id", t->id);
	json_w_str(w, "name", t->name);
	json_w_str(w, "slug", t->slug);
	json_w_str(w, "owner_id", t->owner_id);
	json_w_str(w, "plan", t->plan);
	json_w_str(w, "status", t->status);
	json_w_raw(w, "settings", t->settings);
	json_w_time(w, "created_at", t->created_us);
	json_w_time(w, "updated_at", t->updated_us);
}
