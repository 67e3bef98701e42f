/* SPDX-License-Identifier: MIT
 *
 * Inside of src/llm/: a provider is a const record that builds requests and
 * reads answers; a dialect is a row of what one family of endpoints does its
 * own way. All of it is pure: no sockets, no clock. llm_call.c drives it.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "llm/llm.h"
#include "llm/llm_price.h"

#define LLM_NAME_OPENAI	    "openai"
#define LLM_NAME_OPENROUTER "openrouter"
#define LLM_NAME_XAI	    "xai"
#define LLM_NAME_MISTRAL    "mistral"
#define LLM_NAME_DEEPSEEK   "deepseek"
#define LLM_NAME_GROQ	    "groq"
#define LLM_NAME_ANTHROPIC  "anthropic"
#define LLM_NAME_GEMINI	    "gemini"
#define LLM_NAME_OLLAMA	    "ollama"
#define LLM_NAME_LMSTUDIO   "lm-studio"
#define LLM_NAME_LLAMACPP   "llamacpp"
#define LLM_NAME_VLLM	    "vllm"
#define LLM_NAME_DEMO	    "demo"

/* What an endpoint has refused once is not sent again. */
struct llm_refused {
	bool stream_options;
	bool response_format;
	bool temperature;
	bool limit_renamed; /* takes the other name of the length limit */
	bool seed;
	bool encoding_format;
};

#define LLM_MESSAGE_MAX 256

/* The stream of one attempt. */
struct llm_stream {
	struct buf text; /* the answer so far */
	bool has_finish;
	bool is_done; /* [DONE] was seen */
	bool is_truncated;
	int64_t tokens_in, tokens_out; /* -1 = not reported */
	int64_t cost_udollar;	       /* -1 = not reported */
	enum llm_error_class error;
	char message[LLM_MESSAGE_MAX];
	/* borrowed per call */
	void (*on_text)(void *arg, const char *text, size_t len);
	void *arg;
};

/* How an answer that streams is cut into events. */
enum llm_framing {
	LLM_FRAMING_SSE,  /* server-sent events */
	LLM_FRAMING_LINES /* one JSON value a line */
};

struct llm_provider {
	/* Its embeddings, NULL = it has none. Of the answer, `event` leaves in
	 * the stream's text what llm_embed_take put there. */
	const struct llm_provider *embed;
	/* Offline: the whole answer, malloc'd. Set, there is no HTTP and the
	 * other members are NULL. */
	char *(*answer)(
	    const struct llm_agent *agent, const struct llm_request *r);
	enum llm_framing framing;
	/* A 429 that names no time to wait is the end of the money. */
	bool has_silent_cap;
	const char *header; /* a header line every request has, "" = none */
	/* Where to send it; base is normalized (llm_url_base). */
	const char *(*url)(
	    struct arena *a, const char *base, const struct llm_agent *agent);
	/* The header line with the key. */
	const char *(*auth)(struct arena *a, const char *key);
	void (*body)(struct buf *out, const struct llm_agent *agent,
	    const struct llm_request *r, const struct llm_refused *refused);
	/* One event without an error in it, or a whole answer. */
	void (*event)(struct llm_stream *s, const struct json *j);
};
extern const struct llm_provider llm_openai;
extern const struct llm_provider llm_anthropic;
extern const struct llm_provider llm_gemini;
extern const struct llm_provider llm_ollama;
extern const struct llm_provider llm_demo;

/* id, provider, what it calls the length of an embedding ("" = it has no
 * embeddings), the embedding model that is asked for when none is named ("" =
 * it must be), path below the base URL (not repeated when the base ends in
 * it), port of a base URL that is a bare host, name of the length limit, asks
 * for usage, has response_format, name of the seed */
#define LLM_DIALECT_LIST(X)                                                    \
	X(OPENAI, llm_openai, "dimensions", "text-embedding-3-small", "", "",  \
	    "max_completion_tokens", true, true, "seed")                       \
	X(OPENROUTER, llm_openai, "dimensions", "", "", "", "max_tokens",      \
	    true, true, "seed")                                                \
	X(XAI, llm_openai, "", "", "", "", "max_tokens", true, true, "seed")   \
	X(MISTRAL, llm_openai, "output_dimension", "mistral-embed", "", "",    \
	    "max_tokens", false, true, "random_seed")                          \
	X(DEEPSEEK, llm_openai, "", "", "", "", "max_tokens", true, true,      \
	    "seed")                                                            \
	X(GROQ, llm_openai, "", "", "", "", "max_tokens", true, true, "seed")  \
	X(ANTHROPIC, llm_anthropic, "", "", "/v1", "", "max_tokens", false,    \
	    false, "")                                                         \
	X(GEMINI, llm_gemini, "outputDimensionality", "gemini-embedding-001",  \
	    "", "", "maxOutputTokens", false, true, "seed")                    \
	X(OLLAMA, llm_ollama, "dimensions", "nomic-embed-text", "/api",        \
	    "11434", "num_predict", false, true, "seed")                       \
	X(LMSTUDIO, llm_openai, "dimensions", "", "/v1", "1234", "max_tokens", \
	    true, false, "seed")                                               \
	X(LLAMACPP, llm_openai, "dimensions", "", "", "8080", "max_tokens",    \
	    true, true, "seed")                                                \
	X(VLLM, llm_openai, "dimensions", "", "", "8000", "max_tokens", true,  \
	    true, "seed")                                                      \
	X(DEMO, llm_demo, "", "", "", "", "", false, false, "")

enum llm_dialect {
#define X(id, ...) LLM_##id,
	LLM_DIALECT_LIST(X)
#undef X
	    LLM_DIALECT__COUNT
};

struct llm_dialect_row {
	const char *name;
	const struct llm_provider *provider;
	const char *embed_length;
	const char *embed_model;
	const char *path;
	const char *port;
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
/* The model to ask: the seat's own or the row's. */
const char *llm_agent_model(const struct llm_agent *agent);
/* Can the row itself be called, without a detour? why as above. */
bool llm_agent_is_direct(const struct llm_agent_row *row,
    const struct settings *settings, struct err_info *why);
/* The same model through OpenRouter; false when it is not offered there or
 * cannot be called with these settings. Fills row and model of out. */
bool llm_agent_fallback(struct arena *a, const struct llm_agent *agent,
    const struct settings *settings, struct llm_agent *out);

/* ---- reading, for all providers (llm_stream.c) ---- */

void llm_stream_reset(struct llm_stream *s);
/* One event's data, or a whole JSON answer. */
void llm_stream_event(const struct llm_provider *provider, struct llm_stream *s,
    const char *data, size_t len);
/* For providers: more of the answer; its end for this reason (NULL = none
 * yet); what went wrong. */
void llm_stream_text(struct llm_stream *s, const struct json *text);
void llm_stream_finish(struct llm_stream *s, const char *reason);
void llm_stream_fail(
    struct llm_stream *s, enum llm_error_class error, const char *message);

/* ---- errors, one table for all providers (llm_error.c) ---- */

struct llm_failure {
	enum llm_error_class error;
	bool is_context;	/* the request is longer than the model takes */
	int64_t retry_after_ms; /* -1 = the body does not say */
	char message[LLM_MESSAGE_MAX]; /* safe to show */
};
/* A failed answer; a refused parameter is noted in `learnt`. */
void llm_error_read(struct llm_failure *out, long status, const char *body,
    size_t len, struct llm_refused *learnt);
/* An error within a stream. */
void llm_error_event(struct llm_failure *out, const struct json *j);
/* Providers' words reach people: one line, printable, bounded. */
void llm_error_safe(char *out, size_t size, const char *text);

/* ---- embeddings (llm_embed_read.c) ---- */

/* One embedding of an answer: a list of numbers or base64 of float32, the
 * index-th. false, and the stream has failed: it is neither, or of another
 * length than the ones before. */
bool llm_embed_take(
    struct llm_stream *s, int64_t index, const struct json *value);
/* The object that llm_embed.h describes, on the arena. */
const char *llm_embed_record(struct arena *a, const char *model,
    size_t dimension, size_t n_cached, const int16_t *const *vectors, size_t n);
/* Has this agent's provider embeddings? */
bool llm_embed_has(const struct llm_agent_row *row);
/* All are there; tokens -1 = not said. */
void llm_embed_end(struct llm_stream *s, int64_t tokens);
/* What they left: n vectors of *dimension floats, on the arena, in order;
 * NULL when it is not n of them. */
const float *llm_embed_vectors(
    struct arena *a, const char *text, size_t len, size_t n, size_t *dimension);

/* Offline agents: the whole answer, malloc'd. Deterministic in the request's
 * seed, the agent's name and persona and the request's texts. */
char *llm_demo_answer(
    const struct llm_agent *agent, const struct llm_request *r);
