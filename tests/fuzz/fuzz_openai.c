/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a provider says, as an event, a whole answer, an error
 * body and a Retry-After header. Text and messages stay valid UTF-8; a
 * message is one line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "llm/llm_limits.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"

#define FUZZ_TEXT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_message(const char *message)
{
	assert(str_is_utf8(message, strlen(message)));
	for (const char *p = message; *p != '\0'; p++)
		assert((unsigned char)*p >= 0x20);
}

static void
fuzz_on_text(void *arg, const char *text, size_t len)
{
	size_t *total = arg;

	assert(len > 0 && str_is_utf8(text, len));
	*total += len;
}

static void
fuzz_error(const char *text, size_t len, long status)
{
	struct llm_refused learnt = {0};
	struct llm_failure f;

	llm_error_read(&f, status, text, len, &learnt);
	assert(f.error > LLM_ERR_NONE && f.error < LLM_ERR__COUNT);
	assert(f.message[0] != '\0' && f.retry_after_ms >= -1);
	fuzz_message(f.message);
}

static void
fuzz_event(const struct llm_provider *p, const char *text, size_t size)
{
	size_t total = 0;
	struct llm_stream s = {.on_text = fuzz_on_text, .arg = &total};

	buf_init(&s.text, FUZZ_TEXT_MAX);
	llm_stream_reset(&s);
	llm_stream_event(p, &s, text, size);
	assert(s.text.is_overflowed || total == s.text.len);
	assert(s.error < LLM_ERR__COUNT);
	fuzz_message(s.message);
	buf_release(&s.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct llm_provider *const providers[] = {
	    &llm_openai, &llm_anthropic, &llm_gemini, &llm_ollama};
	static const long statuses[] = {400, 401, 422, 429, 500, 503, 999};
	const char *text = (const char *)data;
	struct arena *a = arena_new(0);
	struct llm_limits limits;

	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		fuzz_event(providers[i], text, size);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		fuzz_error(text, size, statuses[i]);
	const char *value = arena_strndup(a, text, size);
	assert(llm_retry_after_ms(value, false, 0) >= -1);
	assert(llm_retry_after_ms(value, true, 0) >= -1);
	llm_limits_init(&limits);
	llm_limits_header(&limits, "x-ratelimit-reset-tokens", value, 0);
	assert(limits.reset_ms[LLM_LIMIT_TOKENS] >= -1);
	arena_free(&a);
	return 0;
}
