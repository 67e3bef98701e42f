/* SPDX-License-Identifier: MIT
 *
 * Reading a ballot. Everything in the text that states a choice is collected:
 * JSON objects, lines such as "VOTE: B", sentences such as "I vote for
 * Proposal B". Where they agree, that is the vote; where they do not, the last
 * counts only if the text says that a mind was changed. Quotations, refusals
 * and conditions are no votes. Whoever is not understood abstains.
 */
#include <string.h>

#include "base/str.h"
#include "debate/parse_impl.h"

#define VOTE_STATEMENTS_MAX 32
#define VOTE_NEST_MAX	    (PARSE_DEPTH + 1)

struct vote_statement {
	size_t start, end; /* in the text */
	int choice;	   /* or PHRASE_UNCLEAR */
};

struct vote_reader {
	struct arena *a;
	const char *text;
	size_t len;
	struct labels labels;
	struct vote_statement list[VOTE_STATEMENTS_MAX];
	size_t n;
	bool is_hopeless;	   /* more than can be weighed */
	const struct json *object; /* of the last JSON statement */
	enum parse_rung rung;
	size_t steps;
};

/* Taken back after all, or only quoted. */
static const char *const vote_withdrawn[] = {"actually", "wait", "correction",
    "changed", "change", "reconsider", "reconsidering", "scratch", "mistake",
    "meant", "oops", "instead", "abstain", "withdraw", "retract", "undecided",
    "ignore", "ignoring", "inject", "injection", "injected", "instruction",
    "instructions", "refuse", "follow", "comply", "obey", "disregard", "joking",
    "kidding", "sarcasm", "quote", "quoted", "hypothetical", "hypothetically",
    "revised", "revise", "sorry", NULL};
static const char *const vote_changed[] = {"finally", "no", "wait", "actually",
    "instead", "changed", "change", "changing", "reconsidering", "reconsider",
    "correction", "corrected", "revised", "update", "updated", "mistake",
    "scratch", "doch", "finalement", NULL};
static const char *const vote_words[] = {"vote", "votes", "voting", "choose",
    "choice", "prefer", "pick", "select", "winner", "favor", "favour", "best",
    "better", "stronger", "switch", "stimme", NULL};
static const char *const vote_refusals[] = {"abstain", "abstaining",
    "abstention", "refuse", "decline", "enthalte", "abstiens", "abstengo",
    NULL};
static const char *const vote_cannot[] = {
    "cannot", "can't", "unable", "won't", "impossible", NULL};
static const char *const vote_quotes[] = {"contains", "contain", "says", "said",
    "say", "reads", "writes", "wrote", "tells", "told", "instructs",
    "instruction", "instructions", "quote", "quoting", "quoted", "example",
    "injected", "injection", "hidden", "claims", "claimed", "states", "outputs",
    "wants", "demands", "asks", "asked", "someone", "line", "would", "could",
    "might", "format", "schema", "template", "attack", "attacker", "opponent",
    "critic", "critics", "them", "they", "he", "she", "if", "why", "not",
    "never", "ignore", "reject", "rejected", "eliminated", "worst", "weakest",
    "last", "wrong", "bad", NULL};
/* Said of a proposal that the next line speaks for: its words, not mine. */
static const char *const vote_attacks[] = {"inject", "injected", "injection",
    "hidden", "instruction", "instructions", "instructs", "attack", "attacker",
    "manipulate", "manipulation", "manipulative", "ignore", "says", "tells",
    "contains", "demands", NULL};
static const char *const vote_intros[] = {"vote", "ballot", "choice", "answer",
    "final", "decision", "json", "verdict", "my", "here", "output", "response",
    "object", "conclusion", "summary", "result", "sure", "follows", "pick",
    "stimme", "choix", "voto", NULL};

/* Kept in the order of the text. */
static void
vote_state(struct vote_reader *r, size_t start, size_t end, int choice)
{
	size_t i = r->n;

	if (choice == PHRASE_NONE)
		return;
	if (r->n == VOTE_STATEMENTS_MAX) {
		r->is_hopeless = true;
		return;
	}
	for (; i > 0 && r->list[i - 1].start > start; i--)
		r->list[i] = r->list[i - 1];
	r->list[i] = (struct vote_statement){
	    .start = start, .end = end, .choice = choice};
	r->n++;
}

/* Does [from, to) hold one of these words? Read in pieces, for it may be
 * long. */
static bool
vote_has(struct vote_reader *r, size_t from, size_t to, const char *const *list)
{
	struct words w;

	for (size_t at = from; at < to;) {
		words_read(&w, r->text + at, to - at, &r->labels, &r->steps);
		for (size_t i = 0; i < w.n; i++)
			if (word_is_any(&w.list[i], list))
				return true;
		if (!w.is_cut)
			break;
		const struct word *last = &w.list[w.n - 1];
		at = (size_t)(last->text + last->len - r->text);
	}
	return false;
}

/* Is a label named in full that is (or is not) the choice? */
static bool
vote_names(
    struct vote_reader *r, size_t from, size_t to, int choice, bool is_same)
{
	struct words w;

	for (size_t at = from; at < to;) {
		words_read(&w, r->text + at, to - at, &r->labels, &r->steps);
		for (size_t i = 0; i < w.n; i++)
			if (w.list[i].label >= 0 && !w.list[i].is_short &&
			    (w.list[i].label == choice) == is_same)
				return true;
		if (!w.is_cut)
			break;
		/* The last word may be the first half of a label. */
		at = (size_t)(w.list[w.n - 1].text - r->text);
	}
	return false;
}

/* ---- JSON ---- */

static const char *const vote_keys[] = {"choice", "vote", "winner", "selected",
    "selection", "final_choice", "final_vote", "my_vote", "my_choice",
    "preferred", "voted_for", NULL};
static const char *const vote_name_keys[] = {
    "label", "proposal", "name", "id", "choice", "option", "value", NULL};

static bool
vote_key_is(const char *key, const char *const *list)
{
	for (; *list != NULL; list++)
		if (str_ieq(key, *list))
			return true;
	return false;
}

/* The schema of the prompt, echoed: says nothing. */
static bool
vote_is_placeholder(const char *text)
{
	return strstr(text, "the label") != NULL ||
	    strstr(text, "example") != NULL || strstr(text, "<") != NULL;
}

static int
vote_of_string(struct vote_reader *r, const char *text)
{
	struct words w;

	if (vote_is_placeholder(text))
		return PHRASE_NONE;
	words_read(&w, text, strlen(text), &r->labels, &r->steps);
	int choice = phrase_of_value(&w);
	return choice == PHRASE_NONE ? PHRASE_UNCLEAR : choice;
}

/* What two statements of one object come to. */
static int
vote_merge(int a, int b)
{
	if (a == PHRASE_NONE || a == b)
		return b;
	return b == PHRASE_NONE ? a : PHRASE_UNCLEAR;
}

/* A string; a list of one string; an object that names it. */
static int
vote_of_value(struct vote_reader *r, const struct json *value)
{
	const char *key;
	const struct json *inner;
	int choice = PHRASE_NONE;

	if (json_kind(value) == JSON_ARRAY && json_len(value) == 1)
		value = json_at(value, 0);
	if (json_kind(value) == JSON_STRING)
		return vote_of_string(r, json_str(value, NULL));
	if (json_kind(value) != JSON_OBJECT)
		return PHRASE_UNCLEAR;
	for (void *it = NULL; json_next(value, &it, &key, &inner);)
		if (vote_key_is(key, vote_name_keys))
			choice = vote_merge(choice,
			    json_kind(inner) == JSON_STRING
				? vote_of_string(r, json_str(inner, NULL))
				: PHRASE_UNCLEAR);
	return choice == PHRASE_NONE ? PHRASE_UNCLEAR : choice;
}

static int
vote_of_members(struct vote_reader *r, const struct json *object)
{
	const char *key;
	const struct json *value;
	int choice = PHRASE_NONE;

	for (void *it = NULL; json_next(object, &it, &key, &value);)
		if (vote_key_is(key, vote_keys))
			choice = vote_merge(choice, vote_of_value(r, value));
	const struct json *ranking = json_get(object, "ranking");
	if (json_kind(ranking) == JSON_ARRAY && json_len(ranking) > 0)
		choice =
		    vote_merge(choice, vote_of_value(r, json_at(ranking, 0)));
	return choice;
}

/* The choice of an object, or of all the objects within it; *found: the one
 * that holds it. */
static int
vote_of_object(struct vote_reader *r, const struct json *j,
    const struct json **found, int depth)
{
	const char *key;
	const struct json *value;
	int choice =
	    json_kind(j) == JSON_OBJECT ? vote_of_members(r, j) : PHRASE_NONE;

	r->steps += 1 + json_len(j);
	if (choice != PHRASE_NONE) {
		*found = j;
		return choice;
	}
	if (depth == VOTE_NEST_MAX)
		return PHRASE_NONE;
	if (json_kind(j) == JSON_OBJECT)
		for (void *it = NULL; json_next(j, &it, &key, &value);)
			choice = vote_merge(
			    choice, vote_of_object(r, value, found, depth + 1));
	if (json_kind(j) == JSON_ARRAY)
		for (size_t i = 0; i < json_len(j); i++)
			choice = vote_merge(choice,
			    vote_of_object(r, json_at(j, i), found, depth + 1));
	return choice;
}

static bool
vote_is_blank(const char *from, const char *to)
{
	while (from < to && str_is_space(*from))
		from++;
	return from >= to;
}

static void
vote_take_object(struct vote_reader *r, const struct json *j, size_t start,
    size_t end, bool is_repaired)
{
	const struct json *found = NULL;
	int choice = vote_of_object(r, j, &found, 0);

	if (choice == PHRASE_NONE)
		return;
	vote_state(r, start, end, choice);
	r->object = found;
	size_t before = start;
	while (before > 0 && str_is_space(r->text[before - 1]))
		before--;
	bool is_alone =
	    before == 0 && vote_is_blank(r->text + end, r->text + r->len);
	const char *fence = start >= 3 ? strstr(r->text, "```") : NULL;
	r->rung = is_repaired			       ? PARSE_REPAIRED
	    : is_alone				       ? PARSE_WHOLE
	    : fence != NULL && fence < r->text + start ? PARSE_FENCED
						       : PARSE_EMBEDDED;
}

/* The last "choice" of an object that is not quite JSON. *start, *end: where
 * it stands; untouched when there is none. */
static void
vote_read_repaired(struct vote_reader *r, size_t *start, size_t *end)
{
	static const char *const wanted[] = {"choice", "vote", "winner"};
	const struct json_limits limits = {.max_depth = PARSE_DEPTH + 1};
	const char *brace = strchr(r->text, '{');
	const char *value = NULL;
	const struct json *j;
	size_t used;

	if (brace == NULL || r->len > (64u << 10))
		return;
	for (size_t i = 0; value == NULL && i < ARRAY_LEN(wanted); i++)
		for (const char *p = brace;
		     (p = strstr(p + 1, wanted[i])) != NULL;)
			if (strchr("\"'", p[-1]) != NULL &&
			    strchr("\"'", p[strlen(wanted[i])]) != NULL &&
			    p[strlen(wanted[i])] != '\0')
				value = p;
	if (value == NULL)
		return;
	for (const char *p = brace; (p = strchr(p, '{')) != NULL && p < value;
	     p++)
		brace = p;
	const char *fixed = parse_repair(r->a, brace, &used);
	*start = (size_t)(brace - r->text);
	*end = *start + used;
	r->steps += 2 * used;
	/* A choice that was cut off may have gone on. */
	value += strcspn(value, ":");
	value += strspn(value, ": \t\r\n");
	bool is_whole = strchr("\"'", *value) == NULL || *value == '\0' ||
	    strchr(value + 1, *value) != NULL;
	if (!is_whole)
		vote_state(r, *start, *end, PHRASE_UNCLEAR);
	else if (json_parse(r->a, fixed, strlen(fixed), &limits, &j, NULL) ==
	    ERR_OK)
		vote_take_object(r, j, *start, *end, true);
	else
		vote_state(r, *start, *end, PHRASE_UNCLEAR);
}

/* The prose between objects. */
static void vote_read_prose(struct vote_reader *r, size_t from, size_t to);

static void
vote_read_all(struct vote_reader *r)
{
	struct parse_scan scan = {.a = r->a, .text = r->text, .len = r->len};
	size_t from = 0;

	while (!r->is_hopeless && parse_scan_next(&scan)) {
		vote_read_prose(r, from, scan.start);
		vote_take_object(r, scan.object, scan.start, scan.end, false);
		from = scan.end;
	}
	r->steps += scan.steps;
	r->is_hopeless = r->is_hopeless || parse_scan_is_exhausted(&scan);
	size_t start = r->len;
	size_t end = r->len;
	if (r->object == NULL && !r->is_hopeless)
		vote_read_repaired(r, &start, &end);
	if (start < from)
		start = from;
	vote_read_prose(r, from, start);
	vote_read_prose(r, end, r->len);
}

/* ---- lines ---- */

/* A line that begins so states a choice; a soft one only where it names
 * one. */
static const struct {
	const char *text;
	bool is_soft;
} vote_line_keys[] = {{"vote", false}, {"my vote", false}, {"choice", false},
    {"my choice", false}, {"final vote", false}, {"final choice", false},
    {"my final vote", false}, {"my final choice", false}, {"winner", false},
    {"the winner", false}, {"i vote", false}, {"i vote for", false},
    {"i choose", false}, {"my pick", false}, {"selection", false},
    {"ballot", false}, {"my ballot", false}, {"final answer", true},
    {"answer", true}, {"decision", true}, {"my decision", true},
    {"final decision", true}, {"verdict", true}, {"final verdict", true},
    {"conclusion", true}, {"in conclusion", true}, {"in the end", true},
    {"therefore", true}, {"overall", true}, {"finally", true},
    {"stimme", false}, {"meine stimme", false}, {"wahl", false},
    {"meine wahl", false}, {"choix", false}, {"mon choix", false},
    {"mon vote", false}, {"vote final", false}, {"voto", false},
    {"mi voto", false}, {"il mio voto", false}, {"meu voto", false},
    {"elecci\xc3\xb3n", false}, {"scelta", false}, {"escolha", false},
    {"\xe6\x8a\x95\xe7\xa5\xa8", false}, {"\xe9\x80\x89\xe6\x8b\xa9", false},
    {"\xe6\x88\x91\xe7\x9a\x84\xe6\x8a\x95\xe7\xa5\xa8", false},
    {"\xe9\x81\xb8\xe6\x8a\x9e", false},
    {"\xd0\xb3\xd0\xbe\xd0\xbb\xd0\xbe\xd1\x81", false},
    {"\xd0\xbc\xd0\xbe\xd0\xb9 \xd0\xb3\xd0\xbe\xd0\xbb\xd0\xbe\xd1\x81",
	false}};

/* How many words of w the key takes, 0 when they are others. Cyrillic capital
 * letters are not folded: a key there is matched as written or as a whole in
 * lower case. */
static size_t
vote_key_length(const struct words *w, size_t from, const char *key)
{
	size_t n = 0;

	for (const char *p = key; *p != '\0'; n++) {
		size_t len = strcspn(p, " ");
		const struct word *x = &w->list[from + n];
		if (from + n >= w->n || x->punct != '\0' || x->len != len)
			return 0;
		for (size_t i = 0; i < len; i++)
			if (str_lower(x->text[i]) != p[i])
				return 0;
		p += len;
		p += *p == ' ';
	}
	return n;
}

/* Words from index `from` on. */
static void
vote_words_from(const struct words *w, size_t from, struct words *out)
{
	*out = (struct words){.is_cut = w->is_cut};
	for (; from < w->n; from++)
		out->list[out->n++] = w->list[from];
}

/* "3." or "-" in front of a line. */
static size_t
vote_skip_bullet(const struct words *w)
{
	if (w->n > 0 && w->list[0].punct == '-')
		return 1;
	if (w->n > 1 && str_is_digit(*w->list[0].text) && w->list[0].len <= 2 &&
	    (w->list[1].punct == '.' || w->list[1].punct == ')'))
		return 2;
	return 0;
}

/* "VOTE: B". *is_open: the key stands alone, its value is on the next
 * line. */
static int
vote_of_key_line(const struct words *w, bool *is_open)
{
	size_t from = vote_skip_bullet(w);
	struct words rest;

	for (size_t i = 0; i < ARRAY_LEN(vote_line_keys); i++) {
		size_t n = vote_key_length(w, from, vote_line_keys[i].text);
		size_t k = from + n;
		if (n == 0)
			continue;
		if (k == w->n || (k + 1 == w->n && w->list[k].punct == ':')) {
			*is_open = true;
			return PHRASE_NONE;
		}
		if (strchr(":=-", w->list[k].punct) == NULL ||
		    w->list[k].punct == '\0')
			continue;
		vote_words_from(w, k + 1, &rest);
		int choice = phrase_of_value(&rest);
		bool is_named = false;
		for (size_t x = 0; x < rest.n; x++)
			is_named = is_named || rest.list[x].label >= 0;
		return choice == PHRASE_UNCLEAR && !is_named &&
			vote_line_keys[i].is_soft
		    ? PHRASE_NONE
		    : choice;
	}
	return PHRASE_NONE;
}

/* Sentences of a line, outside quotation marks. */
static void
vote_read_sentences(
    struct vote_reader *r, const char *line, size_t len, bool *in_quote)
{
	struct words w;
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		bool is_end = i + 1 == len ||
		    (strchr(".!?;", line[i]) != NULL &&
			str_is_space(line[i + 1]));
		if (!is_end)
			continue;
		bool was_quote = *in_quote;
		words_read(
		    &w, line + from, i + 1 - from, &r->labels, &r->steps);
		for (size_t k = 0; k < w.n; k++)
			*in_quote = *in_quote != (w.list[k].punct == '"');
		int choice = was_quote ? PHRASE_NONE : phrase_of_sentence(&w);
		size_t at = (size_t)(line - r->text);
		if (choice >= 0)
			vote_state(r, at + from, at + i + 1, choice);
		from = i + 1;
	}
}

/* Where needle begins in [from, to), else `to`. */
static size_t
vote_find(struct vote_reader *r, size_t from, size_t to, const char *needle)
{
	size_t len = strlen(needle);

	for (; from + len <= to; from++) {
		r->steps++;
		if (memcmp(r->text + from, needle, len) == 0)
			return from;
	}
	return to;
}

/* A mark of its own around the choice: \boxed{B}, [[B]], <vote>B</vote>. */
static void
vote_read_marks(struct vote_reader *r, size_t from, size_t to)
{
	static const char *const marks[][2] = {{"\\boxed{", "}"}, {"[[", "]]"},
	    {"<vote>", "</vote>"}, {"<choice>", "</choice>"}};
	struct words w;

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		size_t at = from;
		while ((at = vote_find(r, at, to, marks[i][0])) < to) {
			size_t inner = at + strlen(marks[i][0]);
			size_t end = vote_find(r, inner, to, marks[i][1]);
			if (end == to)
				break;
			if (strncmp(r->text + inner, "\\text{", 6) == 0)
				inner += 6;
			words_read(&w, r->text + inner, end - inner, &r->labels,
			    &r->steps);
			int choice = phrase_of_value(&w);
			if (w.n > 0 && !str_is_digit(*w.list[0].text))
				vote_state(
				    r, at, end + strlen(marks[i][1]), choice);
			at = end;
		}
	}
}

struct vote_prose {
	bool in_quote;
	bool is_open; /* the line before was a key alone */
};

static void
vote_read_line(
    struct vote_reader *r, struct vote_prose *p, const char *line, size_t len)
{
	size_t at = (size_t)(line - r->text);
	bool was_open = p->is_open;
	struct words w;

	words_read(&w, line, len, &r->labels, &r->steps);
	if (w.n == 0 || *line == '>')
		return;
	p->is_open = false;
	int choice = vote_of_key_line(&w, &p->is_open);
	if (was_open && choice == PHRASE_NONE && !p->is_open) {
		choice = phrase_of_value(&w);
		choice = choice >= 0 ? choice : PHRASE_NONE;
	}
	if (choice == PHRASE_NONE)
		vote_read_sentences(r, line, len, &p->in_quote);
	else
		vote_state(
		    r, at, at + len, p->in_quote ? PHRASE_UNCLEAR : choice);
}

static void
vote_read_prose(struct vote_reader *r, size_t from, size_t to)
{
	struct vote_prose p = {.in_quote = false};
	size_t first = r->n;

	for (size_t at = from; at < to;) {
		const char *line = r->text + at;
		const char *end = memchr(line, '\n', to - at);
		size_t len = end != NULL ? (size_t)(end - line) : to - at;
		at += len + 1;
		while (len > 0 && str_is_space(*line)) {
			line++;
			len--;
		}
		vote_read_line(r, &p, line, len);
	}
	if (r->n == first)
		vote_read_marks(r, from, to);
}

/* ---- the text as a whole ---- */

/* Nothing is said but one line. */
static void
vote_read_lone_line(struct vote_reader *r)
{
	const char *only = NULL;
	size_t only_len = 0;
	struct words w;

	for (size_t at = 0; at < r->len;) {
		const char *line = r->text + at;
		size_t len = strcspn(line, "\n");
		at += len + 1;
		if (vote_is_blank(line, line + len) ||
		    strncmp(line, "```", 3) == 0 ||
		    parse_line_key(line, "confidence") != NULL)
			continue;
		if (only != NULL)
			return;
		only = line;
		only_len = len;
	}
	if (only == NULL)
		return;
	words_read(&w, only, only_len, &r->labels, &r->steps);
	size_t start = (size_t)(only - r->text);
	int choice = *only == '>' ? PHRASE_UNCLEAR : phrase_of_value(&w);
	if (choice >= 0)
		vote_state(r, start, start + only_len, choice);
}

/* A statement behind "Proposal C contains this:" is not the voter's. */
static bool
vote_is_quoted(struct vote_reader *r, const struct vote_statement *s)
{
	size_t floor = s > r->list ? s[-1].end : 0;
	size_t end = s->start;
	int lines = 0;

	/* The same line up to it, or the line before. */
	for (; end > floor; end--) {
		char c = r->text[end - 1];
		if (c == '\n')
			lines++;
		if (!str_is_space(c) && c != '`' && c != '*')
			break;
	}
	size_t start = end;
	while (start > floor && r->text[start - 1] != '\n')
		start--;
	if (strncmp(r->text + start, "```", 3) == 0 && start > floor) {
		/* the language of a fence */
		end = start - 1;
		lines = 1;
		for (start = end; start > floor && r->text[start - 1] != '\n';)
			start--;
	}
	if (start == end)
		return false;
	bool is_leading = r->text[end - 1] == ':' ||
	    (lines == 0 && strchr(".!;", r->text[end - 1]) == NULL);
	if (!is_leading)
		return vote_has(r, start, end, vote_attacks) &&
		    vote_names(r, start, end, s->choice, true);
	return vote_has(r, start, end, vote_quotes) ||
	    vote_names(r, start, end, -1, false) ||
	    (lines > 0 && !vote_has(r, start, end, vote_intros));
}

/* "I abstain", "I cannot decide". */
static bool
vote_is_refused(struct vote_reader *r, size_t from, size_t to)
{
	static const char *const deciding[] = {"decide", "choose", "vote",
	    "pick", "select", "comply", "judge", "determine", "say", NULL};
	struct words w;

	for (size_t at = from; at < to;) {
		size_t len = strcspn(r->text + at, ".!?\n");
		if (len > to - at)
			len = to - at;
		words_read(&w, r->text + at, len, &r->labels, &r->steps);
		bool is_cannot = false;
		for (size_t i = 0; i < w.n; i++) {
			is_cannot = is_cannot ||
			    word_is_any(&w.list[i], vote_cannot) ||
			    word_is(&w.list[i], "not");
			if (word_is_any(&w.list[i], vote_refusals) ||
			    (is_cannot && word_is_any(&w.list[i], deciding)))
				return true;
		}
		at += len + 1;
	}
	return false;
}

/* Between and around the statements: the prose. */
static bool
vote_prose_refuses(struct vote_reader *r)
{
	size_t at = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (vote_is_refused(r, at, r->list[i].start))
			return true;
		if (r->list[i].end > at)
			at = r->list[i].end;
	}
	return vote_is_refused(r, at, r->len);
}

static int
vote_decide(struct vote_reader *r)
{
	if (r->n == 0 || r->is_hopeless)
		return PHRASE_UNCLEAR;
	const struct vote_statement *last = &r->list[r->n - 1];
	size_t since = 0;
	bool is_split = false;
	for (size_t i = 0; i + 1 < r->n; i++)
		if (r->list[i].choice != last->choice) {
			is_split = true;
			since = r->list[i].end;
		}
	if (last->choice < 0 || vote_is_quoted(r, last) ||
	    (is_split && !vote_has(r, since, last->start, vote_changed)) ||
	    vote_has(r, last->end, r->len, vote_withdrawn) ||
	    vote_has(r, last->end,
		last->end + strcspn(r->text + last->end, "\n"), vote_quotes) ||
	    (vote_names(r, last->end, r->len, last->choice, false) &&
		vote_has(r, last->end, r->len, vote_words)) ||
	    vote_prose_refuses(r))
		return PHRASE_UNCLEAR;
	return last->choice;
}

/* "ranking": a list of labels, each once, that begins with the choice. */
static void
vote_read_ranking(struct vote_reader *r, struct parse_vote *out)
{
	const struct json *list = json_get(r->object, "ranking");
	size_t n = json_kind(list) == JSON_ARRAY ? json_len(list) : 0;

	if (out->choice < 0 || n == 0 || n > r->labels.n)
		return;
	out->ranking = ARENA_ARRAY(r->a, n, int);
	for (size_t i = 0; i < n; i++) {
		int choice = vote_of_value(r, json_at(list, i));
		bool is_seen = false;
		for (size_t k = 0; k < i; k++)
			is_seen = is_seen || out->ranking[k] == choice;
		if (choice < 0 || is_seen)
			return;
		out->ranking[i] = choice;
	}
	out->n_ranking = out->ranking[0] == out->choice ? n : 0;
}

/* The confidence of a line, where no object gave one. */
static double
vote_line_confidence(const char *text)
{
	double found = -1;

	for (const char *line = text; line != NULL;) {
		const char *rest = parse_line_key(line, "confidence");
		if (rest != NULL)
			found = parse_confidence_text(rest);
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return found;
}

void
parse_vote(struct arena *a, const char *text, const char *const *labels,
    size_t n_labels, struct parse_vote *out)
{
	struct vote_reader *r = ARENA_NEW(a, struct vote_reader);

	*out = (struct parse_vote){.choice = -1, .confidence = -1};
	*r = (struct vote_reader){.a = a,
	    .text = parse_without_thoughts(a, text),
	    .labels = {labels, n_labels}};
	r->len = strlen(r->text);
	vote_read_all(r);
	if (r->n == 0)
		vote_read_lone_line(r);
	out->choice = vote_decide(r);
	out->steps = r->steps;
	out->rung = out->choice < 0 ? PARSE_NONE
	    : r->object != NULL	    ? r->rung
				    : PARSE_LINES;
	const struct json *j = r->object;
	if (j == NULL) {
		out->confidence = vote_line_confidence(r->text);
		out->reason = str_trim(a, r->text);
		return;
	}
	out->confidence = parse_confidence(json_get(j, "confidence"));
	out->reason =
	    json_get_str(j, "reasoning", json_get_str(j, "reason", ""));
	out->wants_more = json_get_bool(j, "continue_debate", false);
	out->answer = json_get_str(j, "answer", NULL);
	vote_read_ranking(r, out);
	out->steps = r->steps;
}
