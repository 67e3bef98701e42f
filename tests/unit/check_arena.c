/* SPDX-License-Identifier: MIT
 *
 * Region memory.
 */
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>

#include "base/arena.h"
#include "tests/unit/check_run.h"

static char trail[16];
static size_t trail_len;

static void
note(void *arg)
{
	trail[trail_len++] = *(const char *)arg;
	trail[trail_len] = '\0';
}

START_TEST(test_zeroed_and_aligned)
{
	struct arena *a = arena_new(64);

	for (size_t size = 0; size < 300; size++) {
		unsigned char *p = arena_alloc(a, size);
		ck_assert_uint_eq((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			ck_assert_uint_eq(p[i], 0);
		memset(p, 0xff, size);
	}
	arena_free(&a);
	ck_assert_ptr_null(a);
	arena_free(&a);
}
END_TEST

START_TEST(test_clear_keeps_first_block)
{
	struct arena *a = arena_new(256);
	size_t empty = arena_size(a);

	char *dirty = arena_alloc(a, 100);
	memset(dirty, 'x', 100);
	for (int i = 0; i < 50; i++)
		ck_assert_ptr_nonnull(arena_alloc(a, 1000));
	ck_assert_uint_gt(arena_size(a), 50 * 1000);
	arena_clear(a);
	ck_assert_uint_eq(arena_size(a), empty);
	const char *clean = arena_alloc(a, 100);
	ck_assert_ptr_eq(clean, dirty);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(clean[i], 0);
	arena_free(&a);
}
END_TEST

START_TEST(test_defer_order)
{
	struct arena *a = arena_new(0);

	arena_defer(a, note, (char[]){'1'});
	arena_defer(a, note, (char[]){'2'});
	arena_clear(a);
	ck_assert_str_eq(trail, "21");
	arena_clear(a);
	ck_assert_str_eq(trail, "21");
	arena_defer(a, note, (char[]){'3'});
	arena_free(&a);
	ck_assert_str_eq(trail, "213");
}
END_TEST

START_TEST(test_copies)
{
	struct arena *a = arena_new(16);
	char from[] = "question";

	char *whole = arena_strdup(a, from);
	char *part = arena_strndup(a, from, 5);
	char *bytes = arena_memdup(a, from, 3);
	memset(from, '-', sizeof(from) - 1);
	ck_assert_str_eq(whole, "question");
	ck_assert_str_eq(part, "quest");
	ck_assert_mem_eq(bytes, "que", 3);
	ck_assert_str_eq(arena_strndup(a, "", 0), "");
	ck_assert_ptr_null(arena_strdup(a, NULL));
	ck_assert_ptr_null(arena_strndup(a, NULL, 3));
	ck_assert_ptr_null(arena_memdup(a, NULL, 0));
	ck_assert_str_eq(arena_printf(a, "%s-%d", "x", 7), "x-7");
	char *wide = arena_printf(a, "%5000d", 1);
	ck_assert_uint_eq(strlen(wide), 5000);
	arena_free(&a);
}
END_TEST

START_TEST(test_array_overflow_aborts)
{
	struct arena *a = arena_new(0);
	volatile size_t huge = SIZE_MAX / 2;

	(void)!arena_array(a, huge, 4);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_zeroed_and_aligned);
	tcase_add_test(t, test_clear_keeps_first_block);
	tcase_add_test(t, test_defer_order);
	tcase_add_test(t, test_copies);
	tcase_add_test_raise_signal(t, test_array_overflow_aborts, SIGABRT);
}

int
main(void)
{
	return check_run("arena", add_tests);
}
