/* SPDX-License-Identifier: MIT */
#include "ws-bridge/presence.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "store/store_bridge.h"

#define PRESENCE_PERIOD_S 5
#define PRESENCE_ID_BYTES 8

struct presence {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_stopping; /* under lock */
	char id[ID_SIZE];
	char host[256];
	struct store_bridge self; /* its thread's */
};

static void
presence_tell(struct presence *p)
{
	p->self.connections = metric_read_own(METRIC_WS_CONNECTIONS);
	p->self.streams = metric_read_own(METRIC_SSE_CONNECTIONS);
	p->self.subscriptions = metric_read_own(METRIC_WS_SUBSCRIPTIONS);
	enum err e = store_bridge_seen(p->store, &p->self);
	if (e != ERR_OK)
		log_debug("ws.presence", "error=\"%s\"", err_text(e));
}

/* false: it ends. */
static bool
presence_sleep(struct presence *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PRESENCE_PERIOD_S;
	pthread_mutex_lock(&p->lock);
	while (!p->is_stopping &&
	    pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
		;
	bool is_going_on = !p->is_stopping;
	pthread_mutex_unlock(&p->lock);
	return is_going_on;
}

static void *
presence_main(void *arg)
{
	struct presence *p = arg;

	do
		presence_tell(p);
	while (presence_sleep(p));
	enum err e = store_bridge_gone(p->store, p->id);
	if (e != ERR_OK)
		log_debug("ws.presence", "error=\"%s\"", err_text(e));
	return NULL;
}

enum err
presence_start(struct presence **out, struct store *store)
{
	struct presence *p = mem_zalloc(sizeof(*p));
	pthread_condattr_t attr;

	*out = NULL;
	p->store = store;
	id_make(p->id, "ws_", PRESENCE_ID_BYTES);
	if (gethostname(p->host, sizeof(p->host) - 1) != 0)
		p->host[0] = '\0';
	p->self = (struct store_bridge){.id = p->id,
	    .host = p->host,
	    .pid = getpid(),
	    .started_us = clock_wall_us()};
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&p->thread, NULL, presence_main, p) != 0) {
		pthread_cond_destroy(&p->changed);
		pthread_mutex_destroy(&p->lock);
		free(p);
		return ERR_IO;
	}
	*out = p;
	return ERR_OK;
}

void
presence_stop(struct presence **pp)
{
	struct presence *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
