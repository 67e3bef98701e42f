/* SPDX-License-Identifier: MIT
 *
 * A model that can calculate, but only so often: the process behind
 * "stub-arith:0.7", on which ways of deciding can be compared. What it draws by
 * lot follows from the question, the request's seed and the task, and not from
 * how the prompt is worded: a seat has its seed.
 *
 *   propose    right with probability p, else a near miss; a confidence that
 *              is higher for right answers, but not by much
 *   critique   says what it gets itself, where that differs
 *   revise     who was wrong and is shown the right answer sees it with
 *              ARITH_CORRECTS; who was right and is shown another one falls
 *              for it with ARITH_FALLS
 *   vote       the right proposal is known for right with (1 + p) / 2: to
 *   and judge  check is easier than to find; else the one like its own
 *   synthesis  repeats the leading position, else what most say
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define ARITH_ANSWER   "The answer is "
#define ARITH_CORRECTS 0.7
#define ARITH_FALLS    0.1
#define ARITH_BLOCKS   64

/* One text of the prompt. */
struct arith_block {
	const char *label;
	const char *says; /* "The answer is 42.", "" = nothing */
};

struct arith {
	struct arena *a;
	const char *task;
	const char *prompt;
	const char *question;
	int64_t seed;
	double p;
	int64_t result;
	const char *right;
	struct arith_block blocks[ARITH_BLOCKS];
	size_t n_blocks;
};

/* ---- the question ---- */

static const char *
arith_skip(const char *p)
{
	return p + strspn(p, " ");
}

/* "3 * 14"; *p: behind it. */
static int64_t
arith_product(const char **p, int *operators)
{
	char *end;
	int64_t n = strtoll(*p, &end, 10);

	for (;;) {
		const char *op = arith_skip(end);
		const char *next = arith_skip(op + (*op != '\0'));
		if (*op != '*' || !str_is_digit(*next))
			break;
		n *= strtoll(next, &end, 10);
		++*operators;
	}
	*p = end;
	return n;
}

/* The first "17 + 25" or "3 * 14 - 5"; 0 when there is nothing to do. */
static int64_t
arith_result(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		int operators = 0;
		if (!str_is_digit(*p) || (p > text && str_is_digit(p[-1])))
			continue;
		const char *at = p;
		int64_t n = arith_product(&at, &operators);
		for (;;) {
			const char *op = arith_skip(at);
			const char *next = arith_skip(op + (*op != '\0'));
			if ((*op != '+' && *op != '-') || !str_is_digit(*next))
				break;
			int64_t more = arith_product(&next, &operators);
			n += *op == '+' ? more : -more;
			at = next;
			operators++;
		}
		if (operators > 0)
			return n;
	}
	return 0;
}

/* ---- lots ---- */

static uint64_t
arith_draw(const struct arith *m, const char *what)
{
	char sha[ID_HASH_SIZE];
	const char *text = arena_printf(m->a, "%s\n%lld\n%s\n%s", m->question,
	    (long long)m->seed, m->task, what);

	id_sha256(text, strlen(text), sha);
	sha[15] = '\0';
	return strtoull(sha, NULL, 16);
}

/* 0 to 1 */
static double
arith_chance(const struct arith *m, const char *what)
{
	return (double)(arith_draw(m, what) % 1000000) / 1000000;
}

/* ---- texts ---- */

static const char *
arith_says(struct arena *a, int64_t n)
{
	return arena_printf(a, ARITH_ANSWER "%lld.", (long long)n);
}

/* What it makes of the question by itself. */
static const char *
arith_own(const struct arith *m)
{
	static const int64_t misses[] = {1, -1, 2, -2, 10, -10, 9, -9};

	if (arith_chance(m, "right") < m->p)
		return m->right;
	return arith_says(m->a,
	    m->result + misses[arith_draw(m, "miss") % ARRAY_LEN(misses)]);
}

static void
arith_read_blocks(struct arith *m)
{
	for (const char *p = m->prompt;
	     (p = strstr(p, "\n<<<")) != NULL && m->n_blocks < ARITH_BLOCKS;
	     p++) {
		const char *line = p + 1;
		size_t len = strcspn(line, "\n");
		const char *space = memchr(line, ' ', len);
		const char *end = strstr(line, ">>>");
		if (space == NULL || end == NULL)
			continue;
		const char *text =
		    arena_strndup(m->a, line + len, (size_t)(end - line) - len);
		const char *says = strstr(text, ARITH_ANSWER);
		m->blocks[m->n_blocks++] = (struct arith_block){
		    .label = arena_strndup(
			m->a, space + 1, (size_t)(line + len - space - 1)),
		    .says = says != NULL
			? arena_strndup(m->a, says, strcspn(says, ".\n\"") + 1)
			: ""};
	}
}

/* What the block of that label says; NULL = there is none. */
static const char *
arith_block(const struct arith *m, const char *label)
{
	for (size_t i = 0; i < m->n_blocks; i++)
		if (str_eq(m->blocks[i].label, label))
			return m->blocks[i].says;
	return NULL;
}

/* Does a block, whose label begins like this, say it? */
static bool
arith_is_said(const struct arith *m, const char *label, const char *says)
{
	for (size_t i = 0; i < m->n_blocks; i++)
		if (str_starts(m->blocks[i].label, label) &&
		    str_eq(m->blocks[i].says, says))
			return true;
	return false;
}

/* What most blocks say, but for `other`; the first of equals. */
static const char *
arith_most(const struct arith *m, const char *other)
{
	const char *best = "";
	size_t most = 0;

	for (size_t i = 0; i < m->n_blocks; i++) {
		const char *says = m->blocks[i].says;
		size_t n = 0;
		for (size_t k = 0; k < m->n_blocks; k++)
			n += str_eq(m->blocks[k].says, says);
		if (*says != '\0' && !str_eq(says, other) && n > most) {
			best = says;
			most = n;
		}
	}
	return best;
}

/* ---- tasks ---- */

static const char *
arith_propose(const struct arith *m)
{
	const char *says = arith_own(m);
	double u = arith_chance(m, "confidence");

	return arena_printf(m->a, "%s\nCONFIDENCE: %.2f", says,
	    str_eq(says, m->right) ? 0.75 + 0.24 * u : 0.5 + 0.44 * u);
}

static const char *
arith_critique(const struct arith *m)
{
	const char *own = arith_block(m, "Your position");

	if (own == NULL || *own == '\0' || arith_is_said(m, "Proposal ", own))
		own = "Was it worked out twice?";
	return arena_printf(m->a,
	    "{\"issues\":[\"%s\"],\"suggestions\":[\"Work it out again.\"],"
	    "\"severity\":3,\"fatal\":false,\"quote\":\"\"}",
	    own);
}

static const char *
arith_revise(const struct arith *m)
{
	const char *own = arith_block(m, "Your position");
	const char *others = arith_most(m, own);
	const char *says = own != NULL ? own : arith_own(m);
	bool is_shown = arith_is_said(m, "Critique ", m->right) ||
	    arith_is_said(m, "Proposal ", m->right);

	if (!str_eq(says, m->right) && is_shown &&
	    arith_chance(m, "correct") < ARITH_CORRECTS)
		says = m->right;
	else if (str_eq(says, m->right) && *others != '\0' &&
	    arith_chance(m, "fall") < ARITH_FALLS)
		says = others;
	return arena_printf(m->a,
	    "CHANGED: %s - worked out again\n%s\nCONFIDENCE: %.2f",
	    str_eq(says, own) ? "no" : "yes", says,
	    0.5 + 0.49 * arith_chance(m, "confidence"));
}

/* The answer whose proposal it prefers. */
static const char *
arith_choice(const struct arith *m)
{
	const char *own = arith_block(m, "Your position");

	if (arith_chance(m, "know") < (1 + m->p) / 2 &&
	    arith_is_said(m, "Proposal ", m->right))
		return m->right;
	return own != NULL && arith_is_said(m, "Proposal ", own) ? own
								 : arith_own(m);
}

/* Labels as JSON strings: those that say it, or those that do not. */
static void
arith_labels(
    const struct arith *m, struct json_w *w, const char *says, bool that_say_it)
{
	for (size_t i = 0; i < m->n_blocks; i++)
		if (str_starts(m->blocks[i].label, "Proposal ") &&
		    str_eq(m->blocks[i].says, says) == that_say_it)
			json_w_str(w, NULL, m->blocks[i].label);
}

static const char *
arith_ballot(const struct arith *m)
{
	bool is_vote = str_eq(m->task, "vote");
	const char *says = arith_choice(m);
	const char *label = NULL;
	struct buf b;
	struct json_w w;

	for (size_t i = 0; i < m->n_blocks; i++)
		if (str_starts(m->blocks[i].label, "Proposal ") &&
		    (label == NULL ||
			(str_eq(m->blocks[i].says, says) &&
			    !str_eq(arith_block(m, label), says))))
			label = m->blocks[i].label;
	buf_init(&b, 1u << 16);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, is_vote ? "choice" : "winner",
	    label != NULL ? label : "Proposal A");
	json_w_num(&w, "confidence", 0.8);
	json_w_str(&w, "reasoning", "worked out again");
	if (is_vote) {
		json_w_begin_array(&w, "ranking");
		arith_labels(m, &w, says, true);
		arith_labels(m, &w, says, false);
		json_w_end_array(&w);
	} else {
		json_w_str(
		    &w, "answer", label != NULL ? arith_block(m, label) : says);
	}
	json_w_end(&w);
	const char *text = arena_strdup(m->a, buf_text(&b));
	buf_release(&b);
	return text;
}

static const char *
arith_synthesis(const struct arith *m)
{
	const char *leading = arith_block(m, "Leading position");

	return !str_is_empty(leading) ? leading : arith_most(m, "");
}

static const char *
arith_section(struct arena *a, const char *prompt)
{
	static const char mark[] = "Question:\n";
	const char *at = strstr(prompt, mark);
	const char *from = at != NULL ? at + strlen(mark) : prompt;
	const char *end = strstr(from, "\n\nTask:\n");
	const char *block = strstr(from, "\n\n<<<");

	if (end == NULL || (block != NULL && block < end))
		end = block;
	return end != NULL ? arena_strndup(a, from, (size_t)(end - from))
			   : from;
}

const char *
stub_arith(struct arena *a, const char *task, const char *prompt, int64_t seed,
    const char *form)
{
	struct arith m = {.a = a,
	    .task = task,
	    .prompt = prompt,
	    .question = arith_section(a, prompt),
	    .seed = seed};

	if (str_to_double(form, &m.p) != ERR_OK)
		m.p = 0;
	m.result = arith_result(m.question);
	m.right = arith_says(a, m.result);
	arith_read_blocks(&m);
	if (str_eq(task, "revise"))
		return arith_revise(&m);
	if (str_eq(task, "vote") || str_eq(task, "judge"))
		return arith_ballot(&m);
	if (str_eq(task, "critique"))
		return arith_critique(&m);
	if (str_eq(task, "synthesis"))
		return arith_synthesis(&m);
	return arith_propose(&m);
}
