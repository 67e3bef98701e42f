/* SPDX-License-Identifier: MIT
 *
 * Inside of src/bus/: the two ways a message travels.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "bus/bus.h"

#define BUS_MESSAGE_MAX (2u << 20)

struct bus_driver {
	enum err (*open)(
	    void **out, const struct settings *s, struct err_info *info);
	void (*close)(void *impl);
	/* Called under the publisher's lock. */
	enum err (*publish)(void *impl, const struct bus_message *m, size_t n);
	enum err (*ping)(void *impl);
};
extern const struct bus_driver bus_local;
extern const struct bus_driver bus_redis;

/* What a subscriber wants now; guarded by its lock. */
struct bus_want {
	char *debate_id;
	int count;
	bool is_sent; /* the server has been told */
};

struct bus_sub {
	const struct settings *settings;
	char *name;
	bool is_wake;
	struct bus_sub_ops ops;
	pthread_t thread;
	pthread_mutex_t lock;
	int wake_fd; /* eventfd: the wants changed, or stop */
	atomic_bool is_stopping;
	struct bus_want *wants;
	size_t n_wants;
	int all_count;
	void (*run)(struct bus_sub *sub); /* the thread's body */
	char *path;			  /* local: our socket */
	int listen_fd;			  /* local */
};

/* "debate_id seq\npayload" */
void bus_frame(struct buf *out, const struct bus_message *m);
/* Splits in place; false for garbage. The message borrows from data. */
bool bus_unframe(char *data, size_t len, struct bus_message *out);

/* Deliver when wanted. */
void bus_deliver(struct bus_sub *sub, const struct bus_message *m);
bool bus_sub_wait(struct bus_sub *sub, int fd, int timeout_ms);

enum err bus_local_listen(struct bus_sub *sub, struct err_info *info);
void bus_local_run(struct bus_sub *sub);
void bus_redis_run(struct bus_sub *sub);
