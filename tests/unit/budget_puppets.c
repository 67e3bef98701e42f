/* SPDX-License-Identifier: MIT
 *
 * The puppets.
 */
#include "tests/unit/budget_puppets.h"

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/budget_file.h"

struct board *board;
struct puppet puppets[PUPPETS];

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

struct pool *
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

void
give_nothing(void *arg UNUSED)
{
}

struct budget *
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
void
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

void
tell(int i, enum word word)
{
	char c = (char)word;

	ck_assert_int_eq(write(puppets[i].to, &c, 1), 1);
}

enum word
answer(int i)
{
	char c = 0;

	ck_assert_int_eq(read(puppets[i].from, &c, 1), 1);
	return (enum word)c;
}

void
say(int i, enum word word)
{
	tell(i, word);
	ck_assert_int_eq(answer(i), WORD_YES);
}

void
murder(int i)
{
	ck_assert_int_eq(kill(puppets[i].pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(puppets[i].pid, NULL, 0), puppets[i].pid);
	puppets[i].pid = 0;
}

void
puppets_setup(void)
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

void
puppets_teardown(void)
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
