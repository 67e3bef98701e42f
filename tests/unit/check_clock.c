/* SPDX-License-Identifier: MIT
 *
 * Times and their text.
 */
#include "base/clock.h"
#include "tests/unit/check_run.h"

START_TEST(test_iso)
{
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
	    {0, "1970-01-01T00:00:00.000000Z"},
	    {1, "1970-01-01T00:00:00.000001Z"},
	    {-1, "1969-12-31T23:59:59.999999Z"},
	    {1709208000123456, "2024-02-29T12:00:00.123456Z"},
	    {4102444799999999, "2099-12-31T23:59:59.999999Z"},
	};
	char text[CLOCK_ISO_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_ptr_eq(clock_iso(rows[i].us, text), text);
		ck_assert_str_eq(text, rows[i].text);
		int64_t back;
		if (rows[i].us < 0)
			continue;
		ck_assert_int_eq(clock_parse_iso(text, &back), ERR_OK);
		ck_assert_int_eq(back, rows[i].us);
	}
	/* What has no year of four digits is the nearest that has. */
	ck_assert_str_eq(
	    clock_iso(INT64_MAX, text), "9999-12-31T23:59:59.999999Z");
	ck_assert_str_eq(
	    clock_iso(INT64_MIN, text), "0000-01-01T00:00:00.000000Z");
}
END_TEST

START_TEST(test_parse)
{
	static const struct {
		const char *text;
		int64_t us;
	} rows[] = {
	    {"2024-02-29T12:00:00Z", 1709208000000000},
	    {"2024-02-29t12:00:00z", 1709208000000000},
	    {"2024-02-29 12:00:00Z", 1709208000000000},
	    {"2024-02-29T14:30:00+02:30", 1709208000000000},
	    {"2024-02-29T04:00:00-08:00", 1709208000000000},
	    {"2024-02-29T12:00:00.5Z", 1709208000500000},
	    {"2024-02-29T12:00:00.123456789Z", 1709208000123456},
	};
	int64_t us;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_msg(clock_parse_iso(rows[i].text, &us) == ERR_OK &&
			us == rows[i].us,
		    "%s", rows[i].text);
	}
}
END_TEST

START_TEST(test_parse_refuses)
{
	static const char *const bad[] = {"", "2024", "2024-02-29",
	    "2024-02-29T12:00:00", "2024-02-30T12:00:00Z",
	    "2023-02-29T12:00:00Z", "2024-13-01T12:00:00Z",
	    "2024-00-01T12:00:00Z", "2024-02-29T24:00:00Z",
	    "2024-02-29T12:60:00Z", "2024-02-29T12:00:00.Z",
	    "2024-02-29T12:00:00Zx", "2024-02-29T12:00:00+2:00",
	    "2024-02-29T12:00:00+0200", "2024-2-29T12:00:00Z",
	    "-024-02-29T12:00:00Z", "02024-02-29T12:00:00Z",
	    "1969-12-31T23:59:59Z", "2024-02-29T12:00:00+24:00",
	    " 2024-02-29T12:00:00Z", "now"};
	int64_t us = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(clock_parse_iso(bad[i], &us) == ERR_INVALID,
		    "'%s' was taken", bad[i]);
	ck_assert_int_eq(us, 7);
}
END_TEST

START_TEST(test_clocks_advance)
{
	int64_t before = clock_mono_us();

	ck_assert_int_gt(before, 0);
	while (clock_mono_us() == before)
		;
	ck_assert_int_gt(clock_mono_us(), before);
	ck_assert_int_le(before / 1000, clock_mono_ms());
	/* After this was written. */
	ck_assert_int_gt(clock_wall_us(), 1735689600000000);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_iso);
	tcase_add_test(t, test_parse);
	tcase_add_test(t, test_parse_refuses);
	tcase_add_test(t, test_clocks_advance);
}

int
main(void)
{
	return check_run("clock", add_tests);
}
