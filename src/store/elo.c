/* SPDX-License-Identifier: MIT */
#include "store/elo.h"

#include <math.h>
#include <stdlib.h>

#define ELO_SCALE	   400.0
#define ELO_CONFIDENCE_MIN 100000
#define ELO_K_PPM_MIN	   700000
#define ELO_K_PPM_MAX	   1500000
#define ELO_K_PER_ECE	   2

static int64_t
elo_clamp(int64_t v, int64_t min, int64_t max)
{
	return v < min ? min : v > max ? max : v;
}

int64_t
elo_expected_ppm(int64_t rating, int64_t other)
{
	double points = (double)(other - rating) / ELO_UNIT;

	return llround(ELO_PPM / (1 + pow(10, points / ELO_SCALE)));
}

static int64_t
elo_divide(int64_t a, int64_t b)
{
	return (a + (a < 0 ? -b : b) / 2) / b;
}

/* What a pair counts, of 1500000 at most. */
static int64_t
elo_weight_ppm(const struct elo_player *a, const struct elo_player *b,
    int64_t confidence_ppm)
{
	int64_t halves =
	    (a->games < ELO_PROVISIONAL) == (b->games < ELO_PROVISIONAL) ? 2
									 : 1;

	/* At most 10^6 * 2 * 3 * 10^6. */
	return elo_divide(
	    confidence_ppm * halves * (a->k_ppm + b->k_ppm), 4 * ELO_PPM);
}

/* What the second loses to the first. */
static int64_t
elo_pair(const struct elo_player *a, const struct elo_player *b, size_t n,
    int64_t k, int64_t confidence_ppm)
{
	int64_t sum = a->score + b->score;
	int64_t actual =
	    sum == 0 ? ELO_PPM / 2 : elo_divide(a->score * ELO_PPM, sum);
	int64_t more = actual - elo_expected_ppm(a->rating, b->rating);
	/* At most 10^5 * 1.5 * 10^6 * 10^6. */
	int64_t moved =
	    k * ELO_UNIT * elo_weight_ppm(a, b, confidence_ppm) * more;

	return elo_divide(moved, (int64_t)(n - 1) * ELO_PPM * ELO_PPM);
}

void
elo_match(struct elo_player *p, size_t n, int64_t k, int64_t confidence_ppm)
{
	int64_t w = elo_clamp(confidence_ppm, ELO_CONFIDENCE_MIN, ELO_PPM);

	for (size_t i = 0; i < n; i++)
		p[i].change = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			int64_t moved = elo_pair(&p[i], &p[j], n, k, w);
			p[i].change += moved;
			p[j].change -= moved;
		}
}

int64_t
elo_bucket(int64_t confidence_ppm)
{
	return elo_clamp(
	    confidence_ppm / (ELO_PPM / ELO_BUCKETS), 0, ELO_BUCKETS - 1);
}

int64_t
elo_brier_ppm(int64_t confidence_ppm, int is_hit)
{
	int64_t error =
	    elo_clamp(confidence_ppm, 0, ELO_PPM) - (is_hit ? ELO_PPM : 0);

	return elo_divide(error * error, ELO_PPM);
}

static int64_t
elo_votes_of(const struct elo_votes *buckets)
{
	int64_t n = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++)
		n += buckets[i].votes;
	return n;
}

int64_t
elo_mean_brier_ppm(const struct elo_votes *buckets)
{
	int64_t n = elo_votes_of(buckets);
	int64_t sum = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++)
		sum += buckets[i].brier;
	return n > 0 ? elo_divide(sum, n) : 0;
}

int64_t
elo_ece_ppm(const struct elo_votes *buckets)
{
	int64_t n = elo_votes_of(buckets);
	int64_t sum = 0;

	for (size_t i = 0; i < ELO_BUCKETS; i++)
		sum += llabs(buckets[i].hits * ELO_PPM - buckets[i].confidence);
	return n > 0 ? elo_divide(sum, n) : 0;
}

int64_t
elo_k_ppm(const struct elo_votes *buckets)
{
	if (elo_votes_of(buckets) < ELO_VOTES_MIN)
		return ELO_PPM;
	return elo_clamp(ELO_K_PPM_MIN + ELO_K_PER_ECE * elo_ece_ppm(buckets),
	    ELO_K_PPM_MIN, ELO_K_PPM_MAX);
}
