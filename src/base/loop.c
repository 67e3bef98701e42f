/* SPDX-License-Identifier: MIT */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LOOP_BATCH 256

struct loop {
	int epoll_fd;
	struct loop_watch wakeup; /* an eventfd */
	atomic_bool is_stopping;
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
	struct loop_timer **heap; /* heap[1..heap_len], earliest first */
	size_t heap_len;
	size_t heap_cap;
	int64_t lag_ms;	   /* worst of late */
	int64_t firing_ms; /* due until here fire now; -1 outside of firing */
	void (*turn_fn)(void *arg);
	void *turn_arg;
	void (*wake_fn)(void *arg);
	void *wake_arg;
};

static void
loop_on_wakeup(struct loop_watch *w, uint32_t events UNUSED)
{
	struct loop *l = w->arg;
	uint64_t count;

	if (read(w->fd, &count, sizeof(count)) < 0)
		return; /* spurious: the eventfd is non-blocking */
	if (l->wake_fn != NULL)
		l->wake_fn(l->wake_arg);
}

enum err
loop_new(struct loop **out)
{
	struct loop *l = mem_zalloc(sizeof(*l));
	l->firing_ms = -1;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wakeup =
	    (struct loop_watch){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.fn = loop_on_wakeup,
		.arg = l};
	if (l->epoll_fd < 0 || l->wakeup.fd < 0 ||
	    loop_watch_add(l, &l->wakeup, EPOLLIN) != ERR_OK) {
		loop_free(&l);
		return ERR_IO;
	}
	*out = l;
	return ERR_OK;
}

void
loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	if (l->wakeup.fd >= 0)
		close(l->wakeup.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l->heap);
	free(l);
	*loop = NULL;
}

enum err
loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) != 0)
		return ERR_IO;
	w->events = events;
	return ERR_OK;
}

void
loop_watch_mod(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (w->events == events)
		return;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) == 0)
		w->events = events;
}

void
loop_watch_del(struct loop *l, struct loop_watch *w)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

static void
loop_heap_place(struct loop *l, size_t slot, struct loop_timer *t)
{
	l->heap[slot] = t;
	t->heap_slot = slot;
}

static void
loop_heap_up(struct loop *l, size_t slot)
{
	struct loop_timer *t = l->heap[slot];

	for (; slot > 1 && l->heap[slot / 2]->due_ms > t->due_ms; slot /= 2)
		loop_heap_place(l, slot, l->heap[slot / 2]);
	loop_heap_place(l, slot, t);
}

static void
loop_heap_down(struct loop *l, size_t slot)
{
	struct loop_timer *t = l->heap[slot];

	for (size_t child; (child = slot * 2) <= l->heap_len; slot = child) {
		if (child < l->heap_len &&
		    l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		loop_heap_place(l, slot, l->heap[child]);
	}
	loop_heap_place(l, slot, t);
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms)
{
	loop_timer_del(l, t);
	t->due_ms = clock_mono_ms() + (delay_ms > 0 ? delay_ms : 0);
	/* A timer's callback cannot make the turn endless. */
	if (t->due_ms <= l->firing_ms)
		t->due_ms = l->firing_ms + 1;
	if (l->heap_len + 2 > l->heap_cap) {
		l->heap_cap = l->heap_cap > 0 ? l->heap_cap * 2 : 64;
		l->heap = mem_realloc_array(
		    l->heap, l->heap_cap, sizeof(struct loop_timer *));
	}
	l->heap_len++;
	loop_heap_place(l, l->heap_len, t);
	loop_heap_up(l, l->heap_len);
}

void
loop_timer_del(struct loop *l, struct loop_timer *t)
{
	size_t slot = t->heap_slot;

	if (slot == 0)
		return;
	assert(slot <= l->heap_len && l->heap[slot] == t);
	t->heap_slot = 0;
	struct loop_timer *last = l->heap[l->heap_len--];
	if (last == t)
		return;
	loop_heap_place(l, slot, last);
	loop_heap_up(l, slot);
	loop_heap_down(l, last->heap_slot);
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->heap_slot != 0;
}

int64_t
loop_take_lag_ms(struct loop *l)
{
	int64_t lag_ms = l->lag_ms;

	l->lag_ms = 0;
	return lag_ms;
}

void
loop_on_turn_end(struct loop *l, void (*fn)(void *arg), void *arg)
{
	l->turn_fn = fn;
	l->turn_arg = arg;
}

void
loop_on_wake(struct loop *l, void (*fn)(void *arg), void *arg)
{
	l->wake_fn = fn;
	l->wake_arg = arg;
}

/* Milliseconds until the earliest timer, -1 when none is armed. */
static int
loop_wait_ms(const struct loop *l)
{
	if (l->heap_len == 0)
		return -1;
	int64_t wait = l->heap[1]->due_ms - clock_mono_ms();
	return wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait;
}

/* Fire what is due now; what a callback sets waits for another turn. */
static void
loop_fire_timers(struct loop *l)
{
	l->firing_ms = clock_mono_ms();
	while (l->heap_len > 0 && l->heap[1]->due_ms <= l->firing_ms) {
		struct loop_timer *t = l->heap[1];
		int64_t lag_ms = clock_mono_ms() - t->due_ms;
		if (lag_ms > l->lag_ms)
			l->lag_ms = lag_ms;
		loop_timer_del(l, t);
		t->fn(t);
	}
	l->firing_ms = -1;
}

enum err
loop_run(struct loop *l)
{
	while (!atomic_load(&l->is_stopping)) {
		int n = epoll_wait(
		    l->epoll_fd, l->batch, LOOP_BATCH, loop_wait_ms(l));
		if (n < 0 && errno != EINTR)
			return ERR_IO;
		l->batch_len = n > 0 ? n : 0;
		for (int i = 0; i < l->batch_len; i++) {
			struct loop_watch *w = l->batch[i].data.ptr;
			if (w != NULL)
				w->fn(w, l->batch[i].events);
		}
		l->batch_len = 0;
		loop_fire_timers(l);
		if (l->turn_fn != NULL)
			l->turn_fn(l->turn_arg);
	}
	return ERR_OK;
}

void
loop_wake(struct loop *l)
{
	uint64_t one = 1;
	int saved_errno = errno; /* for the code a signal handler interrupts */

	/* A full counter is as good as a wake-up. */
	if (write(l->wakeup.fd, &one, sizeof(one)) < 0)
		errno = saved_errno;
}

void
loop_stop(struct loop *l)
{
	atomic_store(&l->is_stopping, true);
	loop_wake(l);
}
