/* SPDX-License-Identifier: MIT
 *
 * The statement table and the migrations against the database.
 */
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
	    DB_TEXT("x"), DB_INT(1));
}

/* A released migration never changes: its hash stands here for good. */
START_TEST(test_migrations_unchanged)
{
#define NOTHING                                                                \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	static const char *const sqlite[] = {
	    "3590caa13b3825784e6715225b555525ee9f88d1d4118d26d984f265b841c296",
	    "07128e44fea79ca8c0cadcbc19ea717cc66b59c8fbf6cbb1e2610734b06f4b53",
	    NOTHING,
	};
	static const char *const pgsql[] = {
	    "3590caa13b3825784e6715225b555525ee9f88d1d4118d26d984f265b841c296",
	    "07128e44fea79ca8c0cadcbc19ea717cc66b59c8fbf6cbb1e2610734b06f4b53",
	    "d3f07ab62da37957e69654036bd5555faca6d9f3dba66bbb648db9ef36148927",
	};
	const char *const *released = kit.pg_url != NULL ? pgsql : sqlite;
	struct db *db = kit_connect();
	struct db_result r;

	ck_assert_int_eq(
	    db_run(db, STMT_SCHEMA_LIST, NULL, 0, kit.arena, &r), ERR_OK);
	ck_assert_uint_eq(r.rows, ARRAY_LEN(sqlite));
	ck_assert_uint_eq(r.rows, ARRAY_LEN(pgsql));
	for (size_t i = 0; i < r.rows; i++) {
		ck_assert_int_eq(db_int(&r, i, 0), (int64_t)i + 1);
		ck_assert_str_eq(db_text(&r, i, 1), released[i]);
	}
	db->driver->close(db);
}
END_TEST

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

void
add_schema(TCase *t)
{
	tcase_add_test(t, test_statements);
	tcase_add_test(t, test_migrate_again);
	tcase_add_test(t, test_migrations_unchanged);
	tcase_add_test(t, test_migration_altered);
	tcase_add_test(t, test_no_schema);
	tcase_add_test(t, test_newer_schema);
}
