/* SPDX-License-Identifier: MIT
 *
 * The registry of agents. Knows settings, but no network.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "llm/llm_provider.h"
#include "settings/settings.h"

static const struct llm_dialect_row llm_dialects[LLM_DIALECT__COUNT] = {
#define X(id, text, base_path, limit, usage, format, seed)                     \
	[LLM_##id] = {text, base_path, limit, usage, format, seed},
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
#include "llm/agents.def"
#undef AGENT
#undef AGENT_ALIAS
};

static const struct {
	const char *alias;
	const char *name;
} llm_aliases[] = {
#define AGENT(...)
#define AGENT_ALIAS(other, agent) {other, agent},
#include "llm/agents.def"
#undef AGENT
#undef AGENT_ALIAS
};

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

/* Is the host of the URL 127.a.b.c, localhost or [::1]? Whatever else is in
 * it, such as a user name, makes it none. */
static bool
llm_is_loopback(const char *url)
{
	const char *host = strstr(url, "://");
	struct in_addr address;
	char name[64];

	host = host != NULL ? host + 3 : url;
	size_t len = strcspn(host, "/?#");
	if (len >= sizeof(name) || memchr(host, '@', len) != NULL)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	if (str_starts(name, "[::1]"))
		return name[5] == '\0' || name[5] == ':';
	name[strcspn(name, ":")] = '\0';
	return str_ieq(name, "localhost") ||
	    (inet_pton(AF_INET, name, &address) == 1 &&
		str_starts(name, "127."));
}

bool
llm_agent_is_available(const struct llm_agent_row *row,
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
	    !llm_is_loopback(llm_agent_url(row, settings))) {
		err_set(why, ERR_DENIED, "agents",
		    "ARAGORA_OFFLINE is set and its endpoint is not local");
		return false;
	}
	return true;
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
