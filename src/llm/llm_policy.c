/* SPDX-License-Identifier: MIT */
#include "llm/llm_policy.h"

#include <time.h>

#include "base/str.h"

#define POLICY_BACKOFF_MS    1000
#define POLICY_BACKOFF_CAP   60000
#define POLICY_BACKOFF_MIN   100
#define POLICY_DOUBLINGS     6	   /* 1 s * 2^6 is past the cap */
#define POLICY_WAIT_MAX_S    86400 /* longer is not a wait but a mistake */
#define POLICY_BREAK_AFTER   3
#define POLICY_BREAK_MS	     60000
#define POLICY_BREAK_POOR_MS 600000
#define POLICY_PROBES	     3
#define POLICY_CLOSE_AFTER   2

bool
llm_may_retry(enum llm_error_class error)
{
	switch (error) {
	case LLM_ERR_RATE:
	case LLM_ERR_OVERLOAD:
	case LLM_ERR_SERVER:
	case LLM_ERR_NETWORK:
	case LLM_ERR_TIMEOUT:
	case LLM_ERR_PARTIAL:
	case LLM_ERR_EMPTY:
		return true;
	case LLM_ERR_NONE:
	case LLM_ERR_AUTH:
	case LLM_ERR_BAD_REQUEST:
	case LLM_ERR_MONEY:
	case LLM_ERR_REFUSAL:
	case LLM_ERR__COUNT:
		break;
	}
	return false;
}

int64_t
llm_pause_ms(enum llm_error_class error, int64_t attempts,
    int64_t retry_after_ms, uint32_t random)
{
	if (retry_after_ms >= 0)
		return retry_after_ms + random % 100;
	int64_t n = attempts - 1;
	int64_t base = POLICY_BACKOFF_MS
	    << (n < POLICY_DOUBLINGS ? n : POLICY_DOUBLINGS);
	if (base > POLICY_BACKOFF_CAP)
		base = POLICY_BACKOFF_CAP;
	if (error == LLM_ERR_OVERLOAD)
		return POLICY_BACKOFF_MIN +
		    random % (base - POLICY_BACKOFF_MIN);
	return base * (700 + random % 601) / 1000;
}

int64_t
llm_retry_after_ms(const char *value, bool is_ms, int64_t now_us)
{
	struct tm tm = {0};
	double number;

	if (str_to_double(value, &number) == ERR_OK) {
		double ms = is_ms ? number : number * 1000;
		return ms >= 0 && ms <= POLICY_WAIT_MAX_S * 1000.0 ? (int64_t)ms
								   : -1;
	}
	/* RFC 9110: IMF-fixdate */
	if (strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return -1;
	int64_t ms = (int64_t)timegm(&tm) * 1000 - now_us / 1000;
	if (ms > POLICY_WAIT_MAX_S * 1000LL)
		return -1;
	return ms < 0 ? 0 : ms;
}

bool
llm_breaker_enter(struct llm_breaker *b, int64_t now_ms, bool *is_probe)
{
	*is_probe = false;
	if (b->open_until_ms == 0)
		return true;
	if (now_ms < b->open_until_ms || b->probes >= POLICY_PROBES)
		return false;
	b->probes++;
	*is_probe = true;
	return true;
}

void
llm_breaker_leave(struct llm_breaker *b, bool is_probe)
{
	if (is_probe)
		b->probes--;
}

static int64_t
llm_breaker_open(struct llm_breaker *b, enum llm_error_class error,
    int64_t pause_ms, int64_t now_ms)
{
	b->last = error;
	b->open_until_ms = now_ms + pause_ms;
	return pause_ms;
}

int64_t
llm_breaker_note(struct llm_breaker *b, enum llm_error_class error,
    bool is_probe, int64_t now_ms)
{
	switch (error) {
	case LLM_ERR_NONE:
		b->failures = 0;
		if (is_probe && ++b->successes >= POLICY_CLOSE_AFTER) {
			b->open_until_ms = 0;
			b->successes = 0;
		}
		return 0;
	case LLM_ERR_RATE:
	case LLM_ERR_BAD_REQUEST:
	case LLM_ERR_REFUSAL:
		return 0; /* the endpoint is well */
	case LLM_ERR_MONEY:
		b->successes = 0;
		return llm_breaker_open(b, error, POLICY_BREAK_POOR_MS, now_ms);
	case LLM_ERR_AUTH:
	case LLM_ERR_OVERLOAD:
	case LLM_ERR_SERVER:
	case LLM_ERR_NETWORK:
	case LLM_ERR_TIMEOUT:
	case LLM_ERR_PARTIAL:
	case LLM_ERR_EMPTY:
	case LLM_ERR__COUNT:
		break;
	}
	b->successes = 0;
	if (is_probe || ++b->failures >= POLICY_BREAK_AFTER)
		return llm_breaker_open(b, error, POLICY_BREAK_MS, now_ms);
	return 0;
}
