/* SPDX-License-Identifier: MIT
 *
 * Probes and metrics. None of them touches the database: probe.c does, every
 * few seconds.
 */
#include "fcgi/handler.h"

#include "base/clock.h"
#include "fcgi/health_out.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

enum http_status
health_live(struct req *req, struct res *res)
{
	struct json_w *w = res_json(res);

	json_w_str(w, "status", "ok");
	if (atomic_load(&req->app->is_draining))
		json_w_str(w, "reason", "draining");
	return res_json_end(res, HTTP_OK);
}

enum http_status
health_ready(struct req *req, struct res *res)
{
	struct probe_state state;
	bool is_accepting = !atomic_load(&req->app->is_draining);

	probe_read(req->app->probe, &state);
	bool has_database = state.is_done && state.database == ERR_OK;
	bool is_ready = has_database && is_accepting;
	struct json_w *w = res_json(res);
	json_w_str(w, "status", is_ready ? "ready" : "not_ready");
	json_w_begin(w, "checks");
	json_w_bool(w, "database", has_database);
	json_w_bool(w, "accepting", is_accepting);
	json_w_end(w);
	json_w_num(w, "latency_ms", state.database_ms);
	return res_json_end(res, is_ready ? HTTP_OK : HTTP_UNAVAILABLE);
}

const char *
health_redis(const struct probe_state *state)
{
	if (state->redis == ERR_UNSUPPORTED)
		return "not_configured";
	return state->redis == ERR_OK ? "connected" : "disconnected";
}

bool
health_is_serving(const struct probe_state *state)
{
	return state->is_done && state->database == ERR_OK;
}

const char *
health_status(const struct app *app, const struct probe_state *state)
{
	if (!health_is_serving(state))
		return "unhealthy";
	if (atomic_load(&app->is_draining) || state->is_full ||
	    (state->redis != ERR_OK && state->redis != ERR_UNSUPPORTED))
		return "degraded";
	return "healthy";
}

/* Which schema the database has, and which this program can serve. */
static void
health_schema(struct json_w *w, const struct probe_state *state)
{
	json_w_int(w, "schema", state->schema.have);
	json_w_begin(w, "schema_range");
	json_w_int(w, "min", state->schema.min);
	json_w_int(w, "max", state->schema.want);
	json_w_end(w);
	if (state->database == ERR_SCHEMA)
		json_w_str(w, "reason", state->refusal.text);
}

void
health_members(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	int64_t up_ms = clock_mono_ms() - req->app->started_ms;

	json_w_str(w, "status", health_status(req->app, state));
	json_w_str(w, "version", PACKAGE_VERSION);
	json_w_int(w, "uptime_seconds", up_ms / 1000);
	json_w_int(w, "active_debates", state->debates.active);
	json_w_int(w, "websocket_connections", state->websockets);
	json_w_str(w, "database",
	    health_is_serving(state) ? "connected" : "disconnected");
	if (state->is_full || !health_is_serving(state))
		json_w_str(w, "database_reason",
		    state->is_full		  ? err_text(ERR_FULL)
			: state->is_login_refused ? "login refused"
						  : err_text(state->database));
	json_w_str(w, "redis", health_redis(state));
	health_schema(w, state);
	json_w_time(w, "timestamp", req->now_us);
}

enum http_status
health_get(struct req *req, struct res *res)
{
	struct probe_state state;

	probe_read(req->app->probe, &state);
	struct json_w *w = res_json(res);
	health_members(w, req, &state);
	return res_json_end(
	    res, health_is_serving(&state) ? HTTP_OK : HTTP_UNAVAILABLE);
}

static const char *
health_database_status(const struct probe_state *state)
{
	return !health_is_serving(state) ? "unhealthy"
	    : state->is_full		 ? "degraded"
					 : "healthy";
}

static const char *
health_redis_status(const struct probe_state *state)
{
	return state->redis == ERR_OK ? "healthy" : health_redis(state);
}

static void
health_check(struct json_w *w, const char *name, const char *status, double ms)
{
	json_w_begin(w, name);
	json_w_str(w, "status", status);
	json_w_num(w, "latency_ms", ms);
	json_w_end(w);
}

void
health_stores(struct json_w *w, const struct probe_state *state)
{
	health_check(
	    w, "database", health_database_status(state), state->database_ms);
	health_check(w, "redis", health_redis_status(state), state->redis_ms);
}

void
health_queue(
    struct json_w *w, const struct req *req, const struct probe_state *state)
{
	int64_t capacity = req->app->settings->max_queued_debates;

	json_w_str(w, "status",
	    state->debates.pending < capacity ? "healthy" : "degraded");
	json_w_int(w, "pending", state->debates.pending);
	json_w_int(w, "capacity", capacity);
	json_w_num(w, "oldest_seconds", (double)state->debates.oldest_us / 1e6);
}

void
health_runners(struct json_w *w, const struct probe_state *state)
{
	json_w_str(w, "status", state->runners > 0 ? "healthy" : "degraded");
	json_w_int(w, "count", state->runners);
}

void
health_bridges(struct json_w *w, const struct probe_state *state)
{
	json_w_str(w, "status", state->bridges > 0 ? "healthy" : "degraded");
	json_w_int(w, "count", state->bridges);
	json_w_int(w, "websocket_connections", state->websockets);
	json_w_int(w, "event_streams", state->streams);
	json_w_int(w, "subscriptions", state->subscriptions);
	json_w_begin(w, "this_host");
	json_w_int(
	    w, "websocket_connections", metric_read(METRIC_WS_CONNECTIONS));
	json_w_int(w, "event_streams", metric_read(METRIC_SSE_CONNECTIONS));
	json_w_end(w);
}

void
health_checks(struct json_w *w, const char *key, const struct req *req,
    const struct probe_state *state)
{
	json_w_begin(w, key);
	health_stores(w, state);
	json_w_begin(w, "queue");
	health_queue(w, req, state);
	json_w_end(w);
	json_w_begin(w, "runners");
	health_runners(w, state);
	json_w_end(w);
	json_w_begin(w, "bridges");
	health_bridges(w, state);
	json_w_end(w);
	json_w_end(w);
}

enum http_status
health_detailed(struct req *req, struct res *res)
{
	struct probe_state state;

	probe_read(req->app->probe, &state);
	struct json_w *w = res_json(res);
	health_members(w, req, &state);
	health_checks(w, "checks", req, &state);
	return res_json_end(
	    res, health_is_serving(&state) ? HTTP_OK : HTTP_UNAVAILABLE);
}

enum http_status
metrics_get(struct req *req, struct res *res)
{
	(void)req;
	buf_clear(res->body);
	metrics_render(res->body);
	res->content_type = "text/plain; version=0.0.4; charset=utf-8";
	res->status = HTTP_OK;
	return HTTP_OK;
}
