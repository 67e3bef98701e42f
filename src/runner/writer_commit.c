/* SPDX-License-Identifier: MIT
 *
 * The writer's transactions. A transition that the database refuses for what
 * it holds is found by committing one by one; the others go on without it.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "cache/cache.h"
#include "metrics/metrics.h"
#include "runner/teller.h"
#include "runner/writer.h"

#define WRITER_PAYLOAD_MAX (16u << 20)
#define WRITER_LONE_TRIES  2 /* of one that is refused by itself */

void
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
			.data = e->data,
			.trace_parent = t->trace_parent});
		teller_tell(
		    w->teller, t->debate_id, e->seq, buf_text(&b), b.len);
	}
	buf_release(&b);
}

bool
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

void
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

	log_error("store.refused", "debate_id=%s phase=%s reason=%s",
	    t->debate_id, t->phase, err_text(e));
	if (writer_find_refused(w, t) != NULL)
		return;
	r = mem_zalloc(sizeof(*r));
	r->debate_id = mem_strdup(t->debate_id);
	r->epoch = t->lease_epoch;
	list_add_tail(&w->refused, &r->link);
}

/* What is kept of a tenant and told otherwise after this transition: between
 * the two calls nothing of it is served, so whoever sees a debate ended sees
 * the ratings that came of it. */
static void
writer_cached(struct writer *w, const struct store_transition *t,
    void (*fn)(struct cache *, enum cache_kind, const char *))
{
	if (t->match != NULL)
		fn(w->cache, CACHE_RATINGS, t->tenant);
	if (store_status_is_final(t->status))
		fn(w->cache, CACHE_ANALYTICS, t->tenant);
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
		for (size_t i = 0; i < n; i++)
			writer_cached(w, t[i], cache_hold);
		enum err e = store_commit(w->store, t, n);
		for (size_t i = 0; i < n; i++)
			writer_cached(w, t[i], cache_drop);
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
		metric_add(METRIC_LLM_REPEATED, j->transition.n_lost);
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

void
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
