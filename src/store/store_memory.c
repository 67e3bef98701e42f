/* SPDX-License-Identifier: MIT */
#include "store/store_memory.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "store/store_memory_tx.h"

#define MEMORY_WORST_PAGE 64
#define MEMORY_DUE_PAGE	  64
#define MEMORY_TENANTS	  16

struct store_memory
store_memory_from(const struct db_result *r, size_t row)
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

/* What is too large for the tier where it should rise to stays. */
int64_t
store_memory_due(const struct store_memory *m)
{
	const struct memory_state state = {.tier = m->tier,
	    .surprise_ppm = m->surprise_ppm,
	    .updates = m->updates,
	    .moved_us = m->moved_us,
	    .expires_us = m->expires_us};
	int64_t due = memory_due(&state);
	bool is_rising = m->tier > MEMORY_FAST && due > 0;

	if (is_rising && m->bytes > memory_tiers[m->tier - 1].bytes)
		return m->expires_us;
	return due;
}

int64_t
store_memory_bytes(const struct store_memory *m)
{
	return (int64_t)(strlen(m->key) + strlen(m->body) + strlen(m->content));
}

/* ---- counting ---- */

enum err
store_memory_tally(struct db *db, struct arena *a, const char *tenant,
    enum memory_deed deed, int tier, int64_t n, int64_t now)
{
	if (n == 0)
		return ERR_OK;
	return DB_RUN(db, STMT_MEMORY_TALLY, a, NULL, DB_TEXT(tenant),
	    DB_INT(now - now % MEMORY_HOUR_US), DB_TEXT(memory_deed_name(deed)),
	    DB_INT(tier), DB_INT(n));
}

/* One for each row, whose first column is its tier. */
enum err
store_memory_tally_rows(struct db *db, struct arena *a, const char *tenant,
    enum memory_deed deed, const struct db_result *rows, int64_t now)
{
	int64_t n[MEMORY_TIER__COUNT] = {0};
	enum err e = ERR_OK;

	for (size_t i = 0; i < rows->rows; i++)
		n[db_int(rows, i, 0)]++;
	for (int i = 0; e == ERR_OK && i < MEMORY_TIER__COUNT; i++)
		e = store_memory_tally(db, a, tenant, deed, i, n[i], now);
	return e;
}

/* ---- writing ---- */

/* The tenant's board is ours until the end of the transaction, and what has
 * expired is gone. */
enum err
store_memory_lock(struct db *db, struct arena *a, const char *tenant,
    int64_t now, int64_t *expired)
{
	struct db_result turn, gone;

	*expired = 0;
	enum err e = DB_QUEUE(db, STMT_MEMORY_LOCK, a, &turn, DB_TEXT(tenant));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_EXPIRE, a, &gone, DB_TEXT(tenant),
		    DB_INT(now));
	if (e != ERR_OK)
		return e;
	*expired = (int64_t)gone.rows;
	return store_memory_tally_rows(
	    db, a, tenant, MEMORY_EXPIRED, &gone, now);
}

static enum err
memory_lock(struct db *db, struct arena *a, const char *tenant, int64_t now)
{
	int64_t expired;

	return store_memory_lock(db, a, tenant, now, &expired);
}

enum err
store_memory_find(struct db *db, struct arena *a, const char *tenant,
    const char *key, int64_t now, struct store_memory *out)
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
	*out = store_memory_from(&r, 0);
	return ERR_OK;
}

/* Until the entry with this id and size has a place in the tier. */
static enum err
memory_make_room(struct db *db, struct arena *a, const char *tenant,
    enum memory_tier tier, const char *id, int64_t bytes, int64_t now)
{
	const struct memory_tier_row *row = &memory_tiers[tier];
	struct db_result filled, worst = {0};
	int64_t evicted = 0;

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
		evicted++;
	}
	if (e != ERR_OK)
		return e;
	return store_memory_tally(
	    db, a, tenant, MEMORY_EVICTED, tier, evicted, now);
}

/* What is new of an entry that was there before. */
static void
memory_follow(struct store_memory *m, const struct store_memory *before)
{
	bool is_moved = m->tier != before->tier;

	m->is_new = false;
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

	id_make(id, "mem_", 8);
	m->id = arena_strdup(a, id);
	if (m->key == NULL)
		m->key = m->id;
	m->bytes = store_memory_bytes(m);
	if (m->bytes > tier->bytes)
		return err_set(info, ERR_INVALID, "value",
		    "has %lld bytes with its key, tier %s holds %lld",
		    (long long)m->bytes, tier->name, (long long)tier->bytes);
	m->created_us = m->updated_us = m->accessed_us = m->moved_us = now;
	m->updates = m->moves = 0;
	m->is_new = true;
	m->expires_us = now + (m->ttl_s > 0 ? m->ttl_s : tier->ttl_s) * 1000000;
	enum err e = memory_lock(db, a, tenant, now);
	if (e == ERR_OK)
		e = store_memory_find(db, a, tenant, m->key, now, &before);
	if (e == ERR_OK && str_eq(before.key, m->key))
		memory_follow(m, &before);
	else if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	e = memory_make_room(db, a, tenant, m->tier, m->id, m->bytes, now);
	if (e == ERR_OK)
		e = store_memory_tally(db, a, tenant,
		    m->is_new ? MEMORY_STORED : MEMORY_UPDATED, (int)m->tier, 1,
		    now);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_MEMORY_PUT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(m->id), DB_TEXT(m->key), DB_INT(m->tier),
	    DB_TEXT(m->domain), DB_TEXT(m->content), DB_TEXT(m->body),
	    DB_INT(m->bytes), DB_INT(m->importance_ppm),
	    DB_INT(m->surprise_ppm), DB_INT(m->updates), DB_INT(m->moves),
	    DB_INT(m->created_us), DB_INT(m->updated_us),
	    DB_INT(m->accessed_us), DB_INT(m->moved_us), DB_INT(m->expires_us),
	    DB_INT(store_memory_due(m)), DB_TEXT(m->debate_id));
}

static enum err
memory_move_to(struct db *db, struct arena *a, const char *tenant,
    struct store_memory *m, enum memory_tier to, int64_t now)
{
	enum memory_deed deed = to < m->tier ? MEMORY_PROMOTED : MEMORY_DEMOTED;

	m->tier = to;
	m->updates = 0;
	m->moves++;
	m->moved_us = now;
	m->expires_us = now + memory_tiers[to].ttl_s * 1000000;
	enum err e = memory_make_room(db, a, tenant, to, m->id, m->bytes, now);
	if (e == ERR_OK)
		e = store_memory_tally(db, a, tenant, deed, (int)to, 1, now);
	if (e != ERR_OK)
		return e;
	return DB_RUN(db, STMT_MEMORY_MOVE, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(m->id), DB_INT(to), DB_INT(m->moved_us),
	    DB_INT(m->expires_us), DB_INT(store_memory_due(m)));
}

/* ---- verbs ---- */

struct memory_call {
	struct arena *a;
	const char *tenant, *key;
	int64_t now;
	struct store_memory *m;
	const struct store_memory_filter *filter;
	int tier; /* -1 = any */
	store_memory_change_fn change;
	void *change_arg;
	const struct store_memory_move *move;
	bool is_missing;
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

	return store_memory_put_tx(db, c->a, c->tenant, c->m, c->now, c->info);
}

enum err
store_memory_put(struct store *store, struct arena *a, const char *tenant,
    struct store_memory *m, int64_t now, struct err_info *info)
{
	struct memory_call c = {
	    .a = a, .tenant = tenant, .m = m, .now = now, .info = info};

	return store_tx(store, DB_WRITE, memory_put_call, &c, info);
}

static enum err
memory_change_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct store_memory before;

	enum err e = memory_lock(db, c->a, c->tenant, c->now);
	if (e == ERR_OK)
		e = store_memory_find(
		    db, c->a, c->tenant, c->key, c->now, &before);
	if (e != ERR_OK)
		return e;
	*c->m = before;
	e = c->change(c->change_arg, c->a, c->m, c->info);
	if (e != ERR_OK)
		return e;
	/* Where it stays it lives as long as it would have, unless that was
	 * said. */
	bool is_kept = c->m->tier == before.tier && c->m->ttl_s == 0;
	e = store_memory_put_tx(db, c->a, c->tenant, c->m, c->now, c->info);
	if (e != ERR_OK || !is_kept)
		return e;
	c->m->expires_us = before.expires_us;
	return DB_RUN(db, STMT_MEMORY_LIVE, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->m->id), DB_INT(c->m->expires_us),
	    DB_INT(store_memory_due(c->m)));
}

enum err
store_memory_change(struct store *store, struct arena *a, const char *tenant,
    const char *key, store_memory_change_fn fn, void *arg, int64_t now,
    struct store_memory *out, struct err_info *info)
{
	struct memory_call c = {.a = a,
	    .tenant = tenant,
	    .key = key,
	    .m = out,
	    .change = fn,
	    .change_arg = arg,
	    .now = now,
	    .info = info};

	return store_tx(store, DB_WRITE, memory_change_call, &c, info);
}

/* One that is not there is counted too, and so is no error in here. */
static enum err
memory_get_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;

	enum err e =
	    store_memory_find(db, c->a, c->tenant, c->key, c->now, c->m);
	c->is_missing = e == ERR_NOT_FOUND ||
	    (e == ERR_OK && c->tier >= 0 && (int)c->m->tier != c->tier);
	if (c->is_missing)
		return store_memory_tally(
		    db, c->a, c->tenant, MEMORY_MISSED, c->tier, 1, c->now);
	if (e != ERR_OK)
		return e;
	c->m->accessed_us = c->now;
	e = DB_RUN(db, STMT_MEMORY_TOUCH, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->m->id), DB_INT(c->now));
	if (e != ERR_OK)
		return e;
	return store_memory_tally(
	    db, c->a, c->tenant, MEMORY_READ, (int)c->m->tier, 1, c->now);
}

enum err
store_memory_get(struct store *store, struct arena *a, const char *tenant,
    const char *key, int tier, int64_t now, struct store_memory *out)
{
	struct memory_call c = {.a = a,
	    .tenant = tenant,
	    .key = key,
	    .tier = tier,
	    .m = out,
	    .now = now};
	enum err e = store_tx(store, DB_WRITE, memory_get_call, &c, NULL);

	return e == ERR_OK && c.is_missing ? ERR_NOT_FOUND : e;
}

static enum err
memory_delete_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct store_memory m;

	enum err e = memory_lock(db, c->a, c->tenant, c->now);
	if (e == ERR_OK)
		e = store_memory_find(db, c->a, c->tenant, c->key, c->now, &m);
	if (e == ERR_OK && c->tier >= 0 && (int)m.tier != c->tier)
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_DELETE, c->a, NULL,
		    DB_TEXT(c->tenant), DB_TEXT(m.id));
	if (e != ERR_OK)
		return e;
	return store_memory_tally(
	    db, c->a, c->tenant, MEMORY_DELETED, (int)m.tier, 1, c->now);
}

enum err
store_memory_delete(struct store *store, const char *tenant, const char *key,
    int tier, int64_t now)
{
	struct memory_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .key = key,
	    .tier = tier,
	    .now = now};
	enum err e = store_tx(store, DB_WRITE, memory_delete_call, &c, NULL);

	arena_free(&c.a);
	return e;
}

/* Where the entry is to go, or why not. */
static enum err
memory_target(const struct store_memory_move *move,
    const struct store_memory *m, enum memory_tier *to, struct err_info *info)
{
	int at = move->step != 0 ? (int)m->tier + move->step : (int)move->to;

	if (move->expected >= 0 && (int)m->tier != move->expected)
		return err_set(info, ERR_CONFLICT, "",
		    "the entry is in tier %s", memory_tiers[m->tier].name);
	if (at < 0 || at >= MEMORY_TIER__COUNT || at == (int)m->tier)
		return err_set(info, ERR_CONFLICT, "",
		    "the entry is in tier %s already",
		    memory_tiers[m->tier].name);
	if (move->way != 0 && (at < (int)m->tier) != (move->way < 0))
		return err_set(info, ERR_INVALID, "target_tier",
		    "is on the other side of %s, where the entry is",
		    memory_tiers[m->tier].name);
	*to = (enum memory_tier)at;
	if (m->bytes > memory_tiers[*to].bytes)
		return err_set(info, ERR_INVALID, "target_tier",
		    "holds %lld bytes, the entry has %lld",
		    (long long)memory_tiers[*to].bytes, (long long)m->bytes);
	return ERR_OK;
}

static enum err
memory_move_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	enum memory_tier to = MEMORY_FAST;

	enum err e = memory_lock(db, c->a, c->tenant, c->now);
	if (e == ERR_OK)
		e = store_memory_find(
		    db, c->a, c->tenant, c->move->key, c->now, c->m);
	if (e == ERR_OK)
		e = memory_target(c->move, c->m, &to, c->info);
	if (e != ERR_OK)
		return e;
	c->tier = (int)c->m->tier;
	return memory_move_to(db, c->a, c->tenant, c->m, to, c->now);
}

enum err
store_memory_move(struct store *store, struct arena *a, const char *tenant,
    const struct store_memory_move *move, int64_t now, struct store_memory *out,
    enum memory_tier *from, struct err_info *info)
{
	struct memory_call c = {.a = a,
	    .tenant = tenant,
	    .m = out,
	    .move = move,
	    .now = now,
	    .info = info};
	enum err e = store_tx(store, DB_WRITE, memory_move_call, &c, info);

	*from = (enum memory_tier)c.tier;
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
			.newest_us = db_int(r, i, 7),
			.moved = db_int(r, i, 8)};
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
		(*rows)[i] = store_memory_from(&c.rows, i);
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
memory_expire(
    struct db *db, struct memory_call *c, const struct store_memory *m)
{
	enum err e = DB_RUN(db, STMT_MEMORY_DELETE, c->a, NULL,
	    DB_TEXT(c->tenant), DB_TEXT(m->id));

	if (e != ERR_OK)
		return e;
	return store_memory_tally(
	    db, c->a, c->tenant, MEMORY_EXPIRED, (int)m->tier, 1, c->now);
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
		return memory_expire(db, c, m);
	case MEMORY_RISES:
		return memory_shift(db, c, m, -1, &c->work->promoted);
	case MEMORY_SINKS:
		return memory_shift(db, c, m, 1, &c->work->demoted);
	case MEMORY_STAYS:
		break;
	}
	return DB_RUN(db, STMT_MEMORY_RESCHEDULE, c->a, NULL,
	    DB_TEXT(c->tenant), DB_TEXT(m->id), DB_INT(store_memory_due(m)));
}

static enum err
memory_consolidate_call(struct db *db, void *arg)
{
	struct memory_call *c = arg;
	struct db_result turn, old, r;

	*c->work = (struct store_memory_work){0};
	enum err e =
	    DB_RUN(db, STMT_MEMORY_LOCK, c->a, &turn, DB_TEXT(c->tenant));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_TALLIES_DROP, c->a, &old,
		    DB_TEXT(c->tenant),
		    DB_INT(c->now - STORE_MEMORY_TALLIES_US));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_MEMORY_DUE_OF, c->a, &r, DB_TEXT(c->tenant),
		    DB_INT(c->now), DB_INT(MEMORY_DUE_PAGE));
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		struct store_memory m = store_memory_from(&r, i);
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
store_memory_behind(struct store *store, int64_t before_us, size_t *tenants)
{
	struct memory_call c = {.a = arena_new(0), .now = before_us};
	enum err e = store_tx(store, DB_READ_ONE, memory_due_call, &c, NULL);

	*tenants = 0;
	for (size_t i = 0; e == ERR_OK && i < c.rows.rows; i++) {
		size_t first = 0; /* several of a tenant's may be due */
		while (
		    !str_eq(db_text(&c.rows, first, 0), db_text(&c.rows, i, 0)))
			first++;
		*tenants += first == i;
	}
	arena_free(&c.a);
	return e;
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
