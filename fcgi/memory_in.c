/* SPDX-License-Identifier: MIT */
#include "fcgi/memory_in.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"

#define MEMORY_TAGS_MAX	    20
#define MEMORY_TAG_MAX	    50
#define MEMORY_METADATA_MAX 16384
#define MEMORY_DOMAIN_MAX   64
#define MEMORY_AGENT_MAX    128
#define MEMORY_BODY_MAX	    65536 /* tags and metadata as text */
#define MEMORY_IMPORTANCE   500000
#define MEMORY_SURPRISE	    500000
#define MEMORY_DEPTH	    30

static const struct input memory_rows[] = {
    {.key = "key",
	.kind = INPUT_TEXT,
	.max = MEMORY_KEY_MAX,
	.offset = offsetof(struct memory_in, key)},
    {.key = "tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_in, tier)},
    {.key = "importance",
	.kind = INPUT_SHARE,
	.fallback = -1,
	.offset = offsetof(struct memory_in, importance_ppm)},
    {.key = "surprise_score",
	.kind = INPUT_SHARE,
	.fallback = -1,
	.offset = offsetof(struct memory_in, surprise_ppm)},
    {.key = "ttl_seconds",
	.kind = INPUT_INT,
	.min = 1,
	.max = MEMORY_TTL_MAX,
	.offset = offsetof(struct memory_in, ttl_s)},
    {.key = "agent",
	.kind = INPUT_TEXT,
	.max = MEMORY_AGENT_MAX,
	.offset = offsetof(struct memory_in, agent)},
    {.key = "source_debate_id",
	.kind = INPUT_TEXT,
	.max = ID_MAX,
	.offset = offsetof(struct memory_in, debate_id)},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = MEMORY_DOMAIN_MAX,
	.offset = offsetof(struct memory_in, domain)},
};
static const struct input_list memory_inputs = {
    memory_rows, ARRAY_LEN(memory_rows)};

/* ---- checking ---- */

/* A key can be part of a path. */
static enum err
memory_check_key(const char *key, struct err_info *info)
{
	bool is_bad = *key == '\0' || strlen(key) > MEMORY_KEY_MAX;

	for (const char *p = key; *p != '\0'; p++)
		is_bad = is_bad || (unsigned char)*p < 0x20 || *p == 0x7f;
	return is_bad ? err_set(info, ERR_INVALID, "key",
			    "must be 1 to 256 bytes without control characters")
		      : ERR_OK;
}

static enum err
memory_check_tags(const struct json *tags, struct err_info *info)
{
	bool is_bad =
	    json_kind(tags) != JSON_ARRAY || json_len(tags) > MEMORY_TAGS_MAX;

	for (size_t i = 0; !is_bad && i < json_len(tags); i++) {
		size_t len = 0;
		const char *tag = json_str(json_at(tags, i), &len);
		is_bad = tag == NULL || len == 0 || len > MEMORY_TAG_MAX;
	}
	return is_bad ? err_set(info, ERR_INVALID, "tags",
			    "must be at most 20 texts of 1 to 50 bytes")
		      : ERR_OK;
}

static enum err
memory_check_metadata(
    struct arena *a, const struct json *metadata, struct err_info *info)
{
	if (json_kind(metadata) != JSON_OBJECT ||
	    strlen(json_text(a, metadata)) > MEMORY_METADATA_MAX)
		return err_set(info, ERR_INVALID, "metadata",
		    "must be an object of at most 16384 bytes");
	return ERR_OK;
}

static bool
memory_is_given(const struct json *j)
{
	return json_kind(j) != JSON_NULL;
}

enum err
memory_in_read(const struct req *req, const struct json *object,
    struct memory_in *out, struct err_info *info)
{
	const struct json *content = json_get(object, "content");

	if (json_kind(object) != JSON_OBJECT)
		return err_set(info, ERR_INVALID, "entry", "must be an object");
	enum err e = input_read_object(req, &memory_inputs, object, out, info);
	if (e != ERR_OK)
		return e;
	out->value = json_get(object, "value");
	out->tags = json_get(object, "tags");
	out->metadata = json_get(object, "metadata");
	if (!memory_is_given(out->value) && memory_is_given(content)) {
		if (json_str(content, NULL) == NULL)
			return err_set(
			    info, ERR_INVALID, "content", "must be a text");
		out->value = content;
	}
	if (out->key != NULL)
		e = memory_check_key(out->key, info);
	if (e == ERR_OK && out->debate_id != NULL &&
	    !id_is_valid(out->debate_id))
		e = err_set(info, ERR_INVALID, "source_debate_id",
		    "is not the id of a debate");
	if (e == ERR_OK && memory_is_given(out->tags))
		e = memory_check_tags(out->tags, info);
	if (e == ERR_OK && memory_is_given(out->metadata))
		e = memory_check_metadata(req->arena, out->metadata, info);
	return e;
}

enum http_status
memory_in_fail(struct res *res, enum err e, const struct err_info *info)
{
	if (e == ERR_NOT_FOUND && *info->field != '\0') {
		struct res_field field = {info->field, info->text};
		return res_invalid(res, "MISSING_FIELD", &field, 1);
	}
	return res_err(res, e, info);
}

enum http_status
memory_in_body(struct req *req, struct res *res, struct memory_in *out)
{
	struct err_info info = {0};
	enum err e = memory_in_read(req, req->body, out, &info);

	return e == ERR_OK ? HTTP_OK : memory_in_fail(res, e, &info);
}

/* ---- the stored form ---- */

const struct json *
memory_in_beside(struct arena *a, const char *body)
{
	const struct json_limits limits = {.max_depth = MEMORY_DEPTH};
	const struct json *j = NULL;

	if (str_eq(body, "{}") ||
	    json_parse(a, body, strlen(body), &limits, &j, NULL) != ERR_OK)
		return NULL;
	return j;
}

const struct json *
memory_in_value(struct arena *a, const struct json *beside, const char *content)
{
	const struct json_limits limits = {
	    .max_bytes = 64u << 20, .max_depth = MEMORY_DEPTH};
	const struct json *value = json_get(beside, "value");

	/* What debates leave has its value beside its text. */
	if (memory_is_given(value))
		return value;
	if (!json_get_bool(beside, "is_json", false) ||
	    json_parse(a, content, strlen(content), &limits, &value, NULL) !=
		ERR_OK)
		return NULL;
	return value;
}

static void
memory_set_value(
    struct arena *a, const struct json *value, const char **out, bool *is_json)
{
	const char *text = json_str(value, NULL);

	*is_json = text == NULL;
	*out = text != NULL ? text : json_text(a, value);
}

static const char *
memory_body(struct arena *a, bool is_json, const struct json *tags,
    const struct json *metadata, const char *agent)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, MEMORY_BODY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	if (is_json)
		json_w_bool(&w, "is_json", true);
	if (json_len(tags) > 0)
		json_w_json(&w, "tags", tags);
	if (!str_is_empty(agent))
		json_w_str(&w, "agent", agent);
	if (json_len(metadata) > 0)
		json_w_json(&w, "metadata", metadata);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

void
memory_in_entry(struct arena *a, const struct memory_in *in,
    enum memory_tier tier, struct store_memory *out)
{
	bool is_json;

	*out = (struct store_memory){.key = in->key,
	    .tier = in->tier >= 0 ? (enum memory_tier)in->tier : tier,
	    .domain = in->domain != NULL ? in->domain : "",
	    .debate_id = in->debate_id != NULL ? in->debate_id : "",
	    .importance_ppm = in->importance_ppm >= 0 ? in->importance_ppm
						      : MEMORY_IMPORTANCE,
	    .surprise_ppm =
		in->surprise_ppm >= 0 ? in->surprise_ppm : MEMORY_SURPRISE,
	    .ttl_s = in->ttl_s};
	memory_set_value(a, in->value, &out->content, &is_json);
	out->body = memory_body(a, is_json, in->tags, in->metadata, in->agent);
}

/* Members of both, where both have one the second's. */
static const char *
memory_merged(struct arena *a, const struct json *old, const struct json *value)
{
	const struct json *member;
	const char *key;
	struct buf b;
	struct json_w w;

	buf_init(&b, 64u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (void *it = NULL; json_next(old, &it, &key, &member);)
		if (!memory_is_given(json_get(value, key)))
			json_w_json(&w, key, member);
	for (void *it = NULL; json_next(value, &it, &key, &member);)
		if (memory_is_given(member))
			json_w_json(&w, key, member);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

enum err
memory_in_over(struct arena *a, const struct memory_in *in, bool is_merging,
    struct store_memory *m, struct err_info *info)
{
	const struct json *beside = memory_in_beside(a, m->body);
	const struct json *old = memory_in_value(a, beside, m->content);
	bool is_json = json_get_bool(beside, "is_json", false);
	bool is_given = memory_is_given(in->value);

	if (is_given && is_merging) {
		if (json_kind(old) != JSON_OBJECT ||
		    json_kind(in->value) != JSON_OBJECT)
			return err_set(info, ERR_INVALID, "merge",
			    "needs an object, there and as the value");
		m->content = memory_merged(a, old, in->value);
		is_json = true;
	} else if (is_given) {
		memory_set_value(a, in->value, &m->content, &is_json);
	}
	if (in->tier >= 0)
		m->tier = (enum memory_tier)in->tier;
	if (in->importance_ppm >= 0)
		m->importance_ppm = in->importance_ppm;
	if (in->surprise_ppm >= 0)
		m->surprise_ppm = in->surprise_ppm;
	if (in->debate_id != NULL)
		m->debate_id = in->debate_id;
	if (in->domain != NULL)
		m->domain = in->domain;
	m->ttl_s = in->ttl_s;
	/* A value beside the text is replaced with it, or both stay. */
	if (!is_given && memory_is_given(json_get(beside, "value"))) {
		m->content = json_text(a, old);
		is_json = true;
	}
	m->body = memory_body(a, is_json,
	    memory_is_given(in->tags) ? in->tags : json_get(beside, "tags"),
	    memory_is_given(in->metadata) ? in->metadata
					  : json_get(beside, "metadata"),
	    in->agent != NULL ? in->agent : json_get_str(beside, "agent", ""));
	return ERR_OK;
}

/* ---- tiers and paths ---- */

enum err
memory_in_tiers(struct arena *a, const char *field, const char *text,
    unsigned *tiers, struct err_info *info)
{
	size_t n = 0;
	char **names = str_is_empty(text) ? NULL : str_split(a, text, ',', &n);

	*tiers = n == 0 ? (1u << MEMORY_TIER__COUNT) - 1 : 0;
	for (size_t i = 0; i < n; i++) {
		enum memory_tier tier;
		if (!memory_tier_find(names[i], &tier))
			return err_set(info, ERR_INVALID, field,
			    "must be of fast, medium, slow and glacial");
		*tiers |= 1u << tier;
	}
	return ERR_OK;
}

bool
memory_in_path_tier(struct req *req, struct res *res, enum memory_tier *tier)
{
	static const struct res_field bad = {
	    "tier", "must be fast, medium, slow or glacial"};

	if (memory_tier_find(req->match.params[0], tier))
		return true;
	res_invalid(res, "INVALID_VALUE", &bad, 1);
	return false;
}

/* Words that stand for something else in this place. */
static const char *const memory_words[] = {"store", "retrieve", "delete",
    "search", "query", "entries", "tier", "tiers", "tier-stats", "stats",
    "pressure", "archive-stats", "analytics", "continuum", "critiques",
    "import", "export", "prune", "compact", "vacuum", "rebuild-index", "sync",
    "context", "cross-debate", "snapshots", "viewer", "semantic-search",
    "search-index", "search-timeline", "consolidate"};

bool
memory_in_path_key(struct req *req, struct res *res, const char **key)
{
	struct err_info info = {0};

	*key = req->match.params[0];
	for (size_t i = 0; i < ARRAY_LEN(memory_words); i++) {
		if (!str_eq(memory_words[i], *key))
			continue;
		res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is nothing at this path");
		return false;
	}
	enum err e = memory_check_key(*key, &info);
	if (e != ERR_OK)
		res_err(res, e, &info);
	return e == ERR_OK;
}
