/* SPDX-License-Identifier: MIT
 *
 * What is remembered of an endpoint, which is an agent and a model: the
 * parameters it refuses, its circuit breaker, its limits.
 */
#pragma once

#include "base/json.h"
#include "llm/llm_limits.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"

struct llm_endpoint {
	struct llm_endpoint *next;
	char *key; /* "agent|model" */
	enum llm_dialect provider;
	struct llm_refused refused;
	struct llm_breaker breaker;
	struct llm_bucket limits[LLM_LIMIT__COUNT];
	int64_t paused_until_ms; /* it asked to be left alone */
};

/* *list starts as NULL; ends with llm_endpoint_free_all. */
struct llm_endpoint *llm_endpoint_get(struct llm_endpoint **list,
    const struct llm_agent *agent, const struct settings *settings);
void llm_endpoint_free_all(struct llm_endpoint **list);
/* Milliseconds before a request of so many tokens may go; 0 = now, and it is
 * counted. */
int64_t llm_endpoint_take(
    struct llm_endpoint *e, int64_t tokens, int64_t now_ms);
/* Its answer: what the headers say; a rate error and the time to wait it
 * names (-1 = none). */
void llm_endpoint_heard(
    struct llm_endpoint *e, const struct llm_limits *said, int64_t now_ms);
void llm_endpoint_slow(
    struct llm_endpoint *e, int64_t retry_after_ms, int64_t now_ms);
/* An answer's bearing on the breaker. Milliseconds of a pause that begins now,
 * 0 when none does. */
int64_t llm_endpoint_note(struct llm_endpoint *e, enum llm_error_class error,
    bool is_probe, int64_t now_ms);
/* The breakers' states as metrics, of all providers. */
void llm_endpoint_measure(const struct llm_endpoint *list, int64_t now_ms);
/* Members of an array: agent, model, circuit (closed, open, half_open),
 * failures in a row and, unless closed, the error that opened it. */
void llm_endpoint_health(
    const struct llm_endpoint *list, struct json_w *w, int64_t now_ms);
