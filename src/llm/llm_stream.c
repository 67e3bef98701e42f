/* SPDX-License-Identifier: MIT
 *
 * What all providers' answers have in common: JSON events, errors in the
 * middle, reasons for the end.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"

#define STREAM_ANSWER_MAX (8u << 20)
#define STREAM_DEPTH	  24
#define STREAM_ARENA	  896 /* of one event; a size that malloc keeps ready */

void
llm_stream_reset(struct llm_stream *s)
{
	buf_clear(&s->text);
	s->has_finish = false;
	s->is_done = false;
	s->is_truncated = false;
	s->tokens_in = -1;
	s->tokens_out = -1;
	s->cost_udollar = -1;
	s->error = LLM_ERR_NONE;
	s->message[0] = '\0';
}

void
llm_stream_fail(
    struct llm_stream *s, enum llm_error_class error, const char *message)
{
	s->error = error;
	llm_error_safe(s->message, sizeof(s->message), message);
}

void
llm_stream_text(struct llm_stream *s, const struct json *value)
{
	size_t len = 0;
	const char *text = json_str(value, &len);

	if (text == NULL || len == 0)
		return;
	buf_append(&s->text, text, len);
	if (s->on_text != NULL && !s->text.is_overflowed)
		s->on_text(s->arg, text, len);
}

/* Reasons other than a plain end: error NONE = the length limit. */
static const struct {
	const char *reason;
	enum llm_error_class error;
	const char *text;
} stream_ends[] = {
    {"length", LLM_ERR_NONE, ""},
    {"model_length", LLM_ERR_NONE, ""},
    {"max_tokens", LLM_ERR_NONE, ""},
    {"model_context_window_exceeded", LLM_ERR_NONE, ""},
    {"MAX_TOKENS", LLM_ERR_NONE, ""},
    {"content_filter", LLM_ERR_REFUSAL,
	"the provider's content filter stopped the answer"},
    {"refusal", LLM_ERR_REFUSAL, "the model refused"},
    {"SAFETY", LLM_ERR_REFUSAL, "the provider stopped the answer: safety"},
    {"RECITATION", LLM_ERR_REFUSAL,
	"the provider stopped the answer: recitation"},
    {"BLOCKLIST", LLM_ERR_REFUSAL,
	"the provider stopped the answer: blocked words"},
    {"PROHIBITED_CONTENT", LLM_ERR_REFUSAL,
	"the provider stopped the answer: prohibited content"},
    {"SPII", LLM_ERR_REFUSAL, "the provider stopped the answer: personal data"},
    {"LANGUAGE", LLM_ERR_REFUSAL, "the provider stopped the answer: language"},
    {"OTHER", LLM_ERR_SERVER,
	"the provider stopped the answer and names no reason"},
    {"MALFORMED_FUNCTION_CALL", LLM_ERR_SERVER,
	"the model tried to call a function"},
    {"error", LLM_ERR_SERVER, "the provider ended the answer with an error"},
    {"insufficient_system_resource", LLM_ERR_OVERLOAD,
	"the provider ran out of resources"},
    {"load", LLM_ERR_OVERLOAD, "the model was only being loaded"},
    {"unload", LLM_ERR_OVERLOAD, "the model was being unloaded"},
};

void
llm_stream_finish(struct llm_stream *s, const char *reason)
{
	if (reason == NULL)
		return;
	s->has_finish = true;
	for (size_t i = 0; i < ARRAY_LEN(stream_ends); i++) {
		if (!str_eq(reason, stream_ends[i].reason))
			continue;
		if (stream_ends[i].error == LLM_ERR_NONE)
			s->is_truncated = true;
		else
			llm_stream_fail(
			    s, stream_ends[i].error, stream_ends[i].text);
	}
}

void
llm_stream_event(const struct llm_provider *provider, struct llm_stream *s,
    const char *data, size_t len)
{
	const struct json_limits limits = {
	    .max_bytes = STREAM_ANSWER_MAX, .max_depth = STREAM_DEPTH};
	struct llm_failure failure;
	const struct json *j;

	if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
		s->is_done = true;
		return;
	}
	struct arena *a = arena_new(STREAM_ARENA);
	if (json_parse(a, data, len, &limits, &j, NULL) != ERR_OK) {
		llm_stream_fail(s, LLM_ERR_SERVER,
		    "the provider sent an event that is not JSON");
	} else if (json_kind(json_get(j, "error")) != JSON_NULL) {
		llm_error_event(&failure, j);
		llm_stream_fail(s, failure.error, failure.message);
	} else {
		provider->event(s, j);
	}
	arena_free(&a);
}
