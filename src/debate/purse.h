/* SPDX-License-Identifier: MIT
 *
 * The money and the tokens one debate may spend. What a call can cost at most
 * is held before it is sent; what it did cost is settled when it is over.
 * Integers, no clock, no database.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/llm_price.h"

struct purse_amount {
	int64_t udollar; /* millionths of a dollar */
	int64_t tokens;
};
/* As a limit: -1 = none. */
#define PURSE_UNLIMITED ((struct purse_amount){.udollar = -1, .tokens = -1})

struct purse {
	struct purse_amount limit;
	struct purse_amount spent; /* by calls that are over */
	struct purse_amount held;  /* for calls under way */
};

/* A call that is to be made. */
struct purse_call {
	struct llm_price price;
	int64_t tokens_in; /* at most */
	int64_t grows_by;  /* tokens_in more for each token of the cap */
	int64_t max_tokens;
};

bool purse_is_limited(const struct purse *p);
/* What it costs at most when its answer is cut at cap tokens. */
struct purse_amount purse_worst(const struct purse_call *c, int64_t cap);
/* The largest cap from floor to most with which all n calls fit beside what is
 * spent and held; 0 = not even floor does. */
int64_t purse_fit(const struct purse *p, const struct purse_call *calls,
    size_t n, int64_t floor, int64_t most);
/* Set aside. The caller has seen that it fits. */
void purse_hold(struct purse *p, struct purse_amount a);
/* Over: what was held is free again, what was used is spent. */
void purse_settle(
    struct purse *p, struct purse_amount held, struct purse_amount used);
/* Spent and held: what is gone if nothing more is heard. */
struct purse_amount purse_taken(const struct purse *p);
