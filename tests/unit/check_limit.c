/* SPDX-License-Identifier: MIT
 *
 * Rate limits without Redis: the arithmetic against the definition, and the
 * memory that processes share.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/id.h"
#include "check_run.h"
#include "limit/limit_impl.h"

#define NOW (INT64_C(1000) * 1000000)

static char folder[64], path[96];
static struct limit_table *table;

static void
setup(void)
{
	struct err_info info;

	snprintf(folder, sizeof(folder), "limit-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/limits", folder);
	ck_assert_int_eq(limit_table_open(&table, path, &info), ERR_OK);
}

static void
teardown(void)
{
	limit_table_close(&table);
	unlink(path);
	rmdir(folder);
}

static struct limit_bucket
bucket(const char *name, int64_t per_minute, double multiplier, int64_t units)
{
	struct limit_bucket b = {
	    .rule = gcra_rule(per_minute, multiplier), .units = units};

	id_sha256(name, strlen(name), b.name);
	return b;
}

/* How many of n single requests are admitted now. */
static int
take(const char *name, int64_t per_minute, int n, int64_t now_us)
{
	int admitted = 0;

	for (int i = 0; i < n; i++) {
		struct limit_bucket b =
		    bucket(name, per_minute, 2.0, GCRA_REQUEST);
		admitted += limit_table_take(table, &b, 1, now_us, false);
	}
	return admitted;
}

/* ---- arithmetic ---- */

START_TEST(test_rule)
{
	for (int64_t limit = 1; limit <= 100000; limit = limit * 3 + 1) {
		struct gcra_rule r = gcra_rule(limit, 2.0);
		/* Never faster than the limit. */
		ck_assert_int_ge(
		    r.interval_us * limit * GCRA_REQUEST, GCRA_MINUTE);
		ck_assert_int_lt(
		    (r.interval_us - 1) * limit * GCRA_REQUEST, GCRA_MINUTE);
		ck_assert_int_eq(r.burst, limit * 2 * GCRA_REQUEST);
	}
	ck_assert_int_eq(gcra_rule(3, 1.5).burst, 4 * GCRA_REQUEST);
	ck_assert_int_eq(gcra_rule(1, 1.0).burst, GCRA_REQUEST);
}
END_TEST

struct past {
	int64_t at, units;
};

/* By the definition: in no interval that ends now would there be more than a
 * burst and what the interval gave back. */
static bool
may(const struct gcra_rule *r, const struct past *past, size_t n, int64_t now,
    int64_t units)
{
	int64_t sum = units;

	if (sum > r->burst)
		return false;
	for (size_t i = n; i > 0; i--) {
		sum += past[i - 1].units;
		if (sum * r->interval_us >
		    r->burst * r->interval_us + now - past[i - 1].at)
			return false;
	}
	return true;
}

START_TEST(test_definition)
{
	enum { STEPS = 4000 };
	struct gcra_rule r = gcra_rule(7 * (_i + 1), 1.0 + _i);
	struct past *past = calloc(STEPS, sizeof(*past));
	unsigned int seed = (unsigned int)_i + 1;
	int64_t now = NOW, tat = 0;
	size_t n = 0, refused = 0;

	for (int i = 0; i < STEPS; i++) {
		int64_t units = 1 + rand_r(&seed) % (2 * GCRA_REQUEST);
		now += rand_r(&seed) % 8 == 0
		    ? rand_r(&seed) % (20 * r.interval_us)
		    : rand_r(&seed) % (3 * r.interval_us);
		int64_t debt = gcra_debt(&r, tat, now);
		bool is_admitted = gcra_admits(&r, debt, units);
		ck_assert_int_eq(is_admitted, may(&r, past, n, now, units));
		refused += !is_admitted;
		if (!is_admitted) {
			int64_t wait = gcra_wait(&r, debt, units);
			ck_assert_int_gt(wait, 0);
			ck_assert(may(&r, past, n, now + wait, units) ||
			    units > r.burst);
			ck_assert(!may(&r, past, n, now + wait - 1, units));
			continue;
		}
		tat = now + debt + units * r.interval_us;
		past[n++] = (struct past){now, units};
	}
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_gt(refused, 0);
	free(past);
}
END_TEST

/* ---- the table ---- */

START_TEST(test_burst)
{
	ck_assert_int_eq(take("a", 30, 100, NOW), 60);
	ck_assert_int_eq(take("b", 30, 100, NOW), 60);
	/* Two seconds give one back. */
	ck_assert_int_eq(take("a", 30, 100, NOW + 1999999), 0);
	ck_assert_int_eq(take("a", 30, 100, NOW + 2000000), 1);
	ck_assert_int_eq(take("a", 30, 100, NOW + 3600 * INT64_C(1000000)), 60);
}
END_TEST

START_TEST(test_all_or_nothing)
{
	struct limit_bucket b[3];

	ck_assert_int_eq(take("full", 1, 5, NOW), 2);
	for (int i = 0; i < 5; i++) {
		b[0] = bucket("x", 30, 2.0, GCRA_REQUEST);
		b[1] = bucket("full", 1, 2.0, GCRA_REQUEST);
		b[2] = bucket("y", 30, 2.0, GCRA_REQUEST);
		ck_assert(!limit_table_take(table, b, 3, NOW, false));
		ck_assert_int_eq(b[0].debt_us, 0);
		ck_assert_int_gt(b[1].debt_us, 0);
	}
	ck_assert_int_eq(take("x", 30, 100, NOW), 60);
	/* Looking costs nothing. */
	b[0] = bucket("y", 30, 2.0, 0);
	for (int i = 0; i < 100; i++)
		ck_assert(limit_table_take(table, b, 1, NOW, false));
	ck_assert_int_eq(take("y", 30, 100, NOW), 60);
}
END_TEST

/* What was admitted elsewhere empties the bucket, and no more than that. */
START_TEST(test_forced)
{
	for (int i = 0; i < 500; i++) {
		struct limit_bucket b = bucket("a", 30, 2.0, GCRA_REQUEST);
		ck_assert_int_eq(
		    limit_table_take(table, &b, 1, NOW, true), i < 60);
	}
	ck_assert_int_eq(take("a", 30, 100, NOW), 0);
	ck_assert_int_eq(take("a", 30, 100, NOW + 2000000), 1);
}
END_TEST

/* More names than there are places: the file stays as large as it was, and
 * each is still limited while it keeps its place. */
START_TEST(test_many_names)
{
	struct stat before, after;
	char name[32];

	ck_assert_int_eq(stat(path, &before), 0);
	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		ck_assert_int_eq(take(name, 1, 3, NOW + i), 2);
	}
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_eq(before.st_size, after.st_size);
}
END_TEST

/* ---- processes ---- */

enum { CHILDREN = 8, TRIES = 200 };

static void
child_runs(_Atomic(int) *admitted, bool is_endless)
{
	struct limit_table *mine = NULL;
	struct err_info info;

	if (limit_table_open(&mine, path, &info) != ERR_OK)
		_exit(1);
	for (int i = 0; is_endless || i < TRIES; i++) {
		struct limit_bucket b[2] = {
		    bucket("shared", 30, 2.0, GCRA_REQUEST),
		    bucket("also shared", 100000, 2.0, GCRA_REQUEST)};
		if (limit_table_take(mine, b, 2, NOW, false))
			atomic_fetch_add(admitted, 1);
	}
	_exit(0);
}

static void
run_children(_Atomic(int) *admitted, bool is_endless)
{
	pid_t pids[CHILDREN];
	int status;

	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			child_runs(admitted, is_endless);
	}
	if (is_endless)
		usleep(20000);
	for (int i = 0; i < CHILDREN; i++) {
		if (is_endless)
			kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		ck_assert(is_endless || status == 0);
	}
}

START_TEST(test_processes)
{
	_Atomic(int) *admitted = mmap(NULL, sizeof(*admitted),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	run_children(admitted, false);
	ck_assert_int_eq(atomic_load(admitted), 60);
	/* Killed at any instruction, they leave nothing locked. */
	for (int i = 0; i < 10; i++)
		run_children(admitted, true);
	ck_assert_int_eq(atomic_load(admitted), 60);
	ck_assert_int_eq(take("shared", 30, 10, NOW), 0);
	ck_assert_int_eq(take("other", 30, 100, NOW), 60);
	munmap(admitted, sizeof(*admitted));
}
END_TEST

/* What another start of the machine left means nothing. */
START_TEST(test_restart)
{
	struct err_info info;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(take("a", 30, 100, NOW), 60);
	limit_table_close(&table);
	ck_assert_int_eq(limit_table_open(&table, path, &info), ERR_OK);
	ck_assert_int_eq(take("a", 30, 100, NOW), 0);
	limit_table_close(&table);
	ck_assert_int_eq(pwrite(fd, "elsewhen", 9, 0), 9);
	close(fd);
	ck_assert_int_eq(limit_table_open(&table, path, &info), ERR_OK);
	ck_assert_int_eq(take("a", 30, 100, NOW), 60);
}
END_TEST

/* Those that are full again hold nothing. */
START_TEST(test_held)
{
	ck_assert_int_eq(limit_table_held(table, NOW), 0);
	take("a", 30, 100, NOW);
	take("b", 30, 1, NOW);
	take("b", 30, 1, NOW);
	ck_assert_int_eq(limit_table_held(table, NOW), 2);
	ck_assert_int_eq(limit_table_held(table, NOW + 5000000), 1);
	ck_assert_int_eq(limit_table_held(table, NOW + 121000000), 0);
}
END_TEST

START_TEST(test_no_file)
{
	struct err_info info = {0};

	limit_table_close(&table);
	ck_assert_int_eq(
	    limit_table_open(&table, "/dev/null/limits", &info), ERR_IO);
	ck_assert_ptr_nonnull(strstr(info.text, "/dev/null/limits"));
	ck_assert_int_eq(take("a", 30, 100, NOW), 60);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_rule);
	tcase_add_loop_test(t, test_definition, 0, 5);
	tcase_add_test(t, test_burst);
	tcase_add_test(t, test_all_or_nothing);
	tcase_add_test(t, test_forced);
	tcase_add_test(t, test_many_names);
	tcase_add_test(t, test_processes);
	tcase_add_test(t, test_restart);
	tcase_add_test(t, test_held);
	tcase_add_test(t, test_no_file);
}

int
main(void)
{
	return check_run("limit", add_tests);
}
