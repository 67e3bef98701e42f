/* SPDX-License-Identifier: MIT */
#include "telemetry/sampler.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "settings/settings.h"

#define SAMPLER_PARENT_BASED "parentbased_"

/* By the last 8 bytes of the id, as other implementations do. */
static bool
sampler_is_drawn(const struct trace *t, double ratio)
{
	uint64_t n = strtoull(t->id + TRACE_ID_LEN / 2, NULL, 16) >> 1;

	return ratio >= 1 || (double)n < ratio * (double)INT64_MAX;
}

static bool
sampler_is_chosen(const char *name, const struct trace *t, double ratio)
{
	if (str_eq(name, "always_on"))
		return true;
	return !str_eq(name, "always_off") && sampler_is_drawn(t, ratio);
}

void
sampler_decide(const struct settings *s, struct trace *t, bool is_continued)
{
	const char *name = s->otel_traces_sampler;
	bool is_parent_based = str_starts(name, SAMPLER_PARENT_BASED);

	if (is_continued && is_parent_based)
		return;
	if (is_parent_based)
		name += sizeof(SAMPLER_PARENT_BASED) - 1;
	t->flags &= ~TRACE_SAMPLED;
	if (sampler_is_chosen(name, t, s->otel_traces_sampler_arg))
		t->flags |= TRACE_SAMPLED;
}
