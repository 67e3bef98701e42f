/* SPDX-License-Identifier: MIT
 *
 * The pure half of chat completions: bodies per dialect, stream events, the
 * classes of errors, Retry-After.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"
#include "tests/unit/check_run.h"

#define TEXT_MAX (64u << 10)

static struct arena *arena;

static void
set_up(void)
{
	arena = arena_new(0);
}

static void
tear_down(void)
{
	arena_free(&arena);
}

/* ---- bodies ---- */

static const struct json *
body(const char *agent_name, const char *model, bool wants_json,
    const struct llm_refused *refused)
{
	const struct llm_block blocks[] = {
	    {.label = "Proposal A", .text = "line \"one\"\nline two"}};
	const struct llm_request r = {.task = LLM_VOTE,
	    .system = "the frame",
	    .question = "A or B?",
	    .context = "",
	    .blocks = blocks,
	    .n_blocks = 1,
	    .instruction = "choose",
	    .nonce = "0badcafe",
	    .wants_json = wants_json,
	    .max_tokens = 77,
	    .temperature = 0.2,
	    .seed = 5};
	const struct llm_agent agent = {.row = llm_agent_find(agent_name),
	    .name = "seat",
	    .model = model,
	    .persona = "",
	    .role = ""};
	const struct json *j = NULL;
	struct buf b;

	ck_assert_ptr_nonnull(agent.row);
	buf_init(&b, TEXT_MAX);
	llm_openai.body(&b, &agent, &r, refused);
	ck_assert_int_eq(
	    json_parse(arena, buf_text(&b), b.len, NULL, &j, NULL), ERR_OK);
	buf_release(&b);
	return j;
}

static const struct {
	const char *agent;
	const char *limit, *other_limit, *seed;
	bool has_options, has_format;
} dialects[] = {
    {"openai-api", "max_completion_tokens", "max_tokens", "seed", true, true},
    {"deepseek", "max_tokens", "max_completion_tokens", "seed", true, true},
    {"deepseek-api", "max_tokens", "max_completion_tokens", "seed", true, true},
    {"groq", "max_tokens", "max_completion_tokens", "seed", true, true},
    {"grok", "max_tokens", "max_completion_tokens", "seed", true, true},
    {"mistral-api", "max_tokens", "max_completion_tokens", "random_seed", false,
	true},
    {"vllm", "max_tokens", "max_completion_tokens", "seed", true, true},
    {"lm-studio", "max_tokens", "max_completion_tokens", "seed", true, false},
    {"llamacpp", "max_tokens", "max_completion_tokens", "seed", true, true},
};

START_TEST(test_body)
{
	const struct llm_refused none = {0};
	const struct json *j = body(dialects[_i].agent, "m", true, &none);
	const struct json *messages = json_get(j, "messages");

	ck_assert_str_eq(json_get_str(j, "model", ""), "m");
	ck_assert(json_get_bool(j, "stream", false));
	ck_assert_int_eq(json_get_int(j, dialects[_i].limit, 0), 77);
	ck_assert_ptr_null(json_get(j, dialects[_i].other_limit));
	ck_assert_int_eq(json_get_int(j, dialects[_i].seed, 0), 5);
	ck_assert_double_eq(json_get_num(j, "temperature", -1), 0.2);
	ck_assert_int_eq(json_get_bool(json_get(j, "stream_options"),
			     "include_usage", false),
	    dialects[_i].has_options);
	ck_assert_str_eq(
	    json_get_str(json_get(j, "response_format"), "type", ""),
	    dialects[_i].has_format ? "json_object" : "");
	ck_assert_uint_eq(json_len(messages), 2);
	ck_assert_str_eq(
	    json_get_str(json_at(messages, 0), "role", ""), "system");
	ck_assert_str_eq(
	    json_get_str(json_at(messages, 0), "content", ""), "the frame");
	ck_assert_str_eq(
	    json_get_str(json_at(messages, 1), "role", ""), "user");
	ck_assert_str_eq(json_get_str(json_at(messages, 1), "content", ""),
	    "Question:\nA or B?\n\n<<<0badcafe Proposal A\n"
	    "line \"one\"\nline two\n0badcafe>>>\n\nTask:\nchoose\n");
	j = body(dialects[_i].agent, "", false, &none);
	ck_assert_ptr_null(json_get(j, "response_format"));
	ck_assert_str_eq(json_get_str(j, "model", ""),
	    llm_agent_find(dialects[_i].agent)->model);
}
END_TEST

START_TEST(test_body_without_what_was_refused)
{
	const struct llm_refused all = {.stream_options = true,
	    .response_format = true,
	    .temperature = true,
	    .limit_renamed = true,
	    .seed = true};
	const struct json *j = body(dialects[_i].agent, "m", true, &all);

	ck_assert_int_eq(json_get_int(j, dialects[_i].other_limit, 0), 77);
	/* model, messages, limit, stream */
	ck_assert_uint_eq(json_len(j), 4);
}
END_TEST

/* ---- streams ---- */

static struct llm_stream stream;
static struct buf pieces;

static void
on_text(void *arg, const char *text, size_t len)
{
	ck_assert_ptr_eq(arg, &stream);
	buf_append(&pieces, text, len);
	buf_putc(&pieces, '|');
}

static void
stream_start(void)
{
	stream = (struct llm_stream){.on_text = on_text, .arg = &stream};
	buf_init(&stream.text, TEXT_MAX);
	llm_stream_reset(&stream);
	buf_init(&pieces, TEXT_MAX);
}

static void
stream_end(void)
{
	buf_release(&stream.text);
	buf_release(&pieces);
}

static void
event(const char *data)
{
	llm_stream_event(&llm_openai, &stream, data, strlen(data));
}

START_TEST(test_stream)
{
	stream_start();
	event("{\"choices\":[],\"prompt_filter_results\":[]}");
	event("{\"choices\":[{\"delta\":{\"role\":\"assistant\","
	      "\"content\":\"\"}}]}");
	event("{\"choices\":[{\"delta\":{\"content\":\"gr\xc3\xbc\xc3\x9f "
	      "\"},\"finish_reason\":null}],\"usage\":null}");
	event("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}");
	event("{\"choices\":[{\"delta\":{\"content\":\"dich\"}}]}");
	ck_assert(!stream.has_finish);
	event("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}");
	ck_assert(stream.has_finish && !stream.is_done);
	event("{\"choices\":[],\"usage\":{\"prompt_tokens\":12,"
	      "\"completion_tokens\":3}}");
	event("[DONE]");
	ck_assert(stream.is_done && !stream.is_truncated);
	ck_assert_int_eq(stream.error, LLM_ERR_NONE);
	ck_assert_int_eq(stream.tokens_in, 12);
	ck_assert_int_eq(stream.tokens_out, 3);
	ck_assert_str_eq(buf_text(&stream.text), "gr\xc3\xbc\xc3\x9f dich");
	ck_assert_str_eq(buf_text(&pieces), "gr\xc3\xbc\xc3\x9f |dich|");
	stream_end();
}
END_TEST

START_TEST(test_whole_answer)
{
	stream_start();
	event("{\"choices\":[{\"message\":{\"role\":\"assistant\","
	      "\"content\":\"all of it\",\"refusal\":null},"
	      "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":1,"
	      "\"completion_tokens\":2}}");
	ck_assert_str_eq(buf_text(&stream.text), "all of it");
	ck_assert(stream.has_finish && stream.is_truncated);
	ck_assert_int_eq(stream.error, LLM_ERR_NONE);
	ck_assert_int_eq(stream.tokens_out, 2);
	stream_end();
}
END_TEST

static const struct {
	const char *data;
	enum llm_error_class error;
} bad_events[] = {
    {"{\"choices\":[{\"delta\":{\"content\":\"br", LLM_ERR_SERVER},
    {"", LLM_ERR_SERVER},
    {"[DONE", LLM_ERR_SERVER},
    {"{\"error\":{\"code\":429,\"message\":\"m\"}}", LLM_ERR_RATE},
    {"{\"error\":{\"code\":502,\"message\":\"m\"}}", LLM_ERR_SERVER},
    {"{\"error\":{\"code\":402,\"message\":\"m\"}}", LLM_ERR_MONEY},
    {"{\"error\":{\"code\":503,\"message\":\"m\"},\"choices\":[{\"delta\":{"
     "\"content\":\"\"},\"finish_reason\":\"error\"}]}",
	LLM_ERR_OVERLOAD},
    {"{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"m\"}}",
	LLM_ERR_MONEY},
    {"{\"error\":\"m\"}", LLM_ERR_SERVER},
    {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}",
	LLM_ERR_SERVER},
    {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}",
	LLM_ERR_REFUSAL},
    {"{\"choices\":[{\"delta\":{\"refusal\":\"no\"}}]}", LLM_ERR_REFUSAL},
};

START_TEST(test_bad_event)
{
	stream_start();
	event(bad_events[_i].data);
	ck_assert_int_eq(stream.error, bad_events[_i].error);
	ck_assert_str_ne(stream.message, "");
	ck_assert_uint_eq(stream.text.len, 0);
	stream_end();
}
END_TEST

/* Odd but harmless. */
START_TEST(test_odd_event)
{
	static const char *const odd[] = {"{}", "[]", "null", "1", "\"x\"",
	    "{\"choices\":null}", "{\"choices\":[null]}",
	    "{\"choices\":[{\"delta\":null}]}",
	    "{\"choices\":[{\"delta\":{\"content\":null}}],\"error\":null}",
	    "{\"choices\":[{\"delta\":{\"content\":[\"x\"]}}]}",
	    "{\"usage\":{\"prompt_tokens\":\"many\"}}"};

	stream_start();
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		event(odd[i]);
	ck_assert_int_eq(stream.error, LLM_ERR_NONE);
	ck_assert(!stream.has_finish && !stream.is_done);
	ck_assert_uint_eq(stream.text.len, 0);
	ck_assert_int_eq(stream.tokens_in, -1);
	stream_end();
}
END_TEST

/* ---- errors ---- */

static const struct {
	long status;
	const char *body;
	enum llm_error_class error;
	const char *message;
} errors[] = {
    {401, "{\"error\":{\"message\":\"bad key\",\"code\":\"invalid_api_key\"}}",
	LLM_ERR_AUTH, "bad key"},
    {403, "{\"error\":{\"message\":\"not here\"}}", LLM_ERR_AUTH, "not here"},
    {400, "{\"error\":\"text\"}", LLM_ERR_BAD_REQUEST, "text"},
    {400, "{\"code\":\"x\",\"error\":\"text\"}", LLM_ERR_BAD_REQUEST, "text"},
    {404, "{\"object\":\"error\",\"message\":\"no model\"}",
	LLM_ERR_BAD_REQUEST, "no model"},
    {413, "", LLM_ERR_BAD_REQUEST, "HTTP status 413"},
    {422, "{\"detail\":\"wrong\"}", LLM_ERR_BAD_REQUEST, "wrong"},
    {422, "{\"detail\":[{\"msg\":\"x\"}]}", LLM_ERR_BAD_REQUEST, "x"},
    {307, "", LLM_ERR_BAD_REQUEST, "HTTP status 307"},
    {402, "{\"error\":{\"code\":402,\"message\":\"no credits\"}}",
	LLM_ERR_MONEY, "no credits"},
    {429, "{\"error\":{\"message\":\"m\",\"code\":\"insufficient_quota\"}}",
	LLM_ERR_MONEY, "m"},
    {429, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\"}}",
	LLM_ERR_MONEY, "m"},
    {429, "{\"error\":{\"message\":\"m\",\"code\":\"billing_hard_limit\"}}",
	LLM_ERR_MONEY, "m"},
    {429, "{\"error\":{\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}}",
	LLM_ERR_RATE, "m"},
    {429, "slow down", LLM_ERR_RATE, "HTTP status 429"},
    {503, "{\"error\":{\"code\":503,\"message\":\"loading\"}}",
	LLM_ERR_OVERLOAD, "loading"},
    {529, "{}", LLM_ERR_OVERLOAD, "HTTP status 529"},
    {500, "{\"error\":{\"message\":\"a\\nb\\tc\"}}", LLM_ERR_SERVER, "a b c"},
    {502, "<html>", LLM_ERR_SERVER, "HTTP status 502"},
    {504, "", LLM_ERR_SERVER, "HTTP status 504"},
    {408, "", LLM_ERR_SERVER, "HTTP status 408"},
    {524, "", LLM_ERR_SERVER, "HTTP status 524"},
    {400, "{\"error\":{\"message\":\"m\",\"code\":\"content_filter\"}}",
	LLM_ERR_REFUSAL, "m"},
};

START_TEST(test_error)
{
	struct llm_refused learnt = {0};
	const struct llm_refused nothing = {0};
	struct llm_failure f;

	llm_error_read(&f, errors[_i].status, errors[_i].body,
	    strlen(errors[_i].body), &learnt);
	ck_assert_int_eq(f.error, errors[_i].error);
	ck_assert_str_eq(f.message, errors[_i].message);
	ck_assert_mem_eq(&learnt, &nothing, sizeof(learnt));
}
END_TEST

/* Never in the middle of a character. */
START_TEST(test_error_message_is_cut)
{
	char out[8];

	llm_error_safe(
	    out, sizeof(out), "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
	ck_assert_str_eq(out, "\xc3\xa4\xc3\xa4\xc3\xa4");
}
END_TEST

static struct llm_refused
learn(long status, const char *text)
{
	struct llm_refused learnt = {0};
	struct llm_failure f;

	llm_error_read(&f, status, text, strlen(text), &learnt);
	return learnt;
}

START_TEST(test_learning)
{
	ck_assert(learn(400, "{\"error\":\"what is stream_options\"}")
		      .stream_options);
	ck_assert(
	    learn(422, "{\"detail\":\"no response_format\"}").response_format);
	ck_assert(learn(400, "{\"error\":{\"message\":\"'temperature' no\"}}")
		      .temperature);
	ck_assert(learn(400,
	    "{\"error\":{\"message\":\"max_tokens: use the other instead\"}}")
		      .limit_renamed);
	ck_assert(learn(400, "{\"error\":\"seed is unknown\"}").seed);
	/* Not this request's fault, or another one. */
	ck_assert(!learn(500, "{\"error\":\"seed is unknown\"}").seed);
	ck_assert(!learn(400,
	    "{\"error\":{\"message\":\"too long, lower max_tokens\",\"code\":"
	    "\"context_length_exceeded\"}}")
		       .limit_renamed);
}
END_TEST

START_TEST(test_retry_after)
{
	int64_t now;

	ck_assert_int_eq(clock_parse_iso("2026-01-02T03:04:05Z", &now), ERR_OK);
	ck_assert_int_eq(llm_retry_after_ms("2", false, now), 2000);
	ck_assert_int_eq(llm_retry_after_ms("0", false, now), 0);
	ck_assert_int_eq(llm_retry_after_ms("1.5", false, now), 1500);
	ck_assert_int_eq(llm_retry_after_ms("250", true, now), 250);
	ck_assert_int_eq(llm_retry_after_ms("-1", false, now), -1);
	ck_assert_int_eq(llm_retry_after_ms("1e300", false, now), -1);
	ck_assert_int_eq(llm_retry_after_ms("soon", false, now), -1);
	ck_assert_int_eq(llm_retry_after_ms("", false, now), -1);
	ck_assert_int_eq(
	    llm_retry_after_ms("Fri, 02 Jan 2026 03:04:08 GMT", false, now),
	    3000);
	ck_assert_int_eq(
	    llm_retry_after_ms("Fri, 02 Jan 2026 03:04:00 GMT", false, now), 0);
	ck_assert_int_eq(
	    llm_retry_after_ms("Fri, 02 Foo 2026 03:04:08 GMT", false, now),
	    -1);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, test_body, 0, ARRAY_LEN(dialects));
	tcase_add_loop_test(
	    t, test_body_without_what_was_refused, 0, ARRAY_LEN(dialects));
	tcase_add_test(t, test_stream);
	tcase_add_test(t, test_whole_answer);
	tcase_add_loop_test(t, test_bad_event, 0, ARRAY_LEN(bad_events));
	tcase_add_test(t, test_odd_event);
	tcase_add_loop_test(t, test_error, 0, ARRAY_LEN(errors));
	tcase_add_test(t, test_error_message_is_cut);
	tcase_add_test(t, test_learning);
	tcase_add_test(t, test_retry_after);
}

int
main(void)
{
	return check_run("openai", add_tests);
}
