/* SPDX-License-Identifier: MIT
 *
 * Ranked ballots: Borda, instant run-off, Condorcet by Schulze's method. All
 * comparisons are of integers, and what is equal is treated alike.
 */
#include <assert.h>
#include <string.h>

#include "debate/consensus_impl.h"

/* ---- Borda ---- */

/* Points in halves: of m options the first earns m - 1 points, the second
 * m - 2; those not ranked share what is left. */
static void
consensus_borda_points(const struct consensus_tally *t, int64_t *points)
{
	int64_t m = (int64_t)t->n_options;

	for (size_t i = 0; i < t->n; i++) {
		const int *ranking;
		bool is_ranked[CONSENSUS_OPTIONS_MAX] = {false};
		size_t k = consensus_ranking(t, i, &ranking);
		int64_t weight = consensus_weight(&t->ballots[i]);
		if (k == 0)
			continue;
		for (size_t place = 0; place < k; place++) {
			points[ranking[place]] +=
			    2 * (m - 1 - (int64_t)place) * weight;
			is_ranked[ranking[place]] = true;
		}
		for (size_t option = 0; option < t->n_options; option++)
			if (!is_ranked[option])
				points[option] += (m - (int64_t)k - 1) * weight;
	}
}

void
consensus_borda(const struct consensus_tally *t, struct consensus_set *s)
{
	int64_t points[CONSENSUS_OPTIONS_MAX] = {0};

	consensus_borda_points(t, points);
	consensus_highest(points, t->n_options, NULL, s);
}

/* ---- instant run-off ---- */

#define CONSENSUS_COURSES_MAX 2048

struct consensus_irv_result {
	struct consensus_set winners;
	int64_t share_ppm, margin_ppm; /* the lowest of all courses */
};

/* The weight that each option still standing has at the top; the sum. */
static int64_t
consensus_irv_round(const struct consensus_tally *t,
    const struct consensus_set *standing, int64_t *score)
{
	int64_t total = 0;

	memset(score, 0, CONSENSUS_OPTIONS_MAX * sizeof(*score));
	for (size_t i = 0; i < t->n; i++) {
		const int *ranking;
		size_t k = consensus_ranking(t, i, &ranking);
		int64_t weight = consensus_weight(&t->ballots[i]);
		size_t place = 0;
		while (place < k && !standing->has[ranking[place]])
			place++;
		if (place == k)
			continue; /* exhausted, or an abstention */
		score[ranking[place]] += weight;
		total += weight;
	}
	return total;
}

static void
consensus_negate(const int64_t *from, int64_t *to)
{
	for (size_t i = 0; i < CONSENSUS_OPTIONS_MAX; i++)
		to[i] = -from[i];
}

/* Who leaves: the fewest; among equals who had the fewest first choices, then
 * the fewest Borda points. Several, when they are alike in all of it. */
static void
consensus_irv_last(const struct consensus_tally *t,
    const struct consensus_set *standing, const int64_t *score,
    struct consensus_set *out)
{
	int64_t points[CONSENSUS_OPTIONS_MAX] = {0};
	int64_t low[CONSENSUS_OPTIONS_MAX];

	consensus_negate(score, low);
	consensus_highest(low, t->n_options, standing, out);
	consensus_negate(t->first, low);
	consensus_highest(low, t->n_options, out, out);
	consensus_borda_points(t, points);
	consensus_negate(points, low);
	consensus_highest(low, t->n_options, out, out);
}

/* Where two are alike in all that, one leaves in each of two courses of the
 * count, and whoever wins in one of them leads. Sets of options that stand, as
 * bits; each is looked at once. */
struct consensus_courses {
	uint64_t standing[CONSENSUS_COURSES_MAX];
	size_t n;
	bool is_full;
};

static void
consensus_courses_add(struct consensus_courses *c, uint64_t standing)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->standing[i] == standing)
			return;
	c->is_full = c->n == CONSENSUS_COURSES_MAX;
	if (!c->is_full)
		c->standing[c->n++] = standing;
}

static void
consensus_set_read(uint64_t bits, size_t n_options, struct consensus_set *s)
{
	*s = (struct consensus_set){.n = 0};
	for (size_t i = 0; i < n_options; i++) {
		s->has[i] = (bits >> i & 1) != 0;
		s->n += s->has[i];
	}
}

static void
consensus_lower(int64_t *value, int64_t to)
{
	if (to < *value)
		*value = to;
}

/* One round: somebody has more than half, or whoever is last leaves. */
static void
consensus_irv_step(const struct consensus_tally *t, uint64_t bits,
    struct consensus_courses *c, struct consensus_irv_result *out)
{
	struct consensus_set standing;
	struct consensus_set s;
	int64_t score[CONSENSUS_OPTIONS_MAX];
	int64_t next = 0;

	consensus_set_read(bits, t->n_options, &standing);
	int64_t total = consensus_irv_round(t, &standing, score);
	assert(total > 0); /* who stands is at the top of some ballot */
	for (size_t i = 0; i < t->n_options; i++) {
		if (2 * score[i] <= total)
			continue;
		for (size_t k = 0; k < t->n_options; k++)
			if (k != i && score[k] > next)
				next = score[k];
		out->winners.n += !out->winners.has[i];
		out->winners.has[i] = true;
		consensus_lower(
		    &out->share_ppm, score[i] * CONSENSUS_PPM / total);
		consensus_lower(&out->margin_ppm,
		    (score[i] - next) * CONSENSUS_PPM / total);
		return;
	}
	consensus_irv_last(t, &standing, score, &s);
	for (size_t i = 0; i < t->n_options; i++)
		if (s.has[i])
			consensus_courses_add(c, bits & ~(UINT64_C(1) << i));
}

void
consensus_irv(const struct consensus_tally *t, struct consensus_set *s,
    int64_t *share_ppm, int64_t *margin_ppm)
{
	struct consensus_courses c = {.n = 0};
	struct consensus_irv_result r = {
	    .share_ppm = CONSENSUS_PPM, .margin_ppm = CONSENSUS_PPM};
	uint64_t all = 0;

	/* Whom nobody ranks cannot win and would only multiply the courses. */
	for (size_t i = 0; i < t->n; i++) {
		const int *ranking;
		size_t k = consensus_ranking(t, i, &ranking);
		for (size_t place = 0; place < k; place++)
			all |= UINT64_C(1) << ranking[place];
	}
	consensus_courses_add(&c, all);
	for (size_t i = 0; i < c.n && !c.is_full; i++)
		consensus_irv_step(t, c.standing[i], &c, &r);
	if (c.is_full) /* more ties than can be followed: nobody leads */
		consensus_set_read(all, t->n_options, &r.winners);
	*s = r.winners;
	*share_ppm = c.is_full ? 0 : r.share_ppm;
	*margin_ppm = r.winners.n == 1 ? r.margin_ppm : 0;
}

/* ---- Condorcet ---- */

struct consensus_matrix {
	int64_t at[CONSENSUS_OPTIONS_MAX][CONSENSUS_OPTIONS_MAX];
};

/* d->at[a][b]: the weight of those who rank a above b. */
static void
consensus_duels(const struct consensus_tally *t, struct consensus_matrix *d)
{
	for (size_t i = 0; i < t->n; i++) {
		const int *ranking;
		bool is_above[CONSENSUS_OPTIONS_MAX] = {false};
		size_t k = consensus_ranking(t, i, &ranking);
		int64_t weight = consensus_weight(&t->ballots[i]);
		for (size_t place = 0; place < k; place++) {
			is_above[ranking[place]] = true;
			for (size_t b = 0; b < t->n_options; b++)
				if (!is_above[b])
					d->at[ranking[place]][b] += weight;
		}
	}
}

/* The strongest path from each to each: as strong as its weakest victory. */
static void
consensus_paths(
    size_t n, const struct consensus_matrix *d, struct consensus_matrix *p)
{
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < n; b++)
			p->at[a][b] =
			    d->at[a][b] > d->at[b][a] ? d->at[a][b] : 0;
	for (size_t via = 0; via < n; via++)
		for (size_t a = 0; a < n; a++)
			for (size_t b = 0; b < n; b++) {
				int64_t to = p->at[a][via];
				int64_t from = p->at[via][b];
				int64_t weakest = to < from ? to : from;
				if (a != b && weakest > p->at[a][b])
					p->at[a][b] = weakest;
			}
}

void
consensus_condorcet(const struct consensus_tally *t, struct consensus_set *s)
{
	struct consensus_matrix d = {{{0}}};
	struct consensus_matrix p;

	consensus_duels(t, &d);
	consensus_paths(t->n_options, &d, &p);
	*s = (struct consensus_set){.n = 0};
	for (size_t a = 0; a < t->n_options; a++) {
		bool is_beaten = false;
		for (size_t b = 0; b < t->n_options; b++)
			is_beaten = is_beaten || p.at[b][a] > p.at[a][b];
		s->has[a] = !is_beaten;
		s->n += !is_beaten;
	}
}
