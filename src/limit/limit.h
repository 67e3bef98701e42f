/* SPDX-License-Identifier: MIT
 *
 * How often somebody may call: buckets by name, shared by the processes of a
 * host, and with ARAGORA_REDIS_URL by all hosts (Redis' clock, one script
 * call). While Redis does not answer, each host has its share of every limit
 * (ARAGORA_EXPECTED_HOSTS), or nobody is served, or everybody: by setting.
 * Thread-safe. Names of buckets are hashed before they are kept or sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "limit/gcra.h"

struct settings;
struct redis_pool;
struct limit;

#define LIMIT_ASKS_MAX 3

/* One bucket that a call takes from. */
struct limit_ask {
	const char *name; /* borrowed: "ip:192.0.2.1" */
	int64_t per_minute;
	int64_t units; /* 0 = look only */
};

/* The state of a bucket after the call; on_refusal of those that refused. */
struct limit_state {
	int64_t per_minute;
	int64_t left;	  /* whole requests */
	int64_t reset_us; /* until it is full again */
	int64_t wait_us;  /* until this call would be admitted, 0 = was */
	bool is_partial;  /* this host's share, while Redis is away */
	size_t ask;	  /* which of the call's */
};

/* redis: connections that others of the process use too, borrowed; NULL = none
 * is configured. */
void limit_open(struct limit **out, const struct settings *settings,
    struct redis_pool *redis);
void limit_close(struct limit **limit);

/* Takes from all of them or from none. *tightest is that with the longest
 * wait, or with the least left. ERR_OK: admitted. ERR_BUSY: not. ERR_DOWN:
 * Redis is away and the settings are strict. is_known: false when everybody is
 * let through and nothing is counted. n is 1 to LIMIT_ASKS_MAX. */
enum err limit_take(struct limit *limit, const struct limit_ask *asks, size_t n,
    struct limit_state *tightest, bool *is_known) MUST_CHECK;

/* Buckets in the memory of this host that are not full now. */
int64_t limit_held(struct limit *limit);

/* ERR_OK, ERR_DOWN (Redis is away), ERR_UNSUPPORTED (none is configured), as
 * last seen. */
enum err limit_backend(const struct limit *limit);
