/* SPDX-License-Identifier: MIT
 *
 * Subscribers and publisher of one measurement of fan-out, in one process so
 * that nobody has to be told what arrived: it publishes and sees every
 * delivery. For fanout.py, which starts the servers.
 *
 *   fanout --kind aragora|redis|nchan --subscribe ADDRESS --path P
 *          --publish ADDRESS --channel NAME --clients N --pid PID
 *          [--messages N] [--burst N] [--seconds S]
 *
 * "aragora" publishes over Redis as the runner does, "redis" the bare text,
 * "nchan" over HTTP. PID is the server's. It prints one JSON object:
 *
 *   idle_bytes      growth of PID's own memory (PSS) by a connection, once it
 *                   has had some
 *   single          deliveries a second, each message sent when the one
 *                   before it had come everywhere, and per second of
 *                   processor time of PID
 *   burst           the same, N messages sent at once
 *   latency_us      p50, p99 and greatest, at 20 messages a second
 *
 * A frame of SIZE bytes is a delivery; others (greetings, heartbeats) are
 * passed over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/tools/ws_peer.h"

#define FANOUT_SIZE    512 /* bytes of a message */
#define FANOUT_BATCH   1024
#define FANOUT_SCRATCH (1u << 20)
#define FANOUT_PENDING 256 /* connections begun at once */
/* Memory is not counted for the first ones: what so many handshakes at once
 * take for a moment may stay with the process. */
#define FANOUT_FIRST	   FANOUT_PENDING
#define FANOUT_GREETING_US 1500000
#define FANOUT_WAIT_US	   (60 * INT64_C(1000000))
#define FANOUT_HEADER	   10
#define FANOUT_GRAIN	   10 /* us of a bucket of the histogram */
#define FANOUT_BUCKETS	   200000
#define FANOUT_PACE	   20 /* messages a second */

struct fanout_client {
	int fd;
	bool is_open;
	bool is_counted; /* the frame being read */
	uint8_t header[FANOUT_HEADER];
	size_t header_len;
	size_t left; /* of the payload */
	int64_t n;   /* messages that came */
};

struct fanout {
	/* options */
	struct peer_address subscribe, publish;
	const char *kind, *path, *channel;
	int64_t n_clients, pid, messages, burst, seconds;
	/* the run */
	int epoll;
	int publisher;
	struct fanout_client *clients;
	int64_t n_open, n_begun;
	int64_t published, delivered;
	int64_t *sent_us;    /* by message, while times are taken */
	int64_t first_timed; /* number of sent_us[0], -1 = none */
	int64_t now_us;
	uint32_t *buckets;
	char scratch[FANOUT_SCRATCH];
};

static void
fanout_fail(const char *what)
{
	fprintf(stderr, "fanout: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- what the server uses ---- */

/* A number from a file below /proc/PID, behind key. */
static int64_t
fanout_proc(const char *path, const char *key)
{
	char text[4096];
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *at = strstr(text, key);
	if (at == NULL)
		return 0;
	at += strlen(key);
	at += strspn(at, " ");
	return peer_number(at, strlen(at), "");
}

static int64_t
fanout_memory(const struct fanout *f)
{
	char path[64];

	snprintf(
	    path, sizeof(path), "/proc/%lld/smaps_rollup", (long long)f->pid);
	return fanout_proc(path, "Pss:") * 1024;
}

/* Nanoseconds of processor time of all its threads. */
static int64_t
fanout_cpu(const struct fanout *f)
{
	char folder[64];
	char path[sizeof(folder) + 300];
	int64_t sum = 0;

	snprintf(folder, sizeof(folder), "/proc/%lld/task", (long long)f->pid);
	DIR *dir = opendir(folder);
	if (dir == NULL)
		fanout_fail(folder);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(
		    path, sizeof(path), "%s/%s/schedstat", folder, d->d_name);
		sum += fanout_proc(path, "");
	}
	closedir(dir);
	return sum;
}

/* ---- subscribers ---- */

static void
fanout_delivered(struct fanout *f, struct fanout_client *c)
{
	int64_t number = c->n++;

	f->delivered++;
	if (f->first_timed < 0 || number < f->first_timed)
		return;
	int64_t us = f->now_us - f->sent_us[number - f->first_timed];
	int64_t bucket = us < 0 ? 0 : us / FANOUT_GRAIN;
	f->buckets[bucket < FANOUT_BUCKETS ? bucket : FANOUT_BUCKETS - 1]++;
}

/* Frames are counted by their headers; nothing is copied. */
static void
fanout_take(
    struct fanout *f, struct fanout_client *c, const uint8_t *data, size_t len)
{
	struct peer_frame frame;

	while (len > 0) {
		size_t cut = len < c->left ? len : c->left;
		if (cut == 0) {
			c->header[c->header_len++] = *data;
			data++;
			len--;
			if (!peer_frame(c->header, c->header_len, &frame))
				continue;
			c->header_len = 0;
			c->left = frame.len;
			c->is_counted = frame.len == FANOUT_SIZE;
			if (frame.opcode == 8 || frame.opcode == PEER_BAD)
				fanout_fail("a connection was closed");
			continue;
		}
		data += cut;
		len -= cut;
		c->left -= cut;
		if (c->left == 0 && c->is_counted)
			fanout_delivered(f, c);
	}
}

static void
fanout_read(struct fanout *f, struct fanout_client *c)
{
	const char *data = f->scratch;
	ssize_t n = recv(c->fd, f->scratch, FANOUT_SCRATCH, 0);
	int status;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fanout_fail("a subscriber was cut off");
	size_t used = 0;
	if (!c->is_open) {
		used = peer_answer(data, (size_t)n, &status);
		if (used == 0 || status != 101)
			fanout_fail("a subscriber was refused");
		c->is_open = true;
		f->n_open++;
	}
	fanout_take(f, c, (const uint8_t *)data + used, (size_t)n - used);
}

static void
fanout_ask(struct fanout *f, struct fanout_client *c)
{
	char request[1024];
	size_t n = peer_request(request, sizeof(request), f->path, "");
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		fanout_fail("cannot ask");
	epoll_ctl(f->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
fanout_connect(struct fanout *f, int64_t n)
{
	while (f->n_begun < n && f->n_begun - f->n_open < FANOUT_PENDING) {
		struct fanout_client *c = &f->clients[f->n_begun++];
		struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
		c->fd = peer_connect(&f->subscribe, 0, 0, 0);
		if (c->fd < 0 ||
		    epoll_ctl(f->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
			fanout_fail("cannot connect");
	}
}

/* One turn of waiting for events. */
static void
fanout_turn(struct fanout *f, int wait_ms)
{
	struct epoll_event batch[FANOUT_BATCH];
	int n = epoll_wait(f->epoll, batch, FANOUT_BATCH, wait_ms);

	for (int i = 0; i < n; i++) {
		struct fanout_client *c = batch[i].data.ptr;
		if (f->first_timed >= 0)
			f->now_us = clock_mono_us();
		if (c == NULL) /* answers to the publisher */
			(void)!recv(f->publisher, f->scratch, FANOUT_SCRATCH,
			    MSG_DONTWAIT);
		else if ((batch[i].events & EPOLLOUT) != 0)
			fanout_ask(f, c);
		else
			fanout_read(f, c);
	}
}

/* ---- publisher ---- */

static void
fanout_open_publisher(struct fanout *f)
{
	struct epoll_event ev = {.events = EPOLLIN};

	f->publisher = peer_connect(&f->publish, 0, 0, 0);
	if (f->publisher < 0)
		fanout_fail("cannot reach the publisher's side");
	/* Writing may wait from here on. */
	fcntl(f->publisher, F_SETFL, 0);
	epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->publisher, &ev);
}

/* The text of the next message, FANOUT_SIZE bytes. */
static void
fanout_text(struct fanout *f, struct buf *out)
{
	size_t begin = out->len;

	buf_printf(out,
	    "{\"type\":\"agent_message\",\"debate_id\":\"%s\",\"seq\":%lld,"
	    "\"data\":{\"content\":\"",
	    f->channel, (long long)f->published + 1);
	while (out->len - begin < FANOUT_SIZE - 3)
		buf_putc(out, 'x');
	buf_puts(out, "\"}}");
}

static void
fanout_add(struct fanout *f, struct buf *out)
{
	struct buf text;
	struct buf message;

	buf_init(&text, 2 * FANOUT_SIZE);
	buf_init(&message, 4 * FANOUT_SIZE);
	fanout_text(f, &text);
	if (str_eq(f->kind, "aragora"))
		buf_printf(&message, "%s %lld\n", f->channel,
		    (long long)f->published + 1);
	buf_append(&message, text.data, text.len);
	if (str_eq(f->kind, "nchan"))
		buf_printf(out,
		    "POST /pub?id=%s HTTP/1.1\r\nHost: x\r\n"
		    "Content-Length: %zu\r\n\r\n",
		    f->channel, message.len);
	else
		buf_printf(out,
		    "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s%s\r\n$%zu\r\n",
		    strlen(f->channel) +
			(str_eq(f->kind, "aragora") ? 15u : 0u),
		    str_eq(f->kind, "aragora") ? "aragora:debate:" : "",
		    f->channel, message.len);
	buf_append(out, message.data, message.len);
	if (!str_eq(f->kind, "nchan"))
		buf_puts(out, "\r\n");
	f->published++;
	buf_release(&message);
	buf_release(&text);
}

/* n messages with one write. */
static void
fanout_publish(struct fanout *f, int64_t n)
{
	struct buf out;

	buf_init(&out, 16u << 20);
	for (int64_t i = 0; i < n; i++)
		fanout_add(f, &out);
	if (write(f->publisher, out.data, out.len) != (ssize_t)out.len)
		fanout_fail("cannot publish");
	buf_release(&out);
}

/* Until everything published is everywhere. */
static void
fanout_settle(struct fanout *f)
{
	int64_t end_us = clock_mono_us() + FANOUT_WAIT_US;

	while (f->delivered < f->published * f->n_clients) {
		fanout_turn(f, 1000);
		if (clock_mono_us() > end_us) {
			fprintf(stderr, "fanout: %lld of %lld came\n",
			    (long long)f->delivered,
			    (long long)(f->published * f->n_clients));
			exit(1);
		}
	}
}

static void
fanout_idle(struct fanout *f, int64_t us)
{
	int64_t end_us = clock_mono_us() + us;

	for (int64_t left; (left = end_us - clock_mono_us()) > 0;)
		fanout_turn(f, (int)(left / 1000) + 1);
}

/* ---- measurements ---- */

static void
fanout_rate(struct fanout *f, struct json_w *w, const char *key,
    int64_t messages, int64_t burst)
{
	int64_t cpu = fanout_cpu(f);
	int64_t begun_us = clock_mono_us();
	int64_t before = f->delivered;

	for (int64_t i = 0; i < messages; i += burst) {
		fanout_publish(f, burst);
		fanout_settle(f);
	}
	double n = (double)(f->delivered - before);
	double seconds = (double)(clock_mono_us() - begun_us) / 1e6;
	double cpu_seconds = (double)(fanout_cpu(f) - cpu) / 1e9;
	json_w_begin(w, key);
	json_w_num(w, "per_second", n / seconds);
	json_w_num(w, "per_cpu_second", n / cpu_seconds);
	json_w_end(w);
}

/* Microseconds that a share of the deliveries took at most. */
static int64_t
fanout_quantile(const struct fanout *f, double share)
{
	uint64_t all = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < FANOUT_BUCKETS; i++)
		all += f->buckets[i];
	for (size_t i = 0; i < FANOUT_BUCKETS; i++) {
		sum += f->buckets[i];
		if (sum > 0 && (double)sum >= share * (double)all)
			return (int64_t)(i + 1) * FANOUT_GRAIN;
	}
	return 0;
}

static void
fanout_latency(struct fanout *f, struct json_w *w)
{
	int64_t messages = f->seconds * FANOUT_PACE;
	int64_t step_us = 1000000 / FANOUT_PACE;

	f->sent_us = mem_array((size_t)messages, sizeof(*f->sent_us));
	f->buckets = mem_zalloc(FANOUT_BUCKETS * sizeof(*f->buckets));
	f->first_timed = f->published;
	int64_t begun_us = clock_mono_us();
	for (int64_t i = 0; i < messages; i++) {
		fanout_idle(f, begun_us + i * step_us - clock_mono_us());
		f->sent_us[i] = clock_mono_us();
		fanout_publish(f, 1);
	}
	fanout_settle(f);
	f->first_timed = -1;
	json_w_begin(w, "latency_us");
	json_w_int(w, "p50", fanout_quantile(f, 0.5));
	json_w_int(w, "p99", fanout_quantile(f, 0.99));
	json_w_int(w, "greatest", fanout_quantile(f, 1));
	json_w_end(w);
	free(f->sent_us);
	free(f->buckets);
}

/* As many as n, and past their greetings. */
static void
fanout_connect_all(struct fanout *f, int64_t n)
{
	while (f->n_open < n) {
		fanout_connect(f, n);
		fanout_turn(f, 100);
	}
	fanout_idle(f, FANOUT_GREETING_US);
}

static void
fanout_run(struct fanout *f)
{
	struct json_w w;
	struct buf out;

	f->clients = mem_zalloc((size_t)f->n_clients * sizeof(*f->clients));
	fanout_connect_all(f, FANOUT_FIRST);
	int64_t memory = fanout_memory(f);
	fanout_connect_all(f, f->n_clients);
	memory = fanout_memory(f) - memory;
	fanout_open_publisher(f);
	fanout_publish(f, 1); /* warm */
	fanout_settle(f);
	buf_init(&out, 65536);
	json_w_init(&w, &out);
	json_w_begin(&w, NULL);
	json_w_num(&w, "idle_bytes",
	    (double)memory / (double)(f->n_clients - FANOUT_FIRST));
	fanout_rate(f, &w, "single", f->messages, 1);
	fanout_rate(
	    f, &w, "burst", f->messages * 2 / f->burst * f->burst, f->burst);
	fanout_latency(f, &w);
	json_w_end(&w);
	puts(buf_text(&out));
	buf_release(&out);
}

static void
fanout_usage(void)
{
	fputs("usage: fanout --kind aragora|redis|nchan --subscribe ADDRESS "
	      "--path P --publish ADDRESS --channel NAME --clients N --pid "
	      "PID [--messages N] [--burst N] [--seconds S]\n",
	    stderr);
	exit(2);
}

static enum err
fanout_option(struct fanout *f, int c)
{
	switch (c) {
	case 'k':
		f->kind = optarg;
		return ERR_OK;
	case 's':
		return peer_parse(optarg, &f->subscribe) ? ERR_OK : ERR_INVALID;
	case 'u':
		return peer_parse(optarg, &f->publish) ? ERR_OK : ERR_INVALID;
	case 'p':
		f->path = optarg;
		return ERR_OK;
	case 'h':
		f->channel = optarg;
		return ERR_OK;
	case 'n':
		return str_to_i64(
		    optarg, FANOUT_FIRST + 1, 100000, &f->n_clients);
	case 'i':
		return str_to_i64(optarg, 1, INT32_MAX, &f->pid);
	case 'm':
		return str_to_i64(optarg, 1, 1000000, &f->messages);
	case 'b':
		return str_to_i64(optarg, 1, 1000, &f->burst);
	case 't':
		return str_to_i64(optarg, 1, 3600, &f->seconds);
	default:
		return ERR_INVALID;
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"kind", required_argument, NULL, 'k'},
	    {"subscribe", required_argument, NULL, 's'},
	    {"publish", required_argument, NULL, 'u'},
	    {"path", required_argument, NULL, 'p'},
	    {"channel", required_argument, NULL, 'h'},
	    {"clients", required_argument, NULL, 'n'},
	    {"pid", required_argument, NULL, 'i'},
	    {"messages", required_argument, NULL, 'm'},
	    {"burst", required_argument, NULL, 'b'},
	    {"seconds", required_argument, NULL, 't'},
	    {NULL, 0, NULL, 0},
	};
	struct fanout *f = mem_zalloc(sizeof(*f));

	f->messages = 100;
	f->burst = 50;
	f->seconds = 5;
	f->first_timed = -1;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (fanout_option(f, c) != ERR_OK)
			fanout_usage();
	if (f->kind == NULL || f->path == NULL || f->channel == NULL ||
	    f->n_clients == 0 || f->pid == 0 || f->burst > f->messages * 2)
		fanout_usage();
	peer_raise_limit();
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	fanout_run(f);
	close(f->epoll);
	free(f->clients);
	free(f);
	return 0;
}
