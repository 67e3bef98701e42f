/* SPDX-License-Identifier: MIT
 *
 * llm.h against the stub provider: whole answers, retries counted at the
 * other end, broken streams, cancellation. Nothing here looks at a clock.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "llm/llm.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"
#include "tests/unit/stub_kit.h"

#define CALLS_MAX 24

static struct loop *loop;
static struct settings *settings;
static struct llm *llm;

static const struct {
	const char *agent;
	const char *url_env, *path;
	const char *key_env;
	const char *name; /* of the provider */
} dialects[] = {
    {"openrouter", "OPENROUTER_BASE_URL", "/openrouter/api/v1",
	"OPENROUTER_API_KEY", "openrouter"},
    {"openai-api", "OPENAI_BASE_URL", "/openai/v1", "OPENAI_API_KEY", "openai"},
    {"anthropic-api", "ANTHROPIC_BASE_URL", "/anthropic", "ANTHROPIC_API_KEY",
	"anthropic"},
    {"gemini", "GEMINI_BASE_URL", "/gemini/v1beta", "GEMINI_API_KEY", "gemini"},
    {"mistral-api", "MISTRAL_BASE_URL", "/mistral/v1", "MISTRAL_API_KEY",
	"mistral"},
    {"grok", "XAI_BASE_URL", "/xai/v1", "XAI_API_KEY", "xai"},
    {"deepseek-api", "DEEPSEEK_BASE_URL", "/deepseek", "DEEPSEEK_API_KEY",
	"deepseek"},
    {"groq", "GROQ_BASE_URL", "/groq/openai/v1", "GROQ_API_KEY", "groq"},
    {"ollama", "OLLAMA_HOST", "/ollama", "NO_KEY", "ollama"},
    {"vllm", "VLLM_BASE_URL", "/vllm/v1/", "NO_KEY", "vllm"},
    {"llamacpp", "LLAMACPP_BASE_URL", "/llamacpp/v1", "NO_KEY", "llamacpp"},
    {"lm-studio", "LM_STUDIO_HOST", "/lmstudio", "NO_KEY", "lm-studio"},
};
#define OPENROUTER	  0
#define DIALECTS_WITH_KEY 8

/* With the fallback, or for itself. */
static void
set_openrouter_key(void)
{
	setenv("OPENROUTER_API_KEY", "key-of-openrouter", 1);
}

static void
set_up(void)
{
	arena = arena_new(0);
	stub_start();
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
		setenv(dialects[i].url_env,
		    arena_printf(arena, "http://127.0.0.1:%d%s", stub_port,
			dialects[i].path),
		    1);
		unsetenv(dialects[i].key_env);
		if (i < DIALECTS_WITH_KEY && i != OPENROUTER)
			setenv(dialects[i].key_env, "key-of-the-tests", 1);
	}
	ck_assert_int_eq(loop_new(&loop), ERR_OK);
}

/* After the test has set what it wants in the environment. */
static void
start(void)
{
	struct buf problems;

	buf_init(&problems, 4096);
	ck_assert_int_eq(settings_load(&settings, &problems), ERR_OK);
	buf_release(&problems);
	ck_assert_int_eq(llm_new(&llm, settings, loop), ERR_OK);
}

static void
tear_down(void)
{
	llm_free(&llm);
	ck_assert_ptr_null(llm);
	loop_free(&loop);
	settings_free(&settings);
	stub_stop();
	arena_free(&arena);
}

/* ---- calls ---- */

struct asked {
	struct llm_call *call;
	int done, restarts;
	enum llm_error_class error;
	char *message;
	char *text;
	struct buf deltas; /* since the last restart */
	size_t held;	   /* bytes, when the last one came */
	struct llm_result result;
};

static struct asked asked[CALLS_MAX];
static int n_open;
static const char *ask_context = "";
static bool ask_lasting;
static const char *then_model; /* asked n_then times, one after another */
static size_t then_at, n_then;

static struct asked *ask_start(
    size_t i, const char *agent_name, const char *model);

static void
on_delta(void *arg, const char *text, size_t len)
{
	struct asked *q = arg;

	ck_assert(str_is_utf8(text, len));
	buf_append(&q->deltas, text, len);
	q->held = llm_call_memory(q->call);
}

static void
on_restart(void *arg)
{
	struct asked *q = arg;

	q->restarts++;
	buf_clear(&q->deltas);
}

static void
on_done(void *arg, const struct llm_result *result)
{
	struct asked *q = arg;

	ck_assert_int_eq(q->done++, 0);
	q->call = NULL;
	q->error = result->error;
	q->message = arena_strdup(arena, result->message);
	q->text = arena_strndup(arena, result->text, result->text_len);
	q->result = *result;
	ck_assert_uint_eq(strlen(q->text), result->text_len);
	if (--n_open > 0)
		return;
	/* What is asked when the others have ended. */
	if (n_then > 0) {
		ask_start(then_at++, "openai-api", then_model);
		n_then--;
	} else {
		loop_stop(loop);
	}
}

static struct asked *
ask_start(size_t i, const char *agent_name, const char *model)
{
	const struct llm_agent agent = {.row = llm_agent_find(agent_name),
	    .name = "seat",
	    .model = model,
	    .persona = "",
	    .role = ""};
	const struct llm_request request = {.task = LLM_PROPOSE,
	    .system = "the frame",
	    .question = "Z\xc3\xbcrich or Bern?",
	    .context = ask_context,
	    .instruction = "Give your answer to the question. State it.",
	    .nonce = "0badcafe",
	    .is_lasting = ask_lasting,
	    .max_tokens = 300,
	    .temperature = 0.5,
	    .seed = 9};
	struct asked *q = &asked[i];

	*q = (struct asked){0};
	buf_init(&q->deltas, TEXT_MAX);
	n_open++;
	q->call = llm_call_start(llm, &agent, &request,
	    &(struct llm_call_ops){.on_delta = on_delta,
		.on_restart = on_restart,
		.on_done = on_done,
		.arg = q});
	ck_assert_int_eq(q->done, 0);
	return q;
}

static void
ask_release(struct asked *q)
{
	buf_release(&q->deltas);
}

static void
run(void)
{
	ck_assert_int_eq(loop_run(loop), ERR_OK);
}

/* ---- whole answers ---- */

static void
check_whole(struct asked *q)
{
	ck_assert_msg(
	    q->error == LLM_ERR_NONE, "%d: %s", (int)q->error, q->message);
	ck_assert_str_eq(q->text, buf_text(&q->deltas));
	ck_assert_str_ne(q->text, "");
}

START_TEST(test_ok)
{
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-ok");
	run();
	check_whole(q);
	ck_assert_ptr_nonnull(strstr(q->text, "Z\xc3\xbcrich"));
	ck_assert_ptr_nonnull(strstr(q->text, "CONFIDENCE: 0."));
	ck_assert_int_eq(q->result.attempts, 1);
	ck_assert_int_gt(q->result.tokens_in, 0);
	ck_assert_int_gt(q->result.tokens_out, 0);
	ck_assert(!q->result.is_usage_estimated);
	ck_assert(!q->result.is_truncated);
	ck_assert_int_eq(stub_seen("stub-ok"), 1);
	ask_release(q);
}
END_TEST

/* However the bytes arrive, the answer is the same. */
START_TEST(test_forms_of_transport)
{
	static const char *const models[] = {"stub-ok", "stub-split",
	    "stub-bigline", "stub-slow@2", "stub-slow-ttfb@50", "stub-nousage"};

	start();
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		ask_start(i, "openai-api", models[i]);
	ask_start(ARRAY_LEN(models), "vllm", "stub-ok");
	ask_start(ARRAY_LEN(models) + 1, "ollama", "stub-ok");
	run();
	for (size_t i = 0; i < ARRAY_LEN(models) + 2; i++) {
		check_whole(&asked[i]);
		ck_assert_str_eq(asked[i].text, asked[0].text);
		ck_assert_int_eq(asked[i].result.is_usage_estimated, i == 5);
		ck_assert_int_gt(asked[i].result.tokens_out, 0);
		ask_release(&asked[i]);
	}
	ck_assert_int_eq(
	    json_get_int(stub_stats(), "total", 0), (int)ARRAY_LEN(models) + 2);
}
END_TEST

/* While an answer streams, nothing of the request is held that is held
 * elsewhere: not its text, not what was sent. */
START_TEST(test_memory)
{
	const size_t most = 4096;
	char context[100001];

	memset(context, 'x', sizeof(context) - 1);
	context[sizeof(context) - 1] = '\0';
	ask_context = context;
	start();
	for (size_t i = 0; i < 2; i++) {
		ask_lasting = i == 0;
		ask_start(
		    i, i == 0 ? "openai-api" : "mistral-api", "stub-slow@1");
	}
	ck_assert_uint_lt(llm_call_memory(asked[0].call), most);
	ck_assert_uint_gt(
	    llm_call_memory(asked[1].call), sizeof(context)); /* a copy */
	run();
	for (size_t i = 0; i < 2; i++)
		check_whole(&asked[i]);
	printf("a call whose answer streams holds %zu bytes\n", asked[0].held);
	ck_assert_uint_lt(asked[0].held, most);
	ck_assert_uint_lt(asked[1].held, sizeof(context) + 2 * most);
	ask_release(&asked[0]);
	ask_release(&asked[1]);
}
END_TEST

START_TEST(test_length)
{
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-length");
	run();
	check_whole(q);
	ck_assert(q->result.is_truncated);
	ask_release(q);
}
END_TEST

/* ---- retries ---- */

static const struct {
	const char *model;
	int64_t requests;
} recovering[] = {
    {"stub-500x1", 2},
    {"stub-429x2-ra1", 3},
    {"stub-429-ms", 2},
    {"stub-429-date", 2},
    {"stub-503-loadingx1-ra0", 2},
};

START_TEST(test_retried_until_well)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "3", 1);
	start();
	for (size_t i = 0; i < ARRAY_LEN(recovering); i++)
		ask_start(i, "openai-api", recovering[i].model);
	run();
	for (size_t i = 0; i < ARRAY_LEN(recovering); i++) {
		check_whole(&asked[i]);
		ck_assert_int_eq(
		    asked[i].result.attempts, recovering[i].requests);
		ck_assert_int_eq(
		    stub_seen(recovering[i].model), recovering[i].requests);
		/* Nothing had been said before. */
		ck_assert_int_eq(asked[i].restarts, 0);
		ask_release(&asked[i]);
	}
}
END_TEST

static const struct {
	const char *model;
	enum llm_error_class error;
	int64_t requests;
	bool has_text;
} failing[] = {
    {"stub-quota", LLM_ERR_MONEY, 1, false},
    {"stub-401", LLM_ERR_AUTH, 1, false},
    {"stub-402", LLM_ERR_MONEY, 1, false},
    {"stub-ctx", LLM_ERR_BAD_REQUEST, 1, false},
    {"stub-redirect", LLM_ERR_BAD_REQUEST, 1, false},
    {"stub-no-such-model", LLM_ERR_BAD_REQUEST, 1, false},
    {"stub-refuse", LLM_ERR_REFUSAL, 1, false},
    {"stub-500", LLM_ERR_SERVER, 2, false},
    {"stub-html502", LLM_ERR_SERVER, 2, false},
    {"stub-200-error-body", LLM_ERR_SERVER, 2, false},
    {"stub-badjson", LLM_ERR_SERVER, 2, true},
    {"stub-503-loading-ra0", LLM_ERR_OVERLOAD, 2, false},
    {"stub-529", LLM_ERR_OVERLOAD, 2, false},
    {"stub-429-ra0", LLM_ERR_RATE, 2, false},
    {"stub-cut@4", LLM_ERR_PARTIAL, 2, true},
    {"stub-cut@0", LLM_ERR_PARTIAL, 2, false},
    {"stub-rst@4", LLM_ERR_PARTIAL, 2, true},
    {"stub-rst@0", LLM_ERR_NETWORK, 2, false},
};

START_TEST(test_failures)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "2", 1);
	start();
	for (size_t i = 0; i < ARRAY_LEN(failing); i++)
		ask_start(i, "openai-api", failing[i].model);
	run();
	for (size_t i = 0; i < ARRAY_LEN(failing); i++) {
		struct asked *q = &asked[i];
		const char *model = failing[i].model;
		ck_assert_msg(q->error == failing[i].error, "%s: %s (%s)",
		    model, llm_error_name(q->error), q->message);
		ck_assert_msg(*q->message != '\0', "%s", model);
		ck_assert_msg(q->result.attempts == failing[i].requests,
		    "%s: %lld attempts", model, (long long)q->result.attempts);
		ck_assert_msg(stub_seen(model) == failing[i].requests,
		    "%s: %lld requests", model, (long long)stub_seen(model));
		ck_assert_msg((q->result.text_len > 0) == failing[i].has_text,
		    "%s", model);
		ck_assert_str_eq(q->text, buf_text(&q->deltas));
		ck_assert_int_eq(q->restarts, failing[i].has_text ? 1 : 0);
		ask_release(q);
	}
}
END_TEST

/* Two calls meet the refusal at once; a third knows better. */
START_TEST(test_refused_parameter_is_learnt)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	start();
	ask_start(0, "openai-api", "stub-noopts");
	ask_start(1, "openai-api", "stub-noopts");
	then_model = "stub-noopts";
	then_at = 2;
	n_then = 1;
	run();
	for (size_t i = 0; i < 3; i++) {
		check_whole(&asked[i]);
		ck_assert_int_eq(asked[i].result.attempts, i < 2 ? 2 : 1);
		ask_release(&asked[i]);
	}
	ck_assert_int_eq(stub_seen("stub-noopts"), 5);
}
END_TEST

START_TEST(test_breaker)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	start();
	ask_start(0, "openai-api", "stub-500");
	ask_start(5, "openai-api", "stub-ok");
	then_model = "stub-500";
	then_at = 1;
	n_then = 4;
	run();
	/* Open after the third, for this model alone. */
	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(
		    asked[i].error, i < 3 ? LLM_ERR_SERVER : LLM_ERR_OVERLOAD);
		ask_release(&asked[i]);
	}
	ck_assert_int_eq(stub_seen("stub-500"), 3);
	check_whole(&asked[5]);
	ask_release(&asked[5]);
}
END_TEST

/* ---- every dialect ---- */

/* As the stub counts: words with the space after them. */
static int64_t
count_tokens(const char *text)
{
	int64_t n = 0;

	for (; *text != '\0'; n++) {
		text += strcspn(text, " \n");
		text += strspn(text, " \n");
	}
	return n;
}

/* Answers that differ in form only: usage reported or not, pieces large and
 * small, streamed or whole. */
START_TEST(test_dialect)
{
	static const char *const models[] = {"stub-ok", "stub-split",
	    "stub-bigline", "stub-whole", "stub-nousage"};
	const char *agent = dialects[_i].agent;

	set_openrouter_key();
	start();
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		ask_start(i, agent, models[i]);
	ask_start(ARRAY_LEN(models), agent, "stub-length");
	run();
	for (size_t i = 0; i <= ARRAY_LEN(models); i++) {
		struct asked *q = &asked[i];
		check_whole(q);
		ck_assert_int_eq(q->result.attempts, 1);
		ck_assert_int_eq(
		    q->result.is_truncated, i == ARRAY_LEN(models));
		ck_assert_int_eq(
		    q->result.is_usage_estimated, i == ARRAY_LEN(models) - 1);
		ck_assert_int_gt(q->result.tokens_in, 0);
		ck_assert_int_gt(q->result.tokens_out, 0);
		if (i < ARRAY_LEN(models))
			ck_assert_str_eq(q->text, asked[0].text);
		if (i < ARRAY_LEN(models) - 1)
			ck_assert_int_eq(
			    q->result.tokens_out, count_tokens(q->text));
		ck_assert_str_eq(q->result.provider, dialects[_i].name);
		ck_assert(!q->result.is_fallback);
		ask_release(q);
	}
	ck_assert_int_eq(
	    json_get_int(stub_stats(), "total", 0), (int)ARRAY_LEN(models) + 1);
}
END_TEST

static const struct {
	const char *model;
	enum llm_error_class error;
	int64_t requests;
} troubles[] = {
    {"stub-401", LLM_ERR_AUTH, 1},
    {"stub-402", LLM_ERR_MONEY, 1},
    {"stub-ctx", LLM_ERR_BAD_REQUEST, 1},
    {"stub-no-such-model", LLM_ERR_BAD_REQUEST, 1},
    {"stub-429-ra0", LLM_ERR_RATE, 2},
    {"stub-529", LLM_ERR_OVERLOAD, 2},
    {"stub-503-loading", LLM_ERR_OVERLOAD, 2},
    {"stub-500", LLM_ERR_SERVER, 2},
    {"stub-html502", LLM_ERR_SERVER, 2},
    {"stub-badjson", LLM_ERR_SERVER, 2},
    {"stub-cut@4", LLM_ERR_PARTIAL, 2},
    {"stub-rst@4", LLM_ERR_PARTIAL, 2},
    {"stub-nofinish", LLM_ERR_PARTIAL, 2},
};

START_TEST(test_dialect_troubles)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "2", 1);
	setenv("ARAGORA_LLM_FALLBACK", "0", 1);
	set_openrouter_key();
	start();
	for (size_t i = 0; i < ARRAY_LEN(troubles); i++)
		ask_start(i, dialects[_i].agent, troubles[i].model);
	run();
	for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
		struct asked *q = &asked[i];
		const char *model = troubles[i].model;
		ck_assert_msg(q->error == troubles[i].error, "%s %s: %s (%s)",
		    dialects[_i].agent, model, llm_error_name(q->error),
		    q->message);
		ck_assert_msg(*q->message != '\0', "%s", model);
		ck_assert_msg(stub_seen(model) == troubles[i].requests,
		    "%s %s: %lld requests", dialects[_i].agent, model,
		    (long long)stub_seen(model));
		ask_release(q);
	}
}
END_TEST

/* What the dialects say in words of their own. */
static const struct {
	const char *agent, *model;
	enum llm_error_class error;
} own_words[] = {
    {"openai-api", "stub-refuse", LLM_ERR_REFUSAL},
    {"openai-api", "stub-safety", LLM_ERR_REFUSAL},
    {"openai-api", "stub-529-midstream", LLM_ERR_OVERLOAD},
    {"openai-api", "stub-quota", LLM_ERR_MONEY},
    {"anthropic-api", "stub-refuse", LLM_ERR_REFUSAL},
    {"anthropic-api", "stub-529-midstream", LLM_ERR_OVERLOAD},
    /* the tier's cap: a 429 that says nothing of coming again */
    {"anthropic-api", "stub-429", LLM_ERR_MONEY},
    {"gemini", "stub-refuse", LLM_ERR_REFUSAL},
    {"gemini", "stub-safety", LLM_ERR_REFUSAL},
    {"gemini", "stub-529-midstream", LLM_ERR_OVERLOAD},
    {"gemini", "stub-quota", LLM_ERR_MONEY},
    {"ollama", "stub-529-midstream", LLM_ERR_SERVER},
};

START_TEST(test_own_words)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	start();
	struct asked *q =
	    ask_start(0, own_words[_i].agent, own_words[_i].model);
	run();
	ck_assert_msg(q->error == own_words[_i].error, "%s %s: %s (%s)",
	    own_words[_i].agent, own_words[_i].model, llm_error_name(q->error),
	    q->message);
	ck_assert_int_eq(stub_seen(own_words[_i].model), 1);
	ask_release(q);
}
END_TEST

/* A connection that ends before a word is tried again, in every dialect;
 * Gemini names the pause in the body. */
START_TEST(test_dialect_recovers)
{
	set_openrouter_key();
	start();
	ask_start(0, dialects[_i].agent, "stub-goaway");
	ask_start(1, dialects[_i].agent, "stub-429x1-ra0");
	run();
	for (size_t i = 0; i < 2; i++) {
		check_whole(&asked[i]);
		ck_assert_int_eq(asked[i].result.attempts, 2);
		ask_release(&asked[i]);
	}
}
END_TEST

/* ---- money ---- */

START_TEST(test_cost)
{
	setenv("ARAGORA_LLM_PRICES",
	    "openai/stub-ok=2/8,openai/stub-nousage=1/1", 1);
	set_openrouter_key();
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-ok");
	ask_start(1, "openai-api", "stub-slow@0");
	ask_start(2, "openrouter", "stub-ok");
	ask_start(3, "ollama", "stub-ok");
	ask_start(4, "openai-api", "stub-nousage");
	ask_start(5, "demo", "fast");
	run();
	for (size_t i = 0; i < 6; i++)
		check_whole(&asked[i]);
	ck_assert_int_eq(q->result.cost_udollar,
	    q->result.tokens_in * 2 + q->result.tokens_out * 8);
	/* of no known price */
	ck_assert_int_eq(asked[1].result.cost_udollar, -1);
	/* as OpenRouter says: 0.00123 dollars */
	ck_assert_int_eq(asked[2].result.cost_udollar, 1230);
	ck_assert_int_eq(asked[3].result.cost_udollar, 0);
	ck_assert_int_eq(asked[4].result.cost_udollar,
	    asked[4].result.tokens_in + asked[4].result.tokens_out);
	ck_assert_int_eq(asked[5].result.cost_udollar, 0);
	for (size_t i = 0; i < 6; i++)
		ask_release(&asked[i]);
}
END_TEST

START_TEST(test_bad_prices)
{
	struct buf problems;

	setenv("ARAGORA_LLM_PRICES", "openai/stub-ok=cheap", 1);
	buf_init(&problems, 4096);
	ck_assert_int_eq(settings_load(&settings, &problems), ERR_OK);
	buf_release(&problems);
	ck_assert_int_eq(llm_new(&llm, settings, loop), ERR_INVALID);
	ck_assert_ptr_null(llm);
}
END_TEST

/* ---- the same model elsewhere ---- */

/* The scenario's name is the model's, so it goes wrong at OpenRouter as well;
 * what is seen there counts. */
START_TEST(test_fallback)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	set_openrouter_key();
	start();
	struct asked *q = ask_start(0, "anthropic-api", "stub-402x1");
	ask_start(1, "openai-api", "stub-ctx");
	run();
	ck_assert(q->result.is_fallback);
	ck_assert_str_eq(q->result.provider, "openrouter");
	ck_assert_int_eq(q->result.attempts, 2);
	ck_assert_int_eq(stub_seen("stub-402x1"), 1);
	ck_assert_int_eq(stub_seen("anthropic/stub-402x1"), 1);
	/* A bad request is bad everywhere. */
	ck_assert_int_eq(asked[1].error, LLM_ERR_BAD_REQUEST);
	ck_assert(!asked[1].result.is_fallback);
	ck_assert_int_eq(json_get_int(stub_stats(), "total", 0), 3);
	ask_release(q);
	ask_release(&asked[1]);
}
END_TEST

START_TEST(test_fallback_without_key)
{
	unsetenv("ANTHROPIC_API_KEY");
	set_openrouter_key();
	start();
	struct asked *q = ask_start(0, "anthropic-api", "stub-ok");
	run();
	check_whole(q);
	ck_assert(q->result.is_fallback);
	ck_assert_int_eq(stub_seen("anthropic/stub-ok"), 1);
	ask_release(q);
}
END_TEST

START_TEST(test_no_fallback)
{
	setenv("ARAGORA_LLM_FALLBACK", "0", 1);
	set_openrouter_key();
	start();
	struct asked *q = ask_start(0, "anthropic-api", "stub-402");
	run();
	ck_assert_int_eq(q->error, LLM_ERR_MONEY);
	ck_assert_int_eq(json_get_int(stub_stats(), "total", 0), 1);
	ask_release(q);
}
END_TEST

/* ---- a second request ---- */

/* The first is silent for an hour. */
START_TEST(test_hedge)
{
	setenv("ARAGORA_LLM_HEDGE_AFTER", "20", 1);
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-firstslow");
	run();
	check_whole(q);
	ck_assert(q->result.is_hedged);
	ck_assert_int_eq(q->result.attempts, 2);
	ck_assert_int_eq(q->restarts, 0);
	ck_assert_int_eq(stub_seen("stub-firstslow"), 2);
	/* The loser's connection is closed. */
	stub_await_closed(1);
	ask_release(q);
}
END_TEST

/* Both are silent: cancelled together. */
static void
cancel_hedged(struct loop_timer *t)
{
	if (stub_seen("stub-slow-ttfb@3600000") < 2) {
		loop_timer_set(loop, t, 1);
		return;
	}
	llm_call_cancel(&asked[0].call);
	loop_stop(loop);
}

START_TEST(test_hedge_cancelled)
{
	struct loop_timer timer = {.fn = cancel_hedged};

	setenv("ARAGORA_LLM_HEDGE_AFTER", "20", 1);
	start();
	ask_start(0, "openai-api", "stub-slow-ttfb@3600000");
	loop_timer_set(loop, &timer, 1);
	run();
	ck_assert_int_eq(asked[0].done, 0);
	stub_await_closed(2);
	ask_release(&asked[0]);
}
END_TEST

START_TEST(test_no_hedge_when_quick)
{
	setenv("ARAGORA_LLM_HEDGE_AFTER", "60000", 1);
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-ok");
	run();
	check_whole(q);
	ck_assert(!q->result.is_hedged);
	ck_assert_int_eq(json_get_int(stub_stats(), "total", 0), 1);
	ask_release(q);
}
END_TEST

/* ---- too long, too fast ---- */

START_TEST(test_prompt_is_cut_once)
{
	char context[6000];

	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	memset(context, 'c', sizeof(context) - 1);
	context[sizeof(context) - 1] = '\0';
	ask_context = context;
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-toolong@5000");
	ask_start(1, "openai-api", "stub-toolong@100");
	run();
	check_whole(q);
	ck_assert(q->result.is_prompt_cut);
	ck_assert_int_eq(q->result.attempts, 2);
	ck_assert_int_eq(asked[1].error, LLM_ERR_BAD_REQUEST);
	ck_assert_int_eq(stub_seen("stub-toolong@100"), 2);
	ask_release(q);
	ask_release(&asked[1]);
}
END_TEST

/* Two requests fit into the minute; the third would be too late. */
START_TEST(test_requests_per_minute)
{
	setenv("ARAGORA_LLM_REQUESTS_PER_MINUTE", "2", 1);
	setenv("ARAGORA_AGENT_TIMEOUT", "10", 1);
	start();
	for (size_t i = 0; i < 3; i++)
		ask_start(i, "openai-api", "stub-ok");
	run();
	int64_t n = 0;
	for (size_t i = 0; i < 3; i++) {
		n += asked[i].error == LLM_ERR_NONE;
		ck_assert(asked[i].error == LLM_ERR_NONE ||
		    asked[i].error == LLM_ERR_RATE);
		ask_release(&asked[i]);
	}
	ck_assert_int_eq(n, 2);
	ck_assert_int_eq(stub_seen("stub-ok"), 2);
}
END_TEST

/* ---- where it may not go ---- */

static const char *const denied[] = {
    /* the metadata of clouds, in all spellings */
    "http://169.254.169.254/v1", "http://0xa9fea9fe/v1", "http://2852039166/v1",
    "http://0251.0376.0251.0376/v1", "http://0xa9.0xfe.0xa9.0xfe/v1",
    "http://169.254.43518/v1", "http://169.16689662/v1",
    "http://0xA9.254.0251.254/v1", "https://169.254.169.254/v1",
    "https://2852039166/v1",
    /* what is no host */
    "http://224.0.0.1/v1", "http://0xe0000001/v1", "http://240.0.0.1/v1",
    "http://255.255.255.255/v1", "http://0.0.0.1/v1", "https://0.0.0.1/v1",
    /* plain http to the world */
    "http://8.8.8.8/v1", "http://134744072/v1", "http://0x08080808/v1",
    "http://010.010.010.010/v1", "http://172.32.0.1/v1",
    "http://100.128.0.1/v1",
    /* https to the inside under another name */
    "https://2130706433/v1", "https://0x7f000001/v1", "https://017700000001/v1",
    "https://0x7f.1/v1", "https://127.1/v1", "https://0177.0.0.1/v1",
    "https://127.0.1/v1", "https://0/v1", "https://0x0a000001/v1",
    "https://167772161/v1", "https://10.1/v1", "https://012.0.0.1/v1",
    "https://0xc0.0xa8.1/v1", "https://192.168.257/v1", "https://0xac.16.1/v1",
    "https://0x64.0x40.0.1/v1",
    /* what is no base URL */
    "ftp://127.0.0.1/v1", "file:///etc/passwd", "http://user@127.0.0.1/v1"};

START_TEST(test_denied)
{
	setenv("OPENAI_BASE_URL", denied[_i], 1);
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-ok");
	run();
	ck_assert_msg(q->error == LLM_ERR_BAD_REQUEST, "%s: %s (%s)",
	    denied[_i], llm_error_name(q->error), q->message);
	ask_release(q);
}
END_TEST

/* ---- silence and cancellation ---- */

START_TEST(test_idle)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	setenv("ARAGORA_LLM_IDLE_TIMEOUT", "1", 1);
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-idle");
	run();
	ck_assert_int_eq(q->error, LLM_ERR_PARTIAL);
	ck_assert_str_ne(q->text, "");
	stub_await_closed(1);
	ask_release(q);
}
END_TEST

START_TEST(test_first_byte)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	setenv("ARAGORA_LLM_FIRST_BYTE_TIMEOUT", "1", 1);
	start();
	struct asked *q = ask_start(0, "openai-api", "stub-slow-ttfb@3600000");
	run();
	ck_assert_int_eq(q->error, LLM_ERR_TIMEOUT);
	ck_assert_str_eq(q->text, "");
	stub_await_closed(1);
	ask_release(q);
}
END_TEST

START_TEST(test_deadline)
{
	setenv("ARAGORA_AGENT_TIMEOUT", "1", 1);
	start();
	/* Tokens keep coming, the answer does not end. */
	struct asked *q = ask_start(0, "openai-api", "stub-slow@400");
	run();
	ck_assert_int_eq(q->error, LLM_ERR_TIMEOUT);
	ck_assert_int_eq(q->result.attempts, 1);
	stub_await_closed(1);
	ask_release(q);
}
END_TEST

static void
cancel_all(struct loop_timer *t)
{
	size_t n = *(size_t *)t->arg;

	for (size_t i = 0; i < n; i++)
		if (asked[i].deltas.len == 0) {
			loop_timer_set(loop, t, 1);
			return;
		}
	for (size_t i = 0; i < n; i++) {
		llm_call_cancel(&asked[i].call);
		ck_assert_ptr_null(asked[i].call);
		llm_call_cancel(&asked[i].call);
	}
	loop_stop(loop);
}

START_TEST(test_cancel)
{
	size_t n = 2;
	struct loop_timer timer = {.fn = cancel_all, .arg = &n};

	start();
	ask_start(0, "openai-api", "stub-idle");
	ask_start(1, "openai-api", "stub-slow@60000");
	/* The slow one says nothing for a minute. */
	buf_puts(&asked[1].deltas, "-");
	loop_timer_set(loop, &timer, 0);
	run();
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(asked[i].done, 0);
		ask_release(&asked[i]);
	}
	/* The second may not even have been sent; the first was. */
	ck_assert_int_eq(stub_seen("stub-idle"), 1);
	while (json_get_int(stub_stats(), "client_closed", 0) <
	    json_get_int(stub_stats(), "total", 0))
		usleep(1000);
}
END_TEST

/* Freed with calls under way: silent, and the connections are closed. */
START_TEST(test_free)
{
	start();
	ask_start(0, "openai-api", "stub-idle");
	ask_start(1, "demo", "");
	size_t n = 0;
	struct loop_timer timer = {.fn = cancel_all, .arg = &n};
	loop_timer_set(loop, &timer, 0);
	run();
	llm_free(&llm);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(asked[i].done, 0);
		ask_release(&asked[i]);
	}
}
END_TEST

START_TEST(test_nobody_listens)
{
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	/* A port that was ours a moment ago. */
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(
	    getsockname(fd, (struct sockaddr *)&address, &size), 0);
	setenv("VLLM_BASE_URL",
	    arena_printf(
		arena, "http://127.0.0.1:%d/v1", ntohs(address.sin_port)),
	    1);
	start();
	/* Bound but not listening: refused. */
	struct asked *q = ask_start(0, "vllm", "any");
	run();
	ck_assert_int_eq(q->error, LLM_ERR_NETWORK);
	close(fd);
	ask_release(q);
}
END_TEST

START_TEST(test_demo)
{
	start();
	struct asked *q = ask_start(0, "demo", "");
	struct asked *fast = ask_start(1, "demo", "fast");
	run();
	check_whole(q);
	check_whole(fast);
	ck_assert_str_eq(q->text, fast->text);
	ck_assert_int_eq(q->result.attempts, 1);
	ck_assert_int_eq(json_get_int(stub_stats(), "total", -1), 0);
	ask_release(q);
	ask_release(fast);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 120); /* only a hang takes so long */
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_ok);
	tcase_add_test(t, test_forms_of_transport);
	tcase_add_test(t, test_memory);
	tcase_add_test(t, test_length);
	tcase_add_test(t, test_retried_until_well);
	tcase_add_test(t, test_failures);
	tcase_add_test(t, test_refused_parameter_is_learnt);
	tcase_add_test(t, test_breaker);
	tcase_add_loop_test(t, test_dialect, 0, ARRAY_LEN(dialects));
	tcase_add_loop_test(t, test_dialect_troubles, 0, ARRAY_LEN(dialects));
	tcase_add_loop_test(t, test_own_words, 0, ARRAY_LEN(own_words));
	tcase_add_loop_test(t, test_dialect_recovers, 0, ARRAY_LEN(dialects));
	tcase_add_test(t, test_cost);
	tcase_add_test(t, test_bad_prices);
	tcase_add_test(t, test_fallback);
	tcase_add_test(t, test_fallback_without_key);
	tcase_add_test(t, test_no_fallback);
	tcase_add_test(t, test_hedge);
	tcase_add_test(t, test_hedge_cancelled);
	tcase_add_test(t, test_no_hedge_when_quick);
	tcase_add_test(t, test_prompt_is_cut_once);
	tcase_add_test(t, test_requests_per_minute);
	tcase_add_loop_test(t, test_denied, 0, ARRAY_LEN(denied));
	tcase_add_test(t, test_idle);
	tcase_add_test(t, test_first_byte);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_free);
	tcase_add_test(t, test_nobody_listens);
	tcase_add_test(t, test_demo);
}

int
main(void)
{
	return check_run("llm_http", add_tests);
}
