/* SPDX-License-Identifier: MIT */
#include "ws-bridge/admission.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define ADMISSION_BUCKETS 4096
/* Nobody can tell when a connection ends. */
#define ADMISSION_RETRY_MS 5000

struct admission_entry {
	struct list in_bucket;
	struct list in_idle; /* oldest first; only while n_open is 0 */
	uint8_t key[CLIENT_IP_KEY];
	int64_t begun_ms; /* of the minute */
	int64_t n_begun;  /* in it */
	int64_t n_open;
};

struct admission {
	pthread_mutex_t lock;
	int64_t per_minute;
	int64_t at_once;
	uint64_t seed;
	size_t n;
	size_t n_idle;
	struct list idle;
	struct list buckets[ADMISSION_BUCKETS];
};

struct admission *
admission_new(int64_t per_minute, int64_t at_once)
{
	struct admission *a = heap_take(HEAP_TABLES, mem_zalloc(sizeof(*a)));

	a->per_minute = per_minute;
	a->at_once = at_once;
	id_random(&a->seed, sizeof(a->seed));
	pthread_mutex_init(&a->lock, NULL);
	list_init(&a->idle);
	for (size_t i = 0; i < ADMISSION_BUCKETS; i++)
		list_init(&a->buckets[i]);
	return a;
}

void
admission_limit(struct admission *a, int64_t per_minute, int64_t at_once)
{
	pthread_mutex_lock(&a->lock);
	a->per_minute = per_minute;
	a->at_once = at_once;
	pthread_mutex_unlock(&a->lock);
}

static void
admission_drop(struct admission *a, struct admission_entry *e)
{
	assert(e->n_open == 0);
	list_del(&e->in_bucket);
	list_del(&e->in_idle);
	a->n--;
	a->n_idle--;
	heap_free(HEAP_CONNECTIONS, e);
}

void
admission_free(struct admission **ap)
{
	struct admission *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	while (!list_is_empty(&a->idle))
		admission_drop(a,
		    LIST_ENTRY(a->idle.next, struct admission_entry, in_idle));
	assert(a->n == 0);
	pthread_mutex_destroy(&a->lock);
	heap_free(HEAP_TABLES, a);
}

/* Those whose minute is over are as good as unknown. */
static void
admission_trim(struct admission *a, int64_t now_ms)
{
	while (!list_is_empty(&a->idle)) {
		struct admission_entry *e =
		    LIST_ENTRY(a->idle.next, struct admission_entry, in_idle);
		if (a->n_idle <= ADMISSION_IDLE_MAX &&
		    now_ms - e->begun_ms < ADMISSION_WINDOW_MS)
			return;
		admission_drop(a, e);
	}
}

static struct admission_entry *
admission_get(
    struct admission *a, const uint8_t key[CLIENT_IP_KEY], int64_t now_ms)
{
	uint64_t hash = str_hash(key, CLIENT_IP_KEY, a->seed);
	struct list *bucket = &a->buckets[hash % ADMISSION_BUCKETS];

	list_for_each (it, bucket) {
		struct admission_entry *e =
		    LIST_ENTRY(it, struct admission_entry, in_bucket);
		if (memcmp(e->key, key, CLIENT_IP_KEY) == 0)
			return e;
	}
	struct admission_entry *e =
	    heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*e)));
	memcpy(e->key, key, CLIENT_IP_KEY);
	e->begun_ms = now_ms;
	list_init(&e->in_idle);
	list_add_tail(bucket, &e->in_bucket);
	list_add_tail(&a->idle, &e->in_idle);
	a->n++;
	a->n_idle++;
	return e;
}

static bool
admission_judge(struct admission *a, struct admission_entry *e, int64_t now_ms,
    int64_t *wait_ms)
{
	if (now_ms - e->begun_ms >= ADMISSION_WINDOW_MS) {
		e->begun_ms = now_ms;
		e->n_begun = 0;
	}
	*wait_ms = 0;
	if (e->n_open >= a->at_once)
		*wait_ms = ADMISSION_RETRY_MS;
	else if (e->n_begun >= a->per_minute)
		*wait_ms = e->begun_ms + ADMISSION_WINDOW_MS - now_ms;
	return *wait_ms == 0;
}

struct admission_entry *
admission_enter(struct admission *a, const uint8_t key[CLIENT_IP_KEY],
    int64_t now_ms, int64_t *wait_ms)
{
	pthread_mutex_lock(&a->lock);
	struct admission_entry *e = admission_get(a, key, now_ms);
	bool is_idle = e->n_open == 0;
	if (!admission_judge(a, e, now_ms, wait_ms)) {
		e = NULL;
	} else {
		e->n_begun++;
		e->n_open++;
		if (is_idle) {
			list_del(&e->in_idle);
			a->n_idle--;
		}
	}
	admission_trim(a, now_ms);
	pthread_mutex_unlock(&a->lock);
	return e;
}

void
admission_leave(struct admission *a, struct admission_entry **ep)
{
	struct admission_entry *e = *ep;

	if (e == NULL)
		return;
	*ep = NULL;
	pthread_mutex_lock(&a->lock);
	assert(e->n_open > 0);
	if (--e->n_open == 0) {
		list_add_tail(&a->idle, &e->in_idle);
		if (++a->n_idle > ADMISSION_IDLE_MAX)
			admission_drop(a,
			    LIST_ENTRY(
				a->idle.next, struct admission_entry, in_idle));
	}
	pthread_mutex_unlock(&a->lock);
}

size_t
admission_size(struct admission *a)
{
	pthread_mutex_lock(&a->lock);
	size_t n = a->n;
	pthread_mutex_unlock(&a->lock);
	return n;
}
