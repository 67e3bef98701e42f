/* SPDX-License-Identifier: MIT
 *
 * Which buckets a request takes from (contract 7), and what its answer says
 * of them: X-RateLimit-*, RateLimit and RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers).
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"

/* The address, /64 of IPv6, as the name of a bucket: on the arena. */
const char *rate_address(struct arena *a, const char *ip);

/* HTTP_OK: go on. 429 or 503: answered. After authentication. */
enum http_status rate_check(struct req *req, struct res *res);
/* Someone whose credential was refused: takes from the address alone, so that
 * guessing is limited too. */
enum http_status rate_check_stranger(struct req *req, struct res *res);
/* Lines for the head of the answer; none when nothing was counted. */
void rate_headers(struct buf *out, const struct req *req);
