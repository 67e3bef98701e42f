/* SPDX-License-Identifier: MIT
 *
 * The span of a debate: a child of the request that asked for it and the
 * parent of its calls, whichever processes those are. Its id follows from the
 * debate's, so that it need not be stored; whoever writes the debate's end
 * tells it.
 */
#pragma once

#include <stdint.h>

#include "base/trace.h"

struct debate_span {
	const char *id;
	const char *tenant;
	const char *status; /* how it ended */
	int64_t round;
	int64_t start_us; /* when a runner first had it, or it was asked for */
};

/* The debate's span in the trace of the request that asked for it, whose
 * traceparent it has (NULL = none: a trace begins with the debate, if traces
 * are exported; else t->id is ""). asker, of TRACE_SPAN_LEN + 1 bytes, becomes
 * that request's span, or "". */
void debate_span_trace(struct trace *t, char *asker, const char *debate_id,
    const char *trace_parent);
/* It ends now. */
void debate_span_record(
    const struct debate_span *d, const struct trace *t, const char *asker);
