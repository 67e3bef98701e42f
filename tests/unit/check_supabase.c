/* SPDX-License-Identifier: MIT
 *
 * What `aragora doctor` says of a Supabase address.
 */
#include <string.h>

#include "cli/supabase.h"
#include "tests/unit/check_run.h"

#define POOLER "aws-0-eu-central-1.pooler.supabase.com"

static const struct {
	const char *url;
	enum supabase_address kind;
	const char *hint; /* a part of the only one, "" = none at all */
} rows[] = {
    {"postgresql://aragora_app.ref:pw@" POOLER ":6543/postgres?sslmode=require",
	SUPABASE_TRANSACTION, ""},
    {"postgresql://aragora_owner.ref:pw@" POOLER
     ":5432/postgres?sslmode=verify-full",
	SUPABASE_SESSION, ""},
    {"postgresql://aragora_owner.ref@" POOLER "/postgres?sslmode=require",
	SUPABASE_SESSION, ""},
    {"postgresql://aragora_owner:pw@db.ref.supabase.co:5432/postgres"
     "?a=b&sslmode=verify-ca",
	SUPABASE_DIRECT, ""},
    {"postgres://aragora_owner:p@ss:w@db.ref.supabase.co?sslmode=require",
	SUPABASE_DIRECT, ""},
    {"postgresql://aragora_owner@db.ref.supabase.co/postgres", SUPABASE_DIRECT,
	"TLS"},
    {"postgresql://aragora_owner@db.ref.supabase.co/p?sslmode=prefer",
	SUPABASE_DIRECT, "TLS"},
    {"postgresql://aragora_app@" POOLER ":6543/p?sslmode=require",
	SUPABASE_TRANSACTION, "aragora_app.PROJECT"},
    {"postgresql://postgres.ref:pw@" POOLER ":6543/p?sslmode=require",
	SUPABASE_TRANSACTION, "administrator"},
    {"postgresql://postgres:pw@db.ref.supabase.co/p?sslmode=require",
	SUPABASE_DIRECT, "administrator"},
    {"postgresql://postgres@localhost:6543/p", SUPABASE_NONE, ""},
    {"postgresql://u@supabase.co.example.org/p", SUPABASE_NONE, ""},
    {"postgresql://u@/p?host=/run/db.ref.supabase.co", SUPABASE_NONE, ""},
    {"sqlite:/tmp/x.db", SUPABASE_NONE, ""},
    {"", SUPABASE_NONE, ""},
};

START_TEST(test_addresses)
{
	struct buf hints;

	buf_init(&hints, 4096);
	ck_assert_int_eq(supabase_judge(rows[_i].url, &hints), rows[_i].kind);
	const char *text = buf_text(&hints);
	const char *line = strchr(text, '\n');
	if (*rows[_i].hint == '\0') {
		ck_assert_str_eq(text, "");
	} else {
		ck_assert_ptr_nonnull(strstr(text, rows[_i].hint));
		ck_assert_str_eq(line, "\n");
	}
	ck_assert_ptr_null(strstr(text, "pw"));
	ck_assert_str_ne(supabase_text(rows[_i].kind), "");
	buf_release(&hints);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(
	    t, test_addresses, 0, sizeof(rows) / sizeof(rows[0]));
}

int
main(void)
{
	return check_run("supabase", add_tests);
}
