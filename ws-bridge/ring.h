/* SPDX-License-Identifier: MIT
 *
 * The last frames of a debate, by consecutive sequence number, within a limit
 * of frames and of bytes. The newest frame is kept whatever its size.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ws-bridge/frame.h"

struct ring {
	struct frame **slots; /* cap is a power of two, 0 before the first */
	size_t cap;
	size_t first; /* slot of the oldest */
	size_t n;
	size_t bytes;
	size_t max_frames;
	size_t max_bytes;
};

void ring_init(struct ring *r, size_t max_frames, size_t max_bytes);
void ring_release(struct ring *r);
/* Takes the reference; f's seq must follow the newest. */
void ring_push(struct ring *r, struct frame *f);
/* Borrowed; NULL when it is not there. */
struct frame *ring_get(const struct ring *r, int64_t seq);
/* seq of the oldest frame, 0 when empty. */
int64_t ring_oldest(const struct ring *r);
