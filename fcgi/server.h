/* SPDX-License-Identifier: MIT
 *
 * The worker's loop: the listening socket and every connection the web server
 * keeps open are parked in one epoll set; a few threads each take a ready one,
 * serve one request and park it again. An idle connection costs a descriptor
 * and no thread.
 */
#pragma once

#include "base/err.h"
#include "fcgi/app.h"
#include "fcgi/transport.h"

/* Serves until SIGTERM, SIGINT or SIGUSR1, then drains: no new connections,
 * requests in flight are finished, kept connections are closed after their
 * next answer or a moment of silence. listen_fd listens no more from then on,
 * but stays the caller's to close. A second signal ends it at once. SIGHUP
 * calls app->on_hangup. Blocks those signals and must be called before other
 * threads are started that should not get them. */
enum err server_block_signals(void);
enum err server_run(struct app *app, const struct transport *transport,
    int listen_fd, struct err_info *info) MUST_CHECK;
