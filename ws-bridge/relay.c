/* SPDX-License-Identifier: MIT */
#include "ws-bridge/relay.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "ws-bridge/backfill.h"
#include "ws-bridge/frame.h"
#include "ws-bridge/viewers.h"

struct relay {
	pthread_mutex_t lock; /* guards members */
	struct list members;
	bool has_begun; /* under lock: a subscription was in force */
	struct bus_sub *sub;
	struct bus *bus;
	struct backfill *reader;
	struct backfill *tokens;
	struct viewers *viewers;
};

/* Encoded here, so that the loops only file it. */
static void
relay_on_message(void *arg, const struct bus_message *m)
{
	struct relay *r = arg;
	struct frame *frame = NULL;

	if (m->seq < 0 || !id_is_valid(m->debate_id) ||
	    (m->seq == 0 && m->payload_len == 0))
		return;
	if (m->payload_len > 0)
		frame = frame_new_event(m->seq, m->payload, m->payload_len);
	pthread_mutex_lock(&r->lock);
	list_for_each (it, &r->members) {
		struct relay_member *member =
		    LIST_ENTRY(it, struct relay_member, node);
		member->on_message(member->arg, m, frame);
	}
	pthread_mutex_unlock(&r->lock);
	frame_unref(&frame);
}

static void
relay_on_gap(void *arg)
{
	struct relay *r = arg;

	pthread_mutex_lock(&r->lock);
	r->has_begun = true;
	list_for_each (it, &r->members) {
		struct relay_member *member =
		    LIST_ENTRY(it, struct relay_member, node);
		member->on_gap(member->arg);
	}
	pthread_mutex_unlock(&r->lock);
}

enum err
relay_open(struct relay **out, const struct settings *settings,
    struct store *store, struct auth *auth, struct err_info *info)
{
	struct relay *r = mem_zalloc(sizeof(*r));
	const struct bus_sub_ops ops = {
	    .on_message = relay_on_message, .on_gap = relay_on_gap, .arg = r};

	pthread_mutex_init(&r->lock, NULL);
	list_init(&r->members);
	r->viewers = viewers_new();
	enum err e = backfill_open(&r->reader, store, auth);
	if (e == ERR_OK)
		e = backfill_open(&r->tokens, store, auth);
	if (e == ERR_OK)
		e = bus_open(&r->bus, settings, info);
	if (e == ERR_OK)
		e = bus_sub_open(&r->sub, settings, "ws", false, &ops, info);
	if (e != ERR_OK)
		relay_close(&r);
	*out = r;
	return e;
}

void
relay_close(struct relay **rp)
{
	struct relay *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	assert(list_is_empty(&r->members));
	if (r->sub != NULL)
		bus_sub_close(&r->sub);
	backfill_close(&r->reader);
	backfill_close(&r->tokens);
	if (r->bus != NULL)
		bus_close(&r->bus);
	viewers_free(&r->viewers);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void
relay_join(struct relay *r, struct relay_member *m)
{
	pthread_mutex_lock(&r->lock);
	list_add_tail(&r->members, &m->node);
	if (r->has_begun)
		m->on_gap(m->arg);
	pthread_mutex_unlock(&r->lock);
}

void
relay_leave(struct relay *r, struct relay_member *m)
{
	pthread_mutex_lock(&r->lock);
	list_del(&m->node);
	pthread_mutex_unlock(&r->lock);
}

struct bus_sub *
relay_sub(struct relay *r)
{
	return r->sub;
}

struct bus *
relay_bus(struct relay *r)
{
	return r->bus;
}

struct backfill *
relay_reader(struct relay *r)
{
	return r->reader;
}

struct backfill *
relay_tokens(struct relay *r)
{
	return r->tokens;
}

struct viewers *
relay_viewers(struct relay *r)
{
	return r->viewers;
}
