/* SPDX-License-Identifier: MIT
 *
 * What is decided about agents: nobody gets in past a limit, however many come
 * at the same time, and a rating moved by hand is on record and on the board.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "store/store_agent.h"
#include "store/store_board.h"
#include "tests/store/store_kit.h"

#define OTHER	"other"
#define INITIAL 1500
#define DAILY	5
#define COMERS	4 /* of each thread */

/* A debate that seats ant and bee. */
static enum err
create(const char *tenant, struct store_seats *seats, struct err_info *info)
{
	static const char *const names[] = {"ant", "bee"};
	char id[ID_SIZE];
	struct arena *a = arena_new(0);

	*seats = (struct store_seats){.agents = names, .n = ARRAY_LEN(names)};
	id_make(id, "adhoc_", 8);
	struct store_debate d = {.id = id,
	    .tenant = tenant,
	    .task = "q",
	    .config = "{}",
	    .total_rounds = 1,
	    .seats = seats};
	enum err e = store_debate_create(kit.store, a, &d, 1000, info);
	/* What the arena held goes with it. */
	seats->refused.reason = NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(seats->refused.agent, names[i]))
			seats->refused.agent = names[i];
	arena_free(&a);
	return e;
}

static struct store_agent_rule
rule_of(const char *tenant, const char *agent, int64_t now)
{
	struct store_agent_rule *rows;
	size_t n;

	ck_assert_int_eq(
	    store_agent_rules(kit.store, kit.arena, tenant, now, &rows, &n),
	    ERR_OK);
	for (size_t i = 0; i < n; i++)
		if (str_eq(rows[i].agent, agent))
			return rows[i];
	return (struct store_agent_rule){.daily = -1};
}

START_TEST(test_switch)
{
	const char *t = STORE_TENANT_DEFAULT;
	int64_t now = clock_wall_us();
	struct store_seats seats;
	struct err_info info = {0};

	ck_assert_int_eq(
	    store_agent_switch(kit.store, t, "bee", false, "stings", now),
	    ERR_OK);
	ck_assert_int_eq(create(t, &seats, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "agents");
	ck_assert_ptr_nonnull(strstr(info.text, "stings"));
	ck_assert_int_eq(create(OTHER, &seats, &info), ERR_OK);
	ck_assert(rule_of(t, "bee", now).is_disabled);
	/* Who was refused was not seated. */
	ck_assert_int_eq(rule_of(t, "bee", now).used, 0);
	ck_assert(!rule_of(OTHER, "bee", now).is_disabled);
	ck_assert_int_eq(
	    store_agent_switch(kit.store, t, "bee", true, "", now), ERR_OK);
	ck_assert_int_eq(create(t, &seats, &info), ERR_OK);
	ck_assert_int_eq(rule_of(t, "bee", now).used, 1);
}
END_TEST

struct comer {
	int admitted, refused;
};

static void *
come(void *arg)
{
	struct comer *c = arg;

	for (int i = 0; i < COMERS; i++) {
		struct store_seats seats;
		struct err_info info = {0};
		enum err e = create(STORE_TENANT_DEFAULT, &seats, &info);
		c->admitted += e == ERR_OK;
		c->refused +=
		    e == ERR_BUSY && str_eq(info.field, "agent_quota");
	}
	return NULL;
}

START_TEST(test_limit)
{
	const char *t = STORE_TENANT_DEFAULT;
	int64_t now = clock_wall_us();
	pthread_t threads[KIT_THREADS];
	struct comer comers[KIT_THREADS] = {0};
	struct store_seats seats;
	struct err_info info = {0};
	int admitted = 0, refused = 0;

	ck_assert_int_eq(
	    store_agent_limit(kit.store, t, "ant", 100, now), ERR_OK);
	ck_assert_int_eq(
	    store_agent_limit(kit.store, t, "bee", DAILY, now), ERR_OK);
	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, come, &comers[i]), 0);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		admitted += comers[i].admitted;
		refused += comers[i].refused;
	}
	ck_assert_int_eq(admitted, DAILY);
	ck_assert_int_eq(refused, KIT_THREADS * COMERS - DAILY);
	ck_assert_int_eq(create(t, &seats, &info), ERR_BUSY);
	ck_assert_str_eq(seats.refused.agent, "bee");
	ck_assert_int_eq(seats.refused.used, DAILY);
	ck_assert_int_eq(rule_of(t, "bee", now).used, DAILY);
	/* Nobody of a debate that was refused counts. */
	ck_assert_int_eq(rule_of(t, "ant", now).used, DAILY);
	ck_assert_int_eq(rule_of(t, "bee", now + STORE_AGENT_DAY_US).used, 0);
	ck_assert_int_eq(
	    store_agent_limit(kit.store, t, "bee", -1, now), ERR_OK);
	ck_assert_int_eq(create(t, &seats, &info), ERR_OK);
}
END_TEST

static int64_t
elo_of(const char *tenant, const char *agent, int64_t *change)
{
	struct store_board b = {
	    .domain = "", .source = "", .now_us = clock_wall_us()};

	ck_assert_int_eq(
	    store_board_get(kit.store, kit.arena, tenant, &b), ERR_OK);
	for (size_t i = 0; i < b.n; i++)
		if (str_eq(b.rows[i].rating.agent, agent)) {
			*change = b.rows[i].day_change;
			ck_assert_int_eq(b.rows[i].change, *change);
			ck_assert_int_eq(b.rows[i].rating.games, 0);
			ck_assert_int_eq(b.rows[i].recent, 0);
			return b.rows[i].rating.elo;
		}
	*change = 0;
	return (int64_t)INITIAL * ELO_UNIT;
}

static enum err
adjust(const char *tenant, int64_t change)
{
	struct arena *a = arena_new(0);
	struct store_adjustment adj = {.agent = "ant",
	    .change = change,
	    .reason = "why",
	    .debate_id = "",
	    .actor = "tok_1"};
	enum err e = store_rating_adjust(
	    kit.store, a, tenant, &adj, INITIAL, clock_wall_us());

	arena_free(&a);
	return e;
}

static void *
adjust_many(void *arg)
{
	for (int i = 0; i < COMERS; i++)
		if (adjust(STORE_TENANT_DEFAULT, 1500) != ERR_OK)
			return NULL;
	return arg;
}

START_TEST(test_adjust)
{
	const char *t = STORE_TENANT_DEFAULT;
	const int64_t sum = -20000 + 1500 * KIT_THREADS * COMERS;
	static char names[KIT_THREADS][2];
	pthread_t threads[KIT_THREADS];
	struct store_adjustment *rows;
	int64_t change;
	void *ok;
	size_t n;

	ck_assert_int_eq(adjust(t, -20000), ERR_OK);
	ck_assert_int_eq(
	    elo_of(t, "ant", &change), (int64_t)INITIAL * ELO_UNIT - 20000);
	ck_assert_int_eq(change, -20000);
	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, adjust_many, names[i]),
		    0);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], &ok);
		ck_assert_ptr_nonnull(ok);
	}
	ck_assert_int_eq(
	    elo_of(t, "ant", &change), (int64_t)INITIAL * ELO_UNIT + sum);
	ck_assert_int_eq(change, sum);
	/* Each begins where the one before it ended. */
	ck_assert_int_eq(store_adjustment_list(kit.store, kit.arena, t, "ant",
			     -1, INT64_MAX, 100, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, KIT_THREADS * COMERS + 1);
	for (size_t i = 0; i + 1 < n; i++) {
		ck_assert_int_eq(rows[i].elo - rows[i].change, rows[i + 1].elo);
		ck_assert_int_gt(rows[i].created_us, rows[i + 1].created_us);
	}
	ck_assert_str_eq(rows[0].reason, "why");
	ck_assert_str_eq(rows[0].actor, "tok_1");
	ck_assert_int_eq(
	    store_adjustment_list(kit.store, kit.arena, t, "ant",
		rows[2].created_us, rows[0].created_us, 100, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(
	    elo_of(OTHER, "ant", &change), (int64_t)INITIAL * ELO_UNIT);
	ck_assert_int_eq(store_adjustment_list(kit.store, kit.arena, OTHER,
			     "ant", -1, INT64_MAX, 100, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* What a runner tells goes to whoever asks. */
START_TEST(test_health)
{
	struct store_runner r = {
	    .id = "r", .host = "h", .health = "[{\"agent\":\"ant\"}]"};
	struct store_runner *rows;
	size_t n;

	ck_assert_int_eq(store_runner_seen(kit.store, &r), ERR_OK);
	r.id = "s";
	r.health = NULL;
	ck_assert_int_eq(store_runner_seen(kit.store, &r), ERR_OK);
	ck_assert_int_eq(
	    store_runner_list(kit.store, kit.arena, 60000000, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].health, "[{\"agent\":\"ant\"}]");
	ck_assert_str_eq(rows[1].health, "[]");
}
END_TEST

void
add_agents(TCase *t)
{
	tcase_add_test(t, test_switch);
	tcase_add_test(t, test_limit);
	tcase_add_test(t, test_adjust);
	tcase_add_test(t, test_health);
}
