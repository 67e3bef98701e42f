/* SPDX-License-Identifier: MIT
 *
 * Inside of src/llm/: what a dialect of the OpenAI protocol does its own way,
 * and the pure half of the protocol: building a request, reading a stream.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "llm/llm.h"

#define LLM_NAME_OPENAI	    "openai"
#define LLM_NAME_OPENROUTER "openrouter"
#define LLM_NAME_XAI	    "xai"
#define LLM_NAME_MISTRAL    "mistral"
#define LLM_NAME_OLLAMA	    "ollama"
#define LLM_NAME_LOCAL	    "local"
#define LLM_NAME_VLLM	    "vllm"
#define LLM_NAME_DEMO	    "demo"

/* provider, path below the base URL, name of the length limit, asks for
 * usage, has response_format, name of the seed */
#define LLM_DIALECT_LIST(X)                                                    \
	X(OPENAI, LLM_NAME_OPENAI, "", "max_completion_tokens", true, true,    \
	    "seed")                                                            \
	X(OPENROUTER, LLM_NAME_OPENROUTER, "", "max_tokens", true, true,       \
	    "seed")                                                            \
	X(XAI, LLM_NAME_XAI, "", "max_tokens", true, true, "seed")             \
	X(MISTRAL, LLM_NAME_MISTRAL, "", "max_tokens", false, true,            \
	    "random_seed")                                                     \
	X(OLLAMA, LLM_NAME_OLLAMA, "/v1", "max_tokens", true, true, "seed")    \
	X(LOCAL, LLM_NAME_LOCAL, "", "max_tokens", true, false, "seed")        \
	X(VLLM, LLM_NAME_VLLM, "", "max_tokens", true, true, "seed")           \
	X(DEMO, LLM_NAME_DEMO, "", "", false, false, "")

enum llm_dialect {
#define X(id, name, path, limit, usage, format, seed) LLM_##id,
	LLM_DIALECT_LIST(X)
#undef X
	    LLM_DIALECT__COUNT
};

struct llm_dialect_row {
	const char *name;
	const char *path;
	const char *limit_field;
	bool has_stream_options;
	bool has_response_format;
	const char *seed_field;
};
const struct llm_dialect_row *llm_dialect(enum llm_dialect d);
enum llm_dialect llm_agent_dialect(const struct llm_agent_row *row);
/* Key ("" = none) and base URL of an agent. */
const char *llm_agent_key(
    const struct llm_agent_row *row, const struct settings *s);
const char *llm_agent_url(
    const struct llm_agent_row *row, const struct settings *s);

/* What an endpoint has refused once is not sent again. */
struct llm_refused {
	bool stream_options;
	bool response_format;
	bool temperature;
	bool limit_renamed; /* takes the other name of the length limit */
	bool seed;
};

void llm_openai_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused);

/* The stream of one attempt. */
struct llm_stream {
	struct buf text; /* the answer so far */
	bool has_finish;
	bool is_done; /* [DONE] was seen */
	bool is_truncated;
	int64_t tokens_in, tokens_out; /* -1 = not reported */
	enum llm_error_class error;
	char message[256];
	/* borrowed per call */
	void (*on_text)(void *arg, const char *text, size_t len);
	void *arg;
};
/* One SSE event's data, or a whole JSON answer. */
void llm_openai_event(struct llm_stream *s, const char *data, size_t len);

/* Class of a failed answer from its status and body; message is made safe to
 * show. A refused parameter is noted in `learnt` when the body names one. */
enum llm_error_class llm_openai_error(long status, const char *body, size_t len,
    char *message, size_t size, struct llm_refused *learnt);

/* Milliseconds from Retry-After (seconds or date) or retry-after-ms; -1. */
int64_t llm_retry_after_ms(const char *value, bool is_ms, int64_t now_us);

/* Offline agents: the whole answer, malloc'd. Deterministic in the request's
 * seed, the agent's name and persona and the request's texts. */
char *llm_demo_answer(
    const struct llm_agent *agent, const struct llm_request *r);
