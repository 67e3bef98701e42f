/* SPDX-License-Identifier: MIT
 *
 * A match is rated in the transaction of its debate's last transition, once
 * per debate, on four boards: of all domains and of its own, each over all
 * sources and over its own. Ratings are thousandths of a point, shares and
 * confidences millionths; domain "" = all domains. Reading: store_board.h.
 */
#pragma once

#include "store/elo.h"
#include "store/store.h"

struct db;

/* What the winner was found with. */
#define STORE_SOURCE_VOTES "votes" /* ballots of the agents */
#define STORE_SOURCE_HUMAN "human" /* ballots of the agents and of people */
#define STORE_SOURCE_JUDGE "judge"

struct store_player {
	const char *agent;  /* of the registry, each once in a match */
	int64_t score;	    /* elo.h */
	const char *choice; /* whose answer it voted for; NULL = no ballot */
};
struct store_vote {
	const char *agent;
	int64_t confidence_ppm;
	bool is_hit;
};
struct store_match {
	const char *domain; /* "" = none: only the boards of all domains */
	const char *winner; /* agent of the registry */
	const char *source; /* STORE_SOURCE_... */
	int64_t confidence_ppm;
	int64_t rounds, duration_us;
	struct store_player *players;
	size_t n_players; /* at least 2 */
	struct store_vote *votes;
	size_t n_votes;
	/* Of the settings; set by who commits. */
	int64_t elo_initial, elo_k_factor; /* points */
};

/* Inside of the transaction; nothing when this debate is rated already. */
enum err store_match_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_match *m, int64_t now_us)
    MUST_CHECK;

struct store_rating {
	const char *agent;
	int64_t elo, games, wins, losses; /* the others are draws */
	int64_t streak;	       /* of wins, or of losses when negative */
	int64_t ballots, kept; /* kept: for its own answer */
	int64_t updated_us;
};
