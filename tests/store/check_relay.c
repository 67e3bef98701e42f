/* SPDX-License-Identifier: MIT
 *
 * The connection to PostgreSQL is lost at the worst moments: what was written
 * is there once, whatever the moment was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store_key.h"
#include "tests/store/pg_relay.h"
#include "tests/store/store_kit.h"

static char relay_folder[64];
static struct relay *relay;

static void
relay_setup(void)
{
	struct err_info info = {0};
	char path[128], url[256];
	const char *tmp = getenv("TMPDIR");

	snprintf(relay_folder, sizeof(relay_folder), "%s/relay-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(relay_folder));
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", relay_folder);
	relay = relay_start(path, kit.pg_socket);
	snprintf(url, sizeof(url), "postgresql://%s@/aragora?host=%s",
	    kit.pg_user, relay_folder);
	setenv("ARAGORA_DATABASE_URL", url, 1);
	ck_assert_msg(kit_reopen(&info) == ERR_OK, "%s", info.text);
}

static void
relay_teardown(void)
{
	ck_assert_int_eq(relay_left(relay), 0);
	store_close(&kit.store);
	relay_stop(&relay);
	ck_assert_int_eq(rmdir(relay_folder), 0);
}

START_TEST(test_lost_before_commit)
{
	relay_setup();
	kit_create("l", 0);
	struct store_debate d = kit_claim("r1");
	relay_arm(relay, "INSERT INTO events", RELAY_CUT_BEFORE, 2);
	ck_assert_int_eq(kit_step(&d, 2, STORE_RUNNING), ERR_OK);
	relay_arm(relay, "UPDATE debates", RELAY_CUT_AFTER, 2);
	ck_assert_int_eq(kit_step(&d, 2, STORE_RUNNING), ERR_OK);
	kit_check_events(d.id, 4);
	relay_teardown();
}
END_TEST

static int64_t
relay_count(void)
{
	struct store_debate_filter all = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 10};
	struct store_debate *rows;
	int64_t total;
	size_t n;

	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &all, &rows, &n, &total),
	    ERR_OK);
	return total;
}

/* Reads that lose their connection anywhere, the end included, are repeated. */
START_TEST(test_lost_read)
{
	relay_setup();
	const char *id = kit_create("l", 0);
	relay_arm(relay, "FROM debates", RELAY_CUT_AFTER, 1);
	ck_assert_str_eq(kit_get(id).task, "l");
	relay_arm(relay, "COMMIT", RELAY_CUT_BEFORE, 1);
	ck_assert_int_eq(relay_count(), 1);
	relay_teardown();
}
END_TEST

/* How often each verb waits for the server, on a connection that is open. */
START_TEST(test_round_trips)
{
	struct store_debate d[KIT_THREADS];
	struct store_transition t[KIT_THREADS];
	struct store_event events[KIT_THREADS][2];
	struct store_transition *all[KIT_THREADS];
	struct store_event *rows;
	size_t n;

	relay_setup();
	kit_create("first", 0);
	(void)relay_trips(relay);
	for (size_t i = 0; i < KIT_THREADS; i++)
		kit_create("more", 0);
	/* Look and count; insert and commit. */
	ck_assert_int_eq(relay_trips(relay), 2 * KIT_THREADS);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		d[i] = kit_claim("r1");
		for (size_t j = 0; j < ARRAY_LEN(events[i]); j++)
			events[i][j] = (struct store_event){
			    .type = "agent_message", .data = "{}"};
		t[i] = (struct store_transition){.tenant = d[i].tenant,
		    .debate_id = d[i].id,
		    .lease_epoch = d[i].lease_epoch,
		    .events = events[i],
		    .n_events = ARRAY_LEN(events[i]),
		    .status = STORE_RUNNING,
		    .phase = "propose"};
		all[i] = &t[i];
	}
	(void)relay_trips(relay);
	ck_assert_int_eq(store_commit(kit.store, all, KIT_THREADS), ERR_OK);
	ck_assert_int_eq(relay_trips(relay), 2);
	kit_get(d[0].id);
	ck_assert_int_eq(relay_trips(relay), 1);
	ck_assert_int_eq(store_event_list(kit.store, kit.arena, d[0].tenant,
			     d[0].id, 0, 10, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, ARRAY_LEN(events[0]));
	ck_assert_int_eq(relay_trips(relay), 1);
	ck_assert_int_eq(relay_count(), 1 + KIT_THREADS);
	ck_assert_int_eq(relay_trips(relay), 2);
	relay_teardown();
}
END_TEST

START_TEST(test_lost_in_commit)
{
	relay_setup();
	kit_create("l", 0);
	struct store_debate d = kit_claim("r1");
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(kit_step(&d, 3, STORE_RUNNING), ERR_OK);
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 2);
	ck_assert_int_eq(kit_step(&d, 2, STORE_COMPLETED), ERR_OK);
	kit_check_events(d.id, 5);
	ck_assert_int_eq(kit_get(d.id).status, STORE_COMPLETED);
	relay_teardown();
}
END_TEST

/* A whole group: one is fenced, two are not, all of them once. */
START_TEST(test_lost_group)
{
	struct store_event events[3];
	struct store_transition t[3];
	struct store_transition *all[3];

	relay_setup();
	for (int i = 0; i < 3; i++)
		kit_create("g", 0);
	for (int i = 0; i < 3; i++) {
		struct store_debate d = kit_claim("r1");
		events[i] =
		    (struct store_event){.type = "agent_message", .data = "{}"};
		t[i] = (struct store_transition){.tenant = STORE_TENANT_DEFAULT,
		    .debate_id = d.id,
		    .lease_epoch = d.lease_epoch - (i == 1),
		    .events = &events[i],
		    .n_events = 1,
		    .status = STORE_RUNNING,
		    .phase = "propose"};
		all[i] = &t[i];
	}
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(store_commit(kit.store, all, 3), ERR_OK);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(t[i].outcome, i == 1 ? ERR_FENCED : ERR_OK);
		kit_check_events(t[i].debate_id, i != 1);
	}
	relay_teardown();
}
END_TEST

/* The server is away when it is asked what became of it: the caller keeps the
 * transition and asks again. */
START_TEST(test_uncertain)
{
	struct store_event event = {.type = "agent_message", .data = "{}"};

	relay_setup();
	kit_create("l", 0);
	struct store_debate d = kit_claim("r1");
	struct store_transition t = {.tenant = STORE_TENANT_DEFAULT,
	    .debate_id = d.id,
	    .lease_epoch = d.lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_RUNNING,
	    .phase = "propose"};
	struct store_transition *one = &t;
	relay_refuse_after_cut(relay);
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
		    store_commit(kit.store, &one, 1), ERR_UNCERTAIN);
		ck_assert_int_eq(t.outcome, ERR_UNCERTAIN);
	}
	relay_accept(relay);
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
	ck_assert_int_eq(event.seq, 1);
	kit_check_events(d.id, 1);
	relay_teardown();
}
END_TEST

START_TEST(test_lost_create)
{
	struct store_key key = {.a = kit.arena,
	    .text = "key",
	    .target = "POST /debates",
	    .hash = "hash"};
	struct store_debate d = {.id = "a1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}"};

	relay_setup();
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 10, NULL), ERR_OK);
	d.id = "a2";
	d.key = &key;
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 10, NULL), ERR_OK);
	ck_assert(!key.is_replay);
	ck_assert_str_eq(key.ref, "a2");
	d.key = NULL;
	ck_assert_str_eq(kit_get("a1").id, "a1");
	ck_assert_str_eq(kit_get("a2").id, "a2");

	/* Still uncertain when nobody answers any more. */
	d.id = "a3";
	relay_refuse_after_cut(relay);
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 10, NULL),
	    ERR_UNCERTAIN);
	relay_teardown();
}
END_TEST

START_TEST(test_lost_cancel)
{
	struct store_event end = {.type = "debate_end", .data = "{}"};

	relay_setup();
	const char *id = kit_create("c", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(kit_step(&d, 2, STORE_RUNNING), ERR_OK);
	relay_arm(relay, "COMMIT", (enum relay_cut)_i, 1);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_OK);
	ck_assert_int_eq(end.seq, 3);
	kit_check_events(id, 3);
	ck_assert_int_eq(kit_get(id).status, STORE_CANCELLED);
	relay_teardown();
}
END_TEST

void
add_relay(TCase *t)
{
	const int cuts = RELAY_CUT_EARLY + 1;

	tcase_add_test(t, test_lost_before_commit);
	tcase_add_test(t, test_lost_read);
	tcase_add_test(t, test_round_trips);
	tcase_add_loop_test(t, test_lost_in_commit, 0, cuts);
	tcase_add_loop_test(t, test_lost_group, 0, cuts);
	tcase_add_loop_test(t, test_uncertain, 0, cuts);
	tcase_add_loop_test(t, test_lost_create, 0, cuts);
	tcase_add_loop_test(t, test_lost_cancel, 0, cuts);
}
