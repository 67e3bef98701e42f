/* SPDX-License-Identifier: MIT
 *
 * Publishing on one machine without Redis: each subscriber listens on a
 * SOCK_SEQPACKET socket of its own in <data_dir>/bus/, and the publisher
 * connects to every one it finds there. A socket that nobody listens on is
 * removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "bus/bus_local_dir.h"

/* Asked for; the kernel gives at most net.core.wmem_max. */
#define BUS_LOCAL_BUFFER (4 << 20)
/* Longer messages travel as a bare doorbell: the reader asks the table. Below
 * the smallest default socket buffer (208 KB). */
#define BUS_LOCAL_PACKET (160u << 10)
/* A change within this time of a scan may carry the same time stamp as the
 * scan has seen: kernels keep time in ticks of up to 10 ms. */
#define BUS_LOCAL_TICK_NS 20000000

struct bus_local_peer {
	int fd;
	bool is_idle; /* it wants no debate, and no pieces of texts */
	char name[NAME_MAX + 1];
};

struct bus_local {
	int dir_fd;
	struct bus_local_peer *peers;
	size_t n_peers;
	size_t cap_peers;
	struct timespec changed; /* of the folder, at the last scan */
	bool is_dirty;		 /* scan again whatever the folder says */
	struct buf frame;
};

static enum err
bus_local_open(void **out, const struct settings *s, struct err_info *info)
{
	int fd;

	enum err e = bus_local_dir_open(s, &fd, info);
	if (e != ERR_OK)
		return e;
	struct bus_local *b = mem_zalloc(sizeof(*b));
	b->dir_fd = fd;
	b->is_dirty = true;
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
	close(b->dir_fd);
	buf_release(&b->frame);
	free(b->peers);
	free(b);
}

/* Connected, or -1. Whoever is busy is tried again with the next message. */
static int
bus_local_connect(struct bus_local *b, const char *name)
{
	struct sockaddr_un to;
	int size = BUS_LOCAL_BUFFER;

	if (bus_local_dir_address(b->dir_fd, name, &to) != ERR_OK)
		return -1;
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		b->is_dirty = true;
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		/* A name appears only when its owner listens already. */
		if (errno == ECONNREFUSED)
			unlinkat(b->dir_fd, name, 0);
		else if (errno == EAGAIN)
			b->is_dirty = true;
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

static void
bus_local_meet(struct bus_local *b, const char *name)
{
	for (size_t i = 0; i < b->n_peers; i++)
		if (str_eq(b->peers[i].name, name))
			return;
	int fd = bus_local_connect(b, name);
	if (fd < 0)
		return;
	if (b->n_peers == b->cap_peers) {
		b->cap_peers = b->cap_peers * 2 + 4;
		b->peers = mem_realloc_array(
		    b->peers, b->cap_peers, sizeof(*b->peers));
	}
	struct bus_local_peer *p = &b->peers[b->n_peers++];
	p->fd = fd;
	p->is_idle = false;
	snprintf(p->name, sizeof(p->name), "%s", name);
}

/* Has the folder changed, or may it have without our seeing it? */
static bool
bus_local_is_stale(struct bus_local *b, struct timespec *changed)
{
	struct stat st;
	struct timespec now;

	if (fstat(b->dir_fd, &st) != 0)
		return false;
	*changed = st.st_mtim;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age_ns = (int64_t)(now.tv_sec - changed->tv_sec) * 1000000000 +
	    now.tv_nsec - changed->tv_nsec;
	return b->is_dirty || age_ns < BUS_LOCAL_TICK_NS ||
	    changed->tv_sec != b->changed.tv_sec ||
	    changed->tv_nsec != b->changed.tv_nsec;
}

static void
bus_local_scan(struct bus_local *b)
{
	struct timespec changed;

	if (!bus_local_is_stale(b, &changed))
		return;
	int fd = openat(b->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	b->is_dirty = false;
	b->changed = changed;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			bus_local_meet(b, e->d_name);
	closedir(d);
}

/* What the subscribers have said of themselves. */
static void
bus_local_listen(struct bus_local *b)
{
	for (size_t i = 0; i < b->n_peers; i++) {
		struct bus_local_peer *p = &b->peers[i];
		char word;
		while (recv(p->fd, &word, 1, MSG_DONTWAIT) == 1)
			p->is_idle = word == BUS_LOCAL_IDLE;
	}
}

/* A peer that is gone is forgotten; one that is full misses the message. A
 * piece of a text is only for those who watch a debate: what they get no more
 * or not yet comes whole as an event. */
static void
bus_local_send(struct bus_local *b, const struct buf *frame, bool is_piece,
    uint64_t *dropped)
{
	for (size_t i = 0; i < b->n_peers;) {
		struct bus_local_peer *p = &b->peers[i];
		if (is_piece && p->is_idle) {
			i++;
		} else if (send(p->fd, frame->data, frame->len, MSG_NOSIGNAL) >=
		    0) {
			i++;
		} else if (errno == EAGAIN || errno == ENOBUFS ||
		    errno == EMSGSIZE || errno == EINTR) {
			++*dropped;
			i++;
		} else {
			close(p->fd);
			*p = b->peers[--b->n_peers];
			b->is_dirty = true;
		}
	}
}

static enum err
bus_local_publish(
    void *impl, const struct bus_message *m, size_t n, uint64_t *dropped)
{
	struct bus_local *b = impl;

	bus_local_scan(b);
	bus_local_listen(b);
	for (size_t i = 0; i < n; i++) {
		struct bus_message one = m[i];
		if (one.payload_len > BUS_LOCAL_PACKET) {
			if (one.seq == 0) {
				++*dropped;
				continue;
			}
			one.payload_len = 0;
		}
		buf_clear(&b->frame);
		bus_wire_encode(&b->frame, &one);
		bool is_piece = one.seq == 0 && *one.debate_id != '\0';
		bus_local_send(b, &b->frame, is_piece, dropped);
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
