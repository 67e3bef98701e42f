/* SPDX-License-Identifier: MIT
 *
 * What people say to a debate: the weight of a vote, the cap, one vote a
 * person, no matter in which order; and within the engine, that it is taken up
 * at the end of a round, once, whenever a runner dies.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "debate/audience.h"
#include "debate/consensus.h"
#include "debate/debate.h"
#include "debate/replay.h"

#define NOW  INT64_C(1767225600000000)
#define ROOM 256

/* ---- counting ---- */

/* Half a vote times 0.5 (1), 1.0 (5), 2.0 (10), linear between. */
static const struct {
	int64_t intensity, weight;
} weights[] = {{1, 250000}, {2, 312500}, {3, 375000}, {4, 437500}, {5, 500000},
    {6, 600000}, {7, 700000}, {8, 800000}, {9, 900000}, {10, 1000000},
    {-4, 250000}, {0, 250000}, {11, 1000000}};

START_TEST(test_weight)
{
	ck_assert_int_eq(
	    audience_weight(weights[_i].intensity), weights[_i].weight);
}
END_TEST

/* Of the agents' weight and the people's together they have the share, or
 * what they had if that is less. */
static const struct {
	int64_t before[3], agents, share, after[3];
} caps[] = {
    {{500000, 0, 0}, 3000000, 250000, {500000, 0, 0}},
    {{1000000, 0, 0}, 3000000, 250000, {1000000, 0, 0}}, /* a quarter */
    {{1000001, 0, 0}, 3000000, 250000, {1000000, 0, 0}},
    {{3000000, 1000000, 0}, 3000000, 250000, {750000, 250000, 0}},
    {{2, 1, 1}, 9, 250000, {1, 0, 0}}, /* cut to 3 and rounded down */
    {{500000, 500000, 0}, 3000000, 0, {0, 0, 0}},
    {{500000, 0, 0}, 0, 500000, {0, 0, 0}}, /* nobody to stand beside */
    {{9000000, 0, 0}, 2000000, 900000, {2000000, 0, 0}}, /* at most a half */
    /* As many votes as may be, beside the heaviest agents. */
    {{30000000000, 10000000000, 0}, 192000000, 500000,
	{144000000, 48000000, 0}},
};

START_TEST(test_cap)
{
	int64_t w[3];

	memcpy(w, caps[_i].before, sizeof(w));
	audience_cap(w, 3, caps[_i].agents, caps[_i].share);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(w[i], caps[_i].after[i]);
}
END_TEST

static const struct audience_vote votes[] = {{"ann", 3, 0, 10},
    {"bob", 4, 0, 5}, {"ann", 7, 1, 1}, {"cy", 8, 2, 6}, {"bob", 9, 0, 10},
    {"dee", 11, 7, 5} /* for an option that is none */};

/* ann's and bob's last votes stand, in each order of the six. */
START_TEST(test_replacement_in_any_order)
{
	size_t n = ARRAY_LEN(votes);
	size_t order[ARRAY_LEN(votes)] = {0};
	size_t seen = 0;

	for (size_t code = 0; code < 46656; code++) {
		struct audience_vote list[ARRAY_LEN(votes)];
		unsigned used = 0;
		int64_t w[3];
		for (size_t i = 0, c = code; i < n; i++, c /= n) {
			order[i] = c % n;
			used |= 1u << order[i];
			list[i] = votes[order[i]];
		}
		if (used != 63)
			continue;
		seen++;
		ck_assert_uint_eq(audience_count(list, n, w, 3), 3);
		ck_assert_int_eq(w[0], 1000000);
		ck_assert_int_eq(w[1], 250000);
		ck_assert_int_eq(w[2], 600000);
	}
	ck_assert_uint_eq(seen, 720);
}
END_TEST

/* People tip what the agents leave even, are nobody's quorum and no part of
 * unanimity. */
START_TEST(test_beside_ballots)
{
	struct consensus_ballot b[3] = {
	    {.choice = 0, .weight_ppm = 1000000, .confidence_ppm = 500000},
	    {.choice = 1, .weight_ppm = 1000000, .confidence_ppm = 500000},
	    {.choice = 1, .weight_ppm = 1, .is_audience = true}};
	struct consensus_rule rule = {DEBATE_MAJORITY, 600000, -1};
	struct consensus_outcome o;

	consensus_count(&rule, b, 3, 2, &o);
	ck_assert(o.is_reached);
	ck_assert_int_eq(o.winner, 1);
	ck_assert_int_eq(o.valid, 2);
	consensus_count(&rule, b, 2, 2, &o);
	ck_assert(!o.is_reached && o.is_tie);
	b[0].choice = -1;
	consensus_count(&rule, b, 3, 2, &o);
	ck_assert(!o.is_quorate);
	ck_assert_int_eq(o.abstained, 1);
	b[0].choice = b[1].choice = 0;
	rule.rule = DEBATE_UNANIMOUS;
	consensus_count(&rule, b, 3, 2, &o);
	ck_assert(o.is_reached);
	ck_assert_int_eq(o.winner, 0);
}
END_TEST

/* ---- what may come in ---- */

static struct debate_config
config_parsed(struct arena *a, const char *text)
{
	struct debate_config config;

	ck_assert_int_eq(debate_config_parse(a, text, &config, NULL), ERR_OK);
	return config;
}

static const char *
config_text(struct arena *a, const char *rule, int64_t share)
{
	return arena_printf(a,
	    "{\"task\":\"What to drink?\",\"context\":\"\",\"agents\":["
	    "{\"type\":\"demo\",\"name\":\"demo\"},"
	    "{\"type\":\"demo\",\"name\":\"demo_2\"}],\"rounds\":2,"
	    "\"consensus\":\"%s\",\"threshold_ppm\":600000,"
	    "\"early_stopping\":false,\"seed\":4,\"max_tokens\":100,"
	    "\"audience_share_ppm\":%lld,\"metadata\":{},\"tags\":[],"
	    "\"domain\":\"general\"}",
	    rule, (long long)share);
}

static struct store_human
vote(const char *who, const char *choice, int64_t intensity)
{
	return (struct store_human){.kind = STORE_HUMAN_VOTE,
	    .who = who,
	    .choice = choice,
	    .intensity = intensity};
}

static struct store_human
suggestion(const char *who, const char *text)
{
	return (struct store_human){
	    .kind = STORE_HUMAN_SUGGESTION, .who = who, .text = text};
}

START_TEST(test_check)
{
	struct arena *a = arena_new(0);
	struct debate_config c =
	    config_parsed(a, config_text(a, "majority", 250000));
	struct err_info info = {0};
	char *longer = arena_alloc(a, AUDIENCE_TEXT_MAX + 2);
	struct store_human in = vote("ann", "DEMO_2", 5);

	memset(longer, 'x', AUDIENCE_TEXT_MAX + 1);
	longer[AUDIENCE_TEXT_MAX + 1] = '\0';
	ck_assert_int_eq(audience_check(a, &c, &in, &info), ERR_OK);
	ck_assert_str_eq(in.choice, "demo_2");
	const struct {
		struct store_human in;
		const char *field;
	} bad[] = {{vote("ann", "nobody", 5), "choice"},
	    {vote("ann", "", 5), "choice"}, {vote("ann", NULL, 5), "choice"},
	    {vote("ann", "demo", 0), "intensity"},
	    {vote("ann", "demo", 11), "intensity"},
	    {vote("", "demo", 5), "user_id"},
	    {suggestion("ann", " \n"), "text"},
	    {suggestion("ann", NULL), "text"},
	    {suggestion("ann", longer), "text"}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		in = bad[i].in;
		ck_assert_int_eq(
		    audience_check(a, &c, &in, &info), ERR_INVALID);
		ck_assert_str_eq(info.field, bad[i].field);
	}
	in = suggestion("ann", longer + 1);
	ck_assert_int_eq(audience_check(a, &c, &in, &info), ERR_OK);
	c.audience_share_ppm = 0;
	ck_assert_int_eq(audience_check(a, &c, &in, &info), ERR_DENIED);
	arena_free(&a);
}
END_TEST

/* ---- the engine ---- */

/* An input comes as soon as so many events are there. */
struct said {
	size_t at;
	struct store_human in;
	bool is_in;
};

struct world {
	struct arena *a;
	struct store_debate row;
	struct store_turn turns[ROOM];
	size_t n_turns;
	struct store_event events[ROOM];
	size_t n_events;
	int n_commits;
	bool is_done;
	struct said *said;
	size_t n_said;
	/* how often a text was shown to whom */
	int shown[LLM_TASK__COUNT][4];
};

static void
world_event(struct world *w, const struct store_event *e)
{
	ck_assert_uint_lt(w->n_events, ROOM);
	w->events[w->n_events] =
	    (struct store_event){.seq = (int64_t)w->n_events + 1,
		.type = e->type,
		.round = e->round,
		.agent = arena_strdup(w->a, e->agent),
		.data = arena_strdup(w->a, e->data)};
	w->n_events++;
}

static void
world_hear(struct world *w)
{
	for (size_t i = 0; i < w->n_said; i++) {
		struct said *s = &w->said[i];
		if (s->is_in || w->n_events < s->at)
			continue;
		s->is_in = true;
		s->in.seq = (int64_t)w->n_events + 1;
		world_event(w,
		    &(struct store_event){
			.type = audience_event_type(s->in.kind),
			.data = audience_event_data(w->a, &s->in)});
	}
}

static struct store_turn *
world_turn(struct world *w, const char *key)
{
	for (size_t i = 0; i < w->n_turns; i++)
		if (str_eq(w->turns[i].step_key, key))
			return &w->turns[i];
	ck_assert_uint_lt(w->n_turns, ROOM);
	return &w->turns[w->n_turns++];
}

static void
world_commit(struct world *w, const struct store_transition *t)
{
	size_t first = w->n_events;

	for (size_t i = 0; i < t->n_events; i++)
		world_event(w, &t->events[i]);
	for (size_t i = 0; i < t->n_turns; i++) {
		struct store_turn *slot = world_turn(w, t->turns[i].step_key);
		ck_assert(slot->step_key == NULL ||
		    slot->state == STORE_TURN_STARTED);
		*slot = t->turns[i];
		slot->step_key = arena_strdup(w->a, slot->step_key);
		slot->agent = arena_strdup(w->a, slot->agent);
		slot->target = arena_strdup(w->a, slot->target);
		slot->content = arena_strdup(w->a, slot->content);
		slot->parsed = arena_strdup(w->a, slot->parsed);
		slot->error = arena_strdup(w->a, slot->error);
		if (t->turn_event[i] > 0) {
			ck_assert_uint_le(t->turn_event[i], t->n_events);
			slot->seq = (int64_t)(first + t->turn_event[i]);
		}
	}
	w->row.status = t->status;
	w->row.phase = t->phase;
	w->row.round = t->round;
	w->row.consensus_reached = t->consensus_reached;
	if (t->result != NULL)
		w->row.result = arena_strdup(w->a, t->result);
	w->n_commits++;
	world_hear(w);
}

static const char *const held[] = {
    "Drink tea: leaves calm the nerves.", "Roasted beans wake everybody up."};

/* Everybody votes for what they hold. */
static const char *
world_ballot(struct world *w, const struct debate_call *call)
{
	const char *mine = held[str_eq(call->agent->name, "demo_2")];

	for (size_t i = 0; i < call->request.n_blocks; i++)
		if (str_starts(call->request.blocks[i].label, "Proposal") &&
		    strstr(call->request.blocks[i].text, mine) != NULL)
			return arena_printf(w->a,
			    "{\"choice\":\"%s\",\"winner\":\"%s\","
			    "\"confidence\":0.5,\"reasoning\":\"so\"}",
			    call->request.blocks[i].label,
			    call->request.blocks[i].label);
	return "";
}

static const char *
world_say(struct world *w, const struct debate_call *call)
{
	struct store_human rows[8];
	size_t n = 0;

	switch (call->request.task) {
	case LLM_PROPOSE:
	case LLM_REVISE:
		return held[str_eq(call->agent->name, "demo_2")];
	case LLM_CRITIQUE:
		return "{\"issues\":[\"none\"],\"severity\":3}";
	case LLM_VOTE:
	case LLM_JUDGE:
		return world_ballot(w, call);
	case LLM_AUDIENCE:
		for (size_t i = 0; i < w->n_said; i++)
			if (w->said[i].is_in &&
			    w->said[i].in.seq > call->heard_seq)
				rows[n++] = w->said[i].in;
		return audience_write(w->a, rows, n);
	case LLM_SYNTHESIS:
	case LLM_EMBED:
	case LLM_TASK__COUNT:
		break;
	}
	return "Both have their hour.";
}

static void
world_look(
    struct world *w, const struct debate *d, const struct debate_call *call)
{
	int64_t round = debate_round(d);

	for (size_t i = 0; i < call->request.n_blocks; i++) {
		const struct llm_block *b = &call->request.blocks[i];
		if (strstr(b->text, "serve lemonade") == NULL)
			continue;
		ck_assert(str_starts(b->label, "Suggestion of a reader"));
		ck_assert(strstr(b->label, "ann") == NULL);
		w->shown[call->request.task][round]++;
	}
}

static bool
world_run(struct world *w, int stop_after)
{
	struct debate *d = NULL;
	struct debate_output out;
	struct debate_call calls[ROOM];
	size_t n = 0;

	ck_assert_int_eq(
	    debate_restore(&d, &w->row, w->turns, w->n_turns, NOW, NULL),
	    ERR_OK);
	debate_start(d, NOW, &out);
	for (size_t next = 0;;) {
		world_commit(w, &out.transition);
		for (size_t i = 0; i < out.n_calls; i++)
			calls[n++] = out.calls[i];
		w->is_done = out.is_done;
		if (w->is_done || w->n_commits >= stop_after)
			break;
		ck_assert_uint_lt(next, n);
		const struct debate_call *call = &calls[next++];
		world_look(w, d, call);
		const char *text = world_say(w, call);
		struct llm_result r = {
		    .message = "", .text = text, .text_len = strlen(text)};
		debate_result(d, call->step_key, &r, NOW, &out);
	}
	debate_free(&d);
	return w->is_done;
}

static void
world_init(struct world *w, const char *rule, int64_t share,
    const struct said *said, size_t n)
{
	*w = (struct world){.a = arena_new(1 << 16), .n_said = n};
	w->said = ARENA_ARRAY(w->a, n + 1, struct said);
	for (size_t i = 0; i < n; i++)
		w->said[i] = said[i];
	w->row = (struct store_debate){.id = "adhoc_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .slug = "adhoc_1",
	    .task = "What to drink?",
	    .config = config_text(w->a, rule, share),
	    .status = STORE_RUNNING,
	    .phase = "new",
	    .created_us = NOW,
	    .started_us = NOW};
	world_hear(w);
}

static const struct json *
world_consensus(struct world *w)
{
	const struct json *j;

	ck_assert_int_eq(json_parse(w->a, w->row.result, strlen(w->row.result),
			     NULL, &j, NULL),
	    ERR_OK);
	return json_get(j, "consensus");
}

static int
world_count(const struct world *w, const char *type)
{
	int n = 0;

	for (size_t i = 0; i < w->n_events; i++)
		n += str_eq(w->events[i].type, type);
	return n;
}

/* The agents leave it even; one person's vote decides, and of the same person
 * the last one. */
START_TEST(test_votes_tip_a_tie)
{
	const struct said said[] = {{4, vote("ann", "demo", 10), false},
	    {6, vote("ann", "demo_2", 5), false}};
	struct world w;

	world_init(&w, "majority", 250000, NULL, 0);
	ck_assert(world_run(&w, ROOM));
	ck_assert(!w.row.consensus_reached);
	ck_assert_int_eq(world_count(&w, "audience_summary"), 0);
	arena_free(&w.a);

	world_init(&w, "majority", 250000, said, 2);
	ck_assert(world_run(&w, ROOM));
	ck_assert(w.row.consensus_reached);
	const struct json *j = world_consensus(&w);
	ck_assert_str_eq(
	    json_str(json_at(json_get(j, "supporting_agents"), 0), NULL),
	    "demo_2");
	const struct json *people = json_get(j, "audience");
	ck_assert_int_eq(json_get_int(people, "voters", 0), 1);
	ck_assert(json_get_num(people, "weight", 0) == 0.5);
	ck_assert(json_get_num(j, "agreement", 0) == 0.6);
	ck_assert_int_eq(world_count(&w, "audience_summary"), 1);
	arena_free(&w.a);
}
END_TEST

/* However many people: together they have their share and no more. */
START_TEST(test_crowd_is_capped)
{
	struct said said[] = {{1, vote("a", "demo_2", 10), false},
	    {1, vote("b", "demo_2", 10), false},
	    {1, vote("c", "demo_2", 10), false},
	    {1, vote("d", "demo_2", 10), false}};
	struct world w;

	world_init(&w, "majority", 200000, said, 4);
	ck_assert(world_run(&w, ROOM));
	/* 2 / (1 - 0.2) is 2.5 in all, of which people have 0.5. */
	const struct json *people = json_get(world_consensus(&w), "audience");
	ck_assert_int_eq(json_get_int(people, "voters", 0), 4);
	ck_assert(json_get_num(people, "weight", 0) == 0.5);
	arena_free(&w.a);
}
END_TEST

/* A suggestion of the first round is read in the second, by those who
 * criticise and revise, by no voter; one of the last by the synthesis. */
START_TEST(test_suggestions)
{
	const struct said early = {
	    3, suggestion("ann", "You could serve lemonade."), false};
	struct world w;

	world_init(&w, "majority", 250000, &early, 1);
	ck_assert(world_run(&w, ROOM));
	for (int task = 0; task < LLM_TASK__COUNT; task++)
		for (int round = 0; round < 4; round++)
			ck_assert_int_eq(w.shown[task][round],
			    round == 2 &&
				    (task == LLM_CRITIQUE || task == LLM_REVISE)
				? 2
				: 0);
	size_t whole = w.n_events;
	arena_free(&w.a);

	size_t in_vote = 0;
	world_init(&w, "majority", 250000, NULL, 0);
	ck_assert(world_run(&w, ROOM));
	while (!str_eq(w.events[in_vote].type, "vote"))
		in_vote++;
	arena_free(&w.a);
	ck_assert_uint_lt(in_vote, whole);
	const struct said late = {
	    in_vote + 1, suggestion("ann", "You could serve lemonade."), false};
	world_init(&w, "majority", 250000, &late, 1);
	ck_assert(world_run(&w, ROOM));
	for (int task = 0; task < LLM_TASK__COUNT; task++)
		for (int round = 0; round < 4; round++)
			ck_assert_int_eq(w.shown[task][round],
			    round == 2 && task == LLM_SYNTHESIS);
	arena_free(&w.a);
}
END_TEST

#define VOTE(w, c, i)                                                          \
	{                                                                      \
		.kind = STORE_HUMAN_VOTE, .who = (w), .choice = (c),           \
		.intensity = (i)                                               \
	}
#define TEXT(w, t)                                                             \
	{                                                                      \
		.kind = STORE_HUMAN_SUGGESTION, .who = (w), .text = (t)        \
	}

static const struct said crowd[] = {{2, VOTE("ann", "demo", 10), false},
    {5, TEXT("bob", "You could serve lemonade."), false},
    {14, VOTE("ann", "demo_2", 7), false}, {20, VOTE("cy", "demo_2", 1), false},
    {30, TEXT("ann", "Or water."), false}};

/* The runner dies after any commit, between input and end of round too. */
START_TEST(test_cut_anywhere)
{
	struct world whole;

	world_init(&whole, "majority", 250000, crowd, ARRAY_LEN(crowd));
	ck_assert(world_run(&whole, ROOM));
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		ck_assert(whole.said[i].is_in);
	for (int cut = 1; cut < whole.n_commits; cut++) {
		struct world w;
		world_init(&w, "majority", 250000, crowd, ARRAY_LEN(crowd));
		ck_assert(!world_run(&w, cut));
		ck_assert(world_run(&w, ROOM));
		ck_assert_uint_eq(w.n_events, whole.n_events);
		for (size_t i = 0; i < w.n_events; i++) {
			ck_assert_str_eq(
			    w.events[i].type, whole.events[i].type);
			ck_assert_str_eq(
			    w.events[i].data, whole.events[i].data);
		}
		ck_assert_str_eq(w.row.result, whole.row.result);
		arena_free(&w.a);
	}
	arena_free(&whole.a);
}
END_TEST

static int
by_seq(const void *x, const void *y)
{
	const struct store_turn *a = x;
	const struct store_turn *b = y;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static struct debate_replay
replayed(struct world *w, enum debate_rule rule, struct debate_recount *other)
{
	struct debate *d = NULL;
	struct debate_replay f;

	ck_assert_int_eq(debate_replay(w->a, &w->row, w->turns, w->n_turns,
			     w->events, w->n_events, &f, &d, NULL),
	    ERR_OK);
	if (other != NULL)
		debate_recount(d, rule, 600000, other);
	debate_free(&d);
	return f;
}

/* The same stream again; another rule counts the same people; whose words were
 * changed afterwards is found. */
START_TEST(test_replay)
{
	struct debate_recount other;
	struct world w;

	world_init(&w, "majority", 250000, crowd, ARRAY_LEN(crowd));
	ck_assert(world_run(&w, ROOM));
	qsort(w.turns, w.n_turns, sizeof(w.turns[0]), by_seq);
	struct debate_replay f = replayed(&w, DEBATE_PLURALITY, &other);
	ck_assert_msg(f.seq == 0, "event %lld, %s: '%s', not '%s'",
	    (long long)f.seq, f.field, f.stored, f.replayed);
	ck_assert_uint_eq(f.n_events, w.n_events);
	ck_assert(!f.has_input);
	ck_assert(other.outcome.is_reached);
	ck_assert_str_eq(other.winner, "demo_2");
	for (size_t i = 0; i < w.n_events; i++) {
		const char *kept = w.events[i].data;
		const char *type = w.events[i].type;
		w.events[i].data = arena_printf(w.a, "%s ", kept);
		f = replayed(&w, DEBATE_NONE, NULL);
		ck_assert_int_eq(f.seq, (int64_t)i + 1);
		w.events[i].data = kept;
		w.events[i].type = "vote ";
		f = replayed(&w, DEBATE_NONE, NULL);
		ck_assert_int_eq(f.seq, (int64_t)i + 1);
		w.events[i].type = type;
	}
	arena_free(&w.a);
}
END_TEST

/* Who is not heard is not asked for: the engine of before. */
START_TEST(test_nobody_is_heard)
{
	struct world w;

	world_init(&w, "majority", 0, NULL, 0);
	ck_assert(world_run(&w, ROOM));
	for (size_t i = 0; i < w.n_turns; i++)
		ck_assert(!str_eq(w.turns[i].role, "audience"));
	arena_free(&w.a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audience");
	TCase *c = tcase_create("audience");

	tcase_add_loop_test(c, test_weight, 0, (int)ARRAY_LEN(weights));
	tcase_add_loop_test(c, test_cap, 0, (int)ARRAY_LEN(caps));
	tcase_add_test(c, test_replacement_in_any_order);
	tcase_add_test(c, test_beside_ballots);
	tcase_add_test(c, test_check);
	tcase_add_test(c, test_votes_tip_a_tie);
	tcase_add_test(c, test_crowd_is_capped);
	tcase_add_test(c, test_suggestions);
	tcase_add_test(c, test_cut_anywhere);
	tcase_add_test(c, test_replay);
	tcase_add_test(c, test_nobody_is_heard);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
