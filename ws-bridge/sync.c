/* SPDX-License-Identifier: MIT */
#include "ws-bridge/sync.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "debate/view.h"
#include "ws-bridge/notice.h"

#define SYNC_DEPTH	60  /* of stored JSON, which is our own */
#define SYNC_NAME_BYTES 200 /* of a task in a loop_list */

/* Index of the first message to send so that the rest fits. */
static size_t
sync_first_message(const struct store_turn *turns, size_t n)
{
	size_t count = 0;
	size_t bytes = 0;
	size_t first = n;

	for (size_t i = n; i > 0 && count < SYNC_MESSAGES; i--) {
		if (!debate_view_is_message(&turns[i - 1]))
			continue;
		if (turns[i - 1].content != NULL)
			bytes += strlen(turns[i - 1].content);
		if (bytes > SYNC_MESSAGE_BYTES)
			break;
		first = i - 1;
		count++;
	}
	return first;
}

static void
sync_messages(struct json_w *w, const struct store_turn *turns, size_t n)
{
	size_t first = sync_first_message(turns, n);
	int64_t index = 0;

	json_w_begin_array(w, "messages");
	for (size_t i = 0; i < n; i++) {
		if (!debate_view_is_message(&turns[i]))
			continue;
		if (i >= first)
			debate_view_message(w, &turns[i], index);
		index++;
	}
	json_w_end_array(w);
}

/* Members of the debate object that a sync repeats. The encoder adds the ids,
 * so the object cannot go in as it is. */
static void
sync_view(struct json_w *w, struct arena *a, const struct store_debate *d)
{
	static const char *const members[] = {"agents", "consensus",
	    "consensus_reached", "confidence", "final_answer", "protocol",
	    "created_at", "started_at", "completed_at"};
	const struct json_limits limits = {
	    .max_bytes = NOTICE_MAX, .max_depth = SYNC_DEPTH};
	const struct json *view = NULL;
	struct json_w vw;
	struct buf text;

	buf_init(&text, NOTICE_MAX);
	json_w_init(&vw, &text);
	json_w_begin(&vw, NULL);
	debate_view_members(
	    &vw, a, d, NULL, 0, DEBATE_VIEW_LIST, clock_wall_us());
	json_w_end(&vw);
	if (json_parse(a, buf_text(&text), text.len, &limits, &view, NULL) !=
	    ERR_OK)
		view = NULL;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_get(view, members[i]) != NULL)
			json_w_json(w, members[i], json_get(view, members[i]));
	buf_release(&text);
}

struct frame *
sync_debate(struct arena *a, const struct store_debate *d,
    const struct store_turn *turns, size_t n_turns, int64_t viewers)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "status", store_status_name(d->status));
	json_w_str(&n.w, "task", d->task);
	json_w_str(&n.w, "phase", d->phase);
	json_w_int(&n.w, "round", d->round);
	json_w_int(&n.w, "total_rounds", d->total_rounds);
	json_w_int(&n.w, "latest_seq", d->last_seq);
	json_w_int(&n.w, "viewers", viewers);
	json_w_str(&n.w, "error", d->error);
	sync_view(&n.w, a, d);
	sync_messages(&n.w, turns, n_turns);
	return notice_end(&n, EVENT_SYNC, d->id);
}

struct frame *
sync_loops(const struct store_debate *rows, size_t count)
{
	struct notice n;

	notice_begin(&n);
	json_w_begin_array(&n.w, "loops");
	for (size_t i = 0; i < count; i++) {
		json_w_begin(&n.w, NULL);
		json_w_str(&n.w, "loop_id", rows[i].id);
		json_w_str(&n.w, "debate_id", rows[i].id);
		json_w_strn(&n.w, "name", rows[i].task,
		    str_utf8_cut(
			rows[i].task, strlen(rows[i].task), SYNC_NAME_BYTES));
		json_w_time(&n.w, "started_at", rows[i].started_us);
		json_w_int(&n.w, "cycle", rows[i].round);
		json_w_str(&n.w, "phase", rows[i].phase);
		json_w_end(&n.w);
	}
	json_w_end_array(&n.w);
	json_w_int(&n.w, "count", (int64_t)count);
	return notice_end(&n, EVENT_LOOP_LIST, NULL);
}
