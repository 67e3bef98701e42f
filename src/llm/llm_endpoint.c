/* SPDX-License-Identifier: MIT */
#include "llm/llm_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"

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

void
llm_endpoint_health(
    const struct llm_endpoint *list, struct json_w *w, int64_t now_ms)
{
	for (const struct llm_endpoint *e = list; e != NULL; e = e->next) {
		const struct llm_breaker *b = &e->breaker;
		size_t len = strcspn(e->key, "|");
		bool is_closed = b->open_until_ms == 0;
		json_w_begin(w, NULL);
		json_w_strn(w, "agent", e->key, len);
		json_w_str(w, "model", e->key + len + 1);
		json_w_str(w, "circuit",
		    is_closed			    ? "closed"
			: now_ms < b->open_until_ms ? "open"
						    : "half_open");
		json_w_int(w, "failures", b->failures);
		if (!is_closed)
			json_w_str(w, "error", llm_error_name(b->last));
		json_w_end(w);
	}
}
