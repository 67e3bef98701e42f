/* SPDX-License-Identifier: MIT
 *
 * The database thread of the runner. Commits that wait together go into one
 * transaction (group commit); after it, their events go to the teller. While
 * the database is away it keeps trying: nothing accepted is dropped, and the
 * loop goes on streaming.
 */
#include "runner/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/event.h"
#include "settings/settings.h"
#include "store/store_key.h"
#include "store/store_memory.h"

#define WRITER_SWEEP_MS	  10000
#define WRITER_GIVE_UP_MS 5000 /* when stopping */

void
writer_pause(int64_t ms)
{
	struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
	    .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&ts, NULL);
}

void
writer_note(struct writer *w, enum err e)
{
	bool is_down = e != ERR_OK && e != ERR_NOT_FOUND;

	if (is_down && !w->is_down)
		log_warning("store.down", "reason=%s", err_text(e));
	else if (!is_down && w->is_down)
		log_info("store.up", "runner=%s", w->self.id);
	w->is_down = is_down;
}

bool
writer_gives_up(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	bool is_over =
	    w->is_stopping && clock_mono_ms() - w->stop_ms > WRITER_GIVE_UP_MS;
	pthread_mutex_unlock(&w->lock);
	return is_over;
}

/* ERR_CONFLICT or ERR_OK, unless there is no more time. */
static enum err
writer_park_one(struct writer *w, const char *tenant, const char *id,
    int64_t epoch, const char *trace_parent)
{
	struct store_event event = {.type = event_name(EVENT_DEBATE_PAUSED),
	    .data = "{\"status\":\"paused\",\"reason\":\"paused by request\"}"};
	struct writer_job j = {.transition = {.debate_id = id,
				   .trace_parent = trace_parent,
				   .events = &event,
				   .n_events = 1}};

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
		    writer_park_one(w, j->rows[i].tenant, ids[i], epochs[i],
			j->rows[i].trace_parent) != ERR_OK)
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

/* At a heartbeat's pace, and no faster however often the runner is poked.
 * What fails is still due the next time. */
static void
writer_sweep(struct writer *w)
{
	struct store_memory_work work = {0};
	int64_t now = clock_mono_ms();
	int64_t n_keys;

	if (w->swept_ms != 0 && now - w->swept_ms < WRITER_SWEEP_MS)
		return;
	w->swept_ms = now;
	enum err e = store_key_sweep(w->store, clock_wall_us(), &n_keys);
	if (e == ERR_OK)
		e = store_memory_sweep(w->store, clock_wall_us(), &work);
	if (e != ERR_OK)
		log_debug("store.sweep", "reason=%s", err_text(e));
	else if (work.processed > 0)
		log_info("memory.sweep",
		    "processed=%lld expired=%lld promoted=%lld demoted=%lld",
		    (long long)work.processed, (long long)work.expired,
		    (long long)work.promoted, (long long)work.demoted);
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
	if (e == ERR_OK)
		writer_sweep(w);
	struct store_runner self = w->self;
	self.active = j->active;
	self.health = j->health;
	if (e == ERR_OK)
		e = store_runner_seen(w->store, &self);
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
		j->result = writer_park_one(
		    w, j->tenant, j->id, j->max, j->transition.trace_parent);
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
writer_use_cache(struct writer *w, struct cache *cache)
{
	w->cache = cache;
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
