/* SPDX-License-Identifier: MIT
 *
 * Allocation that aborts, and the intrusive list.
 */
#include <signal.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "tests/unit/check_run.h"

#ifdef WITH_SANITIZER
/* Refused sizes come back as NULL, as from the C library. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}
#endif

START_TEST(test_mem)
{
	char *text = mem_strdup("question");
	char *part = mem_strndup("question", 5);
	char *made = mem_printf("%s-%d", "x", 7);
	unsigned char *zero = mem_array(10, 10);
	unsigned char *one = mem_zalloc(100);

	ck_assert_str_eq(text, "question");
	ck_assert_str_eq(part, "quest");
	ck_assert_str_eq(made, "x-7");
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(zero[i] | one[i], 0);
	text = mem_realloc_array(text, 100, 10);
	ck_assert_str_eq(text, "question");
	memset(text, 'x', 1000);
	free(text);
	free(part);
	free(made);
	free(zero);
	free(one);
}
END_TEST

START_TEST(test_array_overflow_aborts)
{
	volatile size_t huge = SIZE_MAX / 2;

	free(mem_array(huge, 4));
}
END_TEST

START_TEST(test_realloc_overflow_aborts)
{
	volatile size_t huge = SIZE_MAX / 2;

	free(mem_realloc_array(NULL, huge, 4));
}
END_TEST

START_TEST(test_size_zero_aborts)
{
	free(mem_alloc(0));
}
END_TEST

struct item {
	int number;
	struct list link;
};

/* The numbers of the list as a text, "123". */
static const char *
numbers(struct list *head)
{
	static char text[16];
	size_t n = 0;

	list_for_each (it, head)
		text[n++] =
		    (char)('0' + LIST_ENTRY(it, struct item, link)->number);
	text[n] = '\0';
	return text;
}

START_TEST(test_list)
{
	struct item items[4];
	struct list head;

	list_init(&head);
	ck_assert(list_is_empty(&head));
	for (int i = 0; i < 4; i++) {
		items[i].number = i;
		list_init(&items[i].link);
	}
	list_add_tail(&head, &items[1].link);
	list_add_tail(&head, &items[2].link);
	list_add_head(&head, &items[0].link);
	list_add_tail(&head, &items[3].link);
	ck_assert_str_eq(numbers(&head), "0123");
	list_del(&items[1].link);
	list_del(&items[1].link);
	ck_assert(list_is_empty(&items[1].link));
	ck_assert_str_eq(numbers(&head), "023");
	list_for_each (it, &head)
		list_del(it);
	ck_assert(list_is_empty(&head));
	ck_assert_str_eq(numbers(&head), "");
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_mem);
	tcase_add_test_raise_signal(t, test_array_overflow_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, test_realloc_overflow_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, test_size_zero_aborts, SIGABRT);
	tcase_add_test(t, test_list);
}

int
main(void)
{
	return check_run("mem", add_tests);
}
