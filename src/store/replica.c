/* SPDX-License-Identifier: MIT */
#include "store/replica.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/pool.h"

/* Longest wait for a connection: the primary can serve as well. */
#define REPLICA_POOL_MS 1000
/* A lag is told when it lasts: right after a pause of the writers the clock of
 * the last transaction says nothing for a moment. */
#define REPLICA_TELL_MS 1000

struct replica {
	const struct settings *settings;
	char *target;
	struct pool *pool;
	struct positions *positions;
	int64_t max_lag_ms;
	atomic_bool is_checked;	    /* the role is harmless */
	_Atomic(int64_t) retry_ms;  /* not to be asked before; 0 = in use */
	atomic_int why;		    /* until then */
	_Atomic(int64_t) lag_since; /* 0 = none */
	atomic_int told;	    /* last logged: enum replica_why */
};

static const struct replica_row {
	const char *name;
	enum metric metric;
	int64_t pause_ms; /* before it is asked again, 0 = at once */
	bool is_state;	  /* of the replica, and not of one read */
} replica_rows[REPLICA_WHY__COUNT] = {
    [REPLICA_SERVED] = {"used", METRIC_DB_REPLICA_READS, 0, true},
    [REPLICA_LAG] = {"lag", METRIC_DB_REPLICA_LAG, 250, true},
    [REPLICA_BEHIND] = {"behind", METRIC_DB_REPLICA_BEHIND, 0, false},
    [REPLICA_DOWN] = {"down", METRIC_DB_REPLICA_DOWN, 2000, true},
    [REPLICA_SCHEMA] = {"schema", METRIC_DB_REPLICA_SCHEMA, 2000, true},
    [REPLICA_BUSY] = {"busy", METRIC_DB_REPLICA_BUSY, 0, false},
    [REPLICA_CONFLICT] = {"conflict", METRIC_DB_REPLICA_CONFLICT, 0, false},
};

/* ---- life ---- */

static void
replica_positions_open(struct replica *r, const struct store_target *primary)
{
	char *path = pool_path(primary->driver, primary->target,
	    r->settings->data_dir, "db-position");
	struct err_info info;

	enum err e = positions_open(&r->positions, path, &info);
	if (e != ERR_OK) {
		log_warning("store.replica",
		    "reason=\"%s\" each process remembers its own writes only: "
		    "a list may miss those of another",
		    info.text);
		if (positions_open(&r->positions, NULL, &info) != ERR_OK)
			mem_exhausted(0);
	}
	free(path);
}

static enum err
replica_check_url(const struct settings *s, const struct store_target *primary,
    struct err_info *info)
{
	static const char field[] = "ARAGORA_DATABASE_REPLICA_URL";
	const char *url = s->database_replica_url;

	if (primary->driver != &db_pgsql)
		return err_set(info, ERR_INVALID, field,
		    "is of use only with a PostgreSQL database");
	if (!str_starts(url, "postgresql://") &&
	    !str_starts(url, "postgres://"))
		return err_set(
		    info, ERR_INVALID, field, "must begin with postgresql://");
	char *name = db_pgsql.identify(url);
	free(name);
	return name != NULL
	    ? ERR_OK
	    : err_set(info, ERR_INVALID, field,
		  "is not a connection string that PostgreSQL understands");
}

/* What can be known only of a connection, once. */
static enum err
replica_check(struct replica *r, struct db *db, struct err_info *info)
{
	bool has = false;

	if (atomic_load(&r->is_checked))
		return ERR_OK;
	enum err e = db->driver->has_schema(db, &has, info);
	if (e == ERR_OK && !has)
		e = err_set(info, ERR_SCHEMA, "ARAGORA_DATABASE_REPLICA_URL",
		    "names a database without our tables");
	if (e == ERR_OK && str_eq(r->settings->env, "production"))
		e = store_check_role(db, "ARAGORA_DATABASE_REPLICA_URL", info);
	atomic_store(&r->is_checked, e == ERR_OK);
	return e;
}

/* A role that tenants are not safe from is no reason to go on and wait. */
static enum err
replica_check_start(struct replica *r, struct err_info *info)
{
	struct db *db = NULL;
	struct err_info why = {0};

	if (!str_eq(r->settings->env, "production"))
		return ERR_OK;
	enum err e = pool_get(r->pool, false, &db, &why);
	if (e == ERR_OK) {
		e = replica_check(r, db, &why);
		pool_put(r->pool, &db);
	}
	if (e != ERR_DENIED)
		return ERR_OK; /* told when it is asked for a read */
	*info = why;
	return e;
}

enum err
replica_open(struct replica **out, const struct settings *settings,
    const struct store_target *primary, struct err_info *info)
{
	*out = NULL;
	if (str_is_empty(settings->database_replica_url))
		return ERR_OK;
	enum err e = replica_check_url(settings, primary, info);
	if (e != ERR_OK)
		return e;
	struct replica *r = mem_zalloc(sizeof(*r));
	int64_t wait_ms = (int64_t)(settings->db_pool_timeout * 1000);
	r->settings = settings;
	r->target = mem_strdup(settings->database_replica_url);
	r->max_lag_ms = (int64_t)(settings->database_replica_max_lag * 1000);
	r->pool = pool_new(&(struct pool_options){.driver = &db_pgsql,
	    .db = {.target = r->target,
		.timeout_ms = settings->db_timeout * 1000,
		.is_replica = true},
	    .folder = settings->data_dir,
	    .size = settings->db_pool_size,
	    .overflow = settings->db_pool_max_overflow,
	    .timeout_ms = wait_ms < REPLICA_POOL_MS ? wait_ms : REPLICA_POOL_MS,
	    .recycle_ms = settings->db_pool_recycle * 1000});
	replica_positions_open(r, primary);
	e = replica_check_start(r, info);
	if (e != ERR_OK)
		replica_close(&r);
	*out = r;
	return e;
}

void
replica_close(struct replica **replica)
{
	struct replica *r = *replica;

	if (r == NULL)
		return;
	pool_free(&r->pool);
	positions_close(&r->positions);
	free(r->target);
	free(r);
	*replica = NULL;
}

struct positions *
replica_positions(struct replica *r)
{
	return r->positions;
}

/* ---- one read ---- */

/* A row of STMT_REPLICA_STATE. */
static void
replica_state_from(const struct db_result *r, struct store_replica *out)
{
	out->is_standby = db_int(r, 0, 0) != 0;
	out->position = (uint64_t)db_int(r, 0, 1);
	out->lag_ms = db_int(r, 0, 2);
	out->version = db_int(r, 0, 3);
}

static enum replica_why
replica_judge(const struct replica *r, const struct replica_query *q,
    const struct store_replica *s, struct err_info *info)
{
	/* Also the primary itself, which has a pool of its own, and a promoted
	 * one, whose log went on where another's did not. */
	if (!s->is_standby) {
		err_set(info, ERR_DOWN, "", "the server is not a standby");
		return REPLICA_DOWN;
	}
	if (s->version != q->version) {
		err_set(info, ERR_SCHEMA, "",
		    "its schema is version %lld, the primary's %lld",
		    (long long)s->version, (long long)q->version);
		return REPLICA_SCHEMA;
	}
	if (s->lag_ms > r->max_lag_ms) {
		err_set(info, ERR_BUSY, "", "it is %.1f s behind",
		    (double)s->lag_ms / 1000);
		return REPLICA_LAG;
	}
	return s->position < q->position ? REPLICA_BEHIND : REPLICA_SERVED;
}

static enum replica_why
replica_why_of(enum err e)
{
	if (e == ERR_SCHEMA)
		return REPLICA_SCHEMA;
	return e == ERR_RETRY || e == ERR_BUSY ||
		e == ERR_INTERNAL /* perhaps another version's tables */
	    ? REPLICA_CONFLICT
	    : REPLICA_DOWN;
}

/* Are these words of the server, and not an answer of fn? */
static bool
replica_is_failure(enum err e)
{
	return e == ERR_DOWN || e == ERR_RETRY || e == ERR_BUSY ||
	    e == ERR_FULL || e == ERR_INTERNAL;
}

static enum replica_why
replica_read(struct replica *r, const struct replica_query *q, struct db *db,
    store_tx_fn fn, void *arg, enum err *e, struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct db_result state = {0};
	struct store_replica s = {0};
	enum replica_why why;

	*e = db_begin(db, DB_READ);
	if (*e == ERR_OK)
		*e = db_queue(db, STMT_REPLICA_STATE, NULL, 0, a, &state);
	if (*e == ERR_OK)
		*e = fn(db, arg);
	if (*e == ERR_OK)
		*e = db_commit(db);
	if (state.rows > 0)
		replica_state_from(&state, &s);
	if (replica_is_failure(*e) || state.rows == 0) {
		*info = db->info;
		why = replica_why_of(*e);
	} else {
		why = replica_judge(r, q, &s, info);
		/* The next connection may find one that is. */
		db->is_broken = db->is_broken || !s.is_standby;
	}
	arena_free(&a);
	return why;
}

static enum replica_why
replica_try(struct replica *r, const struct replica_query *q, store_tx_fn fn,
    void *arg, enum err *e, struct err_info *info)
{
	enum replica_why why;
	struct db *db = NULL;

	*e = pool_get(r->pool, false, &db, info);
	if (*e != ERR_OK)
		return *e == ERR_BUSY ? REPLICA_BUSY : REPLICA_DOWN;
	db->info = (struct err_info){0};
	*e = replica_check(r, db, info);
	why = *e == ERR_OK ? replica_read(r, q, db, fn, arg, e, info)
			   : replica_why_of(*e);
	/* Who answers after an outage may be another. */
	if (why == REPLICA_DOWN)
		atomic_store(&r->is_checked, false);
	pool_put(r->pool, &db);
	return why;
}

/* ---- what is remembered ---- */

static void
replica_tell(
    struct replica *r, enum replica_why why, const struct err_info *info)
{
	int64_t now = clock_mono_ms();
	int64_t since = 0;

	if (why == REPLICA_LAG) {
		if (atomic_compare_exchange_strong(&r->lag_since, &since, now))
			since = now;
		if (now - since < REPLICA_TELL_MS)
			return;
	} else {
		atomic_store(&r->lag_since, 0);
	}
	if ((int)why == atomic_exchange(&r->told, (int)why))
		return;
	if (why == REPLICA_SERVED)
		log_info("store.replica", "state=used");
	else
		log_warning("store.replica",
		    "state=%s reason=\"%s\" the primary serves instead",
		    replica_rows[why].name, info->text);
}

/* After a failure one caller at a time tries again; false = not this one. */
static bool
replica_may(struct replica *r)
{
	int64_t now = clock_mono_ms();
	int64_t retry = atomic_load(&r->retry_ms);

	if (retry == 0)
		return true;
	return now >= retry &&
	    atomic_compare_exchange_strong(&r->retry_ms, &retry,
		now + replica_rows[REPLICA_DOWN].pause_ms);
}

enum replica_why
replica_run(struct replica *r, const struct replica_query *q, store_tx_fn fn,
    void *arg, enum err *e)
{
	struct err_info info = {0};
	enum replica_why why;

	if (replica_may(r)) {
		why = replica_try(r, q, fn, arg, e, &info);
		const struct replica_row *row = &replica_rows[why];
		atomic_store(&r->why, (int)why);
		atomic_store(&r->retry_ms,
		    row->pause_ms > 0 ? clock_mono_ms() + row->pause_ms : 0);
		if (row->is_state)
			replica_tell(r, why, &info);
	} else {
		why = (enum replica_why)atomic_load(&r->why);
		/* Somebody found it well between the two questions. */
		if (why == REPLICA_SERVED)
			why = REPLICA_BUSY;
	}
	metric_add(replica_rows[why].metric, 1);
	return why;
}

enum err
replica_look(
    struct replica *r, struct store_replica *out, struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct db_result state;
	struct budget_use use;
	struct db *db = NULL;

	*out = (struct store_replica){.is_configured = true};
	enum err e = pool_get(r->pool, false, &db, info);
	if (e == ERR_OK) {
		e = replica_check(r, db, info);
		if (e == ERR_OK)
			e = db_run(db, STMT_REPLICA_STATE, NULL, 0, a, &state);
		if (e == ERR_OK)
			replica_state_from(&state, out);
		if (e == ERR_OK)
			e = store_limits_read(db, a, &out->limits);
		if (e != ERR_OK && db->info.text[0] != '\0')
			*info = db->info;
		pool_put(r->pool, &db);
	}
	pool_read(r->pool, &out->limits.is_shared, &use);
	out->limits.open = use.taken;
	out->limits.waiting = use.waiting;
	out->limits.processes = use.processes;
	arena_free(&a);
	return e;
}
