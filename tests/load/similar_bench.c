/* SPDX-License-Identifier: MIT
 *
 * How many vectors per second similar_find compares, in the database that the
 * settings name: makes N finished debates there, searches them five times and
 * prints the median.
 *
 *   ARAGORA_DATA_DIR=EMPTY similar_bench N DIMENSION
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "debate/similar.h"
#include "llm/vector.h"
#include "settings/settings.h"

#define BENCH_GROUP 50
#define BENCH_RUNS  5
#define BENCH_MODEL "bench/model"

static void
bench_check(const char *what, enum err e)
{
	if (e == ERR_OK)
		return;
	fprintf(stderr, "similar_bench: %s: %s\n", what, err_text(e));
	exit(EX_SOFTWARE);
}

static struct store_vector
bench_vector(struct arena *a, size_t dimension)
{
	int16_t *v = ARENA_ARRAY(a, dimension, int16_t);
	struct buf b;

	id_random(v, dimension * sizeof(*v));
	for (size_t i = 0; i < dimension; i++)
		v[i] = (int16_t)(v[i] / 16);
	buf_init(&b, VECTOR_DIMENSION_MAX * 8);
	vector_pack(&b, v, dimension);
	struct store_vector out = {.model = BENCH_MODEL,
	    .dimension = (int64_t)dimension,
	    .data = arena_strdup(a, buf_text(&b))};
	buf_release(&b);
	return out;
}

static void
bench_create(struct store *store, struct arena *a)
{
	char id[ID_SIZE];

	id_make(id, "bench_", 8);
	struct store_debate d = {.id = id,
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "?",
	    .config = "{}",
	    .total_rounds = 1};
	bench_check(
	    "create", store_debate_create(store, a, &d, BENCH_GROUP * 2, NULL));
}

/* BENCH_GROUP debates that have ended. */
static void
bench_fill(struct store *store, struct arena *a, size_t dimension)
{
	struct store_transition list[BENCH_GROUP];
	struct store_transition *t[BENCH_GROUP];
	struct store_event event = {.type = "debate_end", .data = "{}"};
	struct store_event events[BENCH_GROUP];
	struct store_debate *rows;
	size_t n;

	for (int i = 0; i < BENCH_GROUP; i++)
		bench_create(store, a);
	bench_check("claim",
	    store_claim(
		store, a, "bench", INT64_C(60000000), BENCH_GROUP, &rows, &n));
	for (size_t i = 0; i < n; i++) {
		events[i] = event;
		list[i] = (struct store_transition){.tenant = rows[i].tenant,
		    .debate_id = rows[i].id,
		    .lease_epoch = rows[i].lease_epoch,
		    .events = &events[i],
		    .n_events = 1,
		    .status = STORE_COMPLETED,
		    .phase = "done",
		    .round = 1,
		    .vector = bench_vector(a, dimension)};
		t[i] = &list[i];
	}
	bench_check("commit", store_commit(store, t, n));
}

static int
bench_order(const void *x, const void *y)
{
	const double *a = x;
	const double *b = y;

	return *a < *b ? -1 : *a > *b;
}

static void
bench_search(struct store *store, struct arena *a, size_t dimension)
{
	double rates[BENCH_RUNS];
	struct similar_result r;

	for (int i = 0; i < BENCH_RUNS; i++) {
		struct similar_query q = {.tenant = STORE_TENANT_DEFAULT,
		    .vector = bench_vector(a, dimension),
		    .limit = 10};
		int64_t start = clock_mono_us();
		bench_check("search", similar_find(store, a, &q, &r));
		rates[i] =
		    (double)r.scanned * 1e6 / (double)(clock_mono_us() - start);
	}
	qsort(rates, BENCH_RUNS, sizeof(*rates), bench_order);
	printf("%s: %lld vectors of %zu numbers: %.0f per second\n",
	    store_kind(store), (long long)r.scanned, dimension,
	    rates[BENCH_RUNS / 2]);
}

int
main(int argc, char **argv)
{
	struct settings *settings;
	struct store *store;
	struct err_info info = {0};
	struct arena *a = arena_new(0);
	int64_t n = 0;
	int64_t dimension = 0;
	int applied;
	struct buf problems;

	if (argc != 3 || str_to_i64(argv[1], 1, 1000000, &n) != ERR_OK ||
	    str_to_i64(argv[2], 1, VECTOR_DIMENSION_MAX, &dimension) !=
		ERR_OK) {
		fputs("usage: similar_bench N DIMENSION\n", stderr);
		return EX_USAGE;
	}
	buf_init(&problems, 4096);
	bench_check("settings", settings_load(&settings, &problems));
	bench_check("migrate", store_migrate(settings, &applied, &info));
	bench_check("open", store_open(&store, settings, &info));
	for (int64_t i = 0; i < n; i += BENCH_GROUP) {
		bench_fill(store, a, (size_t)dimension);
		arena_clear(a);
	}
	bench_search(store, a, (size_t)dimension);
	store_close(&store);
	settings_free(&settings);
	buf_release(&problems);
	arena_free(&a);
	return EXIT_SUCCESS;
}
