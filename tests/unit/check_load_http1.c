/* SPDX-License-Identifier: MIT
 *
 * loadgen's reader of HTTP answers: each case whole, and byte by byte.
 */
#include "base/str.h"
#include "tests/load/http1.h"
#include "tests/unit/check_run.h"

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
	const char *in;
	enum http1_state state; /* after the bytes */
	int status;
	const char *body;
	bool is_closing;
	size_t over; /* bytes that belong to the next answer */
} cases[] = {
    {OK "Content-Length: 3\r\n\r\nabc", HTTP1_DONE, 200, "abc", false, 0},
    {OK "content-length:3 \r\n\r\nabcHTTP", HTTP1_DONE, 200, "abc", false, 4},
    {OK "Content-Length: 0\r\n\r\n", HTTP1_DONE, 200, "", false, 0},
    {OK "Content-Length: 5\r\n\r\nabc", HTTP1_BODY, 200, "abc", false, 0},
    {OK "Content-Length: 1\r\nConnection: close\r\n\r\nx", HTTP1_DONE, 200, "x",
	true, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n"
	"0\r\n\r\n",
	HTTP1_DONE, 200, "abc0123456789", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: x\r\n\r\n",
	HTTP1_DONE, 200, "a", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", HTTP1_CHUNK_SIZE, 200,
	"ab", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", HTTP1_BAD, 200, "ab",
	false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", HTTP1_BAD, 200, "", false,
	0},
    {OK "Transfer-Encoding: chunked\r\n\r\n\r\n", HTTP1_BAD, 200, "", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", HTTP1_BAD,
	200, "", false, 0},
    {OK "\r\nto the end", HTTP1_TO_END, 200, "to the end", true, 0},
    {OK "Content-Length: -1\r\n\r\n", HTTP1_BAD, 200, "", false, 0},
    {OK "Content-Length: 1x\r\n\r\n", HTTP1_BAD, 200, "", false, 0},
    {OK "Content-Length: 99999999999999999999\r\n\r\n", HTTP1_BAD, 200, "",
	false, 0},
    {"HTTP/1.1 204 No\r\n\r\n", HTTP1_DONE, 204, "", false, 0},
    {"HTTP/1.1 304 No\r\n\r\nH", HTTP1_DONE, 304, "", false, 1},
    {"HTTP/1.1 101 Up\r\n\r\n\x81", HTTP1_DONE, 101, "", false, 1},
    {"HTTP/1.1 100 Go\r\n\r\n" OK "Content-Length: 1\r\n\r\nz", HTTP1_DONE, 200,
	"z", false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nz", HTTP1_DONE, 200, "z",
	true, 0},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nz",
	HTTP1_DONE, 200, "z", false, 0},
    {"HTTP/1.1 99 x\r\n\r\n", HTTP1_BAD, 0, "", false, 0},
    {"SMTP ready\r\n\r\n", HTTP1_BAD, 0, "", false, 0},
    {"HTTP/1.1\r\n\r\n", HTTP1_BAD, 0, "", false, 0},
    {"\r\n\r\n", HTTP1_BAD, 0, "", false, 0},
    {OK "Conte", HTTP1_HEAD, 0, "", false, 0},
};

static void
check_case(struct http1 *h, size_t i, size_t step)
{
	const char *in = cases[i].in;
	size_t len = strlen(in);
	size_t at = 0;

	http1_begin(h);
	while (at < len && h->state < HTTP1_DONE) {
		size_t n = len - at < step ? len - at : step;
		size_t used = http1_take(h, in + at, n);
		at += used;
		if (used < n)
			break;
	}
	ck_assert_msg(h->state == cases[i].state, "case %zu step %zu: %d", i,
	    step, h->state);
	ck_assert_int_eq(h->status, cases[i].status);
	ck_assert_str_eq(buf_text(&h->body), cases[i].body);
	if (h->state != HTTP1_BAD)
		ck_assert_int_eq(h->is_closing, cases[i].is_closing);
	ck_assert_uint_eq(len - at, cases[i].over);
	bool is_whole =
	    cases[i].state == HTTP1_DONE || cases[i].state == HTTP1_TO_END;
	ck_assert_int_eq(http1_end(h), is_whole);
}

START_TEST(test_cases)
{
	struct http1 h;

	http1_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step <= 256; step *= 2)
			check_case(&h, i, step);
	http1_release(&h);
}
END_TEST

START_TEST(test_large)
{
	struct http1 h;
	char line[1024];

	memset(line, 'a', sizeof(line));
	http1_init(&h);
	http1_take(&h, OK, strlen(OK));
	for (size_t n = 0; n <= HTTP1_HEAD_MAX; n += sizeof(line))
		http1_take(&h, line, sizeof(line));
	ck_assert_int_eq(h.state, HTTP1_BAD);
	http1_begin(&h);
	http1_take(&h, OK "\r\n", strlen(OK) + 2);
	for (size_t n = 0; n <= HTTP1_BODY_MAX; n += sizeof(line))
		http1_take(&h, line, sizeof(line));
	ck_assert_int_eq(h.state, HTTP1_BAD);
	http1_release(&h);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_cases);
	tcase_add_test(t, test_large);
}

int
main(void)
{
	return check_run("load_http1", add_tests);
}
