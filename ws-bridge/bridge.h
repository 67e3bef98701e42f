/* SPDX-License-Identifier: MIT
 *
 * What the loops of one bridge share. Made and released by main; everything
 * in it may be used from any loop's thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct admission;
struct auth;
struct client_ip_list;
struct relay;
struct settings;
struct store;

/* How long things take, in ms, beside what the settings tell. The hidden
 * option --times of aragora-ws changes them for tests. */
#define BRIDGE_TIMES(X)                                                        \
	X(request, 5000)    /* to send the GET */                              \
	X(linger, 2000)	    /* for the other side's close */                   \
	X(pong, 10000)	    /* to answer a ping */                             \
	X(stall, 30000)	    /* without a byte leaving */                       \
	X(heartbeat, 15000) /* between heartbeat events */                     \
	X(recheck, 300000)  /* between looks at a token */                     \
	X(drain, 30000)	    /* to close everything */

struct bridge_times {
#define X(name, ms) int64_t name##_ms;
	BRIDGE_TIMES(X)
#undef X
};

struct bridge {
	const struct settings *settings;
	struct store *store; /* NULL in echo mode, as the next two */
	struct relay *relay;
	struct auth *auth;	     /* NULL = no signed tokens */
	struct admission *admission; /* NULL = nobody is counted */
	struct client_ip_list *trusted;
	struct bridge_times times;
	atomic_llong lag_ms; /* worst of all loops since main looked */
	/* Send every message back, without limits: for conformance suites. */
	bool is_echo;
};

/* Admission, trusted proxies and times from the settings. ERR_INVALID names
 * the bad one. */
enum err bridge_init(struct bridge *b, const struct settings *settings,
    bool is_echo, struct err_info *info) MUST_CHECK;
void bridge_release(struct bridge *b);
/* The settings were read again: what is not read from them at each use. */
void bridge_reload(struct bridge *b);
/* "stall=500,recheck=1000"; ERR_INVALID. */
enum err bridge_set_times(
    struct bridge *b, const char *text, struct err_info *info) MUST_CHECK;
