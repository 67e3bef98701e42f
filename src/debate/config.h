/* SPDX-License-Identifier: MIT
 *
 * What a debate is asked to do: read from a create request, checked against
 * the settings, stored as JSON in debates.config, read back by the runner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "debate/purse.h"
#include "llm/llm.h"

struct settings;

#define DEBATE_RULE_LIST(X)                                                    \
	X(DEBATE_MAJORITY, "majority")                                         \
	X(DEBATE_SUPERMAJORITY, "supermajority")                               \
	X(DEBATE_UNANIMOUS, "unanimous")                                       \
	X(DEBATE_JUDGE, "judge")                                               \
	X(DEBATE_WEIGHTED, "weighted")                                         \
	X(DEBATE_HYBRID, "hybrid")                                             \
	X(DEBATE_ANY, "any")                                                   \
	X(DEBATE_PLURALITY, "plurality")                                       \
	X(DEBATE_BORDA, "borda")                                               \
	X(DEBATE_IRV, "irv")                                                   \
	X(DEBATE_CONDORCET, "condorcet")                                       \
	X(DEBATE_NONE, "none")
enum debate_rule {
#define X(id, text) id,
	DEBATE_RULE_LIST(X)
#undef X
	    DEBATE_RULE__COUNT
};
const char *debate_rule_name(enum debate_rule r);

#define DEBATE_PROTOCOL_LIST(X)                                                \
	X(DEBATE_BY_DEBATE, "debate")                                          \
	X(DEBATE_BY_SINGLE, "single")                                          \
	X(DEBATE_BY_SELF_CONSISTENCY, "self_consistency")                      \
	X(DEBATE_BY_COUNCIL, "council")                                        \
	X(DEBATE_BY_MOA, "moa")                                                \
	X(DEBATE_BY_JUDGE, "debate_judge")                                     \
	X(DEBATE_BY_CASCADE, "cascade")
enum debate_protocol {
#define X(id, text) id,
	DEBATE_PROTOCOL_LIST(X)
#undef X
	    DEBATE_PROTOCOL__COUNT
};
const char *debate_protocol_name(enum debate_protocol p);

#define DEBATE_TOPOLOGY_LIST(X)                                                \
	X(TOPOLOGY_ALL, "all")                                                 \
	X(TOPOLOGY_RING, "ring")                                               \
	X(TOPOLOGY_STAR, "star")                                               \
	X(TOPOLOGY_SPARSE, "sparse")
enum debate_topology {
#define X(id, text) id,
	DEBATE_TOPOLOGY_LIST(X)
#undef X
	    TOPOLOGY__COUNT
};
const char *debate_topology_name(enum debate_topology t);

/* An entry of memory that the debate was given (debate/recall.h). */
struct debate_recalled {
	const char *id;
	const char *source_debate_id; /* "" = none */
	const char *content;
	int64_t score_ppm;
};

struct debate_config {
	const char *task;
	const char *context; /* "" = none */
	struct llm_agent *agents;
	size_t n_agents;
	int64_t rounds;
	enum debate_protocol protocol;
	enum debate_topology topology;
	enum debate_rule rule;
	/* Share needed, in millionths; of a supermajority at least what the
	 * settings said on the day it was asked for. */
	int64_t threshold_ppm;
	bool is_early_stopping;
	/* In millionths: from which similarity two positions are one option,
	 * a position has not moved, and which share of the seats must hold
	 * theirs for an early end. */
	int64_t similarity_ppm, convergence_ppm, early_exit_ppm;
	const struct llm_agent *embedder; /* NULL = texts are hashed here */
	uint64_t seed;			  /* of shuffles and demo agents */
	int64_t max_tokens;
	/* What it may spend; prices are those of the day it was asked for, one
	 * per seat. budget_seconds: no further step but the answer begins
	 * after that, 0 = no limit. */
	struct purse_amount budget;
	int64_t budget_seconds;
	bool is_granted; /* out of a tenant's or user's budget */
	struct llm_price *prices;
	struct llm_price embedder_price;
	/* Of all weight, what people may have at most; 0 = nobody is heard. */
	int64_t audience_share_ppm;
	const char *metadata; /* JSON object, "{}" */
	const char *tags;     /* JSON array of strings, "[]" */
	const char *domain;   /* "general" */
	/* JSON object: debate_format, mode, template, documents and what was
	 * left to the server, as asked and given back; "{}" */
	const char *asked;
	bool is_recalling; /* "use_memory" */
	struct debate_recalled *recalled;
	size_t n_recalled;
};

/* One wrong field of a request. */
struct debate_config_error {
	char field[64];
	char message[256];
};

/* From a create request's body (contract 2.3), everything defaulted. All
 * wrong fields are reported, at most *n_errors (in: room, out: how many);
 * ERR_INVALID when any. `is_missing` tells that the one error is an absent
 * task. seed: random unless the body has an integer "seed". */
enum err debate_config_read(struct arena *a, const struct settings *settings,
    const struct json *body, struct debate_config *out,
    struct debate_config_error *errors, size_t *n_errors, bool *is_missing)
    MUST_CHECK;

/* Today's prices of its seats, on the arena. */
void debate_config_price(struct debate_config *config, struct arena *a,
    const struct settings *settings);
/* The least with which it can come to an answer. */
struct purse_amount debate_budget_least(const struct debate_config *config);

/* To and from the stored text. */
const char *debate_config_write(
    struct arena *a, const struct debate_config *config);
enum err debate_config_parse(struct arena *a, const char *text,
    struct debate_config *out, struct err_info *info) MUST_CHECK;
