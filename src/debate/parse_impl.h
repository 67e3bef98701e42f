/* SPDX-License-Identifier: MIT
 *
 * Inside of the parse files: objects in a text, and phrases that name a label.
 */
#pragma once

#include "debate/parse.h"

#define PARSE_DEPTH 24

/* ---- objects (parse.c) ---- */

/* Walks over the JSON objects of a text. The work is bounded: brackets that
 * never match cost no more than a multiple of the text's length. */
struct parse_scan {
	struct arena *a;
	const char *text;
	size_t len;
	size_t at; /* where to look on */
	size_t steps;
	/* the object found */
	const struct json *object;
	size_t start, end;
};
bool parse_scan_next(struct parse_scan *s);
/* Has the work been cut short? Then nothing is sure. */
bool parse_scan_is_exhausted(const struct parse_scan *s);
/* The text of the first object in text with its slips repaired, the bytes it
 * spans in *used. */
char *parse_repair(struct arena *a, const char *text, size_t *used);
/* Without <think> and its like. */
const char *parse_without_thoughts(struct arena *a, const char *text);
const char *parse_line_key(const char *line, const char *word);

/* ---- words (parse_words.c) ---- */

#define WORDS_MAX 96

struct word {
	const char *text; /* in the source */
	size_t len;
	char punct;    /* 0 = a word, else . , ; : ! ? ( ) - / & = > + " */
	int label;     /* it and what `span` takes name this label, -1 = none */
	bool is_short; /* by its last word only */
};
struct words {
	struct word list[WORDS_MAX];
	size_t n;
	bool is_cut; /* there were more */
};

struct labels {
	const char *const *list;
	size_t n;
};

enum {
	PHRASE_NONE = -2,   /* says nothing about a choice */
	PHRASE_UNCLEAR = -1 /* speaks of one and names none, or several */
};

/* Cut len bytes into words. */
void words_read(struct words *w, const char *text, size_t len,
    const struct labels *labels, size_t *steps);
bool word_is(const struct word *w, const char *lower);
/* One of a list that ends with NULL? */
bool word_is_any(const struct word *w, const char *const *list);
/* What a value says: "Proposal B", "I choose B because ...". */
int phrase_of_value(const struct words *w);
/* What a sentence says: "I vote for Proposal B", "Proposal B wins". */
int phrase_of_sentence(const struct words *w);
