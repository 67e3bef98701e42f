/* SPDX-License-Identifier: MIT */
#include "base/gather.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

#define GATHER_BATCH 256 /* then the loop's other watches have their turn */

struct gather {
	struct loop *loop;
	struct loop_watch inner; /* an epoll set within the loop's */
	struct loop_timer pause;
	int64_t pause_ms;
	struct epoll_event batch[GATHER_BATCH];
	int batch_len;
};

static void
gather_on_ready(struct loop_watch *inner, uint32_t events UNUSED)
{
	struct gather *g = inner->arg;
	int n = epoll_wait(inner->fd, g->batch, GATHER_BATCH, 0);

	g->batch_len = n > 0 ? n : 0;
	for (int i = 0; i < g->batch_len; i++) {
		struct loop_watch *w = g->batch[i].data.ptr;
		if (w != NULL)
			w->fn(w, g->batch[i].events);
	}
	g->batch_len = 0;
	if (n == GATHER_BATCH || g->pause_ms == 0)
		return;
	loop_watch_mod(g->loop, inner, 0);
	loop_timer_set(g->loop, &g->pause, g->pause_ms);
}

static void
gather_on_pause(struct loop_timer *t)
{
	struct gather *g = t->arg;

	loop_watch_mod(g->loop, &g->inner, EPOLLIN);
}

enum err
gather_new(struct gather **out, struct loop *loop)
{
	struct gather *g = mem_zalloc(sizeof(*g));

	g->loop = loop;
	g->pause = (struct loop_timer){.fn = gather_on_pause, .arg = g};
	g->inner = (struct loop_watch){.fd = epoll_create1(EPOLL_CLOEXEC),
	    .fn = gather_on_ready,
	    .arg = g};
	if (g->inner.fd < 0 ||
	    loop_watch_add(loop, &g->inner, EPOLLIN) != ERR_OK) {
		if (g->inner.fd >= 0)
			close(g->inner.fd);
		free(g);
		return ERR_IO;
	}
	*out = g;
	return ERR_OK;
}

void
gather_free(struct gather **gather)
{
	struct gather *g = *gather;

	if (g == NULL)
		return;
	loop_timer_del(g->loop, &g->pause);
	loop_watch_del(g->loop, &g->inner);
	close(g->inner.fd);
	free(g);
	*gather = NULL;
}

void
gather_set_pause(struct gather *g, int64_t ms)
{
	g->pause_ms = ms;
}

enum err
gather_add(struct gather *g, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(g->inner.fd, EPOLL_CTL_ADD, w->fd, &ev) != 0)
		return ERR_IO;
	w->events = events;
	return ERR_OK;
}

void
gather_del(struct gather *g, struct loop_watch *w)
{
	epoll_ctl(g->inner.fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < g->batch_len; i++)
		if (g->batch[i].data.ptr == w)
			g->batch[i].data.ptr = NULL;
}
