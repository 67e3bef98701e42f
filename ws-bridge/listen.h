/* SPDX-License-Identifier: MIT
 *
 * Where the listening socket comes from: systemd (LISTEN_FDS), descriptor 0
 * (spawn-fcgi and the like), or an address.
 */
#pragma once

#include "base/err.h"

/* "unix:/path", "host:port" or "[ipv6]:port"; a Unix socket nobody listens on
 * any more is replaced. *fd is non-blocking and the caller's. */
enum err listen_open(const char *address, int *fd, struct err_info *info)
    MUST_CHECK;
/* ERR_NOT_FOUND when none was inherited. */
enum err listen_inherited(int *fd) MUST_CHECK;
