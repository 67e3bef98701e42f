/* SPDX-License-Identifier: MIT */
#include "llm/vector.h"

#include <math.h>
#include <string.h>

#include "base/str.h"

#define VECTOR_ONE 32767

static uint64_t
vector_root(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = UINT64_C(1) << 62; bit > 0; bit >>= 2) {
		if (x >= root + bit) {
			x -= root + bit;
			root = (root >> 1) + bit;
		} else {
			root >>= 1;
		}
	}
	return root;
}

bool
vector_fix(int16_t *out, const float *in, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)in[i] * (double)in[i];
	if (!isfinite(sum) || sum <= 0)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (int16_t)lrint((double)in[i] / sqrt(sum) * VECTOR_ONE);
	return true;
}

/* Lengths are about 2^15, so squares are about 2^30 and their product 2^60. */
int64_t
vector_similarity_ppm(const int16_t *a, const int16_t *b, size_t n)
{
	int64_t dot = 0;
	int64_t aa = 0;
	int64_t bb = 0;

	for (size_t i = 0; i < n; i++) {
		dot += (int64_t)a[i] * b[i];
		aa += (int64_t)a[i] * a[i];
		bb += (int64_t)b[i] * b[i];
	}
	int64_t length = (int64_t)vector_root((uint64_t)aa * (uint64_t)bb);
	if (length == 0)
		return 0;
	int64_t ppm = dot * VECTOR_PPM / length;
	return ppm > VECTOR_PPM ? VECTOR_PPM
	    : ppm < -VECTOR_PPM ? -VECTOR_PPM
				: ppm;
}

/* ---- without a provider ---- */

#define HASH_WORD_MAX	  64 /* bytes of a word that count */
#define HASH_WORD	  4  /* what a word weighs, */
#define HASH_PAIR	  2  /* two words in a row, */
#define HASH_GRAM	  1  /* three characters of a word */
#define HASH_GRAM_BYTES	  3
#define HASH_SALT_PAIR	  UINT64_C(0x70616972)
#define HASH_SALT_GRAM	  UINT64_C(0x6772616d)
#define HASH_DAMP_SHIFT	  16
#define HASH_PLACE_SHIFT  (64 - 9) /* 2^9 places */
#define HASH_COUNT_MAX	  (1 << 28)
#define HASH_FNV_OFFSET	  UINT64_C(0xcbf29ce484222325)
#define HASH_FNV_PRIME	  UINT64_C(0x100000001b3)
#define HASH_GOLDEN_RATIO UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
hash_bytes(const char *data, size_t len, uint64_t salt)
{
	uint64_t h = HASH_FNV_OFFSET ^ salt;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * HASH_FNV_PRIME;
	return h;
}

static void
hash_add(int32_t *sums, uint64_t h, int32_t weight)
{
	h = (h ^ (h >> 32)) * HASH_GOLDEN_RATIO;
	int32_t *sum = &sums[h >> HASH_PLACE_SHIFT];
	/* The bit below those that name the place. */
	bool is_minus = (h >> (HASH_PLACE_SHIFT - 1) & 1) != 0;

	if (*sum<HASH_COUNT_MAX && * sum> - HASH_COUNT_MAX)
		*sum += is_minus ? -weight : weight;
}

/* The next word in small letters with a space on each side; 0 = the end. */
static size_t
hash_word(const char **text, char *out)
{
	const char *p = *text;
	size_t len = 1;

	while (*p != '\0' && !str_is_alnum(*p) && (unsigned char)*p < 0x80)
		p++;
	for (; str_is_alnum(*p) || (unsigned char)*p >= 0x80; p++)
		if (len <= HASH_WORD_MAX)
			out[len++] = str_lower(*p);
	*text = p;
	if (len == 1)
		return 0;
	out[0] = ' ';
	out[len++] = ' ';
	return len;
}

static void
hash_features(int32_t *sums, const char *text)
{
	char word[HASH_WORD_MAX + 2];
	uint64_t before = 0;
	size_t len;

	while ((len = hash_word(&text, word)) > 0) {
		uint64_t h = hash_bytes(word, len, 0);
		hash_add(sums, h, HASH_WORD);
		if (before != 0)
			hash_add(sums,
			    hash_bytes(word, len, before ^ HASH_SALT_PAIR),
			    HASH_PAIR);
		for (size_t i = 0; i + HASH_GRAM_BYTES <= len; i++)
			hash_add(sums,
			    hash_bytes(
				word + i, HASH_GRAM_BYTES, HASH_SALT_GRAM),
			    HASH_GRAM);
		before = h;
	}
}

void
vector_hash(const char *text, int16_t *out)
{
	int32_t sums[VECTOR_HASH_DIMENSION] = {0};
	uint64_t square = 0;

	hash_features(sums, text);
	for (size_t i = 0; i < VECTOR_HASH_DIMENSION; i++) {
		/* What is said often counts more, but not by so much. */
		uint64_t size = (uint64_t)(sums[i] < 0 ? -sums[i] : sums[i]);
		int32_t root = (int32_t)vector_root(size << HASH_DAMP_SHIFT);
		sums[i] = sums[i] < 0 ? -root : root;
		square += (uint64_t)((int64_t)root * root);
	}
	int64_t length = (int64_t)vector_root(square);
	for (size_t i = 0; i < VECTOR_HASH_DIMENSION; i++) {
		out[i] = 0;
		if (length > 0)
			out[i] =
			    (int16_t)((int64_t)sums[i] * VECTOR_ONE / length);
	}
}

/* ---- base64 of float32 ---- */

static const char pack_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
pack_bytes(struct buf *out, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		uint32_t x = (uint32_t)data[i] << 16;
		if (i + 1 < len)
			x |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < len)
			x |= data[i + 2];
		buf_putc(out, pack_letters[x >> 18]);
		buf_putc(out, pack_letters[x >> 12 & 63]);
		buf_putc(out, i + 1 < len ? pack_letters[x >> 6 & 63] : '=');
		buf_putc(out, i + 2 < len ? pack_letters[x & 63] : '=');
	}
}

void
vector_pack(struct buf *out, const int16_t *v, size_t n)
{
	struct buf raw;

	buf_init(&raw, VECTOR_DIMENSION_MAX * sizeof(float));
	for (size_t i = 0; i < n; i++) {
		float x = (float)v[i] / VECTOR_ONE;
		uint32_t bits;
		memcpy(&bits, &x, sizeof(bits));
		for (int byte = 0; byte < 4; byte++)
			buf_putc(&raw, (char)(bits >> (8 * byte) & 0xff));
	}
	pack_bytes(out, (const unsigned char *)buf_text(&raw), raw.len);
	buf_release(&raw);
}

/* In place, from the bytes' order to the machine's. */
static void
vector_from_little(float *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char b[sizeof(float)];
		memcpy(b, &v[i], sizeof(b));
		uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 |
		    (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
		memcpy(&v[i], &bits, sizeof(bits));
	}
}

/* What a letter stands for and 1 more; 0 = it is none. */
static const uint8_t unpack_values[256] = {['A'] = 1,
    ['B'] = 2,
    ['C'] = 3,
    ['D'] = 4,
    ['E'] = 5,
    ['F'] = 6,
    ['G'] = 7,
    ['H'] = 8,
    ['I'] = 9,
    ['J'] = 10,
    ['K'] = 11,
    ['L'] = 12,
    ['M'] = 13,
    ['N'] = 14,
    ['O'] = 15,
    ['P'] = 16,
    ['Q'] = 17,
    ['R'] = 18,
    ['S'] = 19,
    ['T'] = 20,
    ['U'] = 21,
    ['V'] = 22,
    ['W'] = 23,
    ['X'] = 24,
    ['Y'] = 25,
    ['Z'] = 26,
    ['a'] = 27,
    ['b'] = 28,
    ['c'] = 29,
    ['d'] = 30,
    ['e'] = 31,
    ['f'] = 32,
    ['g'] = 33,
    ['h'] = 34,
    ['i'] = 35,
    ['j'] = 36,
    ['k'] = 37,
    ['l'] = 38,
    ['m'] = 39,
    ['n'] = 40,
    ['o'] = 41,
    ['p'] = 42,
    ['q'] = 43,
    ['r'] = 44,
    ['s'] = 45,
    ['t'] = 46,
    ['u'] = 47,
    ['v'] = 48,
    ['w'] = 49,
    ['x'] = 50,
    ['y'] = 51,
    ['z'] = 52,
    ['0'] = 53,
    ['1'] = 54,
    ['2'] = 55,
    ['3'] = 56,
    ['4'] = 57,
    ['5'] = 58,
    ['6'] = 59,
    ['7'] = 60,
    ['8'] = 61,
    ['9'] = 62,
    ['+'] = 63,
    ['/'] = 64};

/* 6 bits of each of n letters, 2 to 4 of them, into n - 1 bytes. */
static bool
unpack_group(const char *text, size_t n, unsigned char *out)
{
	uint32_t bits = 0;
	bool is_text = true;

	for (size_t i = 0; i < 4; i++) {
		uint8_t value =
		    i < n ? unpack_values[(unsigned char)text[i]] : 1;
		is_text = is_text && value > 0;
		bits = bits << 6 | ((uint32_t)value - 1);
	}
	for (size_t i = 0; i + 1 < n; i++)
		out[i] = (unsigned char)(bits >> (16 - 8 * i) & 0xff);
	return is_text;
}

size_t
vector_read(const char *text, size_t len, float *out, size_t max)
{
	unsigned char *bytes = (unsigned char *)out;

	while (len > 0 && text[len - 1] == '=')
		len--;
	size_t size = len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0);
	if (len % 4 == 1 || size % sizeof(float) != 0 ||
	    size / sizeof(float) > max)
		return 0;
	for (size_t at = 0; at < len; at += 4, bytes += 3)
		if (!unpack_group(
			text + at, len - at < 4 ? len - at : 4, bytes))
			return 0;
	vector_from_little(out, size / sizeof(float));
	return size / sizeof(float);
}

bool
vector_unpack(const char *text, float *out, size_t n)
{
	return n > 0 && text != NULL &&
	    vector_read(text, strlen(text), out, n) == n;
}

/* Sums side by side, so that they are made at the same time. */
#define COSINE_LANES 8

struct cosine {
	float dot[COSINE_LANES], aa[COSINE_LANES], bb[COSINE_LANES];
};

static void
cosine_add(struct cosine *c, const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c->dot[i] += a[i] * b[i];
		c->aa[i] += a[i] * a[i];
		c->bb[i] += b[i] * b[i];
	}
}

double
vector_cosine(const float *a, const float *b, size_t n)
{
	struct cosine c = {0};
	double dot = 0;
	double aa = 0;
	double bb = 0;
	size_t at = 0;

	for (; at + COSINE_LANES <= n; at += COSINE_LANES)
		cosine_add(&c, a + at, b + at, COSINE_LANES);
	cosine_add(&c, a + at, b + at, n - at);
	for (size_t i = 0; i < COSINE_LANES; i++) {
		dot += (double)c.dot[i];
		aa += (double)c.aa[i];
		bb += (double)c.bb[i];
	}
	return aa > 0 && bb > 0 ? dot / (sqrt(aa) * sqrt(bb)) : 0;
}
