/* SPDX-License-Identifier: MIT
 *
 * Ratings, matches and calibration. A match is rated in the transaction of
 * its debate's last transition, once per debate. Ratings are thousandths of a
 * point, shares and confidences millionths; domain "" = all domains.
 */
#pragma once

#include "store/elo.h"
#include "store/store.h"

struct db;

struct store_player {
	const char *agent; /* of the registry, each once in a match */
	int64_t score;	   /* elo.h */
};
struct store_vote {
	const char *agent;
	int64_t confidence_ppm;
	bool is_hit;
};
struct store_match {
	const char *domain;
	const char *winner; /* agent of the registry */
	const char *source; /* "votes" or "judge" */
	int64_t confidence_ppm;
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
	int64_t elo, games, wins, losses;
	int64_t streak; /* of wins, or of losses when negative */
	int64_t updated_us;
};
/* Highest first; *total counts without limit and offset. */
enum err store_rating_list(struct store *store, struct arena *a,
    const char *tenant, const char *domain, int64_t limit, int64_t offset,
    struct store_rating **rows, size_t *n, int64_t *total) MUST_CHECK;

struct store_match_row {
	const char *debate_id, *domain, *winner, *source;
	int64_t confidence_ppm;
	/* [{"agent", "score", "change", "elo"}, ...] */
	const char *players;
	int64_t created_us;
	int64_t elo; /* the agent's after it, when asked for an agent */
};
/* Newest first, of a domain or of an agent (NULL = of all). */
enum err store_match_list(struct store *store, struct arena *a,
    const char *tenant, const char *domain, const char *agent, int64_t limit,
    int64_t offset, struct store_match_row **rows, size_t *n, int64_t *total)
    MUST_CHECK;

/* What one agent did against another, per domain. */
struct store_between {
	const char *domain;
	int64_t wins, losses, matches;
};
enum err store_match_between(struct store *store, struct arena *a,
    const char *tenant, const char *agent, const char *other,
    struct store_between **rows, size_t *n) MUST_CHECK;

/* All ELO_BUCKETS of one agent. */
enum err store_calibration(struct store *store, const char *tenant,
    const char *domain, const char *agent, struct elo_votes *buckets)
    MUST_CHECK;
