/* SPDX-License-Identifier: MIT
 *
 * Finds the row of routes.def for a method and a path. A literal part wins
 * over a parameter, so /debates/slug/x is never read as the debate "slug".
 */
#pragma once

#include <stdbool.h>

#include "fcgi/routes.h"
#include "fcgi/url.h"

#define ROUTER_PARAMS_MAX 4

struct router;

struct router *router_new(void);
void router_free(struct router **router);

struct router_match {
	size_t index; /* of the row */
	const struct route *route;
	const char *params[ROUTER_PARAMS_MAX]; /* in order, borrowed from u */
	size_t n_params;
	/* Methods the path knows, a bit (1 << enum http_method) each; HEAD
	 * comes with GET, OPTIONS with every one. */
	unsigned allowed;
};

/* ERR_OK; ERR_NOT_FOUND: no such path; ERR_UNSUPPORTED: the path, but not the
 * method (allowed is set). HEAD finds the GET row. */
enum err router_find(const struct router *router, enum http_method method,
    const struct url *u, struct router_match *out) MUST_CHECK;

/* "GET, HEAD, OPTIONS" on the arena. */
const char *router_allow(struct arena *a, unsigned allowed);
