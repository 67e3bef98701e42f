/* SPDX-License-Identifier: MIT
 *
 * A model that can add, but only so often: the process behind
 * "stub-arith:0.7", on which ways of deciding can be compared. What it says
 * follows from the request alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define ARITH_ANSWER "The answer is "
#define ARITH_WRONG  9 /* so many different mistakes */
#define ARITH_SCALE  1000

/* "17 + 25" in the question; 0 when there is no sum. */
static int64_t
arith_sum(const char *prompt)
{
	const char *at = strstr(prompt, "Question:\n");

	for (at = at != NULL ? at : prompt; *at != '\0'; at++) {
		char *end;
		if (!str_is_digit(*at))
			continue;
		int64_t a = strtoll(at, &end, 10);
		at = end - 1;
		end += strspn(end, " ");
		if (*end != '+')
			continue;
		end += 1 + strspn(end + 1, " ");
		if (str_is_digit(*end))
			return a + strtoll(end, NULL, 10);
	}
	return 0;
}

static const char *
arith_says(struct arena *a, int64_t n)
{
	return arena_printf(a, ARITH_ANSWER "%lld.", (long long)n);
}

static size_t
arith_count(const char *prompt, const char *says)
{
	size_t n = 0;

	for (const char *p = prompt; (p = strstr(p, says)) != NULL; p++)
		n++;
	return n;
}

/* What most of the texts in the prompt say; the first of equals. */
static const char *
arith_most(struct arena *a, const char *prompt)
{
	const char *best = "";
	size_t most = 0;

	for (const char *p = prompt; (p = strstr(p, ARITH_ANSWER)) != NULL;
	     p++) {
		const char *says = arena_strndup(a, p, strcspn(p, ".\n") + 1);
		size_t n = arith_count(prompt, says);
		if (n > most) {
			best = says;
			most = n;
		}
	}
	return best;
}

/* The proposal that says it, the first one when none does. */
static const char *
arith_label(struct arena *a, const char *prompt, const char *says)
{
	static const char mark[] = " Proposal ";
	const char *first = NULL;

	for (const char *p = prompt; (p = strstr(p, "\n<<<")) != NULL; p++) {
		const char *line = p + 1;
		size_t len = strcspn(line, "\n");
		const char *label = strstr(line, mark);
		const char *end = strstr(line, ">>>");
		if (label == NULL || label > line + len || end == NULL)
			continue;
		label = arena_strndup(
		    a, label + 1, (size_t)(line + len - label - 1));
		first = first != NULL ? first : label;
		const char *said = strstr(line, says);
		if (said != NULL && said < end)
			return label;
	}
	return first != NULL ? first : "Proposal A";
}

const char *
stub_arith(struct arena *a, const char *task, const char *prompt,
    const char *sha, const char *form)
{
	uint64_t h = strtoull(arena_strndup(a, sha, 12), NULL, 16);
	double p = 0;
	int64_t sum = arith_sum(prompt);
	const char *right = arith_says(a, sum);

	if (str_to_double(form, &p) != ERR_OK)
		p = 0;
	bool is_right = (double)(h % ARITH_SCALE) < p * ARITH_SCALE;
	const char *says = is_right
	    ? right
	    : arith_says(a, sum + 1 + (int64_t)(h / ARITH_SCALE % ARITH_WRONG));
	if (str_eq(task, "revise"))
		/* Who had it right stays with it. */
		return arena_printf(a, "CHANGED: no - added up again\n%s",
		    strstr(prompt, right) != NULL ? right : says);
	if (str_eq(task, "vote") || str_eq(task, "judge"))
		return arena_printf(a,
		    "{\"%s\":\"%s\",\"confidence\":0.8,\"reasoning\":\"added "
		    "up\",\"answer\":\"%s\"}",
		    str_eq(task, "vote") ? "choice" : "winner",
		    arith_label(a, prompt, says), says);
	if (str_eq(task, "critique"))
		return "{\"issues\":[\"Was it added up twice?\"],"
		       "\"suggestions\":[\"Add it up again.\"],\"severity\":3,"
		       "\"fatal\":false,\"quote\":\"\"}";
	if (str_eq(task, "synthesis"))
		return arith_most(a, prompt);
	return arena_printf(a, "%s\nCONFIDENCE: 0.8", says);
}
