/* SPDX-License-Identifier: MIT
 *
 * Reading a ballot. Everything in the text that states a choice is collected:
 * JSON objects, lines such as "VOTE: B", sentences such as "I vote for
 * Proposal B". Where they agree, that is the vote; where they do not, the last
 * counts only if the text says that a mind was changed. Quotations, refusals
 * and conditions are no votes. Whoever is not understood abstains.
 */
#include "debate/parse_vote_impl.h"

#include <string.h>

#include "base/str.h"

/* ---- what is stated ---- */

void
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

bool
vote_is_blank(const char *from, const char *to)
{
	while (from < to && str_is_space(*from))
		from++;
	return from >= to;
}

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

/* ---- what is weighed ---- */

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
