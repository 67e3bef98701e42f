/* SPDX-License-Identifier: MIT
 *
 * What a provider's error means, one table for all of them (engine notes 2.9
 * and the error shapes of 2.11 to 2.14).
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"

#define ERROR_BODY_MAX	  (2u << 20)
#define ERROR_DEPTH	  24
#define ERROR_DELAY_MAX_S 86400 /* longer is not a wait but a mistake */

/* Providers' words reach people: one line, printable, bounded. */
void
llm_error_safe(char *out, size_t size, const char *text)
{
	size_t n = str_utf8_cut(text, strlen(text), size - 1);

	if (!str_is_utf8(text, n)) {
		snprintf(out, size, "unreadable error message");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned char next = (unsigned char)text[i + 1];
		bool is_c1 = c == 0xc2 && next < 0xa0; /* U+0080 to U+009F */
		out[i] = c < 0x20 || c == 0x7f || is_c1 ? ' ' : text[i];
		if (is_c1)
			out[++i] = ' ';
	}
	out[n] = '\0';
}

/* What an error body says; "" = nothing. */
struct error_words {
	const char *message;
	const char *code;
	const char *type;
	const char *param;
	const char *status; /* Gemini */
	bool is_moderated;  /* OpenRouter names reasons */
	bool is_daily;	    /* Gemini: the quota of the day is used up */
	bool is_key_bad;
	int64_t retry_after_ms; /* -1 = not said */
};

/* FastAPI's list of what is wrong, its first entry:
 * [{"loc":["body","seed"],"msg":"not permitted"}] */
static void
error_detail(struct arena *a, const struct json *detail, struct error_words *w)
{
	const struct json *first = json_at(detail, 0);
	const struct json *loc = json_get(first, "loc");
	const char *place = json_str(
	    json_at(loc, json_len(loc) > 0 ? json_len(loc) - 1 : 0), NULL);
	const char *said = json_get_str(first, "msg", "");

	w->message = place != NULL && *said != '\0'
	    ? arena_printf(a, "%s: %s", place, said)
	    : said;
	w->param = place != NULL ? place : "";
}

/* "37s", "0.5s" */
static int64_t
error_delay_ms(const char *text)
{
	char number[16];
	double seconds;
	size_t n = strlen(text);

	if (n < 2 || n > sizeof(number) || text[n - 1] != 's')
		return -1;
	snprintf(number, sizeof(number), "%.*s", (int)n - 1, text);
	return str_to_double(number, &seconds) == ERR_OK && seconds >= 0 &&
		seconds <= ERROR_DELAY_MAX_S
	    ? (int64_t)(seconds * 1000)
	    : -1;
}

/* Google's list of what is to be known about an error. */
static void
error_google(struct error_words *w, const struct json *details)
{
	for (size_t i = 0; i < json_len(details); i++) {
		const struct json *d = json_at(details, i);
		const struct json *violations = json_get(d, "violations");
		const char *delay = json_get_str(d, "retryDelay", NULL);
		if (delay != NULL)
			w->retry_after_ms = error_delay_ms(delay);
		if (str_eq(json_get_str(d, "reason", ""), "API_KEY_INVALID"))
			w->is_key_bad = true;
		for (size_t k = 0; k < json_len(violations); k++)
			if (strstr(json_get_str(
				       json_at(violations, k), "quotaId", ""),
				"PerDay") != NULL)
				w->is_daily = true;
	}
}

/* {"error":{message,type,code,param}}, {"error":"text"}, {"message":...},
 * {"detail":"text"}, {"detail":[...]} */
static struct error_words
error_words(struct arena *a, const struct json *j)
{
	/* Gemini wraps it in a list where it would have streamed one. */
	if (json_kind(j) == JSON_ARRAY)
		j = json_at(j, 0);
	const struct json *e = json_get(j, "error");
	const struct json *from = json_kind(e) == JSON_OBJECT ? e : j;
	struct error_words w = {.message = json_str(e, NULL),
	    .code = json_get_str(from, "code", ""),
	    .type = json_get_str(from, "type", ""),
	    .param = json_get_str(from, "param", ""),
	    .status = json_get_str(from, "status", ""),
	    .retry_after_ms = -1,
	    .is_moderated =
		json_len(json_get(json_get(from, "metadata"), "reasons")) > 0};

	if (w.message == NULL)
		w.message = json_get_str(
		    from, "message", json_get_str(j, "detail", ""));
	if (*w.message == '\0' && json_len(json_get(j, "detail")) > 0)
		error_detail(a, json_get(j, "detail"), &w);
	error_google(&w, json_get(from, "details"));
	return w;
}

static const struct {
	const char *word;
	enum llm_error_class class;
} error_codes[] = {
    {"insufficient_quota", LLM_ERR_MONEY},
    {"insufficient_balance", LLM_ERR_MONEY},
    {"billing_hard_limit", LLM_ERR_MONEY},
    {"billing_hard_limit_reached", LLM_ERR_MONEY},
    {"billing_not_active", LLM_ERR_MONEY},
    {"billing_error", LLM_ERR_MONEY},
    {"content_filter", LLM_ERR_REFUSAL},
    {"content_policy_violation", LLM_ERR_REFUSAL},
    {"refusal", LLM_ERR_REFUSAL},
    {"invalid_api_key", LLM_ERR_AUTH},
    {"authentication_error", LLM_ERR_AUTH},
    {"permission_error", LLM_ERR_AUTH},
    {"rate_limit_exceeded", LLM_ERR_RATE},
    {"rate_limit_error", LLM_ERR_RATE},
    {"overloaded_error", LLM_ERR_OVERLOAD},
    {"unavailable_error", LLM_ERR_OVERLOAD},
    {"context_length_exceeded", LLM_ERR_BAD_REQUEST},
    {"model_not_found", LLM_ERR_BAD_REQUEST},
    {"invalid_request_error", LLM_ERR_BAD_REQUEST},
    {"not_found_error", LLM_ERR_BAD_REQUEST},
    {"request_too_large", LLM_ERR_BAD_REQUEST},
    {"api_error", LLM_ERR_SERVER},
    {"timeout_error", LLM_ERR_SERVER},
    {"UNAUTHENTICATED", LLM_ERR_AUTH},
    {"PERMISSION_DENIED", LLM_ERR_AUTH},
    {"RESOURCE_EXHAUSTED", LLM_ERR_RATE},
    {"UNAVAILABLE", LLM_ERR_OVERLOAD},
    {"INTERNAL", LLM_ERR_SERVER},
    {"DEADLINE_EXCEEDED", LLM_ERR_SERVER},
    {"INVALID_ARGUMENT", LLM_ERR_BAD_REQUEST},
    {"FAILED_PRECONDITION", LLM_ERR_BAD_REQUEST},
    {"NOT_FOUND", LLM_ERR_BAD_REQUEST},
};

static enum llm_error_class
error_code_class(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(error_codes); i++)
		if (str_eq(word, error_codes[i].word))
			return error_codes[i].class;
	return LLM_ERR_NONE;
}

static enum llm_error_class
error_status_class(long status)
{
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

/* Words that mean the money is out where neither code nor status do. */
static bool
error_is_about_money(const struct error_words *w)
{
	return w->is_daily || strstr(w->message, "credit balance") != NULL ||
	    strstr(w->message, "spend limit") != NULL;
}

/* status 0: there is none, the error came within a stream. */
static enum llm_error_class
error_class(long status, const struct error_words *w)
{
	const char *const words[] = {w->code, w->type, w->status};
	enum llm_error_class c = LLM_ERR_NONE;

	for (size_t i = 0; c == LLM_ERR_NONE && i < ARRAY_LEN(words); i++)
		c = error_code_class(words[i]);
	/* Money, refusals and bad keys hide behind statuses that mean other
	 * things. */
	if (c == LLM_ERR_MONEY || error_is_about_money(w))
		return LLM_ERR_MONEY;
	if (c == LLM_ERR_REFUSAL || w->is_moderated)
		return LLM_ERR_REFUSAL;
	if (w->is_key_bad)
		return LLM_ERR_AUTH;
	if (status > 0)
		return error_status_class(status);
	return c != LLM_ERR_NONE ? c : LLM_ERR_SERVER;
}

/* Every provider has its own words for a request that is too long. */
static bool
error_is_context(long status, const struct error_words *w)
{
	static const char *const marks[] = {"context length", "context window",
	    "maximum context", "prompt is too long",
	    "exceeds the maximum number of tokens", "context size"};

	if (str_eq(w->code, "context_length_exceeded") || status == 413)
		return true;
	for (size_t i = 0; status == 400 && i < ARRAY_LEN(marks); i++)
		if (strstr(w->message, marks[i]) != NULL)
			return true;
	return false;
}

/* "max_tokens is too large" is about the value; the name is refused when the
 * message speaks so. */
static bool
error_is_about_name(const struct error_words *w)
{
	static const char *const marks[] = {"nsupported", "not support",
	    "nknown", "nrecognized", "instead", "not permitted"};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (strstr(w->message, marks[i]) != NULL)
			return true;
	return str_eq(w->code, "unsupported_parameter") ||
	    str_eq(w->code, "unknown_parameter");
}

static void
error_learn(struct llm_refused *learnt, const struct error_words *w)
{
	/* The parameter is named in its field, else in the message. */
	const char *where = *w->param != '\0' ? w->param : w->message;

	if (strstr(where, "stream_options") != NULL)
		learnt->stream_options = true;
	else if (strstr(where, "response_format") != NULL ||
	    strstr(where, "responseMimeType") != NULL ||
	    strstr(where, "response mime type") != NULL)
		learnt->response_format = true;
	else if (strstr(where, "temperature") != NULL)
		learnt->temperature = true;
	else if (strstr(where, "max_tokens") != NULL ||
	    strstr(where, "max_completion_tokens") != NULL)
		learnt->limit_renamed =
		    learnt->limit_renamed || error_is_about_name(w);
	else if (strstr(where, "encoding_format") != NULL)
		learnt->encoding_format = true;
	else if (strstr(where, "seed") != NULL)
		learnt->seed = true;
}

static void
error_fill(struct llm_failure *out, long status, const struct error_words *w)
{
	*out = (struct llm_failure){.error = error_class(status, w),
	    .retry_after_ms = w->retry_after_ms};
	out->is_context =
	    out->error == LLM_ERR_BAD_REQUEST && error_is_context(status, w);
	llm_error_safe(out->message, sizeof(out->message), w->message);
}

void
llm_error_read(struct llm_failure *out, long status, const char *body,
    size_t len, struct llm_refused *learnt)
{
	const struct json_limits limits = {
	    .max_bytes = ERROR_BODY_MAX, .max_depth = ERROR_DEPTH};
	struct arena *a = arena_new(0);
	const struct json *j = NULL;

	if (json_parse(a, body, len, &limits, &j, NULL) != ERR_OK)
		j = NULL;
	struct error_words w = error_words(a, j);
	error_fill(out, status, &w);
	if (out->message[0] == '\0')
		snprintf(out->message, sizeof(out->message), "HTTP status %ld",
		    status);
	/* One that is too long may mention parameters, to no purpose. */
	if ((status == 400 || status == 422) && !out->is_context)
		error_learn(learnt, &w);
	arena_free(&a);
}

void
llm_error_event(struct llm_failure *out, const struct json *j)
{
	struct arena *a = arena_new(0);
	struct error_words w = error_words(a, j);
	int64_t code = 0;

	/* OpenRouter and others give a status as the code. */
	json_int(json_get(json_get(j, "error"), "code"), &code);
	error_fill(out, code >= 400 && code <= 599 ? (long)code : 0, &w);
	if (out->message[0] == '\0')
		llm_error_safe(out->message, sizeof(out->message),
		    "the provider reports an error");
	arena_free(&a);
}
