/* SPDX-License-Identifier: MIT */
#include "ws-bridge/admin.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/workers.h"

#define ADMIN_LINE 256
#define ADMIN_OUT  (64u << 20)

/* One loop's part of an answer. */
struct admin_part {
	struct server_task task;
	struct admin *admin;
	size_t loop_no;
	struct buf out;
	size_t n_found;
};

struct admin {
	struct loop *loop;
	struct workers *workers;
	void (*drain)(void *arg);
	void *arg;
	char *where;
	struct loop_watch listener;
	struct loop_watch client; /* one at a time; fd -1 = none */
	char line[ADMIN_LINE];
	size_t line_len;
	struct buf out;
	size_t sent;
	/* The question under way. */
	char kick[24];
	struct admin_part *parts; /* as many as there are loops */
	size_t n_parts;
	struct loop_watch answered; /* parts come back through this pipe */
	int answer_fd;		    /* its other end */
	size_t n_waiting;
};

/* ---- on a server's thread ---- */

static void
admin_part_done(struct admin_part *p)
{
	char c = 0;

	if (write(p->admin->answer_fd, &c, 1) != 1)
		log_error("ws.admin", "error=\"lost an answer\"");
}

static const char *
admin_state(const struct connection *c)
{
	switch (c->state) {
	case CONN_REQUEST:
		return "request";
	case CONN_AUTH:
		return "auth";
	case CONN_OPEN:
		return "open";
	case CONN_CLOSING:
		return "closing";
	case CONN_DEAD:
		break;
	}
	return "dead";
}

static void
admin_list_one(struct admin_part *p, const struct connection *c)
{
	struct json_w w;

	json_w_init(&w, &p->out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "id", c->id);
	json_w_int(&w, "loop", (int64_t)p->loop_no);
	json_w_str(&w, "state", admin_state(c));
	json_w_str(
	    &w, "protocol", connection_is_stream(c) ? "sse" : "websocket");
	json_w_bool(&w, "compressed", c->form == FRAME_DEFLATED);
	json_w_bool(&w, "authenticated", c->is_authenticated);
	json_w_str(&w, "tenant", c->tenant);
	json_w_bool(&w, "follows_all", !list_is_empty(&c->follower.node));
	json_w_int(&w, "queued_bytes", (int64_t)c->out.bytes);
	json_w_begin_array(&w, "debates");
	list_for_each (it, &c->subs) {
		const struct sub *s = LIST_ENTRY(it, struct sub, in_owner);
		if (s->topic == NULL)
			continue;
		json_w_begin(&w, NULL);
		json_w_str(&w, "debate_id", s->topic->id);
		json_w_int(&w, "seq", s->cursor);
		json_w_int(&w, "behind",
		    s->state == SUB_ACTIVE ? s->topic->head - s->cursor : 0);
		json_w_end(&w);
	}
	json_w_end_array(&w);
	json_w_end(&w);
	buf_putc(&p->out, '\n');
}

static void
admin_on_list(struct server_task *task, struct server *srv)
{
	struct admin_part *p = CONTAINER_OF(task, struct admin_part, task);

	list_for_each (it, &srv->connections) {
		admin_list_one(p, LIST_ENTRY(it, struct connection, in_server));
		p->n_found++;
	}
	admin_part_done(p);
}

static void
admin_on_kick(struct server_task *task, struct server *srv)
{
	struct admin_part *p = CONTAINER_OF(task, struct admin_part, task);

	list_for_each (it, &srv->connections) {
		struct connection *c =
		    LIST_ENTRY(it, struct connection, in_server);
		if (c->state != CONN_OPEN || !str_eq(c->id, p->admin->kick))
			continue;
		connection_drain(c, 0);
		p->n_found++;
	}
	admin_part_done(p);
}

static void
admin_on_stats(struct server_task *task, struct server *srv)
{
	struct admin_part *p = CONTAINER_OF(task, struct admin_part, task);
	struct json_w w;

	json_w_init(&w, &p->out);
	json_w_begin(&w, NULL);
	json_w_int(&w, "loop", (int64_t)p->loop_no);
	json_w_int(&w, "connections", (int64_t)srv->n_connections);
	json_w_int(&w, "open", (int64_t)srv->n_open);
	json_w_bool(&w, "draining", srv->is_draining);
	hub_stats(srv->hub, &w);
	json_w_end(&w);
	buf_putc(&p->out, '\n');
	p->n_found++;
	admin_part_done(p);
}

/* ---- on main's thread ---- */

static void
admin_hang_up(struct admin *a)
{
	loop_watch_del(a->loop, &a->client);
	close(a->client.fd);
	a->client.fd = -1;
	buf_clear(&a->out);
	a->sent = 0;
	a->line_len = 0;
	(void)!loop_watch_add(a->loop, &a->listener, EPOLLIN);
}

static void
admin_write(struct admin *a)
{
	while (a->sent < a->out.len) {
		ssize_t n = send(a->client.fd, a->out.data + a->sent,
		    a->out.len - a->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			break;
		a->sent += (size_t)n;
	}
	if (a->sent == a->out.len) {
		buf_clear(&a->out);
		a->sent = 0;
	}
	loop_watch_mod(
	    a->loop, &a->client, a->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* The last line of an answer. */
static void
admin_end(struct admin *a, size_t n_found, const char *error)
{
	struct json_w w;

	json_w_init(&w, &a->out);
	json_w_begin(&w, NULL);
	json_w_bool(&w, "done", true);
	json_w_int(&w, "count", (int64_t)n_found);
	if (error != NULL)
		json_w_str(&w, "error", error);
	json_w_end(&w);
	buf_putc(&a->out, '\n');
	admin_write(a);
}

static void
admin_on_answered(struct loop_watch *w, uint32_t events UNUSED)
{
	struct admin *a = w->arg;
	char got[64];
	size_t n_found = 0;

	ssize_t n = read(w->fd, got, sizeof(got));
	if (n <= 0)
		return;
	a->n_waiting -= (size_t)n;
	if (a->n_waiting > 0)
		return;
	for (size_t i = 0; i < a->n_parts; i++) {
		struct admin_part *p = &a->parts[i];
		buf_append(&a->out, buf_text(&p->out), p->out.len);
		buf_release(&p->out);
		n_found += p->n_found;
	}
	if (a->client.fd >= 0)
		admin_end(a, n_found, NULL);
	else
		buf_clear(&a->out);
}

/* Ask every loop. */
static void
admin_ask(
    struct admin *a, void (*fn)(struct server_task *task, struct server *srv))
{
	for (size_t i = 0; i < a->n_parts; i++) {
		struct admin_part *p = &a->parts[i];
		struct server *srv = workers_server(a->workers, i);
		p->task = (struct server_task){.fn = fn};
		p->admin = a;
		p->loop_no = i;
		p->n_found = 0;
		buf_init(&p->out, ADMIN_OUT);
		if (srv == NULL)
			continue;
		a->n_waiting++;
		server_post(srv, &p->task);
	}
	if (a->n_waiting == 0)
		admin_end(a, 0, NULL);
}

static void
admin_command(struct admin *a, const char *line)
{
	static const char kick[] = "kick ";

	log_info("ws.admin", "command=\"%s\"", line);
	if (a->n_waiting > 0) {
		admin_end(a, 0, "busy");
	} else if (str_eq(line, "list")) {
		admin_ask(a, admin_on_list);
	} else if (str_eq(line, "stats")) {
		admin_ask(a, admin_on_stats);
	} else if (str_starts(line, kick)) {
		const char *id = line + sizeof(kick) - 1;
		size_t len = strnlen(id, sizeof(a->kick) - 1);
		memcpy(a->kick, id, len);
		a->kick[len] = '\0';
		admin_ask(a, admin_on_kick);
	} else if (str_eq(line, "drain")) {
		admin_end(a, workers_count(a->workers), NULL);
		a->drain(a->arg);
	} else {
		admin_end(a, 0, "unknown command: list, kick ID, drain, stats");
	}
}

/* false: the client went away, or does not speak this. */
static bool
admin_read(struct admin *a)
{
	ssize_t n = recv(a->client.fd, a->line + a->line_len,
	    sizeof(a->line) - a->line_len, MSG_DONTWAIT);
	char *end;

	if (n <= 0)
		return false;
	a->line_len += (size_t)n;
	while ((end = memchr(a->line, '\n', a->line_len)) != NULL) {
		char line[ADMIN_LINE];
		size_t len = (size_t)(end - a->line);
		memcpy(line, a->line, len);
		line[len] = '\0';
		a->line_len -= len + 1;
		memmove(a->line, end + 1, a->line_len);
		if (strlen(line) != len)
			return false;
		admin_command(a, line);
	}
	return a->line_len < sizeof(a->line);
}

static void
admin_on_client(struct loop_watch *w, uint32_t events)
{
	struct admin *a = w->arg;

	if ((events & EPOLLOUT) != 0)
		admin_write(a);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !admin_read(a))
		admin_hang_up(a);
}

static void
admin_on_accept(struct loop_watch *w, uint32_t events UNUSED)
{
	struct admin *a = w->arg;

	a->client.fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (a->client.fd < 0)
		return;
	/* The next one waits until this one has gone. */
	loop_watch_del(a->loop, w);
	if (loop_watch_add(a->loop, &a->client, EPOLLIN) != ERR_OK)
		admin_hang_up(a);
}

/* What a bridge left behind that was killed. */
static void
admin_sweep(const char *data_dir)
{
	char *pattern = mem_printf("%s/ws-*.sock", data_dir);
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			char *where = mem_printf("unix:%s", found.gl_pathv[i]);
			if (!listen_is_answered(where))
				unlink(found.gl_pathv[i]);
			free(where);
		}
		globfree(&found);
	}
	free(pattern);
}

enum err
admin_open(struct admin **out, struct loop *loop,
    const struct settings *settings, struct workers *workers,
    void (*drain)(void *arg), void *arg, struct err_info *info)
{
	struct admin *a = mem_zalloc(sizeof(*a));
	int ends[2] = {-1, -1};

	a->loop = loop;
	a->workers = workers;
	a->drain = drain;
	a->arg = arg;
	a->n_parts = workers_count(workers);
	a->parts = mem_zalloc(a->n_parts * sizeof(*a->parts));
	a->where =
	    mem_printf("unix:%s/ws-%d.sock", settings->data_dir, (int)getpid());
	buf_init(&a->out, ADMIN_OUT);
	a->client =
	    (struct loop_watch){.fd = -1, .fn = admin_on_client, .arg = a};
	a->listener =
	    (struct loop_watch){.fd = -1, .fn = admin_on_accept, .arg = a};
	admin_sweep(settings->data_dir);
	/* Nobody else's from the first moment on. */
	mode_t mask = umask(0177);
	enum err e = listen_open(a->where, &a->listener.fd, info);
	umask(mask);
	if (e == ERR_OK && chmod(a->where + strlen("unix:"), 0600) != 0)
		e = err_set(info, ERR_IO, "", "cannot protect %s", a->where);
	if (e == ERR_OK && pipe2(ends, O_CLOEXEC) != 0)
		e = err_set(info, ERR_IO, "", "cannot make a pipe");
	a->answer_fd = ends[1];
	a->answered = (struct loop_watch){
	    .fd = ends[0], .fn = admin_on_answered, .arg = a};
	if (e == ERR_OK &&
	    (loop_watch_add(loop, &a->listener, EPOLLIN) != ERR_OK ||
		loop_watch_add(loop, &a->answered, EPOLLIN) != ERR_OK))
		e = err_set(info, ERR_IO, "", "cannot watch %s", a->where);
	if (e != ERR_OK)
		admin_close(&a);
	*out = a;
	return e;
}

void
admin_close(struct admin **ap)
{
	struct admin *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	if (a->client.fd >= 0)
		admin_hang_up(a);
	if (a->listener.fd >= 0) {
		loop_watch_del(a->loop, &a->listener);
		listen_close(a->where, a->listener.fd);
	}
	if (a->answered.fd >= 0) {
		loop_watch_del(a->loop, &a->answered);
		close(a->answered.fd);
		close(a->answer_fd);
	}
	for (size_t i = 0; i < a->n_parts; i++)
		buf_release(&a->parts[i].out);
	buf_release(&a->out);
	free(a->parts);
	free(a->where);
	free(a);
}
