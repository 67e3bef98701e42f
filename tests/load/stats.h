/* SPDX-License-Identifier: MIT
 *
 * What became of requests: how many, how they ended, how long they took.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "tests/load/hist.h"

/* How a request or a stream can fail. */
#define STATS_ERRORS(X)                                                        \
	X(NONE, "none")                                                        \
	X(CONNECT, "connect")	  /* no connection came about */               \
	X(CLOSED, "closed")	  /* closed before its end */                  \
	X(TIMEOUT, "timeout")	  /* no answer in time */                      \
	X(MALFORMED, "malformed") /* not the protocol */                       \
	X(STATUS, "status")	  /* another status than expected */           \
	X(BODY, "body")		  /* the status, but not what was asked for */ \
	X(DROPPED, "dropped")	  /* too many wait: never sent */

enum stats_error {
#define X(id, name) STATS_##id,
	STATS_ERRORS(X)
#undef X
	    STATS_ERROR__COUNT
};

#define STATS_STATUS_MAX 600

struct stats {
	int64_t wanted;	  /* were due */
	int64_t answered; /* a whole answer came, whatever it says */
	int64_t failed;
	int64_t statuses[STATS_STATUS_MAX];
	int64_t errors[STATS_ERROR__COUNT];
	struct hist *hist; /* of those answered or timed out */
};

void stats_init(struct stats *s);
void stats_release(struct stats *s);

/* status 0: no answer. us: since it was due. */
void stats_count(
    struct stats *s, int status, enum stats_error error, int64_t us);
/* Answered or failed: neither under way nor waiting. */
int64_t stats_done(const struct stats *s);
double stats_error_share(const struct stats *s);

/* Members of an object that is open. seconds: what rates are of. */
void stats_json(struct json_w *w, const struct stats *s, double seconds);
/* {"mean":, "min":, "p50":, ...} in milliseconds. */
void stats_json_hist(struct json_w *w, const char *key, const struct hist *h);
void stats_json_errors(struct json_w *w, const int64_t *errors);
