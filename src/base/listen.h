/* SPDX-License-Identifier: MIT
 *
 * Where the listening socket comes from. It is non-blocking and the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* The socket this process was given: the first of systemd (LISTEN_FDS), or
 * standard input (spawn-fcgi, mod_fcgid) if that listens. ERR_NOT_FOUND. */
enum err listen_inherit(int *fd) MUST_CHECK;

/* "unix:/path", "host:port", "[v6]:port" or ":port". A socket file that
 * nobody listens on is replaced; ERR_EXISTS when somebody does. */
enum err listen_open(const char *where, int *fd, struct err_info *info)
    MUST_CHECK;
/* The same for n threads: sockets of "host:port" that share the port, each with
 * a queue of its own (SO_REUSEPORT); of "unix:" the same one n times. */
enum err listen_open_each(
    const char *where, int *fds, size_t n, struct err_info *info) MUST_CHECK;
/* fds[0] is a listening socket: make n of it for as many threads. */
enum err listen_share(int *fds, size_t n) MUST_CHECK;
/* Does somebody listen at this "unix:/path"? */
bool listen_is_answered(const char *where);
/* Close a socket of listen_open; the file of a "unix:" one goes too, unless
 * another process listens on it by now. */
void listen_close(const char *where, int fd);
