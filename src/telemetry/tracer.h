/* SPDX-License-Identifier: MIT
 *
 * Spans of this process on their way to the operator's collector: a bounded
 * queue and one thread that sends. Nobody ever waits for either; what has no
 * room is dropped and counted (aragora_trace_spans_total). Without a collector
 * there is no thread, and nothing here costs more than a look at a flag.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "telemetry/span.h"

struct settings;

/* What tracer_stop may take. */
#define TRACER_STOP_MS 2000

/* Once per process, after fork and after metrics_open; settings and program
 * are borrowed until tracer_stop. ERR_OK too when there is no collector. */
enum err tracer_start(const struct settings *settings, const char *program,
    struct err_info *info) MUST_CHECK;
/* When nobody records any more: sends what is left, as far as the time goes. */
void tracer_stop(void);

/* All of these from any thread. */
bool tracer_is_on(void);
/* A trace begins here (t has an id), or is continued from a caller's
 * traceparent: is it exported? Sets TRACE_SAMPLED accordingly; without a
 * collector t is left as it is. */
void tracer_decide(struct trace *t, bool is_continued);
/* Is a span of this trace worth making? */
bool tracer_wants(const struct trace *t);
/* A new trace, or in t's a new span. */
void tracer_begin(struct trace *t, bool is_continued);
void tracer_record(const struct span *span);
