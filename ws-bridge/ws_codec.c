/* SPDX-License-Identifier: MIT */
#include "ws-bridge/ws_codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"

#define WS_FIN	      0x80u
#define WS_RSV	      0x70u
#define WS_RSV1	      0x40u /* RFC 7692 6 */
#define WS_MASK_BIT   0x80u
#define WS_LEN_16     126u
#define WS_LEN_64     127u
#define WS_IS_CONTROL 0x8u /* bit of the opcode */

void
ws_decoder_init(struct ws_decoder *d, enum ws_role role, size_t max_message)
{
	*d = (struct ws_decoder){.role = role, .max_message = max_message};
	buf_init_for(&d->message, HEAP_CONNECTIONS, max_message);
}

static void
ws_decoder_drop_control(struct ws_decoder *d)
{
	heap_free(HEAP_CONNECTIONS, d->control);
	d->control = NULL;
	d->control_len = 0;
}

void
ws_decoder_release(struct ws_decoder *d)
{
	buf_release(&d->message);
	ws_decoder_drop_control(d);
}

bool
ws_decoder_is_idle(const struct ws_decoder *d)
{
	return d->state == WS_STATE_HEADER && d->header_len == 0 &&
	    !d->is_in_message;
}

static enum ws_event
ws_decoder_fail(struct ws_decoder *d, enum ws_close code, const char *reason)
{
	d->state = WS_STATE_DONE;
	d->close_code = (uint16_t)code;
	d->reason = reason;
	buf_release(&d->message);
	return WS_EVENT_ERROR;
}

bool
ws_close_is_valid(uint16_t code)
{
	return (code >= 1000 && code <= 1003) ||
	    (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static bool
ws_decoder_is_control(const struct ws_decoder *d)
{
	return (d->opcode & WS_IS_CONTROL) != 0;
}

/* The first byte: reserved bits, opcode, place in a fragmented message. */
static enum ws_event
ws_decoder_check_first(struct ws_decoder *d)
{
	uint8_t first = d->header[0];

	d->is_final = (first & WS_FIN) != 0;
	d->opcode = first & 0x0f;
	bool may_deflate =
	    d->may_deflate && (d->opcode == WS_TEXT || d->opcode == WS_BINARY);
	if ((first & WS_RSV) != 0 &&
	    ((first & WS_RSV) != WS_RSV1 || !may_deflate))
		return ws_decoder_fail(
		    d, WS_CLOSE_PROTOCOL, "reserved bit is set");
	switch ((enum ws_opcode)d->opcode) {
	case WS_CONTINUATION:
		if (!d->is_in_message)
			return ws_decoder_fail(d, WS_CLOSE_PROTOCOL,
			    "continuation without a message");
		return WS_EVENT_MORE;
	case WS_BINARY:
		if (d->is_text_only)
			return ws_decoder_fail(d, WS_CLOSE_UNSUPPORTED,
			    "binary messages are not accepted");
		goto data;
	case WS_TEXT:
	data:
		if (d->is_in_message)
			return ws_decoder_fail(d, WS_CLOSE_PROTOCOL,
			    "message inside a fragmented message");
		return WS_EVENT_MORE;
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		if (!d->is_final)
			return ws_decoder_fail(
			    d, WS_CLOSE_PROTOCOL, "fragmented control frame");
		return WS_EVENT_MORE;
	}
	return ws_decoder_fail(d, WS_CLOSE_PROTOCOL, "reserved opcode");
}

/* The second byte: mask bit and what the short length tells already. */
static enum ws_event
ws_decoder_check_second(struct ws_decoder *d)
{
	bool is_masked = (d->header[1] & WS_MASK_BIT) != 0;

	if (is_masked != (d->role == WS_SERVER))
		return ws_decoder_fail(d, WS_CLOSE_PROTOCOL,
		    is_masked ? "frame is masked" : "frame is not masked");
	if (ws_decoder_is_control(d) &&
	    (d->header[1] & ~WS_MASK_BIT) > WS_CONTROL_MAX)
		return ws_decoder_fail(
		    d, WS_CLOSE_PROTOCOL, "control frame is too long");
	return WS_EVENT_MORE;
}

/* Length of the whole header as its second byte tells it. */
static size_t
ws_decoder_header_size(const struct ws_decoder *d)
{
	unsigned short_len = d->header[1] & ~WS_MASK_BIT;

	return 2u + (d->role == WS_SERVER ? 4u : 0u) +
	    (short_len == WS_LEN_64	     ? 8u
		    : short_len == WS_LEN_16 ? 2u
					     : 0u);
}

static enum ws_event
ws_decoder_check_length(struct ws_decoder *d)
{
	unsigned short_len = d->header[1] & ~WS_MASK_BIT;
	size_t bytes = short_len == WS_LEN_64 ? 8
	    : short_len == WS_LEN_16	      ? 2
					      : 0;
	uint64_t len = bytes > 0 ? 0 : short_len;

	for (size_t i = 0; i < bytes; i++)
		len = len << 8 | d->header[2 + i];
	if ((bytes == 2 && len < WS_LEN_16) || (bytes == 8 && len <= 0xffff))
		return ws_decoder_fail(
		    d, WS_CLOSE_PROTOCOL, "length is not minimal");
	if (len >> 63 != 0)
		return ws_decoder_fail(
		    d, WS_CLOSE_PROTOCOL, "length has its top bit set");
	if (!ws_decoder_is_control(d) && len > d->max_message - d->message.len)
		return ws_decoder_fail(
		    d, WS_CLOSE_TOO_BIG, "message is too big");
	d->payload_len = len;
	d->payload_read = 0;
	return WS_EVENT_MORE;
}

/* All of the header is there and good: prepare for the payload. */
static void
ws_decoder_begin_payload(struct ws_decoder *d, size_t header_size)
{
	if (d->role == WS_SERVER)
		memcpy(d->mask, d->header + header_size - 4, 4);
	if (!ws_decoder_is_control(d) && d->opcode != WS_CONTINUATION) {
		d->message_opcode = (enum ws_opcode)d->opcode;
		d->is_deflated = (d->header[0] & WS_RSV1) != 0;
		d->utf8 = (struct utf8){0};
		d->is_in_message = true;
	}
	d->header_len = 0;
	d->state = WS_STATE_PAYLOAD;
}

/* One header byte; each field is judged as soon as it is complete, the length
 * before the mask and the payload have come. */
static enum ws_event
ws_decoder_header_byte(struct ws_decoder *d, uint8_t byte)
{
	d->header[d->header_len++] = byte;
	if (d->header_len == 1)
		return ws_decoder_check_first(d);
	if (d->header_len == 2 && ws_decoder_check_second(d) != WS_EVENT_MORE)
		return WS_EVENT_ERROR;
	size_t size = ws_decoder_header_size(d);
	size_t before_mask = size - (d->role == WS_SERVER ? 4 : 0);
	if (d->header_len == before_mask &&
	    ws_decoder_check_length(d) != WS_EVENT_MORE)
		return WS_EVENT_ERROR;
	if (d->header_len == size)
		ws_decoder_begin_payload(d, size);
	return WS_EVENT_MORE;
}

void
ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], uint64_t offset)
{
	for (size_t i = 0; i < len; i++)
		data[i] ^= mask[(offset + i) & 3];
}

/* Unmasked payload bytes of a data frame. */
static enum ws_event
ws_decoder_data(struct ws_decoder *d, const uint8_t *data, size_t len)
{
	char *to = buf_reserve(&d->message, len);

	assert(to != NULL); /* ws_decoder_check_length has seen to it */
	memcpy(to, data, len);
	if (d->role == WS_SERVER)
		ws_mask((uint8_t *)to, len, d->mask, d->payload_read);
	if (d->message_opcode == WS_TEXT && !d->is_deflated &&
	    !utf8_feed(&d->utf8, (const uint8_t *)to, len))
		return ws_decoder_fail(
		    d, WS_CLOSE_BAD_TEXT, "text is not UTF-8");
	buf_commit(&d->message, len);
	return WS_EVENT_MORE;
}

static void
ws_decoder_control(struct ws_decoder *d, const uint8_t *data, size_t len)
{
	if (d->control == NULL)
		d->control = heap_take(
		    HEAP_CONNECTIONS, mem_alloc((size_t)d->payload_len));
	uint8_t *to = d->control + d->control_len;
	memcpy(to, data, len);
	if (d->role == WS_SERVER)
		ws_mask(to, len, d->mask, d->payload_read);
	d->control_len = (uint8_t)(d->control_len + len);
}

static enum ws_event
ws_decoder_end_close(struct ws_decoder *d)
{
	uint16_t code = WS_CLOSE_NONE;

	if (d->control_len == 1)
		return ws_decoder_fail(
		    d, WS_CLOSE_PROTOCOL, "close frame of one byte");
	if (d->control_len >= 2) {
		code = (uint16_t)(d->control[0] << 8 | d->control[1]);
		if (!ws_close_is_valid(code))
			return ws_decoder_fail(d, WS_CLOSE_PROTOCOL,
			    "close code that may not be sent");
		if (!str_is_utf8((const char *)d->control + 2,
			(size_t)d->control_len - 2))
			return ws_decoder_fail(
			    d, WS_CLOSE_BAD_TEXT, "close reason is not UTF-8");
	}
	d->close_code = code;
	d->state = WS_STATE_DONE;
	return WS_EVENT_CLOSE;
}

/* The frame is complete. */
static enum ws_event
ws_decoder_end_frame(struct ws_decoder *d)
{
	d->state = WS_STATE_HEADER;
	switch ((enum ws_opcode)d->opcode) {
	case WS_CLOSE:
		return ws_decoder_end_close(d);
	case WS_PING:
		return WS_EVENT_PING;
	case WS_PONG:
		return WS_EVENT_PONG;
	case WS_CONTINUATION:
	case WS_TEXT:
	case WS_BINARY:
		break;
	}
	if (!d->is_final)
		return WS_EVENT_MORE;
	if (d->message_opcode == WS_TEXT && !d->is_deflated &&
	    !utf8_is_whole(&d->utf8))
		return ws_decoder_fail(
		    d, WS_CLOSE_BAD_TEXT, "text ends within a character");
	d->is_in_message = false;
	d->is_reported = true;
	return WS_EVENT_MESSAGE;
}

/* Payload bytes; *used may be less than len, at the end of the frame. */
static enum ws_event
ws_decoder_payload(
    struct ws_decoder *d, const uint8_t *data, size_t len, size_t *used)
{
	uint64_t left = d->payload_len - d->payload_read;
	size_t take = len < left ? len : (size_t)left;

	*used = take;
	if (take > 0) {
		if (ws_decoder_is_control(d))
			ws_decoder_control(d, data, take);
		else if (ws_decoder_data(d, data, take) != WS_EVENT_MORE)
			return WS_EVENT_ERROR;
	}
	d->payload_read += take;
	return d->payload_read == d->payload_len ? ws_decoder_end_frame(d)
						 : WS_EVENT_MORE;
}

enum ws_event
ws_decoder_feed(
    struct ws_decoder *d, const uint8_t *data, size_t len, size_t *used)
{
	enum ws_event event = WS_EVENT_MORE;
	size_t i = 0;

	if (d->is_reported) {
		d->is_reported = false;
		buf_release(&d->message);
	}
	if (d->state == WS_STATE_HEADER)
		ws_decoder_drop_control(d);
	while (event == WS_EVENT_MORE && d->state != WS_STATE_DONE) {
		size_t n = 1;
		bool is_header = d->state == WS_STATE_HEADER;
		if (i == len && (is_header || d->payload_len != 0))
			break;
		if (is_header)
			event = ws_decoder_header_byte(d, data[i]);
		else
			event = ws_decoder_payload(d, data + i, len - i, &n);
		i += n;
	}
	*used = d->state == WS_STATE_DONE ? len : i;
	return event;
}

size_t
ws_encode_header(uint8_t *out, enum ws_opcode opcode, uint64_t payload_len,
    const uint8_t *mask)
{
	size_t n = 0;
	unsigned mask_bit = mask != NULL ? WS_MASK_BIT : 0;
	size_t bytes = payload_len < WS_LEN_16 ? 0
	    : payload_len <= 0xffff	       ? 2
					       : 8;

	out[n++] = (uint8_t)(WS_FIN | (unsigned)opcode);
	out[n++] = (uint8_t)(mask_bit |
	    (bytes == 0		 ? (unsigned)payload_len
		    : bytes == 2 ? WS_LEN_16
				 : WS_LEN_64));
	for (size_t i = bytes; i > 0; i--)
		out[n++] = (uint8_t)(payload_len >> (8 * (i - 1)));
	if (mask != NULL) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

size_t
ws_encode_close(uint8_t *out, uint16_t code, const char *reason)
{
	size_t len = strlen(reason);

	out[0] = (uint8_t)(code >> 8);
	out[1] = (uint8_t)code;
	len = str_utf8_cut(reason, len, WS_CONTROL_MAX - 2);
	memcpy(out + 2, reason, len);
	return len + 2;
}
