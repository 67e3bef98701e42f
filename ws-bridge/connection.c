/* SPDX-License-Identifier: MIT */
#include "ws-bridge/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "ws-bridge/admission.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/notice.h"
#include "ws-bridge/relay.h"
#include "ws-bridge/revoke.h"
#include "ws-bridge/viewers.h"

#define CONN_OUT_MAX  (4u << 20) /* bytes queued, answers included */
#define CONN_IDLE_MAX 1024	 /* bytes of one that only listens */
#define CONN_RETRY_MS 1000	 /* when the store is away */
#define CONN_ROUNDS   8		 /* sendmsg calls per turn */
/* A client whose answers do not leave is not listened to: only in echo mode
 * are there so many. */
#define CONN_ECHO_AHEAD (CONN_OUT_MAX + 1)
#define CONN_ECHO_MAX	(64u << 20) /* longest message in echo mode */

_Static_assert(sizeof(struct connection) + sizeof(struct sub) <= CONN_IDLE_MAX,
    "an idle connection is small");

#define TIMES(c) (&(c)->server->bridge->times)

void
connection_mark_dirty(struct connection *c)
{
	if (c->state != CONN_DEAD && list_is_empty(&c->in_dirty))
		list_add_tail(&c->server->dirty, &c->in_dirty);
}

/* The one place where a connection changes state; the counters follow. */
void
connection_set_state(struct connection *c, enum conn_state state)
{
	struct server *srv = c->server;

	if (c->state == state)
		return;
	if (c->state == CONN_OPEN || state == CONN_OPEN) {
		int delta = state == CONN_OPEN ? 1 : -1;
		srv->n_open += (size_t)delta;
		metric_add(connection_is_stream(c) ? METRIC_SSE_CONNECTIONS
						   : METRIC_WS_CONNECTIONS,
		    delta);
	}
	c->state = state;
	if (state != CONN_DEAD) {
		connection_mark_dirty(c);
		connection_arm(c);
		return;
	}
	list_del(&c->in_dirty);
	list_del(&c->in_server);
	list_add_tail(&srv->dead, &c->in_server);
	srv->n_connections--;
	loop_timer_del(srv->loop, &c->tick);
	loop_timer_del(srv->loop, &c->pace);
	loop_watch_del(srv->loop, &c->watch);
}

void
connection_free(struct connection *c)
{
	connection_detach(c);
	conn_trace_end(&c->trace);
	if (c->token_job != NULL)
		c->token_job->owner = NULL;
	if (c->said_job != NULL)
		c->said_job->owner = NULL;
	heap_free(HEAP_CONNECTIONS, c->person);
	if (c->request != NULL)
		ws_request_release(c->request);
	heap_free(HEAP_CONNECTIONS, c->request);
	heap_free(HEAP_CONNECTIONS, c->handshake);
	ws_decoder_release(&c->decoder);
	outq_release(&c->out);
	frame_unref(&c->pong);
	if (c->admission != NULL)
		admission_leave(c->server->bridge->admission, &c->admission);
	close(c->watch.fd);
	list_del(&c->in_server);
	revoke_leave(c);
	heap_free(HEAP_CONNECTIONS, c->token_hash);
	heap_free(HEAP_CONNECTIONS, c->session);
	heap_free(HEAP_CONNECTIONS, c->tenant);
	heap_free(HEAP_CONNECTIONS, c);
}

void
connection_push(struct connection *c, struct frame *f, bool is_replayed)
{
	enum frame_form form = frame_form_for(f, c->form, c->server->deflater);
	if (c->is_head_due)
		(void)connection_begin_stream(c, false);
	size_t before = c->out.bytes;
	if (c->out.n == 0)
		c->progress_ms = clock_mono_ms();
	outq_push(&c->out, f, form, is_replayed);
	if (form == FRAME_DEFLATED)
		metric_add(METRIC_WS_SAVED,
		    (int64_t)f->len - (int64_t)(c->out.bytes - before));
}

void
connection_send_quiet(struct connection *c, struct frame *f)
{
	if (c->state != CONN_OPEN) {
		frame_unref(&f);
		return;
	}
	connection_push(c, f, false);
	metric_add(METRIC_WS_MESSAGES_OUT, 1);
	if (c->out.bytes > CONN_OUT_MAX && !c->server->bridge->is_echo)
		connection_close(
		    c, WS_CLOSE_TRY_LATER, "too slow; resume with since");
	connection_mark_dirty(c);
}

void
connection_send(struct connection *c, struct frame *f)
{
	c->has_event_out = true;
	connection_send_quiet(c, f);
}

void
connection_close(struct connection *c, uint16_t code, const char *reason)
{
	if (c->state != CONN_OPEN)
		return;
	log_debug(
	    "ws.close", "client=%s code=%d reason=\"%s\"", c->id, code, reason);
	conn_trace_close(c->trace, code);
	if (code == WS_CLOSE_TRY_LATER) { /* it does not take what there is */
		metric_add(METRIC_WS_SLOW, 1);
		outq_cut(&c->out);
	}
	if (!connection_is_stream(c))
		connection_push(c, notice_close(code, reason), false);
	connection_set_state(c, CONN_CLOSING);
}

static void
connection_comment(struct connection *c, const char *text)
{
	connection_send_quiet(c, frame_new_raw(text, strlen(text)));
}

static void
connection_on_input(struct connection *c)
{
	char *data = c->server->scratch;
	ssize_t n = recv(c->watch.fd, data, SERVER_SCRATCH, 0);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_set_state(c, CONN_DEAD);
		return;
	}
	metric_add(METRIC_WS_BYTES_IN, n);
	c->heard_ms = clock_mono_ms();
	c->pong_due_ms = 0;
	if (n == 0) {
		c->is_peer_closed = true;
		if (c->state != CONN_CLOSING || c->out.n == 0)
			connection_set_state(c, CONN_DEAD);
		else
			connection_mark_dirty(c);
		return;
	}
	switch (c->state) {
	case CONN_REQUEST:
		connection_on_request(c, data, (size_t)n);
		break;
	case CONN_OPEN:
		if (!connection_is_stream(c))
			connection_on_frames(c, data, (size_t)n);
		break;
	case CONN_AUTH:
	case CONN_CLOSING:
	case CONN_DEAD:
		break; /* nothing is listened to any more */
	}
}

void
connection_drain(struct connection *c, int64_t reconnect_ms)
{
	char reason[WS_CONTROL_MAX];

	/* What was asked before we said that we go is heeded. */
	if (c->state == CONN_REQUEST && c->request->raw.len == 0)
		connection_on_input(c);
	switch (c->state) {
	case CONN_REQUEST:
		if (c->request->raw.len == 0) /* it asks for nothing */
			connection_set_state(c, CONN_DEAD);
		else
			connection_refuse(c, 503, "SERVICE_UNAVAILABLE",
			    "the server is restarting", reconnect_ms + 1);
		break;
	case CONN_AUTH:
		break; /* it is opened, and then sent away like the others */
	case CONN_OPEN:
		if (connection_is_stream(c)) {
			snprintf(reason, sizeof(reason), "retry: %lld\n\n",
			    (long long)reconnect_ms + 1);
			connection_comment(c, reason);
		}
		snprintf(reason, sizeof(reason),
		    "{\"reason\":\"restart\",\"reconnect_ms\":%lld}",
		    (long long)reconnect_ms);
		connection_close(c, WS_CLOSE_AWAY, reason);
		break;
	case CONN_CLOSING:
	case CONN_DEAD:
		break;
	}
}

static void
connection_on_ready(struct loop_watch *w, uint32_t events)
{
	struct connection *c = w->arg;

	if ((events & EPOLLIN) != 0)
		connection_on_input(c);
	else if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
		connection_set_state(c, CONN_DEAD);
	if ((events & EPOLLOUT) != 0)
		connection_mark_dirty(c);
}

/* Everything queued has left. */
static void
connection_drained(struct connection *c, int64_t now)
{
	if (c->has_event_out)
		c->event_ms = now;
	c->has_event_out = false;
	c->is_pong_queued = false;
	connection_send_pong(c);
}

/* One piece goes without the detour that sendmsg takes through its header:
 * for a message to thousands of readers that is what can be saved. */
static ssize_t
connection_send_vec(int fd, struct outq_vec *v)
{
	struct msghdr msg = {.msg_iov = v->iov, .msg_iovlen = (size_t)v->n};
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	return v->n == 1
	    ? send(fd, v->iov[0].iov_base, v->iov[0].iov_len, flags)
	    : sendmsg(fd, &msg, flags);
}

/* One system call; false when the socket takes no more. */
static bool
connection_write(struct connection *c)
{
	struct outq_vec *v = &c->server->vec;

	outq_gather(&c->out, v);
	ssize_t n = connection_send_vec(c->watch.fd, v);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_set_state(c, CONN_DEAD);
		return false;
	}
	metric_add(METRIC_WS_BYTES_OUT, n);
	c->progress_ms = clock_mono_ms();
	outq_consume(&c->out, (size_t)n);
	if (c->out.n == 0)
		connection_drained(c, c->progress_ms);
	return true;
}

/* The last byte is out: close our side, wait for the other's. */
static void
connection_finish(struct connection *c)
{
	if (c->is_peer_closed) {
		connection_set_state(c, CONN_DEAD);
	} else if (!c->is_shut) {
		c->is_shut = true;
		if (shutdown(c->watch.fd, SHUT_WR) != 0)
			connection_set_state(c, CONN_DEAD);
	}
}

static uint32_t
connection_interest(const struct connection *c, bool wants_out)
{
	uint32_t events = wants_out ? EPOLLOUT : 0;

	/* While the token is looked up nothing may be read ahead; the end of
	 * the connection is noticed all the same. A closed peer's socket is
	 * readable for ever. */
	if (c->state == CONN_AUTH)
		return events | EPOLLRDHUP;
	if (c->is_peer_closed || c->out.bytes > CONN_ECHO_AHEAD)
		return events;
	return events | EPOLLIN;
}

void
connection_flush(struct connection *c)
{
	bool has_more = false;

	if (c->state == CONN_CLOSING)
		connection_detach(c);
	for (int i = 0; i < CONN_ROUNDS && c->state != CONN_DEAD; i++) {
		if (c->state == CONN_OPEN)
			has_more = connection_fill(c);
		if (c->out.n == 0 || !connection_write(c))
			break;
	}
	if (c->state == CONN_CLOSING && c->out.n == 0)
		connection_finish(c);
	if (c->state != CONN_DEAD)
		loop_watch_mod(c->server->loop, &c->watch,
		    connection_interest(c, c->out.n > 0 || has_more));
}

static void
connection_heartbeat(struct connection *c)
{
	int64_t last_seq = 0;
	int64_t viewers = 0;

	if (connection_is_stream(c)) {
		connection_comment(c, ": heartbeat\n\n");
		return;
	}
	const struct sub *s = list_is_empty(&c->subs)
	    ? NULL
	    : LIST_ENTRY(c->subs.next, struct sub, in_owner);
	if (s != NULL) {
		last_seq = s->cursor;
		viewers = viewers_count(
		    relay_viewers(c->server->bridge->relay), s->topic->id);
	}
	connection_send_quiet(c,
	    notice_heartbeat(metric_read(METRIC_DEBATES_ACTIVE),
		metric_read(METRIC_WS_CONNECTIONS), last_seq, viewers));
}

/* Heartbeat, ping and the limits of an open connection. */
static void
connection_tick_open(struct connection *c, int64_t now)
{
	int64_t silence_ms = c->server->settings->ws_heartbeat * 1000;
	bool is_stalled = c->out.n > 0;

	if (is_stalled && now - c->progress_ms >= TIMES(c)->stall_ms) {
		connection_close(
		    c, WS_CLOSE_TRY_LATER, "too slow; resume with since");
		return;
	}
	if (c->pong_due_ms != 0 && now >= c->pong_due_ms) {
		connection_close(c, WS_CLOSE_INTERNAL, "no answer to ping");
		return;
	}
	if (now >= c->heartbeat_ms) {
		c->heartbeat_ms = now + TIMES(c)->heartbeat_ms;
		if (!is_stalled && !c->server->bridge->is_echo)
			connection_heartbeat(c);
	}
	if (c->pong_due_ms == 0 && !is_stalled && !connection_is_stream(c) &&
	    now - c->heard_ms >= silence_ms) {
		c->pong_due_ms = now + TIMES(c)->pong_ms;
		connection_send_quiet(c, frame_new(WS_PING, 0, NULL, 0));
	}
	if (c->expires_ms != 0 && now >= c->expires_ms)
		connection_expire(c);
	else if (connection_has_token(c) && now >= c->recheck_ms)
		connection_recheck_token(c);
}

static void
connection_on_tick(struct loop_timer *t)
{
	struct connection *c = t->arg;

	switch (c->state) {
	case CONN_REQUEST:
		connection_refuse(c, 408, "REQUEST_TIMEOUT",
		    "the request did not come in time", 0);
		break;
	case CONN_AUTH:
		connection_refuse(c, 503, "SERVICE_UNAVAILABLE",
		    "the credential could not be checked in time",
		    CONN_RETRY_MS);
		break;
	case CONN_OPEN:
		connection_tick_open(c, clock_mono_ms());
		connection_arm(c);
		break;
	case CONN_CLOSING:
		connection_set_state(c, CONN_DEAD);
		break;
	case CONN_DEAD:
		break;
	}
}

static int64_t
connection_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When an open connection must next be looked at. */
static int64_t
connection_next_tick(const struct connection *c)
{
	int64_t silence_ms = c->server->settings->ws_heartbeat * 1000;
	int64_t due = c->heartbeat_ms;

	if (c->pong_due_ms != 0)
		due = connection_min(due, c->pong_due_ms);
	else if (c->out.n == 0 && !connection_is_stream(c))
		due = connection_min(due, c->heard_ms + silence_ms);
	if (c->out.n > 0)
		due = connection_min(due, c->progress_ms + TIMES(c)->stall_ms);
	if (connection_has_token(c))
		due = connection_min(due, c->recheck_ms);
	if (c->expires_ms != 0)
		due = connection_min(due, c->expires_ms);
	return due;
}

void
connection_arm(struct connection *c)
{
	struct loop *loop = c->server->loop;

	switch (c->state) {
	case CONN_REQUEST:
		loop_timer_set(loop, &c->tick, TIMES(c)->request_ms);
		break;
	case CONN_AUTH:
		break; /* the request's deadline goes on */
	case CONN_OPEN:
		loop_timer_set(
		    loop, &c->tick, connection_next_tick(c) - clock_mono_ms());
		break;
	case CONN_CLOSING:
		loop_timer_set(loop, &c->tick, TIMES(c)->linger_ms);
		break;
	case CONN_DEAD:
		break;
	}
}

static void
connection_on_pace(struct loop_timer *t)
{
	connection_mark_dirty(t->arg);
}

void
connection_new(struct server *srv, int fd)
{
	struct connection *c =
	    heap_take(HEAP_CONNECTIONS, mem_zalloc(sizeof(*c)));
	int one = 1;

	c->server = srv;
	c->watch =
	    (struct loop_watch){.fd = fd, .fn = connection_on_ready, .arg = c};
	c->tick = (struct loop_timer){.fn = connection_on_tick, .arg = c};
	c->pace = (struct loop_timer){.fn = connection_on_pace, .arg = c};
	list_init(&c->in_dirty);
	list_init(&c->subs);
	list_init(&c->follower.node);
	list_init(&c->asker.node);
	c->follower.owner = c;
	c->asker.owner = c;
	c->request =
	    heap_take(HEAP_CONNECTIONS, mem_alloc(sizeof(*c->request)));
	ws_request_init(c->request);
	ws_decoder_init(&c->decoder, WS_SERVER,
	    srv->bridge->is_echo ? CONN_ECHO_MAX
				 : (size_t)srv->settings->ws_max_message_size);
	c->decoder.is_text_only = !srv->bridge->is_echo;
	list_add_tail(&srv->connections, &c->in_server);
	srv->n_connections++;
	/* Not a TCP socket: nothing to set. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (loop_watch_add(srv->loop, &c->watch, EPOLLIN) != ERR_OK)
		connection_set_state(c, CONN_DEAD);
	else
		connection_arm(c);
}
