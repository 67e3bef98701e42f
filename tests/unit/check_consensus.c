/* SPDX-License-Identifier: MIT
 *
 * Counting votes: every rule at and beside its threshold, ties, quorum,
 * abstentions, rankings; the upstream defects of the engine notes 1.6; and
 * that neither the order of the ballots nor that of the options matters.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "debate/consensus.h"

#define FULL CONSENSUS_PPM

/* choices: one digit a voter, '-' abstains; all equal weight. */
static struct consensus_outcome
count(enum debate_rule rule, int64_t threshold, const char *choices)
{
	struct consensus_ballot b[32];
	struct consensus_outcome o;
	size_t n = 0;

	for (; choices[n] != '\0'; n++)
		b[n] = (struct consensus_ballot){
		    .choice = choices[n] == '-' ? -1 : choices[n] - '0',
		    .weight_ppm = FULL,
		    .confidence_ppm = FULL / 2};
	consensus_count(
	    &(struct consensus_rule){rule, threshold, -1}, b, n, 8, &o);
	return o;
}

static const struct {
	enum debate_rule rule;
	int64_t threshold;
	const char *choices;
	bool is_reached;
	int winner;
	const char *strength;
} cases[] = {
    {DEBATE_MAJORITY, 600000, "001", true, 0, "medium"},
    {DEBATE_MAJORITY, 600000, "01", false, -1, "weak"}, /* 1-1 is no majority */
    {DEBATE_MAJORITY, 600000, "0011", false, -1, "weak"}, /* nor is 2-2 */
    {DEBATE_MAJORITY, 600000, "000001", true, 0, "strong"},
    {DEBATE_MAJORITY, 600000, "0012", false, 0, "weak"},
    {DEBATE_SUPERMAJORITY, 600000, "001", true, 0, "medium"}, /* 2 of 3 */
    {DEBATE_SUPERMAJORITY, 600000, "00011", false, 0, "medium"},
    {DEBATE_SUPERMAJORITY, 800000, "001", false, 0, "medium"},
    {DEBATE_SUPERMAJORITY, 800000, "00001", true, 0, "strong"},
    {DEBATE_UNANIMOUS, 600000, "222", true, 2, "unanimous"},
    {DEBATE_UNANIMOUS, 600000, "22-", false, 2, "unanimous"},
    {DEBATE_UNANIMOUS, 600000, "221", false, 2, "medium"},
    {DEBATE_WEIGHTED, 600000, "00011", true, 0, "medium"},
    {DEBATE_WEIGHTED, 600001, "00011", false, 0, "medium"},
    {DEBATE_ANY, 600000, "0012", true, 0, "weak"},
    {DEBATE_ANY, 600000, "01", false, -1, "weak"},
    {DEBATE_NONE, 600000, "000", false, 0, "unanimous"},
    {DEBATE_JUDGE, 600000, "110", true, 1, "medium"},
    {DEBATE_PLURALITY, 600000, "0012", true, 0, "weak"},
    {DEBATE_PLURALITY, 600000, "0011", false, -1, "weak"},
    /* "0.667" of three voters is two of them */
    {DEBATE_SUPERMAJORITY, 666667, "001", true, 0, "medium"},
    {DEBATE_SUPERMAJORITY, 667000, "001", true, 0, "medium"},
    {DEBATE_SUPERMAJORITY, 670000, "001", true, 0, "medium"},
    {DEBATE_SUPERMAJORITY, 680000, "001", false, 0, "medium"},
    /* without rankings a ranked rule counts first choices */
    {DEBATE_BORDA, 600000, "0012", true, 0, "weak"},
    {DEBATE_IRV, 600000, "00012", true, 0, "medium"},
    {DEBATE_CONDORCET, 600000, "0012", true, 0, "weak"},
    /* 1.6: a landslide is strong, a draw is nothing */
    {DEBATE_MAJORITY, 600000, "000001", true, 0, "strong"},
    {DEBATE_PLURALITY, 600000, "00001111", false, -1, "weak"},
    /* 1.6: who failed to vote is still one of those who could */
    {DEBATE_MAJORITY, 600000, "00----", false, -1, "none"},
    {DEBATE_UNANIMOUS, 600000, "0000-", false, 0, "unanimous"},
    /* Quorum: two, and half of those who could vote. */
    {DEBATE_ANY, 600000, "0---", false, -1, "none"},
    {DEBATE_ANY, 600000, "00--", true, 0, "unanimous"},
    {DEBATE_ANY, 600000, "00---", false, -1, "none"},
    {DEBATE_ANY, 600000, "---", false, -1, "none"},
    {DEBATE_ANY, 600000, "", false, -1, "none"},
};

START_TEST(test_cases)
{
	const char *choices = cases[_i].choices;
	struct consensus_outcome o =
	    count(cases[_i].rule, cases[_i].threshold, choices);

	ck_assert_msg(o.is_reached == cases[_i].is_reached, "%s of '%s'",
	    debate_rule_name(cases[_i].rule), choices);
	ck_assert_int_eq(o.winner, cases[_i].winner);
	ck_assert_str_eq(consensus_strength(&o), cases[_i].strength);
}
END_TEST

static const struct consensus_rule any = {DEBATE_ANY, 600000, -1};
static const struct consensus_rule weighted = {DEBATE_WEIGHTED, 600000, -1};

/* A tie falls to the more confident side, whoever was counted first. */
START_TEST(test_tie_by_confidence)
{
	struct consensus_ballot b[2] = {
	    {.choice = 0, .weight_ppm = FULL, .confidence_ppm = 600000},
	    {.choice = 1, .weight_ppm = FULL, .confidence_ppm = 700000}};
	struct consensus_outcome o;

	consensus_count(&any, b, 2, 2, &o);
	ck_assert_int_eq(o.winner, 1);
	ck_assert(!o.is_tie);
	b[0].confidence_ppm = 700000;
	consensus_count(&any, b, 2, 2, &o);
	ck_assert_int_eq(o.winner, -1);
	ck_assert(o.is_tie);
	ck_assert(!o.is_reached);
}
END_TEST

/* The result never depends on the order of the ballots. */
START_TEST(test_order)
{
	static const char *const orders[] = {
	    "00112", "21100", "01201", "10210", "11002"};
	struct consensus_outcome first = count(DEBATE_ANY, 600000, orders[0]);

	for (size_t i = 1; i < ARRAY_LEN(orders); i++) {
		struct consensus_outcome o =
		    count(DEBATE_ANY, 600000, orders[i]);
		ck_assert_int_eq(o.winner, first.winner);
		ck_assert_int_eq(o.is_tie, first.is_tie);
		ck_assert_int_eq(o.share_ppm, first.share_ppm);
	}
}
END_TEST

START_TEST(test_weights)
{
	struct consensus_ballot b[3] = {
	    {.choice = 0, .weight_ppm = 900000, .confidence_ppm = 900000},
	    {.choice = 1, .weight_ppm = 400000, .confidence_ppm = 400000},
	    {.choice = 1, .weight_ppm = 200000, .confidence_ppm = 200000}};
	struct consensus_outcome o;

	consensus_count(&weighted, b, 3, 2, &o);
	ck_assert_int_eq(o.winner, 0);
	ck_assert_int_eq(o.share_ppm, 600000); /* exactly at the threshold */
	ck_assert(o.is_reached);
	b[1].weight_ppm++;
	consensus_count(&weighted, b, 3, 2, &o);
	ck_assert(!o.is_reached);
}
END_TEST

/* The mean decides, not the sum: one weight split among more voters does not
 * make them more certain. */
START_TEST(test_tie_by_mean)
{
	struct consensus_ballot b[3] = {
	    {.choice = 0, .weight_ppm = 2 * FULL, .confidence_ppm = 700000},
	    {.choice = 1, .weight_ppm = FULL, .confidence_ppm = 600000},
	    {.choice = 1, .weight_ppm = FULL, .confidence_ppm = 600000}};
	struct consensus_outcome o;

	consensus_count(&any, b, 3, 2, &o);
	ck_assert_int_eq(o.winner, 0);
	ck_assert_int_eq(o.settled_by, CONSENSUS_BREAK_CONFIDENCE);
	ck_assert_int_eq(o.margin_ppm, 0);
}
END_TEST

/* The judge comes first, but only among those in the tie. */
START_TEST(test_tie_by_judge)
{
	struct consensus_ballot b[2] = {
	    {.choice = 0, .weight_ppm = FULL, .confidence_ppm = 600000},
	    {.choice = 1, .weight_ppm = FULL, .confidence_ppm = 700000}};
	struct consensus_rule rule = {DEBATE_PLURALITY, 600000, 0};
	struct consensus_outcome o;

	consensus_count(&rule, b, 2, 3, &o);
	ck_assert_int_eq(o.winner, 0);
	ck_assert_int_eq(o.settled_by, CONSENSUS_BREAK_JUDGE);
	rule.judge = 2;
	consensus_count(&rule, b, 2, 3, &o);
	ck_assert_int_eq(o.winner, 1);
	b[1].weight_ppm = 900000; /* no tie, no judge */
	rule.judge = 1;
	consensus_count(&rule, b, 2, 3, &o);
	ck_assert_int_eq(o.winner, 0);
	ck_assert_int_eq(o.settled_by, CONSENSUS_BREAK_NONE);
}
END_TEST

/* No voter counts for nothing, none for more than three. */
START_TEST(test_weight_range)
{
	struct consensus_ballot b[3] = {{.choice = 0, .weight_ppm = 99 * FULL},
	    {.choice = 1, .weight_ppm = 0}, {.choice = 1, .weight_ppm = -FULL}};
	struct consensus_outcome o;

	consensus_count(&any, b, 3, 2, &o);
	ck_assert_int_eq(o.share_ppm,
	    3 * FULL * INT64_C(1000000) / (3 * FULL + 2 * FULL / 10));
	ck_assert_int_eq(o.distinct, 2);
}
END_TEST

/* ---- rankings ---- */

/* "3:012" three voters rank 0 before 1 before 2; parts by spaces. */
static size_t
read_ranks(const char *text, struct consensus_ballot *b, int (*ranks)[8])
{
	size_t n = 0;

	for (const char *p = text; *p != '\0';) {
		int copies = *p - '0';
		size_t k = 0;
		for (p += 2; *p != '\0' && *p != ' '; p++)
			ranks[n][k++] = *p - '0';
		p += *p == ' ';
		for (int i = 0; i < copies; i++, n++) {
			memcpy(ranks[n + 1], ranks[n], sizeof(ranks[n]));
			b[n] = (struct consensus_ballot){.choice = ranks[n][0],
			    .weight_ppm = FULL,
			    .confidence_ppm = FULL / 2,
			    .ranking = ranks[n],
			    .n_ranking = k};
		}
	}
	return n;
}

static const struct {
	const char *ranks;
	size_t n_options;
	int plurality, borda, irv, condorcet;
} ranked[] = {
    {"3:012", 3, 0, 0, 0, 0},
    /* The capital of Tennessee: 42, 26, 15, 17 of 100, as 8:5:3:4. Memphis,
     * Nashville, Chattanooga, Knoxville. */
    {"8:0123 5:1230 3:2310 4:3210", 4, 0, 1, 3, 1},
    /* The majority's favourite loses by Borda. */
    {"3:012 2:120", 3, 0, 1, 0, 0},
    /* The compromise that hardly anybody puts first. */
    {"4:021 4:120 1:201", 3, -1, 2, 0, 2},
    /* A cycle: 0 beats 1 beats 2 beats 0; the weakest victory gives way. */
    {"4:012 3:120 2:201", 3, 0, -1, 0, 0},
    /* A perfect cycle is a tie under every rule. */
    {"1:012 1:120 1:201", 3, -1, -1, -1, -1},
    {"2:01 2:10", 2, -1, -1, -1, -1},
    /* Two rivals share a majority: neither may lose to 0 by a coin. */
    {"3:0 2:12 2:21", 3, 0, -1, -1, -1},
    /* Ballots that rank one or two of them. */
    {"4:0 3:12 2:2", 3, 0, -1, 0, 2},
    {"4:0 3:1 2:21", 3, 0, 1, 1, 1},
};

START_TEST(test_ranked)
{
	struct consensus_ballot b[32];
	int ranks[33][8] = {{0}};
	struct consensus_outcome o;
	size_t n = read_ranks(ranked[_i].ranks, b, ranks);
	const struct {
		enum debate_rule rule;
		int winner;
	} wanted[] = {{DEBATE_PLURALITY, ranked[_i].plurality},
	    {DEBATE_BORDA, ranked[_i].borda}, {DEBATE_IRV, ranked[_i].irv},
	    {DEBATE_CONDORCET, ranked[_i].condorcet}};

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const struct consensus_rule rule = {wanted[i].rule, 600000, -1};
		consensus_count(&rule, b, n, ranked[_i].n_options, &o);
		ck_assert_msg(o.winner == wanted[i].winner,
		    "%s of %s gave %d, not %d", debate_rule_name(rule.rule),
		    ranked[_i].ranks, o.winner, wanted[i].winner);
		ck_assert_int_eq(o.is_tie, o.winner < 0);
		ck_assert_int_eq(o.is_reached, o.winner >= 0);
	}
}
END_TEST

/* A ranking that says two things is an abstention. */
START_TEST(test_unsound_ranking)
{
	static const int twice[] = {1, 1};
	static const int strange[] = {0, 9};
	static const int other[] = {1, 0};
	struct consensus_ballot b[5] = {{.choice = 0, .weight_ppm = FULL},
	    {.choice = 0, .weight_ppm = FULL},
	    {.choice = 1, .weight_ppm = FULL, .ranking = twice, .n_ranking = 2},
	    {.choice = 0,
		.weight_ppm = FULL,
		.ranking = strange,
		.n_ranking = 2},
	    {.choice = 0,
		.weight_ppm = FULL,
		.ranking = other,
		.n_ranking = 2}};
	const struct consensus_rule rule = {DEBATE_BORDA, 600000, -1};
	struct consensus_outcome o;

	consensus_count(&rule, b, 4, 2, &o);
	ck_assert_int_eq(o.abstained, 2);
	ck_assert_int_eq(o.winner, 0);
	consensus_count(&rule, b, 5, 2, &o);
	ck_assert_int_eq(o.abstained, 3);
	ck_assert(!o.is_quorate);
	ck_assert_int_eq(o.winner, -1);
}
END_TEST

/* ---- properties ---- */

#define VOTERS	7
#define OPTIONS 5

static uint32_t
next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void
shuffle(uint64_t *state, int *list, int n)
{
	for (int i = 0; i < n; i++)
		list[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int k = (int)(next_random(state) % (uint32_t)(i + 1));
		int x = list[i];
		list[i] = list[k];
		list[k] = x;
	}
}

struct election {
	struct consensus_ballot b[VOTERS];
	int ranks[VOTERS][OPTIONS];
};

static void
make_election(uint64_t *state, struct election *e)
{
	for (int i = 0; i < VOTERS; i++) {
		struct consensus_ballot *b = &e->b[i];
		shuffle(state, e->ranks[i], OPTIONS);
		/* Few values: ties are frequent. */
		*b = (struct consensus_ballot){.choice = e->ranks[i][0],
		    .weight_ppm = FULL * (1 + next_random(state) % 2),
		    .confidence_ppm = FULL * (1 + next_random(state) % 2) / 2,
		    .ranking = e->ranks[i],
		    .n_ranking = next_random(state) % (OPTIONS + 1)};
		if (next_random(state) % 8 == 0)
			b->choice = -1, b->n_ranking = 0;
	}
}

/* The same votes in another order and with other numbers for the options. */
static void
permute(const struct election *from, const int *voters, const int *options,
    struct election *to)
{
	for (int i = 0; i < VOTERS; i++) {
		const struct consensus_ballot *b = &from->b[voters[i]];
		to->b[i] = *b;
		to->b[i].choice = b->choice < 0 ? -1 : options[b->choice];
		to->b[i].ranking = to->ranks[i];
		for (size_t k = 0; k < b->n_ranking; k++)
			to->ranks[i][k] = options[b->ranking[k]];
	}
}

/* No order of ballots or agents changes what a rule finds. */
START_TEST(test_permutations)
{
	enum debate_rule name = (enum debate_rule)_i;
	uint64_t state = 1;
	struct election e;
	struct election p;
	int voters[VOTERS];
	int options[OPTIONS];
	int n_ties = 0;
	int n_winners = 0;

	for (int round = 0; round < 2000; round++) {
		struct consensus_outcome x;
		struct consensus_outcome y;
		make_election(&state, &e);
		shuffle(&state, voters, VOTERS);
		shuffle(&state, options, OPTIONS);
		permute(&e, voters, options, &p);
		struct consensus_rule rule = {name, 600000, -1};
		if (next_random(&state) % 4 == 0)
			rule.judge = (int)(next_random(&state) % OPTIONS);
		consensus_count(&rule, e.b, VOTERS, OPTIONS, &x);
		if (rule.judge >= 0)
			rule.judge = options[rule.judge];
		consensus_count(&rule, p.b, VOTERS, OPTIONS, &y);
		n_ties += x.is_tie;
		n_winners += x.winner >= 0;
		if (x.winner >= 0)
			x.winner = options[x.winner];
		ck_assert_int_eq(x.winner, y.winner);
		ck_assert_int_eq(x.is_tie, y.is_tie);
		ck_assert_int_eq(x.is_reached, y.is_reached);
		ck_assert_int_eq(x.is_quorate, y.is_quorate);
		ck_assert_int_eq(x.settled_by, y.settled_by);
		ck_assert_int_eq(x.share_ppm, y.share_ppm);
		ck_assert_int_eq(x.margin_ppm, y.margin_ppm);
		ck_assert_int_eq(x.distinct, y.distinct);
	}
	ck_assert_int_gt(n_ties, 0);
	ck_assert_int_gt(n_winners, 100);
}
END_TEST

/* Who beats every other in a duel wins by Condorcet; who has more than half
 * of the first choices wins by run-off too. */
START_TEST(test_criteria)
{
	static const struct consensus_rule condorcet = {
	    DEBATE_CONDORCET, 600000, -1};
	static const struct consensus_rule irv = {DEBATE_IRV, 600000, -1};
	uint64_t state = 7;
	struct election e;
	int n_condorcet = 0;
	int n_majority = 0;

	for (int round = 0; round < 2000; round++) {
		struct consensus_outcome o;
		make_election(&state, &e);
		for (int i = 0; i < VOTERS; i++) {
			e.b[i].n_ranking = OPTIONS;
			e.b[i].choice = e.ranks[i][0];
			e.b[i].weight_ppm = FULL;
		}
		for (int x = 0; x < OPTIONS; x++) {
			int n_beaten = 0;
			int n_first = 0;
			for (int i = 0; i < VOTERS; i++)
				n_first += e.ranks[i][0] == x;
			for (int y = 0; y < OPTIONS; y++) {
				int n_above = 0;
				for (int i = 0; i < VOTERS; i++)
					for (int k = 0; e.ranks[i][k] != y; k++)
						n_above += e.ranks[i][k] == x;
				n_beaten += x != y && 2 * n_above > VOTERS;
			}
			if (n_beaten == OPTIONS - 1) {
				consensus_count(
				    &condorcet, e.b, VOTERS, OPTIONS, &o);
				ck_assert_int_eq(o.winner, x);
				n_condorcet++;
			}
			if (2 * n_first > VOTERS) {
				consensus_count(&irv, e.b, VOTERS, OPTIONS, &o);
				ck_assert_int_eq(o.winner, x);
				n_majority++;
			}
		}
	}
	ck_assert_int_gt(n_condorcet, 100);
	ck_assert_int_gt(n_majority, 20);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("consensus");
	TCase *c = tcase_create("consensus");

	tcase_add_loop_test(c, test_cases, 0, (int)ARRAY_LEN(cases));
	tcase_add_test(c, test_tie_by_confidence);
	tcase_add_test(c, test_order);
	tcase_add_test(c, test_weights);
	tcase_add_test(c, test_tie_by_mean);
	tcase_add_test(c, test_tie_by_judge);
	tcase_add_test(c, test_weight_range);
	tcase_add_loop_test(c, test_ranked, 0, (int)ARRAY_LEN(ranked));
	tcase_add_test(c, test_unsound_ranking);
	tcase_add_loop_test(c, test_permutations, 0, DEBATE_RULE__COUNT);
	tcase_add_test(c, test_criteria);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
