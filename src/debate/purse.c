/* SPDX-License-Identifier: MIT */
#include "debate/purse.h"

#include <assert.h>

/* No sum of two amounts up to here overflows. */
#define PURSE_MAX (INT64_MAX / 4)

static int64_t
purse_sum(int64_t a, int64_t b)
{
	return a > PURSE_MAX - b ? PURSE_MAX : a + b;
}

static struct purse_amount
purse_add(struct purse_amount a, struct purse_amount b)
{
	return (struct purse_amount){.udollar = purse_sum(a.udollar, b.udollar),
	    .tokens = purse_sum(a.tokens, b.tokens)};
}

bool
purse_is_limited(const struct purse *p)
{
	return p->limit.udollar >= 0 || p->limit.tokens >= 0;
}

struct purse_amount
purse_worst(const struct purse_call *c, int64_t cap)
{
	int64_t out = c->max_tokens < cap ? c->max_tokens : cap;
	int64_t in = c->tokens_in + c->grows_by * cap;
	int64_t cost = llm_price_cost(&c->price, in, out);

	/* Nobody can afford what has no price. */
	return (struct purse_amount){.udollar = cost < 0 ? PURSE_MAX : cost,
	    .tokens = purse_sum(in, out)};
}

struct purse_amount
purse_taken(const struct purse *p)
{
	return purse_add(p->spent, p->held);
}

static bool
purse_has_room(const struct purse *p, const struct purse_call *calls, size_t n,
    int64_t cap)
{
	struct purse_amount sum = purse_taken(p);

	for (size_t i = 0; i < n; i++)
		sum = purse_add(sum, purse_worst(&calls[i], cap));
	return (p->limit.udollar < 0 || sum.udollar <= p->limit.udollar) &&
	    (p->limit.tokens < 0 || sum.tokens <= p->limit.tokens);
}

int64_t
purse_fit(const struct purse *p, const struct purse_call *calls, size_t n,
    int64_t floor, int64_t most)
{
	int64_t low = floor, high = most;

	if (floor > most || !purse_has_room(p, calls, n, floor))
		return 0;
	while (low < high) { /* low fits */
		int64_t middle = low + (high - low + 1) / 2;
		if (purse_has_room(p, calls, n, middle))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

void
purse_hold(struct purse *p, struct purse_amount a)
{
	p->held = purse_add(p->held, a);
}

void
purse_settle(
    struct purse *p, struct purse_amount held, struct purse_amount used)
{
	assert(held.udollar >= 0 && held.udollar <= p->held.udollar);
	assert(held.tokens >= 0 && held.tokens <= p->held.tokens);
	assert(used.udollar >= 0 && used.tokens >= 0);
	p->held.udollar -= held.udollar;
	p->held.tokens -= held.tokens;
	p->spent = purse_add(p->spent, used);
}
