/* SPDX-License-Identifier: MIT
 *
 * Boards: rankings, what moved on them, and figures over them.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "fcgi/agent_view.h"
#include "fcgi/debate_out.h"
#include "fcgi/rating_order.h"
#include "settings/settings.h"

#define RATING_PAGE	 20
#define RATING_PAGE_MAX	 100
#define RATING_VIEW_PAGE 10
#define RATING_DOMAIN	 64
#define RATING_SOURCE	 16
#define RATING_GAMES_MAX 1000000000 /* of min_debates */

enum rating_sort {
	RATING_BY_ELO,
	RATING_BY_WINS,
	RATING_BY_WIN_RATE,
	RATING_BY_RECENT
};

struct rating_in {
	int64_t limit, offset, min_debates;
	const char *domain, *source, *view;
	int period, sort_by, order, direction;
};

static const struct input rating_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = RATING_PAGE,
	.max = RATING_PAGE_MAX,
	.offset = offsetof(struct rating_in, limit),
	.help = "Items in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct rating_in, offset),
	.help = "Items to skip."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = RATING_DOMAIN,
	.offset = offsetof(struct rating_in, domain),
	.help = "The board of this domain; without: of all."},
    {.key = "source",
	.kind = INPUT_TEXT,
	.max = RATING_SOURCE,
	.offset = offsetof(struct rating_in, source),
	.help = "The board of winners found by votes, human or judge."},
    {.key = "period",
	.kind = INPUT_CHOICE,
	.choices = RATING_OUT_PERIODS,
	.offset = offsetof(struct rating_in, period),
	.help = "Only agents with a match since; elo_change is of it."},
    {.key = "min_debates",
	.kind = INPUT_INT,
	.max = RATING_GAMES_MAX,
	.offset = offsetof(struct rating_in, min_debates),
	.help = "Only agents with as many matches."},
    {.key = "sort_by",
	.kind = INPUT_CHOICE,
	.choices = "elo|wins|win_rate|recent_activity|",
	.offset = offsetof(struct rating_in, sort_by),
	.help = "The order; rank is always the place by rating."},
    {.key = "order",
	.kind = INPUT_CHOICE,
	.choices = "desc|asc|",
	.offset = offsetof(struct rating_in, order),
	.help = "Highest first is the default."},
    {.key = "view",
	.kind = INPUT_TEXT,
	.max = RATING_DOMAIN,
	.offset = offsetof(struct rating_in, view),
	.help = "Accepted; every answer holds all members."},
};
const struct input_list rating_inputs = {rating_rows, ARRAY_LEN(rating_rows)};

static const struct input rating_view_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = RATING_VIEW_PAGE,
	.max = RATING_PAGE_MAX,
	.offset = offsetof(struct rating_view_in, limit),
	.help = "Agents, and matches, in the answer."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = RATING_DOMAIN,
	.offset = offsetof(struct rating_view_in, domain),
	.help = "The board of this domain; without: of all."},
};
const struct input_list rating_view_inputs = {
    rating_view_rows, ARRAY_LEN(rating_view_rows)};

static const struct input flip_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = RATING_PAGE,
	.max = RATING_PAGE_MAX,
	.offset = offsetof(struct flip_in, limit),
	.help = "Ballots in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct flip_in, offset),
	.help = "Ballots to skip."},
};
const struct input_list flip_inputs = {flip_rows, ARRAY_LEN(flip_rows)};

static const struct input rating_mover_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = RATING_VIEW_PAGE,
	.max = RATING_PAGE_MAX,
	.offset = offsetof(struct rating_in, limit),
	.help = "Agents in the answer."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = RATING_DOMAIN,
	.offset = offsetof(struct rating_in, domain),
	.help = "The board of this domain; without: of all."},
    {.key = "period",
	.kind = INPUT_CHOICE,
	.choices = RATING_OUT_PERIODS,
	.offset = offsetof(struct rating_in, period),
	.help = "Since when; 7d if it is not named."},
    {.key = "direction",
	.kind = INPUT_CHOICE,
	.choices = "both|up|down|",
	.offset = offsetof(struct rating_in, direction),
	.help = "Only who rose, or only who fell."},
};
const struct input_list rating_mover_inputs = {
    rating_mover_rows, ARRAY_LEN(rating_mover_rows)};

/* ---- rankings ---- */

static void
rating_three(
    struct json_w *w, struct req *req, struct store_board_row **rows, size_t n)
{
	static const char *const keys[] = {"rankings", "agents", "items"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		rating_out_agents(w, keys[i], req, rows, n);
}

enum http_status
rating_list(struct req *req, struct res *res)
{
	static const rating_before_fn orders[] = {
	    [RATING_BY_ELO] = rating_before_elo,
	    [RATING_BY_WINS] = rating_before_wins,
	    [RATING_BY_WIN_RATE] = rating_before_win_rate,
	    [RATING_BY_RECENT] = rating_before_recent,
	};
	struct rating_in in;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &rating_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_board b = {.domain = in.domain,
	    .source = in.source,
	    .since_us = rating_out_since(req, in.period)};
	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct store_board_row **rows = rating_all(req, &b);
	for (size_t i = 0; i < b.n; i++)
		if (rows[i]->rating.games >= in.min_debates &&
		    rows[i]->rating.updated_us >= b.since_us)
			rows[n++] = rows[i];
	rating_sort(
	    rows, n, orders[in.sort_by < 0 ? 0 : in.sort_by], in.order == 1);
	size_t from = (uint64_t)in.offset < n ? (size_t)in.offset : n;
	size_t count =
	    (size_t)in.limit < n - from ? (size_t)in.limit : n - from;
	struct json_w *w = res_json(res);
	rating_three(w, req, rows + from, count);
	json_w_str(w, "domain", in.domain);
	json_w_time(w, "updated_at", rating_updated(req, &b));
	debate_out_page(w, (int64_t)n, count, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
rating_domain(struct req *req, struct res *res)
{
	struct store_board b = {.domain = req->match.params[0]};
	struct store_match_query q = {.domain = b.domain, .limit = 1};
	struct rating_view_in in;

	enum http_status status =
	    input_read_query(req, &rating_view_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = rating_out_board(req, &b);
	if (e == ERR_OK)
		e = store_match_list(
		    req->app->store, req->arena, req->caller.tenant, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	size_t n = (size_t)in.limit < b.n ? (size_t)in.limit : b.n;
	struct json_w *w = res_json(res);
	json_w_str(w, "domain", b.domain);
	rating_three(w, req, rating_all(req, &b), n);
	json_w_int(w, "total_debates", q.total);
	json_w_time(w, "last_updated", rating_updated(req, &b));
	debate_out_page(w, (int64_t)b.n, n, in.limit, 0);
	return res_json_end(res, HTTP_OK);
}

enum http_status
rating_domains(struct req *req, struct res *res)
{
	struct store_tally *rows;
	size_t n;

	enum err e = store_match_domains(
	    req->app->store, req->arena, req->caller.tenant, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	rating_domain_array(w, "domains", rows, n);
	json_w_int(w, "total", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}

/* ---- what moved ---- */

enum http_status
rating_movers(struct req *req, struct res *res)
{
	struct rating_in in;

	enum http_status status =
	    input_read_query(req, &rating_mover_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_board b = {.domain = in.domain,
	    .since_us =
		rating_out_since(req, in.period < 0 ? RATING_WEEK : in.period)};
	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	size_t n =
	    rating_mover_array(w, "movers", req, &b, in.direction, in.limit);
	json_w_int(w, "count", (int64_t)n);
	json_w_time(w, "updated_at", rating_updated(req, &b));
	return res_json_end(res, HTTP_OK);
}

/* ---- calibration of all, flips of all ---- */

enum http_status
rating_calibrated(struct req *req, struct res *res)
{
	struct rating_view_in in;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &rating_view_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_board b = {.domain = in.domain};
	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct store_board_row **rows = rating_all(req, &b);
	for (size_t i = 0; i < b.n; i++)
		if (rating_out_votes(rows[i]->votes) > 0)
			rows[n++] = rows[i];
	rating_sort(rows, n, rating_before_calibration, false);
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < n && (int64_t)i < in.limit; i++) {
		const struct elo_votes *votes = rows[i]->votes;
		json_w_begin(w, NULL);
		json_w_str(w, "name", rows[i]->rating.agent);
		json_w_str(w, "agent", rows[i]->rating.agent);
		json_w_num(w, "score", rating_out_calibration(votes));
		json_w_num(w, "brier_score",
		    rating_out_share(elo_mean_brier_ppm(votes)));
		json_w_num(w, "ece", rating_out_share(elo_ece_ppm(votes)));
		json_w_int(w, "total_predictions", rating_out_votes(votes));
		json_w_bool(
		    w, "is_reliable", rating_out_votes(votes) >= ELO_VOTES_MIN);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}

static void
rating_flip_figures(struct json_w *w, int64_t ballots, int64_t kept)
{
	json_w_int(w, "total_flips", ballots - kept);
	json_w_int(w, "total_ballots", ballots);
	json_w_num(w, "flip_rate", rating_out_ratio(ballots - kept, ballots));
}

enum http_status
flip_summary(struct req *req, struct res *res)
{
	struct store_board b = {0};
	int64_t ballots = 0, kept = 0;

	enum err e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin(w, "by_agent");
	for (size_t i = 0; i < b.n; i++) {
		const struct store_rating *r = &b.rows[i].rating;
		json_w_begin(w, r->agent);
		rating_flip_figures(w, r->ballots, r->kept);
		json_w_end(w);
		ballots += r->ballots;
		kept += r->kept;
	}
	json_w_end(w);
	rating_flip_figures(w, ballots, kept);
	return res_json_end(res, HTTP_OK);
}

enum http_status
flip_recent(struct req *req, struct res *res)
{
	struct store_board b = {0};
	struct flip_in in;
	int64_t total = 0;

	enum http_status status = input_read_query(req, &flip_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_match_query q = {.limit = in.limit, .offset = in.offset};
	enum err e = store_flip_list(
	    req->app->store, req->arena, req->caller.tenant, &q);
	if (e == ERR_OK)
		e = rating_out_board(req, &b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	for (size_t i = 0; i < b.n; i++)
		total += b.rows[i].rating.ballots - b.rows[i].rating.kept;
	struct json_w *w = res_json(res);
	rating_out_flips(w, "flips", q.rows, q.n);
	rating_out_flips(w, "items", q.rows, q.n);
	debate_out_page(w, total, q.n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}
