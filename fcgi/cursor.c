/* SPDX-License-Identifier: MIT */
#include "fcgi/cursor.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"

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
