/* SPDX-License-Identifier: MIT
 *
 * Where a call goes: to its agent with the URL, the key and the price of that,
 * to its twin at OpenRouter, or nowhere.
 */
#include "llm/llm_call.h"

#include "base/log.h"
#include "llm/llm_url.h"

static void
call_refuse(struct llm_call *c, enum llm_error_class error, const char *message)
{
	c->state = CALL_REFUSED;
	c->refusal_class = error;
	c->refusal = message;
}

/* A key that would break its header line is no key. */
static bool
call_is_header_text(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

static void
call_aim_price(struct llm_call *c)
{
	const char *provider = c->agent.row->provider;
	const char *model = llm_agent_model(&c->agent);
	struct err_info info = {0};

	if (llm_price_override(c->arena, c->llm->settings->llm_prices, provider,
		model, &c->price, &info) != ERR_OK)
		log_error("llm.prices", "reason=%s", info.text);
	if (!c->price.is_known)
		c->price = llm_price_of(provider, model);
}

/* At c->agent: its URL, key, price. */
void
llm_call_aim(struct llm_call *c)
{
	const struct settings *settings = c->llm->settings;
	const struct llm_agent_row *row = c->agent.row;
	const struct llm_dialect_row *d = llm_dialect(llm_agent_dialect(row));
	struct err_info info = {0};
	const char *base;

	c->provider = llm_call_is_embed(c) ? d->provider->embed : d->provider;
	if (llm_call_is_embed(c) && !llm_embed_has(row)) {
		call_refuse(c, LLM_ERR_BAD_REQUEST,
		    arena_printf(c->arena, "%s has no embeddings", row->name));
		return;
	}
	c->key = llm_agent_key(row, settings);
	if (!call_is_header_text(c->key)) {
		call_refuse(c, LLM_ERR_AUTH,
		    arena_printf(
			c->arena, "%s holds what is no key", row->key_env));
		return;
	}
	if (llm_url_base(c->arena, llm_agent_url(row, settings), d->port,
		d->path, &base, &info) != ERR_OK) {
		call_refuse(
		    c, LLM_ERR_BAD_REQUEST, arena_strdup(c->arena, info.text));
		return;
	}
	c->endpoint = llm_endpoint_get(&c->llm->endpoints, &c->agent, settings);
	c->url = c->provider->url(c->arena, base, &c->agent);
	c->auth = *c->key != '\0' ? c->provider->auth(c->arena, c->key) : "";
	call_aim_price(c);
	if (!c->is_hedge)
		llm_budget_earn(&c->llm->budgets[llm_agent_dialect(row)]);
	c->state = CALL_PAUSING; /* the first attempt, next turn */
}

static struct llm_request
call_copy_request(struct arena *a, const struct llm_request *r)
{
	struct llm_request copy = *r;
	struct llm_block *blocks;

	if (r->is_lasting)
		return copy;
	blocks = ARENA_ARRAY(a, r->n_blocks + 1, struct llm_block);
	for (size_t i = 0; i < r->n_blocks; i++)
		blocks[i] = (struct llm_block){
		    .label = arena_strdup(a, r->blocks[i].label),
		    .text = arena_strdup(a, r->blocks[i].text)};
	copy.blocks = blocks;
	copy.system = arena_strdup(a, r->system);
	copy.question = arena_strdup(a, r->question);
	copy.context = arena_strdup(a, r->context);
	copy.instruction = arena_strdup(a, r->instruction);
	copy.nonce = arena_strdup(a, r->nonce);
	return copy;
}

void
llm_call_prepare(struct llm_call *c, const struct llm_request *request)
{
	const struct settings *settings = c->llm->settings;
	const struct llm_agent_row *row = c->agent.row;
	struct err_info info = {0};
	struct llm_agent other;

	if (request->task == LLM_EMBED
		? !llm_agent_is_direct(row, settings, &info)
		: !llm_agent_is_available(row, settings, &info)) {
		call_refuse(c, LLM_ERR_AUTH, arena_strdup(c->arena, info.text));
		return;
	}
	c->request = call_copy_request(c->arena, request);
	if (!llm_call_is_embed(c) &&
	    !llm_agent_is_direct(row, settings, NULL) &&
	    llm_agent_fallback(c->arena, &c->agent, settings, &other)) {
		c->agent = other;
		c->is_fallback = true;
	}
	llm_call_aim(c);
}
