/* SPDX-License-Identifier: MIT
 *
 * Memory as a whole: in and out, critiques that are to be remembered, and
 * putting it in order.
 */
#include "fcgi/handler.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "fcgi/debate_out.h"
#include "fcgi/memory_in.h"
#include "fcgi/memory_out.h"

#define MEMORY_IMPORT_MAX   MEMORY_ITEMS_MAX
#define MEMORY_ERRORS_SHOWN 100
#define MEMORY_PASSES	    200	       /* of bounded consolidations */
#define MEMORY_CRITIQUES    "critique" /* domain and prefix of the keys */
#define MEMORY_CRITIQUE_MAX 65536
#define MEMORY_NAME_MAX	    128
#define MEMORY_ID_BYTES	    8

/* ---- import and export ---- */

struct memory_import {
	struct store_memory *rows;
	size_t *places; /* of rows in the request's list */
	size_t n;
	struct {
		size_t place;
		const char *field, *text;
	} errors[MEMORY_ERRORS_SHOWN];
	size_t n_errors, failed;
};

static void
memory_import_error(
    struct memory_import *im, size_t place, const char *field, const char *text)
{
	im->failed++;
	if (im->n_errors == MEMORY_ERRORS_SHOWN)
		return;
	im->errors[im->n_errors].place = place;
	im->errors[im->n_errors].field = field;
	im->errors[im->n_errors].text = text;
	im->n_errors++;
}

static void
memory_import_read(struct req *req, const struct json *list,
    enum memory_tier tier, bool is_forced, struct memory_import *im)
{
	size_t n = json_len(list);

	im->rows = ARENA_ARRAY(req->arena, n + 1, struct store_memory);
	im->places = ARENA_ARRAY(req->arena, n + 1, size_t);
	for (size_t i = 0; i < n; i++) {
		struct memory_in in;
		struct err_info info = {0};
		enum err e = memory_in_read(req, json_at(list, i), &in, &info);
		if (e == ERR_OK && json_kind(in.value) == JSON_NULL)
			e = err_set(&info, ERR_INVALID, "value", "is required");
		if (e != ERR_OK) {
			memory_import_error(im, i,
			    arena_strdup(req->arena, info.field),
			    arena_strdup(req->arena, info.text));
			continue;
		}
		if (is_forced)
			in.tier = (int)tier;
		memory_in_entry(req->arena, &in, tier, &im->rows[im->n]);
		im->places[im->n++] = i;
	}
}

static void
memory_import_answer(
    struct res *res, const struct memory_import *im, size_t skipped)
{
	struct json_w *w = res_json(res);

	json_w_bool(w, "success", im->failed == 0);
	json_w_int(w, "imported", (int64_t)(im->n - skipped));
	json_w_int(w, "skipped", (int64_t)skipped);
	json_w_int(w, "failed", (int64_t)im->failed);
	json_w_begin_array(w, "errors");
	for (size_t i = 0; i < im->n_errors; i++) {
		json_w_begin(w, NULL);
		json_w_int(w, "index", (int64_t)im->errors[i].place);
		json_w_str(w, "field", im->errors[i].field);
		json_w_str(w, "message", im->errors[i].text);
		json_w_end(w);
	}
	json_w_end_array(w);
}

struct memory_import_in {
	int tier, is_overwriting;
};

static const struct input memory_import_rows[] = {
    {.key = "target_tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_import_in, tier)},
    {.key = "overwrite",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct memory_import_in, is_overwriting)},
};
static const struct input_list memory_import_inputs = {
    memory_import_rows, ARRAY_LEN(memory_import_rows)};

/* All that is right in one transaction; what is wrong is told one by one. */
enum http_status
memory_import(struct req *req, struct res *res)
{
	static const struct res_field bad = {
	    "data", "must be an array of 1 to 6600 entries"};
	const struct json *list = json_get(req->body, "data");
	struct memory_import im = {.n = 0};
	struct memory_import_in in;
	size_t skipped = 0, kept = 0;

	enum http_status status =
	    input_read_body(req, &memory_import_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	if (json_kind(list) == JSON_NULL)
		list = json_get(req->body, "entries");
	if (json_kind(list) != JSON_ARRAY || json_len(list) == 0 ||
	    json_len(list) > MEMORY_IMPORT_MAX)
		return res_invalid(res,
		    json_kind(list) == JSON_NULL ? "MISSING_FIELD"
						 : "INVALID_VALUE",
		    &bad, 1);
	memory_import_read(req, list,
	    in.tier >= 0 ? (enum memory_tier)in.tier : MEMORY_MEDIUM,
	    in.tier >= 0, &im);
	enum err *outcomes = ARENA_ARRAY(req->arena, im.n + 1, enum err);
	enum err e = store_memory_put_all(req->app->store, req->arena,
	    req->caller.tenant, im.rows, im.n, in.is_overwriting > 0,
	    req->now_us, outcomes);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	for (size_t i = 0; i < im.n; i++) {
		skipped += outcomes[i] == ERR_EXISTS;
		if (outcomes[i] == ERR_INVALID)
			memory_import_error(&im, im.places[i], "value",
			    "is larger than its tier");
		else
			kept++;
	}
	im.n = kept;
	memory_import_answer(res, &im, skipped);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_export(struct req *req, struct res *res)
{
	struct store_memory_filter f = {.tenant = req->caller.tenant,
	    .tier = -1,
	    .now_us = req->now_us,
	    .limit = MEMORY_ITEMS_MAX};
	const struct json *wanted = json_get(req->body, "tier");
	struct err_info info = {0};
	struct store_memory *rows;
	enum memory_tier tier;
	int64_t total;
	size_t n;

	if (json_kind(wanted) != JSON_NULL) {
		if (!memory_tier_find(json_str(wanted, NULL), &tier)) {
			err_set(&info, ERR_INVALID, "tier",
			    "must be fast, medium, slow or glacial");
			return res_err(res, ERR_INVALID, &info);
		}
		f.tier = (int)tier;
	}
	enum err e = store_memory_list(
	    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	memory_out_array(w, "entries", req->arena, rows, n);
	json_w_str(w, "format", "json");
	json_w_int(w, "total", (int64_t)n);
	json_w_time(w, "exported_at", req->now_us);
	return res_json_end(res, HTTP_OK);
}

/* ---- critiques ---- */

struct memory_critique_in {
	const char *critique, *agent, *debate_id, *target;
	int64_t limit, offset;
};

static const struct input memory_critique_rows[] = {
    {.key = "agent",
	.kind = INPUT_TEXT,
	.max = MEMORY_NAME_MAX,
	.offset = offsetof(struct memory_critique_in, agent),
	.help = "Only those by this agent."},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct memory_critique_in, limit),
	.help = "Critiques in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct memory_critique_in, offset),
	.help = "Critiques to skip."},
};
const struct input_list memory_critique_inputs = {
    memory_critique_rows, ARRAY_LEN(memory_critique_rows)};

static const struct input memory_critic_rows[] = {
    {.key = "critique",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = MEMORY_CRITIQUE_MAX,
	.offset = offsetof(struct memory_critique_in, critique)},
    {.key = "agent",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = MEMORY_NAME_MAX,
	.offset = offsetof(struct memory_critique_in, agent)},
    {.key = "debate_id",
	.kind = INPUT_TEXT,
	.max = ID_MAX,
	.offset = offsetof(struct memory_critique_in, debate_id)},
    {.key = "target_agent",
	.kind = INPUT_TEXT,
	.max = MEMORY_NAME_MAX,
	.offset = offsetof(struct memory_critique_in, target)},
};
static const struct input_list memory_critic_inputs = {
    memory_critic_rows, ARRAY_LEN(memory_critic_rows)};

static const char *
memory_critique_body(
    struct arena *a, const struct memory_critique_in *in, const double *score)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, MEMORY_CRITIQUE_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "agent", in->agent);
	json_w_begin_array(&w, "tags");
	json_w_str(&w, NULL, MEMORY_CRITIQUES);
	json_w_end_array(&w);
	json_w_begin(&w, "metadata");
	if (in->target != NULL)
		json_w_str(&w, "target_agent", in->target);
	if (score != NULL)
		json_w_num(&w, "score", *score);
	json_w_end(&w);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* Remembered as long as what debates conclude. */
enum http_status
memory_critique_add(struct req *req, struct res *res)
{
	const struct json *given = json_get(req->body, "score");
	struct memory_critique_in in;
	struct err_info info = {0};
	char id[ID_SIZE];
	double score = 0;

	enum http_status status =
	    input_read_body(req, &memory_critic_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	bool has_score = json_kind(given) != JSON_NULL;
	enum err e = ERR_OK;
	if (*in.critique == '\0')
		e = err_set(&info, ERR_INVALID, "critique", "is empty");
	else if (*in.agent == '\0')
		e = err_set(&info, ERR_INVALID, "agent", "is empty");
	else if (in.debate_id != NULL && !id_is_valid(in.debate_id))
		e = err_set(&info, ERR_INVALID, "debate_id",
		    "is not the id of a debate");
	else if (has_score &&
	    (!json_num(given, &score) || score < 0 || score > 10))
		e = err_set(&info, ERR_INVALID, "score",
		    "must be a number from 0 to 10");
	if (e != ERR_OK)
		return res_err(res, e, &info);
	id_make(id, MEMORY_CRITIQUES ":", MEMORY_ID_BYTES);
	struct store_memory m = {.key = id,
	    .tier = MEMORY_SLOW,
	    .domain = MEMORY_CRITIQUES,
	    .content = in.critique,
	    .body = memory_critique_body(
		req->arena, &in, has_score ? &score : NULL),
	    .debate_id = in.debate_id != NULL ? in.debate_id : "",
	    .importance_ppm = MEMORY_PPM / 2,
	    .surprise_ppm = MEMORY_PPM / 2};
	e = store_memory_put(req->app->store, req->arena, req->caller.tenant,
	    &m, req->now_us, &info);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	struct json_w *w = res_json(res);
	json_w_str(w, "id", m.id);
	json_w_bool(w, "stored", true);
	json_w_str(w, "tier", memory_out_tier(m.tier));
	json_w_time(w, "expires_at", m.expires_us);
	return res_json_end(res, HTTP_CREATED);
}

static void
memory_critique_members(
    struct json_w *w, struct arena *a, const struct store_memory *m)
{
	const struct json *beside = memory_in_beside(a, m->body);
	const struct json *more = json_get(beside, "metadata");
	const struct json *score = json_get(more, "score");

	json_w_str(w, "id", m->id);
	json_w_str(w, "critique", m->content);
	json_w_str(w, "content", m->content);
	json_w_str(w, "agent", json_get_str(beside, "agent", ""));
	json_w_str(w, "target_agent", json_get_str(more, "target_agent", NULL));
	json_w_str(
	    w, "debate_id", str_is_empty(m->debate_id) ? NULL : m->debate_id);
	if (score != NULL)
		json_w_json(w, "score", score);
	else
		json_w_null(w, "score");
	json_w_time(w, "created_at", m->created_us);
	json_w_time(w, "expires_at", m->expires_us);
}

/* What debates of that domain left is no critique. */
static size_t
memory_critiques_of(
    struct arena *a, struct store_memory *rows, size_t n, const char *agent)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct json *beside = memory_in_beside(a, rows[i].body);
		if (!str_starts(rows[i].key, MEMORY_CRITIQUES ":"))
			continue;
		if (str_is_empty(agent) ||
		    str_ieq(json_get_str(beside, "agent", ""), agent))
			rows[kept++] = rows[i];
	}
	return kept;
}

enum http_status
memory_critique_list(struct req *req, struct res *res)
{
	static const char *const arrays[] = {"critiques", "items"};
	const struct store_memory_filter f = {.tenant = req->caller.tenant,
	    .tier = -1,
	    .domain = MEMORY_CRITIQUES,
	    .now_us = req->now_us,
	    .limit = MEMORY_ITEMS_MAX};
	struct memory_critique_in in;
	struct store_memory *rows;
	int64_t total;
	size_t n;

	enum http_status status =
	    input_read_query(req, &memory_critique_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_memory_list(
	    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	n = memory_critiques_of(req->arena, rows, n, in.agent);
	size_t from = (uint64_t)in.offset < n ? (size_t)in.offset : n;
	size_t count =
	    n - from < (size_t)in.limit ? n - from : (size_t)in.limit;
	struct json_w *w = res_json(res);
	for (size_t k = 0; k < ARRAY_LEN(arrays); k++) {
		json_w_begin_array(w, arrays[k]);
		for (size_t i = from; i < from + count; i++) {
			json_w_begin(w, NULL);
			memory_critique_members(w, req->arena, &rows[i]);
			json_w_end(w);
		}
		json_w_end_array(w);
	}
	debate_out_page(w, (int64_t)n, count, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

/* ---- order ---- */

static enum err
memory_consolidate_all(struct req *req, struct store_memory_work *sum)
{
	struct store_memory_work one = {.processed = 1};
	enum err e = ERR_OK;

	*sum = (struct store_memory_work){0};
	for (int i = 0; e == ERR_OK && one.processed > 0 && i < MEMORY_PASSES;
	     i++) {
		e = store_memory_consolidate(
		    req->app->store, req->caller.tenant, req->now_us, &one);
		if (e != ERR_OK)
			break;
		sum->processed += one.processed;
		sum->expired += one.expired;
		sum->promoted += one.promoted;
		sum->demoted += one.demoted;
	}
	return e;
}

enum http_status
memory_consolidate(struct req *req, struct res *res)
{
	struct store_memory_work sum;
	int64_t start_us = clock_mono_us();
	enum err e = memory_consolidate_all(req, &sum);

	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_int(w, "entries_processed", sum.processed);
	json_w_int(w, "entries_promoted", sum.promoted);
	json_w_int(w, "entries_demoted", sum.demoted);
	json_w_int(w, "entries_consolidated", sum.promoted + sum.demoted);
	json_w_int(w, "entries_expired", sum.expired);
	json_w_num(
	    w, "duration_seconds", (double)(clock_mono_us() - start_us) / 1e6);
	return res_json_end(res, HTTP_OK);
}

struct memory_prune_in {
	int tier;
	int64_t importance_ppm, age_s;
};

static const struct input memory_prune_rows[] = {
    {.key = "tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_prune_in, tier)},
    {.key = "min_importance",
	.kind = INPUT_SHARE,
	.offset = offsetof(struct memory_prune_in, importance_ppm)},
    {.key = "older_than_seconds",
	.kind = INPUT_INT,
	.min = 0,
	.max = MEMORY_TTL_MAX,
	.offset = offsetof(struct memory_prune_in, age_s)},
};
static const struct input_list memory_prune_inputs = {
    memory_prune_rows, ARRAY_LEN(memory_prune_rows)};

static enum http_status
memory_prune_run(struct req *req, struct res *res, struct store_memory_prune *p)
{
	enum err e = store_memory_prune(
	    req->app->store, req->caller.tenant, req->now_us, p);

	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_int(w, "expired", p->expired);
	json_w_int(w, "pruned", p->pruned);
	json_w_int(w, "removed", p->expired + p->pruned);
	json_w_int(w, "pruned_bytes", p->bytes);
	json_w_int(w, "tallies_removed", p->tallies);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_prune(struct req *req, struct res *res)
{
	struct memory_prune_in in;

	enum http_status status =
	    input_read_body(req, &memory_prune_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_memory_prune p = {.tier = in.tier,
	    .importance_ppm = in.importance_ppm,
	    .until_us = req->now_us - in.age_s * 1000000};
	return memory_prune_run(req, res, &p);
}

/* Only what nobody can see any more. */
enum http_status
memory_compact(struct req *req, struct res *res)
{
	struct store_memory_prune p = {.tier = -1};

	return memory_prune_run(req, res, &p);
}

enum http_status
memory_rebuild(struct req *req, struct res *res)
{
	int64_t checked, repaired;
	enum err e = store_memory_rebuild(req->app->store, req->caller.tenant,
	    req->now_us, &checked, &repaired);

	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_int(w, "entries_indexed", checked);
	json_w_int(w, "entries_repaired", repaired);
	return res_json_end(res, HTTP_OK);
}
