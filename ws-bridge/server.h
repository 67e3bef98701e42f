/* SPDX-License-Identifier: MIT
 *
 * One event loop's share of the bridge: its listening socket, its clients and
 * its hub. Nothing here is global: a process runs several.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "ws-bridge/outq.h"

struct bridge;
struct hub;
struct server;
struct settings;
struct ws_deflater;

#define SERVER_SCRATCH (64u * 1024)

/* Something to be done on the server's thread; the caller's memory. */
struct server_task {
	struct list node;
	void (*fn)(struct server_task *task, struct server *srv);
};

struct server {
	struct loop *loop;
	struct bridge *bridge;
	const struct settings *settings;
	struct hub *hub; /* NULL in echo mode */
	struct ws_deflater *deflater;
	struct loop_watch listener;
	struct loop_timer accept_pause; /* out of descriptors */
	struct loop_timer drain_end;
	struct loop_timer lag_tick;
	struct list connections;
	struct list dirty;
	struct list dead;
	size_t n_connections;
	size_t n_open;
	bool is_draining;
	pthread_mutex_t lock;
	struct list tasks;   /* under lock */
	struct list watches; /* revoke.h */
	struct loop_timer revoke_tick;
	bool is_asking_revs;
	char scratch[SERVER_SCRATCH]; /* what one recv brings */
	struct outq_vec vec;	      /* of one write */
};

/* Takes listen_fd (non-blocking), which other servers may listen on too.
 * Everything else is borrowed. */
enum err server_open(struct server **out, struct loop *loop, int listen_fd,
    struct bridge *bridge) MUST_CHECK;
/* Closes every connection at once. After its loop has ended. */
void server_close(struct server **srv);
/* Stop accepting, say 1001 to everybody, then stop the loop. */
void server_drain(struct server *srv);
/* While draining: when a client may come back, so that they do not all come at
 * once. */
int64_t server_reconnect_ms(const struct server *srv);
/* Any thread: run the task on the server's thread, soon. Those that wait when
 * the loop ends are not run. */
void server_post(struct server *srv, struct server_task *task);
