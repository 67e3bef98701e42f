/* SPDX-License-Identifier: MIT
 *
 * What a debate stands on: evidence that people brought, and the sources that
 * its texts name.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "llm/llm_url.h"
#include "store/store_evidence.h"

#define EVIDENCE_TEXT_MAX   20000
#define EVIDENCE_SOURCE_MAX 2000
#define EVIDENCE_ID_BYTES   6
#define CITATIONS_MAX	    500

struct evidence_in {
	const char *evidence, *source;
};

static const struct input evidence_rows[] = {
    {.key = "evidence",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = EVIDENCE_TEXT_MAX,
	.offset = offsetof(struct evidence_in, evidence),
	.help = "The text."},
    {.key = "source",
	.kind = INPUT_TEXT,
	.max = EVIDENCE_SOURCE_MAX,
	.offset = offsetof(struct evidence_in, source),
	.help = "Where it comes from."},
};
static const struct input_list evidence_inputs = {
    evidence_rows, ARRAY_LEN(evidence_rows)};

enum http_status
debate_evidence_add(struct req *req, struct res *res)
{
	static const struct res_field empty = {"evidence", "must not be empty"};
	static const struct res_field bad = {"metadata", "must be an object"};
	const struct json *metadata = json_get(req->body, "metadata");
	struct store_debate row;
	struct evidence_in in;
	char id[ID_SIZE];

	enum http_status status =
	    input_read_body(req, &evidence_inputs, &in, res);
	if (status == HTTP_OK && *str_trim(req->arena, in.evidence) == '\0')
		return res_invalid(res, "INVALID_VALUE", &empty, 1);
	if (status == HTTP_OK && json_kind(metadata) != JSON_NULL &&
	    json_kind(metadata) != JSON_OBJECT)
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	id_make(id, "evidence_", EVIDENCE_ID_BYTES);
	const struct store_evidence evidence = {
	    .id = arena_strdup(req->arena, id),
	    .text = in.evidence,
	    .source = in.source,
	    .metadata = json_kind(metadata) == JSON_OBJECT
		? json_text(req->arena, metadata)
		: "{}",
	    .created_us = req->now_us,
	    .key = req->key};
	enum err e =
	    store_evidence_add(req->app->store, row.tenant, row.id, &evidence);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "debate_id", row.id);
	json_w_str(
	    w, "evidence_id", req->key != NULL ? req->key->ref : evidence.id);
	return res_json_end(res, HTTP_CREATED);
}

/* HTTP_OK, the debate and its evidence, or the answer is written. */
static enum http_status
evidence_read(struct req *req, struct res *res, struct store_debate *row,
    struct store_evidence **rows, size_t *n)
{
	enum http_status status = debate_out_fetch(req, res, row);

	if (status != HTTP_OK)
		return status;
	enum err e = store_evidence_list(
	    req->app->store, req->arena, row->tenant, row->id, rows, n);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

enum http_status
debate_evidence_list(struct req *req, struct res *res)
{
	struct store_evidence *rows = NULL;
	struct store_debate row;
	size_t n = 0, sourced = 0;

	enum http_status status = evidence_read(req, res, &row, &rows, &n);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_begin_array(w, "evidence");
	for (size_t i = 0; i < n; i++) {
		sourced += rows[i].source != NULL;
		json_w_begin(w, NULL);
		json_w_str(w, "evidence_id", rows[i].id);
		json_w_str(w, "evidence", rows[i].text);
		json_w_str(w, "source", rows[i].source);
		json_w_raw(w, "metadata", rows[i].metadata);
		json_w_time(w, "created_at", rows[i].created_us);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "evidence_count", (int64_t)n);
	json_w_num(w, "evidence_quality_score",
	    n > 0 ? (double)sourced / (double)n : 0);
	return res_json_end(res, HTTP_OK);
}

/* ---- sources named in the texts ---- */

enum citation_state {
	CITATION_VERIFIED,
	CITATION_UNVERIFIED,
	CITATION_INVALID,
	CITATION__COUNT
};
static const char *const citation_names[CITATION__COUNT] = {
    "verified", "unverified", "invalid"};

struct citations {
	struct json_w *w;
	struct arena *a;
	const struct store_evidence *evidence;
	size_t n_evidence;
	int64_t total, sums[CITATION__COUNT];
};

/* Where the next address begins, NULL when there is none. */
static const char *
citation_next(const char *text)
{
	const char *plain = strstr(text, "http://");
	const char *tls = strstr(text, "https://");

	if (plain == NULL || tls == NULL)
		return plain != NULL ? plain : tls;
	return plain < tls ? plain : tls;
}

/* Of the address, without the marks that end a sentence or a quotation. */
static size_t
citation_length(const char *url)
{
	size_t len = strcspn(url, " \t\r\n\"'<>()[]{}|\\^`");

	while (len > 0 && strchr(".,;:!?*_", url[len - 1]) != NULL)
		len--;
	return len;
}

static void
citation_add(struct citations *c, const struct store_turn *t, int64_t index,
    const char *url)
{
	struct err_info info;
	enum citation_state state = CITATION_UNVERIFIED;

	if (llm_url_foreign(url, false, &info) != ERR_OK)
		state = CITATION_INVALID;
	for (size_t i = 0; i < c->n_evidence; i++)
		if (str_eq(c->evidence[i].source, url))
			state = CITATION_VERIFIED;
	c->total++;
	c->sums[state]++;
	json_w_begin(c->w, NULL);
	json_w_str(c->w, "url", url);
	json_w_str(c->w, "agent", t->agent);
	json_w_int(c->w, "round", t->round);
	json_w_int(c->w, "message_index", index);
	json_w_str(c->w, "status", citation_names[state]);
	json_w_end(c->w);
}

static void
citations_of(struct citations *c, const struct store_turn *t, int64_t index)
{
	const char *at = t->content != NULL ? t->content : "";

	while (c->total < CITATIONS_MAX && (at = citation_next(at)) != NULL) {
		size_t len = citation_length(at);
		citation_add(c, t, index, arena_strndup(c->a, at, len));
		at += len;
	}
}

/* verified: the source of a piece of evidence of this debate. Nothing is
 * fetched. */
enum http_status
debate_citations(struct req *req, struct res *res)
{
	struct citations c = {.a = req->arena};
	struct store_evidence *evidence = NULL;
	struct store_turn *turns = NULL;
	struct store_debate row;
	size_t n = 0;
	int64_t index = 0;

	enum http_status status =
	    evidence_read(req, res, &row, &evidence, &c.n_evidence);
	if (status != HTTP_OK)
		return status;
	enum err e = store_turn_list(
	    req->app->store, req->arena, row.tenant, row.id, &turns, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	c.evidence = evidence;
	c.w = res_json(res);
	json_w_str(c.w, "debate_id", row.id);
	json_w_begin_array(c.w, "citations");
	for (size_t i = 0; i < n; i++)
		if (debate_view_is_message(&turns[i]))
			citations_of(&c, &turns[i], index++);
	json_w_end_array(c.w);
	json_w_int(c.w, "total", c.total);
	json_w_begin(c.w, "verification_summary");
	for (size_t i = 0; i < CITATION__COUNT; i++)
		json_w_int(c.w, citation_names[i], c.sums[i]);
	json_w_end(c.w);
	return res_json_end(res, HTTP_OK);
}
