/* SPDX-License-Identifier: MIT */
#include "store/store_board.h"

#include "base/str.h"
#include "store/store_tx.h"

#define BOARD_DAY_US INT64_C(86400000000)

struct board_query {
	struct arena *a;
	const char *tenant, *agent, *other;
	struct store_board *board;
	struct store_match_query *matches;
	struct store_match_row *match;
	struct store_between *between;
	struct store_opponent *opponents;
	struct store_tally *tallies;
	struct store_rating *ratings;
	size_t n;
};

/* ---- boards ---- */

static void
board_rating(const struct db_result *r, size_t i, struct store_rating *out)
{
	*out = (struct store_rating){.agent = db_text(r, i, 0),
	    .elo = db_int(r, i, 1),
	    .games = db_int(r, i, 2),
	    .wins = db_int(r, i, 3),
	    .losses = db_int(r, i, 4),
	    .streak = db_int(r, i, 5),
	    .updated_us = db_int(r, i, 6),
	    .ballots = db_int(r, i, 7),
	    .kept = db_int(r, i, 8)};
}

/* NULL: an agent that this board does not know. */
static struct store_board_row *
board_row(struct store_board *b, const char *agent)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->rows[i].rating.agent, agent))
			return &b->rows[i];
	return NULL;
}

/* What moved on this board, of one span. */
static void
board_add_changes(struct store_board *b, const struct db_result *r, bool is_day)
{
	bool is_all = *b->domain == '\0';

	for (size_t i = 0; i < r->rows; i++) {
		struct store_board_row *row = board_row(b, db_text(r, i, 0));
		int64_t change = db_int(r, i, is_all ? 3 : 4);
		if (row == NULL ||
		    (!is_all && !str_eq(db_text(r, i, 1), b->domain)))
			continue;
		if (is_day) {
			row->day_change += change;
		} else {
			row->change += change;
			row->recent += db_int(r, i, 2);
		}
	}
}

/* What was moved by hand, on the board of all domains and sources. */
static void
board_add_adjustments(
    struct store_board *b, const struct db_result *r, bool is_day)
{
	for (size_t i = 0; i < r->rows; i++) {
		struct store_board_row *row = board_row(b, db_text(r, i, 0));
		if (row == NULL)
			continue;
		if (is_day)
			row->day_change += db_int(r, i, 1);
		else
			row->change += db_int(r, i, 1);
	}
}

static enum err
board_adjustments(struct db *db, struct board_query *q)
{
	struct store_board *b = q->board;
	struct db_result day, span;

	if (*b->domain != '\0' || *b->source != '\0')
		return ERR_OK;
	enum err e = DB_QUEUE(db, STMT_ADJUST_CHANGES, q->a, &day,
	    DB_TEXT(q->tenant), DB_INT(b->now_us - BOARD_DAY_US));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_ADJUST_CHANGES, q->a, &span,
		    DB_TEXT(q->tenant), DB_INT(b->since_us));
	if (e != ERR_OK)
		return e;
	board_add_adjustments(b, &day, true);
	board_add_adjustments(b, &span, false);
	return ERR_OK;
}

static void
board_add_votes(struct store_board *b, const struct db_result *r)
{
	for (size_t i = 0; i < r->rows; i++) {
		struct store_board_row *row = board_row(b, db_text(r, i, 0));
		if (row != NULL)
			row->votes[db_int(r, i, 1)] =
			    (struct elo_votes){.votes = db_int(r, i, 2),
				.hits = db_int(r, i, 3),
				.confidence = db_int(r, i, 4),
				.brier = db_int(r, i, 5)};
	}
}

static enum err
board_queue_rows(struct db *db, struct board_query *q, struct db_result *rows)
{
	const struct store_board *b = q->board;

	if (*b->source != '\0')
		return DB_QUEUE(db, STMT_SOURCE_RATING_LIST, q->a, rows,
		    DB_TEXT(q->tenant), DB_TEXT(b->domain),
		    DB_INT(STORE_BOARD_MAX), DB_TEXT(b->source));
	return DB_QUEUE(db, STMT_RATING_LIST, q->a, rows, DB_TEXT(q->tenant),
	    DB_TEXT(b->domain), DB_INT(STORE_BOARD_MAX));
}

static enum err
board_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct store_board *b = q->board;
	struct db_result rows, day, span, votes;

	enum err e = board_queue_rows(db, q, &rows);
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_RATING_CHANGES, q->a, &day,
		    DB_TEXT(q->tenant), DB_INT(b->now_us - BOARD_DAY_US));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_RATING_CHANGES, q->a, &span,
		    DB_TEXT(q->tenant), DB_INT(b->since_us));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_CALIBRATION_LIST, q->a, &votes,
		    DB_TEXT(q->tenant), DB_TEXT(b->domain));
	if (e != ERR_OK)
		return e;
	b->n = rows.rows;
	b->rows = ARENA_ARRAY(q->a, b->n + 1, struct store_board_row);
	for (size_t i = 0; i < b->n; i++) {
		b->rows[i] = (struct store_board_row){.rank = (int64_t)i + 1};
		board_rating(&rows, i, &b->rows[i].rating);
	}
	board_add_changes(b, &day, true);
	board_add_changes(b, &span, false);
	board_add_votes(b, &votes);
	return board_adjustments(db, q);
}

enum err
store_board_get(struct store *store, struct arena *a, const char *tenant,
    struct store_board *b)
{
	struct board_query q = {.a = a, .tenant = tenant, .board = b};

	b->n = 0;
	return store_tx(store, DB_READ, board_tx, &q, NULL);
}

/* ---- matches ---- */

static void
board_match(const struct db_result *r, size_t i, struct store_match_row *out)
{
	*out = (struct store_match_row){.debate_id = db_text(r, i, 0),
	    .domain = db_text(r, i, 1),
	    .winner = db_text(r, i, 2),
	    .source = db_text(r, i, 3),
	    .confidence_ppm = db_int(r, i, 4),
	    .players = db_text(r, i, 5),
	    .rounds = db_int(r, i, 6),
	    .duration_us = db_int(r, i, 7),
	    .created_us = db_int(r, i, 8),
	    .choice = ""};
	if (r->columns > 9) {
		out->score = db_int(r, i, 9);
		out->elo = db_int(r, i, 10);
		out->change = db_int(r, i, 11);
		out->domain_elo = db_int(r, i, 12);
		out->domain_change = db_int(r, i, 13);
		out->choice = db_text(r, i, 14);
	}
	if (r->columns > 15)
		out->agent = db_text(r, i, 15);
}

static void
board_take_matches(struct board_query *q, const struct db_result *r)
{
	struct store_match_query *m = q->matches;

	m->n = r->rows;
	m->rows = ARENA_ARRAY(q->a, r->rows + 1, struct store_match_row);
	for (size_t i = 0; i < r->rows; i++)
		board_match(r, i, &m->rows[i]);
}

static enum err
board_queue_count(struct db *db, const struct board_query *q,
    struct db_result *count, int64_t until)
{
	const struct store_match_query *m = q->matches;

	if (m->agent != NULL)
		return DB_QUEUE(db, STMT_MATCH_COUNT_OF, q->a, count,
		    DB_TEXT(q->tenant), DB_INT(m->since_us), DB_INT(until),
		    DB_TEXT(m->agent), DB_TEXT(m->domain));
	if (*m->domain != '\0')
		return DB_QUEUE(db, STMT_MATCH_COUNT_DOMAIN, q->a, count,
		    DB_TEXT(q->tenant), DB_INT(m->since_us), DB_INT(until),
		    DB_TEXT(m->domain));
	return DB_QUEUE(db, STMT_MATCH_COUNT, q->a, count, DB_TEXT(q->tenant),
	    DB_INT(m->since_us), DB_INT(until));
}

static enum err
board_run_matches(struct db *db, const struct board_query *q,
    struct db_result *r, int64_t until)
{
	const struct store_match_query *m = q->matches;

	if (m->other != NULL)
		return DB_RUN(db, STMT_MATCH_OF_TWO, q->a, r,
		    DB_TEXT(q->tenant), DB_INT(m->since_us), DB_INT(until),
		    DB_INT(m->limit), DB_INT(m->offset), DB_TEXT(m->agent),
		    DB_TEXT(m->other), DB_TEXT(m->domain));
	if (m->agent != NULL)
		return DB_RUN(db, STMT_MATCH_OF, q->a, r, DB_TEXT(q->tenant),
		    DB_INT(m->since_us), DB_INT(until), DB_INT(m->limit),
		    DB_INT(m->offset), DB_TEXT(m->agent), DB_TEXT(m->domain));
	if (*m->domain != '\0')
		return DB_RUN(db, STMT_MATCH_LIST_DOMAIN, q->a, r,
		    DB_TEXT(q->tenant), DB_INT(m->since_us), DB_INT(until),
		    DB_INT(m->limit), DB_INT(m->offset), DB_TEXT(m->domain));
	return DB_RUN(db, STMT_MATCH_LIST, q->a, r, DB_TEXT(q->tenant),
	    DB_INT(m->since_us), DB_INT(until), DB_INT(m->limit),
	    DB_INT(m->offset));
}

static enum err
board_matches_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct store_match_query *m = q->matches;
	int64_t until = m->until_us > 0 ? m->until_us : INT64_MAX;
	struct db_result r, count = {0};
	enum err e = ERR_OK;

	if (m->other == NULL)
		e = board_queue_count(db, q, &count, until);
	if (e == ERR_OK)
		e = board_run_matches(db, q, &r, until);
	if (e != ERR_OK)
		return e;
	m->total = m->other == NULL ? db_int(&count, 0, 0) : 0;
	board_take_matches(q, &r);
	return ERR_OK;
}

enum err
store_match_list(struct store *store, struct arena *a, const char *tenant,
    struct store_match_query *m)
{
	struct board_query q = {.a = a, .tenant = tenant, .matches = m};

	m->n = 0;
	m->total = 0;
	if (m->domain == NULL)
		m->domain = "";
	return store_tx(store, DB_READ, board_matches_tx, &q, NULL);
}

static enum err
board_flips_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct store_match_query *m = q->matches;
	struct db_result r;

	enum err e = m->agent != NULL
	    ? DB_RUN(db, STMT_FLIP_OF, q->a, &r, DB_TEXT(q->tenant),
		  DB_INT(m->limit), DB_INT(m->offset), DB_TEXT(m->agent))
	    : DB_RUN(db, STMT_FLIP_LIST, q->a, &r, DB_TEXT(q->tenant),
		  DB_INT(m->limit), DB_INT(m->offset));
	if (e == ERR_OK)
		board_take_matches(q, &r);
	return e;
}

enum err
store_flip_list(struct store *store, struct arena *a, const char *tenant,
    struct store_match_query *m)
{
	struct board_query q = {.a = a, .tenant = tenant, .matches = m};

	m->n = 0;
	return store_tx(store, DB_READ_ONE, board_flips_tx, &q, NULL);
}

static enum err
board_match_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_MATCH_GET, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->agent));
	if (e == ERR_OK && r.rows == 0)
		return ERR_NOT_FOUND;
	if (e == ERR_OK)
		board_match(&r, 0, q->match);
	return e;
}

enum err
store_match_get(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_match_row *out)
{
	struct board_query q = {
	    .a = a, .tenant = tenant, .agent = debate_id, .match = out};

	return store_tx(store, DB_READ_ONE, board_match_tx, &q, NULL);
}

/* ---- two agents, and many ---- */

static enum err
board_between_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
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
	struct board_query q = {
	    .a = a, .tenant = tenant, .agent = agent, .other = other};
	enum err e = store_tx(store, DB_READ_ONE, board_between_tx, &q, NULL);

	*rows = q.between;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
board_opponents_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_MATCH_OPPONENTS, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->agent));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->opponents = ARENA_ARRAY(q->a, r.rows + 1, struct store_opponent);
	for (size_t i = 0; i < r.rows; i++)
		q->opponents[i] =
		    (struct store_opponent){.agent = db_text(&r, i, 0),
			.wins = db_int(&r, i, 1),
			.losses = db_int(&r, i, 2),
			.matches = db_int(&r, i, 3),
			.agreed = db_int(&r, i, 4)};
	return ERR_OK;
}

enum err
store_match_opponents(struct store *store, struct arena *a, const char *tenant,
    const char *agent, struct store_opponent **rows, size_t *n)
{
	struct board_query q = {.a = a, .tenant = tenant, .agent = agent};
	enum err e = store_tx(store, DB_READ_ONE, board_opponents_tx, &q, NULL);

	*rows = q.opponents;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
board_domains_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct db_result boards, counts;

	enum err e = DB_QUEUE(
	    db, STMT_RATING_DOMAINS, q->a, &boards, DB_TEXT(q->tenant));
	if (e == ERR_OK)
		e = DB_RUN(
		    db, STMT_MATCH_DOMAINS, q->a, &counts, DB_TEXT(q->tenant));
	if (e != ERR_OK)
		return e;
	q->n = boards.rows;
	q->tallies = ARENA_ARRAY(q->a, boards.rows + 1, struct store_tally);
	for (size_t i = 0; i < boards.rows; i++) {
		q->tallies[i] =
		    (struct store_tally){.name = db_text(&boards, i, 0),
			.agents = db_int(&boards, i, 1),
			.updated_us = db_int(&boards, i, 2)};
		for (size_t k = 0; k < counts.rows; k++)
			if (str_eq(db_text(&counts, k, 0), q->tallies[i].name))
				q->tallies[i].matches = db_int(&counts, k, 1);
	}
	return ERR_OK;
}

enum err
store_match_domains(struct store *store, struct arena *a, const char *tenant,
    struct store_tally **rows, size_t *n)
{
	struct board_query q = {.a = a, .tenant = tenant};
	enum err e = store_tx(store, DB_READ, board_domains_tx, &q, NULL);

	*rows = q.tallies;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
board_sources_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct db_result r;

	enum err e =
	    DB_RUN(db, STMT_MATCH_SOURCES, q->a, &r, DB_TEXT(q->tenant));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->tallies = ARENA_ARRAY(q->a, r.rows + 1, struct store_tally);
	for (size_t i = 0; i < r.rows; i++)
		q->tallies[i] = (struct store_tally){
		    .name = db_text(&r, i, 0), .matches = db_int(&r, i, 1)};
	return ERR_OK;
}

enum err
store_match_sources(struct store *store, struct arena *a, const char *tenant,
    struct store_tally **rows, size_t *n)
{
	struct board_query q = {.a = a, .tenant = tenant};
	enum err e = store_tx(store, DB_READ_ONE, board_sources_tx, &q, NULL);

	*rows = q.tallies;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
board_domains_of_tx(struct db *db, void *arg)
{
	struct board_query *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_RATING_DOMAINS_OF, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->agent));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->ratings = ARENA_ARRAY(q->a, r.rows + 1, struct store_rating);
	for (size_t i = 0; i < r.rows; i++)
		board_rating(&r, i, &q->ratings[i]);
	return ERR_OK;
}

enum err
store_rating_domains(struct store *store, struct arena *a, const char *tenant,
    const char *agent, struct store_rating **rows, size_t *n)
{
	struct board_query q = {.a = a, .tenant = tenant, .agent = agent};
	enum err e =
	    store_tx(store, DB_READ_ONE, board_domains_of_tx, &q, NULL);

	*rows = q.ratings;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}
