/* SPDX-License-Identifier: MIT
 *
 * Who follows debates: over server-sent events and over WebSockets. So many
 * together follow one debate, which they ask for, from its first event to its
 * last; then the next one.
 */
#pragma once

#include "base/json.h"
#include "base/loop.h"
#include "tests/load/mix.h"

#define STREAM_MAX 20000

enum stream_kind { STREAM_SSE, STREAM_WS, STREAM__COUNT };

struct stream_stats {
	int64_t followed;   /* begun */
	int64_t finished;   /* saw the debate's end */
	int64_t failed;	    /* did not: errors tells why */
	int64_t unfinished; /* the run was over before the debate */
	int64_t errors[STATS_ERROR__COUNT];
	int64_t events; /* stored ones that came */
	int64_t lost, doubled, misordered;
	struct hist *connect; /* from the attempt to the answer's head */
	struct hist *event;   /* from an event's time to its arrival; of those
			       * that came about after the connection */
};

struct streams;

/* All borrowed. */
struct streams *streams_new(struct loop *loop, const struct peer_address *to,
    struct pool *pool, struct mix *mix, int64_t timeout_us);
void streams_free(struct streams **s);

/* together: how many follow the same debate, 1 or more. */
void streams_begin(
    struct streams *s, size_t n_sse, size_t n_ws, size_t together);
/* Nothing new begins; fn(arg) when the last has ended, maybe at once. */
void streams_finish(struct streams *s, void (*fn)(void *arg), void *arg);
/* What has not ended is left alone. */
void streams_abandon(struct streams *s);

/* Everybody has come to an end, and nobody begins again. */
bool streams_is_over(const struct streams *s);
size_t streams_wanted(const struct streams *s);
size_t streams_open(const struct streams *s);
const struct stream_stats *streams_stats(
    const struct streams *s, enum stream_kind kind);
/* Debates that were to be followed and did not come about. */
int64_t streams_not_created(const struct streams *s);
/* "streams": {...} */
void streams_json(const struct streams *s, struct json_w *w);
