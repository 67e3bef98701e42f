/* SPDX-License-Identifier: MIT */
#include "fcgi/agent_view.h"

#include <stdlib.h>

#include "base/str.h"

enum http_status
agent_view_named(
    struct req *req, struct res *res, const char *name, struct agent_view *v)
{
	v->name = rating_out_name(res, name);
	if (v->name == NULL)
		return res->status;
	enum err e = rating_out_board(req, &v->board);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	v->row = rating_out_row(req, &v->board, v->name);
	return HTTP_OK;
}

enum http_status
agent_view_open(struct req *req, struct res *res, struct agent_view *v)
{
	return agent_view_named(req, res, req->match.params[0], v);
}

enum http_status
agent_view_domains(struct req *req, struct res *res, struct agent_view *v)
{
	enum err e = store_rating_domains(req->app->store, req->arena,
	    req->caller.tenant, v->name, &v->domains, &v->n_domains);

	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

enum http_status
agent_view_opponents(struct req *req, struct res *res, struct agent_view *v)
{
	enum err e = store_match_opponents(req->app->store, req->arena,
	    req->caller.tenant, v->name, &v->opponents, &v->n_opponents);

	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

enum http_status
agent_view_matches(struct req *req, struct res *res, struct agent_view *v)
{
	v->matches = (struct store_match_query){
	    .agent = v->name, .limit = RATING_OUT_RECENT};
	enum err e = store_match_list(
	    req->app->store, req->arena, req->caller.tenant, &v->matches);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

static int64_t
agent_relation_count(const struct store_opponent *o, enum agent_relation kind)
{
	return kind == AGENT_ALLIES ? o->agreed : o->wins + o->losses;
}

void
agent_view_relations(struct json_w *w, const struct agent_view *v,
    const char *key, enum agent_relation kind, size_t limit)
{
	int64_t last = INT64_MAX;
	size_t n = 0;

	json_w_begin_array(w, key);
	while (n < limit) {
		/* The next lower count; all that have it. */
		int64_t next = 0;
		for (size_t i = 0; i < v->n_opponents; i++) {
			int64_t c =
			    agent_relation_count(&v->opponents[i], kind);
			if (c < last && c > next)
				next = c;
		}
		if (next == 0)
			break;
		for (size_t i = 0; i < v->n_opponents && n < limit; i++) {
			const struct store_opponent *o = &v->opponents[i];
			if (agent_relation_count(o, kind) != next)
				continue;
			json_w_begin(w, NULL);
			json_w_str(w, "agent", o->agent);
			json_w_str(w, "name", o->agent);
			json_w_int(w, "matches", o->matches);
			json_w_int(w, "wins", o->wins);
			json_w_int(w, "losses", o->losses);
			json_w_int(w, "agreed", o->agreed);
			json_w_num(
			    w, "score", rating_out_ratio(next, o->matches));
			json_w_end(w);
			n++;
		}
		last = next;
	}
	json_w_end_array(w);
}

const struct store_match_row **
agent_view_by_change(struct req *req, const struct agent_view *v)
{
	size_t n = v->matches.n;
	const struct store_match_row **rows =
	    ARENA_ARRAY(req->arena, n + 1, const struct store_match_row *);

	for (size_t i = 0; i < n; i++) {
		const struct store_match_row *row = &v->matches.rows[i];
		size_t k = i;
		while (
		    k > 0 && llabs(rows[k - 1]->change) < llabs(row->change)) {
			rows[k] = rows[k - 1];
			k--;
		}
		rows[k] = row;
	}
	return rows;
}

double
agent_view_confidence(const struct elo_votes *buckets)
{
	int64_t votes = 0, sum = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++) {
		votes += buckets[i].votes;
		sum += buckets[i].confidence;
	}
	return rating_out_ratio(sum, votes) / ELO_PPM;
}

enum http_status
agent_view_points(struct req *req, struct res *res, const struct agent_view *v,
    int64_t after_us, int64_t before_us, struct agent_point **points, size_t *n)
{
	const struct store_match_query *m = &v->matches;
	struct store_adjustment *moved = NULL;
	size_t n_moved = 0, at = 0;
	bool is_all = str_is_empty(m->domain);

	*n = 0;
	if (is_all) {
		enum err e = store_adjustment_list(req->app->store, req->arena,
		    req->caller.tenant, v->name, after_us, before_us,
		    RATING_OUT_RECENT, &moved, &n_moved);
		if (e != ERR_OK)
			return res_err(res, e, NULL);
	}
	*points =
	    ARENA_ARRAY(req->arena, m->n + n_moved + 1, struct agent_point);
	for (size_t i = 0; i <= m->n; i++) {
		while (at < n_moved &&
		    (i == m->n ||
			moved[at].created_us > m->rows[i].created_us)) {
			const char *debate = moved[at].debate_id;
			(*points)[(*n)++] = (struct agent_point){
			    .at_us = moved[at].created_us,
			    .elo = moved[at].elo,
			    .debate_id = str_is_empty(debate) ? NULL : debate,
			    .adjust = &moved[at]};
			at++;
		}
		if (i < m->n)
			(*points)[(*n)++] =
			    (struct agent_point){.at_us = m->rows[i].created_us,
				.elo = is_all ? m->rows[i].elo
					      : m->rows[i].domain_elo,
				.debate_id = m->rows[i].debate_id};
	}
	return HTTP_OK;
}

void
agent_view_history(struct json_w *w, const char *key,
    const struct agent_point *points, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		const struct agent_point *p = &points[i];
		json_w_begin(w, NULL);
		json_w_time(w, "timestamp", p->at_us);
		json_w_time(w, "date", p->at_us);
		json_w_num(w, "elo", rating_out_points(p->elo));
		json_w_str(w, "debate_id", p->debate_id);
		if (p->adjust != NULL) {
			json_w_str(w, "adjustment_id", p->adjust->id);
			json_w_num(w, "elo_change",
			    rating_out_points(p->adjust->change));
			json_w_str(w, "reason", p->adjust->reason);
		}
		json_w_end(w);
	}
	json_w_end_array(w);
}
