/* SPDX-License-Identifier: MIT
 *
 * Which bridges are alive, for health, the doctor and the advice on scaling.
 * Each tells of itself every few seconds; one that was killed is not counted
 * once it has been silent for STORE_BRIDGE_AGE_US.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct store;

#define STORE_BRIDGE_AGE_US (30 * INT64_C(1000000))

struct store_bridge {
	const char *id;
	const char *host;
	int64_t pid;
	int64_t started_us;
	int64_t seen_us;     /* set by the store */
	int64_t connections; /* WebSockets */
	int64_t streams;     /* of server-sent events */
	int64_t subscriptions;
};

/* Upsert with seen_us = now; then rows that are too old go, whosever. */
enum err store_bridge_seen(struct store *store, const struct store_bridge *b)
    MUST_CHECK;
enum err store_bridge_gone(struct store *store, const char *id) MUST_CHECK;
/* Those that are not too old. */
enum err store_bridge_list(struct store *store, struct arena *a,
    struct store_bridge **rows, size_t *n) MUST_CHECK;
/* What they hold together. */
struct store_bridge store_bridge_sum(const struct store_bridge *rows, size_t n);
