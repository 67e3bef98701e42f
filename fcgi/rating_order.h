/* SPDX-License-Identifier: MIT
 *
 * The rows of a board in other orders, and lists that several answers hold.
 */
#pragma once

#include "fcgi/rating_out.h"

#define RATING_WEEK 2 /* "7d" of RATING_OUT_PERIODS */

struct rating_view_in {
	int64_t limit;
	const char *domain;
};

/* Does a come before b? Most first. */
typedef bool (*rating_before_fn)(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_elo(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_wins(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_win_rate(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_recent(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_change(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_calibration(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_games(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_streak(
    const struct store_board_row *a, const struct store_board_row *b);
bool rating_before_gain(
    const struct store_board_row *a, const struct store_board_row *b);

/* All rows, in the order of the board; on the request's arena. */
struct store_board_row **rating_all(
    struct req *req, const struct store_board *b);
/* Stable, so equal ones stay in the order of the board. */
void rating_sort(struct store_board_row **rows, size_t n,
    rating_before_fn before, bool is_ascending);
/* NULL of an empty board. */
struct store_board_row *rating_first(
    struct req *req, const struct store_board *b, rating_before_fn before);

/* Last match of the board, or now. */
int64_t rating_updated(const struct req *req, const struct store_board *b);
void rating_domain_array(struct json_w *w, const char *key,
    const struct store_tally *rows, size_t n);
/* Who moved since since_us, most first; direction 1 = up, 2 = down, else both.
 * Returns how many these are. */
size_t rating_mover_array(struct json_w *w, const char *key, struct req *req,
    const struct store_board *b, int direction, int64_t limit);
