/* SPDX-License-Identifier: MIT */
#include "ws-bridge/conn_trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "telemetry/tracer.h"
#include "ws-bridge/ws_codec.h"

#define TRACE_SWITCHING 101
#define TRACE_LOST	1006 /* never on the wire: no close frame came */

struct conn_trace {
	struct trace trace;
	char asker[TRACE_SPAN_LEN + 1]; /* the caller's span, "" = none */
	int64_t wall_us, mono_us;	/* its begin */
	char *debate_id;
	char *tenant;
	int status;    /* 0 = no answer yet */
	uint16_t code; /* 0 = not closed */
};

struct conn_trace *
conn_trace_new(const char *traceparent)
{
	struct trace t = {0};
	char asker[TRACE_SPAN_LEN + 1] = "";

	if (!tracer_is_on())
		return NULL;
	bool is_continued = traceparent != NULL && trace_parse(traceparent, &t);
	if (is_continued)
		memcpy(asker, t.span, sizeof(asker));
	tracer_begin(&t, is_continued);
	if (!tracer_wants(&t))
		return NULL;
	struct conn_trace *c = mem_zalloc(sizeof(*c));
	c->trace = t;
	memcpy(c->asker, asker, sizeof(asker));
	c->wall_us = clock_wall_us();
	c->mono_us = clock_mono_us();
	return c;
}

void
conn_trace_debate(struct conn_trace *t, const char *debate_id)
{
	if (t != NULL && t->debate_id == NULL)
		t->debate_id = mem_strdup(debate_id);
}

void
conn_trace_tenant(struct conn_trace *t, const char *tenant)
{
	if (t != NULL && t->tenant == NULL)
		t->tenant = mem_strdup(tenant);
}

void
conn_trace_status(struct conn_trace *t, int status)
{
	if (t != NULL)
		t->status = status;
}

void
conn_trace_close(struct conn_trace *t, uint16_t code)
{
	if (t != NULL && t->code == 0)
		t->code = code;
}

void
conn_trace_end(struct conn_trace **out)
{
	struct conn_trace *t = *out;
	struct span s;

	if (t == NULL)
		return;
	*out = NULL;
	span_init(&s, &t->trace, t->asker, SPAN_SERVER, "connection");
	s.start_us = t->wall_us;
	s.end_us = t->wall_us + clock_mono_us() - t->mono_us;
	span_text(&s, SPAN_ATTR_METHOD, "GET");
	if (t->status > 0)
		span_http_status(&s, t->status);
	if (t->status == TRACE_SWITCHING)
		span_int(&s, SPAN_ATTR_CLOSE_CODE,
		    t->code > 0 ? t->code : TRACE_LOST);
	if (t->code == WS_CLOSE_INTERNAL || t->code == WS_CLOSE_TRY_LATER)
		span_error(&s, t->code == WS_CLOSE_INTERNAL ? "1011" : "1013");
	span_text(&s, SPAN_ATTR_DEBATE, t->debate_id);
	span_text(&s, SPAN_ATTR_TENANT, t->tenant);
	tracer_record(&s);
	free(t->debate_id);
	free(t->tenant);
	free(t);
}
