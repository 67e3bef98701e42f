/* SPDX-License-Identifier: MIT
 *
 * Figures over a board.
 */
#include "fcgi/handler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rating_order.h"

#define RATING_TOP     5   /* top performers, trending agents */
#define RATING_STEP    100 /* points of a class of the distribution */
#define RATING_CLASSES 64

struct rating_figures {
	double mean, median, deviation, min, max;
	int64_t classes[RATING_CLASSES]; /* [i]: from i * RATING_STEP */
};

static void
rating_figures(const struct store_board *b, struct rating_figures *f)
{
	double square = 0;

	memset(f, 0, sizeof(*f));
	if (b->n == 0)
		return;
	for (size_t i = 0; i < b->n; i++) {
		double elo = rating_out_points(b->rows[i].rating.elo);
		double place = elo < 0 ? 0 : elo / RATING_STEP;
		f->mean += elo / (double)b->n;
		f->classes[place < RATING_CLASSES ? (size_t)place
						  : RATING_CLASSES - 1]++;
	}
	for (size_t i = 0; i < b->n; i++) {
		double off = rating_out_points(b->rows[i].rating.elo) - f->mean;
		square += off * off / (double)b->n;
	}
	/* The highest first. */
	f->deviation = sqrt(square);
	f->max = rating_out_points(b->rows[0].rating.elo);
	f->min = rating_out_points(b->rows[b->n - 1].rating.elo);
	f->median = rating_out_points(b->rows[b->n / 2].rating.elo +
			b->rows[(b->n - 1) / 2].rating.elo) /
	    2;
}

static void
rating_trending(struct json_w *w, const char *key, struct req *req,
    const struct store_board *b, bool is_up)
{
	struct store_board_row **rows = rating_all(req, b);
	size_t n = 0;

	rating_sort(rows, b->n, rating_before_gain, !is_up);
	json_w_begin_array(w, key);
	for (size_t i = 0; i < b->n && n < RATING_TOP; i++) {
		if (is_up ? rows[i]->change <= 0 : rows[i]->change >= 0)
			continue;
		json_w_str(w, NULL, rows[i]->rating.agent);
		n++;
	}
	json_w_end_array(w);
}

static void
rating_view_stats(struct json_w *w, struct req *req,
    const struct store_board *b, int64_t matches)
{
	struct rating_figures f;

	rating_figures(b, &f);
	json_w_begin(w, "stats");
	json_w_num(w, "mean_elo", f.mean);
	json_w_num(w, "median_elo", f.median);
	json_w_int(w, "total_agents", (int64_t)b->n);
	json_w_int(w, "total_matches", matches);
	json_w_begin(w, "rating_distribution");
	for (int i = 0; i < RATING_CLASSES; i++)
		if (f.classes[i] > 0)
			json_w_int(w,
			    arena_printf(req->arena, "%d", i * RATING_STEP),
			    f.classes[i]);
	json_w_end(w);
	rating_trending(w, "trending_up", req, b, true);
	rating_trending(w, "trending_down", req, b, false);
	json_w_end(w);
}

static void
rating_view_data(struct json_w *w, struct req *req, const struct store_board *b,
    const struct store_match_query *q, size_t n)
{
	json_w_begin(w, "data");
	json_w_begin(w, "rankings");
	rating_out_agents(w, "agents", req, rating_all(req, b), n);
	json_w_int(w, "count", (int64_t)n);
	json_w_end(w);
	json_w_begin(w, "matches");
	rating_out_matches(w, "matches", req, q->rows, q->n);
	json_w_int(w, "count", (int64_t)q->n);
	json_w_end(w);
	json_w_begin(w, "reputation");
	for (size_t i = 0; i < n; i++)
		json_w_num(w, b->rows[i].rating.agent,
		    rating_out_reputation(req, &b->rows[i].rating));
	json_w_end(w);
	json_w_begin(w, "teams");
	json_w_end(w);
	rating_view_stats(w, req, b, q->total);
	json_w_begin(w, "introspection");
	json_w_end(w);
	json_w_end(w);
}

enum http_status
rating_view(struct req *req, struct res *res)
{
	struct store_tally *domains;
	struct rating_view_in in;
	size_t n_domains;

	enum http_status status =
	    input_read_query(req, &rating_view_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	struct store_board b = {.domain = in.domain,
	    .since_us = rating_out_since(req, RATING_WEEK)};
	struct store_match_query q = {.domain = in.domain, .limit = in.limit};
	enum err e = rating_out_board(req, &b);
	if (e == ERR_OK)
		e = store_match_list(
		    req->app->store, req->arena, req->caller.tenant, &q);
	if (e == ERR_OK)
		e = store_match_domains(req->app->store, req->arena,
		    req->caller.tenant, &domains, &n_domains);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	size_t n = (size_t)in.limit < b.n ? (size_t)in.limit : b.n;
	struct json_w *w = res_json(res);
	rating_view_data(w, req, &b, &q, n);
	json_w_begin(w, "errors");
	json_w_bool(w, "partial_failure", false);
	json_w_begin_array(w, "failed_sections");
	json_w_end_array(w);
	json_w_begin(w, "messages");
	json_w_end(w);
	json_w_end(w);
	rating_out_agents(w, "global", req, rating_all(req, &b), n);
	rating_domain_array(w, "by_domain", domains, n_domains);
	rating_mover_array(w, "recent_movers", req, &b, 0, in.limit);
	json_w_time(w, "updated_at", rating_updated(req, &b));
	return res_json_end(res, HTTP_OK);
}

static void
rating_best(struct json_w *w, const char *key, const struct store_board_row *r,
    const char *figure, double value)
{
	json_w_begin(w, key);
	json_w_str(w, "agent", r != NULL ? r->rating.agent : "");
	json_w_num(w, figure, r != NULL ? value : 0);
	json_w_end(w);
}

static void
rating_bests(struct json_w *w, struct req *req, const struct store_board *b)
{
	const struct store_board_row *gain =
	    rating_first(req, b, rating_before_gain);
	const struct store_board_row *busy =
	    rating_first(req, b, rating_before_games);
	const struct store_board_row *rate =
	    rating_first(req, b, rating_before_win_rate);
	const struct store_board_row *streak =
	    rating_first(req, b, rating_before_streak);

	rating_best(w, "most_improved", gain, "elo_gain",
	    gain != NULL ? rating_out_points(gain->change) : 0);
	rating_best(w, "most_active", busy, "debates",
	    busy != NULL ? (double)busy->rating.games : 0);
	rating_best(w, "highest_win_rate", rate, "rate",
	    rate != NULL
		? rating_out_ratio(rate->rating.wins, rate->rating.games)
		: 0);
	json_w_begin(w, "longest_streak");
	json_w_str(w, "agent", streak != NULL ? streak->rating.agent : "");
	json_w_int(
	    w, "streak", streak != NULL ? llabs(streak->rating.streak) : 0);
	json_w_str(w, "type",
	    streak == NULL || streak->rating.streak == 0 ? "none"
		: streak->rating.streak > 0		 ? "win"
							 : "loss");
	json_w_end(w);
}

enum http_status
rating_stats(struct req *req, struct res *res)
{
	struct store_board b = {.since_us = rating_out_since(req, RATING_WEEK)};
	struct store_match_query q = {.limit = 1};
	struct rating_figures f;

	enum err e = rating_out_board(req, &b);
	if (e == ERR_OK)
		e = store_match_list(
		    req->app->store, req->arena, req->caller.tenant, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	rating_figures(&b, &f);
	struct json_w *w = res_json(res);
	json_w_int(w, "total_ranked_agents", (int64_t)b.n);
	json_w_int(w, "total_agents", (int64_t)llm_agent_count());
	json_w_int(w, "total_debates", q.total);
	json_w_num(w, "average_elo", f.mean);
	json_w_begin(w, "elo_range");
	json_w_num(w, "min", f.min);
	json_w_num(w, "max", f.max);
	json_w_end(w);
	json_w_begin(w, "elo_distribution");
	json_w_num(w, "min", f.min);
	json_w_num(w, "max", f.max);
	json_w_num(w, "mean", f.mean);
	json_w_num(w, "median", f.median);
	json_w_num(w, "std_dev", f.deviation);
	json_w_end(w);
	rating_bests(w, req, &b);
	rating_out_agents(w, "top_performers", req, rating_all(req, &b),
	    b.n < RATING_TOP ? b.n : RATING_TOP);
	json_w_time(w, "last_updated", rating_updated(req, &b));
	return res_json_end(res, HTTP_OK);
}
