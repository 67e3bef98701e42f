/* SPDX-License-Identifier: MIT */
#include "ws-bridge/backfill.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "account/who.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "debate/audience_take.h"
#include "metrics/metrics.h"
#include "store/store.h"
#include "store/store_account.h"
#include "ws-bridge/notice.h"
#include "ws-bridge/sync.h"

#define BACKFILL_EVENT_MAX (16u << 20)
#define BACKFILL_LOOK_MS   5000

struct backfill {
	struct store *store;
	struct auth *auth;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	pthread_cond_t is_idle;
	struct list queue;		     /* under lock, as the next two */
	const struct backfill_port *running; /* whose job runs */
	bool is_stopping;
	atomic_bool is_failing; /* the store is out of reach */
	int64_t looked_ms;	/* the thread's own */
};

struct job *
job_new(enum job_kind kind, const char *debate_id, const char *tenant)
{
	struct arena *a = arena_new(0);
	struct job *job = ARENA_NEW(a, struct job);

	list_init(&job->node);
	job->kind = kind;
	job->arena = a;
	job->debate_id = arena_strdup(a, debate_id);
	job->tenant = arena_strdup(a, tenant);
	return job;
}

void
job_free(struct job **job)
{
	struct job *old = *job;

	*job = NULL;
	if (old == NULL)
		return;
	frame_unref(&old->frame);
	page_unref(&old->page);
	struct arena *a = old->arena;
	arena_free(&a);
}

static struct frame *
backfill_encode(struct buf *b, const char *id, const struct store_event *row)
{
	struct event e = {.type = row->type,
	    .debate_id = id,
	    .seq = row->seq,
	    .round = row->round,
	    .agent = row->agent,
	    .created_us = row->created_us,
	    .data = row->data,
	    .trace_parent = row->trace_parent};

	buf_clear(b);
	event_encode(b, &e);
	if (b->is_overflowed) {
		/* No client could take it: keep the sequence whole. */
		buf_clear(b);
		e.data = "{}";
		event_encode(b, &e);
	}
	return frame_new_event(row->seq, buf_text(b), b->len);
}

static enum err
backfill_page(struct backfill *b, struct job *job)
{
	struct store_event *rows;
	struct buf text;
	size_t bytes = 0;
	size_t n;

	enum err e = store_event_list(b->store, job->arena, job->tenant,
	    job->debate_id, job->since, PAGE_ROWS, &rows, &n);
	if (e != ERR_OK)
		return e;
	metric_add(METRIC_WS_BACKFILLS, 1);
	job->page = page_new(job->since);
	job->is_last_page = n < PAGE_ROWS;
	buf_init(&text, BACKFILL_EVENT_MAX);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].seq != job->since + (int64_t)i + 1)
			break;
		if (bytes > PAGE_BYTES) {
			job->is_last_page = false;
			break;
		}
		struct frame *f =
		    backfill_encode(&text, job->debate_id, &rows[i]);
		bytes += f->len;
		page_push(job->page, f);
	}
	buf_release(&text);
	return ERR_OK;
}

static enum err
backfill_lookup(struct backfill *b, struct job *job)
{
	struct store_turn *turns = NULL;
	struct store_debate d;
	size_t n = 0;

	enum err e = store_debate_get(
	    b->store, job->arena, job->tenant, job->debate_id, &d);
	if (e == ERR_OK && job->wants_frame)
		e = store_turn_list(
		    b->store, job->arena, job->tenant, d.id, &turns, &n);
	if (e != ERR_OK)
		return e;
	if (!str_eq(d.id, job->debate_id))
		return ERR_NOT_FOUND; /* it was a slug; events go by id */
	job->is_final = store_status_is_final(d.status);
	job->last_seq = d.last_seq;
	job->created_us = d.created_us;
	log_debug("ws.lookup", "debate_id=%s traceparent=%s last_seq=%lld",
	    d.id, d.trace_parent != NULL ? d.trace_parent : "-",
	    (long long)d.last_seq);
	if (job->wants_frame)
		job->frame =
		    sync_debate(job->arena, &d, turns, n, job->viewers);
	return ERR_OK;
}

static enum err
backfill_heads(struct backfill *b, struct job *job)
{
	job->heads = ARENA_ARRAY(job->arena, job->n_ids, int64_t);
	return store_event_heads(
	    b->store, job->arena, job->ids, job->n_ids, job->heads);
}

static enum err
backfill_loops(struct backfill *b, struct job *job)
{
	const struct store_debate_filter running = {
	    .tenant = job->tenant,
	    .status = STORE_RUNNING,
	    .limit = JOB_LOOPS_MAX,
	};
	struct store_debate *rows;
	int64_t total;
	size_t n;

	enum err e = store_debate_list(
	    b->store, job->arena, &running, &rows, &n, &total);
	if (e != ERR_OK)
		return e;
	job->ids = ARENA_ARRAY(job->arena, n + 1, const char *);
	job->n_ids = n;
	for (size_t i = 0; i < n; i++)
		job->ids[i] = rows[i].id;
	job->frame = sync_loops(rows, n);
	return ERR_OK;
}

/* The store has answered, if only with a no. */
static bool
backfill_is_answer(enum err e)
{
	return e == ERR_INVALID || e == ERR_NOT_FOUND || e == ERR_CONFLICT ||
	    e == ERR_DENIED || e == ERR_TOO_LARGE || e == ERR_AUTH;
}

/* Whose it is, for the connection to keep. */
static void
backfill_take_who(struct job *job, const struct who *who)
{
	job->tenant = who->tenant;
	job->person = who->token_id != NULL ? who->token_id : who->subject;
	job->session = who->session_id;
	job->token_version = who->token_version;
	job->access_rev = who->access_rev;
	job->may_write = who->level >= ROLE_WRITE;
	job->expires_us = who->expires_us;
	job->key_mark = who->key_mark;
}

/* A refusal is ERR_NOT_FOUND, ERR_AUTH that a credential is needed. */
static enum err
backfill_token(struct backfill *b, struct job *job)
{
	struct err_info info = {0};
	bool is_needed = true;
	struct who who;
	enum err e;

	if (job->hash != NULL) {
		e = who_check_key(b->store, job->arena, job->hash, &who, &info);
	} else {
		who_anonymous(&who);
		e = who_is_needed(b->store, b->auth, job->settings, &is_needed);
		if (e == ERR_OK && is_needed)
			return ERR_AUTH;
	}
	job->why = arena_strdup(job->arena, info.text);
	if (e != ERR_OK)
		return e == ERR_AUTH ? ERR_NOT_FOUND : e;
	backfill_take_who(job, &who);
	return ERR_OK;
}

static enum err
backfill_signed(struct backfill *b, struct job *job)
{
	struct err_info info = {0};
	struct who who;

	enum err e = who_check(b->store, b->auth, job->settings, job->arena,
	    job->token, clock_wall_us(), &who, &info);
	job->why = arena_strdup(job->arena, info.text);
	if (e != ERR_OK)
		return e == ERR_AUTH ? ERR_NOT_FOUND : e;
	backfill_take_who(job, &who);
	return ERR_OK;
}

/* A signed token of a connection, again. */
static enum err
backfill_still(struct backfill *b, struct job *job)
{
	enum err e = who_still(b->store, job->arena, job->tenant, job->session,
	    job->token_version, &job->access_rev);

	return e == ERR_AUTH ? ERR_NOT_FOUND : e;
}

static enum err
backfill_revs(struct backfill *b, struct job *job)
{
	job->heads = ARENA_ARRAY(job->arena, job->n_ids, int64_t);
	return store_access_revs(
	    b->store, job->arena, job->ids, job->n_ids, job->heads);
}

/* To whoever watches, wherever; who misses it reads the table. */
static void
backfill_publish(struct job *job, const struct store_event *event)
{
	struct buf b;

	buf_init(&b, BACKFILL_EVENT_MAX);
	event_encode(&b,
	    &(struct event){.type = event->type,
		.debate_id = job->debate_id,
		.seq = event->seq,
		.round = event->round,
		.created_us = event->created_us,
		.data = event->data,
		.trace_parent = event->trace_parent});
	const struct bus_message m = {.debate_id = job->debate_id,
	    .seq = event->seq,
	    .payload = buf_text(&b),
	    .payload_len = b.len};
	if (!b.is_overflowed && bus_publish(job->bus, &m, 1) != ERR_OK)
		log_debug("ws.publish", "debate_id=%s", job->debate_id);
	buf_release(&b);
}

static void
backfill_publish_metrics(
    struct backfill *b, struct job *job, const char *trace_parent)
{
	struct store_event event = {.type = event_name(EVENT_AUDIENCE_METRICS),
	    .created_us = clock_wall_us(),
	    .trace_parent = trace_parent};

	if (audience_metrics(b->store, job->arena, job->tenant, job->debate_id,
		&event.data) != ERR_OK)
		return;
	/* It is an object with members. */
	event.data = arena_printf(job->arena, "{\"viewers\":%lld,%s",
	    (long long)job->viewers, event.data + 1);
	backfill_publish(job, &event);
}

static const char *
backfill_said_code(enum err e)
{
	switch ((int)e) {
	case ERR_INVALID:
		return "invalid_value";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_CONFLICT:
	case ERR_DENIED:
		return "closed";
	case ERR_TOO_LARGE:
		return "limit_reached";
	}
	return "store_unavailable";
}

/* A vote or a suggestion: in the table and told before it is acknowledged. */
static enum err
backfill_said(struct backfill *b, struct job *job)
{
	bool is_vote = job->said.kind == STORE_HUMAN_VOTE;
	struct store_event event;
	struct err_info info = {0};

	enum err e = audience_take(b->store, job->settings, job->arena,
	    job->tenant, job->debate_id, job->person, job->user_id, &job->said,
	    &event, &info);
	if (e == ERR_OK) {
		backfill_publish(job, &event);
		backfill_publish_metrics(b, job, event.trace_parent);
		job->frame = job->is_wisdom
		    ? notice_wisdom(job->debate_id, job->said.text)
		    : notice_ack(is_vote ? "user_vote" : "user_suggestion",
			  "taken: it counts from the end of the round");
		return ERR_OK;
	}
	const char *text = *info.text != '\0' ? info.text : err_text(e);
	if (*info.field != '\0' && e == ERR_INVALID)
		text = arena_printf(job->arena, "%s %s", info.field, text);
	job->frame = notice_warning(backfill_said_code(e), text);
	return backfill_is_answer(e) ? ERR_OK : e;
}

static enum err
backfill_run(struct backfill *b, struct job *job)
{
	switch (job->kind) {
	case JOB_PAGE:
		return backfill_page(b, job);
	case JOB_LOOKUP:
		return backfill_lookup(b, job);
	case JOB_HEADS:
		return backfill_heads(b, job);
	case JOB_LOOPS:
		return backfill_loops(b, job);
	case JOB_TOKEN:
		return backfill_token(b, job);
	case JOB_SIGNED:
		return backfill_signed(b, job);
	case JOB_STILL:
		return backfill_still(b, job);
	case JOB_REVS:
		return backfill_revs(b, job);
	case JOB_SAID:
		return backfill_said(b, job);
	}
	return ERR_INTERNAL;
}

/* One line when the store goes and one when it is back. */
static void
backfill_note(struct backfill *b, enum err e)
{
	bool is_failing = e != ERR_OK && !backfill_is_answer(e);
	bool was_failing = atomic_exchange(&b->is_failing, is_failing);

	if (is_failing && !was_failing)
		log_warning("ws.store_failing", "error=\"%s\"", err_text(e));
	if (!is_failing && was_failing)
		log_info("ws.store_back", "kind=%s", store_kind(b->store));
}

static struct job *
backfill_next(struct backfill *b)
{
	struct job *job = NULL;

	pthread_mutex_lock(&b->lock);
	while (list_is_empty(&b->queue) && !b->is_stopping)
		pthread_cond_wait(&b->has_work, &b->lock);
	if (!b->is_stopping) {
		job = LIST_ENTRY(b->queue.next, struct job, node);
		list_del(&job->node);
		b->running = job->port;
	}
	pthread_mutex_unlock(&b->lock);
	return job;
}

/* Give it back, then the port may go. */
static void
backfill_done(struct backfill *b, struct job *job)
{
	struct backfill_port *port = job->port;

	pthread_mutex_lock(&port->lock);
	list_add_tail(&port->done, &job->node);
	pthread_mutex_unlock(&port->lock);
	port->on_done(port->arg);
	pthread_mutex_lock(&b->lock);
	b->running = NULL;
	pthread_cond_broadcast(&b->is_idle);
	pthread_mutex_unlock(&b->lock);
}

/* Verbs do not notice a schema that moved on without breaking them. */
static void
backfill_look(struct backfill *b)
{
	int64_t now = clock_mono_ms();

	if (now - b->looked_ms < BACKFILL_LOOK_MS)
		return;
	b->looked_ms = now;
	backfill_note(b, store_ping(b->store));
}

static void *
backfill_main(void *arg)
{
	struct backfill *b = arg;
	struct job *job;

	while ((job = backfill_next(b)) != NULL) {
		backfill_look(b);
		job->err = backfill_run(b, job);
		backfill_note(b, job->err);
		backfill_done(b, job);
	}
	return NULL;
}

enum err
backfill_open(struct backfill **out, struct store *store, struct auth *auth)
{
	struct backfill *b = mem_zalloc(sizeof(*b));

	b->store = store;
	b->auth = auth;
	list_init(&b->queue);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->has_work, NULL);
	pthread_cond_init(&b->is_idle, NULL);
	if (pthread_create(&b->thread, NULL, backfill_main, b) != 0) {
		free(b);
		return ERR_IO;
	}
	*out = b;
	return ERR_OK;
}

static void
backfill_drop(struct list *jobs)
{
	list_for_each (it, jobs) {
		struct job *job = LIST_ENTRY(it, struct job, node);
		list_del(&job->node);
		job_free(&job);
	}
}

void
backfill_close(struct backfill **bp)
{
	struct backfill *b = *bp;

	if (b == NULL)
		return;
	*bp = NULL;
	pthread_mutex_lock(&b->lock);
	b->is_stopping = true;
	pthread_cond_signal(&b->has_work);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	backfill_drop(&b->queue);
	pthread_cond_destroy(&b->is_idle);
	pthread_cond_destroy(&b->has_work);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

bool
backfill_is_well(const struct backfill *b)
{
	return !atomic_load(&b->is_failing);
}

void
backfill_submit(struct backfill *b, struct backfill_port *port, struct job *job)
{
	job->port = port;
	pthread_mutex_lock(&b->lock);
	list_add_tail(&b->queue, &job->node);
	pthread_cond_signal(&b->has_work);
	pthread_mutex_unlock(&b->lock);
}

void
backfill_forget(struct backfill *b, struct backfill_port *port)
{
	pthread_mutex_lock(&b->lock);
	list_for_each (it, &b->queue) {
		struct job *job = LIST_ENTRY(it, struct job, node);
		if (job->port != port)
			continue;
		list_del(&job->node);
		job_free(&job);
	}
	while (b->running == port)
		pthread_cond_wait(&b->is_idle, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

void
backfill_port_init(
    struct backfill_port *port, void (*on_done)(void *arg), void *arg)
{
	*port = (struct backfill_port){.on_done = on_done, .arg = arg};
	pthread_mutex_init(&port->lock, NULL);
	list_init(&port->done);
}

void
backfill_port_release(struct backfill_port *port)
{
	backfill_drop(&port->done);
	pthread_mutex_destroy(&port->lock);
}

struct job *
backfill_take(struct backfill_port *port)
{
	struct job *job = NULL;

	pthread_mutex_lock(&port->lock);
	if (!list_is_empty(&port->done)) {
		job = LIST_ENTRY(port->done.next, struct job, node);
		list_del(&job->node);
	}
	pthread_mutex_unlock(&port->lock);
	return job;
}
