/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of ratings and calibration, in integers: ratings in
 * thousandths of a point, shares in millionths. Every pair of a match moves
 * what one loses to the other, so no match changes the sum.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ELO_UNIT	1000
#define ELO_PPM		1000000
#define ELO_PROVISIONAL 10 /* games below which a rating is provisional */
#define ELO_BUCKETS	10
#define ELO_VOTES_MIN	10 /* below which calibration says nothing */

struct elo_player {
	int64_t rating; /* before */
	int64_t games;	/* before */
	int64_t score;	/* 2 = winner, 1 = agreed, 0 = lost */
	int64_t k_ppm;	/* elo_k_ppm */
	int64_t change; /* out */
};

/* Expected share of the first against the second. */
int64_t elo_expected_ppm(int64_t rating, int64_t other);
/* All pairs of a match; k in points, confidence 0..1 in millionths. A pair of
 * which only one rating is provisional moves half as far: it says less. Both
 * of a pair move as far as the mean of their own factors says. */
void elo_match(
    struct elo_player *p, size_t n, int64_t k, int64_t confidence_ppm);

/* Stated confidences against outcomes, of one bucket or of all. */
struct elo_votes {
	int64_t votes, hits;
	int64_t confidence; /* sum */
	int64_t brier;	    /* sum of squared errors */
};
int64_t elo_bucket(int64_t confidence_ppm);
int64_t elo_brier_ppm(int64_t confidence_ppm, int is_hit);
/* Mean over all buckets; 0 without votes. */
int64_t elo_mean_brier_ppm(const struct elo_votes *buckets);
/* Expected calibration error. */
int64_t elo_ece_ppm(const struct elo_votes *buckets);
/* How far a player's rating moves: less when its confidences are right, more
 * when they are not; 1 as long as there are too few. */
int64_t elo_k_ppm(const struct elo_votes *buckets);
