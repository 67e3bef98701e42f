/* SPDX-License-Identifier: MIT
 *
 * How far the positions of a round have come from those before it and how far
 * they are from each other (engine notes 2.6). Two signals for each seat, and
 * both must say so: its text has hardly moved, and what it says of itself and
 * what its sentences claim is the same as before. Similarity alone would take
 * a text and its denial for one. All integers, out of what the turns hold.
 */
#pragma once

#include "debate/engine.h"

struct convergence {
	int64_t round;
	const char *model; /* of the embeddings */
	size_t n;	   /* seats of the debate */
	/* Of each seat, -1 = nothing to compare. */
	int64_t *own_ppm;  /* its position with the one before */
	int64_t *pair_ppm; /* [i * n + k]: with another's */
	bool *is_held;	   /* both signals */
	bool *has_flipped; /* it claims the contrary of what it did */
	int *group;	   /* lowest seat of those that hold the same */
	/* Of all seats that can be compared; 0 when there are none. */
	size_t n_own, n_pairs, n_held, n_revised;
	int64_t mean_ppm, lowest_ppm, pair_mean_ppm, pair_lowest_ppm;
	bool is_fatal;	 /* a critique of the round stands open */
	bool is_settled; /* time to vote */
};

/* Of the current round, until it is asked for in another one. */
const struct convergence *convergence_of(struct debate *d);
/* "converged", "refining", "diverging", "unknown" */
const char *convergence_status(
    const struct debate *d, const struct convergence *c);

/* What is embedded for it: positions now, each with the one before behind it,
 * in the order of the seats. Returns how many; list has room for two of each
 * seat. */
size_t convergence_texts(const struct debate *d, struct llm_block *list);
/* What stands for the debate among others: question and answer. */
const char *convergence_topic(struct debate *d);
/* Its vector, as it is stored, on the scratch. */
void convergence_vector(struct debate *d, struct store_vector *out);
