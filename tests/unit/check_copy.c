/* SPDX-License-Identifier: MIT
 *
 * Rows as the copy encodes, hashes, orders and judges them, and the statements
 * it makes.
 */
#include <math.h>

#include "base/str.h"
#include "store/copy_db.h"
#include "tests/unit/check_run.h"

#define NULL_VALUE(k) ((struct copy_value){.kind = (k), .is_null = true})
#define DOUBLE(v)     ((struct copy_value){.kind = COPY_DOUBLE, .d = (v)})

static const struct copy_table table = {.name = "a \"b\"",
    .columns = {{.name = "text", .kind = COPY_TEXT, .is_not_null = true},
	{.name = "number", .kind = COPY_INT, .bits = 64, .is_not_null = true},
	{.name = "share", .kind = COPY_DOUBLE, .bits = 64}},
    .n_columns = 3,
    .keys = {1, 0},
    .n_keys = 2};

/* In hex. */
static void
check_encoding(const struct copy_value *row, size_t n, const char *hex)
{
	char text[512];
	struct buf b;

	buf_init(&b, 128);
	copy_encode(row, n, &b);
	ck_assert_uint_lt(2 * b.len, sizeof(text));
	str_hex(b.data, b.len, text);
	ck_assert_str_eq(text, hex);
	buf_release(&b);
}

START_TEST(test_encoding)
{
	check_encoding(&(struct copy_value){.kind = COPY_INT, .i = 258}, 1,
	    "690000000000000102");
	check_encoding(&(struct copy_value){.kind = COPY_INT, .i = -2}, 1,
	    "69fffffffffffffffe");
	check_encoding(&(struct copy_value){.kind = COPY_INT, .i = INT64_MIN},
	    1, "698000000000000000");
	check_encoding(&DOUBLE(1.5), 1, "643ff8000000000000");
	check_encoding(&DOUBLE(0.0), 1, "640000000000000000");
	check_encoding(&DOUBLE(-0.0), 1, "640000000000000000");
	check_encoding((const struct copy_value[]){copy_text("ab")}, 1,
	    "7400000000000000026162");
	check_encoding((const struct copy_value[]){copy_text("")}, 1,
	    "740000000000000000");
	check_encoding(&NULL_VALUE(COPY_TEXT), 1, "6e");
}
END_TEST

/* No two rows share an encoding, however their texts are cut. */
START_TEST(test_encoding_is_unambiguous)
{
	const struct copy_value rows[][2] = {{copy_text("ab"), copy_text("c")},
	    {copy_text("a"), copy_text("bc")},
	    {copy_text("abc"), copy_text("")},
	    {copy_text("abc"), NULL_VALUE(COPY_TEXT)},
	    {NULL_VALUE(COPY_TEXT), copy_text("abc")},
	    {NULL_VALUE(COPY_TEXT), NULL_VALUE(COPY_TEXT)},
	    {copy_text("n"), NULL_VALUE(COPY_TEXT)}, {copy_int(0), copy_int(1)},
	    {copy_int(1), copy_int(0)}, {DOUBLE(0), copy_int(1)},
	    {copy_text("0"), copy_int(1)}};
	struct buf b[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_init(&b[i], 128);
		copy_encode(rows[i], 2, &b[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert(b[i].len != b[k].len ||
			    memcmp(b[i].data, b[k].data, b[i].len) != 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		buf_release(&b[i]);
}
END_TEST

/* SHA-256 of "n", and of that in hex with an "n" behind it. */
START_TEST(test_hash)
{
	char hash[ID_HASH_SIZE] = "";
	struct buf row;
	struct buf scratch;

	buf_init(&row, 16);
	buf_init(&scratch, 128);
	buf_putc(&row, 'n');
	copy_hash_add(hash, &row, &scratch);
	ck_assert_str_eq(hash,
	    "1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9");
	copy_hash_add(hash, &row, &scratch);
	ck_assert_str_eq(hash,
	    "6c3d9896c1f4184b5bd9dc614759eba522bfe3d1986014e202048beca277110a");
	buf_release(&row);
	buf_release(&scratch);
}
END_TEST

START_TEST(test_order_of_keys)
{
	/* Ascending: the number first, then the text by its bytes. */
	const struct copy_value keys[][2] = {
	    {copy_int(INT64_MIN), copy_text("z")},
	    {copy_int(-1), copy_text("")}, {copy_int(-1), copy_text("A")},
	    {copy_int(-1), copy_text("AA")}, {copy_int(-1), copy_text("B")},
	    {copy_int(-1), copy_text("a")},
	    {copy_int(-1), copy_text("\xc3\xa4")}, {copy_int(0), copy_text("")},
	    {copy_int(INT64_MAX), copy_text("")}};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
			int order = copy_key_compare(&table, keys[i], keys[k]);
			ck_assert_int_eq(order < 0, i < k);
			ck_assert_int_eq(order > 0, i > k);
		}
}
END_TEST

START_TEST(test_key_as_json)
{
	const struct copy_value row[] = {
	    copy_text("q\"\\\n\xc3\xa4"), copy_int(INT64_MIN), DOUBLE(1)};
	struct arena *a = arena_new(0);
	struct copy_value key[COPY_KEYS_MAX];
	struct copy_value back[COPY_KEYS_MAX];

	copy_key_of(&table, row, key);
	const char *json = copy_key_json(a, &table, key);
	ck_assert_str_eq(
	    json, "[-9223372036854775808,\"q\\\"\\\\\\n\xc3\xa4\"]");
	ck_assert_int_eq(copy_key_parse(a, &table, json, back, NULL), ERR_OK);
	ck_assert_int_eq(copy_key_compare(&table, key, back), 0);
	/* With the blanks of PostgreSQL. */
	ck_assert_int_eq(
	    copy_key_parse(a, &table, "[5, \"x\"]", back, NULL), ERR_OK);
	ck_assert_int_eq(back[0].i, 5);
	ck_assert_uint_eq(back[1].len, 1);
	arena_free(&a);
}
END_TEST

START_TEST(test_key_that_is_none)
{
	static const char *const bad[] = {"", "[]", "[1]", "[\"x\", 1]",
	    "[1, \"x\", 2]", "{\"a\": 1}", "[null, \"x\"]", "[1, \"\xff\"]",
	    "[1.5, \"x\"]", "[1, \"x\""};
	struct arena *a = arena_new(0);
	struct copy_value key[COPY_KEYS_MAX];
	struct err_info info;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		info = (struct err_info){0};
		ck_assert_int_eq(
		    copy_key_parse(a, &table, bad[i], key, &info), ERR_INVALID);
		ck_assert_str_eq(info.field, table.name);
	}
	arena_free(&a);
}
END_TEST

START_TEST(test_faults)
{
	static const struct copy_column small = {
	    .name = "number", .kind = COPY_INT, .bits = 16};
	const struct copy_column *into[] = {
	    &table.columns[0], &small, &table.columns[2]};
	struct copy_value good[] = {
	    copy_text("x"), copy_int(7), DOUBLE(INFINITY)};
	const struct {
		size_t column;
		struct copy_value v;
		const char *fault;
	} cases[] = {{0, copy_text("\xc3"), "is not valid UTF-8"},
	    {0, {.kind = COPY_TEXT, .t = "a\0b", .len = 3},
		"holds a NUL character"},
	    {0, NULL_VALUE(COPY_TEXT), "is NULL where a value must be"},
	    {0, {.kind = COPY_TEXT, .t = "", .odd = "is a blob"}, "is a blob"},
	    {1, copy_int(32768), "is out of the target's range"},
	    {1, copy_int(-32769), "is out of the target's range"},
	    {1, copy_int(32767), NULL}, {1, copy_int(-32768), NULL},
	    {1, NULL_VALUE(COPY_INT), "is NULL where a value must be"},
	    {2, DOUBLE(NAN), "is not a number"},
	    {2, NULL_VALUE(COPY_DOUBLE), NULL}};
	size_t column = 9;

	ck_assert_ptr_null(copy_row_fault(&table, into, good, &column));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct copy_value row[] = {good[0], good[1], good[2]};
		row[cases[i].column] = cases[i].v;
		const char *fault = copy_row_fault(&table, into, row, &column);
		if (cases[i].fault == NULL) {
			ck_assert_ptr_null(fault);
			continue;
		}
		ck_assert_str_eq(fault, cases[i].fault);
		ck_assert_uint_eq(column, cases[i].column);
	}
}
END_TEST

START_TEST(test_statements)
{
	struct arena *a = arena_new(0);

	ck_assert_str_eq(copy_sql_fetch(a, &table),
	    "SELECT \"text\", \"number\", \"share\" FROM \"a \"\"b\"\"\" "
	    "WHERE \"number\" = $1 AND \"text\" = $2");
	ck_assert_str_eq(copy_sql_remove(a, &table),
	    "DELETE FROM \"a \"\"b\"\"\" WHERE \"number\" = $1 AND "
	    "\"text\" = $2");
	ck_assert_str_eq(copy_sql_insert(a, &table, &copy_sqlite, true),
	    "INSERT INTO \"a \"\"b\"\"\" (\"text\", \"number\", \"share\") "
	    "VALUES ($1, $2, $3) ON CONFLICT (\"number\", \"text\") "
	    "DO UPDATE SET \"share\" = excluded.\"share\"");
	ck_assert_str_eq(copy_sql_kinds(a, &table), "tid");
	struct copy_table keys_only = table;
	keys_only.n_columns = 2;
	ck_assert_str_eq(copy_sql_insert(a, &keys_only, &copy_pgsql, true),
	    "INSERT INTO \"a \"\"b\"\"\" (\"text\", \"number\") OVERRIDING "
	    "SYSTEM VALUE VALUES ($1, $2) ON CONFLICT (\"number\", \"text\") "
	    "DO NOTHING");
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_encoding);
	tcase_add_test(t, test_encoding_is_unambiguous);
	tcase_add_test(t, test_hash);
	tcase_add_test(t, test_order_of_keys);
	tcase_add_test(t, test_key_as_json);
	tcase_add_test(t, test_key_that_is_none);
	tcase_add_test(t, test_faults);
	tcase_add_test(t, test_statements);
}

int
main(void)
{
	return check_run("copy", add_tests);
}
