/* SPDX-License-Identifier: MIT
 *
 * Server-sent events: every stream is read whole, byte by byte and cut in two
 * at every place, with the same result.
 */
#include <string.h>

#include "llm/sse.h"
#include "tests/unit/check_run.h"

#define SEEN_MAX 4096

/* Each event as "[data]". */
static void
note(void *arg, const char *data, size_t len)
{
	struct buf *seen = arg;

	buf_putc(seen, '[');
	buf_append(seen, data, len);
	buf_putc(seen, ']');
}

static void
feed_pieces(const char *text, size_t first, size_t step, const char *expected)
{
	size_t len = strlen(text);
	struct buf seen;
	struct sse s;

	buf_init(&seen, SEEN_MAX);
	sse_init(&s, SEEN_MAX);
	size_t n = first < len ? first : len;
	for (size_t at = 0; at < len; at += n, n = step) {
		if (n > len - at)
			n = len - at;
		ck_assert_int_eq(
		    sse_feed(&s, text + at, n, note, &seen), ERR_OK);
	}
	ck_assert_str_eq(buf_text(&seen), expected);
	sse_release(&s);
	buf_release(&seen);
}

static const struct {
	const char *text;
	const char *expected;
} streams[] = {
    {"data: a\n\ndata: b\n\n", "[a][b]"},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[a][b]"},
    {"data: a\r\rdata: b\r\r", "[a][b]"},
    {"data: a\r\n\ndata: b\n\r\n", "[a][b]"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
	"[a]"},
    {"\n\xef\xbb\xbf"
     "data: a\n\n",
	""},
    {": ping\n\ndata: a\n: ping\n\n:\n", "[a]"},
    {"data:a\n\ndata:  b\n\n", "[a][ b]"},
    {"data: a\ndata: b\n\n", "[a\nb]"},
    {"data\n\n", "[]"},
    {"data:\ndata\n\n", "[\n]"},
    {"database: a\ndat: b\nevent: x\nid: 1\nretry: 2\nodd\n\n", ""},
    {"event: message\ndata: a\nid: 7\n\n", "[a]"},
    {"data: a\n\ndata: cut off", "[a]"},
    {"data: a\n\ndata: no blank line\n", "[a]"},
    {"data: gr\xc3\xbc\xc3\x9f \xe2\x89\x88\n\n",
	"[gr\xc3\xbc\xc3\x9f \xe2\x89\x88]"},
    {"\n\n\n", ""},
    {"", ""},
};

START_TEST(test_streams)
{
	const char *text = streams[_i].text;
	const char *expected = streams[_i].expected;

	feed_pieces(text, strlen(text), 1, expected);
	feed_pieces(text, 1, 1, expected);
	feed_pieces(text, 3, 3, expected);
	for (size_t cut = 1; cut < strlen(text); cut++)
		feed_pieces(text, cut, strlen(text), expected);
}
END_TEST

static enum err
feed_limited(const char *text, size_t max, const char *expected)
{
	struct buf seen;
	struct sse s;

	buf_init(&seen, SEEN_MAX);
	sse_init(&s, max);
	enum err e = sse_feed(&s, text, strlen(text), note, &seen);
	ck_assert_str_eq(buf_text(&seen), expected);
	sse_release(&s);
	buf_release(&seen);
	return e;
}

START_TEST(test_too_large)
{
	/* The line, then the event of several lines. */
	ck_assert_int_eq(
	    feed_limited("data: 4567890\n\n", 13, "[4567890]"), ERR_OK);
	ck_assert_int_eq(
	    feed_limited("data: 4567890\n\n", 12, ""), ERR_TOO_LARGE);
	ck_assert_int_eq(feed_limited("data: a\n\ndata: 0123456789", 12, "[a]"),
	    ERR_TOO_LARGE);
	ck_assert_int_eq(
	    feed_limited("data:12345\ndata:1234\n\n", 10, "[12345\n1234]"),
	    ERR_OK);
	ck_assert_int_eq(
	    feed_limited("data:12345\ndata:12345\n\n", 10, ""), ERR_TOO_LARGE);
	/* Many small events are not one large one. */
	ck_assert_int_eq(
	    feed_limited("data:1\n\ndata:2\n\ndata:3\n\n", 6, "[1][2][3]"),
	    ERR_OK);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(
	    t, test_streams, 0, sizeof(streams) / sizeof(streams[0]));
	tcase_add_test(t, test_too_large);
}

int
main(void)
{
	return check_run("sse", add_tests);
}
