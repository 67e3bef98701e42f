/* SPDX-License-Identifier: MIT
 *
 * RFC 6455 frames: bytes in, events out; no I/O, no clock, no settings. All
 * limits are in the context. Of the extensions it knows where the bit of
 * permessage-deflate may stand; inflating is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "ws-bridge/utf8.h"

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa
};

/* Close codes, RFC 6455 7.4 and the IANA registry. */
enum ws_close {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NONE = 1005, /* never on the wire: frame without a code */
	WS_CLOSE_BAD_TEXT = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
	WS_CLOSE_TRY_LATER = 1013
};

#define WS_CONTROL_MAX 125 /* payload of a control frame */
#define WS_HEADER_MAX  14  /* longest frame header */

enum ws_role {
	WS_SERVER, /* reads masked frames */
	WS_CLIENT  /* reads unmasked frames */
};

enum ws_event {
	WS_EVENT_MORE,	  /* everything was taken, nothing is complete */
	WS_EVENT_MESSAGE, /* message_opcode and message */
	WS_EVENT_PING,	  /* control, control_len */
	WS_EVENT_PONG,	  /* control, control_len */
	WS_EVENT_CLOSE,	  /* close_code; the reason is in control after 2 */
	WS_EVENT_ERROR	  /* close_code to send, reason; nothing more is read */
};

enum ws_state { WS_STATE_HEADER, WS_STATE_PAYLOAD, WS_STATE_DONE };

struct ws_decoder {
	/* limits, set by ws_decoder_init */
	size_t max_message;
	enum ws_role role;
	bool is_text_only; /* a binary frame is refused with 1003 */
	bool may_deflate;  /* permessage-deflate was negotiated */

	/* results of the last event; message and control are valid until the
	 * next feed */
	struct buf message;
	enum ws_opcode message_opcode;
	bool is_deflated; /* message is compressed, its text not looked at */
	uint8_t *control; /* NULL = empty; idle connections keep none */
	uint8_t control_len;
	uint16_t close_code;
	const char *reason; /* static text */

	/* the frame being read */
	enum ws_state state;
	uint8_t header[WS_HEADER_MAX];
	uint8_t header_len;
	uint8_t mask[4];
	uint8_t opcode;
	bool is_final;
	bool is_in_message; /* between the first and the last fragment */
	bool is_reported;   /* message was handed out: drop it before more */
	uint64_t payload_len;
	uint64_t payload_read;
	struct utf8 utf8;
};

void ws_decoder_init(
    struct ws_decoder *d, enum ws_role role, size_t max_message);
void ws_decoder_release(struct ws_decoder *d);

/* Read up to the next event; *used bytes were taken. Call again with the rest
 * until WS_EVENT_MORE. After WS_EVENT_CLOSE and WS_EVENT_ERROR everything is
 * swallowed. */
enum ws_event ws_decoder_feed(struct ws_decoder *d, const uint8_t *data,
    size_t len, size_t *used) MUST_CHECK;
/* Was any frame begun and not ended? */
bool ws_decoder_is_idle(const struct ws_decoder *d);

/* Header of a final frame into out[WS_HEADER_MAX]; mask is NULL on the server
 * side, four bytes on the client side. Returns its length. */
size_t ws_encode_header(uint8_t *out, enum ws_opcode opcode,
    uint64_t payload_len, const uint8_t *mask);
/* (Un)mask in place; offset = bytes of this payload before data. */
void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], uint64_t offset);
/* Payload of a close frame into out[WS_CONTROL_MAX]; reason is cut to fit.
 * Returns its length. */
size_t ws_encode_close(uint8_t *out, uint16_t code, const char *reason);
/* May this code stand in a close frame? */
bool ws_close_is_valid(uint16_t code);
