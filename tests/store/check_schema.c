/* SPDX-License-Identifier: MIT
 *
 * The statement table and the migrations against the database.
 */
#include <stdio.h>
#include <string.h>

#include "store/store_tx.h"
#include "tests/store/store_kit.h"

START_TEST(test_statements)
{
	struct db *db = kit_connect();
	struct err_info info = {0};

	for (int i = 0; i < STMT__COUNT; i++) {
		const struct stmt_row *row = stmt_row((enum stmt)i);
		int params = -1;
		int columns = -1;
		ck_assert_msg(db->driver->describe(db, (enum stmt)i, &params,
				  &columns, &info) == ERR_OK,
		    "%s: %s", row->name, info.text);
		ck_assert_msg(params == (int)strlen(row->params),
		    "%s takes %d parameters", row->name, params);
		ck_assert_msg(columns == row->columns, "%s gives %d columns",
		    row->name, columns);
	}
	db->driver->close(db);
}
END_TEST

START_TEST(test_migrate_again)
{
	struct err_info info = {0};
	struct store_schema schema;
	int applied = -1;

	ck_assert_int_eq(store_migrate(kit.settings, &applied, &info), ERR_OK);
	ck_assert_int_eq(applied, 0);
	ck_assert_int_eq(store_schema(kit.settings, &schema, &info), ERR_OK);
	ck_assert_int_eq(schema.have, schema.want);
}
END_TEST

static enum err
insert_future_schema(struct db *db, void *arg)
{
	return DB_RUN(db, STMT_SCHEMA_INSERT, arg, NULL, DB_INT(9999),
	    DB_TEXT("x"), DB_INT(1), DB_TEXT("future"), DB_INT(9999));
}

START_TEST(test_migration_altered)
{
	struct err_info info = {0};
	int applied;

	kit_script("UPDATE schema_migrations SET sha256 = 'x' WHERE "
		   "version = 1");
	ck_assert_int_eq(kit_reopen(&info), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(info.text, "migration 1"));
	ck_assert_int_eq(
	    store_migrate(kit.settings, &applied, &info), ERR_SCHEMA);
	ck_assert_int_eq(applied, 0);
}
END_TEST

START_TEST(test_no_schema)
{
	struct err_info info = {0};
	struct store_schema schema;
	int applied;

	kit_empty();
	ck_assert_int_eq(kit_reopen(&info), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(info.text, "aragora migrate"));
	ck_assert_ptr_nonnull(kit.store);
	ck_assert_int_eq(store_ping(kit.store), ERR_SCHEMA);
	ck_assert_int_eq(store_schema(kit.settings, &schema, &info), ERR_OK);
	ck_assert_int_eq(schema.have, 0);
	ck_assert_int_ge(schema.want, 2);
	/* It comes, and the store that waited for it serves. */
	ck_assert_int_eq(store_migrate(kit.settings, &applied, &info), ERR_OK);
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
	ck_assert_int_eq(store_ping_write(kit.store), ERR_OK);
}
END_TEST

START_TEST(test_newer_schema)
{
	struct err_info info = {0};
	struct store *second = NULL;
	int applied;

	ck_assert_int_eq(store_tx(kit.store, DB_WRITE, insert_future_schema,
			     kit.arena, NULL),
	    ERR_OK);
	ck_assert_int_eq(store_open(&second, kit.settings, &info), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(info.text, "newer"));
	ck_assert_int_eq(store_ping(second), ERR_SCHEMA);
	store_close(&second);
	ck_assert_int_eq(
	    store_migrate(kit.settings, &applied, &info), ERR_SCHEMA);
}
END_TEST

/* What a newer program's migration writes down about us. */
static void
schema_newer(int64_t min_binary)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
	    "INSERT INTO schema_migrations (version, sha256, applied_us, name, "
	    "min_binary) VALUES (9999, 'x', 1, 'future', %lld)",
	    (long long)min_binary);
	kit_script(sql);
}

START_TEST(test_newer_compatible)
{
	struct err_info info = {0};
	struct store_schema schema;
	int applied = -1;

	store_schema_range(&schema);
	ck_assert_int_le(schema.min, schema.want);
	schema_newer(schema.want);
	ck_assert_msg(kit_reopen(&info) == ERR_OK, "%s", info.text);
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
	kit_create("x", 0);
	store_schema_seen(kit.store, &schema, &info);
	ck_assert_int_eq(schema.have, 9999);
	ck_assert_int_eq(schema.min_binary, schema.want);
	ck_assert_str_eq(info.text, "");
	ck_assert_int_eq(store_migrate(kit.settings, &applied, &info), ERR_OK);
	ck_assert_int_eq(applied, 0);
}
END_TEST

/* Under an open store: refused by what asks regularly, at once and by every
 * verb, and served again when the database is back. */
START_TEST(test_schema_moves)
{
	struct store_runner runner = {.id = "r", .host = "h", .pid = 1};
	struct store_schema schema;
	struct store_debate d;
	struct err_info info = {0};
	const char *id = kit_create("x", 0);

	store_schema_range(&schema);
	schema_newer(schema.want + 1);
	ck_assert_int_eq(store_ping(kit.store), ERR_SCHEMA);
	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &d),
	    ERR_SCHEMA);
	store_schema_seen(kit.store, &schema, &info);
	ck_assert(!schema.is_served);
	ck_assert_ptr_nonnull(strstr(info.text, "upgrade"));
	kit_script("DELETE FROM schema_migrations WHERE version = 9999");
	ck_assert_int_eq(store_ping(kit.store), ERR_OK);
	ck_assert_str_eq(kit_get(id).task, "x");
	schema_newer(0); /* a row that admits nobody older */
	ck_assert_int_eq(store_runner_seen(kit.store, &runner), ERR_SCHEMA);
	kit_script("DROP TABLE schema_migrations");
	ck_assert_int_eq(store_ping(kit.store), ERR_SCHEMA);
}
END_TEST

/* A statement that fails because the schema has moved is not held against
 * whoever sent it. */
START_TEST(test_schema_moves_under_statement)
{
	struct store_debate d;
	const char *id = kit_create("x", 0);

	kit_script("ALTER TABLE debates RENAME TO debates_new");
	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &d),
	    ERR_INTERNAL);
	schema_newer(9999);
	ck_assert_int_eq(store_debate_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &d),
	    ERR_SCHEMA);
}
END_TEST

void
add_schema(TCase *t)
{
	tcase_add_test(t, test_statements);
	tcase_add_test(t, test_migrate_again);
	tcase_add_test(t, test_migration_altered);
	tcase_add_test(t, test_no_schema);
	tcase_add_test(t, test_newer_schema);
	tcase_add_test(t, test_newer_compatible);
	tcase_add_test(t, test_schema_moves);
	tcase_add_test(t, test_schema_moves_under_statement);
}
