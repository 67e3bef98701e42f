/* SPDX-License-Identifier: MIT
 *
 * One row for each time a provider is asked. The row is in the database before
 * the request leaves, so that whatever becomes of the runner nobody is asked
 * without a trace; what came of it is written with the turn.
 */
#pragma once

#include "store/store.h"

/* id, name, may the provider have charged for an answer we do not have? */
#define STORE_ATTEMPT_LIST(X)                                                  \
	X(STORE_ATTEMPT_STARTED, "started", false)                             \
	X(STORE_ATTEMPT_ANSWERED, "answered", false)                           \
	X(STORE_ATTEMPT_FAILED, "failed", false)                               \
	X(STORE_ATTEMPT_DROPPED, "dropped", true) /* by us, another won */     \
	X(STORE_ATTEMPT_UNSENT, "unsent", false)  /* known not to have left */ \
	X(STORE_ATTEMPT_LOST, "lost", true)	  /* cut off, with its runner  \
						     or its debate */
enum store_attempt_state {
#define X(id, name, is_billed) id,
	STORE_ATTEMPT_LIST(X)
#undef X
	    STORE_ATTEMPT__COUNT
};
const char *store_attempt_state_name(enum store_attempt_state s);
bool store_attempt_may_be_billed(enum store_attempt_state s);

struct store_attempt {
	const char *step_key;
	int64_t attempt;     /* 1.. of the step, whoever made them */
	int64_t key_attempt; /* whose Idempotency-Key it bears */
	const char *kind;    /* first, again, retry, fallback, hedge */
	enum store_attempt_state state;
	const char *request_hash;
	const char *provider, *model; /* meant, then really asked */
	int64_t tokens_in, tokens_out;
	bool is_estimated;
	int64_t cost_udollar;		 /* -1 = not known */
	int64_t http_status;		 /* 0 = there was no answer */
	const char *error;		 /* name of its class, NULL = none */
	int64_t started_us, finished_us; /* set by the store when 0 */
};
/* In order of time. */
enum err store_attempt_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_attempt **rows,
    size_t *n) MUST_CHECK;
