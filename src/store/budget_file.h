/* SPDX-License-Identifier: MIT
 *
 * Inside of the connection budget: the memory that the processes of a host
 * share, its lock, and who of them is alive.
 *
 * A process owns a slot while it holds the lock of one byte of the file that
 * stands for it. The kernel ends that lock with the process, however it ends,
 * and knows no process number that another could have been given since. The
 * state has no sums: what a dead process had is what its slot and its places
 * in the line say, so clearing those gives it back, at whatever instruction
 * it died.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BUDGET_SLOTS   256  /* processes of a host on one database */
#define BUDGET_WAITERS 1024 /* threads in line, of all processes */

enum budget_wait {
	BUDGET_FREE,	/* the place is nobody's */
	BUDGET_WAITING, /* in line */
	BUDGET_GRANTED, /* a permit, which counts from now on */
	BUDGET_GIVEN,	/* a connection of the same process, permit and all */
};

struct budget_waiter {
	_Atomic(uint32_t) state; /* a futex; set last, under the lock */
	uint32_t slot;
	uint64_t ticket; /* the lowest is served first */
	int64_t limit;	 /* as its process was told */
};

struct budget_slot {
	_Atomic(uint32_t) call; /* a futex: raised to ask for idle ones */
	_Atomic(bool) is_owned;
	_Atomic(int64_t) idle; /* of these connections ... */
	int64_t held;	       /* ... with a permit */
};

struct budget_shared {
	_Atomic(uint32_t) n_waiting; /* places in BUDGET_WAITING */
	uint32_t used_slots;	     /* ever owned: the first so many */
	uint32_t used_waiters;
	uint64_t next_ticket;
	struct budget_slot slots[BUDGET_SLOTS];
	struct budget_waiter waiters[BUDGET_WAITERS];
};

struct budget_file {
	int fd; /* -1: memory of this process alone */
	pthread_mutex_t lock;
	struct budget_shared *shared;
	uint32_t slot; /* ours */
};

/* Caller's memory. path NULL: for one process, which cannot fail. */
enum err budget_file_open(
    struct budget_file *f, const char *path, struct err_info *info) MUST_CHECK;
/* The slot must be empty. */
void budget_file_close(struct budget_file *f);

/* Keeps out the threads of all processes; ends with its holder. */
void budget_file_lock(struct budget_file *f);
void budget_file_unlock(struct budget_file *f);

/* With the lock: has the slot's process ended? */
bool budget_file_is_gone(struct budget_file *f, uint32_t slot);
