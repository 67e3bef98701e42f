/* SPDX-License-Identifier: MIT */
#include "tests/load/run.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

static void run_next_stage(struct run *r);

/* ---- the end ---- */

static void
run_end(struct run *r)
{
	if (r->is_over)
		return;
	r->is_over = true;
	r->ended_us = clock_mono_us();
	loop_timer_del(r->loop, &r->grace);
	loop_stop(r->loop);
}

static void
run_on_streams(void *arg)
{
	struct run *r = arg;

	if (mix_open(r->mix) == 0)
		run_end(r);
}

static void
run_on_grace(struct loop_timer *t)
{
	struct run *r = t->arg;

	streams_abandon(r->streams);
	run_on_streams(r);
}

/* Requests end by themselves, at their timeout at the latest. */
static void
run_drain(struct run *r)
{
	r->is_waiting = true;
	r->at = r->stages.n;
	r->grace = (struct loop_timer){.fn = run_on_grace, .arg = r};
	loop_timer_set(r->loop, &r->grace, r->grace_ms);
	streams_finish(r->streams, run_on_streams, r);
}

/* ---- stages ---- */

static void
run_arm(struct run *r, int64_t at_us)
{
	struct itimerspec t = {.it_value = {.tv_sec = at_us / 1000000,
				   .tv_nsec = at_us % 1000000 * 1000}};

	timerfd_settime(r->clock.fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* The end of a stage of a search: how did it go? */
static void
run_judge_stage(struct run *r)
{
	struct run_stage *row = &r->rows[r->at];
	int64_t end_us =
	    r->stage_us + (int64_t)(r->stages.rows[r->at].seconds * 1e6);

	if (r->last_us > end_us)
		end_us = r->last_us;
	row->seconds = (double)(end_us - r->stage_us) / 1e6;
	row->is_ok =
	    slo_judge_stage(&row->stats, row->seconds, RUN_SHARE, &r->bounds);
	if (!row->is_ok) {
		run_drain(r);
		return;
	}
	r->at++;
	r->stage_us = clock_mono_us();
	run_next_stage(r);
}

static void
run_on_done(void *arg)
{
	struct run *r = arg;

	r->last_us = clock_mono_us();
	if (!r->is_waiting || mix_open(r->mix) > 0)
		return;
	if (r->at < r->stages.n)
		run_judge_stage(r);
	else if (streams_is_over(r->streams))
		run_end(r);
}

/* All requests of the stage are sent and its time is over. */
static void
run_end_stage(struct run *r)
{
	if (r->is_search) {
		r->is_waiting = true;
		if (mix_open(r->mix) == 0)
			run_judge_stage(r);
		return;
	}
	r->stage_us += (int64_t)(r->stages.rows[r->at].seconds * 1e6);
	r->at++;
	run_next_stage(r);
}

static void
run_next_stage(struct run *r)
{
	if (r->at == r->stages.n) {
		run_drain(r);
		return;
	}
	const struct stage *s = &r->stages.rows[r->at];
	struct run_stage *row = &r->rows[r->at];
	r->is_waiting = false;
	row->is_begun = true;
	row->seconds = s->seconds;
	r->next = 0;
	r->in_stage = stage_count(s);
	run_arm(r, r->stage_us);
}

/* When something is to be done next: a request, or the stage's end. */
static int64_t
run_due_us(const struct run *r)
{
	const struct stage *s = &r->stages.rows[r->at];

	return r->stage_us +
	    (r->next < r->in_stage ? stage_due_us(s, r->next)
				   : (int64_t)(s->seconds * 1e6));
}

static void
run_on_clock(struct loop_watch *w, uint32_t events UNUSED)
{
	struct run *r = w->arg;
	uint64_t ticks;
	int64_t due_us;

	if (read(w->fd, &ticks, sizeof(ticks)) < 0)
		return;
	/* Everything that is due by now, with one look at the clock. */
	int64_t now_us = clock_mono_us();
	while (!r->is_waiting && (due_us = run_due_us(r)) <= now_us) {
		if (r->next == r->in_stage) {
			run_end_stage(r);
			continue;
		}
		hist_record(r->late, now_us - due_us);
		mix_send(r->mix, due_us, &r->rows[r->at].stats);
		r->next++;
	}
	if (!r->is_waiting)
		run_arm(r, run_due_us(r));
}

/* ---- from outside ---- */

enum err
run_begin(struct run *r)
{
	r->clock = (struct loop_watch){
	    .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
	    .fn = run_on_clock,
	    .arg = r};
	if (r->clock.fd < 0 ||
	    loop_watch_add(r->loop, &r->clock, EPOLLIN) != ERR_OK)
		return ERR_IO;
	r->late = hist_new();
	for (size_t i = 0; i < r->stages.n; i++)
		stats_init(&r->rows[i].stats);
	mix_on_done(r->mix, run_on_done, r);
	r->begun_wall_us = clock_wall_us();
	r->begun_us = r->stage_us = r->last_us = clock_mono_us();
	streams_begin(r->streams, r->n_sse, r->n_ws, r->together);
	run_next_stage(r);
	return ERR_OK;
}

void
run_interrupt(struct run *r)
{
	if (r->is_waiting && r->at == r->stages.n)
		return;
	r->is_interrupted = true;
	r->rows[r->at].seconds = (double)(clock_mono_us() - r->stage_us) / 1e6;
	run_drain(r);
}

void
run_release(struct run *r)
{
	for (size_t i = 0; i < r->stages.n; i++)
		stats_release(&r->rows[i].stats);
	if (r->clock.fd >= 0)
		close(r->clock.fd);
	hist_free(&r->late);
}

double
run_seconds(const struct run *r)
{
	int64_t end_us = r->last_us;

	if (!r->is_search && !r->is_interrupted) {
		int64_t planned_us =
		    r->begun_us + (int64_t)(stages_seconds(&r->stages) * 1e6);
		end_us = planned_us > end_us ? planned_us : end_us;
	}
	return (double)(end_us - r->begun_us) / 1e6;
}

const struct run_stage *
run_knee(const struct run *r)
{
	const struct run_stage *knee = NULL;

	for (size_t i = 0; r->is_search && i < r->stages.n; i++)
		if (r->rows[i].is_ok)
			knee = &r->rows[i];
	return knee;
}

/* A search is judged by its knee: that it came to an end is no fault. */
bool
run_judge(const struct run *r, struct slo_verdict *verdicts)
{
	const struct run_stage *knee = run_knee(r);
	bool has_create = mix_has(r->mix, MIX_CREATE);
	struct slo_input in = {.requests = mix_all(r->mix),
	    .seconds = run_seconds(r),
	    .create = has_create ? mix_stats(r->mix, MIX_CREATE) : NULL,
	    .streams = streams_wanted(r->streams) > 0 ? r->streams : NULL};

	if (knee != NULL) {
		in.requests = &knee->stats;
		in.seconds = knee->seconds;
		in.create = NULL;
	}
	if (in.requests->wanted == 0)
		in.requests = in.create = NULL;
	return slo_judge(&in, &r->bounds, verdicts);
}
