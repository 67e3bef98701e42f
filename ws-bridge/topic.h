/* SPDX-License-Identifier: MIT
 *
 * A watched debate: the newest frames in a ring, frames that came too early,
 * and a few pages read from the event table. A subscriber is a cursor into
 * it. Puts what arrives into order exactly once; asks for nothing itself: the
 * hub reads the table when a topic or a subscriber says it must.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/list.h"
#include "ws-bridge/frame.h"
#include "ws-bridge/ring.h"

#define TOPIC_HOLD_MAX	 64 /* frames ahead of a gap */
#define TOPIC_RING_BYTES (1u << 20)
#define TOPIC_PAGES	 4
#define PAGE_ROWS	 256
#define PAGE_BYTES	 (1u << 20) /* ends with the row that passes it */

/* Consecutive stored frames since+1 .. since+n. Counted, one thread. */
struct page {
	unsigned refs;
	bool is_used; /* since the last topic_trim */
	int64_t since;
	size_t n;
	struct frame *frames[PAGE_ROWS];
};
struct page *page_new(int64_t since) MUST_CHECK;
void page_unref(struct page **p);
/* Takes the reference; f's seq must be the next. */
void page_push(struct page *p, struct frame *f);
struct frame *page_get(const struct page *p, int64_t seq);

struct topic {
	char id[ID_MAX + 1];
	struct list subs;
	bool is_live;  /* head means something */
	bool is_ended; /* debate_end is behind us */
	int64_t head;  /* newest sequence number in order */
	struct ring ring;
	struct frame **hold; /* by seq; NULL when empty */
	size_t n_hold;
	struct page *pages[TOPIC_PAGES];
	size_t next_page; /* slot to replace */
};

enum topic_result {
	TOPIC_APPENDED, /* subscribers have something to read */
	TOPIC_DROPPED,	/* known already, or no room */
	TOPIC_GAP	/* held: rows after head are missing */
};

void topic_init(struct topic *t, const char *id, size_t max_frames);
void topic_release(struct topic *t);

/* The table's newest sequence number, when the topic begins. */
void topic_start(struct topic *t, int64_t last_seq);
/* A stored frame from the bus; takes the reference. */
enum topic_result topic_offer(struct topic *t, struct frame *f);
/* Rows from the table: append what follows head, then what was held. Keeps
 * the page for subscribers when is_wanted. true when head moved. */
bool topic_add_page(struct topic *t, struct page *p, bool is_wanted);
/* Frames are held behind a gap. */
bool topic_has_gap(const struct topic *t);
/* Drop pages that nobody read since the last call. */
void topic_trim(struct topic *t);

enum sub_next {
	SUB_FRAME, /* *f is next, borrowed */
	SUB_UP_TO_DATE,
	SUB_WANTS_PAGE /* rows after the cursor must be read */
};
/* The frame behind cursor. */
enum sub_next topic_next(struct topic *t, int64_t cursor, struct frame **f);
