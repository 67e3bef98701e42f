/* SPDX-License-Identifier: MIT
 *
 * How the demo agents read: options of a question, criteria of a text, the
 * side it takes, a sentence to quote.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "llm/demo.h"

#define DEMO_TOPIC_WORDS 4

static const struct {
	const char *name;
	const char *stems;
} demo_criteria[DEMO__COUNT] = {
#define X(id, text, list) [DEMO_##id] = {text, list},
    DEMO_CRITERIA(X)
#undef X
};

const char *
demo_criterion_name(int c)
{
	return demo_criteria[c].name;
}

static char *
demo_lower(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);

	for (char *p = copy; *p != '\0'; p++)
		*p = str_lower(*p);
	return copy;
}

static bool
demo_in_list(const char *word, const char *list)
{
	size_t len = strlen(word);

	for (const char *p = list; *p != '\0'; p += strspn(p, "|")) {
		size_t n = strcspn(p, "|");
		if (n == len && strncmp(p, word, n) == 0)
			return true;
		p += n;
	}
	return false;
}

/* Words that begin a question but are no part of an option. */
static const char demo_lead[] =
    "should|shall|must|do|does|is|are|was|can|could|would|will|we|i|you|one|"
    "they|it|a|an|the|our|my|better|best|to|which|what|that|for|us|rather|"
    "prefer|choose|pick|use|between|more|sensible|wise|go|with|either|ought|"
    "this|company|small|team|there";
static const char demo_link[] =
    "for|in|on|when|if|at|because|as|during|while|given|since|to|with|by|of";
static const char demo_filler[] =
    "should|shall|the|and|for|with|that|this|from|into|have|what|which|when|"
    "where|how|why|our|your|their|we|you|they|are|is|was|be|to|of|in|on|at|a|"
    "an|or|do|does|it|i|us|can|could|would|will|best|better|way|use|using|"
    "not|by|as|if|my|keep|its|run|put|one|there|must|about|than|then|has|had";

/* The words of text with their places; commas and the like end a word. */
static char **
demo_words(struct arena *a, const char *text, size_t *n)
{
	char *copy = arena_strdup(a, text);

	for (char *p = copy; *p != '\0'; p++)
		if (strchr(",;:?!()\"", *p) != NULL ||
		    (*p == '.' && !str_is_alnum(p[1])))
			*p = ' ';
	return str_split(a, copy, ' ', n);
}

static const char *
demo_join(struct arena *a, char **words, size_t from, size_t to)
{
	const char *text = "";

	for (size_t i = from; i < to; i++)
		text = arena_printf(
		    a, "%s%s%s", text, i > from ? " " : "", words[i]);
	return text;
}

/* What the question is about beside its options. */
static void
demo_topic(struct arena *a, char **words, size_t n, struct demo_question *out)
{
	size_t kept = 0;

	out->topic = "";
	for (size_t i = 0; i < n && kept < DEMO_TOPIC_WORDS; i++) {
		bool is_option = false;
		for (size_t k = 0; out->is_choice && k < out->n_options; k++)
			is_option = is_option ||
			    strstr(out->options[k], words[i]) != NULL;
		if (strlen(words[i]) < 3 || is_option ||
		    demo_in_list(demo_lower(a, words[i]), demo_filler))
			continue;
		out->topic = arena_printf(
		    a, "%s%s%s", out->topic, kept > 0 ? " " : "", words[i]);
		kept++;
	}
	if (kept == 0)
		out->topic = "this question";
}

/* "... X or Y ...": X without what leads to it, Y up to a link word. */
static void
demo_alternatives(struct arena *a, char **words, size_t n, size_t or_at,
    struct demo_question *out)
{
	size_t from = 0;
	size_t second = or_at + 1;
	size_t to;

	while (second + 1 < n &&
	    (demo_in_list(demo_lower(a, words[second]), demo_lead) ||
		demo_in_list(demo_lower(a, words[second]), demo_link)))
		second++;
	to = second;
	for (size_t i = 0; i < or_at; i++)
		if (demo_in_list(demo_lower(a, words[i]), demo_lead) ||
		    demo_in_list(demo_lower(a, words[i]), demo_link))
			from = i + 1;
	if (or_at > 0 && from + 4 < or_at)
		from = or_at - 4;
	while (to < n && to < second + 5 &&
	    !(to > second && demo_in_list(demo_lower(a, words[to]), demo_link)))
		to++;
	if (from >= or_at || to <= second)
		return;
	out->options[0] = demo_join(a, words, from, or_at);
	out->options[1] = demo_join(a, words, second, to);
	if (str_ieq(out->options[1], "not"))
		out->options[1] = arena_printf(a, "not %s", out->options[0]);
	out->n_options = 2;
	out->is_choice = true;
}

/* "Should we do X": X, or not yet. */
static bool
demo_yes_no(struct arena *a, char **words, size_t n, struct demo_question *out)
{
	const char *first = n > 2 ? demo_lower(a, words[0]) : "";

	if (!demo_in_list(first, "should|shall|must|is|are|do|can|will|would"))
		return false;
	out->options[0] = "yes, do it";
	out->options[1] = "no, leave it as it is";
	out->options[2] = "a limited trial first";
	out->n_options = 3;
	return true;
}

void
demo_read_question(
    struct arena *a, const char *question, struct demo_question *out)
{
	size_t n;
	/* The first line asks; what follows explains. */
	char *line = arena_strdup(a, question);
	line[strcspn(line, "\n")] = '\0';
	char **words = demo_words(a, line, &n);

	*out = (struct demo_question){0};
	for (size_t i = 1; i + 1 < n && !out->is_choice; i++)
		if (str_ieq(words[i], "or"))
			demo_alternatives(a, words, n, i, out);
	demo_topic(a, words, n, out);
	if (out->is_choice || demo_yes_no(a, words, n, out))
		return;
	out->options[0] = "start small, measure, then grow";
	out->options[1] = "plan it fully before the first step";
	out->options[2] = "adopt what has worked for others";
	out->n_options = 3;
}

unsigned
demo_read_criteria(const char *text)
{
	struct arena *a = arena_new(0);
	const char *lower = demo_lower(a, text);
	unsigned set = 0;

	for (int c = 0; c < DEMO__COUNT; c++) {
		size_t n;
		char **stems = str_split(a, demo_criteria[c].stems, '|', &n);
		for (size_t i = 0; i < n; i++)
			for (const char *p = lower;
			     (p = strstr(p, stems[i])) != NULL; p++)
				if (p == lower || !str_is_alnum(p[-1]))
					set |= 1u << c;
	}
	arena_free(&a);
	return set;
}

int
demo_read_option(
    struct arena *a, const struct demo_question *q, const char *text)
{
	const char *lower = demo_lower(a, text);
	const char *position = strstr(lower, "position:");
	int best = -1;
	int best_count = 0;

	for (size_t i = 0; i < q->n_options; i++) {
		const char *option = demo_lower(a, q->options[i]);
		const char *first =
		    position != NULL ? strstr(position, option) : NULL;
		if (first != NULL && first - position < 40)
			return (int)i;
		int count = 0;
		for (const char *p = lower; (p = strstr(p, option)) != NULL;
		     p++)
			count++;
		if (count > best_count) {
			best = (int)i;
			best_count = count;
		} else if (count == best_count) {
			best = -1;
		}
	}
	return best;
}

const char *
demo_read_sentence(struct arena *a, const char *text)
{
	const char *best = "";
	size_t best_score = 0;
	size_t best_len = 0;

	if (str_starts(text, DEMO_MARK))
		text += strlen(DEMO_MARK);
	for (const char *p = text; *p != '\0';) {
		while (str_is_space(*p))
			p++;
		if (*p == '\0')
			break;
		size_t n = 0;
		while (p[n] != '\0' && p[n] != '\n' &&
		    !(strchr(".!?", p[n]) != NULL &&
			(p[n + 1] == '\0' || str_is_space(p[n + 1]))))
			n++;
		size_t len = n + (p[n] != '\0' && p[n] != '\n');
		/* Claims about the future and absolutes are weak spots. */
		char *s = demo_lower(a, arena_strndup(a, p, len));
		size_t score = 1;
		score += strstr(s, "will ") != NULL ? 3 : 0;
		score += strstr(s, "always") != NULL ? 3 : 0;
		score += strstr(s, "never") != NULL ? 3 : 0;
		score += strstr(s, "because") != NULL ? 2 : 0;
		if (len >= 20 && len <= 240 && score > best_score) {
			best = p;
			best_len = len;
			best_score = score;
		}
		p += len > 0 ? len : 1;
	}
	return arena_strndup(a, best, best_len);
}

double
demo_read_severity(const struct llm_request *r)
{
	static const char mark[] = "[severity ";
	double sum = 0;
	int n = 0;

	for (size_t i = 0; i < r->n_blocks; i++)
		if (str_starts(r->blocks[i].text, mark)) {
			sum += strtod(r->blocks[i].text + strlen(mark), NULL);
			n++;
		}
	return n > 0 ? sum / n : -1;
}
