/* SPDX-License-Identifier: MIT */
#include "fcgi/keep.h"

#include <string.h>

#include "base/str.h"
#include "fcgi/etag.h"
#include "fcgi/handler.h"

#define KEEP_KEY_MAX ((size_t)64 << 10)
#define KEEP_JSON    "application/json"

/* Each part with its length, so that no two lists of parts are one text. */
static void
keep_part(struct buf *key, const char *text)
{
	if (text == NULL)
		buf_puts(key, "-,");
	else
		buf_printf(key, "%zu:%s,", strlen(text), text);
}

/* What the answer depends on beside the tenant: the handler, the parameters
 * of the path, those of the query that it declares, and whether the caller
 * showed a credential. Who he is, where answers are of one person. */
static const char *
keep_key(struct req *req, const struct handler *h, enum cache_kind kind)
{
	struct buf key;

	buf_init(&key, KEEP_KEY_MAX);
	keep_part(&key, req->match.route->handler);
	keep_part(&key, req->caller.is_authenticated ? "+" : "");
	if (kind == CACHE_PREFERENCES)
		keep_part(&key, req->caller.owner);
	for (size_t i = 0; i < req->match.n_params; i++)
		keep_part(&key, req->match.params[i]);
	for (size_t i = 0; i < h->inputs->n; i++)
		keep_part(&key, url_param(&req->url, h->inputs->rows[i].key));
	const char *text = arena_strdup(req->arena, buf_text(&key));
	bool is_whole = !key.is_overflowed;
	buf_release(&key);
	return is_whole ? text : NULL;
}

/* A kept answer is its tag and its body. */
static void
keep_take(struct req *req, struct res *res, const struct buf *kept)
{
	if (res->etag == NULL && route_is_kept(req->match.route))
		res->etag =
		    arena_strndup(req->arena, kept->data, ETAG_SIZE - 1);
	buf_clear(res->body);
	buf_append(
	    res->body, kept->data + ETAG_SIZE - 1, kept->len - (ETAG_SIZE - 1));
	res->content_type = KEEP_JSON;
	res->status = HTTP_OK;
}

static void
keep_put(struct req *req, struct res *res, enum http_status status,
    size_t head_len, struct cache_turn *turn)
{
	char etag[ETAG_SIZE];
	struct buf kept;

	if (status != HTTP_OK || res->next != NULL ||
	    res->body->is_overflowed || res->head->len > head_len ||
	    !str_eq(res->content_type, KEEP_JSON)) {
		cache_give_up(req->app->cache, turn);
		return;
	}
	etag_of(buf_text(res->body), res->body->len, etag);
	buf_init(&kept, res->body->len + ETAG_SIZE);
	buf_append(&kept, etag, ETAG_SIZE - 1);
	buf_append(&kept, buf_text(res->body), res->body->len);
	cache_put(req->app->cache, turn, kept.data, kept.len);
	buf_release(&kept);
	if (res->etag == NULL && route_is_kept(req->match.route))
		res->etag = arena_strdup(req->arena, etag);
}

enum http_status
keep_under(struct req *req, struct res *res, enum cache_kind kind,
    const char *key, keep_fn fn, void *arg)
{
	enum http_status status = HTTP_OK;
	size_t head_len = res->head->len; /* of the dispatcher */
	struct cache_turn turn;
	struct buf kept;

	buf_init(&kept, res->body->max);
	/* It will be everybody's: from where nothing is late. */
	req->read.is_analytic = false;
	bool is_hit = cache_get(
	    req->app->cache, kind, req->caller.tenant, key, &kept, &turn);
	if (is_hit) {
		keep_take(req, res, &kept);
	} else {
		status = fn(req, res, arg);
		keep_put(req, res, status, head_len, &turn);
	}
	buf_release(&kept);
	buf_puts(res->head, is_hit ? "X-Cache: HIT\r\n" : "X-Cache: MISS\r\n");
	return status;
}

static enum http_status
keep_run(struct req *req, struct res *res, void *arg)
{
	const struct handler *h = arg;

	return h->fn(req, res);
}

/* By what it says, unless the handler tagged it or sends it in pieces. */
static enum http_status
keep_tag(struct req *req, struct res *res, enum http_status status)
{
	char etag[ETAG_SIZE];

	if (status != HTTP_OK || res->body->is_overflowed ||
	    !route_is_kept(req->match.route))
		return status;
	if (res->etag == NULL && res->next == NULL) {
		etag_of(buf_text(res->body), res->body->len, etag);
		res->etag = arena_strdup(req->arena, etag);
	}
	if (res->etag == NULL ||
	    !etag_is_listed(req->env->value[ENV_IF_NONE_MATCH], res->etag))
		return status;
	res->status = HTTP_NOT_MODIFIED;
	return HTTP_NOT_MODIFIED;
}

enum http_status
keep_answer(struct req *req, struct res *res)
{
	const struct handler *h = handler_at(req->match.index);
	const char *key = NULL;
	enum http_status status;
	enum cache_kind kind;

	if (route_is_cached(req->match.route, &kind))
		key = keep_key(req, h, kind);
	if (key != NULL)
		status = keep_under(
		    req, res, kind, key, keep_run, (void *)(uintptr_t)h);
	else
		status = h->fn(req, res);
	return keep_tag(req, res, status);
}
