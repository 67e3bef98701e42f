/* SPDX-License-Identifier: MIT
 *
 * When to try again and when to stop trying (engine notes 2.9). Pure: the
 * caller gives the time and the random number.
 */
#pragma once

#include "llm/llm.h"

/* Is another attempt of any use after this error? */
bool llm_may_retry(enum llm_error_class error);

/* Pause before the attempt that follows attempt number `attempts` (from 1):
 * min(60 s, 1 s * 2^n) +- 30 %, anything down to 0.1 s when the provider is
 * overloaded (so that not all come back at once), or what the provider said
 * (retry_after_ms >= 0) and a little more. */
int64_t llm_pause_ms(enum llm_error_class error, int64_t attempts,
    int64_t retry_after_ms, uint32_t random);

/* Milliseconds from Retry-After (seconds or date) or retry-after-ms; -1 when
 * it says nothing usable. */
int64_t llm_retry_after_ms(const char *value, bool is_ms, int64_t now_us);

/* Circuit breaker of one agent and model: open after three failures in a row
 * for a minute (at once and for ten when money is out), then up to three
 * probes at a time; two good ones close it. */
struct llm_breaker {
	int failures;
	int64_t open_until_ms; /* 0 = closed */
	int probes, successes;
	enum llm_error_class last; /* what opened it */
};
/* May a call go out? It may be a probe: leave with the same flag when it has
 * ended or was dropped. */
bool llm_breaker_enter(struct llm_breaker *b, int64_t now_ms, bool *is_probe);
void llm_breaker_leave(struct llm_breaker *b, bool is_probe);
/* Result of a call that went out. Milliseconds of a pause that begins now, 0
 * when none does. */
int64_t llm_breaker_note(struct llm_breaker *b, enum llm_error_class error,
    bool is_probe, int64_t now_ms);
