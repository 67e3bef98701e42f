/* SPDX-License-Identifier: MIT
 *
 * Protocols: which steps a debate takes and what decides it; and topologies:
 * who criticises and reads whom. Self-consistency (Wang 2022), mixture of
 * agents (Wang 2024), council and debate are one engine with another table
 * row, so that they can be compared at the same cost.
 */
#pragma once

#include "debate/engine.h"
#include "debate/protocol_row.h"

/* Stages of a cascade, each only when the one before did not settle it; other
 * protocols are in stage 3 from the start. */
enum protocol_stage {
	PROTOCOL_ALONE = 1, /* the first seat is sure of its answer */
	PROTOCOL_AGREED,    /* the others, asked by themselves, say the same */
	PROTOCOL_DEBATED
};
enum protocol_stage protocol_stage(struct debate *d);
/* Is the first seat's answer enough, as far as it is there? */
bool protocol_is_solo(const struct debate *d);
/* Is what the seats said themselves counted, rather than ballots? */
bool protocol_counts_positions(struct debate *d);
size_t protocol_debaters(const struct debate *d);
/* The seat that only judges, -1 = none. */
int protocol_judge(const struct debate *d);

/* Does the reader criticise this seat, and read it when it revises?
 *   all     everybody
 *   ring    the two beside it
 *   star    the hub, seat 0, reads all and all read the hub
 *   sparse  each with probability 1/2 by the debate's seed; the next seat
 *           always, so that nobody is left out */
bool topology_reads(const struct debate *d, int reader, int seat);
