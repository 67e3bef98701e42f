/* SPDX-License-Identifier: MIT
 *
 * Watches that need no haste: what became ready is taken together, at most
 * once in so many milliseconds. Between two times the kernel keeps the bytes,
 * so that thousands of slow streams cost one read each instead of one for
 * every piece.
 */
#pragma once

#include "base/loop.h"

struct gather;

enum err gather_new(struct gather **out, struct loop *loop) MUST_CHECK;
/* All watches are removed before. */
void gather_free(struct gather **g);
/* From now on; 0 = at once. Level-triggered as the loop's watches are. */
void gather_set_pause(struct gather *g, int64_t ms);

/* As loop_watch_add and loop_watch_del. */
enum err gather_add(struct gather *g, struct loop_watch *w, uint32_t events)
    MUST_CHECK;
void gather_del(struct gather *g, struct loop_watch *w);
