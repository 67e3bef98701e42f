/* SPDX-License-Identifier: MIT */
#include "cli/eval_answer.h"

#include <string.h>

#include "base/str.h"

#define ANSWER_WORDS_MAX 200 /* longer is not an answer but a text */
#define ANSWER_MINUS	 "\xe2\x88\x92"
#define ANSWER_EXPONENT	 18

/* What may stand round an answer without being part of it. */
static const char answer_wrap[] = " \t\r\n*_`\"'.,;:!?()[]{}$";

/* ---- numbers ---- */

static int64_t
number_gcd(int64_t x, int64_t y)
{
	while (y != 0) {
		int64_t rest = x % y;
		x = y;
		y = rest;
	}
	return x;
}

static bool
number_scale(int64_t *n, int64_t by)
{
	return !__builtin_mul_overflow(*n, by, n);
}

static bool
number_digit(int64_t *n, char digit)
{
	return number_scale(n, 10) &&
	    !__builtin_add_overflow(*n, digit - '0', n);
}

/* Three digits and no fourth, as after the comma of 1,234. */
static bool
number_is_group(const char *p)
{
	return str_is_digit(p[0]) && str_is_digit(p[1]) && str_is_digit(p[2]) &&
	    !str_is_digit(p[3]);
}

/* Digits with their commas and the part after the point. */
static bool
number_decimal(const char **text, int64_t *num, int64_t *den)
{
	const char *p = *text;
	const char *start = p;

	*num = 0;
	*den = 1;
	for (; str_is_digit(*p) ||
	     (*p == ',' && p > start && number_is_group(p + 1));
	     p++)
		if (*p != ',' && !number_digit(num, *p))
			return false;
	if (*p == '.' && str_is_digit(p[1]))
		for (p++; str_is_digit(*p); p++)
			if (!number_digit(num, *p) || !number_scale(den, 10))
				return false;
	*text = p;
	return p > start;
}

/* "e-3", "%", "/4" behind it. */
static bool
number_tail(const char **text, int64_t *num, int64_t *den)
{
	const char *p = *text;
	int64_t below, one;

	if ((*p == 'e' || *p == 'E') &&
	    str_is_digit(p[1 + (p[1] == '-' || p[1] == '+')])) {
		bool is_small = p[1] == '-';
		int64_t n = 0;
		for (p += 1 + (p[1] == '-' || p[1] == '+'); str_is_digit(*p);
		     p++)
			if (!number_digit(&n, *p))
				return false;
		if (n > ANSWER_EXPONENT)
			return false;
		for (; n > 0; n--)
			if (!number_scale(is_small ? den : num, 10))
				return false;
	}
	if (*p == '/' && str_is_digit(p[1])) {
		p++;
		if (!number_decimal(&p, &below, &one) || below == 0 ||
		    !number_scale(den, below) || !number_scale(num, one))
			return false;
	} else if (*p == '%') {
		p++;
		if (!number_scale(den, 100))
			return false;
	}
	*text = p;
	return true;
}

bool
eval_number(const char *text, int64_t *num, int64_t *den, size_t *len)
{
	const char *p = text;
	bool is_negative = str_starts(p, ANSWER_MINUS);

	if (is_negative)
		p += strlen(ANSWER_MINUS);
	else if (*p == '-' || *p == '+')
		is_negative = *p++ == '-';
	p += *p == '$';
	if (!number_decimal(&p, num, den) || !number_tail(&p, num, den))
		return false;
	int64_t common = number_gcd(*num, *den);
	*num /= common;
	*den /= common;
	if (is_negative)
		*num = -*num;
	*len = (size_t)(p - text);
	return true;
}

/* ---- words ---- */

static bool
words_is_article(const char *text, size_t *len)
{
	static const char *const articles[] = {"the ", "a ", "an "};

	for (size_t i = 0; i < ARRAY_LEN(articles); i++)
		if (str_starts(text, articles[i])) {
			*len = strlen(articles[i]);
			return true;
		}
	return false;
}

/* Small letters, single spaces, nothing round it. */
static const char *
words_normal(struct arena *a, const char *text)
{
	char *out = arena_strdup(a, text + strspn(text, answer_wrap));
	size_t n = 0, len;

	for (const char *p = out; *p != '\0'; p++) {
		bool is_space = str_is_space(*p);
		if (!is_space || (n > 0 && out[n - 1] != ' '))
			out[n++] = is_space ? ' ' : str_lower(*p);
	}
	while (n > 0 && strchr(answer_wrap, out[n - 1]) != NULL)
		n--;
	out[n] = '\0';
	return words_is_article(out, &len) ? out + len : out;
}

/* ---- values ---- */

static void
value_number(struct arena *a, int64_t num, int64_t den, struct eval_value *out)
{
	*out = (struct eval_value){.kind = EVAL_NUMBER,
	    .num = num,
	    .den = den,
	    .text = den == 1
		? arena_printf(a, "%lld", (long long)num)
		: arena_printf(a, "%lld/%lld", (long long)num, (long long)den)};
}

/* A number may begin here: not within a word or another number. */
static bool
value_begins(const char *text, const char *p)
{
	if (p == text)
		return true;
	return !str_is_alnum(p[-1]) && p[-1] != '_' && p[-1] != '.' &&
	    (unsigned char)p[-1] < 0x80;
}

/* The only number of the text, or the one after its last "=". */
static bool
value_read_number(struct arena *a, const char *text, struct eval_value *out)
{
	const char *equals = strrchr(text, '=');
	int64_t num, den;
	size_t len;
	bool is_found = false;

	for (const char *p = equals != NULL ? equals + 1 : text; *p != '\0';) {
		bool is_digit = str_is_digit(*p);
		if (!value_begins(text, p) ||
		    !eval_number(p, &num, &den, &len)) {
			if (is_digit && value_begins(text, p))
				return false; /* too large */
			p++;
			continue;
		}
		if (is_found && (num != out->num || den != out->den))
			return false;
		value_number(a, num, den, out);
		is_found = true;
		p += len;
	}
	return is_found;
}

/* The choice whose words these are, -1 = none. */
static int
choice_of_words(
    struct arena *a, const struct eval_form *form, const char *words)
{
	for (size_t i = 0; i < form->n_choices; i++)
		if (str_eq(words_normal(a, form->choices[i]), words))
			return (int)i;
	return -1;
}

/* "B", "(B)", "B) Paris"; -1 = no letter stands there by itself. */
static int
choice_of_letter(const struct eval_form *form, const char *text)
{
	static const char *const names[] = {"option ", "choice ", "answer "};
	const char *p = text + strspn(text, answer_wrap);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = 0;
		while (names[i][n] != '\0' && str_lower(p[n]) == names[i][n])
			n++;
		if (names[i][n] == '\0')
			p += n;
	}
	p += strspn(p, answer_wrap);
	int letter = str_lower(*p) - 'a';
	if (letter < 0 || (size_t)letter >= form->n_choices)
		return -1;
	p++;
	return *p == '\0' ||
		(*p != ' ' && *p != '\'' && strchr(answer_wrap, *p) != NULL) ||
		p[strspn(p, answer_wrap)] == '\0'
	    ? letter
	    : -1;
}

static bool
value_read_choice(struct arena *a, const struct eval_form *form,
    const char *text, struct eval_value *out)
{
	const char *words = words_normal(a, text);
	int by_words = choice_of_words(a, form, words);
	int by_letter = choice_of_letter(form, text);
	const char *rest = words + (*words != '\0');
	int by_rest = choice_of_words(a, form, words_normal(a, rest));

	/* "B) Paris" where Paris is C says two things. */
	if (by_words < 0 && by_letter >= 0 && by_rest >= 0 &&
	    by_rest != by_letter)
		return false;
	int choice = by_words >= 0 ? by_words : by_letter;
	if (choice < 0)
		return false;
	*out = (struct eval_value){.kind = EVAL_CHOICE,
	    .num = choice,
	    .den = 1,
	    .text = arena_printf(a, "%c", 'A' + choice)};
	return true;
}

bool
eval_value_read(struct arena *a, const struct eval_form *form, const char *text,
    struct eval_value *out)
{
	switch (form->kind) {
	case EVAL_NUMBER:
		return value_read_number(a, text, out);
	case EVAL_CHOICE:
		return value_read_choice(a, form, text, out);
	case EVAL_WORDS:
		break;
	}
	*out = (struct eval_value){
	    .kind = EVAL_WORDS, .den = 1, .text = words_normal(a, text)};
	return *out->text != '\0' && strlen(out->text) <= ANSWER_WORDS_MAX;
}

bool
eval_value_is(const struct eval_value *x, const struct eval_value *y)
{
	return x->kind == y->kind && str_eq(x->text, y->text);
}

/* ---- where in a text ---- */

/* Does the line say "ANSWER:" first? Then what follows. */
static const char *
find_marked(const char *line)
{
	static const char *const words[] = {"final ", "answer"};
	const char *p = line + strspn(line, " \t*_#>`-");

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = 0;
		while (words[i][n] != '\0' && str_lower(p[n]) == words[i][n])
			n++;
		if (words[i][n] == '\0')
			p += n;
		else if (i + 1 == ARRAY_LEN(words))
			return NULL;
	}
	p += strspn(p, " \t*_");
	return *p == ':' ? p + 1 : NULL;
}

static const char *
find_line(struct arena *a, const char *text)
{
	const char *found = NULL;
	const char *boxed = NULL;

	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		const char *one = arena_strndup(a, line, len);
		const char *marked = find_marked(one);
		if (marked != NULL)
			found = marked;
		line += len + (line[len] == '\n');
	}
	if (found != NULL)
		return found;
	for (const char *p = text; (p = strstr(p, "####")) != NULL; p += 4)
		found = arena_strndup(a, p + 4, strcspn(p + 4, "\n"));
	if (found != NULL)
		return found;
	for (const char *p = text; (p = strstr(p, "\\boxed{")) != NULL; p++)
		boxed = p + strlen("\\boxed{");
	return boxed != NULL ? arena_strndup(a, boxed, strcspn(boxed, "}"))
			     : NULL;
}

/* To the end of the sentence: a point within a number does not end it. */
static size_t
find_sentence(const char *p)
{
	size_t n = 0;

	while (p[n] != '\0' && p[n] != '\n' && p[n] != ';' && p[n] != '!' &&
	    !(p[n] == '.' && !str_is_digit(p[n + 1])))
		n++;
	return n;
}

/* "the answer is ...", wherever it is said; false when it is said of several.
 * *is_said: at all. */
static bool
find_said(struct arena *a, const struct eval_form *form, const char *text,
    struct eval_value *out, bool *is_said)
{
	static const char words[] = "answer is";
	struct eval_value one;
	bool is_clear = false;

	*is_said = false;
	for (const char *p = text; *p != '\0'; p++) {
		size_t n = 0;
		while (words[n] != '\0' && str_lower(p[n]) == words[n])
			n++;
		if (words[n] != '\0')
			continue;
		p += n + strspn(p + n, " \t:");
		size_t len = find_sentence(p);
		if (!str_starts(p, "not ")) {
			if (!eval_value_read(
				a, form, arena_strndup(a, p, len), &one) ||
			    (is_clear && !eval_value_is(&one, out))) {
				*is_said = true;
				return false;
			}
			*out = one;
			*is_said = true;
			is_clear = true;
		}
		p += len;
		if (*p == '\0')
			break;
	}
	return is_clear;
}

bool
eval_answer_find(struct arena *a, const struct eval_form *form,
    const char *text, struct eval_value *out)
{
	const char *line = find_line(a, text);
	bool is_said;

	if (line != NULL)
		return eval_value_read(a, form, line, out);
	if (find_said(a, form, text, out, &is_said))
		return true;
	return !is_said && eval_value_read(a, form, text, out);
}
