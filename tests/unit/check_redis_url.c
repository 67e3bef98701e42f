/* SPDX-License-Identifier: MIT */
#include "base/str.h"
#include "check_run.h"
#include "settings/redis_url.h"

struct good {
	const char *text;
	struct redis_url url;
};

static const struct good good[] = {
    {"redis://h", {.host = "h", .port = 6379}},
    {"redis://h/", {.host = "h", .port = 6379}},
    {"redis://10.0.0.1:1/0", {.host = "10.0.0.1", .port = 1, .database = "0"}},
    {"redis://[::1]", {.host = "::1", .port = 6379}},
    {"redis://[fe80::2]:7000/15",
	{.host = "fe80::2", .port = 7000, .database = "15"}},
    {"redis://:pw@h:65535", {.host = "h", .port = 65535, .password = "pw"}},
    {"redis://pw@h", {.host = "h", .port = 6379, .password = "pw"}},
    {"redis://me:pw@h",
	{.host = "h", .port = 6379, .user = "me", .password = "pw"}},
    {"redis://m%20e:p%3A%2f%40%25@[::1]:1/2",
	{.host = "::1",
	    .port = 1,
	    .user = "m e",
	    .password = "p:/@%",
	    .database = "2"}},
    {"redis://:a/b@c@h", {.host = "h", .port = 6379, .password = "a/b@c"}},
    {"unix:/run/redis.sock", {.path = "/run/redis.sock"}},
    {"unix:///run/redis.sock", {.path = "/run/redis.sock"}},
    {"unix:redis.sock", {.path = "redis.sock"}},
};

START_TEST(test_good)
{
	const struct redis_url *want = &good[_i].url;
	struct arena *a = arena_new(0);
	struct redis_url got;
	struct err_info info = {0};

	ck_assert_msg(redis_url_parse(a, good[_i].text, &got, &info) == ERR_OK,
	    "%s: %s", good[_i].text, info.text);
	ck_assert_pstr_eq(got.path, want->path);
	ck_assert_pstr_eq(got.host, want->host);
	ck_assert_int_eq(got.port, want->port);
	ck_assert_pstr_eq(got.user, want->user);
	ck_assert_pstr_eq(got.password, want->password);
	ck_assert_pstr_eq(got.database, want->database);
	arena_free(&a);
}
END_TEST

static const char *const bad[] = {"", "h", "http://h", "redis:", "redis://",
    "redis://:6379", "redis://h:", "redis://h:0", "redis://h:65536",
    "redis://h:x", "redis://h:1x", "redis://[::1", "redis://[::1]x",
    "redis://[::1]:", "redis://[]", "redis://h/x", "redis://h/-1",
    "redis://h/9999", "redis://h/1/2", "redis://:hidden%4@h",
    "redis://:hidden%zz@h", "redis://:hidden%00@h", "redis://hi%:dden@h",
    "redis://:hidden@", "rediss://:hidden@h", "unix:", "unix://",
    ("unix:/a-path-that-is-longer-than-the-address-of-a-unix-socket-may-be-"
     "a-path-that-is-longer-than-the-address-of-a-un")};

START_TEST(test_bad)
{
	struct arena *a = arena_new(0);
	struct redis_url got;
	struct err_info info = {0};

	ck_assert_msg(redis_url_parse(a, bad[_i], &got, &info) == ERR_INVALID,
	    "%s", bad[_i]);
	ck_assert_str_eq(info.field, "ARAGORA_REDIS_URL");
	ck_assert_ptr_null(strstr(info.text, "hidden"));
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_good, 0, (int)ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, (int)ARRAY_LEN(bad));
}

int
main(void)
{
	return check_run("redis_url", add_tests);
}
