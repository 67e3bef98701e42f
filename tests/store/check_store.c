/* SPDX-License-Identifier: MIT
 *
 * The store suite: the same cases on SQLite (always) and on the PostgreSQL
 * that STORE_TEST_PGURL names (run_store.sh starts one).
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/pool.h"
#include "store/store.h"
#include "store/store_tx.h"

#define LEASE_US (60 * INT64_C(1000000))

static const char *suite_url; /* NULL = SQLite */
static char folder[64];
static struct settings *settings;
static struct store *store;
static struct arena *arena;

static void
load_settings(void)
{
	struct buf errors;

	buf_init(&errors, 4096);
	ck_assert_msg(settings_load(&settings, &errors) == ERR_OK, "%s",
	    buf_text(&errors));
	buf_release(&errors);
}

static void
setup(void)
{
	struct err_info info = {0};
	int applied = 0;

	snprintf(folder, sizeof(folder), "store-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	setenv("ARAGORA_DATA_DIR", folder, 1);
	setenv("ARAGORA_DB_POOL_SIZE", "4", 1);
	setenv("ARAGORA_DB_POOL_MAX_OVERFLOW", "2", 1);
	setenv("ARAGORA_DB_TIMEOUT", "30", 1);
	if (suite_url != NULL)
		setenv("ARAGORA_DATABASE_URL", suite_url, 1);
	else
		unsetenv("ARAGORA_DATABASE_URL");
	load_settings();
	if (suite_url != NULL) {
		struct store_target t;
		struct db *db = NULL;
		ck_assert_int_eq(store_target(settings, &t, &info), ERR_OK);
		ck_assert_msg(t.driver->open(&db,
				  &(struct db_options){
				      .target = t.target, .timeout_ms = 10000},
				  &info) == ERR_OK,
		    "%s", info.text);
		ck_assert_int_eq(t.driver->script(db,
				     "DROP SCHEMA public CASCADE; "
				     "CREATE SCHEMA public",
				     &info),
		    ERR_OK);
		t.driver->close(db);
		free(t.target);
	}
	ck_assert_msg(store_migrate(settings, &applied, &info) == ERR_OK, "%s",
	    info.text);
	ck_assert_int_ge(applied, 1);
	ck_assert_msg(
	    store_open(&store, settings, &info) == ERR_OK, "%s", info.text);
	arena = arena_new(0);
}

static void
teardown(void)
{
	char command[128];

	arena_free(&arena);
	store_close(&store);
	settings_free(&settings);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static const char *
create(const char *task, int64_t priority)
{
	char id[ID_SIZE];
	const char *existing = NULL;

	id_make(id, "adhoc_", 4);
	struct store_debate d = {.id = arena_strdup(arena, id),
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = task,
	    .config = "{}",
	    .total_rounds = 2,
	    .priority = priority};
	ck_assert_int_eq(store_debate_create(store, arena, &d, NULL, NULL, 1000,
			     &existing, NULL),
	    ERR_OK);
	return d.id;
}

static struct store_debate
claim(const char *runner)
{
	struct store_debate *rows;
	size_t n;

	ck_assert_int_eq(
	    store_claim(store, arena, runner, LEASE_US, 1, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	return rows[0];
}

/* A step with n events; returns its outcome. */
static enum err
step(const struct store_debate *d, size_t n_events, enum store_status status)
{
	struct store_event events[8];
	struct store_transition t = {.debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = events,
	    .n_events = n_events,
	    .status = status,
	    .phase = "propose",
	    .round = 1};
	struct store_transition *one = &t;

	for (size_t i = 0; i < n_events; i++)
		events[i] = (struct store_event){
		    .type = "agent_message", .round = 1, .data = "{}"};
	ck_assert_int_eq(store_commit(store, &one, 1), ERR_OK);
	return t.outcome;
}

static struct store_debate
get(const char *id)
{
	struct store_debate d;

	ck_assert_int_eq(
	    store_debate_get(store, arena, STORE_TENANT_DEFAULT, id, &d),
	    ERR_OK);
	return d;
}

START_TEST(test_statements)
{
	struct store_target t;
	struct db *db = NULL;
	struct err_info info = {0};

	ck_assert_int_eq(store_target(settings, &t, &info), ERR_OK);
	ck_assert_int_eq(
	    t.driver->open(&db,
		&(struct db_options){.target = t.target, .timeout_ms = 5000},
		&info),
	    ERR_OK);
	for (int i = 0; i < STMT__COUNT; i++) {
		const struct stmt_row *row = stmt_row((enum stmt)i);
		int params = -1;
		int columns = -1;
		ck_assert_msg(t.driver->describe(db, (enum stmt)i, &params,
				  &columns, &info) == ERR_OK,
		    "%s: %s", row->name, info.text);
		ck_assert_msg(params == (int)strlen(row->params),
		    "%s takes %d parameters", row->name, params);
		ck_assert_msg(columns == row->columns, "%s gives %d columns",
		    row->name, columns);
	}
	t.driver->close(db);
	free(t.target);
}
END_TEST

START_TEST(test_migrate_again)
{
	struct err_info info = {0};
	struct store_schema schema;
	int applied = -1;

	ck_assert_int_eq(store_migrate(settings, &applied, &info), ERR_OK);
	ck_assert_int_eq(applied, 0);
	ck_assert_int_eq(store_schema(settings, &schema, &info), ERR_OK);
	ck_assert_int_eq(schema.have, schema.want);
}
END_TEST

static enum err
insert_future_schema(struct db *db, void *arg)
{
	return DB_RUN(db, STMT_SCHEMA_INSERT, arg, NULL, DB_INT(9999),
	    DB_TEXT("x"), DB_INT(1));
}

START_TEST(test_newer_schema)
{
	struct err_info info = {0};
	struct store *second = NULL;
	int applied;

	ck_assert_int_eq(
	    store_tx(store, true, insert_future_schema, arena, NULL), ERR_OK);
	ck_assert_int_eq(store_open(&second, settings, &info), ERR_SCHEMA);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(info.text, "newer"));
	ck_assert_int_eq(store_migrate(settings, &applied, &info), ERR_SCHEMA);
}
END_TEST

START_TEST(test_create_get)
{
	const char *id = create("Is 100% ünïcode \"fine\"?", 3);
	struct store_debate d = get(id);

	ck_assert_str_eq(d.task, "Is 100% ünïcode \"fine\"?");
	ck_assert_str_eq(d.slug, id);
	ck_assert_int_eq(d.status, STORE_PENDING);
	ck_assert_int_eq(d.priority, 3);
	ck_assert_int_eq(d.last_seq, 0);
	ck_assert_int_gt(d.created_us, 0);
	ck_assert_ptr_null(d.result);
	ck_assert_int_eq(
	    store_debate_get(store, arena, "other", id, &d), ERR_NOT_FOUND);
	ck_assert_int_eq(store_debate_get(store, arena, STORE_TENANT_DEFAULT,
			     "adhoc_none", &d),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_create_refused)
{
	struct err_info info = {0};
	const char *existing = NULL;
	struct store_debate d = {.id = "a1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}"};

	ck_assert_int_eq(store_debate_create(store, arena, &d, "key", "h1", 2,
			     &existing, &info),
	    ERR_OK);
	ck_assert_ptr_null(existing);
	d.id = "a2";
	ck_assert_int_eq(store_debate_create(store, arena, &d, "key", "h1", 2,
			     &existing, &info),
	    ERR_OK);
	ck_assert_str_eq(existing, "a1");
	ck_assert_int_eq(store_debate_create(store, arena, &d, "key", "h2", 2,
			     &existing, &info),
	    ERR_CONFLICT);
	ck_assert_str_eq(info.field, "Idempotency-Key");
	d.id = "a1";
	ck_assert_int_eq(store_debate_create(
			     store, arena, &d, NULL, NULL, 2, &existing, &info),
	    ERR_EXISTS);
	d.id = "a3";
	ck_assert_int_eq(store_debate_create(
			     store, arena, &d, NULL, NULL, 2, &existing, &info),
	    ERR_OK);
	d.id = "a4";
	ck_assert_int_eq(store_debate_create(
			     store, arena, &d, NULL, NULL, 2, &existing, &info),
	    ERR_BUSY);
	ck_assert_str_eq(info.field, "queue");
}
END_TEST

START_TEST(test_list)
{
	struct store_debate *rows;
	size_t n;
	int64_t total;
	const char *first = create("Apples or 50% pears", 0);

	create("Oranges", 0);
	create("apples again", 0);
	struct store_debate_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 2};
	ck_assert_int_eq(
	    store_debate_list(store, arena, &f, &rows, &n, &total), ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(total, 3);
	ck_assert_str_eq(rows[0].task, "apples again");
	f.query = "APPLES";
	ck_assert_int_eq(
	    store_debate_list(store, arena, &f, &rows, &n, &total), ERR_OK);
	ck_assert_int_eq(total, 2);
	f.query = "0% p";
	ck_assert_int_eq(
	    store_debate_list(store, arena, &f, &rows, &n, &total), ERR_OK);
	ck_assert_int_eq(total, 1);
	ck_assert_str_eq(rows[0].id, first);
	f.query = NULL;
	f.status = STORE_RUNNING;
	ck_assert_int_eq(
	    store_debate_list(store, arena, &f, &rows, &n, &total), ERR_OK);
	ck_assert_int_eq(total, 0);
	f.status = -1;
	f.tenant = "other";
	ck_assert_int_eq(
	    store_debate_list(store, arena, &f, &rows, &n, &total), ERR_OK);
	ck_assert_int_eq(total, 0);
}
END_TEST

START_TEST(test_claim_order)
{
	const char *low = create("low", 0);
	const char *high = create("high", 5);
	int64_t position = -1;
	struct store_debate *rows;
	size_t n;

	ck_assert_int_eq(store_debate_queue_position(
			     store, STORE_TENANT_DEFAULT, low, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 2);
	struct store_debate d = claim("r1");
	ck_assert_str_eq(d.id, high);
	ck_assert_int_eq(d.lease_epoch, 1);
	ck_assert_int_eq(d.status, STORE_RUNNING);
	ck_assert_str_eq(claim("r2").id, low);
	ck_assert_int_eq(
	    store_claim(store, arena, "r3", LEASE_US, 5, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_debate_queue_position(
			     store, STORE_TENANT_DEFAULT, low, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 0);
}
END_TEST

START_TEST(test_lease_and_fence)
{
	create("q", 0);
	struct store_debate *rows;
	size_t n;

	/* A lease that has ended already: another runner may take over. */
	ck_assert_int_eq(
	    store_claim(store, arena, "r1", -1, 1, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	struct store_debate old = rows[0];
	ck_assert_int_eq(step(&old, 2, STORE_RUNNING), ERR_OK);
	struct store_debate fresh = claim("r2");
	ck_assert_str_eq(fresh.id, old.id);
	ck_assert_int_eq(fresh.lease_epoch, old.lease_epoch + 1);
	ck_assert_int_eq(fresh.attempts, 2);

	ck_assert_int_eq(step(&old, 1, STORE_COMPLETED), ERR_FENCED);
	ck_assert_int_eq(get(old.id).status, STORE_RUNNING);
	ck_assert_int_eq(get(old.id).last_seq, 2);

	const char *ids[] = {old.id, fresh.id};
	int64_t epochs[] = {old.lease_epoch, fresh.lease_epoch};
	bool lost[2];
	ck_assert_int_eq(
	    store_heartbeat(store, ids, epochs, 2, LEASE_US, lost), ERR_OK);
	ck_assert(lost[0]);
	ck_assert(!lost[1]);

	ck_assert_int_eq(store_release(store, old.id, old.lease_epoch), ERR_OK);
	ck_assert_str_eq(get(old.id).runner, "r2"); /* not ours to release */
	ck_assert_int_eq(
	    store_release(store, fresh.id, fresh.lease_epoch), ERR_OK);
	ck_assert_int_eq(claim("r3").lease_epoch, fresh.lease_epoch + 1);
}
END_TEST

START_TEST(test_commit_group)
{
	struct store_debate d[3];
	struct store_event events[3][2];
	struct store_turn turn = {.step_key = "1/propose/demo/",
	    .round = 1,
	    .phase = "propose",
	    .agent = "demo",
	    .role = "proposer",
	    .state = STORE_TURN_DONE,
	    .attempt = 1,
	    .content = "text",
	    .parsed = "{\"confidence\":0.5}"};
	size_t turn_event[] = {2};
	struct store_transition t[3] = {0};
	struct store_transition *all[3];
	struct store_turn *turns;
	struct store_event *rows;
	size_t n;

	for (int i = 0; i < 3; i++)
		create("g", 0);
	for (int i = 0; i < 3; i++) {
		d[i] = claim("r1");
		for (int k = 0; k < 2; k++)
			events[i][k] = (struct store_event){
			    .type = k == 0 ? "round_start" : "agent_message",
			    .round = 1,
			    .agent = k == 0 ? NULL : "demo",
			    .data = "{\"a\":1}"};
		t[i] = (struct store_transition){.debate_id = d[i].id,
		    .lease_epoch = d[i].lease_epoch + (i == 1),
		    .events = events[i],
		    .n_events = 2,
		    .turns = &turn,
		    .n_turns = i == 0,
		    .turn_event = i == 0 ? turn_event : NULL,
		    .status = i == 2 ? STORE_COMPLETED : STORE_RUNNING,
		    .result = i == 2 ? "{\"x\":1}" : NULL,
		    .confidence = 0.1 + 0.7, /* needs 17 digits */
		    .consensus_reached = i == 2,
		    .phase = "propose",
		    .round = 1};
		all[i] = &t[i];
	}
	ck_assert_int_eq(store_commit(store, all, 3), ERR_OK);
	ck_assert_int_eq(t[0].outcome, ERR_OK);
	ck_assert_int_eq(t[1].outcome, ERR_FENCED);
	ck_assert_int_eq(t[2].outcome, ERR_OK);

	ck_assert_int_eq(
	    store_turn_list(store, arena, d[0].id, &turns, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(turns[0].content, "text");
	ck_assert_int_eq(turns[0].seq, 2);
	ck_assert_int_eq(
	    store_event_list(store, arena, d[0].id, 1, 10, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].seq, 2);
	ck_assert_str_eq(rows[0].agent, "demo");
	ck_assert_int_eq(
	    store_event_list(store, arena, d[1].id, 0, 10, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 0);

	struct store_debate done = get(d[2].id);
	ck_assert_int_eq(done.status, STORE_COMPLETED);
	ck_assert_int_gt(done.completed_us, 0);
	ck_assert(done.consensus_reached);
	ck_assert_ptr_null(done.runner);
	ck_assert_str_eq(done.result, "{\"x\":1}");
	ck_assert_double_eq(done.confidence, 0.1 + 0.7);

	const char *ids[] = {d[0].id, "adhoc_none", d[2].id};
	int64_t heads[3];
	ck_assert_int_eq(
	    store_event_heads(store, arena, ids, 3, heads), ERR_OK);
	ck_assert_int_eq(heads[0], 2);
	ck_assert_int_eq(heads[1], -1);
	ck_assert_int_eq(heads[2], 2);
}
END_TEST

START_TEST(test_cancel)
{
	const char *id = create("c", 0);
	struct store_debate d = claim("r1");
	struct store_event end = {.type = "debate_end", .data = "{}"};

	ck_assert_int_eq(step(&d, 3, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(
	    store_debate_cancel(store, "other", id, &end), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_debate_cancel(store, STORE_TENANT_DEFAULT, id, &end), ERR_OK);
	ck_assert_int_eq(end.seq, 4);
	ck_assert_int_eq(step(&d, 1, STORE_RUNNING), ERR_FENCED);
	ck_assert_int_eq(get(id).status, STORE_CANCELLED);
	ck_assert_int_eq(get(id).last_seq, 4);
	ck_assert_int_eq(
	    store_debate_cancel(store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_CONFLICT);
}
END_TEST

START_TEST(test_tokens)
{
	struct store_token t = {.id = "tok_1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .name = "laptop",
	    .prefix = "ara_12345678",
	    .hash = "abcd",
	    .tier = "premium"};
	struct store_token *rows;
	struct store_token found;
	size_t n;
	bool any = true;

	ck_assert_int_eq(store_token_any(store, &any), ERR_OK);
	ck_assert(!any);
	ck_assert_int_eq(store_token_create(store, &t), ERR_OK);
	ck_assert_int_eq(store_token_create(store, &t), ERR_EXISTS);
	ck_assert_int_eq(
	    store_token_find(store, arena, "abcd", &found), ERR_OK);
	ck_assert_str_eq(found.tier, "premium");
	ck_assert_int_eq(
	    store_token_find(store, arena, "abce", &found), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_token_list(store, arena, STORE_TENANT_DEFAULT, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_gt(rows[0].last_used_us, 0);

	t.id = "tok_2";
	t.hash = "late";
	t.expires_us = 1;
	ck_assert_int_eq(store_token_create(store, &t), ERR_OK);
	ck_assert_int_eq(
	    store_token_find(store, arena, "late", &found), ERR_NOT_FOUND);

	ck_assert_int_eq(
	    store_token_revoke(store, "other", "tok_1"), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_token_revoke(store, STORE_TENANT_DEFAULT, "tok_1"), ERR_OK);
	ck_assert_int_eq(
	    store_token_find(store, arena, "abcd", &found), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_token_revoke(store, STORE_TENANT_DEFAULT, "tok_1"),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_runners)
{
	struct store_runner r = {
	    .id = "r1", .host = "h", .pid = 7, .capacity = 10, .active = 1};
	struct store_runner *rows;
	size_t n;

	ck_assert_int_eq(store_runner_seen(store, &r), ERR_OK);
	r.active = 2;
	ck_assert_int_eq(store_runner_seen(store, &r), ERR_OK);
	ck_assert_int_eq(
	    store_runner_list(store, arena, LEASE_US, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(rows[0].active, 2);
	ck_assert_int_eq(store_runner_gone(store, "r1"), ERR_OK);
	ck_assert_int_eq(
	    store_runner_list(store, arena, LEASE_US, &rows, &n), ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

#define CLAIMERS 4
#define DEBATES	 40

static void *
claimer(void *arg)
{
	struct arena *a = arena_new(0);
	int64_t *mine = arg;
	struct store_debate *rows;
	size_t n = 1;

	while (n > 0 &&
	    store_claim(store, a, "r", LEASE_US, 3, &rows, &n) == ERR_OK)
		*mine += (int64_t)n;
	arena_free(&a);
	return NULL;
}

START_TEST(test_claim_race)
{
	pthread_t threads[CLAIMERS];
	int64_t counts[CLAIMERS] = {0};
	int64_t sum = 0;

	for (int i = 0; i < DEBATES; i++)
		create("race", 0);
	for (int i = 0; i < CLAIMERS; i++)
		pthread_create(&threads[i], NULL, claimer, &counts[i]);
	for (int i = 0; i < CLAIMERS; i++) {
		pthread_join(threads[i], NULL);
		sum += counts[i];
	}
	ck_assert_int_eq(sum, DEBATES); /* each exactly once */
}
END_TEST

#define WRITES 20

static struct store_debate shared;

static void *
writer(void *arg)
{
	for (int i = 0; i < WRITES; i++)
		if (step(&shared, 2, STORE_RUNNING) != ERR_OK)
			*(bool *)arg = true;
	return NULL;
}

START_TEST(test_sequence_race)
{
	pthread_t threads[CLAIMERS];
	bool is_failed = false;
	struct store_event *rows;
	size_t n;

	create("seq", 0);
	shared = claim("r1");
	for (int i = 0; i < CLAIMERS; i++)
		pthread_create(&threads[i], NULL, writer, &is_failed);
	for (int i = 0; i < CLAIMERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!is_failed);
	ck_assert_int_eq(
	    store_event_list(store, arena, shared.id, 0, 10000, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, CLAIMERS * WRITES * 2);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(rows[i].seq, (int64_t)i + 1);
}
END_TEST

START_TEST(test_pool)
{
	struct store_target t;
	struct db *held[3] = {NULL};
	struct db *more = NULL;
	int64_t in_use = metric_read(METRIC_DB_POOL_IN_USE);
	int64_t timeouts = metric_read(METRIC_DB_POOL_TIMEOUTS);

	ck_assert_int_eq(store_target(settings, &t, NULL), ERR_OK);
	struct pool *p = pool_new(&(struct pool_options){.driver = t.driver,
	    .db = {.target = t.target, .timeout_ms = 1000},
	    .size = 2,
	    .overflow = 1,
	    .timeout_ms = 20});
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pool_get(p, &held[i], NULL), ERR_OK);
	ck_assert_int_eq(pool_get(p, &more, NULL), ERR_BUSY);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IN_USE), in_use + 3);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_TIMEOUTS), timeouts + 1);
	pool_put(p, &held[0]);
	ck_assert_int_eq(pool_get(p, &more, NULL), ERR_OK);
	pool_put(p, &more);
	pool_put(p, &held[1]);
	pool_put(p, &held[2]);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_IN_USE), in_use);
	pool_free(&p);
	free(t.target);
}
END_TEST

/* The file vanishes: an error, and recovery once it is back. */
START_TEST(test_sqlite_file_gone)
{
	char from[128], to[128];
	int applied;

	if (suite_url != NULL)
		return;
	ck_assert_int_eq(store_ping(store), ERR_OK);
	snprintf(from, sizeof(from), "%s/aragora.db", folder);
	snprintf(to, sizeof(to), "%s/away", folder);
	const char *id = create("x", 0);
	store_close(&store);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(store_open(&store, settings, NULL), ERR_SCHEMA);
	ck_assert_int_eq(unlink(from), 0);
	ck_assert_int_eq(rename(to, from), 0);
	ck_assert_int_eq(store_migrate(settings, &applied, NULL), ERR_OK);
	ck_assert_int_eq(store_open(&store, settings, NULL), ERR_OK);
	ck_assert_str_eq(get(id).task, "x");
}
END_TEST

static Suite *
store_suite(void)
{
	Suite *s = suite_create(suite_url != NULL ? "postgresql" : "sqlite");
	TCase *c = tcase_create("store");

	tcase_set_timeout(c, 0);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_statements);
	tcase_add_test(c, test_migrate_again);
	tcase_add_test(c, test_newer_schema);
	tcase_add_test(c, test_create_get);
	tcase_add_test(c, test_create_refused);
	tcase_add_test(c, test_list);
	tcase_add_test(c, test_claim_order);
	tcase_add_test(c, test_lease_and_fence);
	tcase_add_test(c, test_commit_group);
	tcase_add_test(c, test_cancel);
	tcase_add_test(c, test_tokens);
	tcase_add_test(c, test_runners);
	tcase_add_test(c, test_claim_race);
	tcase_add_test(c, test_sequence_race);
	tcase_add_test(c, test_pool);
	tcase_add_test(c, test_sqlite_file_gone);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	suite_url = getenv("STORE_TEST_PGURL");
	SRunner *r = srunner_create(store_suite());
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
