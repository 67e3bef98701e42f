/* SPDX-License-Identifier: MIT */
#include "tests/load/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/load/http1.h"

#define POOL_SCRATCH (256u << 10)

enum pool_state { POOL_CLOSED, POOL_CONNECTING, POOL_BUSY, POOL_IDLE };

struct pool_conn {
	struct pool *pool;
	struct loop_watch watch;
	struct list link; /* of pool.idle or pool.closed */
	enum pool_state state;
	struct pool_job *job; /* while connecting or busy */
	struct http1 answer;
	bool is_used;	   /* an answer came before */
	bool is_answering; /* bytes of this answer came */
};

struct pool {
	struct loop *loop;
	const struct peer_address *to;
	struct pool_conn *conns;
	size_t max;
	struct list idle, closed; /* connections */
	struct list waiting;	  /* jobs */
	struct list lost;	  /* jobs that failed at once */
	struct loop_timer losing;
	struct pool_counts counts;
	char scratch[POOL_SCRATCH];
};

static void pool_conn_next(struct pool_conn *c);

static void
pool_conn_close(struct pool_conn *c)
{
	if (c->state == POOL_CLOSED)
		return;
	loop_watch_del(c->pool->loop, &c->watch);
	close(c->watch.fd);
	c->state = POOL_CLOSED;
	list_del(&c->link);
	list_add_tail(&c->pool->closed, &c->link);
}

/* ---- the end of a job ---- */

static void
pool_done(struct pool_job *j, const struct pool_answer *a)
{
	loop_timer_del(j->pool->loop, &j->timer);
	list_del(&j->link);
	j->conn = NULL;
	j->done(j, a);
}

static void
pool_fail(struct pool_job *j, enum stats_error error)
{
	struct pool_answer a = {.error = error, .body = ""};

	pool_done(j, &a);
}

static void
pool_on_losing(struct loop_timer *t)
{
	struct pool *p = t->arg;

	while (!list_is_empty(&p->lost)) {
		struct pool_job *j =
		    LIST_ENTRY(p->lost.next, struct pool_job, link);
		pool_fail(j, j->lost);
	}
}

/* The caller of pool_send is told later. */
static void
pool_lose(struct pool *p, struct pool_job *j, enum stats_error error)
{
	loop_timer_del(p->loop, &j->timer);
	j->lost = error;
	j->conn = NULL;
	list_add_tail(&p->lost, &j->link);
	loop_timer_set(p->loop, &p->losing, 0);
}

/* The connection is of no use any more, nor is what it carried. */
static void
pool_conn_fail(struct pool_conn *c, enum stats_error error)
{
	struct pool_job *j = c->job;

	c->job = NULL;
	pool_conn_close(c);
	if (j != NULL)
		pool_fail(j, error);
	/* Who waits need not wait for one that is gone. */
	if (c->state == POOL_CLOSED)
		pool_conn_next(c);
}

static void
pool_on_timeout(struct loop_timer *t)
{
	struct pool_job *j = t->arg;
	struct pool_conn *c = j->conn;

	if (c != NULL) {
		pool_conn_fail(c, STATS_TIMEOUT);
		return;
	}
	j->pool->counts.waiting--;
	pool_fail(j, STATS_TIMEOUT);
}

/* ---- a connection at work ---- */

static void
pool_conn_write(struct pool_conn *c)
{
	struct pool_job *j = c->job;

	while (j->sent < j->bytes.len) {
		ssize_t n = send(c->watch.fd, j->bytes.data + j->sent,
		    j->bytes.len - j->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_watch_mod(
			    c->pool->loop, &c->watch, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0)
			break; /* reading tells */
		j->sent += (size_t)n;
	}
	if (j->sent == j->bytes.len)
		c->pool->counts.sent++;
	loop_watch_mod(c->pool->loop, &c->watch, EPOLLIN);
}

static void
pool_conn_begin(struct pool_conn *c)
{
	c->state = POOL_BUSY;
	c->is_answering = false;
	c->job->sent_us = clock_mono_us();
	http1_begin(&c->answer);
	pool_conn_write(c);
}

/* The first that waits, if one does. */
static struct pool_job *
pool_take_waiting(struct pool *p)
{
	if (list_is_empty(&p->waiting))
		return NULL;
	struct pool_job *j = LIST_ENTRY(p->waiting.next, struct pool_job, link);
	list_del(&j->link);
	p->counts.waiting--;
	return j;
}

static void pool_on_event(struct loop_watch *w, uint32_t events);

/* Open it for the job; false: at once refused, and the job untouched. */
static bool
pool_conn_open(struct pool_conn *c, struct pool_job *j)
{
	struct pool *p = c->pool;
	int fd = peer_connect(p->to, 0, 0, 0);

	if (fd < 0)
		return false;
	c->watch = (struct loop_watch){.fd = fd, .fn = pool_on_event, .arg = c};
	if (loop_watch_add(p->loop, &c->watch, EPOLLOUT) != ERR_OK) {
		close(fd);
		return false;
	}
	list_del(&c->link);
	c->state = POOL_CONNECTING;
	c->is_used = false;
	c->job = j;
	j->conn = c;
	p->counts.connections++;
	return true;
}

/* It has nothing to do: the next job, or rest. */
static void
pool_conn_next(struct pool_conn *c)
{
	struct pool *p = c->pool;
	struct pool_job *j;

	while ((j = pool_take_waiting(p)) != NULL) {
		if (c->state != POOL_CLOSED) {
			c->job = j;
			j->conn = c;
			pool_conn_begin(c);
			return;
		}
		if (pool_conn_open(c, j))
			return;
		pool_lose(p, j, STATS_CONNECT);
	}
	if (c->state == POOL_CLOSED)
		return;
	c->state = POOL_IDLE;
	list_add_head(&p->idle, &c->link);
}

static void
pool_conn_answered(struct pool_conn *c)
{
	struct pool_job *j = c->job;
	struct buf body = c->answer.body;
	struct pool_answer a = {.status = c->answer.status,
	    .body = buf_text(&body),
	    .body_len = body.len};

	/* The next one is on its way before this one is looked at, so its
	 * answer gets another buffer. */
	buf_init(&c->answer.body, HTTP1_BODY_MAX);
	c->job = NULL;
	c->is_used = true;
	if (c->answer.is_closing)
		pool_conn_close(c);
	pool_conn_next(c);
	pool_done(j, &a);
	buf_release(&body);
}

/* A server may close a kept connection at any time; what was written then is
 * not lost but unread, as far as it may be asked twice. */
static bool
pool_conn_repeat(struct pool_conn *c)
{
	struct pool_job *j = c->job;

	if (!c->is_used || c->is_answering || !j->is_safe || j->is_repeated)
		return false;
	c->job = NULL;
	pool_conn_close(c);
	j->is_repeated = true;
	j->sent = 0;
	c->pool->counts.repeated++;
	if (!pool_conn_open(c, j))
		pool_lose(c->pool, j, STATS_CONNECT);
	return true;
}

static void
pool_conn_ended(struct pool_conn *c)
{
	if (c->state == POOL_IDLE) {
		pool_conn_close(c);
	} else if (c->answer.state != HTTP1_BAD && http1_end(&c->answer)) {
		c->answer.is_closing = true;
		pool_conn_answered(c);
	} else if (!pool_conn_repeat(c)) {
		pool_conn_fail(c, STATS_CLOSED);
	}
}

static void
pool_conn_read(struct pool_conn *c)
{
	ssize_t n = recv(c->watch.fd, c->pool->scratch, POOL_SCRATCH, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pool_conn_ended(c);
		return;
	}
	if (c->state == POOL_IDLE) { /* nobody asked */
		pool_conn_close(c);
		return;
	}
	c->is_answering = true;
	size_t used = http1_take(&c->answer, c->pool->scratch, (size_t)n);
	if (c->answer.state == HTTP1_BAD || used < (size_t)n)
		pool_conn_fail(c, STATS_MALFORMED);
	else if (c->answer.state == HTTP1_DONE)
		pool_conn_answered(c);
}

static void
pool_on_event(struct loop_watch *w, uint32_t events)
{
	struct pool_conn *c = w->arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (c->state == POOL_CONNECTING) {
		getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0)
			pool_conn_fail(c, STATS_CONNECT);
		else
			pool_conn_begin(c);
		return;
	}
	if ((events & EPOLLOUT) != 0 && c->state == POOL_BUSY)
		pool_conn_write(c);
	if ((events & ~(uint32_t)EPOLLOUT) != 0)
		pool_conn_read(c);
}

/* ---- from outside ---- */

void
pool_send(struct pool *p, struct pool_job *j)
{
	int64_t left_us = j->timeout_us - clock_mono_us();

	j->pool = p;
	list_init(&j->link);
	j->conn = NULL;
	j->sent = 0;
	j->is_repeated = false;
	j->timer = (struct loop_timer){.fn = pool_on_timeout, .arg = j};
	loop_timer_set(p->loop, &j->timer, left_us / 1000);
	if (!list_is_empty(&p->idle)) {
		struct pool_conn *c =
		    LIST_ENTRY(p->idle.next, struct pool_conn, link);
		list_del(&c->link);
		c->job = j;
		j->conn = c;
		pool_conn_begin(c);
	} else if (!list_is_empty(&p->closed)) {
		struct pool_conn *c =
		    LIST_ENTRY(p->closed.next, struct pool_conn, link);
		if (!pool_conn_open(c, j))
			pool_lose(p, j, STATS_CONNECT);
	} else if (p->counts.waiting >= POOL_WAITING_MAX) {
		pool_lose(p, j, STATS_DROPPED);
	} else {
		list_add_tail(&p->waiting, &j->link);
		if (++p->counts.waiting > p->counts.waiting_max)
			p->counts.waiting_max = p->counts.waiting;
	}
}

const struct pool_counts *
pool_counts(const struct pool *p)
{
	return &p->counts;
}

struct pool *
pool_new(struct loop *loop, const struct peer_address *to, size_t max)
{
	struct pool *p = mem_zalloc(sizeof(*p));

	p->loop = loop;
	p->to = to;
	p->max = max;
	p->losing = (struct loop_timer){.fn = pool_on_losing, .arg = p};
	list_init(&p->idle);
	list_init(&p->closed);
	list_init(&p->waiting);
	list_init(&p->lost);
	p->conns = mem_zalloc(max * sizeof(*p->conns));
	for (size_t i = 0; i < max; i++) {
		p->conns[i].pool = p;
		http1_init(&p->conns[i].answer);
		list_add_tail(&p->closed, &p->conns[i].link);
	}
	return p;
}

void
pool_free(struct pool **pool)
{
	struct pool *p = *pool;

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->max; i++) {
		pool_conn_close(&p->conns[i]);
		http1_release(&p->conns[i].answer);
	}
	loop_timer_del(p->loop, &p->losing);
	free(p->conns);
	free(p);
	*pool = NULL;
}
