/* SPDX-License-Identifier: MIT
 *
 * Batches as they stand, their end before time, and the queue of a tenant.
 */
#include "fcgi/handler.h"

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "debate/batch_view.h"
#include "fcgi/batch_out.h"
#include "fcgi/cursor.h"
#include "fcgi/debate_out.h"
#include "settings/settings.h"
#include "store/store_batch.h"

#define BATCH_PAGE 50

struct batch_list_in {
	int64_t limit, offset;
	int status;
	const char *cursor;
};

#define BATCH_STATUS_LIST                                                      \
	"pending|processing|completed|partial|failed|cancelled|"
static const struct input batch_list_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = BATCH_PAGE,
	.offset = offsetof(struct batch_list_in, limit),
	.help = "Batches in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct batch_list_in, offset),
	.help = "Batches to skip."},
    {.key = "status",
	.kind = INPUT_CHOICE,
	.choices = BATCH_STATUS_LIST,
	.offset = offsetof(struct batch_list_in, status),
	.help = "Only batches in this state."},
    CURSOR_INPUT(struct batch_list_in, cursor),
};
const struct input_list batch_list_inputs = {
    batch_list_rows, ARRAY_LEN(batch_list_rows)};

static const char *const batch_states[] = {
    "pending", "processing", "completed", "partial", "failed", "cancelled"};

enum http_status
batch_out_fetch(struct req *req, struct res *res, struct store_batch *b)
{
	static const struct res_field bad = {"id",
	    "must be 1 to 128 letters, digits, dots, dashes or underscores"};
	const char *id = req->match.params[0];
	struct err_info info = {0};

	if (!id_is_valid(id))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	enum err e = store_batch_get(
	    req->app->store, req->arena, req->caller.tenant, id, b);
	if (e == ERR_NOT_FOUND)
		err_set(&info, e, "", "there is no batch '%s'", id);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, &info);
}

const char *
batch_out_url(const struct req *req, const char *id)
{
	return arena_printf(req->arena, "%s/api/debates/batch/%s/status",
	    req->app->settings->url_prefix, id);
}

static void
batch_list_array(struct json_w *w, const char *key, struct req *req,
    const struct store_batch *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		batch_view_summary(w, &rows[i], req->now_us);
		json_w_str(w, "status_url", batch_out_url(req, rows[i].id));
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
batch_list(struct req *req, struct res *res)
{
	struct store_batch *rows = NULL;
	struct batch_list_in in;
	struct cursor at, next;
	int64_t total = 0;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &batch_list_inputs, &in, res);
	if (status == HTTP_OK)
		status = cursor_read(req, res, in.cursor, &at);
	if (status != HTTP_OK)
		return status;
	const struct store_batch_filter f = {.tenant = req->caller.tenant,
	    .status = in.status >= 0 ? batch_states[in.status] : NULL,
	    .before_us = at.value,
	    .before_id = at.id,
	    .limit = in.limit + 1, /* is there more? */
	    .offset = at.id != NULL ? 0 : in.offset};
	enum err e = store_batch_list(
	    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	bool has_more = n > (size_t)in.limit;
	int64_t offset = at.id != NULL ? at.offset : in.offset;
	n = has_more ? (size_t)in.limit : n;
	if (has_more)
		next = (struct cursor){.value = rows[n - 1].created_us,
		    .offset = offset + (int64_t)n,
		    .id = rows[n - 1].id};
	struct json_w *w = res_json(res);
	batch_list_array(w, "batches", req, rows, n);
	batch_list_array(w, "items", req, rows, n);
	debate_out_page_at(w, total, n, in.limit, offset, has_more);
	cursor_write(w, req->arena, has_more ? &next : NULL);
	return res_json_end(res, HTTP_OK);
}

/* HTTP_OK, the batch and its items, or the answer is written. */
static enum http_status
batch_read(struct req *req, struct res *res, struct store_batch *b,
    struct store_batch_item **items, size_t *n)
{
	enum http_status status = batch_out_fetch(req, res, b);

	if (status != HTTP_OK)
		return status;
	enum err e = store_batch_items(
	    req->app->store, req->arena, b->tenant, b->id, items, n);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

enum http_status
batch_get(struct req *req, struct res *res)
{
	struct store_batch_item *items = NULL;
	struct store_batch b;
	size_t n = 0;

	enum http_status status = batch_read(req, res, &b, &items, &n);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	batch_view_members(w, req->arena, &b, items, n, req->now_us);
	json_w_str(w, "status_url", batch_out_url(req, b.id));
	return res_json_end(res, HTTP_OK);
}

static void
batch_result(struct json_w *w, const struct store_batch_item *item)
{
	const struct store_debate *d = item->debate;
	bool is_over = d == NULL || store_status_is_final(d->status);
	bool is_good = d != NULL && d->status == STORE_COMPLETED;

	json_w_begin(w, NULL);
	json_w_str(w, "item_id", item->item_id);
	json_w_int(w, "index", item->place);
	json_w_str(w, "debate_id", item->debate_id);
	json_w_str(w, "status",
	    is_good	  ? "success"
		: is_over ? "failed"
			  : "pending");
	if (d == NULL)
		json_w_str(w, "error", "the debate was deleted");
	else if (d->status == STORE_CANCELLED)
		json_w_str(w, "error", "cancelled");
	else if (d->error != NULL)
		json_w_str(w, "error", d->error);
	json_w_end(w);
}

enum http_status
batch_results(struct req *req, struct res *res)
{
	struct store_batch_item *items = NULL;
	struct store_batch b;
	size_t n = 0;

	enum http_status status = batch_read(req, res, &b, &items, &n);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "batch_id", b.id);
	json_w_str(w, "status", b.sums.status);
	json_w_int(w, "total_jobs", b.sums.total);
	json_w_int(w, "completed_jobs", b.sums.completed);
	json_w_int(w, "failed_jobs", b.sums.failed);
	json_w_begin_array(w, "debates");
	for (size_t i = 0; i < n; i++)
		batch_result(w, &items[i]);
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}

/* Those that wait first, before a runner takes them up. */
enum http_status
batch_cancel(struct req *req, struct res *res)
{
	struct store_batch_item *items = NULL;
	struct store_batch b;
	int64_t cancelled = 0;
	size_t n = 0;

	enum http_status status = batch_read(req, res, &b, &items, &n);
	if (status != HTTP_OK)
		return status;
	for (int running = 0; running <= 1; running++)
		for (size_t i = 0; i < n; i++) {
			const struct store_debate *d = items[i].debate;
			if (d == NULL || store_status_is_final(d->status) ||
			    (d->status == STORE_RUNNING) != (running == 1))
				continue;
			struct store_debate row = *d;
			enum err e = debate_out_cancel(
			    req, &row, "cancelled with its batch");
			cancelled += e == ERR_OK;
			if (e != ERR_OK && e != ERR_CONFLICT &&
			    e != ERR_NOT_FOUND)
				return res_err(res, e, NULL);
		}
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "batch_id", b.id);
	json_w_int(w, "cancelled_jobs", cancelled);
	return res_json_end(res, HTTP_OK);
}

static void
queue_states(struct json_w *w, const struct store_queue *q)
{
	json_w_begin(w, "status_counts");
	for (size_t i = 0; i < ARRAY_LEN(batch_states); i++) {
		int64_t n = 0;
		for (size_t k = 0; k < q->n_states; k++)
			if (str_eq(q->states[k].status, batch_states[i]))
				n = q->states[k].n;
		json_w_int(w, batch_states[i], n);
	}
	json_w_end(w);
}

/* Of the caller's tenant; the room is that of all runners there are. */
enum http_status
queue_status(struct req *req, struct res *res)
{
	const struct settings *s = req->app->settings;
	struct store_queue q;

	enum err e = store_queue_read(req->app->store, req->arena,
	    req->caller.tenant, req->now_us, s->lease * INT64_C(1000000), &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "active", q.runners > 0);
	json_w_int(w, "runners", q.runners);
	json_w_int(w, "max_concurrent", q.capacity);
	json_w_int(w, "max_queued", s->max_queued_debates);
	json_w_int(w, "active_count", q.running);
	json_w_int(w, "running_count", q.running);
	json_w_int(w, "pending_count", q.pending);
	json_w_int(w, "queued", q.pending);
	json_w_int(w, "total_batches", q.batches);
	queue_states(w, &q);
	json_w_int(w, "completed_today", q.completed_today);
	json_w_num(w, "average_wait_time_ms", (double)q.wait_us / 1000);
	json_w_time(w, "estimated_completion_time", q.end_us);
	return res_json_end(res, HTTP_OK);
}
