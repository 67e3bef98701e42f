/* SPDX-License-Identifier: MIT
 *
 * Inside of the demo provider: what it understands of a text. Simple rules,
 * no language model; plainly so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "llm/llm.h"

#define DEMO_OPTIONS 3
#define DEMO_MARK    "[Demo agent: offline rules, no language model]"

/* What a decision can be weighed by. */
#define DEMO_CRITERIA(X)                                                       \
	X(COST, "cost", "cost|price|budget|expens|money")                      \
	X(RISK, "risk", "risk|danger|fails|failure")                           \
	X(TIME, "time", "time|week|month|deadline|soon|fast|slow")             \
	X(UNDO, "reversibility", "revers|undo|go back|exit|switch back|lock")  \
	X(PEOPLE, "the people involved",                                       \
	    "people involved|team|skill|staff|train")                          \
	X(PROOF, "evidence", "evidence|measured|tested|trial|proof")

enum demo_criterion {
#define X(id, name, stems) DEMO_##id,
	DEMO_CRITERIA(X)
#undef X
	    DEMO__COUNT
};
const char *demo_criterion_name(int c);

/* A question, read. */
struct demo_question {
	const char *options[DEMO_OPTIONS];
	size_t n_options;
	bool is_choice;	   /* the options stand in the question */
	const char *topic; /* its own key words, "small shop database" */
};
void demo_read_question(
    struct arena *a, const char *question, struct demo_question *out);

/* Bit set of criteria a text speaks of. */
unsigned demo_read_criteria(const char *text);
/* Option a text stands for: its "Position:" sentence, else the one it names
 * most; -1 = unclear. */
int demo_read_option(
    struct arena *a, const struct demo_question *q, const char *text);
/* The sentence worth attacking: one of the text's own, unchanged. */
const char *demo_read_sentence(struct arena *a, const char *text);
/* Mean of "[severity x/10]" marks, -1 = none. */
double demo_read_severity(const struct llm_request *r);

/* One sentence on a criterion in favour of an option. */
const char *demo_say(struct arena *a, int criterion, const char *option,
    const char *topic, uint64_t variant);
/* "cost, risk and evidence" */
const char *demo_list(struct arena *a, unsigned criteria);
