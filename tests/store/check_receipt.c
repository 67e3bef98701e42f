/* SPDX-License-Identifier: MIT
 *
 * Sealing and exporting from the database, and what the verifier says of a
 * database that was changed afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "receipt/export.h"
#include "receipt/receipt.h"
#include "receipt/verify.h"
#include "tests/store/store_kit.h"

#define RECEIPT_FILE_MAX ((size_t)1 << 20)
#define RECEIPT_EVENTS	 70 /* more than two pages */

static struct receipt_keys *keys;

static void
receipt_setup(void)
{
	char *private_pem, *public_pem;
	char id[RECEIPT_KEY_ID_SIZE];
	struct err_info info;

	ck_assert_int_eq(
	    receipt_key_make(&private_pem, &public_pem, id), ERR_OK);
	keys = receipt_keys_new();
	ck_assert_int_eq(receipt_keys_add(keys, private_pem, &info), ERR_OK);
	free(private_pem);
	free(public_pem);
}

static void
receipt_teardown(void)
{
	receipt_keys_free(&keys);
}

static const char *
receipt_finished(void)
{
	const char *id = kit_create("Tea?", 0);
	struct store_debate d = kit_claim("r1");

	for (size_t n = 1; n < RECEIPT_EVENTS; n++)
		ck_assert_int_eq(kit_step(&d, 1, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(kit_step(&d, 1, STORE_COMPLETED), ERR_OK);
	return id;
}

static struct store_receipt
receipt_sealed(const char *id)
{
	struct store_receipt r;

	ck_assert_int_eq(receipt_seal(kit.store, keys, kit.arena,
			     STORE_TENANT_DEFAULT, id, &r),
	    ERR_OK);
	return r;
}

static void
receipt_export(const char *id, enum export_kind kind, enum export_table table,
    struct buf *out)
{
	struct store_debate d = kit_get(id);
	struct store_receipt r = receipt_sealed(id);
	struct export *x = export_new(kit.store, &d, &r, kind, table);
	bool is_last = false;

	buf_init(out, RECEIPT_FILE_MAX);
	while (!is_last)
		ck_assert_int_eq(export_next(x, out, &is_last), ERR_OK);
	export_free(&x);
}

static enum err
receipt_check(const char *id, struct verify_report *report)
{
	struct buf file;

	receipt_export(id, EXPORT_JSON, EXPORT_SUMMARY, &file);
	enum err e = verify_export(keys, buf_text(&file), file.len, report);
	buf_release(&file);
	return e;
}

START_TEST(test_receipt_once)
{
	struct store_receipt none;
	struct receipt read;
	struct err_info info;
	const char *id = kit_create("Tea?", 0);

	ck_assert_int_eq(receipt_seal(kit.store, keys, kit.arena,
			     STORE_TENANT_DEFAULT, id, &none),
	    ERR_CONFLICT);
	ck_assert_int_eq(receipt_seal(kit.store, keys, kit.arena,
			     STORE_TENANT_DEFAULT, "adhoc_none", &none),
	    ERR_NOT_FOUND);
	struct store_debate d = kit_claim("r1");
	ck_assert_int_eq(kit_step(&d, 3, STORE_COMPLETED), ERR_OK);
	struct store_receipt first = receipt_sealed(id);
	ck_assert_ptr_nonnull(first.signature);
	ck_assert_uint_eq(strlen(first.marks), 3 * (ID_HASH_SIZE - 1));
	ck_assert_int_eq(receipt_read(kit.arena, first.text, strlen(first.text),
			     &read, &info),
	    ERR_OK);
	ck_assert_str_eq(read.debate_id, id);
	ck_assert_int_eq(read.events, 3);
	ck_assert_ptr_null(strstr(first.text, STORE_TENANT_DEFAULT));

	/* The first stays, whoever comes after it. */
	struct store_receipt other = {.text = "{}", .marks = ""};
	ck_assert_int_eq(
	    store_receipt_put(kit.store, STORE_TENANT_DEFAULT, id, &other),
	    ERR_OK);
	ck_assert_str_eq(receipt_sealed(id).text, first.text);
	ck_assert_str_eq(receipt_sealed(id).signature, first.signature);
	ck_assert_int_eq(
	    store_receipt_get(kit.store, kit.arena, "other", id, &other),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_receipt_unsigned)
{
	struct receipt_keys *none = receipt_keys_new();
	struct verify_report report;
	struct store_receipt r;
	const char *id = receipt_finished();

	ck_assert_int_eq(receipt_seal(kit.store, none, kit.arena,
			     STORE_TENANT_DEFAULT, id, &r),
	    ERR_OK);
	ck_assert_ptr_null(r.signature);
	ck_assert_ptr_nonnull(strstr(r.text, "\"algorithm\":\"none\""));
	ck_assert_int_eq(receipt_check(id, &report), ERR_UNSUPPORTED);
	ck_assert_str_eq(report.why, "the receipt is not signed");
	receipt_keys_free(&none);
}
END_TEST

START_TEST(test_export_verifies)
{
	struct verify_report report;
	const char *id = receipt_finished();

	ck_assert_msg(receipt_check(id, &report) == ERR_OK, "%s", report.why);
	ck_assert_int_eq(report.events, RECEIPT_EVENTS);
	ck_assert_str_eq(report.debate_id, id);
}
END_TEST

/* What somebody does to the tables, and the event that shows it. */
START_TEST(test_database_changed)
{
	static const struct {
		const char *sql;
		int64_t event; /* 0 = none, the rest of the file */
	} cases[] = {
	    {"UPDATE events SET data = '{\"x\":2}' WHERE seq = 40", 40},
	    {"UPDATE events SET agent = 'z' WHERE seq = 1", 1},
	    {"UPDATE events SET created_us = created_us + 1 WHERE seq = 70",
		70},
	    {"UPDATE events SET type = 'vote' WHERE seq = 33", 33},
	    {"UPDATE events SET round = round + 1 WHERE seq = 2", 2},
	    {"DELETE FROM events WHERE seq = 5", 5},
	    {"DELETE FROM events WHERE seq = 70", 70},
	    {"UPDATE events SET seq = seq + 1000 WHERE seq = 20; UPDATE events "
	     "SET seq = 20 WHERE seq = 21; UPDATE events SET seq = 21 WHERE "
	     "seq = 1020",
		20},
	    {"INSERT INTO events (debate_id, seq, tenant, type, created_us, "
	     "data) SELECT debate_id, 71, tenant, type, created_us, data FROM "
	     "events WHERE seq = 70",
		71},
	    {"UPDATE debates SET config = '{\"task\":\"Coffee?\"}'", 0},
	    {"UPDATE debates SET result = '{\"final_answer\":\"no\"}'", 0},
	    {"UPDATE debates SET status = 'failed'", 0},
	    {"UPDATE receipts SET signature = 'AAAA'", 0},
	    {"UPDATE receipts SET signature = NULL", 0},
	    {"UPDATE receipts SET text = replace(text, 'completed', 'failed')",
		0},
	    {"UPDATE receipts SET marks = replace(marks, 'a', 'b')", 1},
	};
	const size_t i = (size_t)_i;
	struct verify_report report;

	ck_assert_uint_eq(ARRAY_LEN(cases), 16);
	const char *id = receipt_finished();
	receipt_sealed(id);
	kit_script(cases[i].sql);
	ck_assert_msg(receipt_check(id, &report) != ERR_OK, "case %zu", i);
	ck_assert_msg(report.event == cases[i].event ||
		(strstr(cases[i].sql, "marks") != NULL && report.event > 0),
	    "case %zu: event %lld: %s", i, (long long)report.event, report.why);
}
END_TEST

/* Texts that mean something to what shows the file. */
START_TEST(test_export_escapes)
{
	static const char data[] =
	    "{\"role\":\"proposer\",\"content\":\"=1+1\\n<script>x</script> "
	    "& \\\"q\\\"\\n# end\",\"confidence\":1}";
	struct store_event event = {
	    .type = "agent_message", .round = 1, .agent = "a<b>", .data = data};
	const char *id = kit_create("<img src=x onerror=y> & |", 0);
	struct store_debate d = kit_claim("r1");
	struct store_transition t = {.tenant = d.tenant,
	    .debate_id = id,
	    .lease_epoch = d.lease_epoch,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_COMPLETED,
	    .phase = "done",
	    .result = "{\"final_answer\":\"@SUM(A1)\"}"};
	struct store_transition *one = &t;
	struct buf f;

	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	receipt_export(id, EXPORT_HTML, EXPORT_SUMMARY, &f);
	ck_assert_ptr_null(strstr(f.data, "<script"));
	ck_assert_ptr_null(strstr(f.data, "<img"));
	ck_assert_ptr_null(strstr(f.data, "http:"));
	ck_assert_ptr_null(strstr(f.data, "a<b>"));
	ck_assert_ptr_nonnull(strstr(f.data, "&lt;script&gt;"));
	ck_assert_ptr_nonnull(strstr(f.data, "default-src 'none'"));
	buf_release(&f);
	receipt_export(id, EXPORT_MARKDOWN, EXPORT_SUMMARY, &f);
	ck_assert_ptr_null(strstr(f.data, "<script"));
	ck_assert_ptr_null(strstr(f.data, "<img"));
	ck_assert_ptr_null(strstr(f.data, "\n# end"));
	ck_assert_ptr_nonnull(strstr(f.data, "\n> # end"));
	buf_release(&f);
	receipt_export(id, EXPORT_CSV, EXPORT_MESSAGES, &f);
	ck_assert_ptr_nonnull(strstr(f.data,
	    "1,a<b>,proposer,\"'=1+1\n<script>x</script> & \"\"q\"\"\n# "
	    "end\","));
	ck_assert_ptr_nonnull(strstr(f.data, "\r\n"));
	buf_release(&f);
	receipt_export(id, EXPORT_CSV, EXPORT_SUMMARY, &f);
	ck_assert_ptr_nonnull(strstr(f.data, "final_answer,\"'@SUM(A1)\"\r\n"));
	buf_release(&f);
}
END_TEST

void
add_receipt(TCase *t)
{
	tcase_add_checked_fixture(t, receipt_setup, receipt_teardown);
	tcase_add_test(t, test_receipt_once);
	tcase_add_test(t, test_receipt_unsigned);
	tcase_add_test(t, test_export_verifies);
	tcase_add_loop_test(t, test_database_changed, 0, 16);
	tcase_add_test(t, test_export_escapes);
}
