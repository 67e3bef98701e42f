/* SPDX-License-Identifier: MIT
 *
 * Ratings: no match changes the sum of a board, none is rated twice, and
 * debates that end at the same time do not lose each other's points.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/str.h"
#include "store/store_rating.h"
#include "tests/store/store_kit.h"

#define INITIAL 1500
#define ROUNDS	12
#define AGENTS	4

static const char *const names[AGENTS] = {"ant", "bee", "cat", "dog"};

static enum err
finish(const struct store_debate *d, const char *domain, size_t winner)
{
	struct store_player p[AGENTS];
	struct store_vote v[] = {
	    {"ant", 900000, winner == 0}, {"bee", 500000, true}};
	struct store_match m = {.domain = domain,
	    .winner = names[winner],
	    .source = "votes",
	    .confidence_ppm = 700000,
	    .players = p,
	    .n_players = AGENTS,
	    .votes = v,
	    .n_votes = ARRAY_LEN(v),
	    .elo_initial = INITIAL,
	    .elo_k_factor = 32};
	struct store_event event = {.type = "debate_end", .data = "{}"};
	struct store_transition t = {.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_COMPLETED,
	    .phase = "done",
	    .match = &m};
	struct store_transition *one = &t;

	for (size_t i = 0; i < AGENTS; i++)
		p[i] = (struct store_player){names[i], i == winner ? 2 : i % 2};
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	return t.outcome;
}

static void
check_board(const char *domain, int64_t games)
{
	struct store_rating *rows;
	size_t n;
	int64_t total, sum = 0;

	ck_assert_int_eq(
	    store_rating_list(kit.store, kit.arena, STORE_TENANT_DEFAULT,
		domain, 100, 0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, AGENTS);
	ck_assert_int_eq(total, AGENTS);
	for (size_t i = 0; i < n; i++) {
		sum += rows[i].elo;
		ck_assert_int_eq(rows[i].games, games);
		ck_assert_int_eq(rows[i].wins + rows[i].losses, games);
		ck_assert(i == 0 || rows[i - 1].elo >= rows[i].elo);
	}
	ck_assert_int_eq(sum, (int64_t)INITIAL * ELO_UNIT * AGENTS);
}

START_TEST(test_sum)
{
	struct elo_votes buckets[ELO_BUCKETS];
	struct store_match_row *rows;
	struct store_between *between;
	size_t n;
	int64_t total;

	for (size_t i = 0; i < ROUNDS; i++) {
		kit_create("q", 0);
		struct store_debate d = kit_claim("r");
		ck_assert_int_eq(
		    finish(&d, i % 3 ? "law" : "tea", i % AGENTS), ERR_OK);
	}
	check_board("", ROUNDS);
	check_board("law", ROUNDS * 2 / 3);
	check_board("tea", ROUNDS / 3);
	ck_assert_int_eq(
	    store_match_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, "tea",
		NULL, 2, 0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(total, ROUNDS / 3);
	ck_assert_int_eq(
	    store_match_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, "",
		"bee", 100, 0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, ROUNDS);
	ck_assert_int_eq(store_match_list(kit.store, kit.arena, "other", "",
			     NULL, 100, 0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_match_between(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "ant", "cat", &between, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	/* Neither agreed: each won its own three, the other six are draws. */
	ck_assert_int_eq(between[0].wins + between[1].wins, ROUNDS / AGENTS);
	ck_assert_int_eq(
	    between[0].losses + between[1].losses, ROUNDS / AGENTS);
	ck_assert_int_eq(between[0].matches + between[1].matches, ROUNDS);
	ck_assert_int_eq(store_calibration(kit.store, STORE_TENANT_DEFAULT, "",
			     "ant", buckets),
	    ERR_OK);
	ck_assert_int_eq(buckets[9].votes, ROUNDS);
	ck_assert_int_eq(buckets[9].hits, ROUNDS / AGENTS);
	/* (3 * 0.01 + 9 * 0.81) / 12, and |0.25 - 0.9| */
	ck_assert_int_eq(elo_mean_brier_ppm(buckets), 610000);
	ck_assert_int_eq(elo_ece_ppm(buckets), 650000);
}
END_TEST

/* Told again by the same runner or by one that was presumed dead. */
START_TEST(test_once)
{
	kit_create("q", 0);
	struct store_debate d = kit_claim("r");

	ck_assert_int_eq(finish(&d, "tea", 0), ERR_OK);
	ck_assert_int_eq(finish(&d, "tea", 1), ERR_FENCED);
	check_board("", 1);
	/* The row again as if it had not ended. */
	kit_script("UPDATE debates SET status = 'running'");
	ck_assert_int_eq(finish(&d, "tea", 1), ERR_OK);
	check_board("", 1);
}
END_TEST

struct ender {
	struct store_debate d[ROUNDS];
	size_t i;
};

static void *
end_all(void *arg)
{
	struct ender *t = arg;

	for (size_t i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(
		    finish(&t->d[i], "tea", (i + t->i) % AGENTS), ERR_OK);
	return NULL;
}

START_TEST(test_together)
{
	struct ender enders[KIT_THREADS] = {0};
	pthread_t threads[KIT_THREADS];

	for (size_t i = 0; i < KIT_THREADS; i++)
		for (size_t k = 0; k < ROUNDS; k++) {
			enders[i].i = i;
			kit_create("q", 0);
			enders[i].d[k] = kit_claim("r");
		}
	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, end_all, &enders[i]), 0);
	for (size_t i = 0; i < KIT_THREADS; i++)
		pthread_join(threads[i], NULL);
	check_board("", (int64_t)KIT_THREADS * ROUNDS);
	check_board("tea", (int64_t)KIT_THREADS * ROUNDS);
}
END_TEST

/* What two matches of equals move: two thirds against a half of 32 points. */
START_TEST(test_arithmetic)
{
	struct elo_player two[] = {{1500000, 0, 2, 0}, {1500000, 0, 1, 0}};
	struct elo_player mixed[] = {{1500000, 0, 2, 0}, {1500000, 99, 0, 0}};

	elo_match(two, 2, 32, ELO_PPM);
	ck_assert_int_eq(two[0].change, 5333);
	ck_assert_int_eq(two[1].change, -5333);
	elo_match(mixed, 2, 32, ELO_PPM);
	ck_assert_int_eq(mixed[0].change, 8000);
	ck_assert_int_eq(elo_expected_ppm(1500000, 1900000), 90909);
	ck_assert_int_eq(elo_expected_ppm(1900000, 1500000), 909091);
	srand(1);
	for (int i = 0; i < 1000; i++) {
		struct elo_player p[7];
		int64_t sum = 0;
		for (size_t k = 0; k < ARRAY_LEN(p); k++)
			p[k] = (struct elo_player){.rating = rand() % 3000000,
			    .games = rand() % 20,
			    .score = rand() % 3};
		elo_match(p, ARRAY_LEN(p), 1 + rand() % 100, rand() % ELO_PPM);
		for (size_t k = 0; k < ARRAY_LEN(p); k++)
			sum += p[k].change;
		ck_assert_int_eq(sum, 0);
	}
}
END_TEST

void
add_ratings(TCase *t)
{
	tcase_add_test(t, test_sum);
	tcase_add_test(t, test_once);
	tcase_add_test(t, test_together);
	tcase_add_test(t, test_arithmetic);
}
