/* SPDX-License-Identifier: MIT
 *
 * When loadgen's requests are due.
 */
#include <math.h>

#include "base/buf.h"
#include "tests/load/stage.h"
#include "tests/unit/check_run.h"

static struct stages
parse(const char *text)
{
	struct err_info info = {0};
	struct stages s;

	ck_assert_msg(
	    stages_parse(text, &s, &info) == ERR_OK, "%s: %s", text, info.text);
	return s;
}

START_TEST(test_parse)
{
	struct stages s = parse("60:10,40-400:30.5,0-0.5:1");

	ck_assert_uint_eq(s.n, 3);
	ck_assert(s.rows[0].from == 60 && s.rows[0].to == 60);
	ck_assert(s.rows[0].seconds == 10);
	ck_assert(s.rows[1].from == 40 && s.rows[1].to == 400);
	ck_assert(s.rows[1].seconds == 30.5);
	ck_assert(s.rows[2].from == 0 && s.rows[2].to == 0.5);
	ck_assert(stages_seconds(&s) == 41.5);
}
END_TEST

START_TEST(test_refused)
{
	static const char *const bad[] = {"", ",", "60", "60:", ":10", "60:0",
	    "60:10,", "-1:10", "1-:10", "1--2:3", "60:x", "x:10", "60:10:10",
	    "60:86401", "100001:1", "1-100001:1", "nan:1", "1:inf", "1:1e99",
	    "60:10,60:-1", "1111111111111111111111111111111111111111111:1"};
	struct err_info info;
	struct stages s;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		info.text[0] = '\0';
		ck_assert_msg(stages_parse(bad[i], &s, &info) != ERR_OK,
		    "'%s' was taken", bad[i]);
		ck_assert_str_ne(info.text, "");
	}
}
END_TEST

START_TEST(test_too_many)
{
	struct err_info info;
	struct stages s;
	struct buf text;

	buf_init(&text, 4096);
	buf_puts(&text, "1:1");
	for (int i = 1; i < STAGE_MAX; i++)
		buf_puts(&text, ",1:1");
	ck_assert(stages_parse(buf_text(&text), &s, &info) == ERR_OK);
	ck_assert_uint_eq(s.n, STAGE_MAX);
	buf_puts(&text, ",1:1");
	ck_assert(stages_parse(buf_text(&text), &s, &info) != ERR_OK);
	buf_release(&text);
}
END_TEST

START_TEST(test_scale)
{
	struct stages s = parse("10-40:2,20:6");

	stages_set_rate(&s, 100);
	ck_assert(s.rows[0].from == 25 && s.rows[0].to == 100);
	ck_assert(s.rows[1].from == 50);
	stages_set_seconds(&s, 4);
	ck_assert(s.rows[0].seconds == 1 && s.rows[1].seconds == 3);
	s = parse("0:5");
	stages_set_rate(&s, 100); /* nothing of nothing is nothing */
	ck_assert(s.rows[0].to == 0);
}
END_TEST

START_TEST(test_constant)
{
	struct stages s = parse("100:3");

	ck_assert_int_eq(stage_count(&s.rows[0]), 300);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(stage_due_us(&s.rows[0], i), i * 10000);
	s = parse("0.1:30");
	ck_assert_int_eq(stage_count(&s.rows[0]), 3);
	ck_assert_int_eq(stage_due_us(&s.rows[0], 2), 20000000);
	s = parse("0:30");
	ck_assert_int_eq(stage_count(&s.rows[0]), 0);
}
END_TEST

/* By time t a ramp has made the integral of its rate. */
START_TEST(test_ramp)
{
	static const char *const ramps[] = {
	    "0-100:10", "100-0:10", "10-1000:5", "1000-10:5", "50-50.001:7"};

	for (size_t i = 0; i < ARRAY_LEN(ramps); i++) {
		struct stages all = parse(ramps[i]);
		const struct stage *s = &all.rows[0];
		int64_t n = stage_count(s);
		int64_t last = 0;
		ck_assert_int_eq(n,
		    (int64_t)floor((s->from + s->to) / 2 * s->seconds + 1e-6));
		for (int64_t k = 0; k < n; k++) {
			int64_t us = stage_due_us(s, k);
			double t = (double)us / 1e6;
			double made = s->from * t +
			    (s->to - s->from) * t * t / (2 * s->seconds);
			ck_assert_int_ge(us, last);
			ck_assert(t <= s->seconds);
			ck_assert(fabs(made - (double)k) < 0.01);
			last = us;
		}
	}
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_parse);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_too_many);
	tcase_add_test(t, test_scale);
	tcase_add_test(t, test_constant);
	tcase_add_test(t, test_ramp);
}

int
main(void)
{
	return check_run("load_stage", add_tests);
}
