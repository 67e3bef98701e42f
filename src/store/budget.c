/* SPDX-License-Identifier: MIT */
#include "store/budget.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "store/budget_file.h"

/* Nobody tells that a process was killed, so those in line look for it, and
 * ask again for idle connections, this often. */
#define BUDGET_LOOK_MS 200

struct budget {
	struct budget_file file;
	struct budget_options o; /* path is not kept */
	void *gifts[BUDGET_WAITERS];
	bool is_helped;
	pthread_t helper;
	uint32_t seen; /* calls that were for an earlier owner of the slot */
	atomic_bool is_closing;
};

/* ---- sleeping ---- */

/* Until the word is no longer `seen`, somebody wakes us or the time is over.
 * deadline_ms of CLOCK_MONOTONIC, 0 = none. */
static void
budget_sleep(_Atomic(uint32_t) *word, uint32_t seen, int64_t deadline_ms)
{
	struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
	    .tv_nsec = (long)(deadline_ms % 1000) * 1000000};

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen,
	    deadline_ms != 0 ? &until : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void
budget_wake(_Atomic(uint32_t) *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
budget_call(struct budget_slot *slot)
{
	atomic_fetch_add(&slot->call, 1);
	budget_wake(&slot->call);
}

/* ---- under the lock ---- */

static struct budget_slot *
budget_mine(struct budget *b)
{
	return &b->file.shared->slots[b->file.slot];
}

/* Permits that are out. */
static int64_t
budget_taken(struct budget *b)
{
	struct budget_shared *shared = b->file.shared;
	int64_t n = 0;

	for (uint32_t i = 0; i < shared->used_slots; i++)
		n += shared->slots[i].held;
	for (uint32_t i = 0; i < shared->used_waiters; i++)
		n += atomic_load(&shared->waiters[i].state) == BUDGET_GRANTED;
	return n;
}

static void
budget_count(struct budget *b)
{
	struct budget_shared *shared = b->file.shared;
	uint32_t n = 0;

	for (uint32_t i = 0; i < shared->used_waiters; i++)
		n += atomic_load(&shared->waiters[i].state) == BUDGET_WAITING;
	atomic_store(&shared->n_waiting, n);
}

/* Take back what a process had that is no more. */
static void
budget_bury(struct budget *b, uint32_t dead)
{
	struct budget_shared *shared = b->file.shared;

	for (uint32_t i = 0; i < shared->used_waiters; i++)
		if (shared->waiters[i].slot == dead)
			atomic_store(&shared->waiters[i].state, BUDGET_FREE);
	shared->slots[dead].held = 0;
	atomic_store(&shared->slots[dead].idle, 0);
	atomic_store(&shared->slots[dead].is_owned, false);
}

static void
budget_sweep(struct budget *b)
{
	struct budget_shared *shared = b->file.shared;

	for (uint32_t i = 0; i < shared->used_slots; i++)
		if (atomic_load(&shared->slots[i].is_owned) &&
		    budget_file_is_gone(&b->file, i))
			budget_bury(b, i);
}

/* First in line among those whose own limit leaves room. */
static struct budget_waiter *
budget_first(struct budget *b, int64_t taken)
{
	struct budget_shared *shared = b->file.shared;
	struct budget_waiter *first = NULL;

	for (uint32_t i = 0; i < shared->used_waiters; i++) {
		struct budget_waiter *w = &shared->waiters[i];
		if (atomic_load(&w->state) == BUDGET_WAITING &&
		    w->limit > taken &&
		    (first == NULL || w->ticket < first->ticket))
			first = w;
	}
	return first;
}

static void
budget_grant(struct budget_waiter *w, enum budget_wait state)
{
	atomic_store(&w->state, state);
	budget_wake(&w->state);
}

/* Hand out what is free. The dead get nothing. */
static void
budget_serve(struct budget *b)
{
	struct budget_waiter *w;

	while ((w = budget_first(b, budget_taken(b))) != NULL) {
		if (budget_file_is_gone(&b->file, w->slot))
			budget_bury(b, w->slot);
		else
			budget_grant(w, BUDGET_GRANTED);
	}
	budget_count(b);
}

/* Somebody waits: ask the process with most to part with an idle connection,
 * or all of them when it did not listen. */
static void
budget_ask(struct budget *b, bool is_again)
{
	struct budget_shared *shared = b->file.shared;
	struct budget_slot *most = NULL;

	for (uint32_t i = 0; i < shared->used_slots; i++) {
		struct budget_slot *slot = &shared->slots[i];
		int64_t idle = atomic_load(&slot->idle);
		if (idle <= 0)
			continue;
		if (is_again)
			budget_call(slot);
		else if (most == NULL || idle > atomic_load(&most->idle))
			most = slot;
	}
	if (most != NULL)
		budget_call(most);
}

static struct budget_waiter *
budget_line_up(struct budget *b)
{
	struct budget_shared *shared = b->file.shared;

	for (uint32_t i = 0; i < BUDGET_WAITERS; i++) {
		struct budget_waiter *w = &shared->waiters[i];
		if (atomic_load(&w->state) != BUDGET_FREE)
			continue;
		if (shared->used_waiters <= i)
			shared->used_waiters = i + 1;
		w->slot = b->file.slot;
		w->ticket = shared->next_ticket++;
		w->limit = b->o.limit;
		atomic_store(&w->state, BUDGET_WAITING);
		budget_count(b);
		return w;
	}
	return NULL;
}

/* In line until served or too late; the lock is given up while asleep. */
static void
budget_wait(struct budget *b, struct budget_waiter *w, int64_t timeout_ms)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	bool is_again = false;

	for (;;) {
		budget_sweep(b);
		budget_serve(b);
		int64_t now = clock_mono_ms();
		if (atomic_load(&w->state) != BUDGET_WAITING || now >= deadline)
			return;
		budget_ask(b, is_again);
		is_again = true;
		int64_t look = now + BUDGET_LOOK_MS;
		budget_file_unlock(&b->file);
		/* Our own may have come back while we lined up. */
		if (atomic_load(&budget_mine(b)->idle) > 0)
			b->o.give(b->o.arg);
		budget_sleep(&w->state, BUDGET_WAITING,
		    look < deadline ? look : deadline);
		budget_file_lock(&b->file);
	}
}

/* ---- permits ---- */

static enum err
budget_enter_line(struct budget *b, int64_t timeout_ms, void **gift)
{
	struct budget_waiter *w = budget_line_up(b);
	enum err e = ERR_OK;

	if (w == NULL)
		return ERR_BUSY;
	void **left = &b->gifts[w - b->file.shared->waiters];
	metric_add(METRIC_DB_POOL_WAITING, 1);
	budget_wait(b, w, timeout_ms);
	metric_add(METRIC_DB_POOL_WAITING, -1);
	switch ((enum budget_wait)atomic_load(&w->state)) {
	case BUDGET_GRANTED:
		budget_mine(b)->held++;
		break;
	case BUDGET_GIVEN:
		*gift = *left;
		*left = NULL;
		break;
	case BUDGET_WAITING:
	case BUDGET_FREE:
		e = ERR_BUSY;
		break;
	}
	atomic_store(&w->state, BUDGET_FREE);
	budget_count(b);
	return e;
}

enum err
budget_enter(struct budget *b, int64_t timeout_ms, void **gift)
{
	enum err e = ERR_OK;

	*gift = NULL;
	budget_file_lock(&b->file);
	if (!budget_is_wanted(b) && budget_taken(b) < b->o.limit)
		budget_mine(b)->held++;
	else
		e = budget_enter_line(b, timeout_ms, gift);
	budget_file_unlock(&b->file);
	return e;
}

void
budget_leave(struct budget *b)
{
	budget_file_lock(&b->file);
	assert(budget_mine(b)->held > 0);
	budget_mine(b)->held--;
	if (budget_is_wanted(b))
		budget_serve(b);
	budget_file_unlock(&b->file);
}

bool
budget_pass(struct budget *b, void *gift)
{
	budget_file_lock(&b->file);
	struct budget_waiter *w = budget_first(b, budget_taken(b) - 1);
	bool is_ours = w != NULL && w->slot == b->file.slot;
	if (is_ours) {
		b->gifts[w - b->file.shared->waiters] = gift;
		budget_grant(w, BUDGET_GIVEN);
		budget_count(b);
	}
	budget_file_unlock(&b->file);
	return is_ours;
}

/* ---- idle connections ---- */

bool
budget_is_wanted(struct budget *b)
{
	return atomic_load(&b->file.shared->n_waiting) > 0;
}

void
budget_add_idle(struct budget *b, int64_t delta)
{
	atomic_fetch_add(&budget_mine(b)->idle, delta);
}

int64_t
budget_idle(struct budget *b)
{
	struct budget_shared *shared = b->file.shared;
	int64_t n = 0;

	for (uint32_t i = 0; i < BUDGET_SLOTS; i++)
		n += atomic_load(&shared->slots[i].idle);
	return n;
}

void
budget_read(struct budget *b, struct budget_use *out)
{
	struct budget_shared *shared = b->file.shared;

	budget_file_lock(&b->file);
	budget_sweep(b);
	budget_count(b);
	*out = (struct budget_use){.taken = budget_taken(b),
	    .idle = budget_idle(b),
	    .waiting = atomic_load(&shared->n_waiting)};
	for (uint32_t i = 0; i < shared->used_slots; i++)
		out->processes += atomic_load(&shared->slots[i].is_owned);
	budget_file_unlock(&b->file);
}

static void *
budget_help(void *arg)
{
	struct budget *b = arg;
	_Atomic(uint32_t) *call = &budget_mine(b)->call;
	uint32_t seen = b->seen;

	while (!atomic_load(&b->is_closing)) {
		budget_sleep(call, seen, 0);
		if (atomic_load(call) == seen)
			continue; /* nobody called */
		seen = atomic_load(call);
		b->o.give(b->o.arg);
	}
	return NULL;
}

/* Signals are for the threads that wait for them. */
static bool
budget_start_helper(struct budget *b)
{
	sigset_t all, before;

	b->seen = atomic_load(&budget_mine(b)->call);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	b->is_helped = pthread_create(&b->helper, NULL, budget_help, b) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return b->is_helped;
}

enum err
budget_open(
    struct budget **out, const struct budget_options *o, struct err_info *info)
{
	struct budget *b = heap_take(HEAP_STORE, mem_zalloc(sizeof(*b)));

	b->o = *o;
	b->o.path = NULL;
	*out = b; /* the helper's give looks for it there */
	enum err e = budget_file_open(&b->file, o->path, info);
	if (e == ERR_OK && o->path != NULL && !budget_start_helper(b)) {
		budget_file_close(&b->file);
		e = err_set(info, ERR_IO, "", "cannot start a thread");
	}
	if (e != ERR_OK) {
		heap_free(HEAP_STORE, b);
		*out = NULL;
	}
	return e;
}

void
budget_close(struct budget **budget)
{
	struct budget *b = *budget;

	if (b == NULL)
		return;
	if (b->is_helped) {
		atomic_store(&b->is_closing, true);
		budget_call(budget_mine(b));
		pthread_join(b->helper, NULL);
	}
	budget_file_close(&b->file);
	heap_free(HEAP_STORE, b);
	*budget = NULL;
}
