/* SPDX-License-Identifier: MIT */
#include "ws-bridge/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"

#define RING_FIRST_CAP 16

void
ring_init(struct ring *r, size_t max_frames, size_t max_bytes)
{
	assert(max_frames > 0);
	*r = (struct ring){.max_frames = max_frames, .max_bytes = max_bytes};
}

static struct frame **
ring_slot(const struct ring *r, size_t i)
{
	return &r->slots[(r->first + i) & (r->cap - 1)];
}

static void
ring_drop_oldest(struct ring *r)
{
	struct frame **slot = ring_slot(r, 0);

	r->bytes -= (*slot)->len;
	frame_unref(slot);
	r->first = (r->first + 1) & (r->cap - 1);
	r->n--;
}

void
ring_release(struct ring *r)
{
	while (r->n > 0)
		ring_drop_oldest(r);
	heap_free(HEAP_EVENTS, r->slots);
	*r = (struct ring){
	    .max_frames = r->max_frames, .max_bytes = r->max_bytes};
}

static void
ring_grow(struct ring *r)
{
	size_t cap = r->cap > 0 ? r->cap * 2 : RING_FIRST_CAP;
	struct frame **slots =
	    heap_take(HEAP_EVENTS, mem_array(cap, sizeof(struct frame *)));

	for (size_t i = 0; i < r->n; i++)
		slots[i] = *ring_slot(r, i);
	heap_free(HEAP_EVENTS, r->slots);
	r->slots = slots;
	r->cap = cap;
	r->first = 0;
}

int64_t
ring_oldest(const struct ring *r)
{
	return r->n > 0 ? (*ring_slot(r, 0))->seq : 0;
}

void
ring_push(struct ring *r, struct frame *f)
{
	assert(r->n == 0 || f->seq == ring_oldest(r) + (int64_t)r->n);
	while (r->n > 0 &&
	    (r->n >= r->max_frames || r->bytes + f->len > r->max_bytes))
		ring_drop_oldest(r);
	if (r->n == r->cap)
		ring_grow(r);
	r->n++;
	*ring_slot(r, r->n - 1) = f;
	r->bytes += f->len;
}

struct frame *
ring_get(const struct ring *r, int64_t seq)
{
	if (r->n == 0)
		return NULL;
	int64_t i = seq - ring_oldest(r);
	return i >= 0 && i < (int64_t)r->n ? *ring_slot(r, (size_t)i) : NULL;
}
