/* SPDX-License-Identifier: MIT */
#include "settings/redis_url.h"

#include <string.h>
#include <sys/un.h>

#include "base/str.h"

#define REDIS_URL_PORT	       6379
#define REDIS_URL_DATABASE_MAX 1023

static int
redis_url_hex(char c)
{
	if (str_is_digit(c))
		return c - '0';
	c = str_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false for a bad escape or an encoded NUL. */
static bool
redis_url_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++, to++) {
		*to = *from;
		if (*from != '%')
			continue;
		int high = redis_url_hex(from[1]);
		int low = high >= 0 ? redis_url_hex(from[2]) : -1;
		if (low < 0 || high + low == 0)
			return false;
		*to = (char)(high * 16 + low);
		from += 2;
	}
	*to = '\0';
	return true;
}

/* "[user][:password]", or a password alone as some tools write it. */
static bool
redis_url_login(char *text, struct redis_url *out)
{
	char *colon = strchr(text, ':');

	if (colon != NULL) {
		*colon = '\0';
		out->user = *text != '\0' ? text : NULL;
		out->password = colon + 1;
	} else {
		out->password = text;
	}
	return redis_url_decode(text) &&
	    (colon == NULL || redis_url_decode(colon + 1));
}

/* "host[:port]" or "[address][:port]". */
static bool
redis_url_place(char *text, struct redis_url *out)
{
	char *end = text + strcspn(text, ":");
	int64_t port = REDIS_URL_PORT;

	if (*text == '[') {
		end = strchr(text, ']');
		if (end == NULL)
			return false;
		*end++ = '\0';
		text++;
	}
	if (*end != '\0' &&
	    (*end != ':' || str_to_i64(end + 1, 1, 65535, &port) != ERR_OK))
		return false;
	*end = '\0';
	out->host = text;
	out->port = (int)port;
	return *text != '\0';
}

static bool
redis_url_tcp(char *text, struct redis_url *out)
{
	char *at = strrchr(text, '@');
	char *place = at != NULL ? at + 1 : text;
	char *slash = strchr(place, '/');
	int64_t number;

	if (slash != NULL) {
		*slash = '\0';
		out->database = slash[1] != '\0' ? slash + 1 : NULL;
	}
	if (out->database != NULL &&
	    str_to_i64(out->database, 0, REDIS_URL_DATABASE_MAX, &number) !=
		ERR_OK)
		return false;
	if (at != NULL) {
		*at = '\0';
		if (!redis_url_login(text, out))
			return false;
	}
	return redis_url_place(place, out);
}

enum err
redis_url_parse(struct arena *a, const char *text, struct redis_url *out,
    struct err_info *info)
{
	const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	bool is_good = false;

	*out = (struct redis_url){0};
	if (str_starts(text, "rediss:"))
		return err_set(info, ERR_INVALID, "ARAGORA_REDIS_URL",
		    "TLS is not supported by hiredis 0.14; point it at a "
		    "local stunnel with redis://");
	if (str_starts(text, "unix:")) {
		/* unix:///path is the same as unix:/path. */
		text +=
		    strlen(str_starts(text, "unix://") ? "unix://" : "unix:");
		out->path = arena_strdup(a, text);
		is_good = *text != '\0' && strlen(text) <= longest;
	} else if (str_starts(text, "redis://")) {
		is_good = redis_url_tcp(
		    arena_strdup(a, text + strlen("redis://")), out);
	}
	if (is_good)
		return ERR_OK;
	return err_set(info, ERR_INVALID, "ARAGORA_REDIS_URL",
	    "is not redis://[[user]:password@]host[:port][/database] or "
	    "unix:path");
}
