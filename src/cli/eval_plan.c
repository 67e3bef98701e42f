/* SPDX-License-Identifier: MIT
 *
 * Which protocols, and the request each makes of a question.
 */
#include "cli/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

#define PLAN_SAMPLED	 "self_consistency"
#define PLAN_SAMPLES_MIN 2
#define PLAN_ERRORS	 16

/* ---- the list ---- */

static void
plan_value(struct json_w *w, const char *key, const char *text)
{
	int64_t integer;
	double number;
	bool is_true = str_eq(text, "true");

	if (str_to_i64(text, INT64_MIN, INT64_MAX, &integer) == ERR_OK)
		json_w_int(w, key, integer);
	else if (str_to_double(text, &number) == ERR_OK)
		json_w_num(w, key, number);
	else if (is_true || str_eq(text, "false"))
		json_w_bool(w, key, is_true);
	else
		json_w_str(w, key, text);
}

/* "debate:rounds=2": what is wrong with the rest the engine tells. */
static enum err
plan_entry(struct eval *e, const char *entry, struct eval_protocol *out,
    struct err_info *info)
{
	size_t n;
	char **parts = str_split(e->arena, entry, ':', &n);
	struct buf b;
	struct json_w w;
	enum err err = ERR_OK;

	if (n == 0)
		return err_set(info, ERR_INVALID, "--protocols",
		    "'%.80s' names no protocol", entry);
	*out = (struct eval_protocol){
	    .label = arena_strdup(e->arena, entry), .preset = parts[0]};
	buf_init(&b, 1u << 16);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "preset", out->preset);
	for (size_t i = 1; i < n; i++) {
		char *equals = strchr(parts[i], '=');
		if (equals == NULL || equals == parts[i]) {
			err = err_set(info, ERR_INVALID, "--protocols",
			    "'%.80s' is not KEY=VALUE", parts[i]);
			break;
		}
		*equals = '\0';
		plan_value(&w, parts[i], equals + 1);
		if (str_eq(parts[i], "samples") &&
		    str_to_i64(equals + 1, 0, INT64_MAX, &out->samples) !=
			ERR_OK)
			out->samples = -1; /* the engine refuses it */
	}
	json_w_end(&w);
	out->settings = arena_strdup(e->arena, buf_text(&b));
	buf_release(&b);
	return err;
}

static struct eval_protocol *
plan_find(struct eval *e, const char *label)
{
	for (size_t i = 0; i < e->n_protocols; i++)
		if (str_eq(e->protocols[i].label, label))
			return &e->protocols[i];
	return NULL;
}

/* --samples: of every self_consistency that does not say it itself. */
static enum err
plan_samples(struct eval *e, const char *samples, struct err_info *info)
{
	const struct eval_protocol *like = plan_find(e, samples);
	int64_t n = 0;

	if (like == NULL &&
	    str_to_i64(samples, PLAN_SAMPLES_MIN, INT64_MAX, &n) != ERR_OK)
		return err_set(info, ERR_INVALID, "--samples",
		    "'%.80s' is neither a number of at least %d nor one of "
		    "--protocols",
		    samples, PLAN_SAMPLES_MIN);
	if (like != NULL && str_eq(like->preset, PLAN_SAMPLED))
		return err_set(info, ERR_INVALID, "--samples",
		    "'%.80s' cannot be its own measure", samples);
	for (size_t i = 0; i < e->n_protocols; i++) {
		struct eval_protocol *p = &e->protocols[i];
		if (!str_eq(p->preset, PLAN_SAMPLED) || p->samples != 0)
			continue;
		p->samples = n;
		p->like = like;
	}
	return ERR_OK;
}

enum err
eval_plan_read(struct eval *e, const char *list, const char *samples,
    struct err_info *info)
{
	size_t n;
	char **entries = str_split(e->arena, list, ',', &n);

	e->protocols = ARENA_ARRAY(e->arena, n + 1, struct eval_protocol);
	for (size_t i = 0; i < n; i++) {
		if (plan_find(e, entries[i]) != NULL)
			return err_set(info, ERR_INVALID, "--protocols",
			    "'%.80s' is there twice", entries[i]);
		enum err err = plan_entry(
		    e, entries[i], &e->protocols[e->n_protocols], info);
		if (err != ERR_OK)
			return err;
		e->n_protocols++;
	}
	if (e->n_protocols == 0)
		return err_set(
		    info, ERR_INVALID, "--protocols", "names no protocol");
	return samples != NULL ? plan_samples(e, samples, info) : ERR_OK;
}

/* ---- requests ---- */

/* Every protocol draws the same seats' first answers to a question: they are
 * compared by what they make of them. */
static int64_t
plan_seed(const struct eval *e, const struct eval_item *item)
{
	return (
	    int64_t)(str_hash(item->id, strlen(item->id), (uint64_t)e->seed) &
	    INT64_MAX);
}

static void
plan_protocol(struct json_w *w, struct arena *a, const struct eval_protocol *p)
{
	const struct json *settings = NULL;
	const char *key;
	const struct json *value;

	if (json_parse(a, p->settings, strlen(p->settings), NULL, &settings,
		NULL) != ERR_OK)
		abort(); /* we wrote it */
	json_w_begin(w, "protocol");
	for (void *it = NULL; json_next(settings, &it, &key, &value);)
		if (p->samples <= 0 || !str_eq(key, "samples"))
			json_w_json(w, key, value);
	if (p->samples > 0)
		json_w_int(w, "samples", p->samples);
	json_w_end(w);
}

enum err
eval_plan_config(const struct eval *e, struct arena *a,
    const struct eval_protocol *p, const struct eval_item *item,
    struct debate_config *out, struct debate_config_error *errors, size_t *n)
{
	const struct json_limits limits = {.max_bytes = EVAL_LINE_MAX};
	const struct json *body = NULL;
	bool is_missing;
	struct buf b;
	struct json_w w;

	buf_init(&b, EVAL_LINE_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "question", item->task);
	json_w_str(&w, "domain", item->domain);
	json_w_int(&w, "seed", plan_seed(e, item));
	if (e->agents != NULL)
		json_w_str(&w, "agents", e->agents);
	plan_protocol(&w, a, p);
	json_w_end(&w);
	enum err err = json_parse(a, buf_text(&b), b.len, &limits, &body, NULL);
	buf_release(&b);
	if (err != ERR_OK) {
		*n = 0;
		return err;
	}
	err = debate_config_read(
	    a, e->settings, body, out, errors, n, &is_missing);
	out->audience_share_ppm = 0; /* there is nobody to listen to */
	return err;
}

/* One model in all seats that talk to each other. */
static bool
plan_is_alike(const struct debate_config *c)
{
	for (size_t i = 1; i < c->n_agents; i++)
		if (c->agents[i].row != c->agents[0].row ||
		    !str_eq(c->agents[i].model, c->agents[0].model))
			return false;
	return c->n_agents > 1;
}

/* Does an error speak of the question, and not of the protocol? */
static bool
plan_is_of_item(const struct debate_config_error *error)
{
	return str_eq(error->field, "question") ||
	    str_eq(error->field, "domain");
}

static int64_t
plan_check_one(struct eval *e, const struct eval_protocol *p,
    const struct eval_item *item, bool is_first)
{
	struct debate_config_error errors[PLAN_ERRORS];
	struct debate_config config;
	struct arena *a = arena_new(0);
	size_t n = PLAN_ERRORS;
	int64_t told = 0;

	if (eval_plan_config(e, a, p, item, &config, errors, &n) == ERR_OK) {
		n = 0;
		e->are_alike = e->are_alike ||
		    (!str_eq(p->preset, PLAN_SAMPLED) &&
			plan_is_alike(&config));
	}
	for (size_t i = 0; i < n; i++) {
		bool is_of_item = plan_is_of_item(&errors[i]);
		if (is_of_item && p != &e->protocols[0])
			continue; /* said already */
		if (is_of_item)
			fprintf(stderr, "aragora eval: line %lld: %s: %s\n",
			    (long long)item->line, errors[i].field,
			    errors[i].message);
		else if (is_first)
			fprintf(stderr, "aragora eval: %s: %s: %s\n", p->label,
			    errors[i].field, errors[i].message);
		told += is_of_item || is_first;
	}
	arena_free(&a);
	return told;
}

enum err
eval_plan_check(struct eval *e)
{
	int64_t told = 0;

	for (size_t i = 0; i < e->n_protocols; i++)
		told += plan_check_one(e, &e->protocols[i], &e->items[0], true);
	for (size_t i = 1; i < e->n_items && told < EVAL_ERRORS_MAX; i++)
		told +=
		    plan_check_one(e, &e->protocols[0], &e->items[i], false);
	return told == 0 ? ERR_OK : ERR_INVALID;
}

/* ---- as many samples as cost the same ---- */

void
eval_plan_samples(struct eval *e, struct eval_protocol *p)
{
	struct eval_cost all = {0};
	int64_t runs = 0;
	int64_t max = e->settings->max_agents_per_debate;

	for (size_t i = 0; i < e->n_runs; i++)
		if (e->runs[i].protocol == p->like &&
		    e->runs[i].state == EVAL_DONE) {
			eval_cost_add(&all, &e->runs[i].cost);
			runs++;
		}
	int64_t tokens = all.tokens_in + all.tokens_out;
	if (runs == 0 || all.proposal_tokens == 0 || tokens == 0) {
		p->samples = PLAN_SAMPLES_MIN;
		return;
	}
	double one = (double)all.proposal_tokens / (double)all.proposals;
	double each = (double)tokens / (double)runs;
	p->samples = (int64_t)(each / one + 0.5);
	if (p->samples < PLAN_SAMPLES_MIN)
		p->samples = PLAN_SAMPLES_MIN;
	if (p->samples > max)
		p->samples = max;
	p->like_share = one * (double)p->samples / each;
}
