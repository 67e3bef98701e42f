/* SPDX-License-Identifier: MIT
 *
 * Ratings in the database. Whoever rates a match holds its tenant's board, so
 * simultaneous debates are rated one after the other, each on the ratings the
 * other left; a debate's match is found by its id and never put twice.
 */
#include "store/store_rating.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "store/store_tx.h"

#define RATING_JSON_MAX (1u << 20)

/* ---- a match ---- */

static void
rating_read(const struct db_result *r, const char *domain, const char *agent,
    const struct store_match *m, struct store_rating *out)
{
	*out = (struct store_rating){
	    .agent = agent, .elo = m->elo_initial * ELO_UNIT};
	for (size_t i = 0; i < r->rows; i++) {
		if (!str_eq(db_text(r, i, 0), domain) ||
		    !str_eq(db_text(r, i, 1), agent))
			continue;
		out->elo = db_int(r, i, 2);
		out->games = db_int(r, i, 3);
		out->wins = db_int(r, i, 4);
		out->losses = db_int(r, i, 5);
		out->streak = db_int(r, i, 6);
	}
}

static void
rating_count(struct store_rating *r, bool is_win, int64_t change)
{
	r->elo += change;
	r->games++;
	r->wins += is_win;
	r->losses += !is_win;
	if (is_win)
		r->streak = r->streak > 0 ? r->streak + 1 : 1;
	else
		r->streak = r->streak < 0 ? r->streak - 1 : -1;
}

/* The new ratings of one board. */
static void
rating_board(const struct store_match *m, const struct db_result *before,
    const char *domain, struct elo_player *p, struct store_rating *rows)
{
	for (size_t i = 0; i < m->n_players; i++) {
		rating_read(before, domain, m->players[i].agent, m, &rows[i]);
		p[i] = (struct elo_player){.rating = rows[i].elo,
		    .games = rows[i].games,
		    .score = m->players[i].score};
	}
	elo_match(p, m->n_players, m->elo_k_factor, m->confidence_ppm);
	for (size_t i = 0; i < m->n_players; i++)
		rating_count(
		    &rows[i], str_eq(rows[i].agent, m->winner), p[i].change);
}

static enum err
rating_put_board(struct db *db, struct arena *a, const char *tenant,
    const char *domain, const struct store_rating *rows, size_t n, int64_t now)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < n; i++)
		e = DB_QUEUE(db, STMT_RATING_PUT, a, NULL, DB_TEXT(tenant),
		    DB_TEXT(domain), DB_TEXT(rows[i].agent),
		    DB_INT(rows[i].elo), DB_INT(rows[i].games),
		    DB_INT(rows[i].wins), DB_INT(rows[i].losses),
		    DB_INT(rows[i].streak), DB_INT(now));
	return e;
}

static const char *
rating_players_json(struct arena *a, const struct store_match *m,
    const struct elo_player *p, const struct store_rating *rows)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, RATING_JSON_MAX);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (size_t i = 0; i < m->n_players; i++) {
		json_w_begin(&w, NULL);
		json_w_str(&w, "agent", rows[i].agent);
		json_w_int(&w, "score", p[i].score);
		json_w_int(&w, "change", p[i].change);
		json_w_int(&w, "elo", rows[i].elo);
		json_w_end(&w);
	}
	json_w_end_array(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* The match and its players, as the board of all domains moved. */
static enum err
rating_put_match(struct db *db, struct arena *a, const char *tenant,
    const char *id, const struct store_match *m, const struct elo_player *p,
    const struct store_rating *rows, int64_t now)
{
	enum err e = DB_QUEUE(db, STMT_MATCH_INSERT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(id), DB_TEXT(m->domain), DB_TEXT(m->winner),
	    DB_TEXT(m->source), DB_INT(m->confidence_ppm),
	    DB_TEXT(rating_players_json(a, m, p, rows)), DB_INT(now));

	for (size_t i = 0; e == ERR_OK && i < m->n_players; i++)
		e = DB_QUEUE(db, STMT_MATCH_PLAYER_INSERT, a, NULL,
		    DB_TEXT(tenant), DB_TEXT(id), DB_TEXT(rows[i].agent),
		    DB_TEXT(m->domain), DB_INT(p[i].score), DB_INT(rows[i].elo),
		    DB_INT(p[i].change), DB_INT(now));
	return e;
}

static enum err
rating_put_votes(struct db *db, struct arena *a, const char *tenant,
    const char *domain, const struct store_match *m)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < m->n_votes; i++) {
		const struct store_vote *v = &m->votes[i];
		e = DB_QUEUE(db, STMT_CALIBRATION_ADD, a, NULL, DB_TEXT(tenant),
		    DB_TEXT(domain), DB_TEXT(v->agent),
		    DB_INT(elo_bucket(v->confidence_ppm)), DB_INT(1),
		    DB_INT(v->is_hit), DB_INT(v->confidence_ppm),
		    DB_INT(elo_brier_ppm(v->confidence_ppm, v->is_hit)));
	}
	return e;
}

enum err
store_match_put(struct db *db, struct arena *a, const char *tenant,
    const char *id, const struct store_match *m, int64_t now)
{
	const char *const boards[] = {m->domain, ""};
	struct db_result found, before, turn;
	struct elo_player *p =
	    ARENA_ARRAY(a, m->n_players + 1, struct elo_player);
	struct store_rating *rows =
	    ARENA_ARRAY(a, m->n_players + 1, struct store_rating);

	enum err e = DB_QUEUE(db, STMT_RATING_LOCK, a, &turn, DB_TEXT(tenant));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_MATCH_FIND, a, &found, DB_TEXT(tenant),
		    DB_TEXT(id));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_RATING_FOR, a, &before, DB_TEXT(tenant),
		    DB_TEXT(m->domain));
	if (e == ERR_OK)
		e = db_sync(db);
	if (e != ERR_OK || found.rows > 0)
		return e;
	for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(boards); i++) {
		rating_board(m, &before, boards[i], p, rows);
		e = rating_put_board(
		    db, a, tenant, boards[i], rows, m->n_players, now);
		if (e == ERR_OK)
			e = rating_put_votes(db, a, tenant, boards[i], m);
	}
	return e == ERR_OK
	    ? rating_put_match(db, a, tenant, id, m, p, rows, now)
	    : e;
}

/* ---- reading ---- */

struct rating_query {
	struct arena *a;
	const char *tenant, *domain, *agent, *other;
	int64_t limit, offset, total;
	struct store_rating *ratings;
	struct store_match_row *matches;
	struct store_between *between;
	struct elo_votes *buckets;
	size_t n;
};

static enum err
rating_list_tx(struct db *db, void *arg)
{
	struct rating_query *q = arg;
	struct db_result r, count;

	enum err e = DB_QUEUE(db, STMT_RATING_COUNT, q->a, &count,
	    DB_TEXT(q->tenant), DB_TEXT(q->domain));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RATING_LIST, q->a, &r, DB_TEXT(q->tenant),
		    DB_TEXT(q->domain), DB_INT(q->limit), DB_INT(q->offset));
	if (e != ERR_OK)
		return e;
	q->total = db_int(&count, 0, 0);
	q->n = r.rows;
	q->ratings = ARENA_ARRAY(q->a, r.rows + 1, struct store_rating);
	for (size_t i = 0; i < r.rows; i++)
		q->ratings[i] =
		    (struct store_rating){.agent = db_text(&r, i, 0),
			.elo = db_int(&r, i, 1),
			.games = db_int(&r, i, 2),
			.wins = db_int(&r, i, 3),
			.losses = db_int(&r, i, 4),
			.streak = db_int(&r, i, 5),
			.updated_us = db_int(&r, i, 6)};
	return ERR_OK;
}

enum err
store_rating_list(struct store *store, struct arena *a, const char *tenant,
    const char *domain, int64_t limit, int64_t offset,
    struct store_rating **rows, size_t *n, int64_t *total)
{
	struct rating_query q = {.a = a,
	    .tenant = tenant,
	    .domain = domain,
	    .limit = limit,
	    .offset = offset};
	enum err e = store_tx(store, DB_READ, rating_list_tx, &q, NULL);

	*rows = q.ratings;
	*n = e == ERR_OK ? q.n : 0;
	*total = q.total;
	return e;
}

static enum err
rating_queue_matches(struct db *db, struct rating_query *q,
    struct db_result *count, struct db_result *r)
{
	bool is_of = q->agent != NULL;
	const char *key = is_of ? q->agent : q->domain;

	enum err e =
	    DB_QUEUE(db, is_of ? STMT_MATCH_COUNT_OF : STMT_MATCH_COUNT, q->a,
		count, DB_TEXT(q->tenant), DB_TEXT(key));
	if (e == ERR_OK)
		e = DB_RUN(db, is_of ? STMT_MATCH_OF : STMT_MATCH_LIST, q->a, r,
		    DB_TEXT(q->tenant), DB_TEXT(key), DB_INT(q->limit),
		    DB_INT(q->offset));
	return e;
}

static enum err
rating_matches_tx(struct db *db, void *arg)
{
	struct rating_query *q = arg;
	struct db_result r, count;

	enum err e = rating_queue_matches(db, q, &count, &r);
	if (e != ERR_OK)
		return e;
	q->total = db_int(&count, 0, 0);
	q->n = r.rows;
	q->matches = ARENA_ARRAY(q->a, r.rows + 1, struct store_match_row);
	for (size_t i = 0; i < r.rows; i++)
		q->matches[i] =
		    (struct store_match_row){.debate_id = db_text(&r, i, 0),
			.domain = db_text(&r, i, 1),
			.winner = db_text(&r, i, 2),
			.source = db_text(&r, i, 3),
			.confidence_ppm = db_int(&r, i, 4),
			.players = db_text(&r, i, 5),
			.created_us = db_int(&r, i, 6),
			.elo = r.columns > 7 ? db_int(&r, i, 7) : 0};
	return ERR_OK;
}

enum err
store_match_list(struct store *store, struct arena *a, const char *tenant,
    const char *domain, const char *agent, int64_t limit, int64_t offset,
    struct store_match_row **rows, size_t *n, int64_t *total)
{
	struct rating_query q = {.a = a,
	    .tenant = tenant,
	    .domain = domain,
	    .agent = agent,
	    .limit = limit,
	    .offset = offset};
	enum err e = store_tx(store, DB_READ, rating_matches_tx, &q, NULL);

	*rows = q.matches;
	*n = e == ERR_OK ? q.n : 0;
	*total = q.total;
	return e;
}

static enum err
rating_between_tx(struct db *db, void *arg)
{
	struct rating_query *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_MATCH_BETWEEN, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->agent), DB_TEXT(q->other));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->between = ARENA_ARRAY(q->a, r.rows + 1, struct store_between);
	for (size_t i = 0; i < r.rows; i++)
		q->between[i] =
		    (struct store_between){.domain = db_text(&r, i, 0),
			.wins = db_int(&r, i, 1),
			.losses = db_int(&r, i, 2),
			.matches = db_int(&r, i, 3)};
	return ERR_OK;
}

enum err
store_match_between(struct store *store, struct arena *a, const char *tenant,
    const char *agent, const char *other, struct store_between **rows,
    size_t *n)
{
	struct rating_query q = {
	    .a = a, .tenant = tenant, .agent = agent, .other = other};
	enum err e = store_tx(store, DB_READ_ONE, rating_between_tx, &q, NULL);

	*rows = q.between;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
rating_calibration_tx(struct db *db, void *arg)
{
	struct rating_query *q = arg;
	struct db_result r;

	memset(q->buckets, 0, ELO_BUCKETS * sizeof(*q->buckets));
	enum err e = DB_RUN(db, STMT_CALIBRATION_LIST, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->domain), DB_TEXT(q->agent));
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++)
		q->buckets[db_int(&r, i, 0)] =
		    (struct elo_votes){.votes = db_int(&r, i, 1),
			.hits = db_int(&r, i, 2),
			.confidence = db_int(&r, i, 3),
			.brier = db_int(&r, i, 4)};
	return e;
}

enum err
store_calibration(struct store *store, const char *tenant, const char *domain,
    const char *agent, struct elo_votes *buckets)
{
	struct rating_query q = {.a = arena_new(0),
	    .tenant = tenant,
	    .domain = domain,
	    .agent = agent,
	    .buckets = buckets};
	enum err e =
	    store_tx(store, DB_READ_ONE, rating_calibration_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}
