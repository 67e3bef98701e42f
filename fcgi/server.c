/* SPDX-License-Identifier: MIT */
#include "fcgi/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/service.h"
#include "fcgi/dispatch.h"
#include "settings/settings.h"

/* While draining, a kept connection that stays silent this long is closed: by
 * then the web server has used it or is not going to. */
#define SERVER_DRAIN_IDLE_MS 1000
#define SERVER_DRAIN_TICK_MS 20
/* While draining, one that is in use is left to the web server to end for so
 * long. If we did, its next request could be on its way already. */
#define SERVER_DRAIN_KEEP_MS 8000
/* What draining may take, as told to a service manager. */
#define SERVER_STOP_MS 40000
/* Pause of the accepting thread when there are no descriptors left. */
#define SERVER_FULL_PAUSE_MS 50

enum server_conn_state { SERVER_BUSY, SERVER_PARKED };

/* Owned by the thread that got its epoll event; while parked, by nobody. */
struct server_conn {
	struct list node; /* in server.conns, under its lock */
	struct link *link;
	int fd; /* borrowed from link, dead once that has closed it */
	bool is_tcp;
	atomic_int state;
	_Atomic int64_t since_ms; /* in that state */
};

struct server {
	struct app *app;
	const struct transport *transport;
	int epoll_fd;
	int listen_fd;
	int stop_fd; /* eventfd, readable for ever once the threads may go */
	pthread_mutex_t lock;
	struct list conns;
	size_t n_conns;
	_Atomic int64_t keep_until_ms; /* connections, after a request */
};

static void
server_signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGHUP);
}

enum err
server_block_signals(void)
{
	sigset_t set;

	server_signal_set(&set);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return ERR_INTERNAL;
	return ERR_OK;
}

/* ---- connections ---- */

static void
server_conn_free(struct server *s, struct server_conn *c)
{
	s->transport->close(&c->link);
	pthread_mutex_lock(&s->lock);
	list_del(&c->node);
	s->n_conns--;
	pthread_mutex_unlock(&s->lock);
	heap_free(HEAP_CONNECTIONS, c);
}

/* Arm for the next event. From here on another thread may own it. */
static void
server_park(struct server *s, struct server_conn *c, int op)
{
	struct epoll_event ev = {
	    .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c};

	atomic_store(&c->since_ms, clock_mono_ms());
	atomic_store(&c->state, SERVER_PARKED);
	if (epoll_ctl(s->epoll_fd, op, c->fd, &ev) == 0)
		return;
	log_error("server.epoll", "error=\"%s\"", strerror(errno));
	server_conn_free(s, c);
}

static void
server_set_options(const struct server *s, int fd, bool is_tcp)
{
	struct timeval timeout = {
	    .tv_sec = s->app->settings->fcgi_read_timeout};
	int on = 1;

	if (setsockopt(
		fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(
		fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    (is_tcp &&
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0))
		log_debug("server.option", "error=\"%s\"", strerror(errno));
}

static void
server_adopt(struct server *s, int fd, bool is_tcp)
{
	struct server_conn *c =
	    heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*c)));

	server_set_options(s, fd, is_tcp);
	c->fd = fd;
	c->is_tcp = is_tcp;
	c->link =
	    s->transport->open(fd, s->app->settings->fcgi_read_timeout * 1000);
	pthread_mutex_lock(&s->lock);
	list_add_tail(&s->conns, &c->node);
	s->n_conns++;
	pthread_mutex_unlock(&s->lock);
	server_park(s, c, EPOLL_CTL_ADD);
}

static void
server_pause(int64_t ms)
{
	struct timespec t = {
	    .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/* One connection, if there is one: another worker may have been faster. */
static bool
server_accept(struct server *s)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	int fd =
	    accept4(s->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	if (fd >= 0) {
		server_adopt(s, fd, peer.ss_family != AF_UNIX);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM) {
		log_warning("server.accept", "error=\"%s\"", strerror(errno));
		server_pause(SERVER_FULL_PAUSE_MS);
	}
	return false;
}

/* ---- one request ---- */

static bool
server_answer(struct server *s, struct server_conn *c,
    struct dispatch_scratch *scratch, const struct env *env)
{
	const struct transport *t = s->transport;
	struct dispatch_input in = {
	    .env = env, .read = t->read, .arg = c->link};
	enum http_status status;

	if (dispatch_run(s->app, scratch, &in, &status) != ERR_OK ||
	    t->write(c->link, scratch->head.data, scratch->head.len) !=
		ERR_OK ||
	    t->write(c->link, buf_text(&scratch->body), scratch->body.len) !=
		ERR_OK)
		return false;
	while (scratch->next != NULL)
		if (!dispatch_more(scratch) ||
		    t->write(c->link, buf_text(&scratch->body),
			scratch->body.len) != ERR_OK)
			return false;
	return true;
}

static void
server_serve(
    struct server *s, struct server_conn *c, struct dispatch_scratch *scratch)
{
	struct env env;
	int on = 1;

	atomic_store(&c->since_ms, clock_mono_ms());
	atomic_store(&c->state, SERVER_BUSY);
	/* The front server may write header and body apart; without this its
	 * second write waits for our delayed acknowledgement. */
	if (c->is_tcp &&
	    setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)) != 0)
		log_debug("server.option", "error=\"%s\"", strerror(errno));
	if (s->transport->next(c->link, &env) == ERR_OK &&
	    server_answer(s, c, scratch, &env) &&
	    s->transport->finish(
		c->link, clock_mono_ms() < atomic_load(&s->keep_until_ms)))
		server_park(s, c, EPOLL_CTL_MOD);
	else
		server_conn_free(s, c);
}

static void *
server_thread(void *arg)
{
	struct server *s = arg;
	struct dispatch_scratch scratch;
	struct epoll_event ev;

	dispatch_scratch_init(&scratch);
	for (;;) {
		int n = epoll_wait(s->epoll_fd, &ev, 1, -1);
		if (n < 0 && errno != EINTR) {
			log_error(
			    "server.epoll", "error=\"%s\"", strerror(errno));
			break;
		}
		if (n <= 0)
			continue;
		if (ev.data.ptr == &s->stop_fd)
			break;
		if (ev.data.ptr == &s->listen_fd)
			server_accept(s);
		else
			server_serve(s, ev.data.ptr, &scratch);
	}
	dispatch_scratch_release(&scratch);
	return NULL;
}

/* ---- start and stop ---- */

static enum err
server_watch(struct server *s, int fd, uint32_t events, void *what)
{
	struct epoll_event ev = {.events = events, .data.ptr = what};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? ERR_OK
								   : ERR_IO;
}

static enum err
server_init(struct server *s, struct err_info *info)
{
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->conns);
	atomic_store(&s->keep_until_ms, INT64_MAX);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->stop_fd < 0)
		return err_set(info, ERR_IO, "", "cannot prepare the loop: %s",
		    strerror(errno));
	/* Exclusive: of the workers that share the socket one is woken. That
	 * flag and one-shot exclude each other; accepting is not blocking, so
	 * a second thread that wakes up just finds nothing. */
	if (server_watch(s, s->listen_fd, EPOLLIN | EPOLLEXCLUSIVE,
		&s->listen_fd) != ERR_OK ||
	    server_watch(s, s->stop_fd, EPOLLIN, &s->stop_fd) != ERR_OK)
		return err_set(info, ERR_IO, "", "cannot watch the socket: %s",
		    strerror(errno));
	return ERR_OK;
}

/* Close what has been silent for long. A closed connection reports itself to
 * epoll, so the thread that gets the event frees it as usual. */
static void
server_close_idle(struct server *s, int64_t since_ms)
{
	int64_t now_ms = clock_mono_ms();
	char byte;

	pthread_mutex_lock(&s->lock);
	list_for_each (it, &s->conns) {
		struct server_conn *c =
		    LIST_ENTRY(it, struct server_conn, node);
		int64_t quiet_ms = atomic_load(&c->since_ms);
		if (quiet_ms < since_ms)
			quiet_ms = since_ms;
		if (atomic_load(&c->state) == SERVER_PARKED &&
		    now_ms - quiet_ms >= SERVER_DRAIN_IDLE_MS &&
		    recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
			shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&s->lock);
}

static size_t
server_count(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->n_conns;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Who waits in the queue is served; whoever comes next is refused at once, and
 * the web server asks another socket, unless other processes have this one
 * too. Left open until the end it would be a queue that nobody serves. The
 * number stays taken: a thread may be about to accept from it. */
static void
server_stop_listening(struct server *s)
{
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
	while (server_accept(s))
		;
	if (dup3(s->stop_fd, s->listen_fd, O_CLOEXEC) < 0)
		log_error("server.stop", "error=\"%s\"", strerror(errno));
}

/* Until no connection is left; false when a second signal came first. */
static bool
server_drain(struct server *s, const sigset_t *signals)
{
	struct timespec tick = {.tv_nsec = SERVER_DRAIN_TICK_MS * 1000000};

	int64_t since_ms = clock_mono_ms();

	atomic_store(&s->app->is_draining, true);
	atomic_store(&s->keep_until_ms, since_ms + SERVER_DRAIN_KEEP_MS);
	server_stop_listening(s);
	while (server_count(s) > 0) {
		server_close_idle(s, since_ms);
		int sig = sigtimedwait(signals, NULL, &tick);
		if (sig > 0 && sig != SIGHUP)
			return false;
	}
	return true;
}

static size_t
server_start_threads(struct server *s, pthread_t *threads, size_t n)
{
	size_t started = 0;

	while (started < n &&
	    pthread_create(&threads[started], NULL, server_thread, s) == 0)
		started++;
	return started;
}

static void
server_join(struct server *s, pthread_t *threads, size_t n)
{
	uint64_t one = 1;

	if (write(s->stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		log_error("server.stop", "error=\"%s\"", strerror(errno));
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

/* Is there a thread that has not been on one request for so long? */
static bool
server_is_alive(struct server *s, size_t threads, int64_t long_ms)
{
	int64_t now_ms = clock_mono_ms();
	size_t stuck = 0;

	pthread_mutex_lock(&s->lock);
	list_for_each (it, &s->conns) {
		struct server_conn *c =
		    LIST_ENTRY(it, struct server_conn, node);
		stuck += atomic_load(&c->state) == SERVER_BUSY &&
		    now_ms - atomic_load(&c->since_ms) > long_ms;
	}
	pthread_mutex_unlock(&s->lock);
	return stuck < threads;
}

/* Until a signal that ends us. */
static int
server_wait(struct server *s, const sigset_t *signals, size_t threads)
{
	int64_t watchdog_ms = service_watchdog_ms();
	struct timespec tick = {.tv_sec = watchdog_ms / 1000,
	    .tv_nsec = watchdog_ms % 1000 * 1000000};

	for (;;) {
		int sig = watchdog_ms > 0 ? sigtimedwait(signals, NULL, &tick)
					  : sigwaitinfo(signals, NULL);
		if (sig == SIGHUP)
			s->app->on_hangup(s->app->hangup_arg);
		else if (sig > 0)
			return sig;
		if (watchdog_ms > 0 &&
		    server_is_alive(s, threads, 2 * watchdog_ms))
			service_alive();
	}
}

enum err
server_run(struct app *app, const struct transport *transport, int listen_fd,
    struct err_info *info)
{
	struct server s = {.app = app,
	    .transport = transport,
	    .epoll_fd = -1,
	    .listen_fd = listen_fd,
	    .stop_fd = -1};
	size_t n = (size_t)app->settings->fcgi_threads;
	pthread_t *threads = mem_array(n, sizeof(*threads));
	sigset_t signals;

	server_signal_set(&signals);
	enum err e = server_init(&s, info);
	if (e != ERR_OK)
		goto out;
	size_t started = server_start_threads(&s, threads, n);
	if (started == 0) {
		e = err_set(info, ERR_IO, "", "cannot start a thread");
		goto out;
	}
	log_info("server.start", "protocol=%s threads=%zu", transport->name,
	    started);
	service_ready("%zu threads", started);
	int sig = server_wait(&s, &signals, started);
	service_stopping(SERVER_STOP_MS);
	log_info(
	    "server.drain", "signal=%d connections=%zu", sig, server_count(&s));
	bool is_whole = server_drain(&s, &signals);
	log_info("server.stop", "drained=%s", is_whole ? "true" : "false");
	if (!is_whole)
		_exit(EXIT_FAILURE); /* threads still work; asked to go now */
	server_join(&s, threads, started);
out:
	if (s.epoll_fd >= 0)
		close(s.epoll_fd);
	if (s.stop_fd >= 0)
		close(s.stop_fd);
	pthread_mutex_destroy(&s.lock);
	free(threads);
	return e;
}
