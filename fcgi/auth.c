/* SPDX-License-Identifier: MIT */
#include "fcgi/auth.h"

#include <string.h>

#include "auth/auth.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/store.h"

#define AUTH_TOKEN_MAX JWT_MAX
#define AUTH_SCHEME    "bearer "

/* The credential that was sent: NULL = none, "" = not one of ours. */
static const char *
auth_credential(const struct req *req)
{
	const char *header = req->env->value[ENV_AUTHORIZATION];
	const char *token = req->env->value[ENV_API_KEY];

	if (!str_is_empty(header)) {
		size_t len = strlen(AUTH_SCHEME);
		if (strlen(header) <= len ||
		    !str_ieq(
			arena_strndup(req->arena, header, len), AUTH_SCHEME))
			return "";
		token = str_trim(req->arena, header + len);
	}
	if (str_is_empty(token) && str_is_empty(header))
		return NULL;
	return strlen(token) > AUTH_TOKEN_MAX ? "" : token;
}

static enum err
auth_refuse(const char **code, struct err_info *info)
{
	*code = "INVALID_TOKEN";
	return err_set(info, ERR_AUTH, "", "the credential is not valid");
}

/* A user of the identity provider. Nothing of it is in the store. */
static enum err
auth_signed(struct req *req, const char *token, const char **code,
    struct err_info *info)
{
	struct jwt_claims claims;

	enum err e = auth_verify(
	    req->app->auth, req->arena, token, req->now_us, &claims, info);
	if (e == ERR_AUTH) {
		*code = "INVALID_TOKEN";
		log_debug("auth.refused", "trace_id=%s reason=\"%s\"",
		    req->trace_id, info->text);
	}
	if (e != ERR_OK)
		return e;
	req->caller = (struct req_caller){.is_authenticated = true,
	    .tenant = claims.tenant,
	    .subject = claims.subject,
	    .tier = "authenticated"};
	return ERR_OK;
}

static enum err
auth_lookup(struct req *req, const char *token, const char **code,
    struct err_info *info)
{
	const struct settings *s = req->app->settings;
	char hash[ID_HASH_SIZE];
	struct store_token row;

	if (*token == '\0')
		return auth_refuse(code, info);
	if (*s->api_token != '\0' && id_secret_eq(token, s->api_token)) {
		req->caller.is_authenticated = true;
		req->caller.tier = "authenticated";
		return ERR_OK;
	}
	if (auth_takes(req->app->auth, token))
		return auth_signed(req, token, code, info);
	id_sha256(token, strlen(token), hash);
	enum err e = store_token_find(req->app->store, req->arena, hash, &row);
	if (e == ERR_NOT_FOUND)
		return auth_refuse(code, info);
	if (e != ERR_OK)
		return e;
	req->caller = (struct req_caller){.is_authenticated = true,
	    .tenant = row.tenant,
	    .token_id = row.id,
	    .tier = row.tier};
	return ERR_OK;
}

/* /metrics has a token of its own; one in the query would end in logs. */
static enum err
auth_metrics(struct req *req, const char *token, const char **code,
    struct err_info *info)
{
	const char *wanted = req->app->settings->metrics_token;

	if (url_param(&req->url, "token") != NULL) {
		*code = "INVALID_TOKEN";
		return err_set(info, ERR_AUTH, "token",
		    "is not taken from the query; send it as Bearer");
	}
	if (*wanted == '\0' || (token != NULL && id_secret_eq(token, wanted)))
		return ERR_OK;
	if (token != NULL)
		return auth_refuse(code, info);
	return err_set(info, ERR_AUTH, "", "authentication is required");
}

enum err
auth_check(struct req *req, const char **code, struct err_info *info)
{
	const struct settings *s = req->app->settings;
	enum route_auth rule = req->match.route->auth;
	const char *token = NULL;

	*code = "AUTH_REQUIRED";
	req->caller = (struct req_caller){
	    .tenant = STORE_TENANT_DEFAULT, .tier = "anonymous"};
	if (rule == ROUTE_OPEN)
		return ERR_OK;
	token = auth_credential(req);
	if (rule == ROUTE_METRICS)
		return auth_metrics(req, token, code, info);
	if (token != NULL)
		return auth_lookup(req, token, code, info);
	if (rule == ROUTE_USER &&
	    (s->auth_required || *s->api_token != '\0' ||
		req->app->auth != NULL))
		return err_set(
		    info, ERR_AUTH, "", "authentication is required");
	return ERR_OK;
}
