/* SPDX-License-Identifier: MIT */
#include "debate/consensus.h"

#include <assert.h>
#include <string.h>

#include "debate/consensus_impl.h"

#define CONSENSUS_MIN_VOTES 2
/* "0.667" and "0.67" mean two thirds. */
#define CONSENSUS_ROUNDING 3334

/* ---- the ballots ---- */

int64_t
consensus_weight(const struct consensus_ballot *b)
{
	if (b->is_audience)
		return b->weight_ppm;
	if (b->weight_ppm < CONSENSUS_WEIGHT_MIN)
		return CONSENSUS_WEIGHT_MIN;
	return b->weight_ppm < CONSENSUS_WEIGHT_MAX ? b->weight_ppm
						    : CONSENSUS_WEIGHT_MAX;
}

/* Does it rank options that exist, each once? */
static bool
consensus_ranking_is_sound(const struct consensus_ballot *b, size_t n_options)
{
	bool seen[CONSENSUS_OPTIONS_MAX] = {false};

	for (size_t i = 0; i < b->n_ranking; i++) {
		int option = b->ranking[i];
		if (option < 0 || (size_t)option >= n_options || seen[option])
			return false;
		seen[option] = true;
	}
	/* A first choice that is not the first of the ranking: which of them
	 * was meant nobody knows. */
	return b->choice < 0 || b->ranking[0] == b->choice;
}

size_t
consensus_ranking(
    const struct consensus_tally *t, size_t ballot, const int **ranking)
{
	const struct consensus_ballot *b = &t->ballots[ballot];

	if (b->n_ranking > 0) {
		*ranking = b->ranking;
		return consensus_ranking_is_sound(b, t->n_options)
		    ? b->n_ranking
		    : 0;
	}
	*ranking = &b->choice;
	return b->choice >= 0 && (size_t)b->choice < t->n_options;
}

static void
consensus_tally(struct consensus_tally *t, struct consensus_outcome *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const int *ranking;
		if (consensus_ranking(t, i, &ranking) == 0) {
			out->abstained += !t->ballots[i].is_audience;
			continue;
		}
		int choice = ranking[0];
		int64_t weight = consensus_weight(&t->ballots[i]);
		t->first[choice] += weight;
		t->total += weight;
		if (t->ballots[i].is_audience)
			continue;
		out->distinct += t->voters[choice] == 0;
		t->voters[choice]++;
		t->confidence[choice] += t->ballots[i].confidence_ppm;
		out->valid++;
	}
}

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

/* ---- the leader ---- */

void
consensus_highest(const int64_t *score, size_t n_options,
    const struct consensus_set *among, struct consensus_set *s)
{
	int64_t best = 0;
	struct consensus_set found = {.n = 0};

	for (size_t i = 0; i < n_options; i++) {
		if ((among != NULL && !among->has[i]) ||
		    (found.n > 0 && score[i] < best))
			continue;
		if (found.n > 0 && score[i] > best)
			found = (struct consensus_set){.n = 0};
		best = score[i];
		found.has[i] = true;
		found.n++;
	}
	*s = found;
}

static int
consensus_only(const struct consensus_set *s)
{
	for (int i = 0; s->n == 1 && i < CONSENSUS_OPTIONS_MAX; i++)
		if (s->has[i])
			return i;
	return -1;
}

/* Of those in a tie, the ones whose voters are the most certain: means are
 * compared as fractions. An option that nobody put first has no voters. */
static void
consensus_most_certain(const struct consensus_tally *t, struct consensus_set *s)
{
	struct consensus_set found = {.n = 0};
	size_t best = 0;

	for (size_t i = 0; i < t->n_options; i++) {
		if (!s->has[i] || t->voters[i] == 0)
			continue;
		int64_t lead = found.n == 0
		    ? 1
		    : t->confidence[i] * t->voters[best] -
			t->confidence[best] * t->voters[i];
		if (lead < 0)
			continue;
		if (lead > 0)
			found = (struct consensus_set){.n = 0};
		best = i;
		found.has[i] = true;
		found.n++;
	}
	if (found.n > 0)
		*s = found;
}

/* Judge, then confidence, then nobody: never the first in line. */
static void
consensus_settle(const struct consensus_tally *t,
    const struct consensus_rule *rule, struct consensus_set *s,
    struct consensus_outcome *out)
{
	out->winner = consensus_only(s);
	if (s->n < 2)
		return;
	if (rule->judge >= 0 && rule->judge < CONSENSUS_OPTIONS_MAX &&
	    s->has[rule->judge]) {
		out->winner = rule->judge;
		out->settled_by = CONSENSUS_BREAK_JUDGE;
		return;
	}
	consensus_most_certain(t, s);
	out->winner = consensus_only(s);
	out->is_tie = out->winner < 0;
	if (!out->is_tie)
		out->settled_by = CONSENSUS_BREAK_CONFIDENCE;
}

/* Share and margin by first choices; of a tie, any of it: they are equal. */
static void
consensus_share(const struct consensus_tally *t, const struct consensus_set *s,
    struct consensus_outcome *out)
{
	int leader = -1;
	int64_t next = 0;

	for (int i = 0; (size_t)i < t->n_options; i++)
		if (s->has[i] && (leader < 0 || t->first[i] > t->first[leader]))
			leader = i;
	if (out->winner >= 0)
		leader = out->winner;
	if (leader < 0 || t->total == 0)
		return;
	for (int i = 0; (size_t)i < t->n_options; i++)
		if (i != leader && t->first[i] > next)
			next = t->first[i];
	out->share_ppm = t->first[leader] * CONSENSUS_PPM / t->total;
	out->margin_ppm = (t->first[leader] - next) * CONSENSUS_PPM / t->total;
}

/* ---- the rules ---- */

bool
consensus_is_ranked(enum debate_rule rule)
{
	return rule == DEBATE_BORDA || rule == DEBATE_IRV ||
	    rule == DEBATE_CONDORCET;
}

static void
consensus_lead(const struct consensus_tally *t,
    const struct consensus_rule *rule, struct consensus_outcome *out)
{
	struct consensus_set s = {.n = 0};
	int64_t share = -1;
	int64_t margin = 0;

	if (t->total == 0)
		return;
	if (rule->rule == DEBATE_BORDA)
		consensus_borda(t, &s);
	else if (rule->rule == DEBATE_CONDORCET)
		consensus_condorcet(t, &s);
	else if (rule->rule == DEBATE_IRV)
		consensus_irv(t, &s, &share, &margin);
	else
		consensus_highest(t->first, t->n_options, NULL, &s);
	const struct consensus_set leaders = s;
	consensus_settle(t, rule, &s, out);
	consensus_share(t, &leaders, out);
	if (share >= 0) {
		out->share_ppm = share;
		out->margin_ppm = margin;
	}
}

/* Two thirds exactly, or a higher threshold asked for or set. */
static bool
consensus_is_super(int64_t threshold_ppm, int64_t score, int64_t total)
{
	int64_t above = 3 * threshold_ppm - 2 * INT64_C(1000000);

	return 3 * score >= 2 * total &&
	    (above <= 3 * CONSENSUS_ROUNDING ||
		score * CONSENSUS_PPM >= threshold_ppm * total);
}

static bool
consensus_rule_holds(const struct consensus_rule *rule,
    const struct consensus_tally *t, const struct consensus_outcome *o)
{
	int64_t score = t->first[o->winner];

	switch (rule->rule) {
	case DEBATE_MAJORITY:
	case DEBATE_JUDGE:
	case DEBATE_HYBRID:
		return 2 * score > t->total;
	case DEBATE_SUPERMAJORITY:
		return consensus_is_super(rule->threshold_ppm, score, t->total);
	case DEBATE_UNANIMOUS:
		return o->distinct == 1 && t->voters[o->winner] > 0 &&
		    o->abstained == 0;
	case DEBATE_WEIGHTED:
		return score * CONSENSUS_PPM >= rule->threshold_ppm * t->total;
	case DEBATE_ANY:
	case DEBATE_PLURALITY:
	case DEBATE_BORDA:
	case DEBATE_IRV:
	case DEBATE_CONDORCET:
		return true;
	case DEBATE_NONE:
	case DEBATE_RULE__COUNT:
		return false;
	}
	return false;
}

void
consensus_count(const struct consensus_rule *rule,
    const struct consensus_ballot *ballots, size_t n, size_t n_options,
    struct consensus_outcome *out)
{
	struct consensus_tally t = {
	    .ballots = ballots, .n = n, .n_options = n_options};

	assert(n_options <= CONSENSUS_OPTIONS_MAX);
	*out = (struct consensus_outcome){.winner = -1};
	consensus_tally(&t, out);
	out->is_quorate =
	    consensus_is_quorate(out->valid, out->valid + out->abstained);
	consensus_lead(&t, rule, out);
	out->is_reached = out->is_quorate && out->winner >= 0 &&
	    consensus_rule_holds(rule, &t, out);
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
	/* Whatever share the last round of a run-off gave it. */
	if (o->is_tie || o->settled_by != CONSENSUS_BREAK_NONE)
		return "weak";
	if (o->share_ppm >= 8 * CONSENSUS_PPM / 10)
		return "strong";
	return o->share_ppm >= 6 * CONSENSUS_PPM / 10 ? "medium" : "weak";
}
