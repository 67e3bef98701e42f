/* SPDX-License-Identifier: MIT */
#include "telemetry/span_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

void
span_queue_init(struct span_queue *q, size_t cap, size_t enough)
{
	pthread_condattr_t attr;

	assert(enough > 0 && enough <= cap);
	*q = (struct span_queue){.cap = cap, .enough = enough};
	q->ring = mem_array(cap, sizeof(*q->ring));
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void
span_queue_release(struct span_queue *q)
{
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
	free(q->ring);
	q->ring = NULL;
}

bool
span_queue_put(struct span_queue *q, const struct span *s)
{
	pthread_mutex_lock(&q->lock);
	bool is_taken = !q->is_closed && q->n < q->cap;
	if (is_taken) {
		q->ring[(q->from + q->n) % q->cap] = *s;
		q->n++;
	}
	/* The reader has something to look at: its clock starts, or it is
	 * time to go. */
	bool is_news = is_taken && (q->n == 1 || q->n == q->enough);
	pthread_mutex_unlock(&q->lock);
	if (is_news)
		pthread_cond_signal(&q->changed);
	return is_taken;
}

void
span_queue_close(struct span_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->is_closed = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_broadcast(&q->changed);
}

/* Under the lock; false when the time has come. */
static bool
span_queue_sleep(struct span_queue *q, int64_t until_ms)
{
	struct timespec t = {
	    .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

	return pthread_cond_timedwait(&q->changed, &q->lock, &t) != ETIMEDOUT;
}

bool
span_queue_wait(struct span_queue *q, int64_t delay_ms)
{
	pthread_mutex_lock(&q->lock);
	while (q->n == 0 && !q->is_closed)
		pthread_cond_wait(&q->changed, &q->lock);
	int64_t until_ms = clock_mono_ms() + delay_ms;
	while (
	    q->n < q->enough && !q->is_closed && span_queue_sleep(q, until_ms))
		;
	bool has_any = q->n > 0;
	pthread_mutex_unlock(&q->lock);
	return has_any;
}

bool
span_queue_pause(struct span_queue *q, int64_t ms)
{
	int64_t until_ms = clock_mono_ms() + ms;

	pthread_mutex_lock(&q->lock);
	while (!q->is_closed && span_queue_sleep(q, until_ms))
		;
	bool is_closed = q->is_closed;
	pthread_mutex_unlock(&q->lock);
	return !is_closed;
}

bool
span_queue_take(struct span_queue *q, struct span *out)
{
	pthread_mutex_lock(&q->lock);
	bool has_any = q->n > 0;
	if (has_any) {
		*out = q->ring[q->from];
		q->from = (q->from + 1) % q->cap;
		q->n--;
	}
	pthread_mutex_unlock(&q->lock);
	return has_any;
}

size_t
span_queue_count(struct span_queue *q)
{
	pthread_mutex_lock(&q->lock);
	size_t n = q->n;
	pthread_mutex_unlock(&q->lock);
	return n;
}
