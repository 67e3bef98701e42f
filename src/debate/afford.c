/* SPDX-License-Identifier: MIT
 *
 * What a debate can afford: the calls of a step are paid for together before
 * any of them is made, each with the longest answer that lets all of them, and
 * the final answer after them, stay within the budget. When not even short
 * answers do, the step's turns fail unasked and the debate goes to its end
 * with what it has. All of it follows from the configuration, the recorded
 * usage and the recorded clock, so that a replay decides the same.
 */
#include <string.h>

#include "base/str.h"
#include "debate/engine.h"
#include "debate/protocol.h"

/* Answers shorter than this say nothing. */
#define AFFORD_FLOOR 96
/* Tokenizers disagree: a token is taken for two bytes of a prompt, where most
 * have three to four; and a provider frames it. */
#define AFFORD_BYTES 2
#define AFFORD_FRAME 200
/* Of a prompt to come: what a token of an answer becomes in it. */
#define AFFORD_QUOTED 3

void
afford_init(struct debate *d)
{
	d->purse.limit = d->config.budget;
}

bool
afford_is_limited(const struct debate *d)
{
	return purse_is_limited(&d->purse) || d->config.budget_seconds > 0;
}

static const struct llm_price *
afford_price(const struct debate *d, const struct turn *t)
{
	return t->task == LLM_EMBED ? &d->config.embedder_price
				    : &d->config.prices[t->agent];
}

static int64_t
afford_tokens(const struct llm_request *r)
{
	struct arena *a = arena_new(0);
	size_t bytes = strlen(r->system) + strlen(llm_prompt_render(a, r));

	arena_free(&a);
	return (int64_t)bytes / AFFORD_BYTES + AFFORD_FRAME;
}

static bool
afford_is_new(const struct debate *d, const struct turn *t)
{
	return t->phase == d->phase && t->round == d->round &&
	    !t->is_finished && t->call.step_key == NULL;
}

static bool
afford_is_last(const struct debate *d)
{
	return d->phase == DEBATE_SYNTHESIS || d->phase == DEBATE_INDEX;
}

/* The final answer, whoever writes it: it reads all positions, which this step
 * may make anew. */
static struct purse_call
afford_synthesis(const struct debate *d)
{
	bool is_writing =
	    d->phase == DEBATE_PROPOSE || d->phase == DEBATE_REVISE;
	struct purse_call c = {
	    .max_tokens = d->config.max_tokens, .price.is_known = true};
	size_t bytes = strlen(d->config.task) + strlen(d->config.context);

	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct llm_price *p = &d->config.prices[i];
		const struct turn *t = turn_position(d, (int)i);
		c.price.is_known = c.price.is_known && p->is_known;
		if (p->in > c.price.in)
			c.price.in = p->in;
		if (p->out > c.price.out)
			c.price.out = p->out;
		if (t != NULL)
			bytes += strlen(t->content);
	}
	c.tokens_in = (int64_t)bytes / AFFORD_BYTES +
	    AFFORD_FRAME * (int64_t)(3 + d->config.n_agents);
	if (is_writing)
		c.grows_by = AFFORD_QUOTED * (int64_t)d->config.n_agents;
	return c;
}

/* Is there a call after the rounds that makes the answer? */
static bool
afford_has_last(const struct debate_config *config)
{
	const struct protocol_row *row = protocol_row(config->protocol);

	return row->has_synthesis || row->debaters > 0;
}

static struct purse_call
afford_call(struct debate *d, struct turn *t)
{
	prompt_build(d, t);
	t->call.step_key = NULL; /* not made yet */
	return (struct purse_call){.price = *afford_price(d, t),
	    .tokens_in = afford_tokens(&t->call.request),
	    .max_tokens = t->call.request.max_tokens};
}

static void
afford_amount(struct json_w *w, const char *usd, const char *tokens,
    struct purse_amount a)
{
	if (a.udollar >= 0)
		json_w_num(w, usd, (double)a.udollar / 1000000);
	if (a.tokens >= 0)
		json_w_int(w, tokens, a.tokens);
}

static void
afford_write(struct debate *d, struct json_w *w)
{
	afford_amount(w, "limit_usd", "limit_tokens", d->config.budget);
	if (d->config.budget_seconds > 0)
		json_w_int(w, "limit_seconds", d->config.budget_seconds);
	afford_amount(w, "spent_usd", "spent_tokens", d->purse.spent);
}

void
afford_result(struct debate *d, struct json_w *w, const char *key)
{
	if (!afford_is_limited(d))
		return;
	json_w_begin(w, key);
	afford_write(d, w);
	json_w_str(w, "stopped_by", d->stopped_by);
	json_w_end(w);
}

static size_t
afford_tell(struct debate *d, const char *action, const char *reason,
    int64_t max_tokens)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 16);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "action", action);
	json_w_str(&w, "reason", reason);
	json_w_str(&w, "phase", debate_phase_name(d->phase));
	if (max_tokens > 0)
		json_w_int(&w, "max_tokens", max_tokens);
	afford_write(d, &w);
	json_w_end(&w);
	size_t event = output_event(d, EVENT_BUDGET, d->round, NULL,
	    arena_strdup(d->scratch, buf_text(&b)));
	buf_release(&b);
	return event;
}

/* An embedding is a help, not a step: it is left out without a word. */
static void
afford_refuse(struct debate *d, const char *reason, int64_t now_us)
{
	size_t event = 0;

	if (d->stopped_by == NULL && step_task(d->phase) != LLM_EMBED) {
		d->stopped_by = arena_strdup(d->arena, reason);
		event = afford_tell(d, "stopped", reason, 0);
	}
	for (size_t i = 0; i < d->n_turns; i++) {
		struct turn *t = d->turns[i];
		if (!afford_is_new(d, t))
			continue;
		t->is_finished = true;
		t->is_failed = true;
		t->started_us = now_us;
		t->finished_us = now_us;
		t->error = arena_printf(
		    t->arena, "%snot asked: %s", AFFORD_REFUSED, reason);
		output_turn(d, t, event);
	}
}

static void
afford_hold(struct debate *d, const struct purse_call *calls, int64_t cap)
{
	size_t k = 0;

	for (size_t i = 0; i < d->n_turns; i++) {
		struct turn *t = d->turns[i];
		if (!afford_is_new(d, t))
			continue;
		t->cap = cap;
		t->held = purse_worst(&calls[k++], cap);
		purse_hold(&d->purse, t->held);
	}
	if (cap < d->config.max_tokens && step_task(d->phase) != LLM_EMBED)
		afford_tell(d, "shortened", "budget", cap);
}

static bool
afford_is_late(const struct debate *d, int64_t now_us)
{
	return d->config.budget_seconds > 0 && !afford_is_last(d) &&
	    now_us - d->started_us >= d->config.budget_seconds * 1000000;
}

bool
afford_step(struct debate *d, int64_t now_us)
{
	struct purse_call *calls =
	    ARENA_ARRAY(d->scratch, d->n_turns + 1, struct purse_call);
	int64_t most = d->config.max_tokens;
	int64_t floor = most < AFFORD_FLOOR ? most : AFFORD_FLOOR;
	bool is_begun = false; /* before we were interrupted */
	size_t n = 0;

	/* What people say costs nothing. */
	if (!afford_is_limited(d) || step_task(d->phase) == LLM_AUDIENCE)
		return true;
	for (size_t i = 0; i < d->n_turns; i++) {
		struct turn *t = d->turns[i];
		if (!afford_is_new(d, t))
			continue;
		is_begun = is_begun || t->attempt > 1;
		calls[n++] = afford_call(d, t);
	}
	if (n == 0)
		return true;
	if (!is_begun && afford_is_late(d, now_us)) {
		afford_refuse(d, "time", now_us);
		return false;
	}
	size_t n_all = n;
	if (!afford_is_last(d) && afford_has_last(&d->config))
		calls[n_all++] = afford_synthesis(d);
	int64_t cap = purse_fit(&d->purse, calls, n_all, floor, most);
	if (cap == 0 && !is_begun) {
		afford_refuse(d, "budget", now_us);
		return false;
	}
	if (!purse_is_limited(&d->purse))
		return true;
	/* What was begun is what was afforded then. */
	afford_hold(d, calls, cap > 0 ? cap : floor);
	return true;
}

void
afford_settle(struct debate *d, struct turn *t)
{
	purse_settle(&d->purse, t->held,
	    (struct purse_amount){.udollar = t->cost_udollar,
		.tokens = t->tokens_in + t->tokens_out});
	t->held = (struct purse_amount){0};
}

int64_t
afford_cost(const struct debate *d, const struct turn *t, int64_t told_udollar)
{
	if (told_udollar >= 0)
		return told_udollar;
	int64_t cost =
	    llm_price_cost(afford_price(d, t), t->tokens_in, t->tokens_out);
	return cost > 0 ? cost : 0;
}

void
afford_restore(struct debate *d, struct turn *t)
{
	afford_settle(d, t);
	if (!t->is_failed || !afford_is_refusal(t->error) ||
	    t->task == LLM_EMBED)
		return;
	d->stopped_by = strstr(t->error, "time") != NULL ? "time" : "budget";
}

bool
afford_is_refusal(const char *error)
{
	return error != NULL && str_starts(error, AFFORD_REFUSED);
}

/* All seats propose and one writes the answer, everybody as briefly as makes
 * sense. */
struct purse_amount
debate_budget_least(const struct debate_config *config)
{
	struct debate_config c = *config;
	struct purse_amount sum = {0};
	struct debate_output out;

	c.budget = PURSE_UNLIMITED;
	c.budget_seconds = 0;
	struct debate *d = debate_new("budget", &c, 1);
	/* The copy that was written has no prices without a budget. */
	d->config.prices = config->prices;
	debate_start(d, 1, &out);
	int64_t cap = c.max_tokens < AFFORD_FLOOR ? c.max_tokens : AFFORD_FLOOR;
	for (size_t i = 0; i < out.n_calls; i++) {
		const struct purse_call call = {.price = config->prices[i],
		    .tokens_in = afford_tokens(&out.calls[i].request),
		    .max_tokens = cap};
		struct purse_amount a = purse_worst(&call, cap);
		sum.udollar += a.udollar;
		sum.tokens += a.tokens;
	}
	if (afford_has_last(config)) {
		const struct purse_call last = afford_synthesis(d);
		struct purse_amount a = purse_worst(&last, cap);
		sum.udollar += a.udollar;
		sum.tokens += a.tokens;
	}
	debate_free(&d);
	return sum;
}
