/* SPDX-License-Identifier: MIT
 *
 * The registry of agents, specifications, availability.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"

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

START_TEST(test_rows)
{
	ck_assert_uint_gt(llm_agent_count(), 20);
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		/* Found by its own name: it is unique and no alias. */
		ck_assert_ptr_eq(llm_agent_find(row->name), row);
		ck_assert(!str_is_empty(row->model));
		ck_assert(!str_is_empty(row->help));
		ck_assert_str_eq(
		    row->provider, llm_dialect(llm_agent_dialect(row))->name);
	}
}
END_TEST

static const struct {
	const char *alias;
	const char *name;
} aliases[] = {
    {"claude", "anthropic-api"},
    {"gpt-4", "openai-api"},
    {"gpt4", "openai-api"},
    {"openai", "openai-api"},
    {"codex", "openai-api"},
    {"gemini-pro", "gemini"},
};

START_TEST(test_aliases)
{
	const struct llm_agent_row *row = llm_agent_find(aliases[_i].alias);

	ck_assert_ptr_nonnull(row);
	ck_assert_str_eq(row->name, aliases[_i].name);
}
END_TEST

START_TEST(test_unknown)
{
	ck_assert_ptr_null(llm_agent_find("nobody"));
	ck_assert_ptr_null(llm_agent_find(""));
	ck_assert_ptr_null(llm_agent_find("Demo"));
}
END_TEST

static const struct {
	const char *spec;
	const char *row, *name, *model, *persona, *role;
} specs[] = {
    {"demo", "demo", "demo", "", "", ""},
    {"  demo ", "demo", "demo", "", "", ""},
    {"claude", "anthropic-api", "claude", "", "", ""},
    {"demo:optimist", "demo", "demo", "", "optimist", ""},
    {"openai|m1", "openai-api", "openai", "m1", "", ""},
    {"openai|qwen:7b", "openai-api", "openai", "qwen:7b", "", ""},
    {"grok|m1|a careful one|critic", "grok", "grok", "m1", "a careful one",
	"critic"},
    {"grok || x | judge ", "grok", "grok", "", "x", "judge"},
    {"demo|", "demo", "demo", "", "", ""},
};

START_TEST(test_spec)
{
	struct llm_agent agent;
	struct err_info info = {0};

	ck_assert_int_eq(
	    llm_agent_parse(arena, specs[_i].spec, &agent, &info), ERR_OK);
	ck_assert_str_eq(agent.row->name, specs[_i].row);
	ck_assert_str_eq(agent.name, specs[_i].name);
	ck_assert_str_eq(agent.model, specs[_i].model);
	ck_assert_str_eq(agent.persona, specs[_i].persona);
	ck_assert_str_eq(agent.role, specs[_i].role);
}
END_TEST

START_TEST(test_bad_spec)
{
	struct llm_agent agent;
	struct err_info info = {0};
	char model[256];

	ck_assert_int_eq(
	    llm_agent_parse(arena, "nobody|x", &agent, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "agents");
	ck_assert_ptr_nonnull(strstr(info.text, "'nobody'"));
	ck_assert_int_eq(llm_agent_parse(arena, "", &agent, NULL), ERR_INVALID);
	memset(model, 'm', sizeof(model));
	ck_assert_int_eq(
	    llm_agent_parse(arena, arena_printf(arena, "demo|%.200s", model),
		&agent, &info),
	    ERR_OK);
	ck_assert_int_eq(
	    llm_agent_parse(arena, arena_printf(arena, "demo|%.201s", model),
		&agent, &info),
	    ERR_INVALID);
	ck_assert_int_eq(
	    llm_agent_parse(arena, arena_printf(arena, "demo|||%.101s", model),
		&agent, &info),
	    ERR_INVALID);
}
END_TEST

/* ---- availability ---- */

static struct settings *
load(void)
{
	struct settings *s;
	struct buf problems;

	buf_init(&problems, 4096);
	ck_assert_int_eq(settings_load(&s, &problems), ERR_OK);
	buf_release(&problems);
	return s;
}

static void
clear_keys(void)
{
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const char *env = llm_agent_at(i)->key_env;
		if (*env == '\0')
			continue;
		unsetenv(env);
		unsetenv(arena_printf(arena, "%s_FILE", env));
	}
	unsetenv("GROK_API_KEY");
}

START_TEST(test_missing_keys)
{
	clear_keys();
	struct settings *s = load();
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		struct err_info why = {0};
		bool needs_key = *row->key_env != '\0';
		ck_assert_int_eq(
		    llm_agent_is_available(row, s, &why), !needs_key);
		if (needs_key) {
			ck_assert_str_eq(why.field, "agents");
			ck_assert_ptr_nonnull(strstr(why.text, row->key_env));
		}
		ck_assert_int_eq(
		    llm_agent_is_available(row, s, NULL), !needs_key);
	}
	settings_free(&s);
}
END_TEST

/* The variable a row names is the one that makes it available. */
START_TEST(test_each_key)
{
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		if (*row->key_env == '\0')
			continue;
		clear_keys();
		setenv(row->key_env, "k-123", 1);
		struct settings *s = load();
		ck_assert(llm_agent_is_available(row, s, NULL));
		ck_assert_str_eq(llm_agent_key(row, s), "k-123");
		ck_assert(!str_is_empty(llm_agent_url(row, s)));
		settings_free(&s);
	}
}
END_TEST

START_TEST(test_offline)
{
	struct err_info why = {0};

	clear_keys();
	setenv("ARAGORA_OFFLINE", "1", 1);
	setenv("OPENAI_API_KEY", "k", 1);
	setenv("OPENROUTER_API_KEY", "k", 1);
	setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1", 1);
	setenv("VLLM_BASE_URL", "http://[::1]:9/v1", 1);
	setenv("OLLAMA_HOST", "http://example.org:11434", 1);
	struct settings *s = load();
	ck_assert(llm_agent_is_available(llm_agent_find("demo"), s, &why));
	ck_assert(llm_agent_is_available(llm_agent_find("openai"), s, &why));
	ck_assert(llm_agent_is_available(llm_agent_find("vllm"), s, &why));
	ck_assert(llm_agent_is_available(llm_agent_find("lm-studio"), s, &why));
	ck_assert(!llm_agent_is_available(llm_agent_find("kimi"), s, &why));
	ck_assert_ptr_nonnull(strstr(why.text, "ARAGORA_OFFLINE"));
	ck_assert(!llm_agent_is_available(llm_agent_find("ollama"), s, &why));
	settings_free(&s);
}
END_TEST

/* Hosts and users that only begin like this machine's. */
START_TEST(test_offline_lookalikes)
{
	static const char *const urls[] = {"http://localhost.example.org/v1",
	    "http://127.0.0.1.example.org/v1",
	    "http://localhost@example.org/v1", "http://127.example.org/v1",
	    "http://localhost:x@example.org/v1"};

	clear_keys();
	setenv("ARAGORA_OFFLINE", "1", 1);
	setenv("OPENAI_API_KEY", "k", 1);
	setenv("OPENAI_BASE_URL", urls[_i], 1);
	struct settings *s = load();
	ck_assert(!llm_agent_is_available(llm_agent_find("openai"), s, NULL));
	settings_free(&s);
}
END_TEST

START_TEST(test_names_of_tasks_and_errors)
{
	for (int t = 0; t < LLM_TASK__COUNT; t++)
		ck_assert(!str_is_empty(llm_task_name((enum llm_task)t)));
	for (int c = 0; c < LLM_ERR__COUNT; c++)
		ck_assert(
		    !str_is_empty(llm_error_name((enum llm_error_class)c)));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_rows);
	tcase_add_loop_test(t, test_aliases, 0, ARRAY_LEN(aliases));
	tcase_add_test(t, test_unknown);
	tcase_add_loop_test(t, test_spec, 0, ARRAY_LEN(specs));
	tcase_add_test(t, test_bad_spec);
	tcase_add_test(t, test_missing_keys);
	tcase_add_test(t, test_each_key);
	tcase_add_test(t, test_offline);
	tcase_add_loop_test(t, test_offline_lookalikes, 0, 5);
	tcase_add_test(t, test_names_of_tasks_and_errors);
}

int
main(void)
{
	return check_run("agents", add_tests);
}
