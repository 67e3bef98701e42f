/* SPDX-License-Identifier: MIT
 *
 * Files of many debates. A job is the list of them: each file is made from its
 * debate when it is fetched, so that there is nothing to wait for and nothing
 * kept twice.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "fcgi/debate_out.h"
#include "fcgi/export_out.h"
#include "receipt/export.h"
#include "settings/settings.h"
#include "store/store_evidence.h"

#define EXPORT_DEBATES 100

static const char *
export_job_path(const struct req *req, const char *id, const char *what)
{
	return arena_printf(req->arena, "%s/api/debates/export/batch/%s/%s",
	    req->app->settings->url_prefix, id, what);
}

static enum http_status
export_job_wrong(struct res *res, const char *field, const char *text)
{
	const struct res_field wrong = {field, text};

	return res_invalid(res, "INVALID_VALUE", &wrong, 1);
}

static enum http_status
export_job_answer(struct req *req, struct res *res, const char *id)
{
	struct store_export_job job;
	const struct json *ids = NULL;

	enum err e = store_export_get(
	    req->app->store, req->arena, req->caller.tenant, id, &job);
	if (e == ERR_OK)
		e = json_parse(req->arena, job.debate_ids,
		    strlen(job.debate_ids), NULL, &ids, NULL);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "job_id", job.id);
	json_w_int(w, "total_count", (int64_t)json_len(ids));
	json_w_str(w, "status", "completed");
	json_w_str(w, "format", job.format);
	json_w_str(w, "status_url", export_job_path(req, job.id, "status"));
	json_w_str(w, "stream_url", export_job_path(req, job.id, "stream"));
	return res_json_end(res, HTTP_CREATED);
}

enum http_status
export_batch(struct req *req, struct res *res)
{
	const struct json *ids = json_get(req->body, "debate_ids");
	const struct json *format = json_get(req->body, "format");
	const char *name =
	    json_kind(format) == JSON_NULL ? "json" : json_str(format, NULL);
	struct err_info info = {0};
	enum export_kind kind;
	char id[ID_SIZE];

	if (json_kind(ids) != JSON_ARRAY || json_len(ids) == 0 ||
	    json_len(ids) > EXPORT_DEBATES)
		return export_job_wrong(
		    res, "debate_ids", "must be an array of 1 to 100 ids");
	for (size_t i = 0; i < json_len(ids); i++) {
		const char *text = json_str(json_at(ids, i), NULL);
		if (text == NULL || !id_is_valid(text))
			return export_job_wrong(
			    res, "debate_ids", "must be ids of debates");
	}
	if (name == NULL)
		return export_job_wrong(res, "format", "must be a string");
	if (export_kind_parse(name, &kind, &info) != ERR_OK)
		return export_job_wrong(res, "format", info.text);
	id_make(id, "export_", 6);
	const struct store_export_job job = {.id = arena_strdup(req->arena, id),
	    .tenant = req->caller.tenant,
	    .format = export_kind_name(kind),
	    .debate_ids = json_text(req->arena, ids),
	    .created_us = req->now_us,
	    .key = req->key};
	enum err e = store_export_add(req->app->store, &job);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	return export_job_answer(
	    req, res, req->key != NULL ? req->key->ref : job.id);
}

/* ---- reading a job ---- */

/* HTTP_OK, the job and its ids, or the answer is written. */
static enum http_status
export_job_read(struct req *req, struct res *res, struct store_export_job *job,
    const struct json **ids)
{
	const char *id = req->match.params[0];
	struct err_info info = {0};

	if (!id_is_valid(id))
		return export_job_wrong(res, "id",
		    "must be 1 to 128 letters, digits, dots, dashes or "
		    "underscores");
	enum err e = store_export_get(
	    req->app->store, req->arena, req->caller.tenant, id, job);
	if (e == ERR_NOT_FOUND)
		err_set(&info, e, "", "there is no export '%s'", id);
	if (e == ERR_OK)
		e = json_parse(req->arena, job->debate_ids,
		    strlen(job->debate_ids), NULL, ids, NULL);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, &info);
}

static enum err
export_job_item(struct req *req, struct json_w *w, const char *id,
    const struct store_export_job *job, int64_t *ready)
{
	struct store_debate row;

	enum err e = store_debate_get(
	    req->app->store, req->arena, req->caller.tenant, id, &row);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	*ready += e == ERR_OK;
	json_w_begin(w, NULL);
	json_w_str(w, "debate_id", id);
	json_w_str(w, "status", e == ERR_OK ? "completed" : "failed");
	if (e == ERR_OK)
		json_w_str(w, "url",
		    arena_printf(req->arena, "%s/api/debates/%s/export/%s",
			req->app->settings->url_prefix, row.id, job->format));
	else
		json_w_str(w, "error", "there is no such debate");
	json_w_end(w);
	return ERR_OK;
}

enum http_status
export_batch_status(struct req *req, struct res *res)
{
	struct store_export_job job;
	const struct json *ids = NULL;
	int64_t ready = 0, total;

	enum http_status status = export_job_read(req, res, &job, &ids);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "job_id", job.id);
	json_w_begin_array(w, "items");
	for (size_t i = 0; i < json_len(ids); i++) {
		enum err e = export_job_item(
		    req, w, json_str(json_at(ids, i), NULL), &job, &ready);
		if (e != ERR_OK)
			return res_err(res, e, NULL);
	}
	json_w_end_array(w);
	total = (int64_t)json_len(ids);
	json_w_str(w, "status",
	    ready == total  ? "completed"
		: ready > 0 ? "partial"
			    : "failed");
	json_w_str(w, "format", job.format);
	json_w_int(w, "total_count", total);
	json_w_int(w, "processed_count", ready);
	json_w_int(w, "failed_count", total - ready);
	json_w_str(w, "status_url", export_job_path(req, job.id, "status"));
	json_w_str(w, "stream_url", export_job_path(req, job.id, "stream"));
	json_w_time(w, "created_at", job.created_us);
	return res_json_end(res, HTTP_OK);
}

/* ---- the files ---- */

/* On the request's arena; the request itself is gone by then. */
struct export_files {
	const struct app *app;
	struct arena *arena;
	const char *tenant, *job_id;
	const struct json *ids;
	size_t at;
	enum export_kind kind;
	struct export *export; /* of the debate at `at`, NULL = not begun */
	struct buf piece;
	size_t bytes;
	bool is_begun;
};

static void
export_files_close(void *arg)
{
	struct export_files *f = arg;

	export_free(&f->export);
	buf_release(&f->piece);
}

static void
export_files_head(struct export_files *f, struct buf *out, const char *id)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "debate_id", id);
	json_w_str(&w, "format", export_kind_name(f->kind));
}

/* The next debate's file begins, or the place where it should be. */
static enum err
export_files_open(struct export_files *f, struct buf *out)
{
	const char *id = json_str(json_at(f->ids, f->at), NULL);
	struct store_debate *row = ARENA_NEW(f->arena, struct store_debate);
	const struct store_receipt *receipt = NULL;

	buf_puts(out, f->at > 0 ? "," : "");
	export_files_head(f, out, id);
	enum err e =
	    store_debate_get(f->app->store, f->arena, f->tenant, id, row);
	if (e == ERR_NOT_FOUND) {
		buf_puts(out, ",\"error\":\"there is no such debate\"}");
		f->at++;
		return ERR_OK;
	}
	if (e == ERR_OK)
		e = export_out_seal(f->app, f->arena, row, &receipt);
	if (e != ERR_OK)
		return e;
	f->export =
	    export_new(f->app->store, row, receipt, f->kind, EXPORT_SUMMARY);
	f->bytes = 0;
	buf_printf(out, ",\"filename\":\"%s\",\"content\":\"",
	    export_file_name(f->arena, row->id, f->kind, EXPORT_SUMMARY));
	return ERR_OK;
}

static enum err
export_files_next(void *arg, struct buf *out, bool *is_last)
{
	struct export_files *f = arg;
	bool is_over = false;

	if (!f->is_begun)
		buf_printf(out, "{\"job_id\":\"%s\",\"exports\":[", f->job_id);
	f->is_begun = true;
	if (f->at == json_len(f->ids)) {
		buf_printf(out, "],\"count\":%zu}", f->at);
		*is_last = true;
		return ERR_OK;
	}
	if (f->export == NULL)
		return export_files_open(f, out);
	buf_clear(&f->piece);
	enum err e = export_next(f->export, &f->piece, &is_over);
	if (e != ERR_OK)
		return e;
	f->bytes += f->piece.len;
	export_out_quote(out, &f->piece);
	if (is_over) {
		buf_printf(out, "\",\"size_bytes\":%zu}", f->bytes);
		export_free(&f->export);
		f->at++;
	}
	return out->is_overflowed ? ERR_TOO_LARGE : ERR_OK;
}

enum http_status
export_batch_files(struct req *req, struct res *res)
{
	struct export_files *f = ARENA_NEW(req->arena, struct export_files);
	struct store_export_job job;
	struct err_info info;

	enum http_status status = export_job_read(req, res, &job, &f->ids);
	if (status != HTTP_OK)
		return status;
	if (export_kind_parse(job.format, &f->kind, &info) != ERR_OK)
		return res_err(res, ERR_INTERNAL, NULL);
	f->app = req->app;
	f->arena = req->arena;
	f->tenant = arena_strdup(req->arena, req->caller.tenant);
	f->job_id = job.id;
	buf_init(&f->piece, EXPORT_PIECE_MAX);
	arena_defer(req->arena, export_files_close, f);
	return res_stream(res, "application/json", export_files_next, f);
}
