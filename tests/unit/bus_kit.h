/* SPDX-License-Identifier: MIT
 *
 * What the tests of the bus and of the metrics share: a folder of their own,
 * settings from the environment, and a subscriber that counts what it hears.
 */
#pragma once

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "bus/bus.h"
#include "settings/settings.h"

struct kit {
	char folder[64];
	struct settings *settings;
};

static inline void
kit_load(struct kit *k)
{
	struct buf errors;

	settings_free(&k->settings);
	buf_init(&errors, 4096);
	ck_assert_msg(settings_load(&k->settings, &errors) == ERR_OK, "%s",
	    buf_text(&errors));
	buf_release(&errors);
}

static inline void
kit_open(struct kit *k)
{
	signal(SIGPIPE, SIG_IGN);
	snprintf(k->folder, sizeof(k->folder), "bus-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(k->folder));
	setenv("ARAGORA_DATA_DIR", k->folder, 1);
	unsetenv("ARAGORA_REDIS_URL");
	kit_load(k);
}

static inline void
kit_close(struct kit *k)
{
	char command[128];

	settings_free(&k->settings);
	snprintf(command, sizeof(command), "rm -rf %s", k->folder);
	ck_assert_int_eq(system(command), 0);
}

static inline void
kit_nap(void)
{
	struct timespec ts = {.tv_nsec = 2000000};

	nanosleep(&ts, NULL);
}

/* What a subscriber has heard. */
struct heard {
	pthread_mutex_t lock;
	int messages;
	int wakes;
	int gaps;
	int others; /* about debates that nobody asked for */
	int64_t last_seq;
	size_t last_len;
	char last_id[64];
};

#define HEARD                                                                  \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}

static inline void
heard_message(void *arg, const struct bus_message *m)
{
	struct heard *h = arg;

	pthread_mutex_lock(&h->lock);
	if (*m->debate_id == '\0') {
		h->wakes++;
	} else {
		h->messages++;
		h->last_seq = m->seq;
		h->last_len = m->payload_len;
		snprintf(h->last_id, sizeof(h->last_id), "%s", m->debate_id);
		if (str_eq(m->debate_id, "other"))
			h->others++;
	}
	pthread_mutex_unlock(&h->lock);
}

static inline void
heard_gap(void *arg)
{
	struct heard *h = arg;

	pthread_mutex_lock(&h->lock);
	h->gaps++;
	pthread_mutex_unlock(&h->lock);
}

static inline struct heard
heard_now(struct heard *h)
{
	pthread_mutex_lock(&h->lock);
	struct heard copy = *h;
	pthread_mutex_unlock(&h->lock);
	return copy;
}

static inline struct bus_sub *
heard_open(struct heard *h, const struct kit *k, bool is_wake)
{
	const struct bus_sub_ops ops = {
	    .on_message = heard_message, .on_gap = heard_gap, .arg = h};
	struct bus_sub *sub = NULL;
	struct err_info info = {0};

	ck_assert_msg(bus_sub_open(&sub, k->settings, "test", is_wake, &ops,
			  &info) == ERR_OK,
	    "%s", info.text);
	return sub;
}

static inline struct bus *
kit_bus(const struct kit *k)
{
	struct bus *bus = NULL;
	struct err_info info = {0};

	ck_assert_msg(
	    bus_open(&bus, k->settings, &info) == ERR_OK, "%s", info.text);
	return bus;
}

static inline enum err
kit_publish(struct bus *bus, const char *id, int64_t seq, const char *payload)
{
	struct bus_message m = {.debate_id = id,
	    .seq = seq,
	    .payload = payload,
	    .payload_len = strlen(payload)};

	return bus_publish(bus, &m, 1);
}

/* Publish again and again until it is heard. */
static inline void
kit_publish_until(struct bus *bus, struct heard *h, const char *id, int64_t seq)
{
	while (heard_now(h).last_seq != seq) {
		(void)!kit_publish(bus, id, seq, "{}");
		kit_nap();
	}
}

/* What any transport must do; the way is made on demand on both sides. */
static inline void
kit_exchange(const struct kit *k)
{
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, k, true);
	struct bus *bus = kit_bus(k);

	bus_sub_add(sub, "mine");
	kit_publish_until(bus, &h, "mine", 1);
	ck_assert_int_gt(heard_now(&h).gaps, 0);

	/* Another debate's messages do not come; wake-ups do. */
	struct bus_message many[] = {
	    {.debate_id = "other", .seq = 7, .payload = "{}", .payload_len = 2},
	    {.debate_id = "mine",
		.seq = 2,
		.payload = "{\"a\":1}",
		.payload_len = 7}};
	ck_assert_int_eq(bus_publish(bus, many, 2), ERR_OK);
	while (heard_now(&h).last_seq != 2)
		kit_nap();
	ck_assert_uint_eq(heard_now(&h).last_len, 7);
	ck_assert_int_eq(heard_now(&h).others, 0);
	while (heard_now(&h).wakes == 0) {
		(void)!bus_wake(bus);
		kit_nap();
	}

	/* Wanted by its name and by the pattern: it comes once. */
	bus_sub_all(sub, true);
	kit_publish_until(bus, &h, "third", 9);
	/* Behind this one no repetition is on its way. */
	ck_assert_int_eq(kit_publish(bus, "third", 10, "{}"), ERR_OK);
	while (heard_now(&h).last_seq != 10)
		kit_nap();
	int before = heard_now(&h).messages;
	ck_assert_int_eq(kit_publish(bus, "mine", 3, "{}"), ERR_OK);
	ck_assert_int_eq(kit_publish(bus, "third", 11, "{}"), ERR_OK);
	while (heard_now(&h).last_seq != 11)
		kit_nap();
	ck_assert_int_eq(heard_now(&h).messages, before + 2);

	/* Wanted twice, given up once; then not at all. */
	bus_sub_add(sub, "mine");
	bus_sub_del(sub, "mine");
	bus_sub_all(sub, false);
	kit_publish_until(bus, &h, "mine", 12);
	int gaps = heard_now(&h).gaps;
	bus_sub_del(sub, "mine");
	bus_sub_add(sub, "last"); /* in force after the end of the other */
	while (heard_now(&h).gaps == gaps)
		kit_nap();
	before = heard_now(&h).messages;
	ck_assert_int_eq(kit_publish(bus, "mine", 13, "{}"), ERR_OK);
	ck_assert_int_eq(kit_publish(bus, "last", 14, "{}"), ERR_OK);
	while (heard_now(&h).last_seq != 14)
		kit_nap();
	ck_assert_int_eq(heard_now(&h).messages, before + 1);
	bus_sub_close(&sub);
	bus_close(&bus);
}
