/* SPDX-License-Identifier: MIT
 *
 * Who follows a debate sees its stored events 1, 2, 3, ... each once and in
 * order. This tells what else it saw.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FOLLOW_MAX 8192 /* events whose doubles and gaps are told apart */

/* Caller's memory, zeroed. */
struct follow {
	int64_t top; /* the newest number seen */
	int64_t distinct;
	int64_t doubled, misordered;
	uint64_t seen[FOLLOW_MAX / 64];
};

/* seq is 1 or more. */
void follow_take(struct follow *f, int64_t seq);
/* Numbers up to the newest that never came. */
int64_t follow_lost(const struct follow *f);
