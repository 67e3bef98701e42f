/* SPDX-License-Identifier: MIT
 *
 * Spans on their way to the one thread that sends them: a ring of a fixed
 * size. Whoever puts one in never waits for room; the lock is held for the
 * time of one copy.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/span.h"

struct span_queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct span *ring;
	size_t cap, from, n;
	size_t enough; /* so many are worth a message */
	bool is_closed;
};

/* enough is 1 to cap. */
void span_queue_init(struct span_queue *q, size_t cap, size_t enough);
void span_queue_release(struct span_queue *q);

/* Any thread. false: it is full or closed, and the span is lost. */
bool span_queue_put(struct span_queue *q, const struct span *s);
/* Any thread: from now on nothing goes in, and nobody waits. */
void span_queue_close(struct span_queue *q);

/* The one reader: wait until there are enough, or delay_ms after the first.
 * false: it is closed and empty. */
bool span_queue_wait(struct span_queue *q, int64_t delay_ms);
/* Sleep; false: it is closed, maybe before the time was over. */
bool span_queue_pause(struct span_queue *q, int64_t ms);
/* false: it is empty. */
bool span_queue_take(struct span_queue *q, struct span *out);
size_t span_queue_count(struct span_queue *q);
