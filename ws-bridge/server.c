/* SPDX-License-Identifier: MIT */
#include "ws-bridge/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/hub.h"
#include "ws-bridge/revoke.h"
#include "ws-bridge/ws_deflate.h"

#define SERVER_ACCEPTS 16 /* per turn, so that others get some */
/* Percent of the time to drain in which clients are told to come back. */
#define SERVER_SPREAD	83
#define SERVER_LAG_MS	1000 /* between looks at the loop's lag */
#define SERVER_PAUSE_MS 100  /* before accepting again without descriptors */

/* Of the loops that share a socket one is woken. */
static bool
server_listen(struct server *srv)
{
	return loop_watch_add(srv->loop, &srv->listener,
		   EPOLLIN | EPOLLEXCLUSIVE) == ERR_OK;
}

static void
server_resume_accept(struct loop_timer *t)
{
	struct server *srv = t->arg;

	if (!srv->is_draining && !server_listen(srv))
		loop_timer_set(srv->loop, t, SERVER_PAUSE_MS);
}

static void
server_accept(struct loop_watch *w, uint32_t events UNUSED)
{
	struct server *srv = w->arg;

	for (int i = 0; i < SERVER_ACCEPTS; i++) {
		int fd =
		    accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			connection_new(srv, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			log_warning("ws.accept_paused", "errno=%d", errno);
			loop_watch_del(srv->loop, w);
			loop_timer_set(
			    srv->loop, &srv->accept_pause, SERVER_PAUSE_MS);
		}
		return;
	}
}

/* How late the loop is, for main to tell. */
static void
server_on_lag(struct loop_timer *t)
{
	struct server *srv = t->arg;
	long long lag_ms = loop_take_lag_ms(srv->loop);
	long long known = atomic_load(&srv->bridge->lag_ms);

	while (lag_ms > known &&
	    !atomic_compare_exchange_weak(&srv->bridge->lag_ms, &known, lag_ms))
		;
	loop_timer_set(srv->loop, t, SERVER_LAG_MS);
}

static struct server_task *
server_take_task(struct server *srv)
{
	struct server_task *task = NULL;

	pthread_mutex_lock(&srv->lock);
	if (!list_is_empty(&srv->tasks)) {
		task = LIST_ENTRY(srv->tasks.next, struct server_task, node);
		list_del(&task->node);
	}
	pthread_mutex_unlock(&srv->lock);
	return task;
}

void
server_post(struct server *srv, struct server_task *task)
{
	pthread_mutex_lock(&srv->lock);
	list_add_tail(&srv->tasks, &task->node);
	pthread_mutex_unlock(&srv->lock);
	loop_wake(srv->loop);
}

static void
server_on_wake(void *arg)
{
	struct server *srv = arg;
	struct server_task *task;

	while ((task = server_take_task(srv)) != NULL)
		task->fn(task, srv);
	if (srv->hub != NULL)
		hub_wake(srv->hub);
}

/* Every connection that has something to do gets one flush per turn; then
 * those that died are freed. */
static void
server_turn_end(void *arg)
{
	struct server *srv = arg;
	struct list *dirty = &srv->dirty;

	while (!list_is_empty(dirty)) {
		struct connection *c =
		    LIST_ENTRY(dirty->next, struct connection, in_dirty);
		list_del(&c->in_dirty);
		connection_flush(c);
	}
	while (!list_is_empty(&srv->dead))
		connection_free(
		    LIST_ENTRY(srv->dead.next, struct connection, in_server));
	if (srv->is_draining && list_is_empty(&srv->connections))
		loop_stop(srv->loop);
}

static void
server_drain_end(struct loop_timer *t)
{
	struct server *srv = t->arg;

	log_warning("ws.drain_cut", "connections=%zu", srv->n_connections);
	loop_stop(srv->loop);
}

enum err
server_open(struct server **out, struct loop *loop, int listen_fd,
    struct bridge *bridge)
{
	struct server *srv = heap_take(HEAP_TABLES, mem_zalloc(sizeof(*srv)));

	srv->loop = loop;
	srv->bridge = bridge;
	srv->settings = bridge->settings;
	srv->deflater = ws_deflater_new();
	srv->listener = (struct loop_watch){
	    .fd = listen_fd, .fn = server_accept, .arg = srv};
	srv->accept_pause =
	    (struct loop_timer){.fn = server_resume_accept, .arg = srv};
	srv->drain_end =
	    (struct loop_timer){.fn = server_drain_end, .arg = srv};
	list_init(&srv->connections);
	list_init(&srv->dirty);
	list_init(&srv->dead);
	srv->lag_tick = (struct loop_timer){.fn = server_on_lag, .arg = srv};
	loop_timer_set(loop, &srv->lag_tick, SERVER_LAG_MS);
	list_init(&srv->tasks);
	pthread_mutex_init(&srv->lock, NULL);
	revoke_init(srv);
	loop_on_wake(loop, server_on_wake, srv);
	loop_on_turn_end(loop, server_turn_end, srv);
	if (!bridge->is_echo)
		srv->hub = hub_new(
		    loop, bridge->settings, bridge->relay, &connection_hub_ops);
	if (!server_listen(srv)) {
		server_close(&srv);
		return ERR_IO;
	}
	*out = srv;
	return ERR_OK;
}

static void
server_stop_listening(struct server *srv)
{
	if (srv->listener.fd < 0)
		return;
	loop_watch_del(srv->loop, &srv->listener);
	close(srv->listener.fd);
	srv->listener.fd = -1;
	loop_timer_del(srv->loop, &srv->accept_pause);
}

void
server_close(struct server **sp)
{
	struct server *srv = *sp;

	if (srv == NULL)
		return;
	*sp = NULL;
	server_stop_listening(srv);
	loop_timer_del(srv->loop, &srv->drain_end);
	loop_timer_del(srv->loop, &srv->lag_tick);
	list_for_each (it, &srv->connections)
		connection_set_state(
		    LIST_ENTRY(it, struct connection, in_server), CONN_DEAD);
	while (!list_is_empty(&srv->dead))
		connection_free(
		    LIST_ENTRY(srv->dead.next, struct connection, in_server));
	revoke_release(srv);
	hub_close(&srv->hub);
	ws_deflater_free(&srv->deflater);
	pthread_mutex_destroy(&srv->lock);
	heap_free(HEAP_TABLES, srv);
}

int64_t
server_reconnect_ms(const struct server *srv)
{
	int64_t span = srv->bridge->times.drain_ms * SERVER_SPREAD / 100;
	uint64_t r;

	id_random(&r, sizeof(r));
	return (int64_t)(r % (uint64_t)(span + 1));
}

void
server_drain(struct server *srv)
{
	if (srv->is_draining)
		return;
	srv->is_draining = true;
	if (srv->listener.fd >= 0) /* who waits there is told as well */
		server_accept(&srv->listener, 0);
	server_stop_listening(srv);
	loop_timer_set(srv->loop, &srv->drain_end, srv->bridge->times.drain_ms);
	list_for_each (it, &srv->connections) {
		struct connection *c =
		    LIST_ENTRY(it, struct connection, in_server);
		connection_drain(c, server_reconnect_ms(srv));
	}
}
