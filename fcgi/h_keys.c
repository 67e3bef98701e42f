/* SPDX-License-Identifier: MIT
 *
 * API keys: 256 random bits behind "ara_", shown once; only their hash is
 * kept. A key is at most as strong as whoever made it.
 */
#include "fcgi/handler.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "fcgi/account_out.h"
#include "fcgi/debate_out.h"

#define KEYS_PREFIX_LEN 12
#define KEYS_SECOND_US	INT64_C(1000000)
#define KEYS_MIN_S	60
#define KEYS_MAX_S	(INT64_C(3650) * 86400)
#define KEYS_PER_OWNER	100 /* that are good */
#define KEYS_NAME_MAX	8192
#define KEYS_ID_BYTES	6

struct keys_in {
	const char *name;
	int64_t expires_us, expires_s;
};

static const struct input keys_rows[] = {
    {.key = "name",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = KEYS_NAME_MAX,
	.offset = offsetof(struct keys_in, name),
	.help = "What it is for."},
    {.key = "expires_at",
	.kind = INPUT_TIME,
	.offset = offsetof(struct keys_in, expires_us),
	.help = "In 365 days unless given."},
    {.key = "expires_in",
	.kind = INPUT_INT,
	.min = KEYS_MIN_S,
	.max = KEYS_MAX_S,
	.offset = offsetof(struct keys_in, expires_s),
	.help = "The same in seconds from now."},
};
static const struct input_list keys_inputs = {keys_rows, ARRAY_LEN(keys_rows)};

/* Keys make no keys, unless they may do everything: one that leaks must not
 * outlive its end. */
static bool
keys_may_change(const struct req *req)
{
	return !req->caller.who.is_key || req->caller.level >= ROLE_ADMIN;
}

static enum http_status
keys_refuse(struct res *res)
{
	return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
	    "a key without the scope admin makes and deletes no keys");
}

/* A list of texts, or one text with commas. */
static const char *
keys_scope_text(const struct req *req, const struct json *j)
{
	const char *text = "";

	if (json_kind(j) == JSON_STRING)
		return json_str(j, NULL);
	if (json_kind(j) != JSON_ARRAY)
		return NULL;
	for (size_t i = 0; i < json_len(j); i++) {
		const char *word = json_str(json_at(j, i), NULL);
		if (word == NULL)
			return NULL;
		text = arena_printf(req->arena, "%s,%s", text, word);
	}
	return text;
}

/* What was asked for, or what the caller may, up to write. */
static enum http_status
keys_read_scopes(struct req *req, struct res *res, const char **scopes)
{
	const struct json *j = json_get(req->body, "scopes");
	struct err_info info = {0};

	*scopes = req->caller.level >= ROLE_WRITE ? "read,write" : "read";
	if (json_kind(j) == JSON_NULL)
		return HTTP_OK;
	const char *text = keys_scope_text(req, j);
	if (text == NULL)
		return account_wrong(
		    res, "scopes", "must be an array of texts");
	if (role_scopes(req->arena, text, scopes, &info) != ERR_OK)
		return account_wrong(res, info.field, info.text);
	enum role_level cap = role_cap(*scopes);
	if ((cap > ROLE_WRITE ? ROLE_ADMIN : cap) > req->caller.level)
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "a key cannot do more than its maker, who may %s",
		    role_level_name(req->caller.level));
	return HTTP_OK;
}

static enum http_status
keys_read(
    struct req *req, struct res *res, struct keys_in *in, struct store_token *t)
{
	struct err_info info = {0};

	enum http_status status = input_read_body(req, &keys_inputs, in, res);
	if (status == HTTP_OK)
		status = keys_read_scopes(req, res, &t->scopes);
	if (status != HTTP_OK)
		return status;
	if (account_name(req->arena, "name", in->name, &t->name, &info) !=
	    ERR_OK)
		return account_wrong(res, info.field, info.text);
	t->expires_us = req->now_us + ACCOUNT_KEY_DAYS * INT64_C(86400000000);
	if (in->expires_us != 0 && in->expires_s != 0)
		return account_wrong(
		    res, "expires_in", "contradicts expires_at");
	if (in->expires_s != 0)
		t->expires_us = req->now_us + in->expires_s * KEYS_SECOND_US;
	if (in->expires_us != 0)
		t->expires_us = in->expires_us;
	if (t->expires_us <= req->now_us ||
	    t->expires_us > req->now_us + KEYS_MAX_S * KEYS_SECOND_US)
		return account_wrong(
		    res, "expires_at", "must be within the next 3650 days");
	return HTTP_OK;
}

/* Those of the caller that are good, or of the whole tenant. */
static enum err
keys_list(struct req *req, bool is_all, struct store_token **rows, size_t *n)
{
	const char *owner = req->caller.owner;
	size_t k = 0;

	enum err e = store_token_list(req->app->store, req->arena,
	    req->caller.tenant, is_all ? NULL : owner, rows, n);
	for (size_t i = 0; e == ERR_OK && i < *n; i++) {
		const struct store_token *t = &(*rows)[i];
		if (t->revoked_us == 0)
			(*rows)[k++] = *t;
	}
	*n = k;
	return e;
}

static void
keys_show_scopes(struct json_w *w, struct arena *a, const char *scopes)
{
	size_t n;
	char **words = str_split(a, scopes, ',', &n);

	json_w_begin_array(w, "scopes");
	for (size_t i = 0; i < n; i++)
		json_w_str(w, NULL, words[i]);
	json_w_end_array(w);
}

static enum http_status
keys_make(struct req *req, struct res *res, struct store_token *t)
{
	char id[ID_SIZE], key[ID_SIZE], hash[ID_HASH_SIZE];
	char prefix[KEYS_PREFIX_LEN + 1];

	id_make(id, "key_", KEYS_ID_BYTES);
	id_make_key(key, "ara_");
	id_sha256(key, strlen(key), hash);
	snprintf(prefix, sizeof(prefix), "%.12s", key);
	t->id = id;
	t->prefix = prefix;
	t->hash = hash;
	enum err e = store_token_create(req->app->store, t);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("auth.key_made", "key_id=%s owner=%s", id,
	    t->owner == NULL ? "-" : t->owner);
	struct json_w *w = res_json(res);
	json_w_str(w, "id", id);
	json_w_str(w, "key", key);
	json_w_str(w, "api_key", key);
	json_w_str(w, "prefix", prefix);
	json_w_str(w, "name", t->name);
	keys_show_scopes(w, req->arena, t->scopes);
	json_w_time(w, "created_at", req->now_us);
	json_w_time(w, "expires_at", t->expires_us);
	json_w_str(w, "message",
	    "keep the key now: it is shown once and cannot be read again");
	return res_json_end(res, HTTP_CREATED);
}

enum http_status
keys_create(struct req *req, struct res *res)
{
	struct store_token t = {.tenant = req->caller.tenant,
	    .tier = "authenticated",
	    .owner = req->caller.owner};
	struct store_token *rows;
	struct keys_in in;
	size_t n;

	if (!keys_may_change(req))
		return keys_refuse(res);
	enum http_status status = keys_read(req, res, &in, &t);
	if (status != HTTP_OK)
		return status;
	enum err e = keys_list(req, false, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (n >= KEYS_PER_OWNER)
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "there are %d keys already; delete one first",
		    KEYS_PER_OWNER);
	return keys_make(req, res, &t);
}

static void
keys_show(struct json_w *w, struct req *req, const char *key,
    const struct store_token *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "id", rows[i].id);
		json_w_str(w, "name", rows[i].name);
		json_w_str(w, "prefix", rows[i].prefix);
		keys_show_scopes(w, req->arena, rows[i].scopes);
		json_w_str(w, "owner_id", rows[i].owner);
		json_w_time(w, "created_at", rows[i].created_us);
		json_w_time(w, "expires_at", rows[i].expires_us);
		json_w_time(w, "last_used", rows[i].last_used_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

struct keys_page {
	int64_t limit, offset;
};

static const struct input keys_page_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct keys_page, limit),
	.help = "Keys per page."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct keys_page, offset),
	.help = "Keys to skip."},
};
const struct input_list keys_page_inputs = {
    keys_page_rows, ARRAY_LEN(keys_page_rows)};

enum http_status
keys_get(struct req *req, struct res *res)
{
	struct store_token *rows;
	struct keys_page page;
	size_t n;

	enum http_status status =
	    input_read_query(req, &keys_page_inputs, &page, res);
	if (status != HTTP_OK)
		return status;
	enum err e = keys_list(req, req->caller.level >= ROLE_ADMIN, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	size_t from = (size_t)page.offset < n ? (size_t)page.offset : n;
	size_t count =
	    n - from < (size_t)page.limit ? n - from : (size_t)page.limit;
	struct json_w *w = res_json(res);
	keys_show(w, req, "keys", rows + from, count);
	keys_show(w, req, "api_keys", rows + from, count);
	keys_show(w, req, "items", rows + from, count);
	debate_out_page(w, (int64_t)n, count, page.limit, page.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
keys_delete(struct req *req, struct res *res)
{
	const char *id = req->match.params[0];
	bool is_all = req->caller.level >= ROLE_ADMIN;

	if (!keys_may_change(req))
		return keys_refuse(res);
	enum err e = store_token_revoke(req->app->store, req->caller.tenant,
	    is_all ? NULL : req->caller.owner, id);
	if (e == ERR_NOT_FOUND)
		return res_fail(
		    res, HTTP_NOT_FOUND, "NOT_FOUND", "there is no such key");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("auth.key_revoked", "owner=%s",
	    req->caller.owner == NULL ? "-" : req->caller.owner);
	struct json_w *w = res_json(res);
	json_w_bool(w, "revoked", true);
	json_w_bool(w, "success", true);
	json_w_str(w, "message", "the key is refused from now on");
	return res_json_end(res, HTTP_OK);
}
