/* SPDX-License-Identifier: MIT
 *
 * Counting votes in exact integer arithmetic. Pure. Source: engine notes 2.5.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debate/config.h"

#define CONSENSUS_PPM 1000000

struct consensus_ballot {
	int choice;		/* option, -1 = abstention */
	int64_t weight_ppm;	/* 1000000 = one full vote */
	int64_t confidence_ppm; /* of the voter, breaks ties */
};

struct consensus_outcome {
	bool is_quorate;
	bool is_reached;
	bool is_tie;
	int winner;	   /* -1 = none */
	int64_t share_ppm; /* of the leading option among valid weight */
	int64_t valid, abstained;
	int distinct; /* options that got a vote */
};

/* The rule over n ballots and n_options options. DEBATE_JUDGE, DEBATE_HYBRID
 * count as majority here: the judge decides elsewhere. */
void consensus_count(enum debate_rule rule, int64_t threshold_ppm,
    const struct consensus_ballot *ballots, size_t n, size_t n_options,
    struct consensus_outcome *out);

/* "unanimous", "strong", "medium", "weak" or "none". */
const char *consensus_strength(const struct consensus_outcome *o);
