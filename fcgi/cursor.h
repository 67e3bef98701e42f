/* SPDX-License-Identifier: MIT
 *
 * Where a page of a list ended: the next one begins behind that row, whatever
 * was added or taken away before it meanwhile. Clients send it back as it is.
 */
#pragma once

#include <stddef.h>

#include "fcgi/input.h"
#include "store/store.h"

/* The query parameter of every list that has one. */
#define CURSOR_INPUT(type, member)                                             \
	{                                                                      \
		.key = "cursor", .kind = INPUT_TEXT, .max = CURSOR_MAX,        \
		.offset = offsetof(type, member),                              \
		.help =                                                        \
		    "next_cursor of the page before; offset is left alone."    \
	}
#define CURSOR_MAX 200

struct cursor {
	int64_t value;	/* what the list is in order of */
	int64_t offset; /* rows before the next page */
	const char *id; /* tells rows of equal value apart */
};

/* text may be NULL: *out is zeroed. HTTP_OK, or 400 is written. */
enum http_status cursor_read(struct req *req, struct res *res, const char *text,
    struct cursor *out) MUST_CHECK;
/* next_cursor: of the row behind which there are more, or null. */
void cursor_write(struct json_w *w, struct arena *a, const struct cursor *next);

/* ---- lists of debates ---- */

/* One more than the page is asked for; cursor_debates_end takes it away. */
enum http_status cursor_debates_begin(struct req *req, struct res *res,
    const char *text, struct store_debate_filter *f) MUST_CHECK;
/* The page's members, at the end of its object: total, count, ...,
 * next_cursor. */
struct cursor_page {
	int64_t limit, offset;
	bool has_more;
	struct cursor next;
};
void cursor_debates_end(const struct store_debate_filter *f,
    const struct store_debate *rows, size_t *n, struct cursor_page *page);
void cursor_page_write(struct json_w *w, struct arena *a,
    const struct cursor_page *page, size_t n, int64_t total);
