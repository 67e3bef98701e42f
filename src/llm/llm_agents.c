/* SPDX-License-Identifier: MIT
 *
 * The registry of agents. Knows settings, but no network.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"
#include "llm/llm_url.h"
#include "settings/settings.h"

static const struct llm_dialect_row llm_dialects[LLM_DIALECT__COUNT] = {
#define X(id, by, length, model, base_path, base_port, limit, usage, format,   \
    seed, key)                                                                 \
	[LLM_##id] = {LLM_NAME_##id, &by, length, model, base_path, base_port, \
	    limit, usage, format, seed, key},
    LLM_DIALECT_LIST(X)
#undef X
};

struct llm_agent_def {
	struct llm_agent_row row;
	enum llm_dialect dialect;
	ptrdiff_t key; /* offset in struct settings, -1 = none */
	ptrdiff_t url;
};

#define LLM_SETTING(field) (ptrdiff_t) offsetof(struct settings, field)

/* Where a row finds its key and URL; -1 = it needs none. */
#define LLM_FIELD_no_key	      -1
#define LLM_FIELD_no_url	      -1
#define LLM_FIELD_openai_api_key      LLM_SETTING(openai_api_key)
#define LLM_FIELD_openai_base_url     LLM_SETTING(openai_base_url)
#define LLM_FIELD_openrouter_api_key  LLM_SETTING(openrouter_api_key)
#define LLM_FIELD_openrouter_base_url LLM_SETTING(openrouter_base_url)
#define LLM_FIELD_xai_api_key	      LLM_SETTING(xai_api_key)
#define LLM_FIELD_xai_base_url	      LLM_SETTING(xai_base_url)
#define LLM_FIELD_mistral_api_key     LLM_SETTING(mistral_api_key)
#define LLM_FIELD_mistral_base_url    LLM_SETTING(mistral_base_url)
#define LLM_FIELD_anthropic_api_key   LLM_SETTING(anthropic_api_key)
#define LLM_FIELD_anthropic_base_url  LLM_SETTING(anthropic_base_url)
#define LLM_FIELD_gemini_api_key      LLM_SETTING(gemini_api_key)
#define LLM_FIELD_gemini_base_url     LLM_SETTING(gemini_base_url)
#define LLM_FIELD_deepseek_api_key    LLM_SETTING(deepseek_api_key)
#define LLM_FIELD_deepseek_base_url   LLM_SETTING(deepseek_base_url)
#define LLM_FIELD_groq_api_key	      LLM_SETTING(groq_api_key)
#define LLM_FIELD_groq_base_url	      LLM_SETTING(groq_base_url)
#define LLM_FIELD_ollama_host	      LLM_SETTING(ollama_host)
#define LLM_FIELD_lm_studio_host      LLM_SETTING(lm_studio_host)
#define LLM_FIELD_vllm_base_url	      LLM_SETTING(vllm_base_url)
#define LLM_FIELD_llamacpp_base_url   LLM_SETTING(llamacpp_base_url)

static const struct llm_agent_def llm_agent_defs[] = {
#define AGENT(agent, kind, default_model, key_field, url_field, env, text)     \
	{{.name = agent,                                                       \
	     .provider = LLM_NAME_##kind,                                      \
	     .model = default_model,                                           \
	     .key_env = env,                                                   \
	     .help = text},                                                    \
	    LLM_##kind, LLM_FIELD_##key_field, LLM_FIELD_##url_field},
#define AGENT_ALIAS(alias, name)
#define AGENT_FALLBACK(name, vendor, model)
#include "llm/agents.def"
#undef AGENT
#undef AGENT_ALIAS
#undef AGENT_FALLBACK
};

static const struct {
	const char *alias;
	const char *name;
} llm_aliases[] = {
#define AGENT(...)
#define AGENT_ALIAS(other, agent) {other, agent},
#define AGENT_FALLBACK(name, vendor, model)
#include "llm/agents.def"
#undef AGENT
#undef AGENT_ALIAS
#undef AGENT_FALLBACK
};

/* The same models at OpenRouter. */
static const struct {
	const char *name;
	const char *vendor;
	const char *model;
} llm_fallbacks[] = {
#define AGENT(...)
#define AGENT_ALIAS(alias, name)
#define AGENT_FALLBACK(agent, prefix, other) {agent, prefix, other},
#include "llm/agents.def"
#undef AGENT
#undef AGENT_ALIAS
#undef AGENT_FALLBACK
};

#define LLM_FALLBACK_ROW "openrouter"

const struct llm_dialect_row *
llm_dialect(enum llm_dialect d)
{
	return &llm_dialects[d];
}

size_t
llm_agent_count(void)
{
	return ARRAY_LEN(llm_agent_defs);
}

const struct llm_agent_row *
llm_agent_at(size_t i)
{
	return &llm_agent_defs[i].row;
}

static const struct llm_agent_def *
llm_agent_def(const struct llm_agent_row *row)
{
	return (const struct llm_agent_def *)(const void *)row;
}

enum llm_dialect
llm_agent_dialect(const struct llm_agent_row *row)
{
	return llm_agent_def(row)->dialect;
}

static const char *
llm_agent_setting(const struct settings *s, ptrdiff_t offset)
{
	if (offset < 0)
		return "";
	return *(char *const *)(const void *)((const char *)s + offset);
}

const char *
llm_agent_key(const struct llm_agent_row *row, const struct settings *s)
{
	return llm_agent_setting(s, llm_agent_def(row)->key);
}

const char *
llm_agent_url(const struct llm_agent_row *row, const struct settings *s)
{
	return llm_agent_setting(s, llm_agent_def(row)->url);
}

const struct llm_agent_row *
llm_agent_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(llm_aliases); i++)
		if (str_eq(name, llm_aliases[i].alias))
			name = llm_aliases[i].name;
	for (size_t i = 0; i < ARRAY_LEN(llm_agent_defs); i++)
		if (str_eq(name, llm_agent_defs[i].row.name))
			return &llm_agent_defs[i].row;
	return NULL;
}

const char *
llm_agent_model(const struct llm_agent *agent)
{
	return str_is_empty(agent->model) ? agent->row->model : agent->model;
}

bool
llm_agent_is_direct(const struct llm_agent_row *row,
    const struct settings *settings, struct err_info *why)
{
	if (llm_agent_dialect(row) == LLM_DEMO)
		return true;
	if (*row->key_env != '\0' &&
	    str_is_empty(llm_agent_key(row, settings))) {
		err_set(
		    why, ERR_DENIED, "agents", "%s is not set", row->key_env);
		return false;
	}
	if (settings->offline &&
	    !llm_url_is_loopback(llm_agent_url(row, settings))) {
		err_set(why, ERR_DENIED, "agents",
		    "ARAGORA_OFFLINE is set and its endpoint is not local");
		return false;
	}
	return true;
}

bool
llm_agent_fallback(struct arena *a, const struct llm_agent *agent,
    const struct settings *settings, struct llm_agent *out)
{
	const struct llm_agent_row *row = llm_agent_find(LLM_FALLBACK_ROW);

	if (!settings->llm_fallback ||
	    !llm_agent_is_direct(row, settings, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(llm_fallbacks); i++) {
		if (!str_eq(llm_fallbacks[i].name, agent->row->name))
			continue;
		*out = *agent;
		out->row = row;
		out->model = str_eq(llm_agent_model(agent), agent->row->model)
		    ? llm_fallbacks[i].model
		    : arena_printf(
			  a, "%s/%s", llm_fallbacks[i].vendor, agent->model);
		return true;
	}
	return false;
}

const char *
llm_agent_identity(struct arena *a, const struct llm_agent *agent)
{
	const struct llm_agent_row *row = agent->row;
	const char *model = llm_agent_model(agent);

	if (llm_agent_dialect(row) == LLM_OPENROUTER)
		return model;
	for (size_t i = 0; i < ARRAY_LEN(llm_fallbacks); i++)
		if (str_eq(llm_fallbacks[i].name, row->name))
			return str_eq(model, row->model)
			    ? llm_fallbacks[i].model
			    : arena_printf(
				  a, "%s/%s", llm_fallbacks[i].vendor, model);
	return arena_printf(a, "%s:%s", row->provider, model);
}

bool
llm_agent_is_available(const struct llm_agent_row *row,
    const struct settings *settings, struct err_info *why)
{
	const struct llm_agent seat = {.row = row, .model = ""};
	struct llm_agent other;

	return llm_agent_is_direct(row, settings, why) ||
	    llm_agent_fallback(NULL, &seat, settings, &other);
}

enum err
llm_agent_parse(struct arena *a, const char *spec, struct llm_agent *out,
    struct err_info *info)
{
	char *text = str_trim(a, spec);
	char *parts[4] = {text, NULL, NULL, NULL};

	for (size_t i = 1; i < ARRAY_LEN(parts) && parts[i - 1] != NULL; i++) {
		parts[i] = strchr(parts[i - 1], '|');
		if (parts[i] != NULL)
			*parts[i]++ = '\0';
	}
	char *colon = parts[1] == NULL ? strchr(text, ':') : NULL;
	if (colon != NULL) {
		*colon = '\0';
		parts[2] = colon + 1;
	}
	parts[0] = str_trim(a, parts[0]);
	*out = (struct llm_agent){.row = llm_agent_find(parts[0]),
	    .name = parts[0],
	    .model = parts[1] != NULL ? str_trim(a, parts[1]) : "",
	    .persona = parts[2] != NULL ? str_trim(a, parts[2]) : "",
	    .role = parts[3] != NULL ? str_trim(a, parts[3]) : ""};
	if (out->row == NULL)
		return err_set(info, ERR_INVALID, "agents",
		    "'%.100s' is not a known agent", parts[0]);
	if (strlen(out->model) > 200 || strlen(out->persona) > 200 ||
	    strlen(out->role) > 100)
		return err_set(info, ERR_INVALID, "agents",
		    "the specification of '%s' is too long", out->name);
	return ERR_OK;
}
