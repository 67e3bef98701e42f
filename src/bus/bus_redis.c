/* SPDX-License-Identifier: MIT
 *
 * The bus over Redis pub/sub. The publisher is a blocking context with a
 * deadline and a pause after failures; the subscriber drives hiredis'
 * redisReader on a socket of its own, because the 0.14 async interface aborts
 * the process on replies it does not expect.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "settings/settings.h"

#define BUS_REDIS_RETRY_MS 1000
#define BUS_REDIS_CHANNEL  "aragora:debate:"
#define BUS_REDIS_WAKE	   "aragora:wake"

struct bus_redis {
	const struct settings *settings;
	redisContext *context;
	int64_t retry_ms; /* do not connect before */
	bool is_down;
	struct buf frame;
};

/* redis://[user][:password@]host[:port][/db] or unix:path, taken apart into
 * an own copy. */
struct bus_redis_url {
	char text[512];
	const char *unix_path;
	const char *host;
	int port;
	const char *password;
	const char *database;
};

static bool
bus_redis_parse(const char *url, struct bus_redis_url *u)
{
	int64_t port;

	*u = (struct bus_redis_url){.host = "127.0.0.1", .port = 6379};
	if (str_starts(url, "unix:")) {
		snprintf(u->text, sizeof(u->text), "%s", url + 5);
		u->unix_path = u->text;
		return true;
	}
	if (!str_starts(url, "redis://"))
		return false;
	snprintf(u->text, sizeof(u->text), "%s", url + 8);
	char *host = strrchr(u->text, '@');
	if (host != NULL) {
		*host++ = '\0';
		char *colon = strchr(u->text, ':');
		u->password = colon != NULL ? colon + 1 : u->text;
	} else {
		host = u->text;
	}
	char *slash = strchr(host, '/');
	if (slash != NULL) {
		*slash = '\0';
		u->database = slash[1] != '\0' ? slash + 1 : NULL;
	}
	char *colon = strrchr(host, ':');
	if (colon != NULL && host[0] != '[') {
		*colon = '\0';
		if (str_to_i64(colon + 1, 1, 65535, &port) != ERR_OK)
			return false;
		u->port = (int)port;
	}
	if (*host != '\0')
		u->host = host;
	return true;
}

/* One command whose answer must not be an error. */
static bool
bus_redis_ask(redisContext *c, int argc, const char **argv)
{
	redisReply *r = redisCommandArgv(c, argc, argv, NULL);
	bool ok = r != NULL && r->type != REDIS_REPLY_ERROR;

	if (r != NULL)
		freeReplyObject(r);
	return ok;
}

static redisContext *
bus_redis_connect(const struct settings *s)
{
	struct bus_redis_url u;
	double seconds = s->redis_socket_timeout;
	struct timeval tv = {.tv_sec = (time_t)seconds,
	    .tv_usec =
		(suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

	if (!bus_redis_parse(s->redis_url, &u))
		return NULL;
	redisContext *c = u.unix_path != NULL
	    ? redisConnectUnixWithTimeout(u.unix_path, tv)
	    : redisConnectWithTimeout(u.host, u.port, tv);
	if (c == NULL)
		return NULL;
	bool ok = c->err == 0 && redisSetTimeout(c, tv) == REDIS_OK;
	if (ok && u.password != NULL)
		ok = bus_redis_ask(c, 2, (const char *[]){"AUTH", u.password});
	if (ok && u.database != NULL)
		ok =
		    bus_redis_ask(c, 2, (const char *[]){"SELECT", u.database});
	if (ok)
		return c;
	redisFree(c);
	return NULL;
}

static enum err
bus_redis_open(void **out, const struct settings *s, struct err_info *info)
{
	struct bus_redis_url u;

	if (!bus_redis_parse(s->redis_url, &u))
		return err_set(info, ERR_INVALID, "ARAGORA_REDIS_URL",
		    "is not redis://[:password@]host[:port][/db] or unix:path");
	struct bus_redis *b = mem_zalloc(sizeof(*b));
	b->settings = s;
	buf_init(&b->frame, BUS_MESSAGE_MAX);
	*out = b;
	return ERR_OK;
}

static void
bus_redis_drop(struct bus_redis *b)
{
	if (b->context != NULL)
		redisFree(b->context);
	b->context = NULL;
	b->retry_ms = clock_mono_ms() + BUS_REDIS_RETRY_MS;
	if (!b->is_down)
		log_warning(
		    "bus.redis.down", "retry_ms=%d", BUS_REDIS_RETRY_MS);
	b->is_down = true;
}

static void
bus_redis_close(void *impl)
{
	struct bus_redis *b = impl;

	if (b->context != NULL)
		redisFree(b->context);
	buf_release(&b->frame);
	free(b);
}

static enum err
bus_redis_ready(struct bus_redis *b)
{
	if (b->context != NULL)
		return ERR_OK;
	if (clock_mono_ms() < b->retry_ms)
		return ERR_DOWN;
	b->context = bus_redis_connect(b->settings);
	if (b->context == NULL) {
		bus_redis_drop(b);
		return ERR_DOWN;
	}
	if (b->is_down)
		log_info("bus.redis.up", "publisher=1");
	b->is_down = false;
	return ERR_OK;
}

static void
bus_redis_channel(const char *debate_id, char *out, size_t size)
{
	if (*debate_id == '\0')
		snprintf(out, size, BUS_REDIS_WAKE);
	else
		snprintf(out, size, BUS_REDIS_CHANNEL "%s", debate_id);
}

static enum err
bus_redis_append(struct bus_redis *b, const struct bus_message *m)
{
	char channel[192];
	const char *argv[3] = {"PUBLISH", channel, NULL};
	size_t lens[3] = {strlen("PUBLISH"), 0, 0};

	bus_redis_channel(m->debate_id, channel, sizeof(channel));
	buf_clear(&b->frame);
	bus_frame(&b->frame, m);
	argv[2] = buf_text(&b->frame);
	lens[1] = strlen(channel);
	lens[2] = b->frame.len;
	return redisAppendCommandArgv(b->context, 3, argv, lens) == REDIS_OK
	    ? ERR_OK
	    : ERR_DOWN;
}

static enum err
bus_redis_publish(void *impl, const struct bus_message *m, size_t n)
{
	struct bus_redis *b = impl;

	enum err e = bus_redis_ready(b);
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		e = bus_redis_append(b, &m[i]);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		redisReply *r = NULL;
		if (redisGetReply(b->context, (void **)&r) != REDIS_OK)
			e = ERR_DOWN;
		if (r != NULL)
			freeReplyObject(r);
	}
	if (e != ERR_OK && b->context != NULL)
		bus_redis_drop(b);
	return e;
}

static enum err
bus_redis_ping(void *impl)
{
	struct bus_redis *b = impl;

	enum err e = bus_redis_ready(b);
	if (e == ERR_OK &&
	    !bus_redis_ask(b->context, 1, (const char *[]){"PING"})) {
		bus_redis_drop(b);
		e = ERR_DOWN;
	}
	return e;
}

const struct bus_driver bus_redis = {
    .open = bus_redis_open,
    .close = bus_redis_close,
    .publish = bus_redis_publish,
    .ping = bus_redis_ping,
};

/* ---- subscriber ---- */

struct bus_redis_sub {
	struct bus_sub *sub;
	redisContext *context;
	redisReader *reader;
	bool is_all_sent;
};

static bool
bus_redis_send(struct bus_redis_sub *r, const char *verb, const char *channel)
{
	const char *argv[2] = {verb, channel};
	char *text = NULL;

	long long len = redisFormatCommandArgv(&text, 2, argv, NULL);
	if (len < 0)
		return false;
	ssize_t n = send(r->context->fd, text, (size_t)len, MSG_NOSIGNAL);
	free(text);
	return n == (ssize_t)len;
}

/* Tell the server what changed. */
static bool
bus_redis_refresh(struct bus_redis_sub *r)
{
	struct bus_sub *sub = r->sub;
	char channel[192];
	bool ok = true;

	pthread_mutex_lock(&sub->lock);
	for (size_t i = 0; ok && i < sub->n_wants;) {
		struct bus_want *w = &sub->wants[i];
		bus_redis_channel(w->debate_id, channel, sizeof(channel));
		if (w->count == 0) {
			if (w->is_sent)
				ok = bus_redis_send(r, "UNSUBSCRIBE", channel);
			free(w->debate_id);
			*w = sub->wants[--sub->n_wants];
			continue;
		}
		if (!w->is_sent)
			ok = bus_redis_send(r, "SUBSCRIBE", channel);
		w->is_sent = true;
		i++;
	}
	if (ok && (sub->all_count > 0) != r->is_all_sent) {
		r->is_all_sent = sub->all_count > 0;
		ok = bus_redis_send(r,
		    r->is_all_sent ? "PSUBSCRIBE" : "PUNSUBSCRIBE",
		    BUS_REDIS_CHANNEL "*");
	}
	pthread_mutex_unlock(&sub->lock);
	return ok;
}

/* Has the debate a subscription of its own, beside the pattern? */
static bool
bus_redis_is_named(struct bus_sub *sub, const char *debate_id)
{
	bool is_named = false;

	pthread_mutex_lock(&sub->lock);
	for (size_t i = 0; i < sub->n_wants && !is_named; i++)
		is_named = sub->wants[i].is_sent &&
		    str_eq(sub->wants[i].debate_id, debate_id);
	pthread_mutex_unlock(&sub->lock);
	return is_named;
}

/* message: ["message", channel, data]; pmessage has the pattern before.
 * While both match, the plain one is enough: a message without a sequence
 * number must not be delivered twice. */
static void
bus_redis_reply(struct bus_redis_sub *r, const redisReply *reply)
{
	struct bus_message m;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
	    reply->element[0]->type != REDIS_REPLY_STRING)
		return;
	const char *kind = reply->element[0]->str;
	if (str_eq(kind, "subscribe") || str_eq(kind, "psubscribe")) {
		if (r->sub->ops.on_gap != NULL)
			r->sub->ops.on_gap(r->sub->ops.arg);
		return;
	}
	size_t at = str_eq(kind, "message")		       ? 2
	    : str_eq(kind, "pmessage") && reply->elements == 4 ? 3
							       : 0;
	if (at == 0 || reply->element[at]->type != REDIS_REPLY_STRING)
		return;
	if (bus_unframe(
		reply->element[at]->str, (size_t)reply->element[at]->len, &m) &&
	    (at == 2 || !bus_redis_is_named(r->sub, m.debate_id)))
		bus_deliver(r->sub, &m);
}

static bool
bus_redis_read(struct bus_redis_sub *r)
{
	char data[16384];
	ssize_t n = recv(r->context->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0 || redisReaderFeed(r->reader, data, (size_t)n) != REDIS_OK)
		return false;
	for (;;) {
		redisReply *reply = NULL;
		if (redisReaderGetReply(r->reader, (void **)&reply) != REDIS_OK)
			return false; /* garbage */
		if (reply == NULL)
			return true;
		bus_redis_reply(r, reply);
		freeReplyObject(reply);
	}
}

/* One connection's life. */
static void
bus_redis_session(struct bus_sub *sub)
{
	struct bus_redis_sub r = {.sub = sub,
	    .context = bus_redis_connect(sub->settings),
	    .reader = redisReaderCreate()};

	if (r.context == NULL) {
		redisReaderFree(r.reader);
		return;
	}
	pthread_mutex_lock(&sub->lock);
	for (size_t i = 0; i < sub->n_wants; i++)
		sub->wants[i].is_sent = false;
	pthread_mutex_unlock(&sub->lock);
	bool ok =
	    !sub->is_wake || bus_redis_send(&r, "SUBSCRIBE", BUS_REDIS_WAKE);
	while (ok && !atomic_load(&sub->is_stopping)) {
		ok = bus_redis_refresh(&r);
		if (ok && bus_sub_wait(sub, r.context->fd, 1000))
			ok = bus_redis_read(&r);
	}
	redisReaderFree(r.reader);
	redisFree(r.context);
}

void
bus_redis_run(struct bus_sub *sub)
{
	while (!atomic_load(&sub->is_stopping)) {
		bus_redis_session(sub);
		if (atomic_load(&sub->is_stopping))
			break;
		log_warning("bus.redis.lost", "subscriber=%s", sub->name);
		if (sub->ops.on_gap != NULL)
			sub->ops.on_gap(sub->ops.arg);
		bus_sub_wait(sub, -1, 250);
	}
}
