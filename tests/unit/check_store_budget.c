/* SPDX-License-Identifier: MIT
 *
 * The connection budget of several processes: never more permits than it has,
 * in order, whoever is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "store/budget.h"
#include "store/pool.h"
#include "tests/unit/budget_puppets.h"
#include "tests/unit/check_run.h"

#define KILLS 20

static struct budget_use
use_of(struct budget *b)
{
	struct budget_use use;

	budget_read(b, &use);
	return use;
}

static void
until_waiting(struct budget *b, int64_t n)
{
	while (use_of(b).waiting != n)
		sched_yield();
}

/* ---- the lock ---- */

START_TEST(test_lock)
{
	for (int i = 0; i < PUPPETS; i++)
		tell(i, WORD_COUNT);
	for (int i = 0; i < PUPPETS; i++)
		ck_assert_int_eq(answer(i), WORD_YES);
	ck_assert_int_eq(board->count, PUPPETS * ROUNDS);
}
END_TEST

/* ---- permits ---- */

START_TEST(test_bound)
{
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_OPEN);
	for (int i = 0; i < PUPPETS; i++)
		tell(i, WORD_STORM);
	for (int i = 0; i < PUPPETS; i++)
		ck_assert_int_eq(answer(i), WORD_YES);
	ck_assert_int_eq(board->turns, PUPPETS * ROUNDS);
	ck_assert_int_le(board->most, LIMIT);
	ck_assert_int_eq(board->now, 0);
}
END_TEST

/* All permits are out: nobody gets one, and somebody does once one is back. */
START_TEST(test_shared)
{
	for (int i = 0; i <= LIMIT; i++)
		say(i, WORD_OPEN);
	for (int i = 0; i < LIMIT; i++)
		say(i, WORD_ENTER);
	tell(LIMIT, WORD_TRY);
	ck_assert_int_eq(answer(LIMIT), WORD_NO);
	say(0, WORD_LEAVE);
	say(LIMIT, WORD_TRY);
}
END_TEST

START_TEST(test_order)
{
	struct budget *b;

	board->limit = 1;
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_OPEN);
	b = budget_here(1);
	say(0, WORD_ENTER);
	/* Not in the order of their slots. */
	static const int line[] = {3, 1, 4, 2};
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		tell(line[i], WORD_ENTER);
		until_waiting(b, (int64_t)i + 1);
	}
	say(0, WORD_LEAVE);
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		ck_assert_int_eq(answer(line[i]), WORD_YES);
		ck_assert_int_eq(
		    use_of(b).waiting, (int64_t)(ARRAY_LEN(line) - i) - 1);
		say(line[i], WORD_LEAVE);
	}
	budget_close(&b);
}
END_TEST

/* Who comes later does not pass those in line, even for a moment. */
START_TEST(test_no_passing)
{
	board->limit = 1;
	for (int i = 0; i < 3; i++)
		say(i, WORD_OPEN);
	struct budget *b = budget_here(1);
	say(0, WORD_ENTER);
	tell(1, WORD_ENTER);
	until_waiting(b, 1);
	tell(2, WORD_TRY);
	ck_assert_int_eq(answer(2), WORD_NO);
	say(0, WORD_LEAVE);
	ck_assert_int_eq(answer(1), WORD_YES);
	say(1, WORD_LEAVE);
	say(2, WORD_TRY);
	budget_close(&b);
}
END_TEST

/* Each keeps to its own limit, and one whose limit is reached does not stand
 * in the way of others. */
START_TEST(test_two_limits)
{
	board->limit = 1;
	say(0, WORD_OPEN);
	board->limit = 2;
	say(1, WORD_OPEN);
	say(2, WORD_OPEN);
	struct budget *b = budget_here(2);
	say(1, WORD_ENTER);
	tell(0, WORD_ENTER);
	until_waiting(b, 1);
	say(2, WORD_ENTER);
	ck_assert_int_eq(use_of(b).taken, 2);
	say(2, WORD_LEAVE);
	ck_assert_int_eq(use_of(b).waiting, 1);
	say(1, WORD_LEAVE);
	ck_assert_int_eq(answer(0), WORD_YES);
	budget_close(&b);
}
END_TEST

/* ---- the killed ---- */

START_TEST(test_killed_holder)
{
	void *gift;

	for (int i = 0; i < LIMIT; i++) {
		say(i, WORD_OPEN);
		say(i, WORD_ENTER);
	}
	struct budget *b = budget_here(LIMIT);
	ck_assert_int_eq(budget_enter(b, SOON_MS, &gift), ERR_BUSY);
	murder(1);
	/* At once: not after the next look. */
	ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_OK);
	ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_BUSY);
	ck_assert_int_eq(use_of(b).taken, LIMIT);
	budget_leave(b);
	budget_close(&b);
}
END_TEST

/* Nobody leaves and nobody comes: those in line find out by themselves. */
START_TEST(test_killed_holder_of_a_line)
{
	board->limit = 1;
	for (int i = 0; i < 3; i++)
		say(i, WORD_OPEN);
	struct budget *b = budget_here(1);
	say(0, WORD_ENTER);
	tell(1, WORD_ENTER);
	until_waiting(b, 1);
	tell(2, WORD_ENTER);
	until_waiting(b, 2);
	murder(0);
	ck_assert_int_eq(answer(1), WORD_YES);
	murder(1);
	ck_assert_int_eq(answer(2), WORD_YES);
	budget_close(&b);
}
END_TEST

START_TEST(test_killed_waiter)
{
	board->limit = 1;
	for (int i = 0; i < 4; i++)
		say(i, WORD_OPEN);
	struct budget *b = budget_here(1);
	say(0, WORD_ENTER);
	for (int i = 1; i < 4; i++) {
		tell(i, WORD_ENTER);
		until_waiting(b, i);
	}
	murder(1);
	murder(2);
	say(0, WORD_LEAVE);
	ck_assert_int_eq(answer(3), WORD_YES);
	ck_assert_int_eq(use_of(b).waiting, 0);
	ck_assert_int_eq(use_of(b).taken, 1);
	ck_assert_int_eq(use_of(b).processes, 3);
	budget_close(&b);
}
END_TEST

/* At any instruction, the lock held or not. */
START_TEST(test_killed_anywhere)
{
	void *gift;

	board->limit = 2;
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_OPEN);
	for (int i = 0; i < PUPPETS; i++)
		tell(i, WORD_MILL);
	for (int n = 0; n < KILLS; n++) {
		uint16_t pause;
		id_random(&pause, sizeof(pause));
		usleep(pause % 4000);
		murder(n % PUPPETS);
		close(puppets[n % PUPPETS].to);
		close(puppets[n % PUPPETS].from);
		puppet_make(&puppets[n % PUPPETS]);
		say(n % PUPPETS, WORD_OPEN);
		tell(n % PUPPETS, WORD_MILL);
	}
	for (int i = 0; i < PUPPETS; i++)
		murder(i);
	struct budget *b = budget_here(2);
	ck_assert_int_eq(use_of(b).taken, 0);
	ck_assert_int_eq(use_of(b).waiting, 0);
	ck_assert_int_eq(use_of(b).processes, 1);
	ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_OK);
	ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_OK);
	ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_BUSY);
	budget_leave(b);
	budget_leave(b);
	budget_close(&b);
}
END_TEST

/* ---- the file ---- */

static void
scribble(const char *path, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(write(fd, "\xff", 1), 1);
	close(fd);
}

/* What a crash of the machine left is nobody's state. */
START_TEST(test_old_file)
{
	void *gift;
	struct stat st;

	say(0, WORD_OPEN);
	say(0, WORD_ENTER);
	ck_assert_int_eq(stat(board->path, &st), 0);
	murder(0);
	static const off_t change[] = {0, -1, 1};
	for (size_t i = 0; i < ARRAY_LEN(change); i++) {
		scribble(board->path, (size_t)(st.st_size + change[i]));
		struct budget *b = budget_here(1);
		ck_assert_ptr_nonnull(b);
		ck_assert_int_eq(use_of(b).taken, 0);
		ck_assert_int_eq(use_of(b).waiting, 0);
		ck_assert_int_eq(budget_enter(b, 0, &gift), ERR_OK);
		budget_leave(b);
		budget_close(&b);
	}
}
END_TEST

START_TEST(test_no_file)
{
	struct budget_options o = {
	    .path = "missing-folder/permits", .limit = 1, .give = give_nothing};
	struct err_info info = {0};
	struct budget *b = NULL;

	ck_assert_int_eq(budget_open(&b, &o, &info), ERR_IO);
	ck_assert_str_eq(info.field, "ARAGORA_DATA_DIR");
	ck_assert_ptr_nonnull(strstr(info.text, strerror(ENOENT)));
	ck_assert_ptr_null(b);
}
END_TEST

/* ---- pools of several processes ---- */

START_TEST(test_pool_file)
{
	struct budget_use use;
	bool is_shared;
	char path[128], hash[ID_HASH_SIZE];
	struct stat st;

	board->size = 1;
	struct pool *p = counting_pool(board->folder, "secret");
	pool_read(p, &is_shared, &use);
	ck_assert(is_shared);
	id_sha256("secret", strlen("secret"), hash);
	snprintf(path, sizeof(path), "%s/db-pool-1-%.16s", board->folder, hash);
	ck_assert_int_eq(stat(path, &st), 0);

	/* Another database has a budget of its own. */
	struct pool *other = counting_pool(board->folder, "other");
	struct db *one = NULL;
	struct db *two = NULL;
	ck_assert_int_eq(pool_get(p, false, &one, NULL), ERR_OK);
	ck_assert_int_eq(pool_get(other, false, &two, NULL), ERR_OK);
	pool_put(p, &one);
	pool_put(other, &two);
	pool_free(&other);
	pool_free(&p);
}
END_TEST

/* Where nothing can be shared each process still has a budget. */
START_TEST(test_pool_no_file)
{
	struct budget_use use;
	bool is_shared;
	struct db *db = NULL;

	board->size = 1;
	scribble(board->path, 1);
	struct pool *p = counting_pool(board->path, "one");
	pool_read(p, &is_shared, &use);
	ck_assert(!is_shared);
	ck_assert_int_eq(pool_get(p, false, &db, NULL), ERR_OK);
	pool_put(p, &db);
	pool_free(&p);
}
END_TEST

/* An idle connection in one process is no reason to wait in another. */
START_TEST(test_pool_idle)
{
	board->size = 1;
	for (int i = 0; i < 2; i++)
		say(i, WORD_POOL);
	for (int i = 0; i < ROUNDS; i++) {
		say(i % 2, WORD_GET);
		say(i % 2, WORD_PUT);
	}
	ck_assert_int_eq(board->most, 1);
	ck_assert_int_eq(board->now, 1); /* kept by the last */
	ck_assert_int_eq(board->opened, ROUNDS);
}
END_TEST

/* One that is asked for its idle connection and does not listen. */
START_TEST(test_pool_idle_stopped)
{
	board->size = 2;
	for (int i = 0; i < 3; i++) {
		say(i, WORD_POOL);
	}
	for (int i = 0; i < 2; i++)
		say(i, WORD_GET);
	for (int i = 0; i < 2; i++)
		say(i, WORD_PUT);
	ck_assert_int_eq(board->now, 2);
	ck_assert_int_eq(kill(puppets[0].pid, SIGSTOP), 0);
	say(2, WORD_GET);
	ck_assert_int_eq(board->most, 2);
	ck_assert_int_eq(kill(puppets[0].pid, SIGCONT), 0);
}
END_TEST

/* Size counts for all: idle connections do not add up either. */
START_TEST(test_pool_overflow)
{
	board->size = 1;
	board->overflow = PUPPETS - 1;
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_POOL);
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_GET);
	ck_assert_int_eq(board->now, PUPPETS);
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_PUT);
	ck_assert_int_eq(board->now, 1);
}
END_TEST

START_TEST(test_pool_bound)
{
	board->size = 1;
	board->overflow = 1;
	for (int i = 0; i < PUPPETS; i++)
		say(i, WORD_POOL);
	for (int i = 0; i < PUPPETS; i++)
		tell(i, WORD_STORM_POOL);
	for (int i = 0; i < PUPPETS; i++)
		ck_assert_int_eq(answer(i), WORD_YES);
	ck_assert_int_eq(board->turns, PUPPETS * ROUNDS);
	ck_assert_int_le(board->most, 2);
	ck_assert_int_le(board->now, 1);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, puppets_setup, puppets_teardown);
	tcase_add_test(t, test_lock);
	tcase_add_test(t, test_bound);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_no_passing);
	tcase_add_test(t, test_two_limits);
	tcase_add_test(t, test_killed_holder);
	tcase_add_test(t, test_killed_holder_of_a_line);
	tcase_add_test(t, test_killed_waiter);
	tcase_add_test(t, test_killed_anywhere);
	tcase_add_test(t, test_old_file);
	tcase_add_test(t, test_no_file);
	tcase_add_test(t, test_pool_file);
	tcase_add_test(t, test_pool_no_file);
	tcase_add_test(t, test_pool_idle);
	tcase_add_test(t, test_pool_idle_stopped);
	tcase_add_test(t, test_pool_overflow);
	tcase_add_test(t, test_pool_bound);
}

int
main(void)
{
	return check_run("store budget", add_tests);
}
