/* SPDX-License-Identifier: MIT
 *
 * Fixture and helpers of the store suite, and its main function.
 */
#include "tests/store/store_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/str.h"
#include "store/store_tx.h"

struct kit kit;

void
kit_reload(void)
{
	struct buf errors;

	settings_free(&kit.settings);
	buf_init(&errors, 4096);
	ck_assert_msg(settings_load(&kit.settings, &errors) == ERR_OK, "%s",
	    buf_text(&errors));
	buf_release(&errors);
}

enum err
kit_reopen(struct err_info *info)
{
	store_close(&kit.store);
	kit_reload();
	return store_open(&kit.store, kit.settings, info);
}

void
kit_become(bool is_owner)
{
	const char *url =
	    is_owner && kit.pg_owner != NULL ? kit.pg_owner : kit.pg_url;
	if (url != NULL)
		setenv("ARAGORA_DATABASE_URL", url, 1);
	else
		unsetenv("ARAGORA_DATABASE_URL");
	kit_reload();
}

static const char *
kit_owner_target(struct store_target *t)
{
	struct err_info info = {0};

	ck_assert_int_eq(store_target(kit.settings, t, &info), ERR_OK);
	return kit.pg_owner != NULL ? kit.pg_owner : t->target;
}

struct db *
kit_connect(void)
{
	struct err_info info = {0};
	struct store_target t;
	struct db *db = NULL;

	const char *target = kit_owner_target(&t);
	ck_assert_msg(t.driver->open(&db,
			  &(struct db_options){
			      .target = target, .timeout_ms = KIT_TIMEOUT_MS},
			  &info) == ERR_OK,
	    "%s", info.text);
	free(t.target);
	return db;
}

void
kit_script(const char *sql)
{
	struct err_info info = {0};
	struct db *db = kit_connect();

	ck_assert_msg(
	    db->driver->script(db, sql, &info) == ERR_OK, "%s", info.text);
	db->driver->close(db);
}

void
kit_empty(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[128];

	if (kit.pg_url != NULL)
		kit_script("DROP SCHEMA public CASCADE; CREATE SCHEMA public; "
			   "GRANT USAGE ON SCHEMA public TO PUBLIC");
	else
		for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
			snprintf(path, sizeof(path), "%s/aragora.db%s",
			    kit.folder, suffixes[i]);
			unlink(path);
		}
}

void
kit_setup(void)
{
	struct err_info info = {0};
	int applied = 0;

	snprintf(kit.folder, sizeof(kit.folder), "store-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(kit.folder));
	setenv("ARAGORA_DATA_DIR", kit.folder, 1);
	setenv("ARAGORA_DB_POOL_SIZE", "4", 1);
	setenv("ARAGORA_DB_POOL_MAX_OVERFLOW", "2", 1);
	setenv("ARAGORA_DB_TIMEOUT", "30", 1);
	kit_become(true);
	kit_empty();
	ck_assert_msg(store_migrate(kit.settings, &applied, &info) == ERR_OK,
	    "%s", info.text);
	ck_assert_int_ge(applied, 1);
	kit_become(false);
	ck_assert_msg(kit_reopen(&info) == ERR_OK, "%s", info.text);
	kit.arena = arena_new(0);
}

void
kit_teardown(void)
{
	char command[128];

	arena_free(&kit.arena);
	store_close(&kit.store);
	settings_free(&kit.settings);
	snprintf(command, sizeof(command), "rm -rf %s", kit.folder);
	ck_assert_int_eq(system(command), 0);
}

const char *
kit_create(const char *task, int64_t priority)
{
	return kit_create_for(STORE_TENANT_DEFAULT, task, priority);
}

const char *
kit_create_for(const char *tenant, const char *task, int64_t priority)
{
	char id[ID_SIZE];

	id_make(id, "adhoc_", 4);
	struct store_debate d = {.id = arena_strdup(kit.arena, id),
	    .tenant = tenant,
	    .task = task,
	    .config = "{}",
	    .total_rounds = 2,
	    .priority = priority};
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 1000, NULL), ERR_OK);
	return d.id;
}

struct store_debate
kit_claim(const char *runner)
{
	struct store_debate *rows;
	size_t n;

	ck_assert_int_eq(store_claim(kit.store, kit.arena, runner, KIT_LEASE_US,
			     1, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	return rows[0];
}

struct store_debate
kit_get(const char *id)
{
	struct store_debate d;

	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &d),
	    ERR_OK);
	return d;
}

enum err
kit_commit(const struct store_debate *d, size_t n_events,
    enum store_status status, enum err *outcome)
{
	struct store_event events[KIT_EVENTS_MAX];
	struct store_transition t = {.tenant = STORE_TENANT_DEFAULT,
	    .debate_id = d->id,
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
	enum err e = store_commit(kit.store, &one, 1);
	*outcome = t.outcome;
	return e;
}

enum err
kit_step(
    const struct store_debate *d, size_t n_events, enum store_status status)
{
	enum err outcome;

	ck_assert_int_eq(kit_commit(d, n_events, status, &outcome), ERR_OK);
	return outcome;
}

void
kit_check_events(const char *id, size_t n)
{
	struct store_event *rows;
	size_t found;

	ck_assert_int_eq(
	    store_event_list(kit.store, kit.arena, STORE_TENANT_DEFAULT, id, 0,
		100000, &rows, &found),
	    ERR_OK);
	ck_assert_uint_eq(found, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(rows[i].seq, (int64_t)i + 1);
	ck_assert_int_eq(kit_get(id).last_seq, (int64_t)n);
}

void
kit_run(void (*add)(TCase *t), const char *name, int *failed)
{
	Suite *s = suite_create(kit.pg_url != NULL ? "postgresql" : "sqlite");
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, kit_setup, kit_teardown);
	add(t);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	*failed += srunner_ntests_failed(r);
	srunner_free(r);
}

int
main(void)
{
	int failed = 0;

	kit.pg_url = getenv("STORE_TEST_PGURL");
	kit.pg_owner = getenv("STORE_TEST_PGOWNER");
	kit.pg_user = getenv("STORE_TEST_PGUSER");
	kit.is_pooled = getenv("STORE_TEST_POOLED") != NULL;
	kit.pg_socket = getenv("STORE_TEST_PGSOCKET");
	kit.pg_ctl = getenv("STORE_TEST_PGCTL");
	if (kit.pg_owner == NULL) {
		kit_run(add_schema, "schema", &failed);
		kit_run(add_plans, "plans", &failed);
	}
	kit_run(add_tenancy, "tenancy", &failed);
	kit_run(add_verbs, "verbs", &failed);
	kit_run(add_receipt, "receipt", &failed);
	kit_run(add_capacity, "capacity", &failed);
	kit_run(add_vectors, "vectors", &failed);
	kit_run(add_attempts, "attempts", &failed);
	kit_run(add_batches, "batches", &failed);
	kit_run(add_bounds, "bounds", &failed);
	kit_run(add_ratings, "ratings", &failed);
	kit_run(add_budgets, "budgets", &failed);
	kit_run(add_health, "health", &failed);
	kit_run(add_human, "human", &failed);
	kit_run(add_memory, "memory", &failed);
	kit_run(add_accounts, "accounts", &failed);
	kit_run(add_agents, "agents", &failed);
	kit_run(add_races, "races", &failed);
	if (kit.is_pooled) /* the rest breaks the server's own connections */
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	kit_run(add_faults, "faults", &failed);
	/* It looks for the words of statements. */
	if (kit.pg_url != NULL && getenv("ARAGORA_DB_PREPARE") == NULL)
		kit_run(add_relay, "relay", &failed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
