/* SPDX-License-Identifier: MIT
 *
 * Inside of aragora eval: questions with known answers (eval_items.c) put to
 * several protocols (eval_plan.c), each pair of the two one debate in this
 * process without a database (eval_run.c); what was paid for is kept in a file
 * (eval_journal.c), and what came of it is counted (eval_report.c).
 */
#pragma once

#include "base/id.h"
#include "base/list.h"
#include "cli/eval_answer.h"
#include "cli/eval_stats.h"
#include "debate/config.h"
#include "debate/debate.h"
#include "llm/llm.h"
#include "settings/settings.h"

#define EVAL_LINE_MAX	(16u << 20) /* of a line of any of its files */
#define EVAL_ERRORS_MAX 20	    /* lines told of at once */

struct eval_item {
	int64_t line;
	const char *id;
	const char *task; /* question, choices and how to answer */
	const char *domain;
	struct eval_form form;
	struct eval_value key; /* the right answer */
};

struct eval_protocol {
	const char *label; /* as it was asked for */
	const char *preset;
	const char *settings; /* JSON object of the rest */
	/* Of self_consistency: how many seats; or as many as cost what this
	 * other protocol does, known when that one is through. */
	int64_t samples;
	const struct eval_protocol *like;
	double like_share; /* of that one's tokens; 0 = not known */
};

enum eval_state { EVAL_WAITING, EVAL_OPEN, EVAL_DONE, EVAL_FAILED };

/* What calls cost, whatever came of them. */
struct eval_cost {
	int64_t calls;	  /* model calls that ended */
	int64_t requests; /* with those that were tried again */
	int64_t tokens_in, tokens_out;
	int64_t udollar;
	int64_t unpriced; /* calls whose price is not known */
	int64_t proposals, proposal_tokens;
};
void eval_cost_add(struct eval_cost *to, const struct eval_cost *more);

/* An answered call of a debate that has not ended. */
struct eval_record {
	struct eval_record *next;
	const char *step_key;
	struct llm_result result;
};

/* One question under one protocol. */
struct eval_run {
	const struct eval_item *item;
	const struct eval_protocol *protocol;
	char key[ID_HASH_SIZE]; /* of all that decides what is asked */
	enum eval_state state;
	struct eval_cost cost;
	/* of EVAL_DONE; canonical, NULL = none that is clear */
	const char *answer;
	const char *before; /* what most first answers said */
	bool is_reached;    /* the consensus */
	int64_t rounds;
	const char *error; /* of EVAL_FAILED */
	/* of EVAL_WAITING and EVAL_OPEN */
	struct eval_record *records;
	struct arena *arena;
	struct debate_config config;
	struct debate *debate;
	const char **first; /* of each seat, canonical */
	struct loop_timer deadline;
	struct eval *eval;
};

struct eval_journal;

struct eval {
	const struct settings *settings;
	struct arena *arena;
	const char *agents; /* NULL = the settings' */
	int64_t seed;
	int64_t jobs; /* calls under way at once */
	struct eval_item *items;
	size_t n_items;
	struct eval_protocol *protocols;
	size_t n_protocols;
	struct eval_run *runs; /* item by item, in each the protocols */
	size_t n_runs;
	struct eval_journal *journal; /* NULL = nothing is kept */
	bool is_interrupted;
	bool are_alike; /* all seats of a debate are one model */
};

/* ---- eval_items.c ---- */

/* Every bad line is told of on stderr, by number, field and reason;
 * ERR_INVALID when there is any, ERR_IO when the file cannot be read. */
enum err eval_items_read(struct eval *e, const char *path) MUST_CHECK;

/* ---- eval_plan.c ---- */

/* "single,self_consistency,debate:rounds=2:topology=ring"; samples NULL =
 * not given. */
enum err eval_plan_read(struct eval *e, const char *list, const char *samples,
    struct err_info *info) MUST_CHECK;
/* Would each question be taken by each protocol? Told like bad lines. */
enum err eval_plan_check(struct eval *e) MUST_CHECK;
/* The configuration of one debate, on the arena; at most *n errors. */
enum err eval_plan_config(const struct eval *e, struct arena *a,
    const struct eval_protocol *p, const struct eval_item *item,
    struct debate_config *out, struct debate_config_error *errors, size_t *n)
    MUST_CHECK;
/* Seats that cost what p->like cost. */
void eval_plan_samples(struct eval *e, struct eval_protocol *p);

/* ---- eval_journal.c ---- */

/* ERR_BUSY: another process writes it. ERR_INVALID: it is no such file. */
enum err eval_journal_open(struct eval_journal **out, const char *path,
    struct err_info *info) MUST_CHECK;
void eval_journal_close(struct eval_journal **j);
/* What it tells of these runs, which must be in order of their keys. */
enum err eval_journal_read(struct eval_journal *j, struct eval *e,
    struct eval_run **runs, size_t n, struct err_info *info) MUST_CHECK;
enum err eval_journal_call(struct eval_journal *j, const struct eval_run *run,
    const char *step_key, enum llm_task task, const struct llm_result *result)
    MUST_CHECK;
enum err eval_journal_result(struct eval_journal *j, const struct eval_run *run)
    MUST_CHECK;
void eval_cost_of(
    struct eval_cost *out, enum llm_task task, const struct llm_result *result);

/* ---- eval_run.c ---- */

/* Until all is done or a signal ends it. */
enum err eval_run(struct eval *e, struct err_info *info) MUST_CHECK;

/* ---- eval_report.c ---- */

void eval_report(const struct eval *e, bool is_json);
