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
	enum err e = store_memory_put(kit.store, a, tenant, &m, now, &info);

	arena_free(&a);
	return e;
}

static struct store_memory
get(const char *key, int64_t now)
{
	struct store_memory m = {0};

	ck_assert_int_eq(store_memory_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, key, -1, now, &m),
	    ERR_OK);
	return m;
}

static bool
is_there(const char *tenant, const char *key, int64_t now)
{
	struct store_memory m;
	enum err e =
	    store_memory_get(kit.store, kit.arena, tenant, key, -1, now, &m);

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

/* What an operator is told: of everybody, and of nobody by name. */
START_TEST(test_totals)
{
	struct store_memory_total totals[MEMORY_TIER__COUNT];
	const struct store_memory_total *slow = &totals[MEMORY_SLOW];
	struct store_memory_sum mine[MEMORY_TIER__COUNT];
	struct store_memory_sum theirs[MEMORY_TIER__COUNT];
	const char *me = STORE_TENANT_DEFAULT;

	ck_assert_int_eq(store_memory_totals(kit.store, NOW, totals), ERR_OK);
	ck_assert_int_eq(slow->tenants, 0);
	ck_assert_int_eq(slow->most_count, 0);
	ck_assert_int_eq(put(me, "a", "one", 1, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(OTHER, "a", "two", 1, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(OTHER, "b", "three", 1, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(me, "c", "four", 1, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(store_memory_totals(kit.store, NOW, totals), ERR_OK);
	ck_assert_int_eq(store_memory_sums(kit.store, me, NOW, mine), ERR_OK);
	ck_assert_int_eq(
	    store_memory_sums(kit.store, OTHER, NOW, theirs), ERR_OK);
	ck_assert_int_eq(slow->tenants, 2);
	ck_assert_int_eq(slow->count, 3);
	ck_assert_int_eq(slow->most_count, 2);
	ck_assert_int_eq(
	    slow->bytes, mine[MEMORY_SLOW].bytes + theirs[MEMORY_SLOW].bytes);
	ck_assert_int_eq(slow->most_bytes, theirs[MEMORY_SLOW].bytes);
	ck_assert_int_eq(totals[MEMORY_FAST].count, 1);
	ck_assert_int_eq(totals[MEMORY_GLACIAL].count, 0);
	/* What has expired counts no more. */
	ck_assert_int_eq(
	    store_memory_totals(kit.store, NOW + DAY_US, totals), ERR_OK);
	ck_assert_int_eq(slow->count, 0);
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
}
END_TEST

static enum err
move(const char *key, struct store_memory_move how, enum memory_tier *from)
{
	struct store_memory m;
	struct err_info info = {0};

	how.key = key;
	return store_memory_move(kit.store, kit.arena, STORE_TENANT_DEFAULT,
	    &how, NOW, &m, from, &info);
}

/* By hand the thresholds do not count. */
START_TEST(test_move)
{
	const char *t = STORE_TENANT_DEFAULT;
	char huge[20 * 1024 + 1];
	enum memory_tier from;
	const struct store_memory_move up = {.expected = -1, .step = -1};
	const struct store_memory_move down = {.expected = -1, .step = 1};

	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(put(t, "k", "x", 1, MEMORY_SLOW, NOW - 9), ERR_OK);
	ck_assert_int_eq(move("k", down, &from), ERR_OK);
	ck_assert_int_eq(from, MEMORY_SLOW);
	struct store_memory m = get("k", NOW);
	ck_assert_int_eq(m.tier, MEMORY_GLACIAL);
	ck_assert_int_eq(m.moves, 1);
	ck_assert_int_eq(m.updates, 0);
	ck_assert_int_eq(m.expires_us, NOW + 7 * DAY_US);
	ck_assert_int_eq(move("k", down, &from), ERR_CONFLICT);
	struct store_memory_move there = {
	    .expected = MEMORY_FAST, .to = MEMORY_MEDIUM};
	ck_assert_int_eq(move("k", there, &from), ERR_CONFLICT);
	there.expected = MEMORY_GLACIAL;
	there.way = 1;
	ck_assert_int_eq(move("k", there, &from), ERR_INVALID);
	there.way = -1;
	ck_assert_int_eq(move("k", there, &from), ERR_OK);
	ck_assert_int_eq(move("k", up, &from), ERR_OK);
	ck_assert_int_eq(move("k", up, &from), ERR_CONFLICT);
	ck_assert_int_eq(move("none", up, &from), ERR_NOT_FOUND);
	ck_assert_int_eq(put(t, "h", huge, 1, MEMORY_MEDIUM, NOW), ERR_OK);
	ck_assert_int_eq(move("h", up, &from), ERR_INVALID);
	ck_assert_int_eq(get("h", NOW).tier, MEMORY_MEDIUM);
}
END_TEST

/* Of this tenant until now. */
static int64_t
tally(enum memory_deed deed, int tier)
{
	struct store_memory_tally *rows;
	int64_t sum = 0;
	size_t n;

	ck_assert_int_eq(store_memory_tallies(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, 0, INT64_MAX, &rows, &n),
	    ERR_OK);
	for (size_t i = 0; i < n; i++)
		sum += rows[i].deed == deed && rows[i].tier == tier ? rows[i].n
								    : 0;
	return sum;
}

/* Whatever happens to entries is counted, and nothing that failed. */
START_TEST(test_tallies)
{
	const char *t = STORE_TENANT_DEFAULT;
	const struct store_memory_move up = {.expected = -1, .step = -1};
	struct store_memory_prune p = {.tier = -1};
	struct store_memory_work w;
	char text[6001];
	enum memory_tier from;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
		    put(t, "a", text, 1, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "b", text, 1, MEMORY_FAST, NOW + 1), ERR_OK);
	ck_assert_int_eq(put(OTHER, "a", text, 1, MEMORY_FAST, NOW), ERR_OK);
	ck_assert_int_eq(tally(MEMORY_STORED, MEMORY_FAST), 2);
	ck_assert_int_eq(tally(MEMORY_UPDATED, MEMORY_FAST), 2);
	ck_assert_int_eq(tally(MEMORY_EVICTED, MEMORY_FAST), 1);
	get("b", NOW + 1);
	ck_assert(!is_there(t, "a", NOW + 1));
	ck_assert_int_eq(tally(MEMORY_READ, MEMORY_FAST), 1);
	ck_assert_int_eq(tally(MEMORY_MISSED, -1), 1);
	ck_assert_int_eq(put(t, "c", "x", 1, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(move("c", up, &from), ERR_OK);
	ck_assert_int_eq(tally(MEMORY_PROMOTED, MEMORY_MEDIUM), 1);
	ck_assert_int_eq(
	    store_memory_delete(kit.store, t, "c", -1, NOW), ERR_OK);
	ck_assert_int_eq(
	    store_memory_delete(kit.store, t, "c", -1, NOW), ERR_NOT_FOUND);
	ck_assert_int_eq(tally(MEMORY_DELETED, MEMORY_MEDIUM), 1);
	ck_assert_int_eq(
	    store_memory_consolidate(kit.store, t, NOW + DAY_US, &w), ERR_OK);
	ck_assert_int_eq(w.expired, 1);
	ck_assert_int_eq(tally(MEMORY_EXPIRED, MEMORY_FAST), 1);
	/* One row for each hour, kind and tier, as long as they are kept. */
	ck_assert_int_eq(store_memory_prune(kit.store, t,
			     NOW + STORE_MEMORY_TALLIES_US + DAY_US / 2, &p),
	    ERR_OK);
	ck_assert_int_eq(p.tallies, 8);
	ck_assert_int_eq(tally(MEMORY_STORED, MEMORY_FAST), 0);
	ck_assert_int_eq(tally(MEMORY_EXPIRED, MEMORY_FAST), 1);
}
END_TEST

struct changer {
	const char *content;
	int64_t ttl_s;
	int tier;
	enum err result;
};

static enum err
change_it(
    void *arg, struct arena *a, struct store_memory *m, struct err_info *info)
{
	const struct changer *c = arg;

	m->content = arena_printf(a, "%s%s", m->content, c->content);
	m->ttl_s = c->ttl_s;
	if (c->tier >= 0)
		m->tier = (enum memory_tier)c->tier;
	return c->result == ERR_OK
	    ? ERR_OK
	    : err_set(info, c->result, "value", "is not wanted");
}

static enum err
change(const char *tenant, const char *key, struct changer *c, int64_t now,
    struct store_memory *out)
{
	struct err_info info = {0};

	return store_memory_change(
	    kit.store, kit.arena, tenant, key, change_it, c, now, out, &info);
}

START_TEST(test_change)
{
	const char *t = STORE_TENANT_DEFAULT;
	struct changer c = {.content = "!", .tier = -1};
	struct store_memory m;

	ck_assert_int_eq(put(t, "k", "a", 1, MEMORY_MEDIUM, NOW), ERR_OK);
	ck_assert_int_eq(change(t, "k", &c, NOW + 5, &m), ERR_OK);
	ck_assert_str_eq(m.content, "a!");
	m = get(m.id, NOW + 5);
	ck_assert_str_eq(m.content, "a!");
	ck_assert_int_eq(m.updates, 1);
	/* It lives no longer for that, but elsewhere or when it is said. */
	ck_assert_int_eq(m.expires_us, NOW + DAY_US / 24);
	c.ttl_s = 9;
	ck_assert_int_eq(change(t, "k", &c, NOW + 5, &m), ERR_OK);
	ck_assert_int_eq(get("k", NOW + 5).expires_us, NOW + 5 + 9000000);
	c = (struct changer){.content = "", .tier = MEMORY_SLOW};
	ck_assert_int_eq(change(t, "k", &c, NOW + 6, &m), ERR_OK);
	m = get("k", NOW + 6);
	ck_assert_int_eq(m.tier, MEMORY_SLOW);
	ck_assert_int_eq(m.expires_us, NOW + 6 + DAY_US);
	c.result = ERR_INVALID;
	c.content = "lost";
	ck_assert_int_eq(change(t, "k", &c, NOW + 7, &m), ERR_INVALID);
	ck_assert_str_eq(get("k", NOW + 7).content, "a!!");
	c.result = ERR_OK;
	ck_assert_int_eq(change(OTHER, "k", &c, NOW, &m), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    change(t, "k", &c, NOW + 6 + DAY_US, &m), ERR_NOT_FOUND);
}
END_TEST

static void *
change_many(void *arg)
{
	struct changer c = {.content = "+", .tier = -1};
	enum err e = ERR_OK;

	for (int i = 0; e == ERR_OK && i < WRITES; i++) {
		struct arena *a = arena_new(0);
		struct store_memory m;
		e = store_memory_change(kit.store, a, STORE_TENANT_DEFAULT, "k",
		    change_it, &c, NOW, &m, NULL);
		arena_free(&a);
	}
	return e == ERR_OK ? arg : NULL;
}

/* None of those who change one entry at the same time is lost. */
START_TEST(test_change_together)
{
	static char names[KIT_THREADS][2];
	pthread_t threads[KIT_THREADS];
	void *ok;

	ck_assert_int_eq(
	    put(STORE_TENANT_DEFAULT, "k", "", 1, MEMORY_MEDIUM, NOW), ERR_OK);
	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, change_many, names[i]),
		    0);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], &ok);
		ck_assert_ptr_nonnull(ok);
	}
	ck_assert_uint_eq(strlen(get("k", NOW).content), KIT_THREADS * WRITES);
}
END_TEST

START_TEST(test_many)
{
	const char *t = STORE_TENANT_DEFAULT;
	char huge[11 * 1024];
	enum err outcomes[4];

	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(put(t, "old", "a", 1, MEMORY_FAST, NOW), ERR_OK);
	const char *keys[] = {"new", "old", "huge", NULL};
	struct store_memory rows[4];
	for (size_t i = 0; i < 4; i++)
		rows[i] = (struct store_memory){.key = keys[i],
		    .tier = MEMORY_FAST,
		    .domain = "",
		    .content = i == 2 ? huge : "b",
		    .body = "{}",
		    .debate_id = ""};
	ck_assert_int_eq(store_memory_put_all(kit.store, kit.arena, t, rows, 4,
			     false, NOW, outcomes),
	    ERR_OK);
	ck_assert_int_eq(outcomes[0], ERR_OK);
	ck_assert_int_eq(outcomes[1], ERR_EXISTS);
	ck_assert_int_eq(outcomes[2], ERR_INVALID);
	ck_assert_int_eq(outcomes[3], ERR_OK);
	ck_assert_str_eq(get("old", NOW).content, "a");
	ck_assert_int_eq(store_memory_put_all(kit.store, kit.arena, t, rows, 2,
			     true, NOW, outcomes),
	    ERR_OK);
	ck_assert_str_eq(get("old", NOW).content, "b");
	ck_assert_int_eq(outcomes[1], ERR_OK);
	ck_assert(!is_there(OTHER, "new", NOW));
}
END_TEST

START_TEST(test_upkeep)
{
	const char *t = STORE_TENANT_DEFAULT;
	struct store_memory_prune p = {
	    .tier = -1, .importance_ppm = 6, .until_us = NOW};
	int64_t checked, repaired;
	char huge[20 * 1024];

	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(put(t, "low", "a", 5, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "high", "a", 6, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(put(t, "late", "a", 5, MEMORY_SLOW, NOW + 1), ERR_OK);
	ck_assert_int_eq(put(t, "here", huge, 9, MEMORY_GLACIAL, NOW), ERR_OK);
	ck_assert_int_eq(
	    put(t, "gone", "a", 9, MEMORY_FAST, NOW - DAY_US), ERR_OK);
	ck_assert_int_eq(put(OTHER, "low", "a", 5, MEMORY_SLOW, NOW), ERR_OK);
	ck_assert_int_eq(store_memory_prune(kit.store, t, NOW + 1, &p), ERR_OK);
	ck_assert_int_eq(p.expired, 1);
	ck_assert_int_eq(p.pruned, 1);
	ck_assert_int_eq(p.bytes, 6);
	ck_assert(!is_there(t, "low", NOW + 1) && is_there(t, "high", NOW + 1));
	ck_assert(is_there(t, "late", NOW + 1) && is_there(OTHER, "low", NOW));
	p = (struct store_memory_prune){
	    .tier = MEMORY_FAST, .importance_ppm = 9, .until_us = NOW + 9};
	ck_assert_int_eq(store_memory_prune(kit.store, t, NOW + 1, &p), ERR_OK);
	ck_assert_int_eq(p.pruned, 0);
	ck_assert_int_eq(
	    store_memory_rebuild(kit.store, t, NOW + 1, &checked, &repaired),
	    ERR_OK);
	ck_assert_int_eq(checked, 3);
	ck_assert_int_eq(repaired, 0);
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
	tcase_add_test(t, test_totals);
	tcase_add_test(t, test_eviction);
	tcase_add_test(t, test_together);
	tcase_add_test(t, test_consolidate);
	tcase_add_test(t, test_move);
	tcase_add_test(t, test_tallies);
	tcase_add_test(t, test_change);
	tcase_add_test(t, test_change_together);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_upkeep);
	tcase_add_test(t, test_debate);
}
