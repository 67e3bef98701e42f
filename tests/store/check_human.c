/* SPDX-License-Identifier: MIT
 *
 * Votes and suggestions of people: in order, with their events, within one
 * tenant, up to a number, and not once the votes are closed.
 */
#include <pthread.h>
#include <string.h>

#include "base/str.h"
#include "store/store_human.h"
#include "tests/store/store_kit.h"

#define HUMAN_MAX     5
#define HUMAN_THREADS 4
#define HUMAN_EACH    10
#define HUMAN_OTHER   "other"

static enum err
human_add(const char *tenant, const char *id, struct store_human *in,
    int64_t max, enum store_status *status)
{
	struct store_event event = {.type = in->kind == STORE_HUMAN_VOTE
		? "user_vote"
		: "audience_suggestion",
	    .data = "{\"user_id\":\"ann\"}"};
	enum err e =
	    store_human_add(kit.store, tenant, id, in, &event, max, status);

	if (e == ERR_OK) {
		ck_assert_int_eq(event.seq, in->seq);
		ck_assert_int_eq(event.created_us, in->created_us);
	}
	return e;
}

static enum err
human_vote(const char *tenant, const char *id, int64_t max)
{
	struct store_human in = {.kind = STORE_HUMAN_VOTE,
	    .who = "ann",
	    .choice = "demo",
	    .intensity = 7};
	enum store_status status;

	return human_add(tenant, id, &in, max, &status);
}

static size_t
human_list(const char *tenant, const char *id, int64_t since,
    struct store_human **rows)
{
	size_t n;

	ck_assert_int_eq(
	    store_human_list(kit.store, kit.arena, tenant, id, since, rows, &n),
	    ERR_OK);
	return n;
}

static void
human_phase(
    const struct store_debate *d, const char *phase, enum store_status status)
{
	struct store_event event = {.type = "phase_change", .data = "{}"};
	struct store_transition t = {.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = status,
	    .phase = phase,
	    .round = 2};
	struct store_transition *one = &t;

	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
}

START_TEST(test_add)
{
	const char *id = kit_create("Tea?", 0);
	const char *t = STORE_TENANT_DEFAULT;
	struct store_human text = {.kind = STORE_HUMAN_SUGGESTION,
	    .who = "bob",
	    .text = "Ask \"why\" \xc3\xa4 first"};
	struct store_human *rows;
	enum store_status status;

	ck_assert_uint_eq(human_list(t, id, 0, &rows), 0);
	ck_assert_int_eq(human_vote(t, id, HUMAN_MAX), ERR_OK);
	struct store_debate d = kit_claim("r1");
	human_phase(&d, "critique", STORE_RUNNING);
	ck_assert_int_eq(human_add(t, id, &text, HUMAN_MAX, &status), ERR_OK);
	ck_assert_int_eq(text.seq, 3);
	ck_assert_uint_eq(human_list(t, id, 0, &rows), 2);
	ck_assert_int_eq(rows[0].kind, STORE_HUMAN_VOTE);
	ck_assert_str_eq(rows[0].choice, "demo");
	ck_assert_int_eq(rows[0].intensity, 7);
	ck_assert_ptr_null(rows[0].text);
	ck_assert_int_eq(rows[1].kind, STORE_HUMAN_SUGGESTION);
	ck_assert_str_eq(rows[1].text, text.text);
	ck_assert_str_eq(rows[1].who, "bob");
	ck_assert_ptr_null(rows[1].choice);
	ck_assert_int_eq(rows[1].created_us, text.created_us);
	ck_assert_uint_eq(human_list(t, id, 1, &rows), 1);
	ck_assert_uint_eq(human_list(t, id, 3, &rows), 0);
	kit_check_events(id, 3);
}
END_TEST

/* Closed means closed: all that was taken before is in the table by then. */
START_TEST(test_closed)
{
	static const struct {
		const char *phase;
		enum store_status status;
		enum err result;
	} steps[] = {{"propose", STORE_RUNNING, ERR_OK},
	    {"check", STORE_RUNNING, ERR_OK}, {"vote", STORE_RUNNING, ERR_OK},
	    {"close", STORE_RUNNING, ERR_CONFLICT},
	    {"consensus", STORE_RUNNING, ERR_CONFLICT},
	    {"synthesis", STORE_RUNNING, ERR_CONFLICT},
	    {"index", STORE_RUNNING, ERR_CONFLICT},
	    {"done", STORE_COMPLETED, ERR_CONFLICT}};
	const char *id = kit_create("Tea?", 0);
	struct store_debate d = kit_claim("r1");
	struct store_human *rows;
	size_t taken = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct store_human in = {
		    .kind = STORE_HUMAN_VOTE, .who = "a", .choice = "demo"};
		enum store_status status = STORE_PENDING;
		human_phase(&d, steps[i].phase, steps[i].status);
		enum err e = human_add(
		    STORE_TENANT_DEFAULT, id, &in, HUMAN_MAX, &status);
		ck_assert_msg(e == steps[i].result, "%s", steps[i].phase);
		if (e == ERR_CONFLICT)
			ck_assert_int_eq(status, steps[i].status);
		taken += e == ERR_OK;
		ck_assert_uint_eq(
		    human_list(STORE_TENANT_DEFAULT, id, 0, &rows), taken);
	}
	kit_check_events(id, ARRAY_LEN(steps) + taken);
}
END_TEST

START_TEST(test_full)
{
	const char *id = kit_create("Tea?", 0);

	for (int i = 0; i < HUMAN_MAX; i++)
		ck_assert_int_eq(
		    human_vote(STORE_TENANT_DEFAULT, id, HUMAN_MAX), ERR_OK);
	ck_assert_int_eq(
	    human_vote(STORE_TENANT_DEFAULT, id, HUMAN_MAX), ERR_TOO_LARGE);
	kit_check_events(id, HUMAN_MAX);
}
END_TEST

START_TEST(test_tenants)
{
	const char *mine = kit_create("Tea?", 0);
	const char *other = kit_create_for(HUMAN_OTHER, "Tea?", 0);
	struct store_human *rows;

	ck_assert_int_eq(
	    human_vote(HUMAN_OTHER, mine, HUMAN_MAX), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    human_vote(STORE_TENANT_DEFAULT, "adhoc_none", HUMAN_MAX),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(human_vote(HUMAN_OTHER, other, HUMAN_MAX), ERR_OK);
	ck_assert_uint_eq(human_list(STORE_TENANT_DEFAULT, other, 0, &rows), 0);
	ck_assert_uint_eq(human_list(STORE_TENANT_DEFAULT, mine, 0, &rows), 0);
	ck_assert_uint_eq(human_list(HUMAN_OTHER, other, 0, &rows), 1);
}
END_TEST

static void *
human_shout(void *arg)
{
	size_t taken = 0;

	for (int i = 0; i < HUMAN_EACH; i++)
		taken += human_vote(STORE_TENANT_DEFAULT, arg,
			     HUMAN_THREADS * HUMAN_EACH) == ERR_OK;
	return (void *)(uintptr_t)taken;
}

/* Many at once, while the debate goes on: no number twice and none left out. */
START_TEST(test_crowd)
{
	const char *id = kit_create("Tea?", 0);
	struct store_debate d = kit_claim("r1");
	pthread_t threads[HUMAN_THREADS];
	struct store_human *rows;

	for (size_t i = 0; i < HUMAN_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, human_shout,
				     (void *)(uintptr_t)id),
		    0);
	for (size_t i = 0; i < HUMAN_EACH; i++)
		human_phase(&d, "revise", STORE_RUNNING);
	for (size_t i = 0; i < HUMAN_THREADS; i++) {
		void *taken;
		pthread_join(threads[i], &taken);
		ck_assert_uint_eq((uintptr_t)taken, HUMAN_EACH);
	}
	size_t n = human_list(STORE_TENANT_DEFAULT, id, 0, &rows);
	ck_assert_uint_eq(n, HUMAN_THREADS * HUMAN_EACH);
	kit_check_events(id, n + HUMAN_EACH);
}
END_TEST

void
add_human(TCase *t)
{
	tcase_add_test(t, test_add);
	tcase_add_test(t, test_closed);
	tcase_add_test(t, test_full);
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_crowd);
}
