/* SPDX-License-Identifier: MIT
 *
 * Embeddings as numbers: fixed point, hashing, the stored form.
 */
#include <math.h>
#include <string.h>

#include "base/attr.h"
#include "base/id.h"
#include "llm/vector.h"
#include "tests/unit/check_run.h"

#define N VECTOR_HASH_DIMENSION

static int64_t
like(const char *x, const char *y)
{
	int16_t a[N];
	int16_t b[N];

	vector_hash(x, a);
	vector_hash(y, b);
	ck_assert_int_eq(
	    vector_similarity_ppm(a, b, N), vector_similarity_ppm(b, a, N));
	return vector_similarity_ppm(a, b, N);
}

START_TEST(test_fixed)
{
	const float x[] = {3, 0, 4};
	const float y[] = {0, 5, 0};
	const float z[] = {-6, 0, -8};
	const float half[] = {1, 0, 0};
	const float bad[] = {1, NAN, 0};
	const float none[] = {0, 0, 0};
	int16_t a[3], b[3], c[3], d[3];

	ck_assert(vector_fix(a, x, 3));
	ck_assert(vector_fix(b, y, 3));
	ck_assert(vector_fix(c, z, 3));
	ck_assert(vector_fix(d, half, 3));
	ck_assert_int_eq(a[0], 19660); /* 3/5 of 32767 */
	ck_assert_int_eq(a[2], 26214);
	ck_assert_int_eq(vector_similarity_ppm(a, a, 3), VECTOR_PPM);
	ck_assert_int_eq(vector_similarity_ppm(a, b, 3), 0);
	ck_assert_int_eq(vector_similarity_ppm(a, c, 3), -VECTOR_PPM);
	ck_assert_int_ge(vector_similarity_ppm(a, d, 3), 599950);
	ck_assert_int_le(vector_similarity_ppm(a, d, 3), 600050);
	ck_assert(!vector_fix(a, bad, 3));
	ck_assert(!vector_fix(a, none, 3));
}
END_TEST

/* The longest vectors there are, at their largest. */
START_TEST(test_no_overflow)
{
	static int16_t a[VECTOR_DIMENSION_MAX];

	a[0] = 32767;
	ck_assert_int_eq(
	    vector_similarity_ppm(a, a, VECTOR_DIMENSION_MAX), VECTOR_PPM);
	a[0] = -32767;
	ck_assert_int_eq(
	    vector_similarity_ppm(a, a, VECTOR_DIMENSION_MAX), VECTOR_PPM);
	a[0] = 0;
	ck_assert_int_eq(vector_similarity_ppm(a, a, VECTOR_DIMENSION_MAX), 0);
}
END_TEST

static const char adopt[] =
    "We should adopt PostgreSQL for the billing service, because its "
    "transactions are strict and the team knows it.";
static const char refuse[] =
    "We should not adopt PostgreSQL for the billing service, because its "
    "transactions are strict and the team knows it.";
static const char reworded[] =
    "Because its transactions are strict and the team knows it, we should "
    "adopt PostgreSQL for the billing service.";
static const char other[] =
    "Penguins swim far out at sea in winter and come home to the same stone "
    "every spring.";

START_TEST(test_hashed)
{
	ck_assert_int_eq(like(adopt, adopt), VECTOR_PPM);
	ck_assert_int_eq(like("Tea, or coffee!", "tea or COFFEE"), VECTOR_PPM);
	ck_assert_int_ge(like(adopt, reworded), 850000);
	ck_assert_int_lt(like(adopt, other), 400000);
	/* It does not see the denial: nothing must be decided by it alone. */
	ck_assert_int_ge(like(adopt, refuse), 850000);
	ck_assert_int_gt(like("databases", "database"), 400000);
	/* Nothing is like nothing. */
	ck_assert_int_eq(like("", ""), 0);
	ck_assert_int_eq(like(" .,!", adopt), 0);
}
END_TEST

/* The same on every machine, and for as long as the model has its name. */
START_TEST(test_hashed_bytes)
{
	char sha[ID_HASH_SIZE];
	unsigned char bytes[2 * N];
	int16_t v[N];

	vector_hash("Z\xc3\xbcrich or Bern? 42 times, don't ask.", v);
	for (size_t i = 0; i < N; i++) {
		bytes[2 * i] = (unsigned char)((uint16_t)v[i] & 0xff);
		bytes[2 * i + 1] = (unsigned char)((uint16_t)v[i] >> 8);
	}
	id_sha256(bytes, sizeof(bytes), sha);
	ck_assert_str_eq(sha,
	    "2ba87ea1881cc2e197f394d0a5cfb647d482e84cdb890c07ffbbd0e648c74422");
}
END_TEST

/* However long a text is and however often it repeats itself. */
START_TEST(test_hashed_long)
{
	static char text[1 << 20];
	int16_t v[N];
	int64_t square = 0;

	memset(text, 'a', sizeof(text) - 1);
	for (size_t i = 5; i < sizeof(text) - 1; i += 6)
		text[i] = ' ';
	vector_hash(text, v);
	for (size_t i = 0; i < N; i++)
		square += (int64_t)v[i] * v[i];
	/* Of length 1 but for what was rounded off. */
	ck_assert_int_gt(square, INT64_C(32767) * 32000);
	ck_assert_int_le(square, INT64_C(32767) * 32767);
}
END_TEST

START_TEST(test_packed)
{
	int16_t v[N];
	float back[N];
	struct buf b;

	vector_hash(adopt, v);
	buf_init(&b, 1 << 16);
	vector_pack(&b, v, N);
	ck_assert_uint_eq(b.len, (N * 4 + 2) / 3 * 4);
	ck_assert(vector_unpack(buf_text(&b), back, N));
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(lrintf(back[i] * 32767), v[i]);
	ck_assert(fabs(vector_cosine(back, back, N) - 1) < 1e-6);
	ck_assert(!vector_unpack(buf_text(&b), back, N - 1));
	ck_assert(!vector_unpack(buf_text(&b) + 8, back, N));
	buf_release(&b);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
} packed[] = {{"AACAPw==", 1}, {"AACAPwAAgD8=", 2}, {"AACAPw", 1},
    {"AACAPwAAgD8AAIA/", 3}, {"AACA", 0}, {"AACAP", 0}, {"AACA-w==", 0},
    {"AAC\n", 0}, {"", 0}, {"====", 0},
    {"AACAPwAAgD8AAIA/AACAPw==", 0} /* more than there is room */};

START_TEST(test_read)
{
	float out[3] = {0};

	ck_assert_uint_eq(
	    vector_read(packed[_i].text, strlen(packed[_i].text), out, 3),
	    packed[_i].n);
	for (size_t i = 0; i < packed[_i].n; i++)
		ck_assert_float_eq(out[i], 1.0F);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_fixed);
	tcase_add_test(t, test_no_overflow);
	tcase_add_test(t, test_hashed);
	tcase_add_test(t, test_hashed_bytes);
	tcase_add_test(t, test_hashed_long);
	tcase_add_test(t, test_packed);
	tcase_add_loop_test(t, test_read, 0, (int)ARRAY_LEN(packed));
}

int
main(void)
{
	return check_run("vector", add_tests);
}
