/* SPDX-License-Identifier: MIT
 *
 * The configuration of a debate, read from a request and checked against the
 * settings.
 */
#include "debate/config_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "debate/config_fields.h"
#include "llm/llm_embed.h"
#include "settings/settings.h"

#define CONFIG_PPM	    1000000
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

bool
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
