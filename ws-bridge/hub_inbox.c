/* SPDX-License-Identifier: MIT
 *
 * From the bus thread to the loop. Past its byte limit the inbox drops
 * messages and asks for a comparison of heads instead: the table has them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/heap.h"
#include "metrics/metrics.h"
#include "ws-bridge/hub_priv.h"

void
hub_inbox_init(struct hub_inbox *in)
{
	pthread_mutex_init(&in->lock, NULL);
	list_init(&in->items);
}

void
hub_item_free(struct hub_item **item)
{
	struct hub_item *old = *item;

	*item = NULL;
	frame_unref(&old->frame);
	heap_free(HEAP_EVENTS, old);
}

static void
hub_inbox_drop(struct list *items)
{
	list_for_each (it, items) {
		struct hub_item *item = LIST_ENTRY(it, struct hub_item, node);
		list_del(&item->node);
		hub_item_free(&item);
	}
}

void
hub_inbox_release(struct hub_inbox *in)
{
	hub_inbox_drop(&in->items);
	pthread_mutex_destroy(&in->lock);
}

static struct hub_item *
hub_item_new(const struct bus_message *m, struct frame *frame)
{
	size_t id_len = strlen(m->debate_id);
	struct hub_item *item =
	    heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*item) + id_len + 1));

	list_init(&item->node);
	memcpy(item->id, m->debate_id, id_len + 1);
	item->seq = m->seq;
	item->frame = frame != NULL ? frame_ref(frame) : NULL;
	return item;
}

void
hub_inbox_on_message(
    void *arg, const struct bus_message *m, struct frame *frame)
{
	struct hub *h = arg;
	struct hub_inbox *in = &h->inbox;

	if (!atomic_load(&h->is_watching))
		return;
	struct hub_item *item = hub_item_new(m, frame);
	size_t size = sizeof(*item) + m->payload_len;
	pthread_mutex_lock(&in->lock);
	bool is_first = list_is_empty(&in->items) && !in->is_gap;
	if (in->bytes + size > HUB_INBOX_BYTES) {
		in->is_gap = true;
	} else {
		in->bytes += size;
		list_add_tail(&in->items, &item->node);
		item = NULL;
	}
	pthread_mutex_unlock(&in->lock);
	if (item != NULL) {
		metric_add(METRIC_BUS_DROPPED, 1);
		hub_item_free(&item);
	}
	if (is_first)
		loop_wake(h->loop);
}

void
hub_inbox_on_gap(void *arg)
{
	struct hub *h = arg;

	pthread_mutex_lock(&h->inbox.lock);
	h->inbox.is_gap = true;
	pthread_mutex_unlock(&h->inbox.lock);
	loop_wake(h->loop);
}

bool
hub_inbox_take(struct hub_inbox *in, struct list *out)
{
	list_init(out);
	pthread_mutex_lock(&in->lock);
	bool is_gap = in->is_gap;
	if (!list_is_empty(&in->items)) {
		out->next = in->items.next;
		out->prev = in->items.prev;
		out->next->prev = out;
		out->prev->next = out;
		list_init(&in->items);
	}
	in->bytes = 0;
	in->is_gap = false;
	pthread_mutex_unlock(&in->lock);
	return is_gap;
}
