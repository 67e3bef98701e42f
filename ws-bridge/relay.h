/* SPDX-License-Identifier: MIT
 *
 * What the hubs of a process share: one subscription to the bus, whose
 * messages are encoded once and given to every hub, one connection to publish
 * on, and the threads that ask the store. Thread-safe.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct auth;
struct backfill;
struct bus;
struct bus_message;
struct bus_sub;
struct frame;
struct relay;
struct settings;
struct store;
struct viewers;

/* A hub as the relay sees it; both functions run on the bus thread. */
struct relay_member {
	struct list node;
	/* frame is borrowed, NULL: only a doorbell. */
	void (*on_message)(
	    void *arg, const struct bus_message *m, struct frame *frame);
	/* Messages may have been lost. */
	void (*on_gap)(void *arg);
	void *arg;
};

enum err relay_open(struct relay **out, const struct settings *settings,
    struct store *store, struct auth *auth, struct err_info *info) MUST_CHECK;
/* No member may be left. */
void relay_close(struct relay **r);

/* From now on; until relay_leave has returned. */
void relay_join(struct relay *r, struct relay_member *m);
void relay_leave(struct relay *r, struct relay_member *m);

/* Borrowed. */
struct bus_sub *relay_sub(struct relay *r);
struct bus *relay_bus(struct relay *r);
/* Credentials have a thread of their own: looking for the key of a signed
 * token may take seconds, and events do not wait for that. */
struct backfill *relay_reader(struct relay *r);
struct backfill *relay_tokens(struct relay *r);
struct viewers *relay_viewers(struct relay *r);
