/* SPDX-License-Identifier: MIT */
#include "store/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "metrics/metrics.h"

struct pool_waiter {
	struct list link;
	pthread_cond_t wake;
	bool is_served; /* the permit is ours; db may be NULL: open one */
	struct db *db;
};

struct pool {
	struct pool_options o;
	pthread_mutex_t lock;
	struct list waiters;
	struct db **idle; /* a stack: the warmest first */
	int64_t n_idle;
	int64_t n_out; /* permits given */
};

struct pool *
pool_new(const struct pool_options *o)
{
	struct pool *p = mem_zalloc(sizeof(*p));

	p->o = *o;
	p->idle = mem_array((size_t)o->size, sizeof(struct db *));
	list_init(&p->waiters);
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
pool_free(struct pool **pool)
{
	struct pool *p = *pool;

	if (p == NULL)
		return;
	assert(p->n_out == 0);
	for (int64_t i = 0; i < p->n_idle; i++)
		p->o.driver->close(p->idle[i]);
	pthread_mutex_destroy(&p->lock);
	free(p->idle);
	free(p);
	*pool = NULL;
}

/* With the lock held: a permit and perhaps an idle connection. */
static bool
pool_try(struct pool *p, struct db **db)
{
	if (p->n_out >= p->o.size + p->o.overflow)
		return false;
	p->n_out++;
	metric_add(METRIC_DB_POOL_IN_USE, 1);
	*db = p->n_idle > 0 ? p->idle[--p->n_idle] : NULL;
	return true;
}

/* With the lock held: wait in line for a permit. */
static bool
pool_wait(struct pool *p, struct db **db)
{
	struct pool_waiter w = {.is_served = false};
	pthread_condattr_t attr;
	struct timespec until;
	int64_t deadline = clock_mono_ms() + p->o.timeout_ms;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w.wake, &attr);
	pthread_condattr_destroy(&attr);
	until.tv_sec = (time_t)(deadline / 1000);
	until.tv_nsec = (long)(deadline % 1000) * 1000000;
	list_add_tail(&p->waiters, &w.link);
	while (!w.is_served &&
	    pthread_cond_timedwait(&w.wake, &p->lock, &until) != ETIMEDOUT)
		;
	list_del(&w.link);
	pthread_cond_destroy(&w.wake);
	if (!w.is_served)
		metric_add(METRIC_DB_POOL_TIMEOUTS, 1);
	*db = w.db;
	return w.is_served;
}

/* With the lock held: the permit of *db goes to the first in line or back. */
static struct db *
pool_pass_on(struct pool *p, struct db *db)
{
	if (!list_is_empty(&p->waiters)) {
		struct pool_waiter *w =
		    LIST_ENTRY(p->waiters.next, struct pool_waiter, link);
		list_del(&w->link);
		w->db = db;
		w->is_served = true;
		pthread_cond_signal(&w->wake);
		return NULL;
	}
	p->n_out--;
	metric_add(METRIC_DB_POOL_IN_USE, -1);
	if (db != NULL && p->n_idle < p->o.size) {
		p->idle[p->n_idle++] = db;
		return NULL;
	}
	return db; /* overflow: the caller closes it */
}

enum err
pool_get(struct pool *p, struct db **out, struct err_info *info)
{
	struct db *db = NULL;

	pthread_mutex_lock(&p->lock);
	bool ok = (list_is_empty(&p->waiters) && pool_try(p, &db)) ||
	    pool_wait(p, &db);
	pthread_mutex_unlock(&p->lock);
	if (!ok)
		return err_set(info, ERR_BUSY, "",
		    "no database connection within %lld ms",
		    (long long)p->o.timeout_ms);

	/* After a restart of the server every idle connection is dead: look at
	 * each, it costs one system call. */
	if (db != NULL && p->o.driver->is_dead(db)) {
		p->o.driver->close(db);
		db = NULL;
	}
	enum err e =
	    db != NULL ? ERR_OK : p->o.driver->open(&db, &p->o.db, info);
	if (e != ERR_OK) {
		pthread_mutex_lock(&p->lock);
		(void)pool_pass_on(p, NULL);
		pthread_mutex_unlock(&p->lock);
		return e;
	}
	*out = db;
	return ERR_OK;
}

void
pool_put(struct pool *p, struct db **db)
{
	struct db *d = *db;

	*db = NULL;
	if (!d->is_broken)
		p->o.driver->rollback(d);
	if (d->is_broken) {
		p->o.driver->close(d);
		d = NULL;
	}
	pthread_mutex_lock(&p->lock);
	d = pool_pass_on(p, d);
	pthread_mutex_unlock(&p->lock);
	if (d != NULL)
		p->o.driver->close(d);
}
