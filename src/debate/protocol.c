/* SPDX-License-Identifier: MIT */
#include "debate/protocol.h"

#include "base/str.h"
#include "debate/convergence.h"

/* From which stated confidence a cascade takes a single answer for enough. */
#define PROTOCOL_SURE 0.9

#define PROTOCOL_SPARSE_BIT 33 /* of a hash: an even coin */

static const struct protocol_row *
protocol_of(const struct debate *d)
{
	return protocol_row(d->config.protocol);
}

bool
protocol_is_solo(const struct debate *d)
{
	const struct turn *first = turn_position(d, 0);

	if (d->config.protocol == DEBATE_BY_SINGLE)
		return first != NULL;
	if (d->config.protocol != DEBATE_BY_CASCADE || d->round > 1 ||
	    first == NULL)
		return false;
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase != DEBATE_CONSENSUS &&
		    d->turns[i]->phase != DEBATE_INDEX &&
		    d->turns[i]->agent != 0)
			return false;
	return turn_confidence(first) >= PROTOCOL_SURE;
}

static bool
protocol_is_debated(const struct debate *d)
{
	if (d->round > 1)
		return true;
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_CRITIQUE ||
		    d->turns[i]->phase == DEBATE_REVISE ||
		    d->turns[i]->phase == DEBATE_VOTE)
			return true;
	return false;
}

/* Everybody was asked, and those who answered say the same. */
static bool
protocol_is_agreed(struct debate *d)
{
	const struct convergence *c = convergence_of(d);
	int group = -1;
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (turn_position(d, (int)i) == NULL)
			continue;
		if (group >= 0 && c->group[i] != group)
			return false;
		group = c->group[i];
		n++;
	}
	return n > 1;
}

enum protocol_stage
protocol_stage(struct debate *d)
{
	if (d->config.protocol != DEBATE_BY_CASCADE || protocol_is_debated(d))
		return PROTOCOL_DEBATED;
	if (protocol_is_solo(d))
		return PROTOCOL_ALONE;
	return protocol_is_agreed(d) ? PROTOCOL_AGREED : PROTOCOL_DEBATED;
}

bool
protocol_counts_positions(struct debate *d)
{
	return protocol_of(d)->vote == PROTOCOL_POSITIONS ||
	    protocol_stage(d) == PROTOCOL_AGREED;
}

size_t
protocol_debaters(const struct debate *d)
{
	size_t n = protocol_of(d)->debaters;

	return n > 0 && n < d->config.n_agents ? n : d->config.n_agents;
}

int
protocol_judge(const struct debate *d)
{
	size_t n = protocol_debaters(d);

	return n < d->config.n_agents ? (int)n : -1;
}

static bool
topology_is_next(const struct debate *d, int reader, int seat)
{
	return (reader + 1) % (int)protocol_debaters(d) == seat;
}

bool
topology_reads(const struct debate *d, int reader, int seat)
{
	uint64_t pair[2] = {(uint64_t)reader, (uint64_t)seat};

	if (reader == seat)
		return false;
	switch (d->config.topology) {
	case TOPOLOGY_ALL:
		return true;
	case TOPOLOGY_RING:
		return topology_is_next(d, reader, seat) ||
		    topology_is_next(d, seat, reader);
	case TOPOLOGY_STAR:
		return reader == 0 || seat == 0;
	case TOPOLOGY_SPARSE:
		return topology_is_next(d, reader, seat) ||
		    (str_hash(pair, sizeof(pair), d->config.seed) >>
			PROTOCOL_SPARSE_BIT) %
		    2;
	case TOPOLOGY__COUNT:
		break;
	}
	return true;
}
