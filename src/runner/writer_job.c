/* SPDX-License-Identifier: MIT
 *
 * The loop's side of the writer: jobs are copied and queued, replies handed
 * over.
 */
#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "runner/writer.h"
#include "settings/settings.h"
#include "store/store_attempt.h"
#include "store/store_memory.h"
#include "store/store_rating.h"

static struct writer_job *
writer_job_new(enum writer_kind kind)
{
	struct arena *a = arena_new_for(HEAP_JOBS, 2048);
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

static void
writer_copy_attempts(struct arena *a, struct store_transition *t)
{
	struct store_attempt *rows =
	    ARENA_ARRAY(a, t->n_attempts + 1, struct store_attempt);

	for (size_t i = 0; i < t->n_attempts; i++) {
		rows[i] = t->attempts[i];
		rows[i].step_key = arena_strdup(a, rows[i].step_key);
		rows[i].request_hash = arena_strdup(a, rows[i].request_hash);
		rows[i].provider = arena_strdup(a, rows[i].provider);
		rows[i].model = arena_strdup(a, rows[i].model);
	}
	t->attempts = rows;
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
	/* The names of agents are the registry's and live as long as the
	 * program, and so do those of sources. */
	for (size_t i = 0; i < m->n_players; i++)
		m->players[i] = from->players[i];
	for (size_t i = 0; i < m->n_votes; i++)
		m->votes[i] = from->votes[i];
	m->elo_initial = s->elo_initial;
	m->elo_k_factor = s->elo_k_factor;
	return m;
}

static struct store_memory *
writer_copy_memory(struct arena *a, const struct store_memory *from)
{
	struct store_memory *m;

	if (from == NULL)
		return NULL;
	m = ARENA_NEW(a, struct store_memory);
	*m = *from;
	m->key = arena_strdup(a, from->key);
	m->domain = arena_strdup(a, from->domain);
	m->content = arena_strdup(a, from->content);
	m->body = arena_strdup(a, from->body);
	m->debate_id = arena_strdup(a, from->debate_id);
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
	j->transition.trace_parent = arena_strdup(j->arena, t->trace_parent);
	j->transition.result = arena_strdup(j->arena, t->result);
	j->transition.error = arena_strdup(j->arena, t->error);
	j->transition.vector.model = arena_strdup(j->arena, t->vector.model);
	j->transition.vector.data = arena_strdup(j->arena, t->vector.data);
	writer_copy_events(j->arena, &j->transition);
	writer_copy_turns(j->arena, &j->transition);
	writer_copy_attempts(j->arena, &j->transition);
	j->transition.match =
	    writer_copy_match(j->arena, t->match, w->settings);
	j->transition.memory = writer_copy_memory(j->arena, t->memory);
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
    const int64_t *epochs, size_t n, int64_t active, const char *health)
{
	struct writer_job *j = writer_job_new(WRITER_HEARTBEAT);

	j->n = n;
	j->active = active;
	j->health = arena_strdup(j->arena, health);
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
writer_park(struct writer *w, const char *tenant, const char *id, int64_t epoch,
    const char *trace_parent)
{
	struct writer_job *j = writer_job_new(WRITER_PARK);

	j->transition.trace_parent = arena_strdup(j->arena, trace_parent);
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
