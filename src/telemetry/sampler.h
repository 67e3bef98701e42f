/* SPDX-License-Identifier: MIT
 *
 * Which traces are exported: OTEL_TRACES_SAMPLER. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/trace.h"

struct settings;

/* Sets or takes away TRACE_SAMPLED of t. is_continued: t came from outside,
 * with the caller's decision in its flags. The same for whoever asks about one
 * trace id. */
void sampler_decide(
    const struct settings *settings, struct trace *t, bool is_continued);
