/* SPDX-License-Identifier: MIT
 *
 * The publisher, over whichever transport the settings name.
 */
#include "bus/bus.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "settings/settings.h"

struct bus {
	const struct bus_driver *driver;
	pthread_mutex_t lock;
	void *impl;
	uint64_t dropped;
};

enum err
bus_open(
    struct bus **out, const struct settings *settings, struct err_info *info)
{
	struct bus *b = mem_zalloc(sizeof(*b));

	b->driver = str_is_empty(settings->redis_url) ? &bus_local : &bus_redis;
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
	struct bus *b = *bus;

	if (b == NULL)
		return;
	b->driver->close(b->impl);
	pthread_mutex_destroy(&b->lock);
	free(b);
	*bus = NULL;
}

enum err
bus_publish(struct bus *bus, const struct bus_message *m, size_t n)
{
	pthread_mutex_lock(&bus->lock);
	enum err e = bus->driver->publish(bus->impl, m, n, &bus->dropped);
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
bus_wake_over(struct bus *bus, const char *debate_id)
{
	struct bus_message m = {.debate_id = "",
	    .payload = debate_id,
	    .payload_len = strlen(debate_id)};

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

uint64_t
bus_take_dropped(struct bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	uint64_t dropped = bus->dropped;
	bus->dropped = 0;
	pthread_mutex_unlock(&bus->lock);
	return dropped;
}
