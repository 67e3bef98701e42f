/* SPDX-License-Identifier: MIT
 *
 * Gemini's generateContent (engine notes 2.13). Tried against the stub only.
 */

#include "base/str.h"
#include "llm/llm_provider.h"

#define GEMINI_NAME_MAX 256

static void
gemini_text(struct json_w *w, const char *text)
{
	json_w_begin_array(w, "parts");
	json_w_begin(w, NULL);
	json_w_str(w, "text", text);
	json_w_end(w);
	json_w_end_array(w);
}

static void
gemini_body(struct buf *out, const struct llm_agent *agent UNUSED,
    const struct llm_request *r, const struct llm_refused *refused)
{
	struct arena *a = arena_new(0);
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	if (!str_is_empty(r->system)) {
		json_w_begin(&w, "systemInstruction");
		gemini_text(&w, r->system);
		json_w_end(&w);
	}
	json_w_begin_array(&w, "contents");
	json_w_begin(&w, NULL);
	json_w_str(&w, "role", "user");
	gemini_text(&w, llm_prompt_render(a, r));
	json_w_end(&w);
	json_w_end_array(&w);
	json_w_begin(&w, "generationConfig");
	json_w_int(&w, "maxOutputTokens", r->max_tokens);
	if (!refused->temperature)
		json_w_num(&w, "temperature", r->temperature);
	if (!refused->seed)
		json_w_int(&w, "seed", (int64_t)(r->seed & INT32_MAX));
	if (r->wants_json && !refused->response_format)
		json_w_str(&w, "responseMimeType", "application/json");
	json_w_end(&w);
	json_w_end(&w);
	arena_free(&a);
}

static void
gemini_usage(struct llm_stream *s, const struct json *usage)
{
	int64_t out;

	json_int(json_get(usage, "promptTokenCount"), &s->tokens_in);
	if (json_int(json_get(usage, "candidatesTokenCount"), &out))
		/* What it thought is paid for like what it said. */
		s->tokens_out =
		    out + json_get_int(usage, "thoughtsTokenCount", 0);
}

static void
gemini_event(struct llm_stream *s, const struct json *j)
{
	/* Without alt=sse an answer is a list of what would be events. */
	if (json_kind(j) == JSON_ARRAY) {
		for (size_t i = 0; i < json_len(j); i++)
			if (json_kind(json_at(j, i)) == JSON_OBJECT)
				gemini_event(s, json_at(j, i));
		return;
	}
	const struct json *candidate = json_at(json_get(j, "candidates"), 0);
	const struct json *parts =
	    json_get(json_get(candidate, "content"), "parts");
	const char *blocked =
	    json_get_str(json_get(j, "promptFeedback"), "blockReason", NULL);

	for (size_t i = 0; i < json_len(parts); i++)
		if (!json_get_bool(json_at(parts, i), "thought", false))
			llm_stream_text(s, json_get(json_at(parts, i), "text"));
	gemini_usage(s, json_get(j, "usageMetadata"));
	llm_stream_finish(s, json_get_str(candidate, "finishReason", NULL));
	if (blocked != NULL)
		llm_stream_fail(
		    s, LLM_ERR_REFUSAL, "the provider blocked the prompt");
}

/* The name stands in the path: whatever is not plain is escaped. */
static const char *
gemini_path(struct arena *a, const char *base, const struct llm_agent *agent,
    const char *verb)
{
	const char *model = llm_agent_model(agent);
	struct buf name;

	buf_init(&name, (size_t)3 * GEMINI_NAME_MAX);
	for (; *model != '\0'; model++)
		if (str_is_alnum(*model) || *model == '-' || *model == '.' ||
		    *model == '_')
			buf_putc(&name, *model);
		else
			buf_printf(&name, "%%%02X", (unsigned char)*model);
	const char *url =
	    arena_printf(a, "%s/models/%s:%s", base, buf_text(&name), verb);
	buf_release(&name);
	return url;
}

static const char *
gemini_url(struct arena *a, const char *base, const struct llm_agent *agent)
{
	return gemini_path(a, base, agent, "streamGenerateContent?alt=sse");
}

/* In a header, for URLs end up in logs. */
static const char *
gemini_auth(struct arena *a, const char *key)
{
	return arena_printf(a, "x-goog-api-key: %s", key);
}

/* ---- embeddings ---- */

static void
gemini_embed_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused UNUSED)
{
	struct arena *a = arena_new(0);
	const char *model =
	    arena_printf(a, "models/%s", llm_agent_model(agent));
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_begin_array(&w, "requests");
	for (size_t i = 0; i < r->n_blocks; i++) {
		json_w_begin(&w, NULL);
		json_w_str(&w, "model", model);
		json_w_begin(&w, "content");
		gemini_text(&w, r->blocks[i].text);
		json_w_end(&w);
		json_w_str(&w, "taskType", "SEMANTIC_SIMILARITY");
		if (r->dimension > 0)
			json_w_int(&w, "outputDimensionality", r->dimension);
		json_w_end(&w);
	}
	json_w_end_array(&w);
	json_w_end(&w);
	arena_free(&a);
}

static void
gemini_embed_event(struct llm_stream *s, const struct json *j)
{
	const struct json *list = json_get(j, "embeddings");

	for (size_t i = 0; i < json_len(list); i++)
		if (!llm_embed_take(
			s, (int64_t)i, json_get(json_at(list, i), "values")))
			return;
	llm_embed_end(s,
	    json_get_int(json_get(j, "usageMetadata"), "promptTokenCount", -1));
}

static const char *
gemini_embed_url(
    struct arena *a, const char *base, const struct llm_agent *agent)
{
	return gemini_path(a, base, agent, "batchEmbedContents");
}

static const struct llm_provider gemini_embed = {.framing = LLM_FRAMING_SSE,
    .header = "",
    .url = gemini_embed_url,
    .auth = gemini_auth,
    .body = gemini_embed_body,
    .event = gemini_embed_event};

const struct llm_provider llm_gemini = {.embed = &gemini_embed,
    .framing = LLM_FRAMING_SSE,
    .header = "",
    .url = gemini_url,
    .auth = gemini_auth,
    .body = gemini_body,
    .event = gemini_event};
