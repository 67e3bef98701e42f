/* SPDX-License-Identifier: MIT */
#include "llm/sse.h"

#include <string.h>

#include "base/heap.h"
#include "base/str.h"

void
sse_init(struct sse *s, size_t max_event)
{
	*s = (struct sse){0};
	buf_init_for(&s->line, HEAP_CALLS, max_event);
	buf_init_for(&s->data, HEAP_CALLS, max_event);
}

void
sse_release(struct sse *s)
{
	buf_release(&s->line);
	buf_release(&s->data);
}

static void
sse_line(struct sse *s, const char *line, size_t len, sse_fn fn, void *arg)
{
	if (!s->is_begun && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3;
		len -= 3;
	}
	s->is_begun = true;
	if (len == 0) {
		if (s->has_data)
			fn(arg, buf_text(&s->data), s->data.len);
		buf_clear(&s->data);
		s->has_data = false;
	} else if (len >= 4 && memcmp(line, "data", 4) == 0 &&
	    (len == 4 || line[4] == ':')) {
		const char *value = len > 5 ? line + 5 : "";
		size_t n = len > 5 ? len - 5 : 0;
		if (n > 0 && *value == ' ') {
			value++;
			n--;
		}
		if (s->has_data)
			buf_putc(&s->data, '\n');
		buf_append(&s->data, value, n);
		s->has_data = true;
	}
	/* Comments (":"), event, id, retry and unknown fields do not matter
	 * to any dialect read here. */
}

/* The bytes up to the next end of a line, or all. */
static size_t
sse_run(const char *bytes, size_t len)
{
	const char *end = memchr(bytes, '\n', len);
	size_t n = end != NULL ? (size_t)(end - bytes) : len;
	const char *cr = memchr(bytes, '\r', n);

	return cr != NULL ? (size_t)(cr - bytes) : n;
}

/* A line that ends in these bytes; what came of it before lies in s->line. */
static void
sse_end_line(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *arg)
{
	if (s->line.len == 0) {
		sse_line(s, bytes, len, fn, arg);
		return;
	}
	buf_append(&s->line, bytes, len);
	if (!s->line.is_overflowed)
		sse_line(s, s->line.data, s->line.len, fn, arg);
	if (!s->line.is_overflowed)
		buf_clear(&s->line);
}

/* Between two reads an idle stream holds no memory but of a cut event. */
static void
sse_trim(struct sse *s)
{
	if (s->line.len == 0 && !s->line.is_overflowed)
		buf_release(&s->line);
	if (!s->has_data && !s->data.is_overflowed)
		buf_release(&s->data);
}

enum err
sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *arg)
{
	for (size_t i = 0; i < len; i++) {
		bool is_second = s->was_cr && bytes[i] == '\n';
		s->was_cr = false;
		if (is_second)
			continue;
		size_t n = sse_run(bytes + i, len - i);
		if (n > s->line.max)
			return ERR_TOO_LARGE;
		if (i + n == len) {
			buf_append(&s->line, bytes + i, n);
			break;
		}
		sse_end_line(s, bytes + i, n, fn, arg);
		if (s->line.is_overflowed || s->data.is_overflowed)
			return ERR_TOO_LARGE;
		i += n;
		s->was_cr = bytes[i] == '\r';
	}
	if (s->line.is_overflowed)
		return ERR_TOO_LARGE;
	sse_trim(s);
	return ERR_OK;
}
