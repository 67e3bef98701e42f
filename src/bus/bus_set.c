/* SPDX-License-Identifier: MIT */
#include "bus/bus_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BUS_SET_FIRST 16

static struct list *
bus_set_buckets(size_t n)
{
	struct list *b = mem_array(n, sizeof(*b));

	for (size_t i = 0; i < n; i++)
		list_init(&b[i]);
	return b;
}

void
bus_set_init(struct bus_set *s)
{
	*s = (struct bus_set){
	    .buckets = bus_set_buckets(BUS_SET_FIRST),
	    .n_buckets = BUS_SET_FIRST,
	};
	list_init(&s->changed);
}

static struct bus_set_entry *
bus_set_entry_of(struct list *node)
{
	return LIST_ENTRY(node, struct bus_set_entry, bucket);
}

void
bus_set_release(struct bus_set *s)
{
	for (size_t i = 0; i < s->n_buckets; i++)
		list_for_each (it, &s->buckets[i])
			free(bus_set_entry_of(it));
	free(s->buckets);
	*s = (struct bus_set){0};
}

static struct list *
bus_set_bucket(const struct bus_set *s, const char *id)
{
	return &s->buckets[str_hash(id, strlen(id), 0) & (s->n_buckets - 1)];
}

static struct bus_set_entry *
bus_set_find(const struct bus_set *s, const char *id)
{
	list_for_each (it, bus_set_bucket(s, id)) {
		struct bus_set_entry *e = bus_set_entry_of(it);
		if (str_eq(e->id, id))
			return e;
	}
	return NULL;
}

static void
bus_set_grow(struct bus_set *s)
{
	struct list *old = s->buckets;
	size_t n_old = s->n_buckets;

	s->n_buckets = n_old * 2;
	s->buckets = bus_set_buckets(s->n_buckets);
	for (size_t i = 0; i < n_old; i++)
		list_for_each (it, &old[i]) {
			list_del(it);
			list_add_tail(
			    bus_set_bucket(s, bus_set_entry_of(it)->id), it);
		}
	free(old);
}

static struct bus_set_entry *
bus_set_add(struct bus_set *s, const char *id)
{
	size_t len = strlen(id);
	struct bus_set_entry *e = mem_zalloc(sizeof(*e) + len + 1);

	if (s->n_entries >= s->n_buckets)
		bus_set_grow(s);
	memcpy(e->id, id, len + 1);
	list_init(&e->changed);
	list_add_tail(bus_set_bucket(s, id), &e->bucket);
	s->n_entries++;
	return e;
}

void
bus_set_count(struct bus_set *s, const char *id, bool is_more)
{
	struct bus_set_entry *e = bus_set_find(s, id);

	if (e == NULL && is_more)
		e = bus_set_add(s, id);
	assert(e != NULL && (is_more || e->count > 0));
	e->count = is_more ? e->count + 1 : e->count - 1;
	if (list_is_empty(&e->changed) && e->count <= 1)
		list_add_tail(&s->changed, &e->changed);
}

bool
bus_set_has(const struct bus_set *s, const char *id)
{
	const struct bus_set_entry *e = bus_set_find(s, id);

	return e != NULL && e->count > 0;
}

void
bus_set_settle(struct bus_set *s, struct bus_set_entry *e)
{
	list_del(&e->changed);
	if (e->count > 0 || e->is_subscribed)
		return;
	list_del(&e->bucket);
	s->n_entries--;
	free(e);
}

void
bus_set_reset(struct bus_set *s)
{
	for (size_t i = 0; i < s->n_buckets; i++)
		list_for_each (it, &s->buckets[i]) {
			struct bus_set_entry *e = bus_set_entry_of(it);
			e->is_subscribed = false;
			if (list_is_empty(&e->changed))
				list_add_tail(&s->changed, &e->changed);
		}
}
