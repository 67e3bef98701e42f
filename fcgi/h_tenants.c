/* SPDX-License-Identifier: MIT
 *
 * Tenants, which clients also call workspaces. Their members see their own;
 * the operator (the static token, or a key of the tier internal) makes them,
 * suspends them and sets what they may spend.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "fcgi/account_out.h"
#include "fcgi/debate_out.h"
#include "store/store_budget.h"

#define TENANT_PAGE	    50
#define TENANT_TEXT_MAX	    8192
#define TENANT_SETTINGS_MAX 16384
#define TENANT_SLUG_MAX	    64
#define TENANT_USD	    1000000
#define TENANT_USD_MAX	    1e6
#define TENANT_TOKENS_MAX   INT64_C(1000000000000)

static bool
tenant_is_operator(const struct req *req)
{
	return req->caller.level >= ROLE_OPERATOR;
}

enum http_status
tenant_fetch(struct req *req, struct res *res, struct store_tenant *t)
{
	const char *id = req->match.params[0];
	bool is_own = str_eq(id, req->caller.tenant);

	if (is_own || tenant_is_operator(req)) {
		enum err e =
		    store_tenant_get(req->app->store, req->arena, id, t);
		if (e != ERR_OK)
			return res_err(res, e, NULL);
		if (is_own || t->created_us != 0)
			return HTTP_OK;
	}
	return res_fail(
	    res, HTTP_NOT_FOUND, "NOT_FOUND", "there is no tenant '%s'", id);
}

static enum http_status
tenant_answer(
    struct res *res, const struct store_tenant *t, enum http_status status)
{
	struct json_w *w = res_json(res);

	account_tenant(w, t);
	return res_json_end(res, status);
}

/* As it is now. */
static enum http_status
tenant_answer_again(struct req *req, struct res *res, const char *id)
{
	struct store_tenant t;

	enum err e = store_tenant_get(req->app->store, req->arena, id, &t);
	return e == ERR_OK ? tenant_answer(res, &t, HTTP_OK)
			   : res_err(res, e, NULL);
}

/* ---- lists ---- */

struct tenant_page {
	int64_t limit, offset;
	int status;
};

static const struct input tenant_page_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = TENANT_PAGE,
	.offset = offsetof(struct tenant_page, limit),
	.help = "Tenants per page."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct tenant_page, offset),
	.help = "Tenants to skip."},
    {.key = "status",
	.kind = INPUT_CHOICE,
	.choices = "active|suspended|pending|deleted|",
	.offset = offsetof(struct tenant_page, status),
	.help = "Only these."},
};
const struct input_list tenant_page_inputs = {
    tenant_page_rows, ARRAY_LEN(tenant_page_rows)};
/* Members have no status. */
const struct input_list member_page_inputs = {tenant_page_rows, 2};

/* The operator's list is of all, anybody else's of one. */
static enum err
tenant_list_rows(struct req *req, const struct tenant_page *page,
    struct store_tenant **rows, size_t *n, int64_t *total)
{
	static const char *const states[] = {
#define X(name) name,
	    STORE_TENANT_STATES(X)
#undef X
	};
	const char *status = page->status < 0 ? "" : states[page->status];

	if (tenant_is_operator(req))
		return store_tenant_list(req->app->store, req->arena, status,
		    page->limit, page->offset, rows, n, total);
	*rows = ARENA_NEW(req->arena, struct store_tenant);
	enum err e = store_tenant_get(
	    req->app->store, req->arena, req->caller.tenant, *rows);
	*total =
	    e == ERR_OK && (*status == '\0' || str_eq(status, (*rows)->status));
	*n = *total > page->offset ? 1 : 0;
	return e;
}

static void
tenant_array(struct json_w *w, const char *key, const struct store_tenant *rows,
    size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		account_tenant(w, &rows[i]);
		json_w_end(w);
	}
	json_w_end_array(w);
}

static enum http_status
tenant_list_as(struct req *req, struct res *res, const char *key)
{
	struct store_tenant *rows;
	struct tenant_page page;
	int64_t total;
	size_t n;

	enum http_status status =
	    input_read_query(req, &tenant_page_inputs, &page, res);
	if (status != HTTP_OK)
		return status;
	enum err e = tenant_list_rows(req, &page, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	tenant_array(w, key, rows, n);
	tenant_array(w, "items", rows, n);
	debate_out_page(w, total, n, page.limit, page.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
tenant_list(struct req *req, struct res *res)
{
	return tenant_list_as(req, res, "tenants");
}

enum http_status
workspace_list(struct req *req, struct res *res)
{
	return tenant_list_as(req, res, "workspaces");
}

enum http_status
tenant_members(struct req *req, struct res *res)
{
	struct tenant_page page;
	struct store_tenant t;
	struct store_user *rows;
	int64_t total;
	size_t n;

	enum http_status status =
	    input_read_query(req, &member_page_inputs, &page, res);
	if (status == HTTP_OK)
		status = tenant_fetch(req, res, &t);
	if (status != HTTP_OK)
		return status;
	enum err e = store_user_list(req->app->store, req->arena, t.id,
	    page.limit, page.offset, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "tenant_id", t.id);
	for (int k = 0; k < 2; k++) {
		json_w_begin_array(w, k == 0 ? "members" : "items");
		for (size_t i = 0; i < n; i++) {
			json_w_begin(w, NULL);
			json_w_str(w, "user_id", rows[i].id);
			json_w_str(w, "email", rows[i].email);
			json_w_str(w, "name", rows[i].name);
			json_w_str(w, "role", rows[i].role);
			json_w_bool(w, "is_active", rows[i].is_active);
			json_w_time(w, "joined_at", rows[i].created_us);
			json_w_time(w, "last_login", rows[i].last_login_us);
			json_w_end(w);
		}
		json_w_end_array(w);
	}
	debate_out_page(w, total, n, page.limit, page.offset);
	return res_json_end(res, HTTP_OK);
}

/* ---- quotas ---- */

/* -1 = no limit. */
struct tenant_quotas {
	int64_t debates;
	struct store_amount day, month;
};

/* As they count: what the settings say too. */
static enum err
tenant_read_quotas(
    struct req *req, const struct store_tenant *t, struct tenant_quotas *q)
{
	struct store_budget_use *rows;
	size_t n;

	*q = (struct tenant_quotas){t->max_debates_month, {-1, -1}, {-1, -1}};
	enum err e = store_budget_list(req->app->store, req->arena,
	    req->app->settings, t->id, NULL, &rows, &n);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		bool is_day = str_eq(rows[i].period, "day");
		*(is_day ? &q->day : &q->month) = rows[i].limit;
	}
	return e;
}

/* One member of the body: absent leaves, null is no limit. */
static bool
tenant_take_quota(const struct json *body, const char *key, bool is_usd,
    double max, int64_t *slot)
{
	const struct json *value;
	const char *name;
	double d = -1;

	for (void *it = NULL; json_next(body, &it, &name, &value);) {
		if (!str_eq(name, key))
			continue;
		if (json_kind(value) == JSON_NULL) {
			*slot = -1;
			return true;
		}
		if (!json_num(value, &d) || d < 0 || d > max ||
		    (!is_usd && json_kind(value) != JSON_INT))
			return false;
		*slot = (int64_t)(d * (is_usd ? TENANT_USD : 1) + 0.5);
	}
	return true;
}

static enum http_status
tenant_take_quotas(
    struct res *res, const struct json *body, struct tenant_quotas *q)
{
	const struct {
		const char *key;
		bool is_usd;
		double max;
		int64_t *slot;
	} rows[] = {
	    {"debates_per_month", false, TENANT_TOKENS_MAX, &q->debates},
	    {"usd_day", true, TENANT_USD_MAX, &q->day.udollar},
	    {"usd_month", true, TENANT_USD_MAX, &q->month.udollar},
	    {"tokens_day", false, TENANT_TOKENS_MAX, &q->day.tokens},
	    {"tokens_month", false, TENANT_TOKENS_MAX, &q->month.tokens},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!tenant_take_quota(body, rows[i].key, rows[i].is_usd,
			rows[i].max, rows[i].slot))
			return account_wrong(res, rows[i].key,
			    rows[i].is_usd
				? "must be dollars from 0 to 1000000, or null"
				: "must be an integer from 0, or null");
	return HTTP_OK;
}

static void
tenant_quota(struct json_w *w, const char *key, bool is_usd, int64_t value)
{
	if (value < 0)
		json_w_null(w, key);
	else if (is_usd)
		json_w_num(w, key, (double)value / TENANT_USD);
	else
		json_w_int(w, key, value);
}

static enum http_status
tenant_quotas_answer(
    struct res *res, const char *id, const struct tenant_quotas *q)
{
	struct json_w *w = res_json(res);

	json_w_str(w, "tenant_id", id);
	json_w_begin(w, "quotas");
	tenant_quota(w, "debates_per_month", false, q->debates);
	tenant_quota(w, "usd_day", true, q->day.udollar);
	tenant_quota(w, "usd_month", true, q->month.udollar);
	tenant_quota(w, "tokens_day", false, q->day.tokens);
	tenant_quota(w, "tokens_month", false, q->month.tokens);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

enum http_status
tenant_quotas_get(struct req *req, struct res *res)
{
	struct tenant_quotas q;
	struct store_tenant t;

	enum http_status status = tenant_fetch(req, res, &t);
	if (status != HTTP_OK)
		return status;
	enum err e = tenant_read_quotas(req, &t, &q);
	return e == ERR_OK ? tenant_quotas_answer(res, t.id, &q)
			   : res_err(res, e, NULL);
}

static enum err
tenant_store_quotas(
    struct req *req, struct store_tenant *t, const struct tenant_quotas *q)
{
	t->max_debates_month = q->debates;
	enum err e = store_tenant_change(req->app->store, t);
	return e == ERR_OK
	    ? store_budget_put(req->app->store, t->id, &q->day, &q->month)
	    : e;
}

/* The body itself, or its member `quotas`. */
static const struct json *
tenant_quotas_body(const struct json *body)
{
	const struct json *inner = json_get(body, "quotas");

	return json_kind(inner) == JSON_OBJECT ? inner : body;
}

enum http_status
tenant_quotas_put(struct req *req, struct res *res)
{
	struct tenant_quotas q;
	struct store_tenant t;

	enum http_status status = tenant_fetch(req, res, &t);
	if (status != HTTP_OK)
		return status;
	enum err e = tenant_read_quotas(req, &t, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	status = tenant_take_quotas(res, tenant_quotas_body(req->body), &q);
	if (status != HTTP_OK)
		return status;
	e = tenant_store_quotas(req, &t, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("tenant.quotas", "tenant=%s", t.id);
	return tenant_quotas_answer(res, t.id, &q);
}

/* ---- make and change ---- */

struct tenant_in {
	const char *name, *slug, *plan, *owner_id;
};

static const struct input tenant_rows[] = {
    {.key = "name",
	.kind = INPUT_TEXT,
	.max = TENANT_TEXT_MAX,
	.offset = offsetof(struct tenant_in, name),
	.help = "At most 100 bytes."},
    {.key = "slug",
	.kind = INPUT_TEXT,
	.max = TENANT_TEXT_MAX,
	.offset = offsetof(struct tenant_in, slug),
	.help = "Unique: letters, digits and -."},
    {.key = "plan",
	.kind = INPUT_TEXT,
	.max = TENANT_TEXT_MAX,
	.offset = offsetof(struct tenant_in, plan),
	.help = "The operator's to change."},
    {.key = "owner_id",
	.kind = INPUT_TEXT,
	.max = TENANT_TEXT_MAX,
	.offset = offsetof(struct tenant_in, owner_id),
	.help = "A member."},
};
static const struct input_list tenant_inputs = {
    tenant_rows, ARRAY_LEN(tenant_rows)};

static bool
tenant_is_slug(const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
		if (!(str_is_alnum(text[n]) && str_lower(text[n]) == text[n]) &&
		    text[n] != '-')
			return false;
	return n > 0 && n <= TENANT_SLUG_MAX;
}

static enum http_status
tenant_take_settings(struct req *req, struct res *res, struct store_tenant *t)
{
	const struct json *j = json_get(req->body, "settings");

	if (json_kind(j) == JSON_NULL)
		return HTTP_OK;
	t->settings = json_text(req->arena, j);
	if (json_kind(j) != JSON_OBJECT ||
	    strlen(t->settings) > TENANT_SETTINGS_MAX)
		return account_wrong(res, "settings",
		    "must be an object of at most 16384 bytes");
	return HTTP_OK;
}

static enum http_status
tenant_take_owner(struct req *req, struct res *res, const char *owner_id,
    struct store_tenant *t)
{
	struct store_user u;

	enum err e =
	    store_user_get(req->app->store, req->arena, t->id, owner_id, &u);
	if (e == ERR_NOT_FOUND)
		return account_wrong(res, "owner_id", "is no member");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (req->caller.level < ROLE_OWNER)
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "only the owner gives the tenant away");
	t->owner_id = u.id;
	return HTTP_OK;
}

/* What the body says, over what is there. */
static enum http_status
tenant_take(struct req *req, struct res *res, const struct tenant_in *in,
    struct store_tenant *t)
{
	struct err_info info = {0};

	if (in->name != NULL &&
	    account_name(req->arena, "name", in->name, &t->name, &info) !=
		ERR_OK)
		return account_wrong(res, info.field, info.text);
	if (in->slug != NULL && !tenant_is_slug(in->slug))
		return account_wrong(
		    res, "slug", "must be 1 to 64 of a-z, 0-9 and -");
	if (in->slug != NULL)
		t->slug = in->slug;
	if (in->plan != NULL && !account_plan_is_known(in->plan))
		return account_wrong(res, "plan",
		    "must be free, starter, professional, enterprise or "
		    "premium");
	if (in->plan != NULL && !tenant_is_operator(req) &&
	    !str_eq(in->plan, t->plan))
		return res_fail(res, HTTP_FORBIDDEN, "FORBIDDEN",
		    "the operator changes plans");
	if (in->plan != NULL)
		t->plan = in->plan;
	if (in->owner_id != NULL) {
		enum http_status status =
		    tenant_take_owner(req, res, in->owner_id, t);
		if (status != HTTP_OK)
			return status;
	}
	return tenant_take_settings(req, res, t);
}

static enum http_status
tenant_slug_taken(struct res *res)
{
	return res_fail(
	    res, HTTP_CONFLICT, "CONFLICT", "there is a tenant with this slug");
}

enum http_status
tenant_create(struct req *req, struct res *res)
{
	const struct json *quotas = json_get(req->body, "quotas");
	struct tenant_quotas q = {-1, {-1, -1}, {-1, -1}};
	static const struct res_field missing = {"name", "is required"};
	struct store_tenant t;
	struct tenant_in in;

	enum http_status status =
	    input_read_body(req, &tenant_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	if (in.name == NULL)
		return res_invalid(res, "MISSING_FIELD", &missing, 1);
	account_new_tenant(req->arena, in.name, &t);
	status = tenant_take(req, res, &in, &t);
	if (status == HTTP_OK && json_kind(quotas) != JSON_NULL)
		status = json_kind(quotas) == JSON_OBJECT
		    ? tenant_take_quotas(res, quotas, &q)
		    : account_wrong(res, "quotas", "must be an object");
	if (status != HTTP_OK)
		return status;
	enum err e = store_tenant_create(req->app->store, &t);
	if (e == ERR_EXISTS)
		return tenant_slug_taken(res);
	if (e == ERR_OK && json_kind(quotas) == JSON_OBJECT)
		e = tenant_store_quotas(req, &t, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("tenant.created", "tenant=%s", t.id);
	t.created_us = t.updated_us = req->now_us;
	return tenant_answer(res, &t, HTTP_CREATED);
}

enum http_status
tenant_get(struct req *req, struct res *res)
{
	struct store_tenant t;

	enum http_status status = tenant_fetch(req, res, &t);
	return status == HTTP_OK ? tenant_answer(res, &t, HTTP_OK) : status;
}

enum http_status
tenant_change(struct req *req, struct res *res)
{
	struct store_tenant t;
	struct tenant_in in;

	enum http_status status =
	    input_read_body(req, &tenant_inputs, &in, res);
	if (status == HTTP_OK)
		status = tenant_fetch(req, res, &t);
	if (status == HTTP_OK)
		status = tenant_take(req, res, &in, &t);
	if (status != HTTP_OK)
		return status;
	enum err e = store_tenant_change(req->app->store, &t);
	if (e == ERR_EXISTS)
		return tenant_slug_taken(res);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	return tenant_answer_again(req, res, t.id);
}

/* ---- suspend and the like ---- */

static enum http_status
tenant_set(struct req *req, struct res *res, const char *state)
{
	struct store_tenant t;

	enum http_status status = tenant_fetch(req, res, &t);
	if (status != HTTP_OK)
		return status;
	if (str_eq(t.id, STORE_TENANT_DEFAULT))
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "the default tenant is always active");
	enum err e = store_tenant_set_status(req->app->store, t.id, state);
	if (e == ERR_NOT_FOUND)
		return res_fail(
		    res, HTTP_CONFLICT, "CONFLICT", "the tenant is deleted");
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("tenant.status", "tenant=%s status=%s", t.id, state);
	return HTTP_OK;
}

static enum http_status
tenant_set_answer(struct req *req, struct res *res, const char *state)
{
	enum http_status status = tenant_set(req, res, state);

	return status == HTTP_OK
	    ? tenant_answer_again(req, res, req->match.params[0])
	    : status;
}

enum http_status
tenant_suspend(struct req *req, struct res *res)
{
	return tenant_set_answer(req, res, "suspended");
}

enum http_status
tenant_reactivate(struct req *req, struct res *res)
{
	return tenant_set_answer(req, res, "active");
}

/* For good: whoever was in it comes in no more. Its debates stay. */
enum http_status
tenant_delete(struct req *req, struct res *res)
{
	enum http_status status = tenant_set(req, res, "deleted");

	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, "deleted", true);
	json_w_bool(w, "success", true);
	json_w_str(w, "id", req->match.params[0]);
	return res_json_end(res, HTTP_OK);
}
