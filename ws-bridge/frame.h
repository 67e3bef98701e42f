/* SPDX-License-Identifier: MIT
 *
 * An encoded server frame, made once and shared by every connection that
 * sends it. Counted; immutable after it was made.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "ws-bridge/ws_codec.h"

struct frame {
	atomic_uint refs;
	uint8_t head_len; /* bytes of the frame header */
	bool is_end;	  /* a stored debate_end */
	int64_t seq;	  /* 0 = not stored */
	size_t len;	  /* header and payload */
	char bytes[];
};

/* One reference, the caller's. */
struct frame *frame_new(enum ws_opcode opcode, int64_t seq, const void *payload,
    size_t payload_len) MUST_CHECK;
/* Bytes that are no WebSocket frame (HTTP answers). */
struct frame *frame_new_raw(const void *bytes, size_t len) MUST_CHECK;
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame **f);

/* A frame that tells the client "replayed": the same JSON object with one
 * more member in front. The shared bytes stay as they are: what is sent is
 * this head, then the tail. */
#define FRAME_REPLAY_MAX 32
size_t frame_replay_head(const struct frame *f, char out[FRAME_REPLAY_MAX]);
const char *frame_replay_tail(const struct frame *f, size_t *len);

/* Is the payload an event of that type? Relies on event_encode writing "type"
 * first. */
bool frame_is_type(const void *payload, size_t len, const char *type);
