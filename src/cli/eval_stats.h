/* SPDX-License-Identifier: MIT
 *
 * How far counts of right answers can be trusted. Pure.
 */
#pragma once

#include <stdint.h>

#define EVAL_LEVEL     0.95	/* of every interval */
#define EVAL_Z	       1.959964 /* of the normal distribution at that level */
#define EVAL_RESAMPLES 2000

struct eval_interval {
	double low, high;
};

/* Wilson's score interval of a share; 0 to 1 when n is 0. */
struct eval_interval eval_wilson(int64_t right, int64_t n);

/* Two answers to each question: `gained` are right the second time only,
 * `lost` the first time only. How probable is a difference at least so large
 * when neither is better? McNemar's exact test, two-sided. */
double eval_mcnemar(int64_t gained, int64_t lost);

/* The difference of the shares, (gained - lost) / n: percentiles over
 * resampled questions, the same for the same seed. */
struct eval_interval eval_bootstrap(
    int64_t gained, int64_t lost, int64_t n, uint64_t seed);
