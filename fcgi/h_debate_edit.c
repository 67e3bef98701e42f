/* SPDX-License-Identifier: MIT
 *
 * What people change of a debate after it was asked. Every change is made
 * over the revision that was read, and again over a newer one: two of them at
 * once both hold. With If-Match the caller says which revision it has seen.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "debate/view.h"
#include "cache/cache.h"
#include "fcgi/debate_out.h"

#define EDIT_TITLE_MAX	  500
#define EDIT_TAGS_MAX	  20
#define EDIT_TAG_MAX	  50
#define EDIT_METADATA_MAX 16384
#define EDIT_NOTE_MAX	  10000
#define EDIT_BATCH_MAX	  100
#define EDIT_TRIES	  5 /* over revisions of others */
#define EDIT_ID_BYTES	  6

enum edit_tags { EDIT_TAGS_SET, EDIT_TAGS_ADD, EDIT_TAGS_REMOVE };

/* What a request asks for; NULL and -1 leave as it is. */
struct edit {
	const char *title;
	const struct json *tags;
	enum edit_tags how;
	const struct json *metadata;
	int is_archived;
	const char *note;
	int64_t revision; /* it must be this one; -1 = any */
};

/* ---- reading the request ---- */

struct edit_in {
	const char *title, *status, *notes;
	int is_archived;
};

static const struct input edit_rows[] = {
    {.key = "title",
	.kind = INPUT_TEXT,
	.max = EDIT_TITLE_MAX,
	.offset = offsetof(struct edit_in, title),
	.help = "Shown instead of the question."},
    {.key = "status",
	.kind = INPUT_TEXT,
	.max = EDIT_TAG_MAX,
	.offset = offsetof(struct edit_in, status),
	.help = "archived or active."},
    {.key = "archived",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct edit_in, is_archived),
	.help = "The same as a truth value."},
    {.key = "notes",
	.kind = INPUT_TEXT,
	.max = EDIT_NOTE_MAX,
	.offset = offsetof(struct edit_in, notes),
	.help = "One more note."},
};
static const struct input_list edit_inputs = {edit_rows, ARRAY_LEN(edit_rows)};

static enum http_status
edit_wrong(struct res *res, const char *field, const char *message)
{
	struct res_field f = {field, message};

	return res_invalid(res, "INVALID_VALUE", &f, 1);
}

static enum http_status
edit_read_tags(struct res *res, const struct json *tags)
{
	if (json_kind(tags) != JSON_ARRAY || json_len(tags) > EDIT_TAGS_MAX)
		return edit_wrong(
		    res, "tags", "must be an array of at most 20 texts");
	for (size_t i = 0; i < json_len(tags); i++) {
		size_t len = 0;
		const char *tag = json_str(json_at(tags, i), &len);
		if (tag == NULL || len == 0 || len > EDIT_TAG_MAX)
			return edit_wrong(
			    res, "tags", "must be texts of 1 to 50 bytes");
	}
	return HTTP_OK;
}

static enum http_status
edit_read_metadata(
    struct req *req, struct res *res, const struct json *metadata)
{
	if (json_kind(metadata) != JSON_OBJECT ||
	    strlen(json_text(req->arena, metadata)) > EDIT_METADATA_MAX)
		return edit_wrong(res, "metadata",
		    "must be an object of at most 16384 bytes");
	return HTTP_OK;
}

/* The revision in an ETag of debate_out_is_known, or "3" alone. */
static enum http_status
edit_read_match(struct req *req, struct res *res, struct edit *edit)
{
	const char *text = req->env->value[ENV_IF_MATCH];

	edit->revision = -1;
	if (str_is_empty(text) || str_eq(text, "*"))
		return HTTP_OK;
	text += str_starts(text, "W/") ? 2 : 0;
	const char *digits = arena_strndup(
	    req->arena, text + (*text == '"'), strcspn(text + 1, "-\""));
	if (*text != '"' ||
	    str_to_i64(digits, 0, INT64_MAX, &edit->revision) != ERR_OK)
		return edit_wrong(
		    res, "If-Match", "must be an ETag of this debate");
	return HTTP_OK;
}

static enum http_status
edit_read(struct req *req, struct res *res, struct edit *edit)
{
	struct edit_in in;

	enum http_status status = input_read_body(req, &edit_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	*edit = (struct edit){.title = in.title,
	    .note = in.notes,
	    .is_archived = in.is_archived,
	    .tags = json_get(req->body, "tags"),
	    .metadata = json_get(req->body, "metadata")};
	if (in.status != NULL) {
		if (!str_eq(in.status, "archived") &&
		    !str_eq(in.status, "active"))
			return edit_wrong(
			    res, "status", "can be set to archived or active");
		edit->is_archived = str_eq(in.status, "archived");
	}
	if (edit->title != NULL && *edit->title == '\0')
		return edit_wrong(res, "title", "must not be empty");
	if (edit->tags != NULL)
		status = edit_read_tags(res, edit->tags);
	if (status == HTTP_OK && edit->metadata != NULL)
		status = edit_read_metadata(req, res, edit->metadata);
	return status == HTTP_OK ? edit_read_match(req, res, edit) : status;
}

/* ---- making the change ---- */

static const struct json *
edit_parse(struct arena *a, const char *text)
{
	const struct json *j = NULL;

	if (text == NULL ||
	    json_parse(a, text, strlen(text), NULL, &j, NULL) != ERR_OK)
		return NULL;
	return j;
}

static bool
edit_has(const struct json *list, const char *text)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i), NULL), text))
			return true;
	return false;
}

/* The old tags and the ones asked for, without repetition; returns how many. */
static size_t
edit_write_tags(
    struct json_w *w, const struct edit *edit, const struct json *old)
{
	bool is_kept = edit->tags == NULL || edit->how != EDIT_TAGS_SET;
	size_t n = 0;

	json_w_begin_array(w, "tags");
	for (size_t i = 0; is_kept && i < json_len(old); i++) {
		const char *tag = json_str(json_at(old, i), NULL);
		if (edit->how == EDIT_TAGS_REMOVE && edit_has(edit->tags, tag))
			continue;
		json_w_str(w, NULL, tag);
		n++;
	}
	for (size_t i = 0; i < json_len(edit->tags); i++) {
		const char *tag = json_str(json_at(edit->tags, i), NULL);
		bool is_new = edit->how != EDIT_TAGS_REMOVE &&
		    !(is_kept && edit_has(old, tag));
		for (size_t k = 0; is_new && k < i; k++)
			is_new = !str_eq(
			    json_str(json_at(edit->tags, k), NULL), tag);
		if (!is_new)
			continue;
		json_w_str(w, NULL, tag);
		n++;
	}
	json_w_end_array(w);
	return n;
}

/* What is kept of the tenant and tells of its debates. */
static void
edit_cached(
    struct req *req, void (*fn)(struct cache *, enum cache_kind, const char *))
{
	static const enum cache_kind kinds[] = {
	    CACHE_RATINGS, CACHE_TRENDING, CACHE_ANALYTICS};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		fn(req->app->cache, kinds[i], req->caller.tenant);
}

static enum err
edit_relabel(struct req *req, const struct store_debate *row)
{
	edit_cached(req, cache_hold);
	enum err e = store_debate_relabel(req->app->store, row);
	edit_cached(req, cache_drop);
	return e;
}

static enum err
edit_delete(struct req *req, const struct store_debate *row)
{
	edit_cached(req, cache_hold);
	enum err e = store_debate_delete(req->app->store, row->tenant, row->id);
	edit_cached(req, cache_drop);
	return e;
}

/* The row's labels with the change; false when there are too many tags. */
static bool
edit_labels(struct req *req, const struct edit *edit, struct store_debate *row)
{
	const struct json *labels = edit_parse(req->arena, row->labels);
	const struct json *config = edit_parse(req->arena, row->config);
	const struct json *tags = json_get(labels, "tags");
	const struct json *metadata = edit->metadata != NULL
	    ? edit->metadata
	    : json_get(labels, "metadata");
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	size_t n = edit_write_tags(
	    &w, edit, tags != NULL ? tags : json_get(config, "tags"));
	if (metadata != NULL)
		json_w_json(&w, "metadata", metadata);
	json_w_end(&w);
	row->labels = arena_strdup(req->arena, buf_text(&b));
	buf_release(&b);
	return n <= EDIT_TAGS_MAX;
}

static enum http_status
edit_once(struct req *req, struct res *res, const struct edit *edit,
    struct store_debate *row, enum err *e)
{
	enum http_status status = debate_out_fetch(req, res, row);

	*e = ERR_OK;
	if (status != HTTP_OK)
		return status;
	if (edit->revision >= 0 && row->revision != edit->revision)
		return res_fail(res, HTTP_PRECONDITION, "PRECONDITION_FAILED",
		    "debate '%s' was changed since: it is at revision %lld",
		    row->id, (long long)row->revision);
	if (edit->is_archived > 0 && !store_status_is_final(row->status))
		return res_fail(res, HTTP_CONFLICT, "CONFLICT",
		    "debate '%s' is not finished: it cannot be archived",
		    row->id);
	if (edit->title != NULL)
		row->title = edit->title;
	if (edit->is_archived >= 0)
		row->archived_us = edit->is_archived > 0 ? req->now_us : 0;
	if ((edit->tags != NULL || edit->metadata != NULL) &&
	    !edit_labels(req, edit, row))
		return edit_wrong(
		    res, "tags", "would be more than 20 on this debate");
	*e = edit_relabel(req, row);
	return HTTP_OK;
}

static enum err
edit_note(struct req *req, const struct store_debate *row, const char *text,
    struct store_note *note)
{
	char id[ID_SIZE];

	id_make(id, "note_", EDIT_ID_BYTES);
	*note = (struct store_note){.id = arena_strdup(req->arena, id),
	    .text = text,
	    .created_us = req->now_us,
	    .key = req->key};
	enum err e =
	    store_note_add(req->app->store, row->tenant, row->id, note);
	if (e == ERR_OK && req->key != NULL)
		note->id = req->key->ref;
	return e;
}

/* HTTP_OK and the row as it is now, or the answer is written. */
static enum http_status
edit_apply(struct req *req, struct res *res, const struct edit *edit,
    struct store_debate *row)
{
	enum err e = ERR_CONFLICT;
	struct store_note note;

	for (int i = 0; i < EDIT_TRIES && e == ERR_CONFLICT; i++) {
		enum http_status status = edit_once(req, res, edit, row, &e);
		if (status != HTTP_OK)
			return status;
	}
	if (e == ERR_OK && edit->note != NULL)
		e = edit_note(req, row, edit->note, &note);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	return debate_out_fetch(req, res, row);
}

static void
edit_answer_ids(struct json_w *w, const struct store_debate *row)
{
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row->id);
}

enum http_status
debate_change(struct req *req, struct res *res)
{
	static const char *const fields[] = {
	    "title", "tags", "status", "metadata", "notes", "archived"};
	struct store_debate row;
	struct edit edit;

	enum http_status status = edit_read(req, res, &edit);
	if (status == HTTP_OK)
		status = edit_apply(req, res, &edit, &row);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_begin_array(w, "updated_fields");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (json_kind(json_get(req->body, fields[i])) != JSON_NULL)
			json_w_str(w, NULL, fields[i]);
	json_w_end_array(w);
	debate_view_members(
	    w, req->arena, &row, NULL, 0, DEBATE_VIEW_LIST, req->now_us);
	debate_out_links(w, req, row.id);
	return res_json_end(res, HTTP_OK);
}

/* ---- tags and metadata ---- */

static enum http_status
edit_tags(struct req *req, struct res *res, enum edit_tags how)
{
	struct store_debate row;
	struct edit edit = {.is_archived = -1,
	    .revision = -1,
	    .how = how,
	    .tags = json_get(req->body, "tags")};

	enum http_status status = edit_read_tags(res, edit.tags);
	if (status == HTTP_OK)
		status = edit_apply(req, res, &edit, &row);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	json_w_json(
	    w, "tags", json_get(edit_parse(req->arena, row.labels), "tags"));
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_tags_add(struct req *req, struct res *res)
{
	return edit_tags(req, res, EDIT_TAGS_ADD);
}

enum http_status
debate_tags_remove(struct req *req, struct res *res)
{
	return edit_tags(req, res, EDIT_TAGS_REMOVE);
}

enum http_status
debate_metadata_set(struct req *req, struct res *res)
{
	struct store_debate row;
	struct edit edit = {.is_archived = -1,
	    .revision = -1,
	    .metadata = json_get(req->body, "metadata")};

	enum http_status status = edit_read_metadata(req, res, edit.metadata);
	if (status == HTTP_OK)
		status = edit_apply(req, res, &edit, &row);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	json_w_json(w, "metadata", edit.metadata);
	return res_json_end(res, HTTP_OK);
}

/* ---- archive ---- */

static enum http_status
edit_archive(struct req *req, struct res *res, bool is_archived)
{
	struct store_debate row;
	struct edit edit = {.is_archived = is_archived, .revision = -1};

	enum http_status status = edit_apply(req, res, &edit, &row);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	json_w_bool(w, "archived", is_archived);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_archive(struct req *req, struct res *res)
{
	return edit_archive(req, res, true);
}

enum http_status
debate_unarchive(struct req *req, struct res *res)
{
	return edit_archive(req, res, false);
}

/* Of the ids that are finished debates of the caller. */
enum http_status
debate_archive_batch(struct req *req, struct res *res)
{
	const struct json *ids = json_get(req->body, "debate_ids");
	int64_t archived = 0;

	if (json_kind(ids) != JSON_ARRAY || json_len(ids) == 0 ||
	    json_len(ids) > EDIT_BATCH_MAX)
		return edit_wrong(
		    res, "debate_ids", "must be an array of 1 to 100 ids");
	for (size_t i = 0; i < json_len(ids); i++) {
		const char *id = json_str(json_at(ids, i), NULL);
		struct store_debate row;
		enum err e = ERR_CONFLICT;
		if (id == NULL || !id_is_valid(id))
			return edit_wrong(
			    res, "debate_ids", "must be ids of debates");
		for (int k = 0; k < EDIT_TRIES && e == ERR_CONFLICT; k++) {
			e = store_debate_get(req->app->store, req->arena,
			    req->caller.tenant, id, &row);
			if (e == ERR_OK && !store_status_is_final(row.status))
				e = ERR_NOT_FOUND;
			row.archived_us = req->now_us;
			if (e == ERR_OK)
				e = edit_relabel(req, &row);
		}
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			return res_err(res, e, NULL);
		archived += e == ERR_OK;
	}
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_int(w, "archived_count", archived);
	return res_json_end(res, HTTP_OK);
}

/* ---- notes ---- */

enum http_status
debate_notes_list(struct req *req, struct res *res)
{
	struct store_debate row;
	struct store_note *notes = NULL;
	size_t n = 0;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = store_note_list(
	    req->app->store, req->arena, row.tenant, row.id, &notes, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_begin_array(w, "notes");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		json_w_str(w, "note_id", notes[i].id);
		json_w_str(w, "note", notes[i].text);
		json_w_time(w, "created_at", notes[i].created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)n);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_notes_add(struct req *req, struct res *res)
{
	size_t len = 0;
	const char *text = json_str(json_get(req->body, "note"), &len);
	struct store_debate row;
	struct store_note note;

	if (text == NULL || len == 0 || len > EDIT_NOTE_MAX)
		return edit_wrong(
		    res, "note", "must be a text of 1 to 10000 bytes");
	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = edit_note(req, &row, text, &note);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	json_w_str(w, "note_id", note.id);
	return res_json_end(res, HTTP_CREATED);
}

enum http_status
debate_notes_remove(struct req *req, struct res *res)
{
	const char *id = req->match.params[1];
	struct store_debate row;
	struct err_info info = {0};

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = store_note_delete(req->app->store, row.tenant, row.id, id);
	if (e == ERR_NOT_FOUND)
		err_set(&info, e, "", "there is no note '%s'", id);
	if (e != ERR_OK)
		return res_err(res, e, &info);
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	return res_json_end(res, HTTP_OK);
}

/* ---- taking away ---- */

/* One that is under way ends first, so that whoever watches is told. */
enum http_status
debate_delete(struct req *req, struct res *res)
{
	struct store_debate row;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = debate_out_cancel(req, &row, "deleted by request");
	if (e == ERR_OK || e == ERR_CONFLICT)
		e = edit_delete(req, &row);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	log_info("debate.deleted", "debate_id=%s", row.id);
	struct json_w *w = res_json(res);
	edit_answer_ids(w, &row);
	json_w_bool(w, "deleted", true);
	json_w_str(w, "id", row.id);
	return res_json_end(res, HTTP_OK);
}
