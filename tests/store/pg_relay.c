/* SPDX-License-Identifier: MIT */
#include "tests/store/pg_relay.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/mem.h"

#define RELAY_PAIRS  16
#define RELAY_BUFFER 65536
/* Long enough for the client to be back before the server has the message. */
#define RELAY_EARLY_MS 200

struct relay_pair {
	int client, server; /* -1 = none */
	bool is_asking;	    /* the client spoke last */
};

struct relay {
	pthread_t thread;
	pthread_mutex_t lock;
	char path[108], server[108];
	int listener; /* -1 while nobody is accepted */
	int stop[2];
	const char *text;
	enum relay_cut cut;
	int times;
	int trips;
	bool refuses;
	struct relay_pair pairs[RELAY_PAIRS];
};

static int
relay_socket(const char *path, bool is_listener)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_lt(strlen(path), sizeof(a.sun_path));
	memcpy(a.sun_path, path, strlen(path));
	const struct sockaddr *address = (const struct sockaddr *)(void *)&a;
	if (is_listener) {
		unlink(path);
		ck_assert_int_eq(bind(fd, address, sizeof(a)), 0);
		ck_assert_int_eq(listen(fd, RELAY_PAIRS), 0);
	} else if (connect(fd, address, sizeof(a)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
relay_close(struct relay_pair *p)
{
	close(p->client);
	close(p->server);
	*p = (struct relay_pair){.client = -1, .server = -1};
}

static void
relay_open(struct relay *r)
{
	struct relay_pair p = {.client = accept(r->listener, NULL, NULL)};

	p.server = relay_socket(r->server, false);
	for (int i = 0; i < RELAY_PAIRS; i++)
		if (r->pairs[i].client < 0) {
			r->pairs[i] = p;
			return;
		}
	ck_abort_msg("more connections than expected");
}

static void
relay_send(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t done = send(fd, data, n, MSG_NOSIGNAL);
		if (done < 0)
			return; /* gone: the next read tells */
		data += done;
		n -= (size_t)done;
	}
}

/* The message that was held back, to the server of a client cut off. */
struct relay_late {
	int server;
	size_t n;
	char data[];
};

static void *
relay_late(void *arg)
{
	struct relay_late *late = arg;
	struct timespec ts = {.tv_nsec = RELAY_EARLY_MS * 1000000};
	char answer[64];

	nanosleep(&ts, NULL);
	relay_send(late->server, late->data, late->n);
	(void)!read(late->server, answer, sizeof(answer));
	close(late->server);
	free(late);
	return NULL;
}

static void
relay_cut(struct relay *r, struct relay_pair *p, const char *data, size_t n)
{
	char answer[64];
	pthread_t thread;

	/* In line with the client's own view: refused before cut off. */
	if (r->refuses) {
		close(r->listener);
		unlink(r->path);
		r->listener = -1;
		r->refuses = false;
	}
	switch (r->cut) {
	case RELAY_CUT_BEFORE:
		break;
	case RELAY_CUT_AFTER:
		relay_send(p->server, data, n);
		(void)!read(p->server, answer, sizeof(answer));
		break;
	case RELAY_CUT_EARLY: {
		struct relay_late *late = mem_alloc(sizeof(*late) + n);
		late->server = p->server;
		late->n = n;
		memcpy(late->data, data, n);
		p->server = -1;
		ck_assert_int_eq(
		    pthread_create(&thread, NULL, relay_late, late), 0);
		pthread_detach(thread);
		break;
	}
	}
	close(p->client);
	if (p->server >= 0)
		close(p->server);
	*p = (struct relay_pair){.client = -1, .server = -1};
}

static void
relay_pass(struct relay *r, struct relay_pair *p, bool is_client)
{
	static const char none[] = "";
	char data[RELAY_BUFFER];
	ssize_t n = read(is_client ? p->client : p->server, data, sizeof(data));

	if (n <= 0) {
		relay_close(p);
		return;
	}
	if (is_client && !p->is_asking)
		r->trips++;
	p->is_asking = is_client;
	const char *text = r->times > 0 ? r->text : none;
	if (is_client && *text != '\0' &&
	    memmem(data, (size_t)n, text, strlen(text)) != NULL) {
		r->times--;
		relay_cut(r, p, data, (size_t)n);
		return;
	}
	relay_send(is_client ? p->server : p->client, data, (size_t)n);
}

static void *
relay_run(void *arg)
{
	struct relay *r = arg;
	struct pollfd fds[2 + 2 * RELAY_PAIRS];

	for (;;) {
		pthread_mutex_lock(&r->lock);
		fds[0] = (struct pollfd){.fd = r->stop[0], .events = POLLIN};
		fds[1] = (struct pollfd){.fd = r->listener, .events = POLLIN};
		for (int i = 0; i < RELAY_PAIRS; i++) {
			fds[2 + 2 * i] = (struct pollfd){
			    .fd = r->pairs[i].client, .events = POLLIN};
			fds[3 + 2 * i] = (struct pollfd){
			    .fd = r->pairs[i].server, .events = POLLIN};
		}
		pthread_mutex_unlock(&r->lock);
		(void)poll(fds, ARRAY_LEN(fds), -1);
		pthread_mutex_lock(&r->lock);
		bool is_over = false;
		char c;
		if (fds[0].revents != 0)
			is_over = read(r->stop[0], &c, 1) == 1 && c == 's';
		for (int i = 0; !is_over && i < 2 * RELAY_PAIRS; i++) {
			struct relay_pair *p = &r->pairs[i / 2];
			int fd = i % 2 == 0 ? p->client : p->server;
			if (fds[2 + i].revents != 0 && fd == fds[2 + i].fd)
				relay_pass(r, p, i % 2 == 0);
		}
		if (!is_over && fds[1].revents != 0 && fds[1].fd == r->listener)
			relay_open(r);
		pthread_mutex_unlock(&r->lock);
		if (is_over)
			return NULL;
	}
}

struct relay *
relay_start(const char *path, const char *server)
{
	struct relay *r = mem_zalloc(sizeof(*r));

	snprintf(r->path, sizeof(r->path), "%s", path);
	snprintf(r->server, sizeof(r->server), "%s", server);
	for (int i = 0; i < RELAY_PAIRS; i++)
		r->pairs[i] = (struct relay_pair){.client = -1, .server = -1};
	r->listener = relay_socket(path, true);
	ck_assert_int_eq(pipe(r->stop), 0);
	pthread_mutex_init(&r->lock, NULL);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, relay_run, r), 0);
	return r;
}

void
relay_arm(struct relay *r, const char *text, enum relay_cut cut, int times)
{
	pthread_mutex_lock(&r->lock);
	r->text = text;
	r->cut = cut;
	r->times = times;
	pthread_mutex_unlock(&r->lock);
}

int
relay_left(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	int left = r->times;
	pthread_mutex_unlock(&r->lock);
	return left;
}

int
relay_trips(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	int trips = r->trips;
	r->trips = 0;
	pthread_mutex_unlock(&r->lock);
	return trips;
}

void
relay_refuse_after_cut(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	r->refuses = true;
	pthread_mutex_unlock(&r->lock);
}

void
relay_accept(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	r->listener = relay_socket(r->path, true);
	pthread_mutex_unlock(&r->lock);
	ck_assert_int_eq(write(r->stop[1], "w", 1), 1);
}

void
relay_stop(struct relay **relay)
{
	struct relay *r = *relay;

	ck_assert_int_eq(write(r->stop[1], "s", 1), 1);
	pthread_join(r->thread, NULL);
	for (int i = 0; i < RELAY_PAIRS; i++)
		if (r->pairs[i].client >= 0)
			relay_close(&r->pairs[i]);
	if (r->listener >= 0)
		close(r->listener);
	unlink(r->path);
	close(r->stop[0]);
	close(r->stop[1]);
	pthread_mutex_destroy(&r->lock);
	free(r);
	*relay = NULL;
}
