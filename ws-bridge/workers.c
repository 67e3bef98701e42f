/* SPDX-License-Identifier: MIT */
#include "ws-bridge/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

struct worker {
	struct workers *all;
	struct loop *loop;
	struct server *server;
	pthread_t thread;
	bool is_started;
	atomic_bool has_ended;
	struct server_task drain;
};

struct workers {
	void (*on_end)(void *arg);
	void *arg;
	atomic_size_t n_running;
	size_t n;
	struct worker each[];
};

static void *
worker_main(void *arg)
{
	struct worker *w = arg;
	struct workers *all = w->all;

	if (loop_run(w->loop) != ERR_OK)
		log_error("ws.loop", "error=\"cannot wait for events\"");
	atomic_store(&w->has_ended, true);
	atomic_fetch_sub(&all->n_running, 1);
	all->on_end(all->arg);
	return NULL;
}

static void
worker_drain(struct server_task *task UNUSED, struct server *srv)
{
	server_drain(srv);
}

/* Takes fd. */
static enum err
worker_start(struct worker *w, struct bridge *bridge, int fd)
{
	enum err e = loop_new(&w->loop);

	if (e != ERR_OK) {
		close(fd);
		return e;
	}
	w->drain = (struct server_task){.fn = worker_drain};
	e = server_open(&w->server, w->loop, fd, bridge);
	if (e != ERR_OK)
		return e;
	atomic_fetch_add(&w->all->n_running, 1);
	w->is_started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
	if (!w->is_started)
		atomic_fetch_sub(&w->all->n_running, 1);
	return w->is_started ? ERR_OK : ERR_IO;
}

enum err
workers_start(struct workers **out, struct bridge *bridge, const int *fds,
    size_t n, void (*on_end)(void *arg), void *arg)
{
	struct workers *w = mem_zalloc(sizeof(*w) + n * sizeof(struct worker));
	enum err e = ERR_OK;

	w->on_end = on_end;
	w->arg = arg;
	for (size_t i = 0; i < n; i++) {
		if (e != ERR_OK) {
			close(fds[i]);
			continue;
		}
		w->each[w->n].all = w;
		e = worker_start(&w->each[w->n++], bridge, fds[i]);
	}
	if (e != ERR_OK)
		workers_stop(&w);
	*out = w;
	return e;
}

void
workers_drain(struct workers *w)
{
	for (size_t i = 0; i < w->n; i++)
		server_post(w->each[i].server, &w->each[i].drain);
}

bool
workers_are_running(struct workers *w)
{
	return atomic_load(&w->n_running) > 0;
}

void
workers_stop(struct workers **wp)
{
	struct workers *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	for (size_t i = 0; i < w->n; i++)
		if (w->each[i].is_started)
			loop_stop(w->each[i].loop);
	for (size_t i = 0; i < w->n; i++) {
		if (w->each[i].is_started)
			pthread_join(w->each[i].thread, NULL);
		server_close(&w->each[i].server);
		loop_free(&w->each[i].loop);
	}
	free(w);
}

size_t
workers_count(const struct workers *w)
{
	return w->n;
}

struct server *
workers_server(const struct workers *w, size_t i)
{
	return atomic_load(&w->each[i].has_ended) ? NULL : w->each[i].server;
}
