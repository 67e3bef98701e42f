/* SPDX-License-Identifier: MIT
 *
 * llm_embed.h against the stub provider: every dialect, batches, troubles, the
 * cache and its single flight, counted at the other end.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_embed.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"
#include "tests/unit/stub_kit.h"

#define QUESTIONS_MAX 8
#define STUB_LENGTH   64 /* of the stub's embeddings */

static struct loop *loop;
static struct settings *settings;
static struct llm *llm;
static struct llm_embedder *embedder;

static const struct {
	const char *agent, *provider;
	const char *url_env, *path;
	const char *key_env; /* NULL = none */
	bool has_usage;
} dialects[] = {
    {"openai-api", "openai", "OPENAI_BASE_URL", "/openai/v1", "OPENAI_API_KEY",
	true},
    {"openrouter", "openrouter", "OPENROUTER_BASE_URL", "/openrouter/api/v1",
	"OPENROUTER_API_KEY", true},
    {"gemini", "gemini", "GEMINI_BASE_URL", "/gemini/v1beta", "GEMINI_API_KEY",
	false},
    {"mistral-api", "mistral", "MISTRAL_BASE_URL", "/mistral/v1",
	"MISTRAL_API_KEY", true},
    {"ollama", "ollama", "OLLAMA_HOST", "/ollama", NULL, true},
    {"vllm", "vllm", "VLLM_BASE_URL", "/vllm/v1", NULL, true},
    {"llamacpp", "llamacpp", "LLAMACPP_BASE_URL", "/llamacpp/v1", NULL, true},
    {"lm-studio", "lm-studio", "LM_STUDIO_HOST", "/lmstudio", NULL, true},
};

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
		if (dialects[i].key_env != NULL)
			setenv(dialects[i].key_env, "key-of-the-tests", 1);
	}
	setenv("ANTHROPIC_API_KEY", "key-of-the-tests", 1);
	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "2", 1);
	ck_assert_int_eq(loop_new(&loop), ERR_OK);
}

static void
start(void)
{
	struct buf problems;

	buf_init(&problems, 4096);
	ck_assert_msg(settings_load(&settings, &problems) == ERR_OK, "%s",
	    buf_text(&problems));
	buf_release(&problems);
	ck_assert_int_eq(llm_new(&llm, settings, loop), ERR_OK);
	llm_embedder_new(&embedder, settings, loop, llm);
}

static void
tear_down(void)
{
	llm_embedder_free(&embedder);
	llm_free(&llm);
	loop_free(&loop);
	settings_free(&settings);
	stub_stop();
	arena_free(&arena);
}

/* ---- questions ---- */

struct question {
	struct llm_embed_call *call;
	int done;
	struct llm_result result;
	const struct json *j;
};
static struct question questions[QUESTIONS_MAX];
static int n_open;
/* Single texts that are asked for when all else is answered, in turn. */
static const char *const *next_texts;
static const char *next_model = "stub-ok";
static size_t next, n_next;

static void ask_next(void);

static void
on_done(void *arg, const struct llm_result *r)
{
	struct question *q = arg;

	ck_assert_int_eq(q->done++, 0);
	q->call = NULL;
	q->result = *r;
	q->result.message = arena_strdup(arena, r->message);
	q->j = NULL;
	if (r->error == LLM_ERR_NONE) {
		ck_assert_int_eq(
		    json_parse(arena, r->text, r->text_len,
			&(struct json_limits){.max_bytes = 4u << 20}, &q->j,
			NULL),
		    ERR_OK);
	}
	if (--n_open > 0)
		return;
	if (next < n_next)
		ask_next();
	else
		loop_stop(loop);
}

static struct question *
ask(size_t i, const char *agent, const char *model, const char *const *texts,
    size_t n)
{
	const struct llm_agent who = {.row = llm_agent_find(agent),
	    .name = "embedder",
	    .model = model,
	    .persona = "",
	    .role = ""};
	struct llm_block *blocks = ARENA_ARRAY(arena, n, struct llm_block);
	struct question *q = &questions[i];

	for (size_t k = 0; k < n; k++)
		blocks[k] = (struct llm_block){.label = "", .text = texts[k]};
	*q = (struct question){0};
	n_open++;
	q->call = llm_embed_start(embedder, &who,
	    &(struct llm_request){
		.task = LLM_EMBED, .blocks = blocks, .n_blocks = n},
	    &(struct llm_call_ops){.on_done = on_done, .arg = q});
	ck_assert_int_eq(q->done, 0);
	return q;
}

static void
ask_next(void)
{
	const char *const *text = &next_texts[next];

	ask(next++, "openai-api", next_model, text, 1);
}

static void
run_in_turn(const char *const *texts, size_t n)
{
	next_texts = texts;
	next = 0;
	n_next = n;
	ask_next();
	ck_assert_int_eq(loop_run(loop), ERR_OK);
}

static void
run(void)
{
	ck_assert_int_eq(loop_run(loop), ERR_OK);
}

static int64_t
stub_total(void)
{
	return json_get_int(stub_stats(), "total", -1);
}

static int64_t
pair(const struct question *q, size_t i)
{
	int64_t ppm = INT64_MIN;

	ck_assert(json_int(json_at(json_get(q->j, "similarity_ppm"), i), &ppm));
	return ppm;
}

/* Angles of 60, 180 and 120 degrees between them. */
static const char *const angles[] = {"<<0:1>>", "<<60:1>>", "<<180:1>>"};

static void
check_angles(const struct question *q)
{
	ck_assert_msg(q->result.error == LLM_ERR_NONE, "%s", q->result.message);
	ck_assert_uint_eq(json_len(json_get(q->j, "similarity_ppm")), 3);
	ck_assert_int_ge(pair(q, 0), 499900);
	ck_assert_int_le(pair(q, 0), 500100);
	ck_assert_int_eq(pair(q, 1), -1000000);
	ck_assert_int_ge(pair(q, 2), -500100);
	ck_assert_int_le(pair(q, 2), -499900);
}

/* ---- dialects ---- */

START_TEST(test_dialect)
{
	start();
	struct question *q =
	    ask(0, dialects[_i].agent, "stub-ok", angles, ARRAY_LEN(angles));
	run();
	check_angles(q);
	ck_assert_str_eq(json_get_str(q->j, "model", ""),
	    arena_printf(arena, "%s/stub-ok", dialects[_i].provider));
	ck_assert_int_eq(json_get_int(q->j, "dimension", 0), STUB_LENGTH);
	ck_assert_int_eq(json_get_int(q->j, "cached", -1), 0);
	ck_assert_ptr_null(json_get(q->j, "vector"));
	ck_assert_int_eq(q->result.attempts, 1);
	ck_assert_int_gt(q->result.tokens_in, 0);
	ck_assert_int_eq(q->result.tokens_out, 0);
	ck_assert_int_eq(q->result.is_usage_estimated, !dialects[_i].has_usage);
	ck_assert_int_eq(stub_total(), 1);
}
END_TEST

START_TEST(test_dialect_length)
{
	setenv("ARAGORA_EMBEDDING_DIMENSION", "24", 1);
	start();
	struct question *q =
	    ask(0, dialects[_i].agent, "stub-ok", angles, ARRAY_LEN(angles));
	run();
	check_angles(q);
	ck_assert_int_eq(json_get_int(q->j, "dimension", 0), 24);
}
END_TEST

static const struct {
	const char *model;
	enum llm_error_class error;
	int64_t asked;
} troubles[] = {
    {"stub-fewer", LLM_ERR_BAD_REQUEST, 1},
    {"stub-uneven", LLM_ERR_SERVER, 2},
    {"stub-401", LLM_ERR_AUTH, 1},
    {"stub-quota", LLM_ERR_MONEY, 1},
    {"stub-500", LLM_ERR_SERVER, 2},
    {"stub-html502", LLM_ERR_SERVER, 2},
    {"stub-redirect", LLM_ERR_BAD_REQUEST, 1},
    {"stub-no-such-thing", LLM_ERR_BAD_REQUEST, 1},
    {"stub-200-error-body", LLM_ERR_SERVER, 2},
};

START_TEST(test_trouble)
{
	start();
	struct question *q =
	    ask(0, "openai-api", troubles[_i].model, angles, ARRAY_LEN(angles));
	struct question *same =
	    ask(1, "openai-api", troubles[_i].model, angles, ARRAY_LEN(angles));
	run();
	ck_assert_msg(q->result.error == troubles[_i].error, "%d: %s",
	    (int)q->result.error, q->result.message);
	ck_assert_str_ne(q->result.message, "");
	ck_assert_int_eq(stub_total(), troubles[_i].asked);
	/* Who waited for the same is told the same. */
	ck_assert_int_eq(same->result.error, q->result.error);
}
END_TEST

START_TEST(test_wrong_length)
{
	setenv("ARAGORA_EMBEDDING_DIMENSION", "24", 1);
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-ownlength", angles, ARRAY_LEN(angles));
	run();
	ck_assert_int_eq(q->result.error, LLM_ERR_BAD_REQUEST);
	ck_assert_ptr_nonnull(
	    strstr(q->result.message, "ARAGORA_EMBEDDING_DIMENSION"));
}
END_TEST

START_TEST(test_retried)
{
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-500x1", angles, ARRAY_LEN(angles));
	run();
	check_angles(q);
	ck_assert_int_eq(q->result.attempts, 2);
	ck_assert_int_eq(stub_total(), 2);
}
END_TEST

START_TEST(test_forms)
{
	start();
	struct question *turned =
	    ask(0, "openai-api", "stub-turned", angles, ARRAY_LEN(angles));
	struct question *mute =
	    ask(1, "openai-api", "stub-mute", angles, ARRAY_LEN(angles));
	struct question *plain =
	    ask(2, "vllm", "stub-turned", angles, ARRAY_LEN(angles));
	run();
	check_angles(turned);
	check_angles(plain);
	check_angles(mute);
	ck_assert(!turned->result.is_usage_estimated);
	ck_assert(mute->result.is_usage_estimated);
	ck_assert_int_gt(mute->result.tokens_in, 0);
	ck_assert_int_eq(mute->result.tokens_out, 0);
}
END_TEST

START_TEST(test_nobody_to_ask)
{
	start();
	struct question *q =
	    ask(0, "anthropic-api", "", angles, ARRAY_LEN(angles));
	struct question *demo = ask(1, "demo", "", angles, ARRAY_LEN(angles));
	struct question *none = ask(2, "openai-api", "stub-ok", angles, 0);
	run();
	ck_assert_int_eq(q->result.error, LLM_ERR_BAD_REQUEST);
	ck_assert_int_eq(demo->result.error, LLM_ERR_BAD_REQUEST);
	ck_assert_int_eq(none->result.error, LLM_ERR_BAD_REQUEST);
	ck_assert_int_eq(stub_total(), 0);
}
END_TEST

/* Another model through OpenRouter would not do. */
START_TEST(test_no_fallback)
{
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-401", angles, ARRAY_LEN(angles));
	run();
	ck_assert_int_eq(q->result.error, LLM_ERR_AUTH);
	ck_assert_int_eq(stub_seen("openai/stub-401"), 0);
}
END_TEST

START_TEST(test_cost)
{
	setenv("ARAGORA_LLM_PRICES", "openai/stub-ok=2/0", 1);
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-ok", angles, ARRAY_LEN(angles));
	struct question *free_of =
	    ask(1, "ollama", "stub-ok", angles, ARRAY_LEN(angles));
	struct question *unknown =
	    ask(2, "openai-api", "stub-mute", angles, ARRAY_LEN(angles));
	run();
	ck_assert_int_eq(q->result.cost_udollar, 2 * q->result.tokens_in);
	ck_assert_int_eq(free_of->result.cost_udollar, 0);
	ck_assert_int_eq(unknown->result.cost_udollar, -1);
}
END_TEST

/* ---- batches and lengths ---- */

START_TEST(test_batches)
{
	const char *texts[150];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		texts[i] = arena_printf(arena, "<<%zu:1>>", i);
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-turned", texts, ARRAY_LEN(texts));
	run();
	ck_assert_int_eq(q->result.error, LLM_ERR_NONE);
	ck_assert_int_eq(stub_total(), 3);
	ck_assert_int_eq(q->result.attempts, 3);
	/* Neighbours across the border of two batches are 1 degree apart. */
	size_t row_63 = 63 * 150 - 63 * 64 / 2;
	ck_assert_int_ge(pair(q, row_63), 999800);
	ck_assert_int_le(pair(q, row_63), 999900);
	/* 0 and 149 degrees */
	ck_assert_int_ge(pair(q, 148), -857300);
	ck_assert_int_le(pair(q, 148), -857000);
}
END_TEST

/* What the provider would refuse is not sent: too much, and nothing. */
START_TEST(test_long_and_empty)
{
	char *text = arena_alloc(arena, LLM_EMBED_TEXT_MAX + 4);
	char *longer = arena_alloc(arena, LLM_EMBED_TEXT_MAX + 100);

	memset(text, 'a', LLM_EMBED_TEXT_MAX - 1);
	memset(longer, 'a', LLM_EMBED_TEXT_MAX - 1);
	/* a character of two bytes across the limit */
	memcpy(longer + LLM_EMBED_TEXT_MAX - 1, "\xc3\xa4 and more", 11);
	const char *const texts[] = {text, longer, ""};
	start();
	struct question *q =
	    ask(0, "openai-api", "stub-ok", texts, ARRAY_LEN(texts));
	run();
	ck_assert_msg(q->result.error == LLM_ERR_NONE, "%s", q->result.message);
	ck_assert_int_eq(pair(q, 0), 1000000);
	ck_assert_int_eq(json_get_int(q->j, "cached", -1), 1);
}
END_TEST

/* ---- the cache ---- */

START_TEST(test_flight_is_single)
{
	int64_t hits = metric_read(METRIC_EMBED_HITS);
	int64_t misses = metric_read(METRIC_EMBED_MISSES);

	setenv("ARAGORA_EMBEDDING_CACHE_SIZE", "0", 1);
	start();
	for (size_t i = 0; i < 5; i++)
		ask(i, "openai-api", "stub-ok", angles, ARRAY_LEN(angles));
	run();
	for (size_t i = 0; i < 5; i++) {
		check_angles(&questions[i]);
		ck_assert_int_eq(
		    json_get_int(questions[i].j, "cached", -1), i == 0 ? 0 : 3);
		/* One pays. */
		ck_assert_int_eq(questions[i].result.attempts, i == 0);
		ck_assert_int_eq(questions[i].result.tokens_in > 0, i == 0);
	}
	ck_assert_int_eq(stub_total(), 1);
	ck_assert_int_eq(metric_read(METRIC_EMBED_MISSES) - misses, 3);
	ck_assert_int_eq(metric_read(METRIC_EMBED_HITS) - hits, 12);
}
END_TEST

/* Which of the questions went to the provider. */
static void
check_asked(const char *asked)
{
	for (size_t i = 0; asked[i] != '\0'; i++) {
		ck_assert_msg(questions[i].result.error == LLM_ERR_NONE, "%s",
		    questions[i].result.message);
		ck_assert_msg(
		    (questions[i].result.attempts == 1) == (asked[i] == 'y'),
		    "question %zu", i);
		ck_assert_int_eq(json_get_int(questions[i].j, "cached", -1),
		    asked[i] == 'n');
		ck_assert_ptr_nonnull(
		    json_get_str(questions[i].j, "vector", NULL));
	}
}

static const struct {
	const char *size, *seconds;
	const char *texts[7];
	size_t n;
	const char *asked;
} caches[] = {
    {"1000", "86400", {"a", "b", "a", "b"}, 4, "yynn"},
    /* b is the one that was not asked for the longest */
    {"2", "86400", {"a", "b", "a", "c", "a", "b", "c"}, 7, "yynynyy"},
    {"1", "86400", {"a", "b", "a"}, 3, "yyy"},
    {"0", "86400", {"a", "a"}, 2, "yy"},
    /* it is too old at once */
    {"1000", "0", {"a", "a"}, 2, "yy"},
};

START_TEST(test_cache)
{
	setenv("ARAGORA_EMBEDDING_CACHE_SIZE", caches[_i].size, 1);
	setenv("ARAGORA_EMBEDDING_CACHE_TTL", caches[_i].seconds, 1);
	start();
	run_in_turn(caches[_i].texts, caches[_i].n);
	check_asked(caches[_i].asked);
}
END_TEST

/* A failure is not remembered. */
START_TEST(test_failure_is_forgotten)
{
	static const char *const texts[] = {"a", "a"};

	setenv("ARAGORA_LLM_MAX_ATTEMPTS", "1", 1);
	start();
	next_model = "stub-500x1";
	run_in_turn(texts, ARRAY_LEN(texts));
	ck_assert_int_eq(questions[0].result.error, LLM_ERR_SERVER);
	ck_assert_int_eq(questions[1].result.error, LLM_ERR_NONE);
	ck_assert_int_eq(stub_total(), 2);
}
END_TEST

/* One text, two models and two providers: four vectors. */
START_TEST(test_models_are_apart)
{
	static const char *const texts[] = {"a"};

	start();
	ask(0, "openai-api", "stub-ok", texts, 1);
	ask(1, "openai-api", "stub-mute", texts, 1);
	ask(2, "vllm", "stub-ok", texts, 1);
	run();
	ck_assert_int_eq(stub_total(), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(json_get_int(questions[i].j, "cached", -1), 0);
}
END_TEST

/* ---- cancelling ---- */

START_TEST(test_cancel_one)
{
	start();
	struct question *gone =
	    ask(0, "openai-api", "stub-ok", angles, ARRAY_LEN(angles));
	struct question *stays =
	    ask(1, "openai-api", "stub-ok", angles, ARRAY_LEN(angles));
	llm_embed_cancel(&gone->call);
	ck_assert_ptr_null(gone->call);
	n_open--;
	run();
	check_angles(stays);
	ck_assert_int_eq(gone->done, 0);
	ck_assert_int_eq(stub_total(), 1);
	/* It pays now. */
	ck_assert_int_gt(stays->result.tokens_in, 0);
}
END_TEST

static void
on_cancel_time(struct loop_timer *t)
{
	if (json_get_int(stub_stats(), "total", 0) == 0) {
		loop_timer_set(loop, t, 5);
		return;
	}
	for (size_t i = 0; i < 2; i++)
		llm_embed_cancel(&questions[i].call);
	loop_stop(loop);
}

/* When nobody waits any more, its connection is closed. */
START_TEST(test_cancel_all)
{
	struct loop_timer timer = {.fn = on_cancel_time};

	start();
	ask(0, "openai-api", "stub-slow-ttfb@60000", angles, 3);
	ask(1, "openai-api", "stub-slow-ttfb@60000", angles, 3);
	loop_timer_set(loop, &timer, 5);
	run();
	stub_await_closed(1);
}
END_TEST

/* With questions under way. */
START_TEST(test_free)
{
	start();
	ask(0, "openai-api", "stub-ok", angles, ARRAY_LEN(angles));
	ask(1, "anthropic-api", "", angles, ARRAY_LEN(angles));
}
END_TEST

/* ---- who embeds ---- */

static const struct {
	const char *said;
	enum err e;
	const char *agent, *model; /* NULL = nobody */
} embedders[] = {
    {"", ERR_OK, NULL, NULL},
    {"openai-api", ERR_OK, "openai-api", "text-embedding-3-small"},
    {"gpt4|text-embedding-3-large", ERR_OK, "openai-api",
	"text-embedding-3-large"},
    {"gemini", ERR_OK, "gemini", "gemini-embedding-001"},
    {"mistral-api", ERR_OK, "mistral-api", "mistral-embed"},
    {"ollama", ERR_OK, "ollama", "nomic-embed-text"},
    {"vllm|bge-m3", ERR_OK, "vllm", "bge-m3"},
    {"vllm", ERR_INVALID, NULL, NULL},
    {"anthropic-api", ERR_INVALID, NULL, NULL},
    {"deepseek-api", ERR_INVALID, NULL, NULL},
    {"demo", ERR_INVALID, NULL, NULL},
    {"nobody", ERR_INVALID, NULL, NULL},
};

START_TEST(test_embedder)
{
	struct err_info info = {0};
	struct llm_agent agent;

	setenv("ARAGORA_EMBEDDING_MODEL", embedders[_i].said, 1);
	start();
	ck_assert_int_eq(
	    llm_embed_agent(arena, settings, &agent, &info), embedders[_i].e);
	ck_assert_int_eq(agent.row != NULL, embedders[_i].agent != NULL);
	if (agent.row != NULL) {
		ck_assert_str_eq(agent.row->name, embedders[_i].agent);
		ck_assert_str_eq(agent.model, embedders[_i].model);
	}
	if (embedders[_i].e != ERR_OK)
		ck_assert_str_ne(info.text, "");
}
END_TEST

/* Without its key it cannot be asked: texts are hashed then. */
START_TEST(test_embedder_without_key)
{
	struct llm_agent agent;

	setenv("ARAGORA_EMBEDDING_MODEL", "openai-api", 1);
	unsetenv("OPENAI_API_KEY");
	start();
	ck_assert_int_eq(
	    llm_embed_agent(arena, settings, &agent, NULL), ERR_OK);
	ck_assert_ptr_null(agent.row);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 120); /* only a hang takes so long */
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, test_dialect, 0, ARRAY_LEN(dialects));
	tcase_add_loop_test(t, test_dialect_length, 0, ARRAY_LEN(dialects));
	tcase_add_loop_test(t, test_trouble, 0, ARRAY_LEN(troubles));
	tcase_add_test(t, test_wrong_length);
	tcase_add_test(t, test_retried);
	tcase_add_test(t, test_forms);
	tcase_add_test(t, test_nobody_to_ask);
	tcase_add_test(t, test_no_fallback);
	tcase_add_test(t, test_cost);
	tcase_add_test(t, test_batches);
	tcase_add_test(t, test_long_and_empty);
	tcase_add_test(t, test_flight_is_single);
	tcase_add_loop_test(t, test_cache, 0, ARRAY_LEN(caches));
	tcase_add_test(t, test_failure_is_forgotten);
	tcase_add_test(t, test_models_are_apart);
	tcase_add_test(t, test_cancel_one);
	tcase_add_test(t, test_cancel_all);
	tcase_add_test(t, test_free);
	tcase_add_loop_test(t, test_embedder, 0, ARRAY_LEN(embedders));
	tcase_add_test(t, test_embedder_without_key);
}

int
main(void)
{
	return check_run("embed", add_tests);
}
