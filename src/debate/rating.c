/* SPDX-License-Identifier: MIT
 *
 * A finished debate as a match: who played under which model, who won, and
 * what the ballots staked on it. Seats of the same agent, and seats that reach
 * the same model under another agent's name, play as one: no model wins points
 * from itself.
 */
#include <string.h>

#include "base/str.h"
#include "debate/convergence.h"
#include "debate/engine.h"
#include "store/store_rating.h"

#define RATING_AGREED 1
#define RATING_WON    2

/* Whose name each seat plays under: of all that are the same, the one that
 * stands first in the registry. */
static const char **
rating_agents(struct debate *d)
{
	const struct llm_agent *seats = d->config.agents;
	size_t n = d->config.n_agents;
	const struct llm_agent_row **rows =
	    ARENA_ARRAY(d->scratch, n + 1, const struct llm_agent_row *);
	const char **models = ARENA_ARRAY(d->scratch, n + 1, const char *);
	const char **names = ARENA_ARRAY(d->scratch, n + 1, const char *);
	size_t *side = ARENA_ARRAY(d->scratch, n + 1, size_t);

	for (size_t i = 0; i < n; i++) {
		models[i] = llm_agent_identity(d->scratch, &seats[i]);
		side[i] = i;
		for (size_t k = 0; k < i; k++) {
			if (seats[k].row != seats[i].row &&
			    !str_eq(models[k], models[i]))
				continue;
			for (size_t j = 0, other = side[i]; j <= i; j++)
				if (side[j] == other)
					side[j] = side[k];
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct llm_agent_row **first = &rows[side[i]];
		if (*first == NULL || seats[i].row < *first)
			*first = seats[i].row;
	}
	for (size_t i = 0; i < n; i++)
		names[i] = rows[side[i]]->name;
	return names;
}

static struct store_player *
rating_player(struct store_match *m, const char *agent)
{
	for (size_t i = 0; i < m->n_players; i++)
		if (str_eq(m->players[i].agent, agent))
			return &m->players[i];
	m->players[m->n_players] = (struct store_player){.agent = agent};
	return &m->players[m->n_players++];
}

/* Positions that say the same are one answer. */
static bool
rating_is_hit(struct debate *d, int choice)
{
	const struct convergence *c = convergence_of(d);

	return c->group[choice] == c->group[d->outcome.winner];
}

/* A confidence that was not given is none. */
static void
rating_vote(struct debate *d, struct store_match *m, const struct turn *t,
    const char **agents)
{
	const struct json *given = json_get(t->parsed, "confidence");
	int choice = debate_seat(d, json_get_str(t->parsed, "choice", NULL));
	double stated;

	if (choice < 0)
		return;
	for (size_t i = 0; i < m->n_players; i++)
		if (str_eq(m->players[i].agent, agents[t->agent]))
			m->players[i].choice = agents[choice];
	if (!json_num(given, &stated))
		return;
	m->votes[m->n_votes++] = (struct store_vote){.agent = agents[t->agent],
	    .confidence_ppm =
		(int64_t)(turn_confidence(t) * CONSENSUS_PPM + 0.5),
	    .is_hit = rating_is_hit(d, choice)};
}

static const char *
rating_source(const struct debate *d)
{
	if (d->judge >= 0 || d->outcome.settled_by == CONSENSUS_BREAK_JUDGE)
		return STORE_SOURCE_JUDGE;
	return d->audience_ppm > 0 ? STORE_SOURCE_HUMAN : STORE_SOURCE_VOTES;
}

const struct store_match *
rating_match(struct debate *d, int64_t now_us)
{
	struct store_match *m = ARENA_NEW(d->scratch, struct store_match);
	int64_t others = debate_is_reached(d) ? RATING_AGREED : 0;

	if (d->outcome.winner < 0)
		return NULL;
	const char **agents = rating_agents(d);
	m->domain = d->config.domain;
	m->winner = agents[d->outcome.winner];
	m->source = rating_source(d);
	m->confidence_ppm =
	    (int64_t)(debate_confidence(d) * CONSENSUS_PPM + 0.5);
	m->rounds = d->round;
	m->duration_us = now_us > d->started_us ? now_us - d->started_us : 0;
	m->players = ARENA_ARRAY(
	    d->scratch, d->config.n_agents + 1, struct store_player);
	m->votes = ARENA_ARRAY(d->scratch, d->n_turns + 1, struct store_vote);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (turn_position(d, (int)i) != NULL)
			rating_player(m, agents[i])->score = others;
	rating_player(m, m->winner)->score = RATING_WON;
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_VOTE &&
		    turn_is_good(d->turns[i]))
			rating_vote(d, m, d->turns[i], agents);
	return m->n_players > 1 ? m : NULL;
}
