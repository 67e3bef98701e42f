/* SPDX-License-Identifier: MIT
 *
 * The connection budget of several processes: never more permits than it has,
 * in order, whoever is killed. The processes are puppets that do one thing for
 * each letter they are sent and answer it with one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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
#include "base/mem.h"
#include "store/budget.h"
#include "store/budget_file.h"
#include "store/pool.h"
#include "tests/unit/check_run.h"

#define LIMIT	3
#define PUPPETS 5
#define ROUNDS	200
#define KILLS	20
#define SOON_MS 1
#define LONG_MS 60000

enum word {
	WORD_OPEN = 'o', /* the budget */
	WORD_ENTER = 'e',
	WORD_TRY = 't', /* to enter, for SOON_MS */
	WORD_LEAVE = 'l',
	WORD_STORM = 's', /* enter and leave, ROUNDS times */
	WORD_MILL = 'm',  /* the same for ever */
	WORD_POOL = 'p',  /* open a pool */
	WORD_GET = 'g',	  /* from the pool */
	WORD_PUT = 'b',	  /* back */
	WORD_STORM_POOL = 'S',
	WORD_COUNT = 'c', /* with the lock of the file, ROUNDS times */
	WORD_YES = 'y',
	WORD_NO = 'n',
};

/* Seen by all. */
static struct {
	char folder[32], path[64];
	_Atomic(int64_t) limit, size, overflow;
	_Atomic(int64_t) now, most; /* permits or connections out */
	_Atomic(int64_t) opened;
	_Atomic(int64_t) turns;
	volatile int64_t count; /* for one at a time */
} * board;

static struct puppet {
	pid_t pid;
	int to, from;
} puppets[PUPPETS];

static void
board_in(void)
{
	int64_t now = atomic_fetch_add(&board->now, 1) + 1;
	int64_t most = atomic_load(&board->most);

	while (now > most &&
	    !atomic_compare_exchange_weak(&board->most, &most, now))
		;
}

static void
board_out(void)
{
	atomic_fetch_sub(&board->now, 1);
}

/* ---- a driver whose connections are counted over all processes ---- */

static const struct db_driver counting_driver;

static enum err
counting_open(struct db **out, const struct db_options *o UNUSED,
    struct err_info *info UNUSED)
{
	board_in();
	atomic_fetch_add(&board->opened, 1);
	*out = mem_zalloc(sizeof(**out));
	(*out)->driver = &counting_driver;
	return ERR_OK;
}

static void
counting_close(struct db *db)
{
	board_out();
	free(db);
}

static bool
counting_is_dead(struct db *db UNUSED)
{
	return false;
}

static void
counting_rollback(struct db *db UNUSED)
{
}

static char *
counting_identify(const char *target)
{
	return mem_strdup(target);
}

static const struct db_driver counting_driver = {
    .name = "counting",
    .open = counting_open,
    .close = counting_close,
    .is_dead = counting_is_dead,
    .rollback = counting_rollback,
    .identify = counting_identify,
};

static struct pool *
counting_pool(const char *folder, const char *target)
{
	return pool_new(&(struct pool_options){.driver = &counting_driver,
	    .db = {.target = target},
	    .folder = folder,
	    .size = board->size,
	    .overflow = board->overflow,
	    .timeout_ms = LONG_MS});
}

/* ---- the puppets ---- */

static void
give_nothing(void *arg UNUSED)
{
}

static struct budget *
budget_here(int64_t limit)
{
	struct budget *b = NULL;

	if (budget_open(&b,
		&(struct budget_options){
		    .path = board->path, .limit = limit, .give = give_nothing},
		NULL) != ERR_OK)
		return NULL;
	return b;
}

static bool
puppet_storm(struct budget *b)
{
	void *gift;

	for (int i = 0; i < ROUNDS; i++) {
		if (budget_enter(b, LONG_MS, &gift) != ERR_OK)
			return false;
		board_in();
		sched_yield();
		board_out();
		budget_leave(b);
		atomic_fetch_add(&board->turns, 1);
	}
	return true;
}

static bool
puppet_count(void)
{
	struct budget_file f;

	if (budget_file_open(&f, board->path, NULL) != ERR_OK)
		return false;
	for (int i = 0; i < ROUNDS; i++) {
		budget_file_lock(&f);
		int64_t count = board->count;
		sched_yield();
		board->count = count + 1;
		budget_file_unlock(&f);
	}
	budget_file_close(&f);
	return true;
}

static bool
puppet_storm_pool(struct pool *p)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct db *db = NULL;
		if (pool_get(p, false, &db, NULL) != ERR_OK)
			return false;
		sched_yield();
		pool_put(p, &db);
		atomic_fetch_add(&board->turns, 1);
	}
	return true;
}

static bool
puppet_do(enum word word, struct budget **b, struct pool **p, struct db **db)
{
	void *gift;

	switch (word) {
	case WORD_OPEN:
		*b = budget_here(board->limit);
		return *b != NULL;
	case WORD_ENTER:
		return budget_enter(*b, LONG_MS, &gift) == ERR_OK;
	case WORD_TRY:
		return budget_enter(*b, SOON_MS, &gift) == ERR_OK;
	case WORD_LEAVE:
		budget_leave(*b);
		return true;
	case WORD_STORM:
		return puppet_storm(*b);
	case WORD_MILL:
		while (budget_enter(*b, LONG_MS, &gift) == ERR_OK)
			budget_leave(*b);
		return false;
	case WORD_POOL:
		*p = counting_pool(board->folder, "one");
		return true;
	case WORD_GET:
		return pool_get(*p, false, db, NULL) == ERR_OK;
	case WORD_PUT:
		pool_put(*p, db);
		return true;
	case WORD_STORM_POOL:
		return puppet_storm_pool(*p);
	case WORD_COUNT:
		return puppet_count();
	case WORD_YES:
	case WORD_NO:
		break;
	}
	return false;
}

static void NORETURN
puppet_live(int in, int out)
{
	struct budget *b = NULL;
	struct pool *p = NULL;
	struct db *db = NULL;
	char word;

	while (read(in, &word, 1) == 1) {
		word = puppet_do((enum word)word, &b, &p, &db) ? WORD_YES
							       : WORD_NO;
		if (write(out, &word, 1) != 1)
			break;
	}
	_exit(0);
}

/* Before this process has threads. */
static void
puppet_make(struct puppet *p)
{
	int to[2], from[2];

	ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
	p->pid = fork();
	ck_assert_int_ge(p->pid, 0);
	if (p->pid == 0) {
		for (struct puppet *o = puppets; o < p; o++) {
			close(o->to);
			close(o->from);
		}
		close(to[1]);
		close(from[0]);
		puppet_live(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	p->to = to[1];
	p->from = from[0];
}

static void
tell(int i, enum word word)
{
	char c = (char)word;

	ck_assert_int_eq(write(puppets[i].to, &c, 1), 1);
}

static enum word
answer(int i)
{
	char c = 0;

	ck_assert_int_eq(read(puppets[i].from, &c, 1), 1);
	return (enum word)c;
}

static void
say(int i, enum word word)
{
	tell(i, word);
	ck_assert_int_eq(answer(i), WORD_YES);
}

static void
murder(int i)
{
	ck_assert_int_eq(kill(puppets[i].pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(puppets[i].pid, NULL, 0), puppets[i].pid);
	puppets[i].pid = 0;
}

static void
setup(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(board, MAP_FAILED);
	snprintf(board->folder, sizeof(board->folder), "budget-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(board->folder));
	snprintf(board->path, sizeof(board->path), "%s/permits", board->folder);
	board->limit = LIMIT;
	for (int i = 0; i < PUPPETS; i++)
		puppet_make(&puppets[i]);
}

static void
teardown(void)
{
	char command[128];

	for (int i = 0; i < PUPPETS; i++) {
		if (puppets[i].pid != 0)
			murder(i);
		close(puppets[i].to);
		close(puppets[i].from);
	}
	snprintf(command, sizeof(command), "rm -rf %s", board->folder);
	ck_assert_int_eq(system(command), 0);
	munmap(board, sizeof(*board));
}

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
	tcase_add_checked_fixture(t, setup, teardown);
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
