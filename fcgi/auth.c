/* SPDX-License-Identifier: MIT */
#include "fcgi/auth.h"

#include <string.h>

#include "auth/auth.h"
#include "auth/jwt.h"
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

static void
auth_fill(struct req *req, const struct who *who)
{
	req->caller = (struct req_caller){.is_authenticated = who->is_known,
	    .tenant = who->tenant,
	    .token_id = who->token_id,
	    .subject = who->subject,
	    .tier = who->tier,
	    .owner = who->owner,
	    .level = who->level,
	    .who = *who};
}

static enum err
auth_lookup(struct req *req, const char *token, const char **code,
    struct err_info *info)
{
	struct who who;

	enum err e = who_check(req->app->store, req->app->auth,
	    req->app->settings, req->arena, token, req->now_us, &who, info);
	if (e == ERR_AUTH) {
		*code = "INVALID_TOKEN";
		log_debug("auth.refused", "trace_id=%s reason=\"%s\"",
		    req->trace_id, info->text);
	}
	if (e == ERR_OK)
		auth_fill(req, &who);
	return e;
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

static enum err
auth_is_missing(struct err_info *info)
{
	return err_set(info, ERR_AUTH, "", "authentication is required");
}

enum err
auth_check(struct req *req, const char **code, struct err_info *info)
{
	enum route_auth rule = req->match.route->auth;
	const char *token = NULL;
	bool is_needed = rule == ROUTE_KNOWN;
	struct who nobody;

	*code = "AUTH_REQUIRED";
	who_anonymous(&nobody);
	auth_fill(req, &nobody);
	if (rule == ROUTE_OPEN)
		return ERR_OK;
	token = auth_credential(req);
	if (rule == ROUTE_METRICS)
		return auth_metrics(req, token, code, info);
	if (token != NULL)
		return auth_lookup(req, token, code, info);
	if (rule == ROUTE_USER) {
		enum err e = auth_is_needed(req, &is_needed);
		if (e != ERR_OK)
			return e;
	}
	return is_needed ? auth_is_missing(info) : ERR_OK;
}

enum err
auth_allows(const struct req *req, struct err_info *info)
{
	enum role_level needed = route_needs(req->match.route);
	enum role_level level = req->caller.level;

	if (req->match.route->auth == ROUTE_OPEN ||
	    req->match.route->auth == ROUTE_METRICS || level >= needed)
		return ERR_OK;
	return err_set(info, ERR_DENIED, "",
	    "this needs the right to %s; the caller's is %s",
	    role_level_name(needed), role_level_name(level));
}

enum err
auth_is_needed(const struct req *req, bool *is_needed)
{
	return who_is_needed(
	    req->app->store, req->app->auth, req->app->settings, is_needed);
}

enum err
auth_may_decide(const struct req *req, struct err_info *info)
{
	enum role_level level = req->caller.level;
	bool is_needed;

	enum err e = auth_is_needed(req, &is_needed);
	if (e != ERR_OK || !is_needed || level >= ROLE_ADMIN)
		return e;
	return err_set(info, ERR_DENIED, "",
	    "this needs the right to %s; the caller's is %s",
	    role_level_name(ROLE_ADMIN), role_level_name(level));
}
