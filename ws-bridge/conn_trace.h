/* SPDX-License-Identifier: MIT
 *
 * The span of a connection, from its request to its end. NULL where nobody
 * wants it, which costs nothing.
 */
#pragma once

#include <stdint.h>

struct conn_trace;

/* traceparent is that of the request; NULL = none. */
struct conn_trace *conn_trace_new(const char *traceparent);
/* t may be NULL in all of these. A debate that is there; the first counts. */
void conn_trace_debate(struct conn_trace *t, const char *debate_id);
void conn_trace_tenant(struct conn_trace *t, const char *tenant);
void conn_trace_status(struct conn_trace *t, int status); /* of HTTP */
/* The first that is told counts. */
void conn_trace_close(struct conn_trace *t, uint16_t code);
/* It has ended: told, and freed. */
void conn_trace_end(struct conn_trace **t);
