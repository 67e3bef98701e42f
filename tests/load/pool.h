/* SPDX-License-Identifier: MIT
 *
 * A bounded number of kept HTTP connections to one server. What finds none
 * free waits, first come first served; the caller counts that as part of the
 * time the request took.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "tests/load/stats.h"
#include "tests/tools/ws_peer.h"

#define POOL_MAX	 10000
#define POOL_WAITING_MAX 100000 /* beyond: STATS_DROPPED */

struct pool;
struct pool_conn;

struct pool_answer {
	enum stats_error error;
	int status;
	const char *body; /* NUL-terminated; until the callback returns */
	size_t body_len;
};

/* Embedded by the caller, who fills the first four, and may free it in
 * done(), which comes exactly once, and never out of pool_send. */
struct pool_job {
	struct buf bytes;   /* the whole request */
	bool is_safe;	    /* may be sent again on another connection */
	int64_t timeout_us; /* of CLOCK_MONOTONIC */
	void (*done)(struct pool_job *j, const struct pool_answer *a);
	/* of the pool */
	struct pool *pool;
	struct list link;
	struct loop_timer timer;
	struct pool_conn *conn; /* NULL = it waits */
	size_t sent;
	int64_t sent_us; /* when a connection began to send it */
	bool is_repeated;
	enum stats_error lost; /* to be told when the turn ends */
};

struct pool_counts {
	int64_t connections; /* opened in all */
	int64_t sent;	     /* requests written whole */
	int64_t repeated;    /* of those: once more, since a kept connection
			      * had been closed */
	int64_t waiting, waiting_max;
};

/* to is borrowed, and read when something is sent. */
struct pool *pool_new(
    struct loop *loop, const struct peer_address *to, size_t max);
void pool_free(struct pool **p);

void pool_send(struct pool *p, struct pool_job *j);
const struct pool_counts *pool_counts(const struct pool *p);
