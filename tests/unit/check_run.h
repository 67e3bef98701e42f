/* SPDX-License-Identifier: MIT
 *
 * The main function of a unit test program with one test case:
 *   int main(void) { return check_run("buf", add_tests); }
 */
#pragma once

#include <check.h>
#include <stdlib.h>

static inline int
check_run(const char *name, void (*add_tests)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);

	add_tests(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
