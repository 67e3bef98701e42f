/* SPDX-License-Identifier: MIT
 *
 * Model calls. An agent is a row of agents.def plus the spec a caller gave
 * ("provider|model|persona|role"); a provider is a const record
 * (llm_provider.h) over one HTTP machine (llm_http.c, the only user of curl),
 * or the offline demo. Everything runs on one loop and never blocks it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/trace.h"

struct settings;

/* ---- the registry ---- */
struct llm_agent_row {
	const char *name;     /* "openai-api" */
	const char *provider; /* "openai", "demo", ... : llm_provider.h */
	const char *model;    /* default */
	const char *key_env;  /* variable holding the key, "" = none needed */
	const char *help;
};
size_t llm_agent_count(void);
const struct llm_agent_row *llm_agent_at(size_t i);
/* By name or alias (claude, gpt-4, ...); NULL when unknown. */
const struct llm_agent_row *llm_agent_find(const char *name);
/* Can it be called with these settings? why (may be NULL) names the missing
 * variable. */
bool llm_agent_is_available(const struct llm_agent_row *row,
    const struct settings *settings, struct err_info *why);

/* One seat of a debate. */
struct llm_agent {
	const struct llm_agent_row *row;
	const char *name;    /* display name, unique in the debate: "demo_2" */
	const char *model;   /* "" = the row's */
	const char *persona; /* "" = none */
	const char *role;    /* "" = proposer */
};
/* The model behind a seat, the same whichever way it is reached; on the arena
 * or longer. */
const char *llm_agent_identity(struct arena *a, const struct llm_agent *agent);
/* "provider|model|persona|role" or "provider:persona"; name = the given
 * provider part. ERR_INVALID with field "agents" for an unknown one. */
enum err llm_agent_parse(struct arena *a, const char *spec,
    struct llm_agent *out, struct err_info *info) MUST_CHECK;

/* ---- what is asked ---- */
enum llm_task {
	LLM_PROPOSE,
	LLM_CRITIQUE,
	LLM_REVISE,
	LLM_VOTE,
	LLM_JUDGE,
	LLM_SYNTHESIS,
	LLM_EMBED,    /* blocks are the texts; llm_embed.h asks */
	LLM_AUDIENCE, /* what people said; no model is asked */
	LLM_TASK__COUNT
};
const char *llm_task_name(enum llm_task t);

/* Somebody's text shown to the model under a neutral label. */
struct llm_block {
	const char *label; /* "Proposal A", "Your position", "Critique 1" */
	const char *text;
};

/* A prompt in parts. HTTP providers send system as the system message and
 * llm_prompt_render() as the user message; the demo reads the parts. */
struct llm_request {
	enum llm_task task;
	const char *system;
	const char *question;
	const char *context;		/* "" = none */
	const struct llm_block *blocks; /* the others' texts, own text, ... */
	size_t n_blocks;
	const char *instruction; /* what to do, and the output contract */
	const char *nonce;	 /* delimits the blocks */
	bool wants_json;	 /* answer must be one JSON object */
	int64_t dimension;	 /* of embeddings, 0 = the model's */
	/* These texts and the agent's outlive the call: nothing is copied. */
	bool is_lasting;

	int64_t max_tokens;
	double temperature;
	uint64_t seed;
};
/* The user message: question, context, delimited blocks, instruction. */
const char *llm_prompt_render(struct arena *a, const struct llm_request *r);

/* ---- calling ---- */
enum llm_error_class { /* engine.md 2.9 */
	LLM_ERR_NONE,
	LLM_ERR_AUTH,
	LLM_ERR_BAD_REQUEST,
	LLM_ERR_MONEY,
	LLM_ERR_RATE,
	LLM_ERR_OVERLOAD,
	LLM_ERR_SERVER,
	LLM_ERR_NETWORK,
	LLM_ERR_TIMEOUT,
	LLM_ERR_PARTIAL,
	LLM_ERR_REFUSAL,
	LLM_ERR_EMPTY,
	LLM_ERR__COUNT
};
const char *llm_error_name(enum llm_error_class c);

struct llm_result {
	enum llm_error_class error; /* LLM_ERR_NONE = text is whole */
	const char *message;	    /* of the error, safe to show; "" */
	const char *text; /* whole answer, or what came before a cut */
	size_t text_len;
	bool is_truncated;	       /* finish_reason length */
	int64_t tokens_in, tokens_out; /* estimated when not reported */
	bool is_usage_estimated;
	int64_t attempts;
	int64_t duration_ms;
	/* Micro-dollars, as the provider says or by the price list and the
	 * tokens; -1 = the model's price is not known. */
	int64_t cost_udollar;
	const char *provider; /* who was asked in the end, and for what */
	const char *model;
	bool is_fallback;   /* OpenRouter, in place of the provider */
	bool is_prompt_cut; /* it was too long for the model */
	bool is_hedged;	    /* a second request gave the answer */
};

/* One request to a provider. A call makes several when the first brings no
 * answer, or a second one is to be faster. */
enum llm_attempt_kind {
	LLM_ATTEMPT_FIRST,
	LLM_ATTEMPT_RETRY,
	LLM_ATTEMPT_FALLBACK, /* asks OpenRouter */
	LLM_ATTEMPT_HEDGE
};
#define LLM_KEY_SIZE 80
struct llm_attempt {
	enum llm_attempt_kind kind;
	const char *provider, *model;
	/* Given by on_next: how on_attempt will name it, and what goes out as
	 * its Idempotency-Key where the provider takes one ("" = nothing). */
	int64_t number;
	char key[LLM_KEY_SIZE];
	/* The W3C trace context it carries, also given by on_next ("" =
	 * nothing); the second is borrowed until on_next is called again. */
	char trace_parent[TRACE_PARENT_SIZE];
	const char *trace_state;
	/* of one that is over: */
	bool was_sent;
	bool is_dropped; /* by us, for another */
	enum llm_error_class error;
	long status; /* of HTTP, 0 = none came */
	int64_t tokens_in, tokens_out;
	bool is_usage_estimated;
	int64_t cost_udollar; /* -1 = not known */
	int64_t started_us;   /* 0 = never */
};

struct llm;	 /* the machine; one per loop */
struct llm_call; /* one call, retries included */

struct llm_call_ops {
	/* A piece of the answer (valid UTF-8, never cut inside a character).
	 * may be NULL. After a retry the pieces start again: on_restart. */
	void (*on_delta)(void *arg, const char *text, size_t len);
	void (*on_restart)(void *arg);
	/* Exactly once unless cancelled; result is borrowed for the call. Never
	 * from inside llm_call_start. */
	void (*on_done)(void *arg, const struct llm_result *result);
	/* May be NULL. A request is about to leave. false: it waits for
	 * llm_call_go, and is gone without a word if the call is cancelled. */
	bool (*on_next)(void *arg, struct llm_attempt *next);
	/* May be NULL. One that on_next was told of is over; before on_done,
	 * unless the call is cancelled. */
	void (*on_attempt)(void *arg, const struct llm_attempt *attempt);
	void *arg;
};

/* ERR_INVALID, and a line in the log, for prices that cannot be read. */
enum err llm_new(struct llm **out, const struct settings *settings,
    struct loop *loop) MUST_CHECK;
void llm_free(struct llm **llm);
/* An array: how the agents it has asked are (llm_endpoint_health). */
void llm_health_write(const struct llm *llm, struct json_w *w);
/* The state of their breakers into the metrics, which time changes too. */
void llm_measure(const struct llm *llm);

/* Start; request and agent are read before return and not kept, unless the
 * request is lasting. */
struct llm_call *llm_call_start(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops);
/* Bytes of the heap that it holds, without the transfer's. */
size_t llm_call_memory(const struct llm_call *call);
/* Drop the call and close its connection now; no callback follows. The
 * pointer is dead after on_done as well. Not from inside on_delta. */
void llm_call_cancel(struct llm_call **call);
/* The attempt of this number may leave; nothing if it does not wait. */
void llm_call_go(struct llm_call *call, int64_t number);
