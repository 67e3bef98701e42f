/* SPDX-License-Identifier: MIT
 *
 * Inside of the stub of a model provider: a request, and the reply as it goes
 * over the wire. llm_stub.c serves, llm_stub_reply.c scripts,
 * llm_stub_check.c checks, llm_stub_text.c writes answers, llm_stub_wire.c
 * puts them into the provider's form.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"

struct stub_request {
	const char *method;
	const char *path;
	/* headers, "" = absent */
	const char *authorization;
	const char *api_key, *version; /* Anthropic's */
	const char *google_key;
	const char *content_type;
	const char *scenario;
	const char *trace_parent, *trace_state;
	const char *body;
	size_t body_len;
	char sha[ID_HASH_SIZE];
	bool wants_close;
	int64_t seen; /* how often the same body came before */
};

/* Wait before the byte at `at` is sent. */
struct stub_mark {
	size_t at;
	int64_t pause_ms;
};

/* What happens when all bytes are sent. */
enum stub_end { STUB_KEEP, STUB_FIN, STUB_RESET, STUB_STALL };

struct stub_reply {
	int64_t tokens_in, tokens_out; /* of an answer in words */
	struct buf bytes;
	struct stub_mark *marks;
	size_t n_marks;
	enum stub_end end;
	bool is_split; /* every byte a write of its own */
	/* for the log; on the request's arena */
	const char *outcome;
	const char *task;
	const char *model;
	const char *scenario;
};

/* Fills out, whose memory the caller releases (stub_reply_release). */
void stub_reply_make(
    struct arena *a, const struct stub_request *q, struct stub_reply *out);
void stub_reply_release(struct stub_reply *r);
/* A whole answer with its length. headers: whole lines, "" = none. */
void stub_reply_plain(struct stub_reply *r, int status, const char *type,
    const char *headers, const char *body, size_t len);

#define STUB_JSON	  "application/json"
#define STUB_REPLY_MAX	  (16u << 20)
#define STUB_COST_DOLLARS 0.00123 /* what OpenRouter says a call costs */

enum stub_wire {
	STUB_WIRE_OPENAI,
	STUB_WIRE_ANTHROPIC,
	STUB_WIRE_GEMINI,
	STUB_WIRE_OLLAMA
};

enum stub_finish {
	STUB_FINISH_NONE, /* it just ends */
	STUB_FINISH_STOP,
	STUB_FINISH_LENGTH,
	STUB_FINISH_REFUSAL,
	STUB_FINISH_SAFETY
};

/* An answer on its way into a reply (llm_stub_wire.c). */
struct stub_stream {
	struct stub_reply *r;
	enum stub_wire wire;
	const char *model;
	const char *comment; /* before every event, "" = none */
	int64_t tokens_in, tokens_out;
	int64_t ttfb_ms;
	bool has_usage, has_cost;
	bool is_chunked;
	bool is_noisy; /* CRLF, comments, fields nobody asked for */
	int64_t count;
};
void stub_pause(struct stub_reply *r, int64_t ms);
void stub_stream_open(struct stub_stream *st);
/* padding: bytes of thinking to go with it. */
void stub_stream_text(
    struct stub_stream *st, const char *text, size_t len, size_t padding);
/* Data as it is, in the framing of the dialect. */
void stub_stream_event(struct stub_stream *st, const char *data);
void stub_stream_error(struct stub_stream *st);
void stub_stream_close(
    struct stub_stream *st, enum stub_finish f, const char *refusal);
/* Without streaming. */
void stub_whole(struct stub_stream *st, const char *text, enum stub_finish f);
/* detail: OpenAI's code; Gemini's entry of details; else "". */
const char *stub_error_body(struct arena *a, enum stub_wire wire, int status,
    const char *message, const char *detail);

/* NULL for a proper request, else what is wrong; a parameter that is not among
 * the known ones, else NULL (llm_stub_check.c). */
const char *stub_check(enum stub_wire wire, const struct json *j);
const char *stub_unknown_field(const char *known, const struct json *j);

/* What a model answers that is right with the probability in form
 * (llm_stub_arith.c). seed: the request's, 0 = none. */
const char *stub_arith(struct arena *a, const char *task, const char *prompt,
    int64_t seed, const char *form);

/* ---- embeddings (llm_stub_embed.c) ---- */

enum stub_embedding {
	STUB_EMBED_NONE, /* the dialect's answers are text */
	STUB_EMBED_OPENAI,
	STUB_EMBED_GEMINI,
	STUB_EMBED_OLLAMA
};
/* What a script makes of an answer that is well but for that. */
enum stub_embed_flaw {
	STUB_EMBED_WELL,
	STUB_EMBED_FEWER,  /* one is missing */
	STUB_EMBED_UNEVEN, /* the last is longer */
	STUB_EMBED_TURNED, /* the order is turned round: indexes tell */
	STUB_EMBED_OWN,	   /* of the length it likes */
	STUB_EMBED_MUTE	   /* no usage */
};
/* NULL for a proper request, else what is wrong. model: of the path. */
const char *stub_embed_check(
    enum stub_embedding form, const struct json *j, const char *model);
/* The answer's body: of each text the direction that its words give, the same
 * for the same text; a text that holds "<<n:m>>" stands at the angle of n
 * degrees (0 to 359) in the plane m. */
const char *stub_embed_body(struct arena *a, enum stub_embedding form,
    const struct json *j, const char *model, enum stub_embed_flaw flaw);

/* Which task the user message sets: llm_task_name()'s words, or "other". */
const char *stub_task(const char *prompt);
/* An answer that fits the task, the same for the same sha (of messages and
 * seed, so that the scenario does not change what is said). vote: the form of
 * a ballot, "" = plain JSON. */
const char *stub_answer(struct arena *a, const char *task, const char *prompt,
    const char *sha, const char *vote);
