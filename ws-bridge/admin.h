/* SPDX-License-Identifier: MIT
 *
 * The operator's socket, <data_dir>/ws-PID.sock with mode 0600: one command a
 * line, answered by JSON objects, one a line, the last of which has "done".
 *
 *   list       every connection
 *   kick ID    close one (1001), which may come back at once
 *   drain      what SIGTERM does
 *   stats      each loop
 *
 * Runs on main's loop; asks the servers, which answer on their own threads.
 */
#pragma once

#include "base/err.h"

struct admin;
struct loop;
struct settings;
struct workers;

/* drain(arg) runs on main's thread. Everything is borrowed. */
enum err admin_open(struct admin **out, struct loop *loop,
    const struct settings *settings, struct workers *workers,
    void (*drain)(void *arg), void *arg, struct err_info *info) MUST_CHECK;
/* After the workers have ended. */
void admin_close(struct admin **admin);
