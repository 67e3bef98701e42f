/* SPDX-License-Identifier: MIT
 *
 * What the debates in hand hold.
 */
#include <stdio.h>

#include "base/arena.h"
#include "metrics/heap_report.h"
#include "metrics/metrics.h"
#include "runner/run.h"

static size_t
run_call_memory(const struct run_call *c)
{
	size_t n = sizeof(*c) + c->tokens.cap;

	if (c->ledger.arena != NULL)
		n += arena_size(c->ledger.arena);
	if (c->llm_call != NULL)
		n += llm_call_memory(c->llm_call);
	return n;
}

static void
run_weigh(const struct run *r, struct heap_debate *out)
{
	*out = (struct heap_debate){.bytes = (int64_t)sizeof(*r)};
	snprintf(out->id, sizeof(out->id), "%s", r->id);
	if (r->debate != NULL)
		out->bytes += (int64_t)debate_memory(r->debate);
	list_for_each (it, &r->calls) {
		out->calls++;
		out->call_bytes += (int64_t)run_call_memory(
		    LIST_ENTRY(it, struct run_call, link));
	}
}

static int64_t
run_weight(const struct heap_debate *d)
{
	return d->bytes + d->call_bytes;
}

/* Keep the largest, in order; *n of them are there. */
static void
run_rank(struct heap_debate *top, size_t *n, const struct heap_debate *d)
{
	size_t i = *n;

	if (i == HEAP_TOP && run_weight(d) <= run_weight(&top[i - 1]))
		return;
	if (i < HEAP_TOP)
		(*n)++;
	else
		i--;
	for (; i > 0 && run_weight(&top[i - 1]) < run_weight(d); i--)
		top[i] = top[i - 1];
	top[i] = *d;
}

void
run_measure(const struct list *runs)
{
	struct heap_debate top[HEAP_TOP];
	size_t n_top = 0;
	size_t n = 0;
	size_t bytes = 0;

	list_for_each (it, runs) {
		const struct run *r = LIST_ENTRY(it, struct run, link);
		bytes += r->debate != NULL ? debate_memory(r->debate) : 0;
		n++;
		if (heap_is_on) {
			struct heap_debate d;
			run_weigh(r, &d);
			run_rank(top, &n_top, &d);
		}
	}
	metric_set(METRIC_RUNNER_MEMORY, (int64_t)bytes);
	if (heap_is_on)
		heap_report_debates(top, n_top, n);
}
