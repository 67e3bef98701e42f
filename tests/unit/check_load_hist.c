/* SPDX-License-Identifier: MIT
 *
 * loadgen's histogram, held against the exact values of a sorted list.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/load/hist.h"
#include "tests/unit/check_run.h"

#define N 20000

static const double percents[] = {0, 1, 50, 90, 95, 99, 99.9, 99.99, 100};

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* xorshift64 */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Never too little, and at most by one part in HIST_PARTS too much. */
static void
check_value(int64_t got, int64_t exact)
{
	ck_assert_int_ge(got, exact);
	ck_assert_int_le(got, exact + exact / HIST_PARTS);
}

static void
check_all(const struct hist *h, int64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	ck_assert_int_eq(hist_count(h), (int64_t)n);
	ck_assert_int_eq(hist_min(h), values[0]);
	ck_assert_int_eq(hist_max(h), values[n - 1]);
	for (size_t i = 0; i < ARRAY_LEN(percents); i++) {
		double rank = ceil(percents[i] / 100 * (double)n - 1e-6);
		size_t at = rank < 1 ? 0 : (size_t)rank - 1;
		check_value(hist_percentile(h, percents[i]), values[at]);
	}
}

START_TEST(test_empty)
{
	struct hist *h = hist_new();

	ck_assert_int_eq(hist_count(h), 0);
	ck_assert_int_eq(hist_min(h), 0);
	ck_assert_int_eq(hist_max(h), 0);
	ck_assert_int_eq(hist_percentile(h, 99), 0);
	ck_assert(hist_mean(h) == 0);
	hist_free(&h);
	ck_assert_ptr_null(h);
	hist_free(&h);
}
END_TEST

START_TEST(test_one)
{
	struct hist *h = hist_new();

	/* Small values, and a single one whatever its size, are exact. */
	hist_record(h, 123456789);
	for (size_t i = 0; i < ARRAY_LEN(percents); i++)
		ck_assert_int_eq(hist_percentile(h, percents[i]), 123456789);
	hist_free(&h);
	h = hist_new();
	for (int64_t v = 1; v <= 1000; v++)
		hist_record(h, v);
	ck_assert_int_eq(hist_percentile(h, 50), 500);
	ck_assert_int_eq(hist_percentile(h, 99.9), 999);
	ck_assert_int_eq(hist_percentile(h, 100), 1000);
	ck_assert(hist_mean(h) == 500.5);
	hist_free(&h);
}
END_TEST

/* Each value alone beside a greatest one: the bucket's top is near it, at all
 * the edges of powers of two. */
START_TEST(test_edges)
{
	for (int bits = 0; bits < 32; bits++)
		for (int64_t off = -2; off <= 2; off++) {
			int64_t v = (INT64_C(1) << bits) + off;
			if (v < 0 || v > HIST_MAX)
				continue;
			struct hist *h = hist_new();
			hist_record(h, v);
			hist_record(h, HIST_MAX);
			check_value(hist_percentile(h, 50), v);
			hist_free(&h);
		}
}
END_TEST

START_TEST(test_bounds)
{
	struct hist *h = hist_new();

	hist_record(h, -5);
	hist_record(h, INT64_MIN);
	ck_assert_int_eq(hist_max(h), 0);
	hist_record(h, INT64_MAX);
	hist_record(h, HIST_MAX);
	ck_assert_int_eq(hist_min(h), 0);
	ck_assert_int_eq(hist_max(h), HIST_MAX);
	ck_assert_int_eq(hist_percentile(h, 100), HIST_MAX);
	ck_assert_int_eq(hist_percentile(h, 50), 0);
	hist_free(&h);
}
END_TEST

START_TEST(test_random)
{
	int64_t *values = mem_array(N, sizeof(*values));
	uint64_t state = 88172645463325252;

	for (int run = 0; run < 8; run++) {
		struct hist *h = hist_new();
		/* As many of each size as of the others. */
		for (size_t i = 0; i < N; i++) {
			int bits = 1 + (int)(next_random(&state) % 31);
			values[i] =
			    (int64_t)(next_random(&state) >> (64 - bits));
			hist_record(h, values[i]);
		}
		check_all(h, values, N);
		hist_free(&h);
	}
	free(values);
}
END_TEST

START_TEST(test_merge)
{
	int64_t *values = mem_array(N, sizeof(*values));
	uint64_t state = 1;
	struct hist *parts[4], *all = hist_new(), *empty = hist_new();

	for (int i = 0; i < 4; i++)
		parts[i] = hist_new();
	for (size_t i = 0; i < N; i++) {
		values[i] = (int64_t)(next_random(&state) % 5000000);
		hist_record(parts[values[i] % 4], values[i]);
	}
	for (int i = 0; i < 4; i++) {
		hist_merge(all, parts[i]);
		hist_merge(all, empty);
		hist_free(&parts[i]);
	}
	check_all(all, values, N);
	hist_merge(empty, all);
	check_all(empty, values, N);
	hist_free(&all);
	hist_free(&empty);
	free(values);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_one);
	tcase_add_test(t, test_edges);
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_random);
	tcase_add_test(t, test_merge);
}

int
main(void)
{
	return check_run("load_hist", add_tests);
}
