/* SPDX-License-Identifier: MIT
 *
 * What embeddings do not see: "we should adopt it" and "we should not" lie
 * close together. Two texts contradict each other where a sentence of one and
 * a sentence of the other speak of the same with another sign or another
 * number. Pure, and of English words; of other languages it sees numbers.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"

struct stance; /* a text, read once */

struct stance *stance_read(struct arena *a, const char *text);
/* Is there such a pair of sentences? */
bool stance_contradicts(const struct stance *x, const struct stance *y);
/* The same answer but for case, spaces and punctuation at the end. */
bool stance_is_same(const struct stance *x, const struct stance *y);
