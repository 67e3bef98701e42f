/* SPDX-License-Identifier: MIT */
#include "ws-bridge/viewers.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define VIEWERS_BUCKETS 1024

struct viewers_entry {
	struct list node;
	int64_t n;
	char id[];
};

struct viewers {
	pthread_mutex_t lock;
	uint64_t seed;
	struct list buckets[VIEWERS_BUCKETS];
};

struct viewers *
viewers_new(void)
{
	struct viewers *v = heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*v)));

	id_random(&v->seed, sizeof(v->seed));
	pthread_mutex_init(&v->lock, NULL);
	for (size_t i = 0; i < VIEWERS_BUCKETS; i++)
		list_init(&v->buckets[i]);
	return v;
}

void
viewers_free(struct viewers **vp)
{
	struct viewers *v = *vp;

	if (v == NULL)
		return;
	*vp = NULL;
	for (size_t i = 0; i < VIEWERS_BUCKETS; i++)
		assert(list_is_empty(&v->buckets[i]));
	pthread_mutex_destroy(&v->lock);
	heap_free(HEAP_EVENTS, v);
}

static struct list *
viewers_bucket(struct viewers *v, const char *id)
{
	return &v->buckets[str_hash(id, strlen(id), v->seed) % VIEWERS_BUCKETS];
}

static struct viewers_entry *
viewers_find(struct list *bucket, const char *id)
{
	list_for_each (it, bucket) {
		struct viewers_entry *e =
		    LIST_ENTRY(it, struct viewers_entry, node);
		if (str_eq(e->id, id))
			return e;
	}
	return NULL;
}

void
viewers_add(struct viewers *v, const char *id, int delta)
{
	struct list *bucket = viewers_bucket(v, id);
	size_t len = strlen(id);

	pthread_mutex_lock(&v->lock);
	struct viewers_entry *e = viewers_find(bucket, id);
	if (e == NULL) {
		e = heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*e) + len + 1));
		memcpy(e->id, id, len + 1);
		list_add_tail(bucket, &e->node);
	}
	e->n += delta;
	assert(e->n >= 0);
	if (e->n == 0) {
		list_del(&e->node);
		heap_free(HEAP_EVENTS, e);
	}
	pthread_mutex_unlock(&v->lock);
}

int64_t
viewers_count(struct viewers *v, const char *id)
{
	pthread_mutex_lock(&v->lock);
	const struct viewers_entry *e = viewers_find(viewers_bucket(v, id), id);
	int64_t n = e != NULL ? e->n : 0;
	pthread_mutex_unlock(&v->lock);
	return n;
}
