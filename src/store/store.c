/* SPDX-License-Identifier: MIT
 *
 * Opening a store, and the transaction wrapper.
 */
#include "store/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/fit.h"
#include "store/pool.h"
#include "store/replica.h"
#include "store/store_tx.h"

/* Operations notes 2.1: full jitter from 10 ms to a cap that doubles. */
#define STORE_TX_TRIES	     5
#define STORE_BACKOFF_MIN_MS 10
#define STORE_BACKOFF_MAX_MS 500
#define STORE_FULL_QUIET_MS  60000

/* JSON around one id of a list: quotes, brackets, commas, an epoch. */
#define STORE_ID_LIST_EXTRA 64

struct store {
	const struct settings *settings;
	struct store_target target;
	struct pool *pool;
	struct replica *replica; /* NULL = none */
	struct fit fit;
	atomic_bool is_checked; /* the schema is ours, the role harmless */
	atomic_bool can_prepare;
	/* As last seen, to tell once: */
	atomic_int away; /* enum err: ERR_OK, ERR_DOWN or ERR_SCHEMA */
	atomic_bool is_login_refused; /* the reason of ERR_DOWN */
	_Atomic int64_t full_ms; /* of the last write without room; 0 = none */
};

static enum err
store_backend_check(const struct settings *s, const struct db_driver *driver,
    struct err_info *info)
{
	bool is_sqlite = driver == &db_sqlite;

	if (str_eq(s->db_backend, "auto") ||
	    str_eq(s->db_backend, "sqlite") == is_sqlite)
		return ERR_OK;
	return err_set(info, ERR_INVALID, "ARAGORA_DB_BACKEND",
	    "is %s, but the database is %s", s->db_backend, driver->name);
}

enum err
store_target(
    const struct settings *s, struct store_target *out, struct err_info *info)
{
	const char *url = s->database_url;

	*out = (struct store_target){.driver = &db_sqlite};
	if (str_starts(url, "postgresql://") ||
	    str_starts(url, "postgres://")) {
		out->driver = &db_pgsql;
		out->target = mem_strdup(url);
	} else if (str_starts(url, "sqlite:")) {
		const char *path = url + strlen("sqlite:");
		if (str_starts(path, "///"))
			path += 2;
		/* Connections share a database through its file only. */
		if (*path == '\0' || *path == ':' || str_starts(path, "//"))
			return err_set(info, ERR_INVALID,
			    "ARAGORA_DATABASE_URL",
			    "must name a file: sqlite:path or sqlite:///path");
		out->target = mem_strdup(path);
	} else if (*url == '\0') {
		mkdir(s->data_dir, 0750); /* may exist; opening tells */
		out->target = mem_printf("%s/aragora.db", s->data_dir);
	} else {
		return err_set(info, ERR_INVALID, "ARAGORA_DATABASE_URL",
		    "must begin with postgresql:// or sqlite:");
	}
	enum err e = store_backend_check(s, out->driver, info);
	if (e != ERR_OK) {
		free(out->target);
		out->target = NULL;
	}
	return e;
}

/* Row level security stops nobody who owns the tables or stands above it. */
enum err
store_check_role(struct db *db, const char *setting, struct err_info *info)
{
	static const char *const faults[] = {
	    "is a superuser",
	    "has BYPASSRLS",
	    "owns the tables, or is a member of the role that does",
	    "finds tables without row level security",
	};
	struct arena *a = arena_new(0);
	struct db_result r;

	enum err e = db_run(db, STMT_ROLE_CHECK, NULL, 0, a, &r);
	if (e != ERR_OK)
		*info = db->info;
	for (int i = 0; e == ERR_OK && i < (int)ARRAY_LEN(faults); i++)
		if (r.rows == 0 || db_int(&r, 0, i) != 0)
			e = err_set(info, ERR_DENIED, setting,
			    "the database role %s, so tenants are not kept "
			    "apart: in production use a role that owns "
			    "nothing (conf/postgresql/roles.sql)",
			    faults[i]);
	arena_free(&a);
	return e;
}

/* On a connection outside of the pool: its transactions come here first. */
static enum err
store_check_server(struct store *s, struct err_info *info)
{
	const struct db_driver *driver = s->target.driver;
	struct db_options o = {.target = s->target.target,
	    .timeout_ms = s->settings->db_timeout * 1000};
	struct db *db = NULL;
	enum err e = ERR_OK;

	if (str_eq(s->settings->env, "production")) {
		e = driver->open(&db, &o, info);
		if (e == ERR_OK)
			e = store_check_role(db, "ARAGORA_DATABASE_URL", info);
		if (db != NULL)
			driver->close(db);
	}
	if (e == ERR_OK && str_eq(s->settings->db_prepare, "server") &&
	    driver->keeps_prepared != NULL) {
		bool is_kept = driver->keeps_prepared(&o);
		atomic_store(&s->can_prepare, is_kept);
		if (!is_kept)
			log_warning("store.prepare",
			    "the server does not keep prepared statements: "
			    "none are used");
	}
	return e;
}

/* A store that was opened while the database was away looks at the schema
 * when it is back. These connections are none of the pool's, but count. */
static enum err
store_check(struct store *s, struct err_info *info)
{
	if (atomic_load(&s->is_checked))
		return ERR_OK;
	if (fit_is_refused(&s->fit, info))
		return ERR_SCHEMA;
	enum err e = pool_reserve(s->pool, info);
	if (e != ERR_OK)
		return e;
	e = fit_look(&s->fit, s->settings, info);
	if (e == ERR_OK)
		e = store_check_server(s, info);
	if (e == ERR_OK)
		atomic_store(&s->is_checked, true);
	pool_unreserve(s->pool);
	return e;
}

enum err
store_open(
    struct store **out, const struct settings *settings, struct err_info *info)
{
	struct store *s = mem_zalloc(sizeof(*s));

	*out = NULL;
	s->settings = settings;
	enum err e = store_target(settings, &s->target, info);
	if (e != ERR_OK) {
		free(s);
		return e;
	}
	fit_init(&s->fit);
	s->pool = pool_new(&(struct pool_options){.driver = s->target.driver,
	    .db = {.target = s->target.target,
		.timeout_ms = settings->db_timeout * 1000,
		.slow_ms = &settings->slow_query,
		.can_prepare = &s->can_prepare},
	    .folder = settings->data_dir,
	    .size = settings->db_pool_size,
	    .overflow = settings->db_pool_max_overflow,
	    .timeout_ms = (int64_t)(settings->db_pool_timeout * 1000),
	    .recycle_ms = settings->db_pool_recycle * 1000});
	e = replica_open(&s->replica, settings, &s->target, info);
	if (e == ERR_OK)
		e = store_check(s, info);
	if (e == ERR_BUSY) /* it looks again at its first transaction */
		e = ERR_DOWN;
	if (e != ERR_OK && e != ERR_DOWN && e != ERR_SCHEMA) {
		store_close(&s);
		return e;
	}
	atomic_store(&s->away, (int)e); /* the caller tells */
	*out = s;
	return e;
}

void
store_close(struct store **store)
{
	struct store *s = *store;

	if (s == NULL)
		return;
	replica_close(&s->replica);
	pool_free(&s->pool);
	fit_release(&s->fit);
	free(s->target.target);
	free(s);
	*store = NULL;
}

const char *
store_kind(const struct store *store)
{
	return store->target.driver->name;
}

bool
store_is_login_refused(const struct store *store)
{
	return atomic_load(&store->is_login_refused);
}

struct pool *
store_pool(struct store *store)
{
	return store->pool;
}

static void
store_tx_pause(int try)
{
	int64_t span = (STORE_BACKOFF_MAX_MS >> (STORE_TX_TRIES - 1 - try)) -
	    STORE_BACKOFF_MIN_MS;
	uint32_t random;

	id_random(&random, sizeof(random));
	struct timespec ts = {
	    .tv_nsec = (STORE_BACKOFF_MIN_MS + random % (span + 1)) * 1000000};
	nanosleep(&ts, NULL);
}

/* A write that changes nothing finds room on a full disk, so one success does
 * not end it: a while without refusals does. */
static void
store_note_full(struct store *store, enum db_tx kind, enum err e,
    const struct err_info *info)
{
	int64_t now = clock_mono_ms();

	if (e == ERR_FULL) {
		metric_add(METRIC_DB_FULL, 1);
		if (atomic_exchange(&store->full_ms, now) == 0)
			log_error("store.full", "database=%s reason=\"%s\"",
			    store_kind(store), info->text);
	} else if (e == ERR_OK && kind == DB_WRITE) {
		int64_t since = atomic_load(&store->full_ms);
		if (since != 0 && now - since > STORE_FULL_QUIET_MS &&
		    atomic_compare_exchange_strong(&store->full_ms, &since, 0))
			log_info(
			    "store.room", "database=%s", store_kind(store));
	}
}

/* Verbs have no room for a reason, so it is logged here, once per outage. */
static void
store_note(struct store *store, enum db_tx kind, enum err e,
    const struct err_info *info)
{
	enum err away = e == ERR_UNCERTAIN ? ERR_DOWN : e;

	store_note_full(store, kind, e, info);
	if (e == ERR_BUSY) /* says nothing either way */
		return;
	if (away != ERR_DOWN && away != ERR_SCHEMA)
		away = ERR_OK;
	atomic_store(&store->is_login_refused,
	    away == ERR_DOWN && str_eq(info->field, DB_LOGIN));
	if ((int)away == atomic_exchange(&store->away, (int)away))
		return;
	if (away == ERR_DOWN)
		log_warning("store.away", "database=%s reason=\"%s\"",
		    store_kind(store), info->text);
	else if (away == ERR_SCHEMA)
		log_error("store.schema", "database=%s reason=\"%s\"",
		    store_kind(store), info->text);
	else
		log_info("store.back", "database=%s", store_kind(store));
}

/* What the tenants' reads elsewhere must see from now on, before anybody is
 * told of the write. Where that is not known no replica will do, until the
 * primary is asked by the next read. */
static void
store_note_position(struct store *store, const struct db *db)
{
	positions_raise(replica_positions(store->replica), &db->touched,
	    db->position != 0 ? db->position : POSITION_UNKNOWN);
}

/* is_lost: the connection went away before COMMIT was sent. */
static enum err
store_tx_run(struct store *store, enum db_tx kind, store_tx_fn fn, void *arg,
    bool *is_lost, struct err_info *info)
{
	struct db *db = NULL;

	enum err e = pool_get(store->pool, kind == DB_WRITE, &db, info);
	if (e != ERR_OK)
		return e;
	db->info = (struct err_info){0};
	db->wants_position = store->replica != NULL;
	e = db_begin(db, kind);
	if (e == ERR_OK)
		e = fn(db, arg);
	if (e == ERR_OK)
		e = db_commit(db);
	*is_lost = e == ERR_DOWN;
	if (e == ERR_OK && db->is_position_due)
		store_note_position(store, db);
	if (e != ERR_OK && db->info.text[0] != '\0')
		*info = db->info;
	pool_put(store->pool, &db); /* rolls back what is open */
	return e;
}

static enum err
store_tx_tries(struct store *store, enum db_tx kind, store_tx_fn fn, void *arg,
    struct err_info *info)
{
	for (int try = 0;;) {
		bool is_lost = false;
		*info = (struct err_info){0};
		enum err e = store_tx_run(store, kind, fn, arg, &is_lost, info);
		if ((e != ERR_RETRY && !is_lost) || ++try == STORE_TX_TRIES)
			return e == ERR_RETRY ? ERR_BUSY : e;
		store_tx_pause(try);
	}
}

/* A statement was refused: ours is to blame only if the schema still fits. */
static enum err
store_check_again(struct store *store, struct err_info *info)
{
	struct err_info why = {0};

	fit_forget(&store->fit);
	atomic_store(&store->is_checked, false);
	enum err e = store_check(store, &why);
	if (e == ERR_OK)
		return ERR_INTERNAL;
	*info = why;
	return e;
}

enum err
store_tx(struct store *store, enum db_tx kind, store_tx_fn fn, void *arg,
    struct err_info *info)
{
	struct err_info unread;

	if (info == NULL)
		info = &unread;
	enum err e = store_check(store, info);
	if (e == ERR_OK)
		e = store_tx_tries(store, kind, fn, arg, info);
	if (e == ERR_INTERNAL)
		e = store_check_again(store, info);
	if (e == ERR_DENIED) /* to us; no caller did anything wrong */
		e = ERR_DOWN;
	store_note(store, kind, e, info);
	return e;
}

/* ---- reads of many rows ---- */

struct store_behind {
	store_tx_fn fn;
	void *arg;
	struct arena *a;
	struct db_result at;
};

static enum err
store_behind_tx(struct db *db, void *arg)
{
	struct store_behind *b = arg;

	enum err e = db_queue(db, STMT_LOG_POSITION, NULL, 0, b->a, &b->at);
	return e == ERR_OK ? b->fn(db, b->arg) : e;
}

/* The replica has not seen what it must. Where the log ends before that, the
 * primary is another than it was (a backup, a failover that lost something),
 * and what we knew of the old one is void. */
static enum err
store_tx_behind(struct store *store, const char *tenant, uint64_t known,
    store_tx_fn fn, void *arg)
{
	struct store_behind b = {.fn = fn, .arg = arg, .a = arena_new(0)};

	enum err e = store_tx(store, DB_READ, store_behind_tx, &b, NULL);
	uint64_t end =
	    e == ERR_OK && b.at.rows > 0 ? (uint64_t)db_int(&b.at, 0, 0) : 0;
	if (end > 0 && end < known)
		positions_lower(
		    replica_positions(store->replica), tenant, known, end);
	arena_free(&b.a);
	if (e == ERR_INTERNAL) /* perhaps for our question alone */
		e = store_tx(store, DB_READ, fn, arg, NULL);
	return e;
}

enum err
store_tx_analytic(struct store *store, const char *tenant,
    const struct store_read *read, store_tx_fn fn, void *arg)
{
	struct store_schema seen;
	struct err_info info;
	enum err e;

	if (store->replica == NULL || !read->is_analytic ||
	    store_check(store, &info) != ERR_OK)
		return store_tx(store, DB_READ, fn, arg, NULL);
	fit_read(&store->fit, &seen, NULL);
	uint64_t known = store_position(store, tenant);
	struct replica_query q = {
	    .position = known > read->after ? known : read->after,
	    .version = seen.have};
	enum replica_why why = replica_run(store->replica, &q, fn, arg, &e);
	if (why == REPLICA_SERVED)
		return e;
	if (why == REPLICA_BEHIND && q.position == known)
		return store_tx_behind(store, tenant, known, fn, arg);
	return store_tx(store, DB_READ, fn, arg, NULL);
}

uint64_t
store_position(struct store *store, const char *tenant)
{
	return store->replica != NULL
	    ? positions_read(replica_positions(store->replica), tenant)
	    : 0;
}

enum err
store_replica(
    struct store *store, struct store_replica *out, struct err_info *info)
{
	*out = (struct store_replica){0};
	return store->replica != NULL ? replica_look(store->replica, out, info)
				      : ERR_OK;
}

enum err
store_clock(struct db *db, struct arena *a, int64_t *now_us)
{
	struct db_result r;

	enum err e = DB_RUN(db, STMT_CLOCK, a, &r, DB_INT(clock_wall_us()));
	if (e == ERR_OK)
		*now_us = db_int(&r, 0, 0);
	return e;
}

const char *
store_id_list(
    struct arena *a, const char *const *ids, const int64_t *epochs, size_t n)
{
	size_t max = STORE_ID_LIST_EXTRA;
	struct buf b;
	struct json_w w;

	for (size_t i = 0; i < n; i++)
		max += strlen(ids[i]) * strlen("\\u0000") + STORE_ID_LIST_EXTRA;
	buf_init(&b, max);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (size_t i = 0; i < n; i++) {
		if (epochs != NULL)
			json_w_begin_array(&w, NULL);
		json_w_str(&w, NULL, ids[i]);
		if (epochs != NULL) {
			json_w_int(&w, NULL, epochs[i]);
			json_w_end_array(&w);
		}
	}
	json_w_end_array(&w);
	const char *list = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return list;
}

enum err
store_noticed(struct store *store, int64_t version)
{
	struct store_schema seen;
	struct err_info info;

	fit_read(&store->fit, &seen, NULL);
	if (version == seen.have)
		return ERR_OK;
	fit_forget(&store->fit);
	atomic_store(&store->is_checked, false);
	return store_check(store, &info);
}

struct store_pinged {
	struct arena *a;
	int64_t version;
};

static enum err
store_ping_tx(struct db *db, void *arg)
{
	struct store_pinged *p = arg;
	struct db_result r;

	enum err e = db_run(db, STMT_PING, NULL, 0, p->a, &r);
	if (e == ERR_OK)
		p->version = db_int(&r, 0, 0);
	return e;
}

enum err
store_ping(struct store *store)
{
	struct store_pinged p = {.a = arena_new(0)};
	struct err_info info;

	fit_forget(&store->fit);
	enum err e = store_tx(store, DB_READ_ONE, store_ping_tx, &p, &info);
	if (e == ERR_OK)
		e = store_noticed(store, p.version);
	arena_free(&p.a);
	return e;
}

void
store_schema_seen(
    struct store *store, struct store_schema *out, struct err_info *why)
{
	fit_read(&store->fit, out, why);
}
