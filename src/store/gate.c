/* SPDX-License-Identifier: MIT */
#include "store/gate.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "base/clock.h"

struct gate_waiter {
	struct list link;
	pthread_cond_t wake;
	bool is_served; /* the permit is ours */
};

void
gate_init(struct gate *g, int64_t permits)
{
	pthread_mutex_init(&g->lock, NULL);
	list_init(&g->waiters);
	g->n_free = permits;
}

void
gate_release(struct gate *g)
{
	assert(list_is_empty(&g->waiters));
	pthread_mutex_destroy(&g->lock);
}

/* With the lock held: wait in line. */
static bool
gate_wait(struct gate *g, int64_t timeout_ms)
{
	struct gate_waiter w = {.is_served = false};
	int64_t deadline = clock_mono_ms() + timeout_ms;
	struct timespec until = {.tv_sec = (time_t)(deadline / 1000),
	    .tv_nsec = (long)(deadline % 1000) * 1000000};
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w.wake, &attr);
	pthread_condattr_destroy(&attr);
	list_add_tail(&g->waiters, &w.link);
	while (!w.is_served &&
	    pthread_cond_timedwait(&w.wake, &g->lock, &until) != ETIMEDOUT)
		;
	list_del(&w.link);
	pthread_cond_destroy(&w.wake);
	return w.is_served;
}

bool
gate_enter(struct gate *g, int64_t timeout_ms)
{
	bool is_in = true;

	pthread_mutex_lock(&g->lock);
	if (list_is_empty(&g->waiters) && g->n_free > 0)
		g->n_free--;
	else
		is_in = gate_wait(g, timeout_ms);
	pthread_mutex_unlock(&g->lock);
	return is_in;
}

void
gate_leave(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	if (list_is_empty(&g->waiters)) {
		g->n_free++;
	} else {
		struct gate_waiter *w =
		    LIST_ENTRY(g->waiters.next, struct gate_waiter, link);
		list_del(&w->link);
		w->is_served = true;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&g->lock);
}
