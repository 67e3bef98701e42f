/* SPDX-License-Identifier: MIT
 *
 * Create requests: defaults, every wrong field named, and the stored form.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "debate/config.h"
#include "debate/consensus.h"
#include "settings/settings.h"

static struct settings *settings;
static struct arena *arena;
static struct debate_config config;
static struct debate_config_error errors[8];
static size_t n_errors;
static bool is_missing;

static void
load(void)
{
	struct buf b;

	settings_free(&settings);
	buf_init(&b, 65536);
	ck_assert_int_eq(settings_load(&settings, &b), ERR_OK);
	buf_release(&b);
}

static void
setup(void)
{
	static const char *const keys[] = {"OPENAI_API_KEY", "XAI_API_KEY",
	    "OPENROUTER_API_KEY", "MISTRAL_API_KEY", "GROK_API_KEY"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		unsetenv(keys[i]);
	load();
	arena = arena_new(0);
}

static void
teardown(void)
{
	arena_free(&arena);
	settings_free(&settings);
}

static enum err
read_body(const char *body)
{
	const struct json *j;
	struct err_info info = {0};

	ck_assert_msg(
	    json_parse(arena, body, strlen(body), NULL, &j, &info) == ERR_OK,
	    "%s", info.text);
	n_errors = ARRAY_LEN(errors);
	return debate_config_read(
	    arena, settings, j, &config, errors, &n_errors, &is_missing);
}

START_TEST(test_defaults)
{
	ck_assert_int_eq(read_body("{\"task\":\"  Why?  \"}"), ERR_OK);
	ck_assert_str_eq(config.task, "Why?");
	ck_assert_uint_eq(config.n_agents, 3); /* no key: demo agents */
	ck_assert_str_eq(config.agents[0].name, "demo");
	ck_assert_str_eq(config.agents[1].name, "demo_2");
	ck_assert_str_eq(config.agents[2].name, "demo_3");
	ck_assert_int_eq(config.rounds, 3);
	ck_assert_int_eq(config.rule, DEBATE_JUDGE);
	ck_assert_str_eq(config.tags, "[]");
	ck_assert_str_eq(config.metadata, "{}");
}
END_TEST

START_TEST(test_keys)
{
	setenv("OPENAI_API_KEY", "k", 1);
	setenv("XAI_API_KEY", "k", 1);
	load();
	ck_assert_int_eq(read_body("{\"task\":\"Why?\"}"), ERR_OK);
	ck_assert_uint_eq(config.n_agents, 2);
	ck_assert_str_eq(config.agents[0].name, "grok");
	ck_assert_int_eq(config.rounds, settings->default_rounds);
	ck_assert_int_eq(
	    read_body("{\"task\":\"x\",\"agents\":[\"gpt-4|m1|sceptic\","
		      "{\"provider\":\"openai-api\",\"model\":\"m2\"}]}"),
	    ERR_OK);
	ck_assert_str_eq(config.agents[0].name, "gpt-4"); /* as given */
	ck_assert_str_eq(config.agents[0].row->name, "openai-api");
	ck_assert_str_eq(config.agents[0].model, "m1");
	ck_assert_str_eq(config.agents[0].persona, "sceptic");
	ck_assert_str_eq(config.agents[1].model, "m2");
}
END_TEST

START_TEST(test_values)
{
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"question\":\"q\",\"agents\":\"demo,"
		      "demo\",\"rounds\":99,\"consensus\":\"semantic\","
		      "\"context\":{\"a\":1},\"seed\":42,\"tags\":[\"x\"],"
		      "\"metadata\":{\"k\":true},\"unknown\":1}"),
	    ERR_OK);
	ck_assert_str_eq(config.task, "q"); /* question wins */
	ck_assert_str_eq(config.agents[1].name, "demo_2");
	ck_assert_int_eq(config.rounds, settings->max_rounds); /* clamped */
	ck_assert_int_eq(config.rule, DEBATE_JUDGE);
	ck_assert_str_eq(config.context, "{\"a\":1}");
	ck_assert_uint_eq(config.seed, 42);
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"protocol\":{\"rounds\":2,"
		      "\"consensus_mode\":\"majority\",\"consensus_threshold\":"
		      "0.75,\"early_stopping\":false}}"),
	    ERR_OK);
	ck_assert_int_eq(config.rounds, 2);
	ck_assert_int_eq(config.rule, DEBATE_MAJORITY);
	ck_assert_int_eq(config.threshold_ppm, 750000);
	ck_assert(!config.is_early_stopping);
}
END_TEST

/* What a supermajority needs is kept with the debate: another value of the
 * setting later, or on another host, does not reach it. */
static const struct {
	const char *setting, *body;
	int64_t threshold_ppm;
	bool is_2_of_3, is_3_of_4, is_4_of_5; /* enough? */
} supermajorities[] = {
    {NULL, "", 670000, true, true, true},
    {"0.5", "", 600000, true, true, true},
    {"0.75", "", 750000, false, true, true},
    {"0.75", ",\"consensus_threshold\":0.6", 750000, false, true, true},
    {"0.75", ",\"consensus_threshold\":0.8", 800000, false, false, true},
    {"0.9", "", 900000, false, false, false},
};

static bool
is_agreed(int64_t agree, int64_t n)
{
	const struct consensus_rule rule = {.rule = config.rule,
	    .threshold_ppm = config.threshold_ppm,
	    .judge = -1};
	struct consensus_ballot ballots[8];
	struct consensus_outcome out;

	for (int64_t i = 0; i < n; i++)
		ballots[i] = (struct consensus_ballot){
		    .choice = i < agree ? 0 : 1, .weight_ppm = CONSENSUS_PPM};
	consensus_count(&rule, ballots, (size_t)n, 2, &out);
	return out.is_reached;
}

START_TEST(test_supermajority)
{
	char body[256];
	struct err_info info = {0};

	if (supermajorities[_i].setting != NULL)
		setenv("ARAGORA_CONSENSUS_SUPERMAJORITY",
		    supermajorities[_i].setting, 1);
	load();
	snprintf(body, sizeof(body),
	    "{\"task\":\"t\",\"consensus\":\"supermajority\"%s}",
	    supermajorities[_i].body);
	ck_assert_int_eq(read_body(body), ERR_OK);
	const char *text = debate_config_write(arena, &config);
	unsetenv("ARAGORA_CONSENSUS_SUPERMAJORITY");
	load();
	ck_assert_int_eq(
	    debate_config_parse(arena, text, &config, &info), ERR_OK);
	ck_assert_int_eq(
	    config.threshold_ppm, supermajorities[_i].threshold_ppm);
	ck_assert(is_agreed(2, 3) == supermajorities[_i].is_2_of_3);
	ck_assert(is_agreed(3, 4) == supermajorities[_i].is_3_of_4);
	ck_assert(is_agreed(4, 5) == supermajorities[_i].is_4_of_5);
}
END_TEST

START_TEST(test_supermajority_is_no_other_rule)
{
	setenv("ARAGORA_CONSENSUS_SUPERMAJORITY", "0.9", 1);
	load();
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"consensus\":\"weighted\"}"), ERR_OK);
	ck_assert_int_eq(config.threshold_ppm, 600000);
	unsetenv("ARAGORA_CONSENSUS_SUPERMAJORITY");
}
END_TEST

static const struct {
	const char *body;
	const char *field;
} bad[] = {
    {"{}", "task"},
    {"{\"task\":null}", "task"},
    {"{\"task\":5}", "task"},
    {"{\"task\":\"   \"}", "task"},
    {"{\"question\":[]}", "question"},
    {"{\"task\":\"t\",\"agents\":[\"demo\"]}", "agents"},
    {"{\"task\":\"t\",\"agents\":5}", "agents"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",\"nobody\"]}", "agents"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",7]}", "agents"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",\"openai-api\"]}", "agents"},
    {"{\"task\":\"t\",\"rounds\":\"3\"}", "rounds"},
    {"{\"task\":\"t\",\"consensus\":\"coin\"}", "consensus"},
    {"{\"task\":\"t\",\"consensus\":1}", "consensus"},
    {"{\"task\":\"t\",\"consensus_threshold\":2}", "consensus_threshold"},
    {"{\"task\":\"t\",\"early_stopping\":\"no\"}", "early_stopping"},
    {"{\"task\":\"t\",\"context\":[1]}", "context"},
    {"{\"task\":\"t\",\"metadata\":[]}", "metadata"},
    {"{\"task\":\"t\",\"tags\":\"x\"}", "tags"},
    {"{\"task\":\"t\",\"tags\":[1]}", "tags"},
    {"{\"task\":\"t\",\"seed\":-1}", "seed"},
    /* what no code path reads still has a type */
    {"{\"task\":\"t\",\"domain\":7}", "domain"},
    {"{\"task\":\"t\",\"domain\":\"\"}", "domain"},
    {"{\"task\":\"t\",\"debate_format\":\"medium\"}", "debate_format"},
    {"{\"task\":\"t\",\"debate_format\":\"\"}", "debate_format"},
    {"{\"task\":\"t\",\"debate_format\":1}", "debate_format"},
    {"{\"task\":\"t\",\"auto_select\":\"yes\"}", "auto_select"},
    {"{\"task\":\"t\",\"auto_select_config\":[]}", "auto_select_config"},
    {"{\"task\":\"t\",\"use_trending\":1}", "use_trending"},
    {"{\"task\":\"t\",\"trending_category\":{}}", "trending_category"},
    {"{\"task\":\"t\",\"mode\":3}", "mode"},
    {"{\"task\":\"t\",\"template\":[]}", "template"},
    {"{\"task\":\"t\",\"documents\":\"x\"}", "documents"},
    {"{\"task\":\"t\",\"budget_limit_usd\":101}", "budget_limit_usd"},
    {"{\"task\":\"t\",\"budget_limit_usd\":-1}", "budget_limit_usd"},
    {"{\"task\":\"t\",\"budget_limit_usd\":\"5\"}", "budget_limit_usd"},
    {"{\"task\":\"t\",\"convergence_threshold\":1.5}", "convergence_threshold"},
    /* nested */
    {"{\"task\":\"t\",\"protocol\":\"debate\"}", "protocol"},
    {"{\"task\":\"t\",\"protocol\":{\"rouds\":3}}", "protocol.rouds"},
    {"{\"task\":\"t\",\"protocol\":{\"rounds\":1.5}}", "protocol.rounds"},
    {"{\"task\":\"t\",\"protocol\":{\"consensus\":\"coin\"}}",
	"protocol.consensus"},
    {"{\"task\":\"t\",\"protocol\":{\"consensus_mode\":[]}}",
	"protocol.consensus_mode"},
    {"{\"task\":\"t\",\"protocol\":{\"consensus_threshold\":0.4}}",
	"protocol.consensus_threshold"},
    {"{\"task\":\"t\",\"protocol\":{\"preset\":\"quarrel\"}}",
	"protocol.preset"},
    {"{\"task\":\"t\",\"protocol\":{\"preset\":3}}", "protocol.preset"},
    {"{\"task\":\"t\",\"preset\":\"\"}", "preset"},
    {"{\"task\":\"t\",\"topology\":\"tree\"}", "topology"},
    {"{\"task\":\"t\",\"preset\":\"self_consistency\",\"samples\":1}",
	"samples"},
    {"{\"task\":\"t\",\"preset\":\"self_consistency\",\"samples\":11}",
	"samples"},
    {"{\"task\":\"t\",\"preset\":\"self_consistency\",\"samples\":\"3\"}",
	"samples"},
    {"{\"task\":\"t\",\"preset\":\"debate_judge\",\"agents\":"
     "\"demo,demo\"}",
	"agents"},
    {"{\"task\":\"t\",\"preset\":\"debate_judge\",\"agents\":"
     "\"demo,demo,demo,demo\"}",
	"agents"},
    {"{\"task\":\"t\",\"preset\":\"council\",\"agents\":\"demo\"}", "agents"},
    {"{\"task\":\"t\",\"preset\":\"moa\",\"consensus\":\"majority\"}",
	"consensus"},
    {"{\"task\":\"t\",\"preset\":\"single\",\"consensus\":\"judge\"}",
	"consensus"},
    {"{\"task\":\"t\",\"protocol\":{\"early_stopping\":0}}",
	"protocol.early_stopping"},
    {"{\"task\":\"t\",\"protocol\":{\"convergence_threshold\":\"x\"}}",
	"protocol.convergence_threshold"},
    {"{\"task\":\"t\",\"consensus_mode\":\"any\",\"consensus\":\"coin\"}",
	"consensus"},
    {"{\"task\":\"t\",\"consensus_mode\":\"any\",\"consensus\":\"none\"}",
	"consensus"},
    {"{\"task\":\"t\",\"agents\":[{\"name\":\"demo\",\"colour\":\"red\"},"
     "\"demo\"]}",
	"agents[0].colour"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",{\"name\":\"demo\",\"model\":5}]}",
	"agents[1].model"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",{\"name\":7}]}", "agents[1].name"},
    {"{\"task\":\"t\",\"agents\":[\"demo\",{\"name\":\"demo\",\"persona\":"
     "\"a|b\"}]}",
	"agents[1].persona"},
    {"{\"task\":\"t\",\"agents\":\"demo,nobody\"}", "agents"},
};

START_TEST(test_bad)
{
	ck_assert_int_eq(read_body(bad[_i].body), ERR_INVALID);
	ck_assert_msg(n_errors == 1, "%s: %zu errors, first %s", bad[_i].body,
	    n_errors, errors[0].field);
	ck_assert_str_eq(errors[0].field, bad[_i].field);
	ck_assert(*errors[0].message != '\0');
	ck_assert_int_eq(is_missing, _i < 2);
}
END_TEST

/* What each protocol makes of a request that names nothing else. */
static const struct {
	const char *preset;
	size_t seats;
	int64_t rounds;
	enum debate_rule rule;
} presets[] = {
    {"debate", 3, 3, DEBATE_JUDGE},
    {"single", 1, 1, DEBATE_NONE},
    {"self_consistency", 5, 1, DEBATE_PLURALITY},
    {"council", 3, 1, DEBATE_BORDA},
    {"moa", 3, 3, DEBATE_NONE},
    {"debate_judge", 3, 3, DEBATE_JUDGE},
    {"cascade", 3, 3, DEBATE_JUDGE},
};

START_TEST(test_presets)
{
	char body[160];
	struct debate_config again;
	struct arena *a = arena_new(0);

	snprintf(body, sizeof(body),
	    "{\"task\":\"t\",\"protocol\":{\"preset\":\"%s\",\"topology\":"
	    "\"ring\"}}",
	    presets[_i].preset);
	ck_assert_int_eq(read_body(body), ERR_OK);
	ck_assert_uint_eq(config.n_agents, presets[_i].seats);
	ck_assert_int_eq(config.rounds, presets[_i].rounds);
	ck_assert_int_eq(config.rule, presets[_i].rule);
	for (size_t i = 0; i < config.n_agents; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(
			    config.agents[i].name, config.agents[k].name);
	ck_assert_int_eq(debate_config_parse(
			     a, debate_config_write(a, &config), &again, NULL),
	    ERR_OK);
	ck_assert_str_eq(
	    debate_protocol_name(again.protocol), presets[_i].preset);
	ck_assert_int_eq(again.topology, TOPOLOGY_RING);
	arena_free(&a);
}
END_TEST

START_TEST(test_preset_seats)
{
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"preset\":\"self_consistency\","
		      "\"samples\":4,\"agents\":\"demo\"}"),
	    ERR_OK);
	ck_assert_uint_eq(config.n_agents, 4);
	ck_assert_str_eq(config.agents[3].name, "demo_4");
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"preset\":\"debate_judge\","
		      "\"agents\":[\"demo\",\"demo||so|negative\",\"demo\"]}"),
	    ERR_OK);
	ck_assert_str_eq(config.agents[0].role, "affirmative");
	ck_assert_str_eq(config.agents[1].role, "negative");
	ck_assert_str_eq(config.agents[2].role, "judge");
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"preset\":\"single\",\"agents\":"
		      "\"demo\"}"),
	    ERR_OK);
	ck_assert_uint_eq(config.n_agents, 1);
}
END_TEST

START_TEST(test_all_errors)
{
	ck_assert_int_eq(
	    read_body("{\"rounds\":true,\"consensus\":\"x\",\"tags\":0}"),
	    ERR_INVALID);
	ck_assert_uint_eq(n_errors, 4);
	ck_assert(!is_missing);
	/* An error before the agents does not hide theirs. */
	ck_assert_int_eq(
	    read_body("{\"context\":[],\"task\":\"t\",\"agents\":\"demo,"
		      "nobody\"}"),
	    ERR_INVALID);
	ck_assert_uint_eq(n_errors, 2);
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"agents\":[\"demo\",\"openai-api\"]}"),
	    ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(errors[0].message, "OPENAI_API_KEY"));
}
END_TEST

START_TEST(test_round_trip)
{
	struct debate_config again;
	struct err_info info = {0};

	ck_assert_int_eq(
	    read_body("{\"task\":\"t \\\"x\\\"\",\"agents\":[\"demo|fast|wise|"
		      "critic\",\"demo\"],\"rounds\":4,\"consensus\":"
		      "\"weighted\",\"seed\":9007199254740993}"),
	    ERR_OK);
	const char *text = debate_config_write(arena, &config);
	ck_assert_int_eq(
	    debate_config_parse(arena, text, &again, &info), ERR_OK);
	ck_assert_str_eq(debate_config_write(arena, &again), text);
	ck_assert_uint_eq(again.seed, 9007199254740993u);
	ck_assert_str_eq(again.agents[0].role, "critic");
	ck_assert_int_eq(
	    debate_config_parse(arena, "{}", &again, &info), ERR_INVALID);
	ck_assert_int_eq(
	    debate_config_parse(arena, "nonsense", &again, &info), ERR_INVALID);
}
END_TEST

START_TEST(test_demo_mode)
{
	setenv("ARAGORA_DEMO_MODE", "1", 1);
	load();
	ck_assert_int_eq(
	    read_body("{\"task\":\"t\",\"agents\":[\"claude\",\"gpt-4\"]}"),
	    ERR_OK);
	ck_assert_str_eq(config.agents[0].name, "claude");
	ck_assert_str_eq(config.agents[0].row->name, "demo");
	unsetenv("ARAGORA_DEMO_MODE");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config");
	TCase *c = tcase_create("config");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_defaults);
	tcase_add_test(c, test_keys);
	tcase_add_test(c, test_values);
	tcase_add_loop_test(
	    c, test_supermajority, 0, ARRAY_LEN(supermajorities));
	tcase_add_test(c, test_supermajority_is_no_other_rule);
	tcase_add_loop_test(c, test_bad, 0, (int)ARRAY_LEN(bad));
	tcase_add_loop_test(c, test_presets, 0, ARRAY_LEN(presets));
	tcase_add_test(c, test_preset_seats);
	tcase_add_test(c, test_all_errors);
	tcase_add_test(c, test_round_trip);
	tcase_add_test(c, test_demo_mode);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
