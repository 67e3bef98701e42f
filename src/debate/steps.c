/* SPDX-License-Identifier: MIT
 *
 * The step table: which turns a phase needs, and where it leads.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "debate/convergence.h"
#include "debate/consensus_impl.h"
#include "debate/engine.h"
#include "debate/recall.h"
#include "debate/replay.h"

#define STEP_JUDGES_MAX 3

struct step {
	/* Make the turns of the phase (idempotent). */
	void (*plan)(struct debate *d);
	/* All are finished: what follows. */
	enum debate_phase (*next)(struct debate *d);
	enum llm_task task;
};

/* ---- plans ---- */

static void
step_plan_propose(struct debate *d)
{
	for (size_t i = 0; i < d->config.n_agents; i++)
		turn_get(d, DEBATE_PROPOSE, d->round, (int)i, -1, LLM_PROPOSE);
}

/* Everybody criticises every position but their own. */
static void
step_plan_critique(struct debate *d)
{
	for (size_t i = 0; i < d->config.n_agents; i++)
		for (size_t k = 0; k < d->config.n_agents; k++)
			if (i != k && turn_position(d, (int)k) != NULL)
				turn_get(d, DEBATE_CRITIQUE, d->round, (int)i,
				    (int)k, LLM_CRITIQUE);
}

static void
step_plan_revise(struct debate *d)
{
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (turn_position(d, (int)i) != NULL)
			turn_get(
			    d, DEBATE_REVISE, d->round, (int)i, -1, LLM_REVISE);
}

/* Turns belong to a seat; embeddings are put down to the first. */
static void
step_plan_embed(struct debate *d)
{
	turn_get(d, d->phase, d->round, 0, -1, LLM_EMBED);
}

static void
step_plan_index(struct debate *d)
{
	if (d->config.embedder != NULL)
		step_plan_embed(d);
}

static void
step_plan_vote(struct debate *d)
{
	if (d->config.rule == DEBATE_NONE)
		return;
	for (size_t i = 0; i < d->config.n_agents; i++)
		turn_get(d, DEBATE_VOTE, d->round, (int)i, -1, LLM_VOTE);
}

static bool
step_has_judge(const struct debate *d)
{
	return d->config.rule == DEBATE_JUDGE ||
	    d->config.rule == DEBATE_HYBRID;
}

/* Judges are tried one after the other, from a seat the seed picks. */
static int
step_judge_seat(const struct debate *d, size_t nth)
{
	size_t n = d->config.n_agents;
	uint64_t first = str_hash("judge", 5, d->config.seed) >> 17;

	return (int)((first + nth) % n);
}

static size_t
step_judges(const struct debate *d)
{
	return d->config.n_agents < STEP_JUDGES_MAX ? d->config.n_agents
						    : STEP_JUDGES_MAX;
}

static bool
step_judge_ruled(const struct turn *t)
{
	return turn_is_good(t) &&
	    json_get_str(t->parsed, "winner", NULL) != NULL;
}

/* A rule that the leader alone decides, and two lead: a judge picks one. */
static bool
step_is_tied(const struct debate *d)
{
	switch (d->config.rule) {
	case DEBATE_ANY:
	case DEBATE_PLURALITY:
	case DEBATE_BORDA:
	case DEBATE_IRV:
	case DEBATE_CONDORCET:
		return d->outcome.is_tie && d->outcome.is_quorate;
	case DEBATE_MAJORITY:
	case DEBATE_SUPERMAJORITY:
	case DEBATE_UNANIMOUS:
	case DEBATE_JUDGE:
	case DEBATE_WEIGHTED:
	case DEBATE_HYBRID:
	case DEBATE_NONE:
	case DEBATE_RULE__COUNT:
		return false;
	}
	return false;
}

static void
step_plan_consensus(struct debate *d)
{
	if (!step_has_judge(d) && !step_is_tied(d))
		return;
	for (size_t i = 0; i < step_judges(d); i++) {
		struct turn *t = turn_get(d, DEBATE_CONSENSUS, d->round,
		    step_judge_seat(d, i), -1, LLM_JUDGE);
		if (!t->is_finished || step_judge_ruled(t))
			return;
	}
}

/* The winner writes it, else the first with a position. */
static void
step_plan_synthesis(struct debate *d)
{
	int author = d->outcome.winner;

	if (d->judge_answer != NULL)
		return;
	for (size_t i = 0; author < 0 && i < d->config.n_agents; i++)
		if (turn_position(d, (int)i) != NULL)
			author = (int)i;
	if (author >= 0)
		turn_get(
		    d, DEBATE_SYNTHESIS, d->round, author, -1, LLM_SYNTHESIS);
}

static void
step_plan_none(struct debate *d UNUSED)
{
}

/* ---- what follows ---- */

static size_t
step_count_positions(const struct debate *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->config.n_agents; i++)
		n += turn_position(d, (int)i) != NULL;
	return n;
}

static enum debate_phase
step_next_new(struct debate *d UNUSED)
{
	return DEBATE_PROPOSE;
}

/* Fewer than max(2, half) proposals: no debate. */
static enum debate_phase
step_next_propose(struct debate *d)
{
	size_t need = (d->config.n_agents + 1) / 2;

	if (need < 2)
		need = 2;
	return step_count_positions(d) >= need ? DEBATE_CRITIQUE : DEBATE_DONE;
}

static enum debate_phase
step_next_critique(struct debate *d UNUSED)
{
	return DEBATE_REVISE;
}

static enum debate_phase
step_after_round(struct debate *d)
{
	if (d->round >= d->config.rounds ||
	    (d->config.is_early_stopping && convergence_of(d)->is_settled))
		return DEBATE_VOTE;
	return DEBATE_CRITIQUE;
}

static enum debate_phase
step_next_revise(struct debate *d)
{
	return d->config.embedder != NULL ? DEBATE_EMBED : step_after_round(d);
}

/* One ballot of each seat: who said nothing that was understood abstains. */
static struct consensus_ballot
step_ballot(struct debate *d, const struct turn *t, int *ranking)
{
	const struct json *list = json_get(t->parsed, "ranking");
	int64_t confidence =
	    (int64_t)(turn_confidence(t) * CONSENSUS_PPM + 0.5);
	struct consensus_ballot b = {.choice = -1,
	    .weight_ppm =
		d->config.rule == DEBATE_WEIGHTED ? confidence : CONSENSUS_PPM,
	    .confidence_ppm = confidence};

	if (!turn_is_good(t))
		return b;
	b.choice = debate_seat(d, json_get_str(t->parsed, "choice", NULL));
	if (b.choice < 0 || !consensus_is_ranked(d->config.rule))
		return b;
	b.ranking = ranking;
	for (size_t i = 0; i < json_len(list) && i < d->config.n_agents; i++)
		ranking[b.n_ranking++] =
		    debate_seat(d, json_str(json_at(list, i), NULL));
	return b;
}

/* Of positions that say the same one stands for all: the one with the most
 * votes, which only for equal ones is a matter of what they say and never of
 * where they stand. */
static void
step_stand_ins(const struct debate *d, const struct convergence *c,
    const int64_t *weights, int *stand_in)
{
	for (size_t i = 0; i < c->n; i++) {
		int best = (int)i;
		for (size_t k = 0; k < c->n; k++) {
			const struct turn *a = turn_position(d, (int)k);
			const struct turn *b = turn_position(d, best);
			if (c->group[k] != c->group[i] || a == NULL ||
			    b == NULL)
				continue;
			if (weights[k] > weights[best] ||
			    (weights[k] == weights[best] &&
				strcmp(a->content, b->content) < 0))
				best = (int)k;
		}
		stand_in[i] = best;
	}
}

static void
step_merge_ranking(
    struct consensus_ballot *b, int *ranking, const int *stand_in)
{
	bool is_ranked[CONSENSUS_OPTIONS_MAX] = {false};
	size_t n = 0;

	for (size_t i = 0; i < b->n_ranking; i++) {
		if (ranking[i] < 0)
			continue;
		int option = stand_in[ranking[i]];
		if (!is_ranked[option])
			ranking[n++] = option;
		is_ranked[option] = true;
	}
	b->n_ranking = n;
}

/* Votes for positions that say the same are votes for one option. */
static void
step_merge(struct debate *d, struct consensus_ballot *ballots, size_t n,
    int rankings[][CONSENSUS_OPTIONS_MAX], int *judge)
{
	const struct convergence *c = convergence_of(d);
	int64_t weights[CONSENSUS_OPTIONS_MAX] = {0};
	int stand_in[CONSENSUS_OPTIONS_MAX] = {0};

	for (size_t i = 0; i < n; i++)
		if (ballots[i].choice >= 0)
			weights[ballots[i].choice] +=
			    consensus_weight(&ballots[i]);
	step_stand_ins(d, c, weights, stand_in);
	if (*judge >= 0)
		*judge = stand_in[*judge];
	for (size_t i = 0; i < n; i++) {
		if (ballots[i].choice < 0)
			continue;
		ballots[i].choice = stand_in[ballots[i].choice];
		step_merge_ranking(&ballots[i], rankings[i], stand_in);
	}
}

/* judge: the seat it chose, -1 when there is none (yet). */
static void
step_count_votes(struct debate *d, int judge)
{
	struct consensus_rule rule = {.rule = d->config.rule,
	    .threshold_ppm = d->config.threshold_ppm,
	    .judge = judge};
	struct consensus_ballot ballots[CONSENSUS_OPTIONS_MAX];
	int rankings[CONSENSUS_OPTIONS_MAX][CONSENSUS_OPTIONS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < d->n_turns && n < ARRAY_LEN(ballots); i++) {
		const struct turn *t = d->turns[i];
		if (t->phase != DEBATE_VOTE || !t->is_finished)
			continue;
		ballots[n] = step_ballot(d, t, rankings[n]);
		n++;
	}
	step_merge(d, ballots, n, rankings, &rule.judge);
	consensus_count(&rule, ballots, n, d->config.n_agents, &d->outcome);
}

static enum debate_phase
step_next_vote(struct debate *d)
{
	step_count_votes(d, -1);
	return DEBATE_CONSENSUS;
}

/* What the judges said, if one of them ruled. */
static void
step_take_judgement(struct debate *d)
{
	bool is_tied = step_is_tied(d);

	d->judge = -1;
	if (!step_has_judge(d) && !is_tied)
		return;
	for (size_t i = 0; i < d->n_turns; i++) {
		const struct turn *t = d->turns[i];
		if (t->phase != DEBATE_CONSENSUS || !step_judge_ruled(t))
			continue;
		int winner =
		    debate_seat(d, json_get_str(t->parsed, "winner", NULL));
		if (is_tied) {
			/* Only the tie is its to settle: the answer is the
			 * winner's. */
			step_count_votes(d, winner);
			return;
		}
		d->judge = t->agent;
		d->outcome.winner = winner;
		d->outcome.is_reached = true;
		d->judge_answer = json_get_str(t->parsed, "answer", NULL);
		d->judge_confidence =
		    json_get_num(t->parsed, "confidence", 0.8);
		if (str_is_empty(d->judge_answer))
			d->judge_answer =
			    turn_position(d, d->outcome.winner)->content;
		return;
	}
}

static enum debate_phase
step_next_consensus(struct debate *d)
{
	step_take_judgement(d);
	return DEBATE_SYNTHESIS;
}

static enum debate_phase
step_next_synthesis(struct debate *d)
{
	return d->config.embedder != NULL ? DEBATE_INDEX : DEBATE_DONE;
}

static enum debate_phase
step_next_index(struct debate *d UNUSED)
{
	return DEBATE_DONE;
}

static const struct step steps[DEBATE_PHASE__COUNT] = {
    [DEBATE_NEW] = {step_plan_none, step_next_new, LLM_PROPOSE},
    [DEBATE_PROPOSE] = {step_plan_propose, step_next_propose, LLM_PROPOSE},
    [DEBATE_CRITIQUE] = {step_plan_critique, step_next_critique, LLM_CRITIQUE},
    [DEBATE_REVISE] = {step_plan_revise, step_next_revise, LLM_REVISE},
    [DEBATE_EMBED] = {step_plan_embed, step_after_round, LLM_EMBED},
    [DEBATE_VOTE] = {step_plan_vote, step_next_vote, LLM_VOTE},
    [DEBATE_CONSENSUS] = {step_plan_consensus, step_next_consensus, LLM_JUDGE},
    [DEBATE_SYNTHESIS] = {step_plan_synthesis, step_next_synthesis,
	LLM_SYNTHESIS},
    [DEBATE_INDEX] = {step_plan_index, step_next_index, LLM_EMBED},
    [DEBATE_DONE] = {step_plan_none, step_next_index, LLM_SYNTHESIS},
};

enum llm_task
step_task(enum debate_phase p)
{
	return steps[p].task;
}

void
step_plan(struct debate *d)
{
	/* What earlier phases decided is part of the state: after a restart it
	 * is computed again from the same turns. */
	if (d->phase > DEBATE_VOTE)
		step_count_votes(d, -1);
	if (d->phase > DEBATE_CONSENSUS)
		step_take_judgement(d);
	steps[d->phase].plan(d);
}

bool
step_is_complete(const struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == d->phase &&
		    d->turns[i]->round == d->round && !d->turns[i]->is_finished)
			return false;
	return true;
}

/* New turns of the phase go out as calls. */
static void
step_call(struct debate *d, int64_t now_us)
{
	for (size_t i = 0; i < d->n_turns; i++) {
		struct turn *t = d->turns[i];
		if (t->phase == d->phase && t->round == d->round &&
		    !t->is_finished && t->call.step_key == NULL) {
			if (t->started_us == 0)
				t->started_us = now_us;
			output_turn(d, t, 0);
			output_call(d, t);
		}
	}
}

static void
step_enter(struct debate *d, enum debate_phase next)
{
	enum debate_phase from = d->phase;

	bool ends_round = next != DEBATE_EMBED &&
	    (from == DEBATE_REVISE || from == DEBATE_EMBED);

	if (ends_round) {
		if (d->round > 1 || convergence_of(d)->is_settled)
			event_convergence(d);
		event_round(d, false);
	}
	if (from == DEBATE_NEW || (ends_round && next < from)) {
		d->round++;
		event_round(d, true);
	}
	d->phase = next;
	/* All calls made so far were answered. */
	arena_clear(d->prompts);
	event_phase(d, from);
}

void
step_finish(struct debate *d, int64_t now_us)
{
	while (step_is_complete(d)) {
		/* The judge before did not rule: the next one. */
		step_plan(d);
		if (!step_is_complete(d))
			break;
		enum debate_phase from = d->phase;
		enum debate_phase next = steps[from].next(d);
		if (from == DEBATE_PROPOSE && next == DEBATE_DONE) {
			step_end(d, STORE_FAILED, "insufficient_participation",
			    now_us);
			return;
		}
		if (from == DEBATE_CONSENSUS)
			event_consensus(d);
		if (next == DEBATE_DONE) {
			step_end(d, STORE_COMPLETED, NULL, now_us);
			return;
		}
		step_enter(d, next);
		step_plan(d);
	}
	step_call(d, now_us);
}

void
step_end(struct debate *d, enum store_status status, const char *error,
    int64_t now_us)
{
	struct store_transition *t = &d->out->transition;

	d->phase = DEBATE_DONE;
	t->result = result_write(d, now_us);
	t->error = error;
	t->confidence = debate_confidence(d);
	t->consensus_reached = debate_is_reached(d);
	if (status == STORE_COMPLETED)
		convergence_vector(d, &t->vector);
	t->status = status;
	if (status == STORE_COMPLETED)
		t->match = rating_match(d);
	if (status == STORE_COMPLETED)
		t->memory = recall_entry(d);
	event_end(d, status, error, now_us);
	d->out->is_done = true;
}

/* The option of the judge that ruled, -1 = none did. */
static int
step_recorded_judgement(const struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_CONSENSUS &&
		    step_judge_ruled(d->turns[i]))
			return debate_seat(d,
			    json_get_str(d->turns[i]->parsed, "winner", NULL));
	return -1;
}

void
debate_recount(struct debate *d, enum debate_rule rule, int64_t threshold_ppm,
    struct debate_recount *out)
{
	const struct consensus_outcome before = d->outcome;
	const enum debate_rule rule_before = d->config.rule;
	const int64_t threshold_before = d->config.threshold_ppm;
	int judge = step_recorded_judgement(d);

	*out = (struct debate_recount){.threshold_ppm = threshold_ppm};
	d->config.rule = rule;
	d->config.threshold_ppm = threshold_ppm;
	step_count_votes(d, -1);
	if (step_has_judge(d)) {
		out->needs_judge = judge < 0;
		if (judge >= 0) {
			d->outcome.winner = judge;
			d->outcome.is_reached = true;
		}
	} else if (step_is_tied(d)) {
		out->needs_judge = judge < 0;
		if (judge >= 0)
			step_count_votes(d, judge);
	}
	out->outcome = d->outcome;
	for (size_t i = 0; i < d->n_turns; i++) {
		const struct turn *t = d->turns[i];
		if (t->phase != DEBATE_VOTE || !turn_is_good(t))
			continue;
		out->n_ballots++;
		out->n_rankings += json_len(json_get(t->parsed, "ranking")) > 0;
	}
	out->winner = d->outcome.winner >= 0
	    ? d->config.agents[d->outcome.winner].name
	    : NULL;
	d->outcome = before;
	d->config.rule = rule_before;
	d->config.threshold_ppm = threshold_before;
}
