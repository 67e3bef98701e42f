/* SPDX-License-Identifier: MIT
 *
 * A debate's configuration as it is stored: what was settled when it was asked
 * for, written as JSON and read back by whoever drives, shows or replays it.
 */
#include "debate/config_impl.h"

#include <string.h>

#include "base/str.h"
#include "debate/recall.h"

/* How calls and events name it. */
#define CONFIG_EMBEDDER "embedder"

const struct llm_agent *
config_embedder(struct arena *a, const struct llm_agent *agent)
{
	struct llm_agent *copy = ARENA_NEW(a, struct llm_agent);

	*copy = (struct llm_agent){.row = agent->row,
	    .name = CONFIG_EMBEDDER,
	    .model = agent->model,
	    .persona = "",
	    .role = ""};
	return copy;
}

/* Only with a budget: then what calls cost decides. */
static void
config_write_budget(struct json_w *w, const struct debate_config *c)
{
	if (c->budget.udollar < 0 && c->budget.tokens < 0 &&
	    c->budget_seconds == 0)
		return;
	json_w_begin(w, "budget");
	json_w_int(w, "udollar", c->budget.udollar);
	json_w_int(w, "tokens", c->budget.tokens);
	json_w_int(w, "seconds", c->budget_seconds);
	json_w_bool(w, "granted", c->is_granted);
	json_w_begin_array(w, "prices");
	for (size_t i = 0; i <= c->n_agents; i++) {
		const struct llm_price *p =
		    i < c->n_agents ? &c->prices[i] : &c->embedder_price;
		json_w_int(w, NULL, p->is_known ? p->in : -1);
		json_w_int(w, NULL, p->is_known ? p->out : -1);
	}
	json_w_end_array(w);
	json_w_end(w);
}

const char *
debate_config_write(struct arena *a, const struct debate_config *c)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 4u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "task", c->task);
	json_w_str(&w, "context", c->context);
	json_w_begin_array(&w, "agents");
	for (size_t i = 0; i < c->n_agents; i++) {
		const struct llm_agent *agent = &c->agents[i];
		json_w_begin(&w, NULL);
		json_w_str(&w, "type", agent->row->name);
		json_w_str(&w, "name", agent->name);
		json_w_str(&w, "model", agent->model);
		json_w_str(&w, "persona", agent->persona);
		json_w_str(&w, "role", agent->role);
		json_w_end(&w);
	}
	json_w_end_array(&w);
	json_w_int(&w, "rounds", c->rounds);
	json_w_str(&w, "protocol", debate_protocol_name(c->protocol));
	json_w_str(&w, "topology", debate_topology_name(c->topology));
	json_w_str(&w, "consensus", debate_rule_name(c->rule));
	json_w_int(&w, "threshold_ppm", c->threshold_ppm);
	json_w_bool(&w, "early_stopping", c->is_early_stopping);
	json_w_int(&w, "similarity_ppm", c->similarity_ppm);
	json_w_int(&w, "convergence_ppm", c->convergence_ppm);
	json_w_int(&w, "early_exit_ppm", c->early_exit_ppm);
	if (c->embedder != NULL) {
		json_w_begin(&w, CONFIG_EMBEDDER);
		json_w_str(&w, "type", c->embedder->row->name);
		json_w_str(&w, "model", c->embedder->model);
		json_w_end(&w);
	}
	json_w_int(&w, "seed", (int64_t)c->seed);
	json_w_int(&w, "max_tokens", c->max_tokens);
	config_write_budget(&w, c);
	if (c->audience_share_ppm > 0)
		json_w_int(&w, "audience_share_ppm", c->audience_share_ppm);
	json_w_raw(&w, "metadata", c->metadata);
	json_w_raw(&w, "tags", c->tags);
	json_w_str(&w, "domain", c->domain);
	if (c->asked != NULL && !str_eq(c->asked, "{}"))
		json_w_raw(&w, "asked", c->asked);
	recall_write(&w, c);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

static enum err
config_parse_agents(struct arena *a, const struct json *list,
    struct debate_config *out, struct err_info *info)
{
	out->n_agents = json_len(list);
	out->agents = ARENA_ARRAY(a, out->n_agents + 1, struct llm_agent);
	for (size_t i = 0; i < out->n_agents; i++) {
		const struct json *o = json_at(list, i);
		const char *type = json_get_str(o, "type", "");
		out->agents[i] = (struct llm_agent){.row = llm_agent_find(type),
		    .name = json_get_str(o, "name", type),
		    .model = json_get_str(o, "model", ""),
		    .persona = json_get_str(o, "persona", ""),
		    .role = json_get_str(o, "role", "")};
		if (out->agents[i].row == NULL)
			return err_set(info, ERR_INVALID, "agents",
			    "unknown agent '%s'", type);
	}
	return out->n_agents > 0 ? ERR_OK
				 : err_set(info, ERR_INVALID, "agents", "none");
}

static struct llm_price
config_parse_price(const struct json *prices, size_t i)
{
	struct llm_price p = {.is_known = false, .in = -1, .out = -1};

	p.is_known = json_int(json_at(prices, 2 * i), &p.in) &&
	    json_int(json_at(prices, 2 * i + 1), &p.out) && p.in >= 0 &&
	    p.out >= 0;
	return p.is_known ? p : (struct llm_price){.is_known = false};
}

static void
config_parse_budget(
    struct arena *a, const struct json *o, struct debate_config *out)
{
	const struct json *prices = json_get(o, "prices");

	out->budget.udollar = json_get_int(o, "udollar", -1);
	out->budget.tokens = json_get_int(o, "tokens", -1);
	out->budget_seconds = json_get_int(o, "seconds", 0);
	out->is_granted = json_get_bool(o, "granted", false);
	out->prices = ARENA_ARRAY(a, out->n_agents + 1, struct llm_price);
	for (size_t i = 0; i < out->n_agents; i++)
		out->prices[i] = config_parse_price(prices, i);
	out->embedder_price = config_parse_price(prices, out->n_agents);
}

enum err
debate_config_parse(struct arena *a, const char *text,
    struct debate_config *out, struct err_info *info)
{
	const struct json_limits limits = {
	    .max_bytes = 4u << 20, .max_depth = 40};
	const struct json *j;

	enum err e = json_parse(a, text, strlen(text), &limits, &j, info);
	if (e != ERR_OK)
		return ERR_INVALID;
	*out = (struct debate_config){.task = json_get_str(j, "task", ""),
	    .context = json_get_str(j, "context", ""),
	    .rounds = json_get_int(j, "rounds", 1),
	    .threshold_ppm = json_get_int(j, "threshold_ppm", 600000),
	    .is_early_stopping = json_get_bool(j, "early_stopping", true),
	    .similarity_ppm = json_get_int(j, "similarity_ppm", 850000),
	    .convergence_ppm = json_get_int(j, "convergence_ppm", 850000),
	    .early_exit_ppm = json_get_int(j, "early_exit_ppm", 950000),
	    .seed = (uint64_t)json_get_int(j, "seed", 0),
	    .max_tokens = json_get_int(j, "max_tokens", 1024),
	    .audience_share_ppm = json_get_int(j, "audience_share_ppm", 0),
	    .metadata = json_text(a, json_get(j, "metadata")),
	    .tags = json_text(a, json_get(j, "tags")),
	    .domain = json_get_str(j, "domain", "general")};
	out->asked = json_get(j, "asked") != NULL
	    ? json_text(a, json_get(j, "asked"))
	    : "{}";
	recall_parse(a, j, out);
	const struct json *embedder = json_get(j, CONFIG_EMBEDDER);
	const struct llm_agent agent = {
	    .row = llm_agent_find(json_get_str(embedder, "type", "")),
	    .model = json_get_str(embedder, "model", "")};
	if (embedder != NULL && agent.row == NULL)
		return err_set(
		    info, ERR_INVALID, CONFIG_EMBEDDER, "unknown agent");
	if (embedder != NULL)
		out->embedder = config_embedder(a, &agent);
	int protocol =
	    config_protocol_find(json_get_str(j, "protocol", "debate"));
	int topology = config_topology_find(json_get_str(j, "topology", "all"));
	if (protocol < 0 || topology < 0)
		return err_set(info, ERR_INVALID, "protocol", "unknown");
	out->protocol = (enum debate_protocol)protocol;
	out->topology = (enum debate_topology)topology;
	if (!config_rule(json_get_str(j, "consensus", ""), &out->rule))
		return err_set(info, ERR_INVALID, "consensus", "unknown rule");
	e = config_parse_agents(a, json_get(j, "agents"), out, info);
	config_parse_budget(a, json_get(j, "budget"), out);
	return e;
}
