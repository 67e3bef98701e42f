/* SPDX-License-Identifier: MIT
 *
 * The state of one part of the service: the whole state, and the part that the
 * path names. None but the list of slow debates asks the database.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "fcgi/health_out.h"
#include "fcgi/routes.h"
#include "metrics/metrics.h"
#include "redis/redis_pool.h"
#include "settings/settings.h"

#define HEALTH_SLOW_MAX	  100
#define HEALTH_SLOW_SHARE 2 /* of ARAGORA_DEBATE_TIMEOUT */

typedef void (*health_part_fn)(
    struct json_w *w, const struct req *req, const struct probe_state *state);

static void
health_part_startup(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	int64_t up_ms = clock_mono_ms() - req->app->started_ms;

	json_w_str(w, "status", state->is_done ? "healthy" : "unhealthy");
	json_w_bool(w, "started", state->is_done);
	json_w_num(w, "seconds_ago", (double)up_ms / 1000);
}

static void
health_part_platform(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	(void)state;
	json_w_str(w, "status", "healthy");
	json_w_str(w, "server", "aragora-fcgi");
	json_w_str(w, "version", PACKAGE_VERSION);
	json_w_str(w, "database", store_kind(req->app->store));
	json_w_bool(w, "redis", req->app->redis != NULL);
	json_w_int(w, "threads", req->app->settings->fcgi_threads);
}

static void
health_part_components(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	json_w_str(w, "status", health_status(req->app, state));
	health_checks(w, "components", req, state);
}

static void
health_part_database(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	json_w_str(
	    w, "status", health_is_serving(state) ? "healthy" : "unhealthy");
	json_w_str(w, "kind", store_kind(req->app->store));
	json_w_num(w, "latency_ms", state->database_ms);
	json_w_bool(w, "is_full", state->is_full);
	json_w_begin(w, "pool");
	json_w_int(w, "in_use", metric_read(METRIC_DB_POOL_IN_USE));
	json_w_int(w, "idle", metric_read(METRIC_DB_POOL_IDLE));
	json_w_int(w, "waiting", metric_read(METRIC_DB_POOL_WAITING));
	json_w_end(w);
}

static void
health_part_stores(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	json_w_str(w, "status", health_status(req->app, state));
	health_stores(w, state);
}

/* Those of this process; the runners keep theirs of the providers. */
static void
health_part_circuits(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	bool is_open =
	    req->app->redis != NULL && redis_pool_is_down(req->app->redis);

	(void)state;
	json_w_str(w, "status", is_open ? "degraded" : "healthy");
	json_w_begin(w, "circuits");
	if (req->app->redis != NULL)
		json_w_str(w, "redis", is_open ? "open" : "closed");
	json_w_end(w);
}

static void
health_part_workers(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	(void)req;
	health_runners(w, state);
	json_w_int(w, "active_debates", state->debates.active);
	json_w_int(w, "capacity", state->capacity);
}

static const struct {
	const char *name; /* behind /api/health/ */
	const char *key;
	health_part_fn fn;
} health_parts[] = {
    {"startup", "startup", health_part_startup},
    {"platform", "platform", health_part_platform},
    {"components", "components", health_part_components},
    {"database", "database_state", health_part_database},
    {"stores", "stores", health_part_stores},
    {"circuits", "circuits", health_part_circuits},
    {"job-queue", "job_queue", health_queue},
    {"workers", "workers", health_part_workers},
    {"workers/all", "workers", health_part_workers},
};

enum http_status
health_part(struct req *req, struct res *res)
{
	static const char front[] = "/api/health/";
	const char *name = req->match.route->pattern + strlen(front);
	struct probe_state state;

	probe_read(req->app->probe, &state);
	struct json_w *w = res_json(res);
	health_members(w, req, &state);
	for (size_t i = 0; i < ARRAY_LEN(health_parts); i++) {
		if (!str_eq(health_parts[i].name, name))
			continue;
		json_w_begin(w, health_parts[i].key);
		health_parts[i].fn(w, req, &state);
		json_w_end(w);
	}
	return res_json_end(
	    res, health_is_serving(&state) ? HTTP_OK : HTTP_UNAVAILABLE);
}

/* The caller's debates that have been under way for half the time a debate may
 * take. */
enum http_status
health_slow_debates(struct req *req, struct res *res)
{
	int64_t threshold_s =
	    req->app->settings->debate_timeout / HEALTH_SLOW_SHARE;
	struct store_debate_filter f = {.tenant = req->caller.tenant,
	    .status = STORE_RUNNING,
	    .until_us = req->now_us - threshold_s * 1000000,
	    .limit = HEALTH_SLOW_MAX};
	struct store_debate *rows = NULL;
	struct probe_state state;
	int64_t total = 0;
	size_t n = 0;

	enum err e = store_debate_list(
	    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	probe_read(req->app->probe, &state);
	struct json_w *w = res_json(res);
	health_members(w, req, &state);
	json_w_begin_array(w, "slow_debates");
	for (size_t i = 0; i < n; i++) {
		int64_t since_us = rows[i].started_us > 0 ? rows[i].started_us
							  : rows[i].created_us;
		json_w_begin(w, NULL);
		json_w_str(w, "debate_id", rows[i].id);
		json_w_int(w, "round", rows[i].round);
		json_w_num(
		    w, "seconds", (double)(req->now_us - since_us) / 1e6);
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_int(w, "count", total);
	json_w_int(w, "threshold_seconds", threshold_s);
	return res_json_end(res, HTTP_OK);
}
