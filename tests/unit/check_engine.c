/* SPDX-License-Identifier: MIT
 *
 * The engine driven by hand: a pretended store keeps what each transition
 * commits; the answers come from the demo agents. A debate cut off after any
 * transition and built again must end with the same events.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "debate/debate.h"
#include "debate/replay.h"
#include "debate/view.h"
#include "llm/llm_provider.h"
#include "tests/unit/engine_kit.h"

static const char *
config_of(struct arena *a, const char *rule, int64_t seed, int rounds,
    bool is_early_stopping)
{
	return arena_printf(a,
	    "{\"task\":\"Tea or coffee?\",\"context\":\"\",\"agents\":["
	    "{\"type\":\"demo\",\"name\":\"demo\"},{\"type\":\"demo\",\"name\":"
	    "\"demo_2\"},{\"type\":\"demo\",\"name\":\"demo_3\"}],\"rounds\":%"
	    "d,"
	    "\"consensus\":\"%s\",\"threshold_ppm\":600000,\"early_stopping\":"
	    "%s,\"seed\":%lld,\"max_tokens\":100,\"metadata\":{},\"tags\":[],"
	    "\"domain\":\"general\"}",
	    rounds, rule, is_early_stopping ? "true" : "false",
	    (long long)seed);
}

static const char *
config_for(struct arena *a, const char *rule, int64_t seed)
{
	return config_of(a, rule, seed, 3, true);
}

START_TEST(test_whole)
{
	static const char *const rules[] = {"majority", "supermajority",
	    "unanimous", "judge", "weighted", "hybrid", "any", "none",
	    "plurality", "borda", "irv", "condorcet"};
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w, config_for(a, rules[_i], 3));
	ck_assert(run(&w, NULL, ROOM));
	ck_assert_int_eq(w.row.status, STORE_COMPLETED);
	ck_assert_str_eq(w.events[0].type, "debate_start");
	ck_assert_str_eq(w.events[w.n_events - 1].type, "debate_end");
	ck_assert_int_eq(count_events(&w, "debate_start"), 1);
	ck_assert_int_eq(count_events(&w, "debate_end"), 1);
	ck_assert_int_eq(count_events(&w, "consensus"), 1);
	ck_assert_int_eq(
	    count_events(&w, "round_start"), count_events(&w, "round_end"));
	ck_assert_int_eq(
	    count_events(&w, "vote"), str_eq(rules[_i], "none") ? 0 : 3);
	ck_assert_int_eq(
	    count_events(&w, "consensus_reached"), w.row.consensus_reached);
	ck_assert_ptr_nonnull(w.row.result);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

START_TEST(test_cut_anywhere)
{
	struct arena *a = arena_new(0);
	const char *config =
	    config_for(a, _i % 2 == 0 ? "judge" : "majority", _i);
	struct world whole;

	world_init(&whole, config);
	ck_assert(run(&whole, NULL, ROOM));
	for (int cut = 1; cut < whole.n_commits; cut++) {
		struct world w;
		world_init(&w, config);
		ck_assert(!run(&w, NULL, cut));
		/* The next runner repeats what was under way: one commit
		 * more, no event more. */
		ck_assert(run(&w, NULL, ROOM));
		ck_same(&whole, &w, cut);
		arena_free(&w.a);
	}
	arena_free(&whole.a);
	arena_free(&a);
}
END_TEST

START_TEST(test_agent_fails)
{
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w, config_for(a, "majority", 4));
	ck_assert(run(&w, "demo_2", ROOM));
	ck_assert_int_eq(w.row.status, STORE_COMPLETED);
	ck_assert_int_gt(count_events(&w, "agent_error"), 0);
	for (size_t i = 0; i < w.n_turns; i++)
		ck_assert(!str_eq(w.turns[i].target, "demo_2"));
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Two of three fail: fewer than two proposals are no debate. */
START_TEST(test_insufficient)
{
	struct arena *a = arena_new(0);
	struct debate *d = NULL;
	struct debate_output out;
	struct world w;
	struct queue q = {.n = 0};

	world_init(&w, config_for(a, "majority", 4));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(&q, &out);
	ck_assert_uint_eq(q.n, 3);
	answer(d, &q.calls[0], "demo", &out);
	answer(d, &q.calls[1], "demo_2", &out);
	ck_assert(!out.is_done);
	answer(d, &q.calls[2], NULL, &out);
	ck_assert(out.is_done);
	ck_assert_int_eq(out.transition.status, STORE_FAILED);
	ck_assert_str_eq(out.transition.error, "insufficient_participation");
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

START_TEST(test_fail)
{
	struct arena *a = arena_new(0);
	struct world w;
	struct debate *d = NULL;
	struct debate_output out;

	world_init(&w, config_for(a, "judge", 1));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	debate_fail(d, "timeout", NOW, &out);
	ck_assert(out.is_done);
	ck_assert_str_eq(out.transition.error, "timeout");
	ck_assert_uint_eq(out.transition.n_events, 1);
	ck_assert_str_eq(out.transition.events[0].type, "debate_end");
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The database does not take what it says: it ends without a word of it. */
START_TEST(test_abandon)
{
	struct arena *a = arena_new(0);
	struct world w;
	struct debate *d = NULL;
	struct debate_output out;
	struct queue q = {.n = 0};
	const struct llm_result r = {
	    .message = "", .text = "POISON", .text_len = 6};

	world_init(&w, config_for(a, "judge", 1));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(&q, &out);
	for (int i = 0; i < 3; i++)
		debate_result(d, q.calls[i].step_key, &r, NOW, &out);
	debate_abandon(d, "storage_refused: too large", NOW, &out);
	ck_assert(out.is_done);
	ck_assert_int_eq(out.transition.status, STORE_FAILED);
	ck_assert_str_eq(out.transition.error, "storage_refused: too large");
	ck_assert_uint_eq(out.transition.n_turns, 0);
	ck_assert_uint_eq(out.transition.n_events, 1);
	ck_assert_ptr_null(strstr(out.transition.events[0].data, "POISON"));
	ck_assert_ptr_null(strstr(out.transition.result, "POISON"));
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* A debate with answers made up by `say`; every call passes `look`. */
typedef char *say_fn(struct arena *a, const struct debate_call *call);

static void
run_saying(
    struct world *w, say_fn *say, void (*look)(const struct debate_call *))
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
		for (size_t i = 0; look != NULL && i < out.n_calls; i++)
			look(&out.calls[i]);
		queue_take(&q, &out);
		if (out.is_done)
			break;
		ck_assert_uint_lt(next, q.n);
		const struct debate_call *call = &q.calls[next++];
		struct llm_result r = {.message = "", .text = say(w->a, call)};
		r.text_len = strlen(r.text);
		debate_result(d, call->step_key, &r, NOW, &out);
	}
	debate_free(&d);
}

static char *
say_own_key(struct arena *a, const struct debate_call *call)
{
	return call->request.task == LLM_CRITIQUE
	    ? arena_printf(a, "{\"issues\":[\"of %s\"]}", call->step_key)
	    : arena_printf(a, "CHANGED: yes\n%s", call->step_key);
}

/* Who revises hears all critics of its own position, and of no other. */
static void
look_at_critiques(const struct debate_call *call)
{
	const char *self = strrchr(call->step_key, '/');
	int n = 0;

	if (call->request.task != LLM_REVISE)
		return;
	while (self[-1] != '/') /* "1/revise/demo_2/" */
		self--;
	size_t len = strcspn(self, "/");
	for (size_t i = 0; i < call->request.n_blocks; i++) {
		const struct llm_block *b = &call->request.blocks[i];
		if (!str_starts(b->label, "Critique "))
			continue;
		const char *target = strrchr(b->text, '/') + 1;
		ck_assert_uint_eq(strlen(target), len);
		ck_assert(strncmp(target, self, len) == 0);
		n++;
	}
	ck_assert_int_eq(n, 2);
}

START_TEST(test_critiques_reach_their_author)
{
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w, config_for(a, "majority", 1));
	run_saying(&w, say_own_key, look_at_critiques);
	ck_assert_int_eq(count_events(&w, "revision"), 9);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Words that do not move are no agreement: as long as a seat says that it
 * changed its mind, or a critique is fatal, the debate goes on. */
static char *
say_the_same(struct arena *a, const struct debate_call *call)
{
	return arena_strdup(a,
	    call->request.task == LLM_CRITIQUE
		? "{\"issues\":[\"x\"],\"fatal\":false}"
		: "CHANGED: yes - the sign\nWe must not adopt it.");
}

static char *
say_fatal(struct arena *a, const struct debate_call *call)
{
	return arena_strdup(a,
	    call->request.task == LLM_CRITIQUE
		? "{\"issues\":[\"x\"],\"fatal\":true}"
		: "CHANGED: no\nWe must adopt it.");
}

static char *
say_settled(struct arena *a, const struct debate_call *call)
{
	return arena_strdup(a,
	    call->request.task == LLM_CRITIQUE
		? "{\"issues\":[],\"fatal\":false}"
		: "CHANGED: no\nWe must adopt it.");
}

static const struct {
	say_fn *say;
	int rounds;
} stops[] = {{say_the_same, 3}, {say_fatal, 3}, {say_settled, 1}};

START_TEST(test_similar_is_not_settled)
{
	struct arena *a = arena_new(0);
	struct world w;

	world_init(&w, config_for(a, "none", 1));
	run_saying(&w, stops[_i].say, NULL);
	ck_assert_int_eq(count_events(&w, "round_end"), stops[_i].rounds);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The label of a seat's position in this call. */
static const char *
label_of(const struct debate_call *call, const char *text)
{
	for (size_t i = 0; i < call->request.n_blocks; i++)
		if (str_starts(call->request.blocks[i].label, "Proposal ") &&
		    strstr(call->request.blocks[i].text, text) != NULL)
			return call->request.blocks[i].label;
	return "nobody";
}

/* demo votes for itself, demo_2 too, demo_3 refuses; the judge, whoever that
 * is, picks demo_2. */
static char *
say_tied(struct arena *a, const struct debate_call *call)
{
	const char *self = call->agent->name;

	if (call->request.task == LLM_JUDGE)
		return arena_printf(
		    a, "{\"winner\":\"%s\"}", label_of(call, "I am <demo_2>"));
	if (call->request.task == LLM_VOTE && str_eq(self, "demo_3"))
		return arena_strdup(a, "I abstain.");
	if (call->request.task == LLM_VOTE)
		return arena_printf(a,
		    "{\"choice\":\"%s\",\"reasoning\":\"mine\"}",
		    label_of(call, arena_printf(a, "I am <%s>", self)));
	return arena_printf(a, "CHANGED: no\nI am <%s>", self);
}

static const struct {
	const char *rule;
	bool is_judged;
} ties[] = {{"plurality", true}, {"any", true}, {"borda", true}, {"irv", true},
    {"condorcet", true}, {"majority", false}, {"unanimous", false},
    {"weighted", false}};

START_TEST(test_tie_goes_to_a_judge)
{
	struct arena *a = arena_new(0);
	const struct json *j;
	struct world w;

	world_init(&w, config_for(a, ties[_i].rule, 1));
	run_saying(&w, say_tied, NULL);
	ck_assert_int_eq(
	    json_parse(w.a, w.row.result, strlen(w.row.result), NULL, &j, NULL),
	    ERR_OK);
	const struct json *c = json_get(j, "consensus");
	ck_assert_int_eq(json_get_int(c, "ballots", -1), 2);
	ck_assert_int_eq(json_get_int(c, "abstentions", -1), 1);
	ck_assert_int_eq(
	    json_get_bool(c, "reached", false), ties[_i].is_judged);
	ck_assert_int_eq(json_get_bool(c, "tie", false), !ties[_i].is_judged);
	if (ties[_i].is_judged) {
		ck_assert_str_eq(json_get_str(j, "winner", ""), "demo_2");
		ck_assert_str_eq(
		    json_get_str(c, "tie_settled_by", ""), "judge");
		ck_assert_str_eq(
		    json_str(
			json_at(json_get(c, "abstaining_agents"), 0), NULL),
		    "demo_3");
		const struct json *report = json_get(c, "dissent_report");
		ck_assert_uint_eq(json_len(report), 1);
		ck_assert_str_eq(
		    json_get_str(json_at(report, 0), "agent", ""), "demo");
		ck_assert_str_eq(
		    json_get_str(json_at(report, 0), "choice", ""), "demo");
		ck_assert_str_eq(
		    json_get_str(json_at(report, 0), "reasoning", ""), "mine");
	} else {
		ck_assert_ptr_null(json_get_str(j, "winner", NULL));
	}
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* Rankings travel from the ballot to the count: the compromise wins. */
static char *
say_ranked(struct arena *a, const struct debate_call *call)
{
	static const char *const orders[][3] = {
	    {"<demo>", "<demo_3>", "<demo_2>"},
	    {"<demo_2>", "<demo_3>", "<demo>"},
	    {"<demo_3>", "<demo>", "<demo_2>"}};
	const char *self = call->agent->name;
	const char *const *order = orders[str_eq(self, "demo") ? 0
		: str_eq(self, "demo_2")		       ? 1
							       : 2];

	if (call->request.task != LLM_VOTE)
		return arena_printf(a, "CHANGED: no\nI am <%s>", self);
	return arena_printf(a, "{\"ranking\":[\"%s\",\"%s\",\"%s\"]}",
	    label_of(call, order[0]), label_of(call, order[1]),
	    label_of(call, order[2]));
}

static void
look_at_ballots(const struct debate_call *call)
{
	if (call->request.task == LLM_VOTE)
		ck_assert_ptr_nonnull(
		    strstr(call->request.instruction, "ranking"));
}

START_TEST(test_rankings_are_counted)
{
	struct arena *a = arena_new(0);
	const struct json *j;
	struct world w;

	world_init(&w, config_for(a, "borda", 1));
	run_saying(&w, say_ranked, look_at_ballots);
	ck_assert_int_eq(
	    json_parse(w.a, w.row.result, strlen(w.row.result), NULL, &j, NULL),
	    ERR_OK);
	ck_assert_str_eq(json_get_str(j, "winner", ""), "demo_3");
	ck_assert(w.row.consensus_reached);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The most that a debate of so many rounds ever holds. */
static size_t
memory_peak(int rounds, size_t answer_len)
{
	struct arena *a = arena_new(0);
	struct world w;
	struct debate *d = NULL;
	struct debate_output out;
	struct queue *q = mem_zalloc(sizeof(*q));
	struct llm_result r = {.message = ""};
	char *text = mem_zalloc(answer_len + 1);
	size_t most = 0;

	memset(text, 'x', answer_len);
	r.text = text;
	r.text_len = answer_len;
	world_init(&w, config_of(a, "majority", 1, rounds, false));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(q, &out);
	while (!out.is_done) {
		ck_assert_uint_gt(q->n, 0);
		q->n--;
		debate_result(d, q->calls[q->n].step_key, &r, NOW, &out);
		queue_take(q, &out);
		if (debate_memory(d) > most)
			most = debate_memory(d);
	}
	ck_assert_int_eq(debate_round(d), rounds);
	debate_free(&d);
	free(text);
	free(q);
	arena_free(&w.a);
	arena_free(&a);
	return most;
}

/* However many rounds it has, a debate holds no more than a few of them. */
START_TEST(test_memory)
{
	size_t few = memory_peak(4, 3000);
	size_t many = memory_peak(60, 3000);

	printf("most memory of a debate of 3 seats with answers of 3000 "
	       "bytes: %zu bytes in 4 rounds, %zu in 60\n",
	    few, many);
	/* The same but for the digits of the round numbers. */
	ck_assert_uint_le(many, few + few / 50);
}
END_TEST

/* ---- replay ---- */

/* Numbers of a seed, for orders and contents. */
static uint64_t
draw(uint64_t *state, uint64_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % n;
}

/* Ballots of every form, prose, errors and refusals. */
static void
draw_answer(struct arena *a, uint64_t *s, const struct debate_call *call,
    struct llm_result *r)
{
	static const char *const texts[] = {
	    "CHANGED: no\nWe should take tea.\nCONFIDENCE: 0.8",
	    "CHANGED: yes - a \"reason\"\nCoffee \\ it is.\n", "I abstain.",
	    "Proposal A", "{\"choice\":\"Proposal B\",\"confidence\":0.25}",
	    "{\"winner\":\"Proposal A\",\"answer\":\"tea\"}",
	    "{\"ranking\":[\"Proposal B\",\"Proposal A\"]}",
	    "{\"issues\":[\"\xc3\xa4\"],\"severity\":9,\"fatal\":true}", "{",
	    ""};

	*r = (struct llm_result){.message = "", .tokens_in = 3};
	if (draw(s, 9) == 0) {
		r->error = draw(s, 2) == 0 ? LLM_ERR_TIMEOUT : LLM_ERR_REFUSAL;
		r->message = "no: answer";
		return;
	}
	r->text = texts[draw(s, ARRAY_LEN(texts))];
	if (call->request.task == LLM_PROPOSE && draw(s, 2) == 0)
		r->text = arena_printf(
		    a, "  I say %llu.\n", (unsigned long long)draw(s, 99));
	r->text_len = strlen(r->text);
}

static int
by_seq(const void *x, const void *y)
{
	const struct store_turn *a = x;
	const struct store_turn *b = y;

	return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Answers come in any order; now and then another runner takes over. stop:
 * the deadline comes after so many answers. */
static void
run_at_random(struct world *w, uint64_t s, size_t stop)
{
	struct debate *d = NULL;
	struct debate_output out;
	struct queue *q = mem_zalloc(sizeof(*q));
	struct llm_result r;
	int64_t now = NOW + 17;

	ck_assert_int_eq(
	    debate_restore(&d, &w->row, NULL, 0, now, NULL), ERR_OK);
	debate_start(d, now, &out);
	for (size_t n = 0;; n++) {
		world_commit(w, &out.transition);
		queue_take(q, &out);
		if (out.is_done)
			break;
		now += 1 + (int64_t)draw(&s, 1000000);
		if (draw(&s, 12) == 0) {
			debate_free(&d);
			q->n = 0;
			ck_assert_int_eq(debate_restore(&d, &w->row, w->turns,
					     w->n_turns, now, NULL),
			    ERR_OK);
			debate_start(d, now, &out);
			continue;
		}
		if (n >= stop) {
			debate_fail(d, "timeout", now, &out);
			continue;
		}
		ck_assert_uint_gt(q->n, 0);
		size_t i = draw(&s, q->n);
		struct debate_call call = q->calls[i];
		q->calls[i] = q->calls[--q->n];
		draw_answer(w->a, &s, &call, &r);
		debate_result(d, call.step_key, &r, now, &out);
	}
	debate_free(&d);
	free(q);
	qsort(w->turns, w->n_turns, sizeof(w->turns[0]), by_seq);
}

static enum err
replay_of(struct world *w, struct debate_replay *out)
{
	struct debate *d = NULL;
	struct err_info info = {0};

	enum err e = debate_replay(w->a, &w->row, w->turns, w->n_turns,
	    w->events, w->n_events, out, &d, &info);
	debate_free(&d);
	return e;
}

START_TEST(test_replay_is_identical)
{
	static const char *const rules[] = {"majority", "supermajority",
	    "unanimous", "judge", "weighted", "hybrid", "any", "none",
	    "plurality", "borda", "irv", "condorcet"};
	struct arena *a = arena_new(0);
	struct debate_replay f;
	uint64_t s = (uint64_t)_i * 7919 + 1;

	for (int round = 0; round < 20; round++) {
		struct world *w = mem_zalloc(sizeof(*w));
		world_init(w, config_for(a, rules[_i], round));
		run_at_random(w, s + (uint64_t)round * 104729,
		    round % 4 == 3 ? (size_t)round : ROOM);
		ck_assert_int_eq(replay_of(w, &f), ERR_OK);
		ck_assert_msg(f.seq == 0, "%s %d: event %lld, %s:\n%s\n%s",
		    rules[_i], round, (long long)f.seq, f.field, f.stored,
		    f.replayed);
		ck_assert_uint_eq(f.n_events, w->n_events);
		/* Any event that is altered is the one that is named. */
		size_t i = draw(&s, w->n_events);
		const char *kept = w->events[i].data;
		w->events[i].data = arena_printf(w->a, "%s ", kept);
		ck_assert_int_eq(replay_of(w, &f), ERR_OK);
		ck_assert_int_eq(f.seq, (int64_t)i + 1);
		ck_assert_str_eq(f.field, "data");
		w->events[i].data = kept;
		/* One that is gone, too; so is one too many. */
		w->n_events--;
		ck_assert_int_eq(replay_of(w, &f), ERR_OK);
		ck_assert_int_eq(f.seq, (int64_t)w->n_events + 1);
		w->n_events++;
		w->events[w->n_events] = w->events[w->n_events - 1];
		w->events[w->n_events].seq++;
		w->n_events++;
		ck_assert_int_eq(replay_of(w, &f), ERR_OK);
		ck_assert_int_eq(f.seq, (int64_t)w->n_events);
		arena_free(&w->a);
		free(w);
	}
	arena_free(&a);
}
END_TEST

/* Without its clock or an answer a record cannot be replayed. */
static const char *
with_budget(struct arena *a, const char *config, int64_t udollar,
    int64_t tokens, int64_t seconds)
{
	return arena_printf(a,
	    "%.*s,\"budget\":{\"udollar\":%lld,\"tokens\":%lld,\"seconds\":"
	    "%lld,\"prices\":[1000000,4000000,2000000,8000000,1000000,"
	    "4000000,0,0]}}",
	    (int)strlen(config) - 1, config, (long long)udollar,
	    (long long)tokens, (long long)seconds);
}

/* What all answers cost, by the prices above. */
static void
bill_of(const struct world *w, int64_t *udollar, int64_t *tokens)
{
	*udollar = 0;
	*tokens = 0;
	for (size_t i = 0; i < w->n_turns; i++) {
		const struct store_turn *t = &w->turns[i];
		int64_t dear = str_eq(t->agent, "demo_2") ? 2 : 1;
		*tokens += t->tokens_in + t->tokens_out;
		*udollar += dear * (t->tokens_in + 4 * t->tokens_out);
	}
}

/* Ever more money: it always ends with an answer, within the limit, and says
 * so when the limit ended it; an interruption changes nothing. */
START_TEST(test_budget)
{
	static const char *const rules[] = {"judge", "majority", "borda"};
	int64_t udollar, tokens, all_tokens, all_udollar;
	struct arena *a = arena_new(0);
	const char *config = config_of(a, rules[_i], 3, 3, false);
	int n_stopped = 0, n_whole = 0;
	struct debate_replay found;
	struct world w;

	world_init(&w, with_budget(a, config, INT64_C(90000000), -1, 0));
	ck_assert(run(&w, NULL, ROOM));
	bill_of(&w, &all_udollar, &all_tokens);
	arena_free(&w.a);
	for (int64_t percent = 40; percent <= 500; percent += 15) {
		bool in_tokens = percent % 2 == 0;
		const char *budgeted = with_budget(a, config,
		    in_tokens ? -1 : all_udollar * percent / 100,
		    in_tokens ? all_tokens * percent / 100 : -1, 0);
		world_init(&w, budgeted);
		ck_assert(run(&w, NULL, ROOM));
		bill_of(&w, &udollar, &tokens);
		bool is_stopped =
		    strstr(w.row.result, "\"stopped_by\":\"budget\"") != NULL;
		ck_assert_int_eq(w.row.status, STORE_COMPLETED);
		ck_assert_int_eq(
		    count_events(&w, "synthesis") + str_eq(rules[_i], "judge"),
		    1);
		ck_assert(strstr(w.row.result, "\"final_answer\":\"") != NULL);
		if (in_tokens)
			ck_assert_int_le(tokens, all_tokens * percent / 100);
		else
			ck_assert_int_le(udollar, all_udollar * percent / 100);
		ck_assert(!is_stopped || count_events(&w, "budget") > 0);
		n_stopped += is_stopped;
		n_whole += count_events(&w, "budget") == 0;
		qsort(w.turns, w.n_turns, sizeof(w.turns[0]), by_seq);
		ck_assert_int_eq(replay_of(&w, &found), ERR_OK);
		ck_assert_msg(found.seq == 0, "%lld%%: event %lld: %s",
		    (long long)percent, (long long)found.seq, found.field);
		ck_assert_uint_eq(found.n_events, w.n_events);
		for (int cut = 1; cut < w.n_commits; cut += 5) {
			struct world x;
			world_init(&x, budgeted);
			ck_assert(!run(&x, NULL, cut));
			ck_assert(run(&x, NULL, ROOM));
			ck_same(&w, &x, cut);
			arena_free(&x.a);
		}
		arena_free(&w.a);
	}
	ck_assert_int_gt(n_stopped, 0);
	ck_assert_int_gt(n_whole, 0);
	arena_free(&a);
}
END_TEST

/* The clock of these tests stands: one second is up at once or never. */
START_TEST(test_time_is_up)
{
	struct arena *a = arena_new(0);
	struct debate_replay found;
	struct world w;

	world_init(&w, with_budget(a, config_for(a, "majority", 3), -1, -1, 1));
	w.row.started_us = NOW - 1000000;
	ck_assert(run(&w, NULL, ROOM));
	ck_assert_int_eq(w.row.status, STORE_FAILED);
	ck_assert_str_eq(w.row.error, "time");
	ck_assert_int_eq(replay_of(&w, &found), ERR_OK);
	ck_assert_int_eq(found.seq, 0);
	arena_free(&w.a);
	world_init(&w, with_budget(a, config_for(a, "majority", 3), -1, -1, 1));
	ck_assert(run(&w, NULL, ROOM));
	ck_assert_int_eq(w.row.status, STORE_COMPLETED);
	ck_assert_int_eq(count_events(&w, "budget"), 0);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

START_TEST(test_replay_of_a_poor_record)
{
	struct arena *a = arena_new(0);
	struct debate_replay f;
	struct world w;

	world_init(&w, config_for(a, "majority", 1));
	run_saying(&w, say_settled, NULL);
	qsort(w.turns, w.n_turns, sizeof(w.turns[0]), by_seq);
	ck_assert_int_eq(replay_of(&w, &f), ERR_OK);
	ck_assert_int_eq(f.seq, 0);
	const char *parsed = w.turns[0].parsed;
	w.turns[0].parsed = "{}";
	ck_assert_int_eq(replay_of(&w, &f), ERR_UNSUPPORTED);
	w.turns[0].parsed = parsed;
	w.row.result = "{}";
	ck_assert_int_eq(replay_of(&w, &f), ERR_UNSUPPORTED);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The ballots of a tie, counted by another rule: the recorded outcome stays
 * what it was. */
START_TEST(test_recount)
{
	struct arena *a = arena_new(0);
	struct debate *d = NULL;
	struct debate_replay f;
	struct debate_recount r;
	struct world w;

	world_init(&w, config_for(a, "majority", 1));
	run_saying(&w, say_ranked, NULL);
	qsort(w.turns, w.n_turns, sizeof(w.turns[0]), by_seq);
	ck_assert_int_eq(debate_replay(w.a, &w.row, w.turns, w.n_turns,
			     w.events, w.n_events, &f, &d, NULL),
	    ERR_OK);
	debate_recount(d, DEBATE_MAJORITY, 600000, &r);
	ck_assert(!r.outcome.is_reached);
	ck_assert(!r.needs_judge);
	debate_recount(d, DEBATE_BORDA, 600000, &r);
	ck_assert(r.outcome.is_reached);
	ck_assert_str_eq(r.winner, "demo_3");
	ck_assert_uint_eq(r.n_rankings, 3);
	debate_recount(d, DEBATE_PLURALITY, 600000, &r);
	ck_assert(r.needs_judge);
	debate_recount(d, DEBATE_MAJORITY, 600000, &r);
	ck_assert(!r.outcome.is_reached);
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The prompts: neutral labels, no names, blocks delimited by the nonce. */
START_TEST(test_prompts)
{
	struct arena *a = arena_new(0);
	struct debate *d = NULL;
	struct debate_output out;
	struct world w;
	struct queue q = {.n = 0};

	world_init(&w, config_for(a, "judge", 9));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(&q, &out);
	for (size_t i = 0; i < q.n && q.n < 30; i++) {
		const struct llm_request *r = &q.calls[i].request;
		const char *text = llm_prompt_render(a, r);
		ck_assert_ptr_null(strstr(text, "demo_"));
		ck_assert_ptr_nonnull(strstr(text, "Tea or coffee?"));
		if (r->n_blocks > 0)
			ck_assert_ptr_nonnull(strstr(text, r->nonce));
		if (r->task == LLM_CRITIQUE)
			ck_assert(str_starts(
			    r->blocks[r->n_blocks - 1].label, "Proposal "));
		answer(d, &q.calls[i], NULL, &out);
		queue_take(&q, &out);
	}
	debate_free(&d);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

/* The debate object is valid JSON and holds what was decided. */
START_TEST(test_view)
{
	static const char *const members[] = {"debate_id", "id", "task",
	    "status", "agents", "rounds", "consensus", "confidence",
	    "agreement", "messages", "critiques", "votes", "proposals",
	    "final_answer", "dissenting_views", "created_at", "total_rounds"};
	struct arena *a = arena_new(0);
	struct world w;
	struct buf b;
	struct json_w out;
	const struct json *j;
	struct err_info info = {0};

	world_init(&w, config_for(a, "majority", 2));
	ck_assert(run(&w, NULL, ROOM));
	buf_init(&b, 4 << 20);
	json_w_init(&out, &b);
	json_w_begin(&out, NULL);
	debate_view_members(
	    &out, a, &w.row, w.turns, w.n_turns, DEBATE_VIEW_FULL, NOW);
	json_w_end(&out);
	ck_assert_msg(
	    json_parse(a, buf_text(&b), b.len, NULL, &j, &info) == ERR_OK, "%s",
	    info.text);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		ck_assert_msg(
		    json_get(j, members[i]) != NULL, "no %s", members[i]);
	ck_assert_int_eq((int)json_len(json_get(j, "critiques")),
	    count_events(&w, "critique"));
	ck_assert_int_eq(
	    (int)json_len(json_get(j, "votes")), count_events(&w, "vote"));
	ck_assert_int_eq((int)json_len(json_get(j, "proposals")), 3);
	buf_release(&b);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("engine");
	TCase *c = tcase_create("engine");

	tcase_set_timeout(c, 0);
	tcase_add_loop_test(c, test_whole, 0, 12);
	tcase_add_loop_test(c, test_budget, 0, 3);
	tcase_add_test(c, test_time_is_up);
	tcase_add_loop_test(c, test_cut_anywhere, 0, 4);
	tcase_add_test(c, test_agent_fails);
	tcase_add_test(c, test_insufficient);
	tcase_add_test(c, test_fail);
	tcase_add_test(c, test_abandon);
	tcase_add_test(c, test_critiques_reach_their_author);
	tcase_add_loop_test(
	    c, test_similar_is_not_settled, 0, (int)ARRAY_LEN(stops));
	tcase_add_loop_test(
	    c, test_tie_goes_to_a_judge, 0, (int)ARRAY_LEN(ties));
	tcase_add_test(c, test_rankings_are_counted);
	tcase_add_test(c, test_memory);
	tcase_add_loop_test(c, test_replay_is_identical, 0, 12);
	tcase_add_test(c, test_replay_of_a_poor_record);
	tcase_add_test(c, test_recount);
	tcase_add_test(c, test_prompts);
	tcase_add_test(c, test_view);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
