/* SPDX-License-Identifier: MIT */
#include "debate/consensus.h"

#include <assert.h>
#include <string.h>

#define CONSENSUS_OPTIONS_MAX 64
#define CONSENSUS_MIN_VOTES   2

struct consensus_tally {
	int64_t score[CONSENSUS_OPTIONS_MAX];
	int64_t confidence[CONSENSUS_OPTIONS_MAX];
	int64_t total;
};

/* At least two, and half of the eligible; never more than there are. */
static bool
consensus_is_quorate(int64_t valid, int64_t eligible)
{
	int64_t need = (eligible + 1) / 2;

	if (need < CONSENSUS_MIN_VOTES)
		need = CONSENSUS_MIN_VOTES;
	if (need > eligible)
		need = eligible;
	return valid >= need && valid > 0;
}

static void
consensus_tally(const struct consensus_ballot *ballots, size_t n,
    size_t n_options, struct consensus_tally *t, struct consensus_outcome *out)
{
	*t = (struct consensus_tally){0};
	for (size_t i = 0; i < n; i++) {
		int choice = ballots[i].choice;
		if (choice < 0 || (size_t)choice >= n_options) {
			out->abstained++;
			continue;
		}
		if (t->score[choice] == 0)
			out->distinct++;
		t->score[choice] += ballots[i].weight_ppm;
		t->confidence[choice] += ballots[i].confidence_ppm;
		t->total += ballots[i].weight_ppm;
		out->valid++;
	}
}

/* The leader: most weight, then most confidence, then nobody. Never the
 * first in line. */
static void
consensus_lead(const struct consensus_tally *t, size_t n_options,
    struct consensus_outcome *out)
{
	int best = -1;

	for (size_t i = 0; i < n_options; i++) {
		if (t->score[i] == 0)
			continue;
		if (best < 0 || t->score[i] > t->score[best] ||
		    (t->score[i] == t->score[best] &&
			t->confidence[i] > t->confidence[best])) {
			best = (int)i;
			out->is_tie = false;
		} else if (t->score[i] == t->score[best] &&
		    t->confidence[i] == t->confidence[best]) {
			out->is_tie = true;
		}
	}
	out->share_ppm = best >= 0 && t->total > 0
	    ? t->score[best] * CONSENSUS_PPM / t->total
	    : 0;
	out->winner = out->is_tie ? -1 : best;
}

static bool
consensus_rule_holds(enum debate_rule rule, int64_t threshold_ppm,
    const struct consensus_tally *t, const struct consensus_outcome *o)
{
	int64_t score = t->score[o->winner];

	switch (rule) {
	case DEBATE_MAJORITY:
	case DEBATE_JUDGE:
	case DEBATE_HYBRID:
		return 2 * score > t->total;
	case DEBATE_SUPERMAJORITY:
		/* Two thirds exactly, or a higher threshold asked for. */
		return 3 * score >= 2 * t->total &&
		    (threshold_ppm <= 2 * CONSENSUS_PPM / 3 + 1 ||
			score * CONSENSUS_PPM >= threshold_ppm * t->total);
	case DEBATE_UNANIMOUS:
		return score == t->total && o->abstained == 0;
	case DEBATE_WEIGHTED:
		return score * CONSENSUS_PPM >= threshold_ppm * t->total;
	case DEBATE_ANY:
		return true;
	case DEBATE_NONE:
	case DEBATE_RULE__COUNT:
		return false;
	}
	return false;
}

void
consensus_count(enum debate_rule rule, int64_t threshold_ppm,
    const struct consensus_ballot *ballots, size_t n, size_t n_options,
    struct consensus_outcome *out)
{
	struct consensus_tally t;

	assert(n_options <= CONSENSUS_OPTIONS_MAX);
	*out = (struct consensus_outcome){.winner = -1};
	consensus_tally(ballots, n, n_options, &t, out);
	out->is_quorate = consensus_is_quorate(out->valid, (int64_t)n);
	consensus_lead(&t, n_options, out);
	out->is_reached = out->is_quorate && out->winner >= 0 &&
	    consensus_rule_holds(rule, threshold_ppm, &t, out);
	if (!out->is_quorate)
		out->winner = -1;
}

const char *
consensus_strength(const struct consensus_outcome *o)
{
	if (o->valid == 0 || !o->is_quorate)
		return "none";
	if (o->distinct == 1)
		return "unanimous";
	if (o->share_ppm >= 8 * CONSENSUS_PPM / 10)
		return "strong";
	return o->share_ppm >= 6 * CONSENSUS_PPM / 10 ? "medium" : "weak";
}
