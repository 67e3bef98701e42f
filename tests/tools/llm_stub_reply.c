/* SPDX-License-Identifier: MIT
 *
 * What the stub answers: strict checks first, then the scenario's script. A
 * scenario is "stub-NAME" with NAME of the table below and any of: xN (the
 * failure comes N times per body, then all is well), @N (tokens, or
 * milliseconds of the slow ones), -raN (Retry-After), :FORM (of votes).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define STUB_REPLY_MAX	 (16u << 20)
#define STUB_PADDING	 (300u << 10) /* of the big line */
#define STUB_CREATED	 1767225600
#define STUB_CUT_WAIT_MS 30 /* what was sent arrives before the reset */
#define STUB_JSON	 "application/json"

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
	bool needs_key;
	bool is_strict; /* refuses unknown fields */
};

static const struct stub_dialect stub_dialects[] = {
    {"/openai/v1", true, true},
    {"/openrouter/api/v1", true, false},
    {"/vllm/v1", false, false},
    {"/llamacpp/v1", false, false},
    {"/ollama/v1", false, false},
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
stub_refuse(struct arena *a, struct stub_reply *r, int status,
    const char *message, const char *code)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_begin(&w, "error");
	json_w_str(&w, "message", message);
	json_w_str(&w, "type", "invalid_request_error");
	json_w_null(&w, "param");
	json_w_str(&w, "code", code);
	json_w_end(&w);
	json_w_end(&w);
	stub_reply_plain(r, status, STUB_JSON, "", buf_text(&b), b.len);
	buf_release(&b);
	r->outcome = arena_printf(a, "refused %d: %s", status, message);
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
			return out->row->kind == STUB_VOTE;
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

static void
stub_fail(struct arena *a, struct stub_reply *r, const struct stub_script *s)
{
	const struct stub_row *row = s->row;
	const char *headers = row->headers;

	if (headers == NULL) {
		time_t when = time(NULL) + 1;
		struct tm tm;
		char date[64];
		gmtime_r(&when, &tm);
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		headers = arena_printf(a, "Retry-After: %s\r\n", date);
	}
	if (s->retry_after >= 0)
		headers = arena_printf(a, "%sRetry-After: %lld\r\n", headers,
		    (long long)s->retry_after);
	stub_reply_plain(r, row->status,
	    *row->body == '<' ? "text/html" : STUB_JSON, headers, row->body,
	    strlen(row->body));
	r->outcome = arena_printf(a, "status %d", row->status);
}

/* ---- checks ---- */

static const char *
stub_check_message(const struct json *m)
{
	static const char *const roles[] = {
	    "system", "developer", "user", "assistant", "tool"};
	const char *role = json_get_str(m, "role", "");
	enum json_kind content = json_kind(json_get(m, "content"));

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (str_eq(role, roles[i]))
			return content == JSON_STRING || content == JSON_ARRAY
			    ? NULL
			    : "a message's content must be text";
	return "a message's role is not known";
}

static const char *
stub_check_limit(const struct json *j, const char *key)
{
	int64_t value;

	if (json_get(j, key) == NULL)
		return NULL;
	return json_int(json_get(j, key), &value) && value > 0
	    ? NULL
	    : "the length limit must be a positive integer";
}

static const char *
stub_check_fields(const struct json *j)
{
	static const char *const known[] = {"model", "messages", "max_tokens",
	    "max_completion_tokens", "temperature", "top_p", "seed", "n",
	    "stop", "stream", "stream_options", "response_format", "user",
	    "metadata", "reasoning_effort"};
	const struct json *value;
	const char *key;
	void *it = NULL;

	while (json_next(j, &it, &key, &value)) {
		bool is_known = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			is_known = is_known || str_eq(key, known[i]);
		if (!is_known)
			return "a parameter is not known";
	}
	return NULL;
}

/* NULL = a proper request. */
static const char *
stub_check(const struct stub_dialect *d, const struct json *j)
{
	const struct json *messages = json_get(j, "messages");
	const struct json *options = json_get(j, "stream_options");
	const char *wrong = NULL;
	double temperature = 0;
	int64_t seed;

	if (json_kind(j) != JSON_OBJECT)
		return "the body must be an object";
	if (*json_get_str(j, "model", "") == '\0')
		return "model is missing";
	if (json_kind(messages) != JSON_ARRAY || json_len(messages) == 0)
		return "messages must be a list that is not empty";
	for (size_t i = 0; wrong == NULL && i < json_len(messages); i++)
		wrong = stub_check_message(json_at(messages, i));
	if (wrong == NULL)
		wrong = stub_check_limit(j, "max_tokens");
	if (wrong == NULL)
		wrong = stub_check_limit(j, "max_completion_tokens");
	if (wrong == NULL && json_get(j, "temperature") != NULL &&
	    (!json_num(json_get(j, "temperature"), &temperature) ||
		temperature < 0 || temperature > 2))
		wrong = "temperature must be 0 to 2";
	if (wrong == NULL && json_get(j, "seed") != NULL &&
	    !json_int(json_get(j, "seed"), &seed))
		wrong = "seed must be an integer";
	if (wrong == NULL && options != NULL &&
	    !json_get_bool(j, "stream", false))
		wrong = "stream_options needs stream";
	if (wrong == NULL && d->is_strict)
		wrong = stub_check_fields(j);
	return wrong;
}

/* ---- answers ---- */

struct stub_stream {
	struct stub_reply *r;
	const char *model;
	bool has_usage;
	bool is_chunked;
	bool is_noisy; /* CRLF, comments, fields nobody asked for */
	int64_t count;
};

static void
stub_pause(struct stub_reply *r, int64_t ms)
{
	r->marks =
	    mem_realloc_array(r->marks, r->n_marks + 1, sizeof(*r->marks));
	r->marks[r->n_marks++] =
	    (struct stub_mark){.at = r->bytes.len, .pause_ms = ms};
}

static void
stub_write(struct stub_stream *st, const char *text, size_t len)
{
	if (st->is_chunked)
		buf_printf(&st->r->bytes, "%zx\r\n", len);
	buf_append(&st->r->bytes, text, len);
	if (st->is_chunked)
		buf_puts(&st->r->bytes, "\r\n");
}

static void
stub_event(struct stub_stream *st, const char *data)
{
	const char *eol = st->is_noisy ? "\r\n" : "\n";
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	if (st->is_noisy)
		buf_printf(&b,
		    ": still there%s%sevent: message%sid: %lld%sretry: 10%s"
		    "odd%s",
		    eol, eol, eol, (long long)st->count, eol, eol, eol);
	buf_printf(
	    &b, "data:%s%s%s%s", st->is_noisy ? "" : " ", data, eol, eol);
	st->count++;
	stub_write(st, buf_text(&b), b.len);
	buf_release(&b);
}

static void
stub_usage(struct json_w *w, int64_t in, int64_t out)
{
	json_w_begin(w, "usage");
	json_w_int(w, "prompt_tokens", in);
	json_w_int(w, "completion_tokens", out);
	json_w_int(w, "total_tokens", in + out);
	json_w_end(w);
}

static void
stub_head(struct json_w *w, const char *object, const char *model)
{
	json_w_begin(w, NULL);
	json_w_str(w, "id", "chatcmpl-stub");
	json_w_str(w, "object", object);
	json_w_int(w, "created", STUB_CREATED);
	json_w_str(w, "model", model);
}

/* One chunk: delta {key: text}, or none; finish NULL = goes on. */
static void
stub_chunk(struct stub_stream *st, const char *key, const char *text,
    size_t len, const char *finish, size_t padding)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	json_w_init(&w, &b);
	stub_head(&w, "chat.completion.chunk", st->model);
	json_w_begin_array(&w, "choices");
	json_w_begin(&w, NULL);
	json_w_int(&w, "index", 0);
	json_w_begin(&w, "delta");
	if (key != NULL)
		json_w_strn(&w, key, text, len);
	if (padding > 0) {
		char *filler = mem_alloc(padding);
		memset(filler, '.', padding);
		json_w_strn(&w, "reasoning_content", filler, padding);
		free(filler);
	}
	json_w_end(&w);
	json_w_str(&w, "finish_reason", finish);
	json_w_end(&w);
	json_w_end_array(&w);
	if (st->has_usage)
		json_w_null(&w, "usage");
	json_w_end(&w);
	stub_event(st, buf_text(&b));
	buf_release(&b);
}

static void
stub_usage_chunk(struct stub_stream *st, int64_t in, int64_t out)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	json_w_init(&w, &b);
	stub_head(&w, "chat.completion.chunk", st->model);
	json_w_begin_array(&w, "choices");
	json_w_end_array(&w);
	stub_usage(&w, in, out);
	json_w_end(&w);
	stub_event(st, buf_text(&b));
	buf_release(&b);
}

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

static void
stub_stream_begin(struct stub_stream *st, const struct stub_script *s)
{
	buf_printf(&st->r->bytes,
	    "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/event-stream; charset=utf-8\r\n%s\r\n",
	    st->is_chunked ? "Transfer-Encoding: chunked\r\n"
			   : "Connection: close\r\n");
	if (s->row->kind == STUB_SLOW_TTFB)
		stub_pause(st->r, s->number);
	stub_chunk(st, "role", "assistant", strlen("assistant"), NULL, 0);
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
		stub_event(st, "{\"choices\":[{\"delta\":{\"content\":\"br");
		return false;
	case STUB_OK:
	case STUB_SLOW:
	case STUB_SLOW_TTFB:
	case STUB_REFUSE:
	case STUB_LENGTH:
	case STUB_NOUSAGE:
	case STUB_SPLIT:
	case STUB_BIGLINE:
	case STUB_NOOPTS:
	case STUB_VOTE:
	case STUB_FAIL:
		break;
	}
	return false;
}

static bool
stub_stream_text(
    struct stub_stream *st, const struct stub_script *s, const char *text)
{
	int64_t sent = 0;

	if (s->row->kind == STUB_BIGLINE) {
		stub_chunk(
		    st, "content", text, strlen(text), NULL, STUB_PADDING);
		return true;
	}
	for (size_t n; *text != '\0'; text += n, sent++) {
		if (stub_stream_breaks(st, s, sent))
			return false;
		if (s->row->kind == STUB_SLOW)
			stub_pause(st->r, s->number);
		n = stub_token(text);
		stub_chunk(st, "content", text, n, NULL, 0);
	}
	return !stub_stream_breaks(st, s, s->number);
}

static void
stub_stream(struct stub_reply *r, const struct stub_script *s,
    const struct json *j, size_t body_len, const char *text)
{
	enum stub_kind kind = s->row->kind;
	struct stub_stream st = {.r = r,
	    .model = r->model,
	    .is_chunked = kind != STUB_CUT,
	    .is_noisy = kind == STUB_SPLIT,
	    .has_usage = kind != STUB_NOUSAGE &&
		json_get_bool(
		    json_get(j, "stream_options"), "include_usage", false)};

	r->is_split = kind == STUB_SPLIT;
	stub_stream_begin(&st, s);
	if (kind == STUB_REFUSE)
		stub_chunk(&st, "refusal", text, strlen(text), NULL, 0);
	else if (!stub_stream_text(&st, s, text))
		return;
	stub_chunk(
	    &st, NULL, NULL, 0, kind == STUB_LENGTH ? "length" : "stop", 0);
	if (st.has_usage)
		stub_usage_chunk(
		    &st, (int64_t)body_len / 4, stub_token_count(text));
	stub_event(&st, "[DONE]");
	if (st.is_chunked)
		buf_puts(&r->bytes, "0\r\n\r\n");
}

static void
stub_whole(struct stub_reply *r, const struct stub_script *s, size_t body_len,
    const char *text)
{
	bool is_refused = s->row->kind == STUB_REFUSE;
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	json_w_init(&w, &b);
	stub_head(&w, "chat.completion", r->model);
	json_w_begin_array(&w, "choices");
	json_w_begin(&w, NULL);
	json_w_int(&w, "index", 0);
	json_w_begin(&w, "message");
	json_w_str(&w, "role", "assistant");
	json_w_str(&w, "content", is_refused ? NULL : text);
	json_w_str(&w, "refusal", is_refused ? text : NULL);
	json_w_end(&w);
	json_w_str(&w, "finish_reason",
	    s->row->kind == STUB_LENGTH ? "length" : "stop");
	json_w_end(&w);
	json_w_end_array(&w);
	if (s->row->kind != STUB_NOUSAGE)
		stub_usage(&w, (int64_t)body_len / 4, stub_token_count(text));
	json_w_end(&w);
	stub_reply_plain(r, 200, STUB_JSON, "", buf_text(&b), b.len);
	buf_release(&b);
}

/* The last user message; "" when it is not plain text. */
static const char *
stub_prompt(const struct json *j)
{
	const struct json *messages = json_get(j, "messages");
	const char *text = "";

	for (size_t i = 0; i < json_len(messages); i++) {
		const struct json *m = json_at(messages, i);
		if (str_eq(json_get_str(m, "role", ""), "user"))
			text = json_get_str(m, "content", "");
	}
	return text;
}

static void
stub_play(struct arena *a, const struct stub_request *q, const struct json *j,
    const struct stub_script *s, struct stub_reply *r)
{
	const char *prompt = stub_prompt(j);
	char sha[ID_HASH_SIZE];

	r->task = stub_task(prompt);
	if (s->row->kind == STUB_FAIL &&
	    (s->times == 0 || q->seen < s->times)) {
		stub_fail(a, r, s);
		return;
	}
	if (s->row->kind == STUB_NOOPTS &&
	    json_get(j, "stream_options") != NULL) {
		stub_refuse(a, r, 400, "unknown parameter: stream_options",
		    "unknown_parameter");
		return;
	}
	const char *said =
	    arena_printf(a, "%s%lld", json_text(a, json_get(j, "messages")),
		(long long)json_get_int(j, "seed", 0));
	id_sha256(said, strlen(said), sha);
	const char *text = stub_answer(a, r->task, prompt, sha, s->form);
	if (s->row->kind == STUB_LENGTH)
		text = arena_strndup(a, text,
		    str_utf8_cut(text, strlen(text), strlen(text) / 2));
	if (s->row->kind == STUB_REFUSE)
		text = "I cannot help with that.";
	r->outcome = "ok";
	if (json_get_bool(j, "stream", false))
		stub_stream(r, s, j, q->body_len, text);
	else
		stub_whole(r, s, q->body_len, text);
}

static const struct stub_dialect *
stub_dialect_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(stub_dialects); i++)
		if (str_starts(path, stub_dialects[i].prefix) &&
		    str_eq(path + strlen(stub_dialects[i].prefix),
			"/chat/completions"))
			return &stub_dialects[i];
	return NULL;
}

void
stub_reply_make(
    struct arena *a, const struct stub_request *q, struct stub_reply *r)
{
	const struct stub_dialect *d = stub_dialect_find(q->path);
	const struct json_limits limits = {
	    .max_bytes = STUB_REPLY_MAX, .max_depth = 20};
	const struct json *j = NULL;
	const char *wrong = NULL;
	struct stub_script s;

	*r = (struct stub_reply){
	    .outcome = "", .task = "", .model = "", .scenario = ""};
	buf_init(&r->bytes, STUB_REPLY_MAX);
	if (d == NULL) {
		stub_refuse(a, r, 404, "no such path", "not_found");
	} else if (!str_eq(q->method, "POST")) {
		stub_refuse(a, r, 405, "POST it", "method_not_allowed");
	} else if (d->needs_key &&
	    (!str_starts(q->authorization, "Bearer ") ||
		strlen(q->authorization) < 8)) {
		stub_refuse(a, r, 401, "no key given", "invalid_api_key");
	} else if (!str_starts(q->content_type, STUB_JSON)) {
		stub_refuse(a, r, 415, "not JSON", "unsupported_media_type");
	} else if (json_parse(a, q->body, q->body_len, &limits, &j, NULL) !=
	    ERR_OK) {
		stub_refuse(a, r, 400, "the body is not JSON", "bad_json");
	} else if ((wrong = stub_check(d, j)) != NULL) {
		stub_refuse(a, r, 400, wrong, "invalid_value");
	} else {
		r->model = json_get_str(j, "model", "");
		r->scenario = *q->scenario != '\0' ? q->scenario : r->model;
		if (stub_script_read(r->scenario, &s))
			stub_play(a, q, j, &s, r);
		else
			stub_refuse(a, r, 404, "no such model or scenario",
			    "model_not_found");
	}
}
