/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the GET of a WebSocket handshake, whole and byte by byte. What
 * is accepted has a valid id, and the answer is one HTTP head.
 */
#include <assert.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "ws-bridge/ws_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum ws_request_result
fuzz_feed(struct ws_request *r, const char *data, size_t size, size_t piece)
{
	enum ws_request_result result = WS_REQUEST_MORE;

	for (size_t at = 0; at < size; at += piece)
		result = ws_request_feed(
		    r, data + at, size - at < piece ? size - at : piece);
	return result;
}

static void
fuzz_answer(const struct ws_handshake *h)
{
	struct buf out;

	buf_init(&out, 1u << 16);
	switch (h->kind) {
	case WS_HANDSHAKE_UPGRADE:
		assert(h->debate_id == NULL || id_is_valid(h->debate_id));
		assert(!h->has_since || h->since >= 0);
		ws_handshake_accept(h, &out);
		break;
	case WS_HANDSHAKE_STREAM:
		assert(h->debate_id == NULL || id_is_valid(h->debate_id));
		assert(!h->has_since || h->since >= 0);
		ws_handshake_stream(h, &out);
		break;
	case WS_HANDSHAKE_HEALTH:
		ws_handshake_health(&out, true);
		break;
	case WS_HANDSHAKE_REFUSE:
		assert(h->status >= 400 && h->reason != NULL);
		ws_handshake_refuse(
		    &out, h->status, h->code, h->reason, "trace", 0);
		break;
	}
	assert(!out.is_overflowed && str_starts(buf_text(&out), "HTTP/1.1 "));
	assert(strstr(buf_text(&out), "\r\n\r\n") != NULL);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_request whole;
	struct ws_request bytes;
	struct ws_handshake h;

	ws_request_init(&whole);
	ws_request_init(&bytes);
	enum ws_request_result result =
	    fuzz_feed(&whole, (const char *)data, size, size + 1);
	assert(fuzz_feed(&bytes, (const char *)data, size, 1) == result);
	if (result == WS_REQUEST_BAD)
		assert(whole.status >= 400 && bytes.status >= 400);
	if (result == WS_REQUEST_DONE) {
		ws_handshake_judge(&h, &whole, "http://localhost:3000");
		fuzz_answer(&h);
	}
	ws_request_release(&whole);
	ws_request_release(&bytes);
	return 0;
}
