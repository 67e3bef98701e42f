/* SPDX-License-Identifier: MIT
 *
 * JSON reading: how strict, and where the error is said to be. Then the tree
 * and the writer.
 */
#include <float.h>
#include <math.h>

#include "base/json.h"
#include "base/str.h"
#include "tests/unit/check_run.h"

struct strict_row {
	const char *text;
	enum err e;
	const char *field;
	const char *says; /* part of the message */
};

static const struct strict_row refused[] = {
    /* duplicate keys, however they are spelled */
    {"{\"a\":1,\"a\":1}", ERR_SYNTAX, "a", "duplicate key"},
    {"{\"p\":{\"rounds\":1,\"x\":2,\"rounds\":3}}", ERR_SYNTAX, "p.rounds",
	"duplicate key"},
    {"{\"agents\":1,\"\\u0061gents\":2}", ERR_SYNTAX, "agents",
	"duplicate key"},
    {"{\"\\u00e9\":1,\"\xc3\xa9\":2}", ERR_SYNTAX, "\xc3\xa9", "duplicate key"},
    {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", ERR_SYNTAX,
	"\xf0\x9f\x98\x80", "duplicate key"},
    {"{\"a\\/b\":1,\"a/b\":2}", ERR_SYNTAX, "a/b", "duplicate key"},
    {"{\"\":1,\"\":2}", ERR_SYNTAX, "", "duplicate key"},
    {"[0,{\"b\":0,\"a\":0,\"c\":0,\"a\":0}]", ERR_SYNTAX, "a", "duplicate key"},
    /* not numbers */
    {"NaN", ERR_SYNTAX, "", "expected a value"},
    {"{\"threshold\":NaN}", ERR_SYNTAX, "threshold", "expected a value"},
    {"{\"threshold\":Infinity}", ERR_SYNTAX, "threshold", "expected a value"},
    {"{\"threshold\":-Infinity}", ERR_SYNTAX, "threshold", "expected a value"},
    {"{\"n\":1e999}", ERR_SYNTAX, "n", "number out of range"},
    {"{\"n\":-1e999}", ERR_SYNTAX, "n", "number out of range"},
    {"9223372036854775808", ERR_SYNTAX, "", "integer out of range"},
    {"-9223372036854775809", ERR_SYNTAX, "", "integer out of range"},
    {"{\"rounds\":012}", ERR_SYNTAX, "rounds", "leading zero"},
    {"-01", ERR_SYNTAX, "", "leading zero"},
    {"00", ERR_SYNTAX, "", "leading zero"},
    {"1.", ERR_SYNTAX, "", "bad fraction"},
    {".5", ERR_SYNTAX, "", "expected a value"},
    {"+1", ERR_SYNTAX, "", "expected a value"},
    {"-", ERR_SYNTAX, "", "expected a value"},
    {"1e", ERR_SYNTAX, "", "bad exponent"},
    {"1e+", ERR_SYNTAX, "", "bad exponent"},
    {"0x10", ERR_SYNTAX, "", "text after the value"},
    /* strings */
    {"{\"task\":\"\\ud83d\"}", ERR_SYNTAX, "task", "lone surrogate"},
    {"\"\\ud83d x\"", ERR_SYNTAX, "", "lone surrogate"},
    {"\"\\ude00\\ud83d\"", ERR_SYNTAX, "", "lone surrogate"},
    {"\"\\ud83d\\u0041\"", ERR_SYNTAX, "", "lone surrogate"},
    {"\"\\ud83d\\n\"", ERR_SYNTAX, "", "lone surrogate"},
    {"\"\\ud83d\\ud83d\"", ERR_SYNTAX, "", "lone surrogate"},
    {"{\"task\":\"a\tb\"}", ERR_SYNTAX, "task", "raw control character"},
    {"\"a\nb\"", ERR_SYNTAX, "", "raw control character"},
    {"\"\x1f\"", ERR_SYNTAX, "", "raw control character"},
    {"{\"a\nb\":1}", ERR_SYNTAX, "", "raw control character"},
    {"{\"task\":\"a\\u0000b\"}", ERR_SYNTAX, "task", "NUL"},
    {"{\"a\\u0000b\":1}", ERR_SYNTAX, "", "NUL"},
    {"{\"task\":\"\xff\"}", ERR_SYNTAX, "task", "invalid UTF-8"},
    {"\"\xc0\xaf\"", ERR_SYNTAX, "", "invalid UTF-8"},
    {"\"\xed\xa0\x80\"", ERR_SYNTAX, "", "invalid UTF-8"},
    {"\"\xe2\x82\"", ERR_SYNTAX, "", "invalid UTF-8"},
    {"{\"\x80\":1}", ERR_SYNTAX, "", "invalid UTF-8"},
    {"\"\\x41\"", ERR_SYNTAX, "", "unknown escape"},
    {"\"\\", ERR_SYNTAX, "", "cut escape"},
    {"\"\\u12", ERR_SYNTAX, "", "cut \\u escape"},
    {"\"\\u12g4\"", ERR_SYNTAX, "", "bad \\u escape"},
    {"\"abc", ERR_SYNTAX, "", "unterminated string"},
    {"{\"a\":\"b", ERR_SYNTAX, "a", "unterminated string"},
    {"{\"ab", ERR_SYNTAX, "", "unterminated string"},
    {"'a'", ERR_SYNTAX, "", "expected a value"},
    /* structure */
    {"", ERR_SYNTAX, "", "unexpected end"},
    {"  \n", ERR_SYNTAX, "", "unexpected end"},
    {"{} {}", ERR_SYNTAX, "", "text after the value"},
    {"1 2", ERR_SYNTAX, "", "text after the value"},
    {"{}x", ERR_SYNTAX, "", "text after the value"},
    {"[1,]", ERR_SYNTAX, "", "expected a value"},
    {"[1 2]", ERR_SYNTAX, "", "expected ','"},
    {"[1", ERR_SYNTAX, "", "expected ','"},
    {"[1}", ERR_SYNTAX, "", "expected ','"},
    {"[", ERR_SYNTAX, "", "unexpected end"},
    {"{\"a\":1,}", ERR_SYNTAX, "", "expected a string"},
    {"{a:1}", ERR_SYNTAX, "", "expected a string"},
    {"{\"a\" 1}", ERR_SYNTAX, "a", "expected ':'"},
    {"{\"a\":}", ERR_SYNTAX, "a", "expected a value"},
    {"{\"a\":", ERR_SYNTAX, "a", "unexpected end"},
    {"tru", ERR_SYNTAX, "", "unexpected text"},
    {"True", ERR_SYNTAX, "", "expected a value"},
    {"nul", ERR_SYNTAX, "", "unexpected text"},
    {"\xef\xbb\xbf{}", ERR_SYNTAX, "", "expected a value"},
    {"{/*x*/}", ERR_SYNTAX, "", "expected a string"},
    {"1\f", ERR_SYNTAX, "", "text after the value"},
};

START_TEST(test_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const struct strict_row *row = &refused[i];
		struct arena *a = arena_new(0);
		const struct json *j = (const struct json *)a;
		struct err_info info = {.field = "unset"};

		enum err e = json_parse(
		    a, row->text, strlen(row->text), NULL, &j, &info);
		ck_assert_msg(e == row->e, "%s: %s", row->text, err_text(e));
		ck_assert_ptr_null(j);
		ck_assert_msg(str_eq(info.field, row->field), "%s: field '%s'",
		    row->text, info.field);
		ck_assert_msg(strstr(info.text, row->says) != NULL, "%s: '%s'",
		    row->text, info.text);
		ck_assert_ptr_nonnull(strstr(info.text, " at byte "));
		ck_assert_int_eq(
		    json_validate(row->text, strlen(row->text), NULL, NULL),
		    row->e);
		arena_free(&a);
	}
}
END_TEST

START_TEST(test_raw_nul_is_refused)
{
	struct err_info info;

	ck_assert_int_eq(
	    json_validate("[\"a\0b\"]", 7, NULL, &info), ERR_SYNTAX);
	ck_assert_int_eq(json_validate("1\0", 2, NULL, &info), ERR_SYNTAX);
	ck_assert_int_eq(json_validate("\0", 1, NULL, &info), ERR_SYNTAX);
	ck_assert_int_eq(json_validate("[1]\0", 4, NULL, &info), ERR_SYNTAX);
}
END_TEST

/* Names what is wrong by byte, and says the same for any cut of a text. */
START_TEST(test_every_cut_is_refused)
{
	static const char text[] =
	    "{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\ud83d\\ude00\xc3\xa9\"],"
	    "\"b\":{\"c\":{}}}";

	ck_assert_int_eq(
	    json_validate(text, sizeof(text) - 1, NULL, NULL), ERR_OK);
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		/* A copy of that size, so that a read past it is seen. */
		char *cut = malloc(len + 1);
		ck_assert_ptr_nonnull(cut);
		memcpy(cut + 1, text, len);
		ck_assert_int_eq(
		    json_validate(cut + 1, len, NULL, NULL), ERR_SYNTAX);
		free(cut);
	}
}
END_TEST

START_TEST(test_limits)
{
	char deep[64];
	struct err_info info;
	const struct json_limits small = {.max_bytes = 10, .max_depth = 2};

	memset(deep, '[', 21);
	memset(deep + 21, ']', 21);
	ck_assert_int_eq(json_validate(deep + 1, 40, NULL, &info), ERR_OK);
	ck_assert_int_eq(json_validate(deep, 42, NULL, &info), ERR_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(info.text, "nested too deeply"));
	ck_assert_int_eq(json_validate("{\"a\":[{}]}", 10,
			     &(struct json_limits){.max_depth = 2}, &info),
	    ERR_TOO_LARGE);
	ck_assert_str_eq(info.field, "a");
	/* Depth is of nesting, not of how many there are. */
	ck_assert_int_eq(
	    json_validate("[[],[],[]]", 10, &small, &info), ERR_OK);
	ck_assert_int_eq(
	    json_validate("[[],[], []]", 11, &small, &info), ERR_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(info.text, "at most 10"));

	char *large = malloc((10u << 20) + 1);
	ck_assert_ptr_nonnull(large);
	memset(large, ' ', (10u << 20) + 1);
	large[0] = '1';
	ck_assert_int_eq(json_validate(large, 10u << 20, NULL, NULL), ERR_OK);
	ck_assert_int_eq(
	    json_validate(large, (10u << 20) + 1, NULL, NULL), ERR_TOO_LARGE);
	free(large);
}
END_TEST

START_TEST(test_long_path_is_cut_between_characters)
{
	struct err_info info;
	struct buf b;

	buf_init(&b, 1000);
	buf_puts(&b, "{\"x");
	for (int i = 0; i < 40; i++)
		buf_puts(&b, "\xc3\xa9");
	buf_puts(&b, "\":{\"b\":x}}");
	ck_assert_int_eq(json_validate(b.data, b.len, NULL, &info), ERR_SYNTAX);
	ck_assert(str_is_utf8(info.field, strlen(info.field)));
	/* One byte and 31 characters of two. */
	ck_assert_uint_eq(strlen(info.field), 63);
	buf_release(&b);
}
END_TEST

/* Many keys: found in time that grows with n log n, and correctly. */
START_TEST(test_many_keys)
{
	struct err_info info;
	struct buf b;

	buf_init(&b, 8u << 20);
	buf_putc(&b, '{');
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "\"k%d\":%d,", i, i);
	size_t len = b.len;
	buf_puts(&b, "\"last\":0}");
	ck_assert_int_eq(json_validate(b.data, b.len, NULL, &info), ERR_OK);
	b.len = len;
	buf_puts(&b, "\"k4711\":0}");
	ck_assert_int_eq(json_validate(b.data, b.len, NULL, &info), ERR_SYNTAX);
	ck_assert_str_eq(info.field, "k4711");
	buf_release(&b);
}
END_TEST

static const struct json *
parse(struct arena *a, const char *text)
{
	const struct json *j;
	struct err_info info = {0};

	enum err e = json_parse(a, text, strlen(text), NULL, &j, &info);
	ck_assert_msg(e == ERR_OK, "%s: %s", text, info.text);
	return j;
}

START_TEST(test_tree)
{
	struct arena *a = arena_new(0);
	const struct json *j = parse(a,
	    " {\"task\":\"tea?\",\"n\":3,"
	    "\"share\":0.67,\"live\":true,\"none\":null,"
	    "\"agents\":[\"demo\",{\"name\":\"x\"}]} ");
	int64_t whole = -1;
	double number = -1;
	bool flag = false;
	size_t len;

	ck_assert_int_eq(json_kind(j), JSON_OBJECT);
	ck_assert_uint_eq(json_len(j), 6);
	ck_assert_str_eq(json_str(json_get(j, "task"), &len), "tea?");
	ck_assert_uint_eq(len, 4);
	ck_assert(json_int(json_get(j, "n"), &whole));
	ck_assert_int_eq(whole, 3);
	ck_assert(json_num(json_get(j, "n"), &number));
	ck_assert_double_eq(number, 3);
	ck_assert(json_num(json_get(j, "share"), &number));
	ck_assert_double_eq(number, 0.67);
	ck_assert(!json_int(json_get(j, "share"), &whole));
	ck_assert(json_boolean(json_get(j, "live"), &flag) && flag);
	ck_assert_int_eq(json_kind(json_get(j, "none")), JSON_NULL);
	const struct json *agents = json_get(j, "agents");
	ck_assert_uint_eq(json_len(agents), 2);
	ck_assert_str_eq(json_str(json_at(agents, 0), NULL), "demo");
	ck_assert_str_eq(json_get_str(json_at(agents, 1), "name", ""), "x");
	ck_assert_ptr_null(json_at(agents, 2));
	/* Wrong kinds and absent members. */
	ck_assert(!json_int(json_get(j, "task"), &whole));
	ck_assert(!json_num(json_get(j, "live"), &number));
	ck_assert(!json_boolean(json_get(j, "n"), &flag));
	ck_assert_ptr_null(json_str(json_get(j, "n"), NULL));
	ck_assert_ptr_null(json_get(agents, "task"));
	ck_assert_ptr_null(json_at(j, 0));
	ck_assert_uint_eq(json_len(NULL), 0);
	ck_assert_int_eq(json_get_int(j, "absent", 7), 7);
	ck_assert_double_eq(json_get_num(j, "task", 0.5), 0.5);
	ck_assert(json_get_bool(j, "absent", true));
	arena_free(&a);
}
END_TEST

START_TEST(test_iterate)
{
	struct arena *a = arena_new(0);
	const struct json *j = parse(a, "{\"z\":1,\"a\":2,\"m\":3}");
	static const char *const keys[] = {"z", "a", "m"};
	void *it = NULL;
	const char *key;
	const struct json *value;
	int64_t n = 0;

	while (json_next(j, &it, &key, &value)) {
		int64_t got;
		ck_assert(json_int(value, &got));
		ck_assert_str_eq(key, keys[n]);
		ck_assert_int_eq(got, ++n);
	}
	ck_assert_int_eq(n, 3);
	it = NULL;
	ck_assert(!json_next(parse(a, "{}"), &it, &key, &value));
	ck_assert(!json_next(parse(a, "[1]"), &it, &key, &value));
	ck_assert(!json_next(NULL, &it, &key, &value));
	arena_free(&a);
}
END_TEST

START_TEST(test_scalars)
{
	static const struct {
		const char *text;
		enum json_kind kind;
		const char *again;
	} rows[] = {
	    {"null", JSON_NULL, "null"},
	    {" true ", JSON_BOOL, "true"},
	    {"17", JSON_INT, "17"},
	    {"-9223372036854775808", JSON_INT, "-9223372036854775808"},
	    {"9223372036854775807", JSON_INT, "9223372036854775807"},
	    {"0.67", JSON_DOUBLE, "0.67"},
	    {"1e5", JSON_DOUBLE, "1e5"},
	    {"\"\\u00e9\\/\\n\"", JSON_STRING, "\"\xc3\xa9/\\n\""},
	    {"[1,[2,{}]]", JSON_ARRAY, "[1,[2,{}]]"},
	    {"{\"a\":{\"b\":[]}}", JSON_OBJECT, "{\"a\":{\"b\":[]}}"},
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct json *j = parse(a, rows[i].text);
		ck_assert_int_eq(json_kind(j), rows[i].kind);
		ck_assert_str_eq(json_text(a, j), rows[i].again);
	}
	for (int i = 0; i < JSON__COUNT; i++)
		ck_assert_ptr_nonnull(json_kind_name((enum json_kind)i));
	arena_free(&a);
}
END_TEST

START_TEST(test_writer)
{
	struct arena *a = arena_new(0);
	struct json_w w;
	struct buf b;

	buf_init(&b, 4096);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "text", "a\"b\\c\n\t\x01\x7f\xc3\xa9/");
	json_w_str(&w, "absent", NULL);
	json_w_strn(&w, "part", "question", 5);
	json_w_int(&w, "min", INT64_MIN);
	json_w_num(&w, "share", 0.67);
	json_w_num(&w, "whole", 1);
	json_w_num(&w, "nan", NAN);
	json_w_num(&w, "inf", -INFINITY);
	json_w_bool(&w, "yes", true);
	json_w_null(&w, "nothing");
	json_w_raw(&w, "raw", "[1]");
	json_w_raw(&w, "no_raw", NULL);
	json_w_json(&w, "tree", parse(a, "{\"x\":[1.5]}"));
	json_w_json(&w, "no_tree", NULL);
	json_w_time(&w, "never", 0);
	json_w_time(&w, "when", 1709208000123456);
	json_w_begin_array(&w, "list");
	json_w_begin(&w, NULL);
	json_w_end(&w);
	json_w_begin_array(&w, NULL);
	json_w_end_array(&w);
	json_w_int(&w, NULL, 2);
	json_w_end_array(&w);
	json_w_str(&w, "k\"ey", "");
	json_w_end(&w);
	ck_assert_str_eq(b.data,
	    "{\"text\":\"a\\\"b\\\\c\\n\\t\\u0001\x7f\xc3\xa9/\","
	    "\"absent\":null,\"part\":\"quest\","
	    "\"min\":-9223372036854775808,\"share\":0.67,\"whole\":1.0,"
	    "\"nan\":0.0,\"inf\":0.0,\"yes\":true,\"nothing\":null,"
	    "\"raw\":[1],\"no_raw\":null,\"tree\":{\"x\":[1.5]},"
	    "\"no_tree\":null,\"never\":null,"
	    "\"when\":\"2024-02-29T12:00:00.123456Z\","
	    "\"list\":[{},[],2],\"k\\\"ey\":\"\"}");
	parse(a, b.data);
	buf_release(&b);
	arena_free(&a);
}
END_TEST

static double
round_trip(double value)
{
	struct arena *a = arena_new(0);
	struct json_w w;
	struct buf b;
	double back = 0;

	buf_init(&b, 100);
	json_w_init(&w, &b);
	json_w_num(&w, NULL, value);
	const struct json *j = parse(a, b.data);
	ck_assert_int_eq(json_kind(j), JSON_DOUBLE);
	ck_assert(json_num(j, &back));
	buf_release(&b);
	arena_free(&a);
	return back;
}

START_TEST(test_numbers_round_trip)
{
	static const double values[] = {0, -0.0, 1, -1, 0.1, 1.0 / 3, 2.0 / 3,
	    1e15, 1e16, 123456789, 1234567890123456.0, 1e21, 1e-7, 1e100,
	    1e-300, DBL_MAX, DBL_MIN, DBL_EPSILON, 5e-324, 9007199254740993.0,
	    1767225600.123456};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		double back = round_trip(values[i]);
		ck_assert_msg(memcmp(&back, &values[i], sizeof(back)) == 0,
		    "%.17g came back as %.17g", values[i], back);
	}
}
END_TEST

/* One string through the writer and back. */
static const char *
string_trip(struct arena *a, const char *text, size_t len, size_t *back)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, 1u << 16);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	json_w_strn(&w, NULL, text, len);
	json_w_end_array(&w);
	ck_assert(!b.is_overflowed);
	const char *value = json_str(json_at(parse(a, b.data), 0), back);
	ck_assert_ptr_nonnull(value);
	buf_release(&b);
	return value;
}

START_TEST(test_bad_utf8_is_repaired)
{
	static const struct {
		const char *text;
		size_t len;
		const char *repaired;
	} rows[] = {
	    {"\xff", 1, "\xef\xbf\xbd"},
	    {"a\x80z", 3, "a\xef\xbf\xbdz"},
	    {"\xc3", 1, "\xef\xbf\xbd"},
	    {"\xc3(", 2, "\xef\xbf\xbd("},
	    {"\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xf0\x9f\x98\x80\xf0\x9f", 6,
		"\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"a\0b", 3,
		"a\xef\xbf\xbd"
		"b"},
	    {"\xc3\xa9", 2, "\xc3\xa9"},
	};
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *back =
		    string_trip(a, rows[i].text, rows[i].len, NULL);
		ck_assert_msg(
		    str_eq(back, rows[i].repaired), "row %zu: '%s'", i, back);
	}
	arena_free(&a);
}
END_TEST

/* Every byte in every place of a text of all sequence lengths: what is written
 * is always JSON, and valid text comes back as it was. */
START_TEST(test_mutations)
{
	static const char text[] = "a\xc3\xa9\"\xe2\x82\xac\\\xf0\x9f\x98\x80";
	size_t len = sizeof(text) - 1;
	struct arena *a = arena_new(0);
	int valid = 0;

	for (size_t i = 0; i < len; i++) {
		for (int c = 0; c < 256; c++) {
			char mutated[sizeof(text)];
			memcpy(mutated, text, sizeof(text));
			mutated[i] = (char)c;
			size_t n;
			const char *back = string_trip(a, mutated, len, &n);
			ck_assert(str_is_utf8(back, n));
			if (c == 0 || !str_is_utf8(mutated, len))
				continue;
			ck_assert_uint_eq(n, len);
			ck_assert_mem_eq(back, mutated, len);
			valid++;
		}
		arena_clear(a);
	}
	ck_assert_int_gt(valid, 500);
	arena_free(&a);
}
END_TEST

START_TEST(test_writer_overflow_shows)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, 10);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	json_w_str(&w, NULL, "more than ten bytes");
	json_w_end_array(&w);
	ck_assert(b.is_overflowed);
	buf_release(&b);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_raw_nul_is_refused);
	tcase_add_test(t, test_every_cut_is_refused);
	tcase_add_test(t, test_limits);
	tcase_add_test(t, test_long_path_is_cut_between_characters);
	tcase_add_test(t, test_many_keys);
	tcase_add_test(t, test_tree);
	tcase_add_test(t, test_iterate);
	tcase_add_test(t, test_scalars);
	tcase_add_test(t, test_writer);
	tcase_add_test(t, test_numbers_round_trip);
	tcase_add_test(t, test_bad_utf8_is_repaired);
	tcase_add_test(t, test_mutations);
	tcase_add_test(t, test_writer_overflow_shows);
}

int
main(void)
{
	return check_run("json", add_tests);
}
