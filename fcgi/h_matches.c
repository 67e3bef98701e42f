/* SPDX-License-Identifier: MIT
 *
 * Matches: rated debates.
 */
#include "fcgi/handler.h"

#include "base/id.h"
#include "base/str.h"
#include "fcgi/cursor.h"
#include "fcgi/debate_out.h"
#include "fcgi/rating_out.h"

#define MATCH_PAGE     20
#define MATCH_PAGE_MAX 100
#define MATCH_DOMAIN   64

struct match_in {
	int64_t limit, offset, since_us, until_us;
	const char *domain, *cursor;
};

static const struct input match_rows[] = {
    {.key = "limit",
	.kind = INPUT_PAGE,
	.fallback = MATCH_PAGE,
	.max = MATCH_PAGE_MAX,
	.offset = offsetof(struct match_in, limit),
	.help = "Matches in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct match_in, offset),
	.help = "Matches to skip."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = MATCH_DOMAIN,
	.offset = offsetof(struct match_in, domain),
	.help = "Only debates of this domain."},
    {.key = "since",
	.kind = INPUT_TIME,
	.offset = offsetof(struct match_in, since_us),
	.help = "Rated at this time or after it."},
    {.key = "until",
	.kind = INPUT_TIME,
	.offset = offsetof(struct match_in, until_us),
	.help = "Rated before this time."},
    CURSOR_INPUT(struct match_in, cursor),
};
const struct input_list match_inputs = {match_rows, ARRAY_LEN(match_rows)};

enum http_status
match_list(struct req *req, struct res *res)
{
	struct match_in in;
	struct cursor at, next = {0};

	enum http_status status =
	    input_read_query(req, &match_inputs, &in, res);
	if (status == HTTP_OK)
		status = cursor_read(req, res, in.cursor, &at);
	if (status != HTTP_OK)
		return status;
	/* No two matches of a tenant are of one time. */
	if (at.id != NULL) {
		in.until_us = at.value;
		in.offset = 0;
	}
	struct store_match_query q = {.domain = in.domain,
	    .since_us = in.since_us,
	    .until_us = in.until_us,
	    .limit = in.limit,
	    .offset = in.offset};
	enum err e = store_match_list(
	    req->app->store, req->arena, req->caller.tenant, &q);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	rating_out_matches(w, "matches", req, q.rows, q.n);
	rating_out_matches(w, "items", req, q.rows, q.n);
	int64_t offset = at.offset + in.offset;
	bool has_more = q.n > 0 && in.offset + (int64_t)q.n < q.total;
	if (has_more)
		next = (struct cursor){.value = q.rows[q.n - 1].created_us,
		    .offset = offset + (int64_t)q.n,
		    .id = q.rows[q.n - 1].debate_id};
	debate_out_page_at(
	    w, at.offset + q.total, q.n, in.limit, offset, has_more);
	cursor_write(w, req->arena, has_more ? &next : NULL);
	return res_json_end(res, HTTP_OK);
}

enum http_status
match_get(struct req *req, struct res *res)
{
	const char *id = req->match.params[0];
	struct store_match_row row;

	if (!id_is_valid(id)) {
		struct res_field field = {"id",
		    "must be 1 to 128 letters, digits, dots, dashes or "
		    "underscores"};
		return res_invalid(res, "INVALID_VALUE", &field, 1);
	}
	enum err e = store_match_get(
	    req->app->store, req->arena, req->caller.tenant, id, &row);
	if (e == ERR_NOT_FOUND)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "there is no match '%s'", id);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	rating_out_match(w, req, &row);
	return res_json_end(res, HTTP_OK);
}

static void
match_tallies(
    struct json_w *w, const char *key, const struct store_tally *rows, size_t n)
{
	json_w_begin(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_int(w, rows[i].name, rows[i].matches);
	json_w_end(w);
}

enum http_status
match_stats(struct req *req, struct res *res)
{
	struct store *store = req->app->store;
	const char *tenant = req->caller.tenant;
	struct store_tally *domains, *sources;
	size_t n_domains, n_sources;
	struct store_match_query q = {.limit = 1};

	enum err e = store_match_list(store, req->arena, tenant, &q);
	if (e == ERR_OK)
		e = store_match_domains(
		    store, req->arena, tenant, &domains, &n_domains);
	if (e == ERR_OK)
		e = store_match_sources(
		    store, req->arena, tenant, &sources, &n_sources);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_int(w, "total_matches", q.total);
	match_tallies(w, "by_domain", domains, n_domains);
	match_tallies(w, "by_source", sources, n_sources);
	if (q.n > 0)
		json_w_time(w, "last_match", q.rows[0].created_us);
	else
		json_w_null(w, "last_match");
	return res_json_end(res, HTTP_OK);
}
