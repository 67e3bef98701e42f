/* SPDX-License-Identifier: MIT */
#include "fcgi/rate.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "fcgi/handler.h"
#include "limit/client_ip.h"
#include "limit/limit.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

#define RATE_IP6_PREFIX 8 /* bytes of a /64 */
#define RATE_FALLBACK_WAIT                                                     \
	5 /* seconds, when Redis is away and we are strict                     \
	   */

/* What a request costs: clients ask for one debate again and again. */
static const int64_t rate_units[] = {
    [ROUTE_RATE_NONE] = 0,
    [ROUTE_RATE_PROBE] = GCRA_REQUEST,
    [ROUTE_RATE_READ] = 1,
    [ROUTE_RATE_LIST] = GCRA_REQUEST,
    [ROUTE_RATE_CREATE] = GCRA_REQUEST,
    [ROUTE_RATE_LOGIN] = GCRA_REQUEST,
    [ROUTE_RATE_REFRESH] = GCRA_REQUEST,
    [ROUTE_RATE_KEYS] = GCRA_REQUEST,
    [ROUTE_RATE_WRITE] = GCRA_REQUEST,
};

const char *
rate_address(struct arena *a, const char *ip)
{
	struct in6_addr at;
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, ip, &at) != 1)
		return ip;
	memset(at.s6_addr + RATE_IP6_PREFIX, 0,
	    sizeof(at.s6_addr) - RATE_IP6_PREFIX);
	if (inet_ntop(AF_INET6, &at, text, sizeof(text)) == NULL)
		return ip;
	return arena_printf(a, "%s/64", text);
}

static void
rate_add(struct rate_asks *asks, const char *kind, const char *name,
    int64_t per_minute, int64_t units)
{
	asks->kinds[asks->n] = kind;
	asks->list[asks->n++] = (struct limit_ask){
	    .name = name, .per_minute = per_minute, .units = units};
}

bool
rate_is_internal(const struct req *req)
{
	return str_eq(req->caller.tier, "internal");
}

/* Who a caller is, whatever address the call comes from. */
static const char *
rate_principal(const struct req *req, const char *address)
{
	const struct req_caller *c = &req->caller;

	if (!c->is_authenticated)
		return arena_printf(req->arena, "anonymous:%s", address);
	if (c->token_id != NULL)
		return arena_printf(req->arena, "token:%s", c->token_id);
	if (c->subject != NULL)
		return arena_printf(
		    req->arena, "user:%s:%s", c->tenant, c->subject);
	return "token:static";
}

static int64_t
rate_of_tier(const struct settings *s, const struct req_caller *c)
{
	if (!c->is_authenticated)
		return s->rate_limit_anonymous;
	return str_eq(c->tier, "premium") ? s->rate_limit_premium
					  : s->rate_limit;
}

/* What one address may ask of a kind of route in a minute, 0 = as much as its
 * other buckets hold. */
static int64_t
rate_of_route(const struct settings *s, enum route_rate rate)
{
	switch (rate) {
	case ROUTE_RATE_NONE:
	case ROUTE_RATE_PROBE:
	case ROUTE_RATE_READ:
	case ROUTE_RATE_WRITE:
		return 0;
	case ROUTE_RATE_LIST:
		return s->rate_limit_list;
	case ROUTE_RATE_CREATE:
		return s->rate_limit_create;
	case ROUTE_RATE_LOGIN:
		return s->rate_limit_login;
	case ROUTE_RATE_REFRESH:
		return s->rate_limit_refresh;
	case ROUTE_RATE_KEYS:
		return s->rate_limit_keys;
	}
	return 0;
}

static void
rate_route(const struct req *req, const char *address, enum route_rate rate,
    struct rate_asks *asks, int64_t units)
{
	int64_t per_minute = rate_of_route(req->app->settings, rate);

	if (per_minute == 0 || str_eq(req->caller.tier, "premium"))
		return;
	rate_add(asks, route_rate_name(rate),
	    arena_printf(
		req->arena, "route:%s:%s", route_rate_name(rate), address),
	    per_minute, units);
}

void
rate_asks(const struct req *req, enum route_rate rate, struct rate_asks *asks,
    int64_t units)
{
	const struct settings *s = req->app->settings;
	const char *address = rate_address(req->arena, req_client_ip(req));

	asks->n = 0;
	rate_add(asks, "address", arena_printf(req->arena, "ip:%s", address),
	    s->ip_rate_limit, units);
	if (rate == ROUTE_RATE_PROBE)
		return;
	rate_add(asks, "caller", rate_principal(req, address),
	    rate_of_tier(s, &req->caller), units);
	rate_route(req, address, rate, asks, units);
}

int64_t
rate_seconds(int64_t us)
{
	return (us + RATE_US - 1) / RATE_US;
}

/* Of the address, of the caller by tier, of the kinds of request. */
static const struct {
	const char *name;
	enum metric metric;
} rate_metrics[] = {
    {"address", METRIC_LIMIT_ADDRESS},
    {"anonymous", METRIC_LIMIT_ANONYMOUS},
    {"authenticated", METRIC_LIMIT_AUTHENTICATED},
    {"premium", METRIC_LIMIT_PREMIUM},
    {"list", METRIC_LIMIT_LIST},
    {"create", METRIC_LIMIT_CREATE},
    {"login", METRIC_LIMIT_LOGIN},
    {"refresh", METRIC_LIMIT_REFRESH},
    {"keys", METRIC_LIMIT_KEYS},
};

int64_t
rate_refused(void)
{
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(rate_metrics); i++)
		sum += metric_read(rate_metrics[i].metric);
	return sum;
}

static void
rate_count(const struct req *req, const char *kind)
{
	const char *name = kind;

	if (str_eq(kind, "caller"))
		name = !req->caller.is_authenticated	  ? "anonymous"
		    : str_eq(req->caller.tier, "premium") ? "premium"
							  : "authenticated";
	for (size_t i = 0; i < ARRAY_LEN(rate_metrics); i++)
		if (str_eq(rate_metrics[i].name, name))
			metric_add(rate_metrics[i].metric, 1);
}

static enum http_status
rate_take(struct req *req, struct res *res, const struct rate_asks *asks)
{
	enum err e = limit_take(
	    req->app->limit, asks->list, asks->n, &req->rate, &req->is_rated);

	if (e == ERR_OK)
		return HTTP_OK;
	if (e == ERR_DOWN) {
		req->is_rated = false;
		return res_wait(res,
		    "how often you called cannot be told now; try again soon",
		    RATE_FALLBACK_WAIT);
	}
	rate_count(req, asks->kinds[req->rate.ask]);
	int64_t wait_s = rate_seconds(req->rate.wait_us);
	return res_limited(res, wait_s > 0 ? (int)wait_s : 1,
	    req->rate.per_minute, req->rate.left);
}

enum http_status
rate_check(struct req *req, struct res *res)
{
	enum route_rate rate = req->match.route->rate;
	const char *peer = env_get(req->env, ENV_REMOTE_ADDR);
	struct rate_asks asks;

	if (req->app->limit == NULL || rate == ROUTE_RATE_NONE ||
	    rate_is_internal(req))
		return HTTP_OK;
	/* Our own proxy, asking for itself. */
	if (rate == ROUTE_RATE_PROBE && str_eq(req_client_ip(req), peer) &&
	    client_ip_is_trusted(req->app->trusted, peer))
		return HTTP_OK;
	rate_asks(req, rate, &asks, rate_units[rate]);
	return rate_take(req, res, &asks);
}

enum http_status
rate_check_stranger(struct req *req, struct res *res)
{
	struct rate_asks asks;

	if (req->app->limit == NULL ||
	    req->match.route->rate == ROUTE_RATE_NONE)
		return HTTP_OK;
	rate_asks(req, ROUTE_RATE_PROBE, &asks, GCRA_REQUEST);
	return rate_take(req, res, &asks);
}

void
rate_headers(struct buf *out, const struct req *req)
{
	const struct limit_state *s = &req->rate;
	int64_t reset_s = rate_seconds(s->reset_us);

	if (!req->is_rated)
		return;
	buf_printf(out,
	    "X-RateLimit-Limit: %lld\r\nX-RateLimit-Remaining: %lld\r\n"
	    "X-RateLimit-Reset: %lld\r\n",
	    (long long)s->per_minute, (long long)s->left,
	    (long long)(req->now_us / RATE_US + reset_s));
	/* What other hosts admitted meanwhile is not known. */
	if (s->is_partial)
		return;
	buf_printf(out,
	    "RateLimit-Policy: \"" RES_POLICY "\";q=%lld;w=%d\r\n"
	    "RateLimit: \"" RES_POLICY "\";r=%lld;t=%lld\r\n",
	    (long long)s->per_minute, RATE_WINDOW_S, (long long)s->left,
	    (long long)reset_s);
}
