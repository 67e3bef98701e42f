/* SPDX-License-Identifier: MIT
 *
 * What is known of one agent, fetched as far as an answer needs it.
 */
#pragma once

#include "fcgi/rating_out.h"
#include "store/store_agent.h"

#define AGENT_VIEW_MONTH 4 /* "30d" of RATING_OUT_PERIODS */

/* What flip_inputs and relation_inputs fill. */
struct flip_in {
	int64_t limit, offset;
};
struct relation_in {
	int64_t limit;
};

struct agent_view {
	const char *name;	      /* of the registry */
	struct store_board board;     /* in: domain, since_us */
	struct store_board_row row;   /* its own */
	struct store_rating *domains; /* best first; agent = the domain */
	size_t n_domains;
	struct store_opponent *opponents;
	size_t n_opponents;
	struct store_match_query matches; /* the newest RATING_OUT_RECENT */
};

/* The agent of the path's first parameter. All: HTTP_OK, or the answer is
 * written. */
enum http_status agent_view_open(
    struct req *req, struct res *res, struct agent_view *v) MUST_CHECK;
/* Or the one of that name, which may be an alias. */
enum http_status agent_view_named(struct req *req, struct res *res,
    const char *name, struct agent_view *v) MUST_CHECK;
enum http_status agent_view_domains(
    struct req *req, struct res *res, struct agent_view *v) MUST_CHECK;
enum http_status agent_view_opponents(
    struct req *req, struct res *res, struct agent_view *v) MUST_CHECK;
enum http_status agent_view_matches(
    struct req *req, struct res *res, struct agent_view *v) MUST_CHECK;

/* Whom it agreed with; whom it won and lost against. Most first. */
enum agent_relation { AGENT_ALLIES, AGENT_RIVALS };
void agent_view_relations(struct json_w *w, const struct agent_view *v,
    const char *key, enum agent_relation kind, size_t limit);

/* The matches by how far they moved the rating. */
const struct store_match_row **agent_view_by_change(
    struct req *req, const struct agent_view *v);
/* Mean of those it stated. */
double agent_view_confidence(const struct elo_votes *buckets);

/* A rating after a match or, by hand, after an adjustment. */
struct agent_point {
	int64_t at_us, elo;
	const char *debate_id;		       /* NULL = none */
	const struct store_adjustment *adjust; /* NULL = a match */
};
/* The matches fetched and what was adjusted between the two times, the newest
 * first; of a domain's board matches alone. HTTP_OK, or the answer. */
enum http_status agent_view_points(struct req *req, struct res *res,
    const struct agent_view *v, int64_t after_us, int64_t before_us,
    struct agent_point **points, size_t *n) MUST_CHECK;
/* An array of them. */
void agent_view_history(struct json_w *w, const char *key,
    const struct agent_point *points, size_t n);
