/* SPDX-License-Identifier: MIT
 *
 * Who is calling: the web server's REMOTE_ADDR, or, when that is one of our
 * own proxies (ARAGORA_TRUSTED_PROXIES), the nearest address in
 * X-Forwarded-For that is not. The left end of that header is whatever the
 * client wrote, so it is read from the right.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct client_ip_list;

/* text: comma-separated addresses, networks (10.0.0.0/8, fd00::/8) and
 * "localhost". ERR_INVALID names the bad part. */
enum err client_ip_list_new(const char *text, struct client_ip_list **out,
    struct err_info *info) MUST_CHECK;
void client_ip_list_free(struct client_ip_list **list);
bool client_ip_is_trusted(const struct client_ip_list *list, const char *ip);

/* peer is REMOTE_ADDR, forwarded_for and real_ip the headers ("" = absent).
 * X-Real-IP counts only without X-Forwarded-For: a proxy that appends to the
 * one does not always replace the other. The result is an address in its
 * plain form, or peer as it is when that is none. */
const char *client_ip_find(const struct client_ip_list *list, struct arena *a,
    const char *peer, const char *forwarded_for, const char *real_ip);
/* The same behind a Unix socket, whose permissions say who may speak there:
 * what the server in front of us says, NULL when it names nobody. */
const char *client_ip_behind(const struct client_ip_list *list, struct arena *a,
    const char *forwarded_for, const char *real_ip);

/* What is limited as one: an IPv4 address, a /64 of IPv6. false: text is no
 * address. */
#define CLIENT_IP_KEY 16
bool client_ip_key(const char *text, uint8_t out[CLIENT_IP_KEY]);
