/* SPDX-License-Identifier: MIT
 *
 * One agent: its record, its matches and what can be told from them.
 */
#include "fcgi/handler.h"

#include <stdlib.h>

#include "base/str.h"
#include "fcgi/agent_view.h"
#include "fcgi/debate_out.h"

#define AGENT_PAGE     20
#define AGENT_PAGE_MAX 100
#define AGENT_DOMAIN   64
#define AGENT_RESULTS  10 /* matches that are called recent */

struct agent_in {
	int64_t limit, offset, since_us, until_us;
	const char *domain;
	int period;
};

static const struct input agent_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = AGENT_PAGE,
	.max = AGENT_PAGE_MAX,
	.offset = offsetof(struct agent_in, limit),
	.help = "Items in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct agent_in, offset),
	.help = "Items to skip."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = AGENT_DOMAIN,
	.offset = offsetof(struct agent_in, domain),
	.help = "Only debates of this domain, and its ratings."},
    {.key = "since",
	.kind = INPUT_TIME,
	.offset = offsetof(struct agent_in, since_us),
	.help = "Rated at this time or after it."},
    {.key = "until",
	.kind = INPUT_TIME,
	.offset = offsetof(struct agent_in, until_us),
	.help = "Rated before this time."},
    {.key = "period",
	.kind = INPUT_CHOICE,
	.choices = RATING_OUT_PERIODS,
	.offset = offsetof(struct agent_in, period),
	.help = "The same as since, counted back from now."},
};
const struct input_list agent_inputs = {agent_rows, ARRAY_LEN(agent_rows)};

/* ---- what the handlers begin with ---- */

/* A page of the agent's matches. */
static enum http_status
agent_page(
    struct req *req, struct res *res, struct agent_view *v, struct agent_in *in)
{
	enum http_status status = input_read_query(req, &agent_inputs, in, res);
	if (status != HTTP_OK)
		return status;
	int64_t since = rating_out_since(req, in->period);
	v->board.domain = in->domain;
	status = agent_view_open(req, res, v);
	if (status != HTTP_OK)
		return status;
	v->matches = (struct store_match_query){.agent = v->name,
	    .domain = in->domain,
	    .since_us = since > in->since_us ? since : in->since_us,
	    .until_us = in->until_us,
	    .limit = in->limit,
	    .offset = in->offset};
	enum err e = store_match_list(
	    req->app->store, req->arena, req->caller.tenant, &v->matches);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

/* ---- record and history ---- */

enum http_status
agent_profile(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_opponents(req, res, &v);
	if (status != HTTP_OK)
		return status;
	const struct store_rating *r = &v.row.rating;
	struct json_w *w = res_json(res);
	rating_out_agent(w, req, &v.row, v.domains, v.n_domains);
	json_w_num(
	    w, "consistency_score", rating_out_ratio(r->kept, r->ballots));
	json_w_num(
	    w, "flip_rate", rating_out_ratio(r->ballots - r->kept, r->ballots));
	agent_view_relations(w, &v, "allies", AGENT_ALLIES, AGENT_RESULTS);
	agent_view_relations(w, &v, "rivals", AGENT_RIVALS, AGENT_RESULTS);
	json_w_begin(w, "ranking");
	rating_out_agent(w, req, &v.row, v.domains, v.n_domains);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

/* The page's own adjustments are those that no other page's matches are nearer
 * to: from the last match of the page before to the last of its own. */
static enum http_status
agent_page_points(struct req *req, struct res *res, const struct agent_view *v,
    struct agent_point **points, size_t *n)
{
	const struct store_match_query *m = &v->matches;
	struct store_match_query newer = *m;
	bool has_more = m->offset + (int64_t)m->n < m->total;
	int64_t after = has_more && m->n > 0 ? m->rows[m->n - 1].created_us
					     : m->since_us - 1;
	int64_t before = m->until_us > 0 ? m->until_us : INT64_MAX;

	if (m->offset > 0) {
		newer.offset = m->offset - 1;
		newer.limit = 1;
		enum err e = store_match_list(
		    req->app->store, req->arena, req->caller.tenant, &newer);
		if (e != ERR_OK)
			return res_err(res, e, NULL);
		/* Beyond the end: all were shown. */
		before = newer.n > 0 && m->n > 0 ? newer.rows[0].created_us : 0;
	}
	return agent_view_points(req, res, v, after, before, points, n);
}

enum http_status
agent_history(struct req *req, struct res *res)
{
	struct agent_view v = {0};
	struct agent_in in;
	struct agent_point *points;
	size_t n;

	enum http_status status = agent_page(req, res, &v, &in);
	if (status == HTTP_OK)
		status = agent_page_points(req, res, &v, &points, &n);
	if (status != HTTP_OK)
		return status;
	const struct store_match_query *m = &v.matches;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_num(w, "elo", rating_out_points(v.row.rating.elo));
	json_w_num(w, "elo_rating", rating_out_points(v.row.rating.elo));
	rating_out_matches(w, "matches", req, m->rows, m->n);
	rating_out_matches(w, "debates", req, m->rows, m->n);
	rating_out_matches(w, "items", req, m->rows, m->n);
	agent_view_history(w, "history", points, n);
	debate_out_page(w, m->total, m->n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

static double
agent_recent_win_rate(const struct agent_view *v)
{
	const struct store_match_query *m = &v->matches;
	size_t n = m->n < AGENT_RESULTS ? m->n : AGENT_RESULTS;
	int64_t wins = 0;

	for (size_t i = 0; i < n; i++)
		wins += str_eq(m->rows[i].winner, v->name);
	return rating_out_ratio(wins, (int64_t)n);
}

static double
agent_round_ms(const struct store_match_query *m)
{
	int64_t rounds = 0, us = 0;

	for (size_t i = 0; i < m->n; i++) {
		rounds += m->rows[i].rounds;
		us += m->rows[i].rounds > 0 ? m->rows[i].duration_us : 0;
	}
	return rating_out_ratio(us, rounds) / 1000;
}

/* elo_trend: the ratings after what moved them last, the oldest first. */
static void
agent_results(struct json_w *w, const struct agent_view *v,
    const struct agent_point *points, size_t n_points)
{
	const struct store_match_query *m = &v->matches;
	size_t n = m->n < AGENT_RESULTS ? m->n : AGENT_RESULTS;
	size_t n_trend = n_points < AGENT_RESULTS ? n_points : AGENT_RESULTS;

	json_w_begin_array(w, "elo_trend");
	for (size_t i = n_trend; i > 0; i--)
		json_w_num(w, NULL, rating_out_points(points[i - 1].elo));
	json_w_end_array(w);
	json_w_begin_array(w, "recent_results");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "debate_id", m->rows[i].debate_id);
		json_w_str(
		    w, "outcome", rating_out_outcome(&m->rows[i], v->name));
		json_w_time(w, "date", m->rows[i].created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
agent_performance(struct req *req, struct res *res)
{
	struct agent_view v = {
	    .board.since_us = rating_out_since(req, AGENT_VIEW_MONTH)};
	struct agent_point *points;
	size_t n;

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_matches(req, res, &v);
	if (status == HTTP_OK)
		status =
		    agent_view_points(req, res, &v, -1, INT64_MAX, &points, &n);
	if (status != HTTP_OK)
		return status;
	const struct store_rating *r = &v.row.rating;
	int64_t draws = r->games - r->wins - r->losses;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_num(w, "elo", rating_out_points(r->elo));
	json_w_int(w, "total_games", r->games);
	json_w_int(w, "total_debates", r->games);
	json_w_int(w, "wins", r->wins);
	json_w_int(w, "losses", r->losses);
	json_w_int(w, "draws", draws);
	json_w_num(w, "win_rate", rating_out_ratio(r->wins, r->games));
	json_w_num(w, "loss_rate", rating_out_ratio(r->losses, r->games));
	json_w_num(w, "draw_rate", rating_out_ratio(draws, r->games));
	json_w_num(w, "recent_win_rate", agent_recent_win_rate(&v));
	json_w_num(w, "elo_change_30d", rating_out_points(v.row.change));
	json_w_num(w, "avg_confidence", agent_view_confidence(v.row.votes));
	json_w_num(w, "avg_round_duration_ms", agent_round_ms(&v.matches));
	agent_results(w, &v, points, n);
	return res_json_end(res, HTTP_OK);
}

/* ---- calibration ---- */

static void
agent_calibration_members(
    struct json_w *w, const struct agent_view *v, const char *domain)
{
	const struct elo_votes *b = v->row.votes;
	int64_t hits = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++)
		hits += b[i].hits;
	json_w_str(w, "agent", v->name);
	json_w_str(w, "domain", domain);
	json_w_num(w, "brier_score", rating_out_share(elo_mean_brier_ppm(b)));
	json_w_num(w, "ece", rating_out_share(elo_ece_ppm(b)));
	json_w_num(w, "calibration_score", rating_out_calibration(b));
	json_w_num(w, "accuracy", rating_out_ratio(hits, rating_out_votes(b)));
	json_w_num(w, "avg_confidence", agent_view_confidence(b));
	json_w_num(w, "k_multiplier", rating_out_share(elo_k_ppm(b)));
	json_w_int(w, "correct", hits);
	json_w_int(w, "total", rating_out_votes(b));
	json_w_int(w, "total_predictions", rating_out_votes(b));
	json_w_bool(w, "is_reliable", rating_out_votes(b) >= ELO_VOTES_MIN);
}

static void
agent_buckets(struct json_w *w, const char *key, const struct elo_votes *b)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < ELO_BUCKETS; i++) {
		if (b[i].votes == 0)
			continue;
		json_w_begin(w, NULL);
		json_w_num(w, "from", (double)i / ELO_BUCKETS);
		json_w_num(w, "to", (double)(i + 1) / ELO_BUCKETS);
		json_w_int(w, "count", b[i].votes);
		json_w_num(
		    w, "accuracy", rating_out_ratio(b[i].hits, b[i].votes));
		json_w_num(w, "confidence",
		    rating_out_ratio(b[i].confidence, b[i].votes) / ELO_PPM);
		json_w_end(w);
	}
	json_w_end_array(w);
}

static enum http_status
agent_calibration_open(struct req *req, struct res *res, struct agent_view *v)
{
	struct agent_in in;

	enum http_status status =
	    input_read_query(req, &agent_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	v->board.domain = in.domain;
	return agent_view_open(req, res, v);
}

enum http_status
agent_calibration(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_calibration_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	agent_calibration_members(w, &v, v.board.domain);
	agent_buckets(w, "buckets", v.row.votes);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_calibration_summary(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_calibration_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	agent_calibration_members(w, &v, v.board.domain);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_calibration_curve(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_calibration_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	agent_calibration_members(w, &v, v.board.domain);
	agent_buckets(w, "curve", v.row.votes);
	agent_buckets(w, "buckets", v.row.votes);
	json_w_int(w, "count", rating_out_votes(v.row.votes));
	return res_json_end(res, HTTP_OK);
}

/* ---- steadiness ---- */

enum http_status
agent_consistency(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &v);
	if (status != HTTP_OK)
		return status;
	const struct store_rating *r = &v.row.rating;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_num(w, "consistency", rating_out_ratio(r->kept, r->ballots));
	json_w_num(
	    w, "consistency_score", rating_out_ratio(r->kept, r->ballots));
	json_w_int(w, "total_positions", r->ballots);
	json_w_int(w, "total_flips", r->ballots - r->kept);
	json_w_num(
	    w, "flip_rate", rating_out_ratio(r->ballots - r->kept, r->ballots));
	json_w_begin(w, "by_domain");
	for (size_t i = 0; i < v.n_domains; i++)
		json_w_num(w, v.domains[i].agent,
		    rating_out_ratio(v.domains[i].kept, v.domains[i].ballots));
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_flips(struct req *req, struct res *res)
{
	struct agent_view v = {0};
	struct flip_in in;

	enum http_status status = input_read_query(req, &flip_inputs, &in, res);
	if (status == HTTP_OK)
		status = agent_view_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	v.matches = (struct store_match_query){
	    .agent = v.name, .limit = in.limit, .offset = in.offset};
	enum err e = store_flip_list(
	    req->app->store, req->arena, req->caller.tenant, &v.matches);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const struct store_rating *r = &v.row.rating;
	int64_t flips = r->ballots - r->kept;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	rating_out_flips(w, "flips", v.matches.rows, v.matches.n);
	rating_out_flips(w, "items", v.matches.rows, v.matches.n);
	json_w_num(w, "flip_rate", rating_out_ratio(flips, r->ballots));
	debate_out_page(w, flips, v.matches.n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

/* What it voted for, debate by debate. */
enum http_status
agent_positions(struct req *req, struct res *res)
{
	struct agent_view v = {0};
	struct agent_in in;

	enum http_status status = agent_page(req, res, &v, &in);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_begin_array(w, "positions");
	for (size_t i = 0; i < v.matches.n; i++) {
		const struct store_match_row *m = &v.matches.rows[i];
		json_w_begin(w, NULL);
		json_w_str(w, "debate_id", m->debate_id);
		json_w_str(w, "domain", m->domain);
		json_w_str(w, "choice", m->choice);
		json_w_bool(w, "kept", str_eq(m->choice, v.name));
		json_w_str(w, "outcome", rating_out_outcome(m, v.name));
		json_w_time(w, "created_at", m->created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	debate_out_page(w, v.matches.total, v.matches.n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

/* The matches that moved its rating most. */
enum http_status
agent_moments(struct req *req, struct res *res)
{
	struct agent_view v = {0};
	struct relation_in in;

	enum http_status status =
	    input_read_query(req, &relation_inputs, &in, res);
	if (status == HTTP_OK)
		status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_matches(req, res, &v);
	if (status != HTTP_OK)
		return status;
	const struct store_match_row **rows = agent_view_by_change(req, &v);
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_begin_array(w, "moments");
	for (size_t i = 0; i < v.matches.n && (int64_t)i < in.limit; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "type", rows[i]->change >= 0 ? "gain" : "loss");
		json_w_str(w, "debate_id", rows[i]->debate_id);
		json_w_str(w, "domain", rows[i]->domain);
		json_w_str(w, "outcome", rating_out_outcome(rows[i], v.name));
		json_w_num(w, "elo_change", rating_out_points(rows[i]->change));
		json_w_time(w, "created_at", rows[i]->created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)v.matches.n);
	return res_json_end(res, HTTP_OK);
}

/* ---- domains and itself ---- */

enum http_status
agent_domains(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_begin_array(w, "domains");
	for (size_t i = 0; i < v.n_domains; i++) {
		const struct store_rating *r = &v.domains[i];
		json_w_begin(w, NULL);
		json_w_str(w, "domain", r->agent);
		json_w_str(w, "name", r->agent);
		json_w_num(w, "elo", rating_out_points(r->elo));
		json_w_int(w, "matches", r->games);
		json_w_int(w, "wins", r->wins);
		json_w_int(w, "losses", r->losses);
		json_w_int(w, "draws", r->games - r->wins - r->losses);
		json_w_num(w, "win_rate", rating_out_ratio(r->wins, r->games));
		json_w_bool(w, "provisional", r->games < ELO_PROVISIONAL);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)v.n_domains);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_reputation(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	const struct store_rating *r = &v.row.rating;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_num(w, "reputation", rating_out_reputation(req, r));
	json_w_num(w, "score", rating_out_reputation(req, r));
	json_w_num(w, "elo", rating_out_points(r->elo));
	json_w_int(w, "matches", r->games);
	json_w_bool(w, "provisional", r->games < ELO_PROVISIONAL);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_introspect(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	rating_out_agent(w, req, &v.row, v.domains, v.n_domains);
	rating_out_strengths(w, "strengths", req, v.domains, v.n_domains, true);
	rating_out_strengths(
	    w, "weaknesses", req, v.domains, v.n_domains, false);
	return res_json_end(res, HTTP_OK);
}

/* No agent of the registry has a persona of its own: debates give them. */
enum http_status
agent_persona(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	json_w_null(w, "persona");
	json_w_begin_array(w, "traits");
	json_w_end_array(w);
	json_w_begin(w, "expertise");
	for (size_t i = 0; i < v.n_domains; i++)
		json_w_num(w, v.domains[i].agent,
		    rating_out_reputation(req, &v.domains[i]));
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_metadata(struct req *req, struct res *res)
{
	struct agent_view v = {0};

	enum http_status status = agent_view_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	const struct llm_agent_row *row = llm_agent_find(v.name);
	bool is_available =
	    llm_agent_is_available(row, req->app->settings, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", row->name);
	json_w_str(w, "provider", row->provider);
	json_w_str(w, "model", row->model);
	json_w_str(w, "description", row->help);
	json_w_bool(w, "available", is_available);
	json_w_begin(w, "metadata");
	json_w_bool(w, "needs_key", *row->key_env != '\0');
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
