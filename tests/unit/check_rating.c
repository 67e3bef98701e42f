/* SPDX-License-Identifier: MIT
 *
 * Debates as matches: who plays, under whose name, and what the ballots say.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm.h"
#include "store/store_rating.h"
#include "tests/unit/check_run.h"
#include "tests/unit/engine_kit.h"

#define PLAYERS_MAX 8

/* The last transition's match, kept; n_players 0 = there was none. */
struct played {
	struct store_match match;
	struct store_player players[PLAYERS_MAX];
	struct store_vote votes[PLAYERS_MAX];
};

static void
keep(const struct store_match *m, struct played *out)
{
	if (m == NULL)
		return;
	ck_assert_uint_le(m->n_players, PLAYERS_MAX);
	ck_assert_uint_le(m->n_votes, PLAYERS_MAX);
	out->match = *m;
	memcpy(out->players, m->players, m->n_players * sizeof(*m->players));
	memcpy(out->votes, m->votes, m->n_votes * sizeof(*m->votes));
}

static struct played
play(const char *agents)
{
	struct debate *d = NULL;
	struct debate_output out;
	struct err_info info = {0};
	struct queue q = {.n = 0};
	struct world w;
	struct played p;

	memset(&p, 0, sizeof(p));
	world_init(&w, NULL);
	w.row.config = arena_printf(w.a,
	    "{\"agents\":[%s],\"rounds\":1,\"consensus\":\"majority\","
	    "\"seed\":3,\"domain\":\"law\"}",
	    agents);
	ck_assert_msg(debate_restore(&d, &w.row, NULL, 0, NOW, &info) == ERR_OK,
	    "%s", info.text);
	debate_start(d, NOW, &out);
	for (size_t next = 0; !out.is_done; next++) {
		ck_assert_ptr_null(out.transition.match);
		queue_take(&q, &out);
		ck_assert_uint_lt(next, q.n);
		answer(d, &q.calls[next], "nobody", &out);
	}
	ck_assert_int_eq(out.transition.status, STORE_COMPLETED);
	keep(out.transition.match, &p);
	debate_free(&d);
	arena_free(&w.a);
	return p;
}

#define SEAT(name, type, model)                                                \
	"{\"name\":\"" name "\",\"type\":\"" type "\",\"model\":\"" model "\"" \
	"}"

static int
plays(const struct played *p, const char *agent)
{
	int n = 0;

	for (size_t i = 0; i < p->match.n_players; i++)
		n += str_eq(p->players[i].agent, agent);
	return n;
}

/* One model under two names is one player, under the name that the registry
 * has first; so are the seats of one agent with two models. */
START_TEST(test_same_model)
{
	struct played p = play(SEAT("a", "deepseek", "") "," SEAT(
	    "b", "deepseek-api", "") "," SEAT("c", "grok", "") "," SEAT("d",
	    "openrouter", "x-ai/grok-4.2") "," SEAT("e", "demo",
	    "") "," SEAT("f", "demo", "other"));

	ck_assert_uint_eq(p.match.n_players, 3);
	ck_assert_int_eq(plays(&p, "deepseek-api"), 1);
	ck_assert_int_eq(plays(&p, "grok"), 1);
	ck_assert_int_eq(plays(&p, "demo"), 1);
	for (size_t i = 0; i < p.match.n_players; i++)
		if (p.players[i].choice != NULL)
			ck_assert_int_eq(plays(&p, p.players[i].choice), 1);
	for (size_t i = 0; i < p.match.n_votes; i++)
		ck_assert_int_eq(plays(&p, p.votes[i].agent), 1);
}
END_TEST

/* "b" is the same as "a" by its agent and the same as "c" by its model. */
START_TEST(test_chain)
{
	struct played p = play(SEAT("a", "openrouter", "one/x") "," SEAT(
	    "b", "openrouter", "x-ai/grok-4.2") "," SEAT("c", "grok",
	    "") "," SEAT("d", "demo", ""));

	ck_assert_uint_eq(p.match.n_players, 2);
	ck_assert_int_eq(plays(&p, "grok"), 1);
	ck_assert_int_eq(plays(&p, "demo"), 1);
}
END_TEST

START_TEST(test_alone)
{
	struct played p = play(
	    SEAT("a", "grok", "") "," SEAT("b", "openrouter", "x-ai/grok-4.2"));

	ck_assert_uint_eq(p.match.n_players, 0);
}
END_TEST

START_TEST(test_record)
{
	struct played p = play(SEAT("a", "grok", "") "," SEAT(
	    "b", "gemini", "") "," SEAT("c", "demo", ""));
	int64_t won = 0;

	ck_assert_uint_eq(p.match.n_players, 3);
	ck_assert_uint_gt(p.match.n_votes, 0);
	ck_assert_str_eq(p.match.source, STORE_SOURCE_VOTES);
	ck_assert_int_eq(p.match.rounds, 1);
	for (size_t i = 0; i < p.match.n_players; i++) {
		won += p.players[i].score == 2;
		ck_assert_int_eq(p.players[i].score == 2,
		    str_eq(p.players[i].agent, p.match.winner));
	}
	ck_assert_int_eq(won, 1);
	for (size_t i = 0; i < p.match.n_votes; i++)
		for (size_t k = 0; k < p.match.n_players; k++)
			if (str_eq(p.votes[i].agent, p.players[k].agent) &&
			    str_eq(p.players[k].choice, p.match.winner))
				ck_assert(p.votes[i].is_hit);
}
END_TEST

static const struct {
	const char *one, *two;
	bool is_same;
} pairs[] = {
    {"openai-api", "openrouter|openai/gpt-5.4", true},
    {"openai-api|gpt-9", "openrouter|openai/gpt-9", true},
    {"openai-api|gpt-9", "openai-api", false},
    {"claude", "anthropic-api", true},
    {"deepseek", "deepseek-api", true},
    {"deepseek-r1", "deepseek", false},
    {"ollama|llama3.2", "vllm|llama3.2", false},
    {"mistral-api", "codestral|mistral-large-2512", true},
    {"demo", "demo|other", false},
};

START_TEST(test_identity)
{
	struct arena *a = arena_new(0);
	struct llm_agent one, two;
	struct err_info info;

	ck_assert_int_eq(
	    llm_agent_parse(a, pairs[_i].one, &one, &info), ERR_OK);
	ck_assert_int_eq(
	    llm_agent_parse(a, pairs[_i].two, &two, &info), ERR_OK);
	ck_assert_msg(str_eq(llm_agent_identity(a, &one),
			  llm_agent_identity(a, &two)) == pairs[_i].is_same,
	    "%s and %s", llm_agent_identity(a, &one),
	    llm_agent_identity(a, &two));
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_same_model);
	tcase_add_test(t, test_chain);
	tcase_add_test(t, test_alone);
	tcase_add_test(t, test_record);
	tcase_add_loop_test(t, test_identity, 0, (int)ARRAY_LEN(pairs));
}

int
main(void)
{
	return check_run("rating", add_tests);
}
