/* SPDX-License-Identifier: MIT
 *
 * Who is next, how many may wait, and pause and resume.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "store/store_tx.h"
#include "tests/store/store_kit.h"

#define CAPACITY_CROWD 100

static int64_t
capacity_place(const char *tenant, const char *id)
{
	int64_t position;

	ck_assert_int_eq(
	    store_debate_queue_position(kit.store, tenant, id, &position),
	    ERR_OK);
	return position;
}

static const char *
capacity_crowd(void)
{
	const char *last = NULL;

	for (int i = 0; i < CAPACITY_CROWD; i++)
		last = kit_create_for("many", "crowd", 1);
	return last;
}

/* One tenant's hundred do not hold up another's one, taken singly. */
START_TEST(test_fair_one_by_one)
{
	const char *last = capacity_crowd();
	const char *low = kit_create_for("few", "low", 0);
	const char *one = kit_create_for("few", "one", 1);

	ck_assert_int_eq(capacity_place("few", one), 2);
	ck_assert_int_eq(capacity_place("many", last), CAPACITY_CROWD + 1);
	ck_assert_int_eq(capacity_place("few", low), CAPACITY_CROWD + 2);
	ck_assert_str_eq(kit_claim("r1").tenant, "many");
	ck_assert_int_eq(capacity_place("few", one), 1);
	ck_assert_str_eq(kit_claim("r2").id, one);
	/* A priority comes before fairness. */
	ck_assert_str_eq(kit_claim("r1").tenant, "many");
	const char *high = kit_create_for("many", "high", 2);
	ck_assert_int_eq(capacity_place("many", high), 1);
	ck_assert_str_eq(kit_claim("r1").id, high);
}
END_TEST

/* The same within one claim of several. */
START_TEST(test_fair_at_once)
{
	struct store_debate *rows;
	int of_few = 0;
	size_t n;

	capacity_crowd();
	for (int i = 0; i < 3; i++)
		kit_create_for("few", "one", 1);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r1", KIT_LEASE_US, 4, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 4);
	for (size_t i = 0; i < n; i++)
		of_few += str_eq(rows[i].tenant, "few");
	ck_assert_int_eq(of_few, 2);
}
END_TEST

static enum err
capacity_create(const char *tenant, int i, struct err_info *info)
{
	char id[32];

	snprintf(id, sizeof(id), "adhoc_%s%d", tenant, i);
	return store_debate_create(kit.store, kit.arena,
	    &(struct store_debate){.id = id,
		.tenant = tenant,
		.task = "t",
		.config = "{}",
		.max_tenant_queued = 2},
	    3, info);
}

START_TEST(test_queue_limits)
{
	struct err_info info = {0};

	ck_assert_int_eq(capacity_create("a", 1, &info), ERR_OK);
	ck_assert_int_eq(capacity_create("a", 2, &info), ERR_OK);
	ck_assert_int_eq(capacity_create("a", 3, &info), ERR_BUSY);
	ck_assert_str_eq(info.field, "tenant_queue");
	ck_assert_int_eq(capacity_create("b", 1, &info), ERR_OK);
	ck_assert_int_eq(capacity_create("b", 2, &info), ERR_BUSY);
	ck_assert_str_eq(info.field, "queue");
	ck_assert_str_eq(kit_claim("r1").tenant, "a"); /* makes room */
	ck_assert_int_eq(capacity_create("a", 3, &info), ERR_OK);
}
END_TEST

static struct store_wait
capacity_wait(const char *id)
{
	struct store_wait w;

	ck_assert_int_eq(store_debate_wait(kit.store, STORE_TENANT_DEFAULT, id,
			     KIT_LEASE_US, &w),
	    ERR_OK);
	return w;
}

/* Nothing is told before there is something to tell it from. */
START_TEST(test_estimate)
{
	struct store_runner runner = {
	    .id = "r1", .host = "h", .pid = 1, .capacity = 2};

	kit_create("first", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(store_runner_seen(kit.store, &runner), ERR_OK);
	const char *id = kit_create("second", 0);
	ck_assert_int_eq(capacity_wait(id).position, 1);
	ck_assert_int_eq(capacity_wait(id).wait_us, -1);
	ck_assert_int_eq(kit_step(&d, 1, STORE_COMPLETED), ERR_OK);
	d = kit_get(d.id);
	int64_t span = d.completed_us - d.started_us;
	ck_assert_int_gt(span, 0);
	ck_assert_int_eq(capacity_wait(id).wait_us, 0); /* there is room */
	const char *ids[3];
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = kit_create("more", 0);
	ck_assert_int_eq(capacity_wait(ids[2]).position, 4);
	ck_assert_int_eq(capacity_wait(ids[2]).wait_us, span);
	ck_assert_int_eq(store_runner_gone(kit.store, "r1"), ERR_OK);
	ck_assert_int_eq(capacity_wait(ids[2]).wait_us, -1);
}
END_TEST

static enum err
capacity_pause(const char *tenant, const char *id, bool is_pause, int64_t *seq,
    enum store_status *status)
{
	struct store_event event = {
	    .type = is_pause ? "debate_paused" : "debate_resumed",
	    .data = "{}"};
	enum err e = is_pause
	    ? store_debate_pause(kit.store, tenant, id, &event, status)
	    : store_debate_resume(kit.store, tenant, id, &event, status);

	*seq = event.seq;
	return e;
}

/* Steps of a table: what is done, what comes of it. */
static void
capacity_expect(
    const char *id, bool is_pause, enum store_status wanted, int64_t wanted_seq)
{
	enum store_status status;
	int64_t seq;

	ck_assert_int_eq(
	    capacity_pause(STORE_TENANT_DEFAULT, id, is_pause, &seq, &status),
	    ERR_OK);
	ck_assert_int_eq(status, wanted);
	ck_assert_int_eq(seq, wanted_seq);
}

START_TEST(test_pause_waiting)
{
	struct store_debate *rows;
	enum store_status status;
	int64_t seq;
	size_t n;

	const char *id = kit_create("p", 0);
	capacity_expect(id, false, STORE_PENDING, 0);
	capacity_expect(id, true, STORE_PAUSED, 1);
	capacity_expect(id, true, STORE_PAUSED, 0);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r1", KIT_LEASE_US, 1, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(
	    capacity_pause("them", id, false, &seq, &status), ERR_NOT_FOUND);
	capacity_expect(id, false, STORE_PENDING, 2);
	capacity_expect(id, false, STORE_PENDING, 0);
	struct store_debate d = kit_claim("r1");
	kit_check_events(id, 2);
	ck_assert_int_eq(kit_step(&d, 1, STORE_COMPLETED), ERR_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(capacity_pause(STORE_TENANT_DEFAULT, id,
				     i == 0, &seq, &status),
		    ERR_CONFLICT);
	kit_check_events(id, 3);
}
END_TEST

/* A runner's debate is its runner's to park; its time stands still. */
START_TEST(test_pause_running)
{
	struct store_event event = {.type = "debate_paused", .data = "{}"};
	bool pausing;

	const char *id = kit_create("p", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(
	    store_pausing(kit.store, &d.id, &d.lease_epoch, 1, &pausing),
	    ERR_OK);
	ck_assert(!pausing);
	ck_assert_int_eq(
	    store_park(kit.store, d.tenant, id, d.lease_epoch, &event),
	    ERR_CONFLICT);
	capacity_expect(id, true, STORE_RUNNING, 0);
	ck_assert_int_eq(
	    store_pausing(kit.store, &d.id, &d.lease_epoch, 1, &pausing),
	    ERR_OK);
	ck_assert(pausing);
	capacity_expect(id, false, STORE_RUNNING, 0); /* thought better */
	ck_assert_int_eq(
	    store_park(kit.store, d.tenant, id, d.lease_epoch, &event),
	    ERR_CONFLICT);
	capacity_expect(id, true, STORE_RUNNING, 0);
	ck_assert_int_eq(
	    store_park(kit.store, "them", id, d.lease_epoch, &event),
	    ERR_CONFLICT);
	ck_assert_int_eq(
	    store_park(kit.store, d.tenant, id, d.lease_epoch - 1, &event),
	    ERR_CONFLICT);
	ck_assert_int_eq(
	    store_park(kit.store, d.tenant, id, d.lease_epoch, &event), ERR_OK);
	ck_assert_int_eq(event.seq, 1);
	struct store_debate parked = kit_get(id);
	ck_assert_int_eq(parked.status, STORE_PAUSED);
	ck_assert_ptr_null(parked.runner);
	ck_assert_int_eq(parked.lease_until_us, 0);
	ck_assert_int_eq(kit_step(&d, 1, STORE_RUNNING), ERR_FENCED);
	capacity_expect(id, false, STORE_PENDING, 2);
	struct store_debate again = kit_get(id);
	ck_assert_int_eq(again.started_us - parked.started_us,
	    again.updated_us - parked.updated_us);
	ck_assert_int_eq(kit_claim("r2").lease_epoch, d.lease_epoch + 1);
	kit_check_events(id, 2);
}
END_TEST

void
add_capacity(TCase *t)
{
	tcase_add_test(t, test_fair_one_by_one);
	tcase_add_test(t, test_fair_at_once);
	tcase_add_test(t, test_queue_limits);
	tcase_add_test(t, test_estimate);
	tcase_add_test(t, test_pause_waiting);
	tcase_add_test(t, test_pause_running);
}
