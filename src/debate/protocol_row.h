/* SPDX-License-Identifier: MIT
 *
 * Each protocol once: what tells them apart is data.
 */
#pragma once

#include "debate/config.h"

/* What a ballot is made of. */
enum protocol_vote {
	PROTOCOL_BALLOTS,   /* each seat is asked */
	PROTOCOL_POSITIONS, /* each seat stands by what it said */
	PROTOCOL_NO_VOTE    /* a judge, an aggregator or nobody decides */
};

struct protocol_row {
	const char *name;
	size_t min_agents;
	size_t n_agents; /* exactly so many seats, 0 = as asked */
	size_t debaters; /* the first of them speak, 0 = all */
	bool has_critique, has_revision, has_synthesis;
	bool has_one_round;
	enum protocol_vote vote;
	/* The rule when none is asked for; with is_rule_fixed no other. */
	enum debate_rule rule;
	bool has_rule, is_rule_fixed;
};
const struct protocol_row *protocol_row(enum debate_protocol p);
