/* SPDX-License-Identifier: MIT
 *
 * Error codes and their texts.
 */
#include "base/err.h"
#include "tests/unit/check_run.h"

START_TEST(test_every_code_has_its_own_text)
{
	for (int i = 0; i < ERR__COUNT; i++) {
		const char *text = err_text((enum err)i);
		ck_assert_ptr_nonnull(text);
		ck_assert_uint_gt(strlen(text), 0);
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(text, err_text((enum err)k));
	}
	ck_assert_int_eq(ERR_OK, 0);
	ck_assert_str_eq(err_text((enum err)9999), "unknown error");
	ck_assert_str_eq(err_text((enum err) - 1), "unknown error");
}
END_TEST

START_TEST(test_set)
{
	struct err_info info;

	ck_assert_int_eq(
	    err_set(&info, ERR_INVALID, "rounds", "must be 1 to %d", 12),
	    ERR_INVALID);
	ck_assert_str_eq(info.field, "rounds");
	ck_assert_str_eq(info.text, "must be 1 to 12");
	ck_assert_int_eq(err_set(NULL, ERR_IO, "x", "y"), ERR_IO);
	ck_assert_int_eq(err_set(&info, ERR_IO, NULL, "gone"), ERR_IO);
	ck_assert_str_eq(info.field, "");
	ck_assert_str_eq(info.text, "gone");
}
END_TEST

START_TEST(test_set_cuts)
{
	struct err_info info;
	char field[200], text[1000];

	memset(field, 'f', sizeof(field) - 1);
	memset(text, 't', sizeof(text) - 1);
	field[sizeof(field) - 1] = '\0';
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(
	    err_set(&info, ERR_TOO_LARGE, field, "%s", text), ERR_TOO_LARGE);
	ck_assert_uint_eq(strlen(info.field), sizeof(info.field) - 1);
	ck_assert_uint_eq(strlen(info.text), sizeof(info.text) - 1);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_every_code_has_its_own_text);
	tcase_add_test(t, test_set);
	tcase_add_test(t, test_set_cuts);
}

int
main(void)
{
	return check_run("err", add_tests);
}
