/* SPDX-License-Identifier: MIT */
#include "settings/otel.h"

#include <string.h>

#include "base/str.h"

#define OTEL_PAIRS_MAX	64
#define OTEL_PATH	"/v1/traces"
#define OTEL_ENDPOINT	"OTEL_EXPORTER_OTLP_ENDPOINT"
#define OTEL_TRACES	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
#define OTEL_HEADERS	"OTEL_EXPORTER_OTLP_HEADERS"
#define OTEL_ATTRIBUTES "OTEL_RESOURCE_ATTRIBUTES"

/* Addresses are shown, headers are not: no credential in the first. */
static enum err
otel_check_url(const char *setting, const char *url, struct err_info *info)
{
	size_t scheme = str_starts(url, "https://") ? 8
	    : str_starts(url, "http://")	    ? 7
						    : 0;

	if (scheme == 0)
		return err_set(info, ERR_INVALID, setting,
		    "must begin with http:// or https://");
	for (const char *p = url; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return err_set(info, ERR_INVALID, setting,
			    "must be printable ASCII without spaces");
	size_t host = strcspn(url + scheme, "/?#");
	if (host == 0)
		return err_set(info, ERR_INVALID, setting, "names no host");
	if (memchr(url + scheme, '@', host) != NULL ||
	    strpbrk(url + scheme, "?#") != NULL)
		return err_set(info, ERR_INVALID, setting,
		    "must have no user and no query: credentials belong into "
		    "the secret " OTEL_HEADERS);
	return ERR_OK;
}

enum err
otel_url(struct arena *a, const char *endpoint, const char *traces_endpoint,
    const char **url, struct err_info *info)
{
	bool is_whole = !str_is_empty(traces_endpoint);
	const char *base = is_whole ? traces_endpoint : endpoint;

	*url = NULL;
	if (str_is_empty(base))
		return ERR_OK;
	enum err e =
	    otel_check_url(is_whole ? OTEL_TRACES : OTEL_ENDPOINT, base, info);
	if (e != ERR_OK)
		return e;
	size_t len = strlen(base);
	while (!is_whole && base[len - 1] == '/')
		len--;
	*url = arena_printf(
	    a, "%.*s%s", (int)len, base, is_whole ? "" : OTEL_PATH);
	return ERR_OK;
}

static int
otel_digit(char c)
{
	c = str_lower(c);
	if (str_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false: a % without two digits, or what no line may hold. */
static bool
otel_decode(char *text)
{
	char *to = text;

	for (const char *p = text; *p != '\0'; p++, to++) {
		*to = *p;
		if (*p == '%') {
			int high = otel_digit(p[1]);
			int low = high < 0 ? -1 : otel_digit(p[2]);
			if (low < 0)
				return false;
			*to = (char)(high * 16 + low);
			p += 2;
		}
		if ((unsigned char)*to < 0x20 || *to == 0x7f)
			return false;
	}
	*to = '\0';
	return str_is_utf8(text, (size_t)(to - text));
}

static enum err
otel_pairs(struct arena *a, const char *setting, const char *text,
    struct otel_pairs *out, struct err_info *info)
{
	size_t n;
	char **parts = str_split(a, text, ',', &n);

	*out = (struct otel_pairs){0};
	if (n > OTEL_PAIRS_MAX)
		return err_set(info, ERR_INVALID, setting,
		    "must have at most %d entries", OTEL_PAIRS_MAX);
	out->rows = ARENA_ARRAY(a, n + 1, struct otel_pair);
	for (size_t i = 0; i < n; i++) {
		char *equals = strchr(parts[i], '=');
		if (equals == NULL || equals == parts[i])
			return err_set(info, ERR_INVALID, setting,
			    "entry %zu is not key=value", i + 1);
		*equals = '\0';
		char *value = str_trim(a, equals + 1);
		if (!otel_decode(value))
			return err_set(info, ERR_INVALID, setting,
			    "the value of entry %zu is badly encoded", i + 1);
		out->rows[out->n++] = (struct otel_pair){
		    .key = str_trim(a, parts[i]), .value = value};
	}
	return ERR_OK;
}

enum err
otel_attributes(struct arena *a, const char *text, struct otel_pairs *out,
    struct err_info *info)
{
	return otel_pairs(a, OTEL_ATTRIBUTES, text, out, info);
}

static bool
otel_is_token(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (!str_is_alnum(*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return false;
	return *text != '\0';
}

enum err
otel_headers(struct arena *a, const char *text, struct otel_pairs *out,
    struct err_info *info)
{
	enum err e = otel_pairs(a, OTEL_HEADERS, text, out, info);

	for (size_t i = 0; e == ERR_OK && i < out->n; i++)
		if (!otel_is_token(out->rows[i].key))
			e = err_set(info, ERR_INVALID, OTEL_HEADERS,
			    "the key of entry %zu is no header's name", i + 1);
	return e;
}

const char *
otel_pairs_get(const struct otel_pairs *pairs, const char *key)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (str_eq(pairs->rows[i].key, key))
			return pairs->rows[i].value;
	return NULL;
}
