/* SPDX-License-Identifier: MIT
 *
 * What `aragora eval` reads in an answer, and its statistics, which are worked
 * out here once more by counting every case.
 */
#include <math.h>
#include <string.h>

#include "cli/eval_answer.h"
#include "cli/eval_stats.h"
#include "base/str.h"
#include "tests/unit/check_run.h"

#define PLACES 1e-6
#define STEPS  2000 /* of an integral */

/* ---- statistics ---- */

/* The share of the normal distribution within z of its middle: Simpson. */
static double
normal_within(double z)
{
	double h = z / STEPS;
	double sum = 0;

	for (int i = 0; i <= STEPS; i++) {
		double x = i * h;
		int times = i == 0 || i == STEPS ? 1 : i % 2 == 1 ? 4 : 2;
		sum += times * exp(-x * x / 2);
	}
	return 2 * sum * h / 3 / sqrt(2 * M_PI);
}

static double
normal_z(double level)
{
	double low = 0, high = 10;

	for (int i = 0; i < 60; i++) {
		double z = (low + high) / 2;
		if (normal_within(z) < level)
			low = z;
		else
			high = z;
	}
	return low;
}

/* How many standard deviations of a share p the observed one is away. */
static double
away(double share, double p, double n)
{
	return fabs(share - p) / sqrt(p * (1 - p) / n);
}

/* Between the observed share and the end, the p that is z away. */
static double
bound(double share, double end, double n, double z)
{
	double near = share, far = end;

	for (int i = 0; i < 100; i++) {
		double p = (near + far) / 2;
		if (away(share, p, n) < z)
			near = p;
		else
			far = p;
	}
	return near;
}

START_TEST(test_wilson)
{
	double z = normal_z(EVAL_LEVEL);

	ck_assert_double_eq_tol(z, EVAL_Z, PLACES);
	for (int n = 1; n <= 40; n++)
		for (int x = 0; x <= n; x++) {
			struct eval_interval i = eval_wilson(x, n);
			double share = (double)x / n;
			ck_assert_double_eq_tol(
			    i.low, x == 0 ? 0 : bound(share, 0, n, z), PLACES);
			ck_assert_double_eq_tol(
			    i.high, x == n ? 1 : bound(share, 1, n, z), PLACES);
		}
	ck_assert_double_eq(eval_wilson(0, 0).low, 0);
	ck_assert_double_eq(eval_wilson(0, 0).high, 1);
}
END_TEST

/* Every way in which n even coins can fall. */
START_TEST(test_mcnemar)
{
	for (int n = 0; n <= 14; n++)
		for (int gained = 0; gained <= n; gained++) {
			int lost = n - gained;
			int as_far = 0;
			for (unsigned coins = 0; coins < 1u << n; coins++) {
				int heads = __builtin_popcount(coins);
				as_far +=
				    abs(2 * heads - n) >= abs(gained - lost);
			}
			ck_assert_double_eq_tol(eval_mcnemar(gained, lost),
			    (double)as_far / (double)(1u << n), PLACES);
		}
}
END_TEST

/* Many coins: the row of Pascal's triangle, added up as it is made. */
START_TEST(test_mcnemar_of_many)
{
	enum { N = 3000 };
	static double row[N + 1];
	double tail = 0;

	row[0] = 1;
	for (int n = 1; n <= N; n++)
		for (int k = n; k >= 0; k--)
			row[k] =
			    ((k < n ? row[k] : 0) + (k > 0 ? row[k - 1] : 0)) /
			    2;
	for (int k = 0; k <= N / 2 - 60; k++)
		tail += row[k];
	ck_assert_double_gt(tail, 0.001);
	ck_assert_double_eq_tol(
	    eval_mcnemar(N / 2 + 60, N / 2 - 60), 2 * tail, PLACES);
	ck_assert_double_eq_tol(
	    eval_mcnemar(N / 2 - 60, N / 2 + 60), 2 * tail, PLACES);
}
END_TEST

/* The share of all n^n resamples whose difference is at most `most`. */
static double
resamples_below(int gained, int lost, int n, int most)
{
	static double p[2][401];
	int now = 0;
	double sum = 0;

	memset(p, 0, sizeof(p));
	p[0][n] = 1; /* the difference 0 */
	for (int i = 0; i < n; i++) {
		for (int d = 0; d <= 2 * n; d++)
			p[!now][d] = p[now][d] * (n - gained - lost) / n +
			    (d > 0 ? p[now][d - 1] * gained / n : 0) +
			    (d < 2 * n ? p[now][d + 1] * lost / n : 0);
		now = !now;
	}
	for (int d = -n; d <= n && d <= most; d++)
		sum += p[now][d + n];
	return sum;
}

static const struct {
	int gained, lost, n;
} boots[] = {{9, 3, 30}, {40, 10, 200}, {0, 5, 50}, {1, 1, 20}, {30, 0, 30}};

START_TEST(test_bootstrap)
{
	int gained = boots[_i].gained, lost = boots[_i].lost, n = boots[_i].n;
	double out = (1 - EVAL_LEVEL) / 2;
	/* Four standard deviations of a share of so many resamples. */
	double slack = 4 * sqrt(out * (1 - out) / EVAL_RESAMPLES);

	for (uint64_t seed = 0; seed < 5; seed++) {
		struct eval_interval x = eval_bootstrap(gained, lost, n, seed);
		struct eval_interval again =
		    eval_bootstrap(gained, lost, n, seed);
		int low = (int)lround(x.low * n);
		int high = (int)lround(x.high * n);
		ck_assert_double_eq(x.low, again.low);
		ck_assert_double_eq(x.high, again.high);
		ck_assert_double_le(
		    resamples_below(gained, lost, n, low - 1), out + slack);
		ck_assert_double_ge(
		    resamples_below(gained, lost, n, low), out - slack);
		ck_assert_double_le(resamples_below(gained, lost, n, high - 1),
		    1 - out + slack);
		ck_assert_double_ge(
		    resamples_below(gained, lost, n, high), 1 - out - slack);
	}
	ck_assert_double_eq(eval_bootstrap(0, 0, 0, 1).low, -1);
}
END_TEST

/* ---- numbers ---- */

static const struct {
	const char *text;
	long num, den; /* den 0 = no number */
	int rest;      /* bytes behind it */
} numbers[] = {{"42", 42, 1, 0}, {"-7", -7, 1, 0}, {"+7", 7, 1, 0},
    {"\xe2\x88\x92"
     "7",
	-7, 1, 0},
    {"007", 7, 1, 0}, {"1,234", 1234, 1, 0}, {"1,234,567.50", 2469135, 2, 0},
    {"12,34", 12, 1, 3}, {"1,2345", 1, 1, 5}, {"0.50", 1, 2, 0},
    {"3.", 3, 1, 1}, {"6/8", 3, 4, 0}, {"-6/8", -3, 4, 0}, {"1.5/0.5", 3, 1, 0},
    {"1/0", 0, 0, 0}, {"50%", 1, 2, 0}, {"2e3", 2000, 1, 0}, {"25e-2", 1, 4, 0},
    {"$5", 5, 1, 0}, {"-$5", -5, 1, 0}, {"3 apples", 3, 1, 7}, {"x", 0, 0, 0},
    {"", 0, 0, 0}, {".", 0, 0, 0}, {"-", 0, 0, 0}, {"0", 0, 1, 0},
    {"0/5", 0, 1, 0}, {"9223372036854775807", INT64_MAX, 1, 0},
    {"9223372036854775808", 0, 0, 0}, {"1e19", 0, 0, 0}, {"1e999", 0, 0, 0},
    {"0.00000000000000000001", 0, 0, 0}};

START_TEST(test_number)
{
	int64_t num, den;
	size_t len;
	bool is_one = eval_number(numbers[_i].text, &num, &den, &len);

	ck_assert_int_eq(is_one, numbers[_i].den != 0);
	if (!is_one)
		return;
	ck_assert_int_eq(num, numbers[_i].num);
	ck_assert_int_eq(den, numbers[_i].den);
	ck_assert_uint_eq(
	    len, strlen(numbers[_i].text) - (size_t)numbers[_i].rest);
}
END_TEST

/* ---- answers ---- */

static const char *const cities[] = {"Bonn", "Paris", "The Hague", "1.5"};

static const struct {
	char kind; /* n, c, w */
	const char *text;
	const char *says; /* NULL = nothing clear */
} answers[] = {
    /* the marked line counts, the last of them */
    {'n', "It is 7 * 6.\nANSWER: 42", "42"},
    {'n', "ANSWER: 41\nNo, again.\n**Final answer:** 42.\nCONFIDENCE: 0.9",
	"42"},
    {'n', "answer: 42 apples", "42"}, {'n', "ANSWER: 6 * 7 = 42", "42"},
    {'n', "ANSWER: 41 or 42", NULL}, {'n', "ANSWER: see above, 42", "42"},
    {'n', "ANSWER: none\nbut 42", NULL}, {'n', "ANSWER: 0.50", "1/2"},
    {'n', "ANSWER: 99999999999999999999", NULL},
    /* other ways to mark it */
    {'n', "6 * 7 is\n#### 42", "42"},
    {'n', "so \\boxed{41}, no: \\boxed{42}", "42"},
    /* said in a sentence */
    {'n', "The answer is 42.", "42"}, {'n', "The answer is 4.5. Sure.", "9/2"},
    {'n', "the answer is: 42! Or 43?", "42"},
    {'n', "The answer is 42. Others say the answer is 43.", NULL},
    {'n', "The answer is 42; once more: the Answer is 42.", "42"},
    {'n', "The answer is not 41. The answer is 42.", "42"},
    {'n', "The answer is unknown; it is not 42.", NULL},
    /* the text itself */
    {'n', "42", "42"}, {'n', "It makes -42 in all", "-42"},
    {'n', "21 and 21 make 42", NULL}, {'n', "42, really 42", "42"},
    {'n', "nothing", NULL}, {'n', "", NULL}, {'n', "x2 and H2O", NULL},
    {'c', "ANSWER: B", "B"}, {'c', "ANSWER: (b)", "B"},
    {'c', "ANSWER: **B) Paris**", "B"}, {'c', "ANSWER: paris.", "B"},
    {'c', "ANSWER: B) Bonn", NULL}, {'c', "ANSWER: E", NULL},
    {'c', "ANSWER: hague", "C"}, {'c', "The answer is Option C.", "C"},
    {'c', "A city in Germany", NULL}, {'c', "The answer is 1.5.", "D"},
    {'c', "Bonn", "A"}, {'c', "I say: Bonn, not Paris", NULL},
    {'w', "ANSWER: The  Blue\tWhale.", "blue whale"},
    {'w', "The answer is \"blue whale\".", "blue whale"},
    {'w', "Blue whale", "blue whale"}, {'w', "ANSWER: ...", NULL}};

static struct eval_form
form_of(char kind)
{
	return (struct eval_form){.kind = kind == 'n' ? EVAL_NUMBER
		: kind == 'c'			      ? EVAL_CHOICE
						      : EVAL_WORDS,
	    .choices = cities,
	    .n_choices = kind == 'c' ? ARRAY_LEN(cities) : 0};
}

START_TEST(test_answer)
{
	struct arena *a = arena_new(0);
	struct eval_form form = form_of(answers[_i].kind);
	struct eval_value v, again;
	const char *says = answers[_i].says;

	bool is_clear = eval_answer_find(a, &form, answers[_i].text, &v);
	ck_assert_msg(is_clear == (says != NULL), "%s", answers[_i].text);
	if (is_clear) {
		ck_assert_str_eq(v.text, says);
		/* What is written down is read back as the same. */
		ck_assert(eval_value_read(a, &form, v.text, &again));
		ck_assert(eval_value_is(&v, &again));
	}
	arena_free(&a);
}
END_TEST

/* A page of words is no answer. */
START_TEST(test_long)
{
	struct arena *a = arena_new(0);
	struct eval_form form = form_of('w');
	struct eval_value v;
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert(!eval_answer_find(a, &form, text, &v));
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_wilson);
	tcase_add_test(t, test_mcnemar);
	tcase_add_test(t, test_mcnemar_of_many);
	tcase_add_loop_test(t, test_bootstrap, 0, ARRAY_LEN(boots));
	tcase_add_loop_test(t, test_number, 0, ARRAY_LEN(numbers));
	tcase_add_loop_test(t, test_answer, 0, ARRAY_LEN(answers));
	tcase_add_test(t, test_long);
}

int
main(void)
{
	return check_run("eval", add_tests);
}
