/* SPDX-License-Identifier: MIT
 *
 * Publishing over Redis: one blocking connection with a deadline. After
 * ARAGORA_REDIS_FAILURE_THRESHOLD failures in a row Redis counts as down, and
 * callers are refused at once but for one attempt after each pause.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_channel.h"
#include "bus/bus_impl.h"
#include "bus/reader_redis.h"
#include "settings/redis_url.h"
#include "settings/settings.h"

struct bus_redis {
	const struct settings *settings;
	struct arena *arena; /* holds the parts of url */
	struct redis_url url;
	redisContext *context; /* NULL = not connected */
	int64_t failures;      /* in a row */
	int64_t retry_ms;      /* when down: not before */
	bool is_told;	       /* the failure has been logged */
	bool is_cut;	       /* it was the other side's end of a connection */
	struct buf frame;
};

static enum err
bus_redis_open(void **out, const struct settings *s, struct err_info *info)
{
	struct arena *a = arena_new(0);
	struct redis_url url;

	enum err e = redis_url_parse(a, s->redis_url, &url, info);
	if (e != ERR_OK) {
		arena_free(&a);
		return e;
	}
	struct bus_redis *b = mem_zalloc(sizeof(*b));
	b->settings = s;
	b->arena = a;
	b->url = url;
	buf_init(&b->frame, BUS_MESSAGE_MAX);
	*out = b;
	return ERR_OK;
}

static void
bus_redis_close(void *impl)
{
	struct bus_redis *b = impl;

	if (b->context != NULL)
		redisFree(b->context);
	buf_release(&b->frame);
	arena_free(&b->arena);
	free(b);
}

/* The connection is of no use any more. */
static void
bus_redis_drop(struct bus_redis *b)
{
	if (b->context != NULL)
		redisFree(b->context);
	b->context = NULL;
}

/* Count a failure; the server's or the system's words, logged once. */
static enum err
bus_redis_fail(struct bus_redis *b, const char *reason)
{
	b->is_cut = b->context != NULL &&
	    (b->context->err == REDIS_ERR_EOF ||
		(b->context->err == REDIS_ERR_IO &&
		    (errno == EPIPE || errno == ECONNRESET)));
	b->failures++;
	b->retry_ms = clock_mono_ms() +
	    bus_backoff_ms(
		b->failures - b->settings->redis_failure_threshold + 1);
	if (!b->is_told)
		log_warning("bus.redis.down", "reason=\"%s\"", reason);
	b->is_told = true;
	bus_redis_drop(b);
	return ERR_DOWN;
}

static const char *
bus_redis_reason(const struct bus_redis *b)
{
	return b->context == NULL	    ? "out of memory"
	    : b->context->errstr[0] != '\0' ? b->context->errstr
					    : "no answer in time";
}

/* One reply, which must not be an error. */
static enum err
bus_redis_check(struct bus_redis *b)
{
	redisReply *r = NULL;
	enum err e = ERR_OK;

	if (redisGetReply(b->context, (void **)&r) != REDIS_OK || r == NULL)
		return bus_redis_fail(b, bus_redis_reason(b));
	if (r->type == REDIS_REPLY_ERROR)
		e = bus_redis_fail(b, r->str);
	freeReplyObject(r);
	return e;
}

static enum err
bus_redis_ask(struct bus_redis *b, int argc, const char **argv)
{
	if (redisAppendCommandArgv(b->context, argc, argv, NULL) != REDIS_OK)
		return bus_redis_fail(b, bus_redis_reason(b));
	return bus_redis_check(b);
}

static enum err
bus_redis_login(struct bus_redis *b)
{
	const struct redis_url *u = &b->url;
	enum err e = ERR_OK;

	if (u->password != NULL && u->user != NULL)
		e = bus_redis_ask(
		    b, 3, (const char *[]){"AUTH", u->user, u->password});
	else if (u->password != NULL)
		e = bus_redis_ask(b, 2, (const char *[]){"AUTH", u->password});
	if (e == ERR_OK && u->database != NULL)
		e = bus_redis_ask(
		    b, 2, (const char *[]){"SELECT", u->database});
	return e;
}

static enum err
bus_redis_connect(struct bus_redis *b)
{
	int64_t us = (int64_t)(b->settings->redis_socket_timeout * 1e6);
	struct timeval limit = {
	    .tv_sec = us / 1000000, .tv_usec = us % 1000000};

	b->context = b->url.path != NULL
	    ? redisConnectUnixWithTimeout(b->url.path, limit)
	    : redisConnectWithTimeout(b->url.host, b->url.port, limit);
	if (b->context == NULL || b->context->err != 0 ||
	    redisSetTimeout(b->context, limit) != REDIS_OK ||
	    fcntl(b->context->fd, F_SETFD, FD_CLOEXEC) != 0)
		return bus_redis_fail(b, bus_redis_reason(b));
	bus_reader_limit(b->context->reader);
	return bus_redis_login(b);
}

static enum err
bus_redis_ready(struct bus_redis *b)
{
	if (b->context != NULL)
		return ERR_OK;
	if (b->failures >= b->settings->redis_failure_threshold &&
	    clock_mono_ms() < b->retry_ms)
		return ERR_DOWN;
	return bus_redis_connect(b);
}

/* It answered. */
static void
bus_redis_worked(struct bus_redis *b)
{
	if (b->is_told)
		log_info(
		    "bus.redis.up", "failures=%lld", (long long)b->failures);
	b->is_told = false;
	b->failures = 0;
}

static enum err
bus_redis_append(struct bus_redis *b, const struct bus_message *m)
{
	char channel[BUS_CHANNEL_SIZE];

	bus_channel(m->debate_id, channel);
	buf_clear(&b->frame);
	bus_wire_encode(&b->frame, m);
	if (b->frame.is_overflowed) { /* the reader asks the table */
		buf_clear(&b->frame);
		bus_wire_encode(&b->frame,
		    &(struct bus_message){
			.debate_id = m->debate_id, .seq = m->seq});
	}
	const char *argv[] = {"PUBLISH", channel, buf_text(&b->frame)};
	size_t lens[] = {strlen("PUBLISH"), strlen(channel), b->frame.len};
	return redisAppendCommandArgv(b->context, 3, argv, lens) == REDIS_OK
	    ? ERR_OK
	    : bus_redis_fail(b, bus_redis_reason(b));
}

/* Send all, then read all answers; *done counts those that came. */
static enum err
bus_redis_send(
    struct bus_redis *b, const struct bus_message *m, size_t n, size_t *done)
{
	enum err e = bus_redis_ready(b);

	*done = 0;
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		e = bus_redis_append(b, &m[i]);
	while (e == ERR_OK && *done < n) {
		e = bus_redis_check(b);
		*done += e == ERR_OK;
	}
	return e;
}

/* Messages that no table keeps are not sent twice: they would show twice. */
static bool
bus_redis_is_repeatable(const struct bus_message *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (m[i].seq == 0 && m[i].debate_id[0] != '\0')
			return false;
	return true;
}

/* A server that was restarted shows only when we use the old connection:
 * that is no failure yet. A server that is silent is. */
static bool
bus_redis_may_repeat(struct bus_redis *b, bool was_connected)
{
	if (!was_connected || !b->is_cut)
		return false;
	b->failures = 0;
	return true;
}

static enum err
bus_redis_publish(
    void *impl, const struct bus_message *m, size_t n, uint64_t *dropped)
{
	struct bus_redis *b = impl;
	bool was_connected = b->context != NULL;
	size_t done = 0;

	enum err e = bus_redis_send(b, m, n, &done);
	if (e != ERR_OK && bus_redis_may_repeat(b, was_connected)) {
		m += done;
		n -= done;
		done = 0;
		e = bus_redis_is_repeatable(m, n)
		    ? bus_redis_send(b, m, n, &done)
		    : bus_redis_ready(b);
	}
	if (e == ERR_OK)
		bus_redis_worked(b);
	*dropped += n - done;
	return e;
}

static enum err
bus_redis_ask_ping(struct bus_redis *b)
{
	enum err e = bus_redis_ready(b);

	return e == ERR_OK ? bus_redis_ask(b, 1, (const char *[]){"PING"}) : e;
}

static enum err
bus_redis_ping(void *impl)
{
	struct bus_redis *b = impl;
	bool was_connected = b->context != NULL;

	enum err e = bus_redis_ask_ping(b);
	if (e != ERR_OK && bus_redis_may_repeat(b, was_connected))
		e = bus_redis_ask_ping(b);
	if (e == ERR_OK)
		bus_redis_worked(b);
	return e;
}

const struct bus_driver bus_redis = {
    .open = bus_redis_open,
    .close = bus_redis_close,
    .publish = bus_redis_publish,
    .ping = bus_redis_ping,
};
