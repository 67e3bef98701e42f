/* SPDX-License-Identifier: MIT
 *
 * Requests to providers as rows: before they leave, when they are over, and
 * when nobody is left to tell what became of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "store/store_attempt.h"
#include "tests/store/store_kit.h"

#define ATTEMPTS_OTHER "other"
#define ATTEMPTS_GROUP 6

static struct store_attempt
attempt_of(const char *step, int64_t number, enum store_attempt_state state)
{
	return (struct store_attempt){.step_key = step,
	    .attempt = number,
	    .key_attempt = number,
	    .kind = number == 1 ? "first" : "again",
	    .state = state,
	    .request_hash = "hash",
	    .provider = "openai",
	    .model = "m",
	    .cost_udollar = -1};
}

static struct store_transition
attempt_step(const struct store_debate *d, struct store_attempt *rows, size_t n)
{
	return (struct store_transition){.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .attempts = rows,
	    .n_attempts = n,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .round = 1};
}

static enum err
attempt_commit(struct store_transition *t)
{
	ck_assert_int_eq(store_commit(kit.store, &t, 1), ERR_OK);
	return t->outcome;
}

static struct store_attempt *
attempt_list(const char *tenant, const char *id, size_t n)
{
	struct store_attempt *rows;
	size_t got;

	ck_assert_int_eq(
	    store_attempt_list(kit.store, kit.arena, tenant, id, &rows, &got),
	    ERR_OK);
	ck_assert_uint_eq(got, n);
	return rows;
}

static void
attempt_check(const struct store_debate *d, enum store_attempt_state state)
{
	ck_assert_int_eq(attempt_list(d->tenant, d->id, 1)[0].state, state);
}

/* A debate with one request out. */
static struct store_debate
attempt_out(void)
{
	kit_create("Tea?", 0);
	struct store_debate d = kit_claim("r1");
	struct store_attempt x =
	    attempt_of("1/propose/a/", 1, STORE_ATTEMPT_STARTED);
	struct store_transition t = attempt_step(&d, &x, 1);

	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	return d;
}

static struct store_debate
attempt_taken_over(const struct store_debate *d)
{
	ck_assert_int_eq(
	    store_release(kit.store, d->tenant, d->id, d->lease_epoch), ERR_OK);
	return kit_claim("r2");
}

START_TEST(test_meant_and_over)
{
	struct store_debate d = attempt_out();
	struct store_attempt *row = attempt_list(d.tenant, d.id, 1);
	struct store_attempt x =
	    attempt_of("1/propose/a/", 1, STORE_ATTEMPT_FAILED);
	struct store_transition t = attempt_step(&d, &x, 1);

	ck_assert_int_eq(row->state, STORE_ATTEMPT_STARTED);
	ck_assert_int_gt(row->started_us, 0);
	ck_assert_int_eq(row->finished_us, 0);
	ck_assert_int_eq(row->cost_udollar, -1);
	x.provider = "openrouter";
	x.model = "other/m";
	x.tokens_in = 11;
	x.tokens_out = 7;
	x.is_estimated = true;
	x.cost_udollar = 123;
	x.http_status = 503;
	x.error = "server";
	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	row = attempt_list(d.tenant, d.id, 1);
	ck_assert_int_eq(row->state, STORE_ATTEMPT_FAILED);
	ck_assert_str_eq(row->step_key, "1/propose/a/");
	ck_assert_str_eq(row->provider, "openrouter");
	ck_assert_str_eq(row->model, "other/m");
	ck_assert_str_eq(row->request_hash, "hash");
	ck_assert_str_eq(row->kind, "first");
	ck_assert_str_eq(row->error, "server");
	ck_assert_int_eq(row->tokens_in, 11);
	ck_assert_int_eq(row->tokens_out, 7);
	ck_assert(row->is_estimated);
	ck_assert_int_eq(row->cost_udollar, 123);
	ck_assert_int_eq(row->http_status, 503);
	ck_assert_int_ge(row->finished_us, row->started_us);
}
END_TEST

/* One group: several debates of two tenants, one of them twice. */
START_TEST(test_group)
{
	struct store_debate d[ATTEMPTS_GROUP];
	struct store_attempt x[ATTEMPTS_GROUP + 1][2];
	struct store_transition t[ATTEMPTS_GROUP + 1];
	struct store_transition *all[ATTEMPTS_GROUP + 1];

	for (size_t i = 0; i <= ATTEMPTS_GROUP; i++) {
		size_t k = i % ATTEMPTS_GROUP;
		if (i == k) {
			kit_create_for(
			    k % 2 == 0 ? STORE_TENANT_DEFAULT : ATTEMPTS_OTHER,
			    "Tea?", 0);
			d[k] = kit_claim("r1");
		}
		enum store_attempt_state state =
		    i == k ? STORE_ATTEMPT_STARTED : STORE_ATTEMPT_ANSWERED;
		x[i][0] = attempt_of("1/propose/a/", 1, state);
		x[i][1] = attempt_of("1/propose/b/", 1, state);
		t[i] = attempt_step(&d[k], x[i], 2);
		all[i] = &t[i];
	}
	ck_assert_int_eq(
	    store_commit(kit.store, all, ATTEMPTS_GROUP + 1), ERR_OK);
	for (size_t k = 0; k < ATTEMPTS_GROUP; k++) {
		struct store_attempt *rows =
		    attempt_list(d[k].tenant, d[k].id, 2);
		for (size_t i = 0; i < 2; i++)
			ck_assert_int_eq(rows[i].state,
			    k == 0 ? STORE_ATTEMPT_ANSWERED
				   : STORE_ATTEMPT_STARTED);
	}
}
END_TEST

/* Who takes over finds what was out, and nothing else; who was taken over
 * writes nothing. */
START_TEST(test_takeover)
{
	struct store_debate old = attempt_out();
	struct store_attempt x[2] = {
	    attempt_of("1/propose/b/", 1, STORE_ATTEMPT_ANSWERED),
	    attempt_of("1/propose/c/", 1, STORE_ATTEMPT_STARTED)};
	struct store_transition t = attempt_step(&old, x, 2);
	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	struct store_debate d = attempt_taken_over(&old);
	struct store_attempt again =
	    attempt_of("1/propose/a/", 2, STORE_ATTEMPT_STARTED);

	again.key_attempt = 1;
	t = attempt_step(&d, &again, 1);
	t.is_takeover = true;
	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	ck_assert_int_eq(t.n_lost, 2);
	for (size_t i = 0; i < 4; i++) {
		struct store_attempt *row = &attempt_list(d.tenant, d.id, 4)[i];
		enum store_attempt_state state = row->attempt == 2
		    ? STORE_ATTEMPT_STARTED
		    : str_eq(row->step_key, "1/propose/b/")
		    ? STORE_ATTEMPT_ANSWERED
		    : STORE_ATTEMPT_LOST;
		ck_assert_int_eq(row->state, state);
		ck_assert_int_eq(row->key_attempt, 1);
	}
	struct store_attempt late =
	    attempt_of("1/propose/a/", 1, STORE_ATTEMPT_ANSWERED);
	t = attempt_step(&old, &late, 1);
	ck_assert_int_eq(attempt_commit(&t), ERR_FENCED);
	late = attempt_of("1/propose/a/", 3, STORE_ATTEMPT_STARTED);
	t = attempt_step(&old, &late, 1);
	ck_assert_int_eq(attempt_commit(&t), ERR_FENCED);
	attempt_list(d.tenant, d.id, 4);
}
END_TEST

/* Whichever way a debate stops, none of its requests stays out. */
START_TEST(test_ends)
{
	struct store_debate d = attempt_out();
	struct store_transition t = attempt_step(&d, NULL, 0);
	struct store_event event = {.type = "debate_end", .data = "{}"};
	enum store_status status;

	t.status = STORE_FAILED;
	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	attempt_check(&d, STORE_ATTEMPT_LOST);

	d = attempt_out();
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, d.tenant, d.id, &event), ERR_OK);
	attempt_check(&d, STORE_ATTEMPT_LOST);

	d = attempt_out();
	event = (struct store_event){.type = "debate_paused", .data = "{}"};
	ck_assert_int_eq(
	    store_debate_pause(kit.store, d.tenant, d.id, &event, &status),
	    ERR_OK);
	ck_assert_int_eq(
	    store_park(kit.store, d.tenant, d.id, d.lease_epoch, &event),
	    ERR_OK);
	attempt_check(&d, STORE_ATTEMPT_UNSENT);
	ck_assert(!store_attempt_may_be_billed(STORE_ATTEMPT_UNSENT));
	ck_assert(store_attempt_may_be_billed(STORE_ATTEMPT_LOST));
}
END_TEST

/* The turn that is out tells which key its next request bears. */
START_TEST(test_key)
{
	struct store_debate d = attempt_out();
	struct store_attempt x =
	    attempt_of("1/propose/a/", 2, STORE_ATTEMPT_STARTED);
	struct store_turn turn = {.step_key = x.step_key,
	    .round = 1,
	    .phase = "propose",
	    .agent = "a",
	    .role = "proposer",
	    .attempt = 2};
	struct store_transition t = attempt_step(&d, &x, 1);
	struct store_turn *rows;
	size_t n;

	x.key_attempt = 1;
	t.turns = &turn;
	t.n_turns = 1;
	ck_assert_int_eq(attempt_commit(&t), ERR_OK);
	ck_assert_int_eq(
	    store_turn_list(kit.store, kit.arena, d.tenant, d.id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].key_attempt, 1);
}
END_TEST

START_TEST(test_attempts_of_others)
{
	struct store_debate d = attempt_out();
	struct store_debate foreign = d;
	struct store_attempt x =
	    attempt_of("1/propose/z/", 1, STORE_ATTEMPT_STARTED);

	attempt_list(ATTEMPTS_OTHER, d.id, 0);
	foreign.tenant = ATTEMPTS_OTHER;
	struct store_transition t = attempt_step(&foreign, &x, 1);
	ck_assert_int_eq(attempt_commit(&t), ERR_FENCED);
	attempt_list(d.tenant, d.id, 1);
	ck_assert_int_eq(
	    store_debate_delete(kit.store, d.tenant, d.id), ERR_OK);
	attempt_list(d.tenant, d.id, 0);
}
END_TEST

void
add_attempts(TCase *t)
{
	tcase_add_test(t, test_meant_and_over);
	tcase_add_test(t, test_group);
	tcase_add_test(t, test_takeover);
	tcase_add_test(t, test_ends);
	tcase_add_test(t, test_key);
	tcase_add_test(t, test_attempts_of_others);
}
