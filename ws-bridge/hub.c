/* SPDX-License-Identifier: MIT */
#include "ws-bridge/hub.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "ws-bridge/hub_priv.h"
#include "ws-bridge/viewers.h"

static void
hub_backfill_done(void *arg)
{
	struct hub *h = arg;

	loop_wake(h->loop);
}

struct hub *
hub_new(struct loop *loop, const struct settings *settings, struct relay *relay,
    const struct hub_ops *ops)
{
	struct hub *h = mem_zalloc(sizeof(*h));

	h->loop = loop;
	h->settings = settings;
	h->relay = relay;
	h->ops = *ops;
	list_init(&h->loops);
	list_init(&h->followers);
	hub_inbox_init(&h->inbox);
	hub_table_init(h);
	backfill_port_init(&h->port, hub_backfill_done, h);
	h->member = (struct relay_member){.on_message = hub_inbox_on_message,
	    .on_gap = hub_inbox_on_gap,
	    .arg = h};
	relay_join(relay, &h->member);
	hub_watch_start(h);
	return h;
}

void
hub_close(struct hub **hp)
{
	struct hub *h = *hp;

	if (h == NULL)
		return;
	*hp = NULL;
	loop_timer_del(h->loop, &h->watch);
	relay_leave(h->relay, &h->member);
	hub_table_release(h);
	hub_loops_release(h);
	backfill_forget(relay_reader(h->relay), &h->port);
	backfill_forget(relay_tokens(h->relay), &h->port);
	backfill_port_release(&h->port);
	hub_inbox_release(&h->inbox);
	free(h);
}

void
hub_stats(const struct hub *h, struct json_w *w)
{
	int64_t topics = 0, subscriptions = 0, frames = 0, bytes = 0;

	if (h == NULL)
		return;
	list_for_each (it, &h->topics) {
		const struct topic *t =
		    &LIST_ENTRY(it, struct hub_topic, in_all)->t;
		topics++;
		list_for_each (is, &t->subs)
			subscriptions++;
		frames += (int64_t)t->ring.n;
		bytes += (int64_t)t->ring.bytes;
	}
	json_w_int(w, "debates", topics);
	json_w_int(w, "subscriptions", subscriptions);
	json_w_int(w, "ring_frames", frames);
	json_w_int(w, "ring_bytes", bytes);
	json_w_bool(w, "bus_trusted", h->is_trusted);
}

void
hub_ask(struct hub *h, struct job *job)
{
	backfill_submit(relay_reader(h->relay), &h->port, job);
}

void
hub_note_watching(struct hub *h)
{
	atomic_store(
	    &h->is_watching, h->n_topics > 0 || !list_is_empty(&h->followers));
}

void
hub_read_table(struct hub *h, struct hub_topic *ht, int64_t since)
{
	if (ht->tenant == NULL) /* the lookup will read on */
		return;
	list_for_each (it, &ht->reads)
		if (LIST_ENTRY(it, struct hub_read, node)->since == since)
			return;
	struct hub_read *read =
	    heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*read)));
	read->since = since;
	list_add_tail(&ht->reads, &read->node);
	struct job *job = job_new(JOB_PAGE, ht->t.id, ht->tenant);
	job->since = since;
	hub_ask(h, job);
}

void
hub_lookup_debate(
    struct hub *h, struct hub_topic *ht, const char *tenant, bool wants_frame)
{
	size_t len = strlen(tenant);

	list_for_each (it, &ht->lookups) {
		struct hub_lookup *other =
		    LIST_ENTRY(it, struct hub_lookup, node);
		if (str_eq(other->tenant, tenant) &&
		    (other->wants_frame || !wants_frame))
			return;
	}
	struct hub_lookup *lookup =
	    heap_take(HEAP_EVENTS, mem_zalloc(sizeof(*lookup) + len + 1));
	memcpy(lookup->tenant, tenant, len + 1);
	lookup->wants_frame = wants_frame;
	list_add_tail(&ht->lookups, &lookup->node);
	struct job *job = job_new(JOB_LOOKUP, ht->t.id, tenant);
	job->wants_frame = wants_frame;
	job->viewers = viewers_count(relay_viewers(h->relay), ht->t.id);
	hub_ask(h, job);
}

void
hub_tell(struct hub *h, struct hub_topic *ht)
{
	list_for_each (it, &ht->t.subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_topic);
		if (s->state == SUB_ACTIVE)
			h->ops.on_ready(s);
	}
}

void
hub_subscribe(struct hub *h, struct sub *s, const char *id)
{
	struct hub_topic *ht = hub_topic_get(h, id);

	s->topic = &ht->t;
	s->state = SUB_LOOKUP;
	s->is_paging = false;
	list_add_tail(&ht->t.subs, &s->in_topic);
	hub_lookup_debate(h, ht, s->tenant, s->wants_sync);
	if (!h->is_trusted)
		hub_watch_soon(h);
}

void
hub_unsubscribe(struct hub *h UNUSED, struct sub *s)
{
	if (s->state == SUB_IDLE)
		return;
	list_del(&s->in_topic);
	hub_topic_of(s->topic)->idle_ms = clock_mono_ms();
	s->topic = NULL;
	s->state = SUB_IDLE;
}

enum sub_next
hub_next(struct hub *h, struct sub *s, struct frame **f)
{
	if (s->state != SUB_ACTIVE)
		return SUB_UP_TO_DATE;
	enum sub_next next = topic_next(s->topic, s->cursor, f);
	if (next == SUB_WANTS_PAGE && !s->is_paging) {
		s->is_paging = true;
		hub_read_table(h, hub_topic_of(s->topic), s->cursor);
	}
	return next;
}

/* Where a subscriber begins, now that the debate's row is known. */
static void
hub_place_cursor(struct sub *s, const struct topic *t, const struct job *job)
{
	int64_t latest = job->last_seq > t->head ? job->last_seq : t->head;

	if (s->since < 0)
		s->since = latest;
	s->cursor = s->since < latest ? s->since : latest;
	s->replay_since = s->cursor;
	s->replay_until = 0;
}

/* Tell those who waited for this lookup. */
static void
hub_open_subs(struct hub *h, struct hub_topic *ht, const struct job *job)
{
	list_for_each (it, &ht->t.subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_topic);
		bool was_waiting = s->state == SUB_WAITING;
		if ((s->state != SUB_LOOKUP && !was_waiting) ||
		    !str_eq(s->tenant, job->tenant) ||
		    (s->wants_sync && !job->wants_frame))
			continue;
		if (job->err == ERR_OK) {
			s->state = SUB_ACTIVE;
			hub_place_cursor(s, &ht->t, job);
			h->ops.on_opened(s, job);
		} else if (!was_waiting) {
			s->state = SUB_WAITING;
			h->ops.on_opened(s, job);
		}
	}
}

static void
hub_on_lookup(struct hub *h, struct job *job)
{
	struct hub_topic *ht = hub_topic_find(h, job->debate_id);

	if (ht == NULL)
		return;
	list_for_each (it, &ht->lookups) {
		struct hub_lookup *lookup =
		    LIST_ENTRY(it, struct hub_lookup, node);
		if (str_eq(lookup->tenant, job->tenant) &&
		    lookup->wants_frame == job->wants_frame) {
			list_del(&lookup->node);
			heap_free(HEAP_EVENTS, lookup);
		}
	}
	if (job->err != ERR_OK && job->err != ERR_NOT_FOUND) {
		h->is_retry_due = true;
		hub_watch_soon(h);
		return;
	}
	if (job->err == ERR_OK) {
		if (ht->tenant == NULL)
			ht->tenant =
			    heap_take(HEAP_EVENTS, mem_strdup(job->tenant));
		if (!ht->t.is_live)
			topic_start(&ht->t, job->last_seq);
		if (job->last_seq > ht->t.head)
			hub_watch_behind(h, ht, job->last_seq);
		if (topic_has_gap(&ht->t))
			hub_read_table(h, ht, ht->t.head);
		if (job->is_final && ht->t.head >= job->last_seq)
			ht->t.is_ended = true;
	}
	hub_open_subs(h, ht, job);
	hub_tell(h, ht);
}

/* After rows have come: go on while the table is known to have more. */
static void
hub_read_on(struct hub *h, struct hub_topic *ht, bool has_moved)
{
	if (ht->t.head >= ht->table_head && !topic_has_gap(&ht->t)) {
		ht->needs_read = false;
	} else if (has_moved) {
		hub_read_table(h, ht, ht->t.head);
	} else {
		ht->needs_read = true;
		hub_watch_soon(h);
	}
}

static void
hub_on_page(struct hub *h, struct job *job)
{
	struct hub_topic *ht = hub_topic_find(h, job->debate_id);
	bool is_wanted = false;

	if (ht == NULL)
		return;
	list_for_each (it, &ht->reads) {
		struct hub_read *read = LIST_ENTRY(it, struct hub_read, node);
		if (read->since == job->since) {
			list_del(&read->node);
			heap_free(HEAP_EVENTS, read);
		}
	}
	if (job->err != ERR_OK) {
		/* Those who page ask again when the watch wakes them. */
		ht->needs_read = true;
		h->is_retry_due = true;
		hub_watch_soon(h);
		return;
	}
	list_for_each (it, &ht->t.subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_topic);
		is_wanted = is_wanted || s->is_paging;
		/* An empty page: the rows are not to be had; the watch asks
		 * again, a loop would spin. */
		if (job->page->n > 0)
			s->is_paging = false;
	}
	bool has_moved = topic_add_page(&ht->t, job->page, is_wanted);
	if (job->since + (int64_t)job->page->n >= ht->t.head || has_moved)
		hub_read_on(h, ht, has_moved);
	if (is_wanted || has_moved)
		hub_tell(h, ht);
}

static void
hub_on_job(struct hub *h, struct job *job)
{
	switch (job->kind) {
	case JOB_PAGE:
		hub_on_page(h, job);
		break;
	case JOB_LOOKUP:
		hub_on_lookup(h, job);
		break;
	case JOB_HEADS:
		hub_watch_heads(h, job);
		break;
	case JOB_LOOPS:
		hub_on_loops(h, job);
		break;
	case JOB_TOKEN:
	case JOB_SIGNED:
	case JOB_STILL:
		h->ops.on_token_checked(job);
		break;
	case JOB_REVS:
		h->ops.on_revs(job);
		break;
	case JOB_SAID:
		h->ops.on_said(job);
		break;
	}
	job_free(&job);
}

static void
hub_on_transient(struct hub *h, struct hub_topic *ht, struct frame *f)
{
	list_for_each (it, &ht->t.subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_topic);
		if (s->state == SUB_ACTIVE)
			h->ops.on_token(s, f);
	}
}

static void
hub_on_stored(struct hub *h, struct hub_topic *ht, struct hub_item *item)
{
	hub_watch_heard(h, ht, item->seq);
	if (item->seq > ht->table_head)
		ht->table_head = item->seq;
	if (item->frame == NULL) {
		if (ht->t.is_live && item->seq > ht->t.head)
			hub_read_table(h, ht, ht->t.head);
		return;
	}
	switch (topic_offer(&ht->t, frame_ref(item->frame))) {
	case TOPIC_APPENDED:
		hub_tell(h, ht);
		break;
	case TOPIC_GAP:
		if (ht->t.is_live)
			hub_read_table(h, ht, ht->t.head);
		break;
	case TOPIC_DROPPED:
		break;
	}
}

/* A debate somebody waits for has come to life. */
static void
hub_wake_waiting(struct hub *h, struct hub_topic *ht)
{
	list_for_each (it, &ht->t.subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_topic);
		if (s->state == SUB_WAITING)
			hub_lookup_debate(h, ht, s->tenant, s->wants_sync);
	}
}

static void
hub_on_item(struct hub *h, struct hub_item *item)
{
	struct hub_topic *ht = hub_topic_find(h, item->id);

	if (ht == NULL) {
		if (list_is_empty(&h->followers))
			return;
		ht = hub_topic_get(h, item->id);
	}
	if (ht->followed_gen != h->follow_gen)
		hub_offer(h, ht, item->seq - 1);
	hub_wake_waiting(h, ht);
	if (item->seq > 0)
		hub_on_stored(h, ht, item);
	else
		hub_on_transient(h, ht, item->frame);
}

void
hub_wake(struct hub *h)
{
	struct list items;
	struct job *job;

	bool is_gap = hub_inbox_take(&h->inbox, &items);
	list_for_each (it, &items) {
		struct hub_item *item = LIST_ENTRY(it, struct hub_item, node);
		hub_on_item(h, item);
		hub_item_free(&item);
	}
	while ((job = backfill_take(&h->port)) != NULL)
		hub_on_job(h, job);
	if (is_gap) {
		h->is_trusted = true;
		hub_watch_now(h);
	}
}

void
hub_check_token(struct hub *h, struct job *job)
{
	job->settings = h->settings;
	backfill_submit(relay_tokens(h->relay), &h->port, job);
}

void
hub_ask_revs(struct hub *h, struct job *job)
{
	backfill_submit(relay_reader(h->relay), &h->port, job);
}

void
hub_say(struct hub *h, struct job *job)
{
	job->settings = h->settings;
	job->bus = relay_bus(h->relay);
	job->viewers = viewers_count(relay_viewers(h->relay), job->debate_id);
	hub_ask(h, job);
}
