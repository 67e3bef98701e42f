/* SPDX-License-Identifier: MIT
 *
 * The requests of one model call as rows of the database: those that are
 * meant, those that are over and not written yet.
 */
#pragma once

#include "debate/debate.h"
#include "llm/llm.h"
#include "store/store_attempt.h"

struct ledger {
	struct arena *arena; /* all of it; NULL = none is kept */
	struct store_attempt *rows;
	bool *is_due; /* over, not written */
	size_t n, cap;
};

const char *ledger_kind(enum llm_attempt_kind kind);
/* Which model is meant: the agent's own, unless it names another. */
const char *ledger_model(const struct llm_agent *agent);

/* The first request of a call that is to be made; on the arena. is_again: a
 * runner that is gone asked before. */
struct store_attempt ledger_intent(
    struct arena *a, const struct debate_call *call);
/* The same row when its hash is known; borrows. */
struct store_attempt ledger_row(
    const struct debate_call *call, const char *hash);
/* That one, which is or will be written, opens the ledger. */
void ledger_open(struct ledger *l, const struct store_attempt *first);
void ledger_close(struct ledger *l);

/* Which attempt's key the n-th request bears, as a header's value. */
void ledger_key(
    char *out, const char *debate_id, const char *step_key, int64_t n);
/* Another request is meant. Its row is written with ledger_take. */
void ledger_next(
    struct ledger *l, int64_t number, const struct llm_attempt *next);
/* One is over. number 0: the first. */
void ledger_over(struct ledger *l, const struct llm_attempt *attempt);
/* The call is: what nobody told of, it tells. */
void ledger_settle(struct ledger *l, const struct llm_result *result);
/* What is to be written now, on the arena; returns how many. */
size_t ledger_take(
    struct ledger *l, struct arena *a, struct store_attempt **rows);
