/* SPDX-License-Identifier: MIT
 *
 * What the stub answers: checks first, then the scenario's script. A
 * scenario is "stub-NAME" with NAME of the table below and any of: xN (the
 * failure comes N times per body, then all is well), @N (tokens, or
 * milliseconds of the slow ones), -raN (Retry-After), :FORM (of votes; the
 * probability of arith).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define STUB_PADDING	 (300u << 10) /* of the big line */
#define STUB_FLOOD_BYTES (9u << 20)   /* more than a client should take */
#define STUB_CUT_WAIT_MS 30 /* what was sent arrives before the reset */
#define STUB_REFUSAL	 "I cannot help with that."

enum stub_kind {
	STUB_OK,
	STUB_SLOW,
	STUB_SLOW_TTFB,
	STUB_IDLE,
	STUB_CUT,
	STUB_RST,
	STUB_REFUSE,
	STUB_LENGTH,
	STUB_NOUSAGE,
	STUB_SPLIT,
	STUB_BIGLINE,
	STUB_BADJSON,
	STUB_NOOPTS,
	STUB_VOTE,
	STUB_WHOLE,
	STUB_NOFINISH,
	STUB_MIDSTREAM,
	STUB_SAFETY,
	STUB_GOAWAY,
	STUB_TOOLONG,
	STUB_ARITH,
	STUB_FLOOD,
	STUB_EMBED_FLAW, /* of embeddings; number = which */
	STUB_FAIL
};

#define STUB_ERROR(message, type, code)                                        \
	"{\"error\":{\"message\":\"" message "\",\"type\":\"" type             \
	"\",\"param\":null,\"code\":" code "}}"
#define STUB_RATE_BODY                                                         \
	STUB_ERROR("too many requests", "requests", "\"rate_limit_exceeded\"")

struct stub_row {
	const char *name;
	enum stub_kind kind;
	int64_t number; /* what @N says when it is left out */
	int64_t times;	/* what xN says; 0 = always */
	/* of STUB_FAIL */
	int status;
	const char *headers;
	const char *body;
};

static const struct stub_row stub_rows[] = {
    {.name = "ok", .kind = STUB_OK},
    {.name = "slow", .kind = STUB_SLOW, .number = 30},
    {.name = "slow-ttfb", .kind = STUB_SLOW_TTFB, .number = 1500},
    /* the first of equal requests waits for its first token */
    {.name = "firstslow",
	.kind = STUB_SLOW_TTFB,
	.number = 3600000,
	.times = 1},
    {.name = "idle", .kind = STUB_IDLE, .number = 3},
    {.name = "cut", .kind = STUB_CUT, .number = 5},
    {.name = "rst", .kind = STUB_RST, .number = 5},
    {.name = "refuse", .kind = STUB_REFUSE},
    {.name = "length", .kind = STUB_LENGTH},
    {.name = "nousage", .kind = STUB_NOUSAGE},
    {.name = "split", .kind = STUB_SPLIT},
    {.name = "bigline", .kind = STUB_BIGLINE},
    {.name = "badjson", .kind = STUB_BADJSON, .number = 2},
    {.name = "noopts", .kind = STUB_NOOPTS},
    {.name = "vote", .kind = STUB_VOTE},
    /* not streamed, whatever was asked for */
    {.name = "whole", .kind = STUB_WHOLE},
    /* [DONE] without a finish_reason */
    {.name = "nofinish", .kind = STUB_NOFINISH},
    /* an error instead of the rest */
    {.name = "midstream", .kind = STUB_MIDSTREAM, .number = 3},
    {.name = "529-midstream", .kind = STUB_MIDSTREAM, .number = 3},
    /* can calculate with probability :P */
    {.name = "arith", .kind = STUB_ARITH},
    {.name = "safety", .kind = STUB_SAFETY},
    /* the connection ends before a word is said */
    {.name = "goaway", .kind = STUB_GOAWAY, .times = 1},
    /* a body of more than @N bytes is too long for the model */
    {.name = "toolong", .kind = STUB_TOOLONG, .number = 4000},
    {.name = "flood", .kind = STUB_FLOOD},
    {.name = "fewer", .kind = STUB_EMBED_FLAW, .number = STUB_EMBED_FEWER},
    {.name = "uneven", .kind = STUB_EMBED_FLAW, .number = STUB_EMBED_UNEVEN},
    {.name = "turned", .kind = STUB_EMBED_FLAW, .number = STUB_EMBED_TURNED},
    {.name = "ownlength", .kind = STUB_EMBED_FLAW, .number = STUB_EMBED_OWN},
    {.name = "mute", .kind = STUB_EMBED_FLAW, .number = STUB_EMBED_MUTE},
    {"429", STUB_FAIL, 0, 0, 429, "", STUB_RATE_BODY},
    {"429-ms", STUB_FAIL, 0, 1, 429, "retry-after-ms: 120\r\n", STUB_RATE_BODY},
    {"429-date", STUB_FAIL, 0, 1, 429, NULL, STUB_RATE_BODY},
    {"quota", STUB_FAIL, 0, 0, 429, "",
	STUB_ERROR("the quota of this key is used up", "insufficient_quota",
	    "\"insufficient_quota\"")},
    {"500", STUB_FAIL, 0, 0, 500, "",
	STUB_ERROR("the server failed", "server_error", "null")},
    {"529", STUB_FAIL, 0, 0, 529, "",
	STUB_ERROR("overloaded", "overloaded_error", "null")},
    {"503-loading", STUB_FAIL, 0, 0, 503, "",
	"{\"error\":{\"code\":503,\"message\":\"the model is being loaded\","
	"\"type\":\"unavailable_error\"}}"},
    {"401", STUB_FAIL, 0, 0, 401, "",
	STUB_ERROR("this key is not valid", "invalid_request_error",
	    "\"invalid_api_key\"")},
    /* repeats the key */
    {"401-echo", STUB_FAIL, 0, 0, 401, "", NULL},
    {"402", STUB_FAIL, 0, 0, 402, "",
	"{\"error\":{\"code\":402,\"message\":\"no credits left\"}}"},
    {"ctx", STUB_FAIL, 0, 0, 400, "",
	STUB_ERROR("the messages are longer than the model's context; reduce "
		   "them or max_tokens",
	    "invalid_request_error", "\"context_length_exceeded\"")},
    {"html502", STUB_FAIL, 0, 0, 502, "",
	"<html><head><title>502 Bad Gateway</title></head></html>\n"},
    {"200-error-body", STUB_FAIL, 0, 0, 200, "",
	"{\"error\":{\"code\":502,\"message\":\"the model is down\"}}"},
    {"redirect", STUB_FAIL, 0, 0, 307, "Location: /elsewhere\r\n", ""},
};

/* A scenario, read. */
struct stub_script {
	const struct stub_row *row;
	int64_t number, times, retry_after; /* retry_after -1 = not said */
	const char *form;
};

struct stub_dialect {
	const char *prefix;
	enum stub_wire wire;
	const char *suffix; /* Gemini's path goes on with the model */
	bool needs_key;
	const char *known; /* other parameters are refused; NULL = none is */
	bool is_fastapi;   /* refuses in FastAPI's words */
	const char *comment;
	bool has_cost;
	enum stub_embedding embedding;
};

#define STUB_CHAT  "/chat/completions"
#define STUB_EMBED "/embeddings"

static const struct stub_dialect stub_dialects[] = {
    {.prefix = "/openai/v1" STUB_CHAT,
	.needs_key = true,
	.known = "model messages max_tokens max_completion_tokens temperature "
		 "top_p seed n stop stream stream_options response_format user "
		 "metadata reasoning_effort",
	.comment = ""},
    {.prefix = "/mistral/v1" STUB_CHAT,
	.needs_key = true,
	.known = "model messages max_tokens temperature top_p random_seed n "
		 "stop stream response_format safe_prompt",
	.is_fastapi = true,
	.comment = ""},
    {.prefix = "/openrouter/api/v1" STUB_CHAT,
	.needs_key = true,
	.comment = "OPENROUTER PROCESSING",
	.has_cost = true},
    {.prefix = "/xai/v1" STUB_CHAT, .needs_key = true, .comment = ""},
    {.prefix = "/deepseek" STUB_CHAT,
	.needs_key = true,
	.comment = "keep-alive"},
    {.prefix = "/groq/openai/v1" STUB_CHAT, .needs_key = true, .comment = ""},
    {.prefix = "/vllm/v1" STUB_CHAT, .comment = ""},
    {.prefix = "/llamacpp/v1" STUB_CHAT, .comment = ""},
    {.prefix = "/lmstudio/v1" STUB_CHAT, .comment = ""},
    {.prefix = "/ollama/v1" STUB_CHAT, .comment = ""},
    {.prefix = "/anthropic/v1/messages",
	.wire = STUB_WIRE_ANTHROPIC,
	.needs_key = true,
	.known = "model max_tokens system messages temperature top_p top_k "
		 "stop_sequences stream metadata thinking",
	.comment = ""},
    {.prefix = "/gemini/v1beta/models/",
	.wire = STUB_WIRE_GEMINI,
	.suffix = ":streamGenerateContent?alt=sse",
	.needs_key = true,
	.known = "contents systemInstruction generationConfig safetySettings",
	.comment = ""},
    {.prefix = "/openai/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.needs_key = true,
	.known = "model input dimensions encoding_format user",
	.comment = ""},
    {.prefix = "/mistral/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.needs_key = true,
	.known = "model input output_dimension output_dtype",
	.is_fastapi = true,
	.comment = ""},
    {.prefix = "/openrouter/api/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.needs_key = true,
	.known = "model input dimensions encoding_format",
	.comment = ""},
    {.prefix = "/vllm/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.known = "model input dimensions encoding_format",
	.comment = ""},
    {.prefix = "/llamacpp/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.known = "model input dimensions",
	.comment = ""},
    {.prefix = "/lmstudio/v1" STUB_EMBED,
	.embedding = STUB_EMBED_OPENAI,
	.known = "model input dimensions",
	.comment = ""},
    {.prefix = "/gemini/v1beta/models/",
	.embedding = STUB_EMBED_GEMINI,
	.wire = STUB_WIRE_GEMINI,
	.suffix = ":batchEmbedContents",
	.needs_key = true,
	.known = "requests",
	.comment = ""},
    {.prefix = "/ollama/api/embed",
	.embedding = STUB_EMBED_OLLAMA,
	.wire = STUB_WIRE_OLLAMA,
	.known = "model input truncate dimensions options keep_alive",
	.comment = ""},
    {.prefix = "/ollama/api/chat",
	.wire = STUB_WIRE_OLLAMA,
	.known = "model messages stream format options keep_alive think",
	.comment = ""},
};

/* ---- plain answers ---- */

void
stub_reply_release(struct stub_reply *r)
{
	buf_release(&r->bytes);
	free(r->marks);
	*r = (struct stub_reply){0};
}

void
stub_reply_plain(struct stub_reply *r, int status, const char *type,
    const char *headers, const char *body, size_t len)
{
	buf_printf(&r->bytes,
	    "HTTP/1.1 %d Stub\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	    "x-request-id: stub\r\n%s\r\n",
	    status, type, len, headers);
	buf_append(&r->bytes, body, len);
}

static void
stub_refuse(struct arena *a, struct stub_reply *r, enum stub_wire wire,
    int status, const char *message, const char *code)
{
	const char *body = stub_error_body(
	    a, wire, status, message, wire == STUB_WIRE_OPENAI ? code : "");

	stub_reply_plain(r, status, STUB_JSON, "", body, strlen(body));
	r->outcome = arena_printf(a, "refused %d: %s", status, message);
}

static void
stub_refuse_field(struct arena *a, struct stub_reply *r,
    const struct stub_dialect *d, const char *field)
{
	const char *body;

	if (!d->is_fastapi) {
		stub_refuse(a, r, d->wire, 400,
		    arena_printf(a, "unknown parameter: %s", field),
		    "unknown_parameter");
		return;
	}
	body = arena_printf(a,
	    "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\","
	    "\"%s\"],\"msg\":\"Extra inputs are not permitted\"}]}",
	    field);
	stub_reply_plain(r, 422, STUB_JSON, "", body, strlen(body));
	r->outcome = arena_printf(a, "refused 422: %s", field);
}

/* ---- scenarios ---- */

static const struct stub_row *
stub_row_find(const char *name, size_t *len)
{
	const struct stub_row *best = NULL;

	*len = 0;
	for (size_t i = 0; i < ARRAY_LEN(stub_rows); i++) {
		size_t n = strlen(stub_rows[i].name);
		if (str_starts(name, stub_rows[i].name) && n > *len) {
			best = &stub_rows[i];
			*len = n;
		}
	}
	return best;
}

/* false when the words are none of ours: a test has a typing error. */
static bool
stub_script_read(const char *text, struct stub_script *out)
{
	const char *at = strstr(text, "stub-");
	size_t len;

	*out = (struct stub_script){
	    .row = &stub_rows[0], .retry_after = -1, .form = ""};
	if (at == NULL)
		return true;
	at += strlen("stub-");
	out->row = stub_row_find(at, &len);
	if (out->row == NULL)
		return false;
	out->number = out->row->number;
	out->times = out->row->times;
	for (at += len; *at != '\0';) {
		int64_t *to = *at == '@'    ? &out->number
		    : *at == 'x'	    ? &out->times
		    : str_starts(at, "-ra") ? &out->retry_after
					    : NULL;
		if (*at == ':') {
			out->form = at + 1;
			return out->row->kind == STUB_VOTE ||
			    out->row->kind == STUB_ARITH;
		}
		if (to == NULL)
			return false;
		at += to == &out->retry_after ? 3 : 1;
		char *end;
		*to = strtoll(at, &end, 10);
		if (end == at)
			return false;
		at = end;
	}
	return true;
}

/* Gemini says in the body what others say in headers and codes. */
static const char *
stub_google_detail(
    struct arena *a, const struct stub_script *s, int64_t retry_after)
{
	if (s->row->status == 401)
		return "{\"@type\":\"type.googleapis.com/google.rpc."
		       "ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}";
	if (str_eq(s->row->name, "quota"))
		return "{\"@type\":\"type.googleapis.com/google.rpc."
		       "QuotaFailure\",\"violations\":[{\"quotaId\":"
		       "\"GenerateRequestsPerDayPerProject\"}]}";
	if (retry_after >= 0)
		return arena_printf(a,
		    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
		    "\"retryDelay\":\"%llds\"}",
		    (long long)retry_after);
	return "";
}

/* The row's body in the words of another dialect. */
static const char *
stub_fail_body(struct arena *a, const struct stub_dialect *d,
    const struct stub_script *s, const char *body, int *status)
{
	const struct json *j = NULL;
	const char *message = "";
	const char *detail = "";

	if (d->wire == STUB_WIRE_OPENAI || *body == '<' ||
	    json_parse(a, body, strlen(body), NULL, &j, NULL) != ERR_OK)
		return body;
	message = json_get_str(json_get(j, "error"), "message", "");
	if (d->wire == STUB_WIRE_GEMINI) {
		detail = stub_google_detail(a, s, s->retry_after);
		*status = *status == 401 ? 400 : *status == 529 ? 503 : *status;
	}
	if (d->wire == STUB_WIRE_ANTHROPIC && str_eq(s->row->name, "ctx"))
		message = "prompt is too long: 210000 tokens > 200000 maximum";
	return stub_error_body(a, d->wire, *status, message, detail);
}

static void
stub_fail(struct arena *a, struct stub_reply *r, const struct stub_dialect *d,
    const struct stub_script *s, const char *key)
{
	const struct stub_row *row = s->row;
	const char *headers = row->headers;
	const char *body = row->body;
	int status = row->status;

	if (headers == NULL) {
		time_t when = time(NULL) + 1;
		struct tm tm;
		char date[64];
		gmtime_r(&when, &tm);
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		headers = arena_printf(a, "Retry-After: %s\r\n", date);
	}
	if (s->retry_after >= 0 && d->wire != STUB_WIRE_GEMINI)
		headers = arena_printf(a, "%sRetry-After: %lld\r\n", headers,
		    (long long)s->retry_after);
	if (body == NULL)
		body = arena_printf(a,
		    "{\"error\":{\"message\":\"refused: '%s' and %s\"}}", key,
		    key);
	body = stub_fail_body(a, d, s, body, &status);
	stub_reply_plain(r, status, *body == '<' ? "text/html" : STUB_JSON,
	    headers, body, strlen(body));
	r->outcome = arena_printf(a, "status %d", status);
}

/* ---- answers ---- */

/* Length of the next token: a word and the space after it. */
static size_t
stub_token(const char *text)
{
	size_t n = strcspn(text, " \n");

	return n + strspn(text + n, " \n");
}

static int64_t
stub_token_count(const char *text)
{
	int64_t n = 0;

	for (; *text != '\0'; n++)
		text += stub_token(text);
	return n;
}

/* The script ends here; true = nothing more is sent. */
static bool
stub_stream_breaks(
    struct stub_stream *st, const struct stub_script *s, int64_t sent)
{
	if (sent < s->number)
		return false;
	switch (s->row->kind) {
	case STUB_IDLE:
		st->r->end = STUB_STALL;
		return true;
	case STUB_CUT:
		st->r->end = STUB_FIN;
		st->r->outcome = "cut";
		return true;
	case STUB_RST:
		stub_pause(st->r, STUB_CUT_WAIT_MS);
		st->r->end = STUB_RESET;
		st->r->outcome = "reset";
		return true;
	case STUB_BADJSON:
		stub_stream_event(
		    st, "{\"choices\":[{\"delta\":{\"content\":\"br");
		return false;
	case STUB_MIDSTREAM:
		stub_stream_error(st);
		st->r->end = STUB_STALL;
		st->r->outcome = "error in the stream";
		return true;
	case STUB_OK:
	case STUB_SLOW:
	case STUB_SLOW_TTFB:
	case STUB_REFUSE:
	case STUB_SAFETY:
	case STUB_GOAWAY:
	case STUB_TOOLONG:
	case STUB_ARITH:
	case STUB_LENGTH:
	case STUB_NOUSAGE:
	case STUB_SPLIT:
	case STUB_BIGLINE:
	case STUB_NOOPTS:
	case STUB_VOTE:
	case STUB_WHOLE:
	case STUB_NOFINISH:
	case STUB_FLOOD:
	case STUB_EMBED_FLAW:
	case STUB_FAIL:
		break;
	}
	return false;
}

static bool
stub_stream_words(
    struct stub_stream *st, const struct stub_script *s, const char *text)
{
	int64_t sent = 0;

	if (s->row->kind == STUB_BIGLINE) {
		stub_stream_text(st, text, strlen(text), STUB_PADDING);
		return true;
	}
	while (s->row->kind == STUB_FLOOD &&
	    st->r->bytes.len < STUB_FLOOD_BYTES + STUB_FLOOD_BYTES / 4)
		stub_stream_text(st, text, strlen(text), 0);
	for (size_t n; *text != '\0'; text += n, sent++) {
		if (stub_stream_breaks(st, s, sent))
			return false;
		if (s->row->kind == STUB_SLOW)
			stub_pause(st->r, s->number);
		n = stub_token(text);
		stub_stream_text(st, text, n, 0);
	}
	return !stub_stream_breaks(st, s, s->number);
}

static enum stub_finish
stub_finish_of(enum stub_kind kind)
{
	return kind == STUB_NOFINISH ? STUB_FINISH_NONE
	    : kind == STUB_LENGTH    ? STUB_FINISH_LENGTH
	    : kind == STUB_REFUSE    ? STUB_FINISH_REFUSAL
	    : kind == STUB_SAFETY    ? STUB_FINISH_SAFETY
				     : STUB_FINISH_STOP;
}

/* Does the request want a stream? */
static bool
stub_wants_stream(enum stub_wire wire, const struct json *j)
{
	return wire == STUB_WIRE_GEMINI ||
	    json_get_bool(j, "stream", wire == STUB_WIRE_OLLAMA);
}

static void
stub_say(struct stub_reply *r, const struct stub_dialect *d,
    const struct stub_script *s, const struct json *j, size_t body_len,
    int64_t seen, const char *text)
{
	enum stub_kind kind = s->row->kind;
	bool is_stream = stub_wants_stream(d->wire, j) && kind != STUB_WHOLE;
	struct stub_stream st = {.r = r,
	    .wire = d->wire,
	    .model = r->model,
	    .comment = d->comment,
	    .tokens_in = (int64_t)body_len / 4,
	    .tokens_out = stub_token_count(text),
	    .ttfb_ms =
		kind == STUB_SLOW_TTFB && (s->times == 0 || seen < s->times)
		? s->number
		: 0,
	    .is_chunked = kind != STUB_CUT,
	    .is_noisy = kind == STUB_SPLIT,
	    .has_cost = d->has_cost,
	    .has_usage = kind != STUB_NOUSAGE &&
		(!is_stream || d->wire != STUB_WIRE_OPENAI || d->is_fastapi ||
		    json_get_bool(json_get(j, "stream_options"),
			"include_usage", false))};

	r->tokens_in = st.tokens_in;
	r->tokens_out = st.tokens_out;
	if (!is_stream) {
		stub_whole(&st, text, stub_finish_of(kind));
		return;
	}
	r->is_split = kind == STUB_SPLIT;
	stub_stream_open(&st);
	if (kind != STUB_REFUSE && !stub_stream_words(&st, s, text))
		return;
	stub_stream_close(&st, stub_finish_of(kind), text);
}

/* The last user message; "" when it is not plain text. */
static const char *
stub_prompt(enum stub_wire wire, const struct json *j)
{
	bool is_gemini = wire == STUB_WIRE_GEMINI;
	const struct json *messages =
	    json_get(j, is_gemini ? "contents" : "messages");
	const char *text = "";

	for (size_t i = 0; i < json_len(messages); i++) {
		const struct json *m = json_at(messages, i);
		if (!str_eq(json_get_str(m, "role", ""), "user"))
			continue;
		if (is_gemini)
			m = json_at(json_get(m, "parts"), 0);
		text = json_get_str(m, is_gemini ? "text" : "content", "");
	}
	return text;
}

static int64_t
stub_seed(enum stub_wire wire, const struct json *j)
{
	const struct json *from = wire == STUB_WIRE_GEMINI
	    ? json_get(j, "generationConfig")
	    : wire == STUB_WIRE_OLLAMA ? json_get(j, "options")
				       : j;

	return json_get_int(from, "seed", 0);
}

/* What decides what is said: the same words in every dialect. */
static const char *
stub_sha_text(struct arena *a, enum stub_wire wire, const struct json *j,
    const char *prompt)
{
	return arena_printf(a, "%s%lld", prompt, (long long)stub_seed(wire, j));
}

/* The script's troubles that are no answer; true = there was one. */
static bool
stub_trouble(struct arena *a, const struct stub_request *q,
    const struct stub_dialect *d, const struct json *j,
    const struct stub_script *s, struct stub_reply *r)
{
	bool is_time = s->times == 0 || q->seen < s->times;
	const char *key = *q->api_key != '\0' ? q->api_key
	    : *q->google_key != '\0'	      ? q->google_key
					      : q->authorization;

	if (s->row->kind == STUB_FAIL && is_time) {
		stub_fail(a, r, d, s, key);
	} else if (s->row->kind == STUB_GOAWAY && is_time) {
		r->end = STUB_FIN;
		r->outcome = "gone away";
	} else if (s->row->kind == STUB_TOOLONG &&
	    q->body_len > (size_t)s->number) {
		stub_refuse(a, r, d->wire, 400,
		    "the prompt is too long for the model's context window",
		    "context_length_exceeded");
	} else if (s->row->kind == STUB_NOOPTS &&
	    json_get(j, "stream_options") != NULL) {
		stub_refuse(a, r, d->wire, 400,
		    "unknown parameter: stream_options", "unknown_parameter");
	} else {
		return false;
	}
	return true;
}

static void
stub_play_embed(struct arena *a, const struct stub_request *q,
    const struct stub_dialect *d, const struct json *j,
    const struct stub_script *s, struct stub_reply *r)
{
	enum stub_embed_flaw flaw = s->row->kind == STUB_EMBED_FLAW
	    ? (enum stub_embed_flaw)s->number
	    : STUB_EMBED_WELL;

	r->task = "embed";
	if (stub_trouble(a, q, d, j, s, r))
		return;
	const char *body = stub_embed_body(a, d->embedding, j, r->model, flaw);
	if (s->row->kind == STUB_SLOW_TTFB)
		stub_pause(r, s->number);
	stub_reply_plain(r, 200, STUB_JSON, "", body, strlen(body));
	r->outcome = "ok";
}

static void
stub_play(struct arena *a, const struct stub_request *q,
    const struct stub_dialect *d, const struct json *j,
    const struct stub_script *s, struct stub_reply *r)
{
	const char *prompt = stub_prompt(d->wire, j);
	char sha[ID_HASH_SIZE];

	r->task = stub_task(prompt);
	if (stub_trouble(a, q, d, j, s, r))
		return;
	const char *said = stub_sha_text(a, d->wire, j, prompt);
	id_sha256(said, strlen(said), sha);
	const char *text = s->row->kind == STUB_ARITH
	    ? stub_arith(a, r->task, prompt, stub_seed(d->wire, j), s->form)
	    : stub_answer(a, r->task, prompt, sha, s->form);
	if (s->row->kind == STUB_LENGTH)
		text = arena_strndup(a, text,
		    str_utf8_cut(text, strlen(text), strlen(text) / 2));
	if (s->row->kind == STUB_REFUSE)
		text = STUB_REFUSAL;
	r->outcome = "ok";
	stub_say(r, d, s, j, q->body_len, q->seen, text);
}

/* model: Gemini's, which stands in the path. */
static const struct stub_dialect *
stub_dialect_find(struct arena *a, const char *path, const char **model)
{
	for (size_t i = 0; i < ARRAY_LEN(stub_dialects); i++) {
		const struct stub_dialect *d = &stub_dialects[i];
		const char *rest = path + strlen(d->prefix);
		if (!str_starts(path, d->prefix))
			continue;
		if (d->suffix == NULL && *rest == '\0')
			return d;
		if (d->suffix != NULL && strlen(rest) > strlen(d->suffix) &&
		    str_eq(
			rest + strlen(rest) - strlen(d->suffix), d->suffix)) {
			*model = arena_strndup(
			    a, rest, strlen(rest) - strlen(d->suffix));
			return d;
		}
	}
	return NULL;
}

/* What is missing of the key and its company; NULL = nothing. */
static const char *
stub_check_head(
    const struct stub_dialect *d, const struct stub_request *q, int *status)
{
	const char *key = d->wire == STUB_WIRE_ANTHROPIC ? q->api_key
	    : d->wire == STUB_WIRE_GEMINI		 ? q->google_key
							 : q->authorization;

	*status = 401;
	if (d->needs_key &&
	    (*key == '\0' ||
		(key == q->authorization &&
		    (!str_starts(key, "Bearer ") || strlen(key) < 8))))
		return "no key given";
	*status = 400;
	if (d->wire == STUB_WIRE_ANTHROPIC && !str_eq(q->version, "2023-06-01"))
		return "anthropic-version: header is required";
	*status = 415;
	return str_starts(q->content_type, STUB_JSON) ? NULL : "not JSON";
}

/* %3A and the like, as Gemini's paths have them. */
static const char *
stub_unescape(struct arena *a, const char *text)
{
	char *out = arena_strdup(a, text);
	char *to = out;

	for (const char *p = out; *p != '\0'; p++) {
		char digits[3] = {0};
		if (*p == '%' && p[1] != '\0' && p[2] != '\0') {
			memcpy(digits, p + 1, 2);
			*to++ = (char)strtol(digits, NULL, 16);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return out;
}

void
stub_reply_make(
    struct arena *a, const struct stub_request *q, struct stub_reply *r)
{
	const char *model = NULL;
	const struct stub_dialect *d = stub_dialect_find(a, q->path, &model);
	const enum stub_wire wire = d != NULL ? d->wire : STUB_WIRE_OPENAI;
	const struct json_limits limits = {
	    .max_bytes = STUB_REPLY_MAX, .max_depth = 20};
	const struct json *j = NULL;
	const char *wrong = NULL;
	struct stub_script s;
	int status;

	*r = (struct stub_reply){
	    .outcome = "", .task = "", .model = "", .scenario = ""};
	buf_init(&r->bytes, STUB_REPLY_MAX);
	if (d == NULL) {
		stub_refuse(a, r, wire, 404, "no such path", "not_found");
	} else if (!str_eq(q->method, "POST")) {
		stub_refuse(a, r, wire, 405, "POST it", "method_not_allowed");
	} else if ((wrong = stub_check_head(d, q, &status)) != NULL) {
		stub_refuse(a, r, wire, status, wrong, "invalid_api_key");
	} else if (json_parse(a, q->body, q->body_len, &limits, &j, NULL) !=
	    ERR_OK) {
		stub_refuse(
		    a, r, wire, 400, "the body is not JSON", "bad_json");
	} else if ((wrong = d->embedding != STUB_EMBED_NONE
			   ? stub_embed_check(d->embedding, j,
				 model != NULL ? stub_unescape(a, model) : "")
			   : stub_check(wire, j)) != NULL) {
		stub_refuse(a, r, wire, 400, wrong, "invalid_value");
	} else if ((wrong = stub_unknown_field(d->known, j)) != NULL) {
		stub_refuse_field(a, r, d, wrong);
	} else {
		r->model = model != NULL ? stub_unescape(a, model)
					 : json_get_str(j, "model", "");
		r->scenario = *q->scenario != '\0' ? q->scenario : r->model;
		if (!stub_script_read(r->scenario, &s))
			stub_refuse(a, r, wire, 404,
			    "no such model or scenario", "model_not_found");
		else if (d->embedding != STUB_EMBED_NONE)
			stub_play_embed(a, q, d, j, &s, r);
		else
			stub_play(a, q, d, j, &s, r);
	}
}
