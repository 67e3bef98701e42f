/* SPDX-License-Identifier: MIT
 *
 * A page of a debate's stored events, by sequence number: what the routes
 * share that show events, each in its own form.
 */
#pragma once

#include "fcgi/debate_out.h"
#include "fcgi/input.h"

struct event_page_in {
	int64_t since, limit;
};

/* The query parameters of such a route; both counts are events. */
#define EVENT_PAGE_INPUTS(usual, most)                                         \
	{.key = "since",                                                       \
	    .kind = INPUT_INT,                                                 \
	    .min = 0,                                                          \
	    .max = INT64_MAX,                                                  \
	    .offset = offsetof(struct event_page_in, since),                   \
	    .help = "Sequence number of the last event the caller has."},      \
	{                                                                      \
		.key = "limit", .kind = INPUT_PAGE, .fallback = (usual),       \
		.max = (most),                                                 \
		.offset = offsetof(struct event_page_in, limit),               \
		.help = "Events in one answer."                                \
	}

struct event_page {
	struct store_debate row;
	struct store_event *events; /* on the request's arena */
	size_t n;
	int64_t last; /* the last one's number, or since */
};

/* The page that the request names. HTTP_OK, or the answer is written. */
enum http_status event_page_read(struct req *req, struct res *res,
    const struct input_list *inputs, struct event_page *page) MUST_CHECK;
/* count, next_seq, has_more; and the answer. */
enum http_status event_page_end(
    struct res *res, struct json_w *w, const struct event_page *page);
