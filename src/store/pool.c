/* SPDX-License-Identifier: MIT */
#include "store/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"

/* Layout of the shared file, in its name: programs of two versions that do not
 * understand each other have a file each. */
#define POOL_FILE_VERSION 1
#define POOL_FILE_DIGITS  16

/* Connections that were opened together are not replaced together. */
#define POOL_JITTER_PERCENT 10

struct pool_lane {
	struct pool *pool;
	struct budget *budget;
	bool is_reader;
	int64_t keep; /* idle ones, of all processes of the budget */
	int64_t limit;
	int64_t timeout_ms;
	pthread_mutex_t lock;
	struct db **idle; /* a stack: the warmest first */
	int64_t n_idle;
};

struct pool {
	struct pool_options o; /* folder is not kept */
	bool is_shared;
	struct pool_lane lane; /* of the readers, where writers have theirs */
	struct pool_lane writer;
};

/* ---- idle connections ---- */

static struct db *
pool_lane_pop(struct pool_lane *l)
{
	pthread_mutex_lock(&l->lock);
	struct db *db = l->n_idle > 0 ? l->idle[--l->n_idle] : NULL;
	if (db != NULL)
		budget_add_idle(l->budget, -1);
	pthread_mutex_unlock(&l->lock);
	if (db != NULL)
		metric_add(METRIC_DB_POOL_IDLE, -1);
	return db;
}

/* Is there room for it? */
static bool
pool_lane_push(struct pool_lane *l, struct db *db)
{
	pthread_mutex_lock(&l->lock);
	bool has_room = l->n_idle < l->keep && budget_idle(l->budget) < l->keep;
	if (has_room) {
		l->idle[l->n_idle++] = db;
		budget_add_idle(l->budget, 1);
	}
	pthread_mutex_unlock(&l->lock);
	if (has_room)
		metric_add(METRIC_DB_POOL_IDLE, 1);
	return has_room;
}

/* The permit goes back after the connection: there is never one more. */
static void
pool_lane_drop(struct pool_lane *l, struct db *db)
{
	l->pool->o.driver->close(db);
	budget_leave(l->budget);
}

/* Somebody waits: part with what is idle. */
static void
pool_lane_give(void *arg)
{
	struct pool_lane *l = arg;
	struct db *db;

	while (budget_is_wanted(l->budget) && (db = pool_lane_pop(l)) != NULL)
		if (!budget_pass(l->budget, db))
			pool_lane_drop(l, db);
}

/* ---- life ---- */

char *
pool_path(const struct db_driver *driver, const char *target,
    const char *folder, const char *prefix)
{
	char hash[ID_HASH_SIZE];

	if (folder == NULL || driver->identify == NULL)
		return NULL;
	mkdir(folder, 0750); /* may exist; opening tells */
	char *name = driver->identify(target);
	if (name == NULL)
		return NULL;
	id_sha256(name, strlen(name), hash);
	free(name);
	return mem_printf("%s/%s-%d-%.*s", folder, prefix, POOL_FILE_VERSION,
	    POOL_FILE_DIGITS, hash);
}

static void
pool_lane_init(struct pool_lane *l, struct pool *p, const char *path)
{
	struct budget_options o = {
	    .path = path, .limit = l->limit, .give = pool_lane_give, .arg = l};
	struct err_info info;

	l->pool = p;
	l->idle = mem_array((size_t)l->keep, sizeof(struct db *));
	pthread_mutex_init(&l->lock, NULL);
	enum err e = budget_open(&l->budget, &o, &info);
	p->is_shared = path != NULL && e == ERR_OK;
	if (e == ERR_OK)
		return;
	if (path != NULL)
		log_warning("store.budget",
		    "limit=%lld reason=\"%s\" each process has a connection "
		    "budget of its own, so together they may exceed it",
		    (long long)l->limit, info.text);
	o.path = NULL;
	if (budget_open(&l->budget, &o, &info) != ERR_OK)
		mem_exhausted(0);
}

static void
pool_lane_release(struct pool_lane *l)
{
	struct db *db;

	while ((db = pool_lane_pop(l)) != NULL)
		pool_lane_drop(l, db);
	budget_close(&l->budget);
	pthread_mutex_destroy(&l->lock);
	free(l->idle);
}

struct pool *
pool_new(const struct pool_options *o)
{
	struct pool *p = mem_zalloc(sizeof(*p));
	int64_t all = o->size + o->overflow;
	char *path = pool_path(o->driver, o->db.target, o->folder, "db-pool");

	p->o = *o;
	p->o.folder = NULL;
	if (p->o.now_ms == NULL)
		p->o.now_ms = clock_mono_ms;
	p->lane.timeout_ms = o->timeout_ms;
	p->lane.keep = o->size;
	p->lane.limit = all;
	if (o->driver->is_single_writer) {
		p->lane.is_reader = true;
		p->lane.limit = all < POOL_READERS_MAX ? all : POOL_READERS_MAX;
		p->lane.keep = p->lane.limit;
		p->writer.timeout_ms = o->db.timeout_ms;
		p->writer.keep = p->writer.limit = 1;
		pool_lane_init(&p->writer, p, NULL);
	}
	pool_lane_init(&p->lane, p, path);
	free(path);
	return p;
}

void
pool_free(struct pool **pool)
{
	struct pool *p = *pool;

	if (p == NULL)
		return;
	pool_lane_release(&p->lane);
	if (p->o.driver->is_single_writer)
		pool_lane_release(&p->writer);
	free(p);
	*pool = NULL;
}

/* ---- taking and returning ---- */

static bool
pool_is_old(const struct pool *p, const struct db *db)
{
	return p->o.recycle_ms > 0 && p->o.now_ms() >= db->replace_ms;
}

/* Leaves *out NULL when there is none that can be used. */
static void
pool_check(struct pool *p, struct db **out)
{
	struct db *db = *out;

	if (db == NULL)
		return;
	bool is_old = pool_is_old(p, db);
	if (is_old)
		metric_add(METRIC_DB_POOL_RECYCLED, 1);
	/* After a restart of the server every idle connection is dead: look at
	 * each, it costs one system call. */
	if (!is_old && !p->o.driver->is_dead(db))
		return;
	p->o.driver->close(db);
	*out = NULL;
}

static enum err
pool_open(struct pool_lane *l, struct db **out, struct err_info *info)
{
	struct pool *p = l->pool;
	struct db_options o = p->o.db;
	uint32_t random;

	o.is_reader = l->is_reader;
	enum err e = p->o.driver->open(out, &o, info);
	if (e == ERR_OK)
		(*out)->slow_ms = o.slow_ms;
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_DOWN : e;
	id_random(&random, sizeof(random));
	int64_t span = p->o.recycle_ms * POOL_JITTER_PERCENT / 100;
	(*out)->replace_ms = p->o.now_ms() + p->o.recycle_ms - span +
	    (int64_t)(random % (uint64_t)(2 * span + 1));
	return ERR_OK;
}

/* A permit, and with some luck a connection to go with it. */
static enum err
pool_lane_enter(struct pool_lane *l, struct db **out, struct err_info *info)
{
	void *gift;

	*out = NULL;
	/* Not past those who wait. */
	if (!budget_is_wanted(l->budget))
		*out = pool_lane_pop(l);
	if (*out != NULL)
		return ERR_OK;
	if (budget_enter(l->budget, l->timeout_ms, &gift) != ERR_OK) {
		metric_add(METRIC_DB_POOL_TIMEOUTS, 1);
		return err_set(info, ERR_BUSY, "",
		    l == &l->pool->writer
			? "the database was written to for %lld ms"
			: "no database connection within %lld ms",
		    (long long)l->timeout_ms);
	}
	*out = gift;
	if (*out == NULL && (*out = pool_lane_pop(l)) != NULL)
		budget_leave(l->budget); /* that one has its own */
	return ERR_OK;
}

static struct pool_lane *
pool_lane(struct pool *p, bool is_write)
{
	return is_write && p->o.driver->is_single_writer ? &p->writer
							 : &p->lane;
}

enum err
pool_get(struct pool *p, bool is_write, struct db **out, struct err_info *info)
{
	struct pool_lane *l = pool_lane(p, is_write);

	enum err e = pool_lane_enter(l, out, info);
	if (e != ERR_OK)
		return e;
	metric_add(METRIC_DB_POOL_IN_USE, 1);
	pool_check(p, out);
	if (*out == NULL)
		e = pool_open(l, out, info);
	if (e != ERR_OK) {
		metric_add(METRIC_DB_POOL_IN_USE, -1);
		budget_leave(l->budget);
		return e;
	}
	(*out)->is_writer = l == &p->writer;
	return ERR_OK;
}

void
pool_put(struct pool *p, struct db **db)
{
	struct db *d = *db;
	struct pool_lane *l = pool_lane(p, d->is_writer);

	*db = NULL;
	db_rollback(d);
	metric_add(METRIC_DB_POOL_IN_USE, -1);
	if (d->is_broken) {
		pool_lane_drop(l, d);
		return;
	}
	if (budget_is_wanted(l->budget) && budget_pass(l->budget, d))
		return;
	if (budget_is_wanted(l->budget) || !pool_lane_push(l, d))
		pool_lane_drop(l, d);
	/* One may have lined up meanwhile, who saw nothing idle. */
	pool_lane_give(l);
}

enum err
pool_reserve(struct pool *p, struct err_info *info)
{
	struct db *db;

	enum err e = pool_lane_enter(&p->lane, &db, info);
	if (e == ERR_OK && db != NULL)
		p->o.driver->close(db);
	return e;
}

void
pool_unreserve(struct pool *p)
{
	budget_leave(p->lane.budget);
}

void
pool_read(struct pool *p, bool *is_shared, struct budget_use *out)
{
	*is_shared = p->is_shared;
	budget_read(p->lane.budget, out);
}
