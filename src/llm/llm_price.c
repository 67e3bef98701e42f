/* SPDX-License-Identifier: MIT
 *
 * What calls cost, in integers.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"
#include "settings/settings.h"

#define PRICE_UNIT	 1000000 /* tokens the prices are for */
#define PRICE_DATE_MIN	 5	 /* "-2512" */
#define PRICE_TOKENS_MAX 10000000000LL
#define PRICE_MAX	 100000000.0 /* micro-dollars per unit; else a typo */

struct price {
	const char *provider;
	const char *model;
	int64_t in, out;
};

static const struct price prices[] = {
#define PRICE(id, name, per_in, per_out) {LLM_NAME_##id, name, per_in, per_out},
#include "llm/prices.def"
#undef PRICE
};

/* A name stands for its dated versions too ("-2025-08-07"), but not for other
 * models that begin alike; "" stands for all. */
static bool
price_is_of(const struct price *p, const char *model)
{
	size_t n = strlen(p->model);

	return str_starts(model, p->model) &&
	    (n == 0 || model[n] == '\0' ||
		(model[n] == '-' && strlen(model + n) >= PRICE_DATE_MIN &&
		    strspn(model + n, "-0123456789") == strlen(model + n)));
}

static const struct price *
price_find(const char *provider, const char *model)
{
	const struct price *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(prices); i++)
		if (str_eq(prices[i].provider, provider) &&
		    price_is_of(&prices[i], model) &&
		    (best == NULL ||
			strlen(prices[i].model) > strlen(best->model)))
			best = &prices[i];
	return best;
}

/* "0.15": dollars per million tokens, which is micro-dollars per token. */
static bool
price_read(const char *text, int64_t *out)
{
	double dollars;

	if (str_to_double(text, &dollars) != ERR_OK || dollars < 0 ||
	    dollars * PRICE_UNIT > PRICE_MAX)
		return false;
	*out = (int64_t)(dollars * PRICE_UNIT + 0.5);
	return true;
}

enum err
llm_price_override(struct arena *a, const char *list, const char *provider,
    const char *model, struct llm_price *out, struct err_info *info)
{
	size_t n, parts;
	char **rows = str_split(a, list, ',', &n);

	out->is_known = false;
	for (size_t i = 0; i < n; i++) {
		struct llm_price price = {.is_known = true};
		char *row = str_trim(a, rows[i]);
		char *equals = strrchr(row, '=');
		if (*row == '\0')
			continue;
		if (equals == NULL)
			return err_set(info, ERR_INVALID, "ARAGORA_LLM_PRICES",
			    "'%.60s' is not PROVIDER/MODEL=IN/OUT", row);
		*equals = '\0';
		char **both = str_split(a, equals + 1, '/', &parts);
		if (parts != 2 || !price_read(both[0], &price.in) ||
		    !price_read(both[1], &price.out))
			return err_set(info, ERR_INVALID, "ARAGORA_LLM_PRICES",
			    "the price of '%.60s' is not IN/OUT in dollars "
			    "per million tokens, 0 to 100",
			    row);
		if (str_eq(row, arena_printf(a, "%s/%s", provider, model)))
			*out = price;
	}
	return ERR_OK;
}

struct llm_price
llm_price_of(const char *provider, const char *model)
{
	const struct price *p = price_find(provider, model);

	if (p == NULL)
		return (struct llm_price){.is_known = false};
	return (struct llm_price){.is_known = true, .in = p->in, .out = p->out};
}

int64_t
llm_price_cost(
    const struct llm_price *price, int64_t tokens_in, int64_t tokens_out)
{
	if (!price->is_known || tokens_in < 0 || tokens_out < 0)
		return -1;
	if (tokens_in > PRICE_TOKENS_MAX || tokens_out > PRICE_TOKENS_MAX)
		return -1; /* nobody says so much */
	/* At most 2 * 10^18: no overflow. */
	int64_t sum = tokens_in * price->in + tokens_out * price->out;
	return sum / PRICE_UNIT + (sum % PRICE_UNIT != 0);
}

struct llm_price
llm_price_of_agent(
    const struct llm_agent *agent, const struct settings *settings)
{
	struct arena *a = arena_new(0);
	const char *provider = agent->row->provider;
	const char *model = llm_agent_model(agent);
	struct llm_price price = {.is_known = false};

	if (llm_price_override(a, settings->llm_prices, provider, model, &price,
		NULL) != ERR_OK)
		price.is_known = false;
	arena_free(&a);
	return price.is_known ? price : llm_price_of(provider, model);
}
