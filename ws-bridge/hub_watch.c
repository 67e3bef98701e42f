/* SPDX-License-Identifier: MIT
 *
 * Lost tails: a message that never came leaves no gap to see, so the newest
 * sequence numbers of all watched debates are compared with the table, in one
 * query. When the table has what the bus did not tell within a moment, the
 * bus is not trusted and the comparison runs four times a second until it
 * speaks again.
 */
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "ws-bridge/hub_priv.h"

/* A bus that has been silent about an event for this long is deaf. */
#define HUB_UNHEARD_MS 200

/* Does a topic still wait for the bus to tell what the table told? */
static bool
hub_watch_is_suspicious(struct hub *h)
{
	list_for_each (it, &h->topics)
		if (LIST_ENTRY(it, struct hub_topic, in_all)->unheard > 0)
			return true;
	return false;
}

static int64_t
hub_watch_delay(struct hub *h)
{
	uint32_t jitter;

	bool is_watching = h->n_topics > 0 || !list_is_empty(&h->followers);
	if (is_watching &&
	    (!h->is_trusted || h->is_retry_due || hub_watch_is_suspicious(h)))
		return HUB_HEADS_FAST_MS;
	id_random(&jitter, sizeof(jitter));
	return HUB_HEADS_MS * 9 / 10 + jitter % (HUB_HEADS_MS / 5);
}

/* Free what nobody has wanted for long, wake what failed. */
static void
hub_watch_topics(struct hub *h, int64_t now)
{
	list_for_each (it, &h->topics) {
		struct hub_topic *ht = LIST_ENTRY(it, struct hub_topic, in_all);
		if (list_is_empty(&ht->t.subs)) {
			if (now - ht->idle_ms > HUB_LINGER_MS)
				hub_topic_free(h, ht);
			continue;
		}
		if (ht->unheard > 0 && now - ht->unheard_ms > HUB_UNHEARD_MS) {
			if (h->is_trusted)
				log_warning("ws.bus_silent",
				    "debate_id=%s seq=%lld", ht->t.id,
				    (long long)ht->unheard);
			h->is_trusted = false;
			ht->unheard = 0;
		}
		list_for_each (is, &ht->t.subs) {
			struct sub *s = LIST_ENTRY(is, struct sub, in_topic);
			if (s->state == SUB_LOOKUP || s->state == SUB_WAITING)
				hub_lookup_debate(
				    h, ht, s->tenant, s->wants_sync);
			else if (s->is_paging)
				hub_read_table(h, ht, s->cursor);
		}
		if (ht->needs_read)
			hub_read_table(h, ht, ht->t.head);
	}
}

static bool
hub_watch_wants_head(const struct hub_topic *ht)
{
	return ht->t.is_live && !ht->t.is_ended && !list_is_empty(&ht->t.subs);
}

static void
hub_watch_compare(struct hub *h)
{
	if (h->is_comparing)
		return;
	struct job *job = job_new(JOB_HEADS, NULL, NULL);
	job->ids = ARENA_ARRAY(job->arena, h->n_topics + 1, const char *);
	list_for_each (it, &h->topics) {
		struct hub_topic *ht = LIST_ENTRY(it, struct hub_topic, in_all);
		if (hub_watch_wants_head(ht))
			job->ids[job->n_ids++] =
			    arena_strdup(job->arena, ht->t.id);
	}
	if (job->n_ids == 0) {
		job_free(&job);
		return;
	}
	h->is_comparing = true;
	hub_ask(h, job);
}

static void
hub_watch_tick(struct loop_timer *timer)
{
	struct hub *h = timer->arg;
	int64_t now = clock_mono_ms();

	h->is_retry_due = false;
	hub_watch_topics(h, now);
	if (now - h->trimmed_ms >= HUB_HEADS_MS) {
		h->trimmed_ms = now;
		list_for_each (it, &h->topics)
			topic_trim(
			    &LIST_ENTRY(it, struct hub_topic, in_all)->t);
	}
	hub_watch_compare(h);
	hub_poll_loops(h);
	loop_timer_set(h->loop, &h->watch, hub_watch_delay(h));
}

void
hub_watch_start(struct hub *h)
{
	h->watch = (struct loop_timer){.fn = hub_watch_tick, .arg = h};
	loop_timer_set(h->loop, &h->watch, HUB_HEADS_FAST_MS);
}

void
hub_watch_now(struct hub *h)
{
	loop_timer_set(h->loop, &h->watch, 0);
}

void
hub_watch_soon(struct hub *h)
{
	if (!loop_timer_is_set(&h->watch) ||
	    h->watch.due_ms > clock_mono_ms() + HUB_HEADS_FAST_MS)
		loop_timer_set(h->loop, &h->watch, HUB_HEADS_FAST_MS);
}

void
hub_watch_behind(struct hub *h, struct hub_topic *ht, int64_t head)
{
	if (head > ht->table_head)
		ht->table_head = head;
	if (ht->unheard == 0)
		ht->unheard_ms = clock_mono_ms();
	ht->unheard = head;
	hub_read_table(h, ht, ht->t.head);
	hub_watch_soon(h);
}

void
hub_watch_heard(struct hub *h, struct hub_topic *ht, int64_t seq)
{
	if (!h->is_trusted)
		log_info("ws.bus_heard", "debate_id=%s", ht->t.id);
	h->is_trusted = true;
	if (seq >= ht->unheard)
		ht->unheard = 0;
}

void
hub_watch_heads(struct hub *h, const struct job *job)
{
	h->is_comparing = false;
	if (job->err != ERR_OK) {
		h->is_retry_due = true;
		hub_watch_soon(h);
		return;
	}
	for (size_t i = 0; i < job->n_ids; i++) {
		struct hub_topic *ht = hub_topic_find(h, job->ids[i]);
		if (ht != NULL && ht->t.is_live && job->heads[i] > ht->t.head)
			hub_watch_behind(h, ht, job->heads[i]);
	}
}
