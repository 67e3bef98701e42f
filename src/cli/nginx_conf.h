/* SPDX-License-Identifier: MIT
 *
 * nginx's configuration for `aragora serve`, from the template
 * conf/nginx/serve.conf.in: @NAME@ is replaced.
 */
#pragma once

#include "base/err.h"

struct settings;

struct nginx_conf {
	const struct settings *settings;
	const char *run_dir; /* absolute: sockets, temporary files, pid */
	const char *web_dir; /* absolute */
	const char *listen;  /* address:port */
};

/* Writes path. ERR_INVALID: a value that cannot stand in a configuration
 * file (quotes, line breaks). ERR_NOT_FOUND: no template. */
enum err nginx_conf_write(const struct nginx_conf *c, const char *path,
    struct err_info *info) MUST_CHECK;
