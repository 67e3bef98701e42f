/* SPDX-License-Identifier: MIT */
#include "auth/fetch.h"

#include <curl/curl.h>
#include <string.h>

#include "base/heap.h"
#include "base/str.h"

#define FETCH_CONNECT_MS 3000

static bool
fetch_is_local(const char *host)
{
	return str_ieq(host, "localhost") || str_eq(host, "127.0.0.1") ||
	    str_eq(host, "[::1]");
}

enum err
fetch_check_url(const char *url, struct err_info *info)
{
	CURLU *u = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	char *user = NULL;
	enum err e = ERR_OK;

	if (u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		e = err_set(info, ERR_INVALID, "", "is no URL");
	else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		e = err_set(info, ERR_INVALID, "", "must not name a user");
	else if (!str_eq(scheme, "https") &&
	    !(str_eq(scheme, "http") && fetch_is_local(host)))
		e = err_set(info, ERR_INVALID, "",
		    "must be https (http only to this machine)");
	curl_free(user);
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(u);
	return e;
}

static size_t
fetch_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *out = arg;

	buf_append(out, data, size * n);
	return out->is_overflowed ? 0 : size * n;
}

enum err
fetch_get(const char *url, struct buf *out, struct err_info *info)
{
	CURL *h = curl_easy_init();
	long status = 0;

	if (h == NULL)
		return err_set(info, ERR_INTERNAL, "", "no memory for curl");
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)FETCH_CONNECT_MS);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)FETCH_TIMEOUT_MS);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "aragora/" PACKAGE_VERSION);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, fetch_on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, out);
	CURLcode code = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(h);
	if (out->is_overflowed)
		return err_set(info, ERR_TOO_LARGE, "",
		    "the answer is longer than %zu bytes", out->max);
	if (code != CURLE_OK)
		return err_set(info,
		    code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_DOWN,
		    "", "%s", curl_easy_strerror(code));
	if (status != 200)
		return err_set(
		    info, ERR_INVALID, "", "the answer has status %ld", status);
	return ERR_OK;
}

enum err
fetch_init(void)
{
	const struct heap_hooks *h = &heap_curl_hooks;
	CURLcode code = heap_is_on
	    ? curl_global_init_mem(CURL_GLOBAL_DEFAULT, h->malloc, h->free,
		  h->realloc, h->strdup, h->calloc)
	    : curl_global_init(CURL_GLOBAL_DEFAULT);

	return code == CURLE_OK ? ERR_OK : ERR_INTERNAL;
}

void
fetch_release(void)
{
	curl_global_cleanup();
}
