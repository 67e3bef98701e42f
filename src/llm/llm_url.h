/* SPDX-License-Identifier: MIT
 *
 * Where model calls may go. Base URLs come from the operator: https anywhere,
 * plain http to this machine and private networks only. What counts is the
 * address a name resolves to (llm_http.c asks for each connection); names are
 * judged here only where no address is known yet.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/err.h"

enum llm_reach {
	LLM_REACH_LOOPBACK,
	LLM_REACH_PRIVATE, /* RFC 1918, RFC 4193, RFC 6598 */
	LLM_REACH_PUBLIC,
	LLM_REACH_NEVER /* link-local (cloud metadata), multicast, others */
};
enum llm_reach llm_url_reach(const struct sockaddr *address);

/* "host:1234/" to "http://host:1234/v1": scheme http and the given port ("" =
 * none) when the text is a bare host, no slash at the end, path appended
 * unless there. ERR_INVALID when it is not http(s), has no host, or holds
 * user information or characters no URL has. */
enum err llm_url_base(struct arena *a, const char *text, const char *port,
    const char *path, const char **out, struct err_info *info) MUST_CHECK;

/* Is the host 127.a.b.c, localhost or [::1]? Whatever else is in it, such as
 * a user name, makes it none. */
bool llm_url_is_loopback(const char *text);
/* May an https URL lead to private addresses? When its host is an address or
 * localhost itself, or is one of these names (comma-separated). */
bool llm_url_may_be_private(const char *url, const char *hosts);
/* May a client have us call this? ERR_INVALID: no URL of http or https with a
 * host and without user information; ERR_DENIED: its host is an address that
 * is not public, and may_be_private is not set. A name is judged when it is
 * called. */
enum err llm_url_foreign(
    const char *url, bool may_be_private, struct err_info *info) MUST_CHECK;
/* Plain http? */
bool llm_url_is_plain(const char *url);
