/* SPDX-License-Identifier: MIT
 *
 * What went wrong in the systems before this one (engine notes 1.6), one test
 * each, by the modules that are in use.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "debate/consensus.h"
#include "debate/debate.h"
#include "debate/stance.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"
#include "receipt/chain.h"

#define NOW  INT64_C(1767225600000000)
#define FULL CONSENSUS_PPM
#define ROOM 512

/* ---- ballots: one digit a voter, '-' did not vote ---- */

static struct consensus_outcome
count(enum debate_rule rule, int64_t threshold, const char *choices)
{
	struct consensus_ballot b[32];
	struct consensus_outcome o;
	size_t n = 0;

	for (; choices[n] != '\0'; n++)
		b[n] = (struct consensus_ballot){
		    .choice = choices[n] == '-' ? -1 : choices[n] - '0',
		    .weight_ppm = FULL,
		    .confidence_ppm = FULL / 2};
	consensus_count(
	    &(struct consensus_rule){rule, threshold, -1}, b, n, 8, &o);
	return o;
}

static void
tie_of_2_and_2_is_no_consensus(const char *name)
{
	for (int r = 0; r < DEBATE_RULE__COUNT; r++) {
		struct consensus_outcome o =
		    count((enum debate_rule)r, 600000, "0011");
		ck_assert_msg(!o.is_reached, "%s: %s", name,
		    debate_rule_name((enum debate_rule)r));
		ck_assert_str_ne(consensus_strength(&o), "strong");
	}
}

static void
landslide_of_5_and_1_is_strong(const char *name)
{
	struct consensus_outcome o = count(DEBATE_MAJORITY, 600000, "000001");

	ck_assert_msg(o.is_reached, "%s", name);
	ck_assert_str_eq(consensus_strength(&o), "strong");
	ck_assert_int_eq(o.margin_ppm, 666666);
}

static void
majority_of_1_and_1_is_none(const char *name)
{
	ck_assert_msg(
	    !count(DEBATE_MAJORITY, 500000, "01").is_reached, "%s", name);
	ck_assert(count(DEBATE_MAJORITY, 500000, "011").is_reached);
}

static void
supermajority_takes_2_of_3(const char *name)
{
	static const int64_t thresholds[] = {600000, 666667, 667000, 670000};

	for (size_t i = 0; i < ARRAY_LEN(thresholds); i++)
		ck_assert_msg(count(DEBATE_SUPERMAJORITY, thresholds[i], "001")
				  .is_reached,
		    "%s: %lld", name, (long long)thresholds[i]);
	ck_assert(!count(DEBATE_SUPERMAJORITY, 667000, "00011").is_reached);
}

static void
voters_that_failed_are_counted(const char *name)
{
	struct consensus_outcome o = count(DEBATE_MAJORITY, 600000, "00---");

	ck_assert_msg(!o.is_quorate && !o.is_reached, "%s", name);
	ck_assert_int_eq(o.abstained, 3);
	ck_assert(!count(DEBATE_UNANIMOUS, 600000, "0000-").is_reached);
}

static void
one_vote_is_no_quorum(const char *name)
{
	for (int r = 0; r < DEBATE_RULE__COUNT; r++) {
		struct consensus_outcome o =
		    count((enum debate_rule)r, 600000, "0--");
		ck_assert_msg(!o.is_reached && o.winner < 0, "%s: %s", name,
		    debate_rule_name((enum debate_rule)r));
		ck_assert_str_eq(consensus_strength(&o), "none");
	}
}

static void
tie_is_the_same_in_any_order(const char *name)
{
	static const char *const orders[] = {
	    "0011", "1100", "0101", "1010", "0110", "1001", "6633", "3636"};
	static const enum debate_rule rules[] = {DEBATE_ANY, DEBATE_PLURALITY,
	    DEBATE_BORDA, DEBATE_IRV, DEBATE_CONDORCET};

	for (size_t i = 0; i < ARRAY_LEN(orders); i++)
		for (size_t r = 0; r < ARRAY_LEN(rules); r++) {
			struct consensus_outcome o =
			    count(rules[r], 600000, orders[i]);
			ck_assert_msg(o.is_tie && o.winner < 0, "%s: %s of %s",
			    name, debate_rule_name(rules[r]), orders[i]);
		}
}

/* ---- a debate: what each says, and what each was shown ---- */

struct talk {
	struct arena *a;
	size_t n_agents;
	const char *(*say)(struct talk *t, const struct debate_call *call,
	    size_t seat, int64_t round);
	void (*look)(
	    struct talk *t, const struct debate_call *call, size_t seat);
	int64_t rounds; /* it took */
	size_t looked;
};

static const char *
talk_config(struct talk *t, const char *early)
{
	const char *agents = "";

	for (size_t i = 0; i < t->n_agents; i++)
		agents = arena_printf(t->a,
		    "%s%s{\"type\":\"demo\",\"name\":\"seat%zu\"}", agents,
		    i > 0 ? "," : "", i);
	return arena_printf(t->a,
	    "{\"task\":\"Which database?\",\"context\":\"\",\"agents\":[%s],"
	    "\"rounds\":4,\"consensus\":\"majority\",\"early_stopping\":%s,"
	    "\"seed\":4,\"max_tokens\":100,\"metadata\":{},\"tags\":[],"
	    "\"domain\":\"general\"}",
	    agents, early);
}

static void
talk_hear(struct talk *t, struct debate *d, const struct debate_call *call,
    struct debate_output *out)
{
	size_t seat = (size_t)(call->agent->name[4] - '0');
	const char *text = t->say(t, call, seat, debate_round(d));
	struct llm_result r = {
	    .message = "", .text = text, .text_len = strlen(text)};

	if (t->look != NULL)
		t->look(t, call, seat);
	debate_result(d, call->step_key, &r, NOW, out);
}

static void
talk_run(struct talk *t, const char *early)
{
	struct debate_call calls[ROOM];
	struct debate_output out;
	struct debate *d = NULL;
	struct store_debate row = {.id = "adhoc_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .config = talk_config(t, early),
	    .phase = "new",
	    .status = STORE_RUNNING,
	    .started_us = NOW};
	size_t n = 0;

	ck_assert_int_eq(debate_restore(&d, &row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	for (size_t next = 0;; next++) {
		for (size_t i = 0; i < out.n_calls; i++) {
			ck_assert_uint_lt(n, ROOM);
			calls[n++] = out.calls[i];
		}
		if (out.is_done)
			break;
		ck_assert_uint_lt(next, n);
		talk_hear(t, d, &calls[next], &out);
	}
	ck_assert_int_eq(out.transition.status, STORE_COMPLETED);
	t->rounds = debate_round(d);
	debate_free(&d);
}

static const char talk_critique[] = "{\"issues\":[\"none\"],\"severity\":1}";
static const char talk_ballot[] =
    "{\"choice\":\"Proposal A\",\"confidence\":0.5}";

/* All are for it, then against it, then for it again, and say that they have
 * not changed. */
static const char *
say_moving(struct talk *t UNUSED, const struct debate_call *call,
    size_t seat UNUSED, int64_t round)
{
	if (call->request.task == LLM_CRITIQUE)
		return talk_critique;
	if (call->request.task == LLM_VOTE)
		return talk_ballot;
	return call->request.task == LLM_PROPOSE || round % 2 == 0
	    ? "CHANGED: no\nWe should adopt database A for the new service "
	      "this year."
	    : "CHANGED: no\nWe should not adopt database A for the new service "
	      "this year.";
}

static const char *
say_still(struct talk *t UNUSED, const struct debate_call *call,
    size_t seat UNUSED, int64_t round UNUSED)
{
	if (call->request.task == LLM_CRITIQUE)
		return talk_critique;
	if (call->request.task == LLM_VOTE)
		return talk_ballot;
	return "CHANGED: no\nWe should adopt database A for the new service "
	       "this year.";
}

static void
all_moving_together_is_not_stable(const char *name)
{
	struct talk t = {.a = arena_new(0), .n_agents = 3, .say = say_moving};

	talk_run(&t, "true");
	ck_assert_msg(t.rounds == 4, "%s: stopped in round %lld", name,
	    (long long)t.rounds);
	t.say = say_still;
	talk_run(&t, "true");
	ck_assert_int_lt(t.rounds, 4);
	arena_free(&t.a);
}

/* Each names whom it criticises. */
static const char *
say_names(struct talk *t, const struct debate_call *call, size_t seat,
    int64_t round UNUSED)
{
	const char *about = "nobody";

	if (call->request.task == LLM_VOTE)
		return talk_ballot;
	if (call->request.task != LLM_CRITIQUE)
		return arena_printf(t->a,
		    "The %s plan, marked M%zu, has merits of its own.",
		    seat % 2 == 0 ? "first" : "second", seat);
	for (size_t i = 0; i < call->request.n_blocks; i++)
		if (str_starts(call->request.blocks[i].label, "Proposal"))
			about =
			    strstr(call->request.blocks[i].text, "marked M");
	return arena_printf(t->a,
	    "{\"issues\":[\"weak: %.9s\"],\"suggestions\":[],"
	    "\"severity\":4,\"quote\":\"q\"}",
	    about);
}

static void
look_for_critiques(struct talk *t, const struct debate_call *call, size_t seat)
{
	const char *mine = arena_printf(t->a, "marked M%zu", seat);
	size_t found = 0;

	if (call->request.task != LLM_REVISE)
		return;
	for (size_t i = 0; i < call->request.n_blocks; i++) {
		const struct llm_block *b = &call->request.blocks[i];
		if (!str_starts(b->label, "Critique"))
			continue;
		ck_assert_msg(
		    strstr(b->text, mine) != NULL, "%s: %s", mine, b->text);
		found++;
	}
	ck_assert_uint_eq(found, t->n_agents - 1);
	t->looked++;
}

static void
critiques_go_to_whom_they_concern(const char *name)
{
	struct talk t = {.a = arena_new(0),
	    .n_agents = 5,
	    .say = say_names,
	    .look = look_for_critiques};

	talk_run(&t, "false");
	ck_assert_msg(t.looked == 5 * 4, "%s", name);
	arena_free(&t.a);
}

/* ---- the receipt ---- */

static void
defect_head(const char *const *data, char *hex)
{
	static const char *const types[] = {
	    "agent_message", "vote", "consensus", "synthesis", "debate_end"};
	struct chain c;

	chain_start(&c, "adhoc_1", "{}");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		chain_add(&c,
		    &(struct store_event){.seq = (int64_t)i + 1,
			.type = types[i],
			.round = 1,
			.created_us = NOW,
			.data = data[i]});
	chain_hex(&c, hex);
}

static void
receipt_covers_answer_votes_and_dissent(const char *name)
{
	const char *data[] = {"{\"content\":\"A\"}", "{\"choice\":\"demo\"}",
	    "{\"final_answer\":\"A\",\"dissent\":[{\"agent\":\"demo_2\"}]}",
	    "{\"synthesis\":\"A\"}", "{\"result\":\"A\"}"};
	static const char *const forged[] = {"{\"content\":\"B\"}",
	    "{\"choice\":\"demo_2\"}",
	    "{\"final_answer\":\"A\",\"dissent\":[]}", "{\"synthesis\":\"B\"}",
	    "{\"result\":\"B\"}"};
	char head[ID_HASH_SIZE];
	char other[ID_HASH_SIZE];

	defect_head(data, head);
	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		const char *kept = data[i];
		data[i] = forged[i];
		defect_head(data, other);
		ck_assert_msg(
		    strcmp(head, other) != 0, "%s: %s", name, forged[i]);
		data[i] = kept;
	}
	defect_head(data, other);
	ck_assert_str_eq(head, other);
}

/* ---- providers and money ---- */

static void
defect_read(struct llm_failure *f, long status, const char *body)
{
	struct llm_refused learnt = {0};

	llm_error_read(f, status, body, strlen(body), &learnt);
}

static void
too_long_a_prompt_is_no_lack_of_money(const char *name)
{
	static const char *const bodies[] = {
	    "{\"error\":{\"message\":\"This model's maximum context length is "
	    "8192 tokens; you exceeded it: insufficient room\",\"type\":"
	    "\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}",
	    "{\"error\":{\"message\":\"maximum context length exceeded\","
	    "\"type\":\"invalid_request_error\"}}",
	    "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
	    "\"message\":\"prompt is too long: limit exceeded\"}}"};
	struct llm_failure f;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		defect_read(&f, 400, bodies[i]);
		ck_assert_msg(f.error == LLM_ERR_BAD_REQUEST, "%s: %s is %s",
		    name, bodies[i], llm_error_name(f.error));
		ck_assert(!llm_may_retry(f.error));
	}
	defect_read(&f, 429,
	    "{\"error\":{\"message\":\"You exceeded your current quota\","
	    "\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}"
	    "}");
	ck_assert_int_eq(f.error, LLM_ERR_MONEY);
}

static void
cost_is_price_times_tokens(const char *name)
{
	const struct llm_price price = {true, 3000000, 15000000};
	const struct llm_price none = {.is_known = false};

	ck_assert_msg(
	    llm_price_cost(&price, 1000, 500) == 3000 + 7500, "%s", name);
	ck_assert_int_eq(llm_price_cost(&price, 0, 0), 0);
	ck_assert_int_eq(llm_price_cost(&price, 2000, 500), 6000 + 7500);
	ck_assert_int_eq(llm_price_cost(&price, 1, 0), 3);
	ck_assert_int_eq(llm_price_cost(&none, 1000, 500), -1);
}

/* ---- texts ---- */

static void
negation_is_seen_where_similarity_is_not(const char *name)
{
	struct arena *a = arena_new(0);
	struct stance *x = stance_read(a, "We should adopt PostgreSQL.");
	struct stance *y =
	    stance_read(a, "We must not adopt PostgreSQL; choose MySQL.");
	struct stance *z = stance_read(a, "PostgreSQL should be adopted.");

	ck_assert_msg(stance_contradicts(x, y), "%s", name);
	ck_assert(stance_contradicts(y, x));
	ck_assert(!stance_contradicts(x, z));
	arena_free(&a);
}

#define DEFECT(fn)                                                             \
	{                                                                      \
#fn, fn                                                        \
	}
static const struct {
	const char *name;
	void (*fn)(const char *name);
} defects[] = {
    DEFECT(tie_of_2_and_2_is_no_consensus),
    DEFECT(landslide_of_5_and_1_is_strong),
    DEFECT(all_moving_together_is_not_stable),
    DEFECT(majority_of_1_and_1_is_none),
    DEFECT(supermajority_takes_2_of_3),
    DEFECT(voters_that_failed_are_counted),
    DEFECT(critiques_go_to_whom_they_concern),
    DEFECT(receipt_covers_answer_votes_and_dissent),
    DEFECT(tie_is_the_same_in_any_order),
    DEFECT(one_vote_is_no_quorum),
    DEFECT(too_long_a_prompt_is_no_lack_of_money),
    DEFECT(cost_is_price_times_tokens),
    DEFECT(negation_is_seen_where_similarity_is_not),
};

START_TEST(test_defect)
{
	defects[_i].fn(defects[_i].name);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("defects");
	TCase *c = tcase_create("defects");

	tcase_add_loop_test(c, test_defect, 0, (int)ARRAY_LEN(defects));
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
