/* SPDX-License-Identifier: MIT
 *
 * The keys in use now, kept fresh from a URL by a thread of its own. A fetch
 * that fails leaves the keys as they were; a token whose key is not known
 * makes it look again, but not more often than every minute, so that nobody
 * can make us storm the issuer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/jwk.h"
#include "base/buf.h"
#include "base/err.h"

struct jwks;

/* Brings the key set's text, NULL url: never. Runs on the thread. */
typedef enum err (*jwks_fetch_fn)(
    const char *url, struct buf *out, struct err_info *info);

struct jwks_options {
	const char *secret; /* "" = none; copied */
	const char *json;   /* text of a key set, "" = none */
	size_t json_len;
	const char *url; /* "" = none; copied */
	jwks_fetch_fn fetch;
	int64_t fresh_ms; /* fetched again after this */
	int64_t again_ms; /* at the earliest after this, for an unknown kid */
	int64_t retry_ms; /* first pause after a failure; doubles to again_ms */
	int64_t wait_ms;  /* a caller waits no longer than this for a fetch */
};

/* With a url the thread starts, and fetches at once. ERR_INVALID, ERR_SYNTAX:
 * the secret (field "secret") or the JSON text is bad. */
enum err jwks_open(struct jwks **out, const struct jwks_options *options,
    struct err_info *info) MUST_CHECK;
/* Waits for a fetch under way. */
void jwks_close(struct jwks **j);

/* A reference to the keys; jwk_set_unref. ERR_DOWN: there has been no good
 * fetch yet, and waiting (within wait_ms) brought none. */
enum err jwks_get(struct jwks *j, struct jwk_set **out) MUST_CHECK;
/* The keys *set (replaced by newer ones) did not do: look again if that is
 * due. true when *set is another one now. */
bool jwks_renew(struct jwks *j, struct jwk_set **set) MUST_CHECK;
/* Are there keys from everywhere they should come from? */
bool jwks_is_complete(struct jwks *j);
/* How often the URL was asked; for tests and the log. */
int64_t jwks_fetches(struct jwks *j);
