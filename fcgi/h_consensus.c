/* SPDX-License-Identifier: MIT
 *
 * What was agreed on: finished debates that came to a consensus, read only.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "debate/similar.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "store/store_evidence.h"

#define CONSENSUS_PAGE	   5
#define CONSENSUS_PAGE_MAX 50
#define CONSENSUS_SETTLED  20
#define CONSENSUS_FIRM	   0.8
#define CONSENSUS_TOPIC	   1000
#define CONSENSUS_SCAN	   200
#define CONSENSUS_NUMBER   8

/* One debate as a topic that is settled; similarity < 0: not compared. */
static void
consensus_topic(struct json_w *w, struct req *req, const struct store_debate *d,
    double similarity)
{
	struct debate_view_topic t;

	debate_view_topic(req->arena, d, &t);
	json_w_begin(w, NULL);
	json_w_str(w, "debate_id", d->id);
	json_w_str(w, "topic", d->task);
	json_w_str(w, "conclusion", t.conclusion);
	json_w_str(w, "strength", t.strength);
	json_w_num(w, "confidence", d->confidence);
	if (similarity >= 0)
		json_w_num(w, "similarity", similarity);
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < t.n_agents; i++)
		json_w_str(w, NULL, t.agents[i]);
	json_w_end_array(w);
	json_w_int(w, "dissent_count", t.dissents);
	json_w_time(w, "timestamp", d->completed_us);
	json_w_end(w);
}

/* ---- alike ---- */

struct consensus_similar_in {
	const char *topic;
	int64_t limit;
};

static const struct input consensus_similar_rows[] = {
    {.key = "topic",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = CONSENSUS_TOPIC,
	.offset = offsetof(struct consensus_similar_in, topic),
	.help = "The question."},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = CONSENSUS_PAGE,
	.max = CONSENSUS_PAGE_MAX,
	.offset = offsetof(struct consensus_similar_in, limit),
	.help = "Topics in one answer."},
};
const struct input_list consensus_similar_inputs = {
    consensus_similar_rows, ARRAY_LEN(consensus_similar_rows)};

enum http_status
consensus_similar(struct req *req, struct res *res)
{
	struct similar_query q = {.tenant = req->caller.tenant,
	    .limit = CONSENSUS_SCAN,
	    .read = req->read};
	struct consensus_similar_in in;
	struct similar_result found = {0};
	struct store_debate d;
	int64_t count = 0;

	enum http_status status =
	    input_read_query(req, &consensus_similar_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	similar_of_text(req->arena, in.topic, &q.vector);
	enum err e = similar_find(req->app->store, req->arena, &q, &found);
	if (e != ERR_OK && e != ERR_INVALID) /* words that say nothing */
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "query", in.topic);
	json_w_begin_array(w, "similar");
	for (size_t i = 0; i < found.n && count < in.limit; i++) {
		e = store_debate_get(req->app->store, req->arena,
		    req->caller.tenant, found.hits[i].debate_id, &d);
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			return res_err(res, e, NULL);
		if (e == ERR_OK && d.status == STORE_COMPLETED &&
		    d.consensus_reached) {
			consensus_topic(w, req, &d, found.hits[i].score);
			count++;
		}
	}
	json_w_end_array(w);
	json_w_int(w, "count", count);
	return res_json_end(res, HTTP_OK);
}

/* ---- settled ---- */

struct consensus_settled_in {
	const char *min_confidence;
	int64_t limit;
};

static const struct input consensus_settled_rows[] = {
    {.key = "min_confidence",
	.kind = INPUT_TEXT,
	.max = CONSENSUS_NUMBER,
	.offset = offsetof(struct consensus_settled_in, min_confidence),
	.help = "From 0 to 1; 0.8 if absent."},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = CONSENSUS_SETTLED,
	.offset = offsetof(struct consensus_settled_in, limit),
	.help = "Topics in one answer."},
};
const struct input_list consensus_settled_inputs = {
    consensus_settled_rows, ARRAY_LEN(consensus_settled_rows)};

/* HTTP_OK, or the answer is written. */
static enum http_status
consensus_least(
    struct req *req, struct res *res, const char *text, double *least)
{
	static const struct res_field bad = {
	    "min_confidence", "must be a number from 0 to 1"};
	const struct json *number = NULL;

	*least = CONSENSUS_FIRM;
	if (text == NULL)
		return HTTP_OK;
	if (json_parse(req->arena, text, strlen(text), NULL, &number, NULL) !=
		ERR_OK ||
	    !json_num(number, least) || *least < 0 || *least > 1)
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	return HTTP_OK;
}

/* The most confident first. */
static enum err
consensus_list(struct req *req, int64_t limit, struct store_debate **rows,
    size_t *n, int64_t *total)
{
	const struct store_debate_filter f = {.tenant = req->caller.tenant,
	    .status = STORE_COMPLETED,
	    .is_by_outcome = true,
	    .is_reached = true,
	    .order = STORE_BY_CONFIDENCE,
	    .limit = limit,
	    .read = req->read};

	return store_debate_list(
	    req->app->store, req->arena, &f, rows, n, total);
}

enum http_status
consensus_settled(struct req *req, struct res *res)
{
	struct consensus_settled_in in;
	struct store_debate *rows = NULL;
	int64_t total = 0, count = 0;
	double least;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &consensus_settled_inputs, &in, res);
	if (status == HTTP_OK)
		status = consensus_least(req, res, in.min_confidence, &least);
	if (status != HTTP_OK)
		return status;
	enum err e = consensus_list(req, in.limit, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_num(w, "min_confidence", least);
	json_w_begin_array(w, "topics");
	for (size_t i = 0; i < n; i++)
		if (rows[i].confidence >= least) {
			consensus_topic(w, req, &rows[i], -1);
			count++;
		}
	json_w_end_array(w);
	json_w_int(w, "count", count);
	return res_json_end(res, HTTP_OK);
}

/* ---- figures ---- */

static void
consensus_by_domain(struct json_w *w, const struct store_stat *rows, size_t n)
{
	json_w_begin(w, "by_domain");
	for (size_t i = 0; i < n; i++)
		if (rows[i].status == STORE_COMPLETED && rows[i].reached > 0)
			json_w_int(w,
			    *rows[i].domain != '\0' ? rows[i].domain
						    : "general",
			    rows[i].reached);
	json_w_end(w);
}

static enum err
consensus_figures(struct req *req, struct json_w *w)
{
	struct store_agreed *agreed = NULL;
	struct store_stat *rows = NULL;
	int64_t total = 0, firm = 0, dissents = 0, done = 0;
	double confidence = 0;
	size_t n = 0, n_rows = 0;

	enum err e = store_agreed_list(req->app->store, req->arena,
	    req->caller.tenant, CONSENSUS_FIRM, &agreed, &n);
	if (e == ERR_OK)
		e = store_debate_stats(req->app->store, req->arena,
		    req->caller.tenant, 0, &req->read, &rows, &n_rows);
	if (e != ERR_OK)
		return e;
	json_w_begin(w, "by_strength");
	for (size_t i = 0; i < n; i++) {
		json_w_int(w, agreed[i].strength, agreed[i].debates);
		total += agreed[i].debates;
		firm += agreed[i].firm;
		dissents += agreed[i].dissents;
	}
	json_w_end(w);
	consensus_by_domain(w, rows, n_rows);
	json_w_begin_array(w, "domains");
	for (size_t i = 0; i < n_rows; i++) {
		if (rows[i].status != STORE_COMPLETED)
			continue;
		done += rows[i].debates;
		confidence += rows[i].confidence;
		if (rows[i].reached > 0)
			json_w_str(w, NULL,
			    *rows[i].domain != '\0' ? rows[i].domain
						    : "general");
	}
	json_w_end_array(w);
	json_w_int(w, "total_topics", total);
	json_w_int(w, "high_confidence_count", firm);
	json_w_num(
	    w, "avg_confidence", done > 0 ? confidence / (double)done : 0);
	json_w_int(w, "total_dissents", dissents);
	return ERR_OK;
}

enum http_status
consensus_stats(struct req *req, struct res *res)
{
	struct json_w *w = res_json(res);
	enum err e = consensus_figures(req, w);

	return e == ERR_OK ? res_json_end(res, HTTP_OK) : res_err(res, e, NULL);
}

/* The figures, and the topics that are settled most firmly. */
enum http_status
consensus_overview(struct req *req, struct res *res)
{
	struct store_debate *rows = NULL;
	int64_t total = 0;
	size_t n = 0;

	enum err e = consensus_list(req, CONSENSUS_PAGE, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "topics");
	for (size_t i = 0; i < n; i++)
		consensus_topic(w, req, &rows[i], -1);
	json_w_end_array(w);
	json_w_int(w, "count", (int64_t)n);
	e = consensus_figures(req, w);
	return e == ERR_OK ? res_json_end(res, HTTP_OK) : res_err(res, e, NULL);
}
