/* SPDX-License-Identifier: MIT
 *
 * A finished debate as a match: who played under which model, who won, and
 * what the ballots staked on it. Seats of the same agent play as one, so no
 * model wins points from itself.
 */
#include <string.h>

#include "base/str.h"
#include "debate/engine.h"
#include "store/store_rating.h"

#define RATING_AGREED 1
#define RATING_WON    2

static struct store_player *
rating_player(struct store_match *m, const char *agent)
{
	for (size_t i = 0; i < m->n_players; i++)
		if (str_eq(m->players[i].agent, agent))
			return &m->players[i];
	m->players[m->n_players] = (struct store_player){.agent = agent};
	return &m->players[m->n_players++];
}

static const char *
rating_agent(const struct debate *d, int seat)
{
	return d->config.agents[seat].row->name;
}

/* A confidence that was not given is none. */
static void
rating_vote(const struct debate *d, struct store_match *m, const struct turn *t)
{
	const struct json *given = json_get(t->parsed, "confidence");
	int choice = debate_seat(d, json_get_str(t->parsed, "choice", NULL));
	double stated;

	if (choice < 0 || !json_num(given, &stated))
		return;
	m->votes[m->n_votes++] =
	    (struct store_vote){.agent = rating_agent(d, t->agent),
		.confidence_ppm =
		    (int64_t)(turn_confidence(t) * CONSENSUS_PPM + 0.5),
		.is_hit = choice == d->outcome.winner};
}

const struct store_match *
rating_match(struct debate *d)
{
	struct store_match *m = ARENA_NEW(d->scratch, struct store_match);
	int64_t others = debate_is_reached(d) ? RATING_AGREED : 0;

	if (d->outcome.winner < 0)
		return NULL;
	m->domain = d->config.domain;
	m->winner = rating_agent(d, d->outcome.winner);
	m->source = d->judge >= 0 ? "judge" : "votes";
	m->confidence_ppm =
	    (int64_t)(debate_confidence(d) * CONSENSUS_PPM + 0.5);
	m->players = ARENA_ARRAY(
	    d->scratch, d->config.n_agents + 1, struct store_player);
	m->votes = ARENA_ARRAY(d->scratch, d->n_turns + 1, struct store_vote);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (turn_position(d, (int)i) != NULL)
			rating_player(m, rating_agent(d, (int)i))->score =
			    others;
	rating_player(m, m->winner)->score = RATING_WON;
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_VOTE &&
		    turn_is_good(d->turns[i]))
			rating_vote(d, m, d->turns[i]);
	return m->n_players > 1 ? m : NULL;
}
