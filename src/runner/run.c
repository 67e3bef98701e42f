/* SPDX-License-Identifier: MIT
 *
 * A debate in hand: what it says goes to the writer, and it ends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "runner/run.h"

void
run_try_park(struct run *r)
{
	if (!r->is_pausing || r->is_parking || r->is_dead || r->is_ended ||
	    r->n_calling > 0 || r->n_commits > 0 || r->drive->is_stopping)
		return;
	r->is_parking = true;
	writer_park(
	    r->drive->writer, r->tenant, r->id, r->epoch, r->trace_parent);
}

void
run_free(struct run *r)
{
	struct drive *d = r->drive;

	run_stop_calls(r);
	loop_timer_del(d->o.loop, &r->deadline);
	list_del(&r->link);
	debate_free(&r->debate);
	heap_free(HEAP_DEBATES, r->id);
	heap_free(HEAP_DEBATES, r->tenant);
	heap_free(HEAP_DEBATES, r->trace_state);
	heap_free(HEAP_DEBATES, r);
}

void
run_drop(struct run *r)
{
	struct drive *d = r->drive;

	if (r->is_dead)
		return;
	r->is_dead = true;
	d->n_runs--;
	metric_set(METRIC_DEBATES_ACTIVE, (int64_t)d->n_runs);
	run_stop_calls(r);
	loop_timer_del(d->o.loop, &r->deadline);
	if (r->n_commits == 0)
		run_free(r);
}

/* People are asked for nothing that costs. */
static bool
run_is_request(const struct debate_call *call)
{
	return call->request.task != LLM_AUDIENCE;
}

static struct run_commit *
run_commit_new(struct run *r, const struct debate_output *out)
{
	struct arena *a = arena_new_for(HEAP_JOBS, 1024);
	struct run_commit *c = ARENA_NEW(a, struct run_commit);

	*c = (struct run_commit){.arena = a,
	    .run = r,
	    .is_done = out->is_done,
	    .status = out->transition.status,
	    .n_calls = out->n_calls};
	c->calls = ARENA_ARRAY(a, out->n_calls + 1, struct debate_call);
	c->intents = ARENA_ARRAY(a, out->n_calls + 1, struct store_attempt);
	for (size_t i = 0; i < out->n_calls; i++) {
		c->calls[i] = out->calls[i];
		if (run_is_request(&c->calls[i]))
			c->intents[i] = ledger_intent(a, &c->calls[i]);
	}
	return c;
}

void
run_commit_free(struct run_commit *c)
{
	struct arena *a = c->arena; /* holds c itself */

	arena_free(&a);
}

/* With the transition goes what has become of requests, and which are to be
 * made after it. */
void
run_apply_attempts(struct run *r, struct debate_output *out,
    struct store_attempt *rows, size_t n_rows, const char *go_step,
    int64_t go_number)
{
	struct store_transition *t = &out->transition;

	if (!out->has_transition)
		return;
	struct run_commit *c = run_commit_new(r, out);
	c->go_step = arena_strdup(c->arena, go_step);
	c->go_number = go_number;
	t->attempts = ARENA_ARRAY(
	    c->arena, n_rows + out->n_calls + 1, struct store_attempt);
	for (size_t i = 0; i < n_rows; i++)
		t->attempts[t->n_attempts++] = rows[i];
	for (size_t i = 0; i < out->n_calls; i++)
		if (run_is_request(&c->calls[i]))
			t->attempts[t->n_attempts++] = c->intents[i];
	t->trace_parent = r->trace_parent;
	t->is_takeover = r->is_takeover;
	r->is_takeover = false;
	r->n_commits++;
	if (out->is_done) {
		r->is_ended = true;
		run_stop_calls(r);
		loop_timer_del(r->drive->o.loop, &r->deadline);
	}
	if (r->is_refused)
		writer_commit_last_word(
		    r->drive->writer, t, r->tenant, r->epoch, c);
	else
		writer_commit(r->drive->writer, t, r->tenant, r->epoch, c);
	debate_output_drop(r->debate); /* all of it was copied */
}

void
run_apply(struct run *r, struct debate_output *out)
{
	run_apply_attempts(r, out, NULL, 0, NULL, 0);
}

void
run_refuse(struct run *r, enum err why)
{
	struct debate_output out;
	char reason[96];

	run_stop_calls(r);
	r->is_refused = true;
	snprintf(reason, sizeof(reason), "storage_refused: %s", err_text(why));
	debate_abandon(r->debate, reason, clock_wall_us(), &out);
	run_apply(r, &out);
}

bool
run_is_refusal(const struct run *r, enum err result)
{
	return result != ERR_OK && result != ERR_FENCED && !r->is_refused &&
	    !r->drive->is_stopping;
}

void
run_on_deadline(struct loop_timer *t)
{
	struct run *r = t->arg;
	struct debate_output out;

	if (r->is_ended)
		return;
	log_info(
	    "debate.timeout", "debate_id=%s trace_id=%s", r->id, r->trace.id);
	run_stop_calls(r);
	debate_fail(r->debate, "timeout", clock_wall_us(), &out);
	run_apply(r, &out);
}
