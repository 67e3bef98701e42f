/* SPDX-License-Identifier: MIT
 *
 * The bridge's one way to the store: a thread that takes jobs from a queue,
 * because a query may block and the event loop must not. Finished jobs are
 * fetched on the loop's thread.
 */
#pragma once

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
	JOB_TOKEN,  /* hash -> tenant, person */
	JOB_SIGNED, /* token -> tenant, person, expires_us, key_mark */
	JOB_SAID    /* debate_id, tenant, person, user_id, said -> frame */
};

#define JOB_LOOPS_MAX 100 /* debates one loop_list names */

struct job {
	struct list node;
	enum job_kind kind;
	struct arena *arena; /* of everything below */
	void *owner;	     /* the submitter's business */
	const char *debate_id;
	const char *tenant;
	const char *hash;
	const char *token;
	const char *person; /* whose credential it is, NULL = nobody's */
	const char *user_id;
	struct store_human said;
	const struct settings *settings; /* borrowed, as the next */
	struct bus *bus;
	int64_t since;
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

/* on_done(arg) runs on the thread after each finished job: it wakes the
 * loop. store and auth (may be NULL) are borrowed. */
enum err backfill_open(struct backfill **out, struct store *store,
    struct auth *auth, void (*on_done)(void *arg), void *arg) MUST_CHECK;
/* Waits for the running job; the others are dropped. */
void backfill_close(struct backfill **b);
/* Takes the job. */
void backfill_submit(struct backfill *b, struct job *job);
/* A finished job, the caller's; NULL when there is none. */
struct job *backfill_take(struct backfill *b);
