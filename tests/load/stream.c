/* SPDX-License-Identifier: MIT */
#include "tests/load/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/load/follow.h"
#include "tests/load/http1.h"
#include "tests/tools/ws_peer.h"

#define STREAM_SCRATCH	 (256u << 10)
#define STREAM_FRAME	 (8u << 20)
#define STREAM_BYTES_MAX 8192
#define STREAM_PAUSE_MS	 1000 /* from one debate of a group to its next */

static const char *const stream_names[STREAM__COUNT] = {
    [STREAM_SSE] = "sse", [STREAM_WS] = "websocket"};

struct stream {
	struct stream_group *group;
	enum stream_kind kind;
	struct loop_watch watch; /* fd -1 = closed */
	struct loop_timer timer; /* to connect, then for the next event */
	bool is_asked, is_open;
	int64_t begun_us, opened_wall_us;
	struct http1 answer;
	struct buf in; /* of a WebSocket: what is not whole */
	struct follow follow;
};

struct stream_group {
	struct streams *s;
	struct pool_job job; /* the debate being asked for */
	struct loop_timer pause;
	int64_t begun_ms;
	char debate[MIX_ID_SIZE];
	struct stream *streams;
	size_t n, n_open;
	bool is_asking; /* job is the pool's */
};

struct streams {
	struct loop *loop;
	const struct peer_address *to;
	struct pool *pool;
	struct mix *mix;
	int64_t timeout_us;
	struct stream *all;
	size_t n;
	struct stream_group *groups;
	size_t n_groups, n_busy; /* groups that ask or follow */
	int64_t created, not_created;
	bool is_finishing;
	void (*finished)(void *arg);
	void *finished_arg;
	struct stream_stats stats[STREAM__COUNT];
	char scratch[STREAM_SCRATCH];
};

static void stream_group_begin(struct loop_timer *t);

/* ---- a group between its debates ---- */

static void
stream_group_end(struct stream_group *g)
{
	struct streams *s = g->s;
	int64_t next_ms = g->begun_ms + STREAM_PAUSE_MS - clock_mono_ms();

	s->n_busy--;
	if (!s->is_finishing)
		loop_timer_set(s->loop, &g->pause, next_ms);
	else if (s->n_busy == 0 && s->finished != NULL)
		s->finished(s->finished_arg);
}

/* ---- the end of a stream ---- */

static void
stream_close(struct stream *st)
{
	loop_timer_del(st->group->s->loop, &st->timer);
	if (st->watch.fd < 0)
		return;
	loop_watch_del(st->group->s->loop, &st->watch);
	close(st->watch.fd);
	st->watch.fd = -1;
	http1_release(&st->answer);
	buf_release(&st->in);
}

static void
stream_count(struct stream *st, enum stats_error error)
{
	struct stream_stats *c = &st->group->s->stats[st->kind];

	if (error == STATS_NONE) {
		c->finished++;
	} else {
		c->failed++;
		c->errors[error]++;
	}
	c->lost += follow_lost(&st->follow);
	c->doubled += st->follow.doubled;
	c->misordered += st->follow.misordered;
}

static void
stream_end(struct stream *st, enum stats_error error)
{
	struct stream_group *g = st->group;

	stream_count(st, error);
	stream_close(st);
	if (--g->n_open == 0)
		stream_group_end(g);
}

static void
stream_on_timeout(struct loop_timer *t)
{
	stream_end(t->arg, STATS_TIMEOUT);
}

/* ---- events ---- */

/* Microseconds since 1970 from "timestamp":1767225600.123, or -1. */
static int64_t
stream_time(const char *head, size_t len)
{
	static const char key[] = "\"timestamp\":";
	const char *at = memmem(head, len, key, sizeof(key) - 1);

	if (at == NULL)
		return -1;
	return (int64_t)(strtod(at + sizeof(key) - 1, NULL) * 1e6);
}

/* One message, NUL-terminated; true: it was the debate's last event. What is
 * before "data" is the server's, behind it may be anything. */
static bool
stream_on_message(struct stream *st, const char *text, size_t len)
{
	static const char end[] = "\"type\":\"debate_end\"";
	static const char token[] = "{\"type\":\"token_";
	struct stream_stats *c = &st->group->s->stats[st->kind];
	const char *data = memmem(text, len, "\"data\":{", 8);
	size_t head = data != NULL ? (size_t)(data - text) : len;
	int64_t seq = peer_number(text, head, "\"seq\":");

	if (seq <= 0 && !str_starts(text, token))
		return false;
	int64_t at_us = stream_time(text, head);
	if (at_us >= st->opened_wall_us)
		hist_record(c->event, clock_wall_us() - at_us);
	if (seq <= 0)
		return false;
	c->events++;
	follow_take(&st->follow, seq);
	return memmem(text, head, end, sizeof(end) - 1) != NULL;
}

static void
stream_alive(struct stream *st)
{
	struct streams *s = st->group->s;

	loop_timer_set(s->loop, &st->timer, s->timeout_us / 1000);
}

static void
stream_opened(struct stream *st)
{
	st->is_open = true;
	st->opened_wall_us = clock_wall_us();
	hist_record(st->group->s->stats[st->kind].connect,
	    clock_mono_us() - st->begun_us);
	stream_alive(st);
}

/* ---- server-sent events ---- */

/* The whole lines of the body; true: the last event was among them. */
static bool
stream_lines(struct stream *st)
{
	static const char data[] = "data: ";
	struct buf *b = &st->answer.body;
	bool is_end = false;
	size_t used = 0;
	char *nl;

	if (b->len == 0)
		return false;
	while (!is_end &&
	    (nl = memchr(b->data + used, '\n', b->len - used)) != NULL) {
		char *line = b->data + used;
		*nl = '\0';
		if (str_starts(line, data))
			is_end = stream_on_message(st, line + sizeof(data) - 1,
			    (size_t)(nl - line) - (sizeof(data) - 1));
		used = (size_t)(nl - b->data) + 1;
	}
	buf_consume(b, used);
	return is_end;
}

static void
stream_take_sse(struct stream *st, const char *data, size_t len)
{
	http1_take(&st->answer, data, len);
	if (st->answer.state == HTTP1_BAD) {
		stream_end(st, STATS_MALFORMED);
		return;
	}
	if (st->answer.status == 0)
		return;
	if (st->answer.status != 200) {
		stream_end(st, STATS_STATUS);
		return;
	}
	if (!st->is_open)
		stream_opened(st);
	if (stream_lines(st))
		stream_end(st, STATS_NONE);
	else if (st->answer.state == HTTP1_DONE)
		stream_end(st, STATS_CLOSED);
	else
		stream_alive(st);
}

/* ---- WebSocket ---- */

static void
stream_small(struct stream *st, uint8_t opcode, const void *data, size_t len)
{
	uint8_t out[PEER_SMALL];
	size_t n = peer_small(out, opcode, data, len);

	/* Too full for a pong: the server will close, which is told. */
	(void)!send(st->watch.fd, out, n, MSG_NOSIGNAL);
}

/* false: the stream has ended. payload has a byte behind it to write to. */
static bool
stream_on_frame(struct stream *st, const struct peer_frame *f, char *payload)
{
	char behind = payload[f->len];
	bool is_end;

	switch (f->opcode) {
	case 1:
		payload[f->len] = '\0';
		is_end = stream_on_message(st, payload, f->len);
		payload[f->len] = behind;
		if (!is_end)
			return true;
		stream_small(st, 8, "\x03\xe8", 2);
		stream_end(st, STATS_NONE);
		return false;
	case 8:
		stream_end(st, STATS_CLOSED);
		return false;
	case 9:
		stream_small(st, 10, payload, f->len < 125 ? f->len : 125);
		return true;
	case 10:
		return true;
	default:
		stream_end(st, STATS_MALFORMED);
		return false;
	}
}

/* The handshake's answer; false: not whole yet, or the stream has ended. */
static bool
stream_on_handshake(struct stream *st)
{
	int status;
	size_t head = peer_answer(st->in.data, st->in.len, &status);

	if (head == 0)
		return false;
	if (status != 101) {
		stream_end(st, status < 0 ? STATS_MALFORMED : STATS_STATUS);
		return false;
	}
	buf_consume(&st->in, head);
	stream_opened(st);
	return true;
}

static void
stream_take_ws(struct stream *st, const char *data, size_t len)
{
	struct peer_frame f;
	size_t at = 0;

	buf_append(&st->in, data, len);
	if (st->in.is_overflowed) {
		stream_end(st, STATS_MALFORMED);
		return;
	}
	if (!st->is_open && !stream_on_handshake(st))
		return;
	/* The buffer is NUL-terminated: there is a byte behind each frame. */
	while (st->in.len > at &&
	    peer_frame((uint8_t *)st->in.data + at, st->in.len - at, &f) &&
	    f.len <= st->in.len - at - f.head_len) {
		at += f.head_len;
		if (!stream_on_frame(st, &f, st->in.data + at))
			return;
		at += f.len;
	}
	buf_consume(&st->in, at);
	stream_alive(st);
}

/* ---- connections ---- */

/* It fits into the socket's buffer, which is empty. */
static void
stream_ask(struct stream *st)
{
	struct streams *s = st->group->s;
	char path[MIX_ID_SIZE + 64];
	struct buf out;

	buf_init(&out, STREAM_BYTES_MAX);
	if (st->kind == STREAM_SSE) {
		snprintf(path, sizeof(path), "/api/debates/%s/stream",
		    st->group->debate);
		mix_write_get(
		    s->mix, path, "Accept: text/event-stream\r\n", &out);
	} else {
		snprintf(
		    path, sizeof(path), "/ws?debate_id=%s", st->group->debate);
		mix_write_get(s->mix, path,
		    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Version: 13\r\n"
		    "Sec-WebSocket-Key: " PEER_KEY "\r\n",
		    &out);
	}
	st->is_asked = true;
	loop_watch_mod(s->loop, &st->watch, EPOLLIN);
	ssize_t n = send(st->watch.fd, out.data, out.len, MSG_NOSIGNAL);
	bool is_sent = n == (ssize_t)out.len;
	buf_release(&out);
	if (!is_sent)
		stream_end(st, STATS_CLOSED);
}

static void
stream_on_event(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stream *st = w->arg;
	struct streams *s = st->group->s;
	int error = 0;
	socklen_t len = sizeof(error);

	if (!st->is_asked) {
		getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0)
			stream_end(st, STATS_CONNECT);
		else
			stream_ask(st);
		return;
	}
	ssize_t n = recv(w->fd, s->scratch, STREAM_SCRATCH, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		stream_end(st, STATS_CLOSED);
	else if (st->kind == STREAM_SSE)
		stream_take_sse(st, s->scratch, (size_t)n);
	else
		stream_take_ws(st, s->scratch, (size_t)n);
}

static void
stream_begin(struct stream *st)
{
	struct streams *s = st->group->s;

	s->stats[st->kind].followed++;
	st->follow = (struct follow){0};
	st->is_asked = st->is_open = false;
	st->begun_us = clock_mono_us();
	st->timer = (struct loop_timer){.fn = stream_on_timeout, .arg = st};
	st->watch = (struct loop_watch){.fd = peer_connect(s->to, 0, 0, 0),
	    .fn = stream_on_event,
	    .arg = st};
	http1_init(&st->answer);
	buf_init(&st->in, STREAM_FRAME);
	if (st->watch.fd >= 0 &&
	    loop_watch_add(s->loop, &st->watch, EPOLLOUT) != ERR_OK) {
		close(st->watch.fd);
		st->watch.fd = -1;
	}
	stream_alive(st);
	if (st->watch.fd < 0)
		stream_end(st, STATS_CONNECT);
}

/* ---- a group's debate ---- */

static void
stream_on_created(struct pool_job *j, const struct pool_answer *a)
{
	struct stream_group *g = CONTAINER_OF(j, struct stream_group, job);

	g->is_asking = false;
	buf_release(&g->job.bytes);
	if (g->s->is_finishing) {
		stream_group_end(g);
		return;
	}
	if (a->error != STATS_NONE || a->status != 201 ||
	    !mix_read_id(a, g->debate)) {
		g->s->not_created++;
		stream_group_end(g);
		return;
	}
	g->s->created++;
	g->n_open = g->n;
	for (size_t i = 0; i < g->n; i++)
		stream_begin(&g->streams[i]);
}

static void
stream_group_begin(struct loop_timer *t)
{
	struct stream_group *g = t->arg;
	struct streams *s = g->s;

	if (s->is_finishing)
		return;
	s->n_busy++;
	g->begun_ms = clock_mono_ms();
	g->is_asking = true;
	g->job = (struct pool_job){.done = stream_on_created,
	    .timeout_us = clock_mono_us() + s->timeout_us};
	buf_init(&g->job.bytes, STREAM_BYTES_MAX);
	mix_write(s->mix, MIX_CREATE, &g->job.bytes);
	pool_send(s->pool, &g->job);
}

/* ---- from outside ---- */

void
streams_begin(struct streams *s, size_t n_sse, size_t n_ws, size_t together)
{
	s->n = n_sse + n_ws;
	if (s->n == 0)
		return;
	s->n_groups = (s->n + together - 1) / together;
	s->all = mem_zalloc(s->n * sizeof(*s->all));
	s->groups = mem_zalloc(s->n_groups * sizeof(*s->groups));
	/* Both kinds are in each group as far as there are enough. */
	for (size_t i = 0; i < s->n; i++) {
		bool is_sse = (i + 1) * n_sse / s->n > i * n_sse / s->n;
		struct stream_group *g = &s->groups[i / together];
		s->all[i] = (struct stream){.group = g,
		    .kind = is_sse ? STREAM_SSE : STREAM_WS,
		    .watch = {.fd = -1}};
		if (g->n++ == 0)
			g->streams = &s->all[i];
	}
	for (size_t i = 0; i < s->n_groups; i++) {
		struct stream_group *g = &s->groups[i];
		g->s = s;
		g->pause =
		    (struct loop_timer){.fn = stream_group_begin, .arg = g};
		/* Not all at once. */
		loop_timer_set(s->loop, &g->pause,
		    (int64_t)(i * STREAM_PAUSE_MS / s->n_groups));
	}
}

void
streams_finish(struct streams *s, void (*fn)(void *arg), void *arg)
{
	s->is_finishing = true;
	s->finished = fn;
	s->finished_arg = arg;
	for (size_t i = 0; i < s->n_groups; i++)
		loop_timer_del(s->loop, &s->groups[i].pause);
	if (s->n_busy == 0)
		fn(arg);
}

void
streams_abandon(struct streams *s)
{
	s->is_finishing = true;
	for (size_t i = 0; i < s->n; i++) {
		struct stream *st = &s->all[i];
		if (st->watch.fd < 0)
			continue;
		struct stream_stats *c = &s->stats[st->kind];
		c->unfinished++;
		c->lost += follow_lost(&st->follow);
		c->doubled += st->follow.doubled;
		c->misordered += st->follow.misordered;
		stream_close(st);
		if (--st->group->n_open == 0)
			s->n_busy--;
	}
}

bool
streams_is_over(const struct streams *s)
{
	return s->is_finishing && s->n_busy == 0;
}

size_t
streams_wanted(const struct streams *s)
{
	return s->n;
}

size_t
streams_open(const struct streams *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->all[i].is_open && s->all[i].watch.fd >= 0;
	return n;
}

const struct stream_stats *
streams_stats(const struct streams *s, enum stream_kind kind)
{
	return &s->stats[kind];
}

int64_t
streams_not_created(const struct streams *s)
{
	return s->not_created;
}

static void
streams_json_kind(
    struct json_w *w, const char *name, const struct stream_stats *c)
{
	json_w_begin(w, name);
	json_w_int(w, "followed", c->followed);
	json_w_int(w, "finished", c->finished);
	json_w_int(w, "failed", c->failed);
	json_w_int(w, "unfinished", c->unfinished);
	stats_json_errors(w, c->errors);
	json_w_int(w, "events", c->events);
	json_w_int(w, "lost", c->lost);
	json_w_int(w, "doubled", c->doubled);
	json_w_int(w, "misordered", c->misordered);
	stats_json_hist(w, "connect_ms", c->connect);
	stats_json_hist(w, "event_ms", c->event);
	json_w_end(w);
}

void
streams_json(const struct streams *s, struct json_w *w)
{
	json_w_begin(w, "streams");
	json_w_int(w, "debates", s->created);
	json_w_int(w, "debates_failed", s->not_created);
	for (int k = 0; k < STREAM__COUNT; k++)
		streams_json_kind(w, stream_names[k], &s->stats[k]);
	json_w_end(w);
}

struct streams *
streams_new(struct loop *loop, const struct peer_address *to, struct pool *pool,
    struct mix *mix, int64_t timeout_us)
{
	struct streams *s = mem_zalloc(sizeof(*s));

	s->loop = loop;
	s->to = to;
	s->pool = pool;
	s->mix = mix;
	s->timeout_us = timeout_us;
	for (int k = 0; k < STREAM__COUNT; k++) {
		s->stats[k].connect = hist_new();
		s->stats[k].event = hist_new();
	}
	return s;
}

void
streams_free(struct streams **streams)
{
	struct streams *s = *streams;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		stream_close(&s->all[i]);
	for (size_t i = 0; i < s->n_groups; i++) {
		loop_timer_del(s->loop, &s->groups[i].pause);
		if (s->groups[i].is_asking)
			buf_release(&s->groups[i].job.bytes);
	}
	for (int k = 0; k < STREAM__COUNT; k++) {
		hist_free(&s->stats[k].connect);
		hist_free(&s->stats[k].event);
	}
	free(s->all);
	free(s->groups);
	free(s);
	*streams = NULL;
}
