/* SPDX-License-Identifier: MIT
 *
 * How the stub's answers look in each provider's dialect: events of a stream,
 * whole answers, errors.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define WIRE_CREATED 1767225600
#define WIRE_DATE    "2026-01-01T00:00:00Z"

/* ---- framing ---- */

void
stub_pause(struct stub_reply *r, int64_t ms)
{
	r->marks =
	    mem_realloc_array(r->marks, r->n_marks + 1, sizeof(*r->marks));
	r->marks[r->n_marks++] =
	    (struct stub_mark){.at = r->bytes.len, .pause_ms = ms};
}

static void
wire_write(struct stub_stream *st, const struct buf *b)
{
	if (st->is_chunked)
		buf_printf(&st->r->bytes, "%zx\r\n", b->len);
	buf_append(&st->r->bytes, b->data, b->len);
	if (st->is_chunked)
		buf_puts(&st->r->bytes, "\r\n");
}

/* type: Anthropic names its events twice, "" = no name. */
static void
wire_event_typed(struct stub_stream *st, const char *type, const char *data)
{
	const char *eol =
	    st->is_noisy || st->wire == STUB_WIRE_GEMINI ? "\r\n" : "\n";
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	if (st->wire == STUB_WIRE_OLLAMA) {
		buf_printf(&b, "%s%s%s", st->is_noisy ? eol : "", data, eol);
		wire_write(st, &b);
		buf_release(&b);
		return;
	}
	if (*st->comment != '\0')
		buf_printf(&b, ": %s%s%s", st->comment, eol, eol);
	if (st->is_noisy && st->wire == STUB_WIRE_ANTHROPIC)
		buf_printf(&b,
		    "event: ping%sdata: {\"type\":\"ping\"}%s%s"
		    "event: news%sdata: {\"type\":\"news\",\"n\":1}%s%s",
		    eol, eol, eol, eol, eol, eol);
	if (st->is_noisy)
		buf_printf(&b, ": still there%s%sid: %lld%sretry: 10%sodd%s",
		    eol, eol, (long long)st->count, eol, eol, eol);
	if (*type != '\0')
		buf_printf(&b, "event: %s%s", type, eol);
	buf_printf(
	    &b, "data:%s%s%s%s", st->is_noisy ? "" : " ", data, eol, eol);
	st->count++;
	wire_write(st, &b);
	buf_release(&b);
}

void
stub_stream_event(struct stub_stream *st, const char *data)
{
	wire_event_typed(st, "", data);
}

static void
wire_begin(struct json_w *w, struct buf *b)
{
	buf_init(b, STUB_REPLY_MAX);
	json_w_init(w, b);
	json_w_begin(w, NULL);
}

static void
wire_end(
    struct stub_stream *st, struct json_w *w, struct buf *b, const char *type)
{
	json_w_end(w);
	wire_event_typed(st, type, buf_text(b));
	buf_release(b);
}

static void
wire_padding(struct json_w *w, const char *key, size_t n)
{
	char *filler = mem_alloc(n);

	memset(filler, '.', n);
	json_w_strn(w, key, filler, n);
	free(filler);
}

/* ---- OpenAI ---- */

static void
openai_usage(struct json_w *w, const struct stub_stream *st)
{
	json_w_begin(w, "usage");
	json_w_int(w, "prompt_tokens", st->tokens_in);
	json_w_int(w, "completion_tokens", st->tokens_out);
	json_w_int(w, "total_tokens", st->tokens_in + st->tokens_out);
	if (st->has_cost)
		json_w_num(w, "cost", STUB_COST_DOLLARS);
	json_w_end(w);
}

static void
openai_head(struct json_w *w, const char *object, const char *model)
{
	json_w_str(w, "id", "chatcmpl-stub");
	json_w_str(w, "object", object);
	json_w_int(w, "created", WIRE_CREATED);
	json_w_str(w, "model", model);
}

/* delta {key: text}, or none; finish NULL = goes on. */
static void
openai_chunk(struct stub_stream *st, const char *key, const char *text,
    size_t len, const char *finish, size_t padding)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	openai_head(&w, "chat.completion.chunk", st->model);
	json_w_begin_array(&w, "choices");
	json_w_begin(&w, NULL);
	json_w_int(&w, "index", 0);
	json_w_begin(&w, "delta");
	if (key != NULL)
		json_w_strn(&w, key, text, len);
	if (padding > 0)
		wire_padding(&w, "reasoning_content", padding);
	json_w_end(&w);
	json_w_str(&w, "finish_reason", finish);
	json_w_end(&w);
	json_w_end_array(&w);
	if (st->has_usage)
		json_w_null(&w, "usage");
	wire_end(st, &w, &b, "");
}

static const char *
openai_finish(enum stub_finish f)
{
	switch (f) {
	case STUB_FINISH_STOP:
	case STUB_FINISH_REFUSAL:
		return "stop";
	case STUB_FINISH_LENGTH:
		return "length";
	case STUB_FINISH_SAFETY:
		return "content_filter";
	case STUB_FINISH_NONE:
		break;
	}
	return NULL;
}

static void
openai_close(struct stub_stream *st, enum stub_finish f)
{
	struct json_w w;
	struct buf b;

	if (f != STUB_FINISH_NONE)
		openai_chunk(st, NULL, NULL, 0, openai_finish(f), 0);
	if (st->has_usage) {
		wire_begin(&w, &b);
		openai_head(&w, "chat.completion.chunk", st->model);
		json_w_begin_array(&w, "choices");
		json_w_end_array(&w);
		openai_usage(&w, st);
		wire_end(st, &w, &b, "");
	}
	stub_stream_event(st, "[DONE]");
}

static void
openai_whole(struct json_w *w, const struct stub_stream *st, const char *text,
    enum stub_finish f)
{
	bool is_refused = f == STUB_FINISH_REFUSAL;

	openai_head(w, "chat.completion", st->model);
	json_w_begin_array(w, "choices");
	json_w_begin(w, NULL);
	json_w_int(w, "index", 0);
	json_w_begin(w, "message");
	json_w_str(w, "role", "assistant");
	json_w_str(w, "content", is_refused ? NULL : text);
	json_w_str(w, "refusal", is_refused ? text : NULL);
	json_w_end(w);
	json_w_str(w, "finish_reason", openai_finish(f));
	json_w_end(w);
	json_w_end_array(w);
	if (st->has_usage)
		openai_usage(w, st);
}

/* ---- Anthropic ---- */

static void
anthropic_usage(struct json_w *w, const struct stub_stream *st, int64_t out)
{
	if (!st->has_usage)
		return;
	json_w_begin(w, "usage");
	/* A part of the prompt came out of the cache. */
	json_w_int(w, "input_tokens", st->tokens_in - st->tokens_in / 2);
	json_w_int(w, "cache_creation_input_tokens", 0);
	json_w_int(w, "cache_read_input_tokens", st->tokens_in / 2);
	json_w_int(w, "output_tokens", out);
	json_w_end(w);
}

static const char *
anthropic_finish(enum stub_finish f)
{
	switch (f) {
	case STUB_FINISH_STOP:
		return "end_turn";
	case STUB_FINISH_LENGTH:
		return "max_tokens";
	case STUB_FINISH_REFUSAL:
	case STUB_FINISH_SAFETY:
		return "refusal";
	case STUB_FINISH_NONE:
		break;
	}
	return NULL;
}

static void
anthropic_open(struct stub_stream *st)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	json_w_str(&w, "type", "message_start");
	json_w_begin(&w, "message");
	json_w_str(&w, "id", "msg_stub");
	json_w_str(&w, "type", "message");
	json_w_str(&w, "role", "assistant");
	json_w_str(&w, "model", st->model);
	json_w_begin_array(&w, "content");
	json_w_end_array(&w);
	json_w_null(&w, "stop_reason");
	anthropic_usage(&w, st, 1);
	json_w_end(&w);
	wire_end(st, &w, &b, "message_start");
	wire_event_typed(st, "content_block_start",
	    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
	    "{\"type\":\"text\",\"text\":\"\"}}");
	wire_event_typed(st, "ping", "{\"type\":\"ping\"}");
}

static void
anthropic_delta(struct stub_stream *st, const char *type, const char *key,
    const char *text, size_t len, size_t padding)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	json_w_str(&w, "type", "content_block_delta");
	json_w_int(&w, "index", 0);
	json_w_begin(&w, "delta");
	json_w_str(&w, "type", type);
	if (padding > 0)
		wire_padding(&w, key, padding);
	else
		json_w_strn(&w, key, text, len);
	json_w_end(&w);
	wire_end(st, &w, &b, "content_block_delta");
}

static void
anthropic_close(struct stub_stream *st, enum stub_finish f)
{
	struct json_w w;
	struct buf b;

	wire_event_typed(st, "content_block_stop",
	    "{\"type\":\"content_block_stop\",\"index\":0}");
	if (f != STUB_FINISH_NONE) {
		wire_begin(&w, &b);
		json_w_str(&w, "type", "message_delta");
		json_w_begin(&w, "delta");
		json_w_str(&w, "stop_reason", anthropic_finish(f));
		json_w_null(&w, "stop_sequence");
		json_w_end(&w);
		if (st->has_usage) {
			json_w_begin(&w, "usage");
			json_w_int(&w, "output_tokens", st->tokens_out);
			json_w_end(&w);
		}
		wire_end(st, &w, &b, "message_delta");
	}
	wire_event_typed(st, "message_stop", "{\"type\":\"message_stop\"}");
}

static void
anthropic_whole(struct json_w *w, const struct stub_stream *st,
    const char *text, enum stub_finish f)
{
	json_w_str(w, "id", "msg_stub");
	json_w_str(w, "type", "message");
	json_w_str(w, "role", "assistant");
	json_w_str(w, "model", st->model);
	json_w_begin_array(w, "content");
	json_w_begin(w, NULL);
	json_w_str(w, "type", "thinking");
	json_w_str(w, "thinking", "Not a part of the answer.");
	json_w_end(w);
	json_w_begin(w, NULL);
	json_w_str(w, "type", "text");
	json_w_str(w, "text", text);
	json_w_end(w);
	json_w_end_array(w);
	json_w_str(w, "stop_reason", anthropic_finish(f));
	anthropic_usage(w, st, st->tokens_out);
}

/* ---- Gemini ---- */

static const char *
gemini_finish(enum stub_finish f)
{
	switch (f) {
	case STUB_FINISH_STOP:
		return "STOP";
	case STUB_FINISH_LENGTH:
		return "MAX_TOKENS";
	case STUB_FINISH_SAFETY:
		return "SAFETY";
	case STUB_FINISH_REFUSAL:
	case STUB_FINISH_NONE:
		break;
	}
	return NULL;
}

/* Some of the output is thinking, which is counted by itself. */
static void
gemini_usage(struct json_w *w, const struct stub_stream *st)
{
	if (!st->has_usage)
		return;
	json_w_begin(w, "usageMetadata");
	json_w_int(w, "promptTokenCount", st->tokens_in);
	json_w_int(
	    w, "candidatesTokenCount", st->tokens_out - st->tokens_out / 3);
	json_w_int(w, "thoughtsTokenCount", st->tokens_out / 3);
	json_w_int(w, "totalTokenCount", st->tokens_in + st->tokens_out);
	json_w_end(w);
}

static void
gemini_inside(struct json_w *w, const struct stub_stream *st, const char *text,
    size_t len, const char *finish, bool is_last, size_t padding)
{
	json_w_begin_array(w, "candidates");
	json_w_begin(w, NULL);
	json_w_begin(w, "content");
	json_w_str(w, "role", "model");
	json_w_begin_array(w, "parts");
	if (padding > 0) {
		json_w_begin(w, NULL);
		wire_padding(w, "text", padding);
		json_w_bool(w, "thought", true);
		json_w_end(w);
	}
	if (len > 0) {
		json_w_begin(w, NULL);
		json_w_strn(w, "text", text, len);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_end(w);
	if (finish != NULL)
		json_w_str(w, "finishReason", finish);
	json_w_int(w, "index", 0);
	json_w_end(w);
	json_w_end_array(w);
	if (is_last)
		gemini_usage(w, st);
	json_w_str(w, "modelVersion", st->model);
}

static void
gemini_event(struct stub_stream *st, const char *text, size_t len,
    const char *finish, bool is_last, size_t padding)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	gemini_inside(&w, st, text, len, finish, is_last, padding);
	wire_end(st, &w, &b, "");
}

static void
gemini_close(struct stub_stream *st, enum stub_finish f)
{
	if (f == STUB_FINISH_REFUSAL)
		stub_stream_event(
		    st, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}");
	else
		gemini_event(st, "", 0, gemini_finish(f), true, 0);
}

/* ---- Ollama ---- */

static void
ollama_inside(struct json_w *w, const struct stub_stream *st, const char *text,
    size_t len, enum stub_finish f, bool is_last, size_t padding)
{
	json_w_str(w, "model", st->model);
	json_w_str(w, "created_at", WIRE_DATE);
	json_w_begin(w, "message");
	json_w_str(w, "role", "assistant");
	json_w_strn(w, "content", text, len);
	if (padding > 0)
		wire_padding(w, "thinking", padding);
	json_w_end(w);
	json_w_bool(w, "done", is_last);
	if (!is_last)
		return;
	json_w_str(
	    w, "done_reason", f == STUB_FINISH_LENGTH ? "length" : "stop");
	json_w_int(w, "total_duration", 1000000);
	if (st->has_usage) {
		json_w_int(w, "prompt_eval_count", st->tokens_in);
		json_w_int(w, "eval_count", st->tokens_out);
	}
}

static void
ollama_line(struct stub_stream *st, const char *text, size_t len,
    enum stub_finish f, bool is_last, size_t padding)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	ollama_inside(&w, st, text, len, f, is_last, padding);
	wire_end(st, &w, &b, "");
}

/* ---- all of them ---- */

void
stub_stream_open(struct stub_stream *st)
{
	buf_printf(&st->r->bytes,
	    "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n",
	    st->wire == STUB_WIRE_OLLAMA ? "application/x-ndjson"
					 : "text/event-stream; charset=utf-8",
	    st->is_chunked ? "Transfer-Encoding: chunked\r\n"
			   : "Connection: close\r\n");
	if (st->ttfb_ms > 0)
		stub_pause(st->r, st->ttfb_ms);
	if (st->wire == STUB_WIRE_OPENAI)
		openai_chunk(
		    st, "role", "assistant", strlen("assistant"), NULL, 0);
	else if (st->wire == STUB_WIRE_ANTHROPIC)
		anthropic_open(st);
}

void
stub_stream_text(
    struct stub_stream *st, const char *text, size_t len, size_t padding)
{
	switch (st->wire) {
	case STUB_WIRE_OPENAI:
		openai_chunk(st, "content", text, len, NULL, padding);
		break;
	case STUB_WIRE_ANTHROPIC:
		if (padding > 0)
			anthropic_delta(
			    st, "thinking_delta", "thinking", "", 0, padding);
		anthropic_delta(st, "text_delta", "text", text, len, 0);
		break;
	case STUB_WIRE_GEMINI:
		gemini_event(st, text, len, NULL, false, padding);
		break;
	case STUB_WIRE_OLLAMA:
		ollama_line(st, text, len, STUB_FINISH_NONE, false, padding);
		break;
	}
}

void
stub_stream_close(
    struct stub_stream *st, enum stub_finish f, const char *refusal)
{
	switch (st->wire) {
	case STUB_WIRE_OPENAI:
		if (f == STUB_FINISH_REFUSAL)
			openai_chunk(
			    st, "refusal", refusal, strlen(refusal), NULL, 0);
		openai_close(st, f);
		break;
	case STUB_WIRE_ANTHROPIC:
		anthropic_close(st, f);
		break;
	case STUB_WIRE_GEMINI:
		gemini_close(st, f);
		break;
	case STUB_WIRE_OLLAMA:
		if (f != STUB_FINISH_NONE)
			ollama_line(st, "", 0, f, true, 0);
		break;
	}
	if (st->is_chunked)
		buf_puts(&st->r->bytes, "0\r\n\r\n");
}

void
stub_stream_error(struct stub_stream *st)
{
	switch (st->wire) {
	case STUB_WIRE_OPENAI:
		stub_stream_event(st,
		    "{\"error\":{\"type\":\"overloaded_error\",\"message\":"
		    "\"overloaded in the middle\"}}");
		break;
	case STUB_WIRE_ANTHROPIC:
		wire_event_typed(st, "error",
		    "{\"type\":\"error\",\"error\":{\"type\":"
		    "\"overloaded_error\",\"message\":\"Overloaded\"}}");
		break;
	case STUB_WIRE_GEMINI:
		stub_stream_event(st,
		    "{\"error\":{\"code\":503,\"message\":\"overloaded\","
		    "\"status\":\"UNAVAILABLE\"}}");
		break;
	case STUB_WIRE_OLLAMA:
		stub_stream_event(st, "{\"error\":\"the runner has died\"}");
		break;
	}
}

void
stub_whole(struct stub_stream *st, const char *text, enum stub_finish f)
{
	struct json_w w;
	struct buf b;

	wire_begin(&w, &b);
	switch (st->wire) {
	case STUB_WIRE_OPENAI:
		openai_whole(&w, st, text, f);
		break;
	case STUB_WIRE_ANTHROPIC:
		anthropic_whole(&w, st, text, f);
		break;
	case STUB_WIRE_GEMINI:
		gemini_inside(
		    &w, st, text, strlen(text), gemini_finish(f), true, 0);
		break;
	case STUB_WIRE_OLLAMA:
		ollama_inside(&w, st, text, strlen(text), f, true, 0);
		break;
	}
	json_w_end(&w);
	stub_reply_plain(st->r, 200, STUB_JSON, "", buf_text(&b), b.len);
	buf_release(&b);
}

/* ---- errors ---- */

static const struct {
	int status;
	const char *anthropic;
	const char *gemini;
} wire_errors[] = {
    {400, "invalid_request_error", "INVALID_ARGUMENT"},
    {401, "authentication_error", "UNAUTHENTICATED"},
    {402, "billing_error", "FAILED_PRECONDITION"},
    {403, "permission_error", "PERMISSION_DENIED"},
    {404, "not_found_error", "NOT_FOUND"},
    {413, "request_too_large", "INVALID_ARGUMENT"},
    {429, "rate_limit_error", "RESOURCE_EXHAUSTED"},
    {500, "api_error", "INTERNAL"},
    {502, "api_error", "INTERNAL"},
    {503, "overloaded_error", "UNAVAILABLE"},
    {504, "timeout_error", "DEADLINE_EXCEEDED"},
    {529, "overloaded_error", "UNAVAILABLE"},
};

const char *
stub_error_body(struct arena *a, enum stub_wire wire, int status,
    const char *message, const char *detail)
{
	const char *anthropic = "invalid_request_error";
	const char *gemini = "INVALID_ARGUMENT";
	struct json_w w;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(wire_errors); i++)
		if (wire_errors[i].status == status) {
			anthropic = wire_errors[i].anthropic;
			gemini = wire_errors[i].gemini;
		}
	wire_begin(&w, &b);
	if (wire == STUB_WIRE_OLLAMA) {
		json_w_str(&w, "error", message);
	} else {
		if (wire == STUB_WIRE_ANTHROPIC)
			json_w_str(&w, "type", "error");
		json_w_begin(&w, "error");
		json_w_str(&w, "message", message);
		if (wire == STUB_WIRE_ANTHROPIC) {
			json_w_str(&w, "type", anthropic);
		} else if (wire == STUB_WIRE_GEMINI) {
			json_w_int(&w, "code", status);
			json_w_str(&w, "status", gemini);
			json_w_begin_array(&w, "details");
			if (*detail != '\0')
				json_w_raw(&w, NULL, detail);
			json_w_end_array(&w);
		} else {
			json_w_str(&w, "type", "invalid_request_error");
			json_w_null(&w, "param");
			json_w_str(&w, "code", detail);
		}
		json_w_end(&w);
	}
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}
