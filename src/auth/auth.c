/* SPDX-License-Identifier: MIT */
#include "auth/auth.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/access.h"
#include "auth/fetch.h"
#include "auth/jwks.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"

#define AUTH_FRESH_MS (10 * 60 * INT64_C(1000))
#define AUTH_AGAIN_MS (60 * INT64_C(1000))
#define AUTH_RETRY_MS INT64_C(1000)

struct auth {
	struct access *access;
	struct jwks *keys; /* NULL = no identity provider */
	bool is_fetching;
	struct jwt_policy policy; /* borrows the settings' texts */
};

static const char *
auth_env(enum settings_id id)
{
	return settings_row(id)->env;
}

/* The file's text; the buffer's maximum is the largest set there is. */
static enum err
auth_read_file(const char *path, struct buf *out, struct err_info *info)
{
	const char *env = auth_env(SETTINGS_jwks_file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return err_set(info, ERR_INVALID, env, "cannot be opened");
	while (n > 0 && !out->is_overflowed) {
		char *to = buf_reserve(out, 4096);
		if (to == NULL)
			break;
		n = read(fd, to, 4096);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	close(fd);
	if (out->is_overflowed)
		return err_set(info, ERR_INVALID, env, "is too long");
	if (n < 0)
		return err_set(info, ERR_INVALID, env, "cannot be read");
	return out->len > 0 ? ERR_OK
			    : err_set(info, ERR_INVALID, env, "is empty");
}

/* Rules beyond what one row can say. */
static enum err
auth_check_settings(const struct settings *s, struct err_info *info)
{
	char text[sizeof(info->text)];
	enum err e = ERR_OK;

	if (*s->supabase_jwks_url != '\0' && *s->jwks_file != '\0')
		return err_set(info, ERR_INVALID, auth_env(SETTINGS_jwks_file),
		    "contradicts %s", auth_env(SETTINGS_supabase_jwks_url));
	if (str_starts(s->jwt_tenant_claim, "user_metadata"))
		return err_set(info, ERR_INVALID,
		    auth_env(SETTINGS_jwt_tenant_claim),
		    "users write their user_metadata themselves");
	if (*s->supabase_jwks_url != '\0')
		e = fetch_check_url(s->supabase_jwks_url, info);
	if (e == ERR_OK)
		return ERR_OK;
	snprintf(text, sizeof(text), "%s", info->text);
	return err_set(
	    info, e, auth_env(SETTINGS_supabase_jwks_url), "%s", text);
}

static enum err
auth_open_keys(struct auth *a, const struct settings *s, struct err_info *info)
{
	struct err_info why = {0};
	struct buf json;
	enum err e = ERR_OK;

	buf_init(&json, JWK_SET_BYTES);
	if (*s->jwks_file != '\0')
		e = auth_read_file(s->jwks_file, &json, info);
	if (e != ERR_OK)
		goto out;
	const struct jwks_options options = {
	    .secret = s->supabase_jwt_secret,
	    .json = buf_text(&json),
	    .json_len = json.len,
	    .url = s->supabase_jwks_url,
	    .fetch = fetch_get,
	    .fresh_ms = AUTH_FRESH_MS,
	    .again_ms = AUTH_AGAIN_MS,
	    .retry_ms = AUTH_RETRY_MS,
	    .wait_ms = FETCH_TIMEOUT_MS,
	};
	e = jwks_open(&a->keys, &options, &why);
	if (e == ERR_OK)
		goto out;
	bool is_secret = str_eq(why.field, "secret");
	e = err_set(info, e == ERR_IO ? e : ERR_INVALID,
	    auth_env(
		is_secret ? SETTINGS_supabase_jwt_secret : SETTINGS_jwks_file),
	    "%s%s%s", is_secret ? "" : why.field,
	    is_secret || why.field[0] == '\0' ? "" : " ", why.text);
out:
	buf_release(&json);
	return e;
}

/* An identity provider's keys, when the settings name any. */
static enum err
auth_open_provider(
    struct auth *a, const struct settings *s, struct err_info *info)
{
	if (*s->supabase_jwt_secret == '\0' && *s->supabase_jwks_url == '\0' &&
	    *s->jwks_file == '\0')
		return ERR_OK;
	if (fetch_init() != ERR_OK)
		return err_set(info, ERR_INTERNAL, "", "curl does not start");
	a->is_fetching = true;
	a->policy = (struct jwt_policy){.issuer = s->jwt_issuer,
	    .audience = s->jwt_audience,
	    .tenant_claim = s->jwt_tenant_claim};
	enum err e = auth_check_settings(s, info);
	return e == ERR_OK ? auth_open_keys(a, s, info) : e;
}

enum err
auth_open(struct auth **out, const struct settings *s, struct err_info *info)
{
	struct auth *a = mem_zalloc(sizeof(*a));

	enum err e = auth_open_provider(a, s, info);
	if (e == ERR_OK && access_open(&a->access, s, info) != ERR_OK) {
		if (*s->jwt_secret != '\0')
			e = ERR_INVALID;
		else
			log_warning("auth.no_secret", "error=\"%s %s\"",
			    info->field, info->text);
	}
	if (e != ERR_OK)
		auth_close(&a);
	*out = a;
	return e;
}

void
auth_close(struct auth **ap)
{
	struct auth *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	jwks_close(&a->keys);
	access_close(&a->access);
	if (a->is_fetching)
		fetch_release();
	free(a);
}

bool
auth_has_provider(const struct auth *a)
{
	return a != NULL && a->keys != NULL;
}

const struct access *
auth_access(const struct auth *a)
{
	return a != NULL ? a->access : NULL;
}

bool
auth_takes(const struct auth *a, const char *token)
{
	return auth_has_provider(a) && jwt_is_like(token);
}

static enum err
auth_no_keys(struct err_info *info)
{
	return err_set(info, ERR_DOWN, "",
	    "the keys that tokens are checked with cannot be had now");
}

enum err
auth_verify(struct auth *a, struct arena *arena, const char *token,
    int64_t now_us, struct jwt_claims *out, struct err_info *info)
{
	struct jwk_set *set = NULL;

	enum err e = jwks_get(a->keys, &set);
	if (e != ERR_OK)
		return auth_no_keys(info);
	e = jwt_verify(arena, token, set, &a->policy, now_us, out, info);
	if (e == ERR_NOT_FOUND && jwks_renew(a->keys, &set))
		e = jwt_verify(
		    arena, token, set, &a->policy, now_us, out, info);
	jwk_set_unref(&set);
	if (e == ERR_NOT_FOUND && !jwks_is_complete(a->keys))
		return auth_no_keys(info);
	return e == ERR_NOT_FOUND ? ERR_AUTH : e;
}

enum err
auth_ready(struct auth *a, size_t *n_keys)
{
	struct jwk_set *set = NULL;

	*n_keys = 0;
	enum err e = jwks_get(a->keys, &set);
	if (e == ERR_OK && !jwks_is_complete(a->keys) &&
	    !jwks_renew(a->keys, &set))
		e = jwks_is_complete(a->keys) ? ERR_OK : ERR_DOWN;
	if (e == ERR_OK)
		*n_keys = jwk_set_count(set);
	jwk_set_unref(&set);
	return e;
}

bool
auth_knows_key(struct auth *a, uint64_t key_mark)
{
	struct jwk_set *set = NULL;

	if (jwks_get(a->keys, &set) != ERR_OK)
		return true; /* it was, and nothing else is known */
	bool is_known = jwk_set_has_mark(set, key_mark);
	jwk_set_unref(&set);
	return is_known;
}
