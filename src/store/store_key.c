/* SPDX-License-Identifier: MIT */
#include "store/store_key.h"

#include "base/clock.h"
#include "base/str.h"
#include "store/store_tx.h"

#define KEY_SWEEP_MAX 10000

struct key_call {
	struct arena *a;
	const char *tenant;
	struct store_key *key;
	const char *answer;
	int64_t status, now_us;
	int64_t n;
	struct err_info *info;
};

/* A row of KEY_GET. */
static enum err
key_compare(
    struct store_key *key, const struct db_result *r, struct err_info *info)
{
	const char *target = db_text(r, 0, 0);

	if ((target != NULL && !str_eq(target, key->target)) ||
	    !str_eq(db_text(r, 0, 1), key->hash))
		return err_set(info, ERR_CONFLICT, "Idempotency-Key",
		    "was used before with another request");
	key->ref = arena_strdup(key->a, db_text(r, 0, 2));
	key->status = db_int(r, 0, 3);
	key->answer = arena_strdup(key->a, db_text(r, 0, 4));
	return ERR_OK;
}

static enum err
key_read(struct db *db, struct arena *a, const char *tenant,
    struct store_key *key, int64_t now_us, struct err_info *info)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_KEY_GET, a, &r, DB_TEXT(tenant),
	    DB_TEXT(key->text), DB_INT(now_us - STORE_KEY_AGE_US));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND : key_compare(key, &r, info);
}

enum err
store_key_claim(struct db *db, struct arena *a, const char *tenant,
    struct store_key *key, const char *ref, struct err_info *info)
{
	int64_t now_us = clock_wall_us();
	struct db_result r;

	if (key == NULL)
		return ERR_OK;
	key->is_made = key->is_replay = false;
	enum err e = DB_RUN(db, STMT_KEY_CLAIM, a, &r, DB_TEXT(tenant),
	    DB_TEXT(key->text), DB_TEXT(key->target), DB_TEXT(key->hash),
	    DB_TEXT(ref), DB_INT(now_us), DB_INT(now_us - STORE_KEY_AGE_US));
	if (e != ERR_OK)
		return e;
	key->ref = ref;
	if (r.rows > 0)
		return ERR_OK;
	e = key_read(db, a, tenant, key, now_us, info);
	key->is_made = e == ERR_OK;
	/* Our own, when the answer to an earlier COMMIT was lost. */
	key->is_replay = e == ERR_OK && !str_eq(key->ref, ref);
	/* It went just now: the transaction begins again. */
	return e == ERR_NOT_FOUND ? ERR_RETRY : e;
}

enum err
store_key_rename(struct db *db, struct arena *a, const char *tenant,
    struct store_key *key, const char *ref)
{
	if (key == NULL)
		return ERR_OK;
	key->ref = ref;
	return DB_QUEUE(db, STMT_KEY_RENAME, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(key->text), DB_TEXT(ref));
}

static enum err
key_find_tx(struct db *db, void *arg)
{
	struct key_call *c = arg;

	return key_read(db, c->a, c->tenant, c->key, c->now_us, c->info);
}

enum err
store_key_find(struct store *store, struct arena *a, const char *tenant,
    struct store_key *key, struct err_info *info)
{
	struct key_call c = {.a = a,
	    .tenant = tenant,
	    .key = key,
	    .now_us = clock_wall_us(),
	    .info = info};

	return store_tx(store, DB_READ_ONE, key_find_tx, &c, info);
}

static enum err
key_answer_tx(struct db *db, void *arg)
{
	struct key_call *c = arg;

	return DB_RUN(db, STMT_KEY_ANSWER, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->key->text), DB_TEXT(c->key->hash), DB_INT(c->status),
	    DB_TEXT(c->answer));
}

enum err
store_key_answer(struct store *store, const char *tenant,
    const struct store_key *key, int64_t status, const char *answer)
{
	struct store_key copy = *key;
	struct key_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .key = &copy,
	    .status = status,
	    .answer = answer};
	enum err e = store_tx(store, DB_WRITE, key_answer_tx, &c, NULL);

	arena_free(&c.a);
	return e;
}

static enum err
key_sweep_tx(struct db *db, void *arg)
{
	struct key_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_KEY_SWEEP, c->a, &r,
	    DB_INT(c->now_us - STORE_KEY_AGE_US), DB_INT(KEY_SWEEP_MAX));
	c->n = e == ERR_OK ? (int64_t)r.rows : 0;
	return e;
}

enum err
store_key_sweep(struct store *store, int64_t now_us, int64_t *n)
{
	struct key_call c = {.a = arena_new(0), .now_us = now_us};
	enum err e = store_tx(store, DB_WRITE, key_sweep_tx, &c, NULL);

	arena_free(&c.a);
	*n = c.n;
	return e;
}
