/* SPDX-License-Identifier: MIT
 *
 * What a tenant's operators decide about agents: to switch one off, how many
 * debates a day may seat it, and to move its rating by hand.
 */
#pragma once

#include "store/elo.h"
#include "store/store.h"

struct db;

#define STORE_AGENT_DAY_US INT64_C(86400000000)

struct store_agent_rule {
	const char *agent; /* of the registry */
	bool is_disabled;
	const char *reason;
	int64_t daily; /* debates a day (UTC), -1 = no limit */
	int64_t used;  /* of them today, counted since there is a rule */
	int64_t updated_us;
};
/* All there are, by agent. */
enum err store_agent_rules(struct store *store, struct arena *a,
    const char *tenant, int64_t now_us, struct store_agent_rule **rows,
    size_t *n) MUST_CHECK;
enum err store_agent_switch(struct store *store, const char *tenant,
    const char *agent, bool is_enabled, const char *reason, int64_t now_us)
    MUST_CHECK;
enum err store_agent_limit(struct store *store, const char *tenant,
    const char *agent, int64_t daily, int64_t now_us) MUST_CHECK;

/* Whom a new debate seats, each once and everybody in the same order. */
struct store_seats {
	const char *const *agents;
	size_t n;
	struct store_agent_rule refused; /* out: who stands in the way */
};
/* Inside of the transaction that makes the debate. ERR_INVALID ("agents"): one
 * is switched off; ERR_BUSY ("agent_quota"): it was seated often enough. */
enum err store_agent_admit(struct db *db, struct arena *a, const char *tenant,
    struct store_seats *seats, int64_t now_us, struct err_info *info)
    MUST_CHECK;

/* ---- ratings by hand ---- */

/* On the board of all domains and sources alone; in thousandths of a point. It
 * is recorded with the rating that it left: the board follows from the matches
 * and the adjustments, in the order of their times. */
struct store_adjustment {
	const char *id; /* set by the store, as are elo and created_us */
	const char *agent;
	int64_t change, elo;
	const char *reason, *debate_id, *actor; /* "" = none */
	int64_t created_us;
};
/* elo_initial: of an agent that has no rating yet, in points. */
enum err store_rating_adjust(struct store *store, struct arena *a,
    const char *tenant, struct store_adjustment *adj, int64_t elo_initial,
    int64_t now_us) MUST_CHECK;
/* Those of an agent between two times, the newest first, at most limit. */
enum err store_adjustment_list(struct store *store, struct arena *a,
    const char *tenant, const char *agent, int64_t after_us, int64_t before_us,
    int64_t limit, struct store_adjustment **rows, size_t *n) MUST_CHECK;
