/* SPDX-License-Identifier: MIT
 *
 * Everything cryptographic goes through OpenSSL's EVP.
 */
#include "auth/jwk.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/b64url.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define JWK_RSA_MIN	 256 /* bytes of the modulus */
#define JWK_RSA_MAX	 512
#define JWK_EXPONENT_MAX 8  /* bytes; longer ones only cost time */
#define JWK_COORD	 32 /* bytes of a P-256 number */
#define JWK_KID_MAX	 256
#define JWK_DER_MAX	 80 /* an ECDSA signature of P-256 in DER */
#define JWK_HMAC	 32

struct jwk {
	enum jwk_alg alg;
	char *kid; /* NULL = none */
	EVP_PKEY *pkey;
	uint64_t mark;
	unsigned char *secret; /* HS256 only */
	size_t secret_len;
};

struct jwk_set {
	_Atomic int refs;
	size_t n;
	struct jwk keys[JWK_KEYS_MAX];
};

static const char *const jwk_names[JWK__COUNT] = {"HS256", "RS256", "ES256"};

const char *
jwk_alg_name(enum jwk_alg alg)
{
	return jwk_names[alg];
}

bool
jwk_alg_parse(const char *name, enum jwk_alg *out)
{
	for (int i = 0; i < JWK__COUNT; i++)
		if (str_eq(name, jwk_names[i])) {
			*out = (enum jwk_alg)i;
			return true;
		}
	return false;
}

struct jwk_set *
jwk_set_new(void)
{
	struct jwk_set *set = mem_zalloc(sizeof(*set));

	atomic_init(&set->refs, 1);
	return set;
}

struct jwk_set *
jwk_set_ref(struct jwk_set *set)
{
	atomic_fetch_add(&set->refs, 1);
	return set;
}

void
jwk_set_unref(struct jwk_set **sp)
{
	struct jwk_set *set = *sp;

	*sp = NULL;
	if (set == NULL || atomic_fetch_sub(&set->refs, 1) != 1)
		return;
	for (size_t i = 0; i < set->n; i++) {
		struct jwk *k = &set->keys[i];
		EVP_PKEY_free(k->pkey);
		if (k->secret != NULL)
			OPENSSL_cleanse(k->secret, k->secret_len);
		free(k->secret);
		free(k->kid);
	}
	free(set);
}

size_t
jwk_set_count(const struct jwk_set *set)
{
	return set->n;
}

/* Takes pkey. */
static struct jwk *
jwk_set_add(struct jwk_set *set, enum jwk_alg alg, const char *kid,
    EVP_PKEY *pkey, uint64_t mark)
{
	assert(set->n < JWK_KEYS_MAX);
	struct jwk *k = &set->keys[set->n++];

	k->alg = alg;
	k->kid = kid != NULL ? mem_strdup(kid) : NULL;
	k->pkey = pkey;
	k->mark = mark;
	return k;
}

enum err
jwk_set_add_secret(
    struct jwk_set *set, const char *secret, struct err_info *info)
{
	size_t len = strlen(secret);
	char hash[ID_HASH_SIZE];

	if (len < JWK_SECRET_MIN)
		return err_set(info, ERR_INVALID, "",
		    "is shorter than %d bytes", JWK_SECRET_MIN);
	if (set->n == JWK_KEYS_MAX)
		return err_set(info, ERR_TOO_LARGE, "", "too many keys");
	id_sha256(secret, len, hash);
	struct jwk *k = jwk_set_add(
	    set, JWK_HS256, NULL, NULL, str_hash(hash, sizeof(hash), 0));
	k->secret = mem_alloc(len);
	memcpy(k->secret, secret, len);
	k->secret_len = len;
	return ERR_OK;
}

/* ---- reading a key set ---- */

struct jwk_reader {
	struct arena *a;
	const struct json *key;
	size_t index;
	struct err_info *info;
};

static enum err
jwk_bad(const struct jwk_reader *r, const char *member, const char *why)
{
	char field[64];

	snprintf(field, sizeof(field), "keys[%zu].%s", r->index, member);
	return err_set(r->info, ERR_INVALID, field, "%s", why);
}

/* A member that is base64url of a number, without leading zeros. */
static enum err
jwk_number(const struct jwk_reader *r, const char *member, size_t max,
    unsigned char **out, size_t *len)
{
	size_t text_len;
	const char *text = json_str(json_get(r->key, member), &text_len);

	if (text == NULL)
		return jwk_bad(r, member, "is missing or no string");
	if (text_len > max * 4 / 3 + 8)
		return jwk_bad(r, member, "is too long");
	if (b64url_decode(r->a, text, text_len, out, len) != ERR_OK)
		return jwk_bad(r, member, "is not base64url");
	while (*len > 0 && **out == 0) {
		(*out)++;
		(*len)--;
	}
	if (*len == 0 || *len > max)
		return jwk_bad(r, member, "is out of range");
	return ERR_OK;
}

/* NULL when OpenSSL refuses the key. Takes bld. */
static EVP_PKEY *
jwk_build(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *check = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		goto out;
	/* A point off the curve, an even modulus. */
	check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (check == NULL || EVP_PKEY_public_check(check) != 1) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
out:
	ERR_clear_error();
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static enum err
jwk_read_rsa(const struct jwk_reader *r, EVP_PKEY **pkey, uint64_t *mark)
{
	unsigned char *n, *e;
	size_t n_len, e_len;

	enum err err = jwk_number(r, "n", JWK_RSA_MAX, &n, &n_len);
	if (err == ERR_OK)
		err = jwk_number(r, "e", JWK_EXPONENT_MAX, &e, &e_len);
	if (err != ERR_OK)
		return err;
	if (n_len < JWK_RSA_MIN || (n_len == JWK_RSA_MIN && n[0] < 0x80))
		return jwk_bad(r, "n", "is shorter than 2048 bits");
	if ((e[e_len - 1] & 1) == 0 || (e_len == 1 && e[0] < 3))
		return jwk_bad(r, "e", "is no exponent of RSA");
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn = BN_bin2bn(n, (int)n_len, NULL);
	BIGNUM *be = BN_bin2bn(e, (int)e_len, NULL);
	if (bld == NULL || bn == NULL || be == NULL)
		mem_exhausted(n_len);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be);
	*pkey = jwk_build("RSA", bld);
	BN_free(bn);
	BN_free(be);
	*mark = str_hash(n, n_len, str_hash(e, e_len, 0));
	return *pkey != NULL ? ERR_OK : jwk_bad(r, "n", "is no RSA modulus");
}

/* The coordinates are of full length here, leading zeros and all. */
static enum err
jwk_read_ec(const struct jwk_reader *r, EVP_PKEY **pkey, uint64_t *mark)
{
	static const char *const members[] = {"x", "y"};
	unsigned char point[1 + 2 * JWK_COORD] = {4}; /* uncompressed */

	for (size_t i = 0; i < 2; i++) {
		unsigned char *v;
		size_t len, text_len;
		const char *text =
		    json_str(json_get(r->key, members[i]), &text_len);
		if (text == NULL)
			return jwk_bad(
			    r, members[i], "is missing or no string");
		if (text_len > JWK_COORD * 2 ||
		    b64url_decode(r->a, text, text_len, &v, &len) != ERR_OK ||
		    len != JWK_COORD)
			return jwk_bad(
			    r, members[i], "is not base64url of 32 bytes");
		memcpy(point + 1 + i * JWK_COORD, v, JWK_COORD);
	}
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	if (bld == NULL)
		mem_exhausted(sizeof(point));
	OSSL_PARAM_BLD_push_utf8_string(
	    bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
	OSSL_PARAM_BLD_push_octet_string(
	    bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
	*pkey = jwk_build("EC", bld);
	*mark = str_hash(point, sizeof(point), 1);
	return *pkey != NULL ? ERR_OK : jwk_bad(r, "x", "is no point of P-256");
}

static bool
jwk_lists(const struct json *array, const char *word)
{
	for (size_t i = 0; i < json_len(array); i++)
		if (str_eq(json_str(json_at(array, i), NULL), word))
			return true;
	return false;
}

/* Is it a public key that checks signatures of one of our algorithms? */
static bool
jwk_is_wanted(const struct json *key, enum jwk_alg *alg)
{
	const char *kty = json_get_str(key, "kty", "");
	const struct json *ops = json_get(key, "key_ops");

	if (str_eq(kty, "RSA"))
		*alg = JWK_RS256;
	else if (str_eq(kty, "EC") &&
	    str_eq(json_get_str(key, "crv", ""), "P-256"))
		*alg = JWK_ES256;
	else
		return false;
	return json_get(key, "d") == NULL &&
	    str_eq(json_get_str(key, "use", "sig"), "sig") &&
	    (json_kind(ops) == JSON_NULL || jwk_lists(ops, "verify")) &&
	    str_eq(json_get_str(key, "alg", jwk_names[*alg]), jwk_names[*alg]);
}

static enum err
jwk_read_kid(const struct jwk_reader *r, const char **kid)
{
	const struct json *j = json_get(r->key, "kid");
	size_t len = 0;

	*kid = json_str(j, &len);
	if (json_kind(j) == JSON_NULL)
		return ERR_OK;
	if (*kid == NULL || len == 0 || len > JWK_KID_MAX ||
	    strlen(*kid) != len)
		return jwk_bad(r, "kid", "is no text of 1 to 256 bytes");
	return ERR_OK;
}

static enum err
jwk_read(struct jwk_set *set, const struct jwk_reader *r)
{
	EVP_PKEY *pkey = NULL;
	enum jwk_alg alg;
	const char *kid;
	uint64_t mark = 0;

	if (!jwk_is_wanted(r->key, &alg))
		return ERR_OK;
	enum err e = jwk_read_kid(r, &kid);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; kid != NULL && i < set->n; i++)
		if (str_eq(set->keys[i].kid, kid))
			return jwk_bad(r, "kid", "stands there twice");
	e = alg == JWK_RS256 ? jwk_read_rsa(r, &pkey, &mark)
			     : jwk_read_ec(r, &pkey, &mark);
	if (e == ERR_OK)
		jwk_set_add(set, alg, kid, pkey, mark);
	return e;
}

enum err
jwk_set_add_json(
    struct jwk_set *set, const char *text, size_t len, struct err_info *info)
{
	const struct json_limits limits = {
	    .max_bytes = JWK_SET_BYTES, .max_depth = 8};
	struct jwk_reader r = {.a = arena_new(0), .info = info};
	const struct json *root = NULL;
	size_t before = set->n;

	enum err e = json_parse(r.a, text, len, &limits, &root, info);
	if (e != ERR_OK)
		goto out;
	const struct json *keys = json_get(root, "keys");
	if (json_kind(keys) != JSON_ARRAY) {
		e = err_set(info, ERR_INVALID, "keys", "is missing or no list");
		goto out;
	}
	if (json_len(keys) > JWK_KEYS_MAX - before) {
		e = err_set(info, ERR_TOO_LARGE, "keys", "are more than %d",
		    JWK_KEYS_MAX - 1);
		goto out;
	}
	for (; r.index < json_len(keys) && e == ERR_OK; r.index++) {
		r.key = json_at(keys, r.index);
		e = jwk_read(set, &r);
	}
	if (e == ERR_OK && set->n == before)
		e = err_set(info, ERR_INVALID, "keys",
		    "hold no public key for RS256 or ES256");
out:
	arena_free(&r.a);
	return e;
}

/* ---- use ---- */

const struct jwk *
jwk_find(const struct jwk_set *set, enum jwk_alg alg, const char *kid)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; i < set->n; i++) {
		const struct jwk *k = &set->keys[i];
		if (k->alg != alg)
			continue;
		if (alg == JWK_HS256 || (kid != NULL && str_eq(k->kid, kid)))
			return k;
		if (kid != NULL)
			continue;
		if (found != NULL)
			return NULL; /* which one? */
		found = k;
	}
	return found;
}

uint64_t
jwk_mark(const struct jwk *key)
{
	return key->mark;
}

bool
jwk_set_has_mark(const struct jwk_set *set, uint64_t mark)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->keys[i].mark == mark)
			return true;
	return false;
}

static bool
jwk_verify_hmac(const struct jwk *k, const void *data, size_t len,
    const unsigned char *signature, size_t signature_len)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t mac_len = 0;

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, k->secret,
		k->secret_len, data, len, mac, sizeof(mac), &mac_len) == NULL)
		return false;
	bool is_good = mac_len == JWK_HMAC && signature_len == JWK_HMAC &&
	    CRYPTO_memcmp(mac, signature, JWK_HMAC) == 0;
	OPENSSL_cleanse(mac, sizeof(mac));
	return is_good;
}

/* JWS writes an ECDSA signature as r and s of 32 bytes each (RFC 7518 3.4),
 * OpenSSL wants DER. 0 when it cannot be one. */
static size_t
jwk_ec_der(const unsigned char *raw, size_t len, unsigned char *der)
{
	unsigned char *end = der;
	ECDSA_SIG *sig = NULL;
	int n = 0;

	if (len != 2 * JWK_COORD)
		return 0;
	BIGNUM *r = BN_bin2bn(raw, JWK_COORD, NULL);
	BIGNUM *s = BN_bin2bn(raw + JWK_COORD, JWK_COORD, NULL);
	sig = ECDSA_SIG_new();
	if (r == NULL || s == NULL || sig == NULL)
		mem_exhausted(len);
	ECDSA_SIG_set0(sig, r, s);
	if (i2d_ECDSA_SIG(sig, NULL) <= JWK_DER_MAX)
		n = i2d_ECDSA_SIG(sig, &end);
	ECDSA_SIG_free(sig);
	return n > 0 ? (size_t)n : 0;
}

bool
jwk_verify(const struct jwk *k, const void *data, size_t len,
    const unsigned char *signature, size_t signature_len)
{
	unsigned char der[JWK_DER_MAX];

	if (k->alg == JWK_HS256)
		return jwk_verify_hmac(k, data, len, signature, signature_len);
	if (k->alg == JWK_ES256) {
		signature_len = jwk_ec_der(signature, signature_len, der);
		signature = der;
	}
	if (signature_len == 0)
		return false;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	/* For RSA the padding is PKCS #1 1.5 unless said otherwise. */
	bool is_good = ctx != NULL &&
	    EVP_DigestVerifyInit_ex(
		ctx, NULL, "SHA256", NULL, NULL, k->pkey, NULL) == 1 &&
	    EVP_DigestVerify(ctx, signature, signature_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return is_good;
}
