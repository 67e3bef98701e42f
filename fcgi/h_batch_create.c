/* SPDX-License-Identifier: MIT
 *
 * Asking many questions at once, and those again that came to nothing: all of
 * them are put into the queue, or none.
 */
#include "fcgi/handler.h"

#include <string.h>
#include <strings.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "debate/config.h"
#include "debate/recall.h"
#include "fcgi/batch_out.h"
#include "fcgi/debate_queue.h"
#include "llm/llm_url.h"
#include "settings/settings.h"
#include "store/store_batch.h"

#define BATCH_ERRORS_MAX   32 /* wrong fields that are named */
#define BATCH_ITEM_ERRORS  8  /* of one item */
#define BATCH_PRIORITY_MAX 10
#define BATCH_METADATA_MAX (16u << 10)
#define BATCH_URL_MAX	   2000
#define BATCH_HEADERS_MAX  20
#define BATCH_HEADER_NAME  64
#define BATCH_HEADER_VALUE 1000

/* What a request asks for, while it is read. */
struct batch_request {
	struct req *req;
	const char *key; /* the name of the array that was sent */
	const struct json *list;
	size_t n;
	struct store_batch batch;
	struct store_debate *rows;
	struct debate_config *configs;
	struct debate_grant *grants;
	const char **item_ids;
	struct res_field fields[BATCH_ERRORS_MAX];
	size_t n_fields;
	bool is_missing; /* the first of them */
};

static void PRINTF(3, 4) batch_wrong(
    struct batch_request *b, const char *field, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (b->n_fields == BATCH_ERRORS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	b->fields[b->n_fields++] =
	    (struct res_field){arena_strdup(b->req->arena, field),
		arena_strdup(b->req->arena, text)};
}

static int64_t
batch_read_int(struct batch_request *b, const struct json *object,
    const char *path, const char *key, int64_t max, int64_t fallback)
{
	const struct json *value = json_get(object, key);
	int64_t number = fallback;

	if (json_kind(value) != JSON_NULL &&
	    (!json_int(value, &number) || number < 0 || number > max)) {
		batch_wrong(b, arena_printf(b->req->arena, "%s%s", path, key),
		    "must be an integer from 0 to %lld", (long long)max);
		return fallback;
	}
	return number;
}

/* ---- the message at its end ---- */

/* Those that belong to the transfer itself. */
static bool
batch_header_is_ours(const char *name)
{
	static const char *const ours[] = {"Host", "Content-Length",
	    "Content-Type", "Transfer-Encoding", "Connection", "Expect",
	    "Upgrade", "TE", "Trailer"};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcasecmp(ours[i], name) == 0)
			return true;
	return strncasecmp(name, "X-Aragora-", strlen("X-Aragora-")) == 0;
}

static const char *
batch_header_fault(const char *name, const struct json *value)
{
	size_t len = 0;
	const char *text = json_str(value, &len);

	if (*name == '\0' || strlen(name) > BATCH_HEADER_NAME)
		return "has a name of no or too many characters";
	for (const char *p = name; *p != '\0'; p++)
		if (!str_is_alnum(*p) && *p != '-' && *p != '_')
			return "has a name that no header has";
	if (batch_header_is_ours(name))
		return "cannot be set";
	if (text == NULL || len > BATCH_HEADER_VALUE)
		return "must be a string of at most 1000 bytes";
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			return "must be printable ASCII";
	return NULL;
}

static void
batch_read_headers(struct batch_request *b)
{
	const struct json *headers = json_get(b->req->body, "webhook_headers");
	const struct json *value;
	const char *name;

	if (json_kind(headers) == JSON_NULL)
		return;
	if (json_kind(headers) != JSON_OBJECT ||
	    json_len(headers) > BATCH_HEADERS_MAX) {
		batch_wrong(b, "webhook_headers",
		    "must be an object of at most %d strings",
		    BATCH_HEADERS_MAX);
		return;
	}
	for (void *it = NULL; json_next(headers, &it, &name, &value);) {
		const char *fault = batch_header_fault(name, value);
		if (fault != NULL)
			batch_wrong(b,
			    arena_printf(
				b->req->arena, "webhook_headers.%s", name),
			    "%s", fault);
	}
	b->batch.webhook_headers = json_text(b->req->arena, headers);
}

static void
batch_read_webhook(struct batch_request *b)
{
	static const char *const keys[] = {"webhook_url", "callback_url"};
	bool may_be_private = b->req->app->settings->webhook_allow_localhost;
	struct err_info info = {0};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json *value = json_get(b->req->body, keys[i]);
		size_t len = 0;
		const char *url = json_str(value, &len);
		if (json_kind(value) == JSON_NULL)
			continue;
		if (url == NULL || len > BATCH_URL_MAX)
			batch_wrong(b, keys[i],
			    "must be a string of at most %d bytes",
			    BATCH_URL_MAX);
		else if (llm_url_foreign(url, may_be_private, &info) != ERR_OK)
			batch_wrong(b, keys[i], "%s", info.text);
		else if (b->batch.webhook_url != NULL &&
		    !str_eq(url, b->batch.webhook_url))
			batch_wrong(b, keys[i], "contradicts webhook_url");
		else
			b->batch.webhook_url = url;
	}
	batch_read_headers(b);
}

/* ---- items ---- */

static void
batch_read_item(struct batch_request *b, size_t i)
{
	struct req *req = b->req;
	const struct json *item = json_at(b->list, i);
	const char *path = arena_printf(req->arena, "%s[%zu].", b->key, i);
	struct debate_config_error errors[BATCH_ITEM_ERRORS];
	size_t n = BATCH_ITEM_ERRORS;
	bool is_missing = false;

	if (json_kind(item) != JSON_OBJECT) {
		batch_wrong(b, arena_printf(req->arena, "%s[%zu]", b->key, i),
		    "must be an object, not %s",
		    json_kind_name(json_kind(item)));
		return;
	}
	enum err e = debate_config_read(req->arena, req->app->settings, item,
	    &b->configs[i], errors, &n, &is_missing);
	if (e != ERR_OK && b->n_fields == 0)
		b->is_missing = is_missing;
	for (size_t k = 0; e != ERR_OK && k < n; k++)
		batch_wrong(b,
		    arena_printf(req->arena, "%s%s", path, errors[k].field),
		    "%s", errors[k].message);
	b->rows[i].priority = batch_read_int(
	    b, item, path, "priority", BATCH_PRIORITY_MAX, b->batch.priority);
}

static void
batch_read_list(struct batch_request *b)
{
	struct arena *a = b->req->arena;

	b->key = "items";
	b->list = json_get(b->req->body, b->key);
	if (json_kind(b->list) == JSON_NULL) {
		const struct json *list = json_get(b->req->body, "requests");
		b->key = json_kind(list) != JSON_NULL ? "requests" : b->key;
		b->list = list;
	}
	b->is_missing = json_kind(b->list) == JSON_NULL;
	if (b->is_missing) {
		batch_wrong(b, b->key, "is required");
		return;
	}
	b->n = json_kind(b->list) == JSON_ARRAY ? json_len(b->list) : 0;
	if (b->n == 0 || b->n > STORE_BATCH_MAX) {
		batch_wrong(b, b->key, "must be an array of 1 to %d objects",
		    STORE_BATCH_MAX);
		return;
	}
	b->rows = ARENA_ARRAY(a, b->n, struct store_debate);
	b->configs = ARENA_ARRAY(a, b->n, struct debate_config);
	b->grants = ARENA_ARRAY(a, b->n, struct debate_grant);
	b->item_ids = ARENA_ARRAY(a, b->n, const char *);
	for (size_t i = 0; i < b->n && b->n_fields < BATCH_ERRORS_MAX; i++)
		batch_read_item(b, i);
}

static void
batch_read_metadata(struct batch_request *b)
{
	const struct json *metadata = json_get(b->req->body, "metadata");

	b->batch.metadata = "{}";
	if (json_kind(metadata) == JSON_OBJECT)
		b->batch.metadata = json_text(b->req->arena, metadata);
	else if (json_kind(metadata) != JSON_NULL)
		batch_wrong(b, "metadata", "must be an object");
	if (strlen(b->batch.metadata) > BATCH_METADATA_MAX)
		batch_wrong(b, "metadata", "is longer than %u bytes",
		    BATCH_METADATA_MAX);
}

/* HTTP_OK, or 400 with all that is wrong. */
static enum http_status
batch_read_request(struct batch_request *b, struct res *res)
{
	const struct json *body = b->req->body;

	b->batch.priority =
	    batch_read_int(b, body, "", "priority", BATCH_PRIORITY_MAX, 0);
	b->batch.max_parallel =
	    batch_read_int(b, body, "", "max_parallel", STORE_BATCH_MAX, 0);
	batch_read_metadata(b);
	batch_read_webhook(b);
	batch_read_list(b);
	if (b->n_fields == 0)
		return HTTP_OK;
	return res_invalid(res,
	    b->is_missing && b->n_fields == 1 ? "MISSING_FIELD"
					      : "INVALID_VALUE",
	    b->fields, b->n_fields);
}

/* ---- into the queue ---- */

static enum err
batch_prepare(struct batch_request *b)
{
	struct req *req = b->req;
	char id[ID_SIZE];
	uint32_t first; /* no two alike within a batch */
	enum err e = ERR_OK;

	id_random(&first, sizeof(first));
	id_make(id, "batch_", 6);
	b->batch.id = arena_strdup(req->arena, id);
	b->batch.tenant = req->caller.tenant;
	b->batch.owner = req->caller.owner;
	b->batch.key = req->key;
	for (size_t i = 0; e == ERR_OK && i < b->n; i++) {
		e = recall_find(req->app->store, req->arena, req->caller.tenant,
		    &b->configs[i], req->now_us);
		debate_queue_prepare(
		    req, &b->rows[i], &b->configs[i], &b->grants[i]);
		b->item_ids[i] =
		    arena_printf(req->arena, "item_%08x", first + (uint32_t)i);
	}
	return e;
}

/* A fault of one item says which. */
static enum http_status
batch_refuse(struct batch_request *b, struct res *res, enum err e,
    struct err_info *info, size_t at)
{
	if (e != ERR_INVALID || b->key == NULL)
		return debate_queue_refuse(res, e, info, &b->rows[at]);
	batch_wrong(b,
	    arena_printf(b->req->arena, "%s[%zu].%s", b->key, at, info->field),
	    "%s", info->text);
	return res_invalid(res, "INVALID_VALUE", b->fields, b->n_fields);
}

static enum http_status
batch_answer(struct req *req, struct res *res, const char *id)
{
	struct store_batch_item *items = NULL;
	struct store_batch b;
	size_t n = 0;

	enum err e = store_batch_get(
	    req->app->store, req->arena, req->caller.tenant, id, &b);
	if (e == ERR_OK)
		e = store_batch_items(
		    req->app->store, req->arena, b.tenant, b.id, &items, &n);
	const char *url = batch_out_url(req, id);
	if (e == ERR_OK)
		e = res_header(res, "Location", url);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "batch_id", b.id);
	json_w_str(w, "status", b.sums.status);
	json_w_int(w, "items_queued", b.sums.total);
	json_w_int(w, "total_items", b.sums.total);
	json_w_int(w, "total_jobs", b.sums.total);
	json_w_str(w, "status_url", url);
	json_w_time(w, "submitted_at", b.created_us);
	json_w_begin_array(w, "jobs");
	for (size_t i = 0; i < n; i++) {
		const struct store_debate *d = items[i].debate;
		json_w_begin(w, NULL);
		json_w_str(w, "job_id", items[i].item_id);
		json_w_str(w, "item_id", items[i].item_id);
		json_w_str(w, "debate_id", items[i].debate_id);
		json_w_str(w, "status", batch_item_status(&items[i]));
		json_w_str(w, "task", d != NULL ? d->task : NULL);
		json_w_end(w);
	}
	json_w_end_array(w);
	return res_json_end(res, HTTP_CREATED);
}

static void
batch_wake(struct req *req, const char *what, const char *id, size_t n)
{
	enum err e = bus_wake(req->app->bus);

	if (e != ERR_OK) /* the runners look by themselves, a little later */
		log_debug("debate.wake", "error=%s", err_text(e));
	log_info(what, "batch_id=%s items=%zu", id, n);
}

enum http_status
batch_submit(struct req *req, struct res *res)
{
	struct batch_request b = {.req = req};
	struct err_info info = {0};
	size_t at = 0;

	/* Clients ask for the list like that. */
	if (req->body_len == 0)
		return batch_list(req, res);
	enum http_status status = batch_read_request(&b, res);
	if (status != HTTP_OK)
		return status;
	enum err e = batch_prepare(&b);
	if (e == ERR_OK)
		e = store_batch_create(req->app->store, req->arena, &b.batch,
		    b.rows, b.item_ids, b.n,
		    req->app->settings->max_queued_debates, &at, &info);
	if (e != ERR_OK)
		return batch_refuse(&b, res, e, &info, at);
	if (req->key != NULL && req->key->is_replay)
		return batch_answer(req, res, req->key->ref);
	batch_wake(req, "batch.accepted", b.batch.id, b.n);
	return batch_answer(req, res, b.batch.id);
}

/* ---- again ---- */

static bool
batch_is_due(const struct store_batch_item *item, bool only_failed)
{
	const struct store_debate *d = item->debate;

	return d != NULL &&
	    (d->status == STORE_FAILED ||
		(d->status == STORE_CANCELLED && !only_failed));
}

/* The items to try again, and a debate for each, as it was asked for. */
static enum err
batch_again(struct batch_request *b, struct store_batch_item *items, size_t n,
    bool only_failed)
{
	struct arena *a = b->req->arena;
	struct err_info info;

	b->rows = ARENA_ARRAY(a, n + 1, struct store_debate);
	b->configs = ARENA_ARRAY(a, n + 1, struct debate_config);
	b->grants = ARENA_ARRAY(a, n + 1, struct debate_grant);
	for (size_t i = 0; i < n; i++) {
		if (!batch_is_due(&items[i], only_failed))
			continue;
		const struct store_debate *d = items[i].debate;
		if (debate_config_parse(
			a, d->config, &b->configs[b->n], &info) != ERR_OK)
			return ERR_INTERNAL;
		b->rows[b->n].priority = d->priority;
		debate_queue_prepare(b->req, &b->rows[b->n], &b->configs[b->n],
		    &b->grants[b->n]);
		items[b->n++] = items[i];
	}
	return ERR_OK;
}

enum http_status
batch_retry(struct req *req, struct res *res)
{
	static const struct res_field bad = {
	    "onlyFailed", "must be true or false"};
	const struct json *only = json_get(req->body, "onlyFailed");
	struct batch_request b = {.req = req};
	struct store_batch_item *items = NULL;
	struct err_info info = {0};
	bool only_failed = false;
	size_t n = 0, at = 0;

	if (json_kind(only) != JSON_NULL && !json_boolean(only, &only_failed))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	enum http_status status = batch_out_fetch(req, res, &b.batch);
	if (status != HTTP_OK)
		return status;
	enum err e = store_batch_items(req->app->store, req->arena,
	    b.batch.tenant, b.batch.id, &items, &n);
	if (e == ERR_OK)
		e = batch_again(&b, items, n, only_failed);
	b.batch.key = req->key;
	if (e == ERR_OK && b.n > 0)
		e = store_batch_retry(req->app->store, req->arena, &b.batch,
		    items, b.rows, b.n, req->app->settings->max_queued_debates,
		    &at, &info);
	if (e != ERR_OK)
		return batch_refuse(&b, res, e, &info, at);
	if (b.n > 0)
		batch_wake(req, "batch.again", b.batch.id, b.n);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "batch_id", b.batch.id);
	json_w_int(w, "retried_count", (int64_t)b.n);
	return res_json_end(res, HTTP_OK);
}
