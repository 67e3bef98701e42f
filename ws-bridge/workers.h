/* SPDX-License-Identifier: MIT
 *
 * The threads of a bridge: one loop and one server each. Everything here is
 * for the thread that started them.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "ws-bridge/server.h"

struct bridge;
struct workers;

/* One thread for each socket of fds, which are taken. on_end(arg) runs on a
 * worker's thread when its loop has ended. */
enum err workers_start(struct workers **out, struct bridge *bridge,
    const int *fds, size_t n, void (*on_end)(void *arg), void *arg) MUST_CHECK;
/* Drain all servers; each ends when its last connection has. */
void workers_drain(struct workers *w);
/* Have any not ended? */
bool workers_are_running(struct workers *w);
/* End all loops, join the threads, close what is open. */
void workers_stop(struct workers **w);

size_t workers_count(const struct workers *w);
/* NULL when its loop has ended. */
struct server *workers_server(const struct workers *w, size_t i);
