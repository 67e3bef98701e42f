/* SPDX-License-Identifier: MIT
 *
 * The engine driven by hand: a pretended store keeps what each transition
 * commits; the answers come from the demo agents, or from the test.
 */
#pragma once

#include "debate/debate.h"

#define NOW  INT64_C(1767225600000000)
#define ROOM 1024

/* The database, pretended. */
struct world {
	struct arena *a;
	const char *config;
	struct store_debate row;
	struct store_turn turns[ROOM];
	size_t n_turns;
	struct store_event events[ROOM];
	size_t n_events;
	int n_commits;
	bool is_done;
};

/* Calls that wait for an answer, in the order they were made. */
struct queue {
	struct debate_call calls[ROOM];
	size_t n;
};

void world_init(struct world *w, const char *config);
void world_commit(struct world *w, const struct store_transition *t);
void queue_take(struct queue *q, const struct debate_output *out);
/* Seats whose name is in `failing` never answer. */
void answer(struct debate *d, const struct debate_call *call,
    const char *failing, struct debate_output *out);
/* Run until done or `stop_after` commits; false when stopped early. */
bool run(struct world *w, const char *failing, int stop_after);
int count_events(const struct world *w, const char *type);
/* Everything but what names an attempt. */
void ck_same(const struct world *x, const struct world *y, int cut);
