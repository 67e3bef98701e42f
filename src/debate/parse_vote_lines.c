/* SPDX-License-Identifier: MIT
 *
 * What the lines and sentences of a ballot state: "VOTE: B", "I vote for
 * Proposal B because ...", a label set off by marks.
 */
#include "debate/parse_vote_impl.h"

#include <string.h>

#include "base/str.h"

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

void
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
