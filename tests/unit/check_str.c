/* SPDX-License-Identifier: MIT
 *
 * Text helpers.
 */
#include "base/str.h"
#include "tests/unit/check_run.h"

START_TEST(test_compare)
{
	ck_assert(str_eq("a", "a"));
	ck_assert(!str_eq("a", "A"));
	ck_assert(str_eq(NULL, NULL));
	ck_assert(!str_eq(NULL, ""));
	ck_assert(str_ieq("DeBug", "dEbUG"));
	ck_assert(!str_ieq("debug", "debu"));
	ck_assert(!str_ieq("debu", "debug"));
	ck_assert(!str_ieq("", NULL));
	/* Only ASCII letters fold. */
	ck_assert(!str_ieq("[", "{"));
	ck_assert(!str_ieq("\xc3\x89", "\xc3\xa9"));
	ck_assert(str_starts("redis://x", "redis:"));
	ck_assert(!str_starts("red", "redis:"));
	ck_assert(str_starts("x", ""));
	ck_assert(str_is_empty(NULL) && str_is_empty("") && !str_is_empty(" "));
}
END_TEST

/* Every char value, the negative ones too. */
START_TEST(test_classes)
{
	for (int i = -128; i < 128; i++) {
		char c = (char)i;
		bool is_digit = i >= '0' && i <= '9';
		bool is_upper = i >= 'A' && i <= 'Z';
		bool is_lower = i >= 'a' && i <= 'z';
		ck_assert_int_eq(str_is_digit(c), is_digit);
		ck_assert_int_eq(
		    str_is_alnum(c), is_digit || is_upper || is_lower);
		ck_assert_int_eq(str_is_space(c),
		    i == ' ' || i == '\t' || i == '\n' || i == '\v' ||
			i == '\f' || i == '\r');
		ck_assert_int_eq(str_lower(c), is_upper ? i + 32 : i);
	}
}
END_TEST

START_TEST(test_integers)
{
	static const struct {
		const char *text;
		int64_t min, max;
		enum err e;
		int64_t value;
	} rows[] = {
	    {"0", 0, 10, ERR_OK, 0},
	    {"-0", 0, 10, ERR_OK, 0},
	    {"10", 0, 10, ERR_OK, 10},
	    {"11", 0, 10, ERR_TOO_LARGE, 0},
	    {"-1", 0, 10, ERR_TOO_LARGE, 0},
	    {"007", 0, 10, ERR_OK, 7},
	    {"9223372036854775807", INT64_MIN, INT64_MAX, ERR_OK, INT64_MAX},
	    {"9223372036854775808", INT64_MIN, INT64_MAX, ERR_TOO_LARGE, 0},
	    {"-9223372036854775808", INT64_MIN, INT64_MAX, ERR_OK, INT64_MIN},
	    {"-9223372036854775809", INT64_MIN, INT64_MAX, ERR_TOO_LARGE, 0},
	    {"99999999999999999999999", INT64_MIN, INT64_MAX, ERR_TOO_LARGE, 0},
	    {"", 0, 10, ERR_INVALID, 0},
	    {"-", -10, 10, ERR_INVALID, 0},
	    {"--1", -10, 10, ERR_INVALID, 0},
	    {"+1", 0, 10, ERR_INVALID, 0},
	    {" 1", 0, 10, ERR_INVALID, 0},
	    {"1 ", 0, 10, ERR_INVALID, 0},
	    {"1.0", 0, 10, ERR_INVALID, 0},
	    {"0x1", 0, 10, ERR_INVALID, 0},
	    {"1e1", 0, 10, ERR_INVALID, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t value = 0;
		enum err e =
		    str_to_i64(rows[i].text, rows[i].min, rows[i].max, &value);
		ck_assert_msg(e == rows[i].e && value == rows[i].value,
		    "'%s': %s", rows[i].text, err_text(e));
	}
	uint64_t big;
	ck_assert_int_eq(
	    str_to_u64("18446744073709551615", 20, UINT64_MAX, &big), ERR_OK);
	ck_assert_uint_eq(big, UINT64_MAX);
	ck_assert_int_eq(
	    str_to_u64("18446744073709551616", 20, UINT64_MAX, &big),
	    ERR_TOO_LARGE);
	ck_assert_int_eq(str_to_u64("123;", 3, 1000, &big), ERR_OK);
	ck_assert_uint_eq(big, 123);
	ck_assert_int_eq(str_to_u64("-1", 2, 1000, &big), ERR_INVALID);
}
END_TEST

START_TEST(test_doubles)
{
	static const char *const bad[] = {"", ".", "-", "1e", "1e+", "nan",
	    "inf", "-inf", "infinity", "0x1p3", " 1", "1 ", "1,5", "1e999",
	    "-1e999", "1.2.3", "1d"};
	double value = 42;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(str_to_double(bad[i], &value) == ERR_INVALID,
		    "'%s' was taken", bad[i]);
	ck_assert_double_eq(value, 42);
	ck_assert_int_eq(str_to_double("-2.5e-1", &value), ERR_OK);
	ck_assert_double_eq(value, -0.25);
	ck_assert_int_eq(str_to_double("60", &value), ERR_OK);
	ck_assert_double_eq(value, 60);
}
END_TEST

START_TEST(test_booleans)
{
	static const char *const yes[] = {"1", "true", "TRUE", "Yes", "on"};
	static const char *const no[] = {"0", "false", "No", "OFF"};
	static const char *const bad[] = {"", "2", "t", "truee", " 1", "y"};
	bool value;

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		value = false;
		ck_assert_int_eq(str_to_bool(yes[i], &value), ERR_OK);
		ck_assert(value);
	}
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		value = true;
		ck_assert_int_eq(str_to_bool(no[i], &value), ERR_OK);
		ck_assert(!value);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(str_to_bool(bad[i], &value), ERR_INVALID);
}
END_TEST

START_TEST(test_trim_and_split)
{
	struct arena *a = arena_new(0);
	size_t n;

	ck_assert_str_eq(str_trim(a, " \t a b \r\n"), "a b");
	ck_assert_str_eq(str_trim(a, " \n "), "");
	char **parts = str_split(a, " grok, ,anthropic-api ,,x", ',', &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(parts[0], "grok");
	ck_assert_str_eq(parts[1], "anthropic-api");
	ck_assert_str_eq(parts[2], "x");
	ck_assert_ptr_null(parts[3]);
	str_split(a, "", ',', &n);
	ck_assert_uint_eq(n, 0);
	str_split(a, ",,,", ',', &n);
	ck_assert_uint_eq(n, 0);
	arena_free(&a);
}
END_TEST

START_TEST(test_utf8)
{
	static const struct {
		const char *text;
		bool is_valid;
	} rows[] = {
	    {"", true},
	    {"plain", true},
	    {"\x7f", true},
	    {"\xc2\x80", true},
	    {"\xdf\xbf", true},
	    {"\xe0\xa0\x80", true},
	    {"\xed\x9f\xbf", true},
	    {"\xee\x80\x80", true},
	    {"\xef\xbf\xbf", true},
	    {"\xf0\x90\x80\x80", true},
	    {"\xf4\x8f\xbf\xbf", true},
	    {"\x80", false},
	    {"\xbf", false},
	    {"\xc0\xaf", false}, /* overlong */
	    {"\xc1\xbf", false},
	    {"\xe0\x9f\xbf", false},
	    {"\xf0\x8f\xbf\xbf", false},
	    {"\xed\xa0\x80", false}, /* surrogates */
	    {"\xed\xbf\xbf", false},
	    {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
	    {"\xf5\x80\x80\x80", false},
	    {"\xff", false},
	    {"\xc2", false}, /* cut */
	    {"\xe2\x82", false},
	    {"\xf0\x9f\x98", false},
	    {"\xc2x", false},
	    {"\xe2\x82x", false},
	    {"a\xf0\x9f\x98\x80z", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(str_is_utf8(rows[i].text, strlen(rows[i].text)) ==
			rows[i].is_valid,
		    "row %zu", i);
}
END_TEST

START_TEST(test_utf8_cut_and_count)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	size_t len = sizeof(text) - 1;
	static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};

	for (size_t max = 0; max <= len; max++) {
		ck_assert_uint_eq(str_utf8_cut(text, len, max), cuts[max]);
		ck_assert(str_is_utf8(text, str_utf8_cut(text, len, max)));
	}
	ck_assert_uint_eq(str_utf8_cut(text, len, 100), len);
	ck_assert_uint_eq(str_utf8_count(text, len), 5);
	ck_assert_uint_eq(str_utf8_count("", 0), 0);
}
END_TEST

START_TEST(test_hex_and_hash)
{
	char hex[9];

	str_hex("\x00\x7f\x80\xff", 4, hex);
	ck_assert_str_eq(hex, "007f80ff");
	/* Published FNV-1a values. */
	ck_assert_uint_eq(str_hash("", 0, 0), 0xcbf29ce484222325ULL);
	ck_assert_uint_eq(str_hash("a", 1, 0), 0xaf63dc4c8601ec8cULL);
	ck_assert_uint_eq(str_hash("foobar", 6, 0), 0x85944171f73967e8ULL);
	ck_assert_uint_ne(str_hash("a", 1, 1), str_hash("a", 1, 0));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_compare);
	tcase_add_test(t, test_classes);
	tcase_add_test(t, test_integers);
	tcase_add_test(t, test_doubles);
	tcase_add_test(t, test_booleans);
	tcase_add_test(t, test_trim_and_split);
	tcase_add_test(t, test_utf8);
	tcase_add_test(t, test_utf8_cut_and_count);
	tcase_add_test(t, test_hex_and_hash);
}

int
main(void)
{
	return check_run("str", add_tests);
}
