/* SPDX-License-Identifier: MIT */
#include "telemetry/debate_span.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "telemetry/tracer.h"

/* No step has this number. */
#define DEBATE_SPAN_NUMBER	 (-1)
#define DEBATE_SPAN_TRACE_NUMBER (-2)

/* Another runner that goes on must come to the same. */
static void
debate_span_begin(struct trace *t, const char *debate_id)
{
	char half[TRACE_SPAN_LEN + 1];

	trace_span_of(half, debate_id, "", DEBATE_SPAN_TRACE_NUMBER);
	snprintf(t->id, sizeof(t->id), "%s%s", t->span, half);
	t->flags = TRACE_SAMPLED;
	tracer_decide(t, false);
}

void
debate_span_trace(struct trace *t, char *asker, const char *debate_id,
    const char *trace_parent)
{
	*t = (struct trace){0};
	*asker = '\0';
	bool is_continued =
	    trace_parent != NULL && trace_parse(trace_parent, t);
	if (!is_continued && !tracer_is_on())
		return;
	if (is_continued)
		memcpy(asker, t->span, sizeof(t->span));
	trace_span_of(t->span, debate_id, "", DEBATE_SPAN_NUMBER);
	if (!is_continued)
		debate_span_begin(t, debate_id);
}

void
debate_span_record(
    const struct debate_span *d, const struct trace *t, const char *asker)
{
	struct span s;

	if (!tracer_wants(t))
		return;
	span_init(&s, t, asker, SPAN_INTERNAL, "debate");
	s.start_us = d->start_us;
	s.end_us = clock_wall_us();
	span_text(&s, SPAN_ATTR_DEBATE, d->id);
	span_text(&s, SPAN_ATTR_TENANT, d->tenant);
	span_text(&s, SPAN_ATTR_DEBATE_STATUS, d->status);
	span_int(&s, SPAN_ATTR_ROUND, d->round);
	if (str_eq(d->status, "failed"))
		span_error(&s, d->status);
	tracer_record(&s);
}
