/* SPDX-License-Identifier: MIT
 *
 * How fast an endpoint may be asked: a bucket of requests and one of tokens,
 * seeded from settings and corrected by what answers' headers say; and how
 * much may be tried again. Pure: the caller gives the time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum llm_limit { LLM_LIMIT_REQUESTS, LLM_LIMIT_TOKENS, LLM_LIMIT__COUNT };

/* rate 0 = nothing is known and all may go */
struct llm_bucket {
	double level; /* below zero: more was used than was thought */
	double max;
	double rate; /* per millisecond */
	int64_t at_ms;
};
/* per_minute 0 = no limit */
void llm_bucket_init(struct llm_bucket *b, int64_t per_minute, int64_t now_ms);
/* Milliseconds until `need` is there; 0 = now. Never longer than to fill. */
int64_t llm_bucket_wait_ms(struct llm_bucket *b, int64_t need, int64_t now_ms);
/* Also less than nothing, when less was used than was thought. */
void llm_bucket_take(struct llm_bucket *b, int64_t need, int64_t now_ms);
/* Half as fast, for a 429 says that it was too fast. */
void llm_bucket_shrink(struct llm_bucket *b);

/* What the headers of one answer say; -1 = nothing. */
struct llm_limits {
	int64_t max[LLM_LIMIT__COUNT];
	int64_t left[LLM_LIMIT__COUNT];
	int64_t reset_ms[LLM_LIMIT__COUNT]; /* until all are back */
};
void llm_limits_init(struct llm_limits *l);
/* x-ratelimit-{limit,remaining,reset}-{requests,tokens} and Anthropic's
 * anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}; others are
 * ignored. reset: "6m0s", "20ms", seconds, or a time of RFC 3339. */
void llm_limits_header(
    struct llm_limits *l, const char *name, const char *value, int64_t now_us);
/* The bucket believes what was said of it, when all was said. */
void llm_bucket_sync(struct llm_bucket *b, const struct llm_limits *l,
    enum llm_limit which, int64_t now_ms);

/* Attempts beyond the first: a tenth of the calls, one a second, and a
 * reserve, so that a provider in trouble is not buried under repetitions. */
struct llm_budget {
	double credit;
	int64_t at_ms;
};
void llm_budget_init(struct llm_budget *b, int64_t now_ms);
void llm_budget_earn(struct llm_budget *b);
bool llm_budget_spend(struct llm_budget *b, int64_t now_ms);
