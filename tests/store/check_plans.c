/* SPDX-License-Identifier: MIT
 *
 * No statement that a running system repeats reads a whole table: the plans
 * that the databases make are looked at. These tests alone speak to the
 * databases' own libraries.
 */
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "tests/store/store_kit.h"

#define PLAN_MAX	65536
#define PLAN_PARAMS_MAX 16

/* Those that may: a count of all tokens, the lists of runners, bridges and
 * tenants (one row each) and what the migrations ask. */
static const enum stmt plan_exempt[] = {STMT_TOKEN_ANY, STMT_TOKEN_LIST,
    STMT_TOKEN_REVOKE, STMT_TENANT_LIST, STMT_TENANT_COUNT, STMT_RUNNER_LIST,
    STMT_BRIDGE_LIST, STMT_BRIDGE_SWEEP, STMT_SCHEMA_LIST, STMT_SCHEMA_COLUMNS,
    STMT_SCHEMA_INDEX, STMT_SCHEMA_WHERE, STMT_SCHEMA_SHAPE};

static bool
plan_is_exempt(enum stmt id)
{
	for (size_t i = 0; i < ARRAY_LEN(plan_exempt); i++)
		if (plan_exempt[i] == id)
			return true;
	return false;
}

static void
plan_sqlite(sqlite3 *db, const struct stmt_row *row)
{
	char sql[4096];
	sqlite3_stmt *st;

	snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", row->sql);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);
		bool is_whole = str_starts(line, "SCAN ") &&
		    strstr(line, "USING") == NULL &&
		    strstr(line, "VIRTUAL TABLE") == NULL &&
		    strstr(line, "(subquery") == NULL &&
		    strcmp(line, "SCAN ranked") != 0 &&
		    strcmp(line, "SCAN placed") != 0 &&
		    strcmp(line, "SCAN last") != 0 &&
		    strcmp(line, "SCAN sums") != 0 &&
		    strstr(line, "CONSTANT ROW") == NULL;
		ck_assert_msg(!is_whole, "%s: %s", row->name, line);
	}
	sqlite3_finalize(st);
}

static PGresult *
plan_exec(PGconn *db, const char *sql)
{
	PGresult *res = PQexec(db, sql);
	ExecStatusType status = PQresultStatus(res);

	ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK,
	    "%s: %s", sql, PQerrorMessage(db));
	return res;
}

/* A generic plan, with sequential scans allowed only where nothing else
 * answers: the tables are empty. */
static void
plan_pgsql(PGconn *db, const struct stmt_row *row)
{
	struct buf b;

	buf_init(&b, PLAN_MAX);
	buf_printf(
	    &b, "PREPARE p AS %s", row->pgsql != NULL ? row->pgsql : row->sql);
	PQclear(plan_exec(db, buf_text(&b)));
	buf_clear(&b);
	buf_puts(&b, "EXPLAIN EXECUTE p");
	for (size_t i = 0; i < strlen(row->params); i++)
		buf_puts(&b, i == 0 ? "(NULL" : ", NULL");
	if (*row->params != '\0')
		buf_putc(&b, ')');
	PGresult *res = plan_exec(db, buf_text(&b));
	for (int i = 0; i < PQntuples(res); i++)
		ck_assert_msg(
		    strstr(PQgetvalue(res, i, 0), "Seq Scan on") == NULL,
		    "%s: %s", row->name, PQgetvalue(res, i, 0));
	PQclear(res);
	PQclear(plan_exec(db, "DEALLOCATE p"));
	buf_release(&b);
}

/* Every statement of a body by itself. */
static void
plan_body(PGconn *db, const char *name, const char *params, const char *body)
{
	while (*body != '\0') {
		char one[PLAN_MAX];
		size_t len = strcspn(body, ";");
		ck_assert_uint_lt(len, sizeof(one));
		memcpy(one, body, len);
		one[len] = '\0';
		const struct stmt_row row = {
		    .name = name, .params = params, .sql = one};
		plan_pgsql(db, &row);
		body += len + (body[len] == ';');
	}
}

/* What the functions of SYSTEM statements do inside: their bodies as plans. */
static void
plan_functions(PGconn *db)
{
	PGresult *res = plan_exec(db,
	    "SELECT proname, prosrc, pronargs FROM pg_proc WHERE proname LIKE "
	    "'aragora\\_%' AND prosecdef AND proname NOT IN ('aragora_tokens', "
	    "'aragora_tenants')");

	ck_assert_int_gt(PQntuples(res), 0);
	for (int i = 0; i < PQntuples(res); i++) {
		char params[PLAN_PARAMS_MAX + 1] = "";
		size_t n = strtoul(PQgetvalue(res, i, 2), NULL, 10);
		ck_assert_uint_le(n, PLAN_PARAMS_MAX);
		memset(params, 't', n);
		plan_body(
		    db, PQgetvalue(res, i, 0), params, PQgetvalue(res, i, 1));
	}
	PQclear(res);
}

START_TEST(test_plans)
{
	char path[128];
	sqlite3 *lite = NULL;
	PGconn *pg = NULL;

	if (kit.pg_url != NULL) {
		pg = PQconnectdb(kit.pg_url);
		PQclear(plan_exec(pg,
		    "SET enable_seqscan = off; "
		    "SET plan_cache_mode = force_generic_plan"));
	} else {
		snprintf(path, sizeof(path), "%s/aragora.db", kit.folder);
		ck_assert_int_eq(sqlite3_open(path, &lite), SQLITE_OK);
	}
	for (int i = 0; i < STMT__COUNT; i++) {
		const struct stmt_row *row = stmt_row((enum stmt)i);
		if (plan_is_exempt((enum stmt)i))
			continue;
		if (pg != NULL)
			plan_pgsql(pg, row);
		else
			plan_sqlite(lite, row);
	}
	if (pg != NULL)
		plan_functions(pg);
	PQfinish(pg);
	sqlite3_close(lite);
}
END_TEST

/* The claim looks at what is in the queue and at nothing that has ended. */
START_TEST(test_claim_plan)
{
	char path[128], sql[4096];
	sqlite3 *db = NULL;
	sqlite3_stmt *st;
	bool is_indexed = false;

	if (kit.pg_url != NULL)
		return;
	snprintf(path, sizeof(path), "%s/aragora.db", kit.folder);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s",
	    stmt_row(STMT_DEBATE_CLAIM)->sql);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);
		is_indexed =
		    is_indexed || strstr(line, "debates_queue") != NULL;
		ck_assert(strstr(line, "SCAN debates") == NULL ||
		    strstr(line, "debates_queue") != NULL);
	}
	ck_assert(is_indexed);
	sqlite3_finalize(st);
	sqlite3_close(db);
}
END_TEST

void
add_plans(TCase *t)
{
	tcase_add_test(t, test_plans);
	tcase_add_test(t, test_claim_plan);
}
