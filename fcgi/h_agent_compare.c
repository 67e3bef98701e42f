/* SPDX-License-Identifier: MIT
 *
 * Agents against each other: head to head, relations, comparisons.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/str.h"
#include "fcgi/agent_view.h"
#include "settings/settings.h"

#define COMPARE_MAX	10   /* agents in one comparison */
#define COMPARE_TEXT	1024 /* bytes that name them */
#define COMPARE_RECENT	10   /* matches shown */
#define COMPARE_MEETING 20   /* limit of relations */
#define COMPARE_CERTAIN 10   /* matches after which a briefing is half sure */

struct compare_in {
	const char *one, *two, *agent1, *agent2, *agents;
};

static const struct input compare_rows[] = {
    {.key = "agent_a",
	.kind = INPUT_TEXT,
	.max = COMPARE_TEXT,
	.offset = offsetof(struct compare_in, one),
	.help = "The first agent."},
    {.key = "agent_b",
	.kind = INPUT_TEXT,
	.max = COMPARE_TEXT,
	.offset = offsetof(struct compare_in, two),
	.help = "The second agent."},
    {.key = "agent1",
	.kind = INPUT_TEXT,
	.max = COMPARE_TEXT,
	.offset = offsetof(struct compare_in, agent1),
	.help = "The same as agent_a."},
    {.key = "agent2",
	.kind = INPUT_TEXT,
	.max = COMPARE_TEXT,
	.offset = offsetof(struct compare_in, agent2),
	.help = "The same as agent_b."},
    {.key = "agents",
	.kind = INPUT_TEXT,
	.max = COMPARE_TEXT,
	.offset = offsetof(struct compare_in, agents),
	.help = "2 to 10 names with commas between them."},
};
const struct input_list compare_inputs = {
    compare_rows, ARRAY_LEN(compare_rows)};

static const struct input relation_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = COMPARE_MEETING,
	.max = 100,
	.offset = offsetof(struct relation_in, limit),
	.help = "Agents in one answer."},
};
const struct input_list relation_inputs = {
    relation_rows, ARRAY_LEN(relation_rows)};

/* ---- two agents ---- */

struct versus {
	const char *agent, *other;
	struct store_between *domains;
	size_t n_domains;
	int64_t wins, losses, total;
	struct store_match_query matches; /* the first agent's */
};

static enum http_status
versus_fetch(struct req *req, struct res *res, struct versus *v)
{
	struct store *store = req->app->store;
	const char *tenant = req->caller.tenant;

	if (str_eq(v->agent, v->other))
		return res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
		    "an agent has no matches against itself");
	v->matches = (struct store_match_query){
	    .agent = v->agent, .other = v->other, .limit = RATING_OUT_RECENT};
	enum err e = store_match_between(store, req->arena, tenant, v->agent,
	    v->other, &v->domains, &v->n_domains);
	if (e == ERR_OK)
		e = store_match_list(store, req->arena, tenant, &v->matches);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	for (size_t i = 0; i < v->n_domains; i++) {
		v->wins += v->domains[i].wins;
		v->losses += v->domains[i].losses;
		v->total += v->domains[i].matches;
	}
	return HTTP_OK;
}

static enum http_status
versus_open(struct req *req, struct res *res, struct versus *v)
{
	v->agent = rating_out_param(req, res, 0);
	v->other = v->agent != NULL ? rating_out_param(req, res, 1) : NULL;
	return v->other != NULL ? versus_fetch(req, res, v) : res->status;
}

/* How far the first was ahead of the second, from -1 to 1. */
static double
versus_margin(
    const struct req *req, const struct store_match_row *m, const char *other)
{
	const struct json *players = NULL;
	struct err_info info = {0};
	int64_t theirs = 0;

	if (json_parse(req->arena, m->players, strlen(m->players), NULL,
		&players, &info) != ERR_OK)
		return 0;
	for (size_t i = 0; i < json_len(players); i++) {
		const struct json *p = json_at(players, i);
		if (str_eq(json_get_str(p, "agent", ""), other))
			theirs = json_get_int(p, "score", 0);
	}
	return (double)(m->score - theirs) / 2;
}

static void
versus_recent(struct json_w *w, const struct req *req, const struct versus *v)
{
	const struct store_match_query *m = &v->matches;
	double sum = 0;

	json_w_begin_array(w, "recent_matchups");
	for (size_t i = 0; i < m->n; i++) {
		double margin = versus_margin(req, &m->rows[i], v->other);
		sum += margin;
		if (i >= COMPARE_RECENT)
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "debate_id", m->rows[i].debate_id);
		json_w_str(w, "outcome",
		    margin > 0	     ? "win"
			: margin < 0 ? "loss"
				     : "draw");
		json_w_num(w, "margin", margin);
		json_w_time(w, "date", m->rows[i].created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_num(w, "avg_margin", m->n > 0 ? sum / (double)m->n : 0);
}

static void
versus_domains(struct json_w *w, const struct versus *v)
{
	json_w_begin(w, "domain_breakdown");
	for (size_t i = 0; i < v->n_domains; i++) {
		const struct store_between *d = &v->domains[i];
		json_w_begin(w, d->domain);
		json_w_int(w, "wins", d->wins);
		json_w_int(w, "losses", d->losses);
		json_w_int(w, "draws", d->matches - d->wins - d->losses);
		json_w_int(w, "matches", d->matches);
		json_w_end(w);
	}
	json_w_end(w);
}

enum http_status
agent_versus(struct req *req, struct res *res)
{
	struct versus v = {0};

	enum http_status status = versus_open(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.agent);
	json_w_str(w, "opponent", v.other);
	json_w_str(w, "agent1", v.agent);
	json_w_str(w, "agent2", v.other);
	json_w_int(w, "total_matchups", v.total);
	json_w_int(w, "matches", v.total);
	json_w_int(w, "wins", v.wins);
	json_w_int(w, "losses", v.losses);
	json_w_int(w, "draws", v.total - v.wins - v.losses);
	json_w_int(w, arena_printf(req->arena, "%s_wins", v.agent), v.wins);
	json_w_int(w, arena_printf(req->arena, "%s_wins", v.other), v.losses);
	json_w_num(w, "win_rate", rating_out_ratio(v.wins, v.total));
	versus_recent(w, req, &v);
	versus_domains(w, &v);
	return res_json_end(res, HTTP_OK);
}

/* ---- what to know of an opponent ---- */

static const char *
briefing_advice(const struct versus *v, const struct agent_view *o)
{
	if (o->row.rating.ballots > 0 &&
	    o->row.rating.kept * 2 < o->row.rating.ballots)
		return "It often votes for another's answer: state the reasons "
		       "that would move it.";
	if (v->total > 0 && v->wins * 2 >= v->total)
		return "Keep to what won before.";
	return "Answer its critiques one by one before the vote.";
}

static void
briefing_insights(struct json_w *w, const struct req *req,
    const struct versus *v, const struct agent_view *o)
{
	const struct store_rating *r = &o->row.rating;

	json_w_begin_array(w, "key_insights");
	if (r->ballots > 0)
		json_w_str(w, NULL,
		    arena_printf(req->arena,
			"%s voted for its own answer in %lld of %lld ballots.",
			v->other, (long long)r->kept, (long long)r->ballots));
	if (r->games > 0)
		json_w_str(w, NULL,
		    arena_printf(req->arena, "%s won %lld of %lld matches.",
			v->other, (long long)r->wins, (long long)r->games));
	json_w_end_array(w);
}

enum http_status
agent_briefing(struct req *req, struct res *res)
{
	struct versus v = {0};
	struct agent_view o = {0};

	enum http_status status = versus_open(req, res, &v);
	if (status == HTTP_OK)
		status = agent_view_named(req, res, v.other, &o);
	if (status == HTTP_OK)
		status = agent_view_domains(req, res, &o);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.agent);
	json_w_str(w, "opponent", v.other);
	json_w_begin(w, "opponent_profile");
	json_w_num(w, "elo", rating_out_points(o.row.rating.elo));
	rating_out_strengths(w, "strengths", req, o.domains, o.n_domains, true);
	rating_out_strengths(
	    w, "weaknesses", req, o.domains, o.n_domains, false);
	json_w_begin_array(w, "preferred_domains");
	for (size_t i = 0; i < o.n_domains; i++)
		json_w_str(w, NULL, o.domains[i].agent);
	json_w_end_array(w);
	json_w_end(w);
	json_w_str(w, "historical_summary",
	    arena_printf(req->arena,
		"%lld matches: %lld won, %lld lost, %lld drawn.",
		(long long)v.total, (long long)v.wins, (long long)v.losses,
		(long long)(v.total - v.wins - v.losses)));
	json_w_str(w, "recommended_strategy", briefing_advice(&v, &o));
	briefing_insights(w, req, &v, &o);
	json_w_num(w, "confidence",
	    rating_out_ratio(v.total, v.total + COMPARE_CERTAIN));
	return res_json_end(res, HTTP_OK);
}

/* ---- relations ---- */

static enum http_status
relation_open(struct req *req, struct res *res, struct agent_view *v,
    struct relation_in *in)
{
	enum http_status status =
	    input_read_query(req, &relation_inputs, in, res);
	if (status == HTTP_OK)
		status = agent_view_open(req, res, v);
	return status == HTTP_OK ? agent_view_opponents(req, res, v) : status;
}

static enum http_status
relation_one(
    struct req *req, struct res *res, const char *key, enum agent_relation kind)
{
	struct agent_view v = {0};
	struct relation_in in;

	enum http_status status = relation_open(req, res, &v, &in);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	agent_view_relations(w, &v, key, kind, (size_t)in.limit);
	return res_json_end(res, HTTP_OK);
}

enum http_status
agent_allies(struct req *req, struct res *res)
{
	return relation_one(req, res, "allies", AGENT_ALLIES);
}

enum http_status
agent_rivals(struct req *req, struct res *res)
{
	return relation_one(req, res, "rivals", AGENT_RIVALS);
}

enum http_status
agent_network(struct req *req, struct res *res)
{
	struct agent_view v = {0};
	struct relation_in in;

	enum http_status status = relation_open(req, res, &v, &in);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent", v.name);
	agent_view_relations(w, &v, "allies", AGENT_ALLIES, (size_t)in.limit);
	agent_view_relations(w, &v, "rivals", AGENT_RIVALS, (size_t)in.limit);
	json_w_begin_array(w, "nodes");
	json_w_str(w, NULL, v.name);
	for (size_t i = 0; i < v.n_opponents; i++)
		json_w_str(w, NULL, v.opponents[i].agent);
	json_w_end_array(w);
	json_w_begin_array(w, "edges");
	for (size_t i = 0; i < v.n_opponents; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "source", v.name);
		json_w_str(w, "target", v.opponents[i].agent);
		json_w_int(w, "matches", v.opponents[i].matches);
		json_w_int(w, "agreed", v.opponents[i].agreed);
		json_w_end(w);
	}
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}

/* ---- comparisons ---- */

static enum http_status
compare_missing(struct res *res)
{
	return res_fail(res, HTTP_BAD_REQUEST, "MISSING_FIELD",
	    "name the agents: agent_a and agent_b, agent1 and agent2, or "
	    "agents");
}

/* The names, each once, as the registry knows them. */
static enum http_status
compare_names(struct req *req, struct res *res, const char **names, size_t *n)
{
	struct compare_in in;
	const char *list;

	enum http_status status =
	    input_read_query(req, &compare_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	in.one = in.one != NULL ? in.one : in.agent1;
	in.two = in.two != NULL ? in.two : in.agent2;
	if (in.agents == NULL && (in.one == NULL || in.two == NULL))
		return compare_missing(res);
	list = in.agents != NULL
	    ? in.agents
	    : arena_printf(req->arena, "%s,%s", in.one, in.two);
	for (*n = 0; *list != '\0';) {
		size_t len = strcspn(list, ",");
		bool is_known = false;
		const char *name =
		    rating_out_name(res, arena_strndup(req->arena, list, len));
		if (name == NULL)
			return res->status;
		for (size_t i = 0; i < *n; i++)
			is_known = is_known || str_eq(names[i], name);
		if (!is_known && *n == COMPARE_MAX)
			return res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
			    "agents: at most %d", COMPARE_MAX);
		if (!is_known)
			names[(*n)++] = name;
		list += len + (list[len] == ',');
	}
	return *n > 1 ? HTTP_OK
		      : res_fail(res, HTTP_BAD_REQUEST, "INVALID_VALUE",
			    "agents: at least two different ones");
}

enum http_status
rating_compare(struct req *req, struct res *res)
{
	const char *names[COMPARE_MAX];
	struct versus v = {0};
	size_t n;

	enum http_status status = compare_names(req, res, names, &n);
	if (status != HTTP_OK)
		return status;
	v.agent = names[0];
	v.other = names[1];
	status = versus_fetch(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "agent_a", v.agent);
	json_w_str(w, "agent_b", v.other);
	json_w_int(w, "agent_a_wins", v.wins);
	json_w_int(w, "agent_b_wins", v.losses);
	json_w_int(w, "draws", v.total - v.wins - v.losses);
	json_w_int(w, "total_matchups", v.total);
	if (v.matches.n > 0)
		json_w_time(w, "last_matchup", v.matches.rows[0].created_us);
	else
		json_w_null(w, "last_matchup");
	json_w_begin_array(w, "domains");
	for (size_t i = 0; i < v.n_domains; i++)
		json_w_str(w, NULL, v.domains[i].domain);
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}

/* In how many of its matches the debate agreed. */
static double
compare_consensus(const struct req *req, const struct agent_view *v)
{
	int64_t agreed = 0;

	for (size_t i = 0; i < v->matches.n; i++) {
		const struct store_match_row *m = &v->matches.rows[i];
		const struct json *players = NULL;
		struct err_info info = {0};
		bool is_agreed = false;
		if (json_parse(req->arena, m->players, strlen(m->players), NULL,
			&players, &info) != ERR_OK)
			continue;
		for (size_t k = 0; k < json_len(players); k++)
			is_agreed = is_agreed ||
			    json_get_int(json_at(players, k), "score", 0) == 1;
		agreed += is_agreed;
	}
	return rating_out_ratio(agreed, (int64_t)v->matches.n);
}

static double
compare_contribution(const struct agent_view *v)
{
	int64_t score = 0;

	for (size_t i = 0; i < v->matches.n; i++)
		score += v->matches.rows[i].score;
	return rating_out_ratio(score, 2 * (int64_t)v->matches.n);
}

static void
compare_metrics(struct json_w *w, const struct req *req,
    const struct agent_view *views, size_t n)
{
	json_w_begin(w, "metrics");
	for (size_t i = 0; i < n; i++) {
		const struct store_rating *r = &views[i].row.rating;
		json_w_begin(w, views[i].name);
		json_w_num(w, "elo", rating_out_points(r->elo));
		json_w_num(w, "win_rate", rating_out_ratio(r->wins, r->games));
		json_w_num(
		    w, "consensus_rate", compare_consensus(req, &views[i]));
		json_w_num(
		    w, "average_contribution", compare_contribution(&views[i]));
		json_w_num(w, "calibration_score",
		    rating_out_calibration(views[i].row.votes));
		json_w_end(w);
	}
	json_w_end(w);
}

static void
compare_pairs(struct json_w *w, const struct agent_view *views, size_t n)
{
	json_w_begin_array(w, "head_to_head");
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++) {
			struct store_opponent o = {0};
			for (size_t j = 0; j < views[i].n_opponents; j++)
				if (str_eq(views[i].opponents[j].agent,
					views[k].name))
					o = views[i].opponents[j];
			json_w_begin(w, NULL);
			json_w_str(w, "agent_a", views[i].name);
			json_w_str(w, "agent_b", views[k].name);
			json_w_int(w, "wins_a", o.wins);
			json_w_int(w, "wins_b", o.losses);
			json_w_int(w, "draws", o.matches - o.wins - o.losses);
			json_w_end(w);
		}
	json_w_end_array(w);
}

static void
compare_sides(struct json_w *w, const char *key, const struct req *req,
    const struct agent_view *views, size_t n, bool is_above)
{
	json_w_begin(w, key);
	for (size_t i = 0; i < n; i++)
		rating_out_strengths(w, views[i].name, req, views[i].domains,
		    views[i].n_domains, is_above);
	json_w_end(w);
}

enum http_status
agent_compare(struct req *req, struct res *res)
{
	const char *names[COMPARE_MAX];
	struct agent_view views[COMPARE_MAX] = {0};
	size_t n;

	enum http_status status = compare_names(req, res, names, &n);
	for (size_t i = 0; status == HTTP_OK && i < n; i++) {
		struct agent_view *v = &views[i];
		status = agent_view_named(req, res, names[i], v);
		if (status == HTTP_OK)
			status = agent_view_domains(req, res, v);
		if (status == HTTP_OK)
			status = agent_view_opponents(req, res, v);
		if (status == HTTP_OK)
			status = agent_view_matches(req, res, v);
	}
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < n; i++)
		json_w_str(w, NULL, names[i]);
	json_w_end_array(w);
	json_w_begin_array(w, "profiles");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		rating_out_agent(w, req, &views[i].row, views[i].domains,
		    views[i].n_domains);
		json_w_end(w);
	}
	json_w_end_array(w);
	compare_metrics(w, req, views, n);
	compare_pairs(w, views, n);
	compare_sides(w, "strengths", req, views, n, true);
	compare_sides(w, "weaknesses", req, views, n, false);
	return res_json_end(res, HTTP_OK);
}
