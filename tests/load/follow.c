/* SPDX-License-Identifier: MIT */
#include "tests/load/follow.h"

/* Beyond the bits only the order is known. */
static bool
follow_has(const struct follow *f, int64_t seq)
{
	if (seq >= FOLLOW_MAX)
		return seq <= f->top;
	return (f->seen[seq / 64] >> (seq % 64) & 1) != 0;
}

void
follow_take(struct follow *f, int64_t seq)
{
	if (follow_has(f, seq)) {
		f->doubled++;
		return;
	}
	f->distinct++;
	if (seq < FOLLOW_MAX)
		f->seen[seq / 64] |= UINT64_C(1) << (seq % 64);
	if (seq < f->top)
		f->misordered++;
	else
		f->top = seq;
}

int64_t
follow_lost(const struct follow *f)
{
	return f->top - f->distinct;
}
