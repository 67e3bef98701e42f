/* SPDX-License-Identifier: MIT
 *
 * What each verb promises, seen by one caller.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/store_account.h"
#include "store/store_tx.h"
#include "store/store_key.h"
#include "tests/store/store_kit.h"

START_TEST(test_create_get)
{
	const char *id = kit_create("Is 100% ünïcode \"fine\"?", 3);
	struct store_debate d = kit_get(id);

	ck_assert_str_eq(d.task, "Is 100% ünïcode \"fine\"?");
	ck_assert_str_eq(d.slug, id);
	ck_assert_int_eq(d.status, STORE_PENDING);
	ck_assert_int_eq(d.priority, 3);
	ck_assert_int_eq(d.last_seq, 0);
	ck_assert_int_gt(d.created_us, 0);
	ck_assert_ptr_null(d.result);
	ck_assert_int_eq(
	    store_debate_get(kit.store, kit.arena, "other", id, &d),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "adhoc_none", &d),
	    ERR_NOT_FOUND);
}
END_TEST

/* Where it was asked for stays with it, and with what is told of it. */
START_TEST(test_trace)
{
	static const char parent[] =
	    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	const struct store_debate d = {.id = "traced",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}",
	    .trace_parent = parent,
	    .trace_state = "rojo=1",
	    .request_id = "r-1"};
	struct store_event *rows;
	size_t n;

	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 9, NULL), ERR_OK);
	struct store_debate mine = kit_claim("r1");
	ck_assert_str_eq(mine.trace_parent, parent);
	ck_assert_str_eq(mine.trace_state, "rojo=1");
	ck_assert_str_eq(mine.request_id, "r-1");
	ck_assert_int_eq(kit_step(&mine, 2, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(store_event_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d.id, 0, 9, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[1].trace_parent, parent);
	ck_assert_ptr_null(kit_get(kit_create("bare", 0)).trace_parent);
}
END_TEST

START_TEST(test_create_refused)
{
	struct err_info info = {0};
	struct store_key key = {.a = kit.arena,
	    .text = "key",
	    .target = "POST /debates",
	    .hash = "h1"};
	struct store_debate d = {.id = "a1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}",
	    .key = &key};

	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info), ERR_OK);
	ck_assert(!key.is_replay);
	ck_assert_str_eq(key.ref, "a1");
	d.id = "a2";
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info), ERR_OK);
	ck_assert(key.is_replay);
	ck_assert_str_eq(key.ref, "a1");
	key.hash = "h2";
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info),
	    ERR_CONFLICT);
	ck_assert_str_eq(info.field, "Idempotency-Key");
	ck_assert_ptr_null(key.ref);
	d.key = NULL;
	d.id = "a1";
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info),
	    ERR_EXISTS);
	d.id = "a3";
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info), ERR_OK);
	d.id = "a4";
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 2, &info), ERR_BUSY);
	ck_assert_str_eq(info.field, "queue");
}
END_TEST

START_TEST(test_list)
{
	struct store_debate *rows;
	size_t n;
	int64_t total;
	const char *first = kit_create("Apples or 50% pears", 0);

	kit_create("Oranges", 0);
	kit_create("apples again", 0);
	struct store_debate_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 2};
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(total, 3);
	ck_assert_str_eq(rows[0].task, "apples again");
	f.query = "APPLES";
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 2);
	f.query = "0% p";
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 1);
	ck_assert_str_eq(rows[0].id, first);
	f.query = NULL;
	f.status = STORE_RUNNING;
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 0);
	f.status = -1;
	f.tenant = "other";
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 0);
}
END_TEST

static int64_t
list_total(const struct store_debate_filter *f)
{
	struct store_debate *rows;
	int64_t total;
	size_t n;

	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, f, &rows, &n, &total),
	    ERR_OK);
	return total;
}

/* The wide filter gives what the narrow one gives, and what it leaves out. */
START_TEST(test_list_wide)
{
	struct store_debate *rows;
	struct store_stat *stats;
	size_t n, n_stats;
	int64_t total;
	const char *const names[] = {"a", "b \"c\""};
	const char *id = kit_create("wide", 0);
	struct store_debate other = {.id = "wide2",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "wide too",
	    .config = "{\"domain\":\"law\",\"tags\":[\"x\",\"y\"],"
		      "\"agents\":[{\"name\":\"a\"},"
		      "{\"name\":\"b \\\"c\\\"\"}]}"};
	struct store_debate_filter f = {.tenant = STORE_TENANT_DEFAULT,
	    .status = -1,
	    .is_ascending = true,
	    .limit = 9};

	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &other, 9, NULL), ERR_OK);
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].id, id);
	f.agents = names;
	f.n_agents = ARRAY_LEN(names);
	f.domain = "law";
	f.tag = "y";
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(total, 1);
	ck_assert_str_eq(rows[0].id, "wide2");
	f.min_rounds = 1;
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(
	    store_debate_stats(kit.store, kit.arena, STORE_TENANT_DEFAULT, 0,
		&f.read, &stats, &n_stats),
	    ERR_OK);
	ck_assert_uint_eq(n_stats, 2);
	ck_assert_str_eq(stats[0].domain, "");
	ck_assert_str_eq(stats[1].domain, "law");
	ck_assert_int_eq(stats[1].status, STORE_PENDING);
	ck_assert_int_eq(stats[1].debates, 1);
	ck_assert_int_eq(store_debate_stats(kit.store, kit.arena, "other", 0,
			     &f.read, &stats, &n_stats),
	    ERR_OK);
	ck_assert_uint_eq(n_stats, 0);
}
END_TEST

START_TEST(test_list_window)
{
	struct store_debate *rows;
	size_t n;
	int64_t total;
	struct store_debate_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 2};

	for (int i = 0; i < 5; i++)
		kit_create("Über \\ 'quotes' 100%_!", i);
	f.offset = 4;
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(total, 5);
	int64_t oldest = rows[0].created_us;
	f.offset = 0;
	f.until_us = oldest;
	ck_assert_int_eq(list_total(&f), 1);
	f.since_us = oldest + 1;
	f.until_us = 0;
	ck_assert_int_eq(list_total(&f), 4);
	f.since_us = 0;

	f.query = "Über"; /* itself, whatever the database folds */
	ck_assert_int_eq(list_total(&f), 5);
	f.query = "\\ 'QUOTES' 100%_!";
	ck_assert_int_eq(list_total(&f), 5);
	f.query = "100__!";
	ck_assert_int_eq(list_total(&f), 0);
	f.query = NULL;

	struct store_debate d = kit_claim("r1");
	f.status = STORE_RUNNING;
	ck_assert_int_eq(list_total(&f), 1);
	ck_assert_int_eq(kit_step(&d, 1, STORE_FAILED), ERR_OK);
	ck_assert_int_eq(list_total(&f), 0);
	f.status = STORE_FAILED;
	ck_assert_int_eq(list_total(&f), 1);
}
END_TEST

START_TEST(test_counts)
{
	struct store_counts now;
	struct store_debate *rows;
	size_t n;

	for (int i = 0; i < 4; i++)
		kit_create("q", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r2", -1, 1, &rows, &n), ERR_OK);
	ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
	ck_assert_int_eq(now.pending, 2);
	ck_assert_int_eq(now.active, 1); /* the other lease is over */
	ck_assert_int_eq(kit_step(&d, 1, STORE_COMPLETED), ERR_OK);
	ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
	ck_assert_int_eq(now.active, 0);
}
END_TEST

/* Priority first, then age; a lease that ran out keeps its place. */
START_TEST(test_claim_age)
{
	const char *ids[5];
	struct store_debate *rows;
	size_t n;

	for (int i = 0; i < 5; i++)
		ids[i] = kit_create("q", i == 3 ? 1 : 0);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r0", -1, 2, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].id, ids[3]);
	ck_assert_str_eq(rows[1].id, ids[0]);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r1", KIT_LEASE_US, 0, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r1", KIT_LEASE_US, 4, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 4);
	static const size_t order[] = {3, 0, 1, 2};
	for (size_t i = 0; i < 4; i++)
		ck_assert_str_eq(rows[i].id, ids[order[i]]);
	ck_assert_int_eq(rows[0].attempts, 2);
	ck_assert_int_eq(rows[2].attempts, 1);
}
END_TEST

START_TEST(test_claim_one)
{
	struct store_debate d;
	const char *first = kit_create("q", 0);
	const char *second = kit_create("q", 9);

	ck_assert_int_eq(store_claim_one(kit.store, kit.arena, "r1",
			     KIT_LEASE_US, first, &d),
	    ERR_OK);
	ck_assert_str_eq(d.id, first);
	ck_assert_int_eq(store_claim_one(kit.store, kit.arena, "r2",
			     KIT_LEASE_US, first, &d),
	    ERR_NOT_FOUND);
	ck_assert_str_eq(kit_get(first).runner, "r1");
	ck_assert_int_eq(kit_get(second).status, STORE_PENDING);
}
END_TEST

START_TEST(test_claim_order)
{
	const char *low = kit_create("low", 0);
	const char *high = kit_create("high", 5);
	int64_t position = -1;
	struct store_debate *rows;
	size_t n;

	ck_assert_int_eq(store_debate_queue_position(
			     kit.store, STORE_TENANT_DEFAULT, low, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 2);
	struct store_debate d = kit_claim("r1");
	ck_assert_str_eq(d.id, high);
	ck_assert_int_eq(d.lease_epoch, 1);
	ck_assert_int_eq(d.status, STORE_RUNNING);
	ck_assert_str_eq(kit_claim("r2").id, low);
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r3", KIT_LEASE_US, 5, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_debate_queue_position(
			     kit.store, STORE_TENANT_DEFAULT, low, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 0);
}
END_TEST

START_TEST(test_lease_and_fence)
{
	kit_create("q", 0);
	struct store_debate *rows;
	size_t n;

	/* A lease that has ended already: another runner may take over. */
	ck_assert_int_eq(
	    store_claim(kit.store, kit.arena, "r1", -1, 1, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	struct store_debate old = rows[0];
	ck_assert_int_eq(kit_step(&old, 2, STORE_RUNNING), ERR_OK);
	struct store_debate fresh = kit_claim("r2");
	ck_assert_str_eq(fresh.id, old.id);
	ck_assert_int_eq(fresh.lease_epoch, old.lease_epoch + 1);
	ck_assert_int_eq(fresh.attempts, 2);

	ck_assert_int_eq(kit_step(&old, 1, STORE_COMPLETED), ERR_FENCED);
	ck_assert_int_eq(kit_get(old.id).status, STORE_RUNNING);
	ck_assert_int_eq(kit_get(old.id).last_seq, 2);

	const char *ids[] = {old.id, fresh.id};
	int64_t epochs[] = {old.lease_epoch, fresh.lease_epoch};
	bool lost[2];
	ck_assert_int_eq(
	    store_heartbeat(kit.store, ids, epochs, 2, KIT_LEASE_US, lost),
	    ERR_OK);
	ck_assert(lost[0]);
	ck_assert(!lost[1]);

	ck_assert_int_eq(store_release(kit.store, STORE_TENANT_DEFAULT, old.id,
			     old.lease_epoch),
	    ERR_OK);
	ck_assert_str_eq(
	    kit_get(old.id).runner, "r2"); /* not ours to release */
	ck_assert_int_eq(store_release(kit.store, STORE_TENANT_DEFAULT,
			     fresh.id, fresh.lease_epoch),
	    ERR_OK);
	ck_assert_int_eq(kit_claim("r3").lease_epoch, fresh.lease_epoch + 1);
}
END_TEST

START_TEST(test_commit_group)
{
	struct store_debate d[3];
	struct store_event events[3][2];
	struct store_turn turn = {.step_key = "1/propose/demo/",
	    .round = 1,
	    .phase = "propose",
	    .agent = "demo",
	    .role = "proposer",
	    .state = STORE_TURN_DONE,
	    .attempt = 1,
	    .content = "text",
	    .parsed = "{\"confidence\":0.5}"};
	size_t turn_event[] = {2};
	struct store_transition t[3] = {0};
	struct store_transition *all[3];
	struct store_turn *turns;
	struct store_event *rows;
	size_t n;

	for (int i = 0; i < 3; i++)
		kit_create("g", 0);
	for (int i = 0; i < 3; i++) {
		d[i] = kit_claim("r1");
		for (int k = 0; k < 2; k++)
			events[i][k] = (struct store_event){
			    .type = k == 0 ? "round_start" : "agent_message",
			    .round = 1,
			    .agent = k == 0 ? NULL : "demo",
			    .data = "{\"a\":1}"};
		t[i] = (struct store_transition){.tenant = STORE_TENANT_DEFAULT,
		    .debate_id = d[i].id,
		    .lease_epoch = d[i].lease_epoch + (i == 1),
		    .events = events[i],
		    .n_events = 2,
		    .turns = &turn,
		    .n_turns = i == 0,
		    .turn_event = i == 0 ? turn_event : NULL,
		    .status = i == 2 ? STORE_COMPLETED : STORE_RUNNING,
		    .result = i == 2 ? "{\"x\":1}" : NULL,
		    .confidence = 0.1 + 0.7, /* needs 17 digits */
		    .consensus_reached = i == 2,
		    .phase = "propose",
		    .round = 1};
		all[i] = &t[i];
	}
	ck_assert_int_eq(store_commit(kit.store, all, 3), ERR_OK);
	ck_assert_int_eq(t[0].outcome, ERR_OK);
	ck_assert_int_eq(t[1].outcome, ERR_FENCED);
	ck_assert_int_eq(t[2].outcome, ERR_OK);

	ck_assert_int_eq(store_turn_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d[0].id, &turns, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(turns[0].content, "text");
	ck_assert_int_eq(turns[0].seq, 2);
	ck_assert_int_eq(store_event_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d[0].id, 1, 10, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].seq, 2);
	ck_assert_str_eq(rows[0].agent, "demo");
	ck_assert_int_eq(store_event_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d[1].id, 0, 10, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);

	struct store_debate done = kit_get(d[2].id);
	ck_assert_int_eq(done.status, STORE_COMPLETED);
	ck_assert_int_gt(done.completed_us, 0);
	ck_assert(done.consensus_reached);
	ck_assert_ptr_null(done.runner);
	ck_assert_str_eq(done.result, "{\"x\":1}");
	ck_assert_double_eq(done.confidence, 0.1 + 0.7);

	const char *ids[] = {d[0].id, "adhoc_none", d[2].id};
	int64_t heads[3];
	ck_assert_int_eq(
	    store_event_heads(kit.store, kit.arena, ids, 3, heads), ERR_OK);
	ck_assert_int_eq(heads[0], 2);
	ck_assert_int_eq(heads[1], -1);
	ck_assert_int_eq(heads[2], 2);
}
END_TEST

START_TEST(test_commit_release)
{
	struct store_turn turns[4] = {0};
	static const char *const keys[] = {"1/b", "1/B", "1/_", "1/a"};
	static const char *const sorted[] = {"1/B", "1/_", "1/a", "1/b"};
	struct store_turn *rows;
	size_t n;

	kit_create("r", 0);
	struct store_debate d = kit_claim("r1");
	for (int i = 0; i < 4; i++)
		turns[i] = (struct store_turn){.step_key = keys[i],
		    .round = 1,
		    .phase = "propose",
		    .agent = "demo",
		    .role = "proposer",
		    .state = STORE_TURN_STARTED,
		    .attempt = 1};
	struct store_transition t = {.tenant = STORE_TENANT_DEFAULT,
	    .debate_id = d.id,
	    .lease_epoch = d.lease_epoch,
	    .turns = turns,
	    .n_turns = 4,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .error = "a first error",
	    .is_release = true};
	struct store_transition *one = &t;
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
	ck_assert_ptr_null(kit_get(d.id).runner);
	ck_assert_str_eq(kit_get(d.id).error, "a first error");
	ck_assert_int_eq(store_turn_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d.id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 4);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(rows[i].step_key, sorted[i]);
		ck_assert_int_gt(rows[i].started_us, 0);
		ck_assert_int_eq(rows[i].finished_us, 0);
	}

	/* Taken up again: the turn is the same row, its start too. */
	struct store_debate again = kit_claim("r2");
	ck_assert_int_eq(again.lease_epoch, d.lease_epoch + 1);
	int64_t started = rows[3].started_us;
	turns[0].state = STORE_TURN_DONE;
	turns[0].content = "text";
	turns[0].attempt = 2;
	turns[0].started_us = 0;
	t.lease_epoch = again.lease_epoch;
	t.n_turns = 1;
	t.is_release = false;
	t.error = NULL;
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
	ck_assert_int_eq(store_turn_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d.id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_int_eq(rows[3].attempt, 2);
	ck_assert_int_eq(rows[3].started_us, started);
	ck_assert_int_gt(rows[3].finished_us, 0);
	ck_assert_str_eq(kit_get(d.id).error, "a first error"); /* kept */
	ck_assert_str_eq(kit_get(d.id).runner, "r2");
}
END_TEST

START_TEST(test_empty_lists)
{
	bool lost = true;
	int64_t head = 7;

	ck_assert_int_eq(
	    store_heartbeat(kit.store, NULL, NULL, 0, KIT_LEASE_US, &lost),
	    ERR_OK);
	ck_assert_int_eq(
	    store_event_heads(kit.store, kit.arena, NULL, 0, &head), ERR_OK);
	ck_assert_int_eq(store_commit(kit.store, NULL, 0), ERR_OK);
	ck_assert_int_eq(head, 7);

	const char *odd[] = {"a\"b\\c", "'; DROP TABLE debates; --"};
	int64_t heads[2];
	ck_assert_int_eq(
	    store_event_heads(kit.store, kit.arena, odd, 2, heads), ERR_OK);
	ck_assert_int_eq(heads[0], -1);
	ck_assert_int_eq(heads[1], -1);
}
END_TEST

START_TEST(test_cancel)
{
	const char *id = kit_create("c", 0);
	struct store_debate d = kit_claim("r1");
	struct store_event end = {.type = "debate_end", .data = "{}"};

	ck_assert_int_eq(kit_step(&d, 3, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, "other", id, &end), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_OK);
	ck_assert_int_eq(end.seq, 4);
	ck_assert_int_eq(kit_step(&d, 1, STORE_RUNNING), ERR_FENCED);
	ck_assert_int_eq(kit_get(id).status, STORE_CANCELLED);
	ck_assert_int_eq(kit_get(id).last_seq, 4);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_CONFLICT);
}
END_TEST

START_TEST(test_tokens)
{
	struct store_token t = {.id = "tok_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .name = "laptop",
	    .prefix = "ara_12345678",
	    .hash = "abcd",
	    .tier = "premium",
	    .owner = "user_1",
	    .scopes = "read"};
	struct store_token *rows;
	struct store_access found;
	size_t n;
	bool any = true;

	ck_assert_int_eq(store_token_any(kit.store, &any), ERR_OK);
	ck_assert(!any);
	ck_assert_int_eq(store_token_create(kit.store, &t), ERR_OK);
	ck_assert_int_eq(store_token_create(kit.store, &t), ERR_EXISTS);
	ck_assert_int_eq(
	    store_token_find(kit.store, kit.arena, "abcd", &found), ERR_OK);
	ck_assert_str_eq(found.token.tier, "premium");
	ck_assert_int_eq(store_token_find(kit.store, kit.arena, "abce", &found),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_token_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "user_2", &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_token_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, NULL, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(rows[0].scopes, "read");
	ck_assert_str_eq(rows[0].owner, "user_1");
	ck_assert_int_gt(rows[0].last_used_us, 0);

	t.id = "tok_2";
	t.hash = "late";
	t.expires_us = 1;
	ck_assert_int_eq(store_token_create(kit.store, &t), ERR_OK);
	ck_assert_int_eq(store_token_find(kit.store, kit.arena, "late", &found),
	    ERR_NOT_FOUND);

	ck_assert_int_eq(store_token_revoke(kit.store, "other", NULL, "tok_1"),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_token_revoke(kit.store, STORE_TENANT_DEFAULT,
			     "user_2", "tok_1"),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_token_revoke(kit.store, STORE_TENANT_DEFAULT,
			     "user_1", "tok_1"),
	    ERR_OK);
	ck_assert_int_eq(store_token_find(kit.store, kit.arena, "abcd", &found),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_token_revoke(kit.store, STORE_TENANT_DEFAULT, NULL, "tok_1"),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_runners)
{
	struct store_runner r = {
	    .id = "r1", .host = "h", .pid = 7, .capacity = 10, .active = 1};
	struct store_runner *rows;
	size_t n;

	ck_assert_int_eq(store_runner_seen(kit.store, &r), ERR_OK);
	r.active = 2;
	ck_assert_int_eq(store_runner_seen(kit.store, &r), ERR_OK);
	ck_assert_int_eq(
	    store_runner_list(kit.store, kit.arena, KIT_LEASE_US, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].active, 2);
	ck_assert_int_eq(store_runner_gone(kit.store, "r1"), ERR_OK);
	ck_assert_int_eq(
	    store_runner_list(kit.store, kit.arena, KIT_LEASE_US, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* ---- a group that meets itself ---- */

#define GROUP_MAX 3

static void
group_fill(struct store_transition *t, const struct store_debate *d,
    const char *tenant, struct store_event *event, struct store_turn *turn)
{
	static const size_t announced[] = {1};

	*t = (struct store_transition){.tenant = tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = event,
	    .n_events = 1,
	    .turns = turn,
	    .n_turns = 1,
	    .turn_event = announced,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .round = 1};
	*event = (struct store_event){.type = "agent_message",
	    .round = 1,
	    .data = "{\"content\":\"\\\"\\u00e4\\n'$1\"}"};
}

/* One debate twice, the same turn in both, and another debate whose lease is
 * gone: the order is kept, the turn is the later one, the other is fenced. */
START_TEST(test_group_meets_itself)
{
	struct store_transition t[GROUP_MAX];
	struct store_transition *group[GROUP_MAX] = {&t[0], &t[1], &t[2]};
	struct store_event events[GROUP_MAX];
	struct store_turn turns[GROUP_MAX], *rows;
	size_t n;

	kit_create("first", 1);
	kit_create("second", 0);
	struct store_debate first = kit_claim("r");
	struct store_debate second = kit_claim("r");
	for (int i = 0; i < GROUP_MAX; i++) {
		turns[i] = (struct store_turn){.step_key = "1/propose/x/",
		    .round = 1,
		    .phase = "propose",
		    .agent = "x",
		    .role = "proposer",
		    .state = i == 0 ? STORE_TURN_STARTED : STORE_TURN_DONE,
		    .attempt = i + 1,
		    .content = i == 0 ? NULL : "it's \"done\"\n\\ \xc3\xa4",
		    .started_us = i + 5};
		group_fill(&t[i], i < 2 ? &first : &second,
		    STORE_TENANT_DEFAULT, &events[i], &turns[i]);
	}
	t[1].status = STORE_COMPLETED;
	t[1].result = "{\"a\":1}";
	t[1].confidence = 0.1;
	t[2].lease_epoch++;
	ck_assert_int_eq(store_commit(kit.store, group, GROUP_MAX), ERR_OK);
	ck_assert_int_eq(t[0].outcome, ERR_OK);
	ck_assert_int_eq(t[1].outcome, ERR_OK);
	ck_assert_int_eq(t[2].outcome, ERR_FENCED);
	ck_assert_int_eq(events[0].seq, 1);
	ck_assert_int_eq(events[1].seq, 2);
	kit_check_events(first.id, 2);
	kit_check_events(second.id, 0);
	struct store_debate got = kit_get(first.id);
	ck_assert_int_eq(got.status, STORE_COMPLETED);
	ck_assert_str_eq(got.result, "{\"a\":1}");
	ck_assert_double_eq(got.confidence, 0.1);
	ck_assert_int_eq(got.lease_until_us, 0);
	ck_assert_int_gt(got.completed_us, 0);
	ck_assert_int_eq(store_turn_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, first.id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].attempt, 2);
	ck_assert_int_eq(rows[0].seq, 2);
	ck_assert_int_eq(rows[0].started_us, 5); /* of the first time */
	ck_assert_int_gt(rows[0].finished_us, 5);
	ck_assert_str_eq(rows[0].content, turns[1].content);
	ck_assert_ptr_null(rows[0].target);
	/* What ended takes no more. */
	ck_assert_int_eq(store_commit(kit.store, group, 1), ERR_OK);
	ck_assert_int_eq(t[0].outcome, ERR_FENCED);
}
END_TEST

void
add_verbs(TCase *t)
{
	tcase_add_test(t, test_create_get);
	tcase_add_test(t, test_trace);
	tcase_add_test(t, test_create_refused);
	tcase_add_test(t, test_list);
	tcase_add_test(t, test_list_wide);
	tcase_add_test(t, test_list_window);
	tcase_add_test(t, test_counts);
	tcase_add_test(t, test_claim_age);
	tcase_add_test(t, test_claim_one);
	tcase_add_test(t, test_claim_order);
	tcase_add_test(t, test_lease_and_fence);
	tcase_add_test(t, test_commit_group);
	tcase_add_test(t, test_commit_release);
	tcase_add_test(t, test_empty_lists);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_tokens);
	tcase_add_test(t, test_runners);
	tcase_add_test(t, test_group_meets_itself);
}
