/* SPDX-License-Identifier: MIT
 *
 * The configuration of a debate: checked against the settings on the way in,
 * written and read back as JSON.
 */
#include "debate/config_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "debate/config_fields.h"
#include "debate/recall.h"
#include "llm/llm_embed.h"
#include "settings/settings.h"

#define CONFIG_PPM	    1000000
#define CONFIG_DEMO_SEATS   3
#define CONFIG_DEMO_ROUNDS  3
#define CONFIG_LIGHT_ROUNDS 4
#define CONFIG_CONTEXT_MAX  (256u << 10)
#define CONFIG_EXTRA_MAX    (16u << 10)
#define CONFIG_ASKED_MAX    (64u << 10)
#define CONFIG_TAGS_MAX	    20
#define CONFIG_TAG_MAX	    50

static const char *const config_rule_names[DEBATE_RULE__COUNT] = {
#define X(id, text) [id] = text,
    DEBATE_RULE_LIST(X)
#undef X
};

const char *
debate_rule_name(enum debate_rule r)
{
	return config_rule_names[r];
}

#define CONFIG_EMBEDDER "embedder"

/* How calls and events name it. */
static const struct llm_agent *
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

void
config_error(struct config_reader *r, const char *field, const char *fmt, ...)
{
	va_list ap;

	if (r->n_errors >= r->room)
		return;
	struct debate_config_error *e = &r->errors[r->n_errors++];
	snprintf(e->field, sizeof(e->field), "%s", field);
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
}

const struct json *
config_get(struct config_reader *r, const char *key, const char **field)
{
	const struct json *inner = json_get(json_get(r->body, "protocol"), key);

	*field = inner != NULL ? arena_printf(r->a, "protocol.%s", key) : key;
	return inner != NULL ? inner : json_get(r->body, key);
}

static void
config_report(void *arg, const char *field, const char *message)
{
	config_error(arg, field, "%s", message);
}

static void
config_read_task(struct config_reader *r)
{
	const struct json *value = json_get(r->body, "question");
	const char *field = "question";
	size_t len = 0;

	if (json_kind(value) == JSON_NULL) {
		value = json_get(r->body, "task");
		field = "task";
	}
	if (json_kind(value) == JSON_NULL) {
		r->is_missing = true;
		config_error(r, "task", "is required");
		return;
	}
	const char *text = json_str(value, &len);
	if (text == NULL) {
		config_error(r, field, "must be a string, not %s",
		    json_kind_name(json_kind(value)));
		return;
	}
	r->out->task = str_trim(r->a, text);
	size_t chars = str_utf8_count(r->out->task, strlen(r->out->task));
	if (chars == 0)
		config_error(r, field, "must not be empty");
	else if ((int64_t)chars > r->settings->max_question_length)
		config_error(r, field,
		    "has %zu characters, at most %lld are allowed", chars,
		    (long long)r->settings->max_question_length);
}

static void
config_read_context(struct config_reader *r)
{
	const struct json *value = json_get(r->body, "context");

	r->out->context = "";
	switch (json_kind(value)) {
	case JSON_NULL:
		return;
	case JSON_STRING:
		r->out->context = str_trim(r->a, json_str(value, NULL));
		break;
	case JSON_OBJECT:
		r->out->context =
		    json_len(value) > 0 ? json_text(r->a, value) : "";
		break;
	case JSON_BOOL:
	case JSON_INT:
	case JSON_DOUBLE:
	case JSON_ARRAY:
	case JSON__COUNT:
		config_error(r, "context", "must be a string or an object");
		return;
	}
	if (strlen(r->out->context) > CONFIG_CONTEXT_MAX)
		config_error(r, "context", "is longer than %u bytes",
		    CONFIG_CONTEXT_MAX);
}

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

static void
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

static void
config_read_rounds(struct config_reader *r)
{
	const char *field;
	const struct json *value = config_get(r, "rounds", &field);
	bool is_demo = true;

	for (size_t i = 0; i < r->out->n_agents; i++)
		is_demo =
		    is_demo && str_eq(r->out->agents[i].row->provider, "demo");
	r->out->rounds =
	    is_demo ? CONFIG_DEMO_ROUNDS : r->settings->default_rounds;
	if (str_eq(json_get_str(r->body, "debate_format", "full"), "light"))
		r->out->rounds = CONFIG_LIGHT_ROUNDS;
	if (json_kind(value) != JSON_NULL && !json_int(value, &r->out->rounds))
		config_error(r, field, "must be an integer, not %s",
		    json_kind_name(json_kind(value)));
	if (r->out->rounds < 1)
		r->out->rounds = 1;
	if (r->out->rounds > r->settings->max_rounds)
		r->out->rounds = r->settings->max_rounds;
	if (protocol_row(r->out->protocol)->has_one_round)
		r->out->rounds = 1;
}

static bool
config_rule(const char *name, enum debate_rule *out)
{
	if (str_eq(name, "semantic"))
		name = "judge";
	for (int i = 0; i < DEBATE_RULE__COUNT; i++)
		if (str_eq(name, config_rule_names[i])) {
			*out = (enum debate_rule)i;
			return true;
		}
	return false;
}

/* The rule under either of its names; what both say must be one. */
static void
config_read_rule_name(struct config_reader *r)
{
	static const char *const keys[] = {"consensus_mode", "consensus"};
	bool is_given = false;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		enum debate_rule rule;
		const char *field;
		const struct json *value = config_get(r, keys[i], &field);
		if (json_kind(value) == JSON_NULL)
			continue;
		const char *name = json_str(value, NULL);
		if (name == NULL || !config_rule(name, &rule))
			config_error(r, field,
			    "must be one of majority, supermajority, "
			    "unanimous, judge, weighted, hybrid, any, "
			    "plurality, borda, irv, condorcet, none");
		else if (is_given && rule != r->out->rule)
			config_error(r, field, "contradicts consensus_mode");
		else
			r->out->rule = rule;
		is_given = true;
	}
	const struct protocol_row *row = protocol_row(r->out->protocol);
	if (row->has_rule && !is_given) {
		r->out->rule = row->rule;
		return;
	}
	if (row->is_rule_fixed && r->out->rule != row->rule)
		config_error(r, "consensus", "cannot be chosen: %s has '%s'",
		    row->name, debate_rule_name(row->rule));
	if (!is_given &&
	    !config_rule(r->settings->default_consensus, &r->out->rule))
		config_error(r, "ARAGORA_DEFAULT_CONSENSUS",
		    "names no rule of consensus");
}

/* A threshold of 0 to 1 is checked where the fields are. */
static void
config_read_similarity(struct config_reader *r)
{
	double convergence = r->settings->consensus_similarity;
	struct llm_agent embedder;
	struct err_info info = {0};
	const char *field;

	json_num(config_get(r, "convergence_threshold", &field), &convergence);
	r->out->similarity_ppm =
	    (int64_t)(r->settings->consensus_similarity * CONFIG_PPM + 0.5);
	r->out->convergence_ppm = (int64_t)(convergence * CONFIG_PPM + 0.5);
	r->out->early_exit_ppm =
	    (int64_t)(r->settings->consensus_early_exit * CONFIG_PPM + 0.5);
	if (llm_embed_agent(r->a, r->settings, &embedder, &info) != ERR_OK)
		config_error(r, "ARAGORA_EMBEDDING_MODEL", "%s", info.text);
	else if (embedder.row != NULL)
		r->out->embedder = config_embedder(r->a, &embedder);
}

/* Of 0 to a half, which is checked where the fields are. */
static void
config_read_audience(struct config_reader *r)
{
	double share = r->settings->audience_share;
	const char *field;

	json_num(config_get(r, "audience_share", &field), &share);
	r->out->audience_share_ppm = (int64_t)(share * CONFIG_PPM + 0.5);
}

static void
config_read_rule(struct config_reader *r)
{
	double threshold = r->settings->consensus_min_votes;
	const char *field;
	const struct json *value;

	config_read_rule_name(r);
	value = config_get(r, "consensus_threshold", &field);
	if (json_kind(value) != JSON_NULL &&
	    (!json_num(value, &threshold) || threshold < 0.5 || threshold > 1))
		config_error(r, field, "must be a number from 0.5 to 1");
	if (r->out->rule == DEBATE_SUPERMAJORITY &&
	    threshold < r->settings->consensus_supermajority)
		threshold = r->settings->consensus_supermajority;
	r->out->threshold_ppm = (int64_t)(threshold * CONFIG_PPM + 0.5);
	config_read_similarity(r);
	config_read_audience(r);
	r->out->is_early_stopping = true;
	value = config_get(r, "early_stopping", &field);
	if (json_kind(value) != JSON_NULL &&
	    !json_boolean(value, &r->out->is_early_stopping))
		config_error(r, field, "must be true or false");
}

static void
config_read_tags(struct config_reader *r)
{
	const struct json *tags = json_get(r->body, "tags");

	r->out->tags = "[]";
	if (json_kind(tags) == JSON_NULL)
		return;
	if (json_kind(tags) != JSON_ARRAY || json_len(tags) > CONFIG_TAGS_MAX) {
		config_error(r, "tags",
		    "must be an array of at most %d strings", CONFIG_TAGS_MAX);
		return;
	}
	for (size_t i = 0; i < json_len(tags); i++) {
		size_t len = 0;
		if (json_str(json_at(tags, i), &len) == NULL ||
		    len > CONFIG_TAG_MAX) {
			config_error(r, "tags",
			    "entry %zu must be a string of at most %d bytes", i,
			    CONFIG_TAG_MAX);
			return;
		}
	}
	r->out->tags = json_text(r->a, tags);
}

/* What nothing here depends on is kept as it was asked. */
static void
config_read_asked(struct config_reader *r)
{
	static const char *const keys[] = {"debate_format", "mode", "template",
	    "documents", "auto_select", "auto_select_config", "use_trending",
	    "trending_category"};
	struct buf b;
	struct json_w w;

	buf_init(&b, CONFIG_ASKED_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json *value = json_get(r->body, keys[i]);
		if (json_kind(value) != JSON_NULL)
			json_w_json(&w, keys[i], value);
	}
	json_w_end(&w);
	if (b.is_overflowed)
		config_error(r, "documents",
		    "are longer than %u bytes with mode and template",
		    CONFIG_ASKED_MAX);
	r->out->asked =
	    b.is_overflowed ? "{}" : arena_strdup(r->a, buf_text(&b));
	buf_release(&b);
}

static void
config_read_extras(struct config_reader *r)
{
	const struct json *metadata = json_get(r->body, "metadata");
	const struct json *seed = json_get(r->body, "seed");
	int64_t number;

	config_read_tags(r);
	config_read_asked(r);
	r->out->metadata = "{}";
	if (json_kind(metadata) == JSON_OBJECT)
		r->out->metadata = json_text(r->a, metadata);
	else if (json_kind(metadata) != JSON_NULL)
		config_error(r, "metadata", "must be an object");
	if (strlen(r->out->metadata) > CONFIG_EXTRA_MAX)
		config_error(
		    r, "metadata", "is longer than %u bytes", CONFIG_EXTRA_MAX);
	r->out->is_recalling = json_get_bool(r->body, "use_memory", false);
	r->out->domain =
	    arena_strdup(r->a, json_get_str(r->body, "domain", "general"));
	r->out->max_tokens = r->settings->llm_max_tokens;
	id_random(&r->out->seed, sizeof(r->out->seed));
	r->out->seed &= INT64_MAX; /* JSON integers are signed here */
	if (json_int(seed, &number) && number >= 0)
		r->out->seed = (uint64_t)number;
	else if (json_kind(seed) != JSON_NULL)
		config_error(r, "seed", "must be an integer of at least 0");
}

void
debate_config_price(
    struct debate_config *c, struct arena *a, const struct settings *settings)
{
	c->prices = ARENA_ARRAY(a, c->n_agents + 1, struct llm_price);
	for (size_t i = 0; i < c->n_agents; i++)
		c->prices[i] = llm_price_of_agent(&c->agents[i], settings);
	if (c->embedder != NULL)
		c->embedder_price = llm_price_of_agent(c->embedder, settings);
}

static void
config_read_prices(struct config_reader *r)
{
	struct debate_config *c = r->out;

	debate_config_price(c, r->a, r->settings);
	for (size_t i = 0; i < c->n_agents; i++) {
		if (c->budget.udollar >= 0 && !c->prices[i].is_known)
			config_error(r, "budget_limit_usd",
			    "cannot be kept: the price of agent '%s' is not "
			    "known; ARAGORA_LLM_PRICES can name it",
			    c->agents[i].name);
	}
}

static void
config_check_least(struct config_reader *r)
{
	const struct debate_config *c = r->out;

	if (r->n_errors > 0 || (c->budget.udollar < 0 && c->budget.tokens < 0))
		return;
	struct purse_amount least = debate_budget_least(c);
	if (c->budget.udollar >= 0 && c->budget.udollar < least.udollar)
		config_error(r, "budget_limit_usd",
		    "is not enough for an answer: at least %lld.%06lld",
		    (long long)least.udollar / CONFIG_PPM,
		    (long long)least.udollar % CONFIG_PPM);
	if (c->budget.tokens >= 0 && c->budget.tokens < least.tokens)
		config_error(r, "budget_limit_tokens",
		    "is not enough for an answer: at least %lld",
		    (long long)least.tokens);
}

static void
config_read_budget(struct config_reader *r)
{
	const struct json *usd = json_get(r->body, "budget_limit_usd");
	const struct json *tokens = json_get(r->body, "budget_limit_tokens");
	const struct json *seconds = json_get(r->body, "budget_limit_seconds");
	struct debate_config *c = r->out;
	double dollars;

	c->budget = PURSE_UNLIMITED;
	if (json_num(usd, &dollars) && dollars >= 0 && dollars <= 100)
		c->budget.udollar = (int64_t)(dollars * CONFIG_PPM + 0.5);
	if (json_kind(tokens) != JSON_NULL &&
	    !json_int(tokens, &c->budget.tokens))
		config_error(r, "budget_limit_tokens", "must be an integer");
	if (json_kind(seconds) != JSON_NULL &&
	    !json_int(seconds, &c->budget_seconds))
		config_error(r, "budget_limit_seconds", "must be an integer");
	config_read_prices(r);
}

enum err
debate_config_read(struct arena *a, const struct settings *settings,
    const struct json *body, struct debate_config *out,
    struct debate_config_error *errors, size_t *n_errors, bool *is_missing)
{
	struct config_reader r = {.a = a,
	    .settings = settings,
	    .body = body,
	    .out = out,
	    .errors = errors,
	    .room = *n_errors};

	*out = (struct debate_config){.task = ""};
	config_read_task(&r);
	config_read_context(&r);
	config_read_protocol(&r);
	config_read_agents(&r);
	config_seat_protocol(&r);
	config_read_rounds(&r);
	config_read_rule(&r);
	config_read_extras(&r);
	config_read_budget(&r);
	config_fields_check(body, config_report, &r);
	config_check_least(&r);
	*n_errors = r.n_errors;
	*is_missing = r.is_missing && r.n_errors == 1;
	return r.n_errors == 0 ? ERR_OK : ERR_INVALID;
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
