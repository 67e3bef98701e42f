/* SPDX-License-Identifier: MIT
 *
 * The demo agents: deterministic, labelled, and their texts fit each other
 * and what the engine reads.
 */
#include <string.h>

#include "base/str.h"
#include "llm/demo.h"
#include "llm/llm_provider.h"
#include "tests/unit/check_run.h"

static struct arena *arena;

static void
set_up(void)
{
	arena = arena_new(0);
}

static void
tear_down(void)
{
	arena_free(&arena);
}

static const char *const questions[] = {
    "Should a small shop use PostgreSQL or SQLite for its orders?",
    "Should we rewrite the billing service?",
    "How do we improve our onboarding?",
    "?",
    "Soll das Caf\xc3\xa9 \xe2\x80\x93 trotz allem \xe2\x80\x93 umziehen?",
};

static const char *
ask(const char *name, enum llm_task task, const char *question,
    const struct llm_block *blocks, size_t n)
{
	const struct llm_agent agent = {.row = llm_agent_find("demo"),
	    .name = name,
	    .model = "",
	    .persona = "",
	    .role = ""};
	const struct llm_request r = {.task = task,
	    .system = "",
	    .question = question,
	    .context = "",
	    .blocks = blocks,
	    .n_blocks = n,
	    .instruction = "",
	    .nonce = "0badcafe",
	    .max_tokens = 500,
	    .seed = 1};
	char *answer = llm_demo_answer(&agent, &r);
	const char *copy = arena_strdup(arena, answer);

	ck_assert(str_is_utf8(answer, strlen(answer)));
	free(answer);
	return copy;
}

static const struct json *
ask_json(enum llm_task task, const char *question,
    const struct llm_block *blocks, size_t n)
{
	const char *text = ask("demo_2", task, question, blocks, n);
	const struct json *j = NULL;

	ck_assert_int_eq(
	    json_parse(arena, text, strlen(text), NULL, &j, NULL), ERR_OK);
	ck_assert_int_eq(json_kind(j), JSON_OBJECT);
	return j;
}

static double
confidence(const char *text)
{
	const char *line = strstr(text, "CONFIDENCE: ");

	ck_assert_ptr_nonnull(line);
	return strtod(line + strlen("CONFIDENCE: "), NULL);
}

/* One proposal of each of three seats. */
static void
propose(const char *question, const char **texts)
{
	texts[0] = ask("demo", LLM_PROPOSE, question, NULL, 0);
	texts[1] = ask("demo_2", LLM_PROPOSE, question, NULL, 0);
	texts[2] = ask("demo_3", LLM_PROPOSE, question, NULL, 0);
}

START_TEST(test_proposals)
{
	const char *texts[3];
	const char *again[3];
	struct demo_question q;

	propose(questions[_i], texts);
	propose(questions[_i], again);
	demo_read_question(arena, questions[_i], &q);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_str_eq(texts[i], again[i]);
		ck_assert(str_starts(texts[i], DEMO_MARK));
		ck_assert_ptr_nonnull(strstr(texts[i], "\nPosition: "));
		ck_assert_double_gt(confidence(texts[i]), 0);
		ck_assert_double_lt(confidence(texts[i]), 1);
		ck_assert_int_ge(demo_read_option(arena, &q, texts[i]), 0);
	}
	/* Neighbours differ. */
	ck_assert_int_ne(demo_read_option(arena, &q, texts[0]),
	    demo_read_option(arena, &q, texts[1]));
	ck_assert_int_ne(demo_read_option(arena, &q, texts[1]),
	    demo_read_option(arena, &q, texts[2]));
}
END_TEST

START_TEST(test_critique)
{
	const char *texts[3];

	propose(questions[_i], texts);
	const struct llm_block blocks[] = {
	    {.label = "Your position", .text = texts[1]},
	    {.label = "Proposal A", .text = texts[0]}};
	const struct json *j = ask_json(LLM_CRITIQUE, questions[_i], blocks, 2);
	const char *quote = json_get_str(j, "quote", "");
	double severity = json_get_num(j, "severity", -1);
	ck_assert_str_ne(quote, "");
	ck_assert_ptr_nonnull(strstr(texts[0], quote));
	ck_assert_uint_gt(json_len(json_get(j, "issues")), 0);
	ck_assert_uint_gt(json_len(json_get(j, "suggestions")), 0);
	ck_assert_double_ge(severity, 0);
	ck_assert_double_le(severity, 10);
	ck_assert_int_eq(json_kind(json_get(j, "fatal")), JSON_BOOL);
}
END_TEST

START_TEST(test_critique_of_foreign_texts)
{
	static const char *const targets[] = {"", "x", "\n\n...\n",
	    "One sentence that will always be true. Another one!",
	    "keine Position \xe2\x80\x93 nur ein langer Satz ohne Ende"};

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		const struct llm_block block = {
		    .label = "Proposal A", .text = targets[i]};
		const struct json *j =
		    ask_json(LLM_CRITIQUE, questions[_i], &block, 1);
		const char *quote = json_get_str(j, "quote", NULL);
		ck_assert_ptr_nonnull(quote);
		ck_assert_ptr_nonnull(strstr(targets[i], quote));
	}
}
END_TEST

START_TEST(test_revision)
{
	const char *texts[3];

	propose(questions[_i], texts);
	const struct llm_block mild[] = {
	    {.label = "Your position", .text = texts[0]},
	    {.label = "Critique 1", .text = "[severity 1/10] a detail"},
	    {.label = "Proposal A", .text = texts[1]}};
	const struct llm_block harsh[] = {mild[0],
	    {.label = "Critique 1", .text = "[severity 10/10, fatal] wrong"},
	    mild[2]};
	const char *kept = ask("demo", LLM_REVISE, questions[_i], mild, 3);
	const char *changed = ask("demo", LLM_REVISE, questions[_i], harsh, 3);
	struct demo_question q;
	demo_read_question(arena, questions[_i], &q);
	ck_assert(str_starts(kept, "CHANGED: no - "));
	ck_assert_int_eq(demo_read_option(arena, &q, kept),
	    demo_read_option(arena, &q, texts[0]));
	ck_assert(str_starts(changed, "CHANGED: yes - "));
	ck_assert_int_eq(
	    demo_read_option(arena, &q, strstr(changed, "Position:")),
	    demo_read_option(arena, &q, texts[1]));
	ck_assert_ptr_nonnull(strstr(kept, DEMO_MARK));
	ck_assert_ptr_nonnull(strstr(changed, DEMO_MARK));
	ck_assert_double_gt(confidence(kept), 0);
	ck_assert_double_lt(confidence(kept), 1);
}
END_TEST

static void
check_ballot(enum llm_task task, const char *key, const char *question)
{
	const char *texts[3];
	static const char *const labels[] = {
	    "Proposal A", "Proposal B", "Proposal C"};
	bool is_label = false;

	propose(question, texts);
	const struct llm_block blocks[] = {
	    {.label = "Your position", .text = texts[1]},
	    {.label = labels[0], .text = texts[0]},
	    {.label = labels[1], .text = texts[1]},
	    {.label = labels[2], .text = texts[2]}};
	const struct json *j = ask_json(task, question, blocks, 4);
	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		is_label =
		    is_label || str_eq(json_get_str(j, key, ""), labels[i]);
	ck_assert(is_label);
	ck_assert_double_gt(json_get_num(j, "confidence", -1), 0);
	ck_assert_double_le(json_get_num(j, "confidence", 2), 1);
	ck_assert_str_ne(json_get_str(j, "reasoning", ""), "");
	if (task == LLM_JUDGE)
		ck_assert_ptr_nonnull(
		    strstr(json_get_str(j, "answer", ""), "Demo"));
}

START_TEST(test_vote)
{
	check_ballot(LLM_VOTE, "choice", questions[_i]);
}
END_TEST

START_TEST(test_judge)
{
	check_ballot(LLM_JUDGE, "winner", questions[_i]);
}
END_TEST

START_TEST(test_synthesis)
{
	const char *texts[3];
	struct demo_question q;

	propose(questions[_i], texts);
	const struct llm_block blocks[] = {
	    {.label = "Leading position", .text = texts[2]},
	    {.label = "Other position 1", .text = texts[0]}};
	const char *text =
	    ask("demo_2", LLM_SYNTHESIS, questions[_i], blocks, 2);
	ck_assert_ptr_nonnull(strstr(text, DEMO_MARK));
	demo_read_question(arena, questions[_i], &q);
	ck_assert_ptr_nonnull(
	    strstr(text, q.options[demo_read_option(arena, &q, texts[2])]));
}
END_TEST

START_TEST(test_question)
{
	struct demo_question q;

	demo_read_question(arena, questions[0], &q);
	ck_assert(q.is_choice);
	ck_assert_uint_eq(q.n_options, 2);
	ck_assert_str_eq(q.options[0], "PostgreSQL");
	ck_assert_str_eq(q.options[1], "SQLite");
	demo_read_question(arena, questions[1], &q);
	ck_assert(!q.is_choice);
	ck_assert_uint_eq(q.n_options, 3);
	demo_read_question(arena, "", &q);
	ck_assert_uint_gt(q.n_options, 1);
}
END_TEST

static void
add_tests(TCase *t)
{
	int n = ARRAY_LEN(questions);

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, test_proposals, 0, n);
	tcase_add_loop_test(t, test_critique, 0, n);
	tcase_add_loop_test(t, test_critique_of_foreign_texts, 0, n);
	tcase_add_loop_test(t, test_revision, 0, n);
	tcase_add_loop_test(t, test_vote, 0, n);
	tcase_add_loop_test(t, test_judge, 0, n);
	tcase_add_loop_test(t, test_synthesis, 0, n);
	tcase_add_test(t, test_question);
}

int
main(void)
{
	return check_run("demo", add_tests);
}
