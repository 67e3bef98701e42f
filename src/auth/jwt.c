/* SPDX-License-Identifier: MIT */
#include "auth/jwt.h"

#include <string.h>

#include <openssl/evp.h>

#include "auth/b64url.h"
#include "auth/jwt_claims.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define JWT_DEPTH   12
#define JWT_KID_MAX 256

/* The three parts as they stand in the token, decoded. */
struct jwt_parts {
	const char *signed_text; /* header.payload */
	size_t signed_len;
	unsigned char *header, *payload, *signature;
	size_t header_len, payload_len, signature_len;
};

bool
jwt_is_like(const char *token)
{
	const char *dot = strchr(token, '.');

	return dot != NULL && strchr(dot + 1, '.') != NULL;
}

static enum err
jwt_split(struct arena *a, const char *token, struct jwt_parts *p,
    struct err_info *info)
{
	size_t len = strlen(token);
	const char *one = strchr(token, '.');
	const char *two = one != NULL ? strchr(one + 1, '.') : NULL;

	if (len > JWT_MAX)
		return jwt_refuse(info, "the token is too long");
	if (two == NULL || strchr(two + 1, '.') != NULL)
		return jwt_refuse(info, "the token has not three parts");
	p->signed_text = token;
	p->signed_len = (size_t)(two - token);
	if (b64url_decode(a, token, (size_t)(one - token), &p->header,
		&p->header_len) != ERR_OK)
		return jwt_refuse(info, "the header is not base64url");
	if (b64url_decode(a, one + 1, (size_t)(two - one - 1), &p->payload,
		&p->payload_len) != ERR_OK)
		return jwt_refuse(info, "the payload is not base64url");
	if (b64url_decode(a, two + 1, strlen(two + 1), &p->signature,
		&p->signature_len) != ERR_OK)
		return jwt_refuse(info, "the signature is not base64url");
	return ERR_OK;
}

static const struct json *
jwt_object(struct arena *a, const unsigned char *text, size_t len)
{
	const struct json_limits limits = {
	    .max_bytes = JWT_MAX, .max_depth = JWT_DEPTH};
	const struct json *root = NULL;

	if (json_parse(a, (const char *)text, len, &limits, &root, NULL) !=
		ERR_OK ||
	    json_kind(root) != JSON_OBJECT)
		return NULL;
	return root;
}

/* The algorithm and the key's name. What a header says of keys (jwk, jku,
 * x5u) is never looked at. */
static enum err
jwt_read_header(const struct json *header, enum jwk_alg *alg, const char **kid,
    struct err_info *info)
{
	const struct json *typ = json_get(header, "typ");
	const struct json *key = json_get(header, "kid");
	size_t len = 0;

	if (!jwk_alg_parse(json_get_str(header, "alg", NULL), alg))
		return jwt_refuse(info, "alg is not HS256, RS256 or ES256");
	if (typ != NULL && !str_ieq(json_str(typ, NULL), "JWT") &&
	    !str_ieq(json_str(typ, NULL), "at+jwt"))
		return jwt_refuse(info, "typ is not JWT");
	if (json_get(header, "crit") != NULL)
		return jwt_refuse(info, "crit asks for what is not known here");
	*kid = json_str(key, &len);
	if (key != NULL &&
	    (*kid == NULL || len == 0 || len > JWT_KID_MAX ||
		strlen(*kid) != len))
		return jwt_refuse(info, "kid is no text of 1 to 256 bytes");
	return ERR_OK;
}

enum err
jwt_open(struct arena *a, const char *token, const struct jwk_set *keys,
    const struct json **payload, uint64_t *mark, struct err_info *info)
{
	struct jwt_parts p;
	enum jwk_alg alg = JWK_HS256;
	const char *kid = NULL;

	*payload = NULL;
	enum err e = jwt_split(a, token, &p, info);
	if (e != ERR_OK)
		return e;
	const struct json *header = jwt_object(a, p.header, p.header_len);
	if (header == NULL)
		return jwt_refuse(info, "the header is not a JSON object");
	e = jwt_read_header(header, &alg, &kid, info);
	if (e != ERR_OK)
		return e;
	const struct jwk *key = jwk_find(keys, alg, kid);
	if (key == NULL)
		return err_set(info, ERR_NOT_FOUND, "",
		    "no key for this algorithm and kid is known");
	if (!jwk_verify(
		key, p.signed_text, p.signed_len, p.signature, p.signature_len))
		return jwt_refuse(info, "the signature is wrong");
	*payload = jwt_object(a, p.payload, p.payload_len);
	if (*payload == NULL)
		return jwt_refuse(info, "the payload is not a JSON object");
	*mark = jwk_mark(key);
	return ERR_OK;
}

enum err
jwt_verify(struct arena *a, const char *token, const struct jwk_set *keys,
    const struct jwt_policy *policy, int64_t now_us, struct jwt_claims *out,
    struct err_info *info)
{
	const struct json *payload;

	*out = (struct jwt_claims){.subject = NULL};
	enum err e = jwt_open(a, token, keys, &payload, &out->key_mark, info);
	if (e != ERR_OK)
		return e;
	return jwt_claims_read(a, payload, policy, now_us, out, info);
}

const char *
jwt_kid(struct arena *a, const char *token)
{
	struct jwt_parts p;

	if (jwt_split(a, token, &p, NULL) != ERR_OK)
		return NULL;
	return json_get_str(jwt_object(a, p.header, p.header_len), "kid", NULL);
}

char *
jwt_sign(
    struct arena *a, const char *kid, const char *payload, const char *secret)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t mac_len = 0;
	const char *header = arena_printf(
	    a, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
	char *text =
	    arena_printf(a, "%s.%s", b64url_encode(a, header, strlen(header)),
		b64url_encode(a, payload, strlen(payload)));

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret,
		strlen(secret), (const unsigned char *)text, strlen(text), mac,
		sizeof(mac), &mac_len) == NULL)
		mem_exhausted(mac_len);
	return arena_printf(a, "%s.%s", text, b64url_encode(a, mac, mac_len));
}
