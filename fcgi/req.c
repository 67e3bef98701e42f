/* SPDX-License-Identifier: MIT */
#include "fcgi/req.h"

#include <string.h>

#include "base/str.h"
#include "limit/client_ip.h"
#include "telemetry/tracer.h"

#define REQ_HOST_MAX	255
#define REQ_TRACE_BYTES 16

const char *
req_client_ip(const struct req *req)
{
	return client_ip_find(req->app->trusted, req->arena,
	    env_get(req->env, ENV_REMOTE_ADDR),
	    env_get(req->env, ENV_FORWARDED_FOR),
	    env_get(req->env, ENV_REAL_IP));
}

bool
req_is_https(const struct req *req)
{
	const char *forwarded = env_get(req->env, ENV_FORWARDED_PROTO);

	if (*forwarded != '\0' &&
	    client_ip_is_trusted(
		req->app->trusted, env_get(req->env, ENV_REMOTE_ADDR)))
		return str_ieq(forwarded, "https");
	return str_ieq(env_get(req->env, ENV_HTTPS), "on") ||
	    str_ieq(env_get(req->env, ENV_SCHEME), "https");
}

const char *
req_host(const struct req *req)
{
	const char *host = env_get(req->env, ENV_HOST);
	size_t len = strlen(host);

	if (len > REQ_HOST_MAX)
		return "";
	for (size_t i = 0; i < len; i++)
		if (!str_is_alnum(host[i]) && strchr(".-_:[]", host[i]) == NULL)
			return "";
	return host;
}

static bool
req_is_plain(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0') {
		if (n == REQ_TRACE_SIZE - 1 ||
		    (!str_is_alnum(text[n]) && strchr("._-", text[n]) == NULL))
			return false;
		n++;
	}
	return n > 0;
}

/* What the client, or the web server, called the request; NULL = nothing. */
static const char *
req_name(const struct req *req, const enum env_var *sources, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = env_get(req->env, sources[i]);
		if (req_is_plain(text))
			return text;
	}
	return NULL;
}

/* A span of our own, in the caller's trace or in a new one. */
static bool
req_begin_trace(struct req *req, const char *name)
{
	struct app *app = req->app;
	uint64_t fresh[2] = {app->trace_seed[0],
	    app->trace_seed[1] + atomic_fetch_add(&app->trace_count, 1)};
	const char *state = env_get(req->env, ENV_TRACESTATE);
	bool is_continued =
	    trace_parse(env_get(req->env, ENV_TRACEPARENT), &req->trace);

	if (is_continued && trace_state_is_valid(state))
		req->trace_state = state;
	if (is_continued)
		memcpy(req->asker, req->trace.span, sizeof(req->asker));
	if (!is_continued) {
		req->trace.flags = TRACE_SAMPLED;
		str_hex(fresh, REQ_TRACE_BYTES, req->trace.id);
	}
	if (!is_continued && name != NULL && trace_is_id(name, TRACE_ID_LEN))
		memcpy(req->trace.id, name, TRACE_ID_LEN);
	str_hex(&fresh[1], sizeof(fresh[1]), req->trace.span);
	tracer_decide(&req->trace, is_continued);
	return is_continued;
}

void
req_set_trace(struct req *req)
{
	static const enum env_var said[] = {ENV_TRACE_ID, ENV_X_REQUEST_ID};
	static const enum env_var given[] = {ENV_REQUEST_ID};
	const char *name = req_name(req, said, ARRAY_LEN(said));
	const char *other = req_name(req, given, ARRAY_LEN(given));

	bool is_continued = req_begin_trace(req, name != NULL ? name : other);
	if (name == NULL)
		name = is_continued || other == NULL ? req->trace.id : other;
	memcpy(req->trace_id, name, strlen(name) + 1);
}
