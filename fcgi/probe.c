/* SPDX-License-Identifier: MIT */
#include "fcgi/probe.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "limit/limit.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store.h"
#include "store/store_bridge.h"

#define PROBE_PERIOD_S	   5 /* the age a load balancer may be shown */
#define PROBE_FIRST_WAIT_S 2 /* start-up waits no longer than this */
/* A runner writes its row several times within a lease. */
#define PROBE_RUNNER_LEASES 2

struct probe {
	const struct settings *settings;
	struct store *store;
	struct bus *bus;
	struct limit *limit;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* state.is_done or is_stopping */
	bool is_stopping;
	struct probe_state state;
	/* Its thread's own: */
	bool is_full;
	int64_t full_count;
};

static double
probe_elapsed_ms(int64_t since_us)
{
	return (double)(clock_mono_us() - since_us) / 1000.0;
}

static void
probe_count_runners(struct probe *p, struct arena *a, struct probe_state *out)
{
	struct store_runner *rows;
	size_t n = 0;
	int64_t max_age_us = p->settings->lease * PROBE_RUNNER_LEASES * 1000000;

	if (store_runner_list(p->store, a, max_age_us, &rows, &n) != ERR_OK)
		return;
	out->runners = (int64_t)n;
	for (size_t i = 0; i < n; i++)
		out->capacity += rows[i].capacity;
}

/* What the bridges hold, as they last told. */
static void
probe_count_bridges(struct probe *p, struct arena *a, struct probe_state *out)
{
	struct store_bridge *rows,
	    sum = {.connections = metric_read(METRIC_WS_CONNECTIONS),
		.streams = metric_read(METRIC_SSE_CONNECTIONS),
		.subscriptions = metric_read(METRIC_WS_SUBSCRIPTIONS)};
	size_t n = 0;

	if (out->database == ERR_OK &&
	    store_bridge_list(p->store, a, &rows, &n) == ERR_OK)
		sum = store_bridge_sum(rows, n);
	out->bridges = (int64_t)n;
	out->websockets = sum.connections;
	out->streams = sum.streams;
	out->subscriptions = sum.subscriptions;
}

/* Whoever on this host finds no room counts it; then it is looked for with a
 * write until there is some. A small row may find room where others do not:
 * while refusals go on it is full all the same. */
static bool
probe_is_full(struct probe *p)
{
	int64_t count = metric_read(METRIC_DB_FULL);

	bool is_refusing = count != p->full_count;
	if (is_refusing || p->is_full)
		p->is_full =
		    store_ping_write(p->store) == ERR_FULL || is_refusing;
	p->full_count = metric_read(METRIC_DB_FULL);
	return p->is_full;
}

static void
probe_look(struct probe *p, struct arena *a, struct probe_state *out)
{
	int64_t start_us = clock_mono_us();

	*out = (struct probe_state){.is_done = true};
	out->database = store_ping(p->store);
	out->is_login_refused = store_is_login_refused(p->store);
	out->database_ms = probe_elapsed_ms(start_us);
	store_schema_seen(p->store, &out->schema, &out->refusal);
	if (out->database == ERR_OK) {
		enum err e = store_debate_counts(p->store, &out->debates);
		if (e != ERR_OK)
			log_debug("probe.counts", "error=%s", err_text(e));
		probe_count_runners(p, a, out);
		out->is_full = probe_is_full(p);
	}
	probe_count_bridges(p, a, out);
	start_us = clock_mono_us();
	out->redis = bus_ping_redis(p->bus);
	out->redis_ms = probe_elapsed_ms(start_us);
}

/* What every worker sees of the same. */
static void
probe_count(const struct probe_state *s)
{
	metric_set(METRIC_DEBATES_QUEUED, s->debates.pending);
	metric_set(METRIC_DEBATES_RUNNING, s->debates.active);
	metric_set(METRIC_QUEUE_OLDEST, s->debates.oldest_us / 1000);
	metric_set(METRIC_DEBATES_CAPACITY_ALL, s->capacity);
	metric_set(METRIC_RUNNERS, s->runners);
	metric_set(METRIC_BRIDGES, s->bridges);
	metric_set(METRIC_WS_CONNECTIONS_ALL, s->websockets);
	metric_set(METRIC_DATABASE_UP, s->database == ERR_OK);
	metric_set(METRIC_REDIS_UP, s->redis == ERR_OK);
}

/* One line when something goes or comes back, none while it stays. */
static void
probe_tell(const char *what, enum err before, enum err now)
{
	if ((before == ERR_OK) == (now == ERR_OK))
		return;
	if (now == ERR_OK)
		log_info("probe.back", "service=%s", what);
	else if (now != ERR_UNSUPPORTED)
		log_warning(
		    "probe.lost", "service=%s error=%s", what, err_text(now));
}

static void
probe_sleep(struct probe *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PROBE_PERIOD_S;
	while (!p->is_stopping &&
	    pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
		;
}

static void *
probe_run(void *arg)
{
	struct probe *p = arg;
	struct arena *a = arena_new(0);
	struct probe_state state;
	enum err database = ERR_OK, redis = ERR_OK;

	pthread_mutex_lock(&p->lock);
	while (!p->is_stopping) {
		pthread_mutex_unlock(&p->lock);
		probe_look(p, a, &state);
		probe_count(&state);
		if (p->limit != NULL)
			metric_set(METRIC_LIMIT_HELD, limit_held(p->limit));
		probe_tell("database", database, state.database);
		probe_tell("redis", redis, state.redis);
		database = state.database;
		redis = state.redis;
		arena_clear(a);
		pthread_mutex_lock(&p->lock);
		p->state = state;
		pthread_cond_broadcast(&p->changed);
		probe_sleep(p);
	}
	pthread_mutex_unlock(&p->lock);
	arena_free(&a);
	return NULL;
}

static void
probe_wait_first(struct probe *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PROBE_FIRST_WAIT_S;
	pthread_mutex_lock(&p->lock);
	while (!p->state.is_done &&
	    pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
		;
	pthread_mutex_unlock(&p->lock);
}

enum err
probe_start(struct probe **out, const struct settings *settings,
    struct store *store, struct bus *bus, struct limit *limit)
{
	struct probe *p = mem_zalloc(sizeof(*p));
	pthread_condattr_t attr;

	p->settings = settings;
	p->store = store;
	p->bus = bus;
	p->limit = limit;
	p->state.database = ERR_AGAIN;
	p->state.redis = ERR_UNSUPPORTED;
	store_schema_range(&p->state.schema);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&p->thread, NULL, probe_run, p) != 0) {
		free(p);
		*out = NULL;
		return ERR_IO;
	}
	probe_wait_first(p);
	*out = p;
	return ERR_OK;
}

void
probe_stop(struct probe **probe)
{
	struct probe *p = *probe;

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
	*probe = NULL;
}

void
probe_read(struct probe *p, struct probe_state *out)
{
	pthread_mutex_lock(&p->lock);
	*out = p->state;
	pthread_mutex_unlock(&p->lock);
}
