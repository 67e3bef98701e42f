/* SPDX-License-Identifier: MIT
 *
 * The database thread of the runner. Commits that wait together go into one
 * transaction (group commit); after it, their events go to the teller. While
 * the database is away it keeps trying: nothing accepted is dropped, and the
 * loop goes on streaming. A transition that the database refuses for what it
 * holds is found by committing one by one; the others go on without it.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "metrics/metrics.h"
#include "runner/runner.h"
#include "runner/teller.h"
#include "settings/settings.h"
#include "store/store_rating.h"

#define WRITER_GROUP_MAX   256
#define WRITER_RETRY_MS	   200
#define WRITER_GIVE_UP_MS  5000 /* when stopping */
#define WRITER_PAYLOAD_MAX (16u << 20)
#define WRITER_LONE_TRIES  2 /* of one that is refused by itself */

enum writer_kind {
	WRITER_COMMIT,
	WRITER_CLAIM,
	WRITER_HEARTBEAT,
	WRITER_RELEASE,
	WRITER_PARK,
	WRITER_HEAR
};

/* A job, and afterwards its reply. */
struct writer_job {
	struct list link;
	enum writer_kind kind;
	struct arena *arena; /* everything below hangs on it */
	struct store_transition transition;
	void *tag;
	bool is_last_word; /* accepted after a refusal */
	enum err result;
	int64_t max;
	const char *tenant;
	const char *id;
	const char **ids;
	int64_t *epochs;
	bool *lost;
	bool *pausing;
	size_t n;
	int64_t active;
	int64_t since;
	struct store_human *said;
	struct store_debate *rows;
	struct store_turn **turns;
	size_t *n_turns;
};

/* A debate whose transition was refused. What the loop queued before it heard
 * of that must not land either: it stands on what is missing. */
struct writer_refused {
	struct list link;
	char *debate_id;
	int64_t epoch;
};

struct writer {
	const struct settings *settings;
	struct store *store;
	struct teller *teller;
	struct loop *loop;
	struct writer_ops ops;
	writer_written_fn written_fn; /* NULL = none */
	void *written_arg;
	struct store_runner self;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list jobs;
	struct list replies;
	struct list refused; /* writer's thread only */
	bool is_stopping;
	bool is_joined; /* loop thread only */
	int64_t stop_ms;
	bool is_down; /* the database, as last seen */
};

static struct writer_job *
writer_job_new(enum writer_kind kind)
{
	struct arena *a = arena_new(2048);
	struct writer_job *j = ARENA_NEW(a, struct writer_job);

	j->arena = a;
	j->kind = kind;
	return j;
}

static void
writer_job_free(struct writer_job *j)
{
	struct arena *a = j->arena;
	arena_free(&a);
}

static void
writer_push(struct writer *w, struct writer_job *j)
{
	pthread_mutex_lock(&w->lock);
	list_add_tail(&w->jobs, &j->link);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

/* ---- the loop's side ---- */

static void
writer_copy_turns(struct arena *a, struct store_transition *t)
{
	struct store_turn *turns =
	    ARENA_ARRAY(a, t->n_turns + 1, struct store_turn);
	size_t *events = ARENA_ARRAY(a, t->n_turns + 1, size_t);

	for (size_t i = 0; i < t->n_turns; i++) {
		const struct store_turn *from = &t->turns[i];
		turns[i] = *from;
		turns[i].step_key = arena_strdup(a, from->step_key);
		turns[i].agent = arena_strdup(a, from->agent);
		turns[i].target = arena_strdup(a, from->target);
		turns[i].content = arena_strdup(a, from->content);
		turns[i].parsed = arena_strdup(a, from->parsed);
		turns[i].error = arena_strdup(a, from->error);
		events[i] = t->turn_event != NULL ? t->turn_event[i] : 0;
	}
	t->turns = turns;
	t->turn_event = events;
}

static void
writer_copy_events(struct arena *a, struct store_transition *t)
{
	struct store_event *events =
	    ARENA_ARRAY(a, t->n_events + 1, struct store_event);

	for (size_t i = 0; i < t->n_events; i++) {
		events[i] = t->events[i];
		events[i].agent = arena_strdup(a, t->events[i].agent);
		events[i].data = arena_strdup(a, t->events[i].data);
	}
	t->events = events;
}

static const struct store_match *
writer_copy_match(
    struct arena *a, const struct store_match *from, const struct settings *s)
{
	struct store_match *m;

	if (from == NULL)
		return NULL;
	m = ARENA_NEW(a, struct store_match);
	*m = *from;
	m->domain = arena_strdup(a, from->domain);
	m->players = ARENA_ARRAY(a, m->n_players + 1, struct store_player);
	m->votes = ARENA_ARRAY(a, m->n_votes + 1, struct store_vote);
	/* The names are the registry's and live as long as the program. */
	for (size_t i = 0; i < m->n_players; i++)
		m->players[i] = from->players[i];
	for (size_t i = 0; i < m->n_votes; i++)
		m->votes[i] = from->votes[i];
	m->elo_initial = s->elo_initial;
	m->elo_k_factor = s->elo_k_factor;
	return m;
}

static void
writer_push_commit(struct writer *w, const struct store_transition *t,
    const char *tenant, int64_t epoch, void *tag, bool is_last_word)
{
	struct writer_job *j = writer_job_new(WRITER_COMMIT);

	j->transition = *t;
	j->transition.lease_epoch = epoch;
	j->transition.tenant = arena_strdup(j->arena, tenant);
	j->transition.debate_id = arena_strdup(j->arena, t->debate_id);
	j->transition.result = arena_strdup(j->arena, t->result);
	j->transition.error = arena_strdup(j->arena, t->error);
	j->transition.vector.model = arena_strdup(j->arena, t->vector.model);
	j->transition.vector.data = arena_strdup(j->arena, t->vector.data);
	writer_copy_events(j->arena, &j->transition);
	writer_copy_turns(j->arena, &j->transition);
	j->transition.match =
	    writer_copy_match(j->arena, t->match, w->settings);
	j->tag = tag;
	j->is_last_word = is_last_word;
	writer_push(w, j);
}

void
writer_commit(struct writer *w, const struct store_transition *t,
    const char *tenant, int64_t epoch, void *tag)
{
	writer_push_commit(w, t, tenant, epoch, tag, false);
}

void
writer_commit_last_word(struct writer *w, const struct store_transition *t,
    const char *tenant, int64_t epoch, void *tag)
{
	writer_push_commit(w, t, tenant, epoch, tag, true);
}

void
writer_claim(struct writer *w, int64_t max, const char *only_id)
{
	struct writer_job *j = writer_job_new(WRITER_CLAIM);

	j->max = max;
	j->id = arena_strdup(j->arena, only_id);
	writer_push(w, j);
}

void
writer_heartbeat(struct writer *w, const char *const *ids,
    const int64_t *epochs, size_t n, int64_t active)
{
	struct writer_job *j = writer_job_new(WRITER_HEARTBEAT);

	j->n = n;
	j->active = active;
	j->ids = ARENA_ARRAY(j->arena, n + 1, const char *);
	j->epochs = ARENA_ARRAY(j->arena, n + 1, int64_t);
	j->lost = ARENA_ARRAY(j->arena, n + 1, bool);
	j->pausing = ARENA_ARRAY(j->arena, n + 1, bool);
	for (size_t i = 0; i < n; i++) {
		j->ids[i] = arena_strdup(j->arena, ids[i]);
		j->epochs[i] = epochs[i];
	}
	writer_push(w, j);
}

void
writer_release(
    struct writer *w, const char *tenant, const char *id, int64_t epoch)
{
	if (w->is_joined) {
		(void)!store_release(w->store, tenant, id, epoch);
		return;
	}
	struct writer_job *j = writer_job_new(WRITER_RELEASE);

	j->tenant = arena_strdup(j->arena, tenant);
	j->id = arena_strdup(j->arena, id);
	j->max = epoch;
	writer_push(w, j);
}

void
writer_park(struct writer *w, const char *tenant, const char *id, int64_t epoch)
{
	struct writer_job *j = writer_job_new(WRITER_PARK);

	j->tenant = arena_strdup(j->arena, tenant);
	j->id = arena_strdup(j->arena, id);
	j->max = epoch;
	writer_push(w, j);
}

void
writer_hear(struct writer *w, const char *tenant, const char *id, int64_t epoch,
    int64_t since)
{
	struct writer_job *j = writer_job_new(WRITER_HEAR);

	j->tenant = arena_strdup(j->arena, tenant);
	j->id = arena_strdup(j->arena, id);
	j->max = epoch;
	j->since = since;
	writer_push(w, j);
}

static void
writer_deliver_leases(struct writer *w, struct writer_job *j)
{
	struct writer_ops *ops = &w->ops;

	for (size_t i = 0; i < j->n; i++)
		if (j->lost[i])
			ops->on_lost(ops->arg, j->ids[i], j->epochs[i]);
		else if (j->pausing[i])
			ops->on_pausing(ops->arg, j->ids[i], j->epochs[i]);
}

static void
writer_deliver_one(struct writer *w, struct writer_job *j)
{
	struct writer_ops *ops = &w->ops;

	switch (j->kind) {
	case WRITER_COMMIT:
		ops->on_commit(ops->arg, j->tag, j->result);
		break;
	case WRITER_CLAIM:
		for (size_t i = 0; i < j->n; i++)
			ops->on_claimed(ops->arg, j->arena, &j->rows[i],
			    j->turns[i], j->n_turns[i]);
		ops->on_claim_end(ops->arg, j->n);
		break;
	case WRITER_HEARTBEAT:
		writer_deliver_leases(w, j);
		break;
	case WRITER_PARK:
		ops->on_parked(ops->arg, j->id, j->max, j->result);
		break;
	case WRITER_HEAR:
		ops->on_heard(
		    ops->arg, j->id, j->max, j->said, j->n, j->result);
		break;
	case WRITER_RELEASE:
		break;
	}
	writer_job_free(j);
}

void
writer_deliver(struct writer *w)
{
	for (;;) {
		pthread_mutex_lock(&w->lock);
		struct list *first = w->replies.next;
		bool is_empty = list_is_empty(&w->replies);
		if (!is_empty)
			list_del(first);
		pthread_mutex_unlock(&w->lock);
		if (is_empty)
			return;
		writer_deliver_one(
		    w, LIST_ENTRY(first, struct writer_job, link));
	}
}

/* ---- the thread ---- */

static void
writer_pause(int64_t ms)
{
	struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
	    .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&ts, NULL);
}

/* Tell once when the database goes and comes. */
static void
writer_note(struct writer *w, enum err e)
{
	bool is_down = e != ERR_OK && e != ERR_NOT_FOUND;

	if (is_down && !w->is_down)
		log_warning("store.down", "reason=%s", err_text(e));
	else if (!is_down && w->is_down)
		log_info("store.up", "runner=%s", w->self.id);
	w->is_down = is_down;
}

static bool
writer_gives_up(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	bool is_over =
	    w->is_stopping && clock_mono_ms() - w->stop_ms > WRITER_GIVE_UP_MS;
	pthread_mutex_unlock(&w->lock);
	return is_over;
}

static void
writer_publish_commit(struct writer *w, struct writer_job *j)
{
	struct store_transition *t = &j->transition;
	struct buf b;

	buf_init(&b, WRITER_PAYLOAD_MAX);
	for (size_t i = 0; i < t->n_events; i++) {
		const struct store_event *e = &t->events[i];
		buf_clear(&b);
		event_encode(&b,
		    &(struct event){.type = e->type,
			.debate_id = t->debate_id,
			.seq = e->seq,
			.round = e->round,
			.agent = e->agent,
			.created_us = e->created_us,
			.data = e->data});
		teller_tell(
		    w->teller, t->debate_id, e->seq, buf_text(&b), b.len);
	}
	buf_release(&b);
}

/* Is it the transition's own fault, so that trying again cannot help? The
 * rest is the state of the database, which changes. */
static bool
writer_is_refusal(enum err e)
{
	switch (e) {
	case ERR_INVALID:
	case ERR_SYNTAX:
	case ERR_TOO_LARGE:
	case ERR_NOT_FOUND:
	case ERR_CONFLICT:
	case ERR_EXISTS:
	case ERR_UNSUPPORTED:
	case ERR_INTERNAL:
		return true;
	case ERR_OK:
	case ERR_AUTH:
	case ERR_DENIED:
	case ERR_BUSY:
	case ERR_RETRY:
	case ERR_DOWN:
	case ERR_UNCERTAIN:
	case ERR_FENCED:
	case ERR_FULL:
	case ERR_SCHEMA:
	case ERR_TIMEOUT:
	case ERR_CANCELLED:
	case ERR_CLOSED:
	case ERR_AGAIN:
	case ERR_IO:
	case ERR__COUNT:
		return false;
	}
	return false;
}

static struct writer_refused *
writer_find_refused(struct writer *w, const struct store_transition *t)
{
	list_for_each (it, &w->refused) {
		struct writer_refused *r =
		    LIST_ENTRY(it, struct writer_refused, link);
		if (r->epoch == t->lease_epoch &&
		    str_eq(r->debate_id, t->debate_id))
			return r;
	}
	return NULL;
}

static void
writer_refused_free(struct writer_refused *r)
{
	list_del(&r->link);
	free(r->debate_id);
	free(r);
}

static void
writer_refuse(struct writer *w, const struct store_transition *t, enum err e)
{
	struct writer_refused *r;

	log_error("store.refused", "debate=%s phase=%s reason=%s", t->debate_id,
	    t->phase, err_text(e));
	if (writer_find_refused(w, t) != NULL)
		return;
	r = mem_zalloc(sizeof(*r));
	r->debate_id = mem_strdup(t->debate_id);
	r->epoch = t->lease_epoch;
	list_add_tail(&w->refused, &r->link);
}

/* Until it is written, refused, or there is no more time. After ERR_UNCERTAIN
 * store_commit itself recognises what landed; a group that stays uncertain may
 * hold one that is refused, so it is left to be tried one by one. */
static enum err
writer_commit_group(struct writer *w, struct writer_job **group, size_t n)
{
	struct store_transition *t[WRITER_GROUP_MAX];

	for (size_t i = 0; i < n; i++)
		t[i] = &group[i]->transition;
	for (int tries = 1;; tries++) {
		enum err e = store_commit(w->store, t, n);
		if (e == ERR_UNCERTAIN && n > 1 && tries >= WRITER_LONE_TRIES)
			return ERR_INTERNAL;
		bool is_refusal = writer_is_refusal(e);
		writer_note(w, is_refusal || e == ERR_RETRY ? ERR_OK : e);
		if (e == ERR_OK || writer_gives_up(w) ||
		    (is_refusal && (n > 1 || tries >= WRITER_LONE_TRIES)))
			return e;
		if (e != ERR_RETRY)
			writer_pause(WRITER_RETRY_MS);
	}
}

static void
writer_settle(struct writer *w, struct writer_job **group, size_t n, enum err e)
{
	metric_add(METRIC_RUNNER_COMMITS, 1);
	metric_add(METRIC_RUNNER_TRANSITIONS, (int64_t)n);
	for (size_t i = 0; i < n; i++) {
		struct writer_job *j = group[i];
		j->result = e != ERR_OK ? e : j->transition.outcome;
		if (j->result != ERR_OK)
			continue;
		writer_publish_commit(w, j);
		if (w->written_fn != NULL)
			w->written_fn(w->written_arg, &j->transition);
	}
}

static void
writer_do_alone(struct writer *w, struct writer_job *j)
{
	struct writer_refused *before = writer_find_refused(w, &j->transition);

	if (before != NULL && !j->is_last_word) {
		j->result = ERR_CANCELLED;
		return;
	}
	if (before != NULL)
		writer_refused_free(before);
	enum err e = writer_commit_group(w, &j, 1);
	if (writer_is_refusal(e))
		writer_refuse(w, &j->transition, e);
	writer_settle(w, &j, 1, e);
}

static bool
writer_has_refused(struct writer *w, struct writer_job **group, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (writer_find_refused(w, &group[i]->transition) != NULL)
			return true;
	return false;
}

static void
writer_do_commits(struct writer *w, struct writer_job **group, size_t n)
{
	enum err e = ERR_INTERNAL; /* one by one */

	if (n > 1 && !writer_has_refused(w, group, n))
		e = writer_commit_group(w, group, n);
	if (!writer_is_refusal(e)) {
		writer_settle(w, group, n, e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		writer_do_alone(w, group[i]);
}

/* ERR_CONFLICT or ERR_OK, unless there is no more time. */
static enum err
writer_park_one(
    struct writer *w, const char *tenant, const char *id, int64_t epoch)
{
	struct store_event event = {.type = event_name(EVENT_DEBATE_PAUSED),
	    .data = "{\"status\":\"paused\",\"reason\":\"paused by request\"}"};
	struct writer_job j = {
	    .transition = {.debate_id = id, .events = &event, .n_events = 1}};

	for (;;) {
		enum err e = store_park(w->store, tenant, id, epoch, &event);
		writer_note(w, e == ERR_CONFLICT ? ERR_OK : e);
		if (e == ERR_OK)
			writer_publish_commit(w, &j);
		if (e == ERR_OK || e == ERR_CONFLICT || writer_is_refusal(e) ||
		    writer_gives_up(w))
			return e;
		writer_pause(WRITER_RETRY_MS);
	}
}

/* Claimed from a runner that was to pause it and is gone: nothing begins. */
static void
writer_park_claimed(struct writer *w, struct writer_job *j)
{
	const char **ids = ARENA_ARRAY(j->arena, j->n + 1, const char *);
	int64_t *epochs = ARENA_ARRAY(j->arena, j->n + 1, int64_t);
	bool *pausing = ARENA_ARRAY(j->arena, j->n + 1, bool);
	size_t kept = 0;

	for (size_t i = 0; i < j->n; i++) {
		ids[i] = j->rows[i].id;
		epochs[i] = j->rows[i].lease_epoch;
	}
	if (store_pausing(w->store, ids, epochs, j->n, pausing) != ERR_OK)
		return; /* the next heartbeat tells */
	for (size_t i = 0; i < j->n; i++)
		if (!pausing[i] ||
		    writer_park_one(w, j->rows[i].tenant, ids[i], epochs[i]) !=
			ERR_OK)
			j->rows[kept++] = j->rows[i];
	j->n = kept;
}

static void
writer_do_claim(struct writer *w, struct writer_job *j)
{
	int64_t lease_us = w->settings->lease * INT64_C(1000000);
	enum err e;

	if (j->id != NULL) {
		j->rows = ARENA_NEW(j->arena, struct store_debate);
		e = store_claim_one(
		    w->store, j->arena, w->self.id, lease_us, j->id, j->rows);
		j->n = e == ERR_OK;
	} else {
		e = store_claim(w->store, j->arena, w->self.id, lease_us,
		    j->max, &j->rows, &j->n);
	}
	writer_note(w, e);
	writer_park_claimed(w, j);
	j->turns = ARENA_ARRAY(j->arena, j->n + 1, struct store_turn *);
	j->n_turns = ARENA_ARRAY(j->arena, j->n + 1, size_t);
	for (size_t i = 0; i < j->n; i++) {
		e = store_turn_list(w->store, j->arena, j->rows[i].tenant,
		    j->rows[i].id, &j->turns[i], &j->n_turns[i]);
		if (e != ERR_OK) {
			/* Its lease runs out; another claim will find it. */
			writer_note(w, e);
			j->n = i;
		}
	}
}

static void
writer_do_heartbeat(struct writer *w, struct writer_job *j)
{
	enum err e = ERR_OK;

	if (j->n > 0)
		e = store_heartbeat(w->store, j->ids, j->epochs, j->n,
		    w->settings->lease * INT64_C(1000000), j->lost);
	if (e != ERR_OK)
		memset(j->lost, 0, j->n * sizeof(bool)); /* not known */
	else if (store_pausing(w->store, j->ids, j->epochs, j->n, j->pausing) !=
	    ERR_OK)
		memset(j->pausing, 0, j->n * sizeof(bool));
	w->self.active = j->active;
	if (e == ERR_OK)
		e = store_runner_seen(w->store, &w->self);
	writer_note(w, e);
}

/* Until it is known: a debate does not go on as if nobody had spoken. */
static void
writer_do_hear(struct writer *w, struct writer_job *j)
{
	for (;;) {
		j->result = store_human_list(w->store, j->arena, j->tenant,
		    j->id, j->since, &j->said, &j->n);
		writer_note(w, j->result);
		if (j->result == ERR_OK || writer_is_refusal(j->result) ||
		    writer_gives_up(w))
			return;
		writer_pause(WRITER_RETRY_MS);
	}
}

/* Next jobs: a run of commits, or one other. */
static size_t
writer_take(struct writer *w, struct writer_job **group)
{
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	while (list_is_empty(&w->jobs) && !w->is_stopping)
		pthread_cond_wait(&w->wake, &w->lock);
	list_for_each (it, &w->jobs) {
		struct writer_job *j = LIST_ENTRY(it, struct writer_job, link);
		if (n == WRITER_GROUP_MAX ||
		    (n > 0 && j->kind != WRITER_COMMIT))
			break;
		list_del(it);
		group[n++] = j;
		if (j->kind != WRITER_COMMIT)
			break;
	}
	pthread_mutex_unlock(&w->lock);
	return n;
}

static void
writer_do(struct writer *w, struct writer_job **group, size_t n)
{
	struct writer_job *j = group[0];

	switch (j->kind) {
	case WRITER_COMMIT:
		writer_do_commits(w, group, n);
		break;
	case WRITER_CLAIM:
		writer_do_claim(w, j);
		break;
	case WRITER_HEARTBEAT:
		writer_do_heartbeat(w, j);
		break;
	case WRITER_PARK:
		j->result = writer_park_one(w, j->tenant, j->id, j->max);
		break;
	case WRITER_HEAR:
		writer_do_hear(w, j);
		break;
	case WRITER_RELEASE:
		/* Fenced or unreachable: the lease runs out by itself. */
		(void)!store_release(w->store, j->tenant, j->id, j->max);
		break;
	}
}

static void
writer_reply(struct writer *w, struct writer_job **group, size_t n)
{
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < n; i++)
		list_add_tail(&w->replies, &group[i]->link);
	pthread_mutex_unlock(&w->lock);
	loop_wake(w->loop);
}

static void *
writer_run(void *arg)
{
	struct writer *w = arg;
	struct writer_job *group[WRITER_GROUP_MAX];
	size_t n;

	while ((n = writer_take(w, group)) > 0) {
		writer_do(w, group, n);
		writer_reply(w, group, n);
	}
	(void)!store_runner_gone(w->store, w->self.id);
	return NULL;
}

enum err
writer_new(struct writer **out, const struct settings *settings,
    struct store *store, struct teller *teller, struct loop *loop,
    const char *runner_id, const struct writer_ops *ops)
{
	struct writer *w = mem_zalloc(sizeof(*w));
	char host[256] = "localhost";

	gethostname(host, sizeof(host) - 1);
	w->settings = settings;
	w->store = store;
	w->teller = teller;
	w->loop = loop;
	w->ops = *ops;
	w->self = (struct store_runner){.id = mem_strdup(runner_id),
	    .host = mem_strdup(host),
	    .pid = getpid(),
	    .capacity = settings->max_concurrent_debates};
	list_init(&w->jobs);
	list_init(&w->replies);
	list_init(&w->refused);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	if (pthread_create(&w->thread, NULL, writer_run, w) != 0)
		return ERR_IO;
	*out = w;
	return ERR_OK;
}

void
writer_on_written(struct writer *w, writer_written_fn fn, void *arg)
{
	w->written_arg = arg;
	w->written_fn = fn;
}

void
writer_stop(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	w->stop_ms = clock_mono_ms();
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->is_joined = true;
}

void
writer_free(struct writer **writer)
{
	struct writer *w = *writer;

	if (w == NULL)
		return;
	assert(w->is_joined && list_is_empty(&w->replies));
	list_for_each (it, &w->refused)
		writer_refused_free(
		    LIST_ENTRY(it, struct writer_refused, link));
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free((char *)(uintptr_t)w->self.id);
	free((char *)(uintptr_t)w->self.host);
	free(w);
	*writer = NULL;
}
