/* SPDX-License-Identifier: MIT
 *
 * Counting votes: every rule at and beside its threshold, ties, quorum,
 * abstentions; the upstream defects of the engine notes 1.6.
 */
#include <check.h>
#include <stdlib.h>

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
	consensus_count(rule, threshold, b, n, 8, &o);
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

/* A tie falls to the more confident side, whoever was counted first. */
START_TEST(test_tie_by_confidence)
{
	struct consensus_ballot b[2] = {
	    {.choice = 0, .weight_ppm = FULL, .confidence_ppm = 600000},
	    {.choice = 1, .weight_ppm = FULL, .confidence_ppm = 700000}};
	struct consensus_outcome o;

	consensus_count(DEBATE_ANY, 600000, b, 2, 2, &o);
	ck_assert_int_eq(o.winner, 1);
	ck_assert(!o.is_tie);
	b[0].confidence_ppm = 700000;
	consensus_count(DEBATE_ANY, 600000, b, 2, 2, &o);
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

	consensus_count(DEBATE_WEIGHTED, 600000, b, 3, 2, &o);
	ck_assert_int_eq(o.winner, 0);
	ck_assert_int_eq(o.share_ppm, 600000); /* exactly at the threshold */
	ck_assert(o.is_reached);
	b[1].weight_ppm++;
	consensus_count(DEBATE_WEIGHTED, 600000, b, 3, 2, &o);
	ck_assert(!o.is_reached);
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
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
