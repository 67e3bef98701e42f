/* SPDX-License-Identifier: MIT
 *
 * Inside of src/bus/: what the two transports share. bus.c is the publisher,
 * bus_sub.c the subscriber; each drives one record of a transport.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "bus/bus_set.h"

#define BUS_MESSAGE_MAX (2u << 20)

/* ---- what travels: "debate_id seq\n", then the payload (bus_wire.c) ---- */

void bus_wire_encode(struct buf *out, const struct bus_message *m);
/* Anybody may write to a socket or to Redis: nothing is believed. out borrows
 * its payload from text and its id from id[ID_MAX + 1]. */
enum err bus_wire_decode(
    const char *text, size_t len, char *id, struct bus_message *out) MUST_CHECK;

/* The pause after so many failures in a row, with jitter. */
int64_t bus_backoff_ms(int64_t failures);

/* ---- publishing ---- */

struct bus_driver {
	enum err (*open)(
	    void **out, const struct settings *s, struct err_info *info);
	void (*close)(void *impl);
	/* These two run under the lock of the publisher. What a receiver could
	 * not take is added to *dropped. */
	enum err (*publish)(void *impl, const struct bus_message *m, size_t n,
	    uint64_t *dropped);
	enum err (*ping)(void *impl);
};
extern const struct bus_driver bus_local;
extern const struct bus_driver bus_redis;

/* ---- subscribing: a transport runs on the subscriber's loop ---- */

struct bus_sub_driver {
	/* On the opener's thread, before the loop turns. */
	enum err (*open)(void **out, struct bus_sub *sub,
	    const struct settings *s, struct err_info *info);
	/* On the loop: the wanted set has changed. */
	void (*changed)(void *impl);
	/* On the closer's thread, after the loop has ended. */
	void (*close)(void *impl);
};
extern const struct bus_sub_driver bus_sub_local;
extern const struct bus_sub_driver bus_sub_redis;

const char *bus_sub_name(const struct bus_sub *sub);
struct loop *bus_sub_loop(struct bus_sub *sub);
bool bus_sub_is_wake(const struct bus_sub *sub);
/* On the loop: a message, given on if it is wanted. */
void bus_sub_deliver(struct bus_sub *sub, const char *text, size_t len);
/* On the loop: messages may have been lost. */
void bus_sub_gap(struct bus_sub *sub);
/* What is wanted, locked until bus_sub_unlock; no input or output between. */
struct bus_set *bus_sub_lock(struct bus_sub *sub, bool *is_all);
void bus_sub_unlock(struct bus_sub *sub);
