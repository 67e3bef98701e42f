/* SPDX-License-Identifier: MIT
 *
 * Rankings, matches, head to head and calibration.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "fcgi/debate_out.h"
#include "llm/llm.h"
#include "settings/settings.h"
#include "store/store_rating.h"

#define RATING_PAGE	 20
#define RATING_PAGE_MAX	 100
#define RATING_BOARD_MAX 1000 /* agents of a registry */
#define RATING_DOMAIN	 64

struct rating_in {
	int64_t limit, offset;
	const char *domain;
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
	.help = "Only debates of this domain."},
};
const struct input_list rating_inputs = {rating_rows, ARRAY_LEN(rating_rows)};

static double
rating_points(int64_t milli)
{
	return (double)milli / ELO_UNIT;
}

static double
rating_share(int64_t ppm)
{
	return (double)ppm / ELO_PPM;
}

static void
rating_members(struct json_w *w, const struct store_rating *r, int64_t rank)
{
	static const char *const names[] = {
	    "name", "agent_name", "agent", "id"};
	static const char *const ratings[] = {"elo", "elo_rating", "rating"};
	static const char *const games[] = {
	    "matches", "games", "total_debates"};
	const struct llm_agent_row *row = llm_agent_find(r->agent);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_w_str(w, names[i], r->agent);
	json_w_str(w, "provider", row != NULL ? row->provider : "");
	json_w_str(w, "model", row != NULL ? row->model : "");
	for (size_t i = 0; i < ARRAY_LEN(ratings); i++)
		json_w_num(w, ratings[i], rating_points(r->elo));
	for (size_t i = 0; i < ARRAY_LEN(games); i++)
		json_w_int(w, games[i], r->games);
	json_w_int(w, "rank", rank);
	json_w_int(w, "wins", r->wins);
	json_w_int(w, "losses", r->losses);
	json_w_int(w, "draws", r->games - r->wins - r->losses);
	json_w_num(w, "win_rate",
	    r->games > 0 ? (double)r->wins / (double)r->games : 0);
	json_w_bool(w, "provisional", r->games < ELO_PROVISIONAL);
	json_w_int(w, "streak", r->streak < 0 ? -r->streak : r->streak);
	json_w_str(w, "streak_type",
	    r->streak > 0	? "win"
		: r->streak < 0 ? "loss"
				: "none");
	json_w_time(w, "last_active", r->updated_us);
}

static void
rating_array(struct json_w *w, const char *key, const struct store_rating *rows,
    size_t n, int64_t offset)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		rating_members(w, &rows[i], offset + (int64_t)i + 1);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
rating_list(struct req *req, struct res *res)
{
	static const char *const keys[] = {"rankings", "agents", "items"};
	struct rating_in in;
	struct store_rating *rows;
	size_t n;
	int64_t total;

	enum http_status status =
	    input_read_query(req, &rating_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_rating_list(req->app->store, req->arena,
	    req->caller.tenant, in.domain != NULL ? in.domain : "", in.limit,
	    in.offset, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		rating_array(w, keys[i], rows, n, in.offset);
	json_w_str(w, "domain", in.domain);
	json_w_time(w, "updated_at", req->now_us);
	debate_out_page(w, total, n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

/* ---- matches ---- */

static void
rating_names(struct json_w *w, const char *key, const struct json *players)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < json_len(players); i++)
		json_w_str(
		    w, NULL, json_get_str(json_at(players, i), "agent", ""));
	json_w_end_array(w);
}

static void
rating_by_agent(struct json_w *w, const char *key, const struct json *players,
    const char *member, double unit)
{
	json_w_begin(w, key);
	for (size_t i = 0; i < json_len(players); i++) {
		const struct json *p = json_at(players, i);
		json_w_num(w, json_get_str(p, "agent", ""),
		    (double)json_get_int(p, member, 0) / unit);
	}
	json_w_end(w);
}

/* Of two, the other one. */
static const char *
rating_loser(const struct json *players, const char *winner)
{
	for (size_t i = 0; json_len(players) == 2 && i < 2; i++) {
		const char *name =
		    json_get_str(json_at(players, i), "agent", "");
		if (!str_eq(name, winner))
			return name;
	}
	return NULL;
}

static void
rating_match_members(
    struct json_w *w, struct req *req, const struct store_match_row *m)
{
	const struct json *players = NULL;
	struct err_info info = {0};

	if (json_parse(req->arena, m->players, strlen(m->players), NULL,
		&players, &info) != ERR_OK)
		players = NULL;
	json_w_str(w, "match_id", m->debate_id);
	json_w_str(w, "id", m->debate_id);
	json_w_str(w, "debate_id", m->debate_id);
	rating_names(w, "agents", players);
	rating_names(w, "participants", players);
	json_w_str(w, "winner", m->winner);
	json_w_str(w, "loser", rating_loser(players, m->winner));
	rating_by_agent(w, "scores", players, "score", 2);
	json_w_str(w, "domain", m->domain);
	rating_by_agent(w, "elo_changes", players, "change", ELO_UNIT);
	json_w_time(w, "created_at", m->created_us);
	json_w_begin(w, "metadata");
	json_w_str(w, "winner_source", m->source);
	json_w_num(w, "confidence", rating_share(m->confidence_ppm));
	json_w_end(w);
}

static void
rating_match_array(struct json_w *w, const char *key, struct req *req,
    const struct store_match_row *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		rating_match_members(w, req, &rows[i]);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
rating_matches(struct req *req, struct res *res)
{
	struct rating_in in;
	struct store_match_row *rows;
	size_t n;
	int64_t total;

	enum http_status status =
	    input_read_query(req, &rating_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_match_list(req->app->store, req->arena,
	    req->caller.tenant, in.domain != NULL ? in.domain : "", NULL,
	    in.limit, in.offset, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	rating_match_array(w, "matches", req, rows, n);
	rating_match_array(w, "items", req, rows, n);
	debate_out_page(w, total, n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

/* ---- one agent ---- */

/* The registry's name for a parameter; NULL and the answer when unknown. */
static const char *
rating_param(struct req *req, struct res *res, size_t i)
{
	const char *name = req->match.params[i];
	const struct llm_agent_row *row = llm_agent_find(name);

	if (row == NULL)
		res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no agent '%s'", name);
	return row != NULL ? row->name : NULL;
}

/* With the rank; an agent without matches has the first rating and rank 0. */
static enum err
rating_of(
    struct req *req, const char *agent, struct store_rating *out, int64_t *rank)
{
	struct store_rating *rows;
	size_t n;
	int64_t total;
	enum err e = store_rating_list(req->app->store, req->arena,
	    req->caller.tenant, "", RATING_BOARD_MAX, 0, &rows, &n, &total);

	*out = (struct store_rating){
	    .agent = agent, .elo = req->app->settings->elo_initial * ELO_UNIT};
	*rank = 0;
	for (size_t i = 0; i < n; i++)
		if (str_eq(rows[i].agent, agent)) {
			*out = rows[i];
			*rank = (int64_t)i + 1;
		}
	return e;
}

enum http_status
rating_profile(struct req *req, struct res *res)
{
	const char *agent = rating_param(req, res, 0);
	struct store_rating r;
	int64_t rank;

	if (agent == NULL)
		return res->status;
	enum err e = rating_of(req, agent, &r, &rank);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	rating_members(w, &r, rank);
	json_w_begin(w, "ranking");
	rating_members(w, &r, rank);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

static void
rating_history_array(struct json_w *w, const char *key, const char *time_key,
    const struct store_match_row *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_time(w, time_key, rows[i].created_us);
		json_w_num(w, "elo", rating_points(rows[i].elo));
		json_w_str(w, "debate_id", rows[i].debate_id);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
rating_history(struct req *req, struct res *res)
{
	const char *agent = rating_param(req, res, 0);
	struct rating_in in;
	struct store_match_row *rows;
	struct store_rating r;
	size_t n;
	int64_t total, rank;

	if (agent == NULL)
		return res->status;
	enum http_status status =
	    input_read_query(req, &rating_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e =
	    store_match_list(req->app->store, req->arena, req->caller.tenant,
		"", agent, in.limit, in.offset, &rows, &n, &total);
	if (e == ERR_OK)
		e = rating_of(req, agent, &r, &rank);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", agent);
	json_w_num(w, "elo", rating_points(r.elo));
	json_w_num(w, "elo_rating", rating_points(r.elo));
	rating_match_array(w, "matches", req, rows, n);
	rating_match_array(w, "debates", req, rows, n);
	rating_history_array(w, "history", "timestamp", rows, n);
	debate_out_page(w, total, n, in.limit, in.offset);
	return res_json_end(res, HTTP_OK);
}

enum http_status
rating_versus(struct req *req, struct res *res)
{
	const char *agent = rating_param(req, res, 0);
	const char *other = agent != NULL ? rating_param(req, res, 1) : NULL;
	struct store_between *rows;
	int64_t wins = 0, losses = 0, total = 0;
	size_t n;

	if (other == NULL)
		return res->status;
	if (str_eq(agent, other))
		return res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
		    "an agent has no matches against itself");
	enum err e = store_match_between(req->app->store, req->arena,
	    req->caller.tenant, agent, other, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_begin(w, "domain_breakdown");
	for (size_t i = 0; i < n; i++) {
		wins += rows[i].wins;
		losses += rows[i].losses;
		total += rows[i].matches;
		json_w_begin(w, rows[i].domain);
		json_w_int(w, "wins", rows[i].wins);
		json_w_int(w, "losses", rows[i].losses);
		json_w_int(w, "matches", rows[i].matches);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_str(w, "agent", agent);
	json_w_str(w, "opponent", other);
	json_w_str(w, "agent1", agent);
	json_w_str(w, "agent2", other);
	json_w_int(w, "total_matchups", total);
	json_w_int(w, "matches", total);
	json_w_int(w, "wins", wins);
	json_w_int(w, "losses", losses);
	json_w_int(w, "draws", total - wins - losses);
	json_w_int(w, arena_printf(req->arena, "%s_wins", agent), wins);
	json_w_int(w, arena_printf(req->arena, "%s_wins", other), losses);
	json_w_num(w, "win_rate", total > 0 ? (double)wins / (double)total : 0);
	return res_json_end(res, HTTP_OK);
}

enum http_status
rating_calibration(struct req *req, struct res *res)
{
	const char *agent = rating_param(req, res, 0);
	struct elo_votes b[ELO_BUCKETS];
	struct rating_in in;
	int64_t votes = 0;

	if (agent == NULL)
		return res->status;
	enum http_status status =
	    input_read_query(req, &rating_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_calibration(req->app->store, req->caller.tenant,
	    in.domain != NULL ? in.domain : "", agent, b);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", agent);
	json_w_num(w, "brier_score", rating_share(elo_mean_brier_ppm(b)));
	json_w_num(w, "ece", rating_share(elo_ece_ppm(b)));
	json_w_begin_array(w, "buckets");
	for (size_t i = 0; i < ELO_BUCKETS; i++) {
		votes += b[i].votes;
		if (b[i].votes == 0)
			continue;
		double n = (double)b[i].votes;
		json_w_begin(w, NULL);
		json_w_num(w, "from", (double)i / ELO_BUCKETS);
		json_w_int(w, "count", b[i].votes);
		json_w_num(w, "accuracy", (double)b[i].hits / n);
		json_w_num(w, "confidence", rating_share(b[i].confidence) / n);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total_predictions", votes);
	json_w_bool(w, "is_reliable", votes >= ELO_PROVISIONAL);
	return res_json_end(res, HTTP_OK);
}
