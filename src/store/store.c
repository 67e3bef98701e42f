/* SPDX-License-Identifier: MIT
 *
 * Opening a store, and the transaction wrapper.
 */
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "store/pool.h"
#include "store/store_tx.h"

#define STORE_TX_TRIES	 5
#define STORE_BACKOFF_MS 500

struct store {
	const struct settings *settings;
	struct store_target target;
	struct pool *pool;
	/* One writer at a time in this process when the driver says so: a
	 * queue is fairer than SQLite's busy handler. */
	pthread_mutex_t write_lock;
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

enum err
store_open(
    struct store **out, const struct settings *settings, struct err_info *info)
{
	struct store *s = mem_zalloc(sizeof(*s));
	struct store_schema schema;

	*out = NULL;
	s->settings = settings;
	enum err e = store_target(settings, &s->target, info);
	if (e != ERR_OK) {
		free(s);
		return e;
	}
	pthread_mutex_init(&s->write_lock, NULL);
	s->pool = pool_new(&(struct pool_options){.driver = s->target.driver,
	    .db = {.target = s->target.target,
		.timeout_ms = settings->db_timeout * 1000},
	    .size = settings->db_pool_size,
	    .overflow = settings->db_pool_max_overflow,
	    .timeout_ms = (int64_t)(settings->db_pool_timeout * 1000)});
	e = store_schema(settings, &schema, info);
	if (e == ERR_OK && schema.have != schema.want)
		e = err_set(info, ERR_SCHEMA, "",
		    schema.have < schema.want
			? "database schema is version %lld, this program needs "
			  "%lld: run `aragora migrate`"
			: "database schema is version %lld, newer than the "
			  "%lld this program knows: upgrade it",
		    (long long)schema.have, (long long)schema.want);
	if (e != ERR_OK && e != ERR_DOWN) {
		store_close(&s);
		return e;
	}
	*out = s;
	return e;
}

void
store_close(struct store **store)
{
	struct store *s = *store;

	if (s == NULL)
		return;
	pool_free(&s->pool);
	pthread_mutex_destroy(&s->write_lock);
	free(s->target.target);
	free(s);
	*store = NULL;
}

const char *
store_kind(const struct store *store)
{
	return store->target.driver->name;
}

/* Full jitter (engine and operations notes): a random part of the cap. */
static void
store_tx_pause(int try)
{
	uint32_t random;

	id_random(&random, sizeof(random));
	long cap = STORE_BACKOFF_MS >> (STORE_TX_TRIES - 1 - try);
	struct timespec ts = {.tv_nsec = (10 + (long)random % cap) * 1000000};
	nanosleep(&ts, NULL);
}

static enum err
store_tx_once(struct store *store, bool is_write, store_tx_fn fn, void *arg,
    struct err_info *info)
{
	struct db *db = NULL;
	bool is_serial = is_write && store->target.driver->is_single_writer;

	enum err e = pool_get(store->pool, &db, info);
	if (e != ERR_OK)
		return e;
	if (is_serial)
		pthread_mutex_lock(&store->write_lock);
	e = db->driver->begin(db, is_write);
	if (e == ERR_OK)
		e = fn(db, arg);
	if (e == ERR_OK)
		e = db->driver->commit(db);
	if (e != ERR_OK && !db->is_broken)
		db->driver->rollback(db);
	if (is_serial)
		pthread_mutex_unlock(&store->write_lock);
	pool_put(store->pool, &db);
	return e;
}

enum err
store_tx(struct store *store, bool is_write, store_tx_fn fn, void *arg,
    struct err_info *info)
{
	enum err e = ERR_OK;

	for (int try = 0; try < STORE_TX_TRIES; try++) {
		if (try > 0)
			store_tx_pause(try);
		e = store_tx_once(store, is_write, fn, arg, info);
		/* A lost connection deserves one more, fresh one; an
		 * unreachable server should be reported, not waited for. */
		if (e != ERR_RETRY && !(e == ERR_DOWN && try == 0))
			break;
	}
	return e == ERR_RETRY ? ERR_BUSY : e;
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

static enum err
store_ping_tx(struct db *db, void *arg)
{
	return db_run(db, STMT_PING, NULL, 0, arg, NULL);
}

enum err
store_ping(struct store *store)
{
	struct arena *a = arena_new(0);
	enum err e = store_tx(store, false, store_ping_tx, a, NULL);

	arena_free(&a);
	return e;
}
