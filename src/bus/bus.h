/* SPDX-License-Identifier: MIT
 *
 * The doorbell between processes: best effort, at most once, never the truth.
 * Over Redis pub/sub when ARAGORA_REDIS_URL is set (channels
 * "aragora:debate:<id>" and "aragora:wake"), else over Unix SOCK_SEQPACKET
 * sockets in <data_dir>/bus/: every subscriber listens there on a socket of
 * its own, every publisher connects to all it finds. While nobody wants a
 * debate, pieces of texts (seq 0) are not sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct settings;
struct bus;	/* publisher */
struct bus_sub; /* subscriber */

/* "debate_id seq\n" and the payload travel in one message; the payload of a
 * debate message is the encoded event, so that a relay parses no JSON. An
 * empty payload with a seq says: read the table. */
struct bus_message {
	const char *debate_id; /* "" for a wake-up */
	int64_t seq;	       /* 0 = not stored (token deltas) */
	const char *payload;   /* borrowed */
	size_t payload_len;
};

/* settings are borrowed. Opening never fails for an absent peer; it connects
 * when needed and again after a loss. */
enum err bus_open(struct bus **out, const struct settings *settings,
    struct err_info *info) MUST_CHECK;
void bus_close(struct bus **bus);
/* Thread-safe; blocks at most the Redis socket timeout, and while Redis is
 * known to be down not at all (ERR_DOWN). SIGPIPE must be ignored: hiredis
 * writes without MSG_NOSIGNAL. A receiver that cannot keep up
 * loses messages. Redis calls of many messages are pipelined by the caller
 * passing them together. */
enum err bus_publish(struct bus *bus, const struct bus_message *m, size_t n);
/* Something is there for runners to do: a new or cancelled debate. */
enum err bus_wake(struct bus *bus);
/* The same, and this debate was ended from outside: whoever drives it need not
 * ask the table first to let go of its calls. The wake-up's payload is the
 * id. */
enum err bus_wake_over(struct bus *bus, const char *debate_id);
/* ERR_OK, ERR_DOWN, or ERR_UNSUPPORTED when no Redis is configured. */
enum err bus_ping_redis(struct bus *bus);
/* Messages that receivers could not take since the last call. */
uint64_t bus_take_dropped(struct bus *bus);

struct bus_sub_ops {
	/* Both run on the subscriber's own thread and must not block. */
	void (*on_message)(void *arg, const struct bus_message *m);
	/* Messages may have been lost, or a subscription is in force from now
	 * on: compare heads. Comes every quarter second while Redis is away.
	 * May be NULL. */
	void (*on_gap)(void *arg);
	void *arg;
};
/* Starts the thread. name (e.g. "ws") tells subscribers apart in logs and
 * file names. is_wake: wake-ups are wanted too (debate_id ""). */
enum err bus_sub_open(struct bus_sub **out, const struct settings *settings,
    const char *name, bool is_wake, const struct bus_sub_ops *ops,
    struct err_info *info) MUST_CHECK;
/* Stops and joins the thread; no callback after return. */
void bus_sub_close(struct bus_sub **sub);
/* Counted per debate id; thread-safe; take effect soon after return and are
 * renewed after a reconnect. on_gap follows when the subscription is in
 * force. */
void bus_sub_add(struct bus_sub *sub, const char *debate_id);
void bus_sub_del(struct bus_sub *sub, const char *debate_id);
/* Every debate (clients without a debate id). */
void bus_sub_all(struct bus_sub *sub, bool on);
