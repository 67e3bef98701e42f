/* SPDX-License-Identifier: MIT */
#include "runner/teller.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "metrics/metrics.h"

#define TELLER_GROUP_MAX 256
#define TELLER_BYTES_MAX (32u << 20) /* payloads that wait */

struct teller_word {
	struct list link;
	int64_t seq;
	char *debate_id;
	size_t len;
	char payload[];
};

struct teller {
	struct bus *bus;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list words;
	size_t bytes;
	bool is_stopping;
};

void
teller_tell(struct teller *t, const char *debate_id, int64_t seq,
    const char *payload, size_t len)
{
	pthread_mutex_lock(&t->lock);
	bool is_full = t->bytes + len > TELLER_BYTES_MAX;
	if (is_full && seq == 0) {
		pthread_mutex_unlock(&t->lock);
		metric_add(METRIC_BUS_DROPPED, 1);
		return;
	}
	if (is_full)
		len = 0;
	struct teller_word *word =
	    heap_take(HEAP_JOBS, mem_zalloc(sizeof(*word) + len + 1));
	word->seq = seq;
	word->debate_id = heap_take(HEAP_JOBS, mem_strdup(debate_id));
	word->len = len;
	if (len > 0)
		memcpy(word->payload, payload, len);
	t->bytes += len;
	list_add_tail(&t->words, &word->link);
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

static size_t
teller_take(struct teller *t, struct teller_word **group)
{
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	while (list_is_empty(&t->words) && !t->is_stopping)
		pthread_cond_wait(&t->wake, &t->lock);
	list_for_each (it, &t->words) {
		if (n == TELLER_GROUP_MAX)
			break;
		list_del(it);
		group[n] = LIST_ENTRY(it, struct teller_word, link);
		t->bytes -= group[n++]->len;
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* A doorbell: whoever misses it reads the table. */
static void
teller_ring(struct teller *t, struct teller_word **group, size_t n)
{
	struct bus_message m[TELLER_GROUP_MAX];

	for (size_t i = 0; i < n; i++)
		m[i] = (struct bus_message){.debate_id = group[i]->debate_id,
		    .seq = group[i]->seq,
		    .payload = group[i]->payload,
		    .payload_len = group[i]->len};
	(void)!bus_publish(t->bus, m, n);
	metric_add(METRIC_BUS_DROPPED, (int64_t)bus_take_dropped(t->bus));
	for (size_t i = 0; i < n; i++) {
		heap_free(HEAP_JOBS, group[i]->debate_id);
		heap_free(HEAP_JOBS, group[i]);
	}
}

static void *
teller_run(void *arg)
{
	struct teller *t = arg;
	struct teller_word *group[TELLER_GROUP_MAX];
	size_t n;

	while ((n = teller_take(t, group)) > 0)
		teller_ring(t, group, n);
	return NULL;
}

enum err
teller_new(struct teller **out, struct bus *bus)
{
	struct teller *t = mem_zalloc(sizeof(*t));

	t->bus = bus;
	list_init(&t->words);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	if (pthread_create(&t->thread, NULL, teller_run, t) != 0) {
		pthread_cond_destroy(&t->wake);
		pthread_mutex_destroy(&t->lock);
		free(t);
		return ERR_IO;
	}
	*out = t;
	return ERR_OK;
}

void
teller_free(struct teller **teller)
{
	struct teller *t = *teller;

	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	t->is_stopping = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t);
	*teller = NULL;
}
