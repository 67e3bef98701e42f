/* SPDX-License-Identifier: MIT */
#include "llm/llm_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define URL_HOST_MAX 256

struct url_range {
	uint32_t network; /* host byte order */
	int bits;
	enum llm_reach reach;
};

static const struct url_range url_ranges[] = {
    {0x7f000000, 8, LLM_REACH_LOOPBACK},
    {0x0a000000, 8, LLM_REACH_PRIVATE},	 /* 10/8 */
    {0xac100000, 12, LLM_REACH_PRIVATE}, /* 172.16/12 */
    {0xc0a80000, 16, LLM_REACH_PRIVATE}, /* 192.168/16 */
    {0x64400000, 10, LLM_REACH_PRIVATE}, /* 100.64/10 */
    {0xa9fe0000, 16, LLM_REACH_NEVER},	 /* 169.254/16 */
    {0xe0000000, 3, LLM_REACH_NEVER},	 /* multicast, reserved */
};

static enum llm_reach
url_reach_v4(uint32_t address)
{
	if (address == INADDR_ANY) /* the kernel takes it for this machine */
		return LLM_REACH_LOOPBACK;
	if (address >> 24 == 0)
		return LLM_REACH_NEVER;
	for (size_t i = 0; i < ARRAY_LEN(url_ranges); i++)
		if ((address ^ url_ranges[i].network) >>
			(32 - url_ranges[i].bits) ==
		    0)
			return url_ranges[i].reach;
	return LLM_REACH_PUBLIC;
}

/* The IPv4 address in the last four bytes. */
static uint32_t
url_tail_v4(const struct in6_addr *a)
{
	uint32_t tail;

	memcpy(&tail, a->s6_addr + 12, sizeof(tail));
	return ntohl(tail);
}

static enum llm_reach
url_reach_v6(const struct in6_addr *a)
{
	/* RFC 6052: an IPv4 address behind a translator */
	static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};

	if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a))
		return LLM_REACH_LOOPBACK;
	if (IN6_IS_ADDR_V4MAPPED(a) ||
	    memcmp(a->s6_addr, nat64, sizeof(nat64)) == 0)
		return url_reach_v4(url_tail_v4(a));
	if ((a->s6_addr[0] & 0xfe) == 0xfc)
		return LLM_REACH_PRIVATE;
	if (IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) ||
	    IN6_IS_ADDR_V4COMPAT(a))
		return LLM_REACH_NEVER;
	return LLM_REACH_PUBLIC;
}

enum llm_reach
llm_url_reach(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return url_reach_v4(ntohl(v4.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		memcpy(&v6, address, sizeof(v6));
		return url_reach_v6(&v6.sin6_addr);
	}
	return LLM_REACH_NEVER;
}

/* Host and port: what stands between the scheme, if any, and the path. */
static const char *
url_authority(const char *text, size_t *len)
{
	const char *at = text + strcspn(text, ":/?#");

	at = str_starts(at, "://") ? at + 3 : text;
	*len = strcspn(at, "/?#");
	return at;
}

bool
llm_url_is_loopback(const char *text)
{
	struct in_addr address;
	char name[URL_HOST_MAX];
	size_t len;
	const char *host = url_authority(text, &len);

	if (len >= sizeof(name) || memchr(host, '@', len) != NULL)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	if (str_starts(name, "[::1]"))
		return name[5] == '\0' || name[5] == ':';
	name[strcspn(name, ":")] = '\0';
	return str_ieq(name, "localhost") ||
	    (inet_pton(AF_INET, name, &address) == 1 &&
		ntohl(address.s_addr) >> 24 == 127);
}

/* The host of a URL, without port and brackets; false when it is none. */
static bool
url_host(const char *text, char *name, size_t size)
{
	size_t len;
	const char *host = url_authority(text, &len);

	if (len == 0 || len >= size || memchr(host, '@', len) != NULL)
		return false;
	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
	} else {
		len = strcspn(host, ":/?#");
	}
	snprintf(name, size, "%.*s", (int)len, host);
	return true;
}

bool
llm_url_may_be_private(const char *url, const char *hosts)
{
	unsigned char address[sizeof(struct in6_addr)];
	char host[URL_HOST_MAX];

	if (!url_host(url, host, sizeof(host)))
		return false;
	if (inet_pton(AF_INET, host, address) == 1 ||
	    inet_pton(AF_INET6, host, address) == 1 || llm_url_is_loopback(url))
		return true;
	for (size_t n; *hosts != '\0'; hosts += n) {
		char name[URL_HOST_MAX];
		hosts += strspn(hosts, ", ");
		n = strcspn(hosts, ", ");
		if (n == 0 || n >= sizeof(name))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)n, hosts);
		if (str_ieq(name, host))
			return true;
	}
	return false;
}

bool
llm_url_is_plain(const char *url)
{
	return str_starts(url, "http://");
}

static bool
url_has_port(const char *host, size_t len)
{
	const char *bracket = memchr(host, ']', len);
	size_t from = bracket != NULL ? (size_t)(bracket - host) : 0;

	return memchr(host + from, ':', len - from) != NULL;
}

static bool
url_ends_with(const char *text, size_t len, const char *tail)
{
	size_t n = strlen(tail);

	return n <= len && memcmp(text + len - n, tail, n) == 0;
}

enum err
llm_url_base(struct arena *a, const char *text, const char *port,
    const char *path, const char **out, struct err_info *info)
{
	size_t len, host_len;
	const char *scheme = "";

	*out = NULL;
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
		    strchr("\"<>\\^`{|}", *p) != NULL)
			return err_set(info, ERR_INVALID, "",
			    "the base URL holds a character no URL has");
	const char *host = url_authority(text, &host_len);
	bool is_bare = host == text;
	if (is_bare)
		scheme = "http://";
	else if (!str_starts(text, "http://") && !str_starts(text, "https://"))
		return err_set(info, ERR_INVALID, "",
		    "the base URL is neither http nor https");
	if (host_len == 0 || *host == ':' || host_len >= URL_HOST_MAX)
		return err_set(
		    info, ERR_INVALID, "", "the base URL names no host");
	if (memchr(host, '@', host_len) != NULL || strpbrk(host, "?#") != NULL)
		return err_set(info, ERR_INVALID, "",
		    "the base URL may hold no user, query or fragment");
	const char *rest = host + host_len;
	for (len = strlen(rest); len > 0 && rest[len - 1] == '/'; len--)
		;
	bool wants_port =
	    is_bare && *port != '\0' && !url_has_port(host, host_len);
	*out = arena_printf(a, "%s%.*s%s%s%.*s%s", scheme,
	    (int)(host + host_len - text), text, wants_port ? ":" : "",
	    wants_port ? port : "", (int)len, rest,
	    url_ends_with(rest, len, path) ? "" : path);
	return ERR_OK;
}

/* Is the host an address, and where does it lead? */
static bool
url_host_reach(const char *host, enum llm_reach *reach)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		*reach = url_reach_v4(ntohl(v4.sin_addr.s_addr));
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		*reach = url_reach_v6(&v6.sin6_addr);
	else if (str_ieq(host, "localhost"))
		*reach = LLM_REACH_LOOPBACK;
	else
		return false;
	return true;
}

enum err
llm_url_foreign(const char *url, bool may_be_private, struct err_info *info)
{
	char host[URL_HOST_MAX];
	enum llm_reach reach;

	for (const char *p = url; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
		    strchr("\"<>\\^`{|}", *p) != NULL)
			return err_set(info, ERR_INVALID, "",
			    "holds a character no URL has");
	if (!str_starts(url, "http://") && !str_starts(url, "https://"))
		return err_set(
		    info, ERR_INVALID, "", "must begin with http or https");
	if (!url_host(url, host, sizeof(host)) || *host == '\0')
		return err_set(info, ERR_INVALID, "",
		    "must name a host, and no user or password");
	if (!url_host_reach(host, &reach) || reach == LLM_REACH_PUBLIC)
		return ERR_OK;
	if (reach == LLM_REACH_NEVER || !may_be_private)
		return err_set(info, ERR_DENIED, "",
		    "must not lead to this machine or a private network");
	return ERR_OK;
}
