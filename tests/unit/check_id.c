/* SPDX-License-Identifier: MIT
 *
 * Identifiers, keys and the hash of secrets.
 */
#include "base/id.h"
#include "base/str.h"
#include "tests/unit/check_run.h"

START_TEST(test_make)
{
	char one[ID_SIZE], two[ID_SIZE];

	id_make(one, "adhoc_", 4);
	id_make(two, "adhoc_", 4);
	ck_assert_uint_eq(strlen(one), 14);
	ck_assert(str_starts(one, "adhoc_"));
	ck_assert_uint_eq(strspn(one + 6, "0123456789abcdef"), 8);
	ck_assert_str_ne(one, two);
	ck_assert(id_is_valid(one));
	id_make(one, "fifteen-letters", 32);
	ck_assert_uint_eq(strlen(one), 15 + 64);
}
END_TEST

START_TEST(test_key)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789-_";
	char one[ID_SIZE], two[ID_SIZE];

	for (int i = 0; i < 200; i++) {
		id_make_key(one, "ara_");
		ck_assert_uint_eq(strlen(one), 4 + 43);
		ck_assert_uint_eq(strspn(one + 4, allowed), 43);
	}
	id_make_key(two, "ara_");
	ck_assert_str_ne(one, two);
}
END_TEST

START_TEST(test_valid)
{
	char text[ID_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[ID_MAX + 1] = '\0';
	ck_assert(!id_is_valid(text));
	text[ID_MAX] = '\0';
	ck_assert(id_is_valid(text));
	ck_assert(id_is_valid("A-z_0.9"));
	ck_assert(!id_is_valid(""));
	static const char *const bad[] = {"a b", "a/b", "a\n", "a%20", "a:b",
	    "\xc3\xa9", "a'b", "a\\b", "a*"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!id_is_valid(bad[i]), "'%s' was taken", bad[i]);
}
END_TEST

START_TEST(test_sha256)
{
	char hash[ID_HASH_SIZE];

	/* FIPS 180-4 examples. */
	id_sha256("abc", 3, hash);
	ck_assert_str_eq(hash,
	    "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad");
	id_sha256("", 0, hash);
	ck_assert_str_eq(hash,
	    "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(test_hmac_sha256)
{
	char mac[ID_HASH_SIZE];

	/* RFC 4231, test case 2. */
	id_hmac_sha256("Jefe", "what do ya want for nothing?", 28, mac);
	ck_assert_str_eq(mac,
	    "5bdcc146bf60754e6a042426089575c7"
	    "5a003f089d2739839dec58b964ec3843");
}
END_TEST

START_TEST(test_secret_eq)
{
	ck_assert(id_secret_eq("token", "token"));
	ck_assert(id_secret_eq("", ""));
	ck_assert(!id_secret_eq("token", "tokem"));
	ck_assert(!id_secret_eq("token", "token2"));
	ck_assert(!id_secret_eq("", "t"));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_make);
	tcase_add_test(t, test_key);
	tcase_add_test(t, test_valid);
	tcase_add_test(t, test_sha256);
	tcase_add_test(t, test_hmac_sha256);
	tcase_add_test(t, test_secret_eq);
}

int
main(void)
{
	return check_run("id", add_tests);
}
