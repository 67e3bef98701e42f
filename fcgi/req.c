/* SPDX-License-Identifier: MIT */
#include "fcgi/req.h"

#include <string.h>

#include "base/str.h"
#include "limit/client_ip.h"

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

void
req_set_trace(struct req *req)
{
	static const enum env_var sources[] = {
	    ENV_TRACE_ID, ENV_X_REQUEST_ID, ENV_REQUEST_ID};

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const char *text = env_get(req->env, sources[i]);
		if (req_is_plain(text)) {
			memcpy(req->trace_id, text, strlen(text) + 1);
			return;
		}
	}
	struct app *app = req->app;
	uint64_t fresh[2] = {app->trace_seed[0],
	    app->trace_seed[1] + atomic_fetch_add(&app->trace_count, 1)};
	str_hex(fresh, REQ_TRACE_BYTES, req->trace_id);
}
