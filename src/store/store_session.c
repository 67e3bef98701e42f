/* SPDX-License-Identifier: MIT
 *
 * Sessions: one login and what it was refreshed to.
 */
#include "base/clock.h"
#include "store/store_account.h"
#include "store/store_tx.h"

#define STORE_SEEN_US (60 * INT64_C(1000000))
/* Revoked and expired ones are kept a while: a stolen refresh token that
 * comes late is still told from one that never was. */
#define STORE_SESSION_KEPT_US (7 * 86400 * INT64_C(1000000))

struct store_sessions {
	struct arena *a;
	const struct store_session *session;
	const char *tenant, *id, *user_id;
	const char *old_hash, *new_hash;
	int64_t expires_us, seen_us;
	bool is_reused;
	struct store_access *access;
	struct store_session *rows;
	size_t n;
};

enum err
store_session_insert(
    struct db *db, struct arena *a, const struct store_session *s)
{
	return DB_RUN(db, STMT_SESSION_INSERT, a, NULL, DB_TEXT(s->tenant),
	    DB_TEXT(s->id), DB_TEXT(s->user_id), DB_TEXT(s->refresh_hash),
	    DB_TEXT(s->device), DB_TEXT(s->address), DB_INT(clock_wall_us()),
	    DB_INT(s->expires_us));
}

static enum err
store_session_create_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;
	const struct store_session *s = q->session;
	int64_t now_us = clock_wall_us();

	enum err e =
	    DB_RUN(db, STMT_SESSION_TRIM, q->a, NULL, DB_TEXT(s->tenant),
		DB_TEXT(s->user_id), DB_INT(now_us - STORE_SESSION_KEPT_US));
	if (e == ERR_OK)
		e = store_session_insert(db, q->a, s);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_USER_LOGIN, q->a, NULL, DB_TEXT(s->tenant),
		    DB_TEXT(s->user_id), DB_INT(now_us));
	return e;
}

enum err
store_session_create(struct store *store, const struct store_session *s)
{
	struct store_sessions q = {.a = arena_new(0), .session = s};
	enum err e =
	    store_tx(store, DB_WRITE, store_session_create_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_session_check_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_SESSION_CHECK, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->id), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	q->seen_us = db_int(&r, 0, 5);
	*q->access = (struct store_access){.user_id = db_text(&r, 0, 0),
	    .email = db_text(&r, 0, 1),
	    .name = db_text(&r, 0, 2),
	    .role = db_text(&r, 0, 3),
	    .token_version = db_int(&r, 0, 4),
	    .is_active = true,
	    .plan = db_text(&r, 0, 7),
	    .status = db_text(&r, 0, 8),
	    .access_rev = db_int(&r, 0, 9)};
	return ERR_OK;
}

static enum err
store_session_touch_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;

	return DB_RUN(db, STMT_SESSION_TOUCH, q->a, NULL, DB_TEXT(q->tenant),
	    DB_TEXT(q->id), DB_INT(clock_wall_us()));
}

enum err
store_session_check(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_access *out)
{
	struct store_sessions q = {
	    .a = a, .tenant = tenant, .id = id, .access = out};

	enum err e =
	    store_tx(store, DB_READ_ONE, store_session_check_tx, &q, NULL);
	if (e != ERR_OK)
		return e;
	/* A courtesy, as for keys. */
	if (clock_wall_us() - q.seen_us > STORE_SEEN_US)
		(void)!store_tx(
		    store, DB_WRITE, store_session_touch_tx, &q, NULL);
	return ERR_OK;
}

static enum err
store_session_rotate_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;
	struct db_result r;
	int64_t now_us = clock_wall_us();

	q->is_reused = false;
	enum err e = DB_RUN(db, STMT_SESSION_ROTATE, q->a, &r,
	    DB_TEXT(q->tenant), DB_TEXT(q->id), DB_TEXT(q->old_hash),
	    DB_TEXT(q->new_hash), DB_INT(now_us), DB_INT(q->expires_us));
	if (e != ERR_OK || r.rows > 0)
		return e;
	e = DB_RUN(db, STMT_SESSION_REVOKE, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->id), DB_TEXT(""), DB_INT(now_us));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	q->is_reused = true; /* the revocation is to be kept */
	return store_access_bump(db, q->a, q->tenant);
}

enum err
store_session_rotate(struct store *store, const char *tenant, const char *id,
    const char *old_hash, const char *new_hash, int64_t expires_us)
{
	struct store_sessions q = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .old_hash = old_hash,
	    .new_hash = new_hash,
	    .expires_us = expires_us};
	enum err e =
	    store_tx(store, DB_WRITE, store_session_rotate_tx, &q, NULL);

	arena_free(&q.a);
	return e == ERR_OK && q.is_reused ? ERR_DENIED : e;
}

static enum err
store_session_list_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_SESSION_LIST, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->user_id), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_session);
	for (size_t i = 0; i < r.rows; i++)
		q->rows[i] = (struct store_session){.id = db_text(&r, i, 0),
		    .tenant = q->tenant,
		    .user_id = q->user_id,
		    .device = db_text(&r, i, 1),
		    .address = db_text(&r, i, 2),
		    .created_us = db_int(&r, i, 3),
		    .seen_us = db_int(&r, i, 4),
		    .expires_us = db_int(&r, i, 5)};
	return ERR_OK;
}

enum err
store_session_list(struct store *store, struct arena *a, const char *tenant,
    const char *user_id, struct store_session **rows, size_t *n)
{
	struct store_sessions q = {
	    .a = a, .tenant = tenant, .user_id = user_id};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_session_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
store_session_revoke_tx(struct db *db, void *arg)
{
	struct store_sessions *q = arg;
	struct db_result r;

	enum err e =
	    DB_RUN(db, STMT_SESSION_REVOKE, q->a, &r, DB_TEXT(q->tenant),
		DB_TEXT(q->id), DB_TEXT(q->user_id == NULL ? "" : q->user_id),
		DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND
			   : store_access_bump(db, q->a, q->tenant);
}

enum err
store_session_revoke(struct store *store, const char *tenant,
    const char *user_id, const char *id)
{
	struct store_sessions q = {
	    .a = arena_new(0), .tenant = tenant, .user_id = user_id, .id = id};
	enum err e =
	    store_tx(store, DB_WRITE, store_session_revoke_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}
