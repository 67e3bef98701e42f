/* SPDX-License-Identifier: MIT
 *
 * What a process of this host says of its heap, where the others can read it:
 * a slot of the file of metrics.c. Its owner writes, anybody reads, nobody
 * waits.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/id.h"

#define HEAP_TOP	  10 /* debates that are told one by one */
#define HEAP_PROGRAM_SIZE 24

struct heap_debate {
	char id[ID_SIZE];
	int64_t bytes; /* its state machine and texts */
	int64_t calls; /* under way or waiting */
	int64_t call_bytes;
};

struct heap_process {
	int64_t pid; /* 0 = nobody has written here */
	char program[HEAP_PROGRAM_SIZE];
	int64_t at_us;
	struct heap_figures figures;
	/* Of a runner: debates in hand, and the largest first. */
	int64_t n_debates;
	int64_t n_top;
	struct heap_debate top[HEAP_TOP];
};

struct heap_slot {
	_Atomic(uint64_t) turn; /* odd while it is written */
	struct heap_process said;
};

/* A new owner: whatever the last one left. */
void heap_slot_clear(struct heap_slot *s);
void heap_slot_write(struct heap_slot *s, const struct heap_process *said);
/* False: nobody has written, or its owner is at it all the time. */
bool heap_slot_read(struct heap_slot *s, struct heap_process *out);
