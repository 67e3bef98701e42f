/* SPDX-License-Identifier: MIT
 *
 * Keys, chain, receipt, and that the verifying function takes an export and no
 * other file: every byte of it is changed once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "check_run.h"
#include "receipt/export_impl.h"
#include "receipt/receipt.h"
#include "receipt/verify.h"

#define FILE_MAX    65536
#define FILE_EVENTS 3

static struct receipt_keys *keys, *others;
static char *private_pem, *public_pem;
static char key_id[RECEIPT_KEY_ID_SIZE];
static struct arena *arena;

static const char config[] = "{\"task\":\"Tea?\",\"rounds\":1}";
static const char result[] = "{\"final_answer\":\"Y\\u00e9s \xc3\xa9\"}";

static struct receipt_keys *
ring(const char *pem)
{
	struct receipt_keys *r = receipt_keys_new();
	struct err_info info;

	ck_assert_int_eq(receipt_keys_add(r, pem, &info), ERR_OK);
	return r;
}

static void
setup(void)
{
	char *other_private, *other_public;
	char id[RECEIPT_KEY_ID_SIZE];

	arena = arena_new(0);
	ck_assert_int_eq(
	    receipt_key_make(&private_pem, &public_pem, key_id), ERR_OK);
	ck_assert_int_eq(
	    receipt_key_make(&other_private, &other_public, id), ERR_OK);
	keys = ring(private_pem);
	others = ring(other_private);
	free(other_private);
	free(other_public);
}

static void
teardown(void)
{
	receipt_keys_free(&keys);
	receipt_keys_free(&others);
	free(private_pem);
	free(public_pem);
	arena_free(&arena);
}

/* ---- making files ---- */

struct file {
	const struct receipt_keys *signer; /* NULL = unsigned */
	const char *algorithm, *key_id;
	struct store_event events[FILE_EVENTS];
	size_t order[8]; /* which events the file holds */
	size_t n;
	int64_t counted;
};

static struct file
file_good(void)
{
	return (struct file){.signer = keys,
	    .algorithm = RECEIPT_ALGORITHM,
	    .key_id = key_id,
	    .events = {{.seq = 1,
			   .type = "debate_start",
			   .created_us = 1767225600123456,
			   .data = "{\"task\":\"Tea?\"}"},
		{.seq = 2,
		    .type = "agent_message",
		    .round = 1,
		    .agent = "a \"b\"",
		    .created_us = 1767225600223456,
		    .data = "{\"content\":\"Y\\n\",\"confidence\":0.5}"},
		{.seq = 3,
		    .type = "debate_end",
		    .created_us = 1767225600323456,
		    .data = "{\"status\":\"completed\"}"}},
	    .order = {0, 1, 2},
	    .n = 3,
	    .counted = 3};
}

static const char *
sha256(const char *text)
{
	char hex[ID_HASH_SIZE];

	id_sha256(text, strlen(text), hex);
	return arena_strdup(arena, hex);
}

static void
file_receipt(const struct file *f, const char *head, struct buf *out)
{
	char signature[RECEIPT_SIGNATURE_SIZE];
	struct buf text;
	struct receipt r = {.debate_id = "adhoc_1",
	    .status = "completed",
	    .config_sha256 = sha256(config),
	    .result_sha256 = sha256(result),
	    .events = f->counted,
	    .head = head,
	    .created_us = 1767225600000000,
	    .started_us = 1767225600000001,
	    .completed_us = 1767225600323456,
	    .sealed_us = 1767225600423456,
	    .program = "aragora test",
	    .algorithm = f->algorithm,
	    .key_id = f->key_id};

	buf_init(&text, FILE_MAX);
	receipt_write(&text, &r);
	if (f->signer != NULL)
		ck_assert_int_eq(receipt_keys_sign(f->signer, buf_text(&text),
				     text.len, signature),
		    ERR_OK);
	export_json_receipt(
	    out, buf_text(&text), f->signer != NULL ? signature : NULL);
	buf_release(&text);
}

static const struct json *
parsed(const char *text)
{
	const struct json *j = NULL;
	struct err_info info;

	ck_assert_int_eq(
	    json_parse(arena, text, strlen(text), NULL, &j, &info), ERR_OK);
	return j;
}

/* The receipt is over the events 1..FILE_EVENTS in order, the file holds those
 * of f->order, each with the hash it had. */
static void
file_write(const struct file *f, struct buf *out)
{
	char hashes[FILE_EVENTS][ID_HASH_SIZE];
	struct chain chain;

	chain_start(&chain, "adhoc_1", config);
	for (size_t i = 0; i < FILE_EVENTS; i++) {
		chain_add(&chain, &f->events[i]);
		chain_hex(&chain, hashes[i]);
	}
	buf_init(out, FILE_MAX);
	file_receipt(f, hashes[FILE_EVENTS - 1], out);
	buf_printf(out, "\"config\":%s,\n\"result\":%s,\n", config, result);
	export_json_summary(
	    out, "adhoc_1", "completed", parsed(config), parsed(result));
	buf_puts(out, "\"events\":[");
	for (size_t i = 0; i < f->n; i++) {
		const struct store_event *e = &f->events[f->order[i]];
		buf_puts(out, i == 0 ? "\n" : ",\n");
		export_json_event(out, e, hashes[f->order[i]]);
		buf_printf(out, "%s}", e->data);
	}
	buf_puts(out, "\n]}\n");
	ck_assert(!out->is_overflowed);
}

static enum err
file_verify(const struct file *f, struct verify_report *report)
{
	struct buf b;

	file_write(f, &b);
	enum err e = verify_export(keys, buf_text(&b), b.len, report);
	buf_release(&b);
	return e;
}

/* ---- the chain ---- */

/* The figures come from another implementation of the encoding in chain.h. */
START_TEST(test_chain_known)
{
	struct store_event e = {
	    .seq = 1, .type = "t", .round = 2, .created_us = 3, .data = "{}"};
	struct chain c;
	char hex[ID_HASH_SIZE];

	chain_start(&c, "d", "{}");
	chain_hex(&c, hex);
	ck_assert_str_eq(hex,
	    "045771018dfdafa8122d99cba34adce8"
	    "e6b84c8facd06c09238d7641a9e402dd");
	chain_add(&c, &e);
	chain_hex(&c, hex);
	ck_assert_str_eq(hex,
	    "a78ce4c68f76c6c7457a891ac1e76951"
	    "aaa1d70ef1f7273b0ec5e1f43990c462");
	e.seq = 2;
	e.agent = "a";
	chain_add(&c, &e);
	chain_hex(&c, hex);
	ck_assert_str_eq(hex,
	    "820606ef8e3fd0abbf5bf5e1616b61c6"
	    "26bc8ce7eeef1bbd6dd2b6bb1db6b5b5");
}
END_TEST

/* ---- keys ---- */

START_TEST(test_key_ring)
{
	char signature[RECEIPT_SIGNATURE_SIZE];
	struct receipt_keys *public = ring(public_pem);

	ck_assert_str_eq(receipt_keys_signer(keys), key_id);
	ck_assert_ptr_null(receipt_keys_signer(public));
	ck_assert_str_eq(receipt_keys_id(public, 0), key_id);
	ck_assert_int_eq(
	    receipt_keys_sign(public, "x", 1, signature), ERR_UNSUPPORTED);
	ck_assert_int_eq(receipt_keys_sign(keys, "x", 1, signature), ERR_OK);
	ck_assert_int_eq(
	    receipt_keys_verify(public, key_id, "x", 1, signature), ERR_OK);
	ck_assert_int_eq(
	    receipt_keys_verify(public, key_id, "y", 1, signature), ERR_DENIED);
	ck_assert_int_eq(receipt_keys_verify(others, key_id, "x", 1, signature),
	    ERR_NOT_FOUND);
	receipt_keys_free(&public);
}
END_TEST

/* A new key in front, the earlier public one behind it. */
START_TEST(test_key_rotation)
{
	char *fresh, *fresh_public;
	char id[RECEIPT_KEY_ID_SIZE];
	char signature[RECEIPT_SIGNATURE_SIZE];

	ck_assert_int_eq(receipt_key_make(&fresh, &fresh_public, id), ERR_OK);
	ck_assert_int_eq(receipt_keys_sign(keys, "x", 1, signature), ERR_OK);
	struct receipt_keys *both =
	    ring(arena_printf(arena, "%s%s", fresh, public_pem));
	ck_assert_uint_eq(receipt_keys_count(both), 2);
	ck_assert_str_eq(receipt_keys_signer(both), id);
	ck_assert_int_eq(
	    receipt_keys_verify(both, key_id, "x", 1, signature), ERR_OK);
	receipt_keys_free(&both);
	free(fresh);
	free(fresh_public);
}
END_TEST

START_TEST(test_key_refused)
{
	static const char *const bad[] = {"", "no key",
	    "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
	    /* an X25519 key */
	    "-----BEGIN PUBLIC KEY-----\n"
	    "MCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n"
	    "-----END PUBLIC KEY-----\n"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct receipt_keys *r = receipt_keys_new();
		struct err_info info = {0};
		ck_assert_int_eq(
		    receipt_keys_add(r, bad[i], &info), ERR_INVALID);
		ck_assert_str_ne(info.text, "");
		receipt_keys_free(&r);
	}
}
END_TEST

/* ---- whole files ---- */

START_TEST(test_verify)
{
	struct file f = file_good();
	struct verify_report report;

	ck_assert_msg(file_verify(&f, &report) == ERR_OK, "%s", report.why);
	ck_assert_str_eq(report.debate_id, "adhoc_1");
	ck_assert_str_eq(report.key_id, key_id);
	ck_assert_int_eq(report.events, 3);
	ck_assert_int_eq(report.event, 0);
}
END_TEST

/* Each bit of each byte, one at a time. */
START_TEST(test_every_bit)
{
	struct file f = file_good();
	struct verify_report report;
	struct buf b;

	file_write(&f, &b);
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] = (char)(b.data[i] ^ (1 << bit));
			enum err e =
			    verify_export(keys, b.data, b.len, &report);
			ck_assert_msg(e != ERR_OK, "byte %zu bit %d", i, bit);
			ck_assert_str_ne(report.why, "");
			b.data[i] = (char)(b.data[i] ^ (1 << bit));
		}
	ck_assert_int_eq(verify_export(keys, b.data, b.len, &report), ERR_OK);
	buf_release(&b);
}
END_TEST

/* Each length, each byte missing, each byte twice. */
START_TEST(test_every_length)
{
	struct file f = file_good();
	struct verify_report report;
	struct buf b;

	file_write(&f, &b);
	char *other = malloc(b.len + 1);
	for (size_t i = 0; i < b.len; i++) {
		ck_assert_int_ne(
		    verify_export(keys, b.data, i, &report), ERR_OK);
		memcpy(other, b.data, i);
		memcpy(other + i, b.data + i + 1, b.len - i - 1);
		ck_assert_int_ne(
		    verify_export(keys, other, b.len - 1, &report), ERR_OK);
		memcpy(other, b.data, i + 1);
		memcpy(other + i + 1, b.data + i, b.len - i);
		ck_assert_int_ne(
		    verify_export(keys, other, b.len + 1, &report), ERR_OK);
	}
	free(other);
	buf_release(&b);
}
END_TEST

START_TEST(test_other_events)
{
	static const struct {
		size_t order[8], n;
		int64_t event; /* the first that fails */
	} cases[] = {{{1, 0, 2}, 3, 1}, {{0, 2, 1}, 3, 2}, {{0, 1}, 2, 3},
	    {{1, 2}, 2, 1}, {{0, 2}, 2, 2}, {{0, 0, 1, 2}, 4, 2},
	    {{0, 1, 2, 2}, 4, 4}, {{0}, 0, 1}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct file f = file_good();
		struct verify_report report;
		memcpy(f.order, cases[i].order, sizeof(f.order));
		f.n = cases[i].n;
		ck_assert_int_ne(file_verify(&f, &report), ERR_OK);
		ck_assert_msg(report.event == cases[i].event,
		    "case %zu: %lld (%s)", i, (long long)report.event,
		    report.why);
	}
}
END_TEST

/* All hashes are right, but the count the receipt gives is another. */
START_TEST(test_other_count)
{
	for (int64_t n = 0; n < 6; n++) {
		struct file f = file_good();
		struct verify_report report;
		f.counted = n;
		enum err e = file_verify(&f, &report);
		ck_assert_msg((e == ERR_OK) == (n == FILE_EVENTS), "%lld: %s",
		    (long long)n, report.why);
	}
}
END_TEST

START_TEST(test_signatures_refused)
{
	struct file f = file_good();
	struct verify_report report;

	f.signer = NULL;
	ck_assert_int_eq(file_verify(&f, &report), ERR_UNSUPPORTED);
	f.algorithm = RECEIPT_UNSIGNED;
	f.key_id = NULL;
	ck_assert_int_eq(file_verify(&f, &report), ERR_UNSUPPORTED);
	f.signer = keys;
	ck_assert_int_eq(file_verify(&f, &report), ERR_UNSUPPORTED);
	f = file_good();
	f.algorithm = "HS256";
	ck_assert_int_eq(file_verify(&f, &report), ERR_UNSUPPORTED);
	f = file_good();
	f.signer = others; /* under our key's name */
	ck_assert_int_eq(file_verify(&f, &report), ERR_DENIED);
	f.key_id = receipt_keys_id(others, 0); /* under its own */
	ck_assert_int_eq(file_verify(&f, &report), ERR_NOT_FOUND);
}
END_TEST

/* A member twice, in the file, in the receipt, in an event's data. */
START_TEST(test_duplicate_keys)
{
	static const char *const from[] = {
	    "\"config\":", "\"status\":", "\"content\":\"Y"};
	static const char *const to[] = {"\"result\":null,\n\"config\":",
	    "\"status\":\"failed\",\"status\":",
	    "\"content\":\"N\",\"content\":\"Y"};
	struct file f = file_good();
	struct verify_report report;
	struct buf b, other;

	file_write(&f, &b);
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		char *at = strstr(b.data, from[i]);
		ck_assert_ptr_nonnull(at);
		buf_init(&other, FILE_MAX);
		buf_append(&other, b.data, (size_t)(at - b.data));
		buf_puts(&other, to[i]);
		buf_puts(&other, at + strlen(from[i]));
		ck_assert_int_ne(
		    verify_export(keys, other.data, other.len, &report),
		    ERR_OK);
		buf_release(&other);
	}
	buf_release(&b);
}
END_TEST

/* The receipt is true, its file says something else beside it. */
START_TEST(test_changed_data)
{
	struct file f = file_good();
	struct verify_report report;
	struct buf b;

	file_write(&f, &b);
	char *at = strstr(b.data, "\"confidence\":0.5");
	ck_assert_ptr_nonnull(at);
	at[strlen("\"confidence\":0.")] = '9';
	ck_assert_int_eq(
	    verify_export(keys, b.data, b.len, &report), ERR_DENIED);
	ck_assert_int_eq(report.event, 2);
	ck_assert_int_eq(report.events, 1);
	buf_release(&b);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_chain_known);
	tcase_add_test(t, test_key_ring);
	tcase_add_test(t, test_key_rotation);
	tcase_add_test(t, test_key_refused);
	tcase_add_test(t, test_verify);
	tcase_add_test(t, test_every_bit);
	tcase_add_test(t, test_every_length);
	tcase_add_test(t, test_other_events);
	tcase_add_test(t, test_other_count);
	tcase_add_test(t, test_signatures_refused);
	tcase_add_test(t, test_duplicate_keys);
	tcase_add_test(t, test_changed_data);
}

int
main(void)
{
	return check_run("receipt", add_tests);
}
