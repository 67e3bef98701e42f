/* SPDX-License-Identifier: MIT
 *
 * Asking a question: the request becomes a pending row, and the runners are
 * woken after the commit. No model is called here.
 */
#include "fcgi/handler.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "debate/config.h"
#include "debate/recall.h"
#include "fcgi/debate_queue.h"
#include "fcgi/pulse.h"
#include "llm/llm.h"
#include "settings/settings.h"
#include "store/store_board.h"

#define DEBATE_BODY_MAX	    (12u << 20)
#define DEBATE_SELECT_SEATS 3
#define DEBATE_ONE_CLICK    200 /* characters that make a question long */
#define DEBATE_ROUNDS_SHORT 4
#define DEBATE_ROUNDS_LONG  9
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

/* ---- what a request leaves to the server ---- */

/* The same request with another value (JSON) of a member. */
static enum err
debate_set(struct req *req, const char *name, const char *raw)
{
	const struct json *value;
	const char *key;
	struct buf b;
	struct json_w w;

	buf_init(&b, DEBATE_BODY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (void *it = NULL; json_next(req->body, &it, &key, &value);)
		if (!str_eq(key, name))
			json_w_json(&w, key, value);
	json_w_raw(&w, name, raw);
	json_w_end(&w);
	const char *text =
	    b.is_overflowed ? NULL : arena_strdup(req->arena, buf_text(&b));
	buf_release(&b);
	if (text == NULL)
		return ERR_TOO_LARGE;
	return json_parse(
	    req->arena, text, strlen(text), NULL, &req->body, NULL);
}

struct debate_choice {
	const char *name;
	int64_t elo;
	size_t place; /* in the registry */
};

static int
debate_choice_order(const void *x, const void *y)
{
	const struct debate_choice *a = x;
	const struct debate_choice *b = y;

	if (a->elo != b->elo)
		return a->elo > b->elo ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

static bool
debate_is_excluded(const struct json *names, const char *name)
{
	for (size_t i = 0; i < json_len(names); i++) {
		const char *text = json_str(json_at(names, i), NULL);
		const struct llm_agent_row *row =
		    text != NULL ? llm_agent_find(text) : NULL;
		if (row != NULL && str_eq(row->name, name))
			return true;
	}
	return false;
}

/* Those that can be called, by their rating in the domain that is asked for;
 * demo agents only where there is nobody else. */
static enum err
debate_choices(struct req *req, const struct json *exclude,
    struct debate_choice **out, size_t *n)
{
	const struct settings *s = req->app->settings;
	struct store_board board = {
	    .domain = json_get_str(req->body, "domain", ""),
	    .source = "",
	    .now_us = req->now_us};

	*n = 0;
	*out = ARENA_ARRAY(
	    req->arena, llm_agent_count() + 1, struct debate_choice);
	enum err e = store_board_get(
	    req->app->store, req->arena, req->caller.tenant, &board);
	for (size_t i = 0; e == ERR_OK && i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		if (str_eq(row->provider, "demo") ||
		    !llm_agent_is_available(row, s, NULL) ||
		    debate_is_excluded(exclude, row->name))
			continue;
		struct debate_choice *c = &(*out)[(*n)++];
		*c = (struct debate_choice){.name = row->name,
		    .elo = (int64_t)(s->elo_initial * 1000),
		    .place = i};
		bool is_rated = false;
		for (size_t k = 0; k < board.n; k++)
			if (str_eq(board.rows[k].rating.agent, row->name)) {
				c->elo = board.rows[k].rating.elo;
				is_rated = true;
			}
		/* A local server needs no key: it may well not be there. */
		if (*row->key_env == '\0' && !is_rated)
			(*n)--;
	}
	qsort(*out, *n, sizeof(**out), debate_choice_order);
	return e;
}

/* auto_select: HTTP_OK, or the answer is written. */
static enum http_status
debate_select_agents(struct req *req, struct res *res)
{
	static const struct res_field bad = {"auto_select_config",
	    "has num_agents, an integer of at least 2, and exclude, an array"};
	const struct json *config = json_get(req->body, "auto_select_config");
	const struct json *exclude = json_get(config, "exclude");
	const struct json *count = json_get(config, "num_agents");
	int64_t want = DEBATE_SELECT_SEATS;
	struct debate_choice *choices;
	struct buf names;
	size_t n;

	if (!json_get_bool(req->body, "auto_select", false) ||
	    json_kind(json_get(req->body, "agents")) != JSON_NULL)
		return HTTP_OK;
	if ((json_kind(count) != JSON_NULL && !json_int(count, &want)) ||
	    want < 2 || want > req->app->settings->max_agents_per_debate ||
	    (json_kind(exclude) != JSON_NULL &&
		json_kind(exclude) != JSON_ARRAY))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	enum err e = debate_choices(req, exclude, &choices, &n);
	buf_init(&names, DEBATE_BODY_MAX);
	for (int64_t i = 0; i < want; i++)
		buf_printf(&names, "%s\"%s\"", i > 0 ? "," : "[",
		    n < 2		? "demo"
			: (size_t)i < n ? choices[i].name
					: choices[(size_t)i % n].name);
	buf_puts(&names, "]");
	if (e == ERR_OK)
		e = debate_set(req, "agents", buf_text(&names));
	buf_release(&names);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

/* Everything that a request may leave open is filled in here, before it is
 * read like one that says it all: the question (use_trending), the agents
 * (auto_select). */
static enum http_status
debate_fill(struct req *req, struct res *res)
{
	enum http_status status = pulse_take_task(req, res);

	return status == HTTP_OK ? debate_select_agents(req, res) : status;
}

/* ---- the request ---- */

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
		status = debate_fill(req, res);
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

/* One click: the question, and nothing else to decide. */
enum http_status
debate_this(struct req *req, struct res *res)
{
	static const char *const kept[] = {"question", "task", "context"};
	const char *question = json_get_str(
	    req->body, "question", json_get_str(req->body, "task", ""));
	const char *source = json_str(json_get(req->body, "source"), NULL);
	const struct json *given = req->body;
	struct buf b;
	struct json_w w;

	buf_init(&b, DEBATE_BODY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (json_kind(json_get(given, kept[i])) != JSON_NULL)
			json_w_json(&w, kept[i], json_get(given, kept[i]));
	json_w_int(&w, "rounds",
	    str_utf8_count(question, strlen(question)) > DEBATE_ONE_CLICK
		? DEBATE_ROUNDS_LONG
		: DEBATE_ROUNDS_SHORT);
	json_w_begin(&w, "metadata");
	if (source != NULL)
		json_w_str(&w, "source", source);
	json_w_end(&w);
	json_w_end(&w);
	const char *text = arena_strdup(req->arena, buf_text(&b));
	enum err e = b.is_overflowed
	    ? ERR_TOO_LARGE
	    : json_parse(
		  req->arena, text, strlen(text), NULL, &req->body, NULL);
	buf_release(&b);
	return e == ERR_OK ? debate_create(req, res) : res_err(res, e, NULL);
}
