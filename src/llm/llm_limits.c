/* SPDX-License-Identifier: MIT */
#include "llm/llm_limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/str.h"

#define LIMITS_MINUTE_MS 60000.0
#define LIMITS_SLOWEST	 (1 / 3600000.0) /* one an hour */
#define LIMITS_RESET_MAX 86400000LL	 /* a day; longer is a mistake */
#define BUDGET_SHARE	 0.1
#define BUDGET_PER_MS	 0.001
#define BUDGET_RESERVE	 50

void
llm_bucket_init(struct llm_bucket *b, int64_t per_minute, int64_t now_ms)
{
	*b = (struct llm_bucket){.level = (double)per_minute,
	    .max = (double)per_minute,
	    .rate = (double)per_minute / LIMITS_MINUTE_MS,
	    .at_ms = now_ms};
}

static void
bucket_fill(struct llm_bucket *b, int64_t now_ms)
{
	if (now_ms > b->at_ms) {
		b->level += b->rate * (double)(now_ms - b->at_ms);
		b->at_ms = now_ms;
	}
	if (b->level > b->max)
		b->level = b->max;
}

int64_t
llm_bucket_wait_ms(struct llm_bucket *b, int64_t need, int64_t now_ms)
{
	if (b->rate <= 0)
		return 0;
	bucket_fill(b, now_ms);
	/* What is more than it holds has to go when it is full. */
	double wanted = (double)need < b->max ? (double)need : b->max;
	return b->level >= wanted
	    ? 0
	    : (int64_t)ceil((wanted - b->level) / b->rate);
}

void
llm_bucket_take(struct llm_bucket *b, int64_t need, int64_t now_ms)
{
	if (b->rate <= 0)
		return;
	bucket_fill(b, now_ms);
	b->level -= (double)need;
}

void
llm_bucket_shrink(struct llm_bucket *b)
{
	if (b->rate > 2 * LIMITS_SLOWEST)
		b->rate /= 2;
}

void
llm_limits_init(struct llm_limits *l)
{
	for (int i = 0; i < LLM_LIMIT__COUNT; i++) {
		l->max[i] = -1;
		l->left[i] = -1;
		l->reset_ms[i] = -1;
	}
}

/* "6m0s", "1.5s", "20ms", "59.5" (seconds); -1 = none of these. */
static int64_t
limits_span_ms(const char *text)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	const char *start = text;
	double sum = 0;

	if (*text == '\0')
		return -1;
	while (*text != '\0') {
		char *end;
		size_t n, i = 0;
		double number = strtod(text, &end);
		if (end == text || !isfinite(number) || number < 0)
			return -1;
		n = strspn(end, "hms");
		/* "6m0s": a unit ends where a digit begins */
		while (n > 0 && i < ARRAY_LEN(units) &&
		    (strlen(units[i].unit) != n ||
			strncmp(end, units[i].unit, n) != 0))
			i++;
		if (i == ARRAY_LEN(units) ||
		    (n == 0 && (text != start || *end != '\0')))
			return -1;
		sum += number * (n == 0 ? 1000 : units[i].ms);
		text = end + n;
	}
	return sum <= (double)LIMITS_RESET_MAX ? (int64_t)ceil(sum) : -1;
}

static int64_t
limits_reset_ms(const char *value, int64_t now_us)
{
	int64_t when;

	if (clock_parse_iso(value, &when) != ERR_OK)
		return limits_span_ms(value);
	int64_t ms = (when - now_us) / 1000;
	return ms > LIMITS_RESET_MAX ? -1 : ms < 0 ? 0 : ms;
}

void
llm_limits_header(
    struct llm_limits *l, const char *name, const char *value, int64_t now_us)
{
	static const char *const what[LLM_LIMIT__COUNT] = {
	    [LLM_LIMIT_REQUESTS] = "requests", [LLM_LIMIT_TOKENS] = "tokens"};
	char other[64], own[64];

	for (int i = 0; i < LLM_LIMIT__COUNT; i++) {
		int64_t *const numbers[] = {&l->max[i], &l->left[i]};
		static const char *const words[] = {
		    "limit", "remaining", "reset"};
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			snprintf(other, sizeof(other), "x-ratelimit-%s-%s",
			    words[k], what[i]);
			snprintf(own, sizeof(own), "anthropic-ratelimit-%s-%s",
			    what[i], words[k]);
			if (!str_ieq(name, other) && !str_ieq(name, own))
				continue;
			if (k == ARRAY_LEN(numbers))
				l->reset_ms[i] = limits_reset_ms(value, now_us);
			else if (str_to_i64(value, 0, INT32_MAX, numbers[k]) !=
			    ERR_OK)
				*numbers[k] = -1;
		}
	}
}

void
llm_bucket_sync(struct llm_bucket *b, const struct llm_limits *l,
    enum llm_limit which, int64_t now_ms)
{
	int64_t max = l->max[which];
	int64_t left = l->left[which];
	int64_t reset = l->reset_ms[which];

	if (max <= 0 || left < 0 || reset < 0)
		return;
	b->max = (double)max;
	b->level = (double)(left < max ? left : max);
	b->at_ms = now_ms;
	/* Whatever window they count in, all are back after reset. */
	b->rate = (double)max / LIMITS_MINUTE_MS;
	if (left < max && reset > 0)
		b->rate = (double)(max - left) / (double)reset;
}

void
llm_budget_init(struct llm_budget *b, int64_t now_ms)
{
	*b = (struct llm_budget){.credit = BUDGET_RESERVE, .at_ms = now_ms};
}

void
llm_budget_earn(struct llm_budget *b)
{
	b->credit += BUDGET_SHARE;
	if (b->credit > BUDGET_RESERVE)
		b->credit = BUDGET_RESERVE;
}

bool
llm_budget_spend(struct llm_budget *b, int64_t now_ms)
{
	if (now_ms > b->at_ms) {
		b->credit += BUDGET_PER_MS * (double)(now_ms - b->at_ms);
		b->at_ms = now_ms;
	}
	if (b->credit > BUDGET_RESERVE)
		b->credit = BUDGET_RESERVE;
	if (b->credit < 1)
		return false;
	b->credit -= 1;
	return true;
}
