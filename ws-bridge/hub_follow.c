/* SPDX-License-Identifier: MIT
 *
 * Clients that want every debate: they are offered each debate the bus speaks
 * of and each that the table says is running. And the list of running
 * debates, read at most once a second per tenant.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "ws-bridge/hub_priv.h"

void
hub_follow(struct hub *h, struct follower *f)
{
	if (list_is_empty(&h->followers))
		bus_sub_all(relay_sub(h->relay), true);
	list_add_tail(&h->followers, &f->node);
	h->follow_gen++;
	hub_note_watching(h);
	hub_watch_now(h);
}

void
hub_unfollow(struct hub *h, struct follower *f)
{
	if (list_is_empty(&f->node))
		return;
	list_del(&f->node);
	hub_note_watching(h);
	if (list_is_empty(&h->followers))
		bus_sub_all(relay_sub(h->relay), false);
}

void
hub_offer(struct hub *h, struct hub_topic *ht, int64_t since)
{
	ht->followed_gen = h->follow_gen;
	if (ht->t.is_ended)
		return;
	list_for_each (it, &h->followers)
		h->ops.on_debate(
		    LIST_ENTRY(it, struct follower, node), ht->t.id, since);
}

static struct hub_loops *
hub_loops_get(struct hub *h, const char *tenant)
{
	size_t len = strlen(tenant);

	list_for_each (it, &h->loops) {
		struct hub_loops *l = LIST_ENTRY(it, struct hub_loops, node);
		if (str_eq(l->tenant, tenant))
			return l;
	}
	struct hub_loops *l = mem_zalloc(sizeof(*l) + len + 1);
	memcpy(l->tenant, tenant, len + 1);
	list_init(&l->askers);
	list_add_tail(&h->loops, &l->node);
	return l;
}

static void
hub_loops_read(struct hub *h, struct hub_loops *l)
{
	if (l->is_reading)
		return;
	l->is_reading = true;
	hub_ask(h, job_new(JOB_LOOPS, NULL, l->tenant));
}

void
hub_ask_loops(struct hub *h, struct asker *a)
{
	struct hub_loops *l = hub_loops_get(h, a->tenant);

	list_add_tail(&l->askers, &a->node);
	hub_loops_read(h, l);
}

/* Tenants nobody asks about go, so the list stays small. */
static void
hub_loops_trim(struct hub *h)
{
	list_for_each (it, &h->loops) {
		struct hub_loops *l = LIST_ENTRY(it, struct hub_loops, node);
		if (l->is_reading || !list_is_empty(&l->askers))
			continue;
		list_del(&l->node);
		free(l);
	}
}

void
hub_poll_loops(struct hub *h)
{
	hub_loops_trim(h);
	list_for_each (it, &h->followers) {
		struct follower *f = LIST_ENTRY(it, struct follower, node);
		hub_loops_read(h, hub_loops_get(h, f->tenant));
	}
}

void
hub_on_loops(struct hub *h, struct job *job)
{
	struct hub_loops *l = hub_loops_get(h, job->tenant);

	l->is_reading = false;
	while (!list_is_empty(&l->askers)) {
		struct asker *a =
		    LIST_ENTRY(l->askers.next, struct asker, node);
		list_del(&a->node);
		h->ops.on_loops(a, job->frame);
	}
	if (list_is_empty(&h->followers))
		return;
	for (size_t i = 0; i < job->n_ids; i++) {
		struct hub_topic *ht = hub_topic_get(h, job->ids[i]);
		if (ht->followed_gen != h->follow_gen)
			hub_offer(h, ht, -1);
	}
}

void
hub_loops_release(struct hub *h)
{
	list_for_each (it, &h->loops)
		free(LIST_ENTRY(it, struct hub_loops, node));
	list_init(&h->loops);
}
