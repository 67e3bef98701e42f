/* SPDX-License-Identifier: MIT
 *
 * Read replicas: servers that follow the primary, for reads that list or
 * aggregate. One is used while it is not too far behind, has what the caller
 * must have seen and the schema that the primary has; whether that is so comes
 * with the read itself, in the same round trip. Thread-safe; counts
 * DB_REPLICA_*, logs once when it is given up and when it is used again.
 */
#pragma once

#include "store/position.h"
#include "store/store_tx.h"

struct replica;

/* Why the primary serves instead. */
enum replica_why {
	REPLICA_SERVED,
	REPLICA_LAG,	  /* further behind than the settings allow */
	REPLICA_BEHIND,	  /* not yet where the caller was */
	REPLICA_DOWN,	  /* away, promoted, or its role is refused */
	REPLICA_SCHEMA,	  /* another version than the primary's */
	REPLICA_BUSY,	  /* no connection soon enough */
	REPLICA_CONFLICT, /* replay ended the read, or the read failed */
	REPLICA_WHY__COUNT
};

/* *out is NULL when the settings name none. ERR_INVALID: their URL is no use.
 * ERR_DENIED: in production, a role that row level security does not hold. One
 * that is away is no error. settings are borrowed. */
enum err replica_open(struct replica **out, const struct settings *settings,
    const struct store_target *primary, struct err_info *info) MUST_CHECK;
void replica_close(struct replica **replica);

/* What this host's writes have reached. */
struct positions *replica_positions(struct replica *r);

struct replica_query {
	uint64_t position; /* what the read must see */
	int64_t version;   /* of the schema */
};
/* fn as one transaction that reads; *e is its result when it was served. When
 * not, fn may have run all the same and is to run again elsewhere. */
enum replica_why replica_run(struct replica *r, const struct replica_query *q,
    store_tx_fn fn, void *arg, enum err *e) MUST_CHECK;

/* Asks a replica for its state, whatever came before. */
enum err replica_look(struct replica *r, struct store_replica *out,
    struct err_info *info) MUST_CHECK;
