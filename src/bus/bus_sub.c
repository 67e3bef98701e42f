/* SPDX-License-Identifier: MIT
 *
 * The subscriber: a thread with a loop that the transport runs on, and the
 * set of debates that are wanted.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/bus_impl.h"
#include "settings/settings.h"

struct bus_sub {
	char *name;
	bool is_wake;
	struct bus_sub_ops ops;
	const struct bus_sub_driver *driver;
	void *impl;
	struct loop *loop;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	struct bus_set set;
	size_t all_count;
};

const char *
bus_sub_name(const struct bus_sub *sub)
{
	return sub->name;
}

struct loop *
bus_sub_loop(struct bus_sub *sub)
{
	return sub->loop;
}

bool
bus_sub_is_wake(const struct bus_sub *sub)
{
	return sub->is_wake;
}

struct bus_set *
bus_sub_lock(struct bus_sub *sub, bool *is_all)
{
	pthread_mutex_lock(&sub->lock);
	*is_all = sub->all_count > 0;
	return &sub->set;
}

void
bus_sub_unlock(struct bus_sub *sub)
{
	pthread_mutex_unlock(&sub->lock);
}

void
bus_sub_deliver(struct bus_sub *sub, const char *text, size_t len)
{
	char id[ID_MAX + 1];
	struct bus_message m;
	bool is_wanted = sub->is_wake;

	if (bus_wire_decode(text, len, id, &m) != ERR_OK) {
		log_debug("bus.garbage", "subscriber=%s", sub->name);
		return;
	}
	if (*m.debate_id != '\0') {
		pthread_mutex_lock(&sub->lock);
		is_wanted =
		    sub->all_count > 0 || bus_set_has(&sub->set, m.debate_id);
		pthread_mutex_unlock(&sub->lock);
	}
	if (is_wanted)
		sub->ops.on_message(sub->ops.arg, &m);
}

void
bus_sub_gap(struct bus_sub *sub)
{
	if (sub->ops.on_gap != NULL)
		sub->ops.on_gap(sub->ops.arg);
}

static void
bus_sub_on_wake(void *arg)
{
	struct bus_sub *sub = arg;

	sub->driver->changed(sub->impl);
}

static void *
bus_sub_thread(void *arg)
{
	struct bus_sub *sub = arg;

	if (loop_run(sub->loop) != ERR_OK)
		log_error("bus.loop", "subscriber=%s", sub->name);
	return NULL;
}

/* Signals belong to the other threads. */
static bool
bus_sub_start(struct bus_sub *sub)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int rc = pthread_create(&sub->thread, NULL, bus_sub_thread, sub);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0;
}

static void
bus_sub_free(struct bus_sub *sub)
{
	if (sub->impl != NULL)
		sub->driver->close(sub->impl);
	loop_free(&sub->loop);
	bus_set_release(&sub->set);
	pthread_mutex_destroy(&sub->lock);
	free(sub->name);
	free(sub);
}

enum err
bus_sub_open(struct bus_sub **out, const struct settings *settings,
    const char *name, bool is_wake, const struct bus_sub_ops *ops,
    struct err_info *info)
{
	struct bus_sub *sub = mem_zalloc(sizeof(*sub));

	sub->name = mem_strdup(name);
	sub->is_wake = is_wake;
	sub->ops = *ops;
	sub->driver =
	    str_is_empty(settings->redis_url) ? &bus_sub_local : &bus_sub_redis;
	pthread_mutex_init(&sub->lock, NULL);
	bus_set_init(&sub->set);
	enum err e = loop_new(&sub->loop);
	if (e != ERR_OK) {
		err_set(info, e, "", "cannot make an event loop");
		goto out;
	}
	loop_on_wake(sub->loop, bus_sub_on_wake, sub);
	e = sub->driver->open(&sub->impl, sub, settings, info);
	if (e == ERR_OK && !bus_sub_start(sub))
		e = err_set(info, ERR_IO, "", "cannot start a thread");
out:
	if (e != ERR_OK)
		bus_sub_free(sub);
	else
		*out = sub;
	return e;
}

void
bus_sub_close(struct bus_sub **sub)
{
	struct bus_sub *s = *sub;

	if (s == NULL)
		return;
	loop_stop(s->loop);
	pthread_join(s->thread, NULL);
	bus_sub_free(s);
	*sub = NULL;
}

static void
bus_sub_count(struct bus_sub *sub, const char *debate_id, bool is_more)
{
	pthread_mutex_lock(&sub->lock);
	bus_set_count(&sub->set, debate_id, is_more);
	pthread_mutex_unlock(&sub->lock);
	loop_wake(sub->loop);
}

void
bus_sub_add(struct bus_sub *sub, const char *debate_id)
{
	bus_sub_count(sub, debate_id, true);
}

void
bus_sub_del(struct bus_sub *sub, const char *debate_id)
{
	bus_sub_count(sub, debate_id, false);
}

void
bus_sub_all(struct bus_sub *sub, bool on)
{
	pthread_mutex_lock(&sub->lock);
	sub->all_count = on ? sub->all_count + 1 : sub->all_count - 1;
	pthread_mutex_unlock(&sub->lock);
	loop_wake(sub->loop);
}
