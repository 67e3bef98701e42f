/* SPDX-License-Identifier: MIT
 *
 * Ollama's own chat (engine notes 2.14): one JSON value a line. Tried against
 * the stub only.
 */
#include <string.h>

#include "llm/llm_provider.h"

#define OLLAMA_CONTEXT_MIN 4096
#define OLLAMA_CONTEXT_MAX (1 << 20)

/* Its own default is small, and it cuts what does not fit without a word:
 * room for the prompt, at three bytes a token, and the answer. */
static int64_t
ollama_context(size_t prompt, int64_t answer)
{
	int64_t n = OLLAMA_CONTEXT_MIN;

	while (n < (int64_t)prompt / 3 + answer && n < OLLAMA_CONTEXT_MAX)
		n *= 2;
	return n;
}

static void
ollama_message(struct json_w *w, const char *role, const char *content)
{
	json_w_begin(w, NULL);
	json_w_str(w, "role", role);
	json_w_str(w, "content", content);
	json_w_end(w);
}

static void
ollama_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused)
{
	struct arena *a = arena_new(0);
	const char *prompt = llm_prompt_render(a, r);
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", llm_agent_model(agent));
	json_w_begin_array(&w, "messages");
	ollama_message(&w, "system", r->system);
	ollama_message(&w, "user", prompt);
	json_w_end_array(&w);
	json_w_bool(&w, "stream", true);
	if (r->wants_json && !refused->response_format)
		json_w_str(&w, "format", "json");
	json_w_begin(&w, "options");
	if (!refused->temperature)
		json_w_num(&w, "temperature", r->temperature);
	json_w_int(&w, "num_predict", r->max_tokens);
	json_w_int(&w, "num_ctx",
	    ollama_context(strlen(r->system) + strlen(prompt), r->max_tokens));
	if (!refused->seed)
		json_w_int(&w, "seed", (int64_t)(r->seed & INT32_MAX));
	json_w_end(&w);
	json_w_end(&w);
	arena_free(&a);
}

static void
ollama_event(struct llm_stream *s, const struct json *j)
{
	llm_stream_text(s, json_get(json_get(j, "message"), "content"));
	if (!json_get_bool(j, "done", false))
		return;
	/* absent when the prompt was still in its cache */
	json_int(json_get(j, "prompt_eval_count"), &s->tokens_in);
	json_int(json_get(j, "eval_count"), &s->tokens_out);
	s->is_done = true;
	llm_stream_finish(s, json_get_str(j, "done_reason", "stop"));
}

static const char *
ollama_url(
    struct arena *a, const char *base, const struct llm_agent *agent UNUSED)
{
	return arena_printf(a, "%s/chat", base);
}

static const char *
ollama_auth(struct arena *a, const char *key)
{
	return arena_printf(a, "Authorization: Bearer %s", key);
}

/* ---- embeddings ---- */

static void
ollama_embed_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused UNUSED)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", llm_agent_model(agent));
	json_w_begin_array(&w, "input");
	for (size_t i = 0; i < r->n_blocks; i++)
		json_w_str(&w, NULL, r->blocks[i].text);
	json_w_end_array(&w);
	json_w_bool(&w, "truncate", true);
	if (r->dimension > 0)
		json_w_int(&w, "dimensions", r->dimension);
	json_w_end(&w);
}

static void
ollama_embed_event(struct llm_stream *s, const struct json *j)
{
	const struct json *list = json_get(j, "embeddings");

	for (size_t i = 0; i < json_len(list); i++)
		if (!llm_embed_take(s, (int64_t)i, json_at(list, i)))
			return;
	llm_embed_end(s, json_get_int(j, "prompt_eval_count", -1));
}

static const char *
ollama_embed_url(
    struct arena *a, const char *base, const struct llm_agent *agent UNUSED)
{
	return arena_printf(a, "%s/embed", base);
}

/* One JSON value, not lines of them. */
static const struct llm_provider ollama_embed = {.framing = LLM_FRAMING_SSE,
    .header = "",
    .url = ollama_embed_url,
    .auth = ollama_auth,
    .body = ollama_embed_body,
    .event = ollama_embed_event};

const struct llm_provider llm_ollama = {.embed = &ollama_embed,
    .framing = LLM_FRAMING_LINES,
    .header = "",
    .url = ollama_url,
    .auth = ollama_auth,
    .body = ollama_body,
    .event = ollama_event};
