/* SPDX-License-Identifier: MIT */
#include "llm/llm_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

static const struct {
	enum metric state, opened; /* METRIC__COUNT = none: it never fails */
} llm_endpoint_metrics[LLM_DIALECT__COUNT] = {
    [LLM_OPENAI] = {METRIC_BREAKER_OPENAI, METRIC_BREAKER_OPENED_OPENAI},
    [LLM_OPENROUTER] = {METRIC_BREAKER_OPENROUTER,
	METRIC_BREAKER_OPENED_OPENROUTER},
    [LLM_XAI] = {METRIC_BREAKER_XAI, METRIC_BREAKER_OPENED_XAI},
    [LLM_MISTRAL] = {METRIC_BREAKER_MISTRAL, METRIC_BREAKER_OPENED_MISTRAL},
    [LLM_DEEPSEEK] = {METRIC_BREAKER_DEEPSEEK, METRIC_BREAKER_OPENED_DEEPSEEK},
    [LLM_GROQ] = {METRIC_BREAKER_GROQ, METRIC_BREAKER_OPENED_GROQ},
    [LLM_ANTHROPIC] = {METRIC_BREAKER_ANTHROPIC,
	METRIC_BREAKER_OPENED_ANTHROPIC},
    [LLM_GEMINI] = {METRIC_BREAKER_GEMINI, METRIC_BREAKER_OPENED_GEMINI},
    [LLM_OLLAMA] = {METRIC_BREAKER_OLLAMA, METRIC_BREAKER_OPENED_OLLAMA},
    [LLM_LMSTUDIO] = {METRIC_BREAKER_LMSTUDIO, METRIC_BREAKER_OPENED_LMSTUDIO},
    [LLM_LLAMACPP] = {METRIC_BREAKER_LLAMACPP, METRIC_BREAKER_OPENED_LLAMACPP},
    [LLM_VLLM] = {METRIC_BREAKER_VLLM, METRIC_BREAKER_OPENED_VLLM},
    [LLM_DEMO] = {METRIC__COUNT, METRIC__COUNT},
};

struct llm_endpoint *
llm_endpoint_get(struct llm_endpoint **list, const struct llm_agent *agent,
    const struct settings *settings)
{
	char key[512];

	snprintf(key, sizeof(key), "%s|%s", agent->row->name,
	    llm_agent_model(agent));
	for (struct llm_endpoint *e = *list; e != NULL; e = e->next)
		if (str_eq(e->key, key))
			return e;
	struct llm_endpoint *e = mem_zalloc(sizeof(*e));
	int64_t now = clock_mono_ms();
	e->key = mem_strdup(key);
	e->provider = llm_agent_dialect(agent->row);
	llm_bucket_init(&e->limits[LLM_LIMIT_REQUESTS],
	    settings->llm_requests_per_minute, now);
	llm_bucket_init(
	    &e->limits[LLM_LIMIT_TOKENS], settings->llm_tokens_per_minute, now);
	e->next = *list;
	*list = e;
	return e;
}

void
llm_endpoint_free_all(struct llm_endpoint **list)
{
	while (*list != NULL) {
		struct llm_endpoint *e = *list;
		*list = e->next;
		free(e->key);
		free(e);
	}
}

int64_t
llm_endpoint_take(struct llm_endpoint *e, int64_t tokens, int64_t now_ms)
{
	const int64_t needs[LLM_LIMIT__COUNT] = {
	    [LLM_LIMIT_REQUESTS] = 1, [LLM_LIMIT_TOKENS] = tokens};
	int64_t wait = e->paused_until_ms - now_ms;

	for (int i = 0; i < LLM_LIMIT__COUNT; i++) {
		int64_t ms =
		    llm_bucket_wait_ms(&e->limits[i], needs[i], now_ms);
		if (ms > wait)
			wait = ms;
	}
	if (wait > 0)
		return wait;
	for (int i = 0; i < LLM_LIMIT__COUNT; i++)
		llm_bucket_take(&e->limits[i], needs[i], now_ms);
	return 0;
}

void
llm_endpoint_heard(
    struct llm_endpoint *e, const struct llm_limits *said, int64_t now_ms)
{
	for (int i = 0; i < LLM_LIMIT__COUNT; i++)
		llm_bucket_sync(&e->limits[i], said, (enum llm_limit)i, now_ms);
}

void
llm_endpoint_slow(
    struct llm_endpoint *e, int64_t retry_after_ms, int64_t now_ms)
{
	for (int i = 0; i < LLM_LIMIT__COUNT; i++)
		llm_bucket_shrink(&e->limits[i]);
	if (now_ms + retry_after_ms > e->paused_until_ms)
		e->paused_until_ms = now_ms + retry_after_ms;
}

int64_t
llm_endpoint_note(struct llm_endpoint *e, enum llm_error_class error,
    bool is_probe, int64_t now_ms)
{
	int64_t pause = llm_breaker_note(&e->breaker, error, is_probe, now_ms);
	enum metric opened = llm_endpoint_metrics[e->provider].opened;

	if (pause > 0 && opened != METRIC__COUNT)
		metric_add(opened, 1);
	return pause;
}

enum llm_circuit { CIRCUIT_CLOSED, CIRCUIT_HALF_OPEN, CIRCUIT_OPEN };

static enum llm_circuit
llm_endpoint_circuit(const struct llm_endpoint *e, int64_t now_ms)
{
	if (e->breaker.open_until_ms == 0)
		return CIRCUIT_CLOSED;
	return now_ms < e->breaker.open_until_ms ? CIRCUIT_OPEN
						 : CIRCUIT_HALF_OPEN;
}

void
llm_endpoint_measure(const struct llm_endpoint *list, int64_t now_ms)
{
	enum llm_circuit worst[LLM_DIALECT__COUNT] = {CIRCUIT_CLOSED};

	for (const struct llm_endpoint *e = list; e != NULL; e = e->next) {
		enum llm_circuit c = llm_endpoint_circuit(e, now_ms);
		if (c > worst[e->provider])
			worst[e->provider] = c;
	}
	for (int i = 0; i < LLM_DIALECT__COUNT; i++)
		if (llm_endpoint_metrics[i].state != METRIC__COUNT)
			metric_set(llm_endpoint_metrics[i].state, worst[i]);
}

void
llm_endpoint_health(
    const struct llm_endpoint *list, struct json_w *w, int64_t now_ms)
{
	for (const struct llm_endpoint *e = list; e != NULL; e = e->next) {
		static const char *const names[] = {[CIRCUIT_CLOSED] = "closed",
		    [CIRCUIT_HALF_OPEN] = "half_open",
		    [CIRCUIT_OPEN] = "open"};
		const struct llm_breaker *b = &e->breaker;
		size_t len = strcspn(e->key, "|");
		enum llm_circuit circuit = llm_endpoint_circuit(e, now_ms);
		json_w_begin(w, NULL);
		json_w_strn(w, "agent", e->key, len);
		json_w_str(w, "model", e->key + len + 1);
		json_w_str(w, "circuit", names[circuit]);
		json_w_int(w, "failures", b->failures);
		if (circuit != CIRCUIT_CLOSED)
			json_w_str(w, "error", llm_error_name(b->last));
		json_w_end(w);
	}
}
