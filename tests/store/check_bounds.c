/* SPDX-License-Identifier: MIT
 *
 * max_parallel: of a batch so many debates run at once and no more, whoever
 * claims them and whatever becomes of those that run; and nobody else waits
 * for it.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/str.h"
#include "store/store_batch.h"
#include "tests/store/store_kit.h"

#define BOUND_QUEUE  1000
#define BOUND_ITEMS  8
#define BOUND_RACE   60
#define BOUND_CLAIM  100
#define BOUND_TENANT "many"

/* n debates "<id>-0".. of which at most max_parallel run at once. */
static void
bound_create(const char *tenant, const char *id, size_t n, int64_t max_parallel)
{
	struct store_debate *rows =
	    ARENA_ARRAY(kit.arena, n, struct store_debate);
	const char **items = ARENA_ARRAY(kit.arena, n, const char *);
	const struct store_batch b = {.id = id,
	    .tenant = tenant,
	    .metadata = "{}",
	    .max_parallel = max_parallel};
	struct err_info info = {0};
	size_t at;

	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct store_debate){
		    .id = arena_printf(kit.arena, "%s-%zu", id, i),
		    .tenant = tenant,
		    .task = "t",
		    .config = "{}"};
		items[i] = arena_printf(kit.arena, "item_%zu", i);
	}
	ck_assert_int_eq(store_batch_create(kit.store, kit.arena, &b, rows,
			     items, n, BOUND_QUEUE, &at, &info),
	    ERR_OK);
}

static size_t
bound_claim(int64_t lease_us, struct store_debate **rows)
{
	size_t n;

	ck_assert_int_eq(store_claim(kit.store, kit.arena, "r", lease_us,
			     BOUND_CLAIM, rows, &n),
	    ERR_OK);
	return n;
}

static int64_t
bound_running(struct arena *a, const char *tenant, const char *id)
{
	struct store_batch b;

	ck_assert_int_eq(store_batch_get(kit.store, a, tenant, id, &b), ERR_OK);
	return b.sums.running;
}

static int64_t
bound_place(const char *tenant, const char *id)
{
	int64_t position;

	ck_assert_int_eq(
	    store_debate_queue_position(kit.store, tenant, id, &position),
	    ERR_OK);
	return position;
}

/* Each that ends makes room for one, however many are asked for. */
START_TEST(test_bound)
{
	struct store_debate *running, *next;
	size_t done = 0;

	bound_create(STORE_TENANT_DEFAULT, "b", BOUND_ITEMS, 3);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &running), 3);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &next), 0);
	for (size_t n = 3; n > 0; running = next) {
		size_t got = 0;
		for (size_t i = 0; i < n; i++) {
			enum store_status end =
			    done % 2 == 0 ? STORE_COMPLETED : STORE_FAILED;
			ck_assert_int_eq(kit_step(&running[i], 1, end), ERR_OK);
			done++;
		}
		got = bound_claim(KIT_LEASE_US, &next);
		ck_assert_uint_eq(
		    got, BOUND_ITEMS - done < 3 ? BOUND_ITEMS - done : 3);
		n = got;
	}
	ck_assert_uint_eq(done, BOUND_ITEMS);
}
END_TEST

/* Of a batch without one all run at once. */
START_TEST(test_no_bound)
{
	struct store_debate *rows;

	bound_create(STORE_TENANT_DEFAULT, "b", BOUND_ITEMS, 0);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), BOUND_ITEMS);
}
END_TEST

/* A runner that died keeps its debates' places, and whoever takes them up
 * takes no others beside them. */
START_TEST(test_bound_crash)
{
	struct store_debate *dead, *rows;

	bound_create(STORE_TENANT_DEFAULT, "b", BOUND_ITEMS, 2);
	ck_assert_uint_eq(bound_claim(-1, &dead), 2);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 2);
	ck_assert_str_eq(rows[0].id, dead[0].id);
	ck_assert_str_eq(rows[1].id, dead[1].id);
	ck_assert_int_eq(rows[0].lease_epoch, dead[0].lease_epoch + 1);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &dead), 0);
	ck_assert_int_eq(
	    bound_running(kit.arena, STORE_TENANT_DEFAULT, "b"), 2);
}
END_TEST

/* Who pauses or is cancelled makes room; who goes on waits for it again. */
START_TEST(test_bound_pause)
{
	struct store_event event = {.type = "debate_paused", .data = "{}"};
	struct store_event again = {.type = "debate_resumed", .data = "{}"};
	struct store_event end = {.type = "debate_end", .data = "{}"};
	struct store_debate *rows;
	enum store_status status;

	bound_create(STORE_TENANT_DEFAULT, "b", 4, 1);
	ck_assert_int_eq(store_debate_pause(kit.store, STORE_TENANT_DEFAULT,
			     "b-0", &event, &status),
	    ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_str_eq(rows[0].id, "b-1");
	ck_assert_int_eq(store_debate_resume(kit.store, STORE_TENANT_DEFAULT,
			     "b-0", &again, &status),
	    ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 0);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, "b-1", &end),
	    ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_str_eq(rows[0].id, "b-0");
}
END_TEST

/* An item that is tried again is one of the batch. */
START_TEST(test_bound_retry)
{
	struct store_debate *rows, *next;
	struct store_batch b;
	const struct store_batch_item item = {.place = 0, .debate_id = "b-0"};
	const struct store_debate d = {.id = "again",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}",
	    .priority = 9};
	struct err_info info;
	size_t at;

	bound_create(STORE_TENANT_DEFAULT, "b", 2, 1);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_int_eq(kit_step(&rows[0], 1, STORE_FAILED), ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_str_eq(rows[0].id, "b-1");
	ck_assert_int_eq(store_batch_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "b", &b),
	    ERR_OK);
	ck_assert_int_eq(store_batch_retry(kit.store, kit.arena, &b, &item, &d,
			     1, BOUND_QUEUE, &at, &info),
	    ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &next), 0);
	ck_assert_int_eq(kit_step(&rows[0], 1, STORE_COMPLETED), ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &next), 1);
	ck_assert_str_eq(next[0].id, "again");
}
END_TEST

/* Those that wait for others of their batch are in nobody's way: neither in
 * that of the same tenant, nor do they count as his load. */
START_TEST(test_bound_starves_nobody)
{
	struct store_debate *rows;

	bound_create(BOUND_TENANT, "b", BOUND_ITEMS, 1);
	bound_create(BOUND_TENANT, "c", BOUND_ITEMS, 2);
	const char *mine = kit_create_for(BOUND_TENANT, "mine", 0);
	const char *theirs[3];
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		theirs[i] = kit_create_for("few", "theirs", 0);

	/* b-0, few, c-0, few, c-1, few, mine, and then the rest. */
	ck_assert_int_eq(bound_place(BOUND_TENANT, "b-0"), 1);
	ck_assert_int_eq(bound_place("few", theirs[0]), 2);
	ck_assert_int_eq(bound_place(BOUND_TENANT, "c-1"), 5);
	ck_assert_int_eq(bound_place("few", theirs[2]), 6);
	ck_assert_int_eq(bound_place(BOUND_TENANT, mine), 7);
	ck_assert_int_eq(bound_place(BOUND_TENANT, "b-1"), 8);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 7);
	ck_assert_str_eq(rows[0].id, "b-0");
	ck_assert_int_eq(bound_running(kit.arena, BOUND_TENANT, "b"), 1);
	ck_assert_int_eq(bound_running(kit.arena, BOUND_TENANT, "c"), 2);
	ck_assert_int_eq(bound_place(BOUND_TENANT, "b-1"), 1);
}
END_TEST

/* Another runner is in the middle of claiming from the batch: what it will
 * have taken cannot be known yet, so nothing is taken; of the others all is. */
START_TEST(test_bound_is_one_runners)
{
	static const char lock[] = "BEGIN; SELECT id FROM batches WHERE id = "
				   "'b' FOR NO KEY UPDATE";
	struct store_debate *rows;
	struct err_info info = {0};

	if (kit.pg_owner == NULL || kit.is_pooled)
		return; /* SQLite has one writer at a time anyway */
	bound_create(STORE_TENANT_DEFAULT, "b", 2, 1);
	const char *other = kit_create("other", 0);
	struct db *db = kit_connect();
	ck_assert_int_eq(db->driver->script(db, lock, &info), ERR_OK);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_str_eq(rows[0].id, other);
	ck_assert_int_eq(db->driver->script(db, "ROLLBACK", &info), ERR_OK);
	db->driver->close(db);
	ck_assert_uint_eq(bound_claim(KIT_LEASE_US, &rows), 1);
	ck_assert_str_eq(rows[0].id, "b-0");
}
END_TEST

struct bound_racer {
	int n;
	int64_t done;
};

/* Somebody holds debates back and lets them go on all the while. */
static void
bound_toggle(struct arena *a, int n)
{
	struct store_event event = {.type = "debate_paused", .data = "{}"};
	struct store_event again = {.type = "debate_resumed", .data = "{}"};
	const char *id = arena_printf(a, "b-%d", n % BOUND_RACE);
	enum store_status status;

	if (store_debate_pause(kit.store, STORE_TENANT_DEFAULT, id, &event,
		&status) != ERR_OK ||
	    status != STORE_PAUSED)
		return;
	/* Another thread may have done so already. */
	enum err e = store_debate_resume(
	    kit.store, STORE_TENANT_DEFAULT, id, &again, &status);
	ck_assert(e == ERR_OK || e == ERR_CONFLICT);
}

static void *
bound_race(void *slot)
{
	struct bound_racer *r = slot;
	struct store_debate *rows;
	size_t n;

	for (int turn = 0;; turn++) {
		struct arena *a = arena_new(0);
		struct store_counts now;
		bound_toggle(a, r->n * 7 + turn * 5);
		ck_assert_int_eq(
		    store_claim(kit.store, a, "r", KIT_LEASE_US, 2, &rows, &n),
		    ERR_OK);
		ck_assert_int_le(
		    bound_running(a, STORE_TENANT_DEFAULT, "b"), 3);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_eq(
			    kit_step(&rows[i], 1, STORE_COMPLETED), ERR_OK);
		r->done += (int64_t)n;
		ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
		arena_free(&a);
		if (n == 0 && now.pending == 0 && now.active == 0)
			return NULL;
	}
}

START_TEST(test_bound_race)
{
	struct bound_racer racers[KIT_THREADS] = {{0}};
	pthread_t threads[KIT_THREADS];
	int64_t done = 0;
	struct store_batch b;

	bound_create(STORE_TENANT_DEFAULT, "b", BOUND_RACE, 3);
	for (int i = 0; i < KIT_THREADS; i++) {
		racers[i].n = i;
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, bound_race, &racers[i]),
		    0);
	}
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		done += racers[i].done;
	}
	ck_assert_int_eq(store_batch_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "b", &b),
	    ERR_OK);
	ck_assert_int_eq(b.sums.completed, BOUND_RACE);
	ck_assert_int_eq(done, BOUND_RACE);
}
END_TEST

void
add_bounds(TCase *t)
{
	tcase_add_test(t, test_bound);
	tcase_add_test(t, test_no_bound);
	tcase_add_test(t, test_bound_crash);
	tcase_add_test(t, test_bound_pause);
	tcase_add_test(t, test_bound_retry);
	tcase_add_test(t, test_bound_starves_nobody);
	tcase_add_test(t, test_bound_is_one_runners);
	tcase_add_test(t, test_bound_race);
}
