/* SPDX-License-Identifier: MIT
 *
 * Inside of the loop thread: one record per debate in hand and per call of it.
 * drive.c claims debates and hears the writer, run.c writes what a debate
 * says, run_call.c makes its calls and streams their answers.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/trace.h"
#include "debate/debate.h"
#include "llm/llm.h"
#include "llm/llm_embed.h"
#include "runner/drive.h"
#include "runner/ledger.h"

struct drive {
	struct drive_options o;
	struct llm *llm;
	struct llm_embedder *embedder;
	struct teller *teller;
	struct writer *writer;
	struct list runs;
	size_t n_runs;
	int64_t n_calling; /* calls of all runs under way */
	bool is_claiming;
	bool is_success;
	bool is_stopping;
	int only_tries;
	struct loop_timer claim_timer;
	struct loop_timer heartbeat_timer;
};

/* One debate in hand. */
struct run {
	struct list link;
	struct drive *drive;
	struct debate *debate;
	char *id;
	char *tenant;
	struct trace trace;		/* span: the debate's; id "" = none */
	char asker[TRACE_SPAN_LEN + 1]; /* span of who asked, "" = none */
	char trace_parent[TRACE_PARENT_SIZE]; /* of that, "" = none */
	char *trace_state;		      /* NULL = none */
	int64_t epoch;
	int64_t started_us; /* by the first runner */
	struct list calls;  /* waiting and under way */
	int n_calling;
	int n_commits;	  /* not answered yet: they point here */
	bool is_dead;	  /* lost; freed when the last commit is answered */
	bool is_refused;  /* the database does not take what it says */
	bool is_pausing;  /* begins no call */
	bool is_parking;  /* its pause is on its way */
	bool is_ended;	  /* its last transition is on its way */
	bool is_takeover; /* its first transition is still to come */
	struct loop_timer deadline;
};

/* A request that was told to leave and is not over. */
#define RUN_ASKED 2 /* the second is a hedge */
struct run_asked {
	int64_t number; /* 0 = none */
	enum llm_attempt_kind kind;
	int64_t sent_us; /* 0 = it waits */
};

struct run_call {
	struct list link;
	struct run *run;
	struct debate_call call;
	/* One of the two; both NULL = waiting. */
	struct llm_call *llm_call;
	struct llm_embed_call *embed_call;
	bool is_hearing;	 /* the writer was asked */
	int64_t begun_us;	 /* monotonic */
	char hash[ID_HASH_SIZE]; /* of its request, "" = asks nobody */
	struct ledger ledger;	 /* of its requests, once it is begun */
	int64_t n_asked;	 /* requests meant, this runner's */
	struct run_asked asked[RUN_ASKED];
	struct buf tokens; /* not published yet */
	int64_t n_tokens;
	struct loop_timer flush;
};

/* What to do once a transition is in the database. */
struct run_commit {
	struct run *run;
	struct arena *arena; /* its lists; holds it too */
	struct debate_call *calls;
	struct store_attempt *intents; /* of the calls, in order */
	size_t n_calls;
	/* The request of a call that waits for this; NULL = none. */
	const char *go_step;
	int64_t go_number;
	bool is_done;
	enum store_status status;
};

/* ---- drive.c ---- */

void drive_claim(struct drive *d);

/* ---- run.c ---- */

/* Commit what the engine says. */
void run_apply(struct run *r, struct debate_output *out);
/* With the transition goes what has become of requests; go_step (may be NULL)
 * and go_number name the one that is to leave after it. */
void run_apply_attempts(struct run *r, struct debate_output *out,
    struct store_attempt *rows, size_t n_rows, const char *go_step,
    int64_t go_number);
void run_commit_free(struct run_commit *c);
/* The database does not take this debate's transition and never will: it ends
 * with that as the reason, without the texts that may be the cause. */
void run_refuse(struct run *r, enum err why);
/* Neither written nor lost: refused, for the first time. */
bool run_is_refusal(const struct run *r, enum err result);
/* Its time is over; arg of the timer is the run. */
void run_on_deadline(struct loop_timer *t);
/* What was under way has ended and is written: nothing is lost by a pause. */
void run_try_park(struct run *r);
void run_free(struct run *r);
/* No longer ours; freed when its last commit is answered. */
void run_drop(struct run *r);

/* ---- run_memory.c ---- */

/* Tell what these debates hold, and which hold most. */
void run_measure(const struct list *runs);

/* ---- run_call.c ---- */

void run_call_free(struct run_call *c);
/* Waits for run_start_calls. */
void run_add_call(struct run *r, const struct debate_call *call,
    const struct store_attempt *intent);
/* Only after something was written: who has lost the debate meanwhile hears
 * it then, and asks nobody. */
void run_start_calls(struct run *r);
/* The request that waited for this commit may leave. */
void run_go(struct run *r, const struct run_commit *commit);
void run_stop_calls(struct run *r);

/* ---- run_trace.c ---- */

void run_trace_begin(struct run *r, const struct store_debate *row);
/* Its end is written. */
void run_trace_end(const struct run *r, enum store_status status);
/* A request is meant: what it carries. */
void run_trace_next(struct run_call *c, struct llm_attempt *next);
/* It leaves. */
void run_trace_go(struct run_call *c, int64_t number);
/* It is over. */
void run_trace_over(struct run_call *c, const struct llm_attempt *a);
/* Those under way are given up without a word. */
void run_trace_lost(struct run_call *c);
