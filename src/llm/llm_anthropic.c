/* SPDX-License-Identifier: MIT
 *
 * Anthropic's messages (engine notes 2.12). Tried against the stub only.
 */
#include "base/str.h"
#include "llm/llm_provider.h"

#define ANTHROPIC_VERSION "2023-06-01"
#define ANTHROPIC_HOT	  1.0 /* highest temperature it takes */

static void
anthropic_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused)
{
	struct arena *a = arena_new(0);
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", llm_agent_model(agent));
	json_w_int(&w, "max_tokens", r->max_tokens);
	if (!str_is_empty(r->system))
		json_w_str(&w, "system", r->system);
	json_w_begin_array(&w, "messages");
	json_w_begin(&w, NULL);
	json_w_str(&w, "role", "user");
	json_w_str(&w, "content", llm_prompt_render(a, r));
	json_w_end(&w);
	json_w_end_array(&w);
	if (!refused->temperature)
		json_w_num(&w, "temperature",
		    r->temperature < ANTHROPIC_HOT ? r->temperature
						   : ANTHROPIC_HOT);
	json_w_bool(&w, "stream", true);
	json_w_end(&w);
	arena_free(&a);
}

/* What the prompt cost is in three parts. */
static void
anthropic_usage(struct llm_stream *s, const struct json *usage)
{
	int64_t in = 0;

	if (json_int(json_get(usage, "input_tokens"), &in))
		s->tokens_in = in +
		    json_get_int(usage, "cache_creation_input_tokens", 0) +
		    json_get_int(usage, "cache_read_input_tokens", 0);
	/* of the whole answer so far */
	json_int(json_get(usage, "output_tokens"), &s->tokens_out);
}

static void
anthropic_whole(struct llm_stream *s, const struct json *message)
{
	const struct json *content = json_get(message, "content");

	for (size_t i = 0; i < json_len(content); i++)
		if (str_eq(
			json_get_str(json_at(content, i), "type", ""), "text"))
			llm_stream_text(
			    s, json_get(json_at(content, i), "text"));
	anthropic_usage(s, json_get(message, "usage"));
	llm_stream_finish(s, json_get_str(message, "stop_reason", NULL));
}

static void
anthropic_event(struct llm_stream *s, const struct json *j)
{
	const char *type = json_get_str(j, "type", "");
	const struct json *delta = json_get(j, "delta");

	if (str_eq(type, "message")) {
		anthropic_whole(s, j);
	} else if (str_eq(type, "message_start")) {
		anthropic_usage(s, json_get(json_get(j, "message"), "usage"));
	} else if (str_eq(type, "content_block_delta")) {
		/* thinking, signatures and tools are not the answer */
		if (str_eq(json_get_str(delta, "type", ""), "text_delta"))
			llm_stream_text(s, json_get(delta, "text"));
	} else if (str_eq(type, "message_delta")) {
		anthropic_usage(s, json_get(j, "usage"));
		llm_stream_finish(s, json_get_str(delta, "stop_reason", NULL));
	} else if (str_eq(type, "message_stop")) {
		s->is_done = true;
	}
}

static const char *
anthropic_url(
    struct arena *a, const char *base, const struct llm_agent *agent UNUSED)
{
	return arena_printf(a, "%s/messages", base);
}

static const char *
anthropic_auth(struct arena *a, const char *key)
{
	return arena_printf(a, "x-api-key: %s", key);
}

const struct llm_provider llm_anthropic = {.framing = LLM_FRAMING_SSE,
    .has_silent_cap = true,
    .header = "anthropic-version: " ANTHROPIC_VERSION,
    .url = anthropic_url,
    .auth = anthropic_auth,
    .body = anthropic_body,
    .event = anthropic_event};
