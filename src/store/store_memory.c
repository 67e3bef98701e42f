/* SPDX-License-Identifier: MIT */
#include "store/store_memory.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "store/store_tx.h"

#define MEMORY_WORST_PAGE 64
#define MEMORY_DUE_PAGE	  64
#define MEMORY_TENANTS	  16

static struct store_memory
memory_from(const struct db_result *r, size_t row)
{
	return (struct store_memory){.id = db_text(r, row, 0),
	    .key = db_text(r, row, 1),
	    .tier = (enum memory_tier)db_int(r, row, 2),
	    .domain = db_text(r, row, 3),
	    .content = db_text(r, row, 4),
	    .body = db_text(r, row, 5),
	    .debate_id = db_text(r, row, 6),
	    .bytes = db_int(r, row, 7),
	    .importance_ppm = db_int(r, row, 8),
	    .surprise_ppm = db_int(r, row, 9),
	    .updates = db_int(r, row, 10),
	    .moves = db_int(r, row, 11),
	    .created_us = db_int(r, row, 12),
	    .updated_us = db_int(r, row, 13),
	    .accessed_us = db_int(r, row, 14),
	    .moved_us = db_int(r, row, 15),
	    .expires_us = db_int(r, row, 16)};
}

static int64_t
memory_due_of(const struct store_memory *m)
{
	const struct memory_state state = {.tier = m->tier,
	    .surprise_ppm = m->surprise_ppm,
	    .updates = m->updates,
	    .moved_us = m->moved_us,
	    .expires_us = m->expires_us};
	return memory_due(&state);
}

/* ---- writing ---- */

/* The tenant's board is ours until the end of the transaction, and what has
 * expired is gone. */
static enum err
memory_lock(struct db *db, struct arena *a, const char *tenant, int64_t now)
{
	struct db_result turn, gone;

	enum err e = DB_QUEUE(db, STMT_MEMORY_LOCK, a, &turn, DB_TEXT(tenant));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_EXPIRE, a, &gone, DB_TEXT(tenant),
		    DB_INT(now));
	return e;
}

/* By key, else by id. */
static enum err
memory_find(struct db *db, struct arena *a, const char *tenant, const char *key,
    int64_t now, struct store_memory *out)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_MEMORY_BY_KEY, a, &r, DB_TEXT(tenant),
	    DB_TEXT(key), DB_INT(now));
	if (e == ERR_OK && r.rows == 0)
		e = DB_RUN(db, STMT_MEMORY_BY_ID, a, &r, DB_TEXT(tenant),
		    DB_TEXT(key), DB_INT(now));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*out = memory_from(&r, 0);
	return ERR_OK;
}

/* Until the entry with this id and size has a place in the tier. */
static enum err
memory_make_room(struct db *db, struct arena *a, const char *tenant,
    enum memory_tier tier, const char *id, int64_t bytes)
{
	const struct memory_tier_row *row = &memory_tiers[tier];
	struct db_result filled, worst = {0};

	enum err e = DB_RUN(db, STMT_MEMORY_FILLED, a, &filled, DB_TEXT(tenant),
	    DB_INT(tier), DB_TEXT(id));
	if (e != ERR_OK)
		return e;
	int64_t items = db_int(&filled, 0, 0) + 1;
	int64_t used = db_int(&filled, 0, 1) + bytes;
	for (size_t i = 0; e == ERR_OK &&
	     (items > row->items || used > row->bytes) && items > 1;
	     i++, items--) {
		if (i % MEMORY_WORST_PAGE == 0)
			e = DB_RUN(db, STMT_MEMORY_WORST, a, &worst,
			    DB_TEXT(tenant), DB_INT(tier), DB_TEXT(id),
			    DB_INT(MEMORY_WORST_PAGE));
		size_t at = i % MEMORY_WORST_PAGE;
		if (e != ERR_OK || at >= worst.rows)
			break;
		used -= db_int(&worst, at, 1);
		e = DB_RUN(db, STMT_MEMORY_DELETE, a, NULL, DB_TEXT(tenant),
		    DB_TEXT(db_text(&worst, at, 0)));
	}
	return e;
}

/* What is new of an entry that was there before. */
static void
memory_follow(struct store_memory *m, const struct store_memory *before)
{
	bool is_moved = m->tier != before->tier;

	m->id = before->id;
	m->created_us = before->created_us;
	m->updates = is_moved ? 0 : before->updates + 1;
	m->moves = before->moves + is_moved;
	m->moved_us = is_moved ? m->updated_us : before->moved_us;
}

enum err
store_memory_put_tx(struct db *db, struct arena *a, const char *tenant,
    struct store_memory *m, int64_t now, struct err_info *info)
{
	const struct memory_tier_row *tier = &memory_tiers[m->tier];
	struct store_memory before;
	char id[ID_SIZE];

	m->bytes =
	    (int64_t)(strlen(m->key) + strlen(m->body) + strlen(m->content));
	if (m->bytes > tier->bytes)
		return err_set(info, ERR_INVALID, "value",
		    "has %lld bytes with its key, tier %s holds %lld",
		    (long long)m->bytes, tier->name, (long long)tier->bytes);
	id_make(id, "mem_", 8);
	m->id = arena_strdup(a, id);
	m->created_us = m->updated_us = m->accessed_us = m->moved_us = now;
	m->updates = m->moves = 0;
	m->expires_us = now + (m->ttl_s > 0 ? m->ttl_s : tier->ttl_s) * 1000000;
	enum err e = memory_lock(db, a, tenant, now);
	if (e == ERR_OK)
		e = memory_find(db, a, tenant, m->key, now, &before);
	if (e == ERR_OK && str_eq(before.key, m->key))
		memory_follow(m, &before);
	else if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	e = memory_make_room(db, a, tenant, m->tier, m->id, m->bytes);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_MEMORY_PUT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(m->id), DB_TEXT(m->key), DB_INT(m->tier),
	    DB_TEXT(m->domain), DB_TEXT(m->content), DB_TEXT(m->body),
	    DB_INT(m->bytes), DB_INT(m->importance_ppm),
	    DB_INT(m->surprise_ppm), DB_INT(m->updates), DB_INT(m->moves),
	    DB_INT(m->created_us), DB_INT(m->updated_us),
	    DB_INT(m->accessed_us), DB_INT(m->moved_us), DB_INT(m->expires_us),
	    DB_INT(memory_due_of(m)), DB_TEXT(m->debate_id));
}

static enum err
memory_move_to(struct db *db, struct arena *a, const char *tenant,
    struct store_memory *m, enum memory_tier to, int64_t now)
{
	m->tier = to;
	m->updates = 0;
	m->moved_us = now;
	m->expires_us = now + memory_tiers[to].ttl_s * 1000000;
	enum err e = memory_make_room(db, a, tenant, to, m->id, m->bytes);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_MEMORY_MOVE, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(m->id), DB_INT(to), DB_INT(m->moved_us),
	    DB_INT(m->expires_us), DB_INT(memory_due_of(m)));
}

/* ---- verbs ---- */

struct memory_call {
	struct arena *a;
	const char *tenant, *key;
	int64_t now;
	struct store_memory *m;
	const struct store_memory_filter *filter;
	int expected; /* tier, -1 = any */
	enum memory_tier to, from;
	bool is_new;
	struct db_result rows;
	int64_t total;
	struct store_memory_sum *sums;
	struct store_memory_work *work;
	struct err_info *info;
};

static enum err
memory_put_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;

	enum err e =
	    store_memory_put_tx(db, c->a, c->tenant, c->m, c->now, c->info);
	c->is_new = c->m->created_us == c->now;
	return e;
}

enum err
store_memory_put(struct store *store, struct arena *a, const char *tenant,
    struct store_memory *m, bool *is_new, int64_t now, struct err_info *info)
{
	struct memory_call c = {
	    .a = a, .tenant = tenant, .m = m, .now = now, .info = info};
	enum err e = store_tx(store, DB_WRITE, memory_put_call, &c, info);

	*is_new = c.is_new;
	return e;
}

static enum err
memory_get_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;

	enum err e = memory_find(db, c->a, c->tenant, c->key, c->now, c->m);
	if (e != ERR_OK)
		return e;
	c->m->accessed_us = c->now;
	return DB_RUN(db, STMT_MEMORY_TOUCH, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->m->id), DB_INT(c->now));
}

enum err
store_memory_get(struct store *store, struct arena *a, const char *tenant,
    const char *key, int64_t now, struct store_memory *out)
{
	struct memory_call c = {
	    .a = a, .tenant = tenant, .key = key, .m = out, .now = now};

	return store_tx(store, DB_WRITE, memory_get_call, &c, NULL);
}

static enum err
memory_delete_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct store_memory m;

	enum err e = memory_lock(db, c->a, c->tenant, c->now);
	if (e == ERR_OK)
		e = memory_find(db, c->a, c->tenant, c->key, c->now, &m);
	if (e == ERR_OK && c->expected >= 0 && (int)m.tier != c->expected)
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_DELETE, c->a, NULL,
		    DB_TEXT(c->tenant), DB_TEXT(m.id));
	return e;
}

enum err
store_memory_delete(struct store *store, const char *tenant, const char *key,
    int tier, int64_t now)
{
	struct memory_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .key = key,
	    .expected = tier,
	    .now = now};
	enum err e = store_tx(store, DB_WRITE, memory_delete_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

static enum err
memory_move_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct store_memory m;

	enum err e = memory_lock(db, c->a, c->tenant, c->now);
	if (e == ERR_OK)
		e = memory_find(db, c->a, c->tenant, c->key, c->now, &m);
	if (e != ERR_OK)
		return e;
	c->from = m.tier;
	if ((c->expected >= 0 && (int)m.tier != c->expected) || m.tier == c->to)
		return err_set(c->info, ERR_CONFLICT, "tier",
		    "the entry is in tier %s", memory_tiers[m.tier].name);
	if (m.bytes > memory_tiers[c->to].bytes)
		return err_set(c->info, ERR_INVALID, "tier",
		    "the entry has %lld bytes, tier %s holds %lld",
		    (long long)m.bytes, memory_tiers[c->to].name,
		    (long long)memory_tiers[c->to].bytes);
	return memory_move_to(db, c->a, c->tenant, &m, c->to, c->now);
}

enum err
store_memory_move(struct store *store, struct arena *a, const char *tenant,
    const char *key, int expected, enum memory_tier to, int64_t now,
    enum memory_tier *from, struct err_info *info)
{
	struct memory_call c = {.a = a,
	    .tenant = tenant,
	    .key = key,
	    .expected = expected,
	    .to = to,
	    .now = now,
	    .info = info};
	enum err e = store_tx(store, DB_WRITE, memory_move_call, &c, info);

	*from = c.from;
	return e;
}

/* ---- reading ---- */

static void
memory_read_sums(const struct db_result *r, struct store_memory_sum *sums)
{
	memset(sums, 0, MEMORY_TIER__COUNT * sizeof(*sums));
	for (size_t i = 0; i < r->rows; i++)
		sums[db_int(r, i, 0)] =
		    (struct store_memory_sum){.count = db_int(r, i, 1),
			.bytes = db_int(r, i, 2),
			.importance = db_int(r, i, 3),
			.surprise = db_int(r, i, 4),
			.moves = db_int(r, i, 5),
			.oldest_us = db_int(r, i, 6),
			.newest_us = db_int(r, i, 7)};
}

static enum err
memory_list_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	const struct store_memory_filter *f = c->filter;
	struct store_memory_sum sums[MEMORY_TIER__COUNT];
	struct db_result r;

	if (f->domain != NULL) {
		c->total = -1;
		return DB_RUN(db, STMT_MEMORY_LIST_DOMAIN, c->a, &c->rows,
		    DB_TEXT(f->tenant), DB_INT(f->now_us), DB_INT(f->limit),
		    DB_INT(f->offset), DB_TEXT(f->domain));
	}
	enum err e = DB_RUN(db, STMT_MEMORY_SUMS, c->a, &r, DB_TEXT(f->tenant),
	    DB_INT(f->now_us));
	if (e != ERR_OK)
		return e;
	memory_read_sums(&r, sums);
	c->total = 0;
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		c->total += f->tier < 0 || f->tier == i ? sums[i].count : 0;
	if (f->tier >= 0)
		return DB_RUN(db, STMT_MEMORY_LIST_TIER, c->a, &c->rows,
		    DB_TEXT(f->tenant), DB_INT(f->now_us), DB_INT(f->limit),
		    DB_INT(f->offset), DB_INT(f->tier));
	return DB_RUN(db, STMT_MEMORY_LIST, c->a, &c->rows, DB_TEXT(f->tenant),
	    DB_INT(f->now_us), DB_INT(f->limit), DB_INT(f->offset));
}

enum err
store_memory_list(struct store *store, struct arena *a,
    const struct store_memory_filter *f, struct store_memory **rows, size_t *n,
    int64_t *total)
{
	struct memory_call c = {.a = a, .filter = f};
	enum err e = store_tx(store, DB_READ, memory_list_call, &c, NULL);

	*n = e == ERR_OK ? c.rows.rows : 0;
	*total = c.total;
	*rows = ARENA_ARRAY(a, *n + 1, struct store_memory);
	for (size_t i = 0; i < *n; i++)
		(*rows)[i] = memory_from(&c.rows, i);
	return e;
}

static enum err
memory_sums_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_MEMORY_SUMS, c->a, &r, DB_TEXT(c->tenant), DB_INT(c->now));
	if (e == ERR_OK)
		memory_read_sums(&r, c->sums);
	return e;
}

enum err
store_memory_sums(struct store *store, const char *tenant, int64_t now,
    struct store_memory_sum *sums)
{
	struct memory_call c = {
	    .a = arena_new(0), .tenant = tenant, .now = now, .sums = sums};
	enum err e = store_tx(store, DB_READ_ONE, memory_sums_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

/* ---- consolidation ---- */

/* An entry that is too large for where it should go stays: what it weighs does
 * not change, so it is looked at again when it expires. */
static enum err
memory_shift(struct db *db, struct memory_call *c, struct store_memory *m,
    int step, int64_t *count)
{
	enum memory_tier to = (enum memory_tier)((int)m->tier + step);

	if (m->bytes > memory_tiers[to].bytes)
		return DB_RUN(db, STMT_MEMORY_RESCHEDULE, c->a, NULL,
		    DB_TEXT(c->tenant), DB_TEXT(m->id), DB_INT(m->expires_us));
	(*count)++;
	return memory_move_to(db, c->a, c->tenant, m, to, c->now);
}

static enum err
memory_settle(struct db *db, struct memory_call *c, struct store_memory *m)
{
	const struct memory_state state = {.tier = m->tier,
	    .surprise_ppm = m->surprise_ppm,
	    .updates = m->updates,
	    .moved_us = m->moved_us,
	    .expires_us = m->expires_us};

	c->work->processed++;
	switch (memory_judge(&state, c->now)) {
	case MEMORY_EXPIRES:
		c->work->expired++;
		return DB_RUN(db, STMT_MEMORY_DELETE, c->a, NULL,
		    DB_TEXT(c->tenant), DB_TEXT(m->id));
	case MEMORY_RISES:
		return memory_shift(db, c, m, -1, &c->work->promoted);
	case MEMORY_SINKS:
		return memory_shift(db, c, m, 1, &c->work->demoted);
	case MEMORY_STAYS:
		break;
	}
	return DB_RUN(db, STMT_MEMORY_RESCHEDULE, c->a, NULL,
	    DB_TEXT(c->tenant), DB_TEXT(m->id), DB_INT(memory_due(&state)));
}

static enum err
memory_consolidate_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct db_result turn, r;

	*c->work = (struct store_memory_work){0};
	enum err e =
	    DB_RUN(db, STMT_MEMORY_LOCK, c->a, &turn, DB_TEXT(c->tenant));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_DUE_OF, c->a, &r, DB_TEXT(c->tenant),
		    DB_INT(c->now), DB_INT(MEMORY_DUE_PAGE));
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		struct store_memory m = memory_from(&r, i);
		e = memory_settle(db, c, &m);
	}
	return e;
}

enum err
store_memory_consolidate(struct store *store, const char *tenant, int64_t now,
    struct store_memory_work *work)
{
	struct memory_call c = {
	    .a = arena_new(0), .tenant = tenant, .now = now, .work = work};
	enum err e =
	    store_tx(store, DB_WRITE, memory_consolidate_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

static enum err
memory_due_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;

	return DB_RUN(db, STMT_MEMORY_DUE, c->a, &c->rows, DB_INT(c->now),
	    DB_INT(MEMORY_TENANTS));
}

enum err
store_memory_sweep(
    struct store *store, int64_t now, struct store_memory_work *work)
{
	struct memory_call c = {.a = arena_new(0), .now = now};
	enum err e = store_tx(store, DB_READ_ONE, memory_due_call, &c, NULL);

	*work = (struct store_memory_work){0};
	for (size_t i = 0; e == ERR_OK && i < c.rows.rows; i++) {
		struct store_memory_work one;
		const char *tenant = db_text(&c.rows, i, 0);
		/* Several of a tenant's entries may be due. */
		if (i > 0 && str_eq(tenant, db_text(&c.rows, i - 1, 0)))
			continue;
		e = store_memory_consolidate(store, tenant, now, &one);
		if (e != ERR_OK)
			break;
		work->processed += one.processed;
		work->expired += one.expired;
		work->promoted += one.promoted;
		work->demoted += one.demoted;
	}
	arena_free(&c.a);
	return e;
}
