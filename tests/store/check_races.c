/* SPDX-License-Identifier: MIT
 *
 * Several callers at once: threads on one store, and two processes.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "store/store_key.h"
#include "store/store_tx.h"
#include "tests/store/store_kit.h"

#define RACE_DEBATES 40
#define RACE_WRITES  20
#define RACE_ROUNDS  5

/* Run fn in KIT_THREADS threads, each with its own slot. */
static void
race(void *(*fn)(void *slot), void *slots, size_t size)
{
	pthread_t threads[KIT_THREADS];

	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fn,
				     (char *)slots + i * size),
		    0);
	for (size_t i = 0; i < KIT_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *
race_claim(void *slot)
{
	struct arena *a = arena_new(0);
	int64_t *mine = slot;
	struct store_debate *rows;
	size_t n = 1;

	while (n > 0 &&
	    store_claim(kit.store, a, "r", KIT_LEASE_US, 3, &rows, &n) ==
		ERR_OK) {
		ck_assert_uint_le(n, 3);
		*mine += (int64_t)n;
	}
	arena_free(&a);
	return NULL;
}

START_TEST(test_claim_race)
{
	int64_t counts[KIT_THREADS] = {0};
	int64_t sum = 0;
	struct store_counts now;

	for (int i = 0; i < RACE_DEBATES; i++)
		kit_create("race", i % 3);
	race(race_claim, counts, sizeof(counts[0]));
	for (int i = 0; i < KIT_THREADS; i++)
		sum += counts[i];
	ck_assert_int_eq(sum, RACE_DEBATES); /* each exactly once */
	ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
	ck_assert_int_eq(now.pending, 0);
	ck_assert_int_eq(now.oldest_us, 0);
	ck_assert_int_eq(now.active, RACE_DEBATES);
}
END_TEST

static struct store_debate race_shared;

static void *
race_write(void *slot)
{
	for (int i = 0; i < RACE_WRITES; i++)
		if (kit_step(&race_shared, 2, STORE_RUNNING) != ERR_OK)
			*(bool *)slot = true;
	return NULL;
}

START_TEST(test_sequence_race)
{
	bool is_failed[KIT_THREADS] = {false};

	kit_create("seq", 0);
	race_shared = kit_claim("r1");
	race(race_write, is_failed, sizeof(is_failed[0]));
	for (int i = 0; i < KIT_THREADS; i++)
		ck_assert(!is_failed[i]);
	kit_check_events(race_shared.id, KIT_THREADS * RACE_WRITES * 2);
}
END_TEST

struct race_key {
	const char *id;
	enum err e;
	bool is_mine;
};

static void *
race_create(void *slot)
{
	struct race_key *k = slot;
	struct arena *a = arena_new(0);
	struct store_key key = {
	    .a = a, .text = "key", .target = "POST /x", .hash = "hash"};
	struct store_debate d = {.id = k->id,
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}",
	    .key = &key};

	k->e = store_debate_create(kit.store, a, &d, 100, NULL);
	k->is_mine = k->e == ERR_OK && !key.is_replay;
	ck_assert(k->e != ERR_OK || !k->is_mine || str_eq(key.ref, k->id));
	arena_free(&a);
	return NULL;
}

/* One request sent several times at once makes one debate. */
START_TEST(test_create_race)
{
	struct race_key keys[KIT_THREADS] = {
	    {.id = "a"}, {.id = "b"}, {.id = "c"}, {.id = "d"}};
	struct store_debate_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 10};
	struct store_debate *rows;
	int64_t total;
	size_t n;
	int mine = 0;

	race(race_create, keys, sizeof(keys[0]));
	for (int i = 0; i < KIT_THREADS; i++) {
		ck_assert_int_eq(keys[i].e, ERR_OK);
		mine += keys[i].is_mine;
	}
	ck_assert_int_eq(mine, 1);
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 1);
}
END_TEST

static void *
race_finish(void *slot)
{
	enum err *outcome = slot;

	while (*outcome == ERR_OK)
		*outcome = kit_step(&race_shared, 2, STORE_RUNNING);
	return NULL;
}

/* The runner writes on until it is fenced; the last event is the cancel's. */
START_TEST(test_cancel_race)
{
	for (int i = 0; i < RACE_ROUNDS; i++) {
		struct store_event end = {.type = "debate_end", .data = "{}"};
		enum err outcome = ERR_OK;
		struct store_event *rows;
		pthread_t runner;
		size_t n;

		kit_create("c", 0);
		race_shared = kit_claim("r1");
		ck_assert_int_eq(
		    pthread_create(&runner, NULL, race_finish, &outcome), 0);
		ck_assert_int_eq(
		    store_debate_cancel(
			kit.store, STORE_TENANT_DEFAULT, race_shared.id, &end),
		    ERR_OK);
		pthread_join(runner, NULL);
		ck_assert_int_eq(outcome, ERR_FENCED);
		kit_check_events(race_shared.id, (size_t)end.seq);
		ck_assert_int_eq(
		    store_event_list(kit.store, kit.arena, STORE_TENANT_DEFAULT,
			race_shared.id, end.seq - 1, 10, &rows, &n),
		    ERR_OK);
		ck_assert_uint_eq(n, 1);
		ck_assert_str_eq(rows[0].type, "debate_end");
		ck_assert_int_eq(
		    kit_get(race_shared.id).status, STORE_CANCELLED);
	}
}
END_TEST

static void *
race_end(void *slot)
{
	*(enum err *)slot = kit_step(&race_shared, 1, STORE_COMPLETED);
	return NULL;
}

/* Of an end and a cancel at the same time, one happens. */
START_TEST(test_end_race)
{
	for (int i = 0; i < RACE_ROUNDS; i++) {
		struct store_event end = {.type = "debate_end", .data = "{}"};
		enum err ended = ERR_INTERNAL;
		pthread_t runner;

		kit_create("c", 0);
		race_shared = kit_claim("r1");
		ck_assert_int_eq(
		    pthread_create(&runner, NULL, race_end, &ended), 0);
		enum err cancelled = store_debate_cancel(
		    kit.store, STORE_TENANT_DEFAULT, race_shared.id, &end);
		pthread_join(runner, NULL);
		bool is_cancelled = cancelled == ERR_OK;
		ck_assert_int_eq(
		    cancelled, is_cancelled ? ERR_OK : ERR_CONFLICT);
		ck_assert_int_eq(ended, is_cancelled ? ERR_FENCED : ERR_OK);
		ck_assert_int_eq(kit_get(race_shared.id).status,
		    is_cancelled ? STORE_CANCELLED : STORE_COMPLETED);
		kit_check_events(race_shared.id, 1);
	}
}
END_TEST

struct race_migration {
	enum err e;
	int applied;
	struct err_info info;
};

static void *
race_migrate(void *slot)
{
	struct race_migration *m = slot;

	m->e = store_migrate(kit.settings, &m->applied, &m->info);
	return NULL;
}

START_TEST(test_migrate_race)
{
	struct race_migration m[KIT_THREADS] = {0};
	struct err_info info = {0};
	struct store_schema schema;
	int64_t sum = 0;

	store_close(&kit.store);
	kit_become(true);
	kit_empty();
	race(race_migrate, m, sizeof(m[0]));
	ck_assert_int_eq(store_schema(kit.settings, &schema, &info), ERR_OK);
	for (int i = 0; i < KIT_THREADS; i++) {
		ck_assert_msg(m[i].e == ERR_OK, "%s", m[i].info.text);
		sum += m[i].applied;
	}
	ck_assert_int_eq(schema.have, schema.want);
	ck_assert_int_eq(sum, schema.want);
	kit_become(false);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
}
END_TEST

/* In a child process: its own store, one debate from claim to end. */
static void
race_child(void)
{
	struct err_info info = {0};

	if (store_open(&kit.store, kit.settings, &info) != ERR_OK)
		_exit(2);
	struct store_debate d = kit_claim("child");
	for (int i = 0; i < RACE_WRITES; i++)
		if (kit_step(&d, 2, STORE_RUNNING) != ERR_OK)
			_exit(3);
	store_close(&kit.store);
	_exit(0);
}

START_TEST(test_two_processes)
{
	struct err_info info = {0};
	const char *ids[] = {kit_create("one", 0), kit_create("two", 0)};
	int status;

	store_close(&kit.store); /* a store is opened after the fork */
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		race_child();
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	struct store_debate d = kit_claim("parent");
	for (int i = 0; i < RACE_WRITES; i++)
		ck_assert_int_eq(kit_step(&d, 2, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	for (int i = 0; i < 2; i++)
		kit_check_events(ids[i], RACE_WRITES * 2);
	ck_assert_str_ne(kit_get(ids[0]).runner, kit_get(ids[1]).runner);
}
END_TEST

void
add_races(TCase *t)
{
	tcase_add_test(t, test_claim_race);
	tcase_add_test(t, test_sequence_race);
	tcase_add_test(t, test_create_race);
	tcase_add_test(t, test_cancel_race);
	tcase_add_test(t, test_end_race);
	tcase_add_test(t, test_migrate_race);
	tcase_add_test(t, test_two_processes);
}
