/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: permessage-deflate. The input is an offer, and a compressed
 * message, and a text. Nothing is larger than its limit; one context serves
 * any number of messages and its results do not depend on those before; what
 * is deflated comes out as it was.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ws-bridge/ws_deflate.h"

#define FUZZ_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_offer(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	enum ws_offer offer = ws_deflate_offer(text);
	assert(offer != WS_OFFER_DEFLATE ||
	    strstr(text, "permessage-deflate") != NULL);
	free(text);
}

static void
fuzz_inflate(struct ws_deflater *d, const uint8_t *data, size_t size)
{
	struct ws_deflater *fresh = ws_deflater_new();
	struct buf a, b;

	buf_init(&a, FUZZ_LIMIT);
	buf_init(&b, FUZZ_LIMIT);
	enum ws_inflated one = ws_inflate(d, data, size, &a);
	enum ws_inflated two = ws_inflate(fresh, data, size, &b);
	assert(one == two && a.len == b.len && a.len <= FUZZ_LIMIT);
	assert(!a.is_overflowed);
	assert(a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
	buf_release(&a);
	buf_release(&b);
	ws_deflater_free(&fresh);
}

static void
fuzz_round_trip(struct ws_deflater *d, const uint8_t *data, size_t size)
{
	struct buf small, out;

	buf_init(&small, size + FUZZ_LIMIT);
	buf_init(&out, size > 0 ? size : 1);
	bool is_deflated = ws_deflate(d, data, size, &small);
	assert(is_deflated);
	enum ws_inflated r = ws_inflate(d, buf_text(&small), small.len, &out);
	assert(r == WS_INFLATED && out.len == size);
	assert(size == 0 || memcmp(out.data, data, size) == 0);
	buf_release(&small);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_deflater *d = ws_deflater_new();

	fuzz_offer(data, size);
	for (int i = 0; i < 2; i++)
		fuzz_inflate(d, data, size);
	fuzz_round_trip(d, data, size);
	fuzz_inflate(d, data, size);
	ws_deflater_free(&d);
	return 0;
}
