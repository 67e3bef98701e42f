/* SPDX-License-Identifier: MIT
 *
 * ARAGORA_REDIS_URL taken apart:
 *   redis://[[user]:password@]host[:port][/database]   host may be [::1]
 *   unix:/path/of/the/socket
 * User and password may be percent-encoded.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct redis_url {
	const char *path; /* of the Unix socket, NULL for TCP */
	const char *host;
	int port;
	const char *user;     /* NULL = none */
	const char *password; /* NULL = none */
	const char *database; /* digits, NULL = 0 */
};

/* Texts hang on the arena. ERR_INVALID; the text of info quotes nothing of
 * the URL, which may hold a password. */
enum err redis_url_parse(struct arena *a, const char *text,
    struct redis_url *out, struct err_info *info) MUST_CHECK;
