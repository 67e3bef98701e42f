/* SPDX-License-Identifier: MIT */
#include "fcgi/cursor.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "fcgi/debate_out.h"

static const char *
cursor_number(struct arena *a, const char *text, int64_t *out)
{
	size_t len = strcspn(text, "~");

	if (text[len] == '\0' ||
	    str_to_i64(arena_strndup(a, text, len), INT64_MIN, INT64_MAX,
		out) != ERR_OK)
		return NULL;
	return text + len + 1;
}

enum http_status
cursor_read(
    struct req *req, struct res *res, const char *text, struct cursor *out)
{
	static const struct res_field bad = {
	    "cursor", "is none that this list has given"};

	*out = (struct cursor){0};
	if (text == NULL)
		return HTTP_OK;
	const char *rest = cursor_number(req->arena, text, &out->value);
	if (rest != NULL)
		rest = cursor_number(req->arena, rest, &out->offset);
	if (rest == NULL || out->offset < 0 || !id_is_valid(rest))
		return res_invalid(res, "INVALID_VALUE", &bad, 1);
	out->id = rest;
	return HTTP_OK;
}

void
cursor_write(struct json_w *w, struct arena *a, const struct cursor *next)
{
	json_w_str(w, "next_cursor",
	    next == NULL
		? NULL
		: arena_printf(a, "%lld~%lld~%s", (long long)next->value,
		      (long long)next->offset, next->id));
}

enum http_status
cursor_debates_begin(struct req *req, struct res *res, const char *text,
    struct store_debate_filter *f)
{
	struct cursor at;

	enum http_status status = cursor_read(req, res, text, &at);
	if (status != HTTP_OK)
		return status;
	f->limit++;
	if (at.id == NULL)
		return HTTP_OK;
	f->after_id = at.id;
	f->offset = at.offset;
	memcpy(&f->after_key, &at.value, sizeof(f->after_key));
	return HTTP_OK;
}

void
cursor_debates_end(const struct store_debate_filter *f,
    const struct store_debate *rows, size_t *n, struct cursor_page *page)
{
	*page = (struct cursor_page){.limit = f->limit - 1,
	    .offset = f->offset,
	    .has_more = *n == (size_t)f->limit};
	if (!page->has_more)
		return;
	const struct store_debate *last = &rows[--*n - 1];
	double key = store_debate_key(f, last);
	memcpy(&page->next.value, &key, sizeof(key));
	page->next.offset = f->offset + (int64_t)*n;
	page->next.id = last->id;
}

void
cursor_page_write(struct json_w *w, struct arena *a,
    const struct cursor_page *page, size_t n, int64_t total)
{
	debate_out_page_at(
	    w, total, n, page->limit, page->offset, page->has_more);
	cursor_write(w, a, page->has_more ? &page->next : NULL);
}
