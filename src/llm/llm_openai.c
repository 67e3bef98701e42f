/* SPDX-License-Identifier: MIT
 *
 * OpenAI chat completions and its dialects: request bodies and stream events
 * (engine notes 2.11). The dialects were tried against the stub server only.
 */
#include <math.h>

#include "base/str.h"
#include "llm/llm_provider.h"

#define OPENAI_DOLLARS_MAX 1e6 /* a larger cost of one call is a mistake */

static void
openai_message(struct json_w *w, const char *role, const char *content)
{
	json_w_begin(w, NULL);
	json_w_str(w, "role", role);
	json_w_str(w, "content", content);
	json_w_end(w);
}

static void
openai_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused)
{
	const struct llm_dialect_row *d =
	    llm_dialect(llm_agent_dialect(agent->row));
	struct arena *a = arena_new(0);
	struct json_w w;
	const char *limit = d->limit_field;

	if (refused->limit_renamed)
		limit = str_eq(limit, "max_tokens") ? "max_completion_tokens"
						    : "max_tokens";
	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", llm_agent_model(agent));
	json_w_begin_array(&w, "messages");
	openai_message(&w, "system", r->system);
	openai_message(&w, "user", llm_prompt_render(a, r));
	json_w_end_array(&w);
	json_w_int(&w, limit, r->max_tokens);
	if (!refused->temperature)
		json_w_num(&w, "temperature", r->temperature);
	if (!refused->seed)
		json_w_int(&w, d->seed_field, (int64_t)(r->seed & INT32_MAX));
	json_w_bool(&w, "stream", true);
	if (d->has_stream_options && !refused->stream_options) {
		json_w_begin(&w, "stream_options");
		json_w_bool(&w, "include_usage", true);
		json_w_end(&w);
	}
	if (r->wants_json && d->has_response_format &&
	    !refused->response_format) {
		json_w_begin(&w, "response_format");
		json_w_str(&w, "type", "json_object");
		json_w_end(&w);
	}
	json_w_end(&w);
	arena_free(&a);
}

static void
openai_choice(struct llm_stream *s, const struct json *choice)
{
	const struct json *delta = json_get(choice, "delta");

	if (json_kind(delta) != JSON_OBJECT)
		delta = json_get(choice, "message");
	llm_stream_text(s, json_get(delta, "content"));
	if (!str_is_empty(json_str(json_get(delta, "refusal"), NULL)))
		llm_stream_fail(s, LLM_ERR_REFUSAL, "the model refused");
	llm_stream_finish(s, json_str(json_get(choice, "finish_reason"), NULL));
}

/* OpenRouter adds what the call cost, in dollars; Groq has its own place. */
static void
openai_usage(struct llm_stream *s, const struct json *j)
{
	const struct json *usage = json_get(j, "usage");
	double cost;

	if (json_kind(usage) != JSON_OBJECT)
		usage = json_get(json_get(j, "x_groq"), "usage");
	json_int(json_get(usage, "prompt_tokens"), &s->tokens_in);
	json_int(json_get(usage, "completion_tokens"), &s->tokens_out);
	if (json_num(json_get(usage, "cost"), &cost) && cost >= 0 &&
	    cost <= OPENAI_DOLLARS_MAX)
		s->cost_udollar = (int64_t)ceil(cost * 1e6);
}

static void
openai_event(struct llm_stream *s, const struct json *j)
{
	openai_usage(s, j);
	openai_choice(s, json_at(json_get(j, "choices"), 0));
}

static const char *
openai_url(
    struct arena *a, const char *base, const struct llm_agent *agent UNUSED)
{
	return arena_printf(a, "%s/chat/completions", base);
}

static const char *
openai_auth(struct arena *a, const char *key)
{
	return arena_printf(a, "Authorization: Bearer %s", key);
}

/* ---- embeddings ---- */

static void
openai_embed_body(struct buf *out, const struct llm_agent *agent,
    const struct llm_request *r, const struct llm_refused *refused)
{
	enum llm_dialect dialect = llm_agent_dialect(agent->row);
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", llm_agent_model(agent));
	json_w_begin_array(&w, "input");
	for (size_t i = 0; i < r->n_blocks; i++)
		json_w_str(&w, NULL, r->blocks[i].text);
	json_w_end_array(&w);
	if (r->dimension > 0)
		json_w_int(
		    &w, llm_dialect(dialect)->embed_length, r->dimension);
	/* A third of the bytes; not everybody who took the protocol over
	 * knows it. */
	if (dialect == LLM_OPENAI && !refused->encoding_format)
		json_w_str(&w, "encoding_format", "base64");
	json_w_end(&w);
}

static void
openai_embed_event(struct llm_stream *s, const struct json *j)
{
	const struct json *data = json_get(j, "data");

	openai_usage(s, j);
	for (size_t i = 0; i < json_len(data); i++) {
		const struct json *row = json_at(data, i);
		if (!llm_embed_take(s, json_get_int(row, "index", (int64_t)i),
			json_get(row, "embedding")))
			return;
	}
	llm_embed_end(s, s->tokens_in);
}

static const char *
openai_embed_url(
    struct arena *a, const char *base, const struct llm_agent *agent UNUSED)
{
	return arena_printf(a, "%s/embeddings", base);
}

static const struct llm_provider openai_embed = {.framing = LLM_FRAMING_SSE,
    .header = "",
    .url = openai_embed_url,
    .auth = openai_auth,
    .body = openai_embed_body,
    .event = openai_embed_event};

const struct llm_provider llm_openai = {.embed = &openai_embed,
    .framing = LLM_FRAMING_SSE,
    .header = "",
    .url = openai_url,
    .auth = openai_auth,
    .body = openai_body,
    .event = openai_event};
