/* SPDX-License-Identifier: MIT
 *
 * The pool of one process over a driver that only counts.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "store/pool.h"
#include "tests/unit/check_run.h"

#define SIZE	   2
#define OVERFLOW   1
#define ALL	   (SIZE + OVERFLOW)
#define SOON_MS	   1
#define LONG_MS	   60000
#define MANY	   50
#define RECYCLE_MS 1800000

/* What the driver is told to do and has done. */
static struct {
	enum err open_result;
	bool is_dead;
	bool is_reader; /* the last */
	int64_t now_ms;
	int opened, closed, rolled_back;
} fake;

static int64_t
fake_now(void)
{
	return fake.now_ms;
}

static const struct db_driver fake_driver;

static enum err
fake_open(struct db **out, const struct db_options *o, struct err_info *info)
{
	if (fake.open_result != ERR_OK)
		return err_set(info, fake.open_result, "", "told to");
	*out = mem_zalloc(sizeof(**out));
	(*out)->driver = &fake_driver;
	fake.is_reader = o->is_reader;
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
	    .timeout_ms = SOON_MS,
	    .recycle_ms = RECYCLE_MS,
	    .now_ms = fake_now});
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

	ck_assert_int_eq(pool_get(pool, false, &db, NULL), ERR_OK);
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
	ck_assert_int_eq(pool_get(pool, false, &more, NULL), ERR_BUSY);
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
		ck_assert_int_eq(pool_get(pool, false, &db, &info), ERR_DOWN);
	fake.open_result = ERR_NOT_FOUND; /* a file that is gone */
	ck_assert_int_eq(pool_get(pool, false, &db, &info), ERR_DOWN);
	fake.open_result = ERR_OK;
	for (int i = 0; i < ALL; i++)
		held[i] = take();
	for (int i = 0; i < ALL; i++)
		pool_put(pool, &held[i]);
}
END_TEST

/* Not before its time, and all of them within a tenth of it. */
START_TEST(test_recycled)
{
	int64_t recycled = metric_read(METRIC_DB_POOL_RECYCLED);
	struct db *db = take();

	pool_put(pool, &db);
	fake.now_ms += RECYCLE_MS * 9 / 10 - 1;
	db = take();
	ck_assert_int_eq(fake.opened, 1);
	pool_put(pool, &db);
	fake.now_ms += RECYCLE_MS / 5 + 1;
	db = take();
	ck_assert_int_eq(fake.opened, 2);
	ck_assert_int_eq(fake.closed, 1);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_RECYCLED), recycled + 1);
	pool_put(pool, &db);
}
END_TEST

/* Connections of one moment do not end in one moment. */
START_TEST(test_recycle_jitter)
{
	struct db *first = take();
	int64_t replace_ms = first->replace_ms;
	bool differs = false;

	first->is_broken = true;
	pool_put(pool, &first);
	for (int i = 0; i < MANY; i++) {
		struct db *db = take();
		ck_assert_int_ge(db->replace_ms, RECYCLE_MS * 9 / 10);
		ck_assert_int_le(db->replace_ms, RECYCLE_MS * 11 / 10);
		differs = differs || db->replace_ms != replace_ms;
		db->is_broken = true;
		pool_put(pool, &db);
	}
	ck_assert(differs);
}
END_TEST

START_TEST(test_gauges)
{
	struct db *held[ALL];

	for (int i = 0; i < ALL; i++)
		held[i] = take();
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IN_USE), ALL);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IDLE), 0);
	for (int i = 0; i < ALL; i++)
		pool_put(pool, &held[i]);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IN_USE), 0);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IDLE), SIZE);
	pool_free(&pool);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IDLE), 0);
}
END_TEST

/* ---- threads in line ---- */

#define WAITERS 4

struct queued {
	struct pool *pool;
	pthread_t thread;
	struct db *db;
	int *place; /* how many came through before */
	int mine;
};

static void *
queued_run(void *arg)
{
	struct queued *q = arg;

	if (pool_get(q->pool, true, &q->db, NULL) == ERR_OK) {
		q->mine = (*q->place)++; /* with the only connection */
		pool_put(q->pool, &q->db);
	}
	return NULL;
}

static int64_t
waiting(struct pool *p)
{
	struct budget_use use;
	bool is_shared;

	pool_read(p, &is_shared, &use);
	ck_assert(!is_shared);
	return use.waiting;
}

START_TEST(test_order)
{
	struct queued q[WAITERS];
	struct pool *one = pool_new(&(struct pool_options){
	    .driver = &fake_driver, .size = 1, .timeout_ms = LONG_MS});
	struct db *held = NULL;
	int place = 0;

	ck_assert_int_eq(pool_get(one, true, &held, NULL), ERR_OK);
	for (int i = 0; i < WAITERS; i++) {
		q[i] =
		    (struct queued){.pool = one, .place = &place, .mine = -1};
		ck_assert_int_eq(
		    pthread_create(&q[i].thread, NULL, queued_run, &q[i]), 0);
		while (waiting(one) != i + 1)
			sched_yield();
		ck_assert_int_eq(metric_read(METRIC_DB_POOL_WAITING), i + 1);
	}
	pool_put(one, &held);
	for (int i = 0; i < WAITERS; i++) {
		pthread_join(q[i].thread, NULL);
		ck_assert_int_eq(q[i].mine, i);
	}
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_WAITING), 0);
	ck_assert_int_eq(fake.opened, 1); /* handed on, not closed */
	pool_free(&one);
}
END_TEST

static void *
busy_run(void *arg)
{
	struct pool *p = arg;

	for (int i = 0; i < MANY; i++) {
		struct db *db = NULL;
		ck_assert_int_eq(pool_get(p, false, &db, NULL), ERR_OK);
		pool_put(p, &db);
	}
	return NULL;
}

/* Nobody sleeps beside a free connection. */
START_TEST(test_crowd)
{
	pthread_t threads[WAITERS];
	struct pool *one = pool_new(&(struct pool_options){
	    .driver = &fake_driver, .size = 1, .timeout_ms = LONG_MS});

	for (int i = 0; i < WAITERS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, busy_run, one), 0);
	for (int i = 0; i < WAITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(waiting(one), 0);
	pool_free(&one);
}
END_TEST

START_TEST(test_timeout_leaves_the_line)
{
	int64_t timeouts = metric_read(METRIC_DB_POOL_TIMEOUTS);
	struct db *held[ALL];
	struct db *more = NULL;

	for (int i = 0; i < ALL; i++)
		held[i] = take();
	ck_assert_int_eq(pool_get(pool, false, &more, NULL), ERR_BUSY);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_TIMEOUTS), timeouts + 1);
	ck_assert_int_eq(waiting(pool), 0);
	pool_put(pool, &held[0]);
	held[0] = take();
	for (int i = 0; i < ALL; i++)
		pool_put(pool, &held[i]);
}
END_TEST

/* ---- one writer, some readers ---- */

START_TEST(test_single_writer)
{
	struct db_driver driver = fake_driver;
	struct db *readers[POOL_READERS_MAX];
	struct db *writer = NULL;
	struct db *more = NULL;

	driver.is_single_writer = true;
	struct pool *p = pool_new(&(struct pool_options){.driver = &driver,
	    .db = {.timeout_ms = SOON_MS},
	    .size = MANY,
	    .overflow = MANY,
	    .timeout_ms = SOON_MS});
	ck_assert_int_eq(pool_get(p, true, &writer, NULL), ERR_OK);
	ck_assert(!fake.is_reader);
	ck_assert_int_eq(pool_get(p, true, &more, NULL), ERR_BUSY);
	for (int i = 0; i < POOL_READERS_MAX; i++) {
		ck_assert_int_eq(pool_get(p, false, &readers[i], NULL), ERR_OK);
		ck_assert(fake.is_reader);
	}
	ck_assert_int_eq(pool_get(p, false, &more, NULL), ERR_BUSY);
	ck_assert_int_eq(fake.opened, POOL_READERS_MAX + 1);

	/* What reads never comes back as what writes. */
	struct db *first = writer;
	pool_put(p, &writer);
	pool_put(p, &readers[0]);
	ck_assert_int_eq(pool_get(p, true, &writer, NULL), ERR_OK);
	ck_assert_ptr_eq(writer, first);
	pool_put(p, &writer);
	for (int i = 1; i < POOL_READERS_MAX; i++)
		pool_put(p, &readers[i]);
	ck_assert_int_eq(fake.closed, 0);
	pool_free(&p);
}
END_TEST

/* ---- the name of a database ---- */

static void
same(const char *one, const char *other, bool is_same)
{
	char *a = db_pgsql.identify(one);
	char *b = db_pgsql.identify(other);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_int_eq(strcmp(a, b) == 0, is_same);
	ck_assert_ptr_null(strstr(a, "secret"));
	free(a);
	free(b);
}

START_TEST(test_identify)
{
	static const char url[] = "postgresql://me:secret@here:5433/db";

	same(url, "postgresql://you:other@here:5433/db", true);
	same(url, "postgres://here:5433/db?password=secret", true);
	same(url, "host=here port=5433 dbname=db user=you", true);
	same(url, "postgresql://me:secret@there:5433/db", false);
	same(url, "postgresql://me:secret@here:5432/db", false);
	same(url, "postgresql://me:secret@here:5433/other", false);
	same("postgresql://one@here", "postgresql://two@here", false);
	ck_assert_ptr_null(db_pgsql.identify("postgresql://["));
	ck_assert_ptr_null(db_sqlite.identify);
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
	tcase_add_test(t, test_recycled);
	tcase_add_test(t, test_recycle_jitter);
	tcase_add_test(t, test_gauges);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_crowd);
	tcase_add_test(t, test_timeout_leaves_the_line);
	tcase_add_test(t, test_single_writer);
	tcase_add_test(t, test_identify);
}

int
main(void)
{
	return check_run("store pool", add_tests);
}
