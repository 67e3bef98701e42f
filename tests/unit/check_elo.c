/* SPDX-License-Identifier: MIT
 *
 * Ratings and calibration against the textbook formulas in floating point.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/elo.h"
#include "tests/unit/check_run.h"

#define PLAYERS_MAX 9
#define MATCHES	    20000
#define VOTES_MAX   400

/* Its own generator, so that every machine sees the same matches. */
static uint64_t
next(uint64_t *state, uint64_t below)
{
	*state = *state * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (*state >> 33) % below;
}

static double
expected(double rating, double other)
{
	return 1 / (1 + pow(10, (other - rating) / 400));
}

/* What i gains in a match, as the formula has it. */
static double
change_of(
    const struct elo_player *p, size_t n, size_t i, double k, double confidence)
{
	double sum = 0;

	for (size_t j = 0; j < n; j++) {
		double both = (double)(p[i].score + p[j].score);
		double share = both > 0 ? (double)p[i].score / both : 0.5;
		double weight = (double)(p[i].k_ppm + p[j].k_ppm) / 2e6;
		if ((p[i].games < 10) != (p[j].games < 10))
			weight /= 2;
		if (j != i)
			sum += weight *
			    (share -
				expected((double)p[i].rating / 1000,
				    (double)p[j].rating / 1000));
	}
	return k * confidence * sum / (double)(n - 1);
}

START_TEST(test_matches)
{
	uint64_t seed = 2026;
	int moved = 0;

	for (int m = 0; m < MATCHES; m++) {
		struct elo_player p[PLAYERS_MAX];
		size_t n = 2 + next(&seed, PLAYERS_MAX - 1);
		int64_t k = 1 + (int64_t)next(&seed, 100);
		int64_t confidence = (int64_t)next(&seed, ELO_PPM + 1);
		int64_t sum = 0;
		for (size_t i = 0; i < n; i++)
			p[i] = (struct elo_player){
			    .rating = 500000 + (int64_t)next(&seed, 2000000),
			    .games = (int64_t)next(&seed, 20),
			    .score = (int64_t)next(&seed, 3),
			    .k_ppm = 700000 + (int64_t)next(&seed, 800001)};
		elo_match(p, n, k, confidence);
		double c = confidence < 100000 ? 0.1 : (double)confidence / 1e6;
		for (size_t i = 0; i < n; i++) {
			double want = change_of(p, n, i, (double)k, c) * 1000;
			sum += p[i].change;
			moved += p[i].change != 0;
			/* Each pair is rounded by itself, and so are its
			 * share, its expectation and its weight: at most half
			 * a millionth each, of 100 points. */
			ck_assert_double_eq_tol((double)p[i].change, want,
			    (double)(n - 1) * 0.5 + 0.4);
		}
		ck_assert_int_eq(sum, 0);
	}
	ck_assert_int_gt(moved, MATCHES);
}
END_TEST

/* The numbers that the largest values of the settings give fit. */
START_TEST(test_extremes)
{
	struct elo_player p[] = {
	    {.rating = -1000000000, .score = 2, .k_ppm = 1500000},
	    {.rating = 1000000000, .score = 0, .k_ppm = 1500000}};

	elo_match(p, 2, 100, ELO_PPM);
	ck_assert_int_eq(p[0].change, 150000);
	ck_assert_int_eq(p[1].change, -150000);
	/* Who cannot be beaten gains nothing. */
	p[0].score = 0;
	p[1].score = 2;
	elo_match(p, 2, 100, ELO_PPM);
	ck_assert_int_eq(p[1].change, 0);
}
END_TEST

/* Equals: two thirds against a half of 32 points; half as far between a
 * provisional and a settled one; a match of many moves no more than one of
 * two. */
START_TEST(test_known)
{
	struct elo_player two[] = {
	    {1500000, 0, 2, ELO_PPM, 0}, {1500000, 0, 1, ELO_PPM, 0}};
	struct elo_player mixed[] = {
	    {1500000, 0, 2, ELO_PPM, 0}, {1500000, 99, 0, ELO_PPM, 0}};
	struct elo_player five[] = {{1500000, 0, 2, ELO_PPM, 0},
	    {1500000, 0, 0, ELO_PPM, 0}, {1500000, 0, 0, ELO_PPM, 0},
	    {1500000, 0, 0, ELO_PPM, 0}, {1500000, 0, 0, ELO_PPM, 0}};

	elo_match(two, 2, 32, ELO_PPM);
	ck_assert_int_eq(two[0].change, 5333);
	ck_assert_int_eq(two[1].change, -5333);
	elo_match(mixed, 2, 32, ELO_PPM);
	ck_assert_int_eq(mixed[0].change, 8000);
	mixed[0].games = ELO_PROVISIONAL;
	elo_match(mixed, 2, 32, ELO_PPM);
	ck_assert_int_eq(mixed[0].change, 16000);
	elo_match(five, 5, 32, ELO_PPM);
	ck_assert_int_eq(five[0].change, 16000);
	ck_assert_int_eq(five[4].change, -4000);
	ck_assert_int_eq(elo_expected_ppm(1500000, 1900000), 90909);
	ck_assert_int_eq(elo_expected_ppm(1900000, 1500000), 909091);
}
END_TEST

START_TEST(test_calibration)
{
	uint64_t seed = 7;

	for (int run = 0; run < 200; run++) {
		struct elo_votes b[ELO_BUCKETS] = {0};
		double stated[ELO_BUCKETS] = {0}, hits[ELO_BUCKETS] = {0};
		double brier = 0, ece = 0;
		size_t n = 1 + next(&seed, VOTES_MAX);
		for (size_t i = 0; i < n; i++) {
			int64_t ppm = (int64_t)next(&seed, ELO_PPM + 1);
			int hit = (int)next(&seed, 2);
			double p = (double)ppm / 1e6;
			size_t at = p < 1 ? (size_t)floor(p * 10) : 9;
			ck_assert_int_eq(elo_bucket(ppm), (int64_t)at);
			b[at].votes++;
			b[at].hits += hit;
			b[at].confidence += ppm;
			b[at].brier += elo_brier_ppm(ppm, hit);
			stated[at] += p;
			hits[at] += hit;
			brier += (p - hit) * (p - hit);
		}
		for (size_t k = 0; k < ELO_BUCKETS; k++)
			ece += fabs(hits[k] - stated[k]) / (double)n;
		ck_assert_double_eq_tol((double)elo_mean_brier_ppm(b) / 1e6,
		    brier / (double)n, 2e-6);
		ck_assert_double_eq_tol(
		    (double)elo_ece_ppm(b) / 1e6, ece, 2e-6);
		double k = 0.7 + 2 * ece;
		ck_assert_double_eq_tol((double)elo_k_ppm(b) / 1e6,
		    n < 10	  ? 1
			: k > 1.5 ? 1.5
				  : k,
		    4e-6);
	}
	struct elo_votes none[ELO_BUCKETS] = {0};
	ck_assert_int_eq(elo_mean_brier_ppm(none), 0);
	ck_assert_int_eq(elo_ece_ppm(none), 0);
	ck_assert_int_eq(elo_k_ppm(none), ELO_PPM);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_matches);
	tcase_add_test(t, test_extremes);
	tcase_add_test(t, test_known);
	tcase_add_test(t, test_calibration);
}

int
main(void)
{
	return check_run("elo", add_tests);
}
