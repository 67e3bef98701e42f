/* SPDX-License-Identifier: MIT
 *
 * Agents with their ratings, and matches, as callers see them.
 */
#pragma once

#include "fcgi/handler.h"
#include "llm/llm.h"
#include "store/store_board.h"

#define RATING_OUT_RECENT 100 /* matches that an agent's figures look at */

/* The board of the caller's tenant. A caller who shows no credential where
 * one is needed sees an empty one. */
enum err rating_out_board(struct req *req, struct store_board *b) MUST_CHECK;
/* What is decided about agents, for the agent objects of this request; the
 * board brings it. NULL: nothing is decided about one. */
enum err rating_out_rules(struct req *req) MUST_CHECK;
const struct store_agent_rule *rating_out_rule(
    const struct req *req, const char *agent);
/* An agent's row; one without matches: first rating, rank 0, zeros. */
struct store_board_row rating_out_row(
    const struct req *req, const struct store_board *b, const char *agent);

/* The members of the agent object. domains: best first, may be NULL. */
void rating_out_agent(struct json_w *w, const struct req *req,
    const struct store_board_row *row, const struct store_rating *domains,
    size_t n_domains);
/* An array of them. */
void rating_out_agents(struct json_w *w, const char *key, const struct req *req,
    struct store_board_row *const *rows, size_t n);

/* The members of a match, and an array of matches. */
void rating_out_match(
    struct json_w *w, const struct req *req, const struct store_match_row *m);
void rating_out_matches(struct json_w *w, const char *key,
    const struct req *req, const struct store_match_row *rows, size_t n);
/* A ballot for another's answer. */
void rating_out_flips(struct json_w *w, const char *key,
    const struct store_match_row *rows, size_t n);

/* The registry's name for a parameter of the path, or for a text; NULL and the
 * answer (404) when there is no such agent. */
const char *rating_out_param(struct req *req, struct res *res, size_t i);
const char *rating_out_name(struct res *res, const char *name);

/* "win", "draw" or "loss" of the row's agent. */
const char *rating_out_outcome(
    const struct store_match_row *m, const char *agent);
/* Domains in which it stands above (or else below) where all begin. */
void rating_out_strengths(struct json_w *w, const char *key,
    const struct req *req, const struct store_rating *domains, size_t n,
    bool is_above);

double rating_out_points(int64_t milli);
double rating_out_share(int64_t ppm);
double rating_out_ratio(int64_t part, int64_t whole); /* 0 of nothing */
int64_t rating_out_votes(const struct elo_votes *buckets);
/* 1 - ECE, 0 without votes. */
double rating_out_calibration(const struct elo_votes *buckets);
/* Expected share against an agent that begins. */
double rating_out_reputation(
    const struct req *req, const struct store_rating *r);

/* Periods that a query may name, and since when that is; 0 = ever. */
#define RATING_OUT_PERIODS                                                     \
	"24h|day|7d|week|30d|month|90d|quarter|365d|year|all|all_time|"
int64_t rating_out_since(const struct req *req, int period);
