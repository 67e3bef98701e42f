/* SPDX-License-Identifier: MIT
 *
 * What the files that write a debate's object and its parts share.
 */
#pragma once

#include "debate/view.h"

struct view {
	struct json_w *w;
	struct arena *a;
	const struct store_debate *row;
	const struct store_turn *turns;
	size_t n;
	const struct json *config; /* NULL when unreadable */
	const struct json *labels; /* NULL when there are none */
	const struct json *result; /* NULL until finished */
};

struct view view_of(struct json_w *w, struct arena *a,
    const struct store_debate *row, const struct store_turn *turns, size_t n);
/* NULL when unreadable. */
const struct json *view_json(struct arena *a, const char *text);
/* A finished turn of that phase. */
bool view_is_phase(const struct store_turn *t, const char *phase);
/* Objects, as elements of an array. */
void view_critique(struct view *v, const struct store_turn *t);
void view_vote(struct view *v, const struct store_turn *t);
void view_round(struct view *v, int64_t round);
/* The turns of one kind as an array. */
void view_turns(struct view *v, const char *key, const char *phase,
    void (*write)(struct view *v, const struct store_turn *t));
/* Into an object that the caller has begun. */
void view_consensus_members(struct view *v);
