/* SPDX-License-Identifier: MIT
 *
 * A model provider for tests: the protocols of OpenAI and those who took it
 * over, Anthropic, Gemini and Ollama, with every trouble a provider can make,
 * chosen by the header X-Stub-Scenario or the name of the model
 * (llm_stub_reply.c).
 *
 *   llm_stub --listen 127.0.0.1:0 [--log FILE]
 *
 * prints "listening on PORT". The log has one JSON line per request. GET
 * /_stub/requests tells how many came, in which scenario, with which body.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define STUB_IN_MAX (16u << 20)

struct stub_count {
	struct stub_count *next;
	char *key;
	int64_t n;
};

struct stub {
	struct loop *loop;
	struct loop_watch listener;
	struct loop_watch signals;
	struct list conns;
	FILE *log;
	int64_t total, client_closed;
	struct stub_count *by_scenario, *by_body;
};

struct stub_conn {
	struct list link;
	struct stub *stub;
	struct loop_watch watch;
	struct loop_timer timer; /* pauses */
	struct arena *arena;	 /* of one request */
	struct buf in;
	bool is_replying;
	bool is_counted; /* its outcome is worth a line in the log */
	struct stub_request request;
	struct stub_reply reply;
	size_t sent, next_mark;
};

/* ---- counting ---- */

static struct stub_count *
stub_count(struct stub_count **list, const char *key)
{
	for (struct stub_count *c = *list; c != NULL; c = c->next)
		if (str_eq(c->key, key))
			return c;
	struct stub_count *c = mem_zalloc(sizeof(*c));
	c->key = mem_strdup(key);
	c->next = *list;
	*list = c;
	return c;
}

static void
stub_count_free(struct stub_count **list)
{
	while (*list != NULL) {
		struct stub_count *c = *list;
		*list = c->next;
		free(c->key);
		free(c);
	}
}

static void
stub_count_write(
    struct json_w *w, const char *key, const struct stub_count *list)
{
	json_w_begin(w, key);
	for (; list != NULL; list = list->next)
		json_w_int(w, list->key, list->n);
	json_w_end(w);
}

static void
stub_log(struct stub_conn *c, const char *outcome)
{
	struct stub *s = c->stub;
	struct json_w w;
	struct buf b;

	if (!c->is_counted || s->log == NULL)
		return;
	buf_init(&b, STUB_IN_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "path", c->request.path);
	json_w_str(&w, "model", c->reply.model);
	json_w_str(&w, "task", c->reply.task);
	json_w_str(&w, "body", c->request.sha);
	json_w_str(&w, "traceparent", c->request.trace_parent);
	json_w_str(&w, "tracestate", c->request.trace_state);
	json_w_str(&w, "scenario", c->reply.scenario);
	json_w_str(&w, "outcome", outcome);
	json_w_int(&w, "tokens_in", c->reply.tokens_in);
	json_w_int(&w, "tokens_out", c->reply.tokens_out);
	json_w_int(&w, "ended_us", clock_wall_us());
	json_w_end(&w);
	fprintf(s->log, "%s\n", buf_text(&b));
	fflush(s->log);
	buf_release(&b);
}

/* ---- a connection ---- */

static void
stub_conn_free(struct stub_conn *c)
{
	loop_timer_del(c->stub->loop, &c->timer);
	loop_watch_del(c->stub->loop, &c->watch);
	list_del(&c->link);
	close(c->watch.fd);
	stub_reply_release(&c->reply);
	buf_release(&c->in);
	arena_free(&c->arena);
	free(c);
}

static void
stub_conn_gone(struct stub_conn *c)
{
	if (c->is_replying) {
		c->stub->client_closed += c->is_counted;
		stub_log(c, "client closed");
	}
	stub_conn_free(c);
}

/* All bytes are out. */
static void
stub_conn_sent(struct stub_conn *c)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	switch (c->reply.end) {
	case STUB_STALL:
		loop_watch_mod(c->stub->loop, &c->watch, EPOLLRDHUP);
		return;
	case STUB_RESET:
		setsockopt(
		    c->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		break;
	case STUB_FIN:
		break;
	case STUB_KEEP:
		stub_log(c, c->reply.outcome);
		stub_reply_release(&c->reply);
		arena_clear(c->arena);
		c->is_replying = false;
		loop_watch_mod(c->stub->loop, &c->watch, EPOLLIN);
		/* The next request may be here already. */
		loop_timer_set(c->stub->loop, &c->timer, 0);
		return;
	}
	stub_log(c, c->reply.outcome);
	stub_conn_free(c);
}

static void
stub_conn_send(struct stub_conn *c)
{
	const struct stub_reply *r = &c->reply;

	while (c->sent < r->bytes.len || c->next_mark < r->n_marks) {
		size_t to = r->bytes.len;
		if (c->next_mark < r->n_marks)
			to = r->marks[c->next_mark].at;
		if (to <= c->sent) {
			loop_watch_mod(c->stub->loop, &c->watch, EPOLLRDHUP);
			loop_timer_set(c->stub->loop, &c->timer,
			    r->marks[c->next_mark++].pause_ms);
			return;
		}
		ssize_t n = send(c->watch.fd, r->bytes.data + c->sent,
		    r->is_split ? 1 : to - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stub_conn_gone(c);
			return;
		}
		c->sent += n > 0 ? (size_t)n : 0;
		if ((n < 0 && errno == EAGAIN) || r->is_split) {
			loop_watch_mod(
			    c->stub->loop, &c->watch, EPOLLOUT | EPOLLRDHUP);
			if (c->sent < r->bytes.len)
				return;
		}
	}
	stub_conn_sent(c);
}

static void
stub_conn_stats(struct stub_conn *c)
{
	struct stub *s = c->stub;
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_IN_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_int(&w, "total", s->total);
	stub_count_write(&w, "by_scenario", s->by_scenario);
	stub_count_write(&w, "by_body", s->by_body);
	json_w_int(&w, "client_closed", s->client_closed);
	json_w_end(&w);
	c->reply = (struct stub_reply){.outcome = "ok"};
	buf_init(&c->reply.bytes, STUB_IN_MAX);
	stub_reply_plain(
	    &c->reply, 200, "application/json", "", buf_text(&b), b.len);
	buf_release(&b);
}

static void
stub_conn_answer(struct stub_conn *c)
{
	struct stub_request *q = &c->request;
	struct stub *s = c->stub;

	c->sent = 0;
	c->next_mark = 0;
	c->is_replying = true;
	c->is_counted = !str_starts(q->path, "/_stub/");
	if (str_eq(q->path, "/_stub/requests")) {
		stub_conn_stats(c);
	} else {
		/* Gemini's model stands in the path. */
		const char *all =
		    arena_printf(c->arena, "%s\n%s", q->path, q->body);
		id_sha256(all, strlen(all), q->sha);
		struct stub_count *body = stub_count(&s->by_body, q->sha);
		q->seen = body->n++;
		stub_reply_make(c->arena, q, &c->reply);
		stub_count(&s->by_scenario, c->reply.scenario)->n++;
		s->total++;
	}
	if (q->wants_close && c->reply.end == STUB_KEEP)
		c->reply.end = STUB_FIN;
	stub_conn_send(c);
}

/* "Name: value" of the head, "" when absent. */
static const char *
stub_header(struct arena *a, char **lines, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 1; i < n; i++)
		if (strlen(lines[i]) > len && lines[i][len] == ':' &&
		    str_ieq(arena_strndup(a, lines[i], len), name))
			return str_trim(a, lines[i] + len + 1);
	return "";
}

/* Take a whole request off the input; false = not all there yet. What is
 * not HTTP at all has content length -1. */
static bool
stub_conn_request(struct stub_conn *c, int64_t *length)
{
	const char *text = buf_text(&c->in);
	const char *end = strstr(text, "\r\n\r\n");
	struct stub_request *q = &c->request;
	size_t n, words;

	*length = 0;
	if (end == NULL)
		return false;
	size_t head = (size_t)(end - text) + 4;
	char **lines =
	    str_split(c->arena, arena_strndup(c->arena, text, head), '\n', &n);
	char **first = str_split(c->arena, lines[0], ' ', &words);
	const char *said = stub_header(c->arena, lines, n, "Content-Length");
	if (words != 3 ||
	    (*said != '\0' &&
		str_to_i64(said, 0, STUB_IN_MAX / 2, length) != ERR_OK)) {
		*length = -1;
		return true;
	}
	if (c->in.len < head + (size_t)*length)
		return false;
	*q = (struct stub_request){.method = first[0],
	    .path = first[1],
	    .authorization = stub_header(c->arena, lines, n, "Authorization"),
	    .api_key = stub_header(c->arena, lines, n, "x-api-key"),
	    .version = stub_header(c->arena, lines, n, "anthropic-version"),
	    .google_key = stub_header(c->arena, lines, n, "x-goog-api-key"),
	    .content_type = stub_header(c->arena, lines, n, "Content-Type"),
	    .scenario = stub_header(c->arena, lines, n, "X-Stub-Scenario"),
	    .trace_parent = stub_header(c->arena, lines, n, "traceparent"),
	    .trace_state = stub_header(c->arena, lines, n, "tracestate"),
	    .wants_close =
		str_ieq(stub_header(c->arena, lines, n, "Connection"), "close"),
	    .body = arena_strndup(c->arena, text + head, (size_t)*length),
	    .body_len = (size_t)*length};
	buf_consume(&c->in, head + (size_t)*length);
	return true;
}

static void
stub_conn_next(struct stub_conn *c)
{
	int64_t length;

	if (!stub_conn_request(c, &length))
		arena_clear(c->arena);
	else if (length < 0)
		stub_conn_free(c);
	else
		stub_conn_answer(c);
}

static void
stub_conn_on_timer(struct loop_timer *t)
{
	struct stub_conn *c = t->arg;

	if (c->is_replying)
		stub_conn_send(c);
	else
		stub_conn_next(c);
}

static void
stub_conn_on_event(struct loop_watch *w, uint32_t events)
{
	struct stub_conn *c = w->arg;
	char chunk[16384];

	if (c->is_replying) {
		if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
			stub_conn_gone(c);
		else
			stub_conn_send(c);
		return;
	}
	ssize_t n = read(w->fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_append(&c->in, chunk, (size_t)n);
	if (n <= 0 || c->in.is_overflowed)
		stub_conn_free(c);
	else
		stub_conn_next(c);
}

/* ---- the server ---- */

static void
stub_on_accept(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stub *s = w->arg;
	const int on = 1;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	struct stub_conn *c = mem_zalloc(sizeof(*c));
	c->stub = s;
	c->arena = arena_new(0);
	c->watch =
	    (struct loop_watch){.fd = fd, .fn = stub_conn_on_event, .arg = c};
	c->timer = (struct loop_timer){.fn = stub_conn_on_timer, .arg = c};
	buf_init(&c->in, STUB_IN_MAX);
	list_add_tail(&s->conns, &c->link);
	if (loop_watch_add(s->loop, &c->watch, EPOLLIN) != ERR_OK)
		stub_conn_free(c);
}

static void
stub_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stub *s = w->arg;

	loop_stop(s->loop);
}

/* "127.0.0.1:PORT"; the port that was got, or -1. */
static int
stub_listen(struct stub *s, const char *where)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	struct arena *a = arena_new(0);
	const char *colon = strrchr(where, ':');
	int64_t port = -1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	s->listener =
	    (struct loop_watch){.fd = fd, .fn = stub_on_accept, .arg = s};
	if (fd < 0 || colon == NULL ||
	    str_to_i64(colon + 1, 0, 65535, &port) != ERR_OK ||
	    inet_pton(AF_INET, arena_strndup(a, where, (size_t)(colon - where)),
		&address.sin_addr) != 1)
		goto fail;
	address.sin_port = htons((uint16_t)port);
	if (bind(fd, (struct sockaddr *)&address, size) != 0 ||
	    listen(fd, SOMAXCONN) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
	    loop_watch_add(s->loop, &s->listener, EPOLLIN) != ERR_OK)
		goto fail;
	arena_free(&a);
	return ntohs(address.sin_port);
fail:
	arena_free(&a);
	return -1;
}

static bool
stub_catch_signals(struct stub *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = (struct loop_watch){
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
	    .fn = stub_on_signal,
	    .arg = s};
	return s->signals.fd >= 0 &&
	    loop_watch_add(s->loop, &s->signals, EPOLLIN) == ERR_OK;
}

static int
stub_serve(struct stub *s, const char *where, const char *log)
{
	if (log != NULL && (s->log = fopen(log, "ae")) == NULL) {
		perror(log);
		return 1;
	}
	int port = stub_listen(s, where);
	if (port < 0 || !stub_catch_signals(s)) {
		fprintf(stderr, "llm_stub: cannot listen on %s\n", where);
		return 1;
	}
	printf("listening on %d\n", port);
	fflush(stdout);
	return loop_run(s->loop) == ERR_OK ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct stub s = {.listener.fd = -1, .signals.fd = -1};
	const char *where = NULL;
	const char *log = NULL;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (str_eq(argv[i], "--listen"))
			where = argv[i + 1];
		else if (str_eq(argv[i], "--log"))
			log = argv[i + 1];
	}
	if (where == NULL || argc % 2 == 0) {
		fprintf(stderr,
		    "usage: llm_stub --listen 127.0.0.1:PORT "
		    "[--log FILE]\n");
		return 64;
	}
	list_init(&s.conns);
	if (loop_new(&s.loop) != ERR_OK)
		return 1;
	int status = stub_serve(&s, where, log);
	list_for_each (it, &s.conns)
		stub_conn_free(LIST_ENTRY(it, struct stub_conn, link));
	loop_free(&s.loop);
	if (s.listener.fd >= 0)
		close(s.listener.fd);
	if (s.signals.fd >= 0)
		close(s.signals.fd);
	if (s.log != NULL)
		fclose(s.log);
	stub_count_free(&s.by_scenario);
	stub_count_free(&s.by_body);
	return status;
}
