/* SPDX-License-Identifier: MIT */
#include "llm/sse.h"

#include <string.h>

#include "base/str.h"

void
sse_init(struct sse *s, size_t max_event)
{
	*s = (struct sse){0};
	buf_init(&s->line, max_event);
	buf_init(&s->data, max_event);
}

void
sse_release(struct sse *s)
{
	buf_release(&s->line);
	buf_release(&s->data);
}

static void
sse_line(struct sse *s, sse_fn fn, void *arg)
{
	const char *line = buf_text(&s->line);
	size_t len = s->line.len;

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
	buf_clear(&s->line);
}

enum err
sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *arg)
{
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];
		bool is_second = s->was_cr && c == '\n';
		s->was_cr = c == '\r';
		if (is_second)
			continue;
		if (c != '\n' && c != '\r') {
			buf_putc(&s->line, c);
			if (s->line.is_overflowed)
				return ERR_TOO_LARGE;
			continue;
		}
		sse_line(s, fn, arg);
		if (s->data.is_overflowed)
			return ERR_TOO_LARGE;
	}
	return ERR_OK;
}
