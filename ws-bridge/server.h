/* SPDX-License-Identifier: MIT
 *
 * One event loop's share of the bridge: its listening socket, its clients and
 * its hub. Nothing here is global, so that a process may run several.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"

struct bridge;
struct hub;
struct settings;
struct ws_deflater;

#define SERVER_SCRATCH (64u * 1024)

struct server {
	struct loop *loop;
	struct bridge *bridge;
	const struct settings *settings;
	struct hub *hub; /* NULL in echo mode */
	struct ws_deflater *deflater;
	struct loop_watch listener;
	struct loop_timer accept_pause; /* out of descriptors */
	struct loop_timer drain_end;
	struct list connections;
	struct list dirty;
	struct list dead;
	size_t n_connections;
	size_t n_open;
	bool is_draining;
	char scratch[SERVER_SCRATCH]; /* what one recv brings */
};

/* Takes listen_fd (non-blocking). Everything else is borrowed. */
enum err server_open(struct server **out, struct loop *loop, int listen_fd,
    struct bridge *bridge, struct err_info *info) MUST_CHECK;
/* Closes every connection at once. */
void server_close(struct server **srv);
/* Stop accepting, say 1001 to everybody, then stop the loop. */
void server_drain(struct server *srv);
