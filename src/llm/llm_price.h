/* SPDX-License-Identifier: MIT
 *
 * What calls cost, in integers: micro-dollars, and micro-dollars per million
 * tokens.
 */
#pragma once

#include "base/arena.h"
#include "llm/llm.h"

struct llm_price {
	bool is_known;
	int64_t in, out;
};
struct llm_price llm_price_of(const char *provider, const char *model);
/* The price that ARAGORA_LLM_PRICES gives, is_known = false when it gives
 * none; ERR_INVALID when it cannot be read. */
enum err llm_price_override(struct arena *a, const char *list,
    const char *provider, const char *model, struct llm_price *out,
    struct err_info *info) MUST_CHECK;
/* Micro-dollars, rounded up; -1 when the price is not known. */
int64_t llm_price_cost(
    const struct llm_price *price, int64_t tokens_in, int64_t tokens_out);
/* Of a seat, with these settings; one that cannot be read is not known. */
struct llm_price llm_price_of_agent(
    const struct llm_agent *agent, const struct settings *settings);
