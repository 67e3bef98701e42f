/* SPDX-License-Identifier: MIT
 *
 * The step table: which turns a phase needs, and where it leads.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "debate/audience.h"
#include "debate/convergence.h"
#include "debate/consensus_impl.h"
#include "debate/engine.h"
#include "debate/protocol.h"
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
	size_t n = protocol_debaters(d);

	/* A cascade asks the others only when the first is not sure. */
	if (d->config.protocol == DEBATE_BY_CASCADE) {
		const struct turn *first =
		    turn_get(d, DEBATE_PROPOSE, d->round, 0, -1, LLM_PROPOSE);
		if (!first->is_finished || protocol_is_solo(d))
			return;
	}
	for (size_t i = 0; i < n; i++)
		turn_get(d, DEBATE_PROPOSE, d->round, (int)i, -1, LLM_PROPOSE);
}

/* Everybody criticises the positions that the topology lets them read. */
static void
step_plan_critique(struct debate *d)
{
	size_t n = protocol_debaters(d);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (topology_reads(d, (int)i, (int)k) &&
			    turn_position(d, (int)k) != NULL)
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

static bool
step_hears(const struct debate *d)
{
	return d->config.audience_share_ppm > 0;
}

static void
step_plan_hear(struct debate *d)
{
	if (step_hears(d))
		turn_get(d, d->phase, d->round, 0, -1, LLM_AUDIENCE);
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
	if (protocol_judge(d) >= 0)
		return protocol_judge(d);
	uint64_t first = str_hash("judge", 5, d->config.seed) >> 17;

	return (int)((first + nth) % n);
}

static size_t
step_judges(const struct debate *d)
{
	if (protocol_judge(d) >= 0)
		return 1;
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
	if (protocol_stage(d) != PROTOCOL_DEBATED ||
	    (!step_has_judge(d) && !step_is_tied(d)))
		return;
	for (size_t i = 0; i < step_judges(d); i++) {
		struct turn *t = turn_get(d, DEBATE_CONSENSUS, d->round,
		    step_judge_seat(d, i), -1, LLM_JUDGE);
		if (!t->is_finished || step_judge_ruled(t))
			return;
	}
}

/* A chairman writes it, else the winner, else the first with a position. */
static void
step_plan_synthesis(struct debate *d)
{
	int author = d->outcome.winner;

	if (d->judge_answer != NULL ||
	    !protocol_row(d->config.protocol)->has_synthesis ||
	    protocol_stage(d) != PROTOCOL_DEBATED)
		return;
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (str_eq(d->config.agents[i].role, "chairman") &&
		    turn_position(d, (int)i) != NULL)
			author = (int)i;
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

static void step_count_votes(struct debate *d, int judge);
static enum debate_phase step_next_vote(struct debate *d);

/* What a round begins with, but the first. */
static enum debate_phase
step_round_begin(const struct debate *d)
{
	return protocol_row(d->config.protocol)->has_critique ? DEBATE_CRITIQUE
							      : DEBATE_REVISE;
}

/* The rounds are over: ballots, or what is there is counted at once. */
static enum debate_phase
step_to_decision(struct debate *d)
{
	return protocol_row(d->config.protocol)->vote == PROTOCOL_BALLOTS
	    ? DEBATE_VOTE
	    : step_next_vote(d);
}

/* Fewer than max(2, half) proposals: no debate. */
static enum debate_phase
step_next_propose(struct debate *d)
{
	const struct protocol_row *row = protocol_row(d->config.protocol);
	size_t need = (d->config.n_agents + 1) / 2;

	if (need < 2)
		need = protocol_is_solo(d) ? 1 : 2;
	if (!protocol_is_solo(d) && step_count_positions(d) < need)
		return DEBATE_DONE;
	if (d->config.protocol == DEBATE_BY_CASCADE &&
	    protocol_stage(d) != PROTOCOL_DEBATED)
		return step_next_vote(d);
	if (row->has_critique)
		return DEBATE_CRITIQUE;
	return row->has_revision ? DEBATE_REVISE : step_to_decision(d);
}

static enum debate_phase
step_next_critique(struct debate *d)
{
	return d->stopped_by != NULL ? step_to_decision(d) : DEBATE_REVISE;
}

static enum debate_phase
step_after_round(struct debate *d)
{
	if (d->round >= d->config.rounds || d->stopped_by != NULL ||
	    (d->config.is_early_stopping && convergence_of(d)->is_settled))
		return step_to_decision(d);
	return step_round_begin(d);
}

/* Between two rounds people are heard; after the last one the votes. */
static enum debate_phase
step_next_embed(struct debate *d)
{
	enum debate_phase next = step_after_round(d);

	return next == step_round_begin(d) && step_hears(d) ? DEBATE_CHECK
							    : next;
}

static enum debate_phase
step_next_revise(struct debate *d)
{
	return d->config.embedder != NULL ? DEBATE_EMBED : step_next_embed(d);
}

static enum debate_phase
step_next_check(struct debate *d)
{
	return step_round_begin(d);
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
			int order = strcmp(a->content, b->content);
			if (order == 0) /* the same words: one of them */
				order = (int)k - best;
			if (weights[k] > weights[best] ||
			    (weights[k] == weights[best] && order < 0))
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

/* What a seat stands by without being asked. */
static struct consensus_ballot
step_own_ballot(const struct debate *d, int seat)
{
	const struct turn *t = turn_position(d, seat);
	int64_t confidence =
	    t == NULL ? 0 : (int64_t)(turn_confidence(t) * CONSENSUS_PPM + 0.5);

	return (struct consensus_ballot){.choice = t != NULL ? seat : -1,
	    .weight_ppm =
		d->config.rule == DEBATE_WEIGHTED ? confidence : CONSENSUS_PPM,
	    .confidence_ppm = confidence};
}

static size_t
step_ballots(struct debate *d, struct consensus_ballot *ballots,
    int rankings[][CONSENSUS_OPTIONS_MAX])
{
	size_t n = 0;

	d->is_by_positions = protocol_counts_positions(d);
	if (d->is_by_positions) {
		while (n < protocol_debaters(d) && n < CONSENSUS_OPTIONS_MAX) {
			ballots[n] = step_own_ballot(d, (int)n);
			n++;
		}
		return n;
	}
	for (size_t i = 0; i < d->n_turns && n < CONSENSUS_OPTIONS_MAX; i++) {
		const struct turn *t = d->turns[i];
		if (t->phase != DEBATE_VOTE || !t->is_finished)
			continue;
		ballots[n] = step_ballot(d, t, rankings[n]);
		n++;
	}
	return n;
}

/* What people voted for, as one ballot for each option, after the cap. */
static size_t
step_add_audience(struct debate *d, struct consensus_ballot *ballots, size_t n)
{
	int64_t weights[CONSENSUS_OPTIONS_MAX] = {0};
	size_t n_options = d->config.n_agents;
	int64_t agents = 0;

	d->audience_ppm = 0;
	d->audience = (int64_t)audience_tally(d, weights, n_options);
	for (size_t i = 0; i < n; i++)
		if (ballots[i].choice >= 0)
			agents += consensus_weight(&ballots[i]);
	audience_cap(weights, n_options, agents, d->config.audience_share_ppm);
	for (size_t i = 0; i < n_options; i++) {
		d->audience_ppm += weights[i];
		if (weights[i] > 0)
			ballots[n++] =
			    (struct consensus_ballot){.choice = (int)i,
				.weight_ppm = weights[i],
				.is_audience = true};
	}
	return n;
}

/* judge: the seat it chose, -1 when there is none (yet). */
static void
step_count_votes(struct debate *d, int judge)
{
	struct consensus_rule rule = {.rule = d->config.rule,
	    .threshold_ppm = d->config.threshold_ppm,
	    .judge = judge};
	struct consensus_ballot ballots[2 * CONSENSUS_OPTIONS_MAX];
	int rankings[2 * CONSENSUS_OPTIONS_MAX][CONSENSUS_OPTIONS_MAX];

	if (protocol_is_solo(d)) { /* nobody else was asked */
		d->outcome = (struct consensus_outcome){.is_quorate = true,
		    .is_reached = true,
		    .share_ppm = CONSENSUS_PPM,
		    .margin_ppm = CONSENSUS_PPM,
		    .valid = 1,
		    .distinct = 1};
		return;
	}
	size_t n = step_ballots(d, ballots, rankings);
	n = step_add_audience(d, ballots, n);
	step_merge(d, ballots, n, rankings, &rule.judge);
	consensus_count(&rule, ballots, n, d->config.n_agents, &d->outcome);
}

static enum debate_phase
step_next_close(struct debate *d)
{
	step_count_votes(d, -1);
	return DEBATE_CONSENSUS;
}

static enum debate_phase
step_next_vote(struct debate *d)
{
	return step_hears(d) ? DEBATE_CLOSE : step_next_close(d);
}

/* What the judges said, if one of them ruled. */
static void
step_take_judgement(struct debate *d)
{
	bool is_tied = step_is_tied(d);

	d->judge = -1;
	if (protocol_stage(d) != PROTOCOL_DEBATED ||
	    (!step_has_judge(d) && !is_tied))
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
    [DEBATE_EMBED] = {step_plan_embed, step_next_embed, LLM_EMBED},
    [DEBATE_CHECK] = {step_plan_hear, step_next_check, LLM_AUDIENCE},
    [DEBATE_VOTE] = {step_plan_vote, step_next_vote, LLM_VOTE},
    [DEBATE_CLOSE] = {step_plan_hear, step_next_close, LLM_AUDIENCE},
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
	if (d->phase > DEBATE_CLOSE)
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
	    (from == DEBATE_REVISE || from == DEBATE_EMBED ||
		(from == DEBATE_PROPOSE && next > DEBATE_EMBED) ||
		(from == DEBATE_CRITIQUE && next > DEBATE_EMBED));

	if (ends_round) {
		if (from != DEBATE_CRITIQUE &&
		    (d->round > 1 || convergence_of(d)->is_settled))
			event_convergence(d);
		event_round(d, false);
	}
	if (from == DEBATE_NEW ||
	    (next == step_round_begin(d) && from != DEBATE_PROPOSE)) {
		d->round++;
		event_round(d, true);
	}
	d->phase = next;
	/* All calls made so far were answered. */
	arena_clear(d->prompts);
	event_phase(d, from);
}

/* From one complete phase to the next, up to one with turns to make. */
static void
step_advance(struct debate *d, int64_t now_us)
{
	while (step_is_complete(d)) {
		/* The judge before did not rule: the next one. */
		step_plan(d);
		if (!step_is_complete(d))
			break;
		enum debate_phase from = d->phase;
		enum debate_phase next = steps[from].next(d);
		if (from == DEBATE_PROPOSE && next == DEBATE_DONE) {
			step_end(d, STORE_FAILED,
			    d->stopped_by != NULL
				? d->stopped_by
				: "insufficient_participation",
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
}

void
step_finish(struct debate *d, int64_t now_us)
{
	do
		step_advance(d, now_us);
	while (!d->out->is_done && !afford_step(d, now_us));
	if (!d->out->is_done)
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
	const int64_t audience_before = d->audience_ppm;
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
	d->audience_ppm = audience_before;
	d->config.rule = rule_before;
	d->config.threshold_ppm = threshold_before;
}
