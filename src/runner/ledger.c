/* SPDX-License-Identifier: MIT */
#include "runner/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/str.h"

#define LEDGER_ARENA 400 /* of one request; few have more */
#define LEDGER_ROWS  1

const char *
ledger_kind(enum llm_attempt_kind kind)
{
	static const char *const names[] = {[LLM_ATTEMPT_FIRST] = "first",
	    [LLM_ATTEMPT_RETRY] = "retry",
	    [LLM_ATTEMPT_FALLBACK] = "fallback",
	    [LLM_ATTEMPT_HEDGE] = "hedge"};

	return names[kind];
}

const char *
ledger_model(const struct llm_agent *agent)
{
	return *agent->model != '\0' ? agent->model : agent->row->model;
}

/* What is asked, whoever asks it again: equal for equal requests. */
static const char *
ledger_hash(struct arena *a, const struct debate_call *call)
{
	const struct llm_request *r = &call->request;
	struct arena *scratch = arena_new(0);
	char *out = arena_alloc(a, ID_HASH_SIZE);
	const char *text = arena_printf(scratch,
	    "%s\n%s\n%s\n%lld %.3f %llu %lld\n%s\n%s", call->agent->row->name,
	    ledger_model(call->agent), llm_task_name(r->task),
	    (long long)r->max_tokens, r->temperature,
	    (unsigned long long)r->seed, (long long)r->dimension, r->system,
	    llm_prompt_render(scratch, r));

	id_sha256(text, strlen(text), out);
	arena_free(&scratch);
	return out;
}

struct store_attempt
ledger_row(const struct debate_call *call, const char *hash)
{
	return (struct store_attempt){.step_key = call->step_key,
	    .attempt = call->attempt,
	    .key_attempt = call->key_attempt,
	    .kind = call->attempt > 1 ? "again" : "first",
	    .request_hash = hash,
	    .provider = call->agent->row->provider,
	    .model = ledger_model(call->agent),
	    .cost_udollar = -1};
}

struct store_attempt
ledger_intent(struct arena *a, const struct debate_call *call)
{
	return ledger_row(call, ledger_hash(a, call));
}

void
ledger_key(char *out, const char *debate_id, const char *step_key, int64_t n)
{
	struct arena *a = arena_new(0);
	char hash[ID_HASH_SIZE];
	const char *text =
	    arena_printf(a, "%s/%s/%lld", debate_id, step_key, (long long)n);

	id_sha256(text, strlen(text), hash);
	snprintf(out, LLM_KEY_SIZE, "aragora-%s", hash);
	arena_free(&a);
}

static void
ledger_add(struct ledger *l, const struct store_attempt *row, bool is_due)
{
	if (l->n == l->cap) {
		size_t cap = l->cap > 0 ? l->cap * 2 : LEDGER_ROWS;
		struct store_attempt *rows =
		    ARENA_ARRAY(l->arena, cap, struct store_attempt);
		bool *due = ARENA_ARRAY(l->arena, cap, bool);
		for (size_t i = 0; i < l->n; i++) {
			rows[i] = l->rows[i];
			due[i] = l->is_due[i];
		}
		l->rows = rows;
		l->is_due = due;
		l->cap = cap;
	}
	l->is_due[l->n] = is_due;
	l->rows[l->n++] = *row;
}

void
ledger_open(struct ledger *l, const struct store_attempt *first)
{
	struct store_attempt row = *first;

	*l = (struct ledger){.arena = arena_new_for(HEAP_CALLS, LEDGER_ARENA)};
	row.step_key = arena_strdup(l->arena, first->step_key);
	row.request_hash = arena_strdup(l->arena, first->request_hash);
	row.model = arena_strdup(l->arena, first->model);
	ledger_add(l, &row, false);
}

void
ledger_close(struct ledger *l)
{
	if (l->arena != NULL)
		arena_free(&l->arena);
	*l = (struct ledger){0};
}

void
ledger_next(struct ledger *l, int64_t number, const struct llm_attempt *next)
{
	const struct store_attempt row = {.step_key = l->rows[0].step_key,
	    .attempt = number,
	    .key_attempt = number,
	    .kind = ledger_kind(next->kind),
	    .request_hash = l->rows[0].request_hash,
	    .provider = next->provider,
	    .model = arena_strdup(l->arena, next->model),
	    .cost_udollar = -1};

	ledger_add(l, &row, true);
}

static enum store_attempt_state
ledger_state(const struct llm_attempt *a)
{
	if (!a->was_sent)
		return STORE_ATTEMPT_UNSENT;
	if (a->is_dropped)
		return STORE_ATTEMPT_DROPPED;
	return a->error == LLM_ERR_NONE ? STORE_ATTEMPT_ANSWERED
					: STORE_ATTEMPT_FAILED;
}

void
ledger_over(struct ledger *l, const struct llm_attempt *a)
{
	for (size_t i = 0; i < l->n; i++) {
		struct store_attempt *row = &l->rows[i];
		if (row->attempt != a->number && (a->number != 0 || i > 0))
			continue;
		row->state = ledger_state(a);
		row->provider = a->provider;
		row->model = arena_strdup(l->arena, a->model);
		row->tokens_in = a->tokens_in;
		row->tokens_out = a->tokens_out;
		row->is_estimated = a->is_usage_estimated;
		row->cost_udollar = a->cost_udollar;
		row->http_status = a->status;
		row->error =
		    a->error != LLM_ERR_NONE ? llm_error_name(a->error) : NULL;
		row->started_us = a->started_us;
		row->finished_us = clock_wall_us();
		l->is_due[i] = true;
		return;
	}
}

void
ledger_settle(struct ledger *l, const struct llm_result *r)
{
	for (size_t i = 0; i < l->n; i++) {
		struct store_attempt *row = &l->rows[i];
		if (row->state != STORE_ATTEMPT_STARTED)
			continue;
		/* Answered without a provider, or refused before it left. */
		bool is_local = r->attempts > 0 && r->error == LLM_ERR_NONE &&
		    i == 0 && l->n == 1;
		row->state =
		    is_local ? STORE_ATTEMPT_ANSWERED : STORE_ATTEMPT_UNSENT;
		row->cost_udollar = is_local ? r->cost_udollar : 0;
		row->tokens_in = is_local ? r->tokens_in : 0;
		row->tokens_out = is_local ? r->tokens_out : 0;
		row->error =
		    r->error != LLM_ERR_NONE ? llm_error_name(r->error) : NULL;
		row->finished_us = clock_wall_us();
		l->is_due[i] = true;
	}
}

size_t
ledger_take(struct ledger *l, struct arena *a, struct store_attempt **rows)
{
	size_t n = 0;

	*rows = ARENA_ARRAY(a, l->n + 1, struct store_attempt);
	for (size_t i = 0; i < l->n; i++) {
		if (!l->is_due[i])
			continue;
		struct store_attempt *row = &(*rows)[n++];
		*row = l->rows[i];
		row->step_key = arena_strdup(a, row->step_key);
		row->request_hash = arena_strdup(a, row->request_hash);
		row->model = arena_strdup(a, row->model);
		l->is_due[i] = false;
	}
	return n;
}
