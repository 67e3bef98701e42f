/* SPDX-License-Identifier: MIT
 *
 * An encoded server frame, made once and shared by every connection that
 * sends it, in whatever form each wants it. Counted; immutable after it was
 * made, but for the deflated form, which is added once when it is first
 * wanted. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "ws-bridge/ws_codec.h"

struct frame_deflated;
struct ws_deflater;

struct frame {
	atomic_uint refs;
	uint8_t head_len; /* bytes of the frame header */
	uint8_t type_len; /* of the event's name; 0 = not known */
	bool is_end;	  /* a stored debate_end */
	bool is_data;	  /* text or binary */
	int64_t seq;	  /* 0 = not stored */
	size_t len;	  /* header and payload */
	_Atomic(struct frame_deflated *) deflated;
	char bytes[]; /* and FRAME_EXTRA more: what ends an SSE event */
};

/* One reference, the caller's. */
struct frame *frame_new(enum ws_opcode opcode, int64_t seq, const void *payload,
    size_t payload_len) MUST_CHECK;
/* An event that may come from outside: line ends between its members, which
 * JSON allows and SSE does not, become spaces. */
struct frame *frame_new_event(
    int64_t seq, const void *payload, size_t payload_len) MUST_CHECK;
/* Bytes that are no WebSocket frame (HTTP answers, SSE comments). */
struct frame *frame_new_raw(const void *bytes, size_t len) MUST_CHECK;
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame **f);

/* How a connection is sent its frames. */
enum frame_form {
	FRAME_PLAIN,
	FRAME_DEFLATED, /* permessage-deflate */
	FRAME_SSE	/* server-sent events */
};

/* The form that f really takes: control frames and HTTP bytes are plain, and
 * so is what deflating does not make smaller. d deflates when nobody has. */
enum frame_form frame_form_for(
    struct frame *f, enum frame_form wanted, struct ws_deflater *d);

/* What is sent of a frame is a head of its own, then a tail that is shared.
 * is_replayed: the same JSON object with one more member, "replayed":true, in
 * front; only for events. */
#define FRAME_HEAD_MAX 112
size_t frame_head(const struct frame *f, enum frame_form form, bool is_replayed,
    char out[FRAME_HEAD_MAX]);
const char *frame_tail(
    const struct frame *f, enum frame_form form, bool is_replayed, size_t *len);

/* Is the payload an event of that type? Relies on event_encode writing "type"
 * first. */
bool frame_is_type(const void *payload, size_t len, const char *type);
