/* SPDX-License-Identifier: MIT
 *
 * Signed tokens: what is accepted, and what each forgery is told.
 */
#include "auth/b64url.h"
#include "auth/jwt.h"
#include "base/err.h"
#include "base/str.h"
#include "tests/unit/check_run.h"
#include "tests/unit/jwt_kit.h"

#define NOW_S  1800000000
#define NOW_US (NOW_S * INT64_C(1000000))
#define USER   "8f14e45f-ceea-467f-a0e6-a5cd7a4f3b11"

#define HS   "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define BASE "\"sub\":\"" USER "\",\"aud\":\"authenticated\","
#define GOOD "{" BASE "\"role\":\"authenticated\",\"exp\":1800003600}"

static EVP_PKEY *rsa, *rsa_other, *ec, *ec_other;
static struct arena *arena;
static struct jwk_set *set;
static struct jwt_policy policy;

/* Keys are dear: once for all tests. */
static void
make_keys(void)
{
	rsa = kit_rsa(2048);
	rsa_other = kit_rsa(2048);
	ec = kit_ec();
	ec_other = kit_ec();
}

static void
setup(void)
{
	struct err_info info = {0};

	arena = arena_new(0);
	policy = (struct jwt_policy){.issuer = "",
	    .audience = "authenticated",
	    .tenant_claim = "app_metadata.tenant_id"};
	set = jwk_set_new();
	ck_assert_int_eq(jwk_set_add_secret(set, KIT_SECRET, &info), ERR_OK);
	const char *json = arena_printf(arena, "{\"keys\":[%s,%s]}",
	    kit_jwk(arena, rsa, "r1",
		",\"use\":\"sig\",\"alg\":\"RS256\",\"x5t\":\"a\""),
	    kit_jwk(arena, ec, "e1", ",\"key_ops\":[\"verify\"]"));
	ck_assert_msg(
	    jwk_set_add_json(set, json, strlen(json), &info) == ERR_OK, "%s %s",
	    info.field, info.text);
	ck_assert_uint_eq(jwk_set_count(set), 3);
}

static void
teardown(void)
{
	jwk_set_unref(&set);
	arena_free(&arena);
}

static enum err
verify(const char *token, struct jwt_claims *out, struct err_info *info)
{
	return jwt_verify(arena, token, set, &policy, NOW_US, out, info);
}

static void
refused(const char *token, const char *why)
{
	struct err_info info = {0};
	struct jwt_claims claims;

	ck_assert_int_eq(verify(token, &claims, &info), ERR_AUTH);
	ck_assert_str_eq(info.text, why);
}

static struct jwt_claims
accepted(const char *token)
{
	struct err_info info = {0};
	struct jwt_claims claims;

	enum err e = verify(token, &claims, &info);
	ck_assert_msg(e == ERR_OK, "%s: %s", err_text(e), info.text);
	return claims;
}

START_TEST(test_good)
{
	struct jwt_claims c = accepted(kit_hs256(arena, HS,
	    "{" BASE "\"role\":\"authenticated\",\"exp\":1800003600.5,"
	    "\"email\":\"eva@example.org\",\"iat\":1800000000,"
	    "\"nbf\":1800000000,\"app_metadata\":{\"tenant_id\":\"acme\"}}"));

	ck_assert_str_eq(c.subject, USER);
	ck_assert_str_eq(c.tenant, "acme");
	ck_assert_str_eq(c.role, "authenticated");
	ck_assert_str_eq(c.email, "eva@example.org");
	ck_assert_int_eq(c.expires_us, NOW_US + 3600500000);
	ck_assert(jwk_set_has_mark(set, c.key_mark));

	c = accepted(kit_hs256(arena, HS, GOOD));
	ck_assert_str_eq(c.tenant, USER);
	ck_assert_ptr_null(c.email);

	c = accepted(
	    kit_signed(arena, rsa, "{\"alg\":\"RS256\",\"kid\":\"r1\"}", GOOD));
	uint64_t mark = c.key_mark;
	c = accepted(kit_signed(arena, ec,
	    "{\"alg\":\"ES256\",\"kid\":\"e1\",\"typ\":\"at+JWT\"}", GOOD));
	ck_assert(c.key_mark != mark);
	/* One key of the kind: it needs no name. A secret has none. */
	accepted(kit_signed(arena, ec, "{\"alg\":\"ES256\"}", GOOD));
	accepted(kit_hs256(arena, "{\"alg\":\"HS256\",\"kid\":\"any\"}", GOOD));
}
END_TEST

static const struct {
	const char *claims; /* behind BASE */
	const char *why;    /* NULL = accepted */
} times[] = {
    {"\"exp\":1799999941", NULL}, /* within the leeway */
    {"\"exp\":1799999940", "the token has expired"},
    {"\"exp\":1799999939.9", "the token has expired"},
    {"\"exp\":0", "the token has expired"},
    {"\"a\":1", "exp is missing or no time"},
    {"\"exp\":null", "exp is missing or no time"},
    {"\"exp\":\"1800003600\"", "exp is missing or no time"},
    {"\"exp\":-1", "exp is missing or no time"},
    {"\"exp\":9223372036854775807", "exp is missing or no time"},
    {"\"exp\":1e30", "exp is missing or no time"},
    {"\"exp\":true", "exp is missing or no time"},
    {"\"exp\":1800003600,\"nbf\":1800000060", NULL},
    {"\"exp\":1800003600,\"nbf\":1800000061",
	"the token is not valid yet (nbf)"},
    {"\"exp\":1800003600,\"nbf\":\"now\"", "nbf is no time"},
    {"\"exp\":1800003600,\"iat\":1800000060", NULL},
    {"\"exp\":1800003600,\"iat\":1800000061",
	"the token was issued in the future (iat)"},
    {"\"exp\":1800003600,\"iat\":[]", "iat is no time"},
};

START_TEST(test_times)
{
	const char *token = kit_hs256(
	    arena, HS, arena_printf(arena, "{" BASE "%s}", times[_i].claims));

	if (times[_i].why == NULL)
		accepted(token);
	else
		refused(token, times[_i].why);
}
END_TEST

#define EXP	  "\"exp\":1800003600,"
#define NO_TENANT "the tenant's claim is not 1 to 128 letters, digits or _.-"
static const struct {
	const char *payload;
	const char *why;
} claims_rows[] = {
    {"{" EXP "\"sub\":\"a\",\"aud\":\"anon\"}",
	"the token is for another audience"},
    {"{" EXP "\"sub\":\"a\"}", "the token is for another audience"},
    {"{" EXP "\"sub\":\"a\",\"aud\":[]}", "the token is for another audience"},
    {"{" EXP "\"sub\":\"a\",\"aud\":[\"x\",\"authenticated\"]}", NULL},
    {"{" EXP "\"sub\":\"a\",\"aud\":[\"authenticated\",1]}",
	"aud is neither a text nor a list of texts"},
    {"{" EXP "\"sub\":\"a\",\"aud\":{\"authenticated\":1}}",
	"aud is neither a text nor a list of texts"},
    {"{" EXP BASE "\"role\":\"service_role\"}",
	"a service_role key is no user's token"},
    {"{" EXP BASE "\"role\":\"anon\"}", "an anon key is no user's token"},
    {"{" EXP BASE "\"role\":\"postgres\"}", "the role is not authenticated"},
    {"{" EXP BASE "\"role\":[\"authenticated\"]}",
	"the role is not authenticated"},
    {"{" EXP BASE "\"role\":\"\"}", "the role is not authenticated"},
    {"{" EXP "\"aud\":\"authenticated\"}", "sub is missing or no plain text"},
    {"{" EXP "\"aud\":\"authenticated\",\"sub\":7}",
	"sub is missing or no plain text"},
    {"{" EXP "\"aud\":\"authenticated\",\"sub\":\"a\\nb\"}",
	"sub is missing or no plain text"},
    {"{" EXP "\"aud\":\"authenticated\",\"sub\":\"a|b\"}",
	"no claim names a tenant, and sub cannot be one"},
    {"{" EXP BASE "\"app_metadata\":{\"tenant_id\":\"a b\"}}", NO_TENANT},
    {"{" EXP BASE "\"app_metadata\":{\"tenant_id\":7}}", NO_TENANT},
    {"{" EXP BASE "\"app_metadata\":{\"tenant_id\":\"\"}}", NO_TENANT},
    {"{" EXP BASE "\"app_metadata\":\"tenant_id\"}", NULL},
    {"{" EXP BASE "\"user_metadata\":{\"tenant_id\":\"acme\"}}", NULL},
};

START_TEST(test_claims)
{
	const char *token = kit_hs256(arena, HS, claims_rows[_i].payload);

	if (claims_rows[_i].why != NULL)
		refused(token, claims_rows[_i].why);
	else
		ck_assert_str_ne(accepted(token).tenant, "acme");
}
END_TEST

START_TEST(test_policy)
{
	const char *token = kit_hs256(arena, HS,
	    "{" BASE EXP "\"iss\":\"https://a.example/auth\","
	    "\"org\":\"acme\"}");
	const char *elsewhere = kit_hs256(
	    arena, HS, "{\"sub\":\"u\"," EXP "\"aud\":\"elsewhere\"}");

	policy.issuer = "https://a.example/auth";
	policy.tenant_claim = "org";
	ck_assert_str_eq(accepted(token).tenant, "acme");
	policy.issuer = "https://a.example/auth/";
	refused(token, "the token is of another issuer");
	refused(kit_hs256(arena, HS, GOOD), "the token is of another issuer");
	policy.issuer = "";
	refused(elsewhere, "the token is for another audience");
	policy.audience = "*";
	accepted(elsewhere);
}
END_TEST

/* ---- forgeries ---- */

static const struct {
	const char *header;
	const char *why;
} headers[] = {
    {"{\"alg\":\"none\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":\"None\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":\"hs256\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":\"HS512\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":\"PS256\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":\"\"}", "alg is not HS256, RS256 or ES256"},
    {"{\"alg\":[\"HS256\"]}", "alg is not HS256, RS256 or ES256"},
    {"{}", "alg is not HS256, RS256 or ES256"},
    {"[\"HS256\"]", "the header is not a JSON object"},
    {"{\"alg\":\"HS256\"", "the header is not a JSON object"},
    {"{\"alg\":\"HS256\"}x", "the header is not a JSON object"},
    {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "the header is not a JSON object"},
    {"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", "typ is not JWT"},
    {"{\"alg\":\"HS256\",\"typ\":1}", "typ is not JWT"},
    {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
	"crit asks for what is not known here"},
    {"{\"alg\":\"HS256\",\"kid\":7}", "kid is no text of 1 to 256 bytes"},
    {"{\"alg\":\"HS256\",\"kid\":\"\"}", "kid is no text of 1 to 256 bytes"},
};

START_TEST(test_headers)
{
	refused(kit_hs256(arena, headers[_i].header, GOOD), headers[_i].why);
}
END_TEST

START_TEST(test_none)
{
	char *text = kit_head(arena, "{\"alg\":\"none\"}", GOOD);

	refused(arena_printf(arena, "%s.", text),
	    "alg is not HS256, RS256 or ES256");
	text = kit_head(arena, HS, GOOD);
	refused(arena_printf(arena, "%s.", text), "the signature is wrong");
}
END_TEST

/* The public key, which everybody has, taken for a shared secret. */
START_TEST(test_algorithm_swap)
{
	const char *header = "{\"alg\":\"HS256\",\"kid\":\"r1\"}";
	char *text = kit_head(arena, header, GOOD);
	unsigned char der[1024], *end = der;
	struct err_info info = {0};
	struct jwt_claims c;
	int n = i2d_PUBKEY(rsa, &end);
	char *token = arena_printf(
	    arena, "%s.%s", text, kit_hmac(arena, der, (size_t)n, text));

	refused(token, "the signature is wrong");
	/* Without a secret there is nothing an HS256 token could fit. */
	jwk_set_unref(&set);
	set = jwk_set_new();
	const char *json = arena_printf(arena, "{\"keys\":[%s,%s]}",
	    kit_jwk(arena, rsa, "r1", ""), kit_jwk(arena, ec, "e1", ""));
	ck_assert_int_eq(
	    jwk_set_add_json(set, json, strlen(json), &info), ERR_OK);
	ck_assert_int_eq(verify(token, &c, &info), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    verify(kit_hs256(arena, HS, GOOD), &c, &info), ERR_NOT_FOUND);
	/* One public kind for the other. */
	ck_assert_int_eq(verify(kit_signed(arena, ec,
				    "{\"alg\":\"RS256\",\"kid\":\"e1\"}", GOOD),
			     &c, &info),
	    ERR_NOT_FOUND);
	refused(
	    kit_signed(arena, ec, "{\"alg\":\"RS256\",\"kid\":\"r1\"}", GOOD),
	    "the signature is wrong");
}
END_TEST

START_TEST(test_keys_of_others)
{
	struct err_info info = {0};
	struct jwt_claims c;

	refused(kit_signed(arena, rsa_other,
		    "{\"alg\":\"RS256\",\"kid\":\"r1\"}", GOOD),
	    "the signature is wrong");
	refused(kit_signed(arena, ec_other,
		    "{\"alg\":\"ES256\",\"kid\":\"e1\"}", GOOD),
	    "the signature is wrong");
	ck_assert_int_eq(verify(kit_signed(arena, rsa,
				    "{\"alg\":\"RS256\",\"kid\":\"r2\"}", GOOD),
			     &c, &info),
	    ERR_NOT_FOUND);
	/* The key a token brings along is not looked at. */
	char *header = arena_printf(arena,
	    "{\"alg\":\"ES256\",\"kid\":\"e1\",\"jwk\":%s,"
	    "\"jku\":\"https://evil.example/keys\"}",
	    kit_jwk(arena, ec_other, "e1", ""));
	refused(kit_signed(arena, ec_other, header, GOOD),
	    "the signature is wrong");
}
END_TEST

/* Every byte of a token counts: another one in its place is refused. */
START_TEST(test_each_byte)
{
	static const char *const kinds[] = {"{\"alg\":\"HS256\"}",
	    "{\"alg\":\"RS256\",\"kid\":\"r1\"}",
	    "{\"alg\":\"ES256\",\"kid\":\"e1\"}"};
	static const char others[] = "AZaz09-_+/=. \t\n\"\x80";
	struct err_info info = {0};
	struct jwt_claims c;
	char *token = _i == 0
	    ? kit_hs256(arena, kinds[0], GOOD)
	    : kit_signed(arena, _i == 1 ? rsa : ec, kinds[_i], GOOD);

	accepted(token);
	for (char *p = token; *p != '\0'; p++) {
		char was = *p;
		/* All of them at few places, two of them everywhere. */
		size_t step = (p - token) % 16 == 0 || p[1] == '\0' ? 1 : 8;
		for (size_t i = 0; i < sizeof(others) - 1; i += step) {
			if (others[i] == was)
				continue;
			*p = others[i];
			ck_assert_msg(verify(token, &c, &info) != ERR_OK,
			    "accepted with '%c' at %td", others[i], p - token);
		}
		*p = was;
	}
	accepted(token);
}
END_TEST

START_TEST(test_es256_forms)
{
	const char *header = "{\"alg\":\"ES256\",\"kid\":\"e1\"}";
	char *text = kit_head(arena, header, GOOD);
	unsigned char zeros[64] = {0};

	/* DER is OpenSSL's own way, not that of a token. */
	refused(arena_printf(
		    arena, "%s.%s", text, kit_signature(arena, ec, text, true)),
	    "the signature is wrong");
	for (size_t len = 0; len <= sizeof(zeros); len += 32)
		refused(arena_printf(
			    arena, "%s.%s", text, kit_b64(arena, zeros, len)),
		    "the signature is wrong");
	memset(zeros, 0xff, sizeof(zeros));
	refused(arena_printf(
		    arena, "%s.%s", text, kit_b64(arena, zeros, sizeof(zeros))),
	    "the signature is wrong");
}
END_TEST

START_TEST(test_shapes)
{
	char *good = kit_hs256(arena, HS, GOOD);
	char *huge = arena_alloc(arena, JWT_MAX + 8);

	ck_assert(jwt_is_like(good));
	ck_assert(!jwt_is_like("ara_abc"));
	ck_assert(!jwt_is_like("a.b"));
	refused("", "the token has not three parts");
	refused("a.b", "the token has not three parts");
	refused(arena_printf(arena, "%s.e30.e30", good),
	    "the token has not three parts");
	refused("..", "the header is not a JSON object");
	refused(
	    arena_printf(arena, "%s=", good), "the signature is not base64url");
	memset(huge, 'A', JWT_MAX + 1);
	huge[100] = huge[200] = '.';
	refused(huge, "the token is too long");
	refused(kit_hs256(arena, HS, "[]"), "the payload is not a JSON object");
	refused(kit_hs256(arena, HS, "{\"exp\":1,\"exp\":1800003600}"),
	    "the payload is not a JSON object");
	refused(kit_hs256(arena, HS, "{\"exp\":NaN}"),
	    "the payload is not a JSON object");
	refused(
	    kit_hs256(arena, HS, "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}"),
	    "the payload is not a JSON object");
}
END_TEST

/* The last character carries bits that belong to no byte: only zeros pass. */
START_TEST(test_base64url)
{
	static const struct {
		const char *text;
		const char *bytes; /* NULL = refused */
	} rows[] = {{"", ""}, {"TQ", "M"}, {"TWE", "Ma"}, {"TWFu", "Man"},
	    {"_-A", "\xff\xe0"}, {"TR", NULL}, {"TWF", NULL}, {"T", NULL},
	    {"TWFuT", NULL}, {"TQ==", NULL}, {"TWF+", NULL}, {"TWF/", NULL},
	    {"TW u", NULL}, {"TW\nu", NULL}, {"TWF\xc3", NULL}};
	unsigned char *out;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum err e = b64url_decode(
		    arena, rows[i].text, strlen(rows[i].text), &out, &len);
		ck_assert_msg(
		    (e == ERR_OK) == (rows[i].bytes != NULL), "row %zu", i);
		if (e != ERR_OK)
			continue;
		ck_assert_uint_eq(len, strlen(rows[i].bytes));
		ck_assert_mem_eq(out, rows[i].bytes, len);
	}
}
END_TEST

/* ---- key sets ---- */

static size_t
keys_of(const char *json, enum err expected, const char *field)
{
	struct err_info info = {0};
	struct jwk_set *s = jwk_set_new();

	enum err e = jwk_set_add_json(s, json, strlen(json), &info);
	ck_assert_msg(e == expected, "%s: %s %s in %s", err_text(e), info.field,
	    info.text, json);
	ck_assert_str_eq(info.field, field);
	size_t n = jwk_set_count(s);
	jwk_set_unref(&s);
	return n;
}

static char *
one_key(const char *jwk)
{
	return arena_printf(arena, "{\"keys\":[%s]}", jwk);
}

START_TEST(test_sets)
{
	char *good = kit_jwk(arena, ec, "e1", "");
	static const char *const left_out[] = {",\"use\":\"enc\"",
	    ",\"key_ops\":[\"sign\"]", ",\"alg\":\"ES384\"", ",\"d\":\"AAAA\""};

	ck_assert_uint_eq(keys_of(one_key(good), ERR_OK, ""), 1);
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
		keys_of(one_key(kit_jwk(arena, ec, "e1", left_out[i])),
		    ERR_INVALID, "keys");
	/* A secret is not taken from a set. */
	keys_of("{\"keys\":[{\"kty\":\"oct\",\"k\":\"" KIT_SECRET "\"}]}",
	    ERR_INVALID, "keys");
	ck_assert_uint_eq(
	    keys_of(arena_printf(arena,
			"{\"keys\":[{\"kty\":\"OKP\"},{\"kty\":\"EC\","
			"\"crv\":\"P-384\"},%s]}",
			good),
		ERR_OK, ""),
	    1);
	keys_of(arena_printf(arena, "{\"keys\":[%s,%s]}", good, good),
	    ERR_INVALID, "keys[1].kid");
	keys_of("{}", ERR_INVALID, "keys");
	keys_of("{\"keys\":{}}", ERR_INVALID, "keys");
	keys_of("{\"keys\":[]}", ERR_INVALID, "keys");
	keys_of("{\"keys\":[7]}", ERR_INVALID, "keys");
	keys_of("<html>", ERR_SYNTAX, "");
}
END_TEST

START_TEST(test_bad_keys)
{
	char *x = kit_number(arena, ec, OSSL_PKEY_PARAM_EC_PUB_X, 32);
	char *other = kit_number(arena, ec_other, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
	EVP_PKEY *small = kit_rsa(1024);

	/* Off the curve, short, missing. */
	keys_of(arena_printf(arena,
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"%s\",\"y\":\"%s\"}]}",
		    x, other),
	    ERR_INVALID, "keys[0].x");
	keys_of(arena_printf(arena,
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"%s\",\"y\":\"AAAA\"}]}",
		    x),
	    ERR_INVALID, "keys[0].y");
	keys_of(arena_printf(arena,
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"%s\"}]}",
		    x),
	    ERR_INVALID, "keys[0].y");
	keys_of(
	    one_key(kit_jwk(arena, small, "s", "")), ERR_INVALID, "keys[0].n");
	keys_of(arena_printf(arena,
		    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\","
		    "\"e\":\"AQ\"}]}",
		    kit_number(arena, rsa, OSSL_PKEY_PARAM_RSA_N, 0)),
	    ERR_INVALID, "keys[0].e");
	keys_of("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"####\",\"e\":\"AQAB\"}]}",
	    ERR_INVALID, "keys[0].n");
	keys_of(
	    one_key(kit_jwk(arena, ec, "", "")), ERR_INVALID, "keys[0].kid");
	/* An even modulus has a factor that everybody knows. */
	unsigned char even[256];
	memset(even, 0xfe, sizeof(even));
	keys_of(
	    arena_printf(arena,
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
		kit_b64(arena, even, sizeof(even))),
	    ERR_INVALID, "keys[0].n");
	EVP_PKEY_free(small);
}
END_TEST

START_TEST(test_many_keys)
{
	struct err_info info = {0};
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_puts(&b, "{\"keys\":[{}");
	for (int i = 0; i < JWK_KEYS_MAX; i++)
		buf_puts(&b, ",{}");
	buf_puts(&b, "]}");
	keys_of(buf_text(&b), ERR_TOO_LARGE, "keys");
	buf_release(&b);
	ck_assert_int_eq(jwk_set_add_secret(set, "short", &info), ERR_INVALID);
	/* Two of a kind: a token has to name its key. */
	const char *json = one_key(kit_jwk(arena, ec_other, "e2", ""));
	ck_assert_int_eq(
	    jwk_set_add_json(set, json, strlen(json), &info), ERR_OK);
	ck_assert_ptr_null(jwk_find(set, JWK_ES256, NULL));
	ck_assert_ptr_nonnull(jwk_find(set, JWK_ES256, "e2"));
	ck_assert_ptr_nonnull(jwk_find(set, JWK_RS256, NULL));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_unchecked_fixture(t, make_keys, NULL);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_good);
	tcase_add_loop_test(t, test_times, 0, ARRAY_LEN(times));
	tcase_add_loop_test(t, test_claims, 0, ARRAY_LEN(claims_rows));
	tcase_add_test(t, test_policy);
	tcase_add_loop_test(t, test_headers, 0, ARRAY_LEN(headers));
	tcase_add_test(t, test_none);
	tcase_add_test(t, test_algorithm_swap);
	tcase_add_test(t, test_keys_of_others);
	tcase_add_loop_test(t, test_each_byte, 0, 3);
	tcase_add_test(t, test_es256_forms);
	tcase_add_test(t, test_shapes);
	tcase_add_test(t, test_base64url);
	tcase_add_test(t, test_sets);
	tcase_add_test(t, test_bad_keys);
	tcase_add_test(t, test_many_keys);
	tcase_set_timeout(t, 60);
}

int
main(void)
{
	return check_run("jwt", add_tests);
}
