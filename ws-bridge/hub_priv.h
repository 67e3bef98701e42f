/* SPDX-License-Identifier: MIT
 *
 * Between the hub's own files: hub.c (subscribers and what comes back from
 * the store), hub_table.c (topics by id), hub_inbox.c (messages from the bus
 * thread), hub_watch.c (lost tails and housekeeping).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "bus/bus.h"
#include "ws-bridge/hub.h"
#include "ws-bridge/relay.h"

#define HUB_HEADS_MS	  5000	/* while the bus is trusted, +-10% */
#define HUB_HEADS_FAST_MS 250	/* while it is not, or has to prove itself */
#define HUB_LINGER_MS	  60000 /* a topic without subscribers is kept */
#define HUB_INBOX_BYTES	  (16u << 20)

/* A read of the table that is under way. */
struct hub_read {
	struct list node;
	int64_t since;
};

struct hub_topic {
	struct topic t;
	struct list in_bucket;
	struct list in_all;
	struct list reads;
	struct list lookups; /* struct hub_lookup */
	char *tenant;	     /* whose it is; NULL until a lookup told */
	bool needs_read;     /* one failed or brought nothing */
	bool is_on_bus;
	int64_t table_head; /* newest seq we know the table to have */
	int64_t unheard;    /* newest seq the bus has not told of, 0 = none */
	int64_t unheard_ms;
	int64_t idle_ms;       /* since when without subscribers */
	uint64_t followed_gen; /* followers it was offered to */
};

struct hub_lookup {
	struct list node;
	bool wants_frame;
	char tenant[];
};

/* Who waits for the list of running debates of a tenant. */
struct hub_loops {
	struct list node;
	struct list askers;
	bool is_reading;
	char tenant[];
};

struct hub_inbox {
	pthread_mutex_t lock;
	struct list items;
	size_t bytes;
	bool is_gap; /* something was lost or the bus came back */
};

struct hub_item {
	struct list node;
	int64_t seq;
	struct frame *frame; /* NULL: only a doorbell */
	char id[];
};

struct hub {
	struct loop *loop;
	const struct settings *settings;
	struct hub_ops ops;
	struct relay *relay;
	struct relay_member member;
	struct backfill_port port; /* of both its readers */
	struct hub_inbox inbox;
	struct list *buckets;
	size_t n_buckets; /* a power of two */
	size_t n_topics;
	uint64_t hash_seed;
	struct list topics;
	struct list loops;
	struct list followers;
	uint64_t follow_gen;	 /* counts hub_follow */
	atomic_bool is_watching; /* messages of the bus are looked at */
	struct loop_timer watch;
	bool is_trusted;   /* the bus delivers */
	bool is_comparing; /* a JOB_HEADS is under way */
	bool is_retry_due; /* something failed: look again soon */
	int64_t trimmed_ms;
};

static inline struct hub_topic *
hub_topic_of(struct topic *t)
{
	return CONTAINER_OF(t, struct hub_topic, t);
}

/* hub_table.c */
void hub_table_init(struct hub *h);
void hub_table_release(struct hub *h);
struct hub_topic *hub_topic_find(struct hub *h, const char *id);
/* Found or made and put on the bus. */
struct hub_topic *hub_topic_get(struct hub *h, const char *id);
void hub_topic_free(struct hub *h, struct hub_topic *ht);

/* hub_inbox.c */
void hub_inbox_init(struct hub_inbox *in);
void hub_inbox_release(struct hub_inbox *in);
/* relay_member's; arg is the hub. */
void hub_inbox_on_message(
    void *arg, const struct bus_message *m, struct frame *frame);
void hub_inbox_on_gap(void *arg);
/* Move everything into out; true when heads must be compared. */
bool hub_inbox_take(struct hub_inbox *in, struct list *out);
void hub_item_free(struct hub_item **item);

/* hub.c */
void hub_ask(struct hub *h, struct job *job);
/* After a topic or a follower came or went. */
void hub_note_watching(struct hub *h);
void hub_read_table(struct hub *h, struct hub_topic *ht, int64_t since);
void hub_lookup_debate(
    struct hub *h, struct hub_topic *ht, const char *tenant, bool wants_frame);
void hub_tell(struct hub *h, struct hub_topic *ht);

/* hub_follow.c */
void hub_offer(struct hub *h, struct hub_topic *ht, int64_t since);
void hub_poll_loops(struct hub *h);
void hub_on_loops(struct hub *h, struct job *job);
void hub_loops_release(struct hub *h);

/* hub_watch.c */
void hub_watch_start(struct hub *h);
void hub_watch_now(struct hub *h);
void hub_watch_soon(struct hub *h);
void hub_watch_heads(struct hub *h, const struct job *job);
/* The table is ahead of what the bus told. */
void hub_watch_behind(struct hub *h, struct hub_topic *ht, int64_t head);
/* The bus told of seq. */
void hub_watch_heard(struct hub *h, struct hub_topic *ht, int64_t seq);
