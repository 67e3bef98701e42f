/* SPDX-License-Identifier: MIT */
#include "runner/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "debate/audience.h"
#include "llm/llm_embed.h"
#include "metrics/metrics.h"
#include "receipt/receipt.h"
#include "runner/ledger.h"
#include "runner/teller.h"
#include "settings/settings.h"

#define DRIVE_CLAIM_MS	 1000
#define DRIVE_CLAIM_MAX	 64
#define DRIVE_TOKEN_MS	 50
#define DRIVE_ONLY_TRIES 10

/* Calls of one kind that one debate has under way at once (contract 11). */
static const int drive_caps[LLM_TASK__COUNT] = {[LLM_PROPOSE] = 5,
    [LLM_CRITIQUE] = 15,
    [LLM_REVISE] = 5,
    [LLM_VOTE] = 15,
    [LLM_JUDGE] = 1,
    [LLM_SYNTHESIS] = 1,
    [LLM_EMBED] = 1,
    [LLM_AUDIENCE] = 1};

struct drive {
	struct drive_options o;
	struct llm *llm;
	struct llm_embedder *embedder;
	struct teller *teller;
	struct writer *writer;
	struct list runs;
	size_t n_runs;
	bool is_claiming;
	bool is_success;
	bool is_stopping;
	int only_tries;
	struct loop_timer claim_timer;
	struct loop_timer heartbeat_timer;
};

/* One debate in hand. */
struct run {
	struct list link;
	struct drive *drive;
	struct debate *debate;
	char *id;
	char *tenant;
	int64_t epoch;
	struct list calls; /* waiting and under way */
	int n_calling;
	int n_commits;	  /* not answered yet: they point here */
	bool is_dead;	  /* lost; freed when the last commit is answered */
	bool is_refused;  /* the database does not take what it says */
	bool is_pausing;  /* begins no call */
	bool is_parking;  /* its pause is on its way */
	bool is_ended;	  /* its last transition is on its way */
	bool is_takeover; /* its first transition is still to come */
	enum store_status final;
	struct loop_timer deadline;
};

struct run_call {
	struct list link;
	struct run *run;
	struct debate_call call;
	/* One of the two; both NULL = waiting. */
	struct llm_call *llm_call;
	struct llm_embed_call *embed_call;
	bool is_hearing;      /* the writer was asked */
	int64_t begun_us;     /* monotonic */
	struct ledger ledger; /* of its requests */
	int64_t n_asked;      /* requests meant, this runner's */
	struct buf tokens;    /* not published yet */
	int64_t n_tokens;
	struct loop_timer flush;
};

/* What to do once a transition is in the database. */
struct run_commit {
	struct run *run;
	struct arena *arena; /* its lists; holds it too */
	struct debate_call *calls;
	struct store_attempt *intents; /* of the calls, in order */
	size_t n_calls;
	/* The request of a call that waits for this; NULL = none. */
	const char *go_step;
	int64_t go_number;
	bool is_done;
	enum store_status status;
};

static void run_apply(struct run *r, struct debate_output *out);

/* ---- calls ---- */

static bool
run_call_is_begun(const struct run_call *c)
{
	return c->llm_call != NULL || c->embed_call != NULL || c->is_hearing;
}

static void
run_call_free(struct run_call *c)
{
	if (run_call_is_begun(c))
		c->run->n_calling--;
	llm_call_cancel(&c->llm_call);
	llm_embed_cancel(&c->embed_call);
	loop_timer_del(c->run->drive->o.loop, &c->flush);
	list_del(&c->link);
	buf_release(&c->tokens);
	ledger_close(&c->ledger);
	free(c);
}

static void
run_publish(struct run_call *c, enum event_type type, const char *data)
{
	struct run *r = c->run;
	struct buf b;

	buf_init(&b, 1u << 20);
	event_encode(&b,
	    &(struct event){.type = event_name(type),
		.debate_id = r->id,
		.round = debate_round(r->debate),
		.agent = c->call.agent->name,
		.created_us = clock_wall_us(),
		.data = data});
	if (!b.is_overflowed)
		teller_tell(r->drive->teller, r->id, 0, buf_text(&b), b.len);
	buf_release(&b);
}

static void
run_publish_text(struct run_call *c, enum event_type type, const char *key1,
    const char *key2, const char *text, size_t len)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	if (key1 != NULL)
		json_w_strn(&w, key1, text, len);
	if (key2 != NULL)
		json_w_strn(&w, key2, text, len);
	json_w_str(&w, "phase", llm_task_name(c->call.request.task));
	json_w_int(&w, "agent_seq", c->n_tokens);
	json_w_end(&w);
	if (!b.is_overflowed)
		run_publish(c, type, buf_text(&b));
	buf_release(&b);
}

static void
run_flush_tokens(struct run_call *c)
{
	loop_timer_del(c->run->drive->o.loop, &c->flush);
	if (c->tokens.len == 0)
		return;
	c->n_tokens++;
	run_publish_text(c, EVENT_TOKEN_DELTA, "token", "delta",
	    buf_text(&c->tokens), c->tokens.len);
	buf_clear(&c->tokens);
}

static void
run_on_flush(struct loop_timer *t)
{
	run_flush_tokens(t->arg);
}

/* Prose streams; JSON for machines does not. */
static bool
run_streams(const struct run_call *c)
{
	return !c->call.request.wants_json;
}

static void
run_on_delta(void *arg, const char *text, size_t len)
{
	struct run_call *c = arg;

	if (!run_streams(c))
		return;
	buf_append(&c->tokens, text, len);
	if (c->tokens.is_overflowed || c->tokens.len > 8192)
		run_flush_tokens(c);
	else if (!loop_timer_is_set(&c->flush))
		loop_timer_set(
		    c->run->drive->o.loop, &c->flush, DRIVE_TOKEN_MS);
}

/* A retry begins the text anew. */
static void
run_on_restart(void *arg)
{
	struct run_call *c = arg;

	buf_clear(&c->tokens);
	c->n_tokens = 0;
	if (run_streams(c))
		run_publish_text(c, EVENT_TOKEN_START, NULL, NULL, "", 0);
}

static void run_apply_attempts(struct run *r, struct debate_output *out,
    struct store_attempt *rows, size_t n_rows, const char *go_step,
    int64_t go_number);

/* The first request of a call was written down with the step. Each other one
 * is first, and leaves only if the debate is still ours. */
static bool
run_on_next(void *arg, struct llm_attempt *next)
{
	struct run_call *c = arg;
	struct run *r = c->run;
	struct debate_output out;
	struct store_attempt *rows;
	int64_t key = c->call.key_attempt;

	next->number = c->call.attempt;
	if (c->n_asked++ > 0) {
		next->number = debate_retry(r->debate, c->call.step_key, &out);
		key = next->number;
	}
	ledger_key(next->key, r->id, c->call.step_key, key);
	if (c->n_asked == 1)
		return true;
	struct arena *a = arena_new(0);
	ledger_next(&c->ledger, next->number, next);
	size_t n = ledger_take(&c->ledger, a, &rows);
	run_apply_attempts(r, &out, rows, n, c->call.step_key, next->number);
	arena_free(&a);
	return false;
}

static void
run_on_attempt(void *arg, const struct llm_attempt *attempt)
{
	struct run_call *c = arg;

	ledger_over(&c->ledger, attempt);
}

static void run_start_calls(struct run *r);
static void run_try_park(struct run *r);

/* By the registry's name: what seats are called comes from outside. */
static void
run_observe(const struct run_call *c)
{
	char label[96];

	if (!c->run->drive->o.settings->enable_telemetry || c->llm_call == NULL)
		return;
	snprintf(
	    label, sizeof(label), "agent=\"%s\"", c->call.agent->row->name);
	metric_observe(
	    HISTOGRAM_AGENT_RESPONSE, label, clock_mono_us() - c->begun_us);
}

static void
run_on_done(void *arg, const struct llm_result *result)
{
	struct run_call *c = arg;
	struct run *r = c->run;
	struct debate_output out;

	metric_add(METRIC_LLM_CALLS, result->attempts);
	metric_add(METRIC_LLM_TOKENS_IN, result->tokens_in);
	metric_add(METRIC_LLM_TOKENS_OUT, result->tokens_out);
	if (result->cost_udollar >= 0)
		metric_add(METRIC_LLM_COST, result->cost_udollar);
	else
		metric_add(METRIC_LLM_UNPRICED, 1);
	metric_add(METRIC_LLM_FALLBACKS, result->is_fallback);
	metric_add(METRIC_LLM_HEDGES, result->is_hedged);
	if (result->error != LLM_ERR_NONE)
		metric_add(METRIC_LLM_ERRORS, 1);
	run_observe(c);
	if (run_streams(c)) {
		run_flush_tokens(c);
		run_publish_text(c, EVENT_TOKEN_END, "full_response",
		    "full_content", result->text, result->text_len);
	}
	const char *step_key = c->call.step_key; /* lives in the debate */
	struct arena *a = arena_new(0);
	struct store_attempt *rows;
	ledger_settle(&c->ledger, result);
	size_t n = ledger_take(&c->ledger, a, &rows);
	c->llm_call = NULL;
	c->embed_call = NULL;
	r->n_calling--;
	run_call_free(c);
	debate_result(r->debate, step_key, result, clock_wall_us(), &out);
	run_apply_attempts(r, &out, rows, n, NULL, 0);
	arena_free(&a);
	if (!r->is_dead)
		run_try_park(r);
}

static void
run_start_call(struct run_call *c)
{
	struct run *r = c->run;
	const struct llm_call_ops ops = {.on_delta = run_on_delta,
	    .on_restart = run_on_restart,
	    .on_done = run_on_done,
	    .on_next = run_on_next,
	    .on_attempt = run_on_attempt,
	    .arg = c};

	r->n_calling++;
	c->begun_us = clock_mono_us();
	if (run_streams(c))
		run_publish_text(c, EVENT_TOKEN_START, NULL, NULL, "", 0);
	if (c->call.request.task == LLM_AUDIENCE) {
		c->is_hearing = true;
		writer_hear(r->drive->writer, r->tenant, r->id, r->epoch,
		    c->call.heard_seq);
		return;
	}
	if (c->call.request.task == LLM_EMBED)
		c->embed_call = llm_embed_start(
		    r->drive->embedder, c->call.agent, &c->call.request, &ops);
	else
		c->llm_call = llm_call_start(
		    r->drive->llm, c->call.agent, &c->call.request, &ops);
}

/* Only after something was written: who has lost the debate meanwhile hears
 * it then, and asks nobody. */
static void
run_start_calls(struct run *r)
{
	if (r->is_pausing)
		return;
	list_for_each (it, &r->calls) {
		struct run_call *c = LIST_ENTRY(it, struct run_call, link);
		if (!run_call_is_begun(c) &&
		    r->n_calling < drive_caps[c->call.request.task])
			run_start_call(c);
	}
}

/* What was under way has ended and is written: nothing is lost by a pause. */
static void
run_try_park(struct run *r)
{
	if (!r->is_pausing || r->is_parking || r->is_dead || r->is_ended ||
	    r->n_calling > 0 || r->n_commits > 0 || r->drive->is_stopping)
		return;
	r->is_parking = true;
	writer_park(r->drive->writer, r->tenant, r->id, r->epoch);
}

static void
run_add_call(struct run *r, const struct debate_call *call,
    const struct store_attempt *intent)
{
	struct run_call *c = mem_zalloc(sizeof(*c));

	c->run = r;
	c->call = *call;
	if (intent->step_key != NULL)
		ledger_open(&c->ledger, intent);
	c->flush = (struct loop_timer){.fn = run_on_flush, .arg = c};
	buf_init(&c->tokens, 1u << 20);
	list_add_tail(&r->calls, &c->link);
}

/* ---- runs ---- */

static void
run_stop_calls(struct run *r)
{
	list_for_each (it, &r->calls)
		run_call_free(LIST_ENTRY(it, struct run_call, link));
}

static void
run_free(struct run *r)
{
	struct drive *d = r->drive;

	run_stop_calls(r);
	loop_timer_del(d->o.loop, &r->deadline);
	list_del(&r->link);
	debate_free(&r->debate);
	free(r->id);
	free(r->tenant);
	free(r);
}

/* No longer ours. */
static void
run_drop(struct run *r)
{
	struct drive *d = r->drive;

	if (r->is_dead)
		return;
	r->is_dead = true;
	d->n_runs--;
	metric_set(METRIC_DEBATES_ACTIVE, (int64_t)d->n_runs);
	run_stop_calls(r);
	loop_timer_del(d->o.loop, &r->deadline);
	if (r->n_commits == 0)
		run_free(r);
}

/* People are asked for nothing that costs. */
static bool
run_is_request(const struct debate_call *call)
{
	return call->request.task != LLM_AUDIENCE;
}

static struct run_commit *
run_commit_new(struct run *r, const struct debate_output *out)
{
	struct arena *a = arena_new(1024);
	struct run_commit *c = ARENA_NEW(a, struct run_commit);

	*c = (struct run_commit){.arena = a,
	    .run = r,
	    .is_done = out->is_done,
	    .status = out->transition.status,
	    .n_calls = out->n_calls};
	c->calls = ARENA_ARRAY(a, out->n_calls + 1, struct debate_call);
	c->intents = ARENA_ARRAY(a, out->n_calls + 1, struct store_attempt);
	for (size_t i = 0; i < out->n_calls; i++) {
		c->calls[i] = out->calls[i];
		if (run_is_request(&c->calls[i]))
			c->intents[i] = ledger_intent(a, &c->calls[i]);
	}
	return c;
}

static void
run_commit_free(struct run_commit *c)
{
	struct arena *a = c->arena; /* holds c itself */

	arena_free(&a);
}

/* With the transition goes what has become of requests, and which are to be
 * made after it. */
static void
run_apply_attempts(struct run *r, struct debate_output *out,
    struct store_attempt *rows, size_t n_rows, const char *go_step,
    int64_t go_number)
{
	struct store_transition *t = &out->transition;

	if (!out->has_transition)
		return;
	struct run_commit *c = run_commit_new(r, out);
	c->go_step = arena_strdup(c->arena, go_step);
	c->go_number = go_number;
	t->attempts = ARENA_ARRAY(
	    c->arena, n_rows + out->n_calls + 1, struct store_attempt);
	for (size_t i = 0; i < n_rows; i++)
		t->attempts[t->n_attempts++] = rows[i];
	for (size_t i = 0; i < out->n_calls; i++)
		if (run_is_request(&c->calls[i]))
			t->attempts[t->n_attempts++] = c->intents[i];
	t->is_takeover = r->is_takeover;
	r->is_takeover = false;
	r->n_commits++;
	if (out->is_done) {
		r->is_ended = true;
		run_stop_calls(r);
		loop_timer_del(r->drive->o.loop, &r->deadline);
	}
	if (r->is_refused)
		writer_commit_last_word(
		    r->drive->writer, t, r->tenant, r->epoch, c);
	else
		writer_commit(r->drive->writer, t, r->tenant, r->epoch, c);
}

static void
run_apply(struct run *r, struct debate_output *out)
{
	run_apply_attempts(r, out, NULL, 0, NULL, 0);
}

/* The database does not take this debate's transition and never will: it ends
 * with that as the reason, without the texts that may be the cause. */
static void
run_refuse(struct run *r, enum err why)
{
	struct debate_output out;
	char reason[96];

	run_stop_calls(r);
	r->is_refused = true;
	snprintf(reason, sizeof(reason), "storage_refused: %s", err_text(why));
	debate_abandon(r->debate, reason, clock_wall_us(), &out);
	run_apply(r, &out);
}

/* Neither written nor lost: refused, for the first time. */
static bool
run_is_refusal(const struct run *r, enum err result)
{
	return result != ERR_OK && result != ERR_FENCED && !r->is_refused &&
	    !r->drive->is_stopping;
}

static void
run_on_deadline(struct loop_timer *t)
{
	struct run *r = t->arg;
	struct debate_output out;

	if (r->is_ended)
		return;
	log_info("debate.timeout", "id=%s", r->id);
	run_stop_calls(r);
	debate_fail(r->debate, "timeout", clock_wall_us(), &out);
	run_apply(r, &out);
}

static void
drive_count_end(enum store_status status)
{
	metric_add(status == STORE_COMPLETED ? METRIC_DEBATES_COMPLETED
					     : METRIC_DEBATES_FAILED,
	    1);
}

/* ---- the writer's answers ---- */

static void drive_maybe_stop(struct drive *d);
static void drive_claim(struct drive *d);

/* The request that waited for this may leave. */
static void
run_go(struct run *r, const struct run_commit *commit)
{
	list_for_each (it, &r->calls) {
		struct run_call *c = LIST_ENTRY(it, struct run_call, link);
		if (commit->go_step == NULL || r->is_ended ||
		    !str_eq(c->call.step_key, commit->go_step))
			continue;
		if (c->llm_call != NULL)
			llm_call_go(c->llm_call, commit->go_number);
		else if (c->embed_call != NULL)
			llm_embed_go(c->embed_call, commit->go_number);
		return;
	}
}

/* What was written, and what that allows. */
static void
drive_on_written(struct drive *d, struct run *r, const struct run_commit *c)
{
	if (!r->is_dead && !d->is_stopping) {
		for (size_t i = 0; i < c->n_calls && !r->is_ended; i++)
			run_add_call(r, &c->calls[i], &c->intents[i]);
		run_go(r, c);
		run_start_calls(r);
	}
	if (!c->is_done)
		return;
	drive_count_end(c->status);
	log_info("debate.end", "id=%s status=%s memory=%zu", r->id,
	    store_status_name(c->status), debate_memory(r->debate));
	if (str_eq(r->id, d->o.only_id))
		d->is_success = c->status == STORE_COMPLETED;
}

static void
drive_on_commit(void *arg, void *tag, enum err result)
{
	struct drive *d = arg;
	struct run_commit *c = tag;
	struct run *r = c->run;
	/* What was queued behind a refused one waits for the last word. */
	bool is_over = c->is_done ||
	    (result != ERR_OK && !(result == ERR_CANCELLED && r->is_refused));

	r->n_commits--;
	if (result == ERR_FENCED && !r->is_dead) {
		metric_add(METRIC_RUNNER_FENCED, 1);
		log_info("debate.fenced", "id=%s epoch=%lld", r->id,
		    (long long)r->epoch);
	}
	if (result == ERR_OK)
		drive_on_written(d, r, c);
	if (r->is_dead) {
		if (r->n_commits == 0)
			run_free(r);
	} else if (run_is_refusal(r, result)) {
		run_refuse(r, result);
	} else if (is_over) {
		run_drop(r);
		d->is_stopping = d->is_stopping || d->o.only_id != NULL;
		drive_claim(d);
	}
	if (!is_over)
		run_try_park(r);
	run_commit_free(c);
	drive_maybe_stop(d);
}

static void
drive_on_claimed(void *arg, struct arena *a UNUSED,
    const struct store_debate *row, const struct store_turn *turns,
    size_t n_turns)
{
	struct drive *d = arg;
	struct err_info info = {0};
	struct debate_output out;
	int64_t now = clock_wall_us();

	if (d->is_stopping) {
		writer_release(
		    d->writer, row->tenant, row->id, row->lease_epoch);
		return;
	}
	struct run *r = mem_zalloc(sizeof(*r));
	r->drive = d;
	r->id = mem_strdup(row->id);
	r->tenant = mem_strdup(row->tenant);
	r->epoch = row->lease_epoch;
	r->is_takeover = row->lease_epoch > 1;
	list_init(&r->calls);
	r->deadline = (struct loop_timer){.fn = run_on_deadline, .arg = r};
	list_add_tail(&d->runs, &r->link);
	d->n_runs++;
	metric_set(METRIC_DEBATES_ACTIVE, (int64_t)d->n_runs);
	log_info("debate.claim", "id=%s epoch=%lld phase=%s", r->id,
	    (long long)r->epoch, row->phase);
	if (debate_restore(&r->debate, row, turns, n_turns, now, &info) !=
	    ERR_OK) {
		log_error("debate.unreadable", "id=%s field=%s reason=%s",
		    r->id, info.field, info.text);
		run_drop(r);
		return;
	}
	int64_t left = row->started_us / 1000 +
	    d->o.settings->debate_timeout * 1000 - now / 1000;
	loop_timer_set(d->o.loop, &r->deadline, left);
	debate_start(r->debate, now, &out);
	run_apply(r, &out);
}

static void
drive_on_claim_end(void *arg, size_t n)
{
	struct drive *d = arg;

	d->is_claiming = false;
	if (n == 0 && d->o.only_id != NULL && d->n_runs == 0 &&
	    ++d->only_tries >= DRIVE_ONLY_TRIES)
		d->is_stopping = true;
	if (n == 0 && d->o.is_once && d->n_runs == 0)
		d->is_stopping = true;
	drive_maybe_stop(d);
}

static void
drive_on_lost(void *arg, const char *debate_id, int64_t epoch)
{
	struct drive *d = arg;

	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		/* One that has ended is not "lost": its lease is over. */
		if (r->epoch != epoch || !str_eq(r->id, debate_id) ||
		    r->is_dead || r->is_ended)
			continue;
		log_info(
		    "debate.lost", "id=%s epoch=%lld", r->id, (long long)epoch);
		metric_add(METRIC_RUNNER_FENCED, 1);
		run_drop(r);
		d->is_stopping = d->is_stopping || d->o.only_id != NULL;
	}
	drive_maybe_stop(d);
}

static struct run *
drive_find(struct drive *d, const char *debate_id, int64_t epoch)
{
	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		if (r->epoch == epoch && str_eq(r->id, debate_id) &&
		    !r->is_dead && !r->is_ended)
			return r;
	}
	return NULL;
}

static struct run_call *
drive_find_hearing(struct run *r)
{
	list_for_each (it, &r->calls) {
		struct run_call *c = LIST_ENTRY(it, struct run_call, link);
		if (c->is_hearing)
			return c;
	}
	return NULL;
}

/* An answer like any other: what is heard is written with what follows. */
static void
drive_on_heard(void *arg, const char *debate_id, int64_t epoch,
    const struct store_human *rows, size_t n, enum err e)
{
	struct drive *d = arg;
	struct run *r = drive_find(d, debate_id, epoch);
	struct run_call *c = r != NULL ? drive_find_hearing(r) : NULL;
	struct llm_result result = {.message = "", .text = ""};
	struct debate_output out;

	if (c == NULL || (e != ERR_OK && d->is_stopping))
		return;
	struct arena *a = arena_new(0);
	if (e == ERR_OK) {
		result.text = audience_write(a, rows, n);
		result.text_len = strlen(result.text);
	} else {
		result.error = LLM_ERR_SERVER;
		result.message = err_text(e);
	}
	const char *step_key = c->call.step_key; /* lives in the debate */
	run_call_free(c);
	debate_result(r->debate, step_key, &result, clock_wall_us(), &out);
	arena_free(&a);
	run_apply(r, &out);
	if (!r->is_dead)
		run_try_park(r);
}

static void
drive_on_pausing(void *arg, const char *debate_id, int64_t epoch)
{
	struct run *r = drive_find(arg, debate_id, epoch);

	if (r == NULL)
		return;
	if (!r->is_pausing)
		log_info(
		    "debate.pausing", "id=%s calls=%d", r->id, r->n_calling);
	r->is_pausing = true;
	run_try_park(r);
}

/* Paused, and no longer ours; or nobody wants it paused any more: then it goes
 * on, and if it is not ours any more either the next heartbeat tells. */
static void
drive_on_parked(
    void *arg, const char *debate_id, int64_t epoch, enum err result)
{
	struct drive *d = arg;
	struct run *r = drive_find(d, debate_id, epoch);

	if (r == NULL)
		return;
	if (result == ERR_OK) {
		log_info("debate.paused", "id=%s epoch=%lld", r->id,
		    (long long)epoch);
		run_drop(r);
		d->is_stopping = d->is_stopping || d->o.only_id != NULL;
		drive_claim(d);
		drive_maybe_stop(d);
		return;
	}
	r->is_pausing = false;
	r->is_parking = false;
	if (!d->is_stopping)
		run_start_calls(r);
}

/* ---- timers ---- */

static void
drive_claim(struct drive *d)
{
	int64_t room =
	    d->o.settings->max_concurrent_debates - (int64_t)d->n_runs;

	if (d->is_claiming || d->is_stopping || room <= 0 ||
	    (d->o.only_id != NULL && d->n_runs > 0))
		return;
	d->is_claiming = true;
	writer_claim(d->writer, room < DRIVE_CLAIM_MAX ? room : DRIVE_CLAIM_MAX,
	    d->o.only_id);
}

static void
drive_on_claim_timer(struct loop_timer *t)
{
	struct drive *d = t->arg;
	uint32_t random;

	id_random(&random, sizeof(random));
	drive_claim(d);
	metric_set(METRIC_RUNNER_LOOP_LAG, loop_take_lag_ms(d->o.loop));
	loop_timer_set(
	    d->o.loop, t, DRIVE_CLAIM_MS / 2 + random % DRIVE_CLAIM_MS);
}

static void
drive_heartbeat(struct drive *d)
{
	const char **ids = mem_array(d->n_runs + 1, sizeof(*ids));
	int64_t *epochs = mem_array(d->n_runs + 1, sizeof(*epochs));
	size_t n = 0;

	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		if (r->is_dead || r->is_ended)
			continue;
		ids[n] = r->id;
		epochs[n++] = r->epoch;
	}
	writer_heartbeat(d->writer, ids, epochs, n, (int64_t)d->n_runs);
	free(ids);
	free(epochs);
}

static void
drive_on_heartbeat_timer(struct loop_timer *t)
{
	struct drive *d = t->arg;

	drive_heartbeat(d);
	loop_timer_set(d->o.loop, t, d->o.settings->lease * 1000 / 3);
}

void
drive_poke(struct drive *d)
{
	/* First what is cancelled or to be paused: somebody pays for it. */
	if (d->n_runs > 0)
		drive_heartbeat(d);
	drive_claim(d);
}

void
drive_over(struct drive *d, const char *debate_id)
{
	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		if (!str_eq(r->id, debate_id) || r->is_dead || r->is_ended)
			continue;
		log_info("debate.lost", "id=%s epoch=%lld calls=%d", r->id,
		    (long long)r->epoch, r->n_calling);
		metric_add(METRIC_RUNNER_FENCED, 1);
		writer_release(d->writer, r->tenant, r->id, r->epoch);
		run_drop(r);
		d->is_stopping = d->is_stopping || d->o.only_id != NULL;
	}
	drive_maybe_stop(d);
}

void
drive_deliver(struct drive *d)
{
	writer_deliver(d->writer);
}

bool
drive_is_success(const struct drive *d)
{
	return d->is_success;
}

/* Everything there was to do is done. */
static void
drive_maybe_stop(struct drive *d)
{
	if (d->is_stopping && d->n_runs == 0 && !d->is_claiming)
		loop_stop(d->o.loop);
}

/* Writer's thread. Whoever asks for a receipt that could not be made now makes
 * it then. */
static void
drive_seal(void *arg, const struct store_transition *t)
{
	struct drive *d = arg;
	struct store_receipt r;

	if (!store_status_is_final(t->status))
		return;
	struct arena *a = arena_new(0);
	enum err e = receipt_seal(
	    d->o.store, d->o.receipt_keys, a, t->tenant, t->debate_id, &r);
	if (e != ERR_OK)
		log_warning("debate.receipt", "id=%s reason=%s", t->debate_id,
		    err_text(e));
	arena_free(&a);
}

enum err
drive_new(struct drive **out, const struct drive_options *o)
{
	struct drive *d = mem_zalloc(sizeof(*d));
	const struct writer_ops ops = {.on_commit = drive_on_commit,
	    .on_claimed = drive_on_claimed,
	    .on_claim_end = drive_on_claim_end,
	    .on_lost = drive_on_lost,
	    .on_pausing = drive_on_pausing,
	    .on_parked = drive_on_parked,
	    .on_heard = drive_on_heard,
	    .arg = d};

	d->o = *o;
	list_init(&d->runs);
	enum err e = llm_new(&d->llm, o->settings, o->loop);
	if (e == ERR_OK)
		e = teller_new(&d->teller, o->bus);
	if (e == ERR_OK)
		e = writer_new(&d->writer, o->settings, o->store, d->teller,
		    o->loop, o->id, &ops);
	if (e != ERR_OK) {
		teller_free(&d->teller);
		llm_free(&d->llm);
		free(d);
		return e;
	}
	llm_embedder_new(&d->embedder, o->settings, o->loop, d->llm);
	writer_on_written(d->writer, drive_seal, d);
	metric_set(
	    METRIC_DEBATES_CAPACITY, o->settings->max_concurrent_debates);
	d->claim_timer =
	    (struct loop_timer){.fn = drive_on_claim_timer, .arg = d};
	d->heartbeat_timer =
	    (struct loop_timer){.fn = drive_on_heartbeat_timer, .arg = d};
	loop_timer_set(o->loop, &d->claim_timer, 0);
	loop_timer_set(o->loop, &d->heartbeat_timer, 0);
	*out = d;
	return ERR_OK;
}

void
drive_stop(struct drive *d)
{
	d->is_stopping = true;
	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		run_stop_calls(r);
		if (!r->is_dead && !r->is_ended)
			writer_release(d->writer, r->tenant, r->id, r->epoch);
	}
	writer_stop(d->writer);
	/* Commits that ended a debate are counted, claims handed back. */
	writer_deliver(d->writer);
}

void
drive_free(struct drive **drive)
{
	struct drive *d = *drive;

	if (d == NULL)
		return;
	writer_free(&d->writer);
	teller_free(&d->teller);
	list_for_each (it, &d->runs)
		run_free(LIST_ENTRY(it, struct run, link));
	loop_timer_del(d->o.loop, &d->claim_timer);
	loop_timer_del(d->o.loop, &d->heartbeat_timer);
	llm_embedder_free(&d->embedder);
	llm_free(&d->llm);
	metric_set(METRIC_DEBATES_ACTIVE, 0);
	metric_set(METRIC_DEBATES_CAPACITY, 0);
	free(d);
	*drive = NULL;
}
