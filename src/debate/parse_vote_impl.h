/* SPDX-License-Identifier: MIT
 *
 * Inside of the files that read a ballot: parse_vote_json.c finds what objects
 * state, parse_vote_lines.c what lines and sentences do, and parse_vote.c
 * weighs all of it.
 */
#pragma once

#include "debate/parse_impl.h"

#define VOTE_STATEMENTS_MAX 32

struct vote_statement {
	size_t start, end; /* in the text */
	int choice;	   /* or PHRASE_UNCLEAR */
};

/* One reading of a text; on the arena of its caller. */
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

/* ---- parse_vote.c ---- */

/* Bytes [start, end) say so; PHRASE_NONE is no statement. Kept in the order of
 * the text. */
void vote_state(struct vote_reader *r, size_t start, size_t end, int choice);
bool vote_is_blank(const char *from, const char *to);

/* ---- parse_vote_json.c ---- */

/* Of a string, a list of one string or an object that names it. */
int vote_of_value(struct vote_reader *r, const struct json *value);
/* An object that stands at [start, end). */
void vote_take_object(struct vote_reader *r, const struct json *j, size_t start,
    size_t end, bool is_repaired);
/* The last "choice" of an object that is not quite JSON. *start, *end: where
 * it stands; untouched when there is none. */
void vote_read_repaired(struct vote_reader *r, size_t *start, size_t *end);

/* ---- parse_vote_lines.c ---- */

/* The prose between objects. */
void vote_read_prose(struct vote_reader *r, size_t from, size_t to);
