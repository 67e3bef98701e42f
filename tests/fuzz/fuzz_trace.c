/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: traceparent and tracestate. What is accepted is written back
 * as it was read, and is fit for a header line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	const char *text = arena_strndup(a, (const char *)data, size);
	char out[TRACE_PARENT_SIZE];
	struct trace t, again;

	if (trace_parse(text, &t)) {
		trace_write(&t, out);
		assert(strlen(out) == TRACE_PARENT_SIZE - 1);
		assert(memcmp(out + 2, text + 2, TRACE_PARENT_SIZE - 3) == 0);
		assert(trace_parse(out, &again));
		assert(strcmp(t.id, again.id) == 0);
	}
	if (trace_state_is_valid(text)) {
		assert(strlen(text) <= TRACE_STATE_MAX);
		assert(strpbrk(text, "\r\n") == NULL);
	}
	arena_free(&a);
	return 0;
}
