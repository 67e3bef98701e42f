/* SPDX-License-Identifier: MIT
 *
 * Topics by debate id: a chained hash table that doubles.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "ws-bridge/hub_priv.h"

#define HUB_FIRST_BUCKETS 64

static struct list *
hub_bucket(const struct hub *h, const char *id)
{
	uint64_t hash = str_hash(id, strlen(id), h->hash_seed);

	return &h->buckets[hash & (h->n_buckets - 1)];
}

static struct list *
hub_buckets_new(size_t n)
{
	struct list *buckets =
	    heap_take(HEAP_EVENTS, mem_array(n, sizeof(*buckets)));

	for (size_t i = 0; i < n; i++)
		list_init(&buckets[i]);
	return buckets;
}

void
hub_table_init(struct hub *h)
{
	id_random(&h->hash_seed, sizeof(h->hash_seed));
	h->n_buckets = HUB_FIRST_BUCKETS;
	h->buckets = hub_buckets_new(h->n_buckets);
	list_init(&h->topics);
}

void
hub_table_release(struct hub *h)
{
	list_for_each (it, &h->topics)
		hub_topic_free(h, LIST_ENTRY(it, struct hub_topic, in_all));
	heap_free(HEAP_EVENTS, h->buckets);
	h->buckets = NULL;
}

static void
hub_table_grow(struct hub *h)
{
	heap_free(HEAP_EVENTS, h->buckets);
	h->n_buckets *= 2;
	h->buckets = hub_buckets_new(h->n_buckets);
	list_for_each (it, &h->topics) {
		struct hub_topic *ht = LIST_ENTRY(it, struct hub_topic, in_all);
		list_add_tail(hub_bucket(h, ht->t.id), &ht->in_bucket);
	}
}

struct hub_topic *
hub_topic_find(struct hub *h, const char *id)
{
	list_for_each (it, hub_bucket(h, id)) {
		struct hub_topic *ht =
		    LIST_ENTRY(it, struct hub_topic, in_bucket);
		if (str_eq(ht->t.id, id))
			return ht;
	}
	return NULL;
}

struct hub_topic *
hub_topic_get(struct hub *h, const char *id)
{
	struct hub_topic *ht = hub_topic_find(h, id);

	if (ht != NULL)
		return ht;
	if (h->n_topics >= h->n_buckets)
		hub_table_grow(h);
	ht = heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*ht)));
	topic_init(&ht->t, id, (size_t)h->settings->event_replay_buffer_size);
	list_init(&ht->reads);
	list_init(&ht->lookups);
	list_add_tail(hub_bucket(h, id), &ht->in_bucket);
	list_add_tail(&h->topics, &ht->in_all);
	h->n_topics++;
	hub_note_watching(h);
	ht->idle_ms = clock_mono_ms();
	bus_sub_add(relay_sub(h->relay), id);
	return ht;
}

void
hub_topic_free(struct hub *h, struct hub_topic *ht)
{
	bus_sub_del(relay_sub(h->relay), ht->t.id);
	list_for_each (it, &ht->reads)
		heap_free(HEAP_EVENTS, LIST_ENTRY(it, struct hub_read, node));
	list_for_each (it, &ht->lookups)
		heap_free(HEAP_EVENTS, LIST_ENTRY(it, struct hub_lookup, node));
	list_del(&ht->in_bucket);
	list_del(&ht->in_all);
	h->n_topics--;
	hub_note_watching(h);
	topic_release(&ht->t);
	heap_free(HEAP_EVENTS, ht->tenant);
	heap_free(HEAP_EVENTS, ht);
}
