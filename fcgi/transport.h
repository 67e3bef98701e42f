/* SPDX-License-Identifier: MIT
 *
 * A protocol between the web server and us, as a const record. The server
 * hands every accepted connection to one; it knows nothing of epoll, threads
 * or HTTP. All calls block, at most the time-outs set on the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "fcgi/env.h"

struct link; /* one connection; each protocol has its own */

struct transport {
	const char *name;
	/* Once per process, before any link. */
	enum err (*init)(void);
	/* Takes fd. timeout_ms is that of the socket. */
	struct link *(*open)(int fd, int64_t timeout_ms);
	/* Read the next request up to its body. ERR_CLOSED: the other side has
	 * gone, was too slow, or does not speak the protocol. env is valid
	 * until finish. */
	enum err (*next)(struct link *l, struct env *env);
	/* Body bytes: > 0, 0 at the end, -1 broken. arg is the link. */
	ssize_t (*read)(void *arg, void *out, size_t len);
	enum err (*write)(struct link *l, const void *data, size_t len);
	/* End the request; may_stay = another one may come. true: the
	 * connection is still open, false: only close() is left. */
	bool (*finish)(struct link *l, bool may_stay);
	/* At any time; closes the socket if it is open. */
	void (*close)(struct link **l);
};

extern const struct transport transport_fcgi;
extern const struct transport transport_scgi;

/* NULL when there is no such protocol. */
const struct transport *transport_find(const char *name);
