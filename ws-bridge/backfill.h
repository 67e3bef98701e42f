/* SPDX-License-Identifier: MIT
 *
 * The bridge's one way to the store: a thread that takes jobs from a queue,
 * because a query may block and the event loops must not. Finished jobs wait
 * in the port of the loop that sent them.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "store/store_human.h"
#include "ws-bridge/frame.h"
#include "ws-bridge/topic.h"

struct auth;
struct bus;
struct settings;
struct store;
struct backfill;

enum job_kind {
	JOB_PAGE,   /* debate_id, since -> page */
	JOB_LOOKUP, /* debate_id, tenant -> debate, frame (sync) */
	JOB_HEADS,  /* ids -> heads */
	JOB_LOOPS,  /* tenant -> ids, frame (loop_list) */
	JOB_TOKEN,  /* hash, NULL = none -> tenant, person */
	JOB_SIGNED, /* token -> tenant, person, session, expires_us, key_mark */
	JOB_STILL,  /* tenant, session, token_version: of a signed one, later */
	JOB_REVS,   /* ids (tenants) -> heads (their access_rev) */
	JOB_SAID    /* debate_id, tenant, person, user_id, said -> frame */
};

#define JOB_LOOPS_MAX 100 /* debates one loop_list names */

/* Where finished jobs come back to; one loop's. */
struct backfill_port {
	pthread_mutex_t lock;
	struct list done; /* under lock */
	/* On the store's thread after each finished job: it wakes the loop. */
	void (*on_done)(void *arg);
	void *arg;
};
void backfill_port_init(
    struct backfill_port *port, void (*on_done)(void *arg), void *arg);
/* After backfill_forget. */
void backfill_port_release(struct backfill_port *port);

struct job {
	struct list node;
	struct backfill_port *port;
	enum job_kind kind;
	struct arena *arena; /* of everything below */
	void *owner;	     /* the submitter's business */
	const char *debate_id;
	const char *tenant;
	const char *hash;
	const char *token;
	const char *session; /* of our own signed token, else NULL */
	int64_t token_version;
	int64_t access_rev; /* of the tenant, when the credential was good */
	bool may_write;
	const char *person; /* whose credential it is, NULL = nobody's */
	const char *user_id;
	struct store_human said;
	const struct settings *settings; /* borrowed, as the next */
	struct bus *bus;
	int64_t since;
	int64_t viewers; /* of the debate, now */
	bool is_wisdom;	 /* JOB_SAID: how it is acknowledged */
	bool wants_frame;
	const char **ids;
	size_t n_ids;
	/* results */
	enum err err;
	struct frame *frame;
	struct page *page;
	bool is_last_page;
	bool is_final;
	int64_t last_seq;
	int64_t created_us;
	int64_t *heads;
	int64_t expires_us;
	uint64_t key_mark;
	const char *why; /* a signed token was refused; may be shown */
};

/* Texts are copied; those the kind does not need are NULL. */
struct job *job_new(
    enum job_kind kind, const char *debate_id, const char *tenant) MUST_CHECK;
void job_free(struct job **job);

/* store and auth (may be NULL) are borrowed. */
enum err backfill_open(
    struct backfill **out, struct store *store, struct auth *auth) MUST_CHECK;
/* Waits for the running job; the others are dropped. */
void backfill_close(struct backfill **b);
/* Did the store answer the last question? */
bool backfill_is_well(const struct backfill *b);
/* Takes the job. */
void backfill_submit(
    struct backfill *b, struct backfill_port *port, struct job *job);
/* Drop the port's jobs, and wait for the one that runs. */
void backfill_forget(struct backfill *b, struct backfill_port *port);
/* A finished job, the caller's; NULL when there is none. */
struct job *backfill_take(struct backfill_port *port);
