/* SPDX-License-Identifier: MIT
 *
 * The stub's answers. They hold characters of several bytes on purpose.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define STUB_TEXT_MAX  (1u << 20)
#define STUB_QUOTE_MAX 120

/* How src/debate/prompt.c begins each task's instruction. */
static const struct {
	const char *task;
	const char *sentence;
} stub_tasks[] = {
    {"propose", "Give your answer to the question."},
    {"critique", "Criticise the proposal in the block."},
    {"revise", "Here are your position and the critiques of it."},
    {"revise", "Here are your position and what others answered"},
    {"vote", "Choose the proposal that answers the question best."},
    {"vote", "Rank the proposals by how well they answer the question."},
    {"judge", "You are the judge."},
    {"synthesis", "Write the final answer for the person who asked."},
};

static const char *const stub_positions[] = {
    "Take the smaller step first",
    "Do it now, and completely",
    "Leave things as they are — for one more year",
};

/* The instruction stands last; texts before it may quote anything. */
const char *
stub_task(const char *prompt)
{
	const char *from = prompt;

	for (const char *p = prompt; (p = strstr(p, "\nTask:\n")) != NULL; p++)
		from = p;
	for (size_t i = 0; i < ARRAY_LEN(stub_tasks); i++)
		if (strstr(from, stub_tasks[i].sentence) != NULL)
			return stub_tasks[i].task;
	return "other";
}

/* The first "Proposal X" that heads a block; its text begins at *text. */
static const char *
stub_label(struct arena *a, const char *prompt, const char **text)
{
	static const char mark[] = " Proposal ";

	for (const char *p = prompt; (p = strstr(p, "\n<<<")) != NULL; p++) {
		const char *line = p + 1;
		size_t len = strcspn(line, "\n");
		const char *label = strstr(line, mark);
		if (label == NULL || label > line + len)
			continue;
		label++;
		*text = line[len] == '\n' ? line + len + 1 : line + len;
		return arena_strndup(a, label, (size_t)(line + len - label));
	}
	*text = "";
	return "Proposal A";
}

static const char *
stub_quote(struct arena *a, const char *text)
{
	size_t len = strcspn(text, "\n");

	return arena_strndup(a, text, str_utf8_cut(text, len, STUB_QUOTE_MAX));
}

static const char *
stub_question(struct arena *a, const char *prompt)
{
	const char *at = strstr(prompt, "Question:\n");

	return stub_quote(a, at != NULL ? at + strlen("Question:\n") : prompt);
}

static void
stub_position(struct buf *b, const char *question, uint64_t h)
{
	buf_printf(b,
	    "Position: %s.\nAsked was: “%s”. The costs of this are known "
	    "(≈ %d %% of the budget), its gain was measured twice, and a "
	    "mistake shows within %d weeks.\nThe main risk is that nobody "
	    "feels responsible for it.\nCONFIDENCE: 0.%d",
	    stub_positions[h % ARRAY_LEN(stub_positions)], question,
	    (int)(h / 7 % 30) + 5, (int)(h / 11 % 8) + 2,
	    (int)(h / 13 % 40) + 50);
}

static void
stub_critique(struct arena *a, struct buf *b, const char *prompt, uint64_t h)
{
	const char *text;
	struct json_w w;

	stub_label(a, prompt, &text);
	json_w_init(&w, b);
	json_w_begin(&w, NULL);
	json_w_begin_array(&w, "issues");
	json_w_str(&w, NULL, "The measurement is not described.");
	json_w_str(&w, NULL, "Who pays — and when — stays open.");
	json_w_end_array(&w);
	json_w_begin_array(&w, "suggestions");
	json_w_str(&w, NULL, "Name the measurement and its date.");
	json_w_end_array(&w);
	json_w_int(&w, "severity", (int64_t)(h % 7) + 1);
	json_w_bool(&w, "fatal", false);
	json_w_str(&w, "quote", stub_quote(a, text));
	json_w_end(&w);
}

static void
stub_ballot(struct buf *b, const char *key, const char *label, uint64_t h)
{
	struct json_w w;

	json_w_init(&w, b);
	json_w_begin(&w, NULL);
	json_w_str(&w, key, label);
	json_w_num(&w, "confidence", (double)(h % 40 + 50) / 100);
	json_w_str(&w, "reasoning", "It states its costs — the others do not.");
	if (str_eq(key, "winner"))
		json_w_str(&w, "answer",
		    "Take the step with known costs, and look again after "
		    "the first measurement.");
	else
		json_w_bool(&w, "continue_debate", false);
	json_w_end(&w);
}

static void
stub_vote(struct arena *a, struct buf *b, const char *label, const char *form,
    uint64_t h)
{
	if (str_eq(form, "prose")) {
		buf_printf(b,
		    "The reasons given there are the better ones, so I vote "
		    "for %s.",
		    label);
	} else if (str_eq(form, "fence")) {
		buf_puts(b, "My ballot:\n```json\n");
		stub_ballot(b, "choice", label, h);
		buf_puts(b, "\n```\n");
	} else if (str_eq(form, "think")) {
		buf_puts(b, "<think>At first sight ");
		stub_ballot(b, "choice", "Proposal Z", h);
		buf_puts(b, " but no.</think>\n");
		stub_ballot(b, "choice", label, h);
	} else if (str_eq(form, "ambiguous")) {
		buf_puts(
		    b, "Proposal A and Proposal B are equally good to me.");
	} else if (!str_eq(form, "empty")) {
		stub_ballot(b, "choice",
		    *form != '\0' ? arena_printf(a, "Proposal %s", form)
				  : label,
		    h);
	}
}

const char *
stub_answer(struct arena *a, const char *task, const char *prompt,
    const char *sha, const char *vote)
{
	uint64_t h = strtoull(arena_strndup(a, sha, 12), NULL, 16);
	const char *question = stub_question(a, prompt);
	const char *text;
	const char *label = stub_label(a, prompt, &text);
	struct buf b;

	buf_init(&b, STUB_TEXT_MAX);
	if (str_eq(task, "critique")) {
		stub_critique(a, &b, prompt, h);
	} else if (str_eq(task, "revise")) {
		buf_puts(&b,
		    h % 2 == 0
			? "CHANGED: yes - the cost was counted twice\n"
			: "CHANGED: no - the critiques name no new cost\n");
		stub_position(&b, question, h / 2);
	} else if (str_eq(task, "vote")) {
		stub_vote(a, &b, label, vote, h);
	} else if (str_eq(task, "judge")) {
		stub_ballot(&b, "winner", label, h);
	} else if (str_eq(task, "synthesis")) {
		buf_printf(&b,
		    "On “%s”: take the step with known costs first. This "
		    "holds while the measurement is repeated every %d weeks. "
		    "Disputed remains who decides — and when.",
		    question, (int)(h % 8) + 2);
	} else {
		stub_position(&b, question, h);
	}
	const char *answer = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return answer;
}
