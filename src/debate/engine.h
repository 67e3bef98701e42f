/* SPDX-License-Identifier: MIT
 *
 * Inside of src/debate/: the state that steps, prompts and events share.
 */
#pragma once

#include "base/json.h"
#include "bus/event.h"
#include "debate/consensus.h"
#include "debate/debate.h"
#include "debate/purse.h"

/* Beside what was read of an answer: its cost in micro-dollars, 0 = left out.
 */
#define TURN_COST "cost_udollar"

/* One model call and what came of it. It and its texts hang on an arena of
 * their own, so that what a finished round leaves behind can go. */
struct turn {
	struct arena *arena;
	const char *step_key;
	enum debate_phase phase;
	int64_t round;
	int agent;  /* seat */
	int target; /* seat, -1 = none */
	enum llm_task task;
	bool is_finished;
	bool is_failed;
	bool is_needed; /* turn_forget's note */
	int64_t attempt;
	const char *content;
	const char *parsed_text;   /* until it was put out; then NULL */
	const struct json *parsed; /* of parsed_text */
	const char *error;
	int64_t tokens_in, tokens_out;
	int64_t cost_udollar;
	int64_t cap;		  /* of its answer, 0 = the debate's */
	struct purse_amount held; /* for it, while it is under way */
	int64_t started_us, finished_us;
	struct debate_call call;
};

struct convergence; /* convergence.h */

struct debate {
	struct arena *arena;   /* lives as long as the debate */
	struct arena *prompts; /* the calls of the current phase */
	struct arena *scratch; /* one output */
	const char *id;
	struct debate_config config;
	enum debate_phase phase;
	int64_t round;
	int64_t round_kept; /* what older rounds need not keep is gone */
	int64_t started_us;
	struct turn **turns; /* in order of creation */
	size_t n_turns, cap_turns;
	struct arena *measured;		       /* `convergence` hangs on it */
	const struct convergence *convergence; /* of its round; NULL = none */
	struct purse purse;
	const char *stopped_by; /* "budget", "time"; NULL = nothing */
	/* set when the consensus is known */
	struct consensus_outcome outcome;
	bool is_by_positions; /* no ballots: each stands by its own */
	/* Beside the ballots: people who voted, and their weight as it was
	 * counted. */
	int64_t audience, audience_ppm;
	const char *judge_answer;
	double judge_confidence;
	int judge; /* seat, -1 = none */
	/* of the output being built */
	struct debate_output *out;
	size_t cap_events, cap_turn_rows, cap_calls;
	size_t *turn_event;
};

/* ---- turns (turn.c) ---- */

/* The turn of this step, made when it does not exist yet. */
struct turn *turn_get(struct debate *d, enum debate_phase phase, int64_t round,
    int agent, int target, enum llm_task task);
struct turn *turn_find(const struct debate *d, const char *step_key);
/* What a seat thinks now; NULL = nothing. */
const struct turn *turn_position(const struct debate *d, int agent);
/* What it thought when this phase of this round began: what prompts show, so
 * that a call made again after a restart asks the same. */
const struct turn *turn_position_seen(
    const struct debate *d, int agent, int64_t round, enum debate_phase phase);
const struct turn *turn_position_before(
    const struct debate *d, int agent, int64_t round);
/* Forget the turns that nothing after the start of d->round reads. */
void turn_forget(struct debate *d);
void turn_forget_all(struct debate *d);
/* Finished, not failed. */
bool turn_is_good(const struct turn *t);
/* Read the model's text into content and parsed. */
void turn_take(struct debate *d, struct turn *t, const char *text);
int debate_seat(const struct debate *d, const char *name);
double turn_confidence(const struct turn *t); /* 0.5 when not given */

/* Labels of the positions a seat reads, in its own seeded order:
 * order[i] = seat of "Proposal <A+i>"; returns how many. */
size_t debate_reading_order(
    const struct debate *d, int reader, bool with_own, int *order);
const char *debate_label(struct arena *a, size_t i);

/* The answer, or (text NULL) why there is none, becomes the turn's. */
void debate_take(struct debate *d, struct turn *t, const char *text,
    const char *error, int64_t now_us);

/* ---- the budget (afford.c) ---- */
#define AFFORD_REFUSED "budget: "
/* The configuration is read. */
void afford_init(struct debate *d);
bool afford_is_limited(const struct debate *d);
/* Hold what the new turns of this phase may cost. false: they cannot be
 * afforded and are finished. */
bool afford_step(struct debate *d, int64_t now_us);
/* A turn is over; one that was read from its row. */
void afford_settle(struct debate *d, struct turn *t);
void afford_restore(struct debate *d, struct turn *t);
/* told_udollar: -1 = by the price list. */
int64_t afford_cost(
    const struct debate *d, const struct turn *t, int64_t told_udollar);
/* Is this the error of a turn that was never asked? */
bool afford_is_refusal(const char *error);
void afford_result(struct debate *d, struct json_w *w, const char *key);

/* ---- prompts (prompt.c) ---- */
void prompt_build(struct debate *d, struct turn *t);

/* ---- steps (steps.c) ---- */
/* Make the turns of the current phase. */
void step_plan(struct debate *d);
bool step_is_complete(const struct debate *d);
/* Leave the current phase: events, next phase, its turns and calls. */
void step_finish(struct debate *d, int64_t now_us);
/* The end, whichever way. error is NULL unless failed. */
void step_end(struct debate *d, enum store_status status, const char *error,
    int64_t now_us);
enum llm_task step_task(enum debate_phase p);

/* ---- events (events.c): append to the output ---- */
void event_debate_start(struct debate *d, int64_t now_us);
void event_round(struct debate *d, bool is_start);
void event_phase(struct debate *d, enum debate_phase from);
/* The event that tells of a finished turn; links the turn's row to it. */
void event_turn(struct debate *d, struct turn *t);
void event_convergence(struct debate *d);
void event_consensus(struct debate *d);
void event_end(struct debate *d, enum store_status status, const char *error,
    int64_t now_us);

/* ---- output (debate.c) ---- */
size_t output_event(struct debate *d, enum event_type type, int64_t round,
    const char *agent, const char *data); /* index + 1 */
void output_turn(struct debate *d, struct turn *t, size_t event);
void output_call(struct debate *d, struct turn *t);

/* ---- result (result.c) ---- */
/* The consensus object as it stands. */
void result_consensus(
    struct debate *d, struct json_w *w, const char *key, const char *answer);
const char *result_write(struct debate *d, int64_t now_us);
const char *debate_answer(const struct debate *d);
double debate_confidence(const struct debate *d);
bool debate_is_reached(const struct debate *d);

/* ---- rating (rating.c) ---- */
/* On the scratch; NULL when nobody won or only one model played. */
const struct store_match *rating_match(struct debate *d);
