/* SPDX-License-Identifier: MIT
 *
 * OpenAI chat completions and its dialects: request bodies, stream events,
 * errors. Pure. Source: engine notes 2.9 to 2.11; the dialects were tried
 * against the stub server only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "llm/llm_provider.h"

#define OPENAI_EVENT_MAX (2u << 20)
#define OPENAI_DEPTH	 24

static void
openai_message(struct json_w *w, const char *role, const char *content)
{
	json_w_begin(w, NULL);
	json_w_str(w, "role", role);
	json_w_str(w, "content", content);
	json_w_end(w);
}

void
llm_openai_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused)
{
	const struct llm_dialect_row *d =
	    llm_dialect(llm_agent_dialect(agent->row));
	struct arena *a = arena_new(0);
	struct json_w w;
	const char *limit = d->limit_field;

	if (refused->limit_renamed)
		limit = str_eq(limit, "max_tokens") ? "max_completion_tokens"
						    : "max_tokens";
	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model",
	    str_is_empty(agent->model) ? agent->row->model : agent->model);
	json_w_begin_array(&w, "messages");
	openai_message(&w, "system", r->system);
	openai_message(&w, "user", llm_prompt_render(a, r));
	json_w_end_array(&w);
	json_w_int(&w, limit, r->max_tokens);
	if (!refused->temperature)
		json_w_num(&w, "temperature", r->temperature);
	if (!refused->seed)
		json_w_int(&w, d->seed_field, (int64_t)(r->seed & INT32_MAX));
	json_w_bool(&w, "stream", true);
	if (d->has_stream_options && !refused->stream_options) {
		json_w_begin(&w, "stream_options");
		json_w_bool(&w, "include_usage", true);
		json_w_end(&w);
	}
	if (r->wants_json && d->has_response_format &&
	    !refused->response_format) {
		json_w_begin(&w, "response_format");
		json_w_str(&w, "type", "json_object");
		json_w_end(&w);
	}
	json_w_end(&w);
	arena_free(&a);
}

/* Providers' words reach people: one line, printable, bounded. */
static void
openai_safe(char *out, size_t size, const char *text)
{
	size_t n = str_utf8_cut(text, strlen(text), size - 1);

	if (!str_is_utf8(text, n)) {
		snprintf(out, size, "unreadable error message");
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
	out[n] = '\0';
}

/* {"error":{message,type,code}}, {"error":"text"}, {"message":...},
 * {"detail":...}: what is said, and its code. */
static void
openai_error_parts(const struct json *j, const char **message,
    const char **code, const char **type)
{
	const struct json *e = json_get(j, "error");
	const struct json *from = json_kind(e) == JSON_OBJECT ? e : j;

	*message = json_str(e, NULL);
	if (*message == NULL)
		*message = json_get_str(
		    from, "message", json_get_str(j, "detail", ""));
	*code = json_get_str(from, "code", "");
	*type = json_get_str(from, "type", "");
}

static enum llm_error_class
openai_class(long status, const char *code, const char *type)
{
	if (str_eq(code, "insufficient_quota") ||
	    str_eq(type, "insufficient_quota") || str_starts(code, "billing"))
		return LLM_ERR_MONEY;
	if (str_eq(code, "content_filter") || str_eq(type, "refusal"))
		return LLM_ERR_REFUSAL;
	switch (status) {
	case 401:
	case 403:
		return LLM_ERR_AUTH;
	case 402:
		return LLM_ERR_MONEY;
	case 429:
		return LLM_ERR_RATE;
	case 503:
	case 529:
		return LLM_ERR_OVERLOAD;
	case 408:
	case 524:
		return LLM_ERR_SERVER;
	}
	return status >= 500 ? LLM_ERR_SERVER : LLM_ERR_BAD_REQUEST;
}

static void
openai_learn(struct llm_refused *learnt, const char *message)
{
	if (strstr(message, "stream_options") != NULL)
		learnt->stream_options = true;
	else if (strstr(message, "response_format") != NULL)
		learnt->response_format = true;
	else if (strstr(message, "temperature") != NULL)
		learnt->temperature = true;
	else if (strstr(message, "max_tokens") != NULL ||
	    strstr(message, "max_completion_tokens") != NULL)
		learnt->limit_renamed = true;
	else if (strstr(message, "seed") != NULL)
		learnt->seed = true;
}

enum llm_error_class
llm_openai_error(long status, const char *body, size_t len, char *message,
    size_t size, struct llm_refused *learnt)
{
	const struct json_limits limits = {
	    .max_bytes = OPENAI_EVENT_MAX, .max_depth = OPENAI_DEPTH};
	struct arena *a = arena_new(0);
	const struct json *j = NULL;
	const char *text = "";
	const char *code = "";
	const char *type = "";

	if (json_parse(a, body, len, &limits, &j, NULL) == ERR_OK)
		openai_error_parts(j, &text, &code, &type);
	openai_safe(message, size, text);
	if (*message == '\0')
		snprintf(message, size, "HTTP status %ld", status);
	if ((status == 400 || status == 422) &&
	    !str_eq(code, "context_length_exceeded"))
		openai_learn(learnt, text);
	enum llm_error_class c = openai_class(status, code, type);
	arena_free(&a);
	return c;
}

static void
openai_text(struct llm_stream *s, const char *text, size_t len)
{
	if (text == NULL || len == 0)
		return;
	buf_append(&s->text, text, len);
	if (s->on_text != NULL && !s->text.is_overflowed)
		s->on_text(s->arg, text, len);
}

static void
openai_finish(struct llm_stream *s, const char *reason)
{
	if (reason == NULL)
		return;
	s->has_finish = true;
	if (str_eq(reason, "length") || str_eq(reason, "model_length"))
		s->is_truncated = true;
	if (str_eq(reason, "content_filter")) {
		s->error = LLM_ERR_REFUSAL;
		snprintf(s->message, sizeof(s->message),
		    "the provider's content filter stopped the answer");
	}
	if (str_eq(reason, "error")) {
		s->error = LLM_ERR_SERVER;
		snprintf(s->message, sizeof(s->message),
		    "the provider ended the answer with an error");
	}
}

static void
openai_choice(struct llm_stream *s, const struct json *choice)
{
	const struct json *delta = json_get(choice, "delta");
	size_t len = 0;

	if (json_kind(delta) != JSON_OBJECT)
		delta = json_get(choice, "message");
	const char *text = json_str(json_get(delta, "content"), &len);
	openai_text(s, text, len);
	if (!str_is_empty(json_str(json_get(delta, "refusal"), NULL))) {
		s->error = LLM_ERR_REFUSAL;
		snprintf(s->message, sizeof(s->message), "the model refused");
	}
	openai_finish(s, json_str(json_get(choice, "finish_reason"), NULL));
}

void
llm_openai_event(struct llm_stream *s, const char *data, size_t len)
{
	const struct json_limits limits = {
	    .max_bytes = OPENAI_EVENT_MAX, .max_depth = OPENAI_DEPTH};
	const struct json *j;

	if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
		s->is_done = true;
		return;
	}
	struct arena *a = arena_new(0);
	if (json_parse(a, data, len, &limits, &j, NULL) != ERR_OK) {
		s->error = LLM_ERR_SERVER;
		snprintf(s->message, sizeof(s->message),
		    "the provider sent an event that is not JSON");
	} else if (json_kind(json_get(j, "error")) != JSON_NULL) {
		const char *text, *code, *type;
		int64_t status = 500;
		openai_error_parts(j, &text, &code, &type);
		json_int(json_get(json_get(j, "error"), "code"), &status);
		s->error = openai_class((long)status, code, type);
		openai_safe(s->message, sizeof(s->message), text);
	} else {
		openai_choice(s, json_at(json_get(j, "choices"), 0));
		const struct json *usage = json_get(j, "usage");
		json_int(json_get(usage, "prompt_tokens"), &s->tokens_in);
		json_int(json_get(usage, "completion_tokens"), &s->tokens_out);
	}
	arena_free(&a);
}

int64_t
llm_retry_after_ms(const char *value, bool is_ms, int64_t now_us)
{
	struct tm tm = {0};
	double number;

	if (str_to_double(value, &number) == ERR_OK) {
		if (number < 0 || number > 86400e3)
			return -1;
		return (int64_t)(is_ms ? number : number * 1000);
	}
	/* RFC 9110: IMF-fixdate */
	if (strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return -1;
	int64_t ms = (int64_t)timegm(&tm) * 1000 - now_us / 1000;
	return ms < 0 ? 0 : ms;
}
