/* SPDX-License-Identifier: MIT */
#include "limit/client_ip.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/mem.h"
#include "base/str.h"

#define CLIENT_IP_BITS	  128
#define CLIENT_IP_V4_BITS 96 /* prefix of ::ffff:0:0/96 */
#define CLIENT_IP_TEXT	  64 /* longest address text looked at */

/* IPv4 is kept as an IPv4-mapped IPv6 address, so both compare alike. */
struct client_ip_net {
	struct in6_addr addr;
	unsigned bits;
};

struct client_ip_list {
	size_t n;
	struct client_ip_net nets[];
};

static bool
client_ip_parse(const char *text, struct in6_addr *out, bool *is_v4)
{
	struct in_addr v4;

	*is_v4 = inet_pton(AF_INET, text, &v4) == 1;
	if (*is_v4) {
		memset(out, 0, sizeof(*out));
		out->s6_addr[10] = 0xff;
		out->s6_addr[11] = 0xff;
		memcpy(&out->s6_addr[12], &v4, sizeof(v4));
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

static bool
client_ip_parse_net(
    struct arena *a, const char *text, struct client_ip_net *out)
{
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	bool is_v4;
	int64_t bits;

	if (!client_ip_parse(arena_strndup(a, text, len), &out->addr, &is_v4))
		return false;
	out->bits = CLIENT_IP_BITS;
	if (slash == NULL)
		return true;
	int64_t max =
	    is_v4 ? CLIENT_IP_BITS - CLIENT_IP_V4_BITS : CLIENT_IP_BITS;
	if (str_to_i64(slash + 1, 0, max, &bits) != ERR_OK)
		return false;
	out->bits = (unsigned)bits + (is_v4 ? CLIENT_IP_V4_BITS : 0);
	return true;
}

enum err
client_ip_list_new(
    const char *text, struct client_ip_list **out, struct err_info *info)
{
	static const char *const local[] = {"127.0.0.1", "::1"};
	struct arena *a = arena_new(0);
	size_t n;
	char **parts = str_split(a, text, ',', &n);
	enum err e = ERR_OK;

	/* A name stands for as many addresses as `local` has. */
	struct client_ip_list *list = mem_zalloc(
	    sizeof(*list) + (n * ARRAY_LEN(local) + 1) * sizeof(list->nets[0]));
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		bool is_name = str_ieq(parts[i], "localhost");
		for (size_t j = 0; j < (is_name ? ARRAY_LEN(local) : 1); j++)
			if (!client_ip_parse_net(a,
				is_name ? local[j] : parts[i],
				&list->nets[list->n++]))
				e = err_set(info, ERR_INVALID,
				    "ARAGORA_TRUSTED_PROXIES",
				    "'%s' is neither an address nor a network",
				    parts[i]);
	}
	arena_free(&a);
	if (e != ERR_OK)
		client_ip_list_free(&list);
	*out = list;
	return e;
}

void
client_ip_list_free(struct client_ip_list **list)
{
	free(*list);
	*list = NULL;
}

static bool
client_ip_in(const struct client_ip_net *net, const struct in6_addr *ip)
{
	unsigned bytes = net->bits / 8;
	unsigned rest = net->bits % 8;

	if (memcmp(net->addr.s6_addr, ip->s6_addr, bytes) != 0)
		return false;
	if (rest == 0)
		return true;
	unsigned mask = 0xffu << (8 - rest) & 0xffu;
	return ((net->addr.s6_addr[bytes] ^ ip->s6_addr[bytes]) & mask) == 0;
}

bool
client_ip_is_trusted(const struct client_ip_list *list, const char *text)
{
	struct in6_addr ip;
	bool is_v4;

	if (!client_ip_parse(text, &ip, &is_v4))
		return false;
	for (size_t i = 0; i < list->n; i++)
		if (client_ip_in(&list->nets[i], &ip))
			return true;
	return false;
}

/* One entry of X-Forwarded-For as an address: without white space, brackets
 * and port ("1.2.3.4:80", "[::1]:80"); NULL when it is none. */
static const char *
client_ip_clean(struct arena *a, const char *text, size_t len)
{
	struct in6_addr ip;
	bool is_v4;

	while (len > 0 && str_is_space(text[0])) {
		text++;
		len--;
	}
	while (len > 0 && str_is_space(text[len - 1]))
		len--;
	if (len == 0 || len > CLIENT_IP_TEXT)
		return NULL;
	char *copy = arena_strndup(a, text, len);
	char *colon = strchr(copy, ':');
	if (copy[0] == '[') {
		copy++;
		copy[strcspn(copy, "]")] = '\0';
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*colon = '\0';
	}
	return client_ip_parse(copy, &ip, &is_v4) ? copy : NULL;
}

/* The right-most entry that is no proxy of ours. An entry that is no address
 * ends the search: what is left of it cannot be believed. */
static const char *
client_ip_walk(const struct client_ip_list *list, struct arena *a,
    const char *peer, const char *header)
{
	const char *found = peer;
	size_t end = strlen(header);

	for (;;) {
		size_t start = end;
		while (start > 0 && header[start - 1] != ',')
			start--;
		const char *ip =
		    client_ip_clean(a, header + start, end - start);
		if (ip == NULL)
			return found;
		found = ip;
		if (start == 0 || !client_ip_is_trusted(list, ip))
			return found;
		end = start - 1;
	}
}

const char *
client_ip_behind(const struct client_ip_list *list, struct arena *a,
    const char *forwarded_for, const char *real_ip)
{
	if (*forwarded_for != '\0')
		return client_ip_walk(list, a, NULL, forwarded_for);
	return client_ip_clean(a, real_ip, strlen(real_ip));
}

bool
client_ip_key(const char *text, uint8_t out[CLIENT_IP_KEY])
{
	struct in6_addr ip;
	bool is_v4;

	if (!client_ip_parse(text, &ip, &is_v4))
		return false;
	memcpy(out, ip.s6_addr, CLIENT_IP_KEY);
	if (!IN6_IS_ADDR_V4MAPPED(&ip))
		memset(out + CLIENT_IP_KEY / 2, 0, CLIENT_IP_KEY / 2);
	return true;
}

const char *
client_ip_find(const struct client_ip_list *list, struct arena *a,
    const char *peer, const char *forwarded_for, const char *real_ip)
{
	if (!client_ip_is_trusted(list, peer))
		return peer;
	const char *ip = client_ip_behind(list, a, forwarded_for, real_ip);
	return ip == NULL ? peer : ip;
}
