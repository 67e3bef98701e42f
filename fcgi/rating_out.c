/* SPDX-License-Identifier: MIT */
#include "fcgi/rating_out.h"

#include <string.h>

#include "base/str.h"
#include "fcgi/auth.h"
#include "settings/settings.h"

#define RATING_HIGH   0.8 /* consistency */
#define RATING_MEDIUM 0.5
#define RATING_DAY_US INT64_C(86400000000)
#define RATING_BEST   3 /* specialties of an agent */

double
rating_out_points(int64_t milli)
{
	return (double)milli / ELO_UNIT;
}

double
rating_out_share(int64_t ppm)
{
	return (double)ppm / ELO_PPM;
}

double
rating_out_ratio(int64_t part, int64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

int64_t
rating_out_votes(const struct elo_votes *buckets)
{
	int64_t n = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++)
		n += buckets[i].votes;
	return n;
}

double
rating_out_calibration(const struct elo_votes *buckets)
{
	if (rating_out_votes(buckets) == 0)
		return 0;
	return rating_out_share(ELO_PPM - elo_ece_ppm(buckets));
}

double
rating_out_reputation(const struct req *req, const struct store_rating *r)
{
	if (r->games == 0)
		return 0;
	return rating_out_share(elo_expected_ppm(
	    r->elo, req->app->settings->elo_initial * ELO_UNIT));
}

int64_t
rating_out_since(const struct req *req, int period)
{
	static const int64_t days[] = {
	    1, 1, 7, 7, 30, 30, 90, 90, 365, 365, 0, 0};

	if (period < 0 || (size_t)period >= ARRAY_LEN(days) ||
	    days[period] == 0)
		return 0;
	return req->now_us - days[period] * RATING_DAY_US;
}

/* ---- boards ---- */

/* Somebody who would have to say who he is. */
static enum err
rating_is_stranger(const struct req *req, bool *is_stranger)
{
	enum err e = auth_is_needed(req, is_stranger);

	*is_stranger =
	    e == ERR_OK && *is_stranger && !req->caller.is_authenticated;
	return e;
}

enum err
rating_out_rules(struct req *req)
{
	struct store_agent_rule *rules;
	bool is_stranger;

	enum err e = rating_is_stranger(req, &is_stranger);
	if (e != ERR_OK || is_stranger)
		return e;
	e = store_agent_rules(req->app->store, req->arena, req->caller.tenant,
	    req->now_us, &rules, &req->n_rules);
	req->rules = rules;
	return e;
}

const struct store_agent_rule *
rating_out_rule(const struct req *req, const char *agent)
{
	for (size_t i = 0; i < req->n_rules; i++)
		if (str_eq(req->rules[i].agent, agent))
			return &req->rules[i];
	return NULL;
}

enum err
rating_out_board(struct req *req, struct store_board *b)
{
	bool is_stranger;

	b->now_us = req->now_us;
	if (b->domain == NULL)
		b->domain = "";
	if (b->source == NULL)
		b->source = "";
	b->n = 0;
	enum err e = rating_is_stranger(req, &is_stranger);
	if (e == ERR_OK)
		e = rating_out_rules(req);
	if (e != ERR_OK || is_stranger)
		return e;
	return store_board_get(
	    req->app->store, req->arena, req->caller.tenant, b);
}

struct store_board_row
rating_out_row(
    const struct req *req, const struct store_board *b, const char *agent)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->rows[i].rating.agent, agent))
			return b->rows[i];
	return (struct store_board_row){
	    .rating = {.agent = agent,
		.elo = req->app->settings->elo_initial * ELO_UNIT}};
}

/* ---- the agent object ---- */

static void
rating_identity(struct json_w *w, const struct req *req, const char *agent)
{
	static const char *const names[] = {
	    "name", "agent_name", "agent", "id", "type"};
	const struct llm_agent_row *row = llm_agent_find(agent);
	struct err_info why = {0};
	const struct store_agent_rule *rule = rating_out_rule(req, agent);
	bool is_disabled = rule != NULL && rule->is_disabled;
	bool is_available = row != NULL && !is_disabled &&
	    llm_agent_is_available(row, req->app->settings, &why);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_w_str(w, names[i], agent);
	json_w_str(w, "provider", row != NULL ? row->provider : "");
	json_w_str(w, "model", row != NULL ? row->model : "");
	json_w_str(w, "description", row != NULL ? row->help : "");
	json_w_str(w, "status",
	    is_disabled	       ? "disabled"
		: is_available ? "available"
			       : "unavailable");
	json_w_bool(w, "available", is_available);
	if (is_disabled)
		json_w_str(w, "reason", rule->reason);
	else if (!is_available)
		json_w_str(w, "reason",
		    row != NULL ? why.text : "is no agent of this server");
}

static void
rating_record(struct json_w *w, const struct store_rating *r)
{
	static const char *const ratings[] = {"elo", "elo_rating", "rating"};
	static const char *const games[] = {
	    "matches", "games", "total_debates"};

	for (size_t i = 0; i < ARRAY_LEN(ratings); i++)
		json_w_num(w, ratings[i], rating_out_points(r->elo));
	for (size_t i = 0; i < ARRAY_LEN(games); i++)
		json_w_int(w, games[i], r->games);
	json_w_int(w, "wins", r->wins);
	json_w_int(w, "losses", r->losses);
	json_w_int(w, "draws", r->games - r->wins - r->losses);
	json_w_num(w, "win_rate", rating_out_ratio(r->wins, r->games));
	json_w_bool(w, "provisional", r->games < ELO_PROVISIONAL);
	json_w_int(w, "streak", r->streak < 0 ? -r->streak : r->streak);
	json_w_str(w, "streak_type",
	    r->streak > 0	? "win"
		: r->streak < 0 ? "loss"
				: "none");
}

static void
rating_standing(
    struct json_w *w, const struct req *req, const struct store_board_row *row)
{
	const struct store_rating *r = &row->rating;
	double consistency = rating_out_ratio(r->kept, r->ballots);

	json_w_int(w, "rank", row->rank);
	json_w_num(w, "consistency", consistency);
	json_w_str(w, "consistency_class",
	    consistency >= RATING_HIGH	       ? "high"
		: consistency >= RATING_MEDIUM ? "medium"
					       : "low");
	json_w_num(w, "calibration_score", rating_out_calibration(row->votes));
	json_w_num(w, "reputation", rating_out_reputation(req, r));
	json_w_str(w, "trend",
	    row->day_change > 0	      ? "up"
		: row->day_change < 0 ? "down"
				      : "stable");
	json_w_num(w, "elo_change_24h", rating_out_points(row->day_change));
	json_w_num(w, "elo_change", rating_out_points(row->change));
}

void
rating_out_strengths(struct json_w *w, const char *key, const struct req *req,
    const struct store_rating *domains, size_t n, bool is_above)
{
	int64_t first = req->app->settings->elo_initial * ELO_UNIT;

	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		if (is_above ? domains[i].elo > first : domains[i].elo < first)
			json_w_str(w, NULL, domains[i].agent);
	json_w_end_array(w);
}

void
rating_out_agent(struct json_w *w, const struct req *req,
    const struct store_board_row *row, const struct store_rating *domains,
    size_t n)
{
	rating_identity(w, req, row->rating.agent);
	rating_record(w, &row->rating);
	rating_standing(w, req, row);
	json_w_begin_array(w, "capabilities");
	json_w_end_array(w);
	rating_out_strengths(w, "specialties", req, domains,
	    n < RATING_BEST ? n : RATING_BEST, true);
	json_w_begin_array(w, "domains");
	for (size_t i = 0; i < n; i++)
		json_w_str(w, NULL, domains[i].agent);
	json_w_end_array(w);
	json_w_null(w, "persona");
	if (row->rating.updated_us > 0)
		json_w_time(w, "last_active", row->rating.updated_us);
	else
		json_w_null(w, "last_active");
}

void
rating_out_agents(struct json_w *w, const char *key, const struct req *req,
    struct store_board_row *const *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		rating_out_agent(w, req, rows[i], NULL, 0);
		json_w_end(w);
	}
	json_w_end_array(w);
}

const char *
rating_out_name(struct res *res, const char *name)
{
	const struct llm_agent_row *row = llm_agent_find(name);

	if (row == NULL)
		res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no agent '%s'", name);
	return row != NULL ? row->name : NULL;
}

const char *
rating_out_param(struct req *req, struct res *res, size_t i)
{
	return rating_out_name(res, req->match.params[i]);
}

/* ---- matches ---- */

static const struct json *
rating_players(const struct req *req, const struct store_match_row *m)
{
	const struct json *players = NULL;
	struct err_info info = {0};

	if (json_parse(req->arena, m->players, strlen(m->players), NULL,
		&players, &info) != ERR_OK)
		return NULL;
	return players;
}

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

void
rating_out_match(
    struct json_w *w, const struct req *req, const struct store_match_row *m)
{
	const struct json *players = rating_players(req, m);

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
	json_w_num(w, "confidence", rating_out_share(m->confidence_ppm));
	json_w_int(w, "rounds", m->rounds);
	json_w_num(w, "duration_seconds", (double)m->duration_us / 1e6);
	rating_by_agent(
	    w, "domain_elo_changes", players, "domain_change", ELO_UNIT);
	rating_by_agent(w, "k_multipliers", players, "k", ELO_PPM);
	json_w_end(w);
}

void
rating_out_matches(struct json_w *w, const char *key, const struct req *req,
    const struct store_match_row *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		rating_out_match(w, req, &rows[i]);
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
rating_out_flips(struct json_w *w, const char *key,
    const struct store_match_row *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		const struct store_match_row *m = &rows[i];
		json_w_begin(w, NULL);
		json_w_str(w, "agent", m->agent);
		json_w_str(w, "agent_name", m->agent);
		json_w_str(w, "debate_id", m->debate_id);
		json_w_str(w, "from", m->agent);
		json_w_str(w, "to", m->choice);
		json_w_str(w, "domain", m->domain);
		json_w_str(w, "winner", m->winner);
		json_w_time(w, "detected_at", m->created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

const char *
rating_out_outcome(const struct store_match_row *m, const char *agent)
{
	if (str_eq(m->winner, agent))
		return "win";
	return m->score > 0 ? "draw" : "loss";
}
