/* SPDX-License-Identifier: MIT
 *
 * Connections of an address: how often, how many at once, and that strangers
 * cannot fill the memory.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ws-bridge/admission.h"
#include "ws-bridge/bridge.h"

static void
key_of(const char *text, uint8_t key[CLIENT_IP_KEY])
{
	ck_assert(client_ip_key(text, key));
}

START_TEST(test_per_minute)
{
	struct admission *a = admission_new(30, 10);
	struct admission_entry *e, *other;
	uint8_t key[CLIENT_IP_KEY];
	int64_t wait = -1;

	key_of("192.0.2.1", key);
	for (int i = 0; i < 30; i++) {
		e = admission_enter(a, key, 1000 + i * 1900, &wait);
		ck_assert_ptr_nonnull(e);
		admission_leave(a, &e);
		ck_assert_ptr_null(e);
	}
	ck_assert_ptr_null(admission_enter(a, key, 57000, &wait));
	ck_assert_int_eq(wait, 4000);
	/* Who is refused does not wait longer for having asked. */
	ck_assert_ptr_null(admission_enter(a, key, 60999, &wait));
	ck_assert_int_eq(wait, 1);
	key_of("192.0.2.2", key);
	other = admission_enter(a, key, 60999, &wait);
	ck_assert_ptr_nonnull(other);
	key_of("192.0.2.1", key);
	e = admission_enter(a, key, 61000, &wait);
	ck_assert_ptr_nonnull(e);
	admission_leave(a, &e);
	admission_leave(a, &other);
	admission_free(&a);
}
END_TEST

START_TEST(test_at_once)
{
	struct admission *a = admission_new(1000, 10);
	struct admission_entry *e[10];
	uint8_t key[CLIENT_IP_KEY];
	int64_t wait;

	key_of("192.0.2.1", key);
	for (int i = 0; i < 10; i++) {
		e[i] = admission_enter(a, key, 0, &wait);
		ck_assert_ptr_nonnull(e[i]);
	}
	ck_assert_ptr_null(admission_enter(a, key, 0, &wait));
	ck_assert_int_gt(wait, 0);
	/* However long they stay. */
	ck_assert_ptr_null(admission_enter(a, key, 10000000, &wait));
	admission_leave(a, &e[3]);
	e[3] = admission_enter(a, key, 0, &wait);
	ck_assert_ptr_nonnull(e[3]);
	ck_assert_uint_eq(admission_size(a), 1);
	for (int i = 0; i < 10; i++)
		admission_leave(a, &e[i]);
	admission_free(&a);
}
END_TEST

START_TEST(test_ipv6_by_64)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} rows[] = {
	    {"2001:db8::1", "2001:db8::ffff:ffff", true},
	    {"2001:db8::1", "2001:db8:0:1::1", false},
	    {"192.0.2.1", "::ffff:192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"192.0.2.1", "::192.0.2.1", false},
	};
	uint8_t a[CLIENT_IP_KEY], b[CLIENT_IP_KEY];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		key_of(rows[i].a, a);
		key_of(rows[i].b, b);
		ck_assert_msg(
		    (memcmp(a, b, CLIENT_IP_KEY) == 0) == rows[i].is_same,
		    "%s %s", rows[i].a, rows[i].b);
	}
	ck_assert(!client_ip_key("localhost", a));
	ck_assert(!client_ip_key("", a));
}
END_TEST

/* More strangers than are remembered: the oldest go, and after a minute all
 * of them; who is connected stays counted. */
START_TEST(test_memory_is_bounded)
{
	struct admission *a = admission_new(2, 1);
	uint8_t key[CLIENT_IP_KEY], mine[CLIENT_IP_KEY];
	struct admission_entry *e, *me;
	int64_t wait;

	key_of("192.0.2.1", mine);
	me = admission_enter(a, mine, 0, &wait);
	for (uint32_t i = 0; i < 3 * ADMISSION_IDLE_MAX; i++) {
		key_of("2001:db8::", key);
		memcpy(key + 4, &i, sizeof(i));
		e = admission_enter(a, key, 0, &wait);
		ck_assert_ptr_nonnull(e);
		admission_leave(a, &e);
	}
	ck_assert_uint_le(admission_size(a), ADMISSION_IDLE_MAX + 1);
	ck_assert_ptr_null(admission_enter(a, mine, 0, &wait));
	e = admission_enter(a, key, ADMISSION_WINDOW_MS, &wait);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_le(admission_size(a), 2);
	admission_leave(a, &e);
	admission_leave(a, &me);
	admission_free(&a);
}
END_TEST

START_TEST(test_times)
{
	struct bridge b = {0};
	struct err_info info = {0};

	ck_assert_int_eq(
	    bridge_set_times(&b, "stall=500, recheck=7", &info), ERR_OK);
	ck_assert_int_eq(b.times.stall_ms, 500);
	ck_assert_int_eq(b.times.recheck_ms, 7);
	static const char *const bad[] = {
	    "stall", "stall=", "stall=0", "stall=x", "stal=1", "stalls=1"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(
		    bridge_set_times(&b, bad[i], &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "--times");
}
END_TEST

/* Lower than what is in: they stay, and nobody comes until they have left. */
START_TEST(test_other_limits)
{
	struct admission *a = admission_new(1000, 2);
	struct admission_entry *e[4];
	uint8_t key[CLIENT_IP_KEY];
	int64_t wait;

	key_of("192.0.2.1", key);
	for (int i = 0; i < 2; i++)
		e[i] = admission_enter(a, key, 0, &wait);
	ck_assert_ptr_null(admission_enter(a, key, 0, &wait));
	admission_limit(a, 1000, 4);
	for (int i = 2; i < 4; i++) {
		e[i] = admission_enter(a, key, 0, &wait);
		ck_assert_ptr_nonnull(e[i]);
	}
	admission_limit(a, 1000, 1);
	for (int i = 0; i < 4; i++) {
		ck_assert_ptr_null(admission_enter(a, key, 0, &wait));
		admission_leave(a, &e[i]);
	}
	admission_limit(a, 4, 1); /* begun in this minute already */
	ck_assert_ptr_null(admission_enter(a, key, 0, &wait));
	ck_assert_int_eq(wait, ADMISSION_WINDOW_MS);
	admission_limit(a, 5, 1);
	e[0] = admission_enter(a, key, 0, &wait);
	ck_assert_ptr_nonnull(e[0]);
	admission_leave(a, &e[0]);
	admission_free(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_admission");
	TCase *t = tcase_create("admission");
	SRunner *r = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_test(t, test_per_minute);
	tcase_add_test(t, test_at_once);
	tcase_add_test(t, test_other_limits);
	tcase_add_test(t, test_ipv6_by_64);
	tcase_add_test(t, test_memory_is_bounded);
	tcase_add_test(t, test_times);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
