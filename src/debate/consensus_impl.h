/* SPDX-License-Identifier: MIT
 *
 * Inside of the consensus files: counting ranked ballots.
 */
#pragma once

#include "debate/consensus.h"

/* The options that may still win: a set. */
struct consensus_set {
	bool has[CONSENSUS_OPTIONS_MAX];
	size_t n; /* of options in the set */
};

/* What all rules need to know of the ballots. */
struct consensus_tally {
	const struct consensus_ballot *ballots;
	size_t n, n_options;
	int64_t first[CONSENSUS_OPTIONS_MAX];	   /* weight of first choices */
	int64_t voters[CONSENSUS_OPTIONS_MAX];	   /* how many */
	int64_t confidence[CONSENSUS_OPTIONS_MAX]; /* sum of theirs */
	int64_t total;				   /* weight of all */
};

/* A valid ballot's ranking, at least its choice; 0 = abstention. */
size_t consensus_ranking(
    const struct consensus_tally *t, size_t ballot, const int **ranking);
int64_t consensus_weight(const struct consensus_ballot *b);

/* Each gives the set of options that lead: one, or those in a tie. */
void consensus_borda(const struct consensus_tally *t, struct consensus_set *s);
void consensus_condorcet(
    const struct consensus_tally *t, struct consensus_set *s);
/* share, margin: of the leader in the last round. */
void consensus_irv(const struct consensus_tally *t, struct consensus_set *s,
    int64_t *share_ppm, int64_t *margin_ppm);
/* The options with the highest score among those of `among` (NULL = all). */
void consensus_highest(const int64_t *score, size_t n_options,
    const struct consensus_set *among, struct consensus_set *s);
