/* SPDX-License-Identifier: MIT */
#include "ws-bridge/topic.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"

struct page *
page_new(int64_t since)
{
	struct page *p = heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*p)));

	p->refs = 1;
	p->since = since;
	return p;
}

void
page_unref(struct page **p)
{
	struct page *old = *p;

	*p = NULL;
	if (old == NULL || --old->refs > 0)
		return;
	for (size_t i = 0; i < old->n; i++)
		frame_unref(&old->frames[i]);
	heap_free(HEAP_EVENTS, old);
}

void
page_push(struct page *p, struct frame *f)
{
	assert(p->n < PAGE_ROWS && f->seq == p->since + (int64_t)p->n + 1);
	p->frames[p->n++] = f;
}

struct frame *
page_get(const struct page *p, int64_t seq)
{
	int64_t i = seq - p->since - 1;

	return i >= 0 && i < (int64_t)p->n ? p->frames[i] : NULL;
}

void
topic_init(struct topic *t, const char *id, size_t max_frames)
{
	*t = (struct topic){0};
	snprintf(t->id, sizeof(t->id), "%s", id);
	list_init(&t->subs);
	ring_init(&t->ring, max_frames, TOPIC_RING_BYTES);
}

static void
topic_hold_drop(struct topic *t, size_t from)
{
	for (size_t i = from; i < t->n_hold; i++)
		frame_unref(&t->hold[i]);
	t->n_hold = from;
	if (from == 0) {
		heap_free(HEAP_EVENTS, t->hold);
		t->hold = NULL;
	}
}

void
topic_release(struct topic *t)
{
	assert(list_is_empty(&t->subs));
	topic_hold_drop(t, 0);
	ring_release(&t->ring);
	for (size_t i = 0; i < TOPIC_PAGES; i++)
		page_unref(&t->pages[i]);
}

static void
topic_append(struct topic *t, struct frame *f)
{
	assert(f->seq == t->head + 1);
	t->head = f->seq;
	t->is_ended = t->is_ended || f->is_end;
	ring_push(&t->ring, f);
}

/* Append the held frames that follow head now, drop those it has passed. */
static void
topic_hold_drain(struct topic *t)
{
	size_t i = 0;

	for (; i < t->n_hold && t->hold[i]->seq <= t->head + 1; i++) {
		if (t->hold[i]->seq == t->head + 1)
			topic_append(t, frame_ref(t->hold[i]));
		frame_unref(&t->hold[i]);
	}
	if (i == 0)
		return;
	t->n_hold -= i;
	memmove(t->hold, t->hold + i, t->n_hold * sizeof(struct frame *));
	topic_hold_drop(t, t->n_hold);
}

/* Keep f, which is ahead of head; a full hold gives up its farthest frame:
 * the table has it. */
static enum topic_result
topic_hold_add(struct topic *t, struct frame *f)
{
	size_t i = t->n_hold;

	if (t->hold == NULL)
		t->hold = heap_take(HEAP_EVENTS,
		    mem_array(TOPIC_HOLD_MAX, sizeof(struct frame *)));
	while (i > 0 && t->hold[i - 1]->seq >= f->seq)
		i--;
	if ((i < t->n_hold && t->hold[i]->seq == f->seq) ||
	    i == TOPIC_HOLD_MAX) {
		frame_unref(&f);
		return TOPIC_GAP;
	}
	if (t->n_hold == TOPIC_HOLD_MAX)
		topic_hold_drop(t, TOPIC_HOLD_MAX - 1);
	memmove(t->hold + i + 1, t->hold + i,
	    (t->n_hold - i) * sizeof(struct frame *));
	t->hold[i] = f;
	t->n_hold++;
	return TOPIC_GAP;
}

void
topic_start(struct topic *t, int64_t last_seq)
{
	assert(!t->is_live && t->ring.n == 0);
	t->is_live = true;
	t->head = last_seq;
	topic_hold_drain(t);
}

enum topic_result
topic_offer(struct topic *t, struct frame *f)
{
	if (t->is_live && f->seq <= t->head) {
		frame_unref(&f);
		return TOPIC_DROPPED;
	}
	if (!t->is_live || f->seq > t->head + 1)
		return topic_hold_add(t, f);
	topic_append(t, f);
	topic_hold_drain(t);
	return TOPIC_APPENDED;
}

bool
topic_has_gap(const struct topic *t)
{
	return t->is_live && t->n_hold > 0;
}

static void
topic_keep_page(struct topic *t, struct page *p)
{
	struct page **slot = &t->pages[t->next_page];

	t->next_page = (t->next_page + 1) % TOPIC_PAGES;
	page_unref(slot);
	p->refs++;
	p->is_used = true;
	*slot = p;
}

bool
topic_add_page(struct topic *t, struct page *p, bool is_wanted)
{
	int64_t old_head = t->head;
	struct frame *f;

	if (is_wanted && p->n > 0)
		topic_keep_page(t, p);
	if (!t->is_live)
		return false;
	while ((f = page_get(p, t->head + 1)) != NULL)
		topic_append(t, frame_ref(f));
	topic_hold_drain(t);
	return t->head != old_head;
}

void
topic_trim(struct topic *t)
{
	for (size_t i = 0; i < TOPIC_PAGES; i++) {
		struct page *p = t->pages[i];
		if (p == NULL)
			continue;
		if (!p->is_used)
			page_unref(&t->pages[i]);
		else
			p->is_used = false;
	}
}

enum sub_next
topic_next(struct topic *t, int64_t cursor, struct frame **f)
{
	if (!t->is_live || cursor >= t->head)
		return SUB_UP_TO_DATE;
	*f = ring_get(&t->ring, cursor + 1);
	for (size_t i = 0; *f == NULL && i < TOPIC_PAGES; i++) {
		if (t->pages[i] == NULL)
			continue;
		*f = page_get(t->pages[i], cursor + 1);
		if (*f != NULL)
			t->pages[i]->is_used = true;
	}
	return *f != NULL ? SUB_FRAME : SUB_WANTS_PAGE;
}
