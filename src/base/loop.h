/* SPDX-License-Identifier: MIT
 *
 * A small epoll loop with intrusive watches and timers: the caller embeds
 * them, the loop allocates nothing per watch. Single-threaded but for
 * loop_wake and loop_stop, which any thread or signal handler may call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_watch;
struct loop_timer;

typedef void (*loop_watch_fn)(struct loop_watch *w, uint32_t events);
typedef void (*loop_timer_fn)(struct loop_timer *t);

/* Fill fd, fn and arg, then loop_watch_add. Events are EPOLLIN etc. After
 * loop_watch_del no callback for it comes any more, not even for an event of
 * the same turn; its memory may be freed at once. */
struct loop_watch {
	int fd;
	loop_watch_fn fn;
	void *arg;
	uint32_t events; /* owned by the loop */
};

/* Fill fn and arg (zero the rest), then loop_timer_set. One-shot. */
struct loop_timer {
	loop_timer_fn fn;
	void *arg;
	int64_t due_ms;	  /* CLOCK_MONOTONIC; owned by the loop */
	size_t heap_slot; /* 1-based; 0 = not armed; owned by the loop */
};

enum err loop_new(struct loop **out) MUST_CHECK;
void loop_free(struct loop **loop);

enum err loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events)
    MUST_CHECK;
void loop_watch_mod(struct loop *l, struct loop_watch *w, uint32_t events);
void loop_watch_del(struct loop *l, struct loop_watch *w);

/* (Re)arm to fire delay_ms from now; 0 = when the callbacks of this turn have
 * run, or, set by a timer's callback, in the next turn. Timers fire in the
 * order of their due times. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms);
void loop_timer_del(struct loop *l, struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);

/* The longest a timer has come after it was due, in ms, since this was asked
 * for the last time: how far behind the loop is. Loop thread. */
int64_t loop_take_lag_ms(struct loop *l);

/* Called once at the end of every turn, after all callbacks: the place to
 * flush and to free what died in this turn. */
void loop_on_turn_end(struct loop *l, void (*fn)(void *arg), void *arg);
/* Called on the loop's thread after loop_wake. */
void loop_on_wake(struct loop *l, void (*fn)(void *arg), void *arg);

/* Until loop_stop, which is for good: the loop does not run again. */
enum err loop_run(struct loop *l);
void loop_wake(struct loop *l);
void loop_stop(struct loop *l);
