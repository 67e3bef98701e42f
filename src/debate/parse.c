/* SPDX-License-Identifier: MIT */
#include "debate/parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "debate/parse_impl.h"

#define PARSE_OBJECT_MAX (64u << 10)
#define PARSE_LIST_MAX	 8
/* Looking for objects may cost so many steps; what a model writes in earnest
 * takes three a byte. */
#define PARSE_STEPS_FREE     4096
#define PARSE_STEPS_PER_BYTE 16

/* ---- finding a JSON object ---- */

static const struct json *
parse_json(struct arena *a, const char *text, size_t len, const char *wanted)
{
	const struct json_limits limits = {
	    .max_bytes = PARSE_OBJECT_MAX, .max_depth = PARSE_DEPTH};
	const struct json *j;

	if (json_parse(a, text, len, &limits, &j, NULL) != ERR_OK ||
	    json_kind(j) != JSON_OBJECT || json_get(j, wanted) == NULL)
		return NULL;
	return j;
}

/* Length of the balanced object at [text, end), 0 when it never closes. */
static size_t
parse_balanced(const char *text, const char *end, size_t *steps)
{
	int depth = 0;
	bool in_string = false;

	for (const char *p = text; p < end; p++) {
		++*steps;
		if (in_string) {
			if (*p == '\\')
				p++;
			else if (*p == '"')
				in_string = false;
		} else if (*p == '"') {
			in_string = true;
		} else if (*p == '{') {
			depth++;
		} else if (*p == '}' && --depth == 0) {
			return (size_t)(p - text) + 1;
		}
	}
	return 0;
}

bool
parse_scan_is_exhausted(const struct parse_scan *s)
{
	return s->steps > PARSE_STEPS_FREE + PARSE_STEPS_PER_BYTE * s->len;
}

bool
parse_scan_next(struct parse_scan *s)
{
	const struct json_limits limits = {
	    .max_bytes = PARSE_OBJECT_MAX, .max_depth = PARSE_DEPTH};

	while (!parse_scan_is_exhausted(s)) {
		const char *p = s->at < s->len
		    ? memchr(s->text + s->at, '{', s->len - s->at)
		    : NULL;
		if (p == NULL)
			break;
		s->start = (size_t)(p - s->text);
		size_t len = parse_balanced(p, s->text + s->len, &s->steps);
		s->steps += len;
		if (len > 0 &&
		    json_parse(s->a, p, len, &limits, &s->object, NULL) ==
			ERR_OK) {
			s->end = s->at = s->start + len;
			return true;
		}
		s->at = s->start + 1;
	}
	s->object = NULL;
	return false;
}

/* Models think first and answer last: the last object wins. */
static const struct json *
parse_embedded(
    struct arena *a, const char *text, const char *wanted, size_t *steps)
{
	struct parse_scan scan = {.a = a, .text = text, .len = strlen(text)};
	const struct json *found = NULL;

	while (parse_scan_next(&scan))
		if (json_get(scan.object, wanted) != NULL)
			found = scan.object;
	*steps += scan.steps;
	return found;
}

static const struct json *
parse_fenced(struct arena *a, const char *text, const char *wanted)
{
	const struct json *found = NULL;

	for (const char *p = text; (p = strstr(p, "```")) != NULL;) {
		p += 3;
		while (str_is_alnum(*p))
			p++;
		const char *end = strstr(p, "```");
		if (end == NULL)
			break;
		const struct json *j =
		    parse_json(a, p, (size_t)(end - p), wanted);
		if (j != NULL)
			found = j;
		p = end + 3;
	}
	return found;
}

/* Thoughts are not answers: the text behind the last closing mark; "" when
 * a thought was begun and never ended. */
const char *
parse_without_thoughts(struct arena *a, const char *text)
{
	static const struct {
		const char *open;
		const char *close;
	} marks[] = {{"<think>", "</think>"}, {"<thinking>", "</thinking>"},
	    {"<reasoning>", "</reasoning>"}, {"<scratchpad>", "</scratchpad>"},
	    {"<|channel|>analysis", "<|channel|>final<|message|>"},
	    {"[THINK]", "[/THINK]"}};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		const char *end = NULL;
		for (const char *p = text;
		     (p = strstr(p, marks[i].close)) != NULL;)
			end = p += strlen(marks[i].close);
		if (end != NULL)
			text = end;
		const char *open = strstr(text, marks[i].open);
		if (open != NULL)
			return arena_strndup(a, text, (size_t)(open - text));
	}
	return text;
}

/* Copy one word of Python's as JSON's; bytes consumed, 0 if it is none. */
static size_t
parse_repair_word(const char *p, char *out, size_t *n)
{
	static const char *const words[][2] = {
	    {"True", "true"}, {"False", "false"}, {"None", "null"}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i][0]);
		if (strncmp(p, words[i][0], len) != 0 || str_is_alnum(p[len]))
			continue;
		memcpy(out + *n, words[i][1], strlen(words[i][1]));
		*n += strlen(words[i][1]);
		return len;
	}
	return 0;
}

/* Is the comma at p followed only by space and a closing bracket or the
 * end? */
static bool
parse_is_trailing_comma(const char *p)
{
	p++;
	while (str_is_space(*p))
		p++;
	return *p == '}' || *p == ']' || *p == '\0';
}

/* Trailing commas, Python literals, single-quoted strings, raw newlines in
 * strings, brackets cut off at the end. */
char *
parse_repair(struct arena *a, const char *text, size_t *used)
{
	size_t len = strlen(text);
	const char *p = text;
	char *out = arena_alloc(a, len * 2 + PARSE_DEPTH + 2);
	char closers[PARSE_DEPTH];
	size_t depth = 0;
	size_t n = 0;
	char quote = '\0';

	for (; *p != '\0'; p++) {
		if (quote != '\0') {
			if (*p == '\\' && p[1] == '\'') {
				out[n++] = *++p; /* Python's escape */
			} else if (*p == '\\' && p[1] != '\0') {
				out[n++] = *p++;
				out[n++] = *p;
			} else if (*p == quote) {
				out[n++] = '"';
				quote = '\0';
			} else if (*p == '\n' || *p == '"') {
				out[n++] = '\\';
				out[n++] = *p == '\n' ? 'n' : '"';
			} else if ((unsigned char)*p >= 0x20) {
				out[n++] = *p;
			}
			continue;
		}
		size_t word = parse_repair_word(p, out, &n);
		if (word > 0) {
			p += word - 1;
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
			out[n++] = '"';
		} else if (*p != ',' || !parse_is_trailing_comma(p)) {
			out[n++] = *p;
			if ((*p == '{' || *p == '[') && depth < PARSE_DEPTH)
				closers[depth++] = *p == '{' ? '}' : ']';
			else if ((*p == '}' || *p == ']') && depth > 0 &&
			    --depth == 0) {
				p++;
				break;
			}
		}
	}
	*used = (size_t)(p - text);
	if (quote != '\0')
		out[n++] = '"';
	while (depth > 0)
		out[n++] = closers[--depth];
	return out;
}

const struct json *
parse_object(struct arena *a, const char *text, const char *wanted,
    enum parse_rung *rung, size_t *steps)
{
	const struct json *j;
	size_t used;

	text = parse_without_thoughts(a, text);
	while (str_is_space(*text))
		text++;
	if ((j = parse_json(a, text, strlen(text), wanted)) != NULL)
		*rung = PARSE_WHOLE;
	else if ((j = parse_fenced(a, text, wanted)) != NULL)
		*rung = PARSE_FENCED;
	else if ((j = parse_embedded(a, text, wanted, steps)) != NULL)
		*rung = PARSE_EMBEDDED;
	else if (strchr(text, '{') != NULL && strlen(text) < PARSE_OBJECT_MAX) {
		const char *fixed = parse_repair(a, strchr(text, '{'), &used);
		j = parse_json(a, fixed, strlen(fixed), wanted);
		*rung = j != NULL ? PARSE_REPAIRED : PARSE_NONE;
	} else {
		*rung = PARSE_NONE;
	}
	return j;
}

/* ---- numbers ---- */

double
parse_confidence_text(const char *text)
{
	static const struct {
		const char *word;
		double value;
	} words[] = {{"very high", 0.95}, {"very low", 0.1}, {"high", 0.8},
	    {"medium", 0.6}, {"moderate", 0.6}, {"low", 0.3}};

	while (str_is_space(*text) || *text == ':' || *text == '*')
		text++;
	if (str_is_digit(*text) || *text == '.') {
		char *end;
		double value = strtod(text, &end);
		while (str_is_space(*end))
			end++;
		if (*end == '%')
			value /= 100;
		else if (*end == '/') {
			double of = strtod(end + 1, NULL);
			value = of > 0 ? value / of : -1;
		} else if (value > 1)
			value = value <= 10 ? value / 10 : value / 100;
		return value < 0 ? -1 : value > 1 ? 1 : value;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t k = 0;
		while (words[i].word[k] != '\0' &&
		    str_lower(text[k]) == words[i].word[k])
			k++;
		if (words[i].word[k] == '\0')
			return words[i].value;
	}
	return -1;
}

double
parse_confidence(const struct json *value)
{
	double number;
	const char *text = json_str(value, NULL);

	if (text != NULL)
		return parse_confidence_text(text);
	if (!json_num(value, &number) || number < 0)
		return -1;
	if (number > 1)
		number = number <= 10 ? number / 10 : number / 100;
	return number > 1 ? 1 : number;
}

/* ---- positions ---- */

static bool
parse_is_blank(char c)
{
	return c != '\n' && str_is_space(c);
}

/* After an optional markdown decoration, does the line begin with word (in
 * any case)? The text behind it, else NULL. */
const char *
parse_line_key(const char *line, const char *word)
{
	while (parse_is_blank(*line) || *line == '*' || *line == '#' ||
	    *line == '-' || *line == '>')
		line++;
	for (; *word != '\0'; word++, line++)
		if (str_lower(*line) != *word)
			return NULL;
	while (*line == '*' || parse_is_blank(*line))
		line++;
	if (*line != ':' && *line != '=')
		return NULL;
	line++;
	while (*line == '*' || parse_is_blank(*line))
		line++;
	return line;
}

void
parse_position(struct arena *a, const char *text, struct parse_position *out)
{
	char *copy = arena_strdup(a, parse_without_thoughts(a, text));
	char *kept = arena_alloc(a, strlen(copy) + 2);
	size_t n = 0;

	*out = (struct parse_position){
	    .confidence = -1, .is_changed = true, .why = ""};
	for (char *line = copy, *next; line != NULL; line = next) {
		const char *rest;
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if ((rest = parse_line_key(line, "confidence")) != NULL) {
			double c = parse_confidence_text(rest);
			out->confidence = c >= 0 ? c : out->confidence;
		} else if ((rest = parse_line_key(line, "changed")) != NULL) {
			out->is_changed = str_lower(*rest) != 'n';
			rest += strcspn(rest, " -:,");
			rest += strspn(rest, " -:,");
			out->why = arena_strdup(a, rest);
		} else {
			size_t len = strlen(line);
			memcpy(kept + n, line, len);
			n += len;
			kept[n++] = '\n';
		}
	}
	kept[n] = '\0';
	out->text = str_trim(a, kept);
}

/* ---- critiques ---- */

static const char **
parse_strings(struct arena *a, const struct json *list, size_t *n)
{
	const char **out = ARENA_ARRAY(a, PARSE_LIST_MAX, const char *);

	*n = 0;
	if (json_str(list, NULL) != NULL)
		out[(*n)++] = json_str(list, NULL);
	for (size_t i = 0; i < json_len(list) && *n < PARSE_LIST_MAX; i++) {
		const char *text = json_str(json_at(list, i), NULL);
		if (!str_is_empty(text))
			out[(*n)++] = text;
	}
	return out;
}

static double
parse_severity(const struct json *value)
{
	double number;
	const char *text = json_str(value, NULL);

	if (text != NULL) {
		double share = parse_confidence_text(text);
		return share < 0 ? 5 : share * 10;
	}
	if (!json_num(value, &number) || number < 0)
		return 5;
	/* 0..1 is the other common scale; 1 itself stays 1 of 10 only when it
	 * was written as an integer. */
	if (number < 1 || (number <= 1 && json_kind(value) == JSON_DOUBLE))
		number *= 10;
	return number > 10 ? 10 : number;
}

static const char *
parse_critique_text(struct arena *a, const struct parse_critique *c)
{
	struct buf b;

	buf_init(&b, 2 * PARSE_OBJECT_MAX);
	for (size_t i = 0; i < c->n_issues; i++)
		buf_printf(&b, "%s%s", i > 0 ? " " : "", c->issues[i]);
	for (size_t i = 0; i < c->n_suggestions; i++)
		buf_printf(&b, "%s%s%s", b.len > 0 ? " " : "",
		    i > 0 ? "" : "Suggestion: ", c->suggestions[i]);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

void
parse_critique(struct arena *a, const char *text, struct parse_critique *out)
{
	enum parse_rung rung;
	size_t steps = 0;
	const struct json *j = parse_object(a, text, "issues", &rung, &steps);

	*out =
	    (struct parse_critique){.severity = 5, .quote = "", .steps = steps};
	if (j == NULL) {
		/* Prose: the whole text is the one issue. */
		const char **one = ARENA_ARRAY(a, 1, const char *);
		one[0] = str_trim(a, parse_without_thoughts(a, text));
		out->issues = one;
		out->n_issues = *one[0] != '\0';
		out->suggestions = ARENA_ARRAY(a, 1, const char *);
		out->text = one[0];
		return;
	}
	out->issues = parse_strings(a, json_get(j, "issues"), &out->n_issues);
	out->suggestions =
	    parse_strings(a, json_get(j, "suggestions"), &out->n_suggestions);
	out->severity = parse_severity(json_get(j, "severity"));
	out->is_fatal = json_get_bool(j, "fatal", false);
	out->quote = json_get_str(j, "quote", "");
	out->text = parse_critique_text(a, out);
}
