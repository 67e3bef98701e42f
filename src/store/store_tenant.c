/* SPDX-License-Identifier: MIT */
#include "store/store_tenant.h"

#include "base/clock.h"
#include "base/str.h"
#include "store/store_tx.h"

struct store_tenants {
	struct arena *a;
	const struct store_tenant *tenant;
	const char *id, *status, *owner;
	int64_t limit, offset, since_us, total, updated_us;
	struct store_tenant *rows;
	size_t n;
	store_merge_fn merge;
	void *arg;
	const char *data;
};

static void
store_tenant_from(const struct db_result *r, size_t i, struct store_tenant *t)
{
	*t = (struct store_tenant){.id = db_text(r, i, 0),
	    .name = db_text(r, i, 1),
	    .slug = db_text(r, i, 2),
	    .owner_id = db_text(r, i, 3),
	    .plan = db_text(r, i, 4),
	    .status = db_text(r, i, 5),
	    .settings = db_text(r, i, 6),
	    .max_debates_month = db_int(r, i, 7),
	    .access_rev = db_int(r, i, 8),
	    .created_us = db_int(r, i, 9),
	    .updated_us = db_int(r, i, 10)};
	if (t->slug == NULL)
		t->slug = t->id;
}

enum err
store_tenant_insert(
    struct db *db, struct arena *a, const struct store_tenant *t)
{
	return DB_RUN(db, STMT_TENANT_INSERT, a, NULL, DB_TEXT(t->id),
	    DB_TEXT(t->name), DB_TEXT(t->slug), DB_TEXT(t->owner_id),
	    DB_TEXT(t->plan), DB_TEXT(t->status), DB_TEXT(t->settings),
	    DB_INT(clock_wall_us()));
}

static enum err
store_tenant_create_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;

	return store_tenant_insert(db, q->a, q->tenant);
}

enum err
store_tenant_create(struct store *store, const struct store_tenant *t)
{
	struct store_tenants q = {.a = arena_new(0), .tenant = t};
	enum err e =
	    store_tx(store, DB_WRITE, store_tenant_create_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_tenant_get_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_TENANT_GET, q->a, &r, DB_TEXT(q->id));
	if (e != ERR_OK)
		return e;
	if (r.rows > 0)
		store_tenant_from(&r, 0, q->rows);
	else
		*q->rows = (struct store_tenant){.id = q->id,
		    .name = q->id,
		    .slug = q->id,
		    .plan = "free",
		    .status = "active",
		    .settings = "{}",
		    .max_debates_month = -1};
	return ERR_OK;
}

enum err
store_tenant_get(struct store *store, struct arena *a, const char *id,
    struct store_tenant *out)
{
	struct store_tenants q = {.a = a, .id = id, .rows = out};

	return store_tx(store, DB_READ_ONE, store_tenant_get_tx, &q, NULL);
}

static enum err
store_tenant_list_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;

	enum err e =
	    DB_RUN(db, STMT_TENANT_COUNT, q->a, &r, DB_TEXT(q->status));
	if (e != ERR_OK)
		return e;
	q->total = db_int(&r, 0, 0);
	e = DB_RUN(db, STMT_TENANT_LIST, q->a, &r, DB_TEXT(q->status),
	    DB_INT(q->limit), DB_INT(q->offset));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_tenant);
	for (size_t i = 0; i < r.rows; i++)
		store_tenant_from(&r, i, &q->rows[i]);
	return ERR_OK;
}

enum err
store_tenant_list(struct store *store, struct arena *a, const char *status,
    int64_t limit, int64_t offset, struct store_tenant **rows, size_t *n,
    int64_t *total)
{
	struct store_tenants q = {
	    .a = a, .status = status, .limit = limit, .offset = offset};
	enum err e = store_tx(store, DB_READ, store_tenant_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	*total = q.total;
	return e;
}

static enum err
store_tenant_ensure(struct db *db, struct store_tenants *q, const char *id)
{
	return DB_RUN(db, STMT_TENANT_ENSURE, q->a, NULL, DB_TEXT(id),
	    DB_INT(clock_wall_us()));
}

static enum err
store_tenant_change_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	const struct store_tenant *t = q->tenant;
	struct db_result r;

	enum err e = store_tenant_ensure(db, q, t->id);
	if (e != ERR_OK)
		return e;
	/* A slug that only stands in for the id is none. */
	e = DB_RUN(db, STMT_TENANT_CHANGE, q->a, &r, DB_TEXT(t->id),
	    DB_TEXT(t->name), DB_TEXT(str_eq(t->slug, t->id) ? NULL : t->slug),
	    DB_TEXT(t->owner_id), DB_TEXT(t->plan), DB_TEXT(t->settings),
	    DB_INT(t->max_debates_month), DB_INT(clock_wall_us()));
	return e == ERR_OK && r.rows == 0 ? ERR_NOT_FOUND : e;
}

enum err
store_tenant_change(struct store *store, const struct store_tenant *t)
{
	struct store_tenants q = {.a = arena_new(0), .tenant = t};
	enum err e =
	    store_tx(store, DB_WRITE, store_tenant_change_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_tenant_status_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;

	enum err e = store_tenant_ensure(db, q, q->id);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_TENANT_STATUS, q->a, &r, DB_TEXT(q->id),
		    DB_TEXT(q->status), DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND : store_access_bump(db, q->a, q->id);
}

enum err
store_tenant_set_status(struct store *store, const char *id, const char *status)
{
	struct store_tenants q = {
	    .a = arena_new(0), .id = id, .status = status};
	enum err e =
	    store_tx(store, DB_WRITE, store_tenant_status_tx, &q, NULL);

	arena_free(&q.a);
	return e;
}

static enum err
store_tenant_debates_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;
	enum err e = DB_RUN(db, STMT_DEBATE_MONTH, q->a, &r, DB_TEXT(q->id),
	    DB_INT(q->since_us));

	if (e == ERR_OK)
		q->total = db_int(&r, 0, 0);
	return e;
}

enum err
store_tenant_debates(
    struct store *store, const char *id, int64_t since_us, int64_t *n)
{
	struct store_tenants q = {
	    .a = arena_new(0), .id = id, .since_us = since_us};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_tenant_debates_tx, &q, NULL);

	arena_free(&q.a);
	*n = q.total;
	return e;
}

/* ---- preferences ---- */

static enum err
store_preferences_get_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_PREFERENCES_GET, q->a, &r, DB_TEXT(q->id),
	    DB_TEXT(q->owner));
	if (e != ERR_OK)
		return e;
	q->data = r.rows == 0 ? "{}" : db_text(&r, 0, 0);
	q->updated_us = r.rows == 0 ? 0 : db_int(&r, 0, 1);
	return ERR_OK;
}

enum err
store_preferences_get(struct store *store, struct arena *a, const char *tenant,
    const char *owner, const char **data, int64_t *updated_us)
{
	struct store_tenants q = {.a = a, .id = tenant, .owner = owner};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_preferences_get_tx, &q, NULL);

	*data = q.data;
	*updated_us = q.updated_us;
	return e;
}

static enum err
store_preferences_put_tx(struct db *db, void *arg)
{
	struct store_tenants *q = arg;
	struct db_result r;

	q->updated_us = clock_wall_us();
	enum err e = DB_RUN(db, STMT_PREFERENCES_HOLD, q->a, &r, DB_TEXT(q->id),
	    DB_TEXT(q->owner), DB_INT(q->updated_us));
	if (e == ERR_OK)
		e = q->merge(q->arg, q->a, db_text(&r, 0, 0), &q->data);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_PREFERENCES_PUT, q->a, NULL, DB_TEXT(q->id),
	    DB_TEXT(q->owner), DB_TEXT(q->data), DB_INT(q->updated_us));
}

enum err
store_preferences_put(struct store *store, struct arena *a, const char *tenant,
    const char *owner, store_merge_fn merge, void *arg, const char **data,
    int64_t *updated_us)
{
	struct store_tenants q = {
	    .a = a, .id = tenant, .owner = owner, .merge = merge, .arg = arg};
	enum err e =
	    store_tx(store, DB_WRITE, store_preferences_put_tx, &q, NULL);

	*data = q.data;
	*updated_us = q.updated_us;
	return e;
}
