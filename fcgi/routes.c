/* SPDX-License-Identifier: MIT */
#include "fcgi/routes.h"

#include "base/attr.h"
#include "base/str.h"

static const struct route route_rows[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)                 \
	{.method = HTTP_##m,                                                   \
	    .pattern = p,                                                      \
	    .handler = #h,                                                     \
	    .auth = ROUTE_##a,                                                 \
	    .rate = ROUTE_RATE_##r,                                            \
	    .max_body = max,                                                   \
	    .body = b,                                                         \
	    .status = (enum http_status)st,                                    \
	    .answer = ans,                                                     \
	    .tag = t,                                                          \
	    .operation_id = op,                                                \
	    .summary = text},
#include "fcgi/routes.def"
#undef ROUTE
};

static const char *const route_analytics[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define ANALYTIC(op) op,
#include "fcgi/routes.def"
#undef ROUTE
};

static const struct route_also route_alsos[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define ALSO(op, st, ans) {op, (enum http_status)st, ans},
#include "fcgi/routes.def"
#undef ROUTE
};

const struct route_also *
route_also(const struct route *r)
{
	for (size_t i = 0; i < ARRAY_LEN(route_alsos); i++)
		if (str_eq(route_alsos[i].operation_id, r->operation_id))
			return &route_alsos[i];
	return NULL;
}

bool
route_is_analytic(const struct route *r)
{
	for (size_t i = 0; i < ARRAY_LEN(route_analytics); i++)
		if (str_eq(route_analytics[i], r->operation_id))
			return true;
	return false;
}

static const struct {
	const char *operation_id;
	enum role_level level;
} route_levels[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define NEEDS(op, level) {op, ROLE_##level},
#include "fcgi/routes.def"
#undef ROUTE
};

enum role_level
route_needs(const struct route *r)
{
	for (size_t i = 0; i < ARRAY_LEN(route_levels); i++)
		if (str_eq(route_levels[i].operation_id, r->operation_id))
			return route_levels[i].level;
	bool is_read =
	    !http_method_is_unsafe(r->method) || r->rate == ROUTE_RATE_LIST;
	return is_read ? ROLE_READ : ROLE_WRITE;
}

static const struct {
	const char *op;
	enum cache_kind kind;
} route_caches[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define CACHED(op, kind) {op, CACHE_##kind},
#include "fcgi/routes.def"
#undef ROUTE
};

bool
route_is_cached(const struct route *r, enum cache_kind *kind)
{
	if (r->method != HTTP_GET)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(route_caches); i++)
		if (str_eq(route_caches[i].op, r->operation_id)) {
			*kind = route_caches[i].kind;
			return true;
		}
	return false;
}

static const char *const route_volatiles[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define VOLATILE(op) op,
#include "fcgi/routes.def"
#undef ROUTE
};

/* Probes and counters are never the same, and what belongs to a login is
 * nobody's to keep. */
bool
route_is_kept(const struct route *r)
{
	if (r->method != HTTP_GET ||
	    (r->auth != ROUTE_PUBLIC && r->auth != ROUTE_USER) ||
	    (r->rate != ROUTE_RATE_READ && r->rate != ROUTE_RATE_LIST) ||
	    str_eq(r->tag, "auth"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(route_volatiles); i++)
		if (str_eq(route_volatiles[i], r->operation_id))
			return false;
	return true;
}

static const struct route_tag route_tags[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text)
#define TAG(name, help) {name, help},
#include "fcgi/routes.def"
#undef ROUTE
};

size_t
route_tag_count(void)
{
	return ARRAY_LEN(route_tags);
}

const struct route_tag *
route_tag_at(size_t i)
{
	return &route_tags[i];
}

const char *
route_text_type(const char *answer)
{
	if (str_eq(answer, "text"))
		return "text/plain";
	return str_eq(answer, "html") ? "text/html" : NULL;
}

size_t
route_count(void)
{
	return ARRAY_LEN(route_rows);
}

const struct route *
route_at(size_t i)
{
	return &route_rows[i];
}

const char *
route_auth_name(enum route_auth a)
{
	switch (a) {
#define X(id, text)                                                            \
	case id:                                                               \
		return text;
		ROUTE_AUTHS(X)
#undef X
	}
	return "";
}

const char *
route_rate_name(enum route_rate r)
{
	switch (r) {
#define X(id, text)                                                            \
	case id:                                                               \
		return text;
		ROUTE_RATES(X)
#undef X
	}
	return "";
}
