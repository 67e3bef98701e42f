/* SPDX-License-Identifier: MIT
 *
 * The pool over a driver that only counts, and the gate in front of it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/gate.h"
#include "store/pool.h"
#include "tests/unit/check_run.h"

#define SIZE	 2
#define OVERFLOW 1
#define ALL	 (SIZE + OVERFLOW)
#define SOON_MS	 1
#define LONG_MS	 60000

/* What the driver is told to do and has done. */
static struct {
	enum err open_result;
	bool is_dead;
	int opened, closed, rolled_back;
} fake;

static const struct db_driver fake_driver;

static enum err
fake_open(
    struct db **out, const struct db_options *o UNUSED, struct err_info *info)
{
	if (fake.open_result != ERR_OK)
		return err_set(info, fake.open_result, "", "told to");
	*out = mem_zalloc(sizeof(**out));
	(*out)->driver = &fake_driver;
	fake.opened++;
	return ERR_OK;
}

static void
fake_close(struct db *db)
{
	fake.closed++;
	free(db);
}

static bool
fake_is_dead(struct db *db UNUSED)
{
	return fake.is_dead;
}

static void
fake_rollback(struct db *db UNUSED)
{
	fake.rolled_back++;
}

static const struct db_driver fake_driver = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .is_dead = fake_is_dead,
    .rollback = fake_rollback,
};

static struct pool *pool;

static void
setup(void)
{
	pool = pool_new(&(struct pool_options){.driver = &fake_driver,
	    .size = SIZE,
	    .overflow = OVERFLOW,
	    .timeout_ms = SOON_MS});
}

static void
teardown(void)
{
	pool_free(&pool);
	ck_assert_int_eq(fake.closed, fake.opened);
}

static struct db *
take(void)
{
	struct db *db = NULL;

	ck_assert_int_eq(pool_get(pool, &db, NULL), ERR_OK);
	ck_assert_ptr_nonnull(db);
	return db;
}

START_TEST(test_kept)
{
	struct db *first = take();
	struct db *same = first;

	pool_put(pool, &first);
	ck_assert_ptr_null(first);
	ck_assert_int_eq(fake.rolled_back, 1);
	first = take();
	ck_assert_ptr_eq(first, same);
	ck_assert_int_eq(fake.opened, 1);
	pool_put(pool, &first);
}
END_TEST

START_TEST(test_overflow)
{
	struct db *held[ALL];
	struct db *more = NULL;

	for (int i = 0; i < ALL; i++)
		held[i] = take();
	ck_assert_int_eq(pool_get(pool, &more, NULL), ERR_BUSY);
	ck_assert_int_eq(fake.opened, ALL);
	for (int i = 0; i < ALL; i++)
		pool_put(pool, &held[i]);
	ck_assert_int_eq(fake.closed, OVERFLOW);
}
END_TEST

START_TEST(test_broken)
{
	struct db *db = take();

	db->is_broken = true;
	pool_put(pool, &db);
	ck_assert_int_eq(fake.closed, 1);
	ck_assert_int_eq(fake.rolled_back, 0); /* nobody to talk to */
	db = take();
	ck_assert_int_eq(fake.opened, 2);
	pool_put(pool, &db);
}
END_TEST

START_TEST(test_dead_when_idle)
{
	struct db *db = take();

	pool_put(pool, &db);
	fake.is_dead = true;
	db = take();
	ck_assert_int_eq(fake.closed, 1);
	ck_assert_int_eq(fake.opened, 2);
	fake.is_dead = false;
	pool_put(pool, &db);
}
END_TEST

/* A connection that cannot be made costs no permit. */
START_TEST(test_open_fails)
{
	struct db *held[ALL];
	struct db *db = NULL;
	struct err_info info;

	fake.open_result = ERR_DOWN;
	for (int i = 0; i < 2 * ALL; i++)
		ck_assert_int_eq(pool_get(pool, &db, &info), ERR_DOWN);
	fake.open_result = ERR_NOT_FOUND; /* a file that is gone */
	ck_assert_int_eq(pool_get(pool, &db, &info), ERR_DOWN);
	fake.open_result = ERR_OK;
	for (int i = 0; i < ALL; i++)
		held[i] = take();
	for (int i = 0; i < ALL; i++)
		pool_put(pool, &held[i]);
}
END_TEST

/* ---- the gate ---- */

#define WAITERS 4

struct queued {
	struct gate *gate;
	pthread_t thread;
	int *place; /* how many came through before */
	int mine;
};

static void *
queued_run(void *arg)
{
	struct queued *q = arg;

	if (gate_enter(q->gate, LONG_MS)) {
		q->mine = (*q->place)++; /* under the only permit */
		gate_leave(q->gate);
	}
	return NULL;
}

static size_t
waiting(struct gate *g)
{
	size_t n = 0;

	pthread_mutex_lock(&g->lock);
	list_for_each (it, &g->waiters)
		n++;
	pthread_mutex_unlock(&g->lock);
	return n;
}

START_TEST(test_gate_order)
{
	struct queued q[WAITERS];
	struct gate gate;
	int place = 0;

	gate_init(&gate, 1);
	ck_assert(gate_enter(&gate, SOON_MS));
	for (size_t i = 0; i < WAITERS; i++) {
		q[i] =
		    (struct queued){.gate = &gate, .place = &place, .mine = -1};
		ck_assert_int_eq(
		    pthread_create(&q[i].thread, NULL, queued_run, &q[i]), 0);
		while (waiting(&gate) != i + 1)
			sched_yield();
	}
	gate_leave(&gate);
	for (int i = 0; i < WAITERS; i++) {
		pthread_join(q[i].thread, NULL);
		ck_assert_int_eq(q[i].mine, i);
	}
	gate_release(&gate);
}
END_TEST

START_TEST(test_gate_timeout)
{
	struct gate gate;

	gate_init(&gate, 1);
	ck_assert(gate_enter(&gate, 0));
	ck_assert(!gate_enter(&gate, 0));
	ck_assert(!gate_enter(&gate, SOON_MS));
	ck_assert_uint_eq(waiting(&gate), 0);
	gate_leave(&gate);
	ck_assert(gate_enter(&gate, 0));
	gate_leave(&gate);
	gate_release(&gate);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_kept);
	tcase_add_test(t, test_overflow);
	tcase_add_test(t, test_broken);
	tcase_add_test(t, test_dead_when_idle);
	tcase_add_test(t, test_open_fails);
	tcase_add_test(t, test_gate_order);
	tcase_add_test(t, test_gate_timeout);
}

int
main(void)
{
	return check_run("store pool", add_tests);
}
