/* SPDX-License-Identifier: MIT */
#include "runner/drive.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "debate/audience.h"
#include "metrics/metrics.h"
#include "receipt/receipt.h"
#include "runner/run.h"
#include "runner/teller.h"
#include "settings/settings.h"

#define DRIVE_CLAIM_MS	   1000
#define DRIVE_CLAIM_MAX	   64
#define DRIVE_ONLY_TRIES   10
#define DRIVE_HEALTH_BYTES 65536

static void drive_maybe_stop(struct drive *d);

/* ---- the writer's answers ---- */

static void
drive_count_end(enum store_status status)
{
	metric_add(status == STORE_COMPLETED ? METRIC_DEBATES_COMPLETED
					     : METRIC_DEBATES_FAILED,
	    1);
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
	run_trace_end(r, c->status);
	log_info("debate.end", "debate_id=%s trace_id=%s status=%s memory=%zu",
	    r->id, r->trace.id, store_status_name(c->status),
	    debate_memory(r->debate));
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
		log_info("debate.fenced", "debate_id=%s trace_id=%s epoch=%lld",
		    r->id, r->trace.id, (long long)r->epoch);
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
	struct run *r = heap_take(HEAP_DEBATES, mem_zalloc(sizeof(*r)));
	r->drive = d;
	r->id = heap_take(HEAP_DEBATES, mem_strdup(row->id));
	r->tenant = heap_take(HEAP_DEBATES, mem_strdup(row->tenant));
	r->epoch = row->lease_epoch;
	r->is_takeover = row->lease_epoch > 1;
	list_init(&r->calls);
	r->deadline = (struct loop_timer){.fn = run_on_deadline, .arg = r};
	list_add_tail(&d->runs, &r->link);
	d->n_runs++;
	metric_set(METRIC_DEBATES_ACTIVE, (int64_t)d->n_runs);
	run_trace_begin(r, row);
	if (r->trace_parent[0] != '\0' && row->trace_state != NULL)
		r->trace_state =
		    heap_take(HEAP_DEBATES, mem_strdup(row->trace_state));
	log_info("debate.claim", "debate_id=%s trace_id=%s epoch=%lld phase=%s",
	    r->id, r->trace.id, (long long)r->epoch, row->phase);
	if (debate_restore(&r->debate, row, turns, n_turns, now, &info) !=
	    ERR_OK) {
		log_error("debate.unreadable",
		    "debate_id=%s trace_id=%s field=%s reason=%s", r->id,
		    r->trace.id, info.field, info.text);
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
		log_info("debate.lost", "debate_id=%s trace_id=%s epoch=%lld",
		    r->id, r->trace.id, (long long)epoch);
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
		log_info("debate.pausing", "debate_id=%s trace_id=%s calls=%d",
		    r->id, r->trace.id, r->n_calling);
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
		log_info("debate.paused", "debate_id=%s trace_id=%s epoch=%lld",
		    r->id, r->trace.id, (long long)epoch);
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

void
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
drive_measure(struct drive *d)
{
	run_measure(&d->runs);
	metric_set(METRIC_RUNNER_LOOP_LAG, loop_take_lag_ms(d->o.loop));
	llm_measure(d->llm);
}

static void
drive_on_claim_timer(struct loop_timer *t)
{
	struct drive *d = t->arg;
	uint32_t random;

	id_random(&random, sizeof(random));
	drive_claim(d);
	drive_measure(d);
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
	struct buf health;
	struct json_w w;
	buf_init(&health, DRIVE_HEALTH_BYTES);
	json_w_init(&w, &health);
	llm_health_write(d->llm, &w);
	writer_heartbeat(d->writer, ids, epochs, n, (int64_t)d->n_runs,
	    health.is_overflowed ? "[]" : buf_text(&health));
	buf_release(&health);
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
		log_info("debate.lost",
		    "debate_id=%s trace_id=%s epoch=%lld calls=%d", r->id,
		    r->trace.id, (long long)r->epoch, r->n_calling);
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
		log_warning("debate.receipt", "debate_id=%s reason=%s",
		    t->debate_id, err_text(e));
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
	writer_use_cache(d->writer, o->cache);
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
	bool has_released = false;

	d->is_stopping = true;
	list_for_each (it, &d->runs) {
		struct run *r = LIST_ENTRY(it, struct run, link);
		run_stop_calls(r);
		if (r->is_dead || r->is_ended)
			continue;
		writer_release(d->writer, r->tenant, r->id, r->epoch);
		has_released = true;
	}
	writer_stop(d->writer);
	/* Commits that ended a debate are counted, claims handed back. */
	writer_deliver(d->writer);
	if (has_released && bus_wake(d->o.bus) != ERR_OK)
		log_debug("drive.wake", "runners will find them by themselves");
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
	metric_set(METRIC_RUNNER_CALLS, 0);
	metric_set(METRIC_RUNNER_MEMORY, 0);
	free(d);
	*drive = NULL;
}
