/* SPDX-License-Identifier: MIT
 *
 * One run: stages of requests at their times, streams beside them, and the
 * wait for what is under way at the end.
 */
#pragma once

#include "base/loop.h"
#include "tests/load/mix.h"
#include "tests/load/slo.h"
#include "tests/load/stage.h"
#include "tests/load/stream.h"

/* What a stage of a search must have answered of its requests. */
#define RUN_SHARE 0.99

struct run_stage {
	struct stats stats;
	double seconds; /* of a search: until the last answer */
	bool is_begun, is_ok;
};

struct run {
	/* of the caller */
	struct loop *loop;
	struct pool *pool;
	struct mix *mix;
	struct streams *streams;
	struct stages stages;
	struct slo_bounds bounds;
	bool is_search; /* each stage waits for the one before and is judged */
	int64_t grace_ms; /* what streams have left at the end */
	size_t n_sse, n_ws, together;
	/* of the run */
	struct run_stage rows[STAGE_MAX];
	size_t at;		/* stage */
	int64_t next, in_stage; /* request of the stage, of how many */
	int64_t stage_us;	/* its begin */
	int64_t begun_us, ended_us;
	int64_t last_us; /* when the last request was answered */
	int64_t begun_wall_us;
	struct hist *late; /* how long after its time a request was sent or
			    * put into the line: by our own fault */
	struct loop_watch clock; /* a timerfd */
	struct loop_timer grace;
	bool is_waiting; /* for answers, at the end of a stage or of all */
	bool is_over, is_interrupted;
};

/* Caller's memory. Until loop_run returns. */
enum err run_begin(struct run *r) MUST_CHECK;
/* Nothing new is asked; what is under way is waited for. */
void run_interrupt(struct run *r);
void run_release(struct run *r);

/* From the first request to the end of the stages, or to the last answer if
 * that came later. */
double run_seconds(const struct run *r);
/* Of a search: the last stage that met the objectives, NULL = none. */
const struct run_stage *run_knee(const struct run *r);
/* false: an objective is missed. */
bool run_judge(const struct run *r, struct slo_verdict *verdicts);
