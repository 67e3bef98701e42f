/* SPDX-License-Identifier: MIT
 *
 * Inside of src/metrics/: the histograms of histogram.def as they lie in the
 * shared file. A series is a histogram with one set of labels. All processes
 * of the host add to the same series with atomics, so that nothing is lost
 * with a process and no sum ever falls. A series is never taken away; when
 * there is no room for another one, what it would have counted goes to the
 * histogram's series without labels.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "metrics/metrics.h"

/* A power of two. Half of it are used at most, so that looking ends soon. */
#define HISTOGRAM_SERIES 2048
#define HISTOGRAM_LABEL	 168
#define HISTOGRAM_BOUNDS 17

struct histogram_series {
	/* 0 = free, else 1 + enum histogram. Set last, after the label. */
	_Atomic(uint32_t) owner;
	char label[HISTOGRAM_LABEL]; /* key="value",...; "" = none */
	_Atomic(int64_t) sum_us;
	/* Not cumulative; the last one is what is above all bounds. */
	_Atomic(int64_t) count[HISTOGRAM_BOUNDS + 1];
};

struct histogram_table {
	_Atomic(uint32_t) used;
	struct histogram_series series[HISTOGRAM_SERIES];
};

/* lock and unlock keep out whoever else adds a series, in this process and in
 * others. A process that dies meanwhile leaves the table whole. */
struct histogram_lock {
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void *arg;
};

void histogram_observe(struct histogram_table *t,
    const struct histogram_lock *lock, enum histogram h, const char *label,
    int64_t us);
/* Text format, with HELP and TYPE; nothing for a histogram without series. */
void histogram_render(const struct histogram_table *t, struct buf *out);
/* Hash of what the rows and sizes are. */
uint64_t histogram_layout(uint64_t seed);
