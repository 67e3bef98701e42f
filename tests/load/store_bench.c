/* SPDX-License-Identifier: MIT
 *
 * One measurement of the store that the settings name, for store.py: what a
 * runner commits per second, in groups of a given size, and what can be read
 * per second by primary key, by four ways. Prints one figure. `fill` makes the
 * debates that all others need.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/db.h"
#include "store/store.h"
#include "store/store_tx.h"

#define BENCH_DEBATES	 256
#define BENCH_BATCH	 64  /* statements of one pipeline */
#define BENCH_TEXT	 600 /* bytes of an answer */
#define BENCH_LEASE_US	 (3600 * INT64_C(1000000))
#define BENCH_TIMEOUT_MS 30000

struct bench {
	struct settings *settings;
	struct store *store;
	struct db *db; /* past the pool */
	atomic_bool can_prepare;
	struct arena *arena; /* of one call */
	struct arena *rows;
	struct store_debate *debates;
	size_t n_debates;
	size_t group;
	size_t next;	   /* where in debates to go on */
	char run[ID_SIZE]; /* no step of an earlier run has this in its key */
	int64_t steps;
	char data[BENCH_TEXT + 16]; /* a JSON object */
};

static void
bench_check(const char *what, enum err e)
{
	if (e == ERR_OK)
		return;
	fprintf(stderr, "store_bench: %s: %s\n", what, err_text(e));
	exit(EX_SOFTWARE);
}

static const struct store_debate *
bench_next(struct bench *b)
{
	return &b->debates[b->next++ % b->n_debates];
}

/* ---- what a runner writes: a turn and the event that tells of it ---- */

static void
bench_transition(struct bench *b, struct arena *a, struct store_transition *t)
{
	const struct store_debate *d = bench_next(b);
	struct store_event *event = ARENA_NEW(a, struct store_event);
	struct store_turn *turn = ARENA_NEW(a, struct store_turn);
	size_t *turn_event = ARENA_NEW(a, size_t);

	*event = (struct store_event){.type = "agent_message",
	    .round = 1,
	    .agent = "demo",
	    .data = b->data};
	*turn =
	    (struct store_turn){.step_key = arena_printf(a, "1/propose/%s/%lld",
				    b->run, (long long)b->steps++),
		.round = 1,
		.phase = "propose",
		.agent = "demo",
		.role = "proposer",
		.state = STORE_TURN_DONE,
		.attempt = 1,
		.content = b->data};
	*turn_event = 1;
	*t = (struct store_transition){.tenant = d->tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = event,
	    .n_events = 1,
	    .turns = turn,
	    .n_turns = 1,
	    .turn_event = turn_event,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .round = 1};
}

static size_t
bench_commit(struct bench *b)
{
	struct store_transition *list =
	    ARENA_ARRAY(b->arena, b->group, struct store_transition);
	struct store_transition **t =
	    ARENA_ARRAY(b->arena, b->group, struct store_transition *);

	for (size_t i = 0; i < b->group; i++) {
		t[i] = &list[i];
		bench_transition(b, b->arena, t[i]);
	}
	bench_check("commit", store_commit(b->store, t, b->group));
	for (size_t i = 0; i < b->group; i++)
		bench_check("transition", t[i]->outcome);
	return b->group;
}

/* ---- reads ---- */

static size_t
bench_read_verb(struct bench *b)
{
	const struct store_debate *d = bench_next(b);
	struct store_debate got;

	bench_check("read",
	    store_debate_get(b->store, b->arena, d->tenant, d->id, &got));
	return 1;
}

static void
bench_select(struct bench *b, bool is_queued)
{
	struct db_result *r = ARENA_NEW(b->arena, struct db_result);
	const struct store_debate *d = bench_next(b);
	const struct db_value values[] = {DB_TEXT(d->tenant), DB_TEXT(d->id)};

	bench_check("select",
	    (is_queued ? db_queue : db_run)(b->db, STMT_DEBATE_GET, values,
		ARRAY_LEN(values), b->arena, r));
}

/* BEGIN, SELECT and COMMIT, each waited for. */
static size_t
bench_read_three(struct bench *b)
{
	const struct db_driver *driver = b->db->driver;

	if (driver == &db_sqlite) /* it has no trips to count */
		return bench_read_verb(b);
	bench_check("begin", driver->script(b->db, "BEGIN READ ONLY", NULL));
	bench_check("read", db_begin(b->db, DB_READ_ONE));
	bench_select(b, false);
	bench_check("read", db_commit(b->db));
	bench_check("commit", driver->script(b->db, "COMMIT", NULL));
	return 1;
}

/* Many reads of one transaction: each waited for, or all at once. */
static size_t
bench_read_many(struct bench *b, bool is_queued)
{
	bench_check("begin", db_begin(b->db, DB_READ));
	for (int i = 0; i < BENCH_BATCH; i++)
		bench_select(b, is_queued);
	bench_check("commit", db_commit(b->db));
	return BENCH_BATCH;
}

static size_t
bench_read_blocking(struct bench *b)
{
	return bench_read_many(b, false);
}

static size_t
bench_read_pipelined(struct bench *b)
{
	return bench_read_many(b, true);
}

static void
bench_fill(struct bench *b)
{
	char id[ID_SIZE];
	struct store_debate d = {.id = id,
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "Which is faster?",
	    .config = "{}",
	    .total_rounds = 1};

	for (int i = 0; i < BENCH_DEBATES; i++) {
		id_make(id, "adhoc_", 8);
		bench_check("create",
		    store_debate_create(
			b->store, b->arena, &d, BENCH_DEBATES, NULL));
	}
	bench_check("claim",
	    store_claim(b->store, b->arena, "bench", BENCH_LEASE_US,
		BENCH_DEBATES, &b->debates, &b->n_debates));
}

static const struct bench_row {
	const char *name;
	size_t (*fn)(struct bench *b); /* returns how many it did */
} bench_rows[] = {
    {"commit", bench_commit},
    {"read-three", bench_read_three},
    {"read-one", bench_read_verb},
    {"read-blocking", bench_read_blocking},
    {"read-pipelined", bench_read_pipelined},
};

/* ---- the frame ---- */

static void
bench_open(struct bench *b)
{
	struct err_info info = {0};
	struct store_target t;

	b->settings = settings_start("store_bench");
	id_make(b->run, "", 8);
	enum err e = store_open(&b->store, b->settings, &info);
	if (e == ERR_OK)
		e = store_target(b->settings, &t, &info);
	atomic_init(&b->can_prepare, str_eq(b->settings->db_prepare, "server"));
	if (e == ERR_OK)
		e = t.driver->open(&b->db,
		    &(struct db_options){.target = t.target,
			.timeout_ms = BENCH_TIMEOUT_MS,
			.can_prepare = &b->can_prepare},
		    &info);
	if (e != ERR_OK) {
		fprintf(stderr, "store_bench: %s\n", info.text);
		exit(EX_UNAVAILABLE);
	}
	free(t.target);
}

static void
bench_load(struct bench *b)
{
	struct store_debate_filter filter = {.tenant = STORE_TENANT_DEFAULT,
	    .status = STORE_RUNNING,
	    .limit = BENCH_DEBATES};
	int64_t total;

	bench_check("list",
	    store_debate_list(b->store, b->rows, &filter, &b->debates,
		&b->n_debates, &total));
	if (b->n_debates != BENCH_DEBATES) {
		fprintf(stderr, "store_bench: %zu debates, fill it first\n",
		    b->n_debates);
		exit(EX_SOFTWARE);
	}
	memset(b->data, 'x', sizeof(b->data));
	memcpy(b->data, "{\"content\":\"", strlen("{\"content\":\""));
	memcpy(b->data + sizeof(b->data) - 3, "\"}", 3);
}

static double
bench_run(struct bench *b, const struct bench_row *row, double seconds)
{
	int64_t start, until;
	size_t n = 0;

	row->fn(b); /* connects, prepares */
	start = clock_mono_us();
	until = start + (int64_t)(seconds * 1e6);
	while (clock_mono_us() < until) {
		n += row->fn(b);
		arena_clear(b->arena);
	}
	return (double)n * 1e6 / (double)(clock_mono_us() - start);
}

int
main(int argc, char **argv)
{
	const struct bench_row *row = NULL;
	struct bench b = {.arena = arena_new(0), .rows = arena_new(0)};
	bool is_fill = argc == 2 && str_eq(argv[1], "fill");

	for (size_t i = 0; argc == 4 && i < ARRAY_LEN(bench_rows); i++)
		if (str_eq(argv[1], bench_rows[i].name))
			row = &bench_rows[i];
	double seconds = row != NULL ? strtod(argv[2], NULL) : 0;
	long group = row != NULL ? strtol(argv[3], NULL, 10) : 0;
	if (!is_fill && (seconds <= 0 || group < 1 || group > BENCH_DEBATES)) {
		fputs("usage: store_bench fill\n"
		      "       store_bench WHAT SECONDS GROUP\n",
		    stderr);
		return EX_USAGE;
	}
	b.group = (size_t)group;
	bench_open(&b);
	if (is_fill) {
		bench_fill(&b);
	} else {
		bench_load(&b);
		printf("%.1f\n", bench_run(&b, row, seconds));
	}
	b.db->driver->close(b.db);
	store_close(&b.store);
	settings_free(&b.settings);
	arena_free(&b.arena);
	arena_free(&b.rows);
	return EXIT_SUCCESS;
}
