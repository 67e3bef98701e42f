/* SPDX-License-Identifier: MIT
 *
 * REQUEST_URI: splitting, decoding once, prefixes, and what is refused.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fcgi/url.h"

static struct arena *arena;

static void
setup(void)
{
	arena = arena_new(0);
}

static void
teardown(void)
{
	arena_free(&arena);
}

static const struct {
	const char *uri;
	const char *prefix;
	const char *path; /* segments, each with a | before it */
} good[] = {
    {"/", "", ""},
    {"/healthz", "", "|healthz"},
    {"/api/debates", "", "|api|debates"},
    {"/api/debates/", "", "|api|debates"},
    {"/api/v1/debates", "", "|api|debates"},
    {"/api/v2/debates/x", "", "|api|debates|x"},
    {"/api/v1", "", "|api"},
    {"/api/v3/debates", "", "|api|v3|debates"},
    {"/v1/api", "", "|v1|api"},
    {"/api/debates/a%20b?x=1", "", "|api|debates|a b"},
    {"/api/debates/a%2Fb", "", "|api|debates|a/b"},
    {"/api/debates/a%252Fb", "", "|api|debates|a%2Fb"},
    {"/api/debates/a+b", "", "|api|debates|a+b"},
    {"/api//debates", "", "|api||debates"},
    {"/api/%C3%A4", "", "|api|\xc3\xa4"},
    {"/x/api/debates", "/x", "|api|debates"},
    {"/x/api/v1/debates", "/x/", "|api|debates"},
    {"/x", "/x", ""},
    {"/xapi/debates", "/x", "|xapi|debates"},
    {"/api/debates", "/x", "|api|debates"},
    {"http://host/api/debates?x=http://y/z", "", "|api|debates"},
    {"https://host:1/x/api/debates", "/x", "|api|debates"},
};

START_TEST(test_paths)
{
	struct err_info info = {0};
	struct url u;

	ck_assert_int_eq(
	    url_parse(arena, good[_i].uri, good[_i].prefix, &u, &info), ERR_OK);
	const char *path = "";
	for (size_t i = 0; i < u.n_segments; i++)
		path = arena_printf(arena, "%s|%s", path, u.segments[i]);
	ck_assert_str_eq(path, good[_i].path);
}
END_TEST

static const struct {
	const char *uri;
	const char *field;
} bad[] = {
    {"", "path"},
    {"api/debates", "path"},
    {"ftp://host/api", "path"},
    {"/a%", "path"},
    {"/a%2", "path"},
    {"/a%zz", "path"},
    {"/a%2g", "path"},
    {"/a%00b", "path"},
    {"/a%0ab", "path"},
    {"/a\nb", "path"},
    {"/%ff", "path"},
    {"/%c3", "path"},
    {"/%ed%a0%80", "path"},
    {"/%c0%af", "path"},
    {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "path"},
    {"/a?x=%", "x"},
    {"/a?q=%00", "q"},
    {"/a?q=%ff", "q"},
    {"/a?%zz=1", "query"},
};

START_TEST(test_refused)
{
	struct err_info info = {0};
	struct url u;

	ck_assert_int_eq(
	    url_parse(arena, bad[_i].uri, "", &u, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, bad[_i].field);
}
END_TEST

START_TEST(test_query)
{
	struct err_info info = {0};
	struct url u;

	ck_assert_int_eq(
	    url_parse(
		arena, "/a?x=1&y=a+b%2B&&x=2&z&=5&e=&l=a%0Ab", "", &u, &info),
	    ERR_OK);
	ck_assert_str_eq(url_param(&u, "x"), "1");
	ck_assert_str_eq(url_param(&u, "y"), "a b+");
	ck_assert_str_eq(url_param(&u, "z"), "");
	ck_assert_str_eq(url_param(&u, "e"), "");
	ck_assert_str_eq(url_param(&u, "l"), "a\nb");
	ck_assert_ptr_null(url_param(&u, "w"));
}
END_TEST

START_TEST(test_limits)
{
	struct err_info info = {0};
	struct url u;
	char uri[URL_BYTES_MAX + 2];

	memset(uri, 'a', sizeof(uri));
	uri[0] = '/';
	uri[URL_BYTES_MAX + 1] = '\0';
	ck_assert_int_eq(url_parse(arena, uri, "", &u, &info), ERR_TOO_LARGE);
	uri[URL_BYTES_MAX] = '\0';
	ck_assert_int_eq(url_parse(arena, uri, "", &u, &info), ERR_OK);
	memset(uri, '&', sizeof(uri));
	uri[0] = '/';
	uri[1] = '?';
	for (size_t i = 0; i <= URL_PARAMS_MAX; i++)
		uri[2 + 2 * i] = 'x';
	uri[2 + 2 * URL_PARAMS_MAX] = '\0';
	ck_assert_int_eq(url_parse(arena, uri, "", &u, &info), ERR_OK);
	ck_assert_uint_eq(u.n_params, URL_PARAMS_MAX);
	uri[2 + 2 * URL_PARAMS_MAX] = 'x';
	uri[3 + 2 * URL_PARAMS_MAX] = '\0';
	ck_assert_int_eq(url_parse(arena, uri, "", &u, &info), ERR_INVALID);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fcgi_url");
	TCase *t = tcase_create("url");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_paths, 0, (int)ARRAY_LEN(good));
	tcase_add_loop_test(t, test_refused, 0, (int)ARRAY_LEN(bad));
	tcase_add_test(t, test_query);
	tcase_add_test(t, test_limits);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
