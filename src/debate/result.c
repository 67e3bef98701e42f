/* SPDX-License-Identifier: MIT
 *
 * What came out: the answer, its confidence, the dissent, and how far the
 * texts moved.
 */
#include <string.h>

#include "base/str.h"
#include "debate/convergence.h"
#include "debate/engine.h"
#include "debate/protocol.h"

static const struct turn *
result_synthesis(const struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_SYNTHESIS &&
		    turn_is_good(d->turns[i]))
			return d->turns[i];
	return NULL;
}

/* No winner: the position that says most. */
static const struct turn *
result_longest(const struct debate *d)
{
	const struct turn *best = NULL;

	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *t = turn_position(d, (int)i);
		if (t != NULL &&
		    (best == NULL ||
			strlen(t->content) > strlen(best->content)))
			best = t;
	}
	return best;
}

/* Synthesis, else the judge's words, else the winner's, else the longest
 * position; NULL when nobody said anything. */
const char *
debate_answer(const struct debate *d)
{
	const struct turn *t = result_synthesis(d);

	if (t != NULL)
		return t->content;
	if (d->judge_answer != NULL)
		return d->judge_answer;
	t = d->outcome.winner >= 0 ? turn_position(d, d->outcome.winner)
				   : result_longest(d);
	return t != NULL ? t->content : NULL;
}

bool
debate_is_reached(const struct debate *d)
{
	return d->outcome.is_reached;
}

/* The judge's own, else the share of the leader, as the contract defines
 * it for each rule. */
double
debate_confidence(const struct debate *d)
{
	if (d->judge >= 0)
		return d->judge_confidence;
	if (protocol_is_solo(d))
		return turn_confidence(turn_position(d, 0));
	if (d->config.rule == DEBATE_NONE)
		return turn_position(d, 0) != NULL ? 0.5 : 0;
	return (double)d->outcome.share_ppm / CONSENSUS_PPM;
}

/* The ballot of a seat, NULL when it gave none. */
static const struct turn *
result_ballot(const struct debate *d, int seat)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_VOTE &&
		    d->turns[i]->agent == seat && turn_is_good(d->turns[i]))
			return d->turns[i];
	return NULL;
}

static int
result_choice(const struct debate *d, int seat)
{
	const struct turn *t = result_ballot(d, seat);

	if (d->is_by_positions)
		return turn_position(d, seat) != NULL ? seat : -1;
	return t != NULL
	    ? debate_seat(d, json_get_str(t->parsed, "choice", NULL))
	    : -1;
}

enum result_side { RESULT_SUPPORT, RESULT_DISSENT, RESULT_ABSTENTION };

/* Is this seat's position the winning one? Those that say the same count as
 * one. */
static bool
result_is_same(const struct debate *d, int seat)
{
	const struct convergence *c = d->convergence;

	return seat == d->outcome.winner ||
	    (seat >= 0 && d->outcome.winner >= 0 && c != NULL &&
		c->group[seat] == c->group[d->outcome.winner]);
}

/* Who wrote the winning position holds it; of the others the ballot tells.
 * With no votes at all every other position is a dissent. */
static enum result_side
result_side(const struct debate *d, int seat)
{
	int choice = result_choice(d, seat);

	if (result_is_same(d, seat) || result_is_same(d, choice))
		return RESULT_SUPPORT;
	return choice >= 0 || d->outcome.valid == 0 ? RESULT_DISSENT
						    : RESULT_ABSTENTION;
}

static bool
result_is_on(const struct debate *d, int seat, enum result_side side)
{
	return d->outcome.winner >= 0 && turn_position(d, seat) != NULL &&
	    result_side(d, seat) == side;
}

static void
result_names(
    struct debate *d, struct json_w *w, const char *key, enum result_side side)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (result_is_on(d, (int)i, side))
			json_w_str(w, NULL, d->config.agents[i].name);
	json_w_end_array(w);
}

/* What the others hold, in the words of their position. */
static void
result_dissent(struct debate *d, struct json_w *w, const char *key)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (result_is_on(d, (int)i, RESULT_DISSENT))
			json_w_str(w, NULL,
			    arena_printf(d->scratch, "%s: %s",
				d->config.agents[i].name,
				turn_position(d, (int)i)->content));
	json_w_end_array(w);
}

/* Positions that were counted as one option. */
static void
result_merged(struct debate *d, struct json_w *w, const char *key)
{
	const struct convergence *c = d->convergence;

	json_w_begin_array(w, key);
	for (size_t i = 0; c != NULL && i < c->n; i++) {
		size_t n = 0;
		for (size_t k = 0; k < c->n; k++)
			n += c->group[k] == (int)i;
		if (n < 2)
			continue;
		json_w_begin_array(w, NULL);
		for (size_t k = 0; k < c->n; k++)
			if (c->group[k] == (int)i)
				json_w_str(w, NULL, d->config.agents[k].name);
		json_w_end_array(w);
	}
	json_w_end_array(w);
}

/* The same with what their ballots say. */
static void
result_dissent_report(struct debate *d, struct json_w *w, const char *key)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *ballot = result_ballot(d, (int)i);
		int choice = result_choice(d, (int)i);
		if (!result_is_on(d, (int)i, RESULT_DISSENT))
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "agent", d->config.agents[i].name);
		json_w_str(w, "position", turn_position(d, (int)i)->content);
		json_w_str(w, "choice",
		    choice >= 0 ? d->config.agents[choice].name : NULL);
		json_w_str(
		    w, "reasoning", ballot != NULL ? ballot->content : NULL);
		if (ballot != NULL)
			json_w_num(w, "confidence", turn_confidence(ballot));
		json_w_end(w);
	}
	json_w_end_array(w);
}

static const char *
result_settled_by(const struct debate *d)
{
	static const char *const names[] = {[CONSENSUS_BREAK_NONE] = NULL,
	    [CONSENSUS_BREAK_JUDGE] = "judge",
	    [CONSENSUS_BREAK_CONFIDENCE] = "confidence"};

	return names[d->outcome.settled_by];
}

void
result_consensus(
    struct debate *d, struct json_w *w, const char *key, const char *answer)
{
	json_w_begin(w, key);
	json_w_bool(w, "reached", debate_is_reached(d));
	json_w_num(
	    w, "agreement", (double)d->outcome.share_ppm / CONSENSUS_PPM);
	json_w_num(w, "confidence", debate_confidence(d));
	json_w_str(w, "final_answer", answer);
	json_w_str(w, "conclusion", answer);
	json_w_str(w, "method", debate_rule_name(d->config.rule));
	json_w_str(w, "strength", consensus_strength(&d->outcome));
	json_w_num(w, "margin", (double)d->outcome.margin_ppm / CONSENSUS_PPM);
	json_w_bool(w, "tie", d->outcome.is_tie);
	json_w_str(w, "tie_settled_by", result_settled_by(d));
	json_w_int(w, "ballots", d->outcome.valid);
	json_w_int(w, "abstentions", d->outcome.abstained);
	if (d->audience > 0) {
		json_w_begin(w, "audience");
		json_w_int(w, "voters", d->audience);
		json_w_num(
		    w, "weight", (double)d->audience_ppm / CONSENSUS_PPM);
		json_w_end(w);
	}
	result_names(d, w, "supporting_agents", RESULT_SUPPORT);
	result_names(d, w, "dissenting_agents", RESULT_DISSENT);
	result_names(d, w, "abstaining_agents", RESULT_ABSTENTION);
	result_merged(d, w, "merged");
	result_dissent(d, w, "dissent");
	result_dissent_report(d, w, "dissent_report");
	json_w_end(w);
}

const char *
result_write(struct debate *d, int64_t now_us)
{
	const char *answer = debate_answer(d);
	const struct convergence *c = convergence_of(d);
	struct buf b;
	struct json_w w;

	buf_init(&b, 16u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "final_answer", answer);
	json_w_str(&w, "winner",
	    d->outcome.winner >= 0 ? d->config.agents[d->outcome.winner].name
				   : NULL);
	result_consensus(d, &w, "consensus", answer);
	json_w_num(
	    &w, "convergence_similarity", (double)c->mean_ppm / CONSENSUS_PPM);
	json_w_str(&w, "convergence_status",
	    d->round < 2 ? "unknown" : convergence_status(d, c));
	json_w_num(
	    &w, "agreement_level", (double)c->pair_mean_ppm / CONSENSUS_PPM);
	json_w_begin(&w, "per_agent_similarity");
	for (size_t i = 0; i < c->n; i++)
		if (c->own_ppm[i] >= 0)
			json_w_num(&w, d->config.agents[i].name,
			    (double)c->own_ppm[i] / CONSENSUS_PPM);
	json_w_end(&w);
	json_w_int(&w, "rounds_used", d->round);
	if (d->config.protocol == DEBATE_BY_CASCADE)
		json_w_int(&w, "stage", protocol_stage(d));
	afford_result(d, &w, "budget");
	json_w_int(&w, "ended_us", now_us); /* for debate_replay */
	json_w_end(&w);
	const char *text = arena_strdup(d->scratch, buf_text(&b));
	buf_release(&b);
	return text;
}
