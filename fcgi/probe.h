/* SPDX-License-Identifier: MIT
 *
 * Looks after the database and Redis every few seconds on a thread of its own,
 * so that a health request costs no query and never waits for one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

struct settings;
struct store;
struct bus;
struct limit;
struct probe;

struct probe_state {
	bool is_done;	   /* false until the first look is through */
	enum err database; /* ERR_OK = connected */
	bool is_login_refused;
	bool is_full;	/* it has no room for writes */
	enum err redis; /* ERR_UNSUPPORTED = not configured */
	double database_ms, redis_ms;
	struct store_counts debates; /* 0 when unknown, as the next two */
	int64_t runners, bridges;    /* seen lately */
	int64_t capacity;	     /* debates that the runners may drive */
	/* Of all hosts; while the database does not tell, of this one. */
	int64_t websockets, streams, subscriptions;
	struct store_schema schema;
	struct err_info refusal; /* why the schema does not fit, or "" */
};

/* Borrows all four for its life; limit NULL = nobody is limited. Waits a
 * moment for the first look. */
enum err probe_start(struct probe **out, const struct settings *settings,
    struct store *store, struct bus *bus, struct limit *limit) MUST_CHECK;
void probe_stop(struct probe **probe);
void probe_read(struct probe *probe, struct probe_state *out);
