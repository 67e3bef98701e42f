/* SPDX-License-Identifier: MIT
 *
 * Thousands of clients of one debate, each of which checks that it sees every
 * stored event once and in order, whatever becomes of its connection: it
 * comes back after a random pause, or when it was told to, and asks for what
 * follows the last event it saw.
 *
 *   ws_swarm --address A --path P --clients N --events N [--seconds S]
 *            [--sources N] [--receive BYTES]
 *
 * Prints "ready" when all clients are connected, and when each has seen the
 * debate's last event, or the time is over, or after SIGTERM, one JSON object
 * of what was seen. BYTES bound what the kernel takes for a client. Exit status
 * 0 when nothing was wrong. On SIGUSR1 every client drops its connection and
 * connects again at once.
 *
 * An event of type agent_message must carry its own number as "n".
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/ws_peer.h"

#define SWARM_SCRATCH (1u << 20)
#define SWARM_FRAME   (4u << 20) /* no message is larger */
#define SWARM_PAUSE   500	 /* ms before the first new attempt, at most */
#define SWARM_TRIES   4		 /* the pause doubles so often */
#define SWARM_PATH    256
#define SWARM_CODES   5000

enum swarm_state { SWARM_AWAY, SWARM_ASKING, SWARM_OPEN, SWARM_DONE };

struct swarm_client {
	struct swarm *swarm;
	struct loop_watch watch;
	struct loop_timer pause;
	enum swarm_state state;
	unsigned tries; /* in a row that failed */
	int64_t last;	/* all up to here were seen */
	int64_t top;	/* newest seen */
	uint64_t *seen; /* a bit for each event */
	struct buf in;	/* an incomplete frame */
};

struct swarm {
	struct loop *loop;
	struct loop_timer deadline;
	struct loop_watch signals;
	struct peer_address address;
	const char *path;
	struct swarm_client *clients;
	int64_t n_clients, n_events, n_sources, seconds;
	int64_t receive; /* buffer of a socket, 0 = the system's */
	int64_t n_open, n_done;
	bool is_ready;
	uint64_t random;
	/* what is reported */
	int64_t opened, refused, failed, seen, doubles, gaps, late, wrong;
	int64_t replays; /* connections that asked with since */
	int64_t told;	 /* clients that were told when to come back */
	int64_t closes[SWARM_CODES];
	char scratch[SWARM_SCRATCH];
};

static void swarm_connect(struct swarm_client *c);

/* xorshift64: the pauses differ, and are the same in each run. */
static uint64_t
swarm_random(struct swarm *s, uint64_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random % below;
}

static void
swarm_set_state(struct swarm_client *c, enum swarm_state state)
{
	struct swarm *s = c->swarm;

	s->n_open += (state == SWARM_OPEN) - (c->state == SWARM_OPEN);
	c->state = state;
	if (s->n_open == s->n_clients && !s->is_ready) {
		s->is_ready = true;
		puts("ready");
		fflush(stdout);
	}
}

static void
swarm_hang_up(struct swarm_client *c)
{
	if (c->watch.fd < 0)
		return;
	loop_watch_del(c->swarm->loop, &c->watch);
	close(c->watch.fd);
	c->watch.fd = -1;
	buf_release(&c->in);
	buf_init(&c->in, SWARM_FRAME);
}

/* The connection is gone: come back later. */
static void
swarm_leave(struct swarm_client *c, int64_t pause_ms)
{
	swarm_hang_up(c);
	if (c->state == SWARM_DONE)
		return;
	swarm_set_state(c, SWARM_AWAY);
	loop_timer_set(c->swarm->loop, &c->pause, pause_ms);
}

static void
swarm_lose(struct swarm_client *c)
{
	uint64_t most = (uint64_t)SWARM_PAUSE << c->tries;

	if (c->tries < SWARM_TRIES)
		c->tries++;
	swarm_leave(c, 1 + (int64_t)swarm_random(c->swarm, most));
}

/* Small things that must leave whole; a socket that takes none is lost. */
static void
swarm_write(struct swarm_client *c, const void *data, size_t len)
{
	if (send(c->watch.fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		swarm_lose(c);
}

static void
swarm_small(struct swarm_client *c, uint8_t opcode, const void *data, size_t n)
{
	uint8_t out[PEER_SMALL];

	swarm_write(c, out, peer_small(out, opcode, data, n));
}

/* It has seen everything: take leave as a client should. */
static void
swarm_finish(struct swarm_client *c)
{
	swarm_set_state(c, SWARM_DONE);
	swarm_small(c, 8, "\x03\xe8", 2);
	if (++c->swarm->n_done == c->swarm->n_clients)
		loop_stop(c->swarm->loop);
}

static bool
swarm_has(const struct swarm_client *c, int64_t seq)
{
	return (c->seen[seq >> 6] >> (seq & 63) & 1) != 0;
}

static void
swarm_count(struct swarm_client *c, int64_t seq)
{
	struct swarm *s = c->swarm;

	if (seq > s->n_events) {
		s->wrong++;
		return;
	}
	if (swarm_has(c, seq)) {
		s->doubles++;
		return;
	}
	c->seen[seq >> 6] |= UINT64_C(1) << (seq & 63);
	s->seen++;
	if (seq > c->top + 1)
		s->gaps++;
	else if (seq < c->top)
		s->late++;
	if (seq > c->top)
		c->top = seq;
	while (c->last < c->top && swarm_has(c, c->last + 1))
		c->last++;
}

static void
swarm_on_text(struct swarm_client *c, const char *text, size_t len)
{
	struct swarm *s = c->swarm;
	const char *data = memmem(text, len, "\"data\":{", 8);
	size_t head = data != NULL ? (size_t)(data - text) : len;
	int64_t seq = peer_number(text, head, "\"seq\":");

	if (data == NULL || *text != '{')
		s->wrong++;
	if (seq < 0 || c->state == SWARM_DONE)
		return;
	bool is_end = memmem(text, head, "\"type\":\"debate_end\"", 19) != NULL;
	if (is_end != (seq == s->n_events) ||
	    (!is_end && peer_number(data, len - head, "\"n\":") != seq))
		s->wrong++;
	swarm_count(c, seq);
	if (c->last == s->n_events)
		swarm_finish(c);
}

static void
swarm_on_close(struct swarm_client *c, const uint8_t *data, size_t len)
{
	size_t code = len >= 2 ? (size_t)(data[0] << 8 | data[1]) : 1005;

	int64_t told_ms =
	    peer_number((const char *)data, len, "\"reconnect_ms\":");

	if (code < SWARM_CODES && c->state == SWARM_OPEN)
		c->swarm->closes[code]++;
	if (told_ms >= 0)
		c->swarm->told++;
	swarm_small(c, 8, data, len >= 2 ? 2 : 0);
	if (c->watch.fd >= 0 && told_ms >= 0)
		swarm_leave(c, told_ms);
	else if (c->watch.fd >= 0)
		swarm_lose(c);
}

static void
swarm_on_frame(
    struct swarm_client *c, const struct peer_frame *f, const uint8_t *data)
{
	switch (f->opcode) {
	case 1:
		swarm_on_text(c, (const char *)data, f->len);
		break;
	case 8:
		swarm_on_close(c, data, f->len);
		break;
	case 9:
		swarm_small(c, 10, data, f->len < 125 ? f->len : 125);
		break;
	case 10:
		break;
	default:
		c->swarm->wrong++;
		swarm_lose(c);
	}
}

/* The answer to the GET; the bytes taken, 0 = more must come. */
static size_t
swarm_on_answer(struct swarm_client *c, const char *data, size_t len)
{
	int status;
	size_t head = peer_answer(data, len, &status);

	if (head == 0)
		return 0;
	if (status == 101) {
		c->tries = 0;
		c->swarm->opened++;
		swarm_set_state(c, SWARM_OPEN);
		return head;
	}
	if (status == -1)
		c->swarm->wrong++;
	c->swarm->refused++;
	swarm_lose(c);
	return 0;
}

/* Everything whole in data; the bytes taken. */
static size_t
swarm_take(struct swarm_client *c, const char *data, size_t len)
{
	struct peer_frame f;
	size_t at = 0;

	if (c->state == SWARM_ASKING) {
		at = swarm_on_answer(c, data, len);
		if (at == 0)
			return 0;
	}
	while (c->watch.fd >= 0 &&
	    peer_frame((const uint8_t *)data + at, len - at, &f) &&
	    f.len <= len - at - f.head_len) {
		at += f.head_len;
		swarm_on_frame(c, &f, (const uint8_t *)data + at);
		at += f.len;
	}
	return at;
}

static void
swarm_read(struct swarm_client *c)
{
	char *data = c->swarm->scratch;
	ssize_t n = recv(c->watch.fd, data, SWARM_SCRATCH, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		swarm_lose(c);
		return;
	}
	size_t len = (size_t)n;
	bool is_kept = c->in.len > 0;
	if (is_kept) {
		buf_append(&c->in, data, len);
		data = c->in.data;
		len = c->in.len;
	}
	size_t used = swarm_take(c, data, len);
	if (c->watch.fd < 0)
		return;
	if (is_kept)
		buf_consume(&c->in, used);
	else if (used < len)
		buf_append(&c->in, data + used, len - used);
	if (c->in.len == 0) {
		buf_release(&c->in);
		buf_init(&c->in, SWARM_FRAME);
	}
}

/* Connected: ask for the debate, from where we are. */
static void
swarm_ask(struct swarm_client *c)
{
	char path[SWARM_PATH];
	char request[2 * SWARM_PATH + 256];
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		c->swarm->failed++;
		swarm_lose(c);
		return;
	}
	if (c->last > 0) {
		c->swarm->replays++;
		snprintf(path, sizeof(path), "%s&since=%lld", c->swarm->path,
		    (long long)c->last);
	} else {
		snprintf(path, sizeof(path), "%s", c->swarm->path);
	}
	loop_watch_mod(c->swarm->loop, &c->watch, EPOLLIN);
	swarm_write(
	    c, request, peer_request(request, sizeof(request), path, ""));
}

static void
swarm_on_ready(struct loop_watch *w, uint32_t events)
{
	struct swarm_client *c = w->arg;

	if ((events & EPOLLOUT) != 0)
		swarm_ask(c);
	else
		swarm_read(c);
}

static void
swarm_connect(struct swarm_client *c)
{
	struct swarm *s = c->swarm;

	c->watch.fd = peer_connect(&s->address, (size_t)s->n_sources,
	    (size_t)(c - s->clients), (int)s->receive);
	swarm_set_state(c, SWARM_ASKING);
	if (c->watch.fd < 0) {
		s->failed++;
		swarm_lose(c);
		return;
	}
	if (loop_watch_add(s->loop, &c->watch, EPOLLOUT) != ERR_OK)
		swarm_lose(c);
}

static void
swarm_on_pause(struct loop_timer *t)
{
	swarm_connect(t->arg);
}

static void
swarm_on_deadline(struct loop_timer *t)
{
	struct swarm *s = t->arg;

	loop_stop(s->loop);
}

/* Everybody leaves without a word and is back in the same moment. */
static void
swarm_reconnect(struct swarm *s)
{
	for (int64_t i = 0; i < s->n_clients; i++) {
		struct swarm_client *c = &s->clients[i];
		if (c->state == SWARM_DONE)
			continue;
		swarm_hang_up(c);
		loop_timer_del(s->loop, &c->pause);
		swarm_set_state(c, SWARM_AWAY);
	}
	for (int64_t i = 0; i < s->n_clients; i++)
		if (s->clients[i].state == SWARM_AWAY)
			swarm_connect(&s->clients[i]);
}

static void
swarm_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct swarm *s = w->arg;
	struct signalfd_siginfo si;

	if (read(w->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGUSR1)
		swarm_reconnect(s);
	else
		loop_stop(s->loop);
}

static void
swarm_watch_signals(struct swarm *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = (struct loop_watch){.fn = swarm_on_signal,
	    .arg = s,
	    .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
	if (loop_watch_add(s->loop, &s->signals, EPOLLIN) != ERR_OK)
		exit(2);
}

static void
swarm_start(struct swarm *s)
{
	size_t words = (size_t)s->n_events / 64 + 1;

	s->clients = mem_array((size_t)s->n_clients, sizeof(*s->clients));
	for (int64_t i = 0; i < s->n_clients; i++) {
		struct swarm_client *c = &s->clients[i];
		*c = (struct swarm_client){.swarm = s};
		c->watch = (struct loop_watch){
		    .fd = -1, .fn = swarm_on_ready, .arg = c};
		c->pause = (struct loop_timer){.fn = swarm_on_pause, .arg = c};
		c->seen = mem_zalloc(words * sizeof(*c->seen));
		buf_init(&c->in, SWARM_FRAME);
	}
	for (int64_t i = 0; i < s->n_clients; i++)
		swarm_connect(&s->clients[i]);
	s->deadline = (struct loop_timer){.fn = swarm_on_deadline, .arg = s};
	loop_timer_set(s->loop, &s->deadline, s->seconds * 1000);
}

/* The report; is everything as it should be? */
static bool
swarm_report(const struct swarm *s)
{
	int64_t missing = s->n_clients * s->n_events - s->seen;
	char code[8];
	struct json_w w;
	struct buf out;

	buf_init(&out, 65536);
	json_w_init(&w, &out);
	json_w_begin(&w, NULL);
	json_w_int(&w, "clients", s->n_clients);
	json_w_int(&w, "done", s->n_done);
	json_w_int(&w, "opened", s->opened);
	json_w_int(&w, "replays", s->replays);
	json_w_int(&w, "told", s->told);
	json_w_int(&w, "refused", s->refused);
	json_w_int(&w, "failed", s->failed);
	json_w_int(&w, "seen", s->seen);
	json_w_int(&w, "missing", missing);
	json_w_int(&w, "gaps", s->gaps);
	json_w_int(&w, "doubles", s->doubles);
	json_w_int(&w, "out_of_order", s->late);
	json_w_int(&w, "wrong", s->wrong);
	json_w_begin(&w, "closes");
	for (int i = 0; i < SWARM_CODES; i++) {
		if (s->closes[i] == 0)
			continue;
		snprintf(code, sizeof(code), "%d", i);
		json_w_int(&w, code, s->closes[i]);
	}
	json_w_end(&w);
	json_w_end(&w);
	puts(buf_text(&out));
	buf_release(&out);
	return s->n_done == s->n_clients && missing == 0 && s->gaps == 0 &&
	    s->doubles == 0 && s->late == 0 && s->wrong == 0;
}

static void
swarm_usage(void)
{
	fputs("usage: ws_swarm --address A --path P --clients N --events N "
	      "[--seconds S] [--sources N] [--receive BYTES]\n",
	    stderr);
	exit(2);
}

static void
swarm_options(struct swarm *s, int argc, char **argv)
{
	static const struct option options[] = {
	    {"address", required_argument, NULL, 'a'},
	    {"path", required_argument, NULL, 'p'},
	    {"clients", required_argument, NULL, 'c'},
	    {"events", required_argument, NULL, 'e'},
	    {"seconds", required_argument, NULL, 's'},
	    {"sources", required_argument, NULL, 'i'},
	    {"receive", required_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	enum err e = ERR_OK;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'a')
			e = peer_parse(optarg, &s->address) ? ERR_OK
							    : ERR_INVALID;
		else if (c == 'p')
			s->path = optarg;
		else if (c == 'c')
			e = str_to_i64(optarg, 1, 100000, &s->n_clients);
		else if (c == 'e')
			e = str_to_i64(optarg, 1, 10000000, &s->n_events);
		else if (c == 's')
			e = str_to_i64(optarg, 1, 86400, &s->seconds);
		else if (c == 'i')
			e = str_to_i64(optarg, 0, 60000, &s->n_sources);
		else if (c == 'r')
			e = str_to_i64(optarg, 0, 1 << 30, &s->receive);
		if (c == '?' || e != ERR_OK)
			swarm_usage();
	}
	if (s->path == NULL || s->n_clients == 0 || s->n_events == 0 ||
	    s->address.len == 0)
		swarm_usage();
}

int
main(int argc, char **argv)
{
	struct swarm *s = mem_zalloc(sizeof(*s));

	s->seconds = 120;
	s->random = UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid();
	swarm_options(s, argc, argv);
	peer_raise_limit();
	if (loop_new(&s->loop) != ERR_OK)
		return 2;
	swarm_watch_signals(s);
	swarm_start(s);
	if (loop_run(s->loop) != ERR_OK)
		return 2;
	bool is_good = swarm_report(s);
	for (int64_t i = 0; i < s->n_clients; i++) {
		swarm_hang_up(&s->clients[i]);
		free(s->clients[i].seen);
	}
	loop_free(&s->loop);
	free(s->clients);
	free(s);
	return is_good ? 0 : 1;
}
