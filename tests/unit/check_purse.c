/* SPDX-License-Identifier: MIT
 *
 * A purse under random calls: what is spent and held is never negative and
 * never above the limit as long as no call costs more than it was held for,
 * and a cap that fits is the largest that does.
 */
#include "debate/purse.h"
#include "tests/unit/check_run.h"

#define CALLS  8
#define ROUNDS 400

static uint64_t
draw(uint64_t *state, uint64_t n)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*state >> 33) % n;
}

static int64_t
pick(uint64_t *s, int64_t n)
{
	return (int64_t)draw(s, (uint64_t)n);
}

static struct purse_call
pick_call(uint64_t *s)
{
	return (struct purse_call){.price = {.is_known = true,
				       .in = pick(s, 5000000),
				       .out = pick(s, 20000000)},
	    .tokens_in = pick(s, 3000),
	    .grows_by = pick(s, 4),
	    .max_tokens = 1 + pick(s, 1500)};
}

static void
ck_bounds(const struct purse *p)
{
	struct purse_amount sum = purse_taken(p);

	ck_assert_int_ge(p->held.udollar, 0);
	ck_assert_int_ge(p->held.tokens, 0);
	if (p->limit.udollar >= 0)
		ck_assert_int_le(sum.udollar, p->limit.udollar);
	if (p->limit.tokens >= 0)
		ck_assert_int_le(sum.tokens, p->limit.tokens);
}

/* Does it fit, by the definition? */
static bool
fits(const struct purse *p, const struct purse_call *c, size_t n, int64_t cap)
{
	struct purse_amount sum = purse_taken(p);

	for (size_t i = 0; i < n; i++) {
		sum.udollar += purse_worst(&c[i], cap).udollar;
		sum.tokens += purse_worst(&c[i], cap).tokens;
	}
	return (p->limit.udollar < 0 || sum.udollar <= p->limit.udollar) &&
	    (p->limit.tokens < 0 || sum.tokens <= p->limit.tokens);
}

START_TEST(test_random_calls)
{
	uint64_t s = (uint64_t)_i * 7919 + 1;
	struct purse p = {
	    .limit = {.udollar = _i % 3 == 0 ? -1 : pick(&s, 2000000),
		.tokens = _i % 3 == 1 ? -1 : pick(&s, 400000)}};
	struct purse_amount held[CALLS * ROUNDS];
	size_t n_held = 0, n_refused = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct purse_call c[CALLS];
		size_t n = 1 + (size_t)draw(&s, CALLS);
		for (size_t i = 0; i < n; i++)
			c[i] = pick_call(&s);
		int64_t cap = purse_fit(&p, c, n, 50, 1000);
		ck_assert(cap == 0 || (cap >= 50 && cap <= 1000));
		ck_assert(
		    cap == 1000 || !fits(&p, c, n, cap == 0 ? 50 : cap + 1));
		n_refused += cap == 0;
		for (size_t i = 0; cap > 0 && i < n; i++) {
			held[n_held] = purse_worst(&c[i], cap);
			purse_hold(&p, held[n_held++]);
		}
		ck_bounds(&p);
		while (n_held > 0 && draw(&s, 3) > 0) {
			struct purse_amount h = held[--n_held];
			bool is_failed = draw(&s, 4) == 0;
			purse_settle(&p, h,
			    (struct purse_amount){.udollar = is_failed
				    ? 0
				    : pick(&s, h.udollar + 1),
				.tokens =
				    is_failed ? 0 : pick(&s, h.tokens + 1)});
			ck_bounds(&p);
		}
	}
	ck_assert_uint_gt(n_refused, 0);
	while (n_held > 0)
		purse_settle(&p, held[--n_held], (struct purse_amount){0});
	ck_assert_int_eq(p.held.udollar, 0);
	ck_assert_int_eq(p.held.tokens, 0);
}
END_TEST

START_TEST(test_unknown_price)
{
	struct purse p = {
	    .limit = {.udollar = INT64_C(100000000000), .tokens = -1}};
	const struct purse_call c = {.tokens_in = 1, .max_tokens = 1};

	ck_assert_int_eq(purse_fit(&p, &c, 1, 1, 1), 0);
	p.limit = (struct purse_amount){.udollar = -1, .tokens = 2};
	ck_assert_int_eq(purse_fit(&p, &c, 1, 1, 1), 1);
	p.limit.tokens = 1;
	ck_assert_int_eq(purse_fit(&p, &c, 1, 1, 1), 0);
}
END_TEST

START_TEST(test_huge)
{
	struct purse p = {.limit = {.udollar = INT64_MAX, .tokens = INT64_MAX}};
	struct purse_call c[4];

	for (size_t i = 0; i < 4; i++)
		c[i] = (struct purse_call){.tokens_in = INT64_MAX / 8,
		    .max_tokens = 1,
		    .price = {.is_known = true, .in = 100000000}};
	/* Nothing overflows into a sum that fits. */
	purse_hold(&p, purse_worst(&c[0], 1));
	ck_assert_int_gt(p.held.udollar, INT64_MAX / 8);
	ck_assert_int_eq(purse_fit(&p, c, 4, 1, 1), 1);
	p.limit.tokens = INT64_MAX / 8;
	ck_assert_int_eq(purse_fit(&p, c, 4, 1, 1), 0);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_random_calls, 0, 30);
	tcase_add_test(t, test_unknown_price);
	tcase_add_test(t, test_huge);
}

int
main(void)
{
	return check_run("purse", add_tests);
}
