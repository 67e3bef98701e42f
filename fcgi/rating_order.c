/* SPDX-License-Identifier: MIT */
#include "fcgi/rating_order.h"

#include <stdlib.h>
#include <string.h>

bool
rating_before_elo(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->rating.elo > b->rating.elo;
}

bool
rating_before_wins(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->rating.wins > b->rating.wins;
}

bool
rating_before_win_rate(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->rating.wins * b->rating.games >
	    b->rating.wins * a->rating.games;
}

bool
rating_before_recent(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->rating.updated_us > b->rating.updated_us;
}

bool
rating_before_change(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return llabs(a->change) > llabs(b->change);
}

bool
rating_before_calibration(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return rating_out_calibration(a->votes) >
	    rating_out_calibration(b->votes);
}

bool
rating_before_games(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->rating.games > b->rating.games;
}

bool
rating_before_streak(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return llabs(a->rating.streak) > llabs(b->rating.streak);
}

bool
rating_before_gain(
    const struct store_board_row *a, const struct store_board_row *b)
{
	return a->change > b->change;
}

void
rating_sort(struct store_board_row **rows, size_t n, rating_before_fn before,
    bool is_ascending)
{
	for (size_t i = 1; i < n; i++) {
		struct store_board_row *row = rows[i];
		size_t k = i;
		while (k > 0 &&
		    (is_ascending ? before(rows[k - 1], row)
				  : before(row, rows[k - 1]))) {
			rows[k] = rows[k - 1];
			k--;
		}
		rows[k] = row;
	}
}

struct store_board_row **
rating_all(struct req *req, const struct store_board *b)
{
	struct store_board_row **rows =
	    ARENA_ARRAY(req->arena, b->n + 1, struct store_board_row *);

	for (size_t i = 0; i < b->n; i++)
		rows[i] = &b->rows[i];
	return rows;
}

struct store_board_row *
rating_first(
    struct req *req, const struct store_board *b, rating_before_fn before)
{
	struct store_board_row **rows = rating_all(req, b);

	rating_sort(rows, b->n, before, false);
	return b->n > 0 ? rows[0] : NULL;
}

int64_t
rating_updated(const struct req *req, const struct store_board *b)
{
	int64_t last = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->rows[i].rating.updated_us > last)
			last = b->rows[i].rating.updated_us;
	return last > 0 ? last : req->now_us;
}

void
rating_domain_array(
    struct json_w *w, const char *key, const struct store_tally *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "name", rows[i].name);
		json_w_str(w, "domain", rows[i].name);
		json_w_int(w, "debate_count", rows[i].matches);
		json_w_int(w, "agent_count", rows[i].agents);
		json_w_time(w, "last_updated", rows[i].updated_us);
		json_w_end(w);
	}
	json_w_end_array(w);
}

/* The place when `since` began. An agent that had not played stood where all
 * begin. */
static int64_t
rating_old_rank(const struct store_board *b, const struct store_board_row *row)
{
	int64_t rank = 1;

	for (size_t i = 0; i < b->n; i++) {
		const struct store_board_row *other = &b->rows[i];
		int64_t more = (other->rating.elo - other->change) -
		    (row->rating.elo - row->change);
		if (more > 0 ||
		    (more == 0 &&
			strcmp(other->rating.agent, row->rating.agent) < 0))
			rank++;
	}
	return rank;
}

size_t
rating_mover_array(struct json_w *w, const char *key, struct req *req,
    const struct store_board *b, int direction, int64_t limit)
{
	struct store_board_row **rows = rating_all(req, b);
	size_t n = 0;

	rating_sort(rows, b->n, rating_before_change, false);
	json_w_begin_array(w, key);
	for (size_t i = 0; i < b->n && (int64_t)n < limit; i++) {
		const struct store_board_row *r = rows[i];
		int64_t old = rating_old_rank(b, r);
		if (r->change == 0 || (direction == 1 && r->change < 0) ||
		    (direction == 2 && r->change > 0))
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "agent_name", r->rating.agent);
		json_w_str(w, "agent", r->rating.agent);
		json_w_num(w, "elo", rating_out_points(r->rating.elo));
		json_w_num(w, "elo_change", rating_out_points(r->change));
		json_w_int(w, "rank_change", old - r->rank);
		json_w_int(w, "new_rank", r->rank);
		json_w_int(w, "old_rank", old);
		json_w_int(w, "debates_count", r->recent);
		json_w_end(w);
		n++;
	}
	json_w_end_array(w);
	return n;
}
