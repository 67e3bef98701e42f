/* SPDX-License-Identifier: MIT
 *
 * W3C Trace Context, by its own rules.
 */
#include "base/trace.h"

#include <string.h>

#include "base/attr.h"
#include "tests/unit/check_run.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

START_TEST(test_parse)
{
	struct trace t;
	char out[TRACE_PARENT_SIZE];

	ck_assert(trace_parse("00-" ID "-" SPAN "-01", &t));
	ck_assert_str_eq(t.id, ID);
	ck_assert_str_eq(t.span, SPAN);
	ck_assert_uint_eq(t.flags, 1);
	trace_write(&t, out);
	ck_assert_str_eq(out, "00-" ID "-" SPAN "-01");
	/* Unknown flags are passed on; later versions are read as 00. */
	ck_assert(trace_parse("00-" ID "-" SPAN "-fe", &t));
	ck_assert_uint_eq(t.flags, 0xfe);
	ck_assert(trace_parse("cc-" ID "-" SPAN "-00", &t));
	ck_assert(trace_parse("cc-" ID "-" SPAN "-00-more", &t));
	trace_write(&t, out);
	ck_assert_str_eq(out, "00-" ID "-" SPAN "-00");
}
END_TEST

START_TEST(test_refuse)
{
	static const char *const bad[] = {
	    "",
	    "00",
	    "00-" ID "-" SPAN,
	    "00-" ID "-" SPAN "-",
	    "00-" ID "-" SPAN "-1",
	    "00-" ID "-" SPAN "-01-",
	    "00-" ID "-" SPAN "-01 ",
	    " 00-" ID "-" SPAN "-01",
	    "ff-" ID "-" SPAN "-01",
	    "0g-" ID "-" SPAN "-01",
	    "00_" ID "-" SPAN "-01",
	    "00-" ID "_" SPAN "-01",
	    "00-" ID "-" SPAN "_01",
	    "00-00000000000000000000000000000000-" SPAN "-01",
	    "00-" ID "-0000000000000000-01",
	    "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
	    "00-" ID "-00F067AA0BA902B7-01",
	    "00-" ID "-" SPAN "-0G",
	    "cc-" ID "-" SPAN "-01more",
	    "00-" ID "-" SPAN "-01, 00-" ID "-" SPAN "-01",
	};
	struct trace t = {.id = "kept"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!trace_parse(bad[i], &t), "%s", bad[i]);
	ck_assert_str_eq(t.id, "kept");
}
END_TEST

START_TEST(test_id)
{
	ck_assert(trace_is_id(ID, TRACE_ID_LEN));
	ck_assert(trace_is_id(SPAN, TRACE_SPAN_LEN));
	ck_assert(!trace_is_id(SPAN, TRACE_ID_LEN));
	ck_assert(!trace_is_id("0000000000000000", TRACE_SPAN_LEN));
	ck_assert(!trace_is_id("00F067AA0BA902B7", TRACE_SPAN_LEN));
}
END_TEST

START_TEST(test_state)
{
	static const char *const good[] = {"a=1", "rojo=00f067aa0ba902b7",
	    "congo=t61rcWkgMzE,rojo=1", "a=1 ,\tb=2", "a=1,,b=2", "a=1,",
	    "fw529a3039@dt=FfMyMDAx", "0@a=1", "a_-*/9=x y!\"#"};
	static const char *const bad[] = {"", " ", ",", "a", "=1", "a=", "A=1",
	    "0a=1", "a =1", "a@=1", "@a=1", "a@b@c=1", "a@0=1", "a=1=2",
	    "a=\x01", "a=\xc3\xa9", "a=1,b", "a@abcdefghijklmno=1"};
	char text[TRACE_STATE_MAX + 8];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(trace_state_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!trace_state_is_valid(bad[i]), "%s", bad[i]);
	/* 32 members, not 33. */
	text[0] = '\0';
	for (size_t i = 0; i < 33; i++) {
		snprintf(text + i * 4, sizeof(text) - i * 4, "a=1,");
		ck_assert_int_eq(trace_state_is_valid(text), i < 32);
	}
	/* Parts and the whole have their lengths. */
	memset(text, 'a', sizeof(text));
	text[257] = '\0';
	text[256] = '\0';
	memcpy(text + 256, "=1", 3);
	ck_assert(trace_state_is_valid(text));
	memset(text, 'a', sizeof(text));
	memcpy(text + 257, "=1", 3);
	ck_assert(!trace_state_is_valid(text));
}
END_TEST

START_TEST(test_span)
{
	char one[TRACE_SPAN_LEN + 1], two[TRACE_SPAN_LEN + 1];

	trace_span_of(one, "adhoc_1", "1/propose/demo/", 1);
	ck_assert(trace_is_id(one, TRACE_SPAN_LEN));
	trace_span_of(two, "adhoc_1", "1/propose/demo/", 1);
	ck_assert_str_eq(one, two);
	trace_span_of(two, "adhoc_1", "1/propose/demo/", 2);
	ck_assert_str_ne(one, two);
	trace_span_of(two, "adhoc_2", "1/propose/demo/", 1);
	ck_assert_str_ne(one, two);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_parse);
	tcase_add_test(t, test_refuse);
	tcase_add_test(t, test_id);
	tcase_add_test(t, test_state);
	tcase_add_test(t, test_span);
}

int
main(void)
{
	return check_run("trace", add_tests);
}
