/* SPDX-License-Identifier: MIT
 *
 * Memory on the database: tenants apart, sizes kept by writers that come at
 * the same time, eviction and moves by the rules.
 */
#include <pthread.h>
#include <string.h>

#include "base/str.h"
#include "store/store_memory.h"
#include "tests/store/store_kit.h"

#define NOW    (INT64_C(1700000000) * 1000000)
#define DAY_US (INT64_C(86400) * 1000000)
#define WRITES 12
#define OTHER  "other"

static enum err
put(const char *tenant, const char *key, const char *text, int64_t importance,
    enum memory_tier tier, int64_t now)
{
	struct arena *a = arena_new(0);
	struct err_info info = {0};
	struct store_memory m = {.key = key,
	    .tier = tier,
	    .domain = "law",
	    .content = text,
	    .body = "{}",
	    .debate_id = "",
	    .importance_ppm = importance,
	    .surprise_ppm = 650000};
	bool is_new;
	enum err e =
	    store_memory_put(kit.store, a, tenant, &m, &is_new, now, &info);

	arena_free(&a);
	return e;
}

static struct store_memory
get(const char *key, int64_t now)
{
	struct store_memory m = {0};

	ck_assert_int_eq(store_memory_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, key, now, &m),
	    ERR_OK);
	return m;
}

static bool
is_there(const char *tenant, const char *key, int64_t now)
{
	struct store_memory m;
	enum err e =
	    store_memory_get(kit.store, kit.arena, tenant, key, now, &m);

	ck_assert(e == ERR_OK || e == ERR_NOT_FOUND);
	return e == ERR_OK;
}

START_TEST(test_tenants)
{
	struct store_memory_sum sums[MEMORY_TIER__COUNT];
	const char *mine = STORE_TENANT_DEFAULT;

	ck_assert_int_eq(put(mine, "k", "one", 1, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(OTHER, "k", "two", 1, MEMORY_SLOW, NOW), ERR_OK);
	struct store_memory m = get("k", NOW);
	ck_assert_str_eq(m.content, "one");
	ck_assert_str_eq(get(m.id, NOW).content, "one");
	ck_assert(!is_there(OTHER, m.id, NOW));
	ck_assert_int_eq(store_memory_delete(kit.store, OTHER, m.id, -1, NOW),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_memory_delete(kit.store, mine, "k", MEMORY_FAST, NOW),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_memory_delete(kit.store, mine, "k", MEMORY_SLOW, NOW),
	    ERR_OK);
	ck_assert(!is_there(mine, "k", NOW));
	ck_assert(is_there(OTHER, "k", NOW));
	ck_assert_int_eq(
	    store_memory_sums(kit.store, OTHER, NOW, sums), ERR_OK);
	ck_assert_int_eq(sums[MEMORY_SLOW].count, 1);
	/* Gone from the moment on that it expires. */
	ck_assert(is_there(OTHER, "k", NOW + DAY_US - 1));
	ck_assert(!is_there(OTHER, "k", NOW + DAY_US));
}
END_TEST

/* Three of 4000 bytes do not fit into 10 KiB: the least important goes, of
 * equals the oldest; never the one that comes. */
START_TEST(test_eviction)
{
	const char *t = STORE_TENANT_DEFAULT;
	char text[4001], huge[10 * 1024 + 1];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(put(t, "a", text, 5, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "b", text, 9, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "c", text, 1, MEMORY_FAST, NOW + 1), ERR_OK);
	ck_assert(!is_there(t, "a", NOW + 1));
	ck_assert_int_eq(put(t, "d", text, 9, MEMORY_FAST, NOW + 2), ERR_OK);
	ck_assert(!is_there(t, "c", NOW + 2));
	ck_assert_int_eq(put(t, "e", text, 9, MEMORY_FAST, NOW + 3), ERR_OK);
	ck_assert(!is_there(t, "b", NOW + 3));
	ck_assert(is_there(t, "d", NOW + 3) && is_there(t, "e", NOW + 3));
	ck_assert_int_eq(put(t, "f", huge, 9, MEMORY_FAST, NOW), ERR_INVALID);
	ck_assert_int_eq(put(t, "f", huge, 9, MEMORY_MEDIUM, NOW), ERR_OK);
}
END_TEST

static void *
write_many(void *arg)
{
	const char *name = arg;
	char key[32], text[3001];
	enum err e = ERR_OK;

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; e == ERR_OK && i < WRITES; i++) {
		snprintf(key, sizeof(key), "%s%d", name, i);
		e = put(STORE_TENANT_DEFAULT, key, text, i, MEMORY_FAST, NOW);
	}
	return e == ERR_OK ? arg : NULL;
}

START_TEST(test_together)
{
	static char names[KIT_THREADS][2] = {"a", "b", "c", "d"};
	struct store_memory_sum sums[MEMORY_TIER__COUNT];
	pthread_t threads[KIT_THREADS];
	void *ok;

	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, write_many, names[i]), 0);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], &ok);
		ck_assert_ptr_nonnull(ok);
	}
	ck_assert_int_eq(
	    store_memory_sums(kit.store, STORE_TENANT_DEFAULT, NOW, sums),
	    ERR_OK);
	ck_assert_int_eq(sums[MEMORY_FAST].count, 3);
	ck_assert_int_le(
	    sums[MEMORY_FAST].bytes, memory_tiers[MEMORY_FAST].bytes);
}
END_TEST

START_TEST(test_consolidate)
{
	struct store_memory_work w;
	struct err_info info = {0};
	enum memory_tier from;
	const char *t = STORE_TENANT_DEFAULT;

	ck_assert_int_eq(put(t, "gone", "x", 1, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "old", "x", 1, MEMORY_GLACIAL, NOW), ERR_OK);
	ck_assert_int_eq(store_memory_sweep(kit.store, NOW + 61, &w), ERR_OK);
	ck_assert_int_eq(w.processed, 0);
	for (int i = 0; i <= MEMORY_UPDATES_MIN; i++)
		ck_assert_int_eq(put(OTHER, "often", "x", 1, MEMORY_MEDIUM,
				     NOW + DAY_US + i),
		    ERR_OK);
	ck_assert_int_eq(
	    store_memory_sweep(kit.store, NOW + DAY_US + 99, &w), ERR_OK);
	ck_assert_int_eq(w.expired, 1);
	ck_assert_int_eq(w.promoted, 1);
	ck_assert_int_eq(w.demoted, 1);
	struct store_memory m = get("old", NOW + DAY_US + 99);
	ck_assert_int_eq(m.tier, MEMORY_SLOW);
	ck_assert_int_eq(m.expires_us, NOW + DAY_US + 99 + DAY_US);
	ck_assert_int_eq(
	    store_memory_sweep(kit.store, NOW + DAY_US + 99, &w), ERR_OK);
	ck_assert_int_eq(w.processed, 0);
	/* By hand the thresholds do not count. */
	ck_assert_int_eq(store_memory_move(kit.store, kit.arena, t, "old", -1,
			     MEMORY_GLACIAL, NOW + DAY_US + 99, &from, &info),
	    ERR_OK);
	ck_assert_int_eq(from, MEMORY_SLOW);
	ck_assert_int_eq(store_memory_move(kit.store, kit.arena, t, "old", -1,
			     MEMORY_GLACIAL, NOW + DAY_US + 99, &from, &info),
	    ERR_CONFLICT);
}
END_TEST

/* The entry lands with the last transition, and once. */
START_TEST(test_debate)
{
	struct store_memory left = {.key = "debate:x",
	    .tier = MEMORY_SLOW,
	    .domain = "law",
	    .content = "c",
	    .body = "{}",
	    .debate_id = "x"};
	struct store_event event = {.type = "debate_end", .data = "{}"};
	struct store_memory_filter f = {.tenant = STORE_TENANT_DEFAULT,
	    .tier = -1,
	    .domain = "law",
	    .limit = 9};
	struct store_memory *rows;
	size_t n;
	int64_t total;

	kit_create("q", 0);
	struct store_debate d = kit_claim("r");
	struct store_transition t = {.tenant = d.tenant,
	    .debate_id = d.id,
	    .lease_epoch = d.lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_COMPLETED,
	    .phase = "done",
	    .memory = &left};
	struct store_transition *one = &t;
	t.lease_epoch++;
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_FENCED);
	ck_assert_int_eq(
	    store_memory_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	t.lease_epoch--;
	t.outcome = ERR_OK;
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
	ck_assert_int_eq(
	    store_memory_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(rows[0].key, "debate:x");
	f.tenant = OTHER;
	ck_assert_int_eq(
	    store_memory_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

void
add_memory(TCase *t)
{
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_eviction);
	tcase_add_test(t, test_together);
	tcase_add_test(t, test_consolidate);
	tcase_add_test(t, test_debate);
}
