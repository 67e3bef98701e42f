/* SPDX-License-Identifier: MIT
 *
 * The bus of one machine without Redis: each subscriber listens on a
 * SOCK_SEQPACKET socket in <data_dir>/bus/, each publisher connects to every
 * socket it finds there. A socket nobody listens on is removed.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

#define BUS_LOCAL_PEERS	    64
#define BUS_LOCAL_RESCAN_MS 200
#define BUS_LOCAL_BUFFER    (4 << 20)
/* Longer messages travel as a bare doorbell: the reader asks the table. */
#define BUS_LOCAL_PACKET (160u << 10)

struct bus_local_peer {
	int fd;
	char name[256];
};

struct bus_local {
	char dir[256];
	struct bus_local_peer peers[BUS_LOCAL_PEERS];
	size_t n_peers;
	int64_t scanned_ms;
	struct buf frame;
};

static bool
bus_local_address(const char *dir, const char *name, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	return snprintf(out->sun_path, sizeof(out->sun_path), "%s/%s", dir,
		   name) < (int)sizeof(out->sun_path);
}

static enum err
bus_local_dir(const struct settings *s, char *out, size_t size)
{
	snprintf(out, size, "%s/bus", s->data_dir);
	mkdir(s->data_dir, 0750);
	return mkdir(out, 0750) == 0 || errno == EEXIST ? ERR_OK : ERR_IO;
}

static enum err
bus_local_open(void **out, const struct settings *s, struct err_info *info)
{
	struct bus_local *b = mem_zalloc(sizeof(*b));

	if (bus_local_dir(s, b->dir, sizeof(b->dir)) != ERR_OK) {
		err_set(info, ERR_IO, "ARAGORA_DATA_DIR", "cannot make '%s'",
		    b->dir);
		free(b);
		return ERR_IO;
	}
	b->scanned_ms = INT64_MIN / 2;
	buf_init(&b->frame, BUS_MESSAGE_MAX);
	*out = b;
	return ERR_OK;
}

static void
bus_local_close(void *impl)
{
	struct bus_local *b = impl;

	for (size_t i = 0; i < b->n_peers; i++)
		close(b->peers[i].fd);
	buf_release(&b->frame);
	free(b);
}

static void
bus_local_connect(struct bus_local *b, const char *name)
{
	struct sockaddr_un to;
	int size = BUS_LOCAL_BUFFER;

	if (b->n_peers == BUS_LOCAL_PEERS ||
	    !bus_local_address(b->dir, name, &to))
		return;
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		if (errno == ECONNREFUSED)
			unlink(to.sun_path);
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	struct bus_local_peer *p = &b->peers[b->n_peers++];
	p->fd = fd;
	snprintf(p->name, sizeof(p->name), "%s", name);
}

static bool
bus_local_knows(const struct bus_local *b, const char *name)
{
	for (size_t i = 0; i < b->n_peers; i++)
		if (str_eq(b->peers[i].name, name))
			return true;
	return false;
}

static void
bus_local_scan(struct bus_local *b)
{
	int64_t now = clock_mono_ms();

	if (now - b->scanned_ms < BUS_LOCAL_RESCAN_MS)
		return;
	b->scanned_ms = now;
	DIR *d = opendir(b->dir);
	if (d == NULL)
		return;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.' && !bus_local_knows(b, e->d_name))
			bus_local_connect(b, e->d_name);
	closedir(d);
}

/* A peer that is gone is forgotten; one that is full misses the message. */
static void
bus_local_send(struct bus_local *b, const struct buf *frame)
{
	for (size_t i = 0; i < b->n_peers;) {
		struct bus_local_peer *p = &b->peers[i];
		if (send(p->fd, frame->data, frame->len, MSG_NOSIGNAL) >= 0) {
			i++;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			close(p->fd);
			*p = b->peers[--b->n_peers];
			b->scanned_ms = INT64_MIN / 2;
			continue;
		}
		metric_add(METRIC_BUS_DROPPED, 1);
		i++;
	}
}

static enum err
bus_local_publish(void *impl, const struct bus_message *m, size_t n)
{
	struct bus_local *b = impl;

	bus_local_scan(b);
	for (size_t i = 0; i < n; i++) {
		struct bus_message one = m[i];
		if (one.payload_len > BUS_LOCAL_PACKET) {
			if (one.seq == 0)
				continue;
			one.payload_len = 0;
		}
		buf_clear(&b->frame);
		bus_frame(&b->frame, &one);
		bus_local_send(b, &b->frame);
	}
	return ERR_OK;
}

static enum err
bus_local_ping(void *impl UNUSED)
{
	return ERR_UNSUPPORTED;
}

const struct bus_driver bus_local = {
    .open = bus_local_open,
    .close = bus_local_close,
    .publish = bus_local_publish,
    .ping = bus_local_ping,
};

/* ---- subscriber ---- */

enum err
bus_local_listen(struct bus_sub *sub, struct err_info *info)
{
	char dir[256];
	char name[64];
	struct sockaddr_un at;

	static _Atomic int serial;
	snprintf(name, sizeof(name), "%s-%d-%d", sub->name, (int)getpid(),
	    atomic_fetch_add(&serial, 1));
	if (bus_local_dir(sub->settings, dir, sizeof(dir)) != ERR_OK ||
	    !bus_local_address(dir, name, &at))
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "no place for sockets: '%s' is missing or too long", dir);
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(at.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, 128) != 0) {
		if (fd >= 0)
			close(fd);
		return err_set(
		    info, ERR_IO, "", "cannot listen on '%s'", at.sun_path);
	}
	sub->listen_fd = fd;
	sub->path = mem_strdup(at.sun_path);
	return ERR_OK;
}

/* Wants need no server: drop the dead ones, tell the owner about new ones. */
static void
bus_local_refresh(struct bus_sub *sub)
{
	bool is_new = false;

	pthread_mutex_lock(&sub->lock);
	for (size_t i = 0; i < sub->n_wants;) {
		struct bus_want *w = &sub->wants[i];
		if (w->count == 0) {
			free(w->debate_id);
			*w = sub->wants[--sub->n_wants];
			continue;
		}
		is_new = is_new || !w->is_sent;
		w->is_sent = true;
		i++;
	}
	pthread_mutex_unlock(&sub->lock);
	if (is_new && sub->ops.on_gap != NULL)
		sub->ops.on_gap(sub->ops.arg);
}

struct bus_local_rx {
	struct pollfd fds[2 + BUS_LOCAL_PEERS];
	size_t n;
	char *packet;
};

/* All packets waiting on a connection; false when it has ended. */
static bool
bus_local_receive(struct bus_sub *sub, struct bus_local_rx *rx, int fd)
{
	for (;;) {
		ssize_t n = recv(fd, rx->packet, BUS_MESSAGE_MAX, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		struct bus_message m;
		rx->packet[n] = '\0';
		if (bus_unframe(rx->packet, (size_t)n, &m))
			bus_deliver(sub, &m);
	}
}

static void
bus_local_accept(struct bus_sub *sub, struct bus_local_rx *rx)
{
	int fd = accept4(sub->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (rx->n == ARRAY_LEN(rx->fds)) {
		log_warning("bus.full", "publishers=%d", BUS_LOCAL_PEERS);
		close(fd);
		return;
	}
	rx->fds[rx->n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	/* What it published before it found us is in the table. */
	if (sub->ops.on_gap != NULL)
		sub->ops.on_gap(sub->ops.arg);
}

void
bus_local_run(struct bus_sub *sub)
{
	struct bus_local_rx *rx = mem_zalloc(sizeof(*rx));
	uint64_t count;

	rx->packet = mem_alloc(BUS_MESSAGE_MAX + 1);
	rx->fds[0] = (struct pollfd){.fd = sub->wake_fd, .events = POLLIN};
	rx->fds[1] = (struct pollfd){.fd = sub->listen_fd, .events = POLLIN};
	rx->n = 2;
	while (!atomic_load(&sub->is_stopping)) {
		if (poll(rx->fds, rx->n, -1) < 0)
			continue;
		if (rx->fds[0].revents != 0 &&
		    read(sub->wake_fd, &count, sizeof(count)) > 0)
			bus_local_refresh(sub);
		for (size_t i = 2; i < rx->n;) {
			if (rx->fds[i].revents != 0 &&
			    !bus_local_receive(sub, rx, rx->fds[i].fd)) {
				close(rx->fds[i].fd);
				rx->fds[i] = rx->fds[--rx->n];
				continue;
			}
			i++;
		}
		if (rx->fds[1].revents != 0)
			bus_local_accept(sub, rx);
	}
	for (size_t i = 2; i < rx->n; i++)
		close(rx->fds[i].fd);
	free(rx->packet);
	free(rx);
}
