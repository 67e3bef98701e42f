/* SPDX-License-Identifier: MIT
 *
 * The protocol of a request and the seats it needs.
 */
#include "debate/config_impl.h"

#include "base/str.h"

#define CONFIG_SAMPLES	   5
#define CONFIG_SAMPLES_MIN 2

static const char *const protocol_names[] = {
#define X(id, text) [id] = text,
    DEBATE_PROTOCOL_LIST(X)
#undef X
};

static const char *const topology_names[] = {
#define X(id, text) [id] = text,
    DEBATE_TOPOLOGY_LIST(X)
#undef X
};

const char *
debate_protocol_name(enum debate_protocol p)
{
	return protocol_names[p];
}

const char *
debate_topology_name(enum debate_topology t)
{
	return topology_names[t];
}

static int
config_find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return (int)i;
	return -1;
}

int
config_protocol_find(const char *name)
{
	return config_find(protocol_names, ARRAY_LEN(protocol_names), name);
}

int
config_topology_find(const char *name)
{
	return config_find(topology_names, ARRAY_LEN(topology_names), name);
}

void
config_read_protocol(struct config_reader *r)
{
	const char *field;
	const struct json *value = config_get(r, "preset", &field);
	int place = config_protocol_find(json_str(value, NULL));

	if (place >= 0)
		r->out->protocol = (enum debate_protocol)place;
	else if (json_kind(value) != JSON_NULL)
		config_error(r, field,
		    "must be one of debate, single, self_consistency, "
		    "council, moa, debate_judge, cascade");
	value = config_get(r, "topology", &field);
	place = config_topology_find(json_str(value, NULL));
	if (place >= 0)
		r->out->topology = (enum debate_topology)place;
	else if (json_kind(value) != JSON_NULL)
		config_error(
		    r, field, "must be one of all, ring, star, sparse");
}

/* n seats: the first n of those there are, or these again in turn. */
static void
config_seats(struct config_reader *r, size_t n)
{
	struct debate_config *out = r->out;
	size_t given = out->n_agents;
	struct llm_agent *agents = ARENA_ARRAY(r->a, n + 1, struct llm_agent);

	for (size_t i = 0; i < n && i < given; i++)
		agents[i] = out->agents[i];
	out->agents = agents;
	out->n_agents = given < n ? given : n;
	while (out->n_agents < n) {
		struct llm_agent *next = &agents[out->n_agents];
		*next = agents[out->n_agents % given];
		config_unique_name(r, next);
		out->n_agents++;
	}
}

static void
config_read_samples(struct config_reader *r)
{
	bool are_named = json_kind(json_get(r->body, "agents")) != JSON_NULL;
	int64_t max = r->settings->max_agents_per_debate;
	int64_t samples = CONFIG_SAMPLES < max ? CONFIG_SAMPLES : max;
	const char *field;
	const struct json *value = config_get(r, "samples", &field);

	if (are_named && r->out->n_agents >= CONFIG_SAMPLES_MIN)
		samples = (int64_t)r->out->n_agents;
	if (json_kind(value) != JSON_NULL &&
	    (!json_int(value, &samples) || samples < CONFIG_SAMPLES_MIN ||
		samples > max)) {
		config_error(r, field, "must be an integer from %d to %lld",
		    CONFIG_SAMPLES_MIN, (long long)max);
		return;
	}
	config_seats(r, (size_t)samples);
}

void
config_seat_protocol(struct config_reader *r)
{
	static const char *const roles[] = {"affirmative", "negative", "judge"};
	const struct protocol_row *row = protocol_row(r->out->protocol);

	if (r->out->n_agents == 0)
		return; /* that was said already */
	if (r->out->protocol == DEBATE_BY_SELF_CONSISTENCY)
		config_read_samples(r);
	else if (row->n_agents > 0)
		config_seats(r, row->n_agents);
	if (r->out->protocol != DEBATE_BY_JUDGE)
		return;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (str_is_empty(r->out->agents[i].role))
			r->out->agents[i].role = roles[i];
}
