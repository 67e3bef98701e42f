/* SPDX-License-Identifier: MIT */
#include "metrics/heap_slot.h"

#include <sched.h>
#include <string.h>

#define HEAP_SLOT_TRIES 100

void
heap_slot_write(struct heap_slot *s, const struct heap_process *said)
{
	uint64_t turn = atomic_load(&s->turn);

	atomic_store_explicit(&s->turn, turn + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	memcpy(&s->said, said, sizeof(*said));
	atomic_store_explicit(&s->turn, turn + 2, memory_order_release);
}

void
heap_slot_clear(struct heap_slot *s)
{
	static const struct heap_process nobody;

	/* Its last owner may have died while it wrote. */
	atomic_store(&s->turn, 0);
	heap_slot_write(s, &nobody);
}

bool
heap_slot_read(struct heap_slot *s, struct heap_process *out)
{
	for (int i = 0; i < HEAP_SLOT_TRIES; i++) {
		uint64_t turn =
		    atomic_load_explicit(&s->turn, memory_order_acquire);
		memcpy(out, &s->said, sizeof(*out));
		atomic_thread_fence(memory_order_acquire);
		if (turn % 2 == 0 &&
		    atomic_load_explicit(&s->turn, memory_order_relaxed) ==
			turn)
			return out->pid != 0;
		sched_yield();
	}
	return false;
}
