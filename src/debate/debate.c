/* SPDX-License-Identifier: MIT
 *
 * The engine's surface: new, restore, start, result, fail; and building the
 * output.
 */
#include "debate/debate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/str.h"
#include "debate/engine.h"

#define MEASURED_ARENA 512
#define PROMPTS_ARENA  1024
#define SCRATCH_ARENA  1024 /* kept between two outputs */

static const char *const debate_phase_names[DEBATE_PHASE__COUNT] = {
#define X(id, text) [id] = text,
    DEBATE_PHASE_LIST(X)
#undef X
};

const char *
debate_phase_name(enum debate_phase p)
{
	return debate_phase_names[p];
}

/* ---- output ---- */

/* Room for one more element of size bytes; arrays live on the scratch. */
static void *
output_grow(struct debate *d, void *list, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return list;
	size_t more = *cap > 0 ? *cap * 2 : 8;
	void *fresh = arena_array(d->scratch, more, size);
	if (n > 0)
		memcpy(fresh, list, n * size);
	*cap = more;
	return fresh;
}

size_t
output_event(struct debate *d, enum event_type type, int64_t round,
    const char *agent, const char *data)
{
	struct store_transition *t = &d->out->transition;

	assert(event_row(type)->is_stored);
	t->events = output_grow(
	    d, t->events, t->n_events, &d->cap_events, sizeof(*t->events));
	t->events[t->n_events++] =
	    (struct store_event){.type = event_name(type),
		.round = round,
		.agent = agent,
		.data = data};
	d->out->has_transition = true;
	return t->n_events;
}

static const char *
output_role(enum llm_task task)
{
	static const char *const roles[LLM_TASK__COUNT] = {
	    [LLM_PROPOSE] = "proposer",
	    [LLM_CRITIQUE] = "critic",
	    [LLM_REVISE] = "proposer",
	    [LLM_VOTE] = "voter",
	    [LLM_JUDGE] = "judge",
	    [LLM_SYNTHESIS] = "synthesizer",
	    [LLM_EMBED] = "embedder",
	    [LLM_AUDIENCE] = "audience"};

	return roles[task];
}

void
output_turn(struct debate *d, struct turn *turn, size_t event)
{
	struct store_transition *t = &d->out->transition;
	size_t cap = d->cap_turn_rows;

	t->turns = output_grow(
	    d, t->turns, t->n_turns, &d->cap_turn_rows, sizeof(*t->turns));
	d->turn_event =
	    output_grow(d, d->turn_event, t->n_turns, &cap, sizeof(size_t));
	t->turn_event = d->turn_event;
	d->turn_event[t->n_turns] = event;
	t->turns[t->n_turns++] = (struct store_turn){.step_key = turn->step_key,
	    .round = turn->round,
	    .phase = debate_phase_name(turn->phase),
	    .agent = d->config.agents[turn->agent].name,
	    .target =
		turn->target >= 0 ? d->config.agents[turn->target].name : NULL,
	    .role = output_role(turn->task),
	    .state = !turn->is_finished ? STORE_TURN_STARTED
		: turn->is_failed	? STORE_TURN_FAILED
					: STORE_TURN_DONE,
	    .attempt = turn->attempt,
	    .content = turn->content,
	    .parsed = turn->parsed_text,
	    .error = turn->error,
	    .tokens_in = turn->tokens_in,
	    .tokens_out = turn->tokens_out,
	    .started_us = turn->started_us,
	    .finished_us = turn->finished_us};
	d->out->has_transition = true;
}

void
output_call(struct debate *d, struct turn *turn)
{
	prompt_build(d, turn);
	turn->call.attempt = turn->attempt;
	turn->call.key_attempt = turn->key_attempt;
	d->out->calls = output_grow(d, d->out->calls, d->out->n_calls,
	    &d->cap_calls, sizeof(*d->out->calls));
	d->out->calls[d->out->n_calls++] = turn->call;
}

void
debate_output_drop(struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		d->turns[i]->parsed_text = NULL; /* was on the scratch */
	turn_forget(d);
	arena_clear(d->scratch);
}

static void
output_begin(struct debate *d, struct debate_output *out)
{
	debate_output_drop(d);
	*out = (struct debate_output){.transition = {.status = STORE_RUNNING}};
	d->out = out;
	d->cap_events = 0;
	d->cap_turn_rows = 0;
	d->cap_calls = 0;
	d->turn_event = NULL;
}

/* State that every transition carries. */
static void
output_end(struct debate *d)
{
	struct store_transition *t = &d->out->transition;

	t->debate_id = d->id;
	t->phase = debate_phase_name(d->phase);
	t->round = d->round;
	t->is_granted = d->config.is_granted;
	struct purse_amount taken = purse_taken(&d->purse);
	t->taken = (struct store_amount){
	    .udollar = taken.udollar, .tokens = taken.tokens};
	d->out = NULL;
}

/* ---- lifecycle ---- */

static struct debate *
debate_alloc(const char *id, int64_t now_us)
{
	struct arena *a = arena_new_for(HEAP_DEBATES, 2048);
	struct debate *d = ARENA_NEW(a, struct debate);

	d->arena = a;
	d->prompts = arena_new_for(HEAP_DEBATES, PROMPTS_ARENA);
	d->scratch = arena_new_for(HEAP_DEBATES, SCRATCH_ARENA);
	d->measured = arena_new_for(HEAP_DEBATES, MEASURED_ARENA);
	d->id = arena_strdup(a, id);
	d->phase = DEBATE_NEW;
	d->started_us = now_us;
	d->judge = -1;
	d->outcome.winner = -1;
	return d;
}

static void
debate_set_config(struct debate *d, const char *text)
{
	if (debate_config_parse(d->arena, text, &d->config, NULL) != ERR_OK)
		abort(); /* just written by debate_config_write */
	afford_init(d);
}

struct debate *
debate_new(const char *id, const struct debate_config *config, int64_t now_us)
{
	struct debate *d = debate_alloc(id, now_us);

	debate_set_config(d, debate_config_write(d->arena, config));
	return d;
}

static enum err
debate_restore_turn(
    struct debate *d, const struct store_turn *row, struct err_info *info)
{
	enum debate_phase phase = DEBATE_NEW;

	while (phase < DEBATE_PHASE__COUNT &&
	    !str_eq(debate_phase_names[phase], row->phase))
		phase++;
	int agent = debate_seat(d, row->agent);
	if (phase == DEBATE_PHASE__COUNT || agent < 0)
		return err_set(info, ERR_INVALID, "turns", "unknown step '%s'",
		    row->step_key);
	struct turn *t = turn_get(d, phase, row->round, agent,
	    debate_seat(d, row->target), step_task(phase));
	t->attempt = row->attempt;
	t->started_us = row->started_us;
	if (row->state == STORE_TURN_STARTED) {
		/* The answer of the last try was never stored. A provider
		 * that remembers keys is to give it again. */
		t->key_attempt =
		    row->key_attempt > 0 ? row->key_attempt : row->attempt;
		t->attempt++;
		return ERR_OK;
	}
	t->is_finished = true;
	t->is_failed = row->state == STORE_TURN_FAILED;
	t->content = arena_strdup(t->arena, row->content);
	t->error = arena_strdup(t->arena, row->error);
	t->tokens_in = row->tokens_in;
	t->tokens_out = row->tokens_out;
	const struct json_limits limits = {.max_bytes = 1u << 30};
	enum err e = ERR_OK;
	if (row->parsed != NULL)
		e = json_parse(t->arena, row->parsed, strlen(row->parsed),
		    &limits, &t->parsed, info);
	t->cost_udollar = json_get_int(t->parsed, TURN_COST, 0);
	afford_restore(d, t);
	return e;
}

enum err
debate_restore(struct debate **out, const struct store_debate *row,
    const struct store_turn *turns, size_t n_turns, int64_t now_us,
    struct err_info *info)
{
	struct debate *d = debate_alloc(row->id, now_us);

	enum err e =
	    debate_config_parse(d->arena, row->config, &d->config, info);
	afford_init(d);
	if (row->started_us > 0)
		d->started_us = row->started_us;
	d->round = row->round;
	while (d->phase < DEBATE_DONE &&
	    !str_eq(debate_phase_names[d->phase], row->phase))
		d->phase++;
	for (size_t i = 0; e == ERR_OK && i < n_turns; i++)
		e = debate_restore_turn(d, &turns[i], info);
	if (e != ERR_OK) {
		debate_free(&d);
		return ERR_INVALID;
	}
	*out = d;
	return ERR_OK;
}

void
debate_free(struct debate **debate)
{
	struct debate *d = *debate;

	if (d == NULL)
		return;
	turn_forget_all(d);
	heap_free(HEAP_DEBATES, d->turns);
	arena_free(&d->prompts);
	arena_free(&d->scratch);
	arena_free(&d->measured);
	struct arena *a = d->arena; /* holds d itself */
	arena_free(&a);
	*debate = NULL;
}

void
debate_start(struct debate *d, int64_t now_us, struct debate_output *out)
{
	output_begin(d, out);
	if (d->phase == DEBATE_NEW) {
		event_debate_start(d, now_us);
		if (d->config.is_recalling)
			event_recall(d);
	}
	step_plan(d);
	step_finish(d, now_us);
	output_end(d);
}

void
debate_take(struct debate *d, struct turn *t, const char *text,
    const char *error, int64_t now_us)
{
	t->is_finished = true;
	t->finished_us = now_us;
	afford_settle(d, t);
	if (text != NULL) {
		turn_take(d, t, text);
	} else {
		t->is_failed = true;
		t->error = arena_strdup(t->arena, error);
		if (t->cost_udollar > 0)
			t->parsed_text =
			    arena_printf(d->scratch, "{\"%s\":%lld}", TURN_COST,
				(long long)t->cost_udollar);
	}
	event_turn(d, t);
	step_finish(d, now_us);
	output_end(d);
}

void
debate_result(struct debate *d, const char *step_key,
    const struct llm_result *result, int64_t now_us, struct debate_output *out)
{
	struct turn *t = turn_find(d, step_key);

	assert(t != NULL && !t->is_finished);
	output_begin(d, out);
	t->tokens_in = result->tokens_in;
	t->tokens_out = result->tokens_out;
	t->cost_udollar = afford_cost(d, t, result->cost_udollar);
	if (result->error == LLM_ERR_NONE)
		debate_take(d, t,
		    arena_strndup(d->scratch, result->text, result->text_len),
		    NULL, now_us);
	else
		debate_take(d, t, NULL,
		    arena_printf(d->scratch, "%s: %s",
			llm_error_name(result->error), result->message),
		    now_us);
}

int64_t
debate_retry(struct debate *d, const char *step_key, struct debate_output *out)
{
	struct turn *t = turn_find(d, step_key);

	assert(t != NULL && !t->is_finished);
	output_begin(d, out);
	t->attempt++;
	t->key_attempt = t->attempt;
	output_turn(d, t, 0);
	output_end(d);
	return t->attempt;
}

enum err
debate_replay_turn(struct debate *d, const struct store_turn *row,
    struct debate_output *out, struct err_info *info)
{
	struct turn *t = turn_find(d, row->step_key);
	const struct json_limits limits = {.max_bytes = 1u << 30};
	const struct json *parsed = NULL;
	const char *raw = NULL;
	enum err e = ERR_OK;

	if (t == NULL || t->is_finished)
		return err_set(info, ERR_NOT_FOUND, "turns",
		    "no call '%s' is under way then", row->step_key);
	output_begin(d, out);
	if (row->parsed != NULL)
		e = json_parse(d->scratch, row->parsed, strlen(row->parsed),
		    &limits, &parsed, info);
	if (e == ERR_OK && row->state == STORE_TURN_DONE)
		raw = json_get_str(parsed, "raw", NULL);
	if (e == ERR_OK && raw == NULL && row->state == STORE_TURN_DONE)
		e = err_set(info, ERR_UNSUPPORTED, "turns",
		    "the record has no full answer of call '%s': it was made "
		    "by a program that did not keep it",
		    row->step_key);
	if (e != ERR_OK) {
		d->out = NULL;
		return e;
	}
	t->attempt = row->attempt;
	t->tokens_in = row->tokens_in;
	t->tokens_out = row->tokens_out;
	t->cost_udollar = json_get_int(parsed, TURN_COST, 0);
	debate_take(
	    d, t, raw, row->error != NULL ? row->error : "", row->finished_us);
	return ERR_OK;
}

void
debate_fail(struct debate *d, const char *reason, int64_t now_us,
    struct debate_output *out)
{
	output_begin(d, out);
	step_end(d, STORE_FAILED, arena_strdup(d->arena, reason), now_us);
	output_end(d);
}

void
debate_abandon(struct debate *d, const char *reason, int64_t now_us,
    struct debate_output *out)
{
	output_begin(d, out);
	turn_forget_all(d);
	d->outcome = (struct consensus_outcome){.winner = -1};
	d->judge = -1;
	d->judge_answer = NULL;
	d->convergence = NULL;
	step_end(d, STORE_FAILED, arena_strdup(d->arena, reason), now_us);
	output_end(d);
}

size_t
debate_memory(const struct debate *d)
{
	size_t n = arena_size(d->arena) + arena_size(d->prompts) +
	    arena_size(d->scratch) + arena_size(d->measured) +
	    d->cap_turns * sizeof(*d->turns);

	for (size_t i = 0; i < d->n_turns; i++)
		n += arena_size(d->turns[i]->arena);
	return n;
}

enum debate_phase
debate_phase(const struct debate *d)
{
	return d->phase;
}

int64_t
debate_round(const struct debate *d)
{
	return d->round;
}
