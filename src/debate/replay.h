/* SPDX-License-Identifier: MIT
 *
 * A recorded debate told again: the engine is given the stored configuration,
 * the stored answers in the order in which they came and the stored clock, and
 * must make the stored events, byte for byte. No model is called.
 */
#pragma once

#include "debate/consensus.h"
#include "debate/debate.h"

struct debate_replay {
	size_t n_events; /* the same so far */
	size_t n_turns;	 /* answers that were given to the engine */
	/* The last event came from outside (a cancellation): it is an input,
	 * of which type and status are looked at. */
	bool has_input;
	bool is_open; /* the debate is not over yet */
	/* The first difference; seq 0 = none. Texts on the arena. */
	int64_t seq;
	const char *field;    /* type, round, agent, data, events or turns */
	const char *stored;   /* NULL = nothing there */
	const char *replayed; /* the same */
};

/* row, turns and events as the store gives them. *d (to be freed by the
 * caller) is the debate at its end, NULL when it never began. ERR_UNSUPPORTED:
 * the record lacks what info says. ERR_INVALID: it cannot be read. */
enum err debate_replay(struct arena *a, const struct store_debate *row,
    const struct store_turn *turns, size_t n_turns,
    const struct store_event *events, size_t n_events,
    struct debate_replay *out, struct debate **d, struct err_info *info)
    MUST_CHECK;

/* ---- what another rule would have made of the same ballots ---- */
struct debate_recount {
	struct consensus_outcome outcome;
	int64_t threshold_ppm;
	const char *winner; /* NULL = none; borrowed from the debate */
	size_t n_ballots, n_rankings;
	bool needs_judge; /* one would have been asked; none was */
};
void debate_recount(struct debate *d, enum debate_rule rule,
    int64_t threshold_ppm, struct debate_recount *out);
