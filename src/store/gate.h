/* SPDX-License-Identifier: MIT
 *
 * A number of permits, handed out first come, first served, each waited for
 * no longer than a deadline. Thread-safe.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"

struct gate {
	pthread_mutex_t lock;
	struct list waiters;
	int64_t n_free;
};

/* Caller's memory. */
void gate_init(struct gate *g, int64_t permits);
/* All permits must be back. */
void gate_release(struct gate *g);

/* false: no permit within the time. */
bool gate_enter(struct gate *g, int64_t timeout_ms) MUST_CHECK;
void gate_leave(struct gate *g);
