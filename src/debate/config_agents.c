/* SPDX-License-Identifier: MIT
 *
 * The seats of a request: by name, as objects, or those of the settings.
 */
#include "debate/config_impl.h"

#include <string.h>

#include "base/str.h"

#define CONFIG_DEMO_SEATS 3

void
config_unique_name(struct config_reader *r, struct llm_agent *agent)
{
	const char *given = agent->name;

	for (int copy = 2;; copy++) {
		bool is_taken = false;
		for (size_t i = 0; i < r->out->n_agents; i++)
			is_taken = is_taken ||
			    str_eq(r->out->agents[i].name, agent->name);
		if (!is_taken)
			return;
		agent->name = arena_printf(r->a, "%s_%d", given, copy);
	}
}

static void
config_seat(struct config_reader *r, const char *spec)
{
	struct err_info info = {0};
	struct llm_agent *agent = &r->out->agents[r->out->n_agents];

	if (llm_agent_parse(r->a, spec, agent, &info) != ERR_OK) {
		config_error(r, "agents", "%s", info.text);
		return;
	}
	if (!llm_agent_is_available(agent->row, r->settings, &info)) {
		if (!r->settings->demo_mode) {
			config_error(r, "agents",
			    "'%s' cannot be used: %s; set it, or use demo "
			    "agents",
			    agent->name, info.text);
			return;
		}
		agent->row = llm_agent_find("demo");
		agent->model = "";
	}
	config_unique_name(r, agent);
	r->out->n_agents++;
}

/* Parts that are strings without a separator: the rest is reported by
 * config_fields_check. */
static bool
config_object_is_sound(const struct json *o)
{
	const char *key;
	const struct json *value;

	for (void *it = NULL; json_next(o, &it, &key, &value);) {
		const char *text = json_str(value, NULL);
		if (json_kind(value) != JSON_NULL &&
		    (text == NULL || strchr(text, '|') != NULL))
			return false;
	}
	return true;
}

/* {"provider"|"name"|"type", "model", "persona", "role"} as a spec. */
static const char *
config_object_spec(struct arena *a, const struct json *o)
{
	const char *provider = json_get_str(o, "provider",
	    json_get_str(o, "name", json_get_str(o, "type", "")));

	return arena_printf(a, "%s|%s|%s|%s", provider,
	    json_get_str(o, "model", ""), json_get_str(o, "persona", ""),
	    json_get_str(o, "role", ""));
}

static void
config_default_agents(struct config_reader *r)
{
	size_t n;
	char **names = str_split(r->a, r->settings->default_agents, ',', &n);

	r->out->agents =
	    ARENA_ARRAY(r->a, n + CONFIG_DEMO_SEATS, struct llm_agent);
	for (size_t i = 0; i < n &&
	     (int64_t)r->out->n_agents < r->settings->max_agents_per_debate;
	     i++) {
		const struct llm_agent_row *row = llm_agent_find(names[i]);
		if (row != NULL &&
		    llm_agent_is_available(row, r->settings, NULL))
			config_seat(r, names[i]);
	}
	if (r->out->n_agents >= 2)
		return;
	r->out->n_agents = 0;
	for (int i = 0; i < CONFIG_DEMO_SEATS; i++)
		config_seat(r, "demo");
}

static void
config_check_count(struct config_reader *r, size_t n)
{
	const struct protocol_row *row = protocol_row(r->out->protocol);

	if (n < row->min_agents ||
	    (int64_t)n > r->settings->max_agents_per_debate)
		config_error(r, "agents",
		    "must name %zu to %lld agents, not %zu", row->min_agents,
		    (long long)r->settings->max_agents_per_debate, n);
	else if (row->n_agents > 1 && n != row->n_agents)
		config_error(r, "agents",
		    "must name %zu agents for %s, not %zu", row->n_agents,
		    row->name, n);
}

void
config_read_agents(struct config_reader *r)
{
	const struct json *value = json_get(r->body, "agents");
	enum json_kind kind = json_kind(value);
	const char *csv = json_str(value, NULL);
	size_t n = 0;

	if (kind == JSON_NULL) {
		config_default_agents(r);
		return;
	}
	if (csv != NULL) {
		char **specs = str_split(r->a, csv, ',', &n);
		config_check_count(r, n);
		r->out->agents = ARENA_ARRAY(r->a, n + 1, struct llm_agent);
		for (size_t i = 0;
		     i < n && (int64_t)i < r->settings->max_agents_per_debate;
		     i++)
			config_seat(r, specs[i]);
		return;
	}
	if (kind != JSON_ARRAY) {
		config_error(
		    r, "agents", "must be an array of names or objects");
		return;
	}
	n = json_len(value);
	config_check_count(r, n);
	r->out->agents = ARENA_ARRAY(r->a, n + 1, struct llm_agent);
	for (size_t i = 0;
	     i < n && (int64_t)i < r->settings->max_agents_per_debate; i++) {
		const struct json *item = json_at(value, i);
		const char *spec = json_str(item, NULL);
		if (!config_object_is_sound(item))
			continue;
		if (spec == NULL && json_kind(item) == JSON_OBJECT)
			spec = config_object_spec(r->a, item);
		if (spec == NULL)
			config_error(r, "agents",
			    "entry %zu must be a string or an object", i);
		else
			config_seat(r, spec);
	}
}
