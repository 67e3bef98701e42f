/* SPDX-License-Identifier: MIT */
#include "fcgi/pulse.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"

#define PULSE_DAY_US	INT64_C(86400000000)
#define PULSE_DAYS	7
#define PULSE_DEBATES	500 /* the newest are looked at */
#define PULSE_OWN_MAX	200
#define PULSE_ID_DIGITS 12
#define PULSE_BODY_MAX	((size_t)12 << 20)
#define PULSE_GENERAL	"general" /* a domain that says nothing */

static const struct pulse_topic pulse_built[] = {
#define PULSE(key, text, of, ask)                                              \
	{.id = "topic_" key,                                                   \
	    .title = text,                                                     \
	    .source = PULSE_SOURCE_BUILT,                                      \
	    .category = of,                                                    \
	    .question = ask},
#include "fcgi/pulse.def"
#undef PULSE
};

struct pulse_list {
	struct req *req;
	struct pulse_topic *topics;
	size_t n;
};

static struct pulse_topic *
pulse_own(struct pulse_list *l, const char *title)
{
	struct arena *a = l->req->arena;
	char hash[ID_HASH_SIZE];

	for (size_t i = 0; i < l->n; i++)
		if (str_ieq(l->topics[i].title, title))
			return &l->topics[i];
	if (l->n == PULSE_OWN_MAX)
		return NULL;
	id_sha256(title, strlen(title), hash);
	struct pulse_topic *t = &l->topics[l->n++];
	*t = (struct pulse_topic){.title = arena_strdup(a, title),
	    .id = arena_printf(a, "topic_%.*s", PULSE_ID_DIGITS, hash),
	    .source = PULSE_SOURCE_OWN,
	    .question = arena_printf(
		a, "What is the strongest case for and against %s?", title)};
	return t;
}

static void
pulse_relate(struct pulse_topic *t, const char *title)
{
	if (str_is_empty(title) || str_ieq(t->title, title) ||
	    str_eq(title, PULSE_TAG))
		return;
	for (size_t i = 0; i < t->n_related; i++)
		if (str_ieq(t->related[i], title))
			return;
	if (t->n_related < PULSE_RELATED)
		t->related[t->n_related++] = title;
}

/* Newest first, so the first debate says the category. */
static void
pulse_count(struct pulse_list *l, struct pulse_topic *t,
    const struct store_debate *row, const char *domain)
{
	bool is_ended = row->status == STORE_COMPLETED;

	if (t->volume == 0) {
		t->category = domain;
		t->last_us = row->created_us;
	}
	t->first_us = row->created_us;
	t->volume++;
	t->recent += row->created_us >= l->req->now_us - PULSE_DAY_US;
	t->ended += is_ended;
	t->reached += is_ended && row->consensus_reached;
}

static const struct json *
pulse_parse(struct req *req, const char *text)
{
	const struct json *j = NULL;
	struct err_info info;

	if (text == NULL ||
	    json_parse(req->arena, text, strlen(text), NULL, &j, &info) !=
		ERR_OK)
		return NULL;
	return j;
}

static void
pulse_add(struct pulse_list *l, const struct store_debate *row)
{
	const struct json *config = pulse_parse(l->req, row->config);
	const struct json *labels = pulse_parse(l->req, row->labels);
	const struct json *tags = json_get(labels, "tags");
	const char *domain = json_get_str(config, "domain", PULSE_GENERAL);

	if (tags == NULL)
		tags = json_get(config, "tags");
	for (size_t i = 0; i <= json_len(tags); i++) {
		/* The domain comes last. */
		const char *title = i < json_len(tags)
		    ? json_str(json_at(tags, i), NULL)
		    : domain;
		if (str_is_empty(title) || str_eq(title, PULSE_TAG) ||
		    str_eq(title, PULSE_GENERAL))
			continue;
		struct pulse_topic *t = pulse_own(l, title);
		if (t == NULL)
			continue;
		pulse_count(l, t, row, domain);
		for (size_t k = 0; k < json_len(tags); k++)
			pulse_relate(t, json_str(json_at(tags, k), NULL));
	}
}

static void
pulse_sort(struct pulse_topic *t, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct pulse_topic one = t[i];
		size_t k = i;
		for (; k > 0 && t[k - 1].volume < one.volume; k--)
			t[k] = t[k - 1];
		t[k] = one;
	}
}

enum err
pulse_topics(struct req *req, struct pulse_topic **topics, size_t *n)
{
	struct store_debate_filter f = {.tenant = req->caller.tenant,
	    .status = -1,
	    .since_us = req->now_us - PULSE_DAYS * PULSE_DAY_US,
	    .limit = PULSE_DEBATES};
	struct pulse_list l = {.req = req};
	struct store_debate *rows = NULL;
	int64_t total = 0;
	size_t n_rows = 0;

	enum err e = store_debate_list(
	    req->app->store, req->arena, &f, &rows, &n_rows, &total);
	if (e != ERR_OK)
		return e;
	l.topics = ARENA_ARRAY(req->arena,
	    PULSE_OWN_MAX + ARRAY_LEN(pulse_built), struct pulse_topic);
	for (size_t i = 0; i < n_rows; i++)
		pulse_add(&l, &rows[i]);
	pulse_sort(l.topics, l.n);
	for (size_t i = 0; i < l.n; i++)
		l.topics[i].score =
		    (double)l.topics[i].volume / (double)l.topics[0].volume;
	memcpy(l.topics + l.n, pulse_built, sizeof(pulse_built));
	*topics = l.topics;
	*n = l.n + ARRAY_LEN(pulse_built);
	return ERR_OK;
}

const struct pulse_topic *
pulse_first(const struct pulse_topic *topics, size_t n, const char *source,
    const char *category)
{
	for (size_t i = 0; i < n; i++)
		if ((source == NULL || str_eq(topics[i].source, source)) &&
		    (category == NULL || str_ieq(topics[i].category, category)))
			return &topics[i];
	return NULL;
}

/* ---- asking ---- */

static void
pulse_write_tags(struct json_w *w, const struct json *tags)
{
	json_w_begin_array(w, "tags");
	for (size_t i = 0; i < json_len(tags); i++)
		json_w_json(w, NULL, json_at(tags, i));
	json_w_str(w, NULL, PULSE_TAG);
	json_w_end_array(w);
}

static void
pulse_write_metadata(
    struct json_w *w, const struct json *metadata, const struct pulse_topic *t)
{
	const struct json *value;
	const char *key;

	json_w_begin(w, "metadata");
	for (void *it = NULL; json_next(metadata, &it, &key, &value);)
		if (!str_starts(key, "pulse_"))
			json_w_json(w, key, value);
	json_w_str(w, "pulse_topic", t->id);
	json_w_str(w, "pulse_source", t->source);
	json_w_end(w);
}

/* What is not of the right kind stays as it is, to be refused as such. */
enum err
pulse_ask(struct req *req, const struct pulse_topic *t)
{
	static const char *const ours[] = {"task", "question", "topic",
	    "topic_id", "use_trending", "trending_category"};
	const struct json *tags = json_get(req->body, "tags");
	const struct json *metadata = json_get(req->body, "metadata");
	bool has_tags = tags == NULL || json_kind(tags) == JSON_ARRAY;
	bool has_metadata =
	    metadata == NULL || json_kind(metadata) == JSON_OBJECT;
	const struct json *value;
	struct err_info info;
	const char *key;
	struct json_w w;
	struct buf b;

	buf_init(&b, PULSE_BODY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (void *it = NULL; json_next(req->body, &it, &key, &value);) {
		bool is_ours = (has_tags && str_eq(key, "tags")) ||
		    (has_metadata && str_eq(key, "metadata"));
		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			is_ours = is_ours || str_eq(key, ours[i]);
		if (!is_ours)
			json_w_json(&w, key, value);
	}
	json_w_str(&w, "task", t->question);
	if (json_get(req->body, "domain") == NULL && t->category != NULL)
		json_w_str(&w, "domain", t->category);
	if (has_tags)
		pulse_write_tags(&w, tags);
	if (has_metadata)
		pulse_write_metadata(&w, metadata, t);
	json_w_end(&w);
	const char *text = arena_strdup(req->arena, buf_text(&b));
	enum err e = b.is_overflowed
	    ? ERR_TOO_LARGE
	    : json_parse(
		  req->arena, text, strlen(text), NULL, &req->body, &info);
	buf_release(&b);
	return e;
}

enum http_status
pulse_take_task(struct req *req, struct res *res)
{
	const char *category =
	    json_get_str(req->body, "trending_category", NULL);
	struct pulse_topic *topics;
	size_t n;

	if (!json_get_bool(req->body, "use_trending", false) ||
	    json_get(req->body, "task") != NULL ||
	    json_get(req->body, "question") != NULL)
		return HTTP_OK;
	enum err e = pulse_topics(req, &topics, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	const struct pulse_topic *t = pulse_first(topics, n, NULL, category);
	if (t == NULL) {
		struct res_field field = {
		    "trending_category", "there is no topic of this category"};
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	}
	e = pulse_ask(req, t);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}
