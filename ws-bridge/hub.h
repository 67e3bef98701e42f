/* SPDX-License-Identifier: MIT
 *
 * The debates one event loop watches: it feeds them from the bus and from the
 * event table so that each subscriber sees every stored event once and in
 * order. The bus is only a doorbell: heads are compared with the table after
 * each (re)subscription, every few seconds, and several times a second while
 * the bus has proved deaf.
 *
 * One hub belongs to one loop's thread; the hubs of a process share a relay.
 * It never blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "ws-bridge/backfill.h"
#include "ws-bridge/topic.h"

struct hub;
struct json_w;
struct loop;
struct relay;
struct settings;

enum sub_state {
	SUB_IDLE,    /* in no topic */
	SUB_LOOKUP,  /* the debate is being read */
	SUB_WAITING, /* there is no such debate (yet) */
	SUB_ACTIVE
};

/* One owner's interest in one debate. The owner embeds or allocates it. */
struct sub {
	/* the owner's */
	struct list in_owner;
	void *owner;
	const char *tenant; /* borrowed; what the owner may read */
	bool wants_sync;
	bool is_ack_due;  /* answer `subscribed` when it is known */
	bool is_follower; /* came with hub_follow, not by id */
	bool has_since;
	int64_t since;	      /* asked for */
	int64_t cursor;	      /* newest sequence number taken */
	int64_t replay_since; /* the replay covers (replay_since, */
	int64_t replay_until; /* replay_until]; 0 = none was begun */
	bool is_replay_open;  /* replay_end is still to be sent */
	bool is_done;	      /* debate_end is out: drop it */
	/* the hub's */
	enum sub_state state;
	bool is_paging; /* waits for a page */
	struct list in_topic;
	struct topic *topic;
};

/* Wants every debate of a tenant from now on. */
struct follower {
	struct list node; /* the hub's; list_init it */
	void *owner;
	const char *tenant; /* borrowed */
	int64_t since_us;   /* debates created later are taken from seq 1 */
};

/* A question that is answered with a frame. */
struct asker {
	struct list node; /* the hub's; list_init it */
	void *owner;
	const char *tenant;
};

/* All run on the loop's thread, never from within a call to the hub. */
struct hub_ops {
	/* s may have something to take (hub_next). */
	void (*on_ready)(struct sub *s);
	/* The lookup is through: s is SUB_ACTIVE or SUB_WAITING. info is the
	 * finished JOB_LOOKUP. */
	void (*on_opened)(struct sub *s, const struct job *info);
	/* A frame outside the sequence; send it or drop it. */
	void (*on_token)(struct sub *s, struct frame *f);
	/* A debate that f's owner may want: hub_subscribe, since = the newest
	 * event before the news, -1 = unknown. */
	void (*on_debate)(struct follower *f, const char *id, int64_t since);
	/* frame is NULL when the store is out of reach. */
	void (*on_loops)(struct asker *a, struct frame *frame);
	/* A JOB_TOKEN, JOB_SIGNED or JOB_STILL came back. */
	void (*on_token_checked)(struct job *job);
	/* A JOB_REVS came back. */
	void (*on_revs)(struct job *job);
	/* A JOB_SAID came back: its frame is for who said it. */
	void (*on_said)(struct job *job);
};

/* Everything is borrowed. */
struct hub *hub_new(struct loop *loop, const struct settings *settings,
    struct relay *relay, const struct hub_ops *ops) MUST_CHECK;
/* No subscriber may be left. */
void hub_close(struct hub **hub);
/* Members that tell what it holds; h may be NULL. */
void hub_stats(const struct hub *h, struct json_w *w);
/* To be called on the loop's wake-up. */
void hub_wake(struct hub *hub);

/* Fills the hub's members; on_opened follows. id is valid (id_is_valid). */
void hub_subscribe(struct hub *hub, struct sub *s, const char *id);
void hub_unsubscribe(struct hub *hub, struct sub *s);
/* The frame behind s->cursor, borrowed until the next call. On
 * SUB_WANTS_PAGE the page has been asked for and on_ready follows. */
enum sub_next hub_next(struct hub *hub, struct sub *s, struct frame **f);

void hub_follow(struct hub *hub, struct follower *f);
void hub_unfollow(struct hub *hub, struct follower *f);
/* Running debates of a->tenant; on_loops follows unless list_del'd. */
void hub_ask_loops(struct hub *hub, struct asker *a);
/* Takes a JOB_TOKEN, JOB_SIGNED or JOB_STILL. */
void hub_check_token(struct hub *hub, struct job *job);
/* Takes a JOB_REVS. */
void hub_ask_revs(struct hub *hub, struct job *job);
/* Takes a JOB_SAID. */
void hub_say(struct hub *hub, struct job *job);
