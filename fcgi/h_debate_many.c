/* SPDX-License-Identifier: MIT
 *
 * Debates side by side, what one would cost, and what is talked about.
 */
#include "fcgi/handler.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "llm/llm_price.h"
#include "settings/settings.h"

#define MANY_COMPARED	 20
#define MANY_MODELS	 32
#define MANY_MODELS_TEXT 1000
#define MANY_AGENTS_MAX	 50
#define MANY_ROUNDS_MAX	 50
#define MANY_USD	 1e6
#define MANY_TOPICS	 20
#define MANY_TOPICS_MAX	 100
#define MANY_DAY_US	 INT64_C(86400000000)
/* Of an estimate: an answer, the frame of a prompt. */
#define MANY_TOKENS_OUT	  500
#define MANY_TOKENS_FRAME 600

/* ---- side by side ---- */

static enum http_status
many_wrong(struct res *res, const char *text)
{
	const struct res_field field = {"debate_ids", text};

	return res_invalid(res, "INVALID_VALUE", &field, 1);
}

/* HTTP_OK, or the answer is written. */
static enum http_status
many_read(
    struct req *req, struct res *res, struct store_debate *rows, size_t *n)
{
	const struct json *ids = json_get(req->body, "debate_ids");
	struct err_info info;

	*n = json_kind(ids) == JSON_ARRAY ? json_len(ids) : 0;
	if (*n < 2 || *n > MANY_COMPARED)
		return many_wrong(res, "must be an array of 2 to 20 ids");
	for (size_t i = 0; i < *n; i++) {
		const char *id = json_str(json_at(ids, i), NULL);
		if (id == NULL || !id_is_valid(id))
			return many_wrong(res, "must be ids of debates");
		enum err e = store_debate_get(req->app->store, req->arena,
		    req->caller.tenant, id, &rows[i]);
		if (e == ERR_NOT_FOUND)
			err_set(&info, e, "", "there is no debate '%s'", id);
		if (e != ERR_OK)
			return res_err(
			    res, e, e == ERR_NOT_FOUND ? &info : NULL);
	}
	return HTTP_OK;
}

static double
many_seconds(const struct store_debate *d)
{
	return d->completed_us > 0 && d->started_us > 0
	    ? (double)(d->completed_us - d->started_us) / 1e6
	    : 0;
}

/* Which of the finished ones has the most or (sign -1) the least. */
static const char *
many_best(const struct store_debate *rows, size_t n,
    double (*value)(const struct store_debate *d), int sign)
{
	const struct store_debate *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (rows[i].status == STORE_COMPLETED &&
		    (best == NULL ||
			value(&rows[i]) * sign > value(best) * sign))
			best = &rows[i];
	return best != NULL ? best->id : NULL;
}

static double
many_confidence(const struct store_debate *d)
{
	return d->confidence;
}

enum http_status
debate_compare(struct req *req, struct res *res)
{
	struct store_debate rows[MANY_COMPARED];
	int64_t finished = 0, reached = 0, rounds = 0;
	double confidence = 0;
	size_t n;

	enum http_status status = many_read(req, res, rows, &n);
	if (status != HTTP_OK)
		return status;
	for (size_t i = 0; i < n; i++) {
		if (rows[i].status != STORE_COMPLETED)
			continue;
		finished++;
		reached += rows[i].consensus_reached;
		rounds += rows[i].round;
		confidence += rows[i].confidence;
	}
	double of = finished > 0 ? (double)finished : 1;
	struct json_w *w = res_json(res);
	debate_out_array(w, "debates", req, rows, n);
	json_w_int(w, "count", (int64_t)n);
	json_w_begin(w, "comparison");
	json_w_int(w, "completed", finished);
	json_w_num(w, "consensus_rate", (double)reached / of);
	json_w_num(w, "avg_confidence", confidence / of);
	json_w_num(w, "avg_rounds", (double)rounds / of);
	json_w_str(w, "most_confident", many_best(rows, n, many_confidence, 1));
	json_w_str(w, "fastest", many_best(rows, n, many_seconds, -1));
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

/* ---- what one would cost ---- */

struct many_estimate_in {
	int64_t agents, rounds;
	const char *models;
};

static const struct input many_estimate_rows[] = {
    {.key = "num_agents",
	.kind = INPUT_INT,
	.fallback = 3,
	.min = 2,
	.max = MANY_AGENTS_MAX,
	.offset = offsetof(struct many_estimate_in, agents),
	.help = "Agents that take part."},
    {.key = "num_rounds",
	.kind = INPUT_INT,
	.fallback = 9,
	.min = 1,
	.max = MANY_ROUNDS_MAX,
	.offset = offsetof(struct many_estimate_in, rounds),
	.help = "Rounds, if none ends it earlier."},
    {.key = "model_types",
	.kind = INPUT_TEXT,
	.max = MANY_MODELS_TEXT,
	.offset = offsetof(struct many_estimate_in, models),
	.help = "Agents, separated by commas, in turn; the default agents if "
		"absent."},
};
const struct input_list debate_estimate_inputs = {
    many_estimate_rows, ARRAY_LEN(many_estimate_rows)};

struct many_estimate {
	int64_t calls, tokens_in, tokens_out; /* of one agent */
	int64_t udollar, unpriced;
};

/* Every agent proposes, then each round criticises the others and revises, and
 * votes at the end. */
static void
many_estimate_init(struct many_estimate *m, const struct many_estimate_in *in)
{
	m->calls = 1 + in->rounds * in->agents + 1;
	m->tokens_out = m->calls * MANY_TOKENS_OUT;
	m->tokens_in =
	    m->calls * (MANY_TOKENS_FRAME + in->agents * MANY_TOKENS_OUT);
}

static void
many_estimate_agent(struct many_estimate *m, struct json_w *w, struct req *req,
    const char *spec)
{
	struct llm_price price = {.is_known = false};
	struct llm_agent agent = {0};
	struct err_info info;
	int64_t udollar = 0;

	bool is_agent =
	    llm_agent_parse(req->arena, spec, &agent, &info) == ERR_OK;
	if (is_agent)
		price = llm_price_of_agent(&agent, req->app->settings);
	if (price.is_known)
		udollar = llm_price_cost(&price, m->tokens_in, m->tokens_out);
	m->udollar += udollar;
	m->unpriced += !price.is_known;
	json_w_begin(w, NULL);
	json_w_str(w, "model_type", spec);
	json_w_str(w, "model",
	    !is_agent		       ? NULL
		: *agent.model != '\0' ? agent.model
				       : agent.row->model);
	json_w_int(w, "calls", m->calls);
	json_w_int(w, "input_tokens", m->tokens_in);
	json_w_int(w, "output_tokens", m->tokens_out);
	json_w_bool(w, "price_known", price.is_known);
	json_w_num(w, "estimated_cost", (double)udollar / MANY_USD);
	json_w_end(w);
}

enum http_status
debate_estimate(struct req *req, struct res *res)
{
	static const struct res_field bad = {
	    "model_types", "must name 1 to 32 agents"};
	struct many_estimate m = {0};
	struct many_estimate_in in;
	size_t n;

	enum http_status status =
	    input_read_query(req, &debate_estimate_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	char **names = str_split(req->arena,
	    in.models != NULL ? in.models : req->app->settings->default_agents,
	    ',', &n);
	if (n == 0 || n > MANY_MODELS)
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	many_estimate_init(&m, &in);
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "per_model_breakdown");
	for (int64_t i = 0; i < in.agents; i++)
		many_estimate_agent(&m, w, req, names[(size_t)i % n]);
	json_w_end_array(w);
	json_w_num(w, "total_estimated_cost", (double)m.udollar / MANY_USD);
	json_w_str(w, "currency", "USD");
	json_w_begin(w, "assumptions");
	json_w_int(w, "num_agents", in.agents);
	json_w_int(w, "num_rounds", in.rounds);
	json_w_int(w, "calls_per_agent", m.calls);
	json_w_int(w, "output_tokens_per_call", MANY_TOKENS_OUT);
	json_w_int(w, "agents_without_price", m.unpriced);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

/* ---- what is talked about ---- */

struct many_trends_in {
	const char *period;
	int64_t limit;
};

static const struct input many_trends_rows[] = {
    {.key = "period",
	.kind = INPUT_TEXT,
	.max = 16,
	.offset = offsetof(struct many_trends_in, period),
	.help = "How far back: a number and h, d or w, such as 24h or 30d. 30d "
		"if absent."},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = MANY_TOPICS,
	.max = MANY_TOPICS_MAX,
	.offset = offsetof(struct many_trends_in, limit),
	.help = "Topics in one answer."},
};
const struct input_list debate_trends_inputs = {
    many_trends_rows, ARRAY_LEN(many_trends_rows)};

struct many_topic {
	const char *name;
	int64_t count, late; /* late: in the second half of the period */
};

static int
many_topic_order(const void *x, const void *y)
{
	const struct many_topic *a = x;
	const struct many_topic *b = y;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->name, b->name);
}

static size_t
many_topic_add(struct many_topic *topics, size_t n,
    const struct store_stat *row, bool is_late)
{
	const char *name = *row->domain != '\0' ? row->domain : "general";
	size_t i = 0;

	while (i < n && !str_eq(topics[i].name, name))
		i++;
	if (i == n)
		topics[n++] = (struct many_topic){.name = name};
	if (is_late)
		topics[i].late += row->debates;
	else
		topics[i].count += row->debates;
	return n;
}

static const char *
many_trend(const struct many_topic *t)
{
	int64_t early = t->count - t->late;

	return t->late > early ? "up" : t->late < early ? "down" : "stable";
}

/* Domains by how many debates were asked for in them. */
enum http_status
debate_trends(struct req *req, struct res *res)
{
	struct store_stat *all = NULL, *late = NULL;
	size_t n_all = 0, n_late = 0, n = 0;
	struct many_trends_in in;
	int64_t since_us;

	enum http_status status =
	    input_read_query(req, &debate_trends_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	const char *period = in.period != NULL ? in.period : "30d";
	status = stats_period(req, res, period, &since_us);
	if (status != HTTP_OK)
		return status;
	int64_t span_us = req->now_us - since_us;
	enum err e = store_debate_stats(req->app->store, req->arena,
	    req->caller.tenant, since_us, &req->read, &all, &n_all);
	if (e == ERR_OK)
		e = store_debate_stats(req->app->store, req->arena,
		    req->caller.tenant, since_us + span_us / 2, &req->read,
		    &late, &n_late);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct many_topic *topics =
	    ARENA_ARRAY(req->arena, n_all + n_late + 1, struct many_topic);
	for (size_t i = 0; i < n_all; i++)
		n = many_topic_add(topics, n, &all[i], false);
	for (size_t i = 0; i < n_late; i++)
		n = many_topic_add(topics, n, &late[i], true);
	qsort(topics, n, sizeof(*topics), many_topic_order);
	struct json_w *w = res_json(res);
	json_w_str(w, "period", period);
	json_w_begin_array(w, "topics");
	for (size_t i = 0; i < n && i < (size_t)in.limit; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "name", topics[i].name);
		json_w_int(w, "count", topics[i].count);
		json_w_num(w, "velocity",
		    (double)topics[i].count * (double)MANY_DAY_US /
			(double)(span_us > 0 ? span_us : 1));
		json_w_str(w, "trend", many_trend(&topics[i]));
		json_w_end(w);
	}
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}
