/* SPDX-License-Identifier: MIT */
#include "debate/grant.h"

/* Prompts repeat the positions of others; beside them is the frame. */
#define GRANT_FRAME 1000

static const char *
grant_config(void *arg, const struct store_amount *granted)
{
	struct debate_grant *g = arg;
	struct debate_config c = *g->config;

	c.budget = (struct purse_amount){
	    .udollar = granted->udollar, .tokens = granted->tokens};
	c.is_granted = true;
	return debate_config_write(g->a, &c);
}

/* Every call of every round with the longest answers. */
static struct purse_amount
grant_most(const struct debate_config *c, struct purse_amount least)
{
	int64_t n = (int64_t)c->n_agents;
	int64_t calls = 2 * n + c->rounds * n * n + 4;
	struct purse_amount sum = {0};

	for (size_t i = 0; i < c->n_agents; i++) {
		const struct purse_call call = {.price = c->prices[i],
		    .tokens_in = least.tokens + GRANT_FRAME,
		    .grows_by = 2 * n + 1,
		    .max_tokens = c->max_tokens};
		struct purse_amount a = purse_worst(&call, c->max_tokens);
		if (a.udollar > sum.udollar)
			sum.udollar = a.udollar;
		sum.tokens = a.tokens;
	}
	if (sum.udollar > INT64_MAX / 8 / calls)
		sum.udollar = INT64_MAX / 8 / calls;
	return (struct purse_amount){
	    .udollar = sum.udollar * calls, .tokens = sum.tokens * calls};
}

void
debate_grant_init(struct debate_grant *g, struct arena *a,
    const struct settings *settings, struct debate_config *config)
{
	debate_config_price(config, a, settings);
	config->is_granted = false;
	struct purse_amount least = debate_budget_least(config);
	struct purse_amount most = grant_most(config, least);
	const struct purse_amount *own = &config->budget;
	bool is_priced = true;

	for (size_t i = 0; i < config->n_agents; i++)
		is_priced = is_priced && config->prices[i].is_known;
	*g = (struct debate_grant){.a = a,
	    .config = config,
	    .ask = {.settings = settings,
		.own = {.udollar = own->udollar, .tokens = own->tokens},
		.want = {.udollar =
			     own->udollar >= 0 ? own->udollar : most.udollar,
		    .tokens = own->tokens >= 0 ? own->tokens : most.tokens},
		.least = {.udollar = least.udollar, .tokens = least.tokens},
		.is_priced = is_priced,
		.config = grant_config}};
	g->ask.arg = g;
}
