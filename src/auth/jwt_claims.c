/* SPDX-License-Identifier: MIT */
#include "auth/jwt_claims.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"

#define JWT_TEXT_MAX 255
/* Seconds since 1970 that still fit as microseconds: the year 9999. */
#define JWT_TIME_MAX INT64_C(253402300799)
#define JWT_US	     INT64_C(1000000)
/* The role a signed-in user's token carries. */
#define JWT_ROLE_USER "authenticated"

enum err
jwt_refuse(struct err_info *info, const char *why)
{
	return err_set(info, ERR_AUTH, "", "%s", why);
}

/* Text without control characters and of sensible length, else NULL. */
static const char *
jwt_text(struct arena *a, const struct json *j)
{
	size_t len = 0;
	const char *text = json_str(j, &len);

	if (text == NULL || len == 0 || len > JWT_TEXT_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return NULL;
	return arena_strdup(a, text);
}

/* A NumericDate: seconds, maybe with a fraction, as microseconds. */
static bool
jwt_time(const struct json *j, int64_t *us)
{
	int64_t s;
	double d;

	if (json_int(j, &s)) {
		if (s < 0 || s > JWT_TIME_MAX)
			return false;
		*us = s * JWT_US;
		return true;
	}
	if (!json_num(j, &d) || !(d >= 0 && d <= (double)JWT_TIME_MAX))
		return false;
	*us = (int64_t)(d * (double)JWT_US);
	return true;
}

static enum err
jwt_check_times(const struct json *payload, int64_t now_us,
    struct jwt_claims *out, struct err_info *info)
{
	const struct json *nbf = json_get(payload, "nbf");
	const struct json *iat = json_get(payload, "iat");
	int64_t us;

	if (!jwt_time(json_get(payload, "exp"), &out->expires_us))
		return jwt_refuse(info, "exp is missing or no time");
	if (now_us >= out->expires_us + JWT_LEEWAY_US)
		return jwt_refuse(info, "the token has expired");
	if (nbf != NULL && !jwt_time(nbf, &us))
		return jwt_refuse(info, "nbf is no time");
	if (nbf != NULL && us > now_us + JWT_LEEWAY_US)
		return jwt_refuse(info, "the token is not valid yet (nbf)");
	if (iat != NULL && !jwt_time(iat, &us))
		return jwt_refuse(info, "iat is no time");
	if (iat != NULL && us > now_us + JWT_LEEWAY_US)
		return jwt_refuse(
		    info, "the token was issued in the future (iat)");
	return ERR_OK;
}

/* One text or a list of texts. */
static enum err
jwt_check_audience(
    const struct json *aud, const char *wanted, struct err_info *info)
{
	bool is_met = str_eq(wanted, "*");
	size_t len;

	if (json_kind(aud) == JSON_STRING) {
		const char *text = json_str(aud, &len);
		is_met |= str_eq(text, wanted) && strlen(text) == len;
	} else if (json_kind(aud) == JSON_ARRAY) {
		for (size_t i = 0; i < json_len(aud); i++) {
			const struct json *item = json_at(aud, i);
			if (json_kind(item) != JSON_STRING)
				return jwt_refuse(info,
				    "aud is neither a text nor a list of "
				    "texts");
			is_met |= str_eq(json_str(item, NULL), wanted);
		}
	} else if (json_kind(aud) != JSON_NULL) {
		return jwt_refuse(
		    info, "aud is neither a text nor a list of texts");
	}
	return is_met ? ERR_OK
		      : jwt_refuse(info, "the token is for another audience");
}

/* Only users come in. anon names nobody, and a service key may do everything
 * to every tenant: whoever has one would choose his tenant freely here. */
static enum err
jwt_check_role(struct arena *a, const struct json *payload,
    struct jwt_claims *out, struct err_info *info)
{
	const struct json *role = json_get(payload, "role");

	out->role = JWT_ROLE_USER;
	if (role == NULL)
		return ERR_OK;
	const char *text = jwt_text(a, role);
	if (str_eq(text, "service_role"))
		return jwt_refuse(
		    info, "a service_role key is no user's token");
	if (str_eq(text, "anon"))
		return jwt_refuse(info, "an anon key is no user's token");
	if (!str_eq(text, JWT_ROLE_USER))
		return jwt_refuse(info, "the role is not authenticated");
	return ERR_OK;
}

/* The value at a.b.c, NULL where the path ends early. */
static const struct json *
jwt_at_path(struct arena *a, const struct json *payload, const char *path)
{
	const struct json *j = payload;
	size_t n;
	char **parts = str_split(a, path, '.', &n);

	for (size_t i = 0; i < n && j != NULL; i++)
		j = json_kind(j) == JSON_OBJECT ? json_get(j, parts[i]) : NULL;
	return j;
}

static enum err
jwt_find_tenant(struct arena *a, const struct json *payload,
    const struct jwt_policy *policy, struct jwt_claims *out,
    struct err_info *info)
{
	const struct json *j = jwt_at_path(a, payload, policy->tenant_claim);

	if (json_kind(j) == JSON_NULL) {
		out->tenant = out->subject;
		if (!id_is_valid(out->tenant))
			return jwt_refuse(info,
			    "no claim names a tenant, and sub cannot be one");
		return ERR_OK;
	}
	out->tenant = jwt_text(a, j);
	if (out->tenant == NULL || !id_is_valid(out->tenant))
		return jwt_refuse(info,
		    "the tenant's claim is not 1 to 128 letters, digits or "
		    "_.-");
	return ERR_OK;
}

enum err
jwt_claims_read(struct arena *a, const struct json *payload,
    const struct jwt_policy *policy, int64_t now_us, struct jwt_claims *out,
    struct err_info *info)
{
	enum err e = jwt_check_times(payload, now_us, out, info);
	if (e == ERR_OK)
		e = jwt_check_audience(
		    json_get(payload, "aud"), policy->audience, info);
	if (e != ERR_OK)
		return e;
	if (*policy->issuer != '\0' &&
	    !str_eq(jwt_text(a, json_get(payload, "iss")), policy->issuer))
		return jwt_refuse(info, "the token is of another issuer");
	e = jwt_check_role(a, payload, out, info);
	if (e != ERR_OK)
		return e;
	out->subject = jwt_text(a, json_get(payload, "sub"));
	if (out->subject == NULL)
		return jwt_refuse(info, "sub is missing or no plain text");
	out->email = jwt_text(a, json_get(payload, "email"));
	return jwt_find_tenant(a, payload, policy, out, info);
}
