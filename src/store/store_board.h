/* SPDX-License-Identifier: MIT
 *
 * Reading ratings, matches and calibration. Units as in store_rating.h;
 * everything is put on the caller's arena and is of one tenant.
 */
#pragma once

#include "store/store_rating.h"

/* Agents of a board that are read: more than any registry has. */
#define STORE_BOARD_MAX 1000

struct store_board_row {
	struct store_rating rating;
	int64_t rank; /* from 1 */
	/* Within the last day, and since since_us; over all sources. */
	int64_t day_change, change;
	int64_t recent; /* matches since since_us */
	struct elo_votes votes[ELO_BUCKETS];
};
struct store_board {
	const char *domain; /* "" = all */
	const char *source; /* "" = all */
	int64_t now_us, since_us;
	/* out: the highest first */
	struct store_board_row *rows;
	size_t n;
};
enum err store_board_get(struct store *store, struct arena *a,
    const char *tenant, struct store_board *b) MUST_CHECK;

struct store_match_row {
	const char *debate_id, *domain, *winner, *source;
	int64_t confidence_ppm;
	/* [{"agent", "score", "change", "elo", "domain_change", "domain_elo",
	 * "k", "choice"}, ...] */
	const char *players;
	int64_t rounds, duration_us, created_us;
	/* The agent's, when asked for an agent; elo: after the match. */
	int64_t score, elo, change, domain_elo, domain_change;
	const char *choice; /* "" = none */
	const char *agent;  /* of a flip */
};
struct store_match_query {
	const char *domain;	    /* NULL or "" = all */
	const char *agent;	    /* NULL = all */
	const char *other;	    /* only matches of both; needs agent */
	int64_t since_us, until_us; /* 0 = no bound */
	int64_t limit, offset;
	/* out: newest first; total counts without limit and offset */
	struct store_match_row *rows;
	size_t n;
	int64_t total; /* not with `other` */
};
enum err store_match_list(struct store *store, struct arena *a,
    const char *tenant, struct store_match_query *q) MUST_CHECK;
/* ERR_NOT_FOUND */
enum err store_match_get(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_match_row *out)
    MUST_CHECK;
/* Ballots for another's answer, of an agent or (NULL) of all. */
enum err store_flip_list(struct store *store, struct arena *a,
    const char *tenant, struct store_match_query *q) MUST_CHECK;

/* What one agent did against another, per domain. */
struct store_between {
	const char *domain;
	int64_t wins, losses, matches;
};
enum err store_match_between(struct store *store, struct arena *a,
    const char *tenant, const char *agent, const char *other,
    struct store_between **rows, size_t *n) MUST_CHECK;

/* Whom an agent met, the most frequent first. */
struct store_opponent {
	const char *agent;
	int64_t wins, losses, matches;
	int64_t agreed; /* neither of them lost */
};
enum err store_match_opponents(struct store *store, struct arena *a,
    const char *tenant, const char *agent, struct store_opponent **rows,
    size_t *n) MUST_CHECK;

/* A name and how often. */
struct store_tally {
	const char *name;
	int64_t matches, agents, updated_us;
};
/* By name. */
enum err store_match_domains(struct store *store, struct arena *a,
    const char *tenant, struct store_tally **rows, size_t *n) MUST_CHECK;
/* By source. */
enum err store_match_sources(struct store *store, struct arena *a,
    const char *tenant, struct store_tally **rows, size_t *n) MUST_CHECK;

/* An agent's rating in each domain, the highest first; rows[i].agent is the
 * domain. */
enum err store_rating_domains(struct store *store, struct arena *a,
    const char *tenant, const char *agent, struct store_rating **rows,
    size_t *n) MUST_CHECK;
