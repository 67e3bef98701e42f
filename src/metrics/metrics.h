/* SPDX-License-Identifier: MIT
 *
 * Counters and gauges of metric.def in one shared file per host
 * (<data_dir>/metrics), a slot per process, so that any process can answer
 * for all. A slot whose process is gone keeps its counters and loses its
 * gauges. Before metrics_open, and when it fails, counting is a no-op on
 * process memory.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct settings;

enum metric {
#define METRIC(id, type, name, label, help) METRIC_##id,
#include "metrics/metric.def"
#undef METRIC
	METRIC__COUNT
};

/* Once per process, after fork. */
enum err metrics_open(const struct settings *settings, struct err_info *info);
void metrics_close(void);

/* Any thread. */
void metric_add(enum metric m, int64_t delta);
void metric_set(enum metric m, int64_t value); /* gauges */
/* Sum over the host. */
int64_t metric_read(enum metric m);

/* Prometheus text format 0.0.4. */
void metrics_render(struct buf *out);
