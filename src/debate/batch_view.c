/* SPDX-License-Identifier: MIT */
#include "debate/batch_view.h"

#include "base/str.h"
#include "debate/view_impl.h"

#define BATCH_TEXT_MAX ((size_t)256 << 20)

const char *
batch_item_status(const struct store_batch_item *item)
{
	if (item->debate == NULL)
		return "cancelled";
	switch (item->debate->status) {
	case STORE_RUNNING:
		return "running";
	case STORE_COMPLETED:
		return "completed";
	case STORE_FAILED:
		return "failed";
	case STORE_CANCELLED:
		return "cancelled";
	case STORE_PENDING:
	case STORE_PAUSED:
	case STORE_STATUS__COUNT:
		break;
	}
	return "queued";
}

static void
batch_view_webhook(struct json_w *w, const struct store_batch *b)
{
	json_w_str(w, "webhook_url", b->webhook_url);
	json_w_begin(w, "webhook");
	json_w_str(w, "state", store_webhook_name(b->webhook_state));
	json_w_int(w, "attempts", b->webhook_tries);
	json_w_str(w, "error", b->webhook_error);
	json_w_time(w, "sent_at",
	    b->webhook_state == STORE_WEBHOOK_SENT ? b->webhook_done_us : 0);
	json_w_end(w);
}

static void
batch_view_counts(struct json_w *w, const struct store_batch_sums *s)
{
	int64_t over = s->total - s->running - s->queued;

	json_w_int(w, "total_items", s->total);
	json_w_int(w, "total_jobs", s->total);
	json_w_int(w, "completed", s->completed);
	json_w_int(w, "completed_items", s->completed);
	json_w_int(w, "completed_jobs", s->completed);
	json_w_int(w, "failed", s->failed);
	json_w_int(w, "failed_items", s->failed);
	json_w_int(w, "failed_jobs", s->failed);
	json_w_int(w, "cancelled", over - s->completed - s->failed);
	json_w_int(w, "running", s->running);
	json_w_int(w, "queued", s->queued);
	json_w_int(w, "pending_items", s->queued);
	json_w_num(w, "progress_percent",
	    s->total > 0 ? 100 * (double)over / (double)s->total : 0);
	json_w_int(w, "retries", s->retries);
}

void
batch_view_summary(
    struct json_w *w, const struct store_batch *b, int64_t now_us)
{
	const struct store_batch_sums *s = &b->sums;
	bool is_over = s->running + s->queued == 0;
	int64_t end_us = is_over ? s->completed_us : now_us;

	json_w_str(w, "batch_id", b->id);
	json_w_str(w, "id", b->id);
	json_w_str(w, "status", s->status);
	batch_view_counts(w, s);
	json_w_int(w, "priority", b->priority);
	json_w_int(w, "max_parallel", b->max_parallel);
	json_w_raw(w, "metadata", b->metadata);
	json_w_time(w, "created_at", b->created_us);
	json_w_time(w, "submitted_at", b->created_us);
	json_w_time(w, "started_at", s->started_us);
	json_w_time(w, "completed_at", is_over ? s->completed_us : 0);
	json_w_time(
	    w, "updated_at", s->updated_us > 0 ? s->updated_us : b->created_us);
	json_w_num(w, "duration_seconds",
	    s->started_us > 0 && end_us > s->started_us
		? (double)(end_us - s->started_us) / 1e6
		: 0);
	batch_view_webhook(w, b);
}

/* What came of a completed item, in short. */
static void
batch_view_result(
    struct json_w *w, struct arena *a, const struct store_debate *d)
{
	const struct json *result = view_json(a, d->result);

	if (d->status != STORE_COMPLETED) {
		json_w_null(w, "result");
		return;
	}
	json_w_begin(w, "result");
	json_w_str(w, "debate_id", d->id);
	json_w_str(
	    w, "final_answer", json_get_str(result, "final_answer", NULL));
	json_w_str(w, "winner", json_get_str(result, "winner", NULL));
	json_w_bool(w, "consensus_reached", d->consensus_reached);
	json_w_num(w, "confidence", d->confidence);
	json_w_int(w, "rounds_used", d->round);
	json_w_end(w);
}

static void
batch_view_debate(struct json_w *w, struct arena *a,
    const struct store_debate *d, int64_t now_us)
{
	const struct json *config = view_json(a, d->config);
	const struct json *agents = json_get(config, "agents");
	int64_t end_us = d->completed_us > 0 ? d->completed_us : now_us;

	json_w_str(w, "question", d->task);
	json_w_str(w, "task", d->task);
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < json_len(agents); i++)
		json_w_str(
		    w, NULL, json_get_str(json_at(agents, i), "name", ""));
	json_w_end_array(w);
	json_w_int(w, "rounds", d->total_rounds);
	json_w_str(w, "consensus", json_get_str(config, "consensus", ""));
	json_w_int(w, "priority", d->priority);
	json_w_json(w, "metadata", json_get(config, "metadata"));
	batch_view_result(w, a, d);
	json_w_str(w, "error", d->error);
	json_w_time(w, "started_at", d->started_us);
	json_w_time(w, "completed_at", d->completed_us);
	json_w_num(w, "duration_seconds",
	    d->started_us > 0 ? (double)(end_us - d->started_us) / 1e6 : 0);
}

static void
batch_view_items(struct json_w *w, struct arena *a, const char *key,
    const struct store_batch_item *items, size_t n, int64_t now_us)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "item_id", items[i].item_id);
		json_w_str(w, "job_id", items[i].item_id);
		json_w_int(w, "index", items[i].place);
		json_w_str(w, "debate_id", items[i].debate_id);
		json_w_str(w, "status", batch_item_status(&items[i]));
		json_w_int(w, "retries", items[i].retries);
		if (items[i].debate != NULL)
			batch_view_debate(w, a, items[i].debate, now_us);
		else
			json_w_str(w, "error", "the debate was deleted");
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
batch_view_members(struct json_w *w, struct arena *a,
    const struct store_batch *b, const struct store_batch_item *items, size_t n,
    int64_t now_us)
{
	batch_view_summary(w, b, now_us);
	batch_view_items(w, a, "items", items, n, now_us);
	batch_view_items(w, a, "jobs", items, n, now_us);
}

const char *
batch_view_text(struct arena *a, const struct store_batch *b,
    const struct store_batch_item *items, size_t n, int64_t now_us)
{
	struct buf text;
	struct json_w w;

	buf_init(&text, BATCH_TEXT_MAX);
	json_w_init(&w, &text);
	json_w_begin(&w, NULL);
	batch_view_members(&w, a, b, items, n, now_us);
	json_w_end(&w);
	const char *out =
	    text.is_overflowed ? NULL : arena_strdup(a, buf_text(&text));
	buf_release(&text);
	return out;
}
