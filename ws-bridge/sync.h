/* SPDX-License-Identifier: MIT
 *
 * The `sync` event: the state of a debate for a client that joins it
 * (contract 9.4), and the list of running debates.
 */
#pragma once

#include "store/store.h"
#include "ws-bridge/frame.h"

#define SYNC_MESSAGES	   50		 /* the newest */
#define SYNC_MESSAGE_BYTES (200u * 1024) /* of their texts together */

struct frame *sync_debate(struct arena *a, const struct store_debate *d,
    const struct store_turn *turns, size_t n_turns, int64_t viewers) MUST_CHECK;
struct frame *sync_loops(const struct store_debate *rows, size_t n) MUST_CHECK;
