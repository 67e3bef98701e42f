/* SPDX-License-Identifier: MIT
 *
 * A histogram of durations in microseconds with buckets that are linear within
 * each power of two, after HdrHistogram: whatever its size, a value is known
 * to one part in HIST_PARTS, better than three digits. Recording is a few
 * instructions and never allocates.
 */
#pragma once

#include <stdint.h>

#define HIST_PARTS 1024
/* Greater values, and negative ones, count as this, and as 0. Over an hour. */
#define HIST_MAX (INT64_C(0xffffffff))

struct hist;

struct hist *hist_new(void);
void hist_free(struct hist **h);

void hist_record(struct hist *h, int64_t us);
/* Everything of `from` once more in `into`. */
void hist_merge(struct hist *into, const struct hist *from);

int64_t hist_count(const struct hist *h);
/* Exact; 0 while it is empty. */
int64_t hist_min(const struct hist *h);
int64_t hist_max(const struct hist *h);
double hist_mean(const struct hist *h);

/* The least value that `percent` of the records do not exceed: at most
 * 1/HIST_PARTS too great, never above hist_max. percent is within 0 to 100;
 * 0 while it is empty. */
int64_t hist_percentile(const struct hist *h, double percent);
