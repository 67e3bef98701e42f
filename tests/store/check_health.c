/* SPDX-License-Identifier: MIT
 *
 * What health is told from: how long the queue waits, which bridges are alive.
 */
#include <stdio.h>

#include "store/store_bridge.h"
#include "tests/store/store_kit.h"

static int64_t
oldest_s(void)
{
	struct store_counts now;

	ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
	return now.oldest_us / 1000000;
}

/* The first of the queue, whose ever it is: one that runs or has ended waits
 * for nothing, one that was resumed waits since then. */
START_TEST(test_oldest)
{
	char sql[512];

	ck_assert_int_eq(oldest_s(), 0);
	kit_create("done long ago", 9);
	kit_script("UPDATE debates SET created_us = created_us - 9000000000");
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(oldest_s(), 0);
	const char *old = kit_create_for("other", "q", 0);
	kit_create("q", 5);
	snprintf(sql, sizeof(sql),
	    "UPDATE debates SET created_us = created_us - 7000000000 WHERE id "
	    "= '%s'",
	    old);
	kit_script(sql);
	ck_assert_int_ge(oldest_s(), 7000);
	ck_assert_int_lt(oldest_s(), 8000);
	snprintf(sql, sizeof(sql),
	    "UPDATE debates SET started_us = created_us, updated_us = "
	    "updated_us - 500000000 WHERE id = '%s'",
	    old);
	kit_script(sql);
	ck_assert_int_ge(oldest_s(), 500);
	ck_assert_int_lt(oldest_s(), 1500);
	ck_assert_int_eq(kit_step(&d, 1, STORE_COMPLETED), ERR_OK);
	ck_assert_int_lt(oldest_s(), 1500);
}
END_TEST

static struct store_bridge *
bridges(size_t expected)
{
	struct store_bridge *rows;
	size_t n;

	ck_assert_int_eq(
	    store_bridge_list(kit.store, kit.arena, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, expected);
	return rows;
}

/* A bridge is what it last told, until it is gone or has been silent for too
 * long; the next that tells of itself takes such a row away. */
START_TEST(test_bridges)
{
	struct store_bridge a = {.id = "a",
	    .host = "one",
	    .pid = 7,
	    .started_us = 5,
	    .connections = 3,
	    .streams = 1,
	    .subscriptions = 9};
	struct store_bridge b = {.id = "b", .host = "two", .connections = 4};

	bridges(0);
	ck_assert_int_eq(store_bridge_seen(kit.store, &a), ERR_OK);
	a.connections = 2;
	ck_assert_int_eq(store_bridge_seen(kit.store, &a), ERR_OK);
	ck_assert_int_eq(store_bridge_seen(kit.store, &b), ERR_OK);
	struct store_bridge *rows = bridges(2);
	ck_assert_str_eq(rows[0].host, "one");
	ck_assert_int_eq(rows[0].pid, 7);
	ck_assert_int_eq(rows[0].started_us, 5);
	ck_assert_int_gt(rows[0].seen_us, 5);
	struct store_bridge sum = store_bridge_sum(rows, 2);
	ck_assert_int_eq(sum.connections, 6);
	ck_assert_int_eq(sum.streams, 1);
	ck_assert_int_eq(sum.subscriptions, 9);

	kit_script("UPDATE bridges SET seen_us = seen_us - 29000000");
	bridges(2);
	kit_script("UPDATE bridges SET seen_us = seen_us - 1000001");
	bridges(0);
	ck_assert_int_eq(store_bridge_seen(kit.store, &a), ERR_OK);
	bridges(1);
	/* That of b was swept: it does not come back. */
	kit_script("UPDATE bridges SET seen_us = seen_us + 60000000");
	bridges(1);
	ck_assert_int_eq(store_bridge_gone(kit.store, "a"), ERR_OK);
	ck_assert_int_eq(store_bridge_gone(kit.store, "a"), ERR_OK);
	bridges(0);
}
END_TEST

void
add_health(TCase *t)
{
	tcase_add_test(t, test_oldest);
	tcase_add_test(t, test_bridges);
}
