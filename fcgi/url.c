/* SPDX-License-Identifier: MIT */
#include "fcgi/url.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

static int
url_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes [text, text + len) on the arena. A path refuses every control
 * character; a query value only NUL, for its text may have several lines. */
static enum err
url_decode(struct arena *a, const char *text, size_t len, bool is_query,
    const char *field, const char **out, struct err_info *info)
{
	char *to = ARENA_ARRAY(a, len + 1, char);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c == '%') {
			int high = len - i > 2 ? url_hex(text[i + 1]) : -1;
			int low = high >= 0 ? url_hex(text[i + 2]) : -1;
			if (low < 0)
				return err_set(info, ERR_INVALID, field,
				    "holds a broken percent escape");
			c = (char)(unsigned char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && is_query) {
			c = ' ';
		}
		if (c == '\0' ||
		    (!is_query && ((unsigned char)c < 0x20 || c == 0x7f)))
			return err_set(info, ERR_INVALID, field,
			    "holds a control character");
		to[n++] = c;
	}
	to[n] = '\0';
	if (!str_is_utf8(to, n))
		return err_set(info, ERR_INVALID, field, "is not valid UTF-8");
	*out = to;
	return ERR_OK;
}

static enum err
url_parse_path(struct arena *a, const char *path, size_t len, struct url *out,
    struct err_info *info)
{
	const char *end = path + len;

	for (const char *p = path; p < end;) {
		const char *start = p + 1; /* p is at a slash */
		const char *stop = memchr(start, '/', (size_t)(end - start));
		if (stop == NULL)
			stop = end;
		if (stop == end && start == end)
			break; /* trailing slash */
		if (out->n_segments == URL_SEGMENTS_MAX)
			return err_set(info, ERR_INVALID, "path",
			    "has more than %d parts", URL_SEGMENTS_MAX);
		enum err e = url_decode(a, start, (size_t)(stop - start), false,
		    "path", &out->segments[out->n_segments], info);
		if (e != ERR_OK)
			return e;
		out->n_segments++;
		p = stop;
	}
	return ERR_OK;
}

static enum err
url_parse_param(struct arena *a, const char *text, size_t len,
    struct url_param *out, struct err_info *info)
{
	const char *equals = memchr(text, '=', len);
	size_t key_len = equals == NULL ? len : (size_t)(equals - text);

	enum err e =
	    url_decode(a, text, key_len, true, "query", &out->key, info);
	if (e != ERR_OK)
		return e;
	if (equals == NULL) {
		out->value = "";
		return ERR_OK;
	}
	return url_decode(a, equals + 1, len - key_len - 1, true, out->key,
	    &out->value, info);
}

static enum err
url_parse_query(
    struct arena *a, const char *query, struct url *out, struct err_info *info)
{
	if (*query == '\0')
		return ERR_OK;
	out->params = ARENA_ARRAY(a, URL_PARAMS_MAX, struct url_param);
	for (const char *p = query;;) {
		size_t len = strcspn(p, "&");
		if (len > 0) {
			if (out->n_params == URL_PARAMS_MAX)
				return err_set(info, ERR_INVALID, "query",
				    "has more than %d parameters",
				    URL_PARAMS_MAX);
			enum err e = url_parse_param(
			    a, p, len, &out->params[out->n_params], info);
			if (e != ERR_OK)
				return e;
			out->n_params++;
		}
		if (p[len] == '\0')
			return ERR_OK;
		p += len + 1;
	}
}

/* Length of the configured prefix at the front of path, 0 when it is not
 * there (the web server took it off already). */
static size_t
url_prefix_len(const char *path, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	while (n > 0 && prefix[n - 1] == '/')
		n--;
	if (n == 0 || n > len || memcmp(path, prefix, n) != 0)
		return 0;
	return n == len || path[n] == '/' ? n : 0;
}

static void
url_drop_version(struct url *u)
{
	if (u->n_segments < 2 || !str_eq(u->segments[0], "api") ||
	    !(str_eq(u->segments[1], "v1") || str_eq(u->segments[1], "v2")))
		return;
	u->n_segments--;
	memmove(&u->segments[1], &u->segments[2],
	    (u->n_segments - 1) * sizeof(u->segments[0]));
}

/* A client may name the server too: "http://host/path" (RFC 9112 3.2.2). */
static const char *
url_drop_authority(const char *uri)
{
	const char *host = str_starts(uri, "http://") ? uri + 7
	    : str_starts(uri, "https://")	      ? uri + 8
						      : NULL;

	return host == NULL ? uri : host + strcspn(host, "/?#");
}

enum err
url_parse(struct arena *a, const char *uri, const char *prefix, struct url *out,
    struct err_info *info)
{
	uri = url_drop_authority(uri);
	size_t len = strcspn(uri, "?#");
	const char *query = uri[len] == '?' ? uri + len + 1 : "";

	*out = (struct url){.n_segments = 0};
	if (strlen(uri) > URL_BYTES_MAX)
		return err_set(info, ERR_TOO_LARGE, "path",
		    "is longer than %d bytes", URL_BYTES_MAX);
	if (uri[0] != '/')
		return err_set(
		    info, ERR_INVALID, "path", "does not begin with a slash");
	size_t skip = url_prefix_len(uri, len, prefix);
	enum err e = url_parse_path(a, uri + skip, len - skip, out, info);
	if (e != ERR_OK)
		return e;
	url_drop_version(out);
	return url_parse_query(a, query, out, info);
}

const char *
url_param(const struct url *u, const char *key)
{
	for (size_t i = 0; i < u->n_params; i++)
		if (str_eq(u->params[i].key, key))
			return u->params[i].value;
	return NULL;
}
