/* SPDX-License-Identifier: MIT
 *
 * How many connections of this bridge watch a debate by name, over all its
 * loops. Thread-safe; memory for what is watched only.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct viewers;

struct viewers *viewers_new(void) MUST_CHECK;
void viewers_free(struct viewers **v);
/* delta is +1 or -1; below zero is a bug of the caller. */
void viewers_add(struct viewers *v, const char *debate_id, int delta);
int64_t viewers_count(struct viewers *v, const char *debate_id);
