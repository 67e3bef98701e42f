/* SPDX-License-Identifier: MIT */
#include "ws-bridge/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "ws-bridge/connection.h"

#define REVOKE_LOOK_MS 1000

static void
revoke_ask(struct server *srv)
{
	struct job *job = job_new(JOB_REVS, NULL, NULL);
	size_t n = 0;

	job->owner = srv;
	list_for_each (it, &srv->watches)
		n++;
	job->ids = ARENA_ARRAY(job->arena, n + 1, const char *);
	list_for_each (it, &srv->watches) {
		struct revoke_watch *w =
		    LIST_ENTRY(it, struct revoke_watch, node);
		w->slot = job->n_ids;
		job->ids[job->n_ids++] = arena_strdup(job->arena, w->tenant);
	}
	srv->is_asking_revs = true;
	hub_ask_revs(srv->hub, job);
}

static void
revoke_on_tick(struct loop_timer *t)
{
	struct server *srv = t->arg;

	if (list_is_empty(&srv->watches))
		return;
	if (!srv->is_asking_revs)
		revoke_ask(srv);
	loop_timer_set(srv->loop, &srv->revoke_tick, REVOKE_LOOK_MS);
}

void
revoke_init(struct server *srv)
{
	list_init(&srv->watches);
	srv->revoke_tick =
	    (struct loop_timer){.fn = revoke_on_tick, .arg = srv};
}

static struct revoke_watch *
revoke_find(struct server *srv, const char *tenant, int64_t rev)
{
	size_t len = strlen(tenant);

	list_for_each (it, &srv->watches) {
		struct revoke_watch *w =
		    LIST_ENTRY(it, struct revoke_watch, node);
		if (str_eq(w->tenant, tenant))
			return w;
	}
	struct revoke_watch *w = mem_zalloc(sizeof(*w) + len + 1);
	memcpy(w->tenant, tenant, len + 1);
	w->rev = rev;
	w->slot = SIZE_MAX;
	if (list_is_empty(&srv->watches))
		loop_timer_set(srv->loop, &srv->revoke_tick, REVOKE_LOOK_MS);
	list_add_tail(&srv->watches, &w->node);
	return w;
}

void
revoke_join(struct connection *c, int64_t rev)
{
	c->revoke = revoke_find(c->server, c->tenant, rev);
	c->revoke->n++;
	/* It was checked before what the others know of. */
	if (rev < c->revoke->rev)
		connection_recheck_token(c);
}

void
revoke_leave(struct connection *c)
{
	struct revoke_watch *w = c->revoke;

	c->revoke = NULL;
	if (w == NULL || --w->n > 0)
		return;
	list_del(&w->node);
	free(w);
}

void
revoke_on_revs(struct job *job)
{
	struct server *srv = job->owner;
	bool has_moved = false;

	srv->is_asking_revs = false;
	list_for_each (it, &srv->watches) {
		struct revoke_watch *w =
		    LIST_ENTRY(it, struct revoke_watch, node);
		size_t slot = w->slot;
		w->slot = SIZE_MAX;
		w->has_moved = job->err == ERR_OK && slot < job->n_ids &&
		    job->heads[slot] > w->rev;
		if (w->has_moved)
			w->rev = job->heads[slot];
		has_moved = has_moved || w->has_moved;
	}
	if (!has_moved)
		return;
	list_for_each (it, &srv->connections) {
		struct connection *c =
		    LIST_ENTRY(it, struct connection, in_server);
		if (c->revoke != NULL && c->revoke->has_moved &&
		    c->state == CONN_OPEN)
			connection_recheck_token(c);
	}
}

void
revoke_release(struct server *srv)
{
	loop_timer_del(srv->loop, &srv->revoke_tick);
}
