/* SPDX-License-Identifier: MIT
 *
 * What models write, and what is read out of it. No text may yield a wrong
 * choice: abstaining is allowed, guessing is not.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "debate/parse.h"

static const char *const labels[] = {"Proposal A", "Proposal B", "Proposal C"};
static const char *const other_labels[] = {"Entwurf X", "Entwurf Y"};
#define NONE	-1
#define BALLOTS TEST_SRCDIR "/tests/unit/data/ballots.jsonl"

static const struct {
	const char *text;
	int choice;
} votes[] = {
    /* strict JSON */
    {"{\"choice\":\"Proposal B\",\"confidence\":0.8}", 1},
    {"{\"choice\": \"proposal b\"}", 1},
    {"{\"choice\":\"B\"}", 1},
    {"{\"vote\":\"Proposal C\"}", 2},
    {"{\"winner\":\"Proposal A\",\"answer\":\"x\"}", 0},
    {"  \n{\"choice\":\"Proposal A\"}\n", 0},
    {"{\"choice\":\"Proposal B.\"}", 1},
    {"{\"choice\":\"**Proposal B**\"}", 1},
    {"{\"choice\":\"I choose Proposal B\"}", 1},
    /* fenced */
    {"```json\n{\"choice\":\"Proposal B\"}\n```", 1},
    {"Here you are:\n```json\n{\"choice\":\"Proposal C\"}\n```\nDone.", 2},
    {"```\n{\"choice\":\"Proposal A\"}\n```", 0},
    {"```json\n{\"choice\":\"Proposal A\"}\n```\nno wait\n"
     "```json\n{\"choice\":\"Proposal B\"}\n```",
	1},
    /* embedded: the last object with the key */
    {"I think {\"choice\":\"Proposal A\"} at first, but finally "
     "{\"choice\":\"Proposal B\",\"confidence\":0.7}",
	1},
    {"Scores: {\"a\":1} then {\"choice\":\"Proposal C\"} ok {\"b\":2}", 2},
    {"{\"choice\":\"Proposal B\",\"reasoning\":\"it has {braces} inside\"}", 1},
    {"text } before {\"choice\":\"Proposal B\"}", 1},
    /* thinking */
    {"<think>Proposal A looks fine, {\"choice\":\"Proposal A\"}</think>"
     "{\"choice\":\"Proposal B\"}",
	1},
    {"<think>A? B? A!</think>\nVOTE: Proposal C", 2},
    /* repairs */
    {"{\"choice\":\"Proposal B\",}", 1},
    {"{'choice': 'Proposal B', 'continue_debate': False}", 1},
    {"{\"choice\":\"Proposal B\",\"reasoning\":\"cut off in the mid", 1},
    {"{\"choice\":\"Proposal A\",\"reasoning\":\"line\nbreak\"}", 0},
    {"{'choice': 'Proposal C', 'confidence': None}", 2},
    {"Sure! {\"choice\": \"Proposal A\", \"tags\": [1,2,], }", 0},
    /* lines */
    {"VOTE: B", 1},
    {"Vote: Proposal B", 1},
    {"**Vote:** Proposal B", 1},
    {"Choice - none\nChoice: Proposal A", NONE}, /* which of them? */
    {"Final answer: Proposal C", 2},
    {"My vote: C", 2},
    {"Winner = Proposal A", 0},
    {"I vote for Proposal B.", 1},
    {"**B**", 1},
    {"B", 1},
    {"(C)", 2},
    {"Proposal A is the best of all.", 0},
    {"Reasons are many.\nIn the end: Proposal C", 2},
    {"Proposal A is short and Proposal C is long.\nVote: Proposal C", 2},
    {"Both are good.\nProposal B wins.", 1},
    /* ambiguous or empty: nobody */
    {"", NONE},
    {"I cannot decide.", NONE},
    {"Proposal A or Proposal B", NONE},
    {"{\"choice\":\"Proposal A or Proposal B\"}", NONE},
    {"{\"choice\":\"\"}", NONE},
    {"{\"choice\":null}", NONE},
    {"{\"choice\":3}", NONE},
    {"{\"choice\":\"Proposal D\"}", NONE},
    {"{\"choice\":\"a\",\"confidence\":1}", 0},
    {"VOTE: A\nVOTE: B", NONE},
    {"Vote: Proposal A and Proposal B", NONE},
    {"Proposals abound", NONE},
    {"A banana is a fruit", NONE},
    {"Proposal AB", NONE},
    {"Vote: Proposal Bananas", NONE},
    {"neither Proposal A nor Proposal C convinces me", NONE},
    {"{\"answer\":42}", NONE},
    {"{", NONE},
    {"```json\n```", NONE},
    {"{\"choice\":[\"Proposal A\",\"Proposal B\"]}", NONE},
    {"\xc3\xa4\xc3\xb6\xc3\xbc", NONE},
};

START_TEST(test_votes)
{
	struct arena *a = arena_new(0);
	struct parse_vote v;

	parse_vote(a, votes[_i].text, labels, ARRAY_LEN(labels), &v);
	ck_assert_msg(v.choice == votes[_i].choice, "'%s' gave %d, not %d",
	    votes[_i].text, v.choice, votes[_i].choice);
	arena_free(&a);
}
END_TEST

static const struct {
	const char *text;
	double value;
} confidences[] = {{"0.8", 0.8}, {"80%", 0.8}, {"80 %", 0.8}, {"8/10", 0.8},
    {" 0.75 (fairly sure)", 0.75}, {"1", 1}, {"0", 0}, {"7", 0.7}, {"95", 0.95},
    {"high", 0.8}, {"Very high", 0.95}, {"low", 0.3}, {"** 0.6", 0.6},
    {"unknown", -1}, {"", -1}, {"-1", -1}, {"150%", 1}};

START_TEST(test_confidence)
{
	ck_assert_double_eq_tol(parse_confidence_text(confidences[_i].text),
	    confidences[_i].value, 1e-9);
}
END_TEST

START_TEST(test_position)
{
	struct arena *a = arena_new(0);
	struct parse_position p;

	parse_position(a,
	    "CHANGED: no - I keep it\nUse SQLite.\nIt is small.\n"
	    "CONFIDENCE: 0.7\n",
	    &p);
	ck_assert_str_eq(p.text, "Use SQLite.\nIt is small.");
	ck_assert(!p.is_changed);
	ck_assert_str_eq(p.why, "I keep it");
	ck_assert_double_eq_tol(p.confidence, 0.7, 1e-9);

	parse_position(a, "**Changed:** Yes, a good point\nText", &p);
	ck_assert(p.is_changed);
	ck_assert_str_eq(p.why, "a good point");
	ck_assert_double_eq_tol(p.confidence, -1, 1e-9);

	parse_position(a, "Only text", &p);
	ck_assert(p.is_changed); /* not said: assume it moved */
	ck_assert_str_eq(p.text, "Only text");
	parse_position(a, "<think>hmm</think>Answer", &p);
	ck_assert_str_eq(p.text, "Answer");
	arena_free(&a);
}
END_TEST

START_TEST(test_critique)
{
	struct arena *a = arena_new(0);
	struct parse_critique c;

	parse_critique(a,
	    "{\"issues\":[\"one\",\"two\"],\"suggestions\":[\"do it\"],"
	    "\"severity\":7,\"fatal\":true,\"quote\":\"q\"}",
	    &c);
	ck_assert_uint_eq(c.n_issues, 2);
	ck_assert_str_eq(c.issues[1], "two");
	ck_assert_double_eq_tol(c.severity, 7, 1e-9);
	ck_assert(c.is_fatal);
	ck_assert_str_eq(c.text, "one two Suggestion: do it");

	parse_critique(a, "{\"issues\":\"just one\",\"severity\":0.4}", &c);
	ck_assert_uint_eq(c.n_issues, 1);
	ck_assert_double_eq_tol(c.severity, 4, 1e-9);
	parse_critique(a, "{\"issues\":[],\"severity\":\"8/10\"}", &c);
	ck_assert_double_eq_tol(c.severity, 8, 1e-9);
	parse_critique(a, "{\"issues\":[],\"severity\":99}", &c);
	ck_assert_double_eq_tol(c.severity, 10, 1e-9);
	parse_critique(a, "It ignores the price.", &c);
	ck_assert_uint_eq(c.n_issues, 1);
	ck_assert_str_eq(c.text, "It ignores the price.");
	ck_assert_double_eq_tol(c.severity, 5, 1e-9);
	parse_critique(a, "", &c);
	ck_assert_uint_eq(c.n_issues, 0);
	arena_free(&a);
}
END_TEST

/* No prefix of a text may crash or be read as a vote its author did not
 * cast: the only label named is B. */
START_TEST(test_prefixes)
{
	static const char text[] =
	    "<think>{\"choice\":</think>```json\n{\"choice\":\"Proposal B\","
	    "\"confidence\":0.9,\"reasoning\":\"'quoted' {nested} [1,2,]\"}\n"
	    "```\nVOTE: Proposal B";
	struct arena *a = arena_new(0);

	for (size_t n = 0; n <= strlen(text); n++) {
		struct parse_vote v;
		parse_vote(a, arena_strndup(a, text, n), labels,
		    ARRAY_LEN(labels), &v);
		ck_assert_msg(v.choice == 1 || v.choice == NONE,
		    "%zu bytes gave %d", n, v.choice);
		arena_clear(a);
	}
	arena_free(&a);
}
END_TEST

/* Shapes of ballots, one a line: {"vote": the label its author chose or null,
 * "text", "read": false where the reader may miss the vote}. Missing one is
 * allowed, a wrong one is not, in whatever order the labels are. */
START_TEST(test_corpus)
{
	struct arena *a = arena_new(1 << 16);
	char line[8192];
	size_t n = 0;
	FILE *f = fopen(BALLOTS, "re");

	ck_assert_ptr_nonnull(f);
	for (; fgets(line, sizeof(line), f) != NULL; n++) {
		const struct json *j;
		struct parse_vote v;
		ck_assert_int_eq(
		    json_parse(a, line, strlen(line), NULL, &j, NULL), ERR_OK);
		const char *vote = json_get_str(j, "vote", NULL);
		const char *text = json_get_str(j, "text", NULL);
		ck_assert_ptr_nonnull(text);
		parse_vote(a, text, labels, ARRAY_LEN(labels), &v);
		bool is_read = json_get_bool(j, "read", true);
		int choice = vote != NULL && is_read ? *vote - 'A' : NONE;
		ck_assert_msg(v.choice == choice, "'%s' gave %d, not %d", text,
		    v.choice, choice);
		/* With another choice of labels there is none to read. */
		parse_vote(a, text, other_labels, ARRAY_LEN(other_labels), &v);
		ck_assert_msg(
		    v.choice == NONE, "'%s' gave %d of others", text, v.choice);
		arena_clear(a);
	}
	fclose(f);
	ck_assert_uint_ge(n, 200);
	arena_free(&a);
}
END_TEST

static const char *const hostile[] = {"{", "{\"", "{\"choice\":", "}", "{}",
    "{\"a\":{", "[[", "[[A]]", "\\boxed{", "'", "\"", "```", "```json\n{",
    "VOTE: ", "VOTE: A\n", "Proposal A ", "I vote for ", "- ", "<think>",
    "</think>", "{\"choice\":\"Proposal A\"}", "{'choice':", ",", "a,", ": ",
    "\n", "> VOTE\n", "not ", "{\"issues\":[", "\xf0\x9f\x98\x80", "{ } "};

static char *
repeat(struct arena *a, const char *unit, size_t bytes)
{
	size_t len = strlen(unit);
	char *text = arena_alloc(a, bytes + len + 1);

	for (size_t n = 0; n < bytes; n += len)
		memcpy(text + n, unit, len);
	return text;
}

/* Twice the text, twice the work, whatever it says. */
START_TEST(test_linear)
{
	enum { SMALL = 100000 };
	struct arena *a = arena_new(1 << 16);
	struct parse_vote v[2];
	struct parse_critique c[2];

	for (size_t i = 0; i < 2; i++) {
		const char *text = repeat(a, hostile[_i], SMALL << i);
		parse_vote(a, text, labels, ARRAY_LEN(labels), &v[i]);
		parse_critique(a, text, &c[i]);
	}
	ck_assert_msg(v[1].steps <= v[0].steps * 5 / 2 + 10000,
	    "'%s': %zu steps, then %zu", hostile[_i], v[0].steps, v[1].steps);
	ck_assert_msg(v[0].steps <= (size_t)SMALL * 64, "'%s': %zu steps",
	    hostile[_i], v[0].steps);
	ck_assert_uint_le(c[1].steps, c[0].steps * 5 / 2 + 10000);
	ck_assert_uint_le(c[0].steps, (size_t)SMALL * 64);
	arena_free(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("parse");
	TCase *c = tcase_create("parse");

	tcase_add_loop_test(c, test_votes, 0, (int)ARRAY_LEN(votes));
	tcase_add_loop_test(c, test_confidence, 0, (int)ARRAY_LEN(confidences));
	tcase_add_test(c, test_position);
	tcase_add_test(c, test_critique);
	tcase_add_test(c, test_prefixes);
	tcase_add_test(c, test_corpus);
	tcase_add_loop_test(c, test_linear, 0, (int)ARRAY_LEN(hostile));
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
