/* SPDX-License-Identifier: MIT
 *
 * Asking a question: the request becomes a pending row, and the runners are
 * woken after the commit. No model is called here.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "debate/config.h"
#include "debate/recall.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "settings/settings.h"
#include "store/store.h"

#define DEBATE_ERRORS_MAX   16
#define DEBATE_ID_PREFIX    "adhoc_"
#define DEBATE_ID_BYTES	    4
#define DEBATE_ID_TRIES	    5 /* 32 random bits do meet, rarely */
#define DEBATE_KEY_MAX	    255
#define DEBATE_PRIORITY_MAX 10
#define DEBATE_FULL_RETRY_S 30 /* a queue place comes free in minutes */

struct debate_create_in {
	int64_t priority;
};

static const struct input debate_create_rows[] = {
    {.key = "priority",
	.kind = INPUT_INT,
	.min = 0,
	.max = DEBATE_PRIORITY_MAX,
	.offset = offsetof(struct debate_create_in, priority),
	.help = "Higher is taken up first."},
};
static const struct input_list debate_create_inputs = {
    debate_create_rows, ARRAY_LEN(debate_create_rows)};

static enum http_status
debate_read_config(
    struct req *req, struct res *res, struct debate_config *config)
{
	struct debate_config_error errors[DEBATE_ERRORS_MAX];
	struct res_field fields[DEBATE_ERRORS_MAX];
	size_t n = DEBATE_ERRORS_MAX;
	bool is_missing = false;

	enum err e = debate_config_read(req->arena, req->app->settings,
	    req->body, config, errors, &n, &is_missing);
	if (e == ERR_OK)
		return HTTP_OK;
	if (e != ERR_INVALID || n == 0)
		return res_err(res, e, NULL);
	for (size_t i = 0; i < n; i++)
		fields[i] =
		    (struct res_field){errors[i].field, errors[i].message};
	return res_invalid(
	    res, is_missing ? "MISSING_FIELD" : "INVALID_VALUE", fields, n);
}

/* The Idempotency-Key: NULL when none was sent. */
static enum http_status
debate_read_key(struct req *req, struct res *res, const char **key)
{
	static const struct res_field field = {
	    "Idempotency-Key", "must be 1 to 255 printable ASCII characters"};
	const char *text = req->env->value[ENV_IDEMPOTENCY_KEY];

	*key = text;
	if (text == NULL)
		return HTTP_OK;
	size_t len = strlen(text);
	bool is_bad = len == 0 || len > DEBATE_KEY_MAX;
	for (size_t i = 0; i < len; i++)
		is_bad = is_bad || text[i] < 0x21 || text[i] > 0x7e;
	return is_bad ? res_invalid(res, "INVALID_VALUE", &field, 1) : HTTP_OK;
}

static enum err
debate_insert(struct req *req, struct store_debate *row, const char *key,
    const char **existing, struct err_info *info)
{
	char hash[ID_HASH_SIZE];
	char id[ID_SIZE];
	enum err e = ERR_EXISTS;

	id_sha256(req->body_text, req->body_len, hash);
	for (int i = 0; i < DEBATE_ID_TRIES && e == ERR_EXISTS; i++) {
		id_make(id, DEBATE_ID_PREFIX, DEBATE_ID_BYTES);
		row->id = arena_strdup(req->arena, id);
		*existing = NULL;
		e = store_debate_create(req->app->store, req->arena, row, key,
		    hash, req->app->settings->max_queued_debates, existing,
		    info);
	}
	return e;
}

static enum http_status
debate_refuse(struct res *res, enum err e, struct err_info *info)
{
	if (e == ERR_BUSY && str_eq(info->field, "queue"))
		return res_wait(
		    res, "the queue of debates is full", DEBATE_FULL_RETRY_S);
	if (e == ERR_BUSY && str_eq(info->field, "tenant_queue"))
		return res_wait(res, "too many of your debates are waiting",
		    DEBATE_FULL_RETRY_S);
	return res_err(res, e, info);
}

/* The answer: the debate as it is now, and where to watch it. */
static enum http_status
debate_answer(struct req *req, struct res *res, const char *id)
{
	struct store *store = req->app->store;
	struct store_debate row;
	struct store_wait wait = {.wait_us = -1};

	enum err e =
	    store_debate_get(store, req->arena, req->caller.tenant, id, &row);
	if (e == ERR_OK && row.status == STORE_PENDING)
		e = store_debate_wait(store, req->caller.tenant, row.id,
		    req->app->settings->lease * INT64_C(1000000), &wait);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	debate_view_members(
	    w, req->arena, &row, NULL, 0, DEBATE_VIEW_FULL, req->now_us);
	debate_out_links(w, req, row.id);
	if (wait.position > 0)
		json_w_int(w, "queue_position", wait.position);
	if (wait.wait_us >= 0)
		json_w_int(w, "estimated_wait_seconds",
		    (wait.wait_us + 999999) / 1000000);
	return res_json_end(res, HTTP_CREATED);
}

enum http_status
debate_create(struct req *req, struct res *res)
{
	struct debate_create_in in;
	struct debate_config config;
	const char *key, *existing = NULL;
	struct err_info info = {0};

	enum http_status status =
	    input_read_body(req, &debate_create_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_read_key(req, res, &key);
	if (status == HTTP_OK)
		status = debate_read_config(req, res, &config);
	if (status != HTTP_OK)
		return status;
	enum err e = recall_find(req->app->store, req->arena,
	    req->caller.tenant, &config, req->now_us);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct store_debate row = {.tenant = req->caller.tenant,
	    .owner = req->caller.token_id,
	    .task = config.task,
	    .config = debate_config_write(req->arena, &config),
	    .total_rounds = config.rounds,
	    .priority = in.priority,
	    .max_tenant_queued =
		req->app->settings->max_queued_debates_per_tenant};
	e = debate_insert(req, &row, key, &existing, &info);
	if (e != ERR_OK)
		return debate_refuse(res, e, &info);
	if (existing != NULL) {
		if (res_header(res, "Idempotent-Replayed", "true") != ERR_OK)
			return res_err(res, ERR_INTERNAL, NULL);
		return debate_answer(req, res, existing);
	}
	e = bus_wake(req->app->bus);
	if (e != ERR_OK) /* the runners look by themselves, a little later */
		log_debug("debate.wake", "error=%s", err_text(e));
	log_info("debate.accepted", "id=%s agents=%zu rounds=%lld", row.id,
	    config.n_agents, (long long)config.rounds);
	return debate_answer(req, res, row.id);
}
