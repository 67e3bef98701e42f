/* SPDX-License-Identifier: MIT
 *
 * Many entries of memory: lists, and looking for them by words or likeness.
 * What a tenant may keep is small enough to be looked through.
 */
#include "fcgi/handler.h"

#include "base/clock.h"
#include "base/str.h"
#include "fcgi/debate_out.h"
#include "fcgi/memory_in.h"
#include "fcgi/memory_out.h"

#define MEMORY_QUERY_MAX    2000
#define MEMORY_RETRIEVED    10
#define MEMORY_LIKENESS_MIN 50000 /* below it says nothing */
#define MEMORY_SORTS	    "relevance|importance|recency|"

struct memory_find_in {
	const char *q, *query, *prompt;
	const char *tier, *tiers, *agent;
	int64_t limit, offset;
	int64_t importance_ppm, likeness_ppm;
	int sort, is_expired;
};

#define MEMORY_FIND_QUERY                                                      \
	{.key = "q",                                                           \
	    .kind = INPUT_TEXT,                                                \
	    .max = MEMORY_QUERY_MAX,                                           \
	    .offset = offsetof(struct memory_find_in, q),                      \
	    .help = "Words of the content, key or tags, any case."},           \
	    {.key = "query",                                                   \
		.kind = INPUT_TEXT,                                            \
		.max = MEMORY_QUERY_MAX,                                       \
		.offset = offsetof(struct memory_find_in, query),              \
		.help = "The same; wins over q."},                             \
	    {.key = "tier",                                                    \
		.kind = INPUT_TEXT,                                            \
		.max = MEMORY_QUERY_MAX,                                       \
		.offset = offsetof(struct memory_find_in, tier),               \
		.help = "Only in these tiers, with commas between them."},     \
	    {.key = "tiers",                                                   \
		.kind = INPUT_TEXT,                                            \
		.max = MEMORY_QUERY_MAX,                                       \
		.offset = offsetof(struct memory_find_in, tiers),              \
		.help = "The same; wins over tier."},                          \
	    {.key = "agent",                                                   \
		.kind = INPUT_TEXT,                                            \
		.max = MEMORY_QUERY_MAX,                                       \
		.offset = offsetof(struct memory_find_in, agent),              \
		.help = "Only those of this agent."},                          \
	    {.key = "min_importance",                                          \
		.kind = INPUT_SHARE,                                           \
		.offset = offsetof(struct memory_find_in, importance_ppm),     \
		.help = "Only those that are at least so important."},         \
	    {.key = "sort",                                                    \
		.kind = INPUT_CHOICE,                                          \
		.choices = MEMORY_SORTS,                                       \
		.offset = offsetof(struct memory_find_in, sort),               \
		.help = "relevance unless given."},                            \
	{                                                                      \
		.key = "offset", .kind = INPUT_OFFSET,                         \
		.offset = offsetof(struct memory_find_in, offset),             \
		.help = "Entries to skip."                                     \
	}

static const struct input memory_find_rows[] = {
    MEMORY_FIND_QUERY,
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct memory_find_in, limit),
	.help = "Entries in one answer."},
    {.key = "include_expired",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct memory_find_in, is_expired),
	.help = "Accepted; what has expired is gone."},
};
const struct input_list memory_find_inputs = {
    memory_find_rows, ARRAY_LEN(memory_find_rows)};

static const struct input memory_recall_rows[] = {
    MEMORY_FIND_QUERY,
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = MEMORY_RETRIEVED,
	.max = 100,
	.offset = offsetof(struct memory_find_in, limit),
	.help = "Entries in one answer."},
};
const struct input_list memory_recall_inputs = {
    memory_recall_rows, ARRAY_LEN(memory_recall_rows)};

static const struct input memory_ask_rows[] = {
    MEMORY_FIND_QUERY,
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct memory_find_in, limit)},
    {.key = "prompt",
	.kind = INPUT_TEXT,
	.max = MEMORY_QUERY_MAX,
	.offset = offsetof(struct memory_find_in, prompt)},
    {.key = "min_similarity",
	.kind = INPUT_SHARE,
	.fallback = MEMORY_LIKENESS_MIN,
	.offset = offsetof(struct memory_find_in, likeness_ppm)},
};
static const struct input_list memory_ask_inputs = {
    memory_ask_rows, ARRAY_LEN(memory_ask_rows)};

/* What was asked, and what was found of it. */
struct memory_hunt {
	struct memory_find_in in;
	struct memory_query query;
	const struct memory_found *found; /* the page */
	size_t n;
	int64_t total;
	double took_ms;
};

static enum http_status
memory_hunt(struct req *req, struct res *res, struct memory_hunt *h)
{
	const struct memory_find_in *in = &h->in;
	const char *tiers = in->tiers != NULL ? in->tiers : in->tier;
	const struct store_memory_filter all = {.tenant = req->caller.tenant,
	    .tier = -1,
	    .now_us = req->now_us,
	    .limit = MEMORY_ITEMS_MAX};
	struct err_info info = {0};
	struct store_memory *rows;
	int64_t start_us = clock_mono_us();
	size_t n;

	enum err e =
	    memory_in_tiers(req->arena, in->tiers != NULL ? "tiers" : "tier",
		tiers, &h->query.tiers, &info);
	if (e == ERR_OK)
		e = store_memory_list(
		    req->app->store, req->arena, &all, &rows, &n, &h->total);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	h->query.agent = str_is_empty(in->agent) ? NULL : in->agent;
	h->query.importance_min_ppm = in->importance_ppm;
	h->query.sort =
	    in->sort < 0 ? MEMORY_BY_RELEVANCE : (enum memory_sort)in->sort;
	h->query.now_us = req->now_us;
	struct memory_found *found =
	    ARENA_ARRAY(req->arena, n + 1, struct memory_found);
	size_t n_found = memory_rank(req->arena, &h->query, rows, n, found);
	size_t from =
	    (uint64_t)in->offset < n_found ? (size_t)in->offset : n_found;
	h->found = found + from;
	h->n = n_found - from < (size_t)in->limit ? n_found - from
						  : (size_t)in->limit;
	h->total = (int64_t)n_found;
	h->took_ms = (double)(clock_mono_us() - start_us) / 1000;
	return HTTP_OK;
}

static void
memory_hunt_tiers(
    struct json_w *w, const char *key, const struct memory_hunt *h)
{
	json_w_begin_array(w, key);
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		if ((h->query.tiers & 1u << i) != 0)
			json_w_str(
			    w, NULL, memory_out_tier((enum memory_tier)i));
	json_w_end_array(w);
}

static void
memory_hunt_filters(struct json_w *w, const struct memory_hunt *h)
{
	static const char *const sorts[] = {
	    "relevance", "importance", "recency"};

	json_w_begin(w, "filters");
	memory_hunt_tiers(w, "tiers", h);
	json_w_str(w, "agent", h->query.agent);
	json_w_num(
	    w, "min_importance", memory_out_share(h->query.importance_min_ppm));
	json_w_str(w, "sort", sorts[h->query.sort]);
	json_w_end(w);
}

static enum http_status
memory_hunt_answer(struct req *req, struct res *res, struct memory_hunt *h)
{
	static const char *const arrays[] = {"results", "entries", "items"};

	enum http_status status = memory_hunt(req, res, h);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "query", h->query.text);
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		memory_out_found(w, arrays[i], req->arena, h->found, h->n);
	debate_out_page(w, h->total, h->n, h->in.limit, h->in.offset);
	memory_hunt_tiers(w, "tiers_searched", h);
	memory_hunt_filters(w, h);
	json_w_num(w, "query_time_ms", h->took_ms);
	return res_json_end(res, HTTP_OK);
}

static enum http_status
memory_no_query(struct res *res)
{
	static const struct res_field missing = {"query", "is required"};

	return res_invalid(res, "MISSING_FIELD", &missing, 1);
}

static const char *
memory_hunt_text(const struct memory_find_in *in)
{
	return !str_is_empty(in->query) ? in->query
	    : !str_is_empty(in->q)	? in->q
					: in->prompt;
}

enum http_status
memory_search(struct req *req, struct res *res)
{
	struct memory_hunt h = {.n = 0};

	enum http_status status =
	    input_read_query(req, &memory_find_inputs, &h.in, res);
	if (status != HTTP_OK)
		return status;
	h.query.text = memory_hunt_text(&h.in);
	return str_is_empty(h.query.text) ? memory_no_query(res)
					  : memory_hunt_answer(req, res, &h);
}

static enum http_status
memory_ask(struct req *req, struct res *res, bool is_semantic)
{
	struct memory_hunt h = {.query = {.is_semantic = is_semantic}};

	enum http_status status =
	    input_read_body(req, &memory_ask_inputs, &h.in, res);
	if (status != HTTP_OK)
		return status;
	h.query.text = memory_hunt_text(&h.in);
	h.query.likeness_min_ppm = h.in.likeness_ppm;
	return str_is_empty(h.query.text) ? memory_no_query(res)
					  : memory_hunt_answer(req, res, &h);
}

enum http_status
memory_query(struct req *req, struct res *res)
{
	return memory_ask(req, res, false);
}

enum http_status
memory_semantic(struct req *req, struct res *res)
{
	return memory_ask(req, res, true);
}

/* Without a question the most important ones, the less the older. */
enum http_status
memory_continuum_retrieve(struct req *req, struct res *res)
{
	static const char *const arrays[] = {"memories", "entries", "results"};
	struct memory_hunt h = {.n = 0};

	enum http_status status =
	    input_read_query(req, &memory_recall_inputs, &h.in, res);
	if (status != HTTP_OK)
		return status;
	h.query.text = memory_hunt_text(&h.in);
	status = memory_hunt(req, res, &h);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "query", h.query.text != NULL ? h.query.text : "");
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		memory_out_found(w, arrays[i], req->arena, h.found, h.n);
	debate_out_page(w, h.total, h.n, h.in.limit, h.in.offset);
	memory_hunt_tiers(w, "tiers", &h);
	return res_json_end(res, HTTP_OK);
}

/* ---- lists ---- */

struct memory_list_in {
	int64_t limit, offset;
	int tier;
};

static const struct input memory_list_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct memory_list_in, limit),
	.help = "Entries in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct memory_list_in, offset),
	.help = "Entries to skip."},
    {.key = "tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_list_in, tier),
	.help = "Only of this tier."},
};
const struct input_list memory_list_inputs = {
    memory_list_rows, ARRAY_LEN(memory_list_rows)};
const struct input_list memory_page_inputs = {memory_list_rows, 2};

static enum http_status
memory_list_answer(
    struct req *req, struct res *res, const struct memory_list_in *in)
{
	const struct store_memory_filter f = {.tenant = req->caller.tenant,
	    .tier = in->tier,
	    .now_us = req->now_us,
	    .limit = in->limit,
	    .offset = in->offset};
	struct store_memory *rows;
	int64_t total;
	size_t n;

	enum err e = store_memory_list(
	    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	if (in->tier >= 0)
		json_w_str(
		    w, "tier", memory_out_tier((enum memory_tier)in->tier));
	memory_out_array(w, "entries", req->arena, rows, n);
	memory_out_array(w, "items", req->arena, rows, n);
	debate_out_page(w, total, n, in->limit, in->offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_list(struct req *req, struct res *res)
{
	struct memory_list_in in;
	enum http_status status =
	    input_read_query(req, &memory_list_inputs, &in, res);

	return status == HTTP_OK ? memory_list_answer(req, res, &in) : status;
}

enum http_status
memory_list_tier(struct req *req, struct res *res)
{
	struct memory_list_in in;
	enum memory_tier tier;

	if (!memory_in_path_tier(req, res, &tier))
		return res->status;
	enum http_status status =
	    input_read_query(req, &memory_page_inputs, &in, res);
	in.tier = (int)tier;
	return status == HTTP_OK ? memory_list_answer(req, res, &in) : status;
}
