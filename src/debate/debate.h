/* SPDX-License-Identifier: MIT
 *
 * The debate engine: a pure state machine without clock, network or database.
 * Input: a configuration, and the results of model calls in whatever order
 * they come. Output: calls to make, and transitions (turns, events, new
 * state) to commit. The runner carries both out.
 *
 * A debate that was interrupted is built again from its configuration, its
 * row and its turns (debate_restore) and goes on with the first call that has
 * no result.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "debate/config.h"
#include "llm/llm.h"
#include "store/store.h"

/* The steps of a debate, in order (step table: debate_steps.c). */
#define DEBATE_PHASE_LIST(X)                                                   \
	X(DEBATE_NEW, "new")                                                   \
	X(DEBATE_PROPOSE, "propose")                                           \
	X(DEBATE_CRITIQUE, "critique")                                         \
	X(DEBATE_REVISE, "revise")                                             \
	X(DEBATE_EMBED, "embed")                                               \
	X(DEBATE_CHECK, "check")                                               \
	X(DEBATE_VOTE, "vote")                                                 \
	X(DEBATE_CLOSE, "close")                                               \
	X(DEBATE_CONSENSUS, "consensus")                                       \
	X(DEBATE_SYNTHESIS, "synthesis")                                       \
	X(DEBATE_INDEX, "index")                                               \
	X(DEBATE_DONE, "done")
enum debate_phase {
#define X(id, text) id,
	DEBATE_PHASE_LIST(X)
#undef X
	    DEBATE_PHASE__COUNT
};
const char *debate_phase_name(enum debate_phase p);

struct debate;

/* A model call the engine wants. Everything is borrowed from the debate and
 * lives until its result was given. */
struct debate_call {
	const char *step_key; /* identifies it to debate_result */
	const struct llm_agent *agent;
	struct llm_request request;
	/* LLM_AUDIENCE asks no model but the store: for what people said
	 * after this event (audience_write). */
	int64_t heard_seq;
	int64_t attempt;     /* its next request's number, from 1 */
	int64_t key_attempt; /* whose Idempotency-Key that bears */
};

/* What to do next: first commit the transition, then start the calls. */
struct debate_output {
	bool has_transition;
	struct store_transition
	    transition; /* debate_id and epoch set by caller */
	struct debate_call *calls;
	size_t n_calls;
	bool is_done; /* after this transition the debate is over */
};

/* now_us is the only clock the engine sees. config is copied. */
struct debate *debate_new(
    const char *id, const struct debate_config *config, int64_t now_us);
/* From a claimed row: ERR_INVALID (bad config) only for rows we did not
 * write. */
enum err debate_restore(struct debate **out, const struct store_debate *row,
    const struct store_turn *turns, size_t n_turns, int64_t now_us,
    struct err_info *info) MUST_CHECK;
void debate_free(struct debate **d);

/* The last output was taken: what it and rounds gone by hold is given back,
 * before a wait for answers that may be long. The calls stay. */
void debate_output_drop(struct debate *d);

/* Begin or go on: the calls that have no result yet, and, at a phase
 * boundary, its transition. The output lives until the next call on d. */
void debate_start(struct debate *d, int64_t now_us, struct debate_output *out);
/* The result of one call. Unknown step keys are a bug (assert). */
void debate_result(struct debate *d, const char *step_key,
    const struct llm_result *result, int64_t now_us, struct debate_output *out);
/* A call under way asks once more: its row, with the next number, which is
 * returned. */
int64_t debate_retry(
    struct debate *d, const char *step_key, struct debate_output *out);
/* The same as debate_result from the stored turn, whose finished_us is the
 * clock. ERR_NOT_FOUND: no such call is under way. ERR_UNSUPPORTED: its row
 * does not hold the whole answer. */
enum err debate_replay_turn(struct debate *d, const struct store_turn *row,
    struct debate_output *out, struct err_info *info) MUST_CHECK;
/* End it now as failed: deadline ("timeout") or an error of ours. */
void debate_fail(struct debate *d, const char *reason, int64_t now_us,
    struct debate_output *out);

/* End it as failed without any of its texts: one of them may be what the
 * database does not take. No call may be under way. */
void debate_abandon(struct debate *d, const char *reason, int64_t now_us,
    struct debate_output *out);

/* Bytes of the heap that its arenas hold. */
size_t debate_memory(const struct debate *d);

enum debate_phase debate_phase(const struct debate *d);
int64_t debate_round(const struct debate *d);
