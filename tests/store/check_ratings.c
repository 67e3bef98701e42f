/* SPDX-License-Identifier: MIT
 *
 * Ratings: no match changes the sum of a board, none is rated twice, and
 * debates that end at the same time do not lose each other's points.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/str.h"
#include "store/store_board.h"
#include "tests/store/store_kit.h"

#define INITIAL 1500
#define ROUNDS	12
#define AGENTS	4

static const char *const names[AGENTS] = {"ant", "bee", "cat", "dog"};

static enum err
finish_by(const struct store_debate *d, const char *domain, size_t winner,
    const char *source)
{
	struct store_player p[AGENTS];
	struct store_vote v[] = {
	    {"ant", 900000, winner == 0}, {"bee", 500000, true}};
	struct store_match m = {.domain = domain,
	    .winner = names[winner],
	    .source = source,
	    .confidence_ppm = 700000,
	    .players = p,
	    .n_players = AGENTS,
	    .votes = v,
	    .n_votes = ARRAY_LEN(v),
	    .elo_initial = INITIAL,
	    .elo_k_factor = 32};
	struct store_event event = {.type = "debate_end", .data = "{}"};
	struct store_transition t = {.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_COMPLETED,
	    .phase = "done",
	    .match = &m};
	struct store_transition *one = &t;

	for (size_t i = 0; i < AGENTS; i++)
		p[i] = (struct store_player){names[i],
		    i == winner ? 2 : (int64_t)(i % 2),
		    i == 0	 ? names[0]
			: i == 1 ? names[winner]
				 : NULL};
	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	return t.outcome;
}

static enum err
finish(const struct store_debate *d, const char *domain, size_t winner)
{
	return finish_by(d, domain, winner, STORE_SOURCE_VOTES);
}

static struct store_board
board_of(const char *domain, const char *source)
{
	struct store_board b = {
	    .domain = domain, .source = source, .now_us = 1};

	ck_assert_int_eq(
	    store_board_get(kit.store, kit.arena, STORE_TENANT_DEFAULT, &b),
	    ERR_OK);
	return b;
}

static void
check_rows(const struct store_board *b, int64_t games, bool is_moved_known)
{
	int64_t sum = 0, moved = 0;

	ck_assert_uint_eq(b->n, AGENTS);
	for (size_t i = 0; i < b->n; i++) {
		const struct store_rating *r = &b->rows[i].rating;
		sum += r->elo;
		moved += b->rows[i].change;
		ck_assert_int_eq(r->games, games);
		ck_assert_int_eq(b->rows[i].rank, (int64_t)i + 1);
		if (is_moved_known)
			ck_assert_int_eq(b->rows[i].change,
			    r->elo - (int64_t)INITIAL * ELO_UNIT);
		ck_assert(i == 0 || b->rows[i - 1].rating.elo >= r->elo);
	}
	ck_assert_int_eq(sum, (int64_t)INITIAL * ELO_UNIT * AGENTS);
	ck_assert_int_eq(moved, 0);
}

static void
check_board(const char *domain, int64_t games)
{
	struct store_board all = board_of(domain, "");
	struct store_board votes = board_of(domain, STORE_SOURCE_VOTES);

	check_rows(&all, games, true);
	check_rows(&votes, games, false);
}

static struct store_match_query
matches_of(
    const char *tenant, const char *domain, const char *agent, int64_t limit)
{
	struct store_match_query q = {
	    .domain = domain, .agent = agent, .limit = limit};

	ck_assert_int_eq(
	    store_match_list(kit.store, kit.arena, tenant, &q), ERR_OK);
	return q;
}

START_TEST(test_sum)
{
	struct store_between *between;
	struct store_opponent *met;
	struct store_tally *tallies;
	struct store_rating *domains;
	struct store_match_row row;
	size_t n;

	for (size_t i = 0; i < ROUNDS; i++) {
		kit_create("q", 0);
		struct store_debate d = kit_claim("r");
		ck_assert_int_eq(
		    finish(&d, i % 3 ? "law" : "tea", i % AGENTS), ERR_OK);
	}
	check_board("", ROUNDS);
	check_board("law", ROUNDS * 2 / 3);
	check_board("tea", ROUNDS / 3);
	struct store_match_query q =
	    matches_of(STORE_TENANT_DEFAULT, "tea", NULL, 2);
	ck_assert_uint_eq(q.n, 2);
	ck_assert_int_eq(q.total, ROUNDS / 3);
	q = matches_of(STORE_TENANT_DEFAULT, "law", "bee", 100);
	ck_assert_uint_eq(q.n, ROUNDS * 2 / 3);
	ck_assert_int_eq(q.total, ROUNDS * 2 / 3);
	q = matches_of("other", "", NULL, 100);
	ck_assert_uint_eq(q.n, 0);
	q = matches_of(STORE_TENANT_DEFAULT, "", "bee", 100);
	ck_assert_uint_eq(q.n, ROUNDS);
	/* From the newest to the oldest each begins where the next ended. */
	for (size_t i = 0; i + 1 < q.n; i++)
		ck_assert_int_eq(
		    q.rows[i].elo - q.rows[i].change, q.rows[i + 1].elo);
	ck_assert_int_eq(store_match_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, q.rows[3].debate_id, &row),
	    ERR_OK);
	ck_assert_str_eq(row.players, q.rows[3].players);
	ck_assert_int_eq(store_match_get(kit.store, kit.arena, "other",
			     q.rows[3].debate_id, &row),
	    ERR_NOT_FOUND);
	q = (struct store_match_query){
	    .agent = "ant", .other = "cat", .limit = 100};
	ck_assert_int_eq(
	    store_match_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, &q),
	    ERR_OK);
	ck_assert_uint_eq(q.n, ROUNDS);
	ck_assert_int_eq(store_match_between(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "ant", "cat", &between, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	/* Neither agreed: each won its own three, the other six are draws. */
	ck_assert_int_eq(between[0].wins + between[1].wins, ROUNDS / AGENTS);
	ck_assert_int_eq(
	    between[0].losses + between[1].losses, ROUNDS / AGENTS);
	ck_assert_int_eq(between[0].matches + between[1].matches, ROUNDS);
	ck_assert_int_eq(store_match_opponents(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "ant", &met, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, AGENTS - 1);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(met[i].matches, ROUNDS);
	/* Against "bee", who agrees whenever it does not win. */
	ck_assert_str_eq(met[0].agent, "bee");
	ck_assert_int_eq(met[0].agreed, ROUNDS / AGENTS);
	ck_assert_int_eq(store_match_domains(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &tallies, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(tallies[0].name, "law");
	ck_assert_int_eq(tallies[0].matches, ROUNDS * 2 / 3);
	ck_assert_int_eq(tallies[0].agents, AGENTS);
	ck_assert_int_eq(store_match_sources(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &tallies, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(tallies[0].matches, ROUNDS);
	ck_assert_int_eq(store_rating_domains(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "dog", &domains, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert(domains[0].elo >= domains[1].elo);
}
END_TEST

static const struct store_board_row *
row_of(const struct store_board *b, const char *agent)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->rows[i].rating.agent, agent))
			return &b->rows[i];
	ck_abort_msg("%s", agent);
}

START_TEST(test_record)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		kit_create("q", 0);
		struct store_debate d = kit_claim("r");
		ck_assert_int_eq(finish(&d, "tea", i % AGENTS), ERR_OK);
	}
	struct store_board b = board_of("", "");
	const struct store_board_row *ant = row_of(&b, "ant");
	const struct store_board_row *bee = row_of(&b, "bee");
	ck_assert_int_eq(ant->votes[9].votes, ROUNDS);
	ck_assert_int_eq(ant->votes[9].hits, ROUNDS / AGENTS);
	/* (3 * 0.01 + 9 * 0.81) / 12, and |0.25 - 0.9| */
	ck_assert_int_eq(elo_mean_brier_ppm(ant->votes), 610000);
	ck_assert_int_eq(elo_ece_ppm(ant->votes), 650000);
	/* "ant" scores 0 when it does not win, "bee" agrees. */
	ck_assert_int_eq(ant->rating.wins, ROUNDS / AGENTS);
	ck_assert_int_eq(ant->rating.losses, ROUNDS - ROUNDS / AGENTS);
	ck_assert_int_eq(bee->rating.wins, ROUNDS / AGENTS);
	ck_assert_int_eq(bee->rating.losses, 0);
	ck_assert_int_eq(ant->rating.streak, -3);
	ck_assert_int_eq(bee->rating.streak, 0);
	/* "ant" votes for itself, "bee" for the winner, the others never. */
	ck_assert_int_eq(ant->rating.ballots, ROUNDS);
	ck_assert_int_eq(ant->rating.kept, ROUNDS);
	ck_assert_int_eq(bee->rating.ballots, ROUNDS);
	ck_assert_int_eq(bee->rating.kept, ROUNDS / AGENTS);
	ck_assert_int_eq(row_of(&b, "cat")->rating.ballots, 0);
	struct store_match_query q = {.limit = 100};
	ck_assert_int_eq(
	    store_flip_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, &q),
	    ERR_OK);
	ck_assert_uint_eq(q.n, ROUNDS - ROUNDS / AGENTS);
	for (size_t i = 0; i < q.n; i++) {
		ck_assert_str_eq(q.rows[i].agent, "bee");
		ck_assert_str_eq(q.rows[i].choice, q.rows[i].winner);
	}
	q = (struct store_match_query){.agent = "ant", .limit = 100};
	ck_assert_int_eq(
	    store_flip_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, &q),
	    ERR_OK);
	ck_assert_uint_eq(q.n, 0);
}
END_TEST

/* Boards of sources begin by themselves and move by their matches alone. */
START_TEST(test_sources)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		kit_create("q", 0);
		struct store_debate d = kit_claim("r");
		ck_assert_int_eq(
		    finish_by(&d, "tea", 0,
			i % 4 ? STORE_SOURCE_JUDGE : STORE_SOURCE_VOTES),
		    ERR_OK);
	}
	struct store_board votes = board_of("tea", STORE_SOURCE_VOTES);
	struct store_board judge = board_of("", STORE_SOURCE_JUDGE);
	struct store_board human = board_of("", STORE_SOURCE_HUMAN);
	struct store_board all = board_of("", "");
	check_rows(&votes, ROUNDS / 4, false);
	check_rows(&judge, ROUNDS * 3 / 4, false);
	check_rows(&all, ROUNDS, true);
	ck_assert_uint_eq(human.n, 0);
	ck_assert_int_lt(votes.rows[0].rating.elo, judge.rows[0].rating.elo);
	ck_assert_int_lt(judge.rows[0].rating.elo, all.rows[0].rating.elo);
}
END_TEST

/* A debate without a domain moves the board of all domains, and once. */
START_TEST(test_no_domain)
{
	struct store_rating *domains;
	size_t n;

	kit_create("q", 0);
	struct store_debate d = kit_claim("r");
	ck_assert_int_eq(finish(&d, "", 0), ERR_OK);
	struct store_board b = board_of("", "");
	check_rows(&b, 1, true);
	ck_assert_int_eq(row_of(&b, "ant")->votes[9].votes, 1);
	ck_assert_int_eq(store_rating_domains(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "ant", &domains, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* Told again by the same runner or by one that was presumed dead. */
START_TEST(test_once)
{
	kit_create("q", 0);
	struct store_debate d = kit_claim("r");

	ck_assert_int_eq(finish(&d, "tea", 0), ERR_OK);
	ck_assert_int_eq(finish(&d, "tea", 1), ERR_FENCED);
	check_board("", 1);
	/* The row again as if it had not ended. */
	kit_script("UPDATE debates SET status = 'running'");
	ck_assert_int_eq(finish(&d, "tea", 1), ERR_OK);
	check_board("", 1);
	/* Neither did it count as a match. */
	kit_script("UPDATE rating_boards SET matches = CASE WHEN matches = 1 "
		   "THEN 1 END");
}
END_TEST

/* Each match starts from what the one before it in time left. */
static void
check_order(const char *agent, int64_t n)
{
	struct store_match_query q =
	    matches_of(STORE_TENANT_DEFAULT, "", agent, n);

	ck_assert_int_eq((int64_t)q.n, n);
	for (size_t i = 0; i < q.n; i++) {
		int64_t before = q.rows[i].elo - q.rows[i].change;
		ck_assert_int_eq(before,
		    i + 1 < q.n ? q.rows[i + 1].elo
				: (int64_t)INITIAL * ELO_UNIT);
		ck_assert(i + 1 == q.n ||
		    q.rows[i].created_us > q.rows[i + 1].created_us);
	}
}

/* A runner whose clock is behind that of the one before. */
START_TEST(test_order)
{
	static const int64_t ahead = INT64_C(4000000000000000);

	for (size_t i = 0; i < 3; i++) {
		kit_create("q", 0);
		struct store_debate d = kit_claim("r");
		ck_assert_int_eq(finish(&d, "tea", i), ERR_OK);
		if (i == 0)
			kit_script(
			    "UPDATE ratings SET updated_us = 4000000000000000;"
			    "UPDATE matches SET created_us = 4000000000000000;"
			    "UPDATE match_players SET created_us = "
			    "4000000000000000");
	}
	struct store_match_query q =
	    matches_of(STORE_TENANT_DEFAULT, "", NULL, 3);
	ck_assert_int_eq(q.rows[0].created_us, ahead + 2);
	ck_assert_int_eq(q.rows[1].created_us, ahead + 1);
	check_order(names[0], 3);
}
END_TEST

struct ender {
	struct store_debate d[ROUNDS];
	size_t i;
};

static void *
end_all(void *arg)
{
	struct ender *t = arg;

	for (size_t i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(
		    finish(&t->d[i], "tea", (i + t->i) % AGENTS), ERR_OK);
	return NULL;
}

START_TEST(test_together)
{
	struct ender enders[KIT_THREADS] = {0};
	pthread_t threads[KIT_THREADS];

	for (size_t i = 0; i < KIT_THREADS; i++)
		for (size_t k = 0; k < ROUNDS; k++) {
			enders[i].i = i;
			kit_create("q", 0);
			enders[i].d[k] = kit_claim("r");
		}
	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, end_all, &enders[i]), 0);
	for (size_t i = 0; i < KIT_THREADS; i++)
		pthread_join(threads[i], NULL);
	check_board("", (int64_t)KIT_THREADS * ROUNDS);
	check_board("tea", (int64_t)KIT_THREADS * ROUNDS);
	for (size_t i = 0; i < AGENTS; i++)
		check_order(names[i], (int64_t)KIT_THREADS * ROUNDS);
}
END_TEST

void
add_ratings(TCase *t)
{
	tcase_add_test(t, test_sum);
	tcase_add_test(t, test_record);
	tcase_add_test(t, test_sources);
	tcase_add_test(t, test_no_domain);
	tcase_add_test(t, test_once);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_together);
}
