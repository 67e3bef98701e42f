/* SPDX-License-Identifier: MIT
 *
 * The debate object that every answer holds (contract 2.1): written from the
 * row and its turns, in one place.
 */
#pragma once

#include "base/json.h"
#include "store/store.h"

enum debate_view_detail {
	DEBATE_VIEW_LIST, /* without the long fields */
	DEBATE_VIEW_FULL
};

/* Members of the debate object into an object the caller has begun.
 * turns may be NULL for lists. now_us dates a running debate's duration. */
void debate_view_members(struct json_w *w, struct arena *a,
    const struct store_debate *row, const struct store_turn *turns, size_t n,
    enum debate_view_detail detail, int64_t now_us);

/* Member correlation_id: the id of the trace it was asked in, if any. */
void debate_view_trace(struct json_w *w, const struct store_debate *row);
/* An object: what each agent holds now. */
void debate_view_positions(struct json_w *w, const char *key,
    const struct store_turn *turns, size_t n);
/* One message of GET /debates/{id}/messages: a whole object, as an element of
 * an array. */
void debate_view_message(
    struct json_w *w, const struct store_turn *turn, int64_t index);
/* Is the turn a message (a whole text: proposal, revision, synthesis)? */
bool debate_view_is_message(const struct store_turn *turn);

/* One side of a debate. Members into an object the caller has begun; each
 * has debate_id. */
enum debate_view_part {
	DEBATE_PART_ROUNDS,
	DEBATE_PART_AGENTS,
	DEBATE_PART_VOTES,
	DEBATE_PART_CRITIQUES,
	DEBATE_PART_CONSENSUS,
	DEBATE_PART_POSITIONS,
	DEBATE_PART_SUMMARY,
	DEBATE_PART_IMPASSE,
	DEBATE_PART__COUNT
};
void debate_view_part(struct json_w *w, struct arena *a,
    enum debate_view_part part, const struct store_debate *row,
    const struct store_turn *turns, size_t n, int64_t now_us);

/* What a debate that came to a consensus says, in short; on the arena. */
struct debate_view_topic {
	const char *conclusion; /* NULL = none */
	const char *strength;
	const char **agents;
	size_t n_agents;
	int64_t dissents;
};
void debate_view_topic(struct arena *a, const struct store_debate *row,
    struct debate_view_topic *out);

/* data of the debate_end event: who ended it and how, and the debate object
 * without its messages (frames stay under 1 MiB). status: "completed",
 * "failed" or "cancelled"; reason may be NULL. row is as it will be stored.
 * Text on the arena. */
const char *debate_end_data(struct arena *a, const struct store_debate *row,
    const struct store_turn *turns, size_t n, const char *status,
    const char *reason, int64_t now_us);
