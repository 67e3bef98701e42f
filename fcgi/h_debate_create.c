/* SPDX-License-Identifier: MIT
 *
 * Asking a question: the request becomes a pending row, and the runners are
 * woken after the commit. No model is called here.
 */
#include "fcgi/handler.h"

#include "debate/config.h"
#include "debate/recall.h"
#include "fcgi/debate_queue.h"
#include "settings/settings.h"
#include "store/store.h"

#define DEBATE_ERRORS_MAX   16
#define DEBATE_PRIORITY_MAX 10

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

enum http_status
debate_create(struct req *req, struct res *res)
{
	struct debate_create_in in;
	struct debate_config config;

	enum http_status status =
	    input_read_body(req, &debate_create_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_read_config(req, res, &config);
	if (status != HTTP_OK)
		return status;
	enum err e = recall_find(req->app->store, req->arena,
	    req->caller.tenant, &config, req->now_us);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct store_debate row = {.task = config.task,
	    .config = debate_config_write(req->arena, &config),
	    .total_rounds = config.rounds,
	    .priority = in.priority};
	return debate_queue(req, res, &row);
}
