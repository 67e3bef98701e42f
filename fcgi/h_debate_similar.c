/* SPDX-License-Identifier: MIT
 *
 * What embeddings tell of a debate: how its positions moved, and which other
 * debates are like it.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "bus/event.h"
#include "debate/similar.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"

#define SIMILAR_DEFAULT	       5
#define SIMILAR_MAX	       50
#define CONVERGENCE_ROUNDS_MAX 100

/* ---- convergence ---- */

static const struct json *
convergence_json(struct req *req, const char *text)
{
	const struct json_limits limits = {
	    .max_bytes = 64u << 20, .max_depth = 60};
	const struct json *j = NULL;

	if (text == NULL ||
	    json_parse(req->arena, text, strlen(text), &limits, &j, NULL) !=
		ERR_OK)
		return NULL;
	return j;
}

static void
convergence_trajectory(struct req *req, struct json_w *w,
    const struct store_event *events, size_t n)
{
	json_w_begin_array(w, "convergence_trajectory");
	for (size_t i = 0; i < n; i++) {
		const struct json *j = convergence_json(req, events[i].data);
		json_w_begin(w, NULL);
		json_w_int(w, "round", events[i].round);
		json_w_num(w, "similarity", json_get_num(j, "similarity", 0));
		json_w_num(w, "lowest", json_get_num(j, "lowest", 0));
		json_w_num(w, "agreement", json_get_num(j, "agreement", 0));
		json_w_str(w, "status", json_get_str(j, "status", "unknown"));
		json_w_bool(w, "settled", json_get_bool(j, "settled", false));
		json_w_end(w);
	}
	json_w_end_array(w);
}

/* The result knows when there is one, else the last round that was told. */
static void
convergence_write(struct req *req, struct json_w *w,
    const struct store_debate *row, const struct json *last)
{
	const struct json *result = convergence_json(req, row->result);
	bool is_over = result != NULL;
	double similarity = is_over
	    ? json_get_num(result, "convergence_similarity", 0)
	    : json_get_num(last, "similarity", 0);

	json_w_str(w, "debate_id", row->id);
	json_w_str(w, "convergence_status",
	    is_over ? json_get_str(result, "convergence_status", "unknown")
		    : json_get_str(last, "status", "unknown"));
	json_w_num(w, "convergence_similarity", similarity);
	json_w_num(w, "semantic_similarity", similarity);
	json_w_num(w, "agreement_level",
	    is_over ? json_get_num(result, "agreement_level", 0)
		    : json_get_num(last, "agreement", 0));
	json_w_bool(w, "consensus_reached", row->consensus_reached);
	json_w_int(w, "rounds_used", row->round);
	json_w_num(w, "confidence", row->confidence);
	json_w_str(w, "model", json_get_str(last, "model", NULL));
	const struct json *each = is_over
	    ? json_get(result, "per_agent_similarity")
	    : json_get(last, "per_agent");
	if (each != NULL) {
		json_w_json(w, "per_agent_similarity", each);
	} else {
		json_w_begin(w, "per_agent_similarity");
		json_w_end(w);
	}
	json_w_time(w, "timestamp", row->updated_us);
}

enum http_status
debate_convergence(struct req *req, struct res *res)
{
	struct store *store = req->app->store;
	struct store_debate row;
	struct store_turn *turns = NULL;
	struct store_event *events = NULL;
	size_t n_turns = 0;
	size_t n = 0;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = store_turn_list(
	    store, req->arena, row.tenant, row.id, &turns, &n_turns);
	if (e == ERR_OK)
		e = store_event_list_type(store, req->arena, row.tenant, row.id,
		    event_name(EVENT_CONVERGENCE), CONVERGENCE_ROUNDS_MAX,
		    &events, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	convergence_write(req, w, &row,
	    n > 0 ? convergence_json(req, events[n - 1].data) : NULL);
	debate_view_positions(w, "positions", turns, n_turns);
	convergence_trajectory(req, w, events, n);
	return res_json_end(res, HTTP_OK);
}

/* ---- similar debates ---- */

struct debate_similar_in {
	int64_t limit;
};

static const struct input debate_similar_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = SIMILAR_DEFAULT,
	.max = SIMILAR_MAX,
	.offset = offsetof(struct debate_similar_in, limit),
	.help = "Debates in the answer."},
};
const struct input_list debate_similar_inputs = {
    debate_similar_rows, ARRAY_LEN(debate_similar_rows)};

static void
similar_write_one(
    struct json_w *w, const struct store_debate *row, double score)
{
	/* As far apart as can be, or further, is all the same. */
	double shown = score < 0 ? 0 : score > 1 ? 1 : score;

	json_w_begin(w, NULL);
	json_w_str(w, "debate_id", row->id);
	json_w_str(w, "id", row->id);
	json_w_num(w, "similarity_score", shown);
	json_w_str(w, "task", row->task);
	json_w_str(w, "status", store_status_name(row->status));
	json_w_bool(w, "consensus_reached", row->consensus_reached);
	json_w_num(w, "confidence", row->confidence);
	json_w_time(w, "created_at", row->created_us);
	json_w_end(w);
}

static enum err
similar_write(struct req *req, struct json_w *w, const char *tenant,
    const struct similar_result *found)
{
	int64_t n = 0;

	json_w_begin_array(w, "debates");
	for (size_t i = 0; i < found->n; i++) {
		struct store_debate row;
		enum err e = store_debate_get(req->app->store, req->arena,
		    tenant, found->hits[i].debate_id, &row);
		if (e == ERR_NOT_FOUND)
			continue;
		if (e != ERR_OK)
			return e;
		similar_write_one(w, &row, found->hits[i].score);
		n++;
	}
	json_w_end_array(w);
	json_w_int(w, "count", n);
	return ERR_OK;
}

enum http_status
debate_similar(struct req *req, struct res *res)
{
	struct debate_similar_in in;
	struct similar_result found;
	struct store_debate row;

	enum http_status status =
	    input_read_query(req, &debate_similar_inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	struct similar_query q = {.tenant = row.tenant,
	    .except = row.id,
	    .limit = (size_t)in.limit,
	    .read = req->read};
	enum err e = store_vector_get(
	    req->app->store, req->arena, row.tenant, row.id, &q.vector);
	if (e == ERR_NOT_FOUND) { /* it has no answer yet */
		similar_of_text(req->arena, row.task, &q.vector);
		e = ERR_OK;
	}
	if (e == ERR_OK)
		e = similar_find(req->app->store, req->arena, &q, &found);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_str(w, "model", q.vector.model);
	e = similar_write(req, w, row.tenant, &found);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	json_w_int(w, "scanned", found.scanned);
	json_w_bool(w, "truncated", found.is_cut);
	return res_json_end(res, HTTP_OK);
}
