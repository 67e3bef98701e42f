/* SPDX-License-Identifier: MIT
 *
 * Topics, debates about them, and what came of those. Nothing is fetched from
 * outside and nothing begins by itself: the scheduler's routes say so.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "cache/cache.h"
#include "fcgi/debate_out.h"
#include "fcgi/pulse.h"
#include "llm/llm.h"
#include "settings/settings.h"

#define PULSE_PAGE     20
#define PULSE_PAGE_MAX 50
#define PULSE_TEXT     200
#define PULSE_AGENTS   3
#define PULSE_HISTORY  100
#define PULSE_STARTED  1000 /* debates that the figures look at */
#define PULSE_DAY_US   INT64_C(86400000000)
#define PULSE_WEEK_US  (7 * PULSE_DAY_US)
/* Those behind all bring nothing: nobody asks them. */
#define PULSE_SOURCES "all|debates|builtin|hackernews|reddit|twitter|"

struct pulse_in {
	int64_t limit;
	int source;
	const char *category;
};

static const struct input pulse_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = PULSE_PAGE,
	.max = PULSE_PAGE_MAX,
	.offset = offsetof(struct pulse_in, limit),
	.help = "Topics in one answer."},
    {.key = "source",
	.kind = INPUT_CHOICE,
	.choices = PULSE_SOURCES,
	.offset = offsetof(struct pulse_in, source),
	.help = "Where topics come from. Outside sources are not asked and "
		"bring none."},
    {.key = "category",
	.kind = INPUT_TEXT,
	.max = PULSE_TEXT,
	.offset = offsetof(struct pulse_in, category),
	.help = "Only of this category."},
};
const struct input_list pulse_inputs = {pulse_rows, ARRAY_LEN(pulse_rows)};

static const char *
pulse_source(int choice)
{
	static const char *const names[] = {NULL, PULSE_SOURCE_OWN,
	    PULSE_SOURCE_BUILT, "hackernews", "reddit", "twitter"};

	return choice < 0 ? NULL : names[choice];
}

/* How new it is, 0 to 1. */
static double
pulse_timeliness(const struct req *req, const struct pulse_topic *t)
{
	int64_t age_us = req->now_us - t->last_us;

	return t->last_us == 0 || age_us >= PULSE_WEEK_US
	    ? 0
	    : 1 - (double)age_us / (double)PULSE_WEEK_US;
}

static void
pulse_members(
    struct json_w *w, const struct req *req, const struct pulse_topic *t)
{
	json_w_str(w, "id", t->id);
	json_w_str(w, "topic", t->title);
	json_w_str(w, "title", t->title);
	json_w_null(w, "url");
	json_w_str(w, "source", t->source);
	json_w_begin_array(w, "sources");
	json_w_str(w, NULL, t->source);
	json_w_end_array(w);
	json_w_num(w, "score", t->score);
	json_w_num(w, "velocity", (double)t->recent);
	json_w_int(w, "volume", t->volume);
	json_w_str(w, "category", t->category);
	json_w_begin_array(w, "related_topics");
	for (size_t i = 0; i < t->n_related; i++)
		json_w_str(w, NULL, t->related[i]);
	json_w_end_array(w);
	json_w_int(w, "comments_count", 0);
	json_w_str(w, "suggested_debate_prompt", t->question);
	json_w_time(w, "posted_at", t->first_us);
	json_w_time(w, "fetched_at", req->now_us);
	json_w_time(w, "first_seen", t->first_us);
	json_w_time(
	    w, "last_updated", t->last_us > 0 ? t->last_us : req->now_us);
}

/* The wanted ones come to the front; how many they are. */
static size_t
pulse_select(struct pulse_topic *topics, size_t n, const struct pulse_in *in)
{
	const char *source = pulse_source(in->source);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (pulse_first(&topics[i], 1, source, in->category) != NULL)
			topics[kept++] = topics[i];
	return kept;
}

static void
pulse_categories(struct json_w *w, const struct pulse_topic *topics, size_t n)
{
	json_w_begin_array(w, "categories");
	for (size_t i = 0; i < n; i++)
		if (pulse_first(topics, i, NULL, topics[i].category) == NULL)
			json_w_str(w, NULL, topics[i].category);
	json_w_end_array(w);
}

static void
pulse_array(struct json_w *w, const char *key, const struct req *req,
    const struct pulse_topic *topics, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		pulse_members(w, req, &topics[i]);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
pulse_trending(struct req *req, struct res *res)
{
	struct pulse_topic *topics;
	struct pulse_in in;
	int64_t own = 0;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &pulse_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = pulse_topics(req, &topics, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	n = pulse_select(topics, n, &in);
	size_t count = (size_t)in.limit < n ? (size_t)in.limit : n;
	for (size_t i = 0; i < count; i++)
		own += str_eq(topics[i].source, PULSE_SOURCE_OWN);
	struct json_w *w = res_json(res);
	pulse_array(w, "topics", req, topics, count);
	pulse_array(w, "items", req, topics, count);
	debate_out_page(w, (int64_t)n, count, in.limit, 0);
	json_w_begin(w, "sources");
	json_w_int(w, PULSE_SOURCE_OWN, own);
	json_w_int(w, PULSE_SOURCE_BUILT, (int64_t)count - own);
	json_w_end(w);
	pulse_categories(w, topics, n);
	json_w_time(w, "updated_at", req->now_us);
	json_w_bool(w, "demo", own < (int64_t)count);
	return res_json_end(res, HTTP_OK);
}

/* Whose keys are there; demo agents in place of the rest. */
static void
pulse_agents(struct json_w *w, const struct req *req)
{
	size_t n = 0;

	json_w_begin_array(w, "suggested_agents");
	for (size_t i = 0; i < llm_agent_count() && n < PULSE_AGENTS; i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		if (*row->key_env == '\0' ||
		    !llm_agent_is_available(row, req->app->settings, NULL))
			continue;
		json_w_str(w, NULL, row->name);
		n++;
	}
	for (; n < PULSE_AGENTS; n++)
		json_w_str(w, NULL, "demo");
	json_w_end_array(w);
}

enum http_status
pulse_suggest(struct req *req, struct res *res)
{
	struct pulse_topic *topics;
	struct pulse_in in;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &pulse_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = pulse_topics(req, &topics, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const struct pulse_topic *t =
	    pulse_first(topics, n, pulse_source(in.source), in.category);
	if (t == NULL)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no topic of this source and category");
	struct json_w *w = res_json(res);
	json_w_begin(w, "topic");
	pulse_members(w, req, t);
	json_w_end(w);
	json_w_str(w, "title", t->title);
	json_w_str(w, "debate_prompt", t->question);
	json_w_str(w, "suggested_task", t->question);
	pulse_agents(w, req);
	json_w_str(w, "source", t->source);
	json_w_str(w, "category", t->category);
	json_w_int(w, "volume", t->volume);
	json_w_num(w, "relevance_score", t->score);
	json_w_num(w, "controversy_score",
	    t->ended > 0 ? 1 - (double)t->reached / (double)t->ended : 0);
	json_w_num(w, "timeliness_score", pulse_timeliness(req, t));
	return res_json_end(res, HTTP_OK);
}

/* ---- a debate about a topic ---- */

/* The one the body names; NULL and the answer. A topic that is no list's is
 * asked as it is written. */
static const struct pulse_topic *
pulse_named(struct req *req, struct res *res)
{
	const char *id = json_get_str(req->body, "topic_id", NULL);
	const char *text = json_get_str(req->body, "topic", NULL);
	struct pulse_topic *topics;
	size_t n = 0;

	if (str_is_empty(id) && str_is_empty(text)) {
		struct res_field field = {"topic",
		    "is missing: name a topic_id of GET /api/pulse/trending, "
		    "or a topic as text"};
		res_invalid(res, "MISSING_FIELD", &field, 1);
		return NULL;
	}
	enum err e = pulse_topics(req, &topics, &n);
	if (e != ERR_OK) {
		res_err(res, e, NULL);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (str_is_empty(id) ? str_ieq(topics[i].title, text)
				     : str_eq(topics[i].id, id))
			return &topics[i];
	if (!str_is_empty(id)) {
		res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no topic '%s'", id);
		return NULL;
	}
	struct pulse_topic *t = ARENA_NEW(req->arena, struct pulse_topic);
	t->id = "";
	t->title = t->question = text;
	t->source = "caller";
	return t;
}

enum http_status
pulse_debate(struct req *req, struct res *res)
{
	const struct pulse_topic *t = pulse_named(req, res);

	if (t == NULL)
		return res->status;
	enum err e = pulse_ask(req, t);
	return e == ERR_OK ? debate_create(req, res) : res_err(res, e, NULL);
}

/* ---- what came of them ---- */

struct pulse_figures_in {
	const char *period;
};

static const struct input pulse_figures_rows[] = {
    {.key = "period",
	.kind = INPUT_TEXT,
	.max = 16,
	.offset = offsetof(struct pulse_figures_in, period),
	.help = "How far back, such as 24h, 7d or 30d; all = ever. 30d if "
		"absent."},
};
const struct input_list pulse_figures_inputs = {
    pulse_figures_rows, ARRAY_LEN(pulse_figures_rows)};

/* Debates that began from a topic, newest first. */
static enum err
pulse_started(struct req *req, int64_t since_us, int64_t limit,
    struct store_debate **rows, size_t *n, int64_t *total)
{
	struct store_debate_filter f = {.tenant = req->caller.tenant,
	    .status = -1,
	    .tag = PULSE_TAG,
	    .since_us = since_us,
	    .limit = limit};

	return store_debate_list(
	    req->app->store, req->arena, &f, rows, n, total);
}

struct pulse_tally {
	const char *name;
	int64_t count;
};

static void
pulse_tally(struct pulse_tally *tallies, size_t *n, const char *name)
{
	size_t i = 0;

	while (i < *n && !str_eq(tallies[i].name, name))
		i++;
	if (i == *n)
		tallies[(*n)++] = (struct pulse_tally){.name = name};
	tallies[i].count++;
	while (i > 0 && tallies[i - 1].count < tallies[i].count) {
		struct pulse_tally t = tallies[i];
		tallies[i] = tallies[i - 1];
		tallies[--i] = t;
	}
}

static void
pulse_tallies(struct json_w *w, const char *key, const char *name,
    const struct pulse_tally *tallies, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, name, tallies[i].name);
		json_w_int(w, "count", tallies[i].count);
		json_w_end(w);
	}
	json_w_end_array(w);
}

struct pulse_figures {
	int64_t ended, reached, rounds;
	struct pulse_tally *sources, *categories;
	size_t n_sources, n_categories;
};

static void
pulse_figure(
    struct req *req, struct pulse_figures *f, const struct store_debate *row)
{
	const struct json *config = NULL;
	struct err_info info;

	if (json_parse(req->arena, row->config, strlen(row->config), NULL,
		&config, &info) != ERR_OK)
		config = NULL;
	pulse_tally(f->sources, &f->n_sources,
	    json_get_str(
		json_get(config, "metadata"), "pulse_source", "caller"));
	pulse_tally(f->categories, &f->n_categories,
	    json_get_str(config, "domain", "general"));
	if (row->status != STORE_COMPLETED)
		return;
	f->ended++;
	f->reached += row->consensus_reached;
	f->rounds += row->round;
}

static enum http_status
pulse_read_period(
    struct req *req, struct res *res, const char **period, int64_t *since_us)
{
	static const struct res_field bad = {
	    "period", "must be a number with h, d or w, such as 30d, or all"};
	struct pulse_figures_in in;

	enum http_status status =
	    input_read_query(req, &pulse_figures_inputs, &in, res);
	if (status == HTTP_OK && in.period == NULL && req->method == HTTP_POST)
		status = input_read_body(req, &pulse_figures_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	*period = in.period != NULL ? in.period : "30d";
	return stats_since(*period, req->now_us, since_us)
	    ? HTTP_OK
	    : res_invalid(res, "INVALID_VALUE", &bad, 1);
}

enum http_status
pulse_analytics(struct req *req, struct res *res)
{
	struct pulse_figures f = {0};
	struct store_debate *rows = NULL;
	int64_t total = 0, since_us = 0;
	const char *period = NULL;
	size_t n = 0;

	enum http_status status =
	    pulse_read_period(req, res, &period, &since_us);
	if (status != HTTP_OK)
		return status;
	enum err e =
	    pulse_started(req, since_us, PULSE_STARTED, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	f.sources = ARENA_ARRAY(req->arena, n + 1, struct pulse_tally);
	f.categories = ARENA_ARRAY(req->arena, n + 1, struct pulse_tally);
	for (size_t i = 0; i < n; i++)
		pulse_figure(req, &f, &rows[i]);
	struct json_w *w = res_json(res);
	json_w_str(w, "period", period);
	json_w_int(w, "total_debates", total);
	json_w_num(w, "consensus_rate",
	    f.ended > 0 ? (double)f.reached / (double)f.ended : 0);
	json_w_num(w, "average_rounds",
	    f.ended > 0 ? (double)f.rounds / (double)f.ended : 0);
	pulse_tallies(w, "top_sources", "source", f.sources, f.n_sources);
	pulse_tallies(
	    w, "trending_categories", "category", f.categories, f.n_categories);
	return res_json_end(res, HTTP_OK);
}

/* ---- the scheduler there is not ---- */

#define PULSE_NO_SCHEDULE                                                      \
	"nothing is scheduled: topics are found when they are asked for, and " \
	"debates begin when somebody asks for them"

static int64_t
pulse_interval_minutes(const struct req *req)
{
	return cache_kind_ttl_s(req->app->settings, CACHE_TRENDING) / 60;
}

enum http_status
pulse_schedule_status(struct req *req, struct res *res)
{
	struct store_debate *rows = NULL;
	struct pulse_topic *topics;
	int64_t total = 0;
	size_t n = 0, n_topics = 0;

	enum err e = pulse_started(req, 0, 1, &rows, &n, &total);
	if (e == ERR_OK)
		e = pulse_topics(req, &topics, &n_topics);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "running", false);
	json_w_bool(w, "paused", false);
	json_w_null(w, "last_fetch");
	json_w_null(w, "next_fetch");
	json_w_int(w, "fetch_interval_minutes", pulse_interval_minutes(req));
	json_w_int(w, "topics_fetched", (int64_t)n_topics);
	json_w_int(w, "debates_started", total);
	json_w_int(w, "errors_count", 0);
	json_w_str(w, "message", PULSE_NO_SCHEDULE);
	return res_json_end(res, HTTP_OK);
}

enum http_status
pulse_schedule_config(struct req *req, struct res *res)
{
	struct json_w *w = res_json(res);

	json_w_int(w, "fetch_interval_minutes", pulse_interval_minutes(req));
	json_w_begin_array(w, "sources");
	json_w_str(w, NULL, PULSE_SOURCE_OWN);
	json_w_str(w, NULL, PULSE_SOURCE_BUILT);
	json_w_end_array(w);
	json_w_bool(w, "auto_start", false);
	json_w_str(w, "message", PULSE_NO_SCHEDULE);
	return res_json_end(res, HTTP_OK);
}

enum http_status
pulse_schedule_history(struct req *req, struct res *res)
{
	static const char *const keys[] = {"history", "items"};
	struct store_debate *rows = NULL;
	int64_t total = 0;
	size_t n = 0;

	enum err e = pulse_started(req, 0, PULSE_HISTORY, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		json_w_begin_array(w, keys[k]);
		for (size_t i = 0; i < n; i++) {
			json_w_begin(w, NULL);
			json_w_str(w, "debate_id", rows[i].id);
			json_w_str(w, "topic", rows[i].task);
			json_w_str(
			    w, "status", store_status_name(rows[i].status));
			json_w_time(w, "created_at", rows[i].created_us);
			json_w_end(w);
		}
		json_w_end_array(w);
	}
	debate_out_page(w, total, n, PULSE_HISTORY, 0);
	return res_json_end(res, HTTP_OK);
}

static enum http_status
pulse_schedule_answer(struct res *res, bool is_success)
{
	struct json_w *w = res_json(res);

	json_w_bool(w, "success", is_success);
	json_w_str(w, "message", PULSE_NO_SCHEDULE);
	return res_json_end(res, HTTP_OK);
}

/* To stop what does not run is no failure. */
enum http_status
pulse_schedule_stop(struct req *req, struct res *res)
{
	(void)req;
	return pulse_schedule_answer(res, true);
}

enum http_status
pulse_schedule_start(struct req *req, struct res *res)
{
	(void)req;
	return pulse_schedule_answer(res, false);
}
