/* SPDX-License-Identifier: MIT */
#include "fcgi/cors.h"

#include <string.h>

#include "base/str.h"

/* How long a browser may remember the answer to a preflight. */
#define CORS_MAX_AGE "600"

bool
cors_is_listed(const char *allowed, const char *origin)
{
	size_t want = strlen(origin);

	for (const char *p = allowed; *p != '\0';) {
		while (*p == ',' || str_is_space(*p))
			p++;
		size_t len = strcspn(p, ",");
		size_t text = len;
		while (text > 0 &&
		    (str_is_space(p[text - 1]) || p[text - 1] == '/'))
			text--;
		if (text == 1 && *p == '*')
			return true;
		if (text > 0 && text == want && memcmp(p, origin, text) == 0)
			return true;
		p += len;
	}
	return false;
}

bool
cors_is_own(const char *origin, const char *host)
{
	const char *at = strstr(origin, "://");

	return at != NULL && *host != '\0' && str_ieq(at + 3, host);
}

void
cors_headers(struct buf *out, const char *origin, bool is_preflight)
{
	buf_puts(out, "Access-Control-Allow-Origin: ");
	buf_puts(out, origin);
	buf_puts(out,
	    "\r\n"
	    "Access-Control-Expose-Headers: X-RateLimit-Limit, "
	    "X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, "
	    "RateLimit-Policy, Retry-After, X-Trace-Id, X-Request-ID, "
	    "traceparent, tracestate, ETag, Allow, Content-Disposition, "
	    "Idempotent-Replayed, X-Aragora-Position\r\n");
	if (is_preflight)
		buf_puts(out,
		    "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, "
		    "DELETE, OPTIONS\r\n"
		    "Access-Control-Allow-Headers: Content-Type, "
		    "Authorization, X-API-Key, Idempotency-Key, X-Trace-Id, "
		    "X-Request-ID, traceparent, tracestate, If-Match, "
		    "If-None-Match, X-Aragora-Position\r\n"
		    "Access-Control-Max-Age: " CORS_MAX_AGE "\r\n");
}
