/* SPDX-License-Identifier: MIT
 *
 * The rows of routes.def as data, without their handlers, so that programs
 * that only print them need not link the server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "auth/role.h"
#include "cache/cache.h"
#include "fcgi/http.h"

#define ROUTE_AUTHS(X)                                                         \
	X(ROUTE_OPEN, "open")                                                  \
	X(ROUTE_PUBLIC, "public")                                              \
	X(ROUTE_USER, "user")                                                  \
	X(ROUTE_KNOWN, "known")                                                \
	X(ROUTE_METRICS, "metrics")
enum route_auth {
#define X(id, text) id,
	ROUTE_AUTHS(X)
#undef X
};

#define ROUTE_RATES(X)                                                         \
	X(ROUTE_RATE_NONE, "none")                                             \
	X(ROUTE_RATE_PROBE, "probe")                                           \
	X(ROUTE_RATE_READ, "read")                                             \
	X(ROUTE_RATE_LIST, "list")                                             \
	X(ROUTE_RATE_CREATE, "create")                                         \
	X(ROUTE_RATE_LOGIN, "login")                                           \
	X(ROUTE_RATE_REFRESH, "refresh")                                       \
	X(ROUTE_RATE_KEYS, "keys")                                             \
	X(ROUTE_RATE_WRITE, "write")
enum route_rate {
#define X(id, text) id,
	ROUTE_RATES(X)
#undef X
};

struct route {
	enum http_method method;
	const char *pattern; /* "/api/debates/{id}" */
	const char *handler; /* name of the function */
	enum route_auth auth;
	enum route_rate rate;
	size_t max_body;	 /* bytes; 0 = a body is not looked at */
	const char *body;	 /* schema of the request body, "" = none */
	enum http_status status; /* of success */
	const char *answer; /* schema of it, or as route_text_type has it */
	const char *tag;
	const char *operation_id;
	const char *summary;
};

size_t route_count(void);
const struct route *route_at(size_t i);
/* Another success of it, or NULL. */
struct route_also {
	const char *operation_id;
	enum http_status status;
	const char *answer;
};
const struct route_also *route_also(const struct route *r);
/* May a read replica serve it? */
bool route_is_analytic(const struct route *r);
/* What a caller must at least be allowed. */
enum role_level route_needs(const struct route *r);
/* Is its answer kept for a time, and as what? */
bool route_is_cached(const struct route *r, enum cache_kind *kind);
/* May a caller keep its answer and ask whether it still holds? */
bool route_is_kept(const struct route *r);
/* The media type of an answer that is no JSON; NULL = it names a schema. */
const char *route_text_type(const char *answer);

/* What the operations of a tag have in common. */
struct route_tag {
	const char *name;
	const char *help;
};
size_t route_tag_count(void);
const struct route_tag *route_tag_at(size_t i);
const char *route_auth_name(enum route_auth a);
const char *route_rate_name(enum route_rate r);
