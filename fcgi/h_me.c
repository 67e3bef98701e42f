/* SPDX-License-Identifier: MIT
 *
 * The caller: who it is, its sessions, its preferences.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "cache/cache.h"
#include "fcgi/account_out.h"
#include "fcgi/debate_out.h"

#define ME_PREFERENCES_MAX  16384
#define ME_PREFERENCES_KEYS 100
#define ME_METADATA_MAX	    16384
#define ME_URL_MAX	    2000

/* ---- who it is ---- */

static enum http_status
me_answer(struct req *req, struct res *res)
{
	const char *preferences = "{}";
	int64_t updated_us = 0;
	struct store_tenant t;
	struct store_user u;

	enum err e = account_caller(req, &u, &t);
	if (e == ERR_OK && req->caller.owner != NULL)
		e = store_preferences_get(req->app->store, req->arena,
		    req->caller.tenant, req->caller.owner, &preferences,
		    &updated_us);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	account_union(w, req, &u, &t);
	json_w_raw(w, "preferences", preferences);
	return HTTP_OK;
}

enum http_status
me_get(struct req *req, struct res *res)
{
	enum http_status status = me_answer(req, res);

	return status == HTTP_OK ? res_json_end(res, HTTP_OK) : status;
}

struct me_in {
	const char *name, *avatar_url, *organization;
};

static const struct input me_rows[] = {
    {.key = "name",
	.kind = INPUT_TEXT,
	.max = ME_URL_MAX,
	.offset = offsetof(struct me_in, name),
	.help = "Of the person."},
    {.key = "avatar_url",
	.kind = INPUT_TEXT,
	.max = ME_URL_MAX,
	.offset = offsetof(struct me_in, avatar_url),
	.help = "https, or empty for none."},
    {.key = "organization",
	.kind = INPUT_TEXT,
	.max = ME_URL_MAX,
	.offset = offsetof(struct me_in, organization),
	.help = "Another name for the tenant; for its administrators."},
};
static const struct input_list me_inputs = {me_rows, ARRAY_LEN(me_rows)};

static enum http_status
me_read_object(struct req *req, struct res *res, const char *key, size_t max,
    const struct json **out)
{
	*out = json_get(req->body, key);
	if (json_kind(*out) == JSON_NULL) {
		*out = NULL;
		return HTTP_OK;
	}
	if (json_kind(*out) != JSON_OBJECT ||
	    strlen(json_text(req->arena, *out)) > max)
		return account_wrong(res, key,
		    arena_printf(req->arena,
			"must be an object of at most %zu bytes", max));
	return HTTP_OK;
}

/* The new row of the user, checked. */
static enum http_status
me_read_user(struct req *req, struct res *res, const struct me_in *in,
    struct store_user *u)
{
	const struct json *metadata;
	struct err_info info = {0};

	enum http_status status =
	    me_read_object(req, res, "metadata", ME_METADATA_MAX, &metadata);
	if (status != HTTP_OK)
		return status;
	if (metadata != NULL)
		u->metadata = json_text(req->arena, metadata);
	if (in->name != NULL &&
	    account_name(req->arena, "name", in->name, &u->name, &info) !=
		ERR_OK)
		return account_wrong(res, info.field, info.text);
	if (in->avatar_url == NULL)
		return HTTP_OK;
	u->avatar_url = *in->avatar_url == '\0' ? NULL : in->avatar_url;
	if (u->avatar_url != NULL && !str_starts(u->avatar_url, "https://"))
		return account_wrong(
		    res, "avatar_url", "must begin with https://");
	return HTTP_OK;
}

static enum http_status preferences_store(struct req *req, struct res *res,
    const struct json *in, bool is_merge, const char **data,
    int64_t *updated_us);

enum http_status
me_change(struct req *req, struct res *res)
{
	const struct json *preferences;
	struct err_info info = {0};
	struct store_tenant t;
	struct store_user u;
	struct me_in in;
	const char *data;
	int64_t updated_us;

	if (req->caller.who.user_id == NULL)
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "the caller is no user of this server");
	enum http_status status = input_read_body(req, &me_inputs, &in, res);
	if (status == HTTP_OK)
		status = me_read_object(
		    req, res, "preferences", ME_PREFERENCES_MAX, &preferences);
	if (status != HTTP_OK)
		return status;
	enum err e = account_caller(req, &u, &t);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	status = me_read_user(req, res, &in, &u);
	if (status != HTTP_OK)
		return status;
	if (in.organization != NULL) {
		if (req->caller.level < ROLE_ADMIN)
			return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
			    "only administrators rename the organization");
		e = account_name(req->arena, "organization", in.organization,
		    &t.name, &info);
		if (e != ERR_OK)
			return account_refuse(res, e, &info);
	}
	if (preferences != NULL) {
		status = preferences_store(
		    req, res, preferences, true, &data, &updated_us);
		if (status != HTTP_OK)
			return status;
	}
	if (in.organization != NULL)
		e = store_tenant_change(req->app->store, &t);
	if (e == ERR_OK)
		e = store_user_change(req->app->store, &u);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	status = me_answer(req, res);
	if (status != HTTP_OK)
		return status;
	json_w_bool(&res->json, "updated", true);
	return res_json_end(res, HTTP_OK);
}

/* ---- sessions ---- */

enum http_status
me_sessions(struct req *req, struct res *res)
{
	const struct who *who = &req->caller.who;
	struct store_session *rows = NULL;
	size_t n = 0;
	enum err e = ERR_OK;

	if (who->user_id != NULL)
		e = store_session_list(req->app->store, req->arena, who->tenant,
		    who->user_id, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "sessions");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "id", rows[i].id);
		json_w_str(w, "device", rows[i].device);
		json_w_str(w, "ip_address", rows[i].address);
		json_w_time(w, "created_at", rows[i].created_us);
		json_w_time(w, "last_active", rows[i].seen_us);
		json_w_time(w, "expires_at", rows[i].expires_us);
		json_w_bool(w, "current", str_eq(rows[i].id, who->session_id));
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}

enum http_status
me_session_end(struct req *req, struct res *res)
{
	const struct who *who = &req->caller.who;
	const char *id = req->match.params[0];
	enum err e = ERR_NOT_FOUND;

	if (who->user_id != NULL)
		e = store_session_revoke(
		    req->app->store, who->tenant, who->user_id, id);
	if (e == ERR_NOT_FOUND)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no such session");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "revoked", true);
	json_w_bool(w, "success", true);
	return res_json_end(res, HTTP_OK);
}

/* ---- preferences ---- */

struct preferences_change {
	const struct json *in;
	bool is_merge;
	struct err_info info;
};

/* Do so many members and bytes fit? */
static enum err
preferences_check(const char *text, size_t n_keys, struct err_info *info)
{
	if (n_keys > ME_PREFERENCES_KEYS)
		return err_set(info, ERR_TOO_LARGE, "preferences",
		    "must have at most %d keys", ME_PREFERENCES_KEYS);
	if (strlen(text) > ME_PREFERENCES_MAX)
		return err_set(info, ERR_TOO_LARGE, "preferences",
		    "must have at most %d bytes", ME_PREFERENCES_MAX);
	return ERR_OK;
}

/* A member that is null counts. */
static bool
preferences_names(const struct json *in, const char *key)
{
	const struct json *value;
	const char *name;

	for (void *it = NULL; json_next(in, &it, &name, &value);)
		if (str_eq(name, key))
			return true;
	return false;
}

/* RFC 7396 at the first level: null deletes, anything else replaces. */
static enum err
preferences_merge(
    void *arg, struct arena *a, const char *old, const char **data)
{
	struct preferences_change *c = arg;
	const struct json *was = NULL, *value;
	const char *key;
	size_t n_keys = 0;
	struct json_w w;
	struct buf b;

	if (c->is_merge &&
	    json_parse(a, old, strlen(old), NULL, &was, NULL) != ERR_OK)
		return ERR_INTERNAL;
	buf_init(&b, 2 * ME_PREFERENCES_MAX + ME_PREFERENCES_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (void *it = NULL; json_next(was, &it, &key, &value);)
		if (!preferences_names(c->in, key)) {
			json_w_json(&w, key, value);
			n_keys++;
		}
	for (void *it = NULL; json_next(c->in, &it, &key, &value);)
		if (json_kind(value) != JSON_NULL) {
			json_w_json(&w, key, value);
			n_keys++;
		}
	json_w_end(&w);
	bool is_whole = !b.is_overflowed;
	*data = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	if (!is_whole)
		n_keys = ME_PREFERENCES_KEYS + 1;
	return preferences_check(*data, n_keys, &c->info);
}

static enum http_status
preferences_store(struct req *req, struct res *res, const struct json *in,
    bool is_merge, const char **data, int64_t *updated_us)
{
	struct preferences_change c = {.in = in, .is_merge = is_merge};

	cache_hold(req->app->cache, CACHE_PREFERENCES, req->caller.tenant);
	enum err e = store_preferences_put(req->app->store, req->arena,
	    req->caller.tenant, req->caller.owner, preferences_merge, &c, data,
	    updated_us);
	cache_drop(req->app->cache, CACHE_PREFERENCES, req->caller.tenant);
	if (e == ERR_TOO_LARGE)
		return account_wrong(res, c.info.field, c.info.text);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

static enum http_status
preferences_answer(
    struct req *req, struct res *res, const char *data, int64_t updated_us)
{
	struct json_w *w = res_json(res);

	json_w_str(w, "user_id", req->caller.owner);
	json_w_raw(w, "preferences", data);
	json_w_time(w, "updated_at", updated_us);
	return res_json_end(res, HTTP_OK);
}

/* The static token is nobody in particular. */
static enum http_status
preferences_nobody(struct res *res)
{
	return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
	    "the static token has no preferences; use a key or an account");
}

enum http_status
preferences_get(struct req *req, struct res *res)
{
	const char *data;
	int64_t updated_us;

	if (req->caller.owner == NULL)
		return preferences_nobody(res);
	enum err e = store_preferences_get(req->app->store, req->arena,
	    req->caller.tenant, req->caller.owner, &data, &updated_us);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	return preferences_answer(req, res, data, updated_us);
}

/* The object is the body, or its only member `preferences`. */
static const struct json *
preferences_body(const struct req *req)
{
	const struct json *inner = json_get(req->body, "preferences");

	return json_kind(inner) == JSON_OBJECT && json_len(req->body) == 1
	    ? inner
	    : req->body;
}

static enum http_status
preferences_write(struct req *req, struct res *res, bool is_merge)
{
	const char *data;
	int64_t updated_us;

	if (req->caller.owner == NULL)
		return preferences_nobody(res);
	enum http_status status = preferences_store(
	    req, res, preferences_body(req), is_merge, &data, &updated_us);
	if (status != HTTP_OK)
		return status;
	return preferences_answer(req, res, data, updated_us);
}

enum http_status
preferences_put(struct req *req, struct res *res)
{
	return preferences_write(req, res, false);
}

enum http_status
preferences_patch(struct req *req, struct res *res)
{
	return preferences_write(req, res, true);
}
