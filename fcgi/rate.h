/* SPDX-License-Identifier: MIT
 *
 * Which buckets a request takes from (contract 7), and what its answer says
 * of them: X-RateLimit-*, RateLimit and RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers).
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"

#define RATE_WINDOW_S 60
#define RATE_US	      1000000

/* The buckets of one request. */
struct rate_asks {
	struct limit_ask list[LIMIT_ASKS_MAX];
	const char *kinds[LIMIT_ASKS_MAX]; /* "address", "caller", "route" */
	size_t n;
};

/* Those that a request of this kind takes so many units from. */
void rate_asks(const struct req *req, enum route_rate rate,
    struct rate_asks *asks, int64_t units);
bool rate_is_internal(const struct req *req);
/* Requests that this host has refused. */
int64_t rate_refused(void);
/* Rounded up. */
int64_t rate_seconds(int64_t us);

/* The address, /64 of IPv6, as the name of a bucket: on the arena. */
const char *rate_address(struct arena *a, const char *ip);

/* HTTP_OK: go on. 429 or 503: answered. After authentication. */
enum http_status rate_check(struct req *req, struct res *res);
/* Someone whose credential was refused: takes from the address alone, so that
 * guessing is limited too. */
enum http_status rate_check_stranger(struct req *req, struct res *res);
/* Lines for the head of the answer; none when nothing was counted. */
void rate_headers(struct buf *out, const struct req *req);
