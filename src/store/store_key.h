/* SPDX-License-Identifier: MIT
 *
 * Idempotency-Key: a request with a key makes its thing once, however often it
 * is sent. The key is taken in the transaction that makes the thing, so that
 * of requests side by side one makes it and the others find it. A key is one
 * tenant's, belongs to one request, and is forgotten after a day.
 *
 * Verbs that make something read a `struct store_key *` (NULL = the request
 * has none) and answer in it.
 */
#pragma once

#include "store/store.h"

struct db;

#define STORE_KEY_AGE_US INT64_C(86400000000)
#define STORE_KEY_ANSWER ((size_t)1 << 20) /* longest that is kept */

struct store_key {
	struct arena *a; /* of the answers */
	const char *text;
	const char *target; /* method and path */
	const char *hash;   /* of the body */
	/* out */
	const char *ref; /* what was made; NULL = nothing was */
	bool is_made;	 /* already, inside of a transaction */
	bool is_replay;	 /* by an earlier request */
	/* out, of find: */
	int64_t status; /* 0 = no answer was kept */
	const char *answer;
};

/* Was the key used? ERR_NOT_FOUND; ERR_CONFLICT (field Idempotency-Key): with
 * another request. */
enum err store_key_find(struct store *store, struct arena *a,
    const char *tenant, struct store_key *key, struct err_info *info)
    MUST_CHECK;
/* What was answered, for those that ask again. */
enum err store_key_answer(struct store *store, const char *tenant,
    const struct store_key *key, int64_t status, const char *answer) MUST_CHECK;
/* Forget what is a day old, of all tenants; *n = how many. */
enum err store_key_sweep(struct store *store, int64_t now_us, int64_t *n)
    MUST_CHECK;

/* ---- inside of a transaction ---- */

/* Take the key (NULL: nothing happens) for what is being made. is_made: it was
 * before, as key->ref; make nothing. ERR_CONFLICT as above. */
enum err store_key_claim(struct db *db, struct arena *a, const char *tenant,
    struct store_key *key, const char *ref, struct err_info *info) MUST_CHECK;
static inline bool
store_key_is_made(const struct store_key *key)
{
	return key != NULL && key->is_made;
}
/* Its name is known only now. Queued. */
enum err store_key_rename(struct db *db, struct arena *a, const char *tenant,
    struct store_key *key, const char *ref) MUST_CHECK;
