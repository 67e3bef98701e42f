/* SPDX-License-Identifier: MIT
 *
 * Votes and suggestions of people, in the order in which they came: each has
 * the number of the event that tells of it.
 */
#pragma once

#include "store/store.h"

enum store_human_kind {
	STORE_HUMAN_VOTE,
	STORE_HUMAN_SUGGESTION,
	STORE_HUMAN__COUNT
};

struct store_human {
	int64_t seq; /* set by the store */
	enum store_human_kind kind;
	const char *who;    /* one person, one name */
	const char *choice; /* of a vote, else NULL */
	const char *text;   /* of a suggestion, else NULL */
	int64_t intensity;  /* of a vote, 1 to 10 */
	int64_t created_us; /* set by the store */
	/* Read and answered by add, its ref is the seq; NULL = none. */
	struct store_key *key;
};

/* Stores the input and its event, whose seq, round and time are set, in one
 * transaction. An input whose key was used before has the seq of that one, and
 * no event. ERR_NOT_FOUND; ERR_CONFLICT: its votes are closed, *status says
 * whether it is over; ERR_TOO_LARGE: it holds max inputs. */
enum err store_human_add(struct store *store, const char *tenant,
    const char *debate_id, struct store_human *in, struct store_event *event,
    int64_t max, enum store_status *status) MUST_CHECK;

/* Those after a number, ascending; on the arena. */
enum err store_human_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, int64_t since,
    struct store_human **rows, size_t *n) MUST_CHECK;
