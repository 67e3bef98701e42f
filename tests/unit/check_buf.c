/* SPDX-License-Identifier: MIT
 *
 * The growable buffer and its maximum.
 */
#include <signal.h>

#include "base/buf.h"
#include "tests/unit/check_run.h"

START_TEST(test_append)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_ptr_null(b.data);
	buf_append(&b, "ab\0cd", 5);
	buf_putc(&b, 'e');
	buf_puts(&b, "fg");
	buf_printf(&b, "%03d", 7);
	ck_assert_uint_eq(b.len, 11);
	ck_assert_mem_eq(b.data, "ab\0cdefg007", 12);
	buf_append(&b, NULL, 0);
	ck_assert_uint_eq(b.len, 11);
	buf_release(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.max, 1000);
}
END_TEST

START_TEST(test_growth_keeps_content)
{
	struct buf b;

	buf_init(&b, 100000);
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "%d,", i % 10);
	ck_assert_uint_eq(b.len, 40000);
	for (size_t i = 0; i < b.len; i += 2) {
		ck_assert_int_eq(b.data[i], (char)('0' + i / 2 % 10));
		ck_assert_int_eq(b.data[i + 1], ',');
	}
	ck_assert_int_eq(b.data[b.len], 0);
	buf_release(&b);
}
END_TEST

START_TEST(test_maximum_is_sticky)
{
	struct buf b;

	buf_init(&b, 8);
	buf_puts(&b, "12345678");
	ck_assert(!b.is_overflowed);
	buf_putc(&b, '9');
	ck_assert(b.is_overflowed);
	ck_assert_str_eq(b.data, "12345678");
	buf_consume(&b, 4);
	buf_putc(&b, 'x');
	ck_assert_str_eq(b.data, "5678");
	buf_printf(&b, "%s", "");
	ck_assert(b.is_overflowed);
	buf_clear(&b);
	ck_assert(!b.is_overflowed);
	ck_assert_str_eq(buf_text(&b), "");
	buf_puts(&b, "again");
	ck_assert_str_eq(b.data, "again");
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert(b.is_overflowed);
	buf_release(&b);
}
END_TEST

START_TEST(test_reserve_commit)
{
	struct buf b;

	buf_init(&b, 64);
	char *room = buf_reserve(&b, 10);
	memcpy(room, "hello, you", 10);
	buf_commit(&b, 5);
	ck_assert_str_eq(b.data, "hello");
	ck_assert_uint_eq(b.len, 5);
	room = buf_reserve(&b, 59);
	ck_assert_ptr_nonnull(room);
	ck_assert_ptr_null(buf_reserve(&b, 60));
	buf_release(&b);
}
END_TEST

START_TEST(test_consume_and_steal)
{
	struct buf b;

	buf_init(&b, 64);
	buf_consume(&b, 0);
	buf_puts(&b, "frame1frame2");
	buf_consume(&b, 6);
	ck_assert_str_eq(b.data, "frame2");
	buf_consume(&b, 6);
	ck_assert_str_eq(b.data, "");
	buf_puts(&b, "mine");
	char *text = buf_steal(&b);
	ck_assert_str_eq(text, "mine");
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.len, 0);
	free(text);
	text = buf_steal(&b);
	ck_assert_str_eq(text, "");
	free(text);
	buf_release(&b);
}
END_TEST

START_TEST(test_consume_too_much_aborts)
{
	struct buf b;

	buf_init(&b, 64);
	buf_puts(&b, "abc");
	buf_consume(&b, 4);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_append);
	tcase_add_test(t, test_growth_keeps_content);
	tcase_add_test(t, test_maximum_is_sticky);
	tcase_add_test(t, test_reserve_commit);
	tcase_add_test(t, test_consume_and_steal);
	tcase_add_test_raise_signal(t, test_consume_too_much_aborts, SIGABRT);
}

int
main(void)
{
	return check_run("buf", add_tests);
}
