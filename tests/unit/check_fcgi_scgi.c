/* SPDX-License-Identifier: MIT
 *
 * The SCGI header codec: whole, cut at every byte, and refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "fcgi/scgi.h"

/* A header around vars, and tail behind it; returns the size. */
static size_t
build(char *out, const char *vars, size_t len, const char *tail)
{
	size_t n = (size_t)snprintf(out, 32, "%zu:", len);

	memcpy(out + n, vars, len);
	n += len;
	memcpy(out + n, tail, strlen(tail));
	return n + strlen(tail);
}

#define VARS                                                                   \
	"CONTENT_LENGTH\0"                                                     \
	"27\0"                                                                 \
	"SCGI\0"                                                               \
	"1\0"                                                                  \
	"REQUEST_METHOD\0"                                                     \
	"POST\0"                                                               \
	"REQUEST_URI\0"                                                        \
	"/deepthought\0"

START_TEST(test_whole)
{
	struct err_info info = {0};
	struct scgi_head head;
	char data[256];
	size_t len = build(data, VARS, sizeof(VARS) - 1, ",What is the");

	ck_assert_int_eq(scgi_parse(data, len, &head, &info), ERR_OK);
	ck_assert_uint_eq(head.size, len - strlen("What is the"));
	ck_assert_uint_eq(head.content_length, 27);
	ck_assert_uint_eq(head.n_vars, 4);
	ck_assert_str_eq(head.vars[2].name, "REQUEST_METHOD");
	ck_assert_str_eq(head.vars[2].value, "POST");
	ck_assert_str_eq(head.vars[3].value, "/deepthought");
}
END_TEST

START_TEST(test_byte_by_byte)
{
	struct err_info info = {0};
	struct scgi_head head;
	char data[256];
	size_t len = build(data, VARS, sizeof(VARS) - 1, ",");

	for (size_t n = 0; n < len; n++)
		ck_assert_int_eq(scgi_parse(data, n, &head, &info), ERR_AGAIN);
	ck_assert_int_eq(scgi_parse(data, len, &head, &info), ERR_OK);
}
END_TEST

#define CL0 "CONTENT_LENGTH\0"
static const struct {
	const char *vars;
	size_t len;
	enum err expected;
} headers[] = {
#define H(text, e)                                                             \
	{                                                                      \
		text, sizeof(text) - 1, e                                      \
	}
    H(CL0 "0\0SCGI\0"
	  "1\0",
	ERR_OK),
    H(CL0 "0\0SCGI\0"
	  "1\0EMPTY\0\0",
	ERR_OK),
    H(CL0 "0\0SCGI\0"
	  "2\0",
	ERR_SYNTAX),
    H(CL0 "0\0", ERR_SYNTAX),
    H("SCGI\0"
      "1\0" CL0 "0\0",
	ERR_SYNTAX),
    H(CL0 "\0SCGI\0"
	  "1\0",
	ERR_SYNTAX),
    H(CL0 "-1\0SCGI\0"
	  "1\0",
	ERR_SYNTAX),
    H(CL0 "1x\0SCGI\0"
	  "1\0",
	ERR_SYNTAX),
    H(CL0 "99999999999999999999\0SCGI\0"
	  "1\0",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1\0SCGI\0"
	  "1\0",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1\0A\0"
	  "1\0A\0"
	  "2\0",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1\0HTTP_A\0"
	  "1\0HTTP_A\0"
	  "2\0",
	ERR_OK),
    H(CL0 "0\0SCGI\0"
	  "1\0\0x\0",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1\0ODD\0",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1\0OPEN\0open",
	ERR_SYNTAX),
    H(CL0 "0\0SCGI\0"
	  "1",
	ERR_SYNTAX),
    H("", ERR_SYNTAX),
#undef H
};

START_TEST(test_headers)
{
	struct err_info info = {0};
	struct scgi_head head;
	char data[256];
	size_t len = build(data, headers[_i].vars, headers[_i].len, ",");

	ck_assert_int_eq(
	    scgi_parse(data, len, &head, &info), headers[_i].expected);
}
END_TEST

static const struct {
	const char *text;
	enum err expected;
} lengths[] = {
    {"1", ERR_AGAIN},
    {"65536", ERR_AGAIN},
    {"65536:", ERR_AGAIN},
    {"65537", ERR_TOO_LARGE},
    {"99999999999999999999999", ERR_TOO_LARGE},
    {"01:", ERR_SYNTAX},
    {"00", ERR_SYNTAX},
    {":", ERR_SYNTAX},
    {"-1:", ERR_SYNTAX},
    {"1 :", ERR_SYNTAX},
    {"GET / HTTP/1.1", ERR_SYNTAX},
    {"1:ab", ERR_SYNTAX},
};

START_TEST(test_lengths)
{
	struct err_info info = {0};
	struct scgi_head head;

	ck_assert_int_eq(scgi_parse(lengths[_i].text, strlen(lengths[_i].text),
			     &head, &info),
	    lengths[_i].expected);
}
END_TEST

START_TEST(test_too_many)
{
	struct err_info info = {0};
	struct scgi_head head;
	static const char begin[] = CL0 "0\0SCGI\0"
					"1";
	char vars[SCGI_VARS_MAX * 16];
	char data[sizeof(vars) + 32];
	size_t n = sizeof(begin);

	memset(vars, 0, sizeof(vars));
	memcpy(vars, begin, sizeof(begin));
	for (int i = 2; i < SCGI_VARS_MAX; i++)
		n += (size_t)snprintf(vars + n, 14, "V%d", i) + 2;
	size_t len = build(data, vars, n, ",");
	ck_assert_int_eq(scgi_parse(data, len, &head, &info), ERR_OK);
	ck_assert_uint_eq(head.n_vars, SCGI_VARS_MAX);
	n += (size_t)snprintf(vars + n, 14, "ONE_MORE") + 2;
	len = build(data, vars, n, ",");
	ck_assert_int_eq(scgi_parse(data, len, &head, &info), ERR_TOO_LARGE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fcgi_scgi");
	TCase *t = tcase_create("scgi");
	SRunner *r = srunner_create(s);

	tcase_add_test(t, test_whole);
	tcase_add_test(t, test_byte_by_byte);
	tcase_add_loop_test(t, test_headers, 0, (int)ARRAY_LEN(headers));
	tcase_add_loop_test(t, test_lengths, 0, (int)ARRAY_LEN(lengths));
	tcase_add_test(t, test_too_many);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
