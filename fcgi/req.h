/* SPDX-License-Identifier: MIT
 *
 * One request as handlers see it: everything decoded, checked and on one
 * arena that dies with the response.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account/who.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/trace.h"
#include "fcgi/app.h"
#include "fcgi/env.h"
#include "fcgi/router.h"
#include "fcgi/url.h"
#include "limit/limit.h"
#include "store/store.h"
#include "store/store_agent.h"
#include "store/store_key.h"

#define REQ_TRACE_SIZE 65

/* Who calls. */
struct req_caller {
	bool is_authenticated;
	const char *tenant;
	const char *token_id; /* NULL for nobody and for the static token */
	const char *subject;  /* of a signed token, else NULL */
	const char *tier;     /* anonymous, authenticated, premium, internal */
	const char *owner;    /* whose things they are: NULL = nobody's */
	enum role_level level;
	struct who who; /* all that is known; tenant as above */
};

struct req {
	struct app *app;
	struct arena *arena;
	const struct env *env;
	enum http_method method;
	struct url url;
	struct router_match match;
	const struct json *body; /* an object; empty when none was sent */
	const char *body_text;
	size_t body_len;
	struct req_caller caller;
	struct store_read read; /* for the store's lists */
	/* What the tenant's operators decided about agents, once asked for. */
	const struct store_agent_rule *rules;
	size_t n_rules;
	/* The Idempotency-Key of a POST: what makes something passes it to the
	 * store. NULL = none was sent. */
	struct store_key *key;
	bool is_rated; /* its limits were counted: */
	struct limit_state rate;
	char trace_id[REQ_TRACE_SIZE];	/* the request's name */
	struct trace trace;		/* span: this request's */
	char asker[TRACE_SPAN_LEN + 1]; /* the caller's span, "" = none */
	const char *trace_state;	/* NULL = none */
	int64_t now_us;
};

/* The address behind the request, proxies taken into account. */
const char *req_client_ip(const struct req *req);
/* Did the client come over TLS? */
bool req_is_https(const struct req *req);
/* The Host header if it can be one, else "". */
const char *req_host(const struct req *req);
/* Fills the trace: the caller's if its traceparent is one, else it begins
 * here. trace_id is what the client named in X-Trace-Id or X-Request-ID, if it
 * is plain; else the trace's, or what the web server named. */
void req_set_trace(struct req *req);
