/* SPDX-License-Identifier: MIT
 *
 * What the store does when the database fails it: retries, limits, outages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "metrics/metrics.h"
#include "store/pool.h"
#include "store/store_tx.h"
#include "tests/store/store_kit.h"

struct fault {
	int calls;
	int failures; /* how often fn fails first */
};

static enum err
fault_retry(struct db *db UNUSED, void *arg)
{
	struct fault *f = arg;

	return ++f->calls <= f->failures ? ERR_RETRY : ERR_OK;
}

START_TEST(test_retry)
{
	struct fault f = {.failures = 4};

	ck_assert_int_eq(
	    store_tx(kit.store, DB_WRITE, fault_retry, &f, NULL), ERR_OK);
	ck_assert_int_eq(f.calls, 5);
	f = (struct fault){.failures = 100};
	ck_assert_int_eq(
	    store_tx(kit.store, DB_WRITE, fault_retry, &f, NULL), ERR_BUSY);
	ck_assert_int_eq(f.calls, 5);
}
END_TEST

static enum err
fault_twice(struct db *db, void *arg UNUSED)
{
	enum err e = ERR_OK;

	for (int i = 0; e == ERR_OK && i < 2; i++)
		e = DB_RUN(db, STMT_TOKEN_INSERT, kit.arena, NULL, DB_TEXT("t"),
		    DB_TEXT("tok_1"), DB_TEXT("n"), DB_TEXT("p"), DB_TEXT("h"),
		    DB_TEXT("premium"), DB_INT(1), DB_INT(0), DB_TEXT(NULL),
		    DB_TEXT("read"));
	return e;
}

/* A statement that fails takes the whole transaction with it, on both. */
START_TEST(test_failed_statement)
{
	struct err_info info = {0};
	bool any = true;

	ck_assert_int_eq(
	    store_tx(kit.store, DB_WRITE, fault_twice, NULL, &info),
	    ERR_EXISTS);
	ck_assert_str_ne(info.text, "");
	ck_assert_int_eq(store_token_any(kit.store, &any), ERR_OK);
	ck_assert(!any);
}
END_TEST

static enum err
fault_nested(struct db *db UNUSED, void *arg)
{
	*(enum err *)arg = store_ping(kit.store);
	return ERR_OK;
}

/* What became of a COMMIT is not known, and then the transition is refused: it
 * did not land, and that is certain. */
START_TEST(test_refused_after_uncertain)
{
	struct store_event nameless = {.type = NULL, .data = "{}"};

	kit_create("x", 0);
	struct store_debate d = kit_claim("r1");
	struct store_transition t = {.tenant = d.tenant,
	    .debate_id = d.id,
	    .lease_epoch = d.lease_epoch,
	    .events = &nameless,
	    .n_events = 1,
	    .status = STORE_RUNNING,
	    .phase = "propose",
	    .outcome = ERR_UNCERTAIN};
	struct store_transition *all[] = {&t};
	ck_assert_int_eq(store_commit(kit.store, all, 1), ERR_INTERNAL);
	nameless.type = "vote";
	ck_assert_int_eq(store_commit(kit.store, all, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
}
END_TEST

START_TEST(test_pool_exhausted)
{
	int64_t timeouts = metric_read(METRIC_DB_POOL_TIMEOUTS);
	struct err_info info = {0};
	enum err inner = ERR_OK;

	setenv("ARAGORA_DB_POOL_SIZE", "1", 1);
	setenv("ARAGORA_DB_POOL_MAX_OVERFLOW", "0", 1);
	setenv("ARAGORA_DB_POOL_TIMEOUT", "0.02", 1);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	ck_assert_int_eq(
	    store_tx(kit.store, DB_READ, fault_nested, &inner, NULL), ERR_OK);
	ck_assert_int_eq(inner, ERR_BUSY);
	ck_assert_int_eq(metric_read(METRIC_DB_POOL_TIMEOUTS), timeouts + 1);
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);

	setenv("ARAGORA_DB_POOL_MAX_OVERFLOW", "1", 1);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	ck_assert_int_eq(
	    store_tx(kit.store, DB_READ, fault_nested, &inner, NULL), ERR_OK);
	ck_assert_int_eq(inner, ERR_OK);
}
END_TEST

static enum err
fault_write(struct db *db, void *arg UNUSED)
{
	return DB_RUN(
	    db, STMT_RUNNER_GONE, kit.arena, NULL, DB_TEXT("whoever"));
}

/* What was asked for reading does not write, on either database. */
START_TEST(test_readers_only_read)
{
	ck_assert_int_eq(
	    store_tx(kit.store, DB_WRITE, fault_write, NULL, NULL), ERR_OK);
	ck_assert_int_ne(
	    store_tx(kit.store, DB_READ, fault_write, NULL, NULL), ERR_OK);
	ck_assert_int_eq(
	    store_tx(kit.store, DB_WRITE, fault_write, NULL, NULL), ERR_OK);
}
END_TEST

static enum err
fault_write_inside(struct db *db UNUSED, void *arg)
{
	*(enum err *)arg =
	    store_tx(kit.store, DB_WRITE, fault_write, NULL, NULL);
	return ERR_OK;
}

/* The only reader is busy; what writes has a connection of its own where
 * there is one writer. */
START_TEST(test_writer_beside_reader)
{
	struct err_info info = {0};
	enum err inner = ERR_OK;

	setenv("ARAGORA_DB_POOL_SIZE", "1", 1);
	setenv("ARAGORA_DB_POOL_MAX_OVERFLOW", "0", 1);
	setenv("ARAGORA_DB_POOL_TIMEOUT", "0.02", 1);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	ck_assert_int_eq(
	    store_tx(kit.store, DB_READ, fault_write_inside, &inner, NULL),
	    ERR_OK);
	ck_assert_int_eq(inner, kit.pg_url != NULL ? ERR_BUSY : ERR_OK);
}
END_TEST

START_TEST(test_limits)
{
	struct store_limits l;
	struct err_info info = {0};

	ck_assert_int_eq(store_limits(kit.store, &l, &info), ERR_OK);
	ck_assert_int_eq(l.processes, 1);
	ck_assert_int_eq(l.waiting, 0);
	ck_assert_int_eq(l.open, 1); /* the one that asked, idle now */
	ck_assert_int_eq(l.is_shared, kit.pg_url != NULL);
	if (kit.pg_url == NULL) {
		ck_assert_int_eq(l.max, 0);
		ck_assert(!l.is_pooled);
		return;
	}
	ck_assert_int_gt(l.max, l.reserved);
	ck_assert_int_ge(l.connected, 1);
	ck_assert_int_eq(l.role, -1);
	ck_assert_int_eq(l.database, -1);
	ck_assert_int_eq(l.is_pooled, getenv("STORE_TEST_POOLED") != NULL);
}
END_TEST

/* Somebody else writes and does not end: a bounded wait, and reads go on. */
START_TEST(test_write_lock_busy)
{
	struct err_info info = {0};
	struct store_event end = {.type = "debate_end", .data = "{}"};
	struct arena *a = arena_new(0);

	const char *id = kit_create("held", 0);
	struct db *other = kit_connect();
	setenv("ARAGORA_DB_TIMEOUT", KIT_BUSY_SECOND, 1);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	ck_assert_int_eq(db_begin(other, DB_WRITE), ERR_OK);
	ck_assert_int_eq(DB_RUN(other, STMT_DEBATE_LOCK, a, NULL,
			     DB_TEXT(STORE_TENANT_DEFAULT), DB_TEXT(id)),
	    ERR_OK);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_BUSY);
	ck_assert_int_eq(kit_get(id).status, STORE_PENDING);
	db_rollback(other);
	ck_assert_int_eq(
	    store_debate_cancel(kit.store, STORE_TENANT_DEFAULT, id, &end),
	    ERR_OK);
	other->driver->close(other);
	arena_free(&a);
}
END_TEST

/* ---- outages ---- */

static void
fault_paths(char *file, char *away, size_t size)
{
	snprintf(file, size, "%s/aragora.db", kit.folder);
	snprintf(away, size, "%s/away.db", kit.folder);
}

static void
fault_pg(const char *verb)
{
	char command[512];

	snprintf(
	    command, sizeof(command), "%s %s >/dev/null", kit.pg_ctl, verb);
	ck_assert_int_eq(system(command), 0);
}

static void
fault_stop(void)
{
	char file[128], away[128];

	if (kit.pg_url != NULL) {
		fault_pg("stop");
	} else {
		fault_paths(file, away, sizeof(file));
		ck_assert_int_eq(rename(file, away), 0);
	}
}

static void
fault_start(void)
{
	char file[128], away[128];

	if (kit.pg_url != NULL) {
		fault_pg("start");
	} else {
		fault_paths(file, away, sizeof(file));
		unlink(file);
		ck_assert_int_eq(rename(away, file), 0);
	}
}

START_TEST(test_outage)
{
	char file[128], away[128];
	struct store_debate got;
	struct store_debate d = {.id = "late",
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}"};
	const char *id = kit_create("before", 0);

	fault_stop();
	ck_assert_int_eq(store_ping(kit.store), ERR_DOWN);
	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &got),
	    ERR_DOWN);
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 100, NULL), ERR_DOWN);
	fault_paths(file, away, sizeof(file));
	ck_assert_int_ne(access(file, F_OK), 0); /* nobody made an empty one */
	fault_start();
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
	ck_assert_str_eq(kit_get(id).task, "before");
	ck_assert_int_eq(
	    store_debate_create(kit.store, kit.arena, &d, 100, NULL), ERR_OK);
}
END_TEST

/* What stands in for the database while it is away. */
static void
fault_stand_in(void)
{
	char file[128], away[128];
	FILE *f;

	if (kit.pg_url != NULL)
		return;
	fault_paths(file, away, sizeof(file));
	f = fopen(file, "we");
	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_ge(fputs("not a database ", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(test_open_in_outage)
{
	struct err_info info = {0};

	kit_script("INSERT INTO schema_migrations (version, sha256, "
		   "applied_us) VALUES (9999, 'x', 1)");
	store_close(&kit.store);
	fault_stop();
	fault_stand_in();
	ck_assert_int_eq(kit_reopen(&info), ERR_DOWN);
	ck_assert_ptr_nonnull(kit.store);
	ck_assert_str_ne(info.text, "");
	ck_assert_int_eq(store_ping(kit.store), ERR_DOWN);
	fault_start();
	/* It is back, but not the one this program knows. */
	ck_assert_int_eq(store_ping(kit.store), ERR_SCHEMA);
	kit_script("DELETE FROM schema_migrations WHERE version = 9999");
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
	kit_create("after", 0);
}
END_TEST

/* The database comes back under a role that production refuses: for callers
 * that is an outage, not something they are not allowed. */
START_TEST(test_role_in_outage)
{
	struct err_info info = {0};
	bool is_owner = kit.pg_url != NULL && kit.pg_owner == NULL;

	store_close(&kit.store);
	fault_stop();
	fault_stand_in();
	setenv("ARAGORA_ENV", "production", 1);
	ck_assert_int_eq(kit_reopen(&info), ERR_DOWN);
	fault_start();
	ck_assert_int_eq(store_ping(kit.store), is_owner ? ERR_DOWN : ERR_OK);
	unsetenv("ARAGORA_ENV");
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
}
END_TEST

/* Connections that died while idle are not handed out. */
START_TEST(test_idle_killed)
{
	if (kit.pg_url == NULL)
		return;
	const char *id = kit_create("x", 0);
	kit_script("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		   "WHERE application_name = 'aragora' AND pid <> "
		   "pg_backend_pid()");
	ck_assert_str_eq(kit_get(id).task, "x");
}
END_TEST

/* ---- addresses ---- */

static enum err
fault_open_url(const char *url, struct err_info *info)
{
	*info = (struct err_info){0};
	setenv("ARAGORA_DATABASE_URL", url, 1);
	return kit_reopen(info);
}

/* Nothing of a connection string is repeated, however wrong it is. */
START_TEST(test_url_secret)
{
	static const char *const urls[] = {
	    "postgresql://u:geheim%zz@/x",
	    "postgresql://u:geheim@[::1/x",
	    "postgresql://u@/x?password=geheim&nonsense=1",
	    "postgres://u:geheim@[::1]y/x",
	    "mysql://u:geheim@h/x",
	    "geheim",
	};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct err_info info;
		ck_assert_int_eq(fault_open_url(urls[i], &info), ERR_INVALID);
		ck_assert_str_eq(info.field, "ARAGORA_DATABASE_URL");
		ck_assert_str_ne(info.text, "");
		ck_assert_ptr_null(strstr(info.text, "geheim"));
		ck_assert_ptr_null(kit.store);
	}
}
END_TEST

START_TEST(test_url_sqlite)
{
	static const char *const bad[] = {
	    "sqlite:", "sqlite::memory:", "sqlite://", "sqlite://host/x"};
	struct err_info info = {0};
	struct store_target t;
	char url[128];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(fault_open_url(bad[i], &info), ERR_INVALID);
	ck_assert_int_eq(
	    fault_open_url("sqlite:///nowhere/x.db", &info), ERR_SCHEMA);
	ck_assert_int_eq(store_target(kit.settings, &t, &info), ERR_OK);
	ck_assert_str_eq(t.target, "/nowhere/x.db");
	free(t.target);
	snprintf(url, sizeof(url), "sqlite:%s/other.db", kit.folder);
	ck_assert_int_eq(fault_open_url(url, &info), ERR_SCHEMA);
	ck_assert_int_eq(store_target(kit.settings, &t, &info), ERR_OK);
	ck_assert_str_eq(t.target, url + strlen("sqlite:"));
	ck_assert_int_ne(access(t.target, F_OK), 0);
	free(t.target);
}
END_TEST

START_TEST(test_backend_mismatch)
{
	struct err_info info = {0};

	setenv("ARAGORA_DB_BACKEND", kit.pg_url != NULL ? "sqlite" : "postgres",
	    1);
	ck_assert_int_eq(kit_reopen(&info), ERR_INVALID);
	ck_assert_str_eq(info.field, "ARAGORA_DB_BACKEND");
	setenv("ARAGORA_DB_BACKEND", kit.pg_url != NULL ? "supabase" : "sqlite",
	    1);
	ck_assert_int_eq(kit_reopen(&info), ERR_OK);
}
END_TEST

/* What was asked stays between the service and its group. */
START_TEST(test_file_modes)
{
	char path[128];
	struct stat st;
	int applied;

	if (kit.pg_url != NULL)
		return;
	store_close(&kit.store);
	kit_empty();
	ck_assert_int_eq(rmdir(kit.folder), 0);
	umask(022);
	ck_assert_int_eq(store_migrate(kit.settings, &applied, NULL), ERR_OK);
	ck_assert_int_eq(stat(kit.folder, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0750);
	snprintf(path, sizeof(path), "%s/aragora.db", kit.folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
}
END_TEST

void
add_faults(TCase *t)
{
	tcase_add_test(t, test_retry);
	tcase_add_test(t, test_failed_statement);
	tcase_add_test(t, test_refused_after_uncertain);
	tcase_add_test(t, test_pool_exhausted);
	tcase_add_test(t, test_readers_only_read);
	tcase_add_test(t, test_writer_beside_reader);
	tcase_add_test(t, test_limits);
	tcase_add_test(t, test_write_lock_busy);
	tcase_add_test(t, test_outage);
	tcase_add_test(t, test_open_in_outage);
	tcase_add_test(t, test_role_in_outage);
	tcase_add_test(t, test_idle_killed);
	tcase_add_test(t, test_url_secret);
	tcase_add_test(t, test_url_sqlite);
	tcase_add_test(t, test_backend_mismatch);
	tcase_add_test(t, test_file_modes);
}
