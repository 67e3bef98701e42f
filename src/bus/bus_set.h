/* SPDX-License-Identifier: MIT
 *
 * The debates a subscriber wants, counted, and which of them the transport
 * has subscribed to. Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct bus_set_entry {
	struct list bucket;
	struct list changed; /* linked while wanted != subscribed may hold */
	size_t count;	     /* how often wanted */
	bool is_subscribed;  /* owned by the transport */
	char id[];
};

struct bus_set {
	struct list *buckets;
	size_t n_buckets; /* a power of two */
	size_t n_entries;
	struct list changed; /* of struct bus_set_entry */
};

void bus_set_init(struct bus_set *s);
void bus_set_release(struct bus_set *s);

/* delta is +1 or -1; below zero is a bug of the caller. */
void bus_set_count(struct bus_set *s, const char *id, bool is_more);
bool bus_set_has(const struct bus_set *s, const char *id);
/* The transport has dealt with a changed entry: takes it off the list and
 * frees it when nobody wants it and it is not subscribed. */
void bus_set_settle(struct bus_set *s, struct bus_set_entry *e);
/* After a loss: nothing is subscribed, every wanted entry is on the changed
 * list. */
void bus_set_reset(struct bus_set *s);
