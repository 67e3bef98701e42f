/* SPDX-License-Identifier: MIT
 *
 * When a debate may end early, which positions are one option, and what is
 * kept of it for comparison: the engine driven by hand, with embeddings of its
 * own, with a pretended provider's, and with a provider that fails.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "debate/convergence.h"
#include "debate/replay.h"
#include "debate/stance.h"
#include "llm/llm_embed.h"
#include "llm/vector.h"
#include "tests/unit/check_run.h"

#define NOW	INT64_C(1767225600000000)
#define ROOM	512
#define SEATS	5
#define ROUNDS	3
#define WITHOUT (-1) /* embeddings of a provider */

static struct arena *arena;

static void
set_up(void)
{
	arena = arena_new(1 << 16);
}

static void
tear_down(void)
{
	arena_free(&arena);
}

/* ---- what sentences claim ---- */

static const struct {
	const char *x, *y;
	bool contradicts;
} stances[] = {
    {"We should adopt PostgreSQL.", "We should not adopt PostgreSQL.", true},
    {"We should adopt PostgreSQL.",
	"We must not adopt PostgreSQL; choose MySQL.", true},
    {"We should adopt PostgreSQL.", "PostgreSQL should be adopted.", false},
    {"Adopt PostgreSQL now.", "Reject PostgreSQL now.", true},
    {"Adopt PostgreSQL now.", "Do not reject PostgreSQL now.", false},
    {"It doesn't scale well.", "It does scale well.", true},
    {"It doesn\xe2\x80\x99t scale well.", "It does scale well.", true},
    {"Prices will increase next year.", "Prices will decrease next year.",
	true},
    {"The answer is 42.", "The answer is 43.", true},
    {"It costs 1.5 million.", "It costs 1.6 million.", true},
    {"It costs 1,500 a year.", "It costs 1500 a year.", false},
    {"I am <demo>", "I am <demo_2>", true},
    /* anywhere in the text */
    {"Costs matter. The team is small. We should buy the tool.",
	"The team is small. Costs matter. We should not buy the tool.", true},
    {"Costs matter. We should buy the tool.",
	"We should buy the tool. Costs matter very much.", false},
    /* of something else */
    {"We should buy the tool.", "Nobody likes the rain in Hamburg.", false},
    {"Rain is not likely.", "We should buy the tool.", false},
    {"", "We should buy the tool.", false},
    {"", "", false},
};

START_TEST(test_stance)
{
	const struct stance *x = stance_read(arena, stances[_i].x);
	const struct stance *y = stance_read(arena, stances[_i].y);

	ck_assert_msg(stance_contradicts(x, y) == stances[_i].contradicts,
	    "%s / %s", stances[_i].x, stances[_i].y);
	ck_assert(stance_contradicts(y, x) == stances[_i].contradicts);
	ck_assert(!stance_contradicts(x, x));
}
END_TEST

START_TEST(test_same_answer)
{
	const struct stance *x = stance_read(arena, "The answer is 42.");

	ck_assert(stance_is_same(x, stance_read(arena, "the answer IS  42")));
	ck_assert(!stance_is_same(x, stance_read(arena, "The answer is 24.")));
	ck_assert(!stance_is_same(x, stance_read(arena, "answer The is 42.")));
}
END_TEST

/* However long, and of whatever bytes. */
START_TEST(test_stance_bounds)
{
	size_t size = 1 << 18;
	char *text = arena_alloc(arena, size);

	for (size_t i = 0; i + 1 < size; i++)
		text[i] = (char)(1 + (i * 7919 >> 3) % 255);
	const struct stance *s = stance_read(arena, text);
	ck_assert(!stance_contradicts(s, s));
	memset(text, 'a', size - 1);
	ck_assert(
	    stance_is_same(stance_read(arena, text), stance_read(arena, text)));
}
END_TEST

/* ---- the database, pretended ---- */

struct world {
	struct store_debate row;
	struct store_turn turns[ROOM];
	size_t n_turns;
	struct store_event events[ROOM];
	size_t n_events;
	int n_commits, n_embedded;
	struct store_vector vector;
	bool is_done;
};

static struct world *
world_new(const char *config)
{
	struct world *w = ARENA_NEW(arena, struct world);

	w->row = (struct store_debate){.id = "adhoc_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .slug = "adhoc_1",
	    .task = "Which database?",
	    .config = config,
	    .status = STORE_RUNNING,
	    .phase = "new",
	    .created_us = NOW,
	    .started_us = NOW};
	return w;
}

static void
world_turn(struct world *w, const struct store_turn *t, int64_t seq)
{
	size_t i = 0;

	while (i < w->n_turns && !str_eq(w->turns[i].step_key, t->step_key))
		i++;
	ck_assert_uint_lt(i, ROOM);
	/* A finished call is never paid twice. */
	ck_assert(i == w->n_turns || w->turns[i].state == STORE_TURN_STARTED);
	if (i == w->n_turns)
		w->n_turns++;
	w->turns[i] = *t;
	w->turns[i].step_key = arena_strdup(arena, t->step_key);
	w->turns[i].agent = arena_strdup(arena, t->agent);
	w->turns[i].target = arena_strdup(arena, t->target);
	w->turns[i].content = arena_strdup(arena, t->content);
	w->turns[i].parsed = arena_strdup(arena, t->parsed);
	w->turns[i].error = arena_strdup(arena, t->error);
	w->turns[i].seq = seq;
}

static void
world_commit(struct world *w, const struct store_transition *t)
{
	size_t first = w->n_events;

	for (size_t i = 0; i < t->n_events; i++) {
		ck_assert_uint_lt(w->n_events, ROOM);
		struct store_event *e = &w->events[w->n_events++];
		*e = t->events[i];
		e->seq = (int64_t)w->n_events;
		e->agent = arena_strdup(arena, t->events[i].agent);
		e->data = arena_strdup(arena, t->events[i].data);
	}
	for (size_t i = 0; i < t->n_turns; i++)
		world_turn(w, &t->turns[i],
		    t->turn_event[i] == 0
			? 0
			: (int64_t)(first + t->turn_event[i]));
	w->row.status = t->status;
	w->row.phase = t->phase;
	w->row.round = t->round;
	w->row.confidence = t->confidence;
	w->row.consensus_reached = t->consensus_reached;
	if (t->result != NULL)
		w->row.result = arena_strdup(arena, t->result);
	w->vector =
	    (struct store_vector){.model = arena_strdup(arena, t->vector.model),
		.dimension = t->vector.dimension,
		.data = arena_strdup(arena, t->vector.data)};
	w->n_commits++;
}

/* ---- playing ---- */

typedef const char *say_fn(const struct debate_call *call);

struct play {
	say_fn *say;
	/* All similarities that the provider tells; -1 = it fails. */
	int64_t ppm;
	int stop_after; /* commits; 0 = at the end */
};

/* n texts, all so like each other. */
static const char *
embed(const struct llm_request *r, int64_t ppm)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_puts(&b,
	    "{\"model\":\"openai/m\",\"dimension\":2,\"cached\":0,"
	    "\"similarity_ppm\":[");
	for (size_t i = 0; i < r->n_blocks * (r->n_blocks - 1) / 2; i++)
		buf_printf(&b, "%s%lld", i > 0 ? "," : "", (long long)ppm);
	buf_printf(
	    &b, "]%s}", r->n_blocks == 1 ? ",\"vector\":\"AACAPwAAAAA=\"" : "");
	const char *text = arena_strdup(arena, buf_text(&b));
	buf_release(&b);
	return text;
}

static void
answer(struct world *w, const struct play *p, struct debate *d,
    const struct debate_call *call, struct debate_output *out)
{
	struct llm_result r = {.message = "", .text = ""};

	if (call->request.task == LLM_EMBED) {
		ck_assert_str_eq(call->agent->row->name, "openai-api");
		ck_assert_str_eq(call->agent->model, "m");
		w->n_embedded++;
		r.text = embed(&call->request, p->ppm);
	} else {
		r.text = p->say(call);
	}
	if (call->request.task == LLM_EMBED && p->ppm < 0) {
		r.error = LLM_ERR_AUTH;
		r.message = "no key";
		r.text = "";
	}
	r.text_len = strlen(r.text);
	debate_result(d, call->step_key, &r, NOW, out);
}

static void
play(struct world *w, const struct play *p)
{
	struct debate_call calls[ROOM];
	size_t n = 0;
	size_t next = 0;
	struct debate *d = NULL;
	struct debate_output out;
	struct err_info info = {0};

	ck_assert_msg(debate_restore(&d, &w->row, w->turns, w->n_turns, NOW,
			  &info) == ERR_OK,
	    "%s", info.text);
	debate_start(d, NOW, &out);
	for (;;) {
		world_commit(w, &out.transition);
		for (size_t i = 0; i < out.n_calls; i++)
			calls[n++] = out.calls[i];
		w->is_done = out.is_done;
		if (w->is_done ||
		    (p->stop_after > 0 && w->n_commits >= p->stop_after))
			break;
		ck_assert_uint_lt(next, n);
		answer(w, p, d, &calls[next++], &out);
	}
	debate_free(&d);
}

static const char *
config(const char *rule, bool has_embedder, const char *more)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	buf_puts(&b,
	    "{\"task\":\"Which database?\",\"context\":\"\","
	    "\"agents\":[");
	for (int i = 0; i < SEATS; i++)
		buf_printf(&b, "%s{\"type\":\"demo\",\"name\":\"seat%c\"}",
		    i > 0 ? "," : "", 'a' + i);
	buf_printf(&b,
	    "],\"rounds\":%d,\"consensus\":\"%s\",\"threshold_ppm\":600000,"
	    "\"seed\":1,\"max_tokens\":100,\"metadata\":{},\"tags\":[],"
	    "\"domain\":\"general\"%s%s}",
	    ROUNDS, rule,
	    has_embedder
		? ",\"embedder\":{\"type\":\"openai-api\",\"model\":\"m\"}"
		: "",
	    more);
	const char *text = arena_strdup(arena, buf_text(&b));
	buf_release(&b);
	return text;
}

static int
count(const struct world *w, const char *type)
{
	int n = 0;

	for (size_t i = 0; i < w->n_events; i++)
		n += str_eq(w->events[i].type, type);
	return n;
}

static const struct json *
parse(const char *text)
{
	const struct json *j = NULL;

	ck_assert_int_eq(
	    json_parse(arena, text, strlen(text), NULL, &j, NULL), ERR_OK);
	return j;
}

/* The data of the last event of a type. */
static const struct json *
last(const struct world *w, const char *type)
{
	for (size_t i = w->n_events; i > 0; i--)
		if (str_eq(w->events[i - 1].type, type))
			return parse(w->events[i - 1].data);
	ck_abort_msg("no event %s", type);
	return NULL;
}

/* ---- when it ends ---- */

#define CRITIQUE "{\"issues\":[\"x\"],\"fatal\":false}"
#define BECAUSE                                                                \
	" adopt PostgreSQL for the billing service, because its transactions " \
	"are strict and the team has run it for years."

static int
round_of(const struct debate_call *call)
{
	return call->step_key[0] - '0';
}

static const char *
say_held(const struct debate_call *call)
{
	return call->request.task == LLM_CRITIQUE
	    ? CRITIQUE
	    : "CHANGED: no - nothing new\nWe should" BECAUSE;
}

static const char *
say_fatal(const struct debate_call *call)
{
	return call->request.task == LLM_CRITIQUE
	    ? "{\"issues\":[\"x\"],\"fatal\":true}"
	    : say_held(call);
}

/* "No change", with the same words but one. */
static const char *
say_flipped(const struct debate_call *call)
{
	bool is_against =
	    call->request.task == LLM_REVISE && round_of(call) % 2 == 1;

	if (call->request.task == LLM_CRITIQUE)
		return CRITIQUE;
	return is_against ? "CHANGED: no - as before\nWe should not" BECAUSE
			  : "CHANGED: no - as before\nWe should" BECAUSE;
}

/* "No change", and quite another text. */
static const char *
say_moved(const struct debate_call *call)
{
	static const char *const texts[] = {
	    "Penguins swim far out at sea in winter.",
	    "Trams were the pride of every town once.",
	    "Bread wants time, salt and a hot oven.", "Snow fell on Monday."};

	if (call->request.task == LLM_CRITIQUE)
		return CRITIQUE;
	return arena_printf(arena, "CHANGED: no\n%s",
	    texts[call->request.task == LLM_REVISE ? round_of(call) : 0]);
}

static const char *
say_changed(const struct debate_call *call)
{
	return call->request.task == LLM_CRITIQUE
	    ? CRITIQUE
	    : "CHANGED: yes - a word\nWe should" BECAUSE;
}

/* One of five changes its mind. */
static const char *
say_one_changed(const struct debate_call *call)
{
	return str_eq(call->agent->name, "seatc") ? say_changed(call)
						  : say_held(call);
}

static const struct {
	say_fn *say;
	int64_t ppm; /* WITHOUT: hashed */
	bool has_embedder;
	const char *more;
	int rounds;
} ends[] = {
    {say_held, WITHOUT, false, "", 1},
    {say_held, WITHOUT, false, ",\"early_stopping\":false", ROUNDS},
    {say_fatal, WITHOUT, false, "", ROUNDS},
    {say_flipped, WITHOUT, false, "", ROUNDS},
    {say_moved, WITHOUT, false, "", ROUNDS},
    {say_moved, WITHOUT, false, ",\"convergence_ppm\":0", 1},
    {say_changed, WITHOUT, false, "", ROUNDS},
    {say_one_changed, WITHOUT, false, "", ROUNDS},
    {say_one_changed, WITHOUT, false, ",\"early_exit_ppm\":800000", 1},
    {say_one_changed, WITHOUT, false, ",\"early_exit_ppm\":800001", ROUNDS},
    /* The provider's word counts where there is one, */
    {say_held, 1000000, true, "", 1},
    {say_held, 849999, true, "", ROUNDS},
    {say_held, 850000, true, "", 1},
    {say_moved, 1000000, true, "", 1},
    {say_flipped, 1000000, true, "", ROUNDS},
    /* and when it fails the hashed one. */
    {say_held, -1, true, "", 1},
    {say_moved, -1, true, "", ROUNDS},
};

START_TEST(test_end)
{
	struct world *w =
	    world_new(config("none", ends[_i].has_embedder, ends[_i].more));

	play(w, &(struct play){.say = ends[_i].say, .ppm = ends[_i].ppm});
	ck_assert_int_eq(w->row.status, STORE_COMPLETED);
	ck_assert_int_eq(count(w, "round_end"), ends[_i].rounds);
	ck_assert_int_eq(
	    w->n_embedded, ends[_i].has_embedder ? ends[_i].rounds + 1 : 0);
	const struct json *j = last(w, "convergence");
	ck_assert_int_eq(json_get_bool(j, "settled", false),
	    ends[_i].rounds < ROUNDS ||
		strstr(ends[_i].more, "early_stopping") != NULL);
	ck_assert_str_eq(json_get_str(j, "model", ""),
	    ends[_i].ppm >= 0 ? "openai/m" : VECTOR_HASH_MODEL);
}
END_TEST

/* The two texts are alike enough, nobody says that it changed anything: with
 * similarity alone the debate would have ended after its first round, between
 * opponents. */
START_TEST(test_similarity_alone)
{
	struct world *w = world_new(config("none", false, ""));

	play(w, &(struct play){.say = say_flipped});
	ck_assert_int_eq(count(w, "round_end"), ROUNDS);
	ck_assert_int_eq(count(w, "convergence"), ROUNDS - 1);
	const struct json *j = last(w, "convergence");
	ck_assert(json_get_num(j, "lowest", 0) >= 0.85);
	ck_assert_str_eq(json_get_str(j, "status", ""), "refining");
	ck_assert_uint_eq(json_len(json_get(j, "flipped")), SEATS);
	ck_assert_uint_eq(json_len(json_get(j, "held")), 0);
	ck_assert_uint_eq(json_len(json_get(j, "per_agent")), SEATS);
	ck_assert_uint_eq(
	    json_len(json_get(j, "between")), SEATS * (SEATS - 1) / 2);
}
END_TEST

START_TEST(test_failed_provider_is_told)
{
	struct world *w = world_new(config("none", true, ""));

	play(w, &(struct play){.say = say_held, .ppm = -1});
	ck_assert_int_eq(count(w, "agent_error"), 2);
	const struct json *j = last(w, "agent_error");
	ck_assert_str_eq(json_get_str(j, "phase", ""), "index");
	for (size_t i = 0; i < w->n_events; i++)
		if (str_eq(w->events[i].type, "agent_error"))
			ck_assert_ptr_null(w->events[i].agent);
}
END_TEST

/* ---- cut off and built again; replayed ---- */

static const char *label_of(const struct debate_call *call, const char *text);

/* They vote for seat a, whose text is like that of seat b. */
static const char *
say_all(const struct debate_call *call)
{
	const char *self = call->agent->name;

	if (call->request.task == LLM_CRITIQUE)
		return CRITIQUE;
	if (call->request.task == LLM_VOTE)
		return arena_printf(arena,
		    "{\"choice\":\"%s\",\"reasoning\":\"so\"}",
		    label_of(call,
			str_eq(self, "seata") ? "strict and" : "Penguins"));
	if (call->request.task == LLM_SYNTHESIS)
		return "PostgreSQL it is.";
	return str_eq(self, "seata") || str_eq(self, "seatb")
	    ? say_flipped(call)
	    : arena_printf(arena, "CHANGED: yes\nPenguins number %d by %s.",
		  round_of(call), self);
}

static const struct {
	int64_t ppm;
	bool has_embedder;
} ways[] = {{WITHOUT, false}, {900000, true}, {-1, true}};

START_TEST(test_cut_anywhere)
{
	const struct play p = {.say = say_all, .ppm = ways[_i].ppm};
	const char *c = config("plurality", ways[_i].has_embedder, "");
	struct world *whole = world_new(c);

	play(whole, &p);
	ck_assert_int_eq(whole->row.status, STORE_COMPLETED);
	for (int cut = 1; cut < whole->n_commits; cut++) {
		struct play first = p;
		struct world *w = world_new(c);
		first.stop_after = cut;
		play(w, &first);
		ck_assert(!w->is_done);
		play(w, &p);
		ck_assert_uint_eq(w->n_events, whole->n_events);
		for (size_t i = 0; i < w->n_events; i++)
			ck_assert_str_eq(
			    w->events[i].data, whole->events[i].data);
		ck_assert_str_eq(w->row.result, whole->row.result);
		ck_assert_str_eq(w->vector.model, whole->vector.model);
		ck_assert_str_eq(w->vector.data, whole->vector.data);
	}
}
END_TEST

static int
by_seq(const void *x, const void *y)
{
	const struct store_turn *a = x;
	const struct store_turn *b = y;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Of what was recorded the same debate comes again, and nobody is asked. */
START_TEST(test_replay)
{
	const struct play p = {.say = say_all, .ppm = ways[_i].ppm};
	struct world *w =
	    world_new(config("plurality", ways[_i].has_embedder, ""));
	struct debate_replay r;
	struct debate *d = NULL;
	struct err_info info = {0};

	play(w, &p);
	qsort(w->turns, w->n_turns, sizeof(w->turns[0]), by_seq);
	ck_assert_msg(debate_replay(arena, &w->row, w->turns, w->n_turns,
			  w->events, w->n_events, &r, &d, &info) == ERR_OK,
	    "%s", info.text);
	ck_assert_msg(r.seq == 0, "%lld %s: %s / %s", (long long)r.seq, r.field,
	    r.stored, r.replayed);
	ck_assert_uint_eq(r.n_events, w->n_events);
	debate_free(&d);
}
END_TEST

/* ---- which positions are one option ---- */

static const char *group_texts[SEATS];
static const char *group_votes[SEATS]; /* words of the text it votes for */

static const char *
label_of(const struct debate_call *call, const char *text)
{
	for (size_t i = 0; i < call->request.n_blocks; i++)
		if (str_starts(call->request.blocks[i].label, "Proposal ") &&
		    strstr(call->request.blocks[i].text, text) != NULL)
			return call->request.blocks[i].label;
	return "nobody";
}

static const char *
say_group(const struct debate_call *call)
{
	int seat = call->agent->name[4] - 'a';

	if (call->request.task == LLM_CRITIQUE)
		return CRITIQUE;
	if (call->request.task == LLM_VOTE)
		return arena_printf(arena,
		    "{\"choice\":\"%s\",\"reasoning\":\"so\"}",
		    label_of(call, group_votes[seat]));
	if (call->request.task == LLM_SYNTHESIS)
		return "So be it.";
	return arena_printf(arena, "CHANGED: no\n%s", group_texts[seat]);
}

static const struct {
	const char *texts[SEATS];
	const char *votes[SEATS];
	const char *winner; /* NULL = nobody reaches a majority */
	size_t merged;	    /* groups of more than one */
	size_t supporters;
} groups[] = {
    /* Three say the same and get a vote each: together a majority. Of them
     * the first text in the order of letters stands for all. */
    {{"We should" BECAUSE " Alpha.", "We should" BECAUSE " Beta.",
	 "We should" BECAUSE " Gamma.", "Penguins swim far out at sea.",
	 "Bread wants time and salt."},
	{"Alpha", "Beta", "Gamma", "Penguins", "Bread"}, "seata", 1, 3},
    /* Seats in another order: the same text wins. */
    {{"Bread wants time and salt.", "We should" BECAUSE " Gamma.",
	 "We should" BECAUSE " Beta.", "Penguins swim far out at sea.",
	 "We should" BECAUSE " Alpha."},
	{"Bread", "Gamma", "Beta", "Penguins", "Alpha"}, "seate", 1, 3},
    /* The one with most votes stands for all. */
    {{"We should" BECAUSE " Alpha.", "We should" BECAUSE " Beta.",
	 "We should" BECAUSE " Gamma.", "Penguins swim far out at sea.",
	 "Bread wants time and salt."},
	{"Beta", "Beta", "Gamma", "Penguins", "Alpha"}, "seatb", 1, 4},
    /* As like as these, and the contrary: nobody's votes are another's. */
    {{"We should" BECAUSE " Alpha.", "We should not" BECAUSE " Beta.",
	 "Trams are the pride of towns.", "Penguins swim far out at sea.",
	 "Bread wants time and salt."},
	{"Alpha", "Alpha", "Beta", "Beta", "Bread"}, NULL, 0, 0},
    /* a is like b, b is like c, and c denies a: a chain holds nothing. */
    {{"We should" BECAUSE " Alpha. Costs will increase.",
	 "We should" BECAUSE " Beta.",
	 "We should" BECAUSE " Gamma. Costs will decrease.",
	 "Penguins swim far out at sea.", "Bread wants time and salt."},
	{"Alpha", "Beta", "Gamma", "Penguins", "Bread"}, NULL, 0, 0},
    /* Only equal answers stay together then. */
    {{"We should" BECAUSE " Alpha. Costs will increase.",
	 "we should" BECAUSE " alpha. Costs will increase!",
	 "We should" BECAUSE " Gamma. Costs will decrease.",
	 "We should" BECAUSE " Beta.", "Bread wants time and salt."},
	{"Alpha", "alpha", "Alpha", "Beta", "Bread"}, "seata", 1, 3},
};

START_TEST(test_groups)
{
	struct world *w = world_new(config("majority", false, ""));

	memcpy(group_texts, groups[_i].texts, sizeof(group_texts));
	memcpy(group_votes, groups[_i].votes, sizeof(group_votes));
	play(w, &(struct play){.say = say_group});
	const struct json *j = parse(w->row.result);
	const struct json *c = json_get(j, "consensus");
	ck_assert_int_eq(
	    json_get_bool(c, "reached", false), groups[_i].winner != NULL);
	ck_assert_uint_eq(json_len(json_get(c, "merged")), groups[_i].merged);
	if (groups[_i].winner == NULL)
		return;
	ck_assert_str_eq(json_get_str(j, "winner", ""), groups[_i].winner);
	ck_assert_uint_eq(
	    json_len(json_get(c, "supporting_agents")), groups[_i].supporters);
}
END_TEST

/* ---- what is kept ---- */

static const struct {
	int64_t ppm;
	bool has_embedder;
	const char *model;
	int64_t dimension;
} kept[] = {{WITHOUT, false, VECTOR_HASH_MODEL, VECTOR_HASH_DIMENSION},
    {900000, true, "openai/m", 2},
    {-1, true, VECTOR_HASH_MODEL, VECTOR_HASH_DIMENSION}};

START_TEST(test_vector)
{
	struct world *w =
	    world_new(config("plurality", kept[_i].has_embedder, ""));
	float v[VECTOR_HASH_DIMENSION];

	play(w, &(struct play){.say = say_all, .ppm = kept[_i].ppm});
	ck_assert_str_eq(w->vector.model, kept[_i].model);
	ck_assert_int_eq(w->vector.dimension, kept[_i].dimension);
	ck_assert(vector_unpack(w->vector.data, v, (size_t)kept[_i].dimension));
}
END_TEST

/* A debate that failed says nothing. */
START_TEST(test_no_vector)
{
	struct world *w = world_new(config("none", false, ""));
	struct debate *d = NULL;
	struct debate_output out;

	ck_assert_int_eq(
	    debate_restore(&d, &w->row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	debate_fail(d, "timeout", NOW, &out);
	ck_assert(out.is_done);
	ck_assert_ptr_null(out.transition.vector.model);
	debate_free(&d);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 120); /* only a hang takes so long */
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, test_stance, 0, (int)ARRAY_LEN(stances));
	tcase_add_test(t, test_same_answer);
	tcase_add_test(t, test_stance_bounds);
	tcase_add_loop_test(t, test_end, 0, (int)ARRAY_LEN(ends));
	tcase_add_test(t, test_similarity_alone);
	tcase_add_test(t, test_failed_provider_is_told);
	tcase_add_loop_test(t, test_cut_anywhere, 0, (int)ARRAY_LEN(ways));
	tcase_add_loop_test(t, test_replay, 0, (int)ARRAY_LEN(ways));
	tcase_add_loop_test(t, test_groups, 0, (int)ARRAY_LEN(groups));
	tcase_add_loop_test(t, test_vector, 0, (int)ARRAY_LEN(kept));
	tcase_add_test(t, test_no_vector);
}

int
main(void)
{
	return check_run("convergence", add_tests);
}
