/* SPDX-License-Identifier: MIT
 *
 * Counting votes in exact integer arithmetic. Pure; the result depends on what
 * the ballots say, never on their order nor on that of the options. Source:
 * engine notes 2.5.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debate/config.h"

#define CONSENSUS_PPM	      1000000
#define CONSENSUS_OPTIONS_MAX 64
/* A weight is cut to this range before it is counted. */
#define CONSENSUS_WEIGHT_MIN 100000
#define CONSENSUS_WEIGHT_MAX 3000000

struct consensus_ballot {
	int choice;		/* option, -1 = abstention */
	int64_t weight_ppm;	/* 1000000 = one full vote */
	int64_t confidence_ppm; /* of the voter, breaks ties */
	/* Best first, borrowed; an option at most once. Not all need be
	 * ranked: the others share the last place. Empty: `choice` alone. */
	const int *ranking;
	size_t n_ranking;
	/* The weight of people for one option: as it is, beside the voters.
	 * It is none of those who could vote and decides no unanimity. */
	bool is_audience;
};

struct consensus_rule {
	enum debate_rule rule;
	int64_t threshold_ppm;
	int judge; /* the option the judge chose, breaks ties; -1 = none */
};

/* What settled a tie. */
enum consensus_break {
	CONSENSUS_BREAK_NONE, /* there was none, or it stands */
	CONSENSUS_BREAK_JUDGE,
	CONSENSUS_BREAK_CONFIDENCE /* the higher mean of the voters */
};

struct consensus_outcome {
	bool is_quorate;
	bool is_reached;
	bool is_tie; /* that nothing settled: a run-off is needed */
	int winner;  /* -1 = none */
	enum consensus_break settled_by;
	/* Of the leading option: its share of the valid weight by first
	 * choices (in the last round of an instant run-off), and how much that
	 * is ahead of the next. */
	int64_t share_ppm, margin_ppm;
	int64_t valid, abstained;
	int distinct; /* options that are somebody's first choice */
};

/* The rule over n ballots, one of each who could vote (who said nothing
 * abstains), and n_options options. DEBATE_JUDGE, DEBATE_HYBRID count as
 * majority here: the judge decides elsewhere. */
void consensus_count(const struct consensus_rule *rule,
    const struct consensus_ballot *ballots, size_t n, size_t n_options,
    struct consensus_outcome *out);

/* Does this rule read rankings? */
bool consensus_is_ranked(enum debate_rule rule);

/* "unanimous", "strong", "medium", "weak" or "none". */
const char *consensus_strength(const struct consensus_outcome *o);
