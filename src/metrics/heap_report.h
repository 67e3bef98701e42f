/* SPDX-License-Identifier: MIT
 *
 * What a program tells of its heap while ARAGORA_MEMORY_PROFILING is on: a
 * line in the log each minute and on SIGUSR2, gauges, and its slot in the
 * memory that the processes of the host share. A thread of its own does so.
 * While it is off there is no thread, and SIGUSR2 is ignored.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "metrics/heap_slot.h"

/* After settings_start, before there are threads: none of them is to take the
 * signal. */
void heap_report_signals(void);
/* After metrics_open; the name is borrowed. */
void heap_report_start(const char *program);
/* Before metrics_close. */
void heap_report_stop(void);

/* The largest of n debates in hand, largest first. Any thread. */
void heap_report_debates(const struct heap_debate *top, size_t n_top, size_t n);
