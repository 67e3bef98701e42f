/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a token before and behind the check of its signature, and a key
 * set. The first byte chooses: 's' a set, 'p' a payload that is taken for
 * signed, anything else a token. What is accepted keeps its promises.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwt_claims.h"
#include "base/id.h"
#include "base/str.h"

#define NOW_US INT64_C(1800000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct jwt_policy policy = {
    .issuer = "", .audience = "*", .tenant_claim = "app_metadata.tenant_id"};

static void
fuzz_token(struct arena *a, const char *token)
{
	struct jwk_set *set = jwk_set_new();
	struct jwt_claims claims;
	struct err_info info = {0};

	if (jwk_set_add_secret(
		set, "nobody who fuzzes can know this one", &info) != ERR_OK)
		abort();
	enum err e = jwt_verify(a, token, set, &policy, NOW_US, &claims, &info);
	assert(e == ERR_AUTH || e == ERR_NOT_FOUND);
	assert(info.text[0] != '\0' && strpbrk(info.text, "\"\r\n") == NULL);
	jwk_set_unref(&set);
}

static void
fuzz_payload(struct arena *a, const char *text, size_t size)
{
	struct jwt_claims claims = {.subject = NULL};
	const struct json *payload = NULL;
	struct err_info info;

	if (json_parse(a, text, size, NULL, &payload, &info) != ERR_OK ||
	    jwt_claims_read(a, payload, &policy, NOW_US, &claims, &info) !=
		ERR_OK)
		return;
	assert(claims.expires_us + JWT_LEEWAY_US > NOW_US);
	assert(claims.subject[0] != '\0' && id_is_valid(claims.tenant));
	assert(str_eq(claims.role, "authenticated"));
}

static void
fuzz_set(const char *text, size_t size)
{
	struct jwk_set *set = jwk_set_new();
	struct err_info info;

	if (jwk_set_add_json(set, text, size, &info) == ERR_OK)
		assert(jwk_set_count(set) > 0);
	jwk_set_unref(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	const char *text = arena_strndup(a, (const char *)data, size);

	if (*text == 's')
		fuzz_set(text + 1, size - 1);
	else if (*text == 'p')
		fuzz_payload(a, text + 1, strlen(text + 1));
	else
		fuzz_token(a, text);
	arena_free(&a);
	return 0;
}
