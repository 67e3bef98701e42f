/* SPDX-License-Identifier: MIT
 *
 * Rating a match. Whoever rates one holds its tenant's row of rating_boards,
 * so simultaneous debates are rated one after the other, each on the ratings
 * the other left; a debate's match is found by its id and never put twice.
 */
#include "store/store_rating_tx.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "store/store_tx.h"

#define RATING_JSON_MAX (1u << 20)

struct rating_board {
	const char *domain, *source; /* source "" = all */
	struct elo_player *players;
	struct store_rating *rows;
};

enum {
	RATING_BOARD_ALL,
	RATING_BOARD_SOURCE,
	RATING_BOARD_DOMAIN,
	RATING_BOARD_DOMAIN_SOURCE,
	RATING_BOARDS
};

/* What the rating starts from. */
struct rating_before {
	struct db_result boards, sources, calibration;
};

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
		out->ballots = r->columns > 7 ? db_int(r, i, 7) : 0;
		out->kept = r->columns > 7 ? db_int(r, i, 8) : 0;
	}
}

/* How far the agent's rating moves, by what it stated before this match. */
static int64_t
rating_k_ppm(const struct db_result *r, const char *agent)
{
	struct elo_votes buckets[ELO_BUCKETS] = {0};

	for (size_t i = 0; i < r->rows; i++)
		if (str_eq(db_text(r, i, 0), agent))
			buckets[db_int(r, i, 1)] =
			    (struct elo_votes){.votes = db_int(r, i, 2),
				.hits = db_int(r, i, 3),
				.confidence = db_int(r, i, 4),
				.brier = db_int(r, i, 5)};
	return elo_k_ppm(buckets);
}

/* Who agreed to the answer of another has neither won nor lost. */
static void
rating_count(struct store_rating *r, const struct store_player *p, bool is_win)
{
	bool is_loss = !is_win && p->score == 0;

	r->games++;
	r->wins += is_win;
	r->losses += is_loss;
	if (is_win)
		r->streak = r->streak > 0 ? r->streak + 1 : 1;
	else if (is_loss)
		r->streak = r->streak < 0 ? r->streak - 1 : -1;
	else
		r->streak = 0;
	if (p->choice != NULL) {
		r->ballots++;
		r->kept += str_eq(p->choice, p->agent);
	}
}

/* The new ratings of one board. */
static void
rating_board(const struct store_match *m, const struct rating_before *before,
    struct rating_board *b)
{
	const struct db_result *from =
	    *b->source == '\0' ? &before->boards : &before->sources;

	for (size_t i = 0; i < m->n_players; i++) {
		const struct store_player *p = &m->players[i];
		rating_read(from, b->domain, p->agent, m, &b->rows[i]);
		b->players[i] = (struct elo_player){.rating = b->rows[i].elo,
		    .games = b->rows[i].games,
		    .score = p->score,
		    .k_ppm = rating_k_ppm(&before->calibration, p->agent)};
	}
	elo_match(b->players, m->n_players, m->elo_k_factor, m->confidence_ppm);
	for (size_t i = 0; i < m->n_players; i++) {
		b->rows[i].elo += b->players[i].change;
		rating_count(&b->rows[i], &m->players[i],
		    str_eq(m->players[i].agent, m->winner));
	}
}

static enum err
rating_put(struct db *db, struct arena *a, const char *tenant,
    const struct rating_board *b, const struct store_rating *r, int64_t now)
{
	if (*b->source != '\0')
		return DB_QUEUE(db, STMT_SOURCE_RATING_PUT, a, NULL,
		    DB_TEXT(tenant), DB_TEXT(b->source), DB_TEXT(b->domain),
		    DB_TEXT(r->agent), DB_INT(r->elo), DB_INT(r->games),
		    DB_INT(r->wins), DB_INT(r->losses), DB_INT(r->streak),
		    DB_INT(now));
	return DB_QUEUE(db, STMT_RATING_PUT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(b->domain), DB_TEXT(r->agent), DB_INT(r->elo),
	    DB_INT(r->games), DB_INT(r->wins), DB_INT(r->losses),
	    DB_INT(r->streak), DB_INT(r->ballots), DB_INT(r->kept),
	    DB_INT(now));
}

static const char *
rating_players_json(struct arena *a, const struct store_match *m,
    const struct rating_board *all, const struct rating_board *domain)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, RATING_JSON_MAX);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (size_t i = 0; i < m->n_players; i++) {
		json_w_begin(&w, NULL);
		json_w_str(&w, "agent", m->players[i].agent);
		json_w_int(&w, "score", m->players[i].score);
		json_w_int(&w, "change", all->players[i].change);
		json_w_int(&w, "elo", all->rows[i].elo);
		json_w_int(&w, "domain_change", domain->players[i].change);
		json_w_int(&w, "domain_elo", domain->rows[i].elo);
		json_w_int(&w, "k", all->players[i].k_ppm);
		if (m->players[i].choice != NULL)
			json_w_str(&w, "choice", m->players[i].choice);
		json_w_end(&w);
	}
	json_w_end_array(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* The match and its players. */
static enum err
rating_put_match(struct db *db, struct arena *a, const char *tenant,
    const char *id, const struct store_match *m,
    const struct rating_board *boards, int64_t now)
{
	const struct rating_board *all = &boards[RATING_BOARD_ALL];
	const struct rating_board *own = &boards[RATING_BOARD_DOMAIN];

	if (*m->domain == '\0')
		own = all;
	enum err e = DB_QUEUE(db, STMT_MATCH_INSERT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(id), DB_TEXT(m->domain), DB_TEXT(m->winner),
	    DB_TEXT(m->source), DB_INT(m->confidence_ppm),
	    DB_TEXT(rating_players_json(a, m, all, own)), DB_INT(m->rounds),
	    DB_INT(m->duration_us), DB_INT(now));
	for (size_t i = 0; e == ERR_OK && i < m->n_players; i++) {
		const struct store_player *p = &m->players[i];
		e = DB_QUEUE(db, STMT_MATCH_PLAYER_INSERT, a, NULL,
		    DB_TEXT(tenant), DB_TEXT(id), DB_TEXT(p->agent),
		    DB_TEXT(m->domain), DB_INT(p->score),
		    DB_INT(all->rows[i].elo), DB_INT(all->players[i].change),
		    DB_INT(own->rows[i].elo), DB_INT(own->players[i].change),
		    DB_TEXT(p->choice != NULL ? p->choice : ""), DB_INT(now));
	}
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_RATING_COUNTED, a, NULL, DB_TEXT(tenant));
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

/* Takes the tenant's turn, then looks; is_new: not rated yet. */
static enum err
rating_begin(struct db *db, struct arena *a, const char *tenant, const char *id,
    const struct store_match *m, struct rating_before *out, bool *is_new)
{
	struct db_result found, turn;

	enum err e = DB_QUEUE(db, STMT_RATING_LOCK, a, &turn, DB_TEXT(tenant));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_MATCH_FIND, a, &found, DB_TEXT(tenant),
		    DB_TEXT(id));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_RATING_FOR, a, &out->boards,
		    DB_TEXT(tenant), DB_TEXT(m->domain));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_SOURCE_RATING_FOR, a, &out->sources,
		    DB_TEXT(tenant), DB_TEXT(m->domain), DB_TEXT(m->source));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_CALIBRATION_LIST, a, &out->calibration,
		    DB_TEXT(tenant), DB_TEXT(""));
	if (e == ERR_OK)
		e = db_sync(db);
	*is_new = e == ERR_OK && found.rows == 0;
	return e;
}

/* Runners' clocks differ, and who waited for its turn looked at its own before
 * it waited: times on a board rise in the order in which it was moved. */
static int64_t
rating_time(const struct db_result *boards, int64_t now)
{
	for (size_t i = 0; i < boards->rows; i++)
		if (db_int(boards, i, 9) >= now)
			now = db_int(boards, i, 9) + 1;
	return now;
}

enum err
store_match_put(struct db *db, struct arena *a, const char *tenant,
    const char *id, const struct store_match *m, int64_t now)
{
	struct rating_board boards[RATING_BOARDS] = {
	    [RATING_BOARD_ALL] = {.domain = "", .source = ""},
	    [RATING_BOARD_SOURCE] = {.domain = "", .source = m->source},
	    [RATING_BOARD_DOMAIN] = {.domain = m->domain, .source = ""},
	    [RATING_BOARD_DOMAIN_SOURCE] = {m->domain, m->source, NULL, NULL}};
	/* Without a domain there is no board of it. */
	size_t n = *m->domain != '\0' ? RATING_BOARDS : RATING_BOARD_DOMAIN;
	struct rating_before before;
	bool is_new;

	enum err e = rating_begin(db, a, tenant, id, m, &before, &is_new);
	if (e != ERR_OK || !is_new)
		return e;
	now = rating_time(&before.boards, now);
	for (size_t k = 0; e == ERR_OK && k < n; k++) {
		struct rating_board *b = &boards[k];
		b->players =
		    ARENA_ARRAY(a, m->n_players + 1, struct elo_player);
		b->rows = ARENA_ARRAY(a, m->n_players + 1, struct store_rating);
		rating_board(m, &before, b);
		for (size_t i = 0; e == ERR_OK && i < m->n_players; i++)
			e = rating_put(db, a, tenant, b, &b->rows[i], now);
		if (e == ERR_OK && *b->source == '\0')
			e = rating_put_votes(db, a, tenant, b->domain, m);
	}
	return e == ERR_OK ? rating_put_match(db, a, tenant, id, m, boards, now)
			   : e;
}

/* ---- by hand (store_agent.c) ---- */

enum err
store_rating_take(struct db *db, struct arena *a, const char *tenant,
    const char *agent, int64_t elo_initial, int64_t now,
    struct store_rating *out)
{
	const struct store_match none = {.elo_initial = elo_initial};
	struct db_result turn, boards;

	enum err e = DB_QUEUE(db, STMT_RATING_LOCK, a, &turn, DB_TEXT(tenant));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RATING_FOR, a, &boards, DB_TEXT(tenant),
		    DB_TEXT(""));
	if (e != ERR_OK)
		return e;
	rating_read(&boards, "", agent, &none, out);
	out->updated_us = rating_time(&boards, now);
	return ERR_OK;
}

enum err
store_rating_give(struct db *db, struct arena *a, const char *tenant,
    const struct store_rating *r)
{
	const struct rating_board all = {.domain = "", .source = ""};

	return rating_put(db, a, tenant, &all, r, r->updated_us);
}
