/* SPDX-License-Identifier: MIT
 *
 * Budgets of tenants and users: a thousand grants at once take all that fits
 * and not one unit more; what a debate did not take is free when it is over.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/str.h"
#include "store/store_budget.h"
#include "tests/store/store_kit.h"

#define BUDGET_ASKS    1000
#define BUDGET_TOKENS  7
#define BUDGET_UDOLLAR 11
#define BUDGET_FITS    613
#define BUDGET_STEPS   90

static const char *
budget_config(void *arg, const struct store_amount *granted)
{
	*(struct store_amount *)arg = *granted;
	return "{\"granted\":1}";
}

/* One debate; granted (may be NULL) is what it was given. */
static enum err
budget_create(struct arena *a, const char *tenant, const char *id,
    const char *owner, int64_t want, int64_t least,
    struct store_amount *granted, struct store_budget_ask *out)
{
	struct store_amount given = {0};
	struct err_info info = {0};
	struct store_budget_ask ask = {.settings = kit.settings,
	    .own = {.udollar = -1, .tokens = -1},
	    .want = {.udollar = want * BUDGET_UDOLLAR,
		.tokens = want * BUDGET_TOKENS},
	    .least = {.udollar = least * BUDGET_UDOLLAR,
		.tokens = least * BUDGET_TOKENS},
	    .is_priced = true,
	    .config = budget_config,
	    .arg = &given};
	struct store_debate d = {.id = id,
	    .tenant = tenant,
	    .owner = owner,
	    .task = "t",
	    .config = "{}",
	    .budget = &ask};

	enum err e = store_debate_create(kit.store, a, &d, 100000, &info);
	ck_assert(
	    e == ERR_OK || (e == ERR_BUSY && str_eq(info.field, "budget")));
	if (granted != NULL)
		*granted = given;
	if (out != NULL)
		*out = ask;
	return e;
}

static struct store_budget_use
budget_use(const char *tenant, const char *owner, const char *scope,
    const char *period)
{
	struct store_budget_use *rows;
	size_t n;

	ck_assert_int_eq(store_budget_list(kit.store, kit.arena, kit.settings,
			     tenant, owner, &rows, &n),
	    ERR_OK);
	for (size_t i = 0; i < n; i++)
		if (str_eq(rows[i].scope, scope) &&
		    str_eq(rows[i].period, period))
			return rows[i];
	return (struct store_budget_use){.scope = NULL};
}

struct budget_crowd {
	pthread_t thread;
	int first;
	int n_granted;
};

static void *
budget_run(void *arg)
{
	struct budget_crowd *c = arg;
	struct arena *a = arena_new(0);
	char id[32];

	for (int i = c->first; i < BUDGET_ASKS; i += KIT_THREADS) {
		snprintf(id, sizeof(id), "adhoc_%d", i);
		c->n_granted += budget_create(a, "t", id, i % 2 ? "u" : "v", 1,
				    1, NULL, NULL) == ERR_OK;
		arena_clear(a);
	}
	arena_free(&a);
	return NULL;
}

START_TEST(test_thousand_at_once)
{
	struct budget_crowd crowd[KIT_THREADS] = {0};
	char sql[256];
	int granted = 0;

	/* By turns the money and the tokens are what runs out. */
	snprintf(sql, sizeof(sql),
	    "INSERT INTO budget_limits VALUES ('t', '', 'day', %d, %d)",
	    _i == 0 ? BUDGET_FITS * BUDGET_UDOLLAR + BUDGET_UDOLLAR - 1 : -1,
	    _i == 1 ? BUDGET_FITS * BUDGET_TOKENS + BUDGET_TOKENS - 1 : -1);
	kit_script(sql);
	for (int i = 0; i < KIT_THREADS; i++) {
		crowd[i].first = i;
		ck_assert_int_eq(pthread_create(&crowd[i].thread, NULL,
				     budget_run, &crowd[i]),
		    0);
	}
	for (int i = 0; i < KIT_THREADS; i++) {
		pthread_join(crowd[i].thread, NULL);
		granted += crowd[i].n_granted;
	}
	ck_assert_int_eq(granted, BUDGET_FITS);
	struct store_budget_use u = budget_use("t", "u", "tenant", "day");
	ck_assert_int_eq(_i == 0 ? u.held.udollar : u.held.tokens,
	    BUDGET_FITS * (_i == 0 ? BUDGET_UDOLLAR : BUDGET_TOKENS));
	struct store_budget_use one = budget_use("t", "u", "user", "month");
	struct store_budget_use two = budget_use("t", "v", "user", "month");
	struct store_budget_use month = budget_use("t", "v", "tenant", "month");
	ck_assert_int_eq(one.held.tokens + two.held.tokens, u.held.tokens);
	ck_assert_int_eq(month.held.tokens, u.held.tokens);
}
END_TEST

/* What does not fit is cut, down to the least; the refusal says what is in the
 * way. */
START_TEST(test_cut_and_refused)
{
	struct store_amount granted;
	struct store_budget_ask ask;
	struct store_debate d;

	kit_script(
	    "INSERT INTO budget_limits VALUES ('t', '', 'month', -1, 70)");
	kit_script(
	    "INSERT INTO budget_limits VALUES ('t', 'u', 'day', 33, -1)");
	ck_assert_int_eq(
	    budget_create(kit.arena, "t", "a", "u", 2, 1, &granted, &ask),
	    ERR_OK);
	ck_assert(ask.is_granted);
	ck_assert_int_eq(granted.udollar, 22);
	ck_assert_int_eq(granted.tokens, 14);
	ck_assert_int_eq(
	    store_debate_get(kit.store, kit.arena, "t", "a", &d), ERR_OK);
	ck_assert_str_eq(d.config, "{\"granted\":1}");
	ck_assert_int_eq(
	    budget_create(kit.arena, "t", "b", "u", 2, 1, &granted, &ask),
	    ERR_OK);
	ck_assert_int_eq(granted.udollar, 11);
	ck_assert_int_eq(granted.tokens, 14);
	ck_assert_int_eq(
	    budget_create(kit.arena, "t", "c", "u", 2, 1, NULL, &ask),
	    ERR_BUSY);
	ck_assert_str_eq(ask.full.scope, "user");
	ck_assert_str_eq(ask.full.period, "day");
	ck_assert_int_eq(ask.full.limit.udollar, 33);
	ck_assert_int_eq(ask.full.held.udollar, 33);
	ck_assert(!ask.is_full_of_tokens);
	ck_assert_int_gt(ask.full.resets_us, ask.full.starts_us);
	/* The others of the tenant share what is left of its tokens. */
	ck_assert_int_eq(
	    budget_create(kit.arena, "t", "d", NULL, 9, 1, &granted, &ask),
	    ERR_OK);
	ck_assert_int_eq(granted.tokens, 42);
	ck_assert_int_eq(granted.udollar, -1);
	ck_assert_int_eq(
	    budget_create(kit.arena, "t", "e", "v", 1, 1, NULL, &ask),
	    ERR_BUSY);
	ck_assert(ask.is_full_of_tokens);
	ck_assert_str_eq(ask.full.scope, "tenant");
	/* Another tenant has no limit. */
	ck_assert_int_eq(
	    budget_create(kit.arena, "x", "f", "u", 9, 9, NULL, &ask), ERR_OK);
	ck_assert(!ask.is_granted);
}
END_TEST

static uint64_t
draw(uint64_t *state, uint64_t n)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*state >> 33) % n;
}

static void
budget_step(const struct store_debate *d, enum store_status status,
    struct store_amount taken)
{
	struct store_event event = {.type = "phase_change", .data = "{}"};
	struct store_transition t = {.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = status,
	    .phase = "vote",
	    .is_granted = true,
	    .taken = taken};
	struct store_transition *one = &t;

	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
}

/* Debates made, driven, finished, failed, cancelled and taken over in any
 * order, against plain sums. */
START_TEST(test_any_order)
{
	uint64_t s = 5;
	struct store_amount spent = {0}, given[BUDGET_STEPS] = {0};
	struct store_amount taken[BUDGET_STEPS] = {0};
	struct store_debate open[BUDGET_STEPS];
	size_t n_open = 0;
	int n_full = 0, n_cancelled = 0;

	kit_script(
	    "INSERT INTO budget_limits VALUES ('t', '', 'day', 400, -1)");
	for (int i = 0; i < BUDGET_STEPS; i++) {
		char id[32];
		size_t k = n_open > 0 ? (size_t)draw(&s, n_open) : 0;
		struct store_amount *g = &given[n_open], *t = &taken[k];
		if (n_open == 0 || draw(&s, 2) == 0) {
			snprintf(id, sizeof(id), "adhoc_r%d", i);
			if (budget_create(kit.arena, "t", id, NULL,
				1 + (int64_t)draw(&s, 6), 1, g,
				NULL) != ERR_OK) {
				n_full++;
				continue;
			}
			taken[n_open] = (struct store_amount){0};
			open[n_open++] = kit_claim("r");
		} else if (draw(&s, 2) == 0) {
			t->udollar += (int64_t)draw(
			    &s, (uint64_t)(given[k].udollar - t->udollar) + 1);
			t->tokens += 3;
			budget_step(&open[k], STORE_RUNNING, *t);
		} else {
			struct store_event end = {
			    .type = "debate_end", .data = "{}"};
			if (draw(&s, 2) == 0) {
				ck_assert_int_eq(store_debate_cancel(kit.store,
						     "t", open[k].id, &end),
				    ERR_OK);
				n_cancelled++;
			} else {
				budget_step(&open[k], STORE_COMPLETED, *t);
			}
			spent.udollar += t->udollar;
			spent.tokens += t->tokens;
			n_open--;
			open[k] = open[n_open];
			given[k] = given[n_open];
			taken[k] = taken[n_open];
		}
		int64_t held = 0;
		for (size_t j = 0; j < n_open; j++)
			held += given[j].udollar;
		struct store_budget_use u =
		    budget_use("t", NULL, "tenant", "day");
		ck_assert_int_eq(u.held.udollar, held);
		ck_assert_int_eq(u.spent.udollar, spent.udollar);
		ck_assert_int_eq(u.spent.tokens, spent.tokens);
		ck_assert_int_le(u.held.udollar + u.spent.udollar, 400);
	}
	ck_assert_int_gt(n_full, 0);
	ck_assert_int_gt(n_cancelled, 0);
	ck_assert_int_gt(spent.udollar, 0);
}
END_TEST

void
add_budgets(TCase *t)
{
	tcase_add_loop_test(t, test_thousand_at_once, 0, 2);
	tcase_add_test(t, test_cut_and_refused);
	tcase_add_test(t, test_any_order);
}
