/* SPDX-License-Identifier: MIT */
#include "cli/live.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"

#define LIVE_WRITERS  16
#define LIVE_NAME_MAX 64

struct live_writer {
	char name[LIVE_NAME_MAX];
	size_t characters;
};

struct live {
	struct bus_sub *sub;
	int event_fd;
	bool with_writers;
	struct arena *arena;  /* of the subscriber's thread */
	pthread_mutex_t lock; /* guards what follows */
	struct live_writer writers[LIVE_WRITERS];
	size_t n;
};

static struct live_writer *
live_find(struct live *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->writers[i].name, name))
			return &l->writers[i];
	return NULL;
}

static void
live_start(struct live *l, const char *name)
{
	struct live_writer *w = live_find(l, name);

	if (w == NULL && l->n < LIVE_WRITERS)
		w = &l->writers[l->n++];
	if (w == NULL)
		return;
	*w = (struct live_writer){0};
	snprintf(w->name, sizeof(w->name), "%s", name);
}

static void
live_end(struct live *l, const char *name)
{
	struct live_writer *w = live_find(l, name);

	if (w == NULL)
		return;
	size_t i = (size_t)(w - l->writers);
	memmove(w, w + 1, (l->n - i - 1) * sizeof(*w));
	l->n--;
}

static void
live_take(struct live *l, const struct json *event)
{
	const char *type = json_get_str(event, "type", "");
	const char *agent = json_get_str(event, "agent", NULL);
	const struct json *data = json_get(event, "data");
	size_t len = 0;

	if (agent == NULL || strlen(agent) >= LIVE_NAME_MAX)
		return;
	if (str_eq(type, event_name(EVENT_TOKEN_START))) {
		live_start(l, agent);
	} else if (str_eq(type, event_name(EVENT_TOKEN_END))) {
		live_end(l, agent);
	} else if (str_eq(type, event_name(EVENT_TOKEN_DELTA))) {
		struct live_writer *w = live_find(l, agent);
		const char *text = json_str(json_get(data, "delta"), &len);
		if (w != NULL && text != NULL)
			w->characters += str_utf8_count(text, len);
	}
}

static void
live_ring(struct live *l)
{
	uint64_t one = 1;

	if (write(l->event_fd, &one, sizeof(one)) < 0)
		return; /* full: it rings already */
}

static void
live_on_message(void *arg, const struct bus_message *m)
{
	struct live *l = arg;
	const struct json *event;

	if (m->seq > 0 || m->payload_len == 0) {
		live_ring(l);
		return;
	}
	if (!l->with_writers)
		return;
	if (json_parse(l->arena, m->payload, m->payload_len, NULL, &event,
		NULL) == ERR_OK) {
		pthread_mutex_lock(&l->lock);
		live_take(l, event);
		pthread_mutex_unlock(&l->lock);
		live_ring(l);
	}
	arena_clear(l->arena);
}

static void
live_on_gap(void *arg)
{
	live_ring(arg);
}

enum err
live_open(struct live **out, const struct settings *settings,
    const char *debate_id, bool with_writers, struct err_info *info)
{
	struct live *l = mem_zalloc(sizeof(*l));
	const struct bus_sub_ops ops = {
	    .on_message = live_on_message, .on_gap = live_on_gap, .arg = l};

	l->with_writers = with_writers;
	l->arena = arena_new(0);
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&l->lock, NULL);
	enum err e = l->event_fd >= 0
	    ? bus_sub_open(&l->sub, settings, "debate", false, &ops, info)
	    : err_set(info, ERR_IO, "", "cannot make an event descriptor");
	if (e != ERR_OK) {
		live_close(&l);
		return e;
	}
	bus_sub_add(l->sub, debate_id);
	*out = l;
	return ERR_OK;
}

void
live_close(struct live **live)
{
	struct live *l = *live;

	if (l == NULL)
		return;
	bus_sub_close(&l->sub);
	if (l->event_fd >= 0)
		close(l->event_fd);
	pthread_mutex_destroy(&l->lock);
	arena_free(&l->arena);
	free(l);
	*live = NULL;
}

void
live_wait(struct live *live, int timeout_ms)
{
	struct pollfd p = {.fd = live->event_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, timeout_ms) > 0 &&
	    read(live->event_fd, &count, sizeof(count)) < 0)
		return; /* somebody else's wake-up: none is lost */
}

void
live_writers(struct live *live, struct buf *out)
{
	pthread_mutex_lock(&live->lock);
	for (size_t i = 0; i < live->n; i++)
		buf_printf(out, "%s%s writes (%zu characters)",
		    i > 0 ? ", " : "", live->writers[i].name,
		    live->writers[i].characters);
	pthread_mutex_unlock(&live->lock);
}
