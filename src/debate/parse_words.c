/* SPDX-License-Identifier: MIT
 *
 * Phrases that name a choice. What is accepted is listed word by word; every
 * other phrase names none, so that no reader mistakes "I would choose A if"
 * for a vote.
 */
#include <string.h>

#include "base/str.h"
#include "debate/parse_impl.h"

/* ---- words ---- */

/* Signs of more than one byte, as the ASCII sign that means the same; ' ' is
 * space. */
static const struct {
	char bytes[4];
	char sign;
} words_signs[] = {{"\xc2\xa0", ' '}, {"\xe2\x80\x93", '-'},
    {"\xe2\x80\x94", '-'}, {"\xe2\x80\x9c", '"'}, {"\xe2\x80\x9d", '"'},
    {"\xe2\x80\x9e", '"'}, {"\xe2\x80\x98", '\''}, {"\xe2\x80\x99", '\''},
    {"\xc2\xab", '"'}, {"\xc2\xbb", '"'}, {"\xe3\x80\x8c", '"'},
    {"\xe3\x80\x8d", '"'}, {"\xef\xbc\x9a", ':'}, {"\xef\xbc\x8c", ','},
    {"\xef\xbc\x9f", '?'}, {"\xef\xbc\x81", '!'}, {"\xe3\x80\x82", '.'},
    {"\xef\xbc\x88", '('}, {"\xef\xbc\x89", ')'}, {"\xe2\x86\x92", '>'},
    {"\xc2\xbf", '?'}};

/* The sign at p, 0 when it is part of a word. */
static char
words_sign(const char *p, const char *end, size_t *len)
{
	*len = 1;
	if ((unsigned char)*p < 0x80) {
		if (str_is_alnum(*p))
			return '\0';
		return strchr("*_`#[]{}\\~$|\t\r\n\v\f", *p) != NULL ? ' ' : *p;
	}
	for (size_t i = 0; i < ARRAY_LEN(words_signs); i++) {
		size_t n = strlen(words_signs[i].bytes);
		if ((size_t)(end - p) >= n &&
		    memcmp(p, words_signs[i].bytes, n) == 0) {
			*len = n;
			return words_signs[i].sign;
		}
	}
	/* Pictures and dingbats decorate. */
	bool is_picture = (unsigned char)*p >= 0xf0;
	if (is_picture ||
	    ((unsigned char)*p == 0xe2 && end - p >= 3 &&
		(unsigned char)p[1] >= 0x98 && (unsigned char)p[1] <= 0x9f)) {
		*len = is_picture ? 4 : 3;
		if (*len > (size_t)(end - p))
			*len = (size_t)(end - p);
		return ' ';
	}
	return '\0';
}

/* Length of the word at p; an apostrophe between letters belongs to it. */
static size_t
words_length(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end) {
		size_t len;
		char sign = words_sign(p + n, end, &len);
		bool is_inside = sign == '\'' && n > 0 && p + n + len < end &&
		    str_is_alnum(p[n + len]);
		if (sign != '\0' && !is_inside)
			break;
		n += len;
	}
	return n;
}

static bool
words_equal(const struct word *w, const char *text, size_t len)
{
	if (w->punct != '\0' || w->len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (str_lower(w->text[i]) != str_lower(text[i]))
			return false;
	return true;
}

bool
word_is(const struct word *w, const char *lower)
{
	return words_equal(w, lower, strlen(lower));
}

bool
word_is_any(const struct word *w, const char *const *list)
{
	for (; *list != NULL; list++)
		if (word_is(w, *list))
			return true;
	return false;
}

/* Join "Proposal", "B" (perhaps with a dash between) into the one word that
 * is a label; mark a lone "B". */
static void
words_join(struct words *w, const struct labels *labels)
{
	struct word *last = &w->list[w->n - 1];
	size_t before = w->n - 1;

	if (before > 0 && w->list[before - 1].punct == '-')
		before--;
	for (size_t i = 0; i < labels->n; i++) {
		const char *label = labels->list[i];
		const char *tail = strrchr(label, ' ');
		size_t head = tail != NULL ? (size_t)(tail - label) : 0;
		tail = tail != NULL ? tail + 1 : label;
		if (!words_equal(last, tail, strlen(tail)))
			continue;
		last->label = (int)i;
		last->is_short = head > 0;
		if (head > 0 && before > 0 &&
		    words_equal(&w->list[before - 1], label, head)) {
			w->list[before - 1].label = (int)i;
			w->n = before;
		}
		return;
	}
}

void
words_read(struct words *w, const char *text, size_t len,
    const struct labels *labels, size_t *steps)
{
	const char *end = text + len;

	const char *p = text;

	w->n = 0;
	w->is_cut = false;
	while (p < end) {
		size_t n;
		char sign = words_sign(p, end, &n);
		if (sign == ' ' || sign == '\'') {
			p += n;
			continue;
		}
		w->is_cut = w->n == WORDS_MAX;
		if (w->is_cut)
			break;
		if (sign == '\0')
			n = words_length(p, end);
		w->list[w->n++] = (struct word){
		    .text = p, .len = n, .punct = sign, .label = -1};
		p += n;
		if (sign == '\0')
			words_join(w, labels);
	}
	*steps += (size_t)(p - text) + 1;
}

/* ---- phrases ---- */

static const char *const phrase_openers[] = {"i", "we", "my", "our", "the",
    "final", "vote", "votes", "voting", "is", "goes", "to", "for", "choose",
    "choice", "pick", "select", "selected", "selection", "support", "prefer",
    "favor", "favour", "endorse", "back", "go", "with", "cast", "option",
    "answer", "best", "winner", "winning", "verdict", "decision", "strongest",
    "therefore", "so", "thus", "hence", "overall", "ultimately", "finally",
    "in", "end", "conclusion", "hereby", "on", "balance", "all", "things",
    "considered", "am", "i'm", "clearly", "strongly", "firmly", "definitely",
    "it", "here", "as", "a", "result", "most", "convincing", "proposal",
    "ballot", "must", "will", "ich", "stimme", "f\xc3\xbcr", "w\xc3\xa4hle",
    "meine", "wahl", "je", "pour", "choisis", "mon", "choix", "voto", "por",
    "per", "elijo", "scelgo", "mi", "il", "mio", "eu", "escolho", "ist", "est",
    "es", NULL};
/* One of them must be there for a sentence to be a vote. */
static const char *const phrase_votes[] = {"vote", "voting", "choose", "choice",
    "pick", "select", "selection", "support", "prefer", "favor", "favour",
    "endorse", "winner", "answer", "verdict", "decision", "best", "strongest",
    "ballot", "stimme", "w\xc3\xa4hle", "wahl", "choisis", "choix", "voto",
    "elijo", "scelgo", "escolho", NULL};
static const char *const phrase_conclusive[] = {
    "so", "therefore", "thus", "hence", NULL};
static const char *const phrase_hearsay[] = {"say", "says", "said", "ask",
    "asks", "asked", "tell", "tells", "told", "want", "wants", "demand",
    "demands", "claim", "claims", "claimed", "write", "writes", "wrote", "read",
    "reads", "instruction", "instructions", "instructs", "quote", "quoted",
    "example", "would", "could", "should", "suppose", "imagine", "assume",
    "they", "he", "she", "critic", "critics", "opponent", NULL};
static const char *const phrase_self[] = {"i", "i'm", "we", "my", "our", "ich",
    "meine", "je", "mon", "mi", "mio", "eu", "voto", "elijo", "scelgo",
    "escolho", NULL};
static const char *const phrase_reasons[] = {"because", "since", "as", "due",
    "given", "weil", "denn", "porque", "parce", "car", "perch\xc3\xa9", NULL};
/* Behind the label these take the choice back or share it. */
static const char *const phrase_doubts[] = {"but", "however", "unless", "if",
    "although", "though", "except", "actually", "wait", "instead", "or",
    "either", "tie", "unsure", "undecided", "abstain", "reconsider", "neither",
    "nor", "provided", "maybe", "perhaps", "might", "aber", "mais", "pero",
    "oder", "ou", "yet", "only", "otherwise", "joking", "kidding", NULL};
static const char *const phrase_denials[] = {"not", "no", "never", "don't",
    "isn't", "doesn't", "didn't", "won't", "can't", "cannot", "nicht", "non",
    "nein", "pas", "none", "reject", "rejected", "worst", "against", "wrong",
    "loses", "fails", NULL};
/* "Proposal B is the best of all": what may follow a subject. */
static const char *const phrase_subject[] = {"wins", "is", "clearly", "still",
    "my", "the", "final", "choice", "vote", "winner", "best", "strongest",
    "pick", "answer", "selection", "of", "all", "three", "two", "four", "five",
    "overall", "proposal", "proposals", "option", "options", "one", "position",
    "gets", "has", "receives", "deserves", "earns", "most", "convincing",
    "persuasive", "debate", NULL};
static const char *const phrase_decisive[] = {"wins", "winner", "choice",
    "vote", "best", "strongest", "pick", "selection", "convincing",
    "persuasive", NULL};

static bool
phrase_has(
    const struct words *w, size_t from, size_t to, const char *const *list)
{
	for (size_t i = from; i < to; i++)
		if (word_is_any(&w->list[i], list))
			return true;
	return false;
}

static bool
phrase_has_sign(const struct words *w, char sign)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->list[i].punct == sign)
			return true;
	return false;
}

/* Does [from, to) name a label other than `label`? A lone "A" before a word
 * in lower case is an article. */
static bool
phrase_names_other(const struct words *w, size_t from, size_t to, int label)
{
	for (size_t i = from; i < to; i++) {
		const struct word *x = &w->list[i];
		if (x->label < 0 || x->label == label)
			continue;
		if (!x->is_short)
			return true;
		bool is_upper = *x->text >= 'A' && *x->text <= 'Z';
		bool is_article = x->len == 1 && str_lower(*x->text) == 'a' &&
		    i + 1 < to && w->list[i + 1].punct == '\0' &&
		    *w->list[i + 1].text >= 'a';
		if (is_upper && !is_article && !word_is(x, "i"))
			return true;
	}
	return false;
}

/* What may follow the chosen label at [from, n): nothing, a reason, or a
 * remark that names no other. */
static bool
phrase_tail_is_fine(const struct words *w, size_t from, int label)
{
	while (from < w->n &&
	    (w->list[from].punct == ')' || w->list[from].punct == '"'))
		from++;
	if (from == w->n)
		return true;
	const struct word *first = &w->list[from];
	bool is_reason = word_is_any(first, phrase_reasons) ||
	    (first->punct == ',' && from + 1 < w->n &&
		word_is_any(&w->list[from + 1], phrase_reasons));
	bool is_remark =
	    first->punct != '\0' && strchr(".!,;(-", first->punct) != NULL;
	if ((!is_reason && !is_remark) ||
	    phrase_has(w, from, w->n, phrase_doubts))
		return false;
	return is_reason ||
	    (!phrase_has(w, from, w->n, phrase_denials) &&
		!phrase_names_other(w, from, w->n, label));
}

/* Index of the first label that only openers precede from there on; n when
 * there is none. */
static size_t
phrase_find_label(const struct words *w, size_t from)
{
	for (size_t i = from; i < w->n; i++) {
		const struct word *x = &w->list[i];
		/* "a" and "I" are words, except where nothing else is said. */
		bool is_opener = word_is_any(x, phrase_openers) ||
		    (x->punct != '\0' && strchr(":-(\"=,", x->punct) != NULL);
		if (x->label >= 0 &&
		    (!x->is_short || w->n == 1 ||
			(*x->text >= 'A' && *x->text <= 'Z' &&
			    !word_is(x, "i"))))
			return i;
		if (!is_opener)
			break;
	}
	return w->n;
}

static bool
phrase_names_any(const struct words *w)
{
	return phrase_names_other(w, 0, w->n, -1);
}

int
phrase_of_value(const struct words *w)
{
	size_t i = phrase_find_label(w, 0);

	if (w->n == 0)
		return PHRASE_NONE;
	if (i == w->n || w->is_cut || phrase_has_sign(w, '?'))
		return PHRASE_UNCLEAR;
	return phrase_tail_is_fine(w, i + 1, w->list[i].label)
	    ? w->list[i].label
	    : PHRASE_UNCLEAR;
}

/* "Proposal B wins", the label at i. */
static int
phrase_of_subject(const struct words *w, size_t i)
{
	size_t k = i + 1;

	while (k < w->n && w->list[k].label < 0 &&
	    word_is_any(&w->list[k], phrase_subject))
		k++;
	if (!phrase_has(w, i + 1, k, phrase_decisive) ||
	    !phrase_tail_is_fine(w, k, w->list[i].label))
		return PHRASE_UNCLEAR;
	return w->list[i].label;
}

/* "The reasons are better, so I vote for Proposal B": where the clause after
 * the reason begins; 0 when the sentence has no such reason, or one that names
 * a label, doubts, denies, or tells what others say. */
static size_t
phrase_conclusion(const struct words *w)
{
	for (size_t i = 0; i + 1 < w->n; i++) {
		const struct word *x = &w->list[i];
		if (i > 0 && w->list[i - 1].punct == ',' &&
		    word_is_any(x, phrase_conclusive))
			return phrase_names_other(w, 0, i, -1) ? 0 : i;
		if (word_is_any(x, phrase_hearsay) ||
		    word_is_any(x, phrase_doubts) ||
		    word_is_any(x, phrase_denials))
			return 0;
	}
	return 0;
}

int
phrase_of_sentence(const struct words *w)
{
	size_t from = phrase_conclusion(w);
	size_t i = phrase_find_label(w, from);

	if (!phrase_names_any(w))
		return PHRASE_NONE;
	if (i == w->n || w->is_cut || w->list[i].is_short ||
	    phrase_has_sign(w, '?') || phrase_has_sign(w, '"') ||
	    phrase_has_sign(w, ':'))
		return PHRASE_UNCLEAR;
	bool is_vote = phrase_has(w, from, i, phrase_votes) &&
	    (phrase_has(w, from, i, phrase_self) ||
		word_is(&w->list[i - 1], "is"));
	if (!is_vote)
		return phrase_of_subject(w, i);
	return phrase_tail_is_fine(w, i + 1, w->list[i].label)
	    ? w->list[i].label
	    : PHRASE_UNCLEAR;
}
