/* SPDX-License-Identifier: MIT
 *
 * Users, and how often a login was tried.
 */
#include "store/store_account.h"

#include "base/clock.h"
#include "store/store_tenant.h"
#include "store/store_tx.h"

struct store_accounts {
	struct arena *a;
	const struct store_tenant *new_tenant;
	const struct store_user *user;
	const struct store_session *session;
	const char *tenant, *id, *email, *hash, *keep;
	bool is_active, is_rehash;
	int64_t limit, offset, total;
	struct store_user *rows;
	size_t n;
	const struct store_login_gate *gates;
	int64_t wait_us;
	const char *const *tenants;
	int64_t *revs;
	const char *taken; /* what exists already */
};

static void
store_user_from(const struct db_result *r, size_t i, struct store_user *u)
{
	*u = (struct store_user){.id = db_text(r, i, 0),
	    .tenant = db_text(r, i, 1),
	    .email = db_text(r, i, 2),
	    .name = db_text(r, i, 3),
	    .password_hash = db_text(r, i, 4),
	    .role = db_text(r, i, 5),
	    .avatar_url = db_text(r, i, 6),
	    .metadata = db_text(r, i, 7),
	    .token_version = db_int(r, i, 8),
	    .is_active = db_int(r, i, 9) != 0,
	    .created_us = db_int(r, i, 10),
	    .updated_us = db_int(r, i, 11),
	    .last_login_us = db_int(r, i, 12)};
}

enum err
store_access_bump(struct db *db, struct arena *a, const char *tenant)
{
	return DB_RUN(db, STMT_ACCESS_BUMP, a, NULL, DB_TEXT(tenant),
	    DB_INT(clock_wall_us()));
}

static enum err
store_user_create_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	const struct store_user *u = q->user;
	enum err e = ERR_OK;

	q->taken = "slug";
	if (q->new_tenant != NULL)
		e = store_tenant_insert(db, q->a, q->new_tenant);
	if (e != ERR_OK)
		return e;
	q->taken = "email";
	e = DB_RUN(db, STMT_USER_INSERT, q->a, NULL, DB_TEXT(u->tenant),
	    DB_TEXT(u->id), DB_TEXT(u->email), DB_TEXT(u->name),
	    DB_TEXT(u->password_hash), DB_TEXT(u->role),
	    DB_TEXT(u->metadata == NULL ? "{}" : u->metadata),
	    DB_INT(clock_wall_us()));
	if (e != ERR_OK || q->session == NULL)
		return e;
	e = store_session_insert(db, q->a, q->session);
	return e != ERR_OK
	    ? e
	    : DB_RUN(db, STMT_USER_LOGIN, q->a, NULL, DB_TEXT(u->tenant),
		  DB_TEXT(u->id), DB_INT(clock_wall_us()));
}

enum err
store_user_create(struct store *store, const struct store_tenant *t,
    const struct store_user *u, const struct store_session *s,
    struct err_info *info)
{
	struct store_accounts q = {
	    .a = arena_new(0), .new_tenant = t, .user = u, .session = s};
	enum err e = store_tx(store, DB_WRITE, store_user_create_tx, &q, NULL);

	arena_free(&q.a);
	return e == ERR_EXISTS ? err_set(info, e, q.taken, "is taken") : e;
}

/* One row of one statement. */
static enum err
store_user_one(struct store_accounts *q, const struct db_result *r, enum err e)
{
	if (e != ERR_OK)
		return e;
	if (r->rows == 0)
		return ERR_NOT_FOUND;
	store_user_from(r, 0, q->rows);
	return ERR_OK;
}

static enum err
store_user_by_email_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;
	enum err e =
	    DB_RUN(db, STMT_USER_BY_EMAIL, q->a, &r, DB_TEXT(q->email));

	return store_user_one(q, &r, e);
}

enum err
store_user_by_email(struct store *store, struct arena *a, const char *email,
    struct store_user *out)
{
	struct store_accounts q = {.a = a, .email = email, .rows = out};

	return store_tx(store, DB_READ_ONE, store_user_by_email_tx, &q, NULL);
}

static enum err
store_user_get_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;
	enum err e = DB_RUN(
	    db, STMT_USER_GET, q->a, &r, DB_TEXT(q->tenant), DB_TEXT(q->id));

	return store_user_one(q, &r, e);
}

enum err
store_user_get(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_user *out)
{
	struct store_accounts q = {
	    .a = a, .tenant = tenant, .id = id, .rows = out};

	return store_tx(store, DB_READ_ONE, store_user_get_tx, &q, NULL);
}

static enum err
store_user_list_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_USER_COUNT, q->a, &r, DB_TEXT(q->tenant));
	if (e != ERR_OK)
		return e;
	q->total = db_int(&r, 0, 0);
	e = DB_RUN(db, STMT_USER_LIST, q->a, &r, DB_TEXT(q->tenant),
	    DB_INT(q->limit), DB_INT(q->offset));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_user);
	for (size_t i = 0; i < r.rows; i++)
		store_user_from(&r, i, &q->rows[i]);
	return ERR_OK;
}

enum err
store_user_list(struct store *store, struct arena *a, const char *tenant,
    int64_t limit, int64_t offset, struct store_user **rows, size_t *n,
    int64_t *total)
{
	struct store_accounts q = {
	    .a = a, .tenant = tenant, .limit = limit, .offset = offset};
	enum err e = store_tx(store, DB_READ, store_user_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	*total = q.total;
	return e;
}

static enum err
store_user_count_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;
	enum err e = DB_RUN(db, STMT_USER_COUNT, q->a, &r, DB_TEXT(q->tenant));

	if (e == ERR_OK)
		q->total = db_int(&r, 0, 0);
	return e;
}

enum err
store_user_count(struct store *store, const char *tenant, int64_t *n)
{
	struct store_accounts q = {.a = arena_new(0), .tenant = tenant};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_user_count_tx, &q, NULL);

	arena_free(&q.a);
	*n = q.total;
	return e;
}

static enum err
store_user_change_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	const struct store_user *u = q->user;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_USER_PROFILE, q->a, &r, DB_TEXT(u->tenant),
	    DB_TEXT(u->id), DB_TEXT(u->name), DB_TEXT(u->avatar_url),
	    DB_TEXT(u->metadata), DB_TEXT(u->role), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND
			   : store_access_bump(db, q->a, u->tenant);
}

enum err
store_user_change(struct store *store, const struct store_user *u)
{
	struct store_accounts q = {.a = arena_new(0), .user = u};
	enum err e = store_tx(store, DB_WRITE, store_user_change_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

/* Every session ends, and every signed token. */
static enum err
store_user_void(struct db *db, struct store_accounts *q)
{
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_USER_VOID, q->a, &r, DB_TEXT(q->tenant), DB_TEXT(q->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	e = DB_RUN(db, STMT_SESSION_REVOKE_ALL, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->id), DB_TEXT(""), DB_INT(clock_wall_us()));
	q->n = e == ERR_OK ? r.rows : 0;
	return e != ERR_OK ? e : store_access_bump(db, q->a, q->tenant);
}

static enum err
store_user_set_active_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_USER_ACTIVE, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->id), DB_INT(q->is_active), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	return q->is_active ? ERR_OK : store_user_void(db, q);
}

enum err
store_user_set_active(
    struct store *store, const char *tenant, const char *id, bool is_active)
{
	struct store_accounts q = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .is_active = is_active};
	enum err e =
	    store_tx(store, DB_WRITE, store_user_set_active_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_user_password_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;

	enum err e =
	    DB_RUN(db, STMT_USER_PASSWORD, q->a, &r, DB_TEXT(q->tenant),
		DB_TEXT(q->id), DB_TEXT(q->hash), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	if (q->is_rehash)
		return ERR_OK;
	if (q->keep == NULL)
		return store_user_void(db, q);
	e = DB_RUN(db, STMT_SESSION_REVOKE_ALL, q->a, &r, DB_TEXT(q->tenant),
	    DB_TEXT(q->id), DB_TEXT(q->keep), DB_INT(clock_wall_us()));
	return e != ERR_OK ? e : store_access_bump(db, q->a, q->tenant);
}

enum err
store_user_set_password(struct store *store, const char *tenant, const char *id,
    const char *hash, const char *keep)
{
	struct store_accounts q = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .hash = hash,
	    .keep = keep};
	enum err e =
	    store_tx(store, DB_WRITE, store_user_password_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

enum err
store_user_rehash(
    struct store *store, const char *tenant, const char *id, const char *hash)
{
	struct store_accounts q = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = id,
	    .hash = hash,
	    .is_rehash = true};
	enum err e =
	    store_tx(store, DB_WRITE, store_user_password_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_user_void_tx(struct db *db, void *arg)
{
	return store_user_void(db, arg);
}

enum err
store_session_revoke_all(
    struct store *store, const char *tenant, const char *user_id, size_t *n)
{
	struct store_accounts q = {
	    .a = arena_new(0), .tenant = tenant, .id = user_id};
	enum err e = store_tx(store, DB_WRITE, store_user_void_tx, &q, NULL);

	arena_free(&q.a);
	if (n != NULL)
		*n = e == ERR_OK ? q.n : 0;
	return e;
}

/* ---- logins that fail ---- */

/* A day after the last attempt nothing is left of it. */
#define STORE_LOGIN_KEPT_US (86400 * INT64_C(1000000))

struct store_login_state {
	int64_t failures, since_us, until_us;
};

static enum err
store_login_hold(struct db *db, struct store_accounts *q,
    const struct store_login_gate *g, int64_t now_us,
    struct store_login_state *out)
{
	struct db_result r;
	enum err e = DB_RUN(
	    db, STMT_LOGIN_HOLD, q->a, &r, DB_TEXT(g->id), DB_INT(now_us));

	if (e == ERR_OK)
		*out = (struct store_login_state){.failures = db_int(&r, 0, 0),
		    .since_us = db_int(&r, 0, 1),
		    .until_us = db_int(&r, 0, 2)};
	return e;
}

static enum err
store_login_put(struct db *db, struct store_accounts *q,
    const struct store_login_gate *g, const struct store_login_state *s)
{
	return DB_RUN(db, STMT_LOGIN_PUT, q->a, NULL, DB_TEXT(g->id),
	    DB_INT(s->failures), DB_INT(s->since_us), DB_INT(s->until_us));
}

/* One more failure, as of now. */
static void
store_login_count(const struct store_login_gate *g, int64_t now_us,
    struct store_login_state *s)
{
	int64_t last_us = s->until_us > s->since_us ? s->until_us : s->since_us;

	if (now_us - last_us > g->window_us)
		*s = (struct store_login_state){.since_us = now_us};
	s->failures++;
	if (s->failures < g->free)
		return;
	int64_t wait_us = g->wait_us;
	for (int64_t i = g->free; i < s->failures && wait_us < g->max_wait_us;
	     i++)
		wait_us *= 2;
	s->until_us =
	    now_us + (wait_us < g->max_wait_us ? wait_us : g->max_wait_us);
}

static enum err
store_login_try_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	int64_t now_us = clock_wall_us();
	enum err e = ERR_OK;

	q->wait_us = 0;
	for (size_t i = 0; i < q->n && e == ERR_OK; i++) {
		struct store_login_state s;
		e = store_login_hold(db, q, &q->gates[i], now_us, &s);
		if (e == ERR_OK && s.until_us > now_us) {
			q->wait_us = s.until_us - now_us;
			return ERR_BUSY;
		}
		if (e != ERR_OK)
			break;
		store_login_count(&q->gates[i], now_us, &s);
		e = store_login_put(db, q, &q->gates[i], &s);
	}
	return e;
}

enum err
store_login_try(struct store *store, const struct store_login_gate *gates,
    size_t n, int64_t *wait_us)
{
	struct store_accounts q = {.a = arena_new(0), .gates = gates, .n = n};
	enum err e = store_tx(store, DB_WRITE, store_login_try_tx, &q, NULL);

	arena_free(&q.a);
	*wait_us = q.wait_us;
	return e;
}

static enum err
store_login_passed_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	int64_t now_us = clock_wall_us();
	enum err e = ERR_OK;

	for (size_t i = 0; i < q->n && e == ERR_OK; i++) {
		struct store_login_state s;
		e = store_login_hold(db, q, &q->gates[i], now_us, &s);
		if (e != ERR_OK)
			break;
		s.failures = i == 0 || s.failures == 0 ? 0 : s.failures - 1;
		s.until_us = 0;
		e = store_login_put(db, q, &q->gates[i], &s);
	}
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_LOGIN_TRIM, q->a, NULL,
	    DB_INT(now_us - STORE_LOGIN_KEPT_US));
}

enum err
store_login_passed(
    struct store *store, const struct store_login_gate *gates, size_t n)
{
	struct store_accounts q = {.a = arena_new(0), .gates = gates, .n = n};
	enum err e = store_tx(store, DB_WRITE, store_login_passed_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_access_revs_tx(struct db *db, void *arg)
{
	struct store_accounts *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_ACCESS_REVS, q->a, &r,
	    DB_TEXT(store_id_list(q->a, q->tenants, NULL, q->n)));
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < q->n; i++)
		q->revs[i] = 0;
	for (size_t i = 0; i < r.rows; i++)
		q->revs[db_int(&r, i, 0)] = db_int(&r, i, 1);
	return ERR_OK;
}

enum err
store_access_revs(struct store *store, struct arena *a,
    const char *const *tenants, size_t n, int64_t *revs)
{
	struct store_accounts q = {
	    .a = a, .tenants = tenants, .n = n, .revs = revs};

	return store_tx(store, DB_READ_ONE, store_access_revs_tx, &q, NULL);
}
