/* SPDX-License-Identifier: MIT
 *
 * Memory as a whole: many entries at once, putting it in order, and what
 * happened to it.
 */
#include "base/str.h"
#include "store/store_memory_tx.h"

struct memory_upkeep {
	struct arena *a;
	const char *tenant;
	int64_t now;
	struct store_memory *rows;
	size_t n;
	bool is_overwriting;
	enum err *outcomes;
	struct store_memory_prune *prune;
	int64_t checked, repaired;
	int64_t from_us, until_us;
	struct db_result found;
};

/* ---- many at once ---- */

static enum err
memory_put_one(struct db *db, struct memory_upkeep *u, size_t i)
{
	struct store_memory m = u->rows[i];
	struct store_memory before;
	struct err_info info = {0};
	/* One after the other: the first of equals is the oldest. */
	int64_t now = u->now + (int64_t)i;

	u->outcomes[i] = ERR_OK;
	if (m.key != NULL && !u->is_overwriting) {
		enum err e =
		    store_memory_find(db, u->a, u->tenant, m.key, now, &before);
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			return e;
		if (e == ERR_OK && str_eq(before.key, m.key)) {
			u->outcomes[i] = ERR_EXISTS;
			return ERR_OK;
		}
	}
	/* Said before anything is written. */
	enum err e = store_memory_put_tx(db, u->a, u->tenant, &m, now, &info);
	if (e == ERR_INVALID) {
		u->outcomes[i] = e;
		return ERR_OK;
	}
	return e;
}

static enum err
memory_put_all_call(struct db *db, void *arg)
{
	struct memory_upkeep *u = arg;
	int64_t expired;

	enum err e = store_memory_lock(db, u->a, u->tenant, u->now, &expired);
	for (size_t i = 0; e == ERR_OK && i < u->n; i++)
		e = memory_put_one(db, u, i);
	return e;
}

enum err
store_memory_put_all(struct store *store, struct arena *a, const char *tenant,
    struct store_memory *rows, size_t n, bool is_overwriting, int64_t now,
    enum err *outcomes)
{
	struct memory_upkeep u = {.a = a,
	    .tenant = tenant,
	    .rows = rows,
	    .n = n,
	    .is_overwriting = is_overwriting,
	    .outcomes = outcomes,
	    .now = now};

	return store_tx(store, DB_WRITE, memory_put_all_call, &u, NULL);
}

/* ---- order ---- */

static enum err
memory_prune_call(struct db *db, void *arg)
{
	struct memory_upkeep *u = arg;
	struct store_memory_prune *p = u->prune;
	struct db_result gone, old;

	enum err e =
	    store_memory_lock(db, u->a, u->tenant, u->now, &p->expired);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_TALLIES_DROP, u->a, &old,
		    DB_TEXT(u->tenant),
		    DB_INT(u->now - STORE_MEMORY_TALLIES_US));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_PRUNE, u->a, &gone,
		    DB_TEXT(u->tenant), DB_INT(p->tier),
		    DB_INT(p->importance_ppm), DB_INT(p->until_us));
	if (e != ERR_OK)
		return e;
	p->tallies = (int64_t)old.rows;
	p->pruned = (int64_t)gone.rows;
	p->bytes = 0;
	for (size_t i = 0; i < gone.rows; i++)
		p->bytes += db_int(&gone, i, 1);
	return store_memory_tally_rows(
	    db, u->a, u->tenant, MEMORY_DELETED, &gone, u->now);
}

enum err
store_memory_prune(struct store *store, const char *tenant, int64_t now,
    struct store_memory_prune *prune)
{
	struct memory_upkeep u = {
	    .a = arena_new(0), .tenant = tenant, .prune = prune, .now = now};
	enum err e = store_tx(store, DB_WRITE, memory_prune_call, &u, NULL);

	arena_free(&u.a);
	return e;
}

static enum err
memory_rebuild_call(struct db *db, void *arg)
{
	struct memory_upkeep *u = arg;
	struct db_result r, changed;
	int64_t expired;

	u->repaired = 0;
	enum err e = store_memory_lock(db, u->a, u->tenant, u->now, &expired);
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_LIST, u->a, &r, DB_TEXT(u->tenant),
		    DB_INT(u->now), DB_INT(MEMORY_ITEMS_MAX), DB_INT(0));
	if (e != ERR_OK)
		return e;
	u->checked = (int64_t)r.rows;
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		struct store_memory m = store_memory_from(&r, i);
		m.bytes = store_memory_bytes(&m);
		e = DB_RUN(db, STMT_MEMORY_REPAIR, u->a, &changed,
		    DB_TEXT(u->tenant), DB_TEXT(m.id), DB_INT(m.bytes),
		    DB_INT(store_memory_due(&m)));
		u->repaired += e == ERR_OK && changed.rows > 0;
	}
	return e;
}

enum err
store_memory_rebuild(struct store *store, const char *tenant, int64_t now,
    int64_t *checked, int64_t *repaired)
{
	struct memory_upkeep u = {
	    .a = arena_new(0), .tenant = tenant, .now = now};
	enum err e = store_tx(store, DB_WRITE, memory_rebuild_call, &u, NULL);

	*checked = u.checked;
	*repaired = u.repaired;
	arena_free(&u.a);
	return e;
}

/* ---- what happened ---- */

static enum err
memory_tallies_call(struct db *db, void *arg)
{
	struct memory_upkeep *u = arg;

	return DB_RUN(db, STMT_MEMORY_TALLIES, u->a, &u->found,
	    DB_TEXT(u->tenant), DB_INT(u->from_us), DB_INT(u->until_us));
}

enum err
store_memory_tallies(struct store *store, struct arena *a, const char *tenant,
    int64_t from_us, int64_t until_us, struct store_memory_tally **rows,
    size_t *n)
{
	struct memory_upkeep u = {
	    .a = a, .tenant = tenant, .from_us = from_us, .until_us = until_us};
	enum err e =
	    store_tx(store, DB_READ_ONE, memory_tallies_call, &u, NULL);
	size_t found = e == ERR_OK ? u.found.rows : 0;

	*n = 0;
	*rows = ARENA_ARRAY(a, found + 1, struct store_memory_tally);
	for (size_t i = 0; i < found; i++) {
		struct store_memory_tally *t = &(*rows)[*n];
		/* A newer program may count what this one does not know. */
		if (!memory_deed_find(db_text(&u.found, i, 1), &t->deed))
			continue;
		t->hour_us = db_int(&u.found, i, 0);
		t->tier = (int)db_int(&u.found, i, 2);
		t->n = db_int(&u.found, i, 3);
		(*n)++;
	}
	return e;
}

/* ---- of all tenants ---- */

struct memory_totals {
	struct arena *a;
	int64_t now;
	struct store_memory_total *totals;
};

static enum err
memory_totals_call(struct db *db, void *arg)
{
	struct memory_totals *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_MEMORY_TOTALS, c->a, &r, DB_INT(c->now));
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		c->totals[i] = (struct store_memory_total){0};
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		int64_t tier = db_int(&r, i, 0);
		if (tier < 0 || tier >= MEMORY_TIER__COUNT)
			continue;
		c->totals[tier] =
		    (struct store_memory_total){.tenants = db_int(&r, i, 1),
			.count = db_int(&r, i, 2),
			.bytes = db_int(&r, i, 3),
			.most_count = db_int(&r, i, 4),
			.most_bytes = db_int(&r, i, 5)};
	}
	return e;
}

enum err
store_memory_totals(
    struct store *store, int64_t now_us, struct store_memory_total *totals)
{
	struct memory_totals c = {
	    .a = arena_new(0), .now = now_us, .totals = totals};
	enum err e = store_tx(store, DB_READ_ONE, memory_totals_call, &c, NULL);

	arena_free(&c.a);
	return e;
}
