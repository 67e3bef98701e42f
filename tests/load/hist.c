/* SPDX-License-Identifier: MIT */
#include "tests/load/hist.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* The first 2 * HIST_PARTS values have a bucket each; every further power of
 * two has HIST_PARTS buckets, each twice as wide as those before. */
#define HIST_BITS    11
#define HIST_POWERS  (32 - HIST_BITS)
#define HIST_BUCKETS ((HIST_POWERS + 2) * HIST_PARTS)

_Static_assert(1 << HIST_BITS == 2 * HIST_PARTS, "bits of a part");

struct hist {
	int64_t n;
	int64_t min, max;
	double sum;
	uint64_t buckets[HIST_BUCKETS];
};

struct hist *
hist_new(void)
{
	return mem_zalloc(sizeof(struct hist));
}

void
hist_free(struct hist **h)
{
	free(*h);
	*h = NULL;
}

static int
hist_shift(int64_t us)
{
	int bits = 64 - __builtin_clzll((unsigned long long)us | 1);

	return bits > HIST_BITS ? bits - HIST_BITS : 0;
}

static size_t
hist_index(int64_t us)
{
	int shift = hist_shift(us);

	return (size_t)shift * HIST_PARTS + (size_t)(us >> shift);
}

/* The greatest value that falls into the bucket. */
static int64_t
hist_top(size_t index)
{
	size_t shift = index < 2 * HIST_PARTS ? 0 : index / HIST_PARTS - 1;

	return (((int64_t)(index - shift * HIST_PARTS) + 1) << shift) - 1;
}

void
hist_record(struct hist *h, int64_t us)
{
	int64_t value = us < 0 ? 0 : us > HIST_MAX ? HIST_MAX : us;

	if (h->n == 0 || value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->n++;
	h->sum += (double)value;
	h->buckets[hist_index(value)]++;
}

void
hist_merge(struct hist *into, const struct hist *from)
{
	if (from->n == 0)
		return;
	if (into->n == 0 || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->n += from->n;
	into->sum += from->sum;
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

int64_t
hist_count(const struct hist *h)
{
	return h->n;
}

int64_t
hist_min(const struct hist *h)
{
	return h->min;
}

int64_t
hist_max(const struct hist *h)
{
	return h->max;
}

double
hist_mean(const struct hist *h)
{
	return h->n == 0 ? 0 : h->sum / (double)h->n;
}

int64_t
hist_percentile(const struct hist *h, double percent)
{
	uint64_t below = 0;

	assert(percent >= 0 && percent <= 100);
	if (h->n == 0)
		return 0;
	/* A hair less: 99.9 of 1000 is the 999th, not the 1000th. */
	double rank = ceil(percent / 100 * (double)h->n - 1e-6);
	uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		below += h->buckets[i];
		if (below >= wanted) {
			int64_t top = hist_top(i);
			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}
