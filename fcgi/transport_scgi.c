/* SPDX-License-Identifier: MIT
 *
 * SCGI: one request per connection, the close ends the answer.
 */
#include "fcgi/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "fcgi/scgi.h"

#define SCGI_FIRST_BYTES 4096 /* an ordinary header fits */
#define SCGI_DRAIN_STEP	 8192

struct link {
	int fd;
	char *data; /* header and the first bytes of the body */
	size_t len, cap;
	size_t body_at; /* next body byte within data */
	uint64_t body_left;
	struct scgi_head head;
};

static enum err
scgi_init(void)
{
	return ERR_OK;
}

static struct link *
scgi_open(int fd, int64_t timeout_ms)
{
	struct link *l = heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*l)));

	(void)timeout_ms;
	l->fd = fd;
	return l;
}

static ssize_t
scgi_recv(int fd, void *out, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, out, len, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* More of the header; false at its limit, at the end or on a time-out. */
static bool
scgi_fill(struct link *l)
{
	if (l->len == l->cap) {
		if (l->cap >= SCGI_BUFFER_MAX)
			return false;
		l->cap = l->cap == 0 ? SCGI_FIRST_BYTES : 2 * l->cap;
		heap_give(HEAP_CONNECTIONS, l->data);
		l->data = heap_take(
		    HEAP_CONNECTIONS, mem_realloc_array(l->data, l->cap, 1));
	}
	ssize_t n = scgi_recv(l->fd, l->data + l->len, l->cap - l->len);
	if (n <= 0)
		return false;
	l->len += (size_t)n;
	return true;
}

static enum err
scgi_next(struct link *l, struct env *env)
{
	struct err_info info = {0};
	enum err e;

	do {
		if (!scgi_fill(l))
			return ERR_CLOSED;
		e = scgi_parse(l->data, l->len, &l->head, &info);
	} while (e == ERR_AGAIN);
	if (e != ERR_OK) {
		log_warning("scgi.refused", "error=\"%s\"", info.text);
		return ERR_CLOSED;
	}
	l->body_at = l->head.size;
	l->body_left = l->head.content_length;
	*env = (struct env){.duplicate = NULL};
	for (size_t i = 0; i < l->head.n_vars; i++)
		env_add(env, l->head.vars[i].name, strlen(l->head.vars[i].name),
		    l->head.vars[i].value);
	return ERR_OK;
}

static ssize_t
scgi_read(void *arg, void *out, size_t len)
{
	struct link *l = arg;
	size_t have = l->len - l->body_at;
	ssize_t n;

	if (len > l->body_left)
		len = (size_t)l->body_left;
	if (len == 0)
		return 0;
	if (have > 0) {
		n = (ssize_t)(len < have ? len : have);
		memcpy(out, l->data + l->body_at, (size_t)n);
		l->body_at += (size_t)n;
	} else {
		n = scgi_recv(l->fd, out, len);
		if (n <= 0)
			return -1;
	}
	l->body_left -= (uint64_t)n;
	return n;
}

static enum err
scgi_write(struct link *l, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(l->fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_CLOSED;
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

static bool
scgi_finish(struct link *l, bool may_stay)
{
	char trash[SCGI_DRAIN_STEP];

	/* Unread bytes at the close would destroy the answer. */
	(void)may_stay;
	while (scgi_read(l, trash, sizeof(trash)) > 0)
		;
	return false;
}

static void
scgi_close(struct link **link)
{
	struct link *l = *link;

	if (l == NULL)
		return;
	close(l->fd);
	heap_free(HEAP_CONNECTIONS, l->data);
	heap_free(HEAP_CONNECTIONS, l);
	*link = NULL;
}

const struct transport transport_scgi = {
    .name = "scgi",
    .init = scgi_init,
    .open = scgi_open,
    .next = scgi_next,
    .read = scgi_read,
    .write = scgi_write,
    .finish = scgi_finish,
    .close = scgi_close,
};
