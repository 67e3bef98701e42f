/* SPDX-License-Identifier: MIT */
#include "metrics/histogram.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"

struct histogram_row {
	const char *name;
	const char *help;
};

static const struct histogram_row histogram_rows[] = {
#define HISTOGRAM(id, text, keys, about) [HISTOGRAM_##id] = {text, about},
#include "metrics/histogram.def"
#undef HISTOGRAM
};

/* Upper bounds. They hold the bounds that the service's objectives name: 0.2,
 * 0.5 and 2 s of requests, and reach to the longest model call. */
static const struct {
	int64_t us;
	const char *text; /* in seconds */
} histogram_bounds[HISTOGRAM_BOUNDS] = {
    {500, "0.0005"},
    {1000, "0.001"},
    {2500, "0.0025"},
    {5000, "0.005"},
    {10000, "0.01"},
    {25000, "0.025"},
    {50000, "0.05"},
    {100000, "0.1"},
    {200000, "0.2"},
    {500000, "0.5"},
    {1000000, "1"},
    {2000000, "2"},
    {5000000, "5"},
    {15000000, "15"},
    {60000000, "60"},
    {120000000, "120"},
    {300000000, "300"},
};

static size_t
histogram_bucket(int64_t us)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && us > histogram_bounds[i].us)
		i++;
	return i;
}

static size_t
histogram_home(enum histogram h, const char *label)
{
	return str_hash(label, strlen(label), (uint64_t)h + 1) %
	    HISTOGRAM_SERIES;
}

/* The series, or *free_at the place where it would go. */
static struct histogram_series *
histogram_find(struct histogram_table *t, enum histogram h, const char *label,
    struct histogram_series **free_at)
{
	size_t at = histogram_home(h, label);

	*free_at = NULL;
	for (size_t i = 0; i < HISTOGRAM_SERIES; i++) {
		struct histogram_series *s =
		    &t->series[(at + i) % HISTOGRAM_SERIES];
		uint32_t owner =
		    atomic_load_explicit(&s->owner, memory_order_acquire);
		if (owner == 0) {
			*free_at = s;
			return NULL;
		}
		if (owner == (uint32_t)h + 1 && str_eq(s->label, label))
			return s;
	}
	return NULL;
}

/* Series without labels may use what others must leave. */
static bool
histogram_has_room(const struct histogram_table *t, const char *label)
{
	uint32_t max = HISTOGRAM_SERIES / 2 - HISTOGRAM__COUNT;

	return strlen(label) < HISTOGRAM_LABEL &&
	    (*label == '\0' || atomic_load(&t->used) < max);
}

static struct histogram_series *
histogram_add(struct histogram_table *t, const struct histogram_lock *lock,
    enum histogram h, const char *label)
{
	struct histogram_series *free_at;

	if (!histogram_has_room(t, label))
		return NULL;
	lock->lock(lock->arg);
	struct histogram_series *s = histogram_find(t, h, label, &free_at);
	if (s == NULL && free_at != NULL) {
		s = free_at;
		memcpy(s->label, label, strlen(label) + 1);
		atomic_fetch_add(&t->used, 1);
		atomic_store_explicit(
		    &s->owner, (uint32_t)h + 1, memory_order_release);
	}
	lock->unlock(lock->arg);
	return s;
}

void
histogram_observe(struct histogram_table *t, const struct histogram_lock *lock,
    enum histogram h, const char *label, int64_t us)
{
	struct histogram_series *free_at;

	struct histogram_series *s = histogram_find(t, h, label, &free_at);
	if (s == NULL)
		s = histogram_add(t, lock, h, label);
	if (s == NULL && *label != '\0') {
		histogram_observe(t, lock, h, "", us);
		return;
	}
	if (s == NULL)
		return;
	if (us < 0)
		us = 0;
	atomic_fetch_add_explicit(&s->sum_us, us, memory_order_relaxed);
	atomic_fetch_add_explicit(
	    &s->count[histogram_bucket(us)], 1, memory_order_relaxed);
}

static void
histogram_line(struct buf *out, const char *name, const char *part,
    const struct histogram_series *s, const char *bound)
{
	const char *comma = *s->label != '\0' && bound != NULL ? "," : "";

	buf_printf(out, "%s%s", name, part);
	if (*s->label == '\0' && bound == NULL)
		return;
	buf_printf(out, "{%s%s", s->label, comma);
	if (bound != NULL)
		buf_printf(out, "le=\"%s\"", bound);
	buf_puts(out, "}");
}

static void
histogram_render_series(
    const struct histogram_series *s, const char *name, struct buf *out)
{
	int64_t total = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		total += atomic_load(&s->count[i]);
		histogram_line(out, name, "_bucket", s,
		    i < HISTOGRAM_BOUNDS ? histogram_bounds[i].text : "+Inf");
		buf_printf(out, " %lld\n", (long long)total);
	}
	histogram_line(out, name, "_sum", s, NULL);
	buf_printf(out, " %.6f\n", (double)atomic_load(&s->sum_us) / 1e6);
	histogram_line(out, name, "_count", s, NULL);
	buf_printf(out, " %lld\n", (long long)total);
}

void
histogram_render(const struct histogram_table *t, struct buf *out)
{
	for (uint32_t h = 0; h < HISTOGRAM__COUNT; h++) {
		const struct histogram_row *row = &histogram_rows[h];
		bool is_first = true;
		for (size_t i = 0; i < HISTOGRAM_SERIES; i++) {
			const struct histogram_series *s = &t->series[i];
			if (atomic_load_explicit(
				&s->owner, memory_order_acquire) != h + 1)
				continue;
			if (is_first)
				buf_printf(out,
				    "# HELP %s %s\n# TYPE %s histogram\n",
				    row->name, row->help, row->name);
			is_first = false;
			histogram_render_series(s, row->name, out);
		}
	}
}

uint64_t
histogram_layout(uint64_t seed)
{
	for (size_t h = 0; h < HISTOGRAM__COUNT; h++)
		seed = str_hash(histogram_rows[h].name,
		    strlen(histogram_rows[h].name) + 1, seed);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++)
		seed = str_hash(histogram_bounds[i].text,
		    strlen(histogram_bounds[i].text) + 1, seed);
	return seed + sizeof(struct histogram_table);
}
