/* SPDX-License-Identifier: MIT
 *
 * Who is calling and from which page: client address behind proxies, CORS.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "fcgi/cors.h"
#include "limit/client_ip.h"

static const struct {
	const char *trusted;
	const char *peer;
	const char *forwarded_for;
	const char *real_ip;
	const char *expected;
} callers[] = {
    /* a peer that is no proxy is the client, whatever it claims */
    {"", "9.9.9.9", "1.1.1.1", "2.2.2.2", "9.9.9.9"},
    {"127.0.0.1", "9.9.9.9", "1.1.1.1", "", "9.9.9.9"},
    {"127.0.0.1", "127.0.0.2", "1.1.1.1", "", "127.0.0.2"},
    /* the nearest address that is not ours */
    {"127.0.0.1", "127.0.0.1", "1.1.1.1", "", "1.1.1.1"},
    {"127.0.0.1", "127.0.0.1", "6.6.6.6, 1.1.1.1", "", "1.1.1.1"},
    {"127.0.0.1,10.0.0.0/8", "127.0.0.1", "6.6.6.6, 1.1.1.1, 10.1.2.3", "",
	"1.1.1.1"},
    {"10.0.0.0/8", "10.0.0.1", "10.0.0.2,10.0.0.3", "", "10.0.0.2"},
    {"10.0.0.0/8", "11.0.0.1", "1.1.1.1", "", "11.0.0.1"},
    {"10.128.0.0/9", "10.127.0.1", "1.1.1.1", "", "10.127.0.1"},
    {"10.128.0.0/9", "10.129.0.1", "1.1.1.1", "", "1.1.1.1"},
    {"0.0.0.0/0", "8.8.8.8", "7.7.7.7", "", "7.7.7.7"},
    /* names and IPv6 */
    {"localhost", "::1", "2001:db8::1", "", "2001:db8::1"},
    {"localhost", "127.0.0.1", "[2001:db8::1]:443", "", "2001:db8::1"},
    {"fd00::/8", "fd12::1", "1.1.1.1:5000", "", "1.1.1.1"},
    {"fd00::/8", "fe12::1", "1.1.1.1", "", "fe12::1"},
    {"10.0.0.0/8", "::ffff:10.1.1.1", "1.1.1.1", "", "1.1.1.1"},
    /* an entry that is no address ends the search */
    {"localhost", "127.0.0.1", "unknown", "", "127.0.0.1"},
    {"localhost", "127.0.0.1", "1.1.1.1, evil\"", "", "127.0.0.1"},
    {"localhost", "127.0.0.1", "1.1.1.1,", "", "127.0.0.1"},
    {"localhost", "127.0.0.1", "1.1.1.1, 999.1.1.1", "", "127.0.0.1"},
    /* X-Real-IP only without the other */
    {"localhost", "127.0.0.1", "", "3.3.3.3", "3.3.3.3"},
    {"localhost", "127.0.0.1", "1.1.1.1", "3.3.3.3", "1.1.1.1"},
    {"localhost", "127.0.0.1", "", "nonsense", "127.0.0.1"},
    {"localhost", "127.0.0.1", "", "", "127.0.0.1"},
    /* a peer that is no address is nobody's proxy */
    {"localhost", "unix:", "1.1.1.1", "", "unix:"},
    {"localhost", "", "1.1.1.1", "", ""},
};

START_TEST(test_callers)
{
	struct client_ip_list *list;
	struct err_info info = {0};
	struct arena *a = arena_new(0);

	ck_assert_int_eq(
	    client_ip_list_new(callers[_i].trusted, &list, &info), ERR_OK);
	ck_assert_str_eq(client_ip_find(list, a, callers[_i].peer,
			     callers[_i].forwarded_for, callers[_i].real_ip),
	    callers[_i].expected);
	client_ip_list_free(&list);
	arena_free(&a);
}
END_TEST

START_TEST(test_bad_lists)
{
	static const char *const lists[] = {"nonsense", "1.2.3", "1.2.3.4/33",
	    "::1/129", "1.2.3.4/", "1.2.3.4/x", "127.0.0.1,bad", "10.0.0.0/-1"};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct client_ip_list *list;
		struct err_info info = {0};
		ck_assert_int_eq(
		    client_ip_list_new(lists[i], &list, &info), ERR_INVALID);
		ck_assert_ptr_null(list);
		ck_assert_str_eq(info.field, "ARAGORA_TRUSTED_PROXIES");
	}
}
END_TEST

START_TEST(test_cors_listed)
{
	const char *list = "http://a.example, https://b.example/ ,null";

	ck_assert(cors_is_listed(list, "http://a.example"));
	ck_assert(cors_is_listed(list, "https://b.example"));
	ck_assert(!cors_is_listed(list, "https://a.example"));
	ck_assert(!cors_is_listed(list, "http://a.example.evil"));
	ck_assert(!cors_is_listed(list, "http://a.exampl"));
	ck_assert(!cors_is_listed(list, ""));
	ck_assert(!cors_is_listed("", "http://a.example"));
	ck_assert(!cors_is_listed(" , ,", "http://a.example"));
	ck_assert(cors_is_listed("http://x, *", "http://a.example"));
}
END_TEST

START_TEST(test_cors_own)
{
	ck_assert(cors_is_own("http://h:8080", "h:8080"));
	ck_assert(cors_is_own("https://Host", "host"));
	ck_assert(!cors_is_own("http://h:8081", "h:8080"));
	ck_assert(!cors_is_own("http://h.evil", "h"));
	ck_assert(!cors_is_own("null", "null"));
	ck_assert(!cors_is_own("http://", ""));
}
END_TEST

START_TEST(test_cors_headers)
{
	struct buf b;

	buf_init(&b, 4096);
	cors_headers(&b, "http://a", false);
	ck_assert_ptr_nonnull(
	    strstr(buf_text(&b), "Access-Control-Allow-Origin: http://a\r\n"));
	ck_assert_ptr_null(strstr(buf_text(&b), "Allow-Methods"));
	ck_assert_ptr_null(strstr(buf_text(&b), "Allow-Credentials"));
	cors_headers(&b, "http://a", true);
	ck_assert_ptr_nonnull(strstr(buf_text(&b), "Allow-Methods: GET"));
	buf_release(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fcgi_client");
	TCase *t = tcase_create("client");
	SRunner *r = srunner_create(s);

	tcase_add_loop_test(t, test_callers, 0, (int)ARRAY_LEN(callers));
	tcase_add_test(t, test_bad_lists);
	tcase_add_test(t, test_cors_listed);
	tcase_add_test(t, test_cors_own);
	tcase_add_test(t, test_cors_headers);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
