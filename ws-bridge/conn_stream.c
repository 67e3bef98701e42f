/* SPDX-License-Identifier: MIT
 *
 * What a connection follows, and the order and pace in which it is sent
 * (contract 9.4 and 9.5): a replay is spread over time, and a debate_end
 * leaves no sooner than END_HOLD_MS behind the frame before it, because
 * clients drop what they have queued when they see it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/notice.h"
#include "ws-bridge/relay.h"
#include "ws-bridge/revoke.h"
#include "ws-bridge/viewers.h"

#define END_HOLD_MS	120 /* at least 100 whatever the clock's grain */
#define REPLAY_SLOT_MS	16
#define REPLAY_SLOT_MIN 8	 /* frames: 2 ms each on average */
#define REPLAY_SLOTS	128	 /* the longest replay takes about 2 s */
#define OUT_FRAMES	OUTQ_IOV /* taken from topics ahead of the socket */
#define OUT_BYTES	65536u

static struct sub *
connection_find(struct connection *c, const char *id)
{
	list_for_each (it, &c->subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_owner);
		if (!s->is_done && str_eq(s->topic->id, id))
			return s;
	}
	return NULL;
}

static void
connection_drop_sub(struct connection *c, struct sub *s)
{
	if (!s->is_follower) {
		viewers_add(
		    relay_viewers(c->server->bridge->relay), s->topic->id, -1);
		c->n_named--;
	}
	metric_add(METRIC_WS_SUBSCRIPTIONS, -1);
	hub_unsubscribe(c->server->hub, s);
	list_del(&s->in_owner);
	heap_free(HEAP_CONNECTIONS, s);
}

void
connection_detach(struct connection *c)
{
	list_for_each (it, &c->subs)
		connection_drop_sub(c, LIST_ENTRY(it, struct sub, in_owner));
	if (c->server->hub != NULL)
		hub_unfollow(c->server->hub, &c->follower);
	list_del(&c->asker.node);
}

static struct sub *
connection_add_sub(struct connection *c, bool is_follower)
{
	struct sub *s = heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*s)));

	s->owner = c;
	s->tenant = c->tenant;
	s->is_follower = is_follower;
	list_add_tail(&c->subs, &s->in_owner);
	metric_add(METRIC_WS_SUBSCRIPTIONS, 1);
	if (!is_follower)
		c->n_named++;
	return s;
}

/* Following everything was only implied: end it, with what came by it. */
static void
connection_unfollow(struct connection *c)
{
	c->is_follow_implied = false;
	hub_unfollow(c->server->hub, &c->follower);
	list_for_each (it, &c->subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_owner);
		if (s->is_follower)
			connection_drop_sub(c, s);
	}
}

void
connection_subscribe(struct connection *c, const char *id, bool has_since,
    int64_t since, bool is_ack_due)
{
	if (c->is_follow_implied)
		connection_unfollow(c);
	struct sub *s = connection_find(c, id);
	if (s != NULL && !s->is_follower && !has_since) {
		if (is_ack_due && s->state == SUB_LOOKUP)
			s->is_ack_due = true;
		else if (is_ack_due)
			connection_send(
			    c, notice_subscribed(id, s->topic->head));
		return;
	}
	if (s != NULL)
		connection_drop_sub(c, s); /* asked for again, from since */
	if (c->n_named >= CONN_SUBS_MAX) {
		connection_send(c,
		    notice_warning("too_many_subscriptions",
			"unsubscribe from a debate first"));
		return;
	}
	s = connection_add_sub(c, false);
	s->wants_sync = true;
	s->is_ack_due = is_ack_due;
	s->has_since = has_since;
	s->since = has_since ? since : 0;
	viewers_add(relay_viewers(c->server->bridge->relay), id, 1);
	hub_subscribe(c->server->hub, s, id);
}

bool
connection_unsubscribe(struct connection *c, const char *id)
{
	struct sub *s = connection_find(c, id);

	if (s != NULL)
		connection_drop_sub(c, s);
	return s != NULL;
}

void
connection_follow(struct connection *c, bool is_implied)
{
	c->is_follow_implied = is_implied;
	if (!list_is_empty(&c->follower.node))
		return;
	c->follower.since_us = clock_wall_us();
	hub_follow(c->server->hub, &c->follower);
}

/* A debate the client follows with all others: as a subscription, but from
 * now on and without a word about it. */
static void
connection_on_debate(struct follower *f, const char *id, int64_t since)
{
	struct connection *c = f->owner;

	if (c->state != CONN_OPEN || connection_find(c, id) != NULL)
		return;
	struct sub *s = connection_add_sub(c, true);
	s->since = since;
	hub_subscribe(c->server->hub, s, id);
}

static void
connection_on_sub_ready(struct sub *s)
{
	connection_mark_dirty(s->owner);
}

/* The client named a debate and it is there: say what state it is in and
 * what follows. */
static void
connection_begin(struct connection *c, struct sub *s, const struct job *info)
{
	const char *id = s->topic->id;
	int64_t latest =
	    info->last_seq > s->topic->head ? info->last_seq : s->topic->head;

	if (s->is_ack_due)
		connection_send(c, notice_subscribed(id, latest));
	s->is_ack_due = false;
	if (info->frame != NULL)
		connection_send(c, frame_ref(info->frame));
	if (!s->has_since && latest == 0)
		return;
	connection_send(c, notice_replay_start(id, s->cursor, latest));
	s->replay_until = latest;
	s->is_replay_open = true;
}

static void
connection_on_opened(struct sub *s, const struct job *info)
{
	struct connection *c = s->owner;

	if (c->state != CONN_OPEN)
		return;
	connection_mark_dirty(c);
	if (s->is_follower) {
		/* Not readable for this client, or begun after it came. */
		s->is_done = s->state == SUB_WAITING;
		if (info->created_us >= c->follower.since_us)
			s->cursor = 0;
		return;
	}
	if (s->state == SUB_ACTIVE) {
		bool is_over = info->is_final && s->has_since &&
		    s->since >= info->last_seq;
		conn_trace_debate(c->trace, s->topic->id);
		if (connection_begin_stream(c, is_over))
			connection_begin(c, s, info);
		return;
	}
	if (s->is_ack_due)
		connection_send(c, notice_subscribed(s->topic->id, 0));
	s->is_ack_due = false;
	connection_send(c, notice_waiting(s->topic->id));
}

static bool
connection_is_full(const struct connection *c)
{
	return c->out.n >= OUT_FRAMES || c->out.bytes >= OUT_BYTES;
}

static void
connection_wait(struct connection *c, int64_t delay_ms)
{
	if (!loop_timer_is_set(&c->pace))
		loop_timer_set(c->server->loop, &c->pace, delay_ms);
}

/* May a debate_end leave now? If not, the pace timer or the drained socket
 * brings us back. */
static bool
connection_may_end(struct connection *c, int64_t now)
{
	int64_t wait_ms = c->event_ms + END_HOLD_MS - now;

	c->is_holding = c->has_event_out || wait_ms > 0;
	if (!c->has_event_out && wait_ms > 0)
		connection_wait(c, wait_ms);
	return !c->is_holding;
}

/* May another frame of a replay leave in this slot? */
static bool
connection_may_replay(struct connection *c, const struct sub *s, int64_t now)
{
	if (now - c->slot_ms >= REPLAY_SLOT_MS) {
		int64_t share =
		    (s->replay_until - s->replay_since) / REPLAY_SLOTS + 1;
		c->slot_ms = now;
		c->slot_left =
		    share > REPLAY_SLOT_MIN ? share : REPLAY_SLOT_MIN;
	}
	if (c->slot_left > 0) {
		c->slot_left--;
		return true;
	}
	connection_wait(c, c->slot_ms + REPLAY_SLOT_MS - now);
	return false;
}

static void
connection_end_replay(struct connection *c, struct sub *s)
{
	s->is_replay_open = false;
	connection_send(c,
	    notice_replay_end(s->topic->id, s->replay_until - s->replay_since,
		s->replay_until));
}

/* A reader so far behind that catching up is hopeless. */
static bool
connection_is_lost(const struct connection *c, const struct sub *s)
{
	int64_t from =
	    s->cursor > s->replay_until ? s->cursor : s->replay_until;

	return s->topic->head - from >
	    c->server->settings->user_event_queue_size;
}

/* A sub's next frame, if it may leave now: true and it is queued. */
static bool
connection_take(struct connection *c, struct sub *s, int64_t now)
{
	struct frame *f = NULL;
	bool is_replayed;

	if (s->is_done)
		return false;
	if (s->is_replay_open && s->cursor >= s->replay_until)
		connection_end_replay(c, s);
	if (c->state != CONN_OPEN)
		return false;
	if (hub_next(c->server->hub, s, &f) != SUB_FRAME) {
		s->is_done = s->state == SUB_ACTIVE && s->topic->is_ended &&
		    s->cursor >= s->topic->head;
		return false;
	}
	is_replayed = f->seq <= s->replay_until;
	if (f->is_end) {
		if (s->is_replay_open && f->seq == s->replay_until)
			connection_end_replay(c, s);
		if (c->state != CONN_OPEN || !connection_may_end(c, now))
			return false;
	} else if (is_replayed && !connection_may_replay(c, s, now)) {
		return false;
	}
	if (is_replayed)
		metric_add(ring_get(&s->topic->ring, f->seq) != NULL
			? METRIC_WS_REPLAYED_RING
			: METRIC_WS_REPLAYED_TABLE,
		    1);
	connection_push(c, frame_ref(f), is_replayed);
	c->has_event_out = true;
	s->cursor = f->seq;
	s->is_done = f->is_end;
	metric_add(METRIC_WS_MESSAGES_OUT, 1);
	return true;
}

/* true when the queue is full and the sub has, or may have, more. */
static bool
connection_fill_from(struct connection *c, struct sub *s, int64_t now)
{
	if (s->state == SUB_ACTIVE && connection_is_lost(c, s)) {
		connection_close(
		    c, WS_CLOSE_TRY_LATER, "too far behind; resume with since");
		return false;
	}
	while (c->state == CONN_OPEN && !connection_is_full(c))
		if (!connection_take(c, s, now))
			return false;
	return c->state == CONN_OPEN;
}

/* A stream of one debate ends behind its last event. */
static void
connection_end_stream(struct connection *c)
{
	if (connection_is_stream(c) && list_is_empty(&c->subs) &&
	    list_is_empty(&c->follower.node))
		connection_close(c, WS_CLOSE_NORMAL, "");
}

bool
connection_fill(struct connection *c)
{
	int64_t now = clock_mono_ms();
	bool has_more = false;

	c->is_holding = false;
	list_for_each (it, &c->subs) {
		struct sub *s = LIST_ENTRY(it, struct sub, in_owner);
		has_more = connection_fill_from(c, s, now);
		if (s->is_done) {
			connection_drop_sub(c, s);
			connection_end_stream(c);
		} else if (c->is_holding) {
			/* First in turn next time, and nothing before it. */
			list_del(&s->in_owner);
			list_add_head(&c->subs, &s->in_owner);
			return false;
		} else if (has_more) {
			/* The others first next time. */
			list_del(&s->in_owner);
			list_add_tail(&c->subs, &s->in_owner);
			return true;
		}
		if (c->state != CONN_OPEN)
			return false;
	}
	return false;
}

/* Pieces of text are worth sending only to a reader that is right behind the
 * debate and whose socket takes them. */
static void
connection_on_transient(struct sub *s, struct frame *f)
{
	struct connection *c = s->owner;

	if (c->state != CONN_OPEN || c->is_holding)
		return;
	connection_fill_from(c, s, clock_mono_ms());
	connection_mark_dirty(c);
	if (s->is_done || c->is_holding || connection_is_full(c) ||
	    s->is_replay_open || s->cursor != s->topic->head)
		return;
	connection_send(c, frame_ref(f));
}

static void
connection_on_loops(struct asker *a, struct frame *frame)
{
	struct connection *c = a->owner;

	connection_send(c,
	    frame != NULL ? frame_ref(frame)
			  : notice_warning("store_unavailable",
				"the list of debates cannot be read now"));
}

const struct hub_ops connection_hub_ops = {
    .on_ready = connection_on_sub_ready,
    .on_opened = connection_on_opened,
    .on_token = connection_on_transient,
    .on_debate = connection_on_debate,
    .on_loops = connection_on_loops,
    .on_token_checked = connection_on_token,
    .on_revs = revoke_on_revs,
    .on_said = connection_on_said,
};
