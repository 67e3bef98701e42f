/* SPDX-License-Identifier: MIT
 *
 * Tokens that we sign, passwords and roles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/access.h"
#include "auth/b64url.h"
#include "auth/jwt.h"
#include "auth/password.h"
#include "auth/role.h"
#include "base/str.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"

#define NOW_US	 (INT64_C(1800000000) * 1000000)
#define HOUR_US	 INT64_C(3600000000)
#define SECRET	 "0123456789abcdef0123456789abcdef"
#define OTHER	 "fedcba9876543210fedcba9876543210"
#define FILE_LEN 43

static struct arena *arena;
static char folder[64];

static void
setup(void)
{
	arena = arena_new(0);
	snprintf(folder, sizeof(folder), "/tmp/check_access.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
teardown(void)
{
	static const char *const files[] = {"jwt.secret", "password.lock"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		unlink(path);
	}
	/* Nothing else was left. */
	ck_assert_int_eq(rmdir(folder), 0);
	arena_free(&arena);
}

static enum err
open_with(char *secret, struct access **out, struct err_info *info)
{
	const struct settings s = {.jwt_secret = secret, .data_dir = folder};

	return access_open(out, &s, info);
}

static struct access *
open_good(const char *secret)
{
	struct access *a = NULL;
	struct err_info info = {0};

	ck_assert_msg(
	    open_with(arena_strdup(arena, secret), &a, &info) == ERR_OK,
	    "%s %s", info.field, info.text);
	return a;
}

static const struct access_claims ann = {.user = "user_1",
    .email = "ann@example.org",
    .tenant = "org_1",
    .role = "owner",
    .session = "ses_1",
    .token_version = 3,
    .expires_us = NOW_US + HOUR_US};

START_TEST(test_sign)
{
	struct access *a = open_good(SECRET);
	struct access_claims out;
	struct err_info info = {0};

	const char *token = access_sign(a, arena, &ann, NOW_US);
	ck_assert(access_takes(arena, token));
	ck_assert_int_eq(
	    access_verify(a, arena, token, false, NOW_US, &out, &info), ERR_OK);
	ck_assert_str_eq(out.user, "user_1");
	ck_assert_str_eq(out.email, "ann@example.org");
	ck_assert_str_eq(out.tenant, "org_1");
	ck_assert_str_eq(out.role, "owner");
	ck_assert_str_eq(out.session, "ses_1");
	ck_assert_int_eq(out.token_version, 3);
	ck_assert_int_eq(out.expires_us, ann.expires_us);
	/* No two are equal, also within a second. */
	ck_assert_str_ne(token, access_sign(a, arena, &ann, NOW_US));
	access_close(&a);
}
END_TEST

static void
refused(const struct access *a, const char *token, bool is_refresh,
    int64_t now_us, const char *why)
{
	struct access_claims out;
	struct err_info info = {0};

	ck_assert_int_eq(
	    access_verify(a, arena, token, is_refresh, now_us, &out, &info),
	    ERR_AUTH);
	ck_assert_str_eq(info.text, why);
}

START_TEST(test_refused)
{
	struct access *a = open_good(SECRET);
	struct access *b = open_good(OTHER);
	struct access_claims refresh = ann;

	refresh.is_refresh = true;
	const char *token = access_sign(a, arena, &ann, NOW_US);
	const char *other = access_sign(a, arena, &refresh, NOW_US);
	refused(b, token, false, NOW_US, "the signature is wrong");
	refused(a, token, true, NOW_US, "this is not a refresh token");
	refused(a, other, false, NOW_US, "a refresh token gives no access");
	refused(a, token, false, ann.expires_us, "the token has expired");
	/* Each character counts; the last holds bits that are not read. */
	for (size_t i = 0; i + 1 < strlen(token); i++) {
		struct access_claims out;
		struct err_info info;
		char *bad = arena_strdup(arena, token);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		ck_assert_int_eq(
		    access_verify(a, arena, bad, false, NOW_US, &out, &info),
		    ERR_AUTH);
	}
	access_close(&a);
	access_close(&b);
}
END_TEST

/* What anybody could make from a token of ours, or signed by us for another
 * purpose. */
START_TEST(test_forged)
{
	struct access *a = open_good(SECRET);
	static const struct {
		const char *payload, *why;
	} rows[] = {
	    {"{}", "the token is not one of ours"},
	    {"[]", "the payload is not a JSON object"},
	    {"{\"iss\":\"x\",\"sub\":\"u\",\"org_id\":\"t\",\"sid\":\"s\","
	     "\"type\":\"access\",\"exp\":9999999999}",
		"the token is not one of ours"},
	    {"{\"iss\":\"aragora\",\"sub\":\"u\",\"org_id\":\"t\","
	     "\"type\":\"access\",\"exp\":9999999999}",
		"the token is not one of ours"},
	    {"{\"iss\":\"aragora\",\"sub\":\"u\",\"org_id\":\"t\",\"sid\":"
	     "\"s\",\"exp\":9999999999}",
		"a refresh token gives no access"},
	    {"{\"iss\":\"aragora\",\"sub\":\"u\",\"org_id\":\"t\",\"sid\":"
	     "\"s\",\"type\":\"access\"}",
		"the token has expired"},
	    {"{\"iss\":\"aragora\",\"sub\":1,\"org_id\":\"t\",\"sid\":"
	     "\"s\",\"type\":\"access\",\"exp\":9999999999}",
		"the token is not one of ours"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		refused(a, jwt_sign(arena, "aragora", rows[i].payload, SECRET),
		    false, NOW_US, rows[i].why);
	const char *none = "{\"alg\":\"none\",\"kid\":\"aragora\"}";
	refused(a,
	    arena_printf(
		arena, "%s.e30.", b64url_encode(arena, none, strlen(none))),
	    false, NOW_US, "alg is not HS256, RS256 or ES256");
	ck_assert(!access_takes(arena, jwt_sign(arena, "other", "{}", SECRET)));
	ck_assert(!access_takes(arena, "ara_x"));
	ck_assert(!access_takes(arena, "a.b.c"));
	access_close(&a);
}
END_TEST

/* Made elsewhere. */
START_TEST(test_vector)
{
	const char *token = jwt_sign(arena, "k", "{\"sub\":\"1\"}",
	    "a secret of 32 bytes "
	    "or more, at least");

	ck_assert_str_eq(token,
	    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ."
	    "eyJzdWIiOiIxIn0."
	    "NNS3AZ0SBCH3e4y3B8SviUw_y3-Pbh8F3Ppo5Ik7BQs");
}
END_TEST

START_TEST(test_base64url)
{
	unsigned char bytes[64];
	unsigned char *back;
	size_t len;

	for (size_t n = 0; n < sizeof(bytes); n++) {
		bytes[n] = (unsigned char)(n * 37 + 251);
		const char *text = b64url_encode(arena, bytes, n);
		ck_assert_int_eq(
		    b64url_decode(arena, text, strlen(text), &back, &len),
		    ERR_OK);
		ck_assert_uint_eq(len, n);
		ck_assert_mem_eq(back, bytes, n);
	}
}
END_TEST

START_TEST(test_secret_file)
{
	char path[128], text[FILE_LEN + 2] = "";
	struct err_info info = {0};
	struct access_claims out;
	struct access *none;
	struct stat st;

	struct access *a = open_good("");
	struct access *b = open_good("");
	const char *token = access_sign(a, arena, &ann, NOW_US);
	ck_assert_int_eq(
	    access_verify(b, arena, token, false, NOW_US, &out, &info), ERR_OK);
	access_close(&a);
	access_close(&b);
	snprintf(path, sizeof(path), "%s/jwt.secret", folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(st.st_size, FILE_LEN);
	FILE *f = fopen(path, "re");
	ck_assert_uint_eq(fread(text, 1, FILE_LEN, f), FILE_LEN);
	fclose(f);
	a = open_good(text);
	ck_assert_int_eq(
	    access_verify(a, arena, token, false, NOW_US, &out, &info), ERR_OK);
	access_close(&a);

	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert_int_eq(open_with(text + FILE_LEN, &none, &info), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(info.text, "may be read by others"));
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(truncate(path, ACCESS_SECRET_MIN - 1), 0);
	ck_assert_int_eq(open_with(text + FILE_LEN, &none, &info), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(info.text, "is too short"));
}
END_TEST

START_TEST(test_short_secret)
{
	char text[] = "0123456789abcdef0123456789abcde";
	struct err_info info = {0};
	struct access *a;

	ck_assert_int_eq(open_with(text, &a, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "ARAGORA_JWT_SECRET");
	ck_assert_ptr_null(a);
}
END_TEST

START_TEST(test_password)
{
	char hash[PASSWORD_SIZE], other[PASSWORD_SIZE];
	struct password *p = NULL;
	struct err_info info = {0};
	bool is_old;

	ck_assert_int_eq(password_open(&p, folder, &info), ERR_OK);
	ck_assert_int_eq(password_hash(p, "correct horse", hash), ERR_OK);
	ck_assert_int_eq(password_hash(p, "correct horse", other), ERR_OK);
	ck_assert_str_ne(hash, other);
	ck_assert(str_starts(hash, "$argon2id$v=19$m=65536,t=2,p=1$"));
	ck_assert_int_eq(
	    password_verify(p, hash, "correct horse", &is_old), ERR_OK);
	ck_assert(!is_old);
	ck_assert_int_eq(
	    password_verify(p, hash, "correct horsf", &is_old), ERR_AUTH);
	ck_assert_int_eq(password_verify(p, hash, "", &is_old), ERR_AUTH);
	ck_assert_int_eq(
	    password_verify(p, "no hash", "correct horse", &is_old), ERR_AUTH);
	ck_assert_int_eq(
	    password_verify(p, NULL, "correct horse", &is_old), ERR_AUTH);
	/* Made with less memory. */
	ck_assert_int_eq(
	    password_verify(p,
		"$argon2id$v=19$m=8,t=1,p=1$dlH8PtUbWOpm5hfqcWgN9A$"
		"w4SNv3JLHj1RjJ+HTL7SpecNqA+kWRUbuFZZ25DXdPc",
		"correct horse", &is_old),
	    ERR_OK);
	ck_assert(is_old);
	password_close(&p);
}
END_TEST

START_TEST(test_roles)
{
	static const struct {
		const char *role;
		enum role_level level;
	} roles[] = {{"viewer", ROLE_READ}, {"member", ROLE_WRITE},
	    {"admin", ROLE_ADMIN}, {"owner", ROLE_OWNER},
	    {"operator", ROLE_NONE}, {"", ROLE_NONE}, {NULL, ROLE_NONE}};
	static const struct {
		const char *text, *scopes; /* NULL = refused */
		enum role_level cap;
	} scopes[] = {{"read", "read", ROLE_READ},
	    {"write", "write", ROLE_WRITE},
	    {" write , read,read", "read,write", ROLE_WRITE},
	    {"admin", "admin", ROLE_OPERATOR},
	    {"admin,read", "read,admin", ROLE_OPERATOR},
	    {"*", "read,write,admin", ROLE_OPERATOR}, {"", NULL, ROLE_NONE},
	    {",", NULL, ROLE_NONE}, {"read,fly", NULL, ROLE_READ},
	    {"READ", NULL, ROLE_NONE}};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		ck_assert_int_eq(role_level(roles[i].role), roles[i].level);
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		struct err_info info = {0};
		const char *out = NULL;
		enum err e = role_scopes(arena, scopes[i].text, &out, &info);
		ck_assert_int_eq(
		    e, scopes[i].scopes != NULL ? ERR_OK : ERR_INVALID);
		if (e == ERR_OK)
			ck_assert_str_eq(out, scopes[i].scopes);
		ck_assert_int_eq(role_cap(scopes[i].text), scopes[i].cap);
	}
	ck_assert_int_eq(role_cap(NULL), ROLE_NONE);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_sign);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_forged);
	tcase_add_test(t, test_vector);
	tcase_add_test(t, test_base64url);
	tcase_add_test(t, test_secret_file);
	tcase_add_test(t, test_short_secret);
	tcase_add_test(t, test_password);
	tcase_add_test(t, test_roles);
}

int
main(void)
{
	return check_run("access", add_tests);
}
