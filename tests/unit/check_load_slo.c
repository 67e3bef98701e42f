/* SPDX-License-Identifier: MIT
 *
 * How loadgen judges, and how it counts what a follower of a debate sees.
 */
#include "tests/load/follow.h"
#include "tests/load/slo.h"
#include "tests/unit/check_run.h"

static struct stats requests;
static struct slo_bounds bounds;
static struct slo_verdict verdicts[SLO__COUNT];

static void
setup(void)
{
	stats_init(&requests);
	slo_bounds_init(&bounds);
}

static void
teardown(void)
{
	stats_release(&requests);
}

static bool
judge(double seconds)
{
	struct slo_input in = {.requests = &requests, .seconds = seconds};

	return slo_judge(&in, &bounds, verdicts);
}

static void
count(int n, int status, enum stats_error error, int64_t us)
{
	for (int i = 0; i < n; i++)
		stats_count(&requests, status, error, us);
}

START_TEST(test_met)
{
	count(100, 200, STATS_NONE, 199999);
	ck_assert(judge(1));
	ck_assert(verdicts[SLO_P50].is_judged && verdicts[SLO_RATE].is_judged);
	ck_assert(!verdicts[SLO_CREATE_P95].is_judged);
	ck_assert(!verdicts[SLO_EVENTS_WRONG].is_judged);
	ck_assert(verdicts[SLO_RATE].value == 100);
}
END_TEST

/* A bound that is reached is crossed. */
START_TEST(test_latency)
{
	count(100, 200, STATS_NONE, 200000);
	ck_assert(!judge(1));
	ck_assert(!verdicts[SLO_P50].is_ok && verdicts[SLO_P95].is_ok);
}
END_TEST

START_TEST(test_tail)
{
	count(98, 200, STATS_NONE, 1000);
	count(2, 200, STATS_NONE, 2000001);
	ck_assert(!judge(1));
	ck_assert(verdicts[SLO_P95].is_ok && !verdicts[SLO_P99].is_ok);
}
END_TEST

START_TEST(test_rate)
{
	count(100, 200, STATS_NONE, 1000);
	ck_assert(!judge(2));
	ck_assert(!verdicts[SLO_RATE].is_ok);
	ck_assert(verdicts[SLO_RATE].value == 50);
}
END_TEST

/* 500s are answers, and fast ones: only the errors tell. */
START_TEST(test_errors)
{
	count(99, 200, STATS_NONE, 1000);
	ck_assert(judge(1));
	count(1, 500, STATS_STATUS, 10);
	ck_assert(!judge(1));
	ck_assert(!verdicts[SLO_ERRORS].is_ok && !verdicts[SLO_BAD].is_ok);
	ck_assert(verdicts[SLO_ERRORS].value == 0.01);
	ck_assert(verdicts[SLO_P50].is_ok);
}
END_TEST

/* Refused connections have no time, those that time out have. */
START_TEST(test_unanswered)
{
	count(99, 200, STATS_NONE, 1000);
	count(1, 0, STATS_CONNECT, 1);
	ck_assert_int_eq(hist_count(requests.hist), 99);
	ck_assert_int_eq(stats_done(&requests), 100);
	ck_assert(!judge(1));
	ck_assert(verdicts[SLO_BAD].is_ok && !verdicts[SLO_ERRORS].is_ok);
	count(5, 0, STATS_TIMEOUT, 30000000);
	ck_assert(!judge(1));
	ck_assert(!verdicts[SLO_P99].is_ok);
	ck_assert_int_eq(stats_done(&requests), 105);
}
END_TEST

/* What should have been measured and was not is no success. */
START_TEST(test_nothing)
{
	ck_assert(!judge(1));
	ck_assert(verdicts[SLO_P50].is_judged);
	ck_assert(!verdicts[SLO_P50].is_measured && !verdicts[SLO_P50].is_ok);
	struct slo_input none = {0};
	ck_assert(slo_judge(&none, &bounds, verdicts));
	for (int i = 0; i < SLO__COUNT; i++)
		ck_assert(!verdicts[i].is_judged);
}
END_TEST

START_TEST(test_stage)
{
	requests.wanted = 200;
	count(198, 200, STATS_NONE, 1000);
	ck_assert(slo_judge_stage(&requests, 10, 0.99, &bounds));
	requests.wanted = 201;
	ck_assert(!slo_judge_stage(&requests, 10, 0.99, &bounds));
}
END_TEST

START_TEST(test_bounds)
{
	static const char *const bad[] = {
	    "p95_ms", "p95_ms=", "p95_ms=x", "p95=3", "=3", "", "p95_msx=3"};
	struct err_info info = {0};

	ck_assert(slo_bounds_set(&bounds, "p95_ms=0.5", &info) == ERR_OK);
	ck_assert(bounds.of[SLO_P95] == 0.5);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(slo_bounds_set(&bounds, bad[i], &info) != ERR_OK,
		    "'%s'", bad[i]);
	count(100, 200, STATS_NONE, 1000);
	ck_assert(!judge(1));
}
END_TEST

static struct follow
follow(const int64_t *seqs, size_t n)
{
	struct follow f = {0};

	for (size_t i = 0; i < n; i++)
		follow_take(&f, seqs[i]);
	return f;
}

#define FOLLOW(...)                                                            \
	follow((const int64_t[]){__VA_ARGS__},                                 \
	    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void
check_follow(struct follow f, int64_t lost, int64_t doubled, int64_t misordered)
{
	ck_assert_int_eq(follow_lost(&f), lost);
	ck_assert_int_eq(f.doubled, doubled);
	ck_assert_int_eq(f.misordered, misordered);
}

START_TEST(test_follow)
{
	check_follow((struct follow){0}, 0, 0, 0);
	check_follow(FOLLOW(1, 2, 3, 4), 0, 0, 0);
	check_follow(FOLLOW(1, 2, 5), 2, 0, 0);
	check_follow(FOLLOW(3), 2, 0, 0);
	check_follow(FOLLOW(1, 2, 2, 3, 1), 0, 2, 0);
	check_follow(FOLLOW(1, 3, 2, 4), 0, 0, 1);
	check_follow(FOLLOW(1, 3, 3, 2, 2, 6), 2, 2, 1);
	check_follow(FOLLOW(2, 1), 0, 0, 1);
}
END_TEST

/* Past the bits lost ones still show, and others are doubles. */
START_TEST(test_follow_long)
{
	struct follow f = {0};

	for (int64_t i = 1; i < 2 * FOLLOW_MAX; i++)
		follow_take(&f, i);
	check_follow(f, 0, 0, 0);
	follow_take(&f, 2 * FOLLOW_MAX + 2);
	follow_take(&f, FOLLOW_MAX + 5);
	check_follow(f, 2, 1, 0);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_met);
	tcase_add_test(t, test_latency);
	tcase_add_test(t, test_tail);
	tcase_add_test(t, test_rate);
	tcase_add_test(t, test_errors);
	tcase_add_test(t, test_unanswered);
	tcase_add_test(t, test_nothing);
	tcase_add_test(t, test_stage);
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_follow);
	tcase_add_test(t, test_follow_long);
}

int
main(void)
{
	return check_run("load_slo", add_tests);
}
