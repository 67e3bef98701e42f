/* SPDX-License-Identifier: MIT
 *
 * Debates made of others: the same again, or from a point of it on.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "debate/config.h"
#include "debate/view.h"
#include "fcgi/debate_queue.h"
#include "fcgi/debate_out.h"
#include "settings/settings.h"

#define FORK_CONTEXT_MAX 65536 /* bytes that a debate is told of its parent */

struct fork_in {
	int64_t branch_point;
	int preserve_agents, preserve_context;
};

static const struct input fork_rows[] = {
    {.key = "branch_point",
	.kind = INPUT_INT,
	.fallback = -1,
	.min = 0,
	.max = INT64_MAX,
	.offset = offsetof(struct fork_in, branch_point),
	.help = "Messages to take over; all if absent."},
};
static const struct input_list fork_inputs = {fork_rows, ARRAY_LEN(fork_rows)};

static const struct input clone_rows[] = {
    {.key = "preserveAgents",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct fork_in, preserve_agents),
	.help = "false: the default agents instead."},
    {.key = "preserveContext",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct fork_in, preserve_context),
	.help = "false: without the context."},
};
static const struct input_list clone_inputs = {
    clone_rows, ARRAY_LEN(clone_rows)};

static uint64_t
fork_seed(void)
{
	uint64_t seed;

	id_random(&seed, sizeof(seed));
	return seed >> 1; /* fits a JSON integer */
}

/* The context, and what was said up to the branch point: whole messages, the
 * newest if they are too long. */
static const char *
fork_context(struct arena *a, const char *context,
    const struct store_turn *const *messages, int64_t n)
{
	int64_t from = n;
	size_t size = 0;
	struct buf b;

	while (from > 0) {
		size += strlen(messages[from - 1]->content) +
		    strlen(messages[from - 1]->agent) + 16;
		if (size > FORK_CONTEXT_MAX)
			break;
		from--;
	}
	buf_init(&b, strlen(context) + size + 256);
	buf_puts(&b, context);
	if (n > from)
		buf_printf(&b, "%sSaid so far in an earlier debate:\n",
		    *context != '\0' ? "\n\n" : "");
	for (int64_t i = from; i < n; i++)
		buf_printf(
		    &b, "\n%s: %s\n", messages[i]->agent, messages[i]->content);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

static int64_t
fork_messages(struct arena *a, const struct store_turn *turns, size_t n,
    const struct store_turn ***messages)
{
	int64_t count = 0;

	*messages = ARENA_ARRAY(a, n + 1, const struct store_turn *);
	for (size_t i = 0; i < n; i++)
		if (debate_view_is_message(&turns[i]) &&
		    turns[i].content != NULL)
			(*messages)[count++] = &turns[i];
	return count;
}

static const char *
fork_modified(struct req *req, const char *context)
{
	const struct json *value = json_get(req->body, "modified_context");
	const char *text = json_str(value, NULL);

	if (json_kind(value) == JSON_NULL)
		return context;
	return text != NULL ? text : json_text(req->arena, value);
}

static enum http_status
fork_queue(struct req *req, struct res *res, const struct store_debate *from,
    const struct debate_config *config, struct store_debate *row)
{
	row->task = config->task;
	row->config = debate_config_write(req->arena, config);
	row->total_rounds = config->rounds;
	row->priority = from->priority;
	return debate_queue(req, res, row);
}

enum http_status
debate_fork(struct req *req, struct res *res)
{
	struct res_field beyond = {"branch_point", NULL};
	const struct store_turn **messages;
	struct debate_config config;
	struct store_debate from;
	struct store_turn *turns = NULL;
	struct err_info info = {0};
	struct fork_in in;
	size_t n = 0;

	enum http_status status = input_read_body(req, &fork_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &from);
	if (status != HTTP_OK)
		return status;
	enum err e = store_turn_list(
	    req->app->store, req->arena, from.tenant, from.id, &turns, &n);
	if (e == ERR_OK)
		e = debate_config_parse(
		    req->arena, from.config, &config, &info);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	int64_t said = fork_messages(req->arena, turns, n, &messages);
	if (in.branch_point > said) {
		beyond.message = arena_printf(req->arena,
		    "must not be more than the %lld messages there are",
		    (long long)said);
		return res_invalid(res, "INVALID_VALUE", &beyond, 1);
	}
	int64_t point = in.branch_point < 0 ? said : in.branch_point;
	config.context = fork_context(
	    req->arena, fork_modified(req, config.context), messages, point);
	config.seed = fork_seed();
	struct store_debate row = {.parent = from.id, .branch_point = point};
	return fork_queue(req, res, &from, &config, &row);
}

/* The default agents, as a request that names none gets them. */
static enum http_status
fork_default_agents(
    struct req *req, struct res *res, struct debate_config *config)
{
	struct debate_config_error errors[1];
	struct debate_config fresh;
	const struct json *body = NULL;
	bool is_missing = false;
	size_t n = ARRAY_LEN(errors);
	static const char text[] = "{\"task\":\"x\"}";

	enum err e =
	    json_parse(req->arena, text, sizeof(text) - 1, NULL, &body, NULL);
	if (e == ERR_OK)
		e = debate_config_read(req->arena, req->app->settings, body,
		    &fresh, errors, &n, &is_missing);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	config->agents = fresh.agents;
	config->n_agents = fresh.n_agents;
	return HTTP_OK;
}

enum http_status
debate_clone(struct req *req, struct res *res)
{
	struct debate_config config;
	struct store_debate from;
	struct err_info info = {0};
	struct fork_in in;

	enum http_status status = input_read_body(req, &clone_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &from);
	if (status != HTTP_OK)
		return status;
	enum err e =
	    debate_config_parse(req->arena, from.config, &config, &info);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	if (in.preserve_agents == 0)
		status = fork_default_agents(req, res, &config);
	if (status != HTTP_OK)
		return status;
	if (in.preserve_context == 0)
		config.context = "";
	config.seed = fork_seed();
	struct store_debate row = {.parent = NULL};
	return fork_queue(req, res, &from, &config, &row);
}

enum http_status
debate_forks(struct req *req, struct res *res)
{
	struct store_debate from, *rows = NULL;
	size_t n = 0;

	enum http_status status = debate_out_fetch(req, res, &from);
	if (status != HTTP_OK)
		return status;
	enum err e = store_debate_forks(
	    req->app->store, req->arena, from.tenant, from.id, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", from.id);
	json_w_begin_array(w, "forks");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "branch_id", rows[i].id);
		json_w_int(w, "branch_point", rows[i].branch_point);
		debate_view_members(w, req->arena, &rows[i], NULL, 0,
		    DEBATE_VIEW_LIST, req->now_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "count", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}
