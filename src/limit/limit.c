/* SPDX-License-Identifier: MIT */
#include "limit/limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/limit_impl.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

/* Layout of the shared file, in its name. */
#define LIMIT_FILE "limits-1"

struct limit {
	const struct settings *settings;
	struct limit_table *table;
	struct limit_redis *redis; /* NULL = none is configured */
};

void
limit_open(struct limit **out, const struct settings *settings,
    struct redis_pool *redis)
{
	struct limit *l = mem_zalloc(sizeof(*l));

	l->settings = settings;
	if (redis != NULL)
		limit_redis_new(&l->redis, settings, redis);
	mkdir(settings->data_dir, 0750); /* may exist; opening tells */
	char *path = mem_printf("%s/" LIMIT_FILE, settings->data_dir);
	struct err_info why = {0};
	if (limit_table_open(&l->table, path, &why) != ERR_OK)
		log_warning("limit.memory",
		    "reason=\"%s\" each process counts for itself, so together "
		    "they may admit more",
		    why.text);
	free(path);
	*out = l;
}

void
limit_close(struct limit **limit)
{
	struct limit *l = *limit;

	if (l == NULL)
		return;
	limit_redis_free(&l->redis);
	limit_table_close(&l->table);
	free(l);
	*limit = NULL;
}

enum err
limit_backend(const struct limit *l)
{
	if (l->redis == NULL)
		return ERR_UNSUPPORTED;
	return limit_redis_is_down(l->redis) ? ERR_DOWN : ERR_OK;
}

static void
limit_prepare(const struct limit *l, const struct limit_ask *asks, size_t n,
    int64_t share, struct limit_bucket *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct limit_bucket){.units = asks[i].units,
		    .rule = gcra_rule(
			asks[i].per_minute, l->settings->burst_multiplier)};
		out[i].rule.interval_us *= share;
		out[i].rule.burst /= share;
		/* Somebody must be able to get through. */
		if (out[i].rule.burst < GCRA_REQUEST)
			out[i].rule.burst = GCRA_REQUEST;
		id_sha256(asks[i].name, strlen(asks[i].name), out[i].name);
	}
}

static struct limit_state
limit_state(const struct limit_ask *ask, const struct limit_bucket *b)
{
	return (struct limit_state){.per_minute = ask->per_minute,
	    .left = gcra_left(&b->rule, b->debt_us) / GCRA_REQUEST,
	    .reset_us = b->debt_us};
}

static void
limit_judge(const struct limit_ask *asks, const struct limit_bucket *buckets,
    size_t n, bool is_admitted, struct limit_state *tightest)
{
	for (size_t i = 0; i < n; i++) {
		struct limit_state s = limit_state(&asks[i], &buckets[i]);
		s.ask = i;
		if (!is_admitted)
			s.wait_us = gcra_wait(&buckets[i].rule,
			    buckets[i].debt_us, buckets[i].units);
		if (i == 0 || s.wait_us > tightest->wait_us ||
		    (s.wait_us == tightest->wait_us && s.left < tightest->left))
			*tightest = s;
	}
}

/* In the memory of this host. What Redis admitted is noted there too: when an
 * answer of Redis is late, nobody starts again with a full bucket. */
static enum err
limit_local(struct limit *l, const struct limit_ask *asks, size_t n,
    bool is_note, struct limit_bucket *buckets)
{
	limit_prepare(l, asks, n,
	    l->redis != NULL ? l->settings->expected_hosts : 1, buckets);
	return limit_table_take(l->table, buckets, n, clock_mono_us(), is_note)
	    ? ERR_OK
	    : ERR_BUSY;
}

enum err
limit_take(struct limit *l, const struct limit_ask *asks, size_t n,
    struct limit_state *tightest, bool *is_known)
{
	struct limit_bucket buckets[LIMIT_ASKS_MAX], noted[LIMIT_ASKS_MAX];
	enum err e = ERR_DOWN;

	*is_known = true;
	if (l->redis != NULL) {
		limit_prepare(l, asks, n, 1, buckets);
		e = limit_redis_take(l->redis, buckets, n);
	}
	if (e == ERR_DOWN && l->redis != NULL) {
		metric_add(METRIC_LIMIT_FALLBACKS, 1);
		if (l->settings->rate_limit_strict)
			return ERR_DOWN;
		*is_known = !l->settings->rate_limit_fail_open;
		if (!*is_known)
			return ERR_OK;
	}
	bool is_partial = e == ERR_DOWN && l->redis != NULL;
	if (e == ERR_DOWN)
		e = limit_local(l, asks, n, false, buckets);
	else if (e == ERR_OK)
		(void)limit_local(l, asks, n, true, noted);
	limit_judge(asks, buckets, n, e == ERR_OK, tightest);
	tightest->is_partial = is_partial;
	return e;
}

int64_t
limit_held(struct limit *l)
{
	return limit_table_held(l->table, clock_mono_us());
}
