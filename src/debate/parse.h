/* SPDX-License-Identifier: MIT
 *
 * Reading what models write: a ladder from strict JSON down to line grammar.
 * Pure; never guesses: what is ambiguous is no choice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/json.h"

/* Which rung gave the result. */
enum parse_rung {
	PARSE_NONE,
	PARSE_WHOLE,	/* the text is JSON */
	PARSE_FENCED,	/* last fenced block */
	PARSE_EMBEDDED, /* last balanced object with the wanted key */
	PARSE_REPAIRED, /* one of these after small repairs */
	PARSE_LINES	/* "VOTE: B" and the like */
};

/* A JSON object in the text that has the key `wanted`, else NULL. steps: what
 * it took is added. */
const struct json *parse_object(struct arena *a, const char *text,
    const char *wanted, enum parse_rung *rung, size_t *steps);

/* 0..1 from a number, "80%", "8/10" or words; -1 when there is none. */
double parse_confidence(const struct json *value);
double parse_confidence_text(const char *text);

/* A position: the text without its CHANGED and CONFIDENCE lines. */
struct parse_position {
	const char *text;
	double confidence; /* -1 = not given */
	bool is_changed;   /* true unless it says no */
	const char *why;
};
void parse_position(
    struct arena *a, const char *text, struct parse_position *out);

struct parse_critique {
	const char **issues;
	size_t n_issues;
	const char **suggestions;
	size_t n_suggestions;
	double severity; /* 0..10 */
	bool is_fatal;
	const char *quote;
	const char *text; /* for people */
	size_t steps;	  /* work it took */
};
void parse_critique(
    struct arena *a, const char *text, struct parse_critique *out);

/* labels: what the voter could choose, e.g. "Proposal A". choice: index, or
 * -1 for an abstention. */
struct parse_vote {
	int choice;
	double confidence; /* -1 = not given */
	const char *reason;
	bool wants_more;
	enum parse_rung rung;
	const char *answer; /* of a judge; NULL when none */
	/* Best first, each once; none when not given, or not all are clear. */
	int *ranking;
	size_t n_ranking;
	size_t steps; /* work it took */
};
void parse_vote(struct arena *a, const char *text, const char *const *labels,
    size_t n_labels, struct parse_vote *out);
