/* SPDX-License-Identifier: MIT
 *
 * The demo provider: offline agents, labelled as such, deterministic under a
 * seed. They read the question and each other's texts by simple rules, so
 * that positions, critiques, changed minds and votes hang together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/demo.h"
#include "llm/llm_provider.h"

#define DEMO_TEXT_MAX (64u << 10)

struct demo {
	struct arena *a;
	const struct llm_request *r;
	struct demo_question q;
	uint64_t who;  /* differs between seats */
	uint64_t mood; /* of the seat under this seed */
	struct buf out;
};

/* "demo_3" is the third seat: neighbours take different sides. */
static uint64_t
demo_seat(const struct llm_agent *agent)
{
	const char *tail = strrchr(agent->name, '_');
	int64_t number = 1;

	if (tail == NULL || str_to_i64(tail + 1, 1, 1000, &number) != ERR_OK)
		number = 1;
	return (uint64_t)number - 1 +
	    str_hash(agent->persona, strlen(agent->persona), 0) % 7;
}

/* The debate's seed reaches us mixed with the step; the nonce is the same in
 * every call of a debate. */
static uint64_t
demo_debate_seed(const struct llm_request *r)
{
	return str_hash(r->nonce, strlen(r->nonce), 7) >> 20;
}

static const char *
demo_block(const struct demo *d, const char *label)
{
	for (size_t i = 0; i < d->r->n_blocks; i++)
		if (str_eq(d->r->blocks[i].label, label))
			return d->r->blocks[i].text;
	return NULL;
}

static bool
demo_is_proposal(const struct llm_block *b)
{
	return str_starts(b->label, "Proposal ");
}

static int
demo_first_option(const struct demo *d)
{
	return (int)((d->who + demo_debate_seed(d->r)) % d->q.n_options);
}

/* Three criteria a seat looks at first. */
static unsigned
demo_first_criteria(const struct demo *d)
{
	unsigned set = 0;

	for (unsigned i = 0; __builtin_popcount(set) < 3; i++)
		set |= 1u << ((d->who * 2 + demo_debate_seed(d->r) + i * 5) %
			   DEMO__COUNT);
	return set;
}

/* ---- positions ---- */

static void
demo_write_position(
    struct demo *d, int option, unsigned criteria, double confidence)
{
	const char *choice = d->q.options[option];
	int k = 1;

	buf_printf(&d->out, "%s\nPosition: %s.\n", DEMO_MARK, choice);
	for (int c = 0; c < DEMO__COUNT; c++)
		if ((criteria >> c & 1) != 0)
			buf_printf(&d->out, "%d. %s\n", k++,
			    demo_say(
				d->a, c, choice, d->q.topic, d->mood >> c));
	buf_printf(&d->out,
	    "I would give it up if the first results on %s pointed the other "
	    "way.\nCONFIDENCE: %.2f\n",
	    d->q.topic, confidence);
}

static void
demo_propose(struct demo *d)
{
	demo_write_position(d, demo_first_option(d), demo_first_criteria(d),
	    0.55 + (double)(d->mood % 20) / 100);
}

/* ---- critiques ---- */

static void
demo_critique_json(
    struct demo *d, const char *target, int mine, int theirs, unsigned missing)
{
	const char *quote = demo_read_sentence(d->a, target);
	bool is_other = theirs >= 0 && theirs != mine;
	int gaps = __builtin_popcount(missing);
	int severity = (is_other ? 4 : 1) + (gaps > 3 ? 3 : gaps);
	struct json_w w;

	json_w_init(&w, &d->out);
	json_w_begin(&w, NULL);
	json_w_begin_array(&w, "issues");
	if (is_other)
		json_w_str(&w, NULL,
		    arena_printf(d->a,
			"It chooses '%s' and leaves the case for '%s' "
			"unanswered.",
			d->q.options[theirs], d->q.options[mine]));
	if (theirs < 0)
		json_w_str(&w, NULL, "It does not say which way to go.");
	if (missing != 0)
		json_w_str(&w, NULL,
		    arena_printf(d->a, "It says nothing about %s.",
			demo_list(d->a, missing)));
	if (*quote != '\0')
		json_w_str(&w, NULL,
		    arena_printf(d->a, "Unproven as it stands: \"%s\"", quote));
	json_w_end_array(&w);
	json_w_begin_array(&w, "suggestions");
	json_w_str(&w, NULL,
	    missing != 0 ? arena_printf(d->a, "Say how it does on %s.",
			       demo_list(d->a, missing & -missing))
			 : "Name the result that would prove it wrong.");
	json_w_end_array(&w);
	json_w_int(&w, "severity", severity);
	json_w_bool(&w, "fatal", false);
	json_w_str(&w, "quote", quote);
	json_w_end(&w);
}

static void
demo_critique(struct demo *d)
{
	const char *own = demo_block(d, "Your position");
	const char *target = "";

	for (size_t i = 0; i < d->r->n_blocks; i++)
		if (demo_is_proposal(&d->r->blocks[i]))
			target = d->r->blocks[i].text;
	int mine = own != NULL ? demo_read_option(d->a, &d->q, own) : -1;
	if (mine < 0)
		mine = demo_first_option(d);
	unsigned seen = demo_read_criteria(target);
	unsigned mind = demo_first_criteria(d);
	demo_critique_json(d, target, mine,
	    demo_read_option(d->a, &d->q, target), mind & ~seen);
}

/* ---- revisions ---- */

/* The option most others hold; -1 when none leads. */
static int
demo_other_side(struct demo *d)
{
	int count[DEMO_OPTIONS] = {0};
	int best = -1;

	for (size_t i = 0; i < d->r->n_blocks; i++) {
		if (!demo_is_proposal(&d->r->blocks[i]))
			continue;
		int o = demo_read_option(d->a, &d->q, d->r->blocks[i].text);
		if (o >= 0)
			count[o]++;
	}
	for (int o = 0; o < (int)d->q.n_options; o++)
		if (count[o] > 0 && (best < 0 || count[o] > count[best]))
			best = o;
	return best;
}

/* Criteria the critiques miss in us. */
static unsigned
demo_asked_for(const struct demo *d)
{
	unsigned set = 0;

	for (size_t i = 0; i < d->r->n_blocks; i++)
		if (str_starts(d->r->blocks[i].label, "Critique ")) {
			const char *text =
			    strstr(d->r->blocks[i].text, "says nothing about");
			if (text != NULL)
				set |= demo_read_criteria(arena_strndup(
				    d->a, text, strcspn(text, ".")));
		}
	return set;
}

static void
demo_revise(struct demo *d)
{
	const char *own = demo_block(d, "Your position");
	int mine = own != NULL ? demo_read_option(d->a, &d->q, own) : -1;
	int other = demo_other_side(d);
	double severity = demo_read_severity(d->r);
	unsigned had = own != NULL ? demo_read_criteria(own) : 0;
	unsigned asked = demo_asked_for(d) & ~had;
	/* Some minds change sooner than others. */
	double patience = 4 + (double)(d->mood % 3);

	if (mine < 0)
		mine = demo_first_option(d);
	if (other >= 0 && other != mine && severity >= patience) {
		buf_printf(&d->out,
		    "CHANGED: yes - the critiques are right that I left '%s' "
		    "unanswered, and I have no better reason for '%s'\n",
		    d->q.options[other], d->q.options[mine]);
		demo_write_position(
		    d, other, demo_first_criteria(d) | (asked & -asked), 0.6);
		return;
	}
	if (asked != 0)
		buf_printf(&d->out,
		    "CHANGED: no - I keep '%s' and answer the point on %s\n",
		    d->q.options[mine], demo_list(d->a, asked));
	else
		buf_printf(&d->out,
		    "CHANGED: no - nothing said speaks against '%s'\n",
		    d->q.options[mine]);
	demo_write_position(d, mine, (had | asked) & ((1u << DEMO__COUNT) - 1),
	    asked != 0 ? 0.65 : 0.75);
}

/* ---- choosing ---- */

struct demo_pick {
	const struct llm_block *block;
	unsigned criteria;
	int option;
	int score;
};

/* The proposal that weighs most; a shared choice counts for two criteria. */
static struct demo_pick
demo_choose(struct demo *d, int mine)
{
	struct demo_pick best = {.score = -1, .option = -1};

	for (size_t i = 0; i < d->r->n_blocks; i++) {
		const struct llm_block *b = &d->r->blocks[i];
		if (!demo_is_proposal(b))
			continue;
		struct demo_pick p = {.block = b,
		    .criteria = demo_read_criteria(b->text),
		    .option = demo_read_option(d->a, &d->q, b->text)};
		p.score = 10 * __builtin_popcount(p.criteria) +
		    (p.option == mine ? 20 : 0) +
		    (int)(str_hash(b->text, strlen(b->text), 3) % 10);
		if (p.score > best.score)
			best = p;
	}
	return best;
}

/* The reasoned answer in favour of an option: what the texts weigh, what
 * others add, what stays disputed. */
static void
demo_answer(struct demo *d, struct buf *out, int option, unsigned have)
{
	buf_printf(out, "%s\nThe debate favours: %s.\n", DEMO_MARK,
	    d->q.options[option]);
	for (int c = 0; c < DEMO__COUNT; c++)
		if ((have >> c & 1) != 0)
			buf_printf(out, "- %s\n",
			    demo_say(d->a, c, d->q.options[option], d->q.topic,
				d->mood >> c));
	for (size_t i = 0; i < d->r->n_blocks; i++) {
		const struct llm_block *b = &d->r->blocks[i];
		int o = demo_read_option(d->a, &d->q, b->text);
		if (o >= 0 && o != option &&
		    (demo_is_proposal(b) ||
			str_starts(b->label, "Other position")))
			buf_printf(out,
			    "Disputed: one agent holds '%s', pointing to %s.\n",
			    d->q.options[o],
			    demo_list(d->a, demo_read_criteria(b->text)));
	}
}

static void
demo_ballot(struct demo *d, const char *key, int mine)
{
	struct demo_pick p = demo_choose(d, mine);
	struct json_w w;
	const char *option = p.option >= 0 ? d->q.options[p.option] : NULL;
	bool is_mine = p.option >= 0 && p.option == mine;
	struct buf answer;

	json_w_init(&w, &d->out);
	json_w_begin(&w, NULL);
	json_w_str(&w, key, p.block != NULL ? p.block->label : "");
	json_w_num(&w, "confidence",
	    0.45 + 0.05 * __builtin_popcount(p.criteria) + (is_mine ? 0.1 : 0) +
		(double)(d->mood % 7) / 100);
	json_w_str(&w, "reasoning",
	    arena_printf(d->a, "It weighs %s%s%s%s.",
		demo_list(d->a, p.criteria),
		option != NULL ? ", and it chooses '" : "",
		option != NULL ? option : "",
		option == NULL ? ""
		    : is_mine  ? "' as I do"
			       : "', which I can live with"));
	json_w_bool(&w, "continue_debate", false);
	if (str_eq(key, "winner") && option != NULL) {
		buf_init(&answer, DEMO_TEXT_MAX);
		demo_answer(d, &answer, p.option, p.criteria);
		json_w_str(&w, "answer", buf_text(&answer));
		buf_release(&answer);
	}
	json_w_end(&w);
}

static void
demo_vote(struct demo *d)
{
	const char *own = demo_block(d, "Your position");
	int mine = own != NULL ? demo_read_option(d->a, &d->q, own) : -1;

	demo_ballot(d, "choice", mine);
}

static void
demo_judge(struct demo *d)
{
	demo_ballot(d, "winner", demo_other_side(d));
}

/* ---- synthesis ---- */

static void
demo_synthesis(struct demo *d)
{
	const char *lead = demo_block(d, "Leading position");
	unsigned have = lead != NULL ? demo_read_criteria(lead) : 0;
	int option = lead != NULL ? demo_read_option(d->a, &d->q, lead) : -1;

	if (option < 0)
		option = demo_first_option(d);
	demo_answer(d, &d->out, option, have);
}

char *
llm_demo_answer(const struct llm_agent *agent, const struct llm_request *r)
{
	static void (*const tasks[LLM_TASK__COUNT])(struct demo * d) = {
	    [LLM_PROPOSE] = demo_propose,
	    [LLM_CRITIQUE] = demo_critique,
	    [LLM_REVISE] = demo_revise,
	    [LLM_VOTE] = demo_vote,
	    [LLM_JUDGE] = demo_judge,
	    [LLM_SYNTHESIS] = demo_synthesis};
	struct demo d = {.a = arena_new(0), .r = r, .who = demo_seat(agent)};

	d.mood = str_hash(&d.who, sizeof(d.who), demo_debate_seed(r)) >> 13;
	buf_init(&d.out, DEMO_TEXT_MAX);
	demo_read_question(d.a, r->question, &d.q);
	if (tasks[r->task] != NULL)
		tasks[r->task](&d);
	arena_free(&d.a);
	return buf_steal(&d.out);
}

const struct llm_provider llm_demo = {.answer = llm_demo_answer};
