/* SPDX-License-Identifier: MIT
 *
 * Subscribing on one machine without Redis. Every publisher sends everything;
 * what nobody here wants is left out by bus_sub_deliver.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/bus_impl.h"
#include "bus/bus_local_dir.h"

/* Packets taken from one publisher before the others have their turn. */
#define BUS_LOCAL_TURN 256
/* Without descriptors: until the next attempt to accept. */
#define BUS_LOCAL_PAUSE_MS 1000
#define BUS_LOCAL_NAME	   80

struct bus_local_conn {
	struct list node;
	bool is_untold; /* it did not listen when it was told last */
	struct loop_watch watch;
};

struct bus_local_sub {
	struct bus_sub *sub;
	struct loop *loop;
	bool was_all;
	bool is_idle; /* as publishers were told */
	int dir_fd;
	char name[BUS_LOCAL_NAME]; /* in the folder; "" = not there yet */
	struct loop_watch listener;
	struct loop_timer pause;
	struct list conns;
	char *packet; /* BUS_MESSAGE_MAX bytes */
};

static void
bus_local_conn_free(struct bus_local_sub *l, struct bus_local_conn *c)
{
	loop_watch_del(l->loop, &c->watch);
	close(c->watch.fd);
	list_del(&c->node);
	free(c);
}

/* No debate is wanted, or some are: pieces of texts are only for those who
 * watch one. A publisher listens before it sends, so one that does not is told
 * after its next message. */
static void
bus_local_tell(struct bus_local_sub *l, struct bus_local_conn *c)
{
	char word = l->is_idle ? BUS_LOCAL_IDLE : BUS_LOCAL_WATCHING;

	c->is_untold =
	    send(c->watch.fd, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1;
}

static void
bus_local_on_packet(struct loop_watch *w, uint32_t events UNUSED)
{
	struct bus_local_sub *l = w->arg;
	struct bus_local_conn *c =
	    CONTAINER_OF(w, struct bus_local_conn, watch);

	if (c->is_untold)
		bus_local_tell(l, c);
	for (int i = 0; i < BUS_LOCAL_TURN; i++) {
		ssize_t n =
		    recv(w->fd, l->packet, BUS_MESSAGE_MAX, MSG_DONTWAIT);
		if (n > 0) {
			bus_sub_deliver(l->sub, l->packet, (size_t)n);
			continue;
		}
		/* It left without having read what we told it. That is said
		 * once, before what it had sent until then. */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			bus_local_conn_free(l, c);
		return;
	}
}

static void
bus_local_add(struct bus_local_sub *l, int fd)
{
	struct bus_local_conn *c = mem_zalloc(sizeof(*c));

	c->watch =
	    (struct loop_watch){.fd = fd, .fn = bus_local_on_packet, .arg = l};
	if (loop_watch_add(l->loop, &c->watch, EPOLLIN) != ERR_OK) {
		close(fd);
		free(c);
		return;
	}
	list_add_tail(&l->conns, &c->node);
	bus_local_tell(l, c);
	/* What it published before it found us is in the table. */
	bus_sub_gap(l->sub);
}

static void
bus_local_on_accept(struct loop_watch *w, uint32_t events UNUSED)
{
	struct bus_local_sub *l = w->arg;

	for (;;) {
		int fd =
		    accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			bus_local_add(l, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			log_warning("bus.accept", "subscriber=%s reason=\"%s\"",
			    bus_sub_name(l->sub), strerror(errno));
			loop_watch_mod(l->loop, w, 0);
			loop_timer_set(l->loop, &l->pause, BUS_LOCAL_PAUSE_MS);
		}
		return;
	}
}

static void
bus_local_on_pause(struct loop_timer *t)
{
	struct bus_local_sub *l = t->arg;

	loop_watch_mod(l->loop, &l->listener, EPOLLIN);
}

/* The name that publishers look for appears only once we listen: they remove
 * a name that refuses them. */
static enum err
bus_local_listen(struct bus_local_sub *l, struct err_info *info)
{
	char random[ID_SIZE], name[BUS_LOCAL_NAME], hidden[BUS_LOCAL_NAME + 1];
	struct sockaddr_un at;
	int fd = -1;

	id_make(random, "", 4);
	snprintf(name, sizeof(name), "%.40s-%d-%.8s", bus_sub_name(l->sub),
	    (int)getpid(), random);
	snprintf(hidden, sizeof(hidden), ".%s", name);
	if (bus_local_dir_address(l->dir_fd, hidden, &at) == ERR_OK)
		fd = socket(
		    AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    listen(fd, SOMAXCONN) == 0 &&
	    renameat(l->dir_fd, hidden, l->dir_fd, name) == 0) {
		l->listener.fd = fd;
		memcpy(l->name, name, sizeof(l->name));
		return ERR_OK;
	}
	enum err e = err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
	    "cannot make a socket in its folder 'bus': %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	unlinkat(l->dir_fd, hidden, 0);
	return e;
}

static void
bus_sub_local_close(void *impl)
{
	struct bus_local_sub *l = impl;

	list_for_each (it, &l->conns)
		bus_local_conn_free(
		    l, LIST_ENTRY(it, struct bus_local_conn, node));
	if (l->listener.fd >= 0)
		close(l->listener.fd);
	if (l->name[0] != '\0')
		unlinkat(l->dir_fd, l->name, 0);
	loop_timer_del(l->loop, &l->pause);
	close(l->dir_fd);
	heap_free(HEAP_TABLES, l->packet);
	free(l);
}

static enum err
bus_sub_local_open(void **out, struct bus_sub *sub, const struct settings *s,
    struct err_info *info)
{
	int dir_fd;

	enum err e = bus_local_dir_open(s, &dir_fd, info);
	if (e != ERR_OK)
		return e;
	struct bus_local_sub *l = mem_zalloc(sizeof(*l));
	l->sub = sub;
	l->loop = bus_sub_loop(sub);
	l->dir_fd = dir_fd;
	l->listener =
	    (struct loop_watch){.fd = -1, .fn = bus_local_on_accept, .arg = l};
	l->pause = (struct loop_timer){.fn = bus_local_on_pause, .arg = l};
	l->is_idle = true;
	l->packet = heap_take(HEAP_TABLES, mem_alloc(BUS_MESSAGE_MAX));
	list_init(&l->conns);
	e = bus_local_listen(l, info);
	if (e == ERR_OK &&
	    loop_watch_add(l->loop, &l->listener, EPOLLIN) != ERR_OK)
		e = err_set(info, ERR_IO, "", "cannot watch a socket");
	if (e != ERR_OK) {
		bus_sub_local_close(l);
		return e;
	}
	*out = l;
	return ERR_OK;
}

/* Which debates, publishers need not be told: all stored events come, and what
 * is wanted is in force at once. */
static void
bus_sub_local_changed(void *impl)
{
	struct bus_local_sub *l = impl;
	bool is_all, is_new = false;

	struct bus_set *set = bus_sub_lock(l->sub, &is_all);
	list_for_each (it, &set->changed) {
		struct bus_set_entry *e =
		    LIST_ENTRY(it, struct bus_set_entry, changed);
		is_new = is_new || e->count > 0;
		bus_set_settle(set, e);
	}
	bool is_idle = !is_all && set->n_entries == 0;
	bus_sub_unlock(l->sub);
	if (is_idle != l->is_idle) {
		l->is_idle = is_idle;
		list_for_each (it, &l->conns)
			bus_local_tell(
			    l, LIST_ENTRY(it, struct bus_local_conn, node));
	}
	if (is_new || (is_all && !l->was_all))
		bus_sub_gap(l->sub);
	l->was_all = is_all;
}

const struct bus_sub_driver bus_sub_local = {
    .open = bus_sub_local_open,
    .changed = bus_sub_local_changed,
    .close = bus_sub_local_close,
};
