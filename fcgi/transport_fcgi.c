/* SPDX-License-Identifier: MIT
 *
 * FastCGI by libfcgi, of which this is the only user.
 *
 * libfcgi wants to accept connections itself. It is given each connection
 * ready made instead: ipcFd is set, keepConnection keeps FCGX_Accept_r from
 * closing it first, and listen_sock is no socket, so that when the connection
 * turns out to be closed or to talk nonsense, the accept that follows inside
 * FCGX_Accept_r fails at once and a thread never waits there.
 */
#include "fcgi/transport.h"

#include <errno.h>
#include <fcgiapp.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"

#define FCGI_NO_SOCKET	  (-1)
#define FCGI_HEADER_BYTES 8
#define FCGI_VERSION	  1
#define FCGI_BEGIN	  1 /* type of FCGI_BEGIN_REQUEST */
#define FCGI_BEGIN_BYTES  8 /* its content */
#define FCGI_PEEK_WAIT_MS 10
#define FCGI_DRAIN_STEP	  8192

struct link {
	FCGX_Request request;
	int64_t timeout_ms;
	int64_t write_started_ms; /* 0 = nothing written yet */
};

static enum err
fcgi_init(void)
{
	return FCGX_Init() == 0 ? ERR_OK : ERR_INTERNAL;
}

static struct link *
fcgi_open(int fd, int64_t timeout_ms)
{
	struct link *l = heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*l)));

	FCGX_InitRequest(&l->request, FCGI_NO_SOCKET, 0);
	l->request.ipcFd = fd;
	l->request.keepConnection = 1;
	/* A detached request is closed without lingering in select(), which
	 * cannot take descriptors above 1023. */
	l->request.detached = 1;
	l->timeout_ms = timeout_ms;
	return l;
}

/* Look at the header of the first record without taking it. Only a begin
 * record may open a request: libfcgi answers management records into a buffer
 * that enough of them overrun. */
static bool
fcgi_peek(const struct link *l)
{
	unsigned char h[FCGI_HEADER_BYTES];
	int64_t until_ms = clock_mono_ms() + l->timeout_ms;

	for (;;) {
		ssize_t n = recv(l->request.ipcFd, h, sizeof(h), MSG_PEEK);
		if (n == (ssize_t)sizeof(h))
			break;
		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (clock_mono_ms() >= until_ms)
			return false;
		/* Part of a header: epoll and poll would report those bytes
		 * for ever, so wait for time or the end of the connection. */
		struct pollfd p = {.fd = l->request.ipcFd, .events = POLLRDHUP};
		if (poll(&p, 1, FCGI_PEEK_WAIT_MS) > 0)
			return false;
	}
	unsigned id = (unsigned)h[2] << 8 | h[3];
	unsigned length = (unsigned)h[4] << 8 | h[5];
	return h[0] == FCGI_VERSION && h[1] == FCGI_BEGIN && id != 0 &&
	    length == FCGI_BEGIN_BYTES;
}

static void
fcgi_collect(char *const *params, struct env *env)
{
	*env = (struct env){.duplicate = NULL};
	for (; *params != NULL; params++) {
		const char *equals = strchr(*params, '=');
		if (equals != NULL)
			env_add(env, *params, (size_t)(equals - *params),
			    equals + 1);
	}
}

static enum err
fcgi_next(struct link *l, struct env *env)
{
	if (!fcgi_peek(l) || FCGX_Accept_r(&l->request) != 0)
		return ERR_CLOSED;
	l->write_started_ms = 0;
	/* A time-out within the parameters looks like their end. */
	if (FCGX_GetError(l->request.in) != 0)
		return ERR_CLOSED;
	fcgi_collect(l->request.envp, env);
	return ERR_OK;
}

static ssize_t
fcgi_read(void *arg, void *out, size_t len)
{
	struct link *l = arg;
	int n =
	    FCGX_GetStr(out, len > INT_MAX ? INT_MAX : (int)len, l->request.in);

	return n == 0 && FCGX_GetError(l->request.in) != 0 ? -1 : n;
}

static enum err
fcgi_write(struct link *l, const void *data, size_t len)
{
	const char *p = data;

	if (l->write_started_ms == 0)
		l->write_started_ms = clock_mono_ms();
	while (len > 0) {
		int step = len > INT_MAX ? INT_MAX : (int)len;
		if (FCGX_PutStr(p, step, l->request.out) != step)
			return ERR_CLOSED;
		p += step;
		len -= (size_t)step;
	}
	return ERR_OK;
}

/* What the handler did not read of the body must not be taken for the next
 * request, and unread bytes at a close would destroy the answer. */
static bool
fcgi_drain(struct link *l)
{
	char trash[FCGI_DRAIN_STEP];
	ssize_t n;

	do
		n = fcgi_read(l, trash, sizeof(trash));
	while (n > 0);
	return n == 0;
}

static bool
fcgi_finish(struct link *l, bool may_stay)
{
	bool is_whole = fcgi_drain(l);

	if (!may_stay || !is_whole)
		l->request.keepConnection = 0;
	if (l->write_started_ms == 0)
		l->write_started_ms = clock_mono_ms();
	FCGX_Finish_r(&l->request);
	/* libfcgi takes a write that was cut short by its time-out for a whole
	 * one; after that the stream is out of step. */
	return l->request.ipcFd >= 0 &&
	    clock_mono_ms() - l->write_started_ms < l->timeout_ms;
}

static void
fcgi_close(struct link **link)
{
	struct link *l = *link;

	if (l == NULL)
		return;
	if (l->request.ipcFd >= 0) {
		l->request.detached = 1;
		FCGX_Free(&l->request, 1);
	}
	heap_free(HEAP_CONNECTIONS, l);
	*link = NULL;
}

const struct transport transport_fcgi = {
    .name = "fcgi",
    .init = fcgi_init,
    .open = fcgi_open,
    .next = fcgi_next,
    .read = fcgi_read,
    .write = fcgi_write,
    .finish = fcgi_finish,
    .close = fcgi_close,
};
