/* SPDX-License-Identifier: MIT
 *
 * API tokens: found by the hash of what the caller shows.
 */
#include "base/clock.h"
#include "store/store_account.h"
#include "store/store_tx.h"

#define STORE_TOUCH_US (60 * INT64_C(1000000))

struct store_tokens {
	struct arena *a;
	const struct store_token *token;
	const char *tenant;
	const char *key; /* hash, id or prefix */
	const char *owner;
	struct store_token *rows;
	struct store_access *access;
	size_t n;
	bool is_any;
};

static void
store_token_from(const struct db_result *r, size_t i, struct store_token *t)
{
	*t = (struct store_token){.id = db_text(r, i, 0),
	    .tenant = db_text(r, i, 1),
	    .name = db_text(r, i, 2),
	    .prefix = db_text(r, i, 3),
	    .hash = db_text(r, i, 4),
	    .tier = db_text(r, i, 5),
	    .created_us = db_int(r, i, 6),
	    .expires_us = db_int(r, i, 7),
	    .last_used_us = db_int(r, i, 8),
	    .revoked_us = db_int(r, i, 9),
	    .owner = db_text(r, i, 10),
	    .scopes = db_text(r, i, 11)};
}

static enum err
store_token_create_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;
	const struct store_token *t = q->token;

	return DB_RUN(db, STMT_TOKEN_INSERT, q->a, NULL, DB_TEXT(t->tenant),
	    DB_TEXT(t->id), DB_TEXT(t->name), DB_TEXT(t->prefix),
	    DB_TEXT(t->hash), DB_TEXT(t->tier), DB_INT(clock_wall_us()),
	    DB_INT(t->expires_us), DB_TEXT(t->owner), DB_TEXT(t->scopes));
}

enum err
store_token_create(struct store *store, const struct store_token *t)
{
	struct store_tokens q = {.a = arena_new(0), .token = t};
	enum err e = store_tx(store, DB_WRITE, store_token_create_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_token_list_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_TOKEN_LIST, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->owner == NULL ? "" : q->owner));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_token);
	for (size_t i = 0; i < r.rows; i++)
		store_token_from(&r, i, &q->rows[i]);
	return ERR_OK;
}

enum err
store_token_list(struct store *store, struct arena *a, const char *tenant,
    const char *owner, struct store_token **rows, size_t *n)
{
	struct store_tokens q = {.a = a, .tenant = tenant, .owner = owner};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_token_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
store_token_find_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_TOKEN_FIND, q->a, &r, DB_TEXT(q->key),
	    DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*q->access = (struct store_access){.user_id = db_text(&r, 0, 10),
	    .email = db_text(&r, 0, 12),
	    .role = db_text(&r, 0, 13),
	    .is_active = db_int(&r, 0, 14) != 0,
	    .plan = db_text(&r, 0, 15),
	    .status = db_text(&r, 0, 16),
	    .access_rev = db_int(&r, 0, 17)};
	store_token_from(&r, 0, &q->access->token);
	q->access->name = q->access->token.name;
	return ERR_OK;
}

static enum err
store_token_touch_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;

	return DB_RUN(db, STMT_TOKEN_TOUCH, q->a, NULL,
	    DB_TEXT(q->access->token.tenant), DB_TEXT(q->access->token.id),
	    DB_INT(clock_wall_us()));
}

enum err
store_token_find(struct store *store, struct arena *a, const char *hash,
    struct store_access *out)
{
	struct store_tokens q = {.a = a, .key = hash, .access = out};

	enum err e =
	    store_tx(store, DB_READ_ONE, store_token_find_tx, &q, NULL);
	if (e != ERR_OK)
		return e;
	/* When it was used last is a courtesy: a failure to note it must not
	 * refuse the caller. */
	if (clock_wall_us() - out->token.last_used_us > STORE_TOUCH_US)
		(void)!store_tx(
		    store, DB_WRITE, store_token_touch_tx, &q, NULL);
	return ERR_OK;
}

static enum err
store_token_revoke_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_TOKEN_REVOKE, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->key), DB_TEXT(q->owner == NULL ? "" : q->owner),
	    DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND
			   : store_access_bump(db, q->a, q->tenant);
}

enum err
store_token_revoke(
    struct store *store, const char *tenant, const char *owner, const char *id)
{
	struct store_tokens q = {
	    .a = arena_new(0), .tenant = tenant, .owner = owner, .key = id};
	enum err e = store_tx(store, DB_WRITE, store_token_revoke_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_token_any_tx(struct db *db, void *arg)
{
	struct store_tokens *q = arg;
	struct db_result r;

	enum err e = db_run(db, STMT_TOKEN_ANY, NULL, 0, q->a, &r);
	if (e == ERR_OK)
		q->is_any = db_int(&r, 0, 0) > 0;
	return e;
}

enum err
store_token_any(struct store *store, bool *any)
{
	struct store_tokens q = {.a = arena_new(0)};
	enum err e = store_tx(store, DB_READ_ONE, store_token_any_tx, &q, NULL);

	arena_free(&q.a);
	*any = q.is_any;
	return e;
}
