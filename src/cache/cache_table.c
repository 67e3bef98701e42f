/* SPDX-License-Identifier: MIT
 *
 * The values of a process: a hash table, and for each kind a list in the order
 * of use whose end makes room. Under one lock, which is never held while a
 * value is computed or copied. A flight is a computation under way; who wants
 * the same with the same mark waits for it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/cache_impl.h"
#include "metrics/metrics.h"

#define TABLE_BUCKETS 4096

struct cache_entry {
	struct list in_bucket;
	struct list in_order; /* of its kind, the last used first */
	enum cache_kind kind;
	char name[ID_HASH_SIZE];
	struct cache_mark mark;
	int64_t stored_ms, expires_ms;
	struct cache_value *value;
};

/* Owned by the thread that computes; freed by the last who looks at it. */
struct cache_flight {
	struct list link; /* in table.flights until it has landed */
	char name[ID_HASH_SIZE];
	struct cache_mark mark;
	size_t refs; /* under the table's lock */
	bool has_landed;
	struct cache_value *value; /* NULL = it came to nothing */
	pthread_cond_t landed;
};

struct cache_table {
	int64_t (*now_ms)(void);
	pthread_mutex_t lock; /* guards all that follows */
	struct list buckets[TABLE_BUCKETS];
	struct list order[CACHE__COUNT];
	size_t bytes[CACHE__COUNT];
	struct list flights;
};

static const enum metric table_evicted[CACHE__COUNT] = {
#define CACHE_KIND(id, name, scope, ttl_s, bytes, hits, misses, evicted)       \
	[CACHE_##id] = evicted,
#include "cache/cache.def"
#undef CACHE_KIND
};

struct cache_value *
cache_value_new(const void *data, size_t len)
{
	struct cache_value *v =
	    heap_take(HEAP_CACHE, mem_alloc(sizeof(*v) + len + 1));

	atomic_init(&v->refs, 1);
	v->len = len;
	memcpy(v->data, data, len);
	v->data[len] = '\0';
	return v;
}

static struct cache_value *
table_ref(struct cache_value *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void
cache_value_unref(struct cache_value **value)
{
	struct cache_value *v = *value;

	*value = NULL;
	if (v != NULL && atomic_fetch_sub(&v->refs, 1) == 1)
		heap_free(HEAP_CACHE, v);
}

struct cache_table *
cache_table_new(void)
{
	struct cache_table *t = heap_take(HEAP_CACHE, mem_zalloc(sizeof(*t)));

	t->now_ms = clock_mono_ms;
	pthread_mutex_init(&t->lock, NULL);
	for (size_t i = 0; i < TABLE_BUCKETS; i++)
		list_init(&t->buckets[i]);
	for (size_t i = 0; i < CACHE__COUNT; i++)
		list_init(&t->order[i]);
	list_init(&t->flights);
	return t;
}

void
cache_table_set_clock(struct cache_table *t, int64_t (*now_ms)(void))
{
	t->now_ms = now_ms;
}

/* ---- entries ---- */

static size_t
table_size(const struct cache_value *v)
{
	return sizeof(struct cache_entry) + sizeof(*v) + v->len;
}

static void
table_remove(struct cache_table *t, struct cache_entry *e)
{
	size_t size = table_size(e->value);

	t->bytes[e->kind] -= size;
	metric_add(METRIC_CACHE_BYTES, -(int64_t)size);
	metric_add(METRIC_CACHE_ENTRIES, -1);
	list_del(&e->in_bucket);
	list_del(&e->in_order);
	cache_value_unref(&e->value);
	heap_free(HEAP_CACHE, e);
}

void
cache_table_free(struct cache_table **table)
{
	struct cache_table *t = *table;

	if (t == NULL)
		return;
	for (size_t i = 0; i < CACHE__COUNT; i++)
		list_for_each (it, &t->order[i])
			table_remove(
			    t, LIST_ENTRY(it, struct cache_entry, in_order));
	pthread_mutex_destroy(&t->lock);
	heap_free(HEAP_CACHE, t);
	*table = NULL;
}

static struct list *
table_bucket(struct cache_table *t, const char *name)
{
	return &t->buckets[str_hash(name, ID_HASH_SIZE - 1, 0) % TABLE_BUCKETS];
}

static struct cache_entry *
table_entry(struct cache_table *t, const char *name)
{
	list_for_each (it, table_bucket(t, name)) {
		struct cache_entry *e =
		    LIST_ENTRY(it, struct cache_entry, in_bucket);
		if (memcmp(e->name, name, ID_HASH_SIZE) == 0)
			return e;
	}
	return NULL;
}

/* Without Redis' word a value is believed only for a moment. */
static bool
table_is_current(
    const struct cache_entry *e, const struct cache_turn *turn, int64_t now_ms)
{
	if (now_ms >= e->expires_ms || e->mark.host != turn->mark.host)
		return false;
	return turn->is_alone ? now_ms - e->stored_ms < CACHE_ALONE_MS
			      : str_eq(e->mark.shared, turn->mark.shared);
}

static void
table_make_room(struct cache_table *t, enum cache_kind kind, size_t size)
{
	int64_t now_ms = t->now_ms();

	while (t->bytes[kind] + size > cache_kind_bytes(kind)) {
		struct cache_entry *last = LIST_ENTRY(
		    t->order[kind].prev, struct cache_entry, in_order);
		if (now_ms < last->expires_ms)
			metric_add(table_evicted[kind], 1);
		table_remove(t, last);
	}
}

void
cache_table_keep(struct cache_table *t, const struct cache_turn *turn,
    struct cache_value *value, int64_t life_ms)
{
	size_t size = table_size(value);

	if (size > cache_kind_max(turn->kind))
		return;
	pthread_mutex_lock(&t->lock);
	struct cache_entry *e = table_entry(t, turn->name);
	if (e != NULL)
		table_remove(t, e);
	table_make_room(t, turn->kind, size);
	e = heap_take(HEAP_CACHE, mem_zalloc(sizeof(*e)));
	e->kind = turn->kind;
	memcpy(e->name, turn->name, sizeof(e->name));
	e->mark = turn->mark;
	e->stored_ms = t->now_ms();
	e->expires_ms = e->stored_ms + life_ms;
	e->value = table_ref(value);
	list_add_head(table_bucket(t, e->name), &e->in_bucket);
	list_add_head(&t->order[e->kind], &e->in_order);
	t->bytes[e->kind] += size;
	metric_add(METRIC_CACHE_BYTES, (int64_t)size);
	metric_add(METRIC_CACHE_ENTRIES, 1);
	pthread_mutex_unlock(&t->lock);
}

/* ---- flights ---- */

/* With the lock. */
static void
flight_unref(struct cache_flight *f)
{
	if (--f->refs > 0)
		return;
	pthread_cond_destroy(&f->landed);
	cache_value_unref(&f->value);
	heap_free(HEAP_CACHE, f);
}

static struct cache_flight *
flight_begin(struct cache_table *t, const struct cache_turn *turn)
{
	struct cache_flight *f = heap_take(HEAP_CACHE, mem_zalloc(sizeof(*f)));
	pthread_condattr_t attr;

	memcpy(f->name, turn->name, sizeof(f->name));
	f->mark = turn->mark;
	f->refs = 1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->landed, &attr);
	pthread_condattr_destroy(&attr);
	list_add_tail(&t->flights, &f->link);
	return f;
}

/* One that began before the last write is not what is wanted. */
static struct cache_flight *
flight_find(struct cache_table *t, const struct cache_turn *turn)
{
	list_for_each (it, &t->flights) {
		struct cache_flight *f =
		    LIST_ENTRY(it, struct cache_flight, link);
		if (memcmp(f->name, turn->name, ID_HASH_SIZE) == 0 &&
		    f->mark.host == turn->mark.host &&
		    str_eq(f->mark.shared, turn->mark.shared))
			return f;
	}
	return NULL;
}

/* Its value, or NULL: it came to nothing, or took too long. */
static struct cache_value *
flight_wait(struct cache_table *t, struct cache_flight *f)
{
	struct cache_value *value = NULL;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CACHE_WAIT_MS / 1000;
	f->refs++;
	while (!f->has_landed &&
	    pthread_cond_timedwait(&f->landed, &t->lock, &until) == 0)
		;
	if (f->value != NULL)
		value = table_ref(f->value);
	flight_unref(f);
	return value;
}

void
cache_table_land(
    struct cache_table *t, struct cache_turn *turn, struct cache_value *value)
{
	struct cache_flight *f = turn->flight;

	turn->flight = NULL;
	if (f == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	list_del(&f->link);
	f->has_landed = true;
	if (value != NULL)
		f->value = table_ref(value);
	pthread_cond_broadcast(&f->landed);
	flight_unref(f);
	pthread_mutex_unlock(&t->lock);
}

struct cache_value *
cache_table_find(struct cache_table *t, struct cache_turn *turn)
{
	struct cache_value *value = NULL;

	turn->flight = NULL;
	pthread_mutex_lock(&t->lock);
	struct cache_entry *e = table_entry(t, turn->name);
	struct cache_flight *f = flight_find(t, turn);
	if (e != NULL && table_is_current(e, turn, t->now_ms())) {
		list_del(&e->in_order);
		list_add_head(&t->order[e->kind], &e->in_order);
		value = table_ref(e->value);
	} else if (f != NULL) {
		value = flight_wait(t, f);
	} else {
		turn->flight = flight_begin(t, turn);
	}
	pthread_mutex_unlock(&t->lock);
	return value;
}
