/* SPDX-License-Identifier: MIT
 *
 * Subscribing over Redis. hiredis connects and its reader takes the replies
 * apart; the rest is done here, because the asynchronous interface of 0.14
 * aborts the process on replies it does not expect.
 *
 * Whether the connection lives is asked with PING when it is silent. While
 * there is none, the subscriber is told of a gap again and again, so that it
 * goes on from the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_channel.h"
#include "bus/bus_impl.h"
#include "bus/reader_redis.h"
#include "settings/redis_url.h"
#include "settings/settings.h"

#define BUS_REDIS_CHUNK	     16384
#define BUS_REDIS_TURN	     64		 /* chunks taken before others' turn */
#define BUS_REDIS_BACKLOG    (64u << 20) /* of bytes either way */
#define BUS_REDIS_GAP_MS     250
#define BUS_REDIS_SILENCE_MS 5000 /* at least, before PING */

struct bus_redis_sub {
	struct bus_sub *sub;
	struct loop *loop;
	struct arena *arena; /* holds the parts of url */
	struct redis_url url;
	int64_t timeout_ms;
	redisContext *context; /* NULL = none */
	redisReader *reader;
	struct loop_watch watch;
	struct loop_timer timer;     /* deadline or PING; or the next attempt */
	struct loop_timer gap_timer; /* while there is no connection */
	bool is_connected;
	bool is_pinged;
	int64_t heard_ms;
	struct buf out;
	int64_t failures; /* in a row */
	/* Subscriptions asked for and acknowledged on this connection; a gap is
	 * told when acked reaches gap_at. */
	int64_t sent, acked, gap_at;
	bool is_all;	   /* PSUBSCRIBE was sent */
	bool is_all_acked; /* debates come by the pattern too */
};

/* ---- connection ---- */

static void
bus_redis_disconnect(struct bus_redis_sub *r)
{
	bool is_all;

	if (r->context != NULL) {
		if (r->watch.fd >= 0)
			loop_watch_del(r->loop, &r->watch);
		redisFree(r->context);
	}
	if (r->reader != NULL)
		redisReaderFree(r->reader);
	r->context = NULL;
	r->reader = NULL;
	r->watch.fd = -1;
	r->is_connected = r->is_pinged = false;
	r->is_all = r->is_all_acked = false;
	r->sent = r->acked = r->gap_at = 0;
	buf_clear(&r->out);
	bus_set_reset(bus_sub_lock(r->sub, &is_all));
	bus_sub_unlock(r->sub);
}

/* Give the connection up, try again after a pause. */
static void
bus_redis_fail(struct bus_redis_sub *r, const char *reason)
{
	if (r->failures++ == 0)
		log_warning("bus.redis.lost", "subscriber=%s reason=\"%s\"",
		    bus_sub_name(r->sub), reason);
	bus_redis_disconnect(r);
	loop_timer_set(r->loop, &r->timer, bus_backoff_ms(r->failures));
	loop_timer_set(r->loop, &r->gap_timer, 0);
}

static void
bus_redis_on_gap_timer(struct loop_timer *t)
{
	struct bus_redis_sub *r = t->arg;

	bus_sub_gap(r->sub);
	loop_timer_set(r->loop, t, BUS_REDIS_GAP_MS);
}

static void
bus_redis_command(struct bus_redis_sub *r, int argc, const char **argv)
{
	char *text = NULL;
	long long len = redisFormatCommandArgv(&text, argc, argv, NULL);

	if (len < 0)
		mem_exhausted(BUS_CHANNEL_SIZE);
	buf_append(&r->out, text, (size_t)len);
	redisFreeCommand(text);
}

/* What is in r->out; false when the connection failed and is gone. */
static bool
bus_redis_flush(struct bus_redis_sub *r)
{
	if (r->out.is_overflowed) {
		bus_redis_fail(r, "the server does not read");
		return false;
	}
	while (r->out.len > 0) {
		ssize_t n = send(r->watch.fd, r->out.data, r->out.len,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			bus_redis_fail(r, strerror(errno));
			return false;
		}
		if (n < 0)
			break;
		buf_consume(&r->out, (size_t)n);
	}
	loop_watch_mod(
	    r->loop, &r->watch, r->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return true;
}

static void
bus_redis_login(struct bus_redis_sub *r)
{
	const struct redis_url *u = &r->url;

	if (u->password != NULL && u->user != NULL)
		bus_redis_command(
		    r, 3, (const char *[]){"AUTH", u->user, u->password});
	else if (u->password != NULL)
		bus_redis_command(r, 2, (const char *[]){"AUTH", u->password});
}

/* ---- what is wanted ---- */

static void
bus_redis_subscribe(struct bus_redis_sub *r, const char *verb, const char *to)
{
	bus_redis_command(r, 2, (const char *[]){verb, to});
	r->sent++;
}

/* One changed entry; true when it is wanted and in force already. */
static bool
bus_redis_settle(struct bus_redis_sub *r, struct bus_set_entry *e)
{
	char channel[BUS_CHANNEL_SIZE];
	bool is_wanted = e->count > 0;

	if (is_wanted == e->is_subscribed)
		return is_wanted;
	bus_channel(e->id, channel);
	e->is_subscribed = is_wanted;
	if (is_wanted)
		bus_redis_subscribe(r, "SUBSCRIBE", channel);
	else
		bus_redis_command(
		    r, 2, (const char *[]){"UNSUBSCRIBE", channel});
	return false;
}

static void
bus_redis_settle_all(struct bus_redis_sub *r, bool is_all)
{
	if (r->is_all == is_all)
		return;
	r->is_all = is_all;
	if (is_all)
		bus_redis_subscribe(r, "PSUBSCRIBE", BUS_CHANNEL_ALL);
	else
		bus_redis_command(
		    r, 2, (const char *[]){"PUNSUBSCRIBE", BUS_CHANNEL_ALL});
}

static void
bus_sub_redis_changed(void *impl)
{
	struct bus_redis_sub *r = impl;
	bool is_all, is_in_force = false;

	if (!r->is_connected)
		return;
	struct bus_set *set = bus_sub_lock(r->sub, &is_all);
	list_for_each (it, &set->changed) {
		struct bus_set_entry *e =
		    LIST_ENTRY(it, struct bus_set_entry, changed);
		is_in_force = bus_redis_settle(r, e) || is_in_force;
		bus_set_settle(set, e);
	}
	bus_sub_unlock(r->sub);
	bus_redis_settle_all(r, is_all);
	if (r->gap_at == r->acked)
		r->gap_at = r->sent;
	if (bus_redis_flush(r) && is_in_force && r->acked == r->sent)
		bus_sub_gap(r->sub);
}

/* ---- replies ---- */

static void
bus_redis_acked(struct bus_redis_sub *r)
{
	if (++r->acked < r->gap_at)
		return;
	r->gap_at = r->sent;
	bus_sub_gap(r->sub);
}

/* A pushed array: [kind, channel, data] or [kind, pattern, channel, data].
 * While the pattern is in force it brings every debate, and the plain message
 * would be a second copy. */
static bool
bus_redis_push(struct bus_redis_sub *r, const redisReply *reply)
{
	const redisReply *kind = reply->elements > 0 ? reply->element[0] : NULL;
	const redisReply *last =
	    reply->elements > 0 ? reply->element[reply->elements - 1] : NULL;

	if (kind == NULL || kind->type != REDIS_REPLY_STRING)
		return false;
	if (str_eq(kind->str, "pong") || str_eq(kind->str, "unsubscribe"))
		return true;
	if (str_eq(kind->str, "punsubscribe")) {
		r->is_all_acked = false;
		return true;
	}
	bool is_pattern = str_eq(kind->str, "psubscribe");
	if (is_pattern || str_eq(kind->str, "subscribe")) {
		r->is_all_acked = r->is_all_acked || is_pattern;
		bus_redis_acked(r);
		return true;
	}
	is_pattern = str_eq(kind->str, "pmessage");
	if ((!is_pattern && !str_eq(kind->str, "message")) ||
	    reply->elements != (is_pattern ? 4 : 3) ||
	    last->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING)
		return false;
	if (is_pattern || !r->is_all_acked ||
	    str_eq(reply->element[1]->str, BUS_CHANNEL_WAKE))
		bus_sub_deliver(r->sub, last->str, (size_t)last->len);
	return true;
}

/* false when the connection failed and is gone. */
static bool
bus_redis_reply(struct bus_redis_sub *r, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		bus_redis_fail(r, reply->str);
		return false;
	}
	if (reply->type == REDIS_REPLY_STATUS ||
	    (reply->type == REDIS_REPLY_ARRAY && bus_redis_push(r, reply))) {
		if (r->failures > 0)
			log_info("bus.redis.found", "subscriber=%s",
			    bus_sub_name(r->sub));
		r->failures = 0;
		return true;
	}
	bus_redis_fail(r, "unexpected reply");
	return false;
}

static bool
bus_redis_feed(struct bus_redis_sub *r, const char *data, size_t len)
{
	if (redisReaderFeed(r->reader, data, len) != REDIS_OK) {
		bus_redis_fail(r, r->reader->errstr);
		return false;
	}
	for (;;) {
		redisReply *reply = NULL;
		if (redisReaderGetReply(r->reader, (void **)&reply) !=
		    REDIS_OK) {
			bus_redis_fail(r, r->reader->errstr);
			return false;
		}
		if (reply == NULL)
			break;
		bool is_alive = bus_redis_reply(r, reply);
		freeReplyObject(reply);
		if (!is_alive)
			return false;
	}
	if (r->reader->len <= BUS_REDIS_BACKLOG)
		return true;
	bus_redis_fail(r, "reply too long");
	return false;
}

static void
bus_redis_read(struct bus_redis_sub *r)
{
	char data[BUS_REDIS_CHUNK];

	for (int i = 0; i < BUS_REDIS_TURN; i++) {
		ssize_t n = recv(r->watch.fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			bus_redis_fail(r,
			    n == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		r->heard_ms = clock_mono_ms();
		r->is_pinged = false;
		if (!bus_redis_feed(r, data, (size_t)n))
			return;
	}
}

/* ---- the loop ---- */

static void
bus_redis_connected(struct bus_redis_sub *r)
{
	int why = 0;
	socklen_t len = sizeof(why);

	if (getsockopt(r->watch.fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0 ||
	    why != 0) {
		bus_redis_fail(r, strerror(why));
		return;
	}
	r->is_connected = true;
	r->heard_ms = clock_mono_ms();
	loop_timer_del(r->loop, &r->gap_timer);
	bus_redis_login(r);
	if (bus_sub_is_wake(r->sub))
		bus_redis_subscribe(r, "SUBSCRIBE", BUS_CHANNEL_WAKE);
	/* The answer shows that we are let in, whatever is wanted. */
	bus_redis_command(r, 1, (const char *[]){"PING"});
	bus_sub_redis_changed(r);
}

static void
bus_redis_on_event(struct loop_watch *w, uint32_t events)
{
	struct bus_redis_sub *r = w->arg;

	if (!r->is_connected)
		bus_redis_connected(r);
	else if ((events & EPOLLOUT) == 0 || bus_redis_flush(r))
		bus_redis_read(r);
}

static void
bus_redis_connect(struct bus_redis_sub *r)
{
	redisContext *c = r->url.path != NULL
	    ? redisConnectUnixNonBlock(r->url.path)
	    : redisConnectNonBlock(r->url.host, r->url.port);

	r->context = c;
	r->reader = redisReaderCreate();
	if (c == NULL || r->reader == NULL) {
		bus_redis_fail(r, "out of memory");
		return;
	}
	bus_reader_limit(r->reader);
	if (c->err != 0 || fcntl(c->fd, F_SETFD, FD_CLOEXEC) != 0) {
		bus_redis_fail(r, c->errstr);
		return;
	}
	r->watch.fd = c->fd;
	if (loop_watch_add(r->loop, &r->watch, EPOLLOUT) != ERR_OK) {
		r->watch.fd = -1;
		bus_redis_fail(r, "cannot watch the socket");
		return;
	}
	loop_timer_set(r->loop, &r->timer, r->timeout_ms);
}

static int64_t
bus_redis_silence_ms(const struct bus_redis_sub *r)
{
	return r->timeout_ms > BUS_REDIS_SILENCE_MS ? r->timeout_ms
						    : BUS_REDIS_SILENCE_MS;
}

/* Connect, or look whether the connection still lives. */
static void
bus_redis_on_timer(struct loop_timer *t)
{
	struct bus_redis_sub *r = t->arg;

	if (r->context == NULL) {
		bus_redis_connect(r);
		return;
	}
	int64_t silence_ms = clock_mono_ms() - r->heard_ms;
	if (!r->is_connected || (r->is_pinged && silence_ms >= r->timeout_ms)) {
		bus_redis_fail(r, "no answer in time");
		return;
	}
	if (silence_ms >= bus_redis_silence_ms(r)) {
		r->is_pinged = true;
		bus_redis_command(r, 1, (const char *[]){"PING"});
		if (!bus_redis_flush(r))
			return;
	}
	loop_timer_set(
	    r->loop, t, r->is_pinged ? r->timeout_ms : bus_redis_silence_ms(r));
}

static enum err
bus_sub_redis_open(void **out, struct bus_sub *sub, const struct settings *s,
    struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct redis_url url;

	enum err e = redis_url_parse(a, s->redis_url, &url, info);
	if (e != ERR_OK) {
		arena_free(&a);
		return e;
	}
	struct bus_redis_sub *r = mem_zalloc(sizeof(*r));
	r->sub = sub;
	r->loop = bus_sub_loop(sub);
	r->arena = a;
	r->url = url;
	r->timeout_ms = (int64_t)(s->redis_socket_timeout * 1e3) + 1;
	r->watch =
	    (struct loop_watch){.fd = -1, .fn = bus_redis_on_event, .arg = r};
	r->timer = (struct loop_timer){.fn = bus_redis_on_timer, .arg = r};
	r->gap_timer =
	    (struct loop_timer){.fn = bus_redis_on_gap_timer, .arg = r};
	buf_init(&r->out, BUS_REDIS_BACKLOG);
	loop_timer_set(r->loop, &r->timer, 0);
	*out = r;
	return ERR_OK;
}

static void
bus_sub_redis_close(void *impl)
{
	struct bus_redis_sub *r = impl;

	bus_redis_disconnect(r);
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->gap_timer);
	buf_release(&r->out);
	arena_free(&r->arena);
	free(r);
}

const struct bus_sub_driver bus_sub_redis = {
    .open = bus_sub_redis_open,
    .changed = bus_sub_redis_changed,
    .close = bus_sub_redis_close,
};
