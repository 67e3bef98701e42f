/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: server-sent events. However the bytes are cut, the events are
 * the same. The first byte of the input says where to cut.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "llm/sse.h"

#define FUZZ_EVENT_MAX 512
#define FUZZ_SEEN_MAX  (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_note(void *arg, const char *data, size_t len)
{
	struct buf *seen = arg;

	assert(len <= FUZZ_EVENT_MAX);
	assert(memchr(data, '\r', len) == NULL);
	buf_append(seen, data, len);
	buf_putc(seen, '\0');
}

static enum err
fuzz_feed(struct buf *seen, const char *text, size_t len, size_t step)
{
	enum err e = ERR_OK;
	struct sse s;

	buf_init(seen, FUZZ_SEEN_MAX);
	sse_init(&s, FUZZ_EVENT_MAX);
	for (size_t at = 0; e == ERR_OK && at < len; at += step)
		e = sse_feed(&s, text + at, step < len - at ? step : len - at,
		    fuzz_note, seen);
	sse_release(&s);
	return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;

	if (size < 2)
		return 0;
	const char *text = (const char *)data + 1;
	size--;
	enum err e = fuzz_feed(&whole, text, size, size);
	enum err f = fuzz_feed(&cut, text, size, (size_t)data[0] % size + 1);
	assert(e == f);
	assert(whole.len == cut.len);
	assert(memcmp(buf_text(&whole), buf_text(&cut), whole.len) == 0);
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
