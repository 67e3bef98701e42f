/* SPDX-License-Identifier: MIT
 *
 * Publisher and subscriber over whichever transport the settings name.
 */
#include "bus/bus.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "settings/settings.h"

struct bus {
	const struct bus_driver *driver;
	pthread_mutex_t lock;
	void *impl;
};

void
bus_frame(struct buf *out, const struct bus_message *m)
{
	buf_printf(out, "%s %lld\n", m->debate_id, (long long)m->seq);
	buf_append(out, m->payload, m->payload_len);
}

bool
bus_unframe(char *data, size_t len, struct bus_message *out)
{
	char *line_end = memchr(data, '\n', len);
	char *space = line_end != NULL
	    ? memchr(data, ' ', (size_t)(line_end - data))
	    : NULL;
	uint64_t seq;

	if (space == NULL ||
	    str_to_u64(space + 1, (size_t)(line_end - space - 1), INT64_MAX,
		&seq) != ERR_OK)
		return false;
	*space = '\0';
	*out = (struct bus_message){.debate_id = data,
	    .seq = (int64_t)seq,
	    .payload = line_end + 1,
	    .payload_len = len - (size_t)(line_end + 1 - data)};
	return true;
}

enum err
bus_open(
    struct bus **out, const struct settings *settings, struct err_info *info)
{
	struct bus *b = mem_zalloc(sizeof(*b));

	b->driver = *settings->redis_url != '\0' ? &bus_redis : &bus_local;
	enum err e = b->driver->open(&b->impl, settings, info);
	if (e != ERR_OK) {
		free(b);
		return e;
	}
	pthread_mutex_init(&b->lock, NULL);
	*out = b;
	return ERR_OK;
}

void
bus_close(struct bus **bus)
{
	if (*bus == NULL)
		return;
	(*bus)->driver->close((*bus)->impl);
	pthread_mutex_destroy(&(*bus)->lock);
	free(*bus);
	*bus = NULL;
}

enum err
bus_publish(struct bus *bus, const struct bus_message *m, size_t n)
{
	pthread_mutex_lock(&bus->lock);
	enum err e = bus->driver->publish(bus->impl, m, n);
	pthread_mutex_unlock(&bus->lock);
	return e;
}

enum err
bus_wake(struct bus *bus)
{
	struct bus_message m = {.debate_id = "", .payload = ""};
	return bus_publish(bus, &m, 1);
}

enum err
bus_ping_redis(struct bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	enum err e = bus->driver->ping(bus->impl);
	pthread_mutex_unlock(&bus->lock);
	return e;
}

/* ---- subscriber ---- */

static struct bus_want *
bus_sub_find(struct bus_sub *sub, const char *debate_id)
{
	for (size_t i = 0; i < sub->n_wants; i++)
		if (str_eq(sub->wants[i].debate_id, debate_id))
			return &sub->wants[i];
	return NULL;
}

void
bus_deliver(struct bus_sub *sub, const struct bus_message *m)
{
	pthread_mutex_lock(&sub->lock);
	bool is_wanted = *m->debate_id == '\0'
	    ? sub->is_wake
	    : sub->all_count > 0 || bus_sub_find(sub, m->debate_id) != NULL;
	pthread_mutex_unlock(&sub->lock);
	if (is_wanted)
		sub->ops.on_message(sub->ops.arg, m);
}

/* Wait for fd (-1 = none) or a change; true when fd is ready. */
bool
bus_sub_wait(struct bus_sub *sub, int fd, int timeout_ms)
{
	struct pollfd p[2] = {{.fd = sub->wake_fd, .events = POLLIN},
	    {.fd = fd, .events = POLLIN}};
	uint64_t count;

	if (poll(p, fd >= 0 ? 2 : 1, timeout_ms) <= 0)
		return false;
	if ((p[0].revents & POLLIN) != 0 &&
	    read(sub->wake_fd, &count, sizeof(count)) < 0)
		return false;
	return fd >= 0 && p[1].revents != 0;
}

static void
bus_sub_poke(struct bus_sub *sub)
{
	uint64_t one = 1;

	if (write(sub->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake anyway */
}

static void *
bus_sub_thread(void *arg)
{
	struct bus_sub *sub = arg;

	sub->run(sub);
	return NULL;
}

static void
bus_sub_free(struct bus_sub *sub)
{
	for (size_t i = 0; i < sub->n_wants; i++)
		free(sub->wants[i].debate_id);
	if (sub->listen_fd >= 0)
		close(sub->listen_fd);
	if (sub->path != NULL)
		unlink(sub->path);
	close(sub->wake_fd);
	pthread_mutex_destroy(&sub->lock);
	free(sub->path);
	free(sub->wants);
	free(sub->name);
	free(sub);
}

enum err
bus_sub_open(struct bus_sub **out, const struct settings *settings,
    const char *name, bool is_wake, const struct bus_sub_ops *ops,
    struct err_info *info)
{
	struct bus_sub *sub = mem_zalloc(sizeof(*sub));

	sub->settings = settings;
	sub->name = mem_strdup(name);
	sub->is_wake = is_wake;
	sub->ops = *ops;
	sub->listen_fd = -1;
	sub->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&sub->lock, NULL);
	enum err e = ERR_OK;
	if (*settings->redis_url != '\0') {
		sub->run = bus_redis_run;
	} else {
		sub->run = bus_local_run;
		e = bus_local_listen(sub, info);
	}
	if (e == ERR_OK &&
	    pthread_create(&sub->thread, NULL, bus_sub_thread, sub) != 0)
		e = err_set(info, ERR_IO, "", "cannot start a thread");
	if (e != ERR_OK) {
		bus_sub_free(sub);
		return e;
	}
	*out = sub;
	return ERR_OK;
}

void
bus_sub_close(struct bus_sub **sub)
{
	struct bus_sub *s = *sub;

	if (s == NULL)
		return;
	atomic_store(&s->is_stopping, true);
	bus_sub_poke(s);
	pthread_join(s->thread, NULL);
	bus_sub_free(s);
	*sub = NULL;
}

void
bus_sub_add(struct bus_sub *sub, const char *debate_id)
{
	pthread_mutex_lock(&sub->lock);
	struct bus_want *w = bus_sub_find(sub, debate_id);
	if (w == NULL) {
		sub->wants = mem_realloc_array(
		    sub->wants, sub->n_wants + 1, sizeof(*sub->wants));
		w = &sub->wants[sub->n_wants++];
		*w = (struct bus_want){.debate_id = mem_strdup(debate_id)};
	}
	w->count++;
	pthread_mutex_unlock(&sub->lock);
	bus_sub_poke(sub);
}

/* The thread drops wants whose count is 0, after telling the server. */
void
bus_sub_del(struct bus_sub *sub, const char *debate_id)
{
	pthread_mutex_lock(&sub->lock);
	struct bus_want *w = bus_sub_find(sub, debate_id);
	if (w != NULL && w->count > 0)
		w->count--;
	pthread_mutex_unlock(&sub->lock);
	bus_sub_poke(sub);
}

void
bus_sub_all(struct bus_sub *sub, bool on)
{
	pthread_mutex_lock(&sub->lock);
	sub->all_count += on ? 1 : -1;
	pthread_mutex_unlock(&sub->lock);
	bus_sub_poke(sub);
}
