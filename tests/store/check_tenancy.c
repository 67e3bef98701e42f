/* SPDX-License-Identifier: MIT
 *
 * Tenants are kept apart: by the statements themselves on both databases, and
 * on PostgreSQL by row level security even where a statement forgot.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "store/store_tx.h"
#include "tests/store/store_kit.h"

#define TENANCY_ROUNDS 20

static enum err
tenancy_step(const char *tenant, const struct store_debate *d)
{
	struct store_event event = {
	    .type = "agent_message", .round = 1, .data = "{\"x\":1}"};
	struct store_turn turn = {.step_key = "1/propose/a/",
	    .round = 1,
	    .phase = "propose",
	    .agent = "a",
	    .role = "proposer",
	    .state = STORE_TURN_DONE,
	    .attempt = 1,
	    .content = "text"};
	struct store_transition t = {.tenant = tenant,
	    .debate_id = d->id,
	    .lease_epoch = d->lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .turns = &turn,
	    .n_turns = 1,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .round = 1};
	struct store_transition *one = &t;

	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	return t.outcome;
}

static size_t
tenancy_events(const char *tenant, const char *id)
{
	struct store_event *rows;
	size_t n;

	ck_assert_int_eq(store_event_list(kit.store, kit.arena, tenant, id, 0,
			     100, &rows, &n),
	    ERR_OK);
	return n;
}

static size_t
tenancy_turns(const char *tenant, const char *id)
{
	struct store_turn *rows;
	size_t n;

	ck_assert_int_eq(
	    store_turn_list(kit.store, kit.arena, tenant, id, &rows, &n),
	    ERR_OK);
	return n;
}

/* Every verb, with the id of a debate that is another tenant's. */
START_TEST(test_other_tenant)
{
	struct store_debate_filter all = {
	    .tenant = "them", .status = -1, .limit = 10};
	struct store_event end = {.type = "debate_end", .data = "{}"};
	struct store_debate d, *rows;
	int64_t total, position;
	size_t n;

	const char *id = kit_create_for("us", "ours", 0);
	ck_assert_int_eq(
	    store_debate_queue_position(kit.store, "us", id, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 1);
	ck_assert_int_eq(
	    store_debate_queue_position(kit.store, "them", id, &position),
	    ERR_OK);
	ck_assert_int_eq(position, 0);
	struct store_debate mine = kit_claim("r1");
	ck_assert_str_eq(mine.tenant, "us");
	ck_assert_int_eq(tenancy_step("them", &mine), ERR_FENCED);
	ck_assert_int_eq(tenancy_step("us", &mine), ERR_OK);

	ck_assert_int_eq(store_debate_get(kit.store, kit.arena, "them", id, &d),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_debate_list(kit.store, kit.arena, &all, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(total, 0);
	ck_assert_uint_eq(tenancy_events("them", id), 0);
	ck_assert_uint_eq(tenancy_turns("them", id), 0);
	ck_assert_int_eq(
	    store_release(kit.store, "them", id, mine.lease_epoch), ERR_OK);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, "them", id, &end), ERR_NOT_FOUND);

	/* None of it did anything. */
	ck_assert_int_eq(
	    store_debate_get(kit.store, kit.arena, "us", id, &d), ERR_OK);
	ck_assert_int_eq(d.status, STORE_RUNNING);
	ck_assert_str_eq(d.runner, "r1");
	ck_assert_int_eq(d.last_seq, 1);
	ck_assert_uint_eq(tenancy_events("us", id), 1);
	ck_assert_uint_eq(tenancy_turns("us", id), 1);
}
END_TEST

struct tenancy_pair {
	const char *tenants[2], *ids[2];
	struct db_result debates[2][2], turns;
};

/* Each id as each tenant, in one round trip. */
static enum err
tenancy_pair_tx(struct db *db, void *arg)
{
	struct tenancy_pair *p = arg;
	enum err e = ERR_OK;

	for (size_t i = 0; i < 4 && e == ERR_OK; i++)
		e = DB_QUEUE(db, STMT_DEBATE_GET, kit.arena,
		    &p->debates[i / 2][i % 2], DB_TEXT(p->tenants[i / 2]),
		    DB_TEXT(p->ids[i % 2]));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_TURN_LIST, kit.arena, &p->turns,
		    DB_TEXT(p->tenants[0]), DB_TEXT(p->ids[0]));
	return e == ERR_OK ? db_sync(db) : e;
}

START_TEST(test_round_trip_of_tenants)
{
	struct tenancy_pair p = {.tenants = {"us", "them"}};

	p.ids[0] = kit_create_for("us", "ours", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(tenancy_step("us", &d), ERR_OK);
	p.ids[1] = kit_create_for("them", "theirs", 0);
	ck_assert_int_eq(
	    store_tx(kit.store, DB_READ_ONE, tenancy_pair_tx, &p, NULL),
	    ERR_OK);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(p.debates[i / 2][i % 2].rows, i / 2 == i % 2);
	ck_assert_uint_eq(p.turns.rows, 1);
}
END_TEST

/* A debate and its turns. */
START_TEST(test_read)
{
	struct store_debate d;
	struct store_turn *turns;
	size_t n;

	const char *id = kit_create_for("us", "ours", 0);
	struct store_debate mine = kit_claim("r1");
	ck_assert_int_eq(tenancy_step("us", &mine), ERR_OK);
	ck_assert_int_eq(
	    store_debate_read(kit.store, kit.arena, "them", id, &d, &turns, &n),
	    ERR_NOT_FOUND);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(
	    store_debate_read(kit.store, kit.arena, "us", id, &d, &turns, &n),
	    ERR_OK);
	ck_assert_str_eq(d.id, id);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(turns[0].content, "text");
}
END_TEST

/* One runner, one transaction, debates of three tenants. */
START_TEST(test_group_of_tenants)
{
	static const char *const tenants[] = {"a", "b", "c"};
	struct store_event events[ARRAY_LEN(tenants)];
	struct store_transition t[ARRAY_LEN(tenants)];
	struct store_transition *all[ARRAY_LEN(tenants)];
	struct store_debate *rows;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(tenants); i++)
		kit_create_for(tenants[i], "group", 0);
	ck_assert_int_eq(store_claim(kit.store, kit.arena, "r1", KIT_LEASE_US,
			     10, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, ARRAY_LEN(tenants));
	for (size_t i = 0; i < n; i++) {
		events[i] = (struct store_event){
		    .type = "agent_message", .round = 1, .data = "{}"};
		t[i] = (struct store_transition){.tenant = rows[i].tenant,
		    .debate_id = rows[i].id,
		    .lease_epoch = rows[i].lease_epoch,
		    .events = &events[i],
		    .n_events = 1,
		    .status = STORE_RUNNING,
		    .phase = "propose"};
		all[i] = &t[i];
	}
	ck_assert_int_eq(store_commit(kit.store, all, n), ERR_OK);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(t[i].outcome, ERR_OK);
		for (size_t j = 0; j < n; j++)
			ck_assert_uint_eq(
			    tenancy_events(rows[j].tenant, rows[i].id), i == j);
	}
}
END_TEST

struct tenancy_thread {
	char tenant[16];
	size_t n_bad;
};

/* Writes and reads as its own tenant; counts what is not as it should be. */
static void *
tenancy_alternate(void *arg)
{
	struct tenancy_thread *t = arg;
	struct arena *a = arena_new(0);
	struct store_debate_filter f = {
	    .tenant = t->tenant, .status = -1, .limit = 100};
	struct store_debate *rows;
	int64_t total;
	size_t n;

	for (int i = 0; i < TENANCY_ROUNDS; i++) {
		char id[ID_SIZE];
		id_make(id, "adhoc_", 4);
		struct store_debate d = {.id = id,
		    .tenant = t->tenant,
		    .task = t->tenant,
		    .config = "{}"};
		if (store_debate_create(kit.store, a, &d, 100000, NULL) !=
			ERR_OK ||
		    store_debate_list(kit.store, a, &f, &rows, &n, &total) !=
			ERR_OK) {
			t->n_bad++;
			continue;
		}
		if (total != i + 1)
			t->n_bad++;
		for (size_t j = 0; j < n; j++)
			if (!str_eq(rows[j].tenant, t->tenant) ||
			    !str_eq(rows[j].task, t->tenant))
				t->n_bad++;
	}
	arena_free(&a);
	return NULL;
}

START_TEST(test_interleaved_tenants)
{
	struct tenancy_thread t[KIT_THREADS] = {0};
	pthread_t threads[KIT_THREADS];

	for (size_t i = 0; i < KIT_THREADS; i++) {
		snprintf(t[i].tenant, sizeof(t[i].tenant), "tenant-%zu", i);
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, tenancy_alternate, &t[i]),
		    0);
	}
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(t[i].n_bad, 0);
	}
}
END_TEST

/* ---- row level security, spoken to directly ---- */

static void
tenancy_exec(PGconn *db, const char *sql)
{
	PGresult *res = PQexec(db, sql);
	ExecStatusType status = PQresultStatus(res);

	ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK,
	    "%s: %s", sql, PQerrorMessage(db));
	PQclear(res);
}

/* The first cell of the last statement. */
static const char *
tenancy_ask(PGconn *db, const char *sql)
{
	PGresult *res = PQexec(db, sql);

	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK, "%s: %s", sql,
	    PQerrorMessage(db));
	ck_assert_int_gt(PQntuples(res), 0);
	const char *text = arena_strdup(kit.arena, PQgetvalue(res, 0, 0));
	PQclear(res);
	return text;
}

static const char *
tenancy_refusal(PGconn *db, const char *sql)
{
	PGresult *res = PQexec(db, sql);

	ck_assert_msg(
	    PQresultStatus(res) == PGRES_FATAL_ERROR, "%s went through", sql);
	const char *state =
	    arena_strdup(kit.arena, PQresultErrorField(res, PG_DIAG_SQLSTATE));
	PQclear(res);
	return state;
}

#define TENANCY_AS(tenant)                                                     \
	"BEGIN; SELECT set_config('aragora.tenant', '" tenant "', true); "

START_TEST(test_row_security)
{
	static const char *const tables[] = {"debates", "events", "turns"};
	char sql[256];

	if (kit.pg_owner == NULL)
		return; /* the owner sees all, by a policy of its own */
	const char *id = kit_create_for("us", "ours", 0);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(tenancy_step("us", &d), ERR_OK);
	PGconn *db = PQconnectdb(kit.pg_url);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		snprintf(
		    sql, sizeof(sql), "SELECT count(*) FROM %s", tables[i]);
		ck_assert_str_eq(tenancy_ask(db, sql), "0");
		snprintf(sql, sizeof(sql),
		    TENANCY_AS("us") "SELECT count(*) FROM %s", tables[i]);
		ck_assert_str_eq(tenancy_ask(db, sql), "1");
		tenancy_exec(db, "COMMIT");
		/* What remains of the setting is '', and no tenant. */
		ck_assert_str_eq(tenancy_ask(db,
				     "SELECT coalesce(current_setting("
				     "'aragora.tenant', true), '')"),
		    "");
		snprintf(
		    sql, sizeof(sql), "SELECT count(*) FROM %s", tables[i]);
		ck_assert_str_eq(tenancy_ask(db, sql), "0");
		snprintf(sql, sizeof(sql),
		    TENANCY_AS("them") "SELECT count(*) FROM %s", tables[i]);
		ck_assert_str_eq(tenancy_ask(db, sql), "0");
		tenancy_exec(db, "ROLLBACK");
	}
	snprintf(sql, sizeof(sql),
	    TENANCY_AS("them") "INSERT INTO events (tenant, debate_id, seq, "
			       "type, created_us, data) VALUES ('us', '%s', 9, "
			       "'x', 1, '{}')",
	    id);
	ck_assert_str_eq(tenancy_refusal(db, sql), "42501");
	tenancy_exec(db, "ROLLBACK");
	ck_assert_str_eq(tenancy_refusal(db,
			     TENANCY_AS("us") "UPDATE debates SET tenant = "
					      "'them'"),
	    "42501");
	tenancy_exec(db, "ROLLBACK");
	ck_assert_str_eq(
	    tenancy_ask(db,
		TENANCY_AS("them") "WITH u AS (UPDATE debates SET task = 'x' "
				   "RETURNING 1) SELECT count(*) FROM u"),
	    "0");
	tenancy_exec(db, "ROLLBACK");
	PQfinish(db);
}
END_TEST

/* What goes past tenants is the service's role's alone, and it owns nothing. */
START_TEST(test_rights)
{
	const char *bystander = getenv("STORE_TEST_BYSTANDER");

	if (bystander == NULL)
		return;
	PGconn *db = PQconnectdb(bystander);
	ck_assert_str_eq(
	    tenancy_refusal(db, "SELECT * FROM aragora_claim('x', 1, 2, 3)"),
	    "42501");
	ck_assert_str_eq(
	    tenancy_refusal(db, "SELECT * FROM aragora_token('x', 1)"),
	    "42501");
	ck_assert_str_eq(
	    tenancy_refusal(db, "SELECT count(*) FROM debates"), "42501");
	PQfinish(db);
	db = PQconnectdb(kit.pg_url);
	ck_assert_str_eq(tenancy_refusal(db, "DROP TABLE debates"), "42501");
	ck_assert_str_eq(
	    tenancy_refusal(db, "DELETE FROM schema_migrations"), "42501");
	ck_assert_str_eq(tenancy_refusal(db,
			     "ALTER TABLE debates DISABLE ROW LEVEL SECURITY"),
	    "42501");
	PQfinish(db);
}
END_TEST

static enum err
tenancy_open(const char *url, struct err_info *info)
{
	if (url != NULL)
		setenv("ARAGORA_DATABASE_URL", url, 1);
	return kit_reopen(info);
}

/* It does not serve while that table is open to everybody. */
static void
tenancy_unsecured(const char *table)
{
	struct err_info info = {0};

	kit_script(arena_printf(
	    kit.arena, "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY", table));
	ck_assert_msg(
	    tenancy_open(kit.pg_url, &info) == ERR_DENIED, "%s", table);
	ck_assert_ptr_nonnull(strstr(info.text, "without row level security"));
	kit_script(arena_printf(
	    kit.arena, "ALTER TABLE %s FORCE ROW LEVEL SECURITY", table));
	ck_assert_int_eq(tenancy_open(kit.pg_url, &info), ERR_OK);
}

/* In production the service does not run as somebody whom row level security
 * does not hold. */
START_TEST(test_production_role)
{
	struct err_info info = {0};

	setenv("ARAGORA_ENV", "production", 1);
	setenv("ARAGORA_API_TOKEN", "0123456789abcdef0123456789abcdef", 1);
	if (kit.pg_owner == NULL) {
		enum err e = tenancy_open(NULL, &info);
		bool is_refused =
		    e == ERR_DENIED && strstr(info.text, "owns the tables");
		ck_assert(is_refused == (kit.pg_url != NULL));
		ck_assert(is_refused || e == ERR_OK);
	} else {
		ck_assert_msg(
		    tenancy_open(NULL, &info) == ERR_OK, "%s", info.text);
		ck_assert_int_eq(tenancy_open(kit.pg_owner, &info), ERR_DENIED);
		ck_assert_ptr_nonnull(strstr(info.text, "owns the tables"));
		ck_assert_int_eq(
		    tenancy_open(getenv("STORE_TEST_SUPER"), &info),
		    ERR_DENIED);
		ck_assert_ptr_nonnull(strstr(info.text, "is a superuser"));
		tenancy_unsecured("events");
		tenancy_unsecured("batch_items");
		tenancy_unsecured("agent_rules");
	}
	unsetenv("ARAGORA_ENV");
	unsetenv("ARAGORA_API_TOKEN");
}
END_TEST

/* ---- what stays behind on a server that others share ---- */

START_TEST(test_no_session_state)
{
	if (!kit.is_pooled)
		return;
	kit_create_for("us", "ours", 0);
	tenancy_alternate(&(struct tenancy_thread){.tenant = "them"});
	PGconn *db = PQconnectdb(kit.pg_url);
	ck_assert_str_eq(tenancy_ask(db,
			     "SELECT coalesce(current_setting("
			     "'aragora.tenant', true), '')"),
	    "");
	ck_assert_str_eq(tenancy_ask(db, "SHOW statement_timeout"), "0");
	ck_assert_str_eq(tenancy_ask(db,
			     "SELECT count(*) FROM pg_prepared_statements "
			     "WHERE name <> 'aragora_probe'"),
	    "0");
	ck_assert_str_eq(
	    tenancy_ask(db, "SELECT count(*) FROM pg_listening_channels()"),
	    "0");
	PQfinish(db);
}
END_TEST

/* Only a server of one's own keeps prepared statements. */
START_TEST(test_keeps_prepared)
{
	struct err_info info = {0};
	struct store_target t;

	if (kit.pg_url == NULL)
		return;
	ck_assert_int_eq(store_target(kit.settings, &t, &info), ERR_OK);
	struct db_options o = {
	    .target = t.target, .timeout_ms = KIT_TIMEOUT_MS};
	ck_assert(t.driver->keeps_prepared(&o) == !kit.is_pooled);
	free(t.target);
}
END_TEST

/* The probe is right for its moment. A server that loses statements later is
 * noticed, and the transaction runs again without. */
START_TEST(test_prepared_lost)
{
	struct err_info info = {0};
	struct store_target t;
	struct db *db = NULL;
	struct db_result r;
	atomic_bool can_prepare = true;

	if (kit.pg_url == NULL || kit.is_pooled)
		return;
	ck_assert_int_eq(store_target(kit.settings, &t, &info), ERR_OK);
	ck_assert_int_eq(t.driver->open(&db,
			     &(struct db_options){.target = t.target,
				 .timeout_ms = KIT_TIMEOUT_MS,
				 .can_prepare = &can_prepare},
			     &info),
	    ERR_OK);
	ck_assert_int_eq(db_run(db, STMT_PING, NULL, 0, kit.arena, &r), ERR_OK);
	ck_assert_int_eq(
	    db->driver->script(db, "DEALLOCATE ALL", &info), ERR_OK);
	ck_assert_int_eq(
	    db_run(db, STMT_PING, NULL, 0, kit.arena, &r), ERR_RETRY);
	ck_assert(!can_prepare);
	ck_assert(db->is_broken);
	db->driver->close(db);
	free(t.target);
}
END_TEST

void
add_tenancy(TCase *t)
{
	tcase_add_test(t, test_other_tenant);
	tcase_add_test(t, test_group_of_tenants);
	tcase_add_test(t, test_round_trip_of_tenants);
	tcase_add_test(t, test_read);
	tcase_add_test(t, test_interleaved_tenants);
	tcase_add_test(t, test_row_security);
	tcase_add_test(t, test_rights);
	tcase_add_test(t, test_production_role);
	tcase_add_test(t, test_no_session_state);
	tcase_add_test(t, test_keeps_prepared);
	tcase_add_test(t, test_prepared_lost);
}
