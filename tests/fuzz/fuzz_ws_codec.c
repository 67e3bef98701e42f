/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: WebSocket frames. The first byte chooses the side, whether
 * messages may be compressed and the size of the pieces. However the input is
 * cut, the events are the same; nothing is larger than its limit; text is
 * UTF-8.
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "ws-bridge/ws_codec.h"

#define FUZZ_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_check(const struct ws_decoder *d, enum ws_event e)
{
	assert(d->message.len <= FUZZ_LIMIT);
	assert(d->control_len <= WS_CONTROL_MAX);
	assert(!d->is_deflated || d->may_deflate);
	if (e == WS_EVENT_MESSAGE && d->message_opcode == WS_TEXT &&
	    !d->is_deflated)
		assert(str_is_utf8(buf_text(&d->message), d->message.len));
	if (e == WS_EVENT_ERROR)
		assert(ws_close_is_valid(d->close_code) && d->reason != NULL);
	if (e == WS_EVENT_CLOSE)
		assert(d->close_code == WS_CLOSE_NONE ||
		    ws_close_is_valid(d->close_code));
}

static uint64_t
fuzz_bytes(uint64_t hash, const void *data, size_t len)
{
	return len > 0 ? str_hash(data, len, hash) : hash;
}

/* A hash over the events and their contents. */
static uint64_t
fuzz_run(enum ws_role role, bool may_deflate, const uint8_t *data, size_t size,
    size_t piece)
{
	struct ws_decoder d;
	uint64_t hash = 0;

	ws_decoder_init(&d, role, FUZZ_LIMIT);
	d.may_deflate = may_deflate;
	for (size_t at = 0; at < size;) {
		size_t n = size - at < piece ? size - at : piece;
		size_t used = 0;
		enum ws_event e = ws_decoder_feed(&d, data + at, n, &used);
		assert(used <= n && (used > 0 || e != WS_EVENT_MORE));
		fuzz_check(&d, e);
		at += used;
		if (e == WS_EVENT_MORE)
			continue;
		hash = fuzz_bytes(hash, &e, sizeof(e));
		hash = fuzz_bytes(hash, &d.close_code, sizeof(d.close_code));
		if (e == WS_EVENT_MESSAGE)
			hash = fuzz_bytes(hash, d.message.data, d.message.len);
		if (e == WS_EVENT_PING || e == WS_EVENT_PONG)
			hash = fuzz_bytes(hash, d.control, d.control_len);
	}
	ws_decoder_release(&d);
	return hash;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	enum ws_role role = (data[0] & 1) != 0 ? WS_CLIENT : WS_SERVER;
	bool may_deflate = (data[0] & 2) != 0;
	size_t piece = 1 + (data[0] >> 2);
	uint64_t whole = fuzz_run(role, may_deflate, data + 1, size - 1, size);
	uint64_t pieces =
	    fuzz_run(role, may_deflate, data + 1, size - 1, piece);
	assert(whole == pieces);
	return 0;
}
