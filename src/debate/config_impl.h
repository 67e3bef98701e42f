/* SPDX-License-Identifier: MIT
 *
 * What the files of the configuration share: config.c reads a request,
 * config_agents.c and config_protocol.c its seats, config_stored.c writes and
 * reads what is kept.
 */
#pragma once

#include "debate/config.h"
#include "debate/protocol_row.h"
#include "settings/settings.h"

/* One reading of a request: where errors go, and what was asked. */
struct config_reader {
	struct arena *a;
	const struct settings *settings;
	const struct json *body;
	struct debate_config *out;
	struct debate_config_error *errors;
	size_t room;
	size_t n_errors;
	bool is_missing;
};

void PRINTF(3, 4) config_error(
    struct config_reader *r, const char *field, const char *fmt, ...);
/* protocol.<key>, else <key>; *field: which of them. */
const struct json *config_get(
    struct config_reader *r, const char *key, const char **field);
/* "demo", "demo" -> "demo", "demo_2": one name per seat. */
void config_unique_name(struct config_reader *r, struct llm_agent *agent);

void config_read_agents(struct config_reader *r);

/* By its name or "semantic"; false = there is none. */
bool config_rule(const char *name, enum debate_rule *out);
/* A copy that is called as calls and events name it. */
const struct llm_agent *config_embedder(
    struct arena *a, const struct llm_agent *agent);

/* Place in the list, -1 = none of it. */
int config_protocol_find(const char *name);
int config_topology_find(const char *name);
/* Before the agents are read; and after: as many seats as it needs. */
void config_read_protocol(struct config_reader *r);
void config_seat_protocol(struct config_reader *r);
