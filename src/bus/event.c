/* SPDX-License-Identifier: MIT */
#include "bus/event.h"

#include <string.h>

#include "base/json.h"
#include "base/trace.h"

static const struct event_row event_rows[EVENT__COUNT] = {
#define EVENT(id, text, stored, members, meaning)                              \
	[EVENT_##id] = {.name = text,                                          \
	    .is_stored = stored,                                               \
	    .fields = members,                                                 \
	    .help = meaning},
#include "bus/event.def"
#undef EVENT
};

const struct event_row *
event_row(enum event_type t)
{
	return &event_rows[t];
}

const char *
event_name(enum event_type t)
{
	return event_rows[t].name;
}

/* The members every data object begins with, then those of e->data. */
static void
event_encode_data(struct json_w *w, const struct event *e)
{
	const char *data = e->data != NULL ? e->data : "{}";

	json_w_begin(w, "data");
	if (e->debate_id != NULL) {
		json_w_str(w, "debate_id", e->debate_id);
		json_w_str(w, "loop_id", e->debate_id);
	}
	if (e->round > 0) {
		json_w_int(w, "round", e->round);
		json_w_int(w, "round_number", e->round);
	}
	if (e->agent != NULL)
		json_w_str(w, "agent", e->agent);
	/* data is an object we wrote: splice its members in. */
	size_t len = strlen(data);
	if (len > 2) {
		if (w->needs_comma)
			buf_putc(w->buf, ',');
		buf_append(w->buf, data + 1, len - 2);
	}
	json_w_end(w);
}

void
event_encode(struct buf *out, const struct event *e)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "type", e->type);
	if (e->debate_id != NULL) {
		json_w_str(&w, "debate_id", e->debate_id);
		json_w_str(&w, "loop_id", e->debate_id);
	}
	json_w_num(&w, "timestamp", (double)e->created_us / 1e6);
	if (e->seq > 0)
		json_w_int(&w, "seq", e->seq);
	if (e->round > 0)
		json_w_int(&w, "round", e->round);
	if (e->agent != NULL)
		json_w_str(&w, "agent", e->agent);
	struct trace trace;
	if (e->trace_parent != NULL && trace_parse(e->trace_parent, &trace))
		json_w_str(&w, "correlation_id", trace.id);
	if (e->is_replayed)
		json_w_bool(&w, "replayed", true);
	event_encode_data(&w, e);
	json_w_end(&w);
}
