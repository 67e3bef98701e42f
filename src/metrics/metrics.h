/* SPDX-License-Identifier: MIT
 *
 * Counters and gauges of metric.def and histograms of histogram.def in one
 * shared file per host (<data_dir>/metrics), so that any process can answer
 * for all. Counters and gauges have a slot per process; one whose process is
 * gone keeps its counters and loses its gauges. A gauge is the sum over the
 * processes; a level is what each of them sees of the same thing, and the
 * greatest counts. Before metrics_open, and when it fails, counting is a no-op
 * on process memory.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct heap_process;
struct settings;

enum metric {
#define METRIC(id, type, name, label, help) METRIC_##id,
#include "metrics/metric.def"
#undef METRIC
	METRIC__COUNT
};

enum histogram {
#define HISTOGRAM(id, name, keys, help) HISTOGRAM_##id,
#include "metrics/histogram.def"
#undef HISTOGRAM
	HISTOGRAM__COUNT
};

/* Once per process, after fork. */
enum err metrics_open(const struct settings *settings, struct err_info *info);
void metrics_close(void);

/* Any thread. */
void metric_add(enum metric m, int64_t delta);
void metric_set(enum metric m, int64_t value); /* gauges and levels */
/* Of the host. */
int64_t metric_read(enum metric m);
/* Of this process alone. */
int64_t metric_read_own(enum metric m);
/* Any thread. label is the text between the braces, key="value",..., with
 * values that metric_label wrote, "" = none. Of too many sets of labels the
 * later ones are counted without. */
void metric_observe(enum histogram h, const char *label, int64_t us);
/* A value as it may stand between quotes. */
void metric_label(struct buf *out, const char *value);

/* What this process says of its heap (heap_report.c), and what those of this
 * host that live have said; returns how many, no more than max. */
void metrics_heap_write(const struct heap_process *said);
size_t metrics_heap_read(struct heap_process *out, size_t max);

/* Prometheus text format 0.0.4. */
void metrics_render(struct buf *out);
