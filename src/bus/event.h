/* SPDX-License-Identifier: MIT
 *
 * Event types (event.def) and the one encoder of the envelope that WebSocket
 * clients, GET /events and the bus all carry (contract 9.2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum event_type {
#define EVENT(id, name, is_stored, fields, help) EVENT_##id,
#include "bus/event.def"
#undef EVENT
	EVENT__COUNT
};

struct event_row {
	const char *name;
	bool is_stored;
	const char *fields;
	const char *help;
};
const struct event_row *event_row(enum event_type t);
const char *event_name(enum event_type t);

struct event {
	const char *type;      /* name */
	const char *debate_id; /* NULL for connection-level events */
	int64_t seq;	       /* 0 = not stored, left out */
	int64_t round;	       /* 0 = left out */
	const char *agent;     /* NULL = left out */
	int64_t created_us;    /* sent as seconds since 1970, a float */
	const char *data;      /* JSON object text; debate_id, loop_id, round,
				* round_number and agent are put in front of
				* its members */
	const char *trace_parent; /* its trace id is the correlation_id; NULL
				   * = none */
	bool is_replayed;	  /* adds "replayed":true */
};
/* Append the envelope, one JSON object without a newline. data must not hold
 * the members the encoder adds. */
void event_encode(struct buf *out, const struct event *e);
