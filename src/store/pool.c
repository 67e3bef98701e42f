/* SPDX-License-Identifier: MIT */
#include "store/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "store/gate.h"

struct pool {
	struct pool_options o;
	struct gate gate; /* size + overflow permits */
	pthread_mutex_t lock;
	struct db **idle; /* a stack: the warmest first */
	int64_t n_idle;
};

struct pool *
pool_new(const struct pool_options *o)
{
	struct pool *p = mem_zalloc(sizeof(*p));

	p->o = *o;
	p->idle = mem_array((size_t)o->size, sizeof(struct db *));
	gate_init(&p->gate, o->size + o->overflow);
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
pool_free(struct pool **pool)
{
	struct pool *p = *pool;

	if (p == NULL)
		return;
	assert(p->gate.n_free == p->o.size + p->o.overflow);
	for (int64_t i = 0; i < p->n_idle; i++)
		p->o.driver->close(p->idle[i]);
	gate_release(&p->gate);
	pthread_mutex_destroy(&p->lock);
	free(p->idle);
	free(p);
	*pool = NULL;
}

static struct db *
pool_pop(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct db *db = p->n_idle > 0 ? p->idle[--p->n_idle] : NULL;
	pthread_mutex_unlock(&p->lock);
	return db;
}

/* Is there room for it? */
static bool
pool_push(struct pool *p, struct db *db)
{
	pthread_mutex_lock(&p->lock);
	bool has_room = p->n_idle < p->o.size;
	if (has_room)
		p->idle[p->n_idle++] = db;
	pthread_mutex_unlock(&p->lock);
	return has_room;
}

static void
pool_leave(struct pool *p)
{
	metric_add(METRIC_DB_POOL_IN_USE, -1);
	gate_leave(&p->gate);
}

enum err
pool_get(struct pool *p, struct db **out, struct err_info *info)
{
	if (!gate_enter(&p->gate, p->o.timeout_ms)) {
		metric_add(METRIC_DB_POOL_TIMEOUTS, 1);
		return err_set(info, ERR_BUSY, "",
		    "no database connection within %lld ms",
		    (long long)p->o.timeout_ms);
	}
	metric_add(METRIC_DB_POOL_IN_USE, 1);

	/* After a restart of the server every idle connection is dead: look at
	 * each, it costs one system call. */
	struct db *db = pool_pop(p);
	if (db != NULL && p->o.driver->is_dead(db)) {
		p->o.driver->close(db);
		db = NULL;
	}
	enum err e =
	    db != NULL ? ERR_OK : p->o.driver->open(&db, &p->o.db, info);
	if (e != ERR_OK) {
		pool_leave(p);
		return e == ERR_NOT_FOUND ? ERR_DOWN : e;
	}
	*out = db;
	return ERR_OK;
}

void
pool_put(struct pool *p, struct db **db)
{
	struct db *d = *db;

	*db = NULL;
	db_rollback(d);
	if (d->is_broken || !pool_push(p, d))
		p->o.driver->close(d);
	pool_leave(p);
}
