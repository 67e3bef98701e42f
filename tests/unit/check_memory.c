/* SPDX-License-Identifier: MIT
 *
 * The rules of memory: scores against doubles, each threshold at its edge,
 * the order of hits, and what a debate is given.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "debate/recall.h"
#include "tests/unit/check_run.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define NOW	(INT64_C(1000000) * HOUR_US)

START_TEST(test_scores)
{
	srand(7);
	for (int i = 0; i < 20000; i++) {
		enum memory_tier t =
		    (enum memory_tier)(rand() % MEMORY_TIER__COUNT);
		int64_t half = memory_tiers[t].half_life_s * 1000000;
		int64_t age = (int64_t)((double)half * 8 * rand() / RAND_MAX);
		int64_t importance = rand() % (MEMORY_PPM + 1);
		double want =
		    (double)importance * exp2(-(double)age / (double)half);
		int64_t got = memory_score(importance, age, t);
		ck_assert_msg(fabs((double)got - want) <= 3, "%lld is not %f",
		    (long long)got, want);
	}
	ck_assert_int_eq(memory_score(800000, HOUR_US, MEMORY_FAST), 400000);
	ck_assert_int_eq(memory_score(800000, -5, MEMORY_FAST), 800000);
	ck_assert_int_eq(memory_score(MEMORY_PPM, INT64_MAX, MEMORY_FAST), 0);
}
END_TEST

static enum memory_fate
judge(enum memory_tier tier, int64_t surprise, int64_t updates, int64_t age)
{
	const struct memory_state m = {.tier = tier,
	    .surprise_ppm = surprise,
	    .updates = updates,
	    .moved_us = NOW - age,
	    .expires_us = NOW + 1};
	enum memory_fate fate = memory_judge(&m, NOW);

	/* Due is just when there is something to do. */
	ck_assert_int_eq(memory_due(&m) <= NOW, fate != MEMORY_STAYS);
	return fate;
}

/* The guide's figures, written down here once more. */
START_TEST(test_thresholds)
{
	static const struct {
		enum memory_tier tier;
		int64_t rises, sinks; /* surprise; -1 = never */
	} edges[] = {{MEMORY_FAST, -1, 800000}, {MEMORY_MEDIUM, 700000, 700000},
	    {MEMORY_SLOW, 600000, 600000}, {MEMORY_GLACIAL, 500000, -1}};
	const int64_t day = 24 * HOUR_US;

	for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
		enum memory_tier t = edges[i].tier;
		int64_t up = edges[i].rises, down = edges[i].sinks;
		if (up >= 0) {
			ck_assert_int_eq(
			    judge(t, up + 1, 0, day), MEMORY_RISES);
			ck_assert_int_eq(
			    judge(t, up + 1, 0, day - 1), MEMORY_STAYS);
			ck_assert_int_eq(judge(t, up, 0, day), MEMORY_STAYS);
		}
		if (down >= 0) {
			ck_assert_int_eq(
			    judge(t, down - 1, 10, 0), MEMORY_SINKS);
			ck_assert_int_eq(
			    judge(t, down - 1, 9, 0), MEMORY_STAYS);
			ck_assert_int_eq(judge(t, down, 10, 0), MEMORY_STAYS);
		}
	}
	ck_assert_int_eq(judge(MEMORY_FAST, MEMORY_PPM, 0, day), MEMORY_STAYS);
	ck_assert_int_eq(judge(MEMORY_GLACIAL, 0, 99, day), MEMORY_STAYS);
	const struct memory_state old = {
	    .tier = MEMORY_SLOW, .surprise_ppm = MEMORY_PPM, .expires_us = NOW};
	ck_assert_int_eq(memory_judge(&old, NOW), MEMORY_EXPIRES);
	ck_assert_int_eq(memory_judge(&old, NOW - 1), MEMORY_RISES);
}
END_TEST

START_TEST(test_order)
{
	struct memory_hit hits[] = {{0, "c", 5}, {1, "b", 9}, {2, "a", 5}};

	memory_sort(hits, ARRAY_LEN(hits));
	ck_assert_uint_eq(hits[0].at, 1);
	ck_assert_uint_eq(hits[1].at, 2);
	ck_assert_uint_eq(hits[2].at, 0);
}
END_TEST

/* Alike before unlike, young before old, nothing that is expired or of other
 * words, at most RECALL_MAX, cut between characters. */
START_TEST(test_pick)
{
	struct arena *a = arena_new(0);
	struct store_memory rows[6];
	struct debate_config config = {.task = "Should we cache user sessions"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] =
		    (struct store_memory){.id = arena_printf(a, "m%zu", i),
			.tier = MEMORY_SLOW,
			.content = "Should we cache user sessions? Yes",
			.debate_id = "d",
			.importance_ppm = 900000,
			.updated_us = NOW - (int64_t)i * 200 * HOUR_US,
			.expires_us = NOW + HOUR_US};
	rows[0].content = "Zebra quilts";
	rows[1].expires_us = NOW;
	rows[4].updated_us = NOW;
	char *big = arena_alloc(a, 2 * RECALL_CONTENT_MAX + 1);
	for (size_t i = 0; i < RECALL_CONTENT_MAX; i++)
		memcpy(big + 2 * i, "\xc3\xa9", 2);
	big[2 * RECALL_CONTENT_MAX] = '\0';
	rows[2].content =
	    arena_printf(a, "Should we cache user sessions %s", big);
	rows[2].importance_ppm = MEMORY_PPM;
	rows[2].updated_us = NOW;
	recall_pick(a, &config, rows, ARRAY_LEN(rows), NOW);
	ck_assert_uint_eq(config.n_recalled, RECALL_MAX);
	ck_assert_str_eq(config.recalled[0].id, "m4");
	for (size_t i = 0; i < config.n_recalled; i++) {
		size_t len = strlen(config.recalled[i].content);
		ck_assert_uint_le(len, RECALL_CONTENT_MAX);
		ck_assert(str_is_utf8(config.recalled[i].content, len));
		ck_assert_str_ne(config.recalled[i].id, "m0");
		ck_assert_str_ne(config.recalled[i].id, "m1");
		ck_assert(i == 0 ||
		    config.recalled[i - 1].score_ppm >=
			config.recalled[i].score_ppm);
	}
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_scores);
	tcase_add_test(t, test_thresholds);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_pick);
}

int
main(void)
{
	return check_run("memory", add_tests);
}
