/* SPDX-License-Identifier: MIT
 *
 * The counters of this host as small JSON objects; the whole of them is at
 * /metrics.
 */
#include "fcgi/handler.h"

#include <sys/resource.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "fcgi/health_out.h"
#include "fcgi/rate.h"
#include "metrics/metrics.h"
#include "redis/redis_pool.h"
#include "settings/settings.h"

static double
metrics_ratio(int64_t part, int64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

struct metrics_requests {
	int64_t ok, moved, refused, failed, total;
};

static struct metrics_requests
metrics_read_requests(void)
{
	struct metrics_requests r = {.ok = metric_read(METRIC_HTTP_2XX),
	    .moved = metric_read(METRIC_HTTP_3XX),
	    .refused = metric_read(METRIC_HTTP_4XX),
	    .failed = metric_read(METRIC_HTTP_5XX)};

	r.total = r.ok + r.moved + r.refused + r.failed;
	return r;
}

static void
metrics_requests(struct json_w *w)
{
	struct metrics_requests r = metrics_read_requests();

	json_w_begin(w, "requests");
	json_w_int(w, "total", r.total);
	json_w_int(w, "2xx", r.ok);
	json_w_int(w, "3xx", r.moved);
	json_w_int(w, "4xx", r.refused);
	json_w_int(w, "5xx", r.failed);
	json_w_end(w);
}

static void
metrics_debates(struct json_w *w)
{
	int64_t completed = metric_read(METRIC_DEBATES_COMPLETED);
	int64_t failed = metric_read(METRIC_DEBATES_FAILED);
	int64_t cancelled = metric_read(METRIC_DEBATES_CANCELLED);

	json_w_int(w, "active", metric_read(METRIC_DEBATES_ACTIVE));
	json_w_int(w, "capacity", metric_read(METRIC_DEBATES_CAPACITY));
	json_w_int(w, "queued", metric_read(METRIC_DEBATES_QUEUED));
	json_w_num(w, "oldest_queued_seconds",
	    (double)metric_read(METRIC_QUEUE_OLDEST) / 1000);
	json_w_int(w, "completed", completed);
	json_w_int(w, "failed", failed);
	json_w_int(w, "cancelled", cancelled);
	json_w_int(w, "total", completed + failed + cancelled);
}

static void
metrics_cache_members(struct json_w *w, const struct cache_counts *c)
{
	json_w_int(w, "hits", c->hits);
	json_w_int(w, "misses", c->misses);
	json_w_int(w, "evictions", c->evictions);
	json_w_num(w, "hit_ratio", metrics_ratio(c->hits, c->hits + c->misses));
}

static struct cache_counts
metrics_cache_sum(void)
{
	struct cache_counts sum = {0};

	for (int i = 0; i < CACHE__COUNT; i++) {
		struct cache_counts c = cache_kind_counts((enum cache_kind)i);
		sum.hits += c.hits;
		sum.misses += c.misses;
		sum.evictions += c.evictions;
	}
	return sum;
}

static struct json_w *
metrics_begin(struct req *req, struct res *res)
{
	int64_t up_ms = clock_mono_ms() - req->app->started_ms;
	struct json_w *w = res_json(res);

	json_w_time(w, "timestamp", req->now_us);
	json_w_int(w, "uptime_seconds", up_ms / 1000);
	return w;
}

enum http_status
metrics_all(struct req *req, struct res *res)
{
	struct cache_counts sum = metrics_cache_sum();
	struct json_w *w = metrics_begin(req, res);
	struct probe_state state;

	probe_read(req->app->probe, &state);
	metrics_requests(w);
	json_w_begin(w, "debates");
	metrics_debates(w);
	json_w_end(w);
	json_w_begin(w, "cache");
	metrics_cache_members(w, &sum);
	json_w_end(w);
	json_w_begin(w, "database");
	json_w_int(w, "in_use", metric_read(METRIC_DB_POOL_IN_USE));
	json_w_int(w, "idle", metric_read(METRIC_DB_POOL_IDLE));
	json_w_int(w, "waiting", metric_read(METRIC_DB_POOL_WAITING));
	json_w_end(w);
	json_w_int(w, "websocket_connections", state.websockets);
	json_w_int(w, "websocket_connections_here",
	    metric_read(METRIC_WS_CONNECTIONS));
	json_w_int(w, "rate_limited", rate_refused());
	return res_json_end(res, HTTP_OK);
}

enum http_status
metrics_health(struct req *req, struct res *res)
{
	struct metrics_requests r = metrics_read_requests();
	struct probe_state state;

	probe_read(req->app->probe, &state);
	struct json_w *w = metrics_begin(req, res);
	json_w_str(w, "status", health_status(req->app, &state));
	metrics_requests(w);
	json_w_num(w, "error_rate", metrics_ratio(r.failed, r.total));
	json_w_num(w, "database_latency_ms", state.database_ms);
	json_w_num(w, "redis_latency_ms", state.redis_ms);
	return res_json_end(res, HTTP_OK);
}

/* Of the process that answers. */
enum http_status
metrics_system(struct req *req, struct res *res)
{
	struct rusage u = {0};

	getrusage(RUSAGE_SELF, &u);
	struct json_w *w = metrics_begin(req, res);
	json_w_int(w, "memory_max_bytes", (int64_t)u.ru_maxrss * 1024);
	json_w_num(w, "cpu_user_seconds",
	    (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6);
	json_w_num(w, "cpu_system_seconds",
	    (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6);
	json_w_int(w, "threads", req->app->settings->fcgi_threads);
	json_w_str(w, "version", PACKAGE_VERSION);
	return res_json_end(res, HTTP_OK);
}

enum http_status
metrics_cache(struct req *req, struct res *res)
{
	struct cache_counts sum = metrics_cache_sum();
	struct json_w *w = metrics_begin(req, res);

	metrics_cache_members(w, &sum);
	json_w_int(w, "entries", metric_read(METRIC_CACHE_ENTRIES));
	json_w_int(w, "size_bytes", metric_read(METRIC_CACHE_BYTES));
	json_w_int(w, "fallbacks", metric_read(METRIC_CACHE_FALLBACKS));
	json_w_str(w, "shared_by", req->app->redis == NULL ? "host" : "redis");
	json_w_begin(w, "kinds");
	for (int i = 0; i < CACHE__COUNT; i++) {
		enum cache_kind kind = (enum cache_kind)i;
		struct cache_counts c = cache_kind_counts(kind);
		json_w_begin(w, cache_kind_name(kind));
		metrics_cache_members(w, &c);
		json_w_int(w, "ttl_seconds",
		    cache_kind_ttl_s(req->app->settings, kind));
		json_w_end(w);
	}
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}

enum http_status
metrics_debate(struct req *req, struct res *res)
{
	struct json_w *w = metrics_begin(req, res);

	metrics_debates(w);
	return res_json_end(res, HTTP_OK);
}
