/* SPDX-License-Identifier: MIT
 *
 * Every protocol and topology: which calls are made, who reads whom, what
 * decides, and that a debate cut off anywhere goes on as if it had not been.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "debate/config_impl.h"
#include "tests/unit/engine_kit.h"

#define SEATS 5

static const char *const protocols[] = {
#define X(id, text) [id] = text,
    DEBATE_PROTOCOL_LIST(X)
#undef X
};
static const char *const topologies[] = {
#define X(id, text) [id] = text,
    DEBATE_TOPOLOGY_LIST(X)
#undef X
};

static const char *
config(struct arena *a, enum debate_protocol p, enum debate_topology t,
    const char *rule, int seats, int rounds, int seed)
{
	const char *agents = "";

	for (int i = 0; i < seats; i++)
		agents =
		    arena_printf(a, "%s%s{\"type\":\"demo\",\"name\":\"s%d\"}",
			agents, i > 0 ? "," : "", i);
	return arena_printf(a,
	    "{\"task\":\"Tea or coffee?\",\"agents\":[%s],\"rounds\":%d,"
	    "\"protocol\":\"%s\",\"topology\":\"%s\",\"consensus\":\"%s\","
	    "\"threshold_ppm\":600000,\"early_stopping\":false,\"seed\":%d,"
	    "\"max_tokens\":100,\"metadata\":{},\"tags\":[],\"domain\":"
	    "\"general\"}",
	    agents, rounds, protocols[p], topologies[t], rule, seed);
}

static int
seats_of(enum debate_protocol p)
{
	size_t n = protocol_row(p)->n_agents;

	return n > 0 ? (int)n : SEATS;
}

static const char *
rule_of(enum debate_protocol p)
{
	return protocol_row(p)->has_rule
	    ? debate_rule_name(protocol_row(p)->rule)
	    : "majority";
}

static int
count_turns(const struct world *w, const char *phase, const char *agent,
    const char *target)
{
	int n = 0;

	for (size_t i = 0; i < w->n_turns; i++)
		n += str_eq(w->turns[i].phase, phase) &&
		    (agent == NULL || str_eq(w->turns[i].agent, agent)) &&
		    (target == NULL || str_eq(w->turns[i].target, target));
	return n;
}

/* ---- whole debates by the demo agents ---- */

/* Each protocol over each topology, cut off after each of its commits. */
START_TEST(test_cut_anywhere)
{
	enum debate_protocol p =
	    (enum debate_protocol)(_i % DEBATE_PROTOCOL__COUNT);
	enum debate_topology t =
	    (enum debate_topology)(_i / DEBATE_PROTOCOL__COUNT);
	struct arena *a = arena_new(0);
	const char *text = config(a, p, t, rule_of(p), seats_of(p), 2, 40 + _i);
	struct world whole;

	world_init(&whole, text);
	ck_assert(run(&whole, NULL, ROOM));
	ck_assert_int_eq(whole.row.status, STORE_COMPLETED);
	ck_assert_int_eq(count_events(&whole, "debate_start"), 1);
	ck_assert_int_eq(count_events(&whole, "debate_end"), 1);
	ck_assert_int_eq(count_events(&whole, "consensus"), 1);
	ck_assert_int_eq(count_events(&whole, "round_start"),
	    count_events(&whole, "round_end"));
	for (int cut = 1; cut < whole.n_commits; cut++) {
		struct world w;
		world_init(&w, text);
		ck_assert(!run(&w, NULL, cut));
		ck_assert(run(&w, NULL, ROOM));
		ck_same(&whole, &w, cut);
		arena_free(&w.a);
	}
	arena_free(&whole.a);
	arena_free(&a);
}
END_TEST

/* Calls of one debate of five seats, as the documentation says: of r rounds
 * and c critiques in each. */
static const struct {
	enum debate_protocol protocol;
	enum debate_topology topology;
	int rounds, propose, critique, revise, vote, synthesis;
} calls[] = {
    {DEBATE_BY_DEBATE, TOPOLOGY_ALL, 1, 5, 20, 5, 5, 1},
    {DEBATE_BY_DEBATE, TOPOLOGY_ALL, 2, 5, 40, 10, 5, 1},
    {DEBATE_BY_DEBATE, TOPOLOGY_RING, 1, 5, 10, 5, 5, 1},
    {DEBATE_BY_DEBATE, TOPOLOGY_RING, 3, 5, 30, 15, 5, 1},
    {DEBATE_BY_DEBATE, TOPOLOGY_STAR, 1, 5, 8, 5, 5, 1},
    {DEBATE_BY_SINGLE, TOPOLOGY_ALL, 1, 1, 0, 0, 0, 0},
    {DEBATE_BY_SELF_CONSISTENCY, TOPOLOGY_ALL, 1, 5, 0, 0, 0, 0},
    {DEBATE_BY_COUNCIL, TOPOLOGY_ALL, 1, 5, 0, 0, 5, 1},
    {DEBATE_BY_MOA, TOPOLOGY_ALL, 1, 5, 0, 5, 0, 1},
    {DEBATE_BY_MOA, TOPOLOGY_ALL, 2, 5, 0, 10, 0, 1},
    {DEBATE_BY_JUDGE, TOPOLOGY_ALL, 2, 2, 4, 4, 0, 0},
};

START_TEST(test_calls)
{
	struct arena *a = arena_new(0);
	struct world w;
	enum debate_protocol p = calls[_i].protocol;

	world_init(&w,
	    config(a, p, calls[_i].topology, rule_of(p), seats_of(p),
		calls[_i].rounds, 3));
	ck_assert(run(&w, NULL, ROOM));
	ck_assert_int_eq(
	    count_turns(&w, "propose", NULL, NULL), calls[_i].propose);
	ck_assert_int_eq(
	    count_turns(&w, "critique", NULL, NULL), calls[_i].critique);
	ck_assert_int_eq(
	    count_turns(&w, "revise", NULL, NULL), calls[_i].revise);
	ck_assert_int_eq(count_turns(&w, "vote", NULL, NULL), calls[_i].vote);
	ck_assert_int_eq(
	    count_turns(&w, "synthesis", NULL, NULL), calls[_i].synthesis);
	if (p == DEBATE_BY_JUDGE) {
		ck_assert_int_eq(count_turns(&w, "consensus", "s2", NULL), 1);
		ck_assert_int_eq(count_turns(&w, "propose", "s2", NULL), 0);
	}
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Nobody is left without a critic, half of the rest is read, and another
 * seed makes another graph. */
START_TEST(test_sparse)
{
	struct arena *a = arena_new(0);
	int total = 0, differing = 0;
	enum { SEEDS = 40 };

	for (int seed = 0; seed < SEEDS; seed++) {
		struct world w;
		world_init(&w,
		    config(a, DEBATE_BY_DEBATE, TOPOLOGY_SPARSE, "majority",
			SEATS, 1, seed));
		ck_assert(run(&w, NULL, ROOM));
		for (int i = 0; i < SEATS; i++)
			ck_assert_int_gt(count_turns(&w, "critique", NULL,
					     arena_printf(a, "s%d", i)),
			    0);
		int n = count_turns(&w, "critique", NULL, NULL);
		differing += n != SEATS * (SEATS - 1) && n != SEATS;
		total += n;
		arena_free(&w.a);
	}
	/* 5 certain and 15 by the coin of 20 pairs, over 40 debates: 500 with
	 * a deviation of sqrt(600 / 4) = 12; five of these. */
	ck_assert_int_ge(total, SEEDS * 5 + SEEDS * 15 / 2 - 61);
	ck_assert_int_le(total, SEEDS * 5 + SEEDS * 15 / 2 + 61);
	ck_assert_int_gt(differing, SEEDS / 2);
	arena_free(&a);
}
END_TEST

/* ---- debates whose answers the test gives ---- */

/* Answers every call of a debate; text by seat for proposals. */
static void
play(struct world *w, const char *const *proposals, size_t n)
{
	struct debate *d = NULL;
	struct debate_output out;
	struct queue q = {.n = 0};

	ck_assert_int_eq(
	    debate_restore(&d, &w->row, w->turns, w->n_turns, NOW, NULL),
	    ERR_OK);
	debate_start(d, NOW, &out);
	for (size_t next = 0;;) {
		world_commit(w, &out.transition);
		queue_take(&q, &out);
		if (out.is_done)
			break;
		ck_assert_uint_lt(next, q.n);
		const struct debate_call *call = &q.calls[next++];
		int seat = call->agent->name[1] - '0';
		if (call->request.task != LLM_PROPOSE || (size_t)seat >= n) {
			answer(d, call, NULL, &out);
			continue;
		}
		struct llm_result r = {.message = "", .text = ""};
		r.text = proposals[seat];
		if (r.text == NULL) {
			r.error = LLM_ERR_TIMEOUT;
			r.text = "";
		}
		r.text_len = strlen(r.text);
		debate_result(d, call->step_key, &r, NOW, &out);
	}
	debate_free(&d);
}

static const struct json *
result_of(struct arena *a, const struct world *w)
{
	const struct json *j = NULL;

	ck_assert_ptr_nonnull(w->row.result);
	ck_assert_int_eq(
	    json_parse(a, w->row.result, strlen(w->row.result), NULL, &j, NULL),
	    ERR_OK);
	return j;
}

#define SURE   "The answer is 42.\nCONFIDENCE: 0.95"
#define UNSURE "The answer is 42.\nCONFIDENCE: 0.5"
#define OTHER  "The answer is 17.\nCONFIDENCE: 0.5"

/* The cascade goes no further than it must. */
static const struct {
	const char *texts[3];
	int stage, proposals, critiques;
	const char *answer;
} cascades[] = {
    {{SURE, OTHER, OTHER}, 1, 1, 0, "42"},
    {{UNSURE, UNSURE, UNSURE}, 2, 3, 0, "42"},
    {{UNSURE, OTHER, OTHER}, 3, 3, 6, NULL},
    /* The first says nothing: the others are asked. */
    {{NULL, OTHER, OTHER}, 2, 3, 0, "17"},
    /* One of the others says nothing: those who spoke agree. */
    {{UNSURE, NULL, UNSURE}, 2, 3, 0, "42"},
};

START_TEST(test_cascade)
{
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w,
	    config(a, DEBATE_BY_CASCADE, TOPOLOGY_ALL, "majority", 3, 1, 5));
	play(&w, cascades[_i].texts, 3);
	const struct json *result = result_of(a, &w);
	ck_assert_int_eq(json_get_int(result, "stage", 0), cascades[_i].stage);
	ck_assert_int_eq(
	    count_turns(&w, "propose", NULL, NULL), cascades[_i].proposals);
	ck_assert_int_eq(
	    count_turns(&w, "critique", NULL, NULL), cascades[_i].critiques);
	if (cascades[_i].answer != NULL) {
		ck_assert_ptr_nonnull(
		    strstr(json_get_str(result, "final_answer", ""),
			cascades[_i].answer));
		ck_assert(w.row.consensus_reached);
		ck_assert_int_eq(count_turns(&w, "vote", NULL, NULL), 0);
	}
	if (cascades[_i].stage == 1) /* not 1, though nobody spoke against */
		ck_assert_double_eq_tol(w.row.confidence, 0.95, 1e-9);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The most frequent answer wins, whoever gave it first; the others are its
 * dissent. */
START_TEST(test_self_consistency)
{
	static const char *const texts[] = {
	    OTHER, UNSURE, UNSURE, OTHER, UNSURE};
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w,
	    config(a, DEBATE_BY_SELF_CONSISTENCY, TOPOLOGY_ALL, "plurality",
		SEATS, 1, 5));
	play(&w, texts, SEATS);
	const struct json *result = result_of(a, &w);
	const struct json *c = json_get(result, "consensus");
	ck_assert_ptr_nonnull(
	    strstr(json_get_str(result, "final_answer", ""), "42"));
	ck_assert_double_eq_tol(json_get_num(c, "agreement", 0), 0.6, 1e-6);
	ck_assert_uint_eq(json_len(json_get(c, "supporting_agents")), 3);
	ck_assert_uint_eq(json_len(json_get(c, "dissenting_agents")), 2);
	ck_assert_uint_eq(json_len(json_get(c, "abstaining_agents")), 0);
	ck_assert_uint_eq(w.n_turns, SEATS);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Two answers, twice each: that is a tie, and a judge is asked. */
START_TEST(test_self_consistency_tie)
{
	static const char *const texts[] = {OTHER, UNSURE, UNSURE, OTHER};
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w,
	    config(a, DEBATE_BY_SELF_CONSISTENCY, TOPOLOGY_ALL, "plurality", 4,
		1, 5));
	play(&w, texts, 4);
	ck_assert_int_eq(count_turns(&w, "consensus", NULL, NULL), 1);
	const struct json *c = json_get(result_of(a, &w), "consensus");
	ck_assert_double_eq_tol(json_get_num(c, "agreement", 0), 0.5, 1e-6);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Alone: it says it, and nobody vouches for it but itself. */
START_TEST(test_single)
{
	static const char *const texts[] = {UNSURE};
	struct arena *a = arena_new(0);
	struct world w;

	world_init(
	    &w, config(a, DEBATE_BY_SINGLE, TOPOLOGY_ALL, "none", 1, 1, 5));
	play(&w, texts, 1);
	ck_assert_double_eq_tol(w.row.confidence, 0.5, 1e-9);
	ck_assert_str_eq(json_get_str(result_of(a, &w), "winner", ""), "s0");
	arena_free(&w.a);
	world_init(
	    &w, config(a, DEBATE_BY_SINGLE, TOPOLOGY_ALL, "none", 1, 1, 5));
	play(&w, (const char *const[]){NULL}, 1);
	ck_assert_int_eq(w.row.status, STORE_FAILED);
	ck_assert_str_eq(w.row.error, "insufficient_participation");
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Each protocol ends, whichever seat never answers. */
START_TEST(test_a_seat_fails)
{
	enum debate_protocol p =
	    (enum debate_protocol)(_i % DEBATE_PROTOCOL__COUNT);
	struct arena *a = arena_new(0);
	int seats = seats_of(p);

	for (int failing = 0; failing < seats; failing++) {
		const char *name = arena_printf(a, "s%d", failing);
		struct world w;
		world_init(
		    &w, config(a, p, TOPOLOGY_RING, rule_of(p), seats, 2, 9));
		ck_assert(run(&w, name, ROOM));
		bool is_needed = p == DEBATE_BY_SINGLE ||
		    (p == DEBATE_BY_JUDGE && failing < 2);
		ck_assert_int_eq(
		    w.row.status, is_needed ? STORE_FAILED : STORE_COMPLETED);
		arena_free(&w.a);
	}
	arena_free(&a);
}
END_TEST

/* Ever more money, for each protocol: it ends within the limit, with an
 * answer unless not even the first step was affordable, and an interruption
 * changes nothing. */
START_TEST(test_budget)
{
	enum debate_protocol p =
	    (enum debate_protocol)(_i % DEBATE_PROTOCOL__COUNT);
	struct arena *a = arena_new(0);
	const char *plain =
	    config(a, p, TOPOLOGY_ALL, rule_of(p), seats_of(p), 2, 8);
	int n_whole = 0, n_stopped = 0;
	struct world w;
	int64_t all = 0;

	world_init(&w, plain);
	ck_assert(run(&w, NULL, ROOM));
	for (size_t i = 0; i < w.n_turns; i++)
		all += w.turns[i].tokens_in + w.turns[i].tokens_out;
	arena_free(&w.a);
	ck_assert_int_gt(all, 0);
	for (int64_t percent = 20; percent <= 600; percent += 40) {
		int64_t limit = all * percent / 100, spent = 0;
		const char *text = arena_printf(a,
		    "%.*s,\"budget\":{\"udollar\":-1,\"tokens\":%lld,"
		    "\"seconds\":0,\"prices\":[0,0,0,0,0,0,0,0,0,0,0,0]}}",
		    (int)strlen(plain) - 1, plain, (long long)limit);
		world_init(&w, text);
		ck_assert(run(&w, NULL, ROOM));
		for (size_t i = 0; i < w.n_turns; i++)
			spent += w.turns[i].tokens_in + w.turns[i].tokens_out;
		ck_assert_msg(spent <= limit, "%s at %lld%%: %lld of %lld",
		    protocols[p], (long long)percent, (long long)spent,
		    (long long)limit);
		if (w.row.status == STORE_FAILED)
			ck_assert_str_eq(w.row.error, "budget");
		else
			ck_assert_ptr_nonnull(
			    strstr(w.row.result, "\"final_answer\":\""));
		n_whole += count_events(&w, "budget") == 0;
		n_stopped += count_events(&w, "budget") > 0;
		if (w.row.status == STORE_COMPLETED)
			ck_assert_int_eq(count_events(&w, "round_start"),
			    count_events(&w, "round_end"));
		for (int cut = 1; cut < w.n_commits; cut += 9) {
			struct world x;
			world_init(&x, text);
			ck_assert(!run(&x, NULL, cut));
			ck_assert(run(&x, NULL, ROOM));
			ck_same(&w, &x, cut);
			arena_free(&x.a);
		}
		arena_free(&w.a);
	}
	ck_assert_int_gt(n_whole, 0);
	ck_assert_int_gt(n_stopped, 0);
	arena_free(&a);
}
END_TEST

/* The prompts of a ring hold the neighbours' texts and nobody else's; those
 * of a layer hold everybody's. */
START_TEST(test_who_is_read)
{
	struct arena *a = arena_new(0);
	struct debate *d = NULL;
	struct debate_output out;
	struct queue q = {.n = 0};
	struct world w;
	enum debate_protocol p = _i == 0 ? DEBATE_BY_DEBATE : DEBATE_BY_MOA;
	enum debate_topology t = _i == 0 ? TOPOLOGY_RING : TOPOLOGY_ALL;
	int n_revisions = 0;

	world_init(&w, config(a, p, t, rule_of(p), SEATS, 1, 6));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(&q, &out);
	for (size_t next = 0; !out.is_done && next < q.n; next++) {
		const struct debate_call *call = &q.calls[next];
		int seat = call->agent->name[1] - '0';
		const char *text = arena_printf(a, "Text of seat <%d>.", seat);
		struct llm_result r = {
		    .message = "", .text = text, .text_len = strlen(text)};
		for (int k = 0; k < SEATS; k++) {
			char mark[16];
			bool is_there = false;
			int away = abs(seat - k);
			bool is_near = away == 1 || away == SEATS - 1;
			snprintf(mark, sizeof(mark), "<%d>", k);
			for (size_t b = 0; b < call->request.n_blocks; b++)
				is_there = is_there ||
				    strstr(call->request.blocks[b].text, mark);
			if (call->request.task == LLM_REVISE)
				ck_assert_int_eq(
				    is_there, k == seat || is_near || _i == 1);
		}
		n_revisions += call->request.task == LLM_REVISE;
		if (call->request.task == LLM_PROPOSE)
			debate_result(d, call->step_key, &r, NOW, &out);
		else
			answer(d, call, NULL, &out);
		queue_take(&q, &out);
	}
	ck_assert_int_eq(n_revisions, SEATS);
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("protocol");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(
	    tc, test_cut_anywhere, 0, DEBATE_PROTOCOL__COUNT * TOPOLOGY__COUNT);
	tcase_add_loop_test(tc, test_calls, 0, ARRAY_LEN(calls));
	tcase_add_test(tc, test_sparse);
	tcase_add_loop_test(tc, test_cascade, 0, ARRAY_LEN(cascades));
	tcase_add_test(tc, test_self_consistency);
	tcase_add_test(tc, test_self_consistency_tie);
	tcase_add_test(tc, test_single);
	tcase_add_loop_test(tc, test_a_seat_fails, 0, DEBATE_PROTOCOL__COUNT);
	tcase_add_loop_test(tc, test_budget, 0, DEBATE_PROTOCOL__COUNT);
	tcase_add_loop_test(tc, test_who_is_read, 0, 2);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
