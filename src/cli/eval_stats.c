/* SPDX-License-Identifier: MIT */
#include "cli/eval_stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct eval_interval
eval_wilson(int64_t right, int64_t n)
{
	double count = (double)n;
	double share = n > 0 ? (double)right / count : 0;
	double z2 = EVAL_Z * EVAL_Z;

	if (n <= 0)
		return (struct eval_interval){0, 1};
	double middle = (share + z2 / (2 * count)) / (1 + z2 / count);
	double half = EVAL_Z / (1 + z2 / count) *
	    sqrt(share * (1 - share) / count + z2 / (4 * count * count));
	/* Rounding must not lead out of what is possible. */
	return (struct eval_interval){
	    right == 0 ? 0 : middle - half, right == n ? 1 : middle + half};
}

double
eval_mcnemar(int64_t gained, int64_t lost)
{
	int64_t n = gained + lost;
	int64_t few = gained < lost ? gained : lost;
	double sum = 0;

	if (gained == lost)
		return 1;
	for (int64_t i = 0; i <= few; i++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) -
		    lgamma((double)(n - i) + 1) - (double)n * M_LN2);
	return 2 * sum < 1 ? 2 * sum : 1;
}

/* splitmix64: evenly spread for any seed. */
static uint64_t
stats_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static int
stats_order(const void *x, const void *y)
{
	const int64_t *a = x;
	const int64_t *b = y;

	return *a < *b ? -1 : *a > *b;
}

struct eval_interval
eval_bootstrap(int64_t gained, int64_t lost, int64_t n, uint64_t seed)
{
	int64_t *all;
	size_t cut = (size_t)((1 - EVAL_LEVEL) / 2 * EVAL_RESAMPLES);

	if (n <= 0)
		return (struct eval_interval){-1, 1};
	all = mem_array(EVAL_RESAMPLES, sizeof(*all));
	for (size_t i = 0; i < EVAL_RESAMPLES; i++) {
		all[i] = 0;
		for (int64_t k = 0; k < n; k++) {
			int64_t at = (int64_t)(stats_random(&seed) >> 1) % n;
			all[i] += (at < gained) -
			    (at >= gained && at < gained + lost);
		}
	}
	qsort(all, EVAL_RESAMPLES, sizeof(*all), stats_order);
	struct eval_interval out = {(double)all[cut] / (double)n,
	    (double)all[EVAL_RESAMPLES - 1 - cut] / (double)n};
	free(all);
	return out;
}
